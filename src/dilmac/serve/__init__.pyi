from .app import serve as serve
from .chat.session import ChatSession as ChatSession
from .chat.terminal import chat as chat
from .config import ChatConfig as ChatConfig
from .config import ServeConfig as ServeConfig
