"""One file a subject; each function with `@doctor_rule` is a rule, found by the registry."""
