from .bits import MAX_BATCH_TOKENS as MAX_BATCH_TOKENS
from .bits import Bits as Bits
from .bits import measure_bits as measure_bits
from .bits import measured_windows as measured_windows
from .bits import measuring_bytes as measuring_bytes
from .config import EvaluateConfig as EvaluateConfig
from .verb import evaluate as evaluate
