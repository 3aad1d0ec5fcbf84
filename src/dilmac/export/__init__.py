"""Models for other runtimes, each with the proof that nothing was lost."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
