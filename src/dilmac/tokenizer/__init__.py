"""Text ↔ ids: training, conversion, measuring; the one place where a conversation becomes ids."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
