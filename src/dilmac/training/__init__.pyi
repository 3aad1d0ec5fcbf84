from .config import FinetuneConfig as FinetuneConfig
from .config import PretrainConfig as PretrainConfig
from .convert import convert_weights as convert_weights
from .finetune import finetune as finetune
from .folder_configs import ConvertConfig as ConvertConfig
from .folder_configs import RescaleConfig as RescaleConfig
from .pretrain import pretrain as pretrain
from .rescale import rescale as rescale
