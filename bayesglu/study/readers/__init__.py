"""Tables as people have them, read as the tables of a study."""
