from .checkpoint import load_model as load_model
from .checkpoint import require_model_folder as require_model_folder
from .checkpoint import save_model as save_model
from .presets import PRESETS as PRESETS
from .presets import Preset as Preset
from .presets import num_parameters as num_parameters
from .presets import preset_named as preset_named
