"""How a model is fitted. Nothing else in bayesglu imports PyMC."""
