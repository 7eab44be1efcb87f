"""``python -m benchmarks what_if``: time and memory of what-ifs of many draws, people and scenarios.

Twenty simulated people with `oral` (Laplace's method, 4,000 draws), each question in a process of its own,
after a small one that compiles.
"""

import json
import resource
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

import numpy as np

import bayesglu as bg
from benchmarks.report import show, write

PEOPLE, SEED, EVERY = 20, 1, 5
TEST = {"protocol": "ogtt(75)", "times": [0, 10, 20, 30, 60, 90, 120, 150, 180]}
QUANTITIES = ["glucose_peak", "glucose_auc"]
FIVE = {
    "usual": bg.Scenario(),
    "more sensitive": bg.Scenario(change={"insulin_sensitivity": bg.scale(1.3)}),
    "less sensitive": bg.Scenario(change={"insulin_sensitivity": bg.scale(0.7)}),
    "100 g": bg.Scenario("ogtt(100)"),
    "50 g": bg.Scenario("ogtt(50)"),
}
FACTORS = [bg.scale(round(float(x), 2)) for x in np.geomspace(0.5, 2, 10)]
QUESTIONS = {
    "five scenarios, with curves": {"draws": 4000, "every": 5, "outputs": ["glucose"]},
    "five scenarios, every minute": {"draws": 4000, "every": 1},
    "a grid of a thousand": {"draws": 50, "every": 5, "grid": True},
}
COLUMNS = {
    "name": "question",
    "solves": "solves",
    "clock_seconds": "s",
    "processor_seconds": "processor s",
    "memory_gib": "GiB",
}


def main() -> None:
    """Fit, ask each question, and keep what it took."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/people.nc"
        study = bg.simulate_study("oral", **TEST, subjects=PEOPLE, population="medians", random_seed=SEED)
        how = {"method": "laplace", "draws": 4000, "random_seed": SEED, "progressbar": False}
        bg.save(bg.fit("oral", study, **how), path)
        rows = [json.loads(_asked(path, name)) for name in QUESTIONS]
    show(f"What-ifs of {PEOPLE} people over 300 min", rows, COLUMNS)
    write("what_if", rows)


def _asked(path: str, name: str) -> str:
    command = [sys.executable, "-m", "benchmarks.what_if", path, name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def answer(path: str, name: str) -> dict:
    """What a question takes in this process."""
    question = dict(QUESTIONS[name])
    fit, every, draws = bg.load(path), question.pop("every"), question.pop("draws")
    scenarios = FIVE
    if question.pop("grid", False):
        scenarios = bg.grid(
            protocol=[f"ogtt({dose})" for dose in range(10, 110, 10)],
            insulin_sensitivity=FACTORS,
            beta_cell_sensitivity=FACTORS,
        )
    asked = {"of": QUANTITIES, "times": range(0, 301, every), "random_seed": SEED, "progressbar": False}
    bg.what_if(fit, FIVE, draws=20, **asked, **question)
    began, before = time.perf_counter(), time.process_time()
    bg.what_if(fit, scenarios, draws=draws, **asked, **question)
    return {
        "name": name,
        "solves": draws * PEOPLE * len(scenarios),
        "clock_seconds": round(time.perf_counter() - began, 2),
        "processor_seconds": round(time.process_time() - before, 2),
        "memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(answer(*sys.argv[1:])))
    else:
        main()
