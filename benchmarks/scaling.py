"""Time of one gradient against the number of people, and the exponent of the power law through the times."""

import numpy as np

from benchmarks.gradient import ours
from benchmarks.machine import stay_on_one_core
from benchmarks.problem import problem
from benchmarks.report import show, write
from benchmarks.timing import interleaved

PEOPLE = (10, 20, 50, 100, 200, 500, 1000)
COLUMNS = {
    "name": "people",
    "processor_median": "ms",
    "processor_minimum": "smallest",
    "each": "us a person",
}


def main(model: str = "feedback", people=PEOPLE) -> None:
    """Measure and keep."""
    stay_on_one_core()
    work = {str(n): ours(problem(model, n), 8) for n in people}
    for call in work.values():
        call()
    times = interleaved(work, rounds=21, at_most=60.0)
    rows = [{"name": name, **times[name].summary(1e-3)} for name in work]
    for row in rows:
        row["each"] = row["processor_median"] * 1e3 / int(row["name"])
    exponents = {
        key: float(np.polyfit(np.log(people), np.log([row[key] for row in rows]), 1)[0])
        for key in ("processor_median", "processor_minimum")
    }
    told = ", ".join(f"{value:.3f} ({key.partition('_')[2]})" for key, value in exponents.items())
    show(f"One value and gradient, {model}, one core", rows, COLUMNS, f"exponent {told}")
    write("scaling", rows, model=model, unit="milliseconds", exponents=exponents)
