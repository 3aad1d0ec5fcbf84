"""Memory, time and cost of a stage before it runs: counted, and timed by a few real steps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
