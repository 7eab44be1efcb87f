"""The same work done by bayesglu and by its peers, side by side: ``python -m benchmarks NAME``."""
