"""Published experiments, and what a model answers."""
