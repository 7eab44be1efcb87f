"""How things are said: problems, names, expressions."""
