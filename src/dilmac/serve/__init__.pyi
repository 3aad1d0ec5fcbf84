from .chat.session import ChatSession as ChatSession
from .chat.terminal import chat as chat
from .config import ChatConfig as ChatConfig
