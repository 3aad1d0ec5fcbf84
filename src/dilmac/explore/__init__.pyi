from .curves import training_figure as training_figure
from .curves import write_curves as write_curves
from .tokens import tokens_html as tokens_html
