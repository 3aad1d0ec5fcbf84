from .config import CorpusConfig as CorpusConfig
from .dedup.resemble import TextSketches as TextSketches
from .dedup.resemble import nearly_equal as nearly_equal
from .dedup.resemble import sketch_texts as sketch_texts
from .pipeline import build_corpus as build_corpus
from .report import funnel_figure as funnel_figure
