"""The tasks: a YAML file each, the records they read, and how an answer is scored."""
