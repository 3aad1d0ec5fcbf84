from .config import EstimateConfig as EstimateConfig
from .config import RecipeEstimateConfig as RecipeEstimateConfig
from .screen import print_estimate as print_estimate
from .verb import estimate_recipe as estimate_recipe
from .verb import estimate_stage as estimate_stage
