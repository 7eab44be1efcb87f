"""What a model says of a test that it was not fitted to, beside what was measured: python -m benchmarks truth

Each pair of `pairs` is a study that is fitted, and what its people did besides. `predict` draws what would be
measured then, of the same subject and of a new one with the same covariates; `scores` compares both with what
was measured; `run` does it all.
"""


def main() -> None:
    """All pairs, with the shipped models."""
    from benchmarks.truth.run import main as run

    run()
