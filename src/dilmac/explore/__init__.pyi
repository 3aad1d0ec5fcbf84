from .curves import training_figure as training_figure
from .tokens import tokens_html as tokens_html
