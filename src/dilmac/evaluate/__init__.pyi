from .bits import Bits as Bits
from .bits import measure_bits as measure_bits
from .config import EvaluateConfig as EvaluateConfig
from .table import print_evaluation as print_evaluation
from .verb import evaluate as evaluate
