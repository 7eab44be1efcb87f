"""Priors learnt from real tests together, and from published facts: python -m benchmarks learn

`joint` fits an oral test and two clamps of the same people, from priors of the literature; `balance` finds
medians that meet these and the published facts; `run` does it all. The shipped models have what came out.
"""


def main() -> None:
    """All of it."""
    from benchmarks.learn.run import main as run

    run()
