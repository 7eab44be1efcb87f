"""``python -m benchmarks many_people``: time, memory and intervals of `fit_many` by the number of people, and
people left out by weights beside people left out in earnest.

Everything is kept in build/many_people as it ends, so that the same command goes on; BAYESGLU_PEOPLE
(numbers with spaces between) takes other sizes, such as 10000. The result is kept with the hashes of what it
speaks of; a test fails when these are no longer today's.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import bayesglu as bg
from bayesglu.analysis.marginal import left_out, marginal
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import Study
from benchmarks.report import RESULTS, read, show, write

FOLDER = Path(__file__).parents[1] / "build" / "many_people"
FREE = ("basal_glucose", "basal_insulin", "insulin_sensitivity")
SIZES, POPULATION, SEED = "100 200 400 800", 40, 1
LEFT_OUT = 6
QUICK = {"random_seed": SEED, "progressbar": False}


def model() -> ModelSpec:
    """The intravenous model of which little is unknown."""
    spec = bg.load_model("ivgtt")
    return spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated if n not in FREE})


def simulated(people: int, seed: int) -> Study:
    """So many people of the same population, who had the same test."""
    return bg.simulate_study(
        model(),
        protocol="ivgtt(0.3)",
        times=[0, 4, 10, 25, 60],
        subjects=people,
        population="medians",
        random_seed=seed,
    )


def population():
    """The fit of a population to others than those who are asked about."""
    path = FOLDER / "population.nc"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        bg.save(bg.fit(model(), simulated(POPULATION, SEED), draws=500, tune=400, **QUICK), path)
    return bg.load(path)


def one_size(people: int) -> dict:
    """Of a fit of so many people in this process: seconds, memory, and how often intervals held the truth."""
    import resource

    study, known = simulated(people, SEED + 1), population()
    began, spent = time.perf_counter(), time.process_time()
    found = bg.fit_many(known, study, FOLDER / f"people_{people}", executor=1, **QUICK)
    clock, processor = time.perf_counter() - began, time.process_time() - spent
    held = {}
    for name in FREE:
        low, high = np.quantile(found[name].values, [0.05, 0.95], axis=1)
        true = study.truth[name].sel(subject=list(study.subjects)).values
        held[name] = int(((low <= true) & (true <= high)).sum())
    size = sum(file.stat().st_size for file in (FOLDER / f"people_{people}").rglob("*") if file.is_file())
    k = found["population_pareto_k"].values
    return {
        "people": people,
        "clock_seconds": clock,
        "processor_seconds": processor,
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "disk_mb": size / 1e6,
        "held_90": held,
        "uneven": int((k > 0.7).sum()),
    }


def by_weights_and_in_earnest() -> dict:
    """What log densities of people are by weights, and by fits without each of them."""
    study, how = simulated(LEFT_OUT, SEED), {"draws": 500, "tune": 400, **QUICK}
    whole = bg.fit(model(), study, **how)
    weighted = left_out(marginal(model(), study, whole, 500, {}, np.random.default_rng(SEED)))
    earnest = bg.cross_validate(model(), study, start=whole, keep=FOLDER / "left_out", **how)
    earnest = earnest.sel(left_out_subject=list(study.subjects))
    return {
        "by_weights": weighted.elpd.round(3).tolist(),
        "in_earnest": earnest.elpd.values.round(3).tolist(),
        "error": np.hypot(weighted.error, earnest.elpd_error.values).round(3).tolist(),
        "pareto_k": weighted.k.round(2).tolist(),
        "clean_fits": int(earnest.clean.sum()),
        "seconds_a_fit": float(earnest.seconds.mean()),
    }


def main() -> None:
    """Measure what is not measured yet, and keep it."""
    warnings.simplefilter("ignore")
    spec = model()
    about = {"model_hash": spec.hash, "population_hash": simulated(POPULATION, SEED).hash, "draws": 200}
    there = read("many_people") if (RESULTS / "many_people.json").exists() else {}
    rows = {row["people"]: row for row in there.get("rows", [])} if _same(there, about) else {}
    compared = there.get("left_out") if rows or _same(there, about) else None
    population()
    for people in map(int, os.environ.get("BAYESGLU_PEOPLE", SIZES).split()):
        if people not in rows:
            command = [sys.executable, "-m", "benchmarks.many_people", str(people)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows[people] = json.loads(done.stdout.splitlines()[-1])
            write("many_people", [rows[n] for n in sorted(rows)], **about, left_out=compared)
    if compared is None:
        compared = by_weights_and_in_earnest()
    ordered = [rows[n] for n in sorted(rows)]
    write("many_people", ordered, **about, left_out=compared)
    columns = {"people": "people", "clock_seconds": "s", "processor_seconds": "processor s"}
    show("fit_many", ordered, {**columns, "memory_gib": "GiB", "disk_mb": "MB on disk"})
    print(json.dumps(compared, indent=1))


def _same(there: dict, about: dict) -> bool:
    return all(there.get(name) == value for name, value in about.items())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        warnings.simplefilter("ignore")
        print(json.dumps(one_size(int(sys.argv[1]))))
    else:
        main()
