"""How a corpus is worked through: parts, workers, what each stage leaves for the next."""
