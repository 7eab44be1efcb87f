"""How parameters are learnt. Nothing else in bayesglu imports PyMC."""
