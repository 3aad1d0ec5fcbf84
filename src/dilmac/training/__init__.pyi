from .config import FinetuneConfig as FinetuneConfig
from .config import PretrainConfig as PretrainConfig
from .finetune import finetune as finetune
from .pretrain import pretrain as pretrain
