from .turkish_model import ModelConfig as ModelConfig
from .turkish_model import TurkishModelTrainer as TurkishModelTrainer
from .turkish_model import TurkishTokenizerTrainer as TurkishTokenizerTrainer

__version__: str
