from .bits import Bits as Bits
from .bits import measure_bits as measure_bits
from .config import EvaluateConfig as EvaluateConfig
from .verb import evaluate as evaluate
