"""Ways to make the rows of new tokens out of old rows: one file each, registered by name."""

from dilmac.transplant.methods import first, focus, length_weighted, mean, omp, random

__all__ = ["first", "focus", "length_weighted", "mean", "omp", "random"]
