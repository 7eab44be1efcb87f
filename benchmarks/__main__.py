"""``python -m benchmarks NAME``, from the folder that holds `benchmarks`."""

import argparse
from importlib import import_module

NAMES = (
    "gradient",
    "coordinates",
    "acceptance",
    "sampling",
    "steps",
    "fits",
    "folds",
    "scaling",
    "start",
    "what_if",
    "threads",
    "terms",
    "figures",
    "compare",
    "calibration",
    "plain",
    "long",
    "discrepancy",
    "faults",
    "fuzz",
    "pymc_sampling",
    "truth",
    "ranks",
    "learn",
    "many_people",
    "answers",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    import_module(f"benchmarks.{parser.parse_args().name}").main()


if __name__ == "__main__":
    main()
