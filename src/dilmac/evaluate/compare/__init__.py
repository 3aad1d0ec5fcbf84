"""Runs of fine-tuning and classification side by side: what was recorded, and latency now."""
