"""The data of fine-tuning: read, validated, split, compared and, if wanted, varied.

Nothing here loads torch: data that cannot be used is refused before a model is opened.
"""
