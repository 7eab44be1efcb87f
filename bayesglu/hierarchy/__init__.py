"""The statistical model."""
