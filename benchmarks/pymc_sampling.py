"""PyMC's own sampling of the model that `build` gives, beside `fit`: steps per draw, time of a draw, time to
the first.

Twenty synthetic people, glucose, insulin and C-peptide. A draw's time is the difference between a long and a
short run with the same seed, so that neither tuning nor compilation is in it. The first draw is timed in new
processes, with caches as the process before left them. Since a machine is seldom idle, processor seconds of
all threads stand beside those on the clock.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bayesglu.inference.fit_files import save
from bayesglu.inference.fitting import fit
from bayesglu.inference.pymc_model import build
from benchmarks.people import MODEL, synthetic_study
from benchmarks.report import show, write

COLUMNS = {
    "name": "",
    "steps_a_draw": "steps per draw",
    "steps_ratio": "against fit",
    "clock_a_draw": "ms a draw",
    "processor_a_draw": "processor ms a draw",
    "processor_ratio": "against fit",
    "divergences": "divergences",
}
FIRST = """
import json, sys, time
began = time.perf_counter()
import bayesglu, pymc as pm
from benchmarks.people import MODEL, synthetic_study
study, kept = synthetic_study(int(sys.argv[2])), bayesglu.load(sys.argv[1])
loaded = time.perf_counter()
model = bayesglu.build(MODEL, study, coordinates_of=kept)
built = time.perf_counter()
with model:
    pm.sample(1, tune=1, chains=1, progressbar=False, compute_convergence_checks=False, random_seed=1)
print(json.dumps({"libraries and fit": loaded - began, "build": built - loaded,
                  "pm.sample to its first draw": time.perf_counter() - built}))
"""


def main(people: int = 20, chains: int = 2, tune: int = 500, short: int = 100, long: int = 1100) -> None:
    """Sample with `fit`, then with PyMC in the coordinates of that fit, at the same acceptance and at
    PyMC's."""
    import nutpie

    study = synthetic_study(people)

    def ours(draws):
        settings = {"draws": draws, "tune": tune, "chains": chains, "cores": chains}
        return fit(MODEL, study, target_accept=0.9, random_seed=1, progressbar=False, **settings)

    def theirs(compiled, target_accept):
        def run(draws):
            settings = {"draws": draws, "tune": tune, "chains": chains, "cores": chains, "seed": 1}
            return nutpie.sample(compiled, target_accept=target_accept, progress_bar=False, **settings)

        return run

    own, kept = _row("fit", ours, short, long)
    compiled = nutpie.compile_pymc_model(build(MODEL, study, coordinates_of=kept))
    rows = [own]
    for target_accept in (0.9, 0.8):
        name = f"PyMC, target_accept={target_accept}"
        rows.append(_row(name, theirs(compiled, target_accept), short, long)[0])
    for row in rows:
        row["steps_ratio"] = row["steps_a_draw"] / own["steps_a_draw"]
        row["processor_ratio"] = row["processor_a_draw"] / own["processor_a_draw"]
    show(f"{people} people, {MODEL}, {chains} chains of {long} draws after {tune}", rows, COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        path = save(kept, Path(folder) / "fit.nc")
        first, warm = (_first(path, people) for _ in range(2))
    for name in first:
        print(f"{name}: {first[name]:.1f} s, with warm caches {warm[name]:.1f} s")
    facts = {"people": people, "model": MODEL, "chains": chains, "tune": tune, "draws": long}
    write("pymc_sampling", rows, first_draw={"before": first, "warm": warm}, **facts)


def _row(name: str, run: Callable, short: int, long: int) -> tuple[dict, object]:
    """What a draw costs, and the longer run."""
    took = []
    for draws in (short, short, long):  # the first compiles
        began, spent = time.perf_counter(), time.process_time()
        tree = run(draws)
        took.append((time.perf_counter() - began, time.process_time() - spent))
    clock, processor = 1000 * (np.array(took[2]) - np.array(took[1])) / (long - short)
    facts = {
        "name": name,
        "steps_a_draw": float(tree.sample_stats.n_steps.mean()),
        "clock_a_draw": float(clock),
        "processor_a_draw": float(processor) / tree.sample_stats.sizes["chain"],
        "divergences": int(tree.sample_stats.diverging.sum()),
    }
    return facts, tree


def _first(path: Path, people: int) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-c", FIRST, str(path), str(people)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
