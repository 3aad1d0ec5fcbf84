"""A server of somebody else's as an engine: text goes there, text comes back, over HTTP."""
