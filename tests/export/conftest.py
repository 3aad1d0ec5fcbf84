"""Makes `tiny_models` known to the tests below."""
