"""A conversation: its session (history), the voice that answers, and its terminal."""
