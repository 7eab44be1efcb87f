"""Time of one gradient against the number of people, and the exponent of the power law through the times."""

from dataclasses import replace

import numpy as np

from bayesglu.inference.steps import TOLERANCES
from bayesglu.solver.solver import SHARE_OF_A_STEP
from benchmarks.gradient import called, ours
from benchmarks.machine import stay_on_one_core
from benchmarks.problem import THEN, problem
from benchmarks.report import show, write
from benchmarks.timing import interleaved

PEOPLE = (10, 20, 50, 100, 200, 500, 1000)
KINDS = ("frozen", "adaptive")
COLUMNS = {
    "steps": "steps",
    "people": "people",
    "processor_median": "ms",
    "processor_minimum": "smallest",
    "each": "us a person",
}


def main(model: str = "feedback", people=PEOPLE) -> None:
    """Measure and keep: frozen steps, as those of `fit`, and adaptive ones."""
    stay_on_one_core()
    work = {}
    for n in people:
        p = problem(THEN / f"{model}.toml", n)
        loose = replace(p, tolerance=TOLERANCES[0] * SHARE_OF_A_STEP)
        work |= {("frozen", n): called(loose.frozen(), p), ("adaptive", n): ours(p, 8)}
    for call in work.values():
        call()
    times = interleaved(work, rounds=21, at_most=60.0)
    rows = [{"steps": kind, "people": n, **times[kind, n].summary(1e-3)} for kind, n in sorted(work)]
    for row in rows:
        row["each"] = row["processor_median"] * 1e3 / row["people"]
    exponents = {kind: _exponent([row for row in rows if row["steps"] == kind]) for kind in KINDS}
    told = ", ".join(f"{value:.3f} ({kind})" for kind, value in exponents.items())
    show(f"One value and gradient, narrow {model}, one core", rows, COLUMNS, f"exponent {told}")
    write("scaling", rows, model=f"narrow {model}", unit="milliseconds", exponents=exponents)


def _exponent(rows: list[dict]) -> float:
    logarithms = (np.log([row[key] for row in rows]) for key in ("people", "processor_median"))
    return float(np.polyfit(*logarithms, 1)[0])
