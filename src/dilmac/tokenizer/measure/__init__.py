"""What tokenizers make of the same texts."""
