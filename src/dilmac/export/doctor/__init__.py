"""What turns a good model into gibberish elsewhere: found, explained, and mended in a copy.

A fault is told by a rule, a small function in `rules/` (or a contributor's own, see `registry`). It
looks at a `ModelFolder` or a `GgufFile` and yields what it finds; a mend that can be made without
guessing comes with it, as a function that changes a copy.
"""
