"""A byte-level vocabulary continued on Turkish words, and pruned."""
