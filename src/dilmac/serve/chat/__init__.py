"""A conversation: its session (history, ids, engine) and its terminal."""
