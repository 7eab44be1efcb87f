"""Two real studies from beginning to end: time, memory, and whether the chains can be trusted."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bayesglu.spec.model import load_model
from bayesglu.study.study import Study, load_study
from benchmarks.report import show, write

DATA = Path(__file__).parents[2] / "shared" / "data"
STUDIES = {
    "Fujita, 20 people": ("fujita2022", "feedback"),
    "Ohashi, 120 people": ("ohashi2015", "oral_cpeptide"),
}
COLUMNS = {
    "name": "study",
    "model": "model",
    "people": "people",
    "first_look_seconds": "Laplace approximation, s",
    "clock_seconds": "s",
    "processor_seconds": "processor s",
    "memory_gib": "peak GiB",
    "steps_a_draw": "steps per draw",
    "smallest_bulk": "smallest ESS",
    "smallest_tail": "tail",
    "rhat": "R-hat",
    "divergences": "divergences",
    "failed_solves": "failed solves",
}


def main(draws: int = 1000, chains: int = 4) -> None:
    """Fit each study in a process of its own; a study that is not there is skipped."""
    rows, absent = [], {}
    for name, (folder, model) in STUDIES.items():
        if not (DATA / folder / "observations.csv").exists():
            absent[name] = f"no {folder} in shared/data beside the checkout"
            print(f"{name}: skipped, {absent[name]}")
            continue
        task = json.dumps([folder, model, draws, chains])
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.studies", task],
            capture_output=True,
            text=True,
            cwd=DATA.parents[1],
        )
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        rows.append({"name": name, "model": model, **json.loads(done.stdout.splitlines()[-1])})
    if rows:
        show(f"{chains} chains of {draws} draws after as much tuning", rows, COLUMNS)
    write("studies", rows, absent=absent, draws=draws, chains=chains)


def real_study(folder: str) -> Study:
    """One of the oral tests in shared/data; 62 kg where no weight was published."""
    weight = None if (DATA / folder / "subjects.csv").exists() else 62.0
    return load_study(DATA / folder, protocol="ogtt(75)", body_weight=weight)


def measure(folder: str, model: str, draws: int, chains: int) -> dict:
    """Fit one study and judge it. Laplace is timed after the fit, so that all is compiled."""
    from bayesglu.analysis.diagnostics import mixing
    from bayesglu.inference.fitting import fit

    study = real_study(folder)
    began, spent = time.perf_counter(), time.process_time()
    tree = fit(model, study, draws=draws, tune=draws, chains=chains, random_seed=1, progressbar=False)
    clock, processor = time.perf_counter() - began, time.process_time() - spent
    posterior = tree.posterior.to_dataset()
    columns = [values.values.reshape(chains, draws, -1) for values in posterior.data_vars.values()]
    found = mixing(np.concatenate(columns, axis=-1))
    return {
        "people": len(study.subjects),
        "first_look_seconds": first_look(model, study),
        "clock_seconds": clock,
        "processor_seconds": processor,
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "steps_a_draw": float(tree.sample_stats.n_steps.mean()),
        "smallest_bulk": float(np.nanmin(found.ess_bulk)),
        "smallest_tail": float(np.nanmin(found.ess_tail)),
        "rhat": float(np.nanmax(found.rhat)),
        "divergences": int(tree.sample_stats.diverging.sum()),
        "failed_solves": sum(failure["count"] for failure in json.loads(tree.attrs["failed_solves"])),
    }


def first_look(model: str, study: Study, rounds: int = 5) -> float:
    """Median seconds of the Laplace approximation to a study, model and study being loaded."""
    from bayesglu.inference.fitting import fit

    spec, seconds = load_model(model), []
    for _ in range(rounds):
        began = time.perf_counter()
        fit(spec, study, method="laplace", random_seed=1, progressbar=False)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
