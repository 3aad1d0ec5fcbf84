from .config import GgufConfig as GgufConfig
from .gguf import export_gguf as export_gguf
