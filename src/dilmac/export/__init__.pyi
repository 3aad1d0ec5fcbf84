from .config import GgufConfig as GgufConfig
from .config import OllamaConfig as OllamaConfig
from .config import VerifyConfig as VerifyConfig
from .gguf import export_gguf as export_gguf
from .ollama import export_ollama as export_ollama
from .verify import verify_export as verify_export
