from .config import CorpusConfig as CorpusConfig
from .pipeline import build_corpus as build_corpus
from .report import funnel_figure as funnel_figure
