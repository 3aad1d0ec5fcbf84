"""Healing: a transplanted model learns to speak through its new rows."""
