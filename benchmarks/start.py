"""How long a user waits: for the import, the first gradient ever, and the first gradient of a new process."""

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.report import show, write

SCRIPT = """
import json, time
began = time.perf_counter()
import bayesglu
imported = time.perf_counter()
from bayesglu.inference.density import Density
from bayesglu.hierarchy.design import make_design
import numpy as np
loaded = time.perf_counter()
density = Density(make_design(bayesglu.load_model("feedback"), bayesglu.load_study("synthetic_ogtt")))
density(np.zeros(density.size))
called = time.perf_counter()
density(np.zeros(density.size))
again = time.perf_counter()
print(json.dumps({"import bayesglu": imported - began, "libraries": loaded - imported,
                  "first gradient": called - loaded, "second gradient": again - called}))
"""
COLUMNS = {"name": "", "fresh": "s, empty cache", "cached": "s, cached"}


def main(rounds: int = 3) -> None:
    """Measure the log density of the shipped study under the whole loop, in new processes."""
    fresh, cached = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            fresh.append(_run(folder))
            cached.append(_run(folder))
    rows = [
        {"name": name, "fresh": _median(fresh, name), "cached": _median(cached, name)} for name in fresh[0]
    ]
    rows.append({"name": "all", **{key: sum(row[key] for row in rows[:3]) for key in ("fresh", "cached")}})
    show("From nothing to a gradient, feedback, 12 people", rows, COLUMNS)
    write("start", rows, unit="seconds", rounds=rounds)


def _run(folder: str) -> dict[str, float]:
    places = {"BAYESGLU_CACHE_DIR": f"{folder}/bayesglu", "NUMBA_CACHE_DIR": f"{folder}/numba"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | places, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _median(runs: list[dict[str, float]], name: str) -> float:
    return sorted(run[name] for run in runs)[len(runs) // 2]
