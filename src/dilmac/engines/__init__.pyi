from .client import Completion as Completion
from .client import Engine as Engine
from .content import EngineTokenizer as EngineTokenizer
from .gguf_header import SUPPRESSED_KEY as SUPPRESSED_KEY
from .interface import EngineSpec as EngineSpec
from .interface import Sampling as Sampling
from .interface import Token as Token
from .interface import engine_for as engine_for
