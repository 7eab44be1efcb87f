"""How the equations are solved, and how the solution changes with the parameters."""
