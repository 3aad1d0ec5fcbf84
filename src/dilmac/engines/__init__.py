"""Run a model behind one small interface, in a process of its own.

Token ids go in, token ids and log-probabilities come out, a request is cancelled by its id. A
crash, a hang or a `kill -9` of an engine is an `EngineError` for whoever uses it, no more.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
