"""What is known before any data."""
