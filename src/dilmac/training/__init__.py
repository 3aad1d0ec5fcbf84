"""Training: pretraining by a loop of our own, fine-tuning by TRL."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
