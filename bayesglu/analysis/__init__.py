"""What is asked of a model and of a fit."""
