"""What the body does: pure functions in plain arithmetic, an organ a file."""
