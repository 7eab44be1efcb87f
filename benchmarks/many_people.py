"""``python -m benchmarks many_people``: time, memory and intervals of `fit_many` and of `fit_two_stage` by
the number of people; populations of two stages beside the truth, and beside a fit of all together; and people
left out by weights beside people left out in earnest.

Everything is kept in build/many_people as it ends, so that the same command goes on; BAYESGLU_PEOPLE (numbers
with spaces between) takes other sizes of `fit_many`, and BAYESGLU_TWO_STAGE of `fit_two_stage`. The result is
kept with the hashes of what it speaks of; a test fails when these are no longer today's.
"""

import json
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import bayesglu as bg
from bayesglu.analysis.marginal import left_out, marginal
from bayesglu.hierarchy import names
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import Study
from benchmarks.report import RESULTS, read, show, write

FOLDER = Path(__file__).parents[1] / "build" / "many_people"
FREE = ("basal_glucose", "basal_insulin", "insulin_sensitivity")
SIZES, POPULATION, SEED = "100 200 400 800", 40, 1
LEFT_OUT = 6
TWO_STAGE, TOGETHER, STORED = "200 1000 10000", 200, 64
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
    study, known = simulated(people, SEED + 1), population()
    found, spent = _spent(bg.fit_many, known, study, FOLDER / f"people_{people}")
    k = found["population_pareto_k"].values
    return {"people": people, **spent, "held_90": _held(found, study), "uneven": int((k > 0.7).sum())}


def _spent(fit, what, study: Study, folder: Path, **settings) -> tuple:
    """A fit that keeps a folder, and what it took in this process: seconds, memory, disk."""
    import resource

    began, before = time.perf_counter(), time.process_time()
    found = fit(what, study, folder, executor=1, **settings, **QUICK)
    clock, processor = time.perf_counter() - began, time.process_time() - before
    return found, {
        "clock_seconds": clock,
        "processor_seconds": processor,
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "disk_mb": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
    }


# --- two stages ---


def study_of(people: int, most: int) -> Study:
    """The first so many of `most` people, whom `studies` has made."""
    return pickle.loads(_place(people, most).read_bytes())


def studies(*sizes: int) -> None:
    """The largest study, and its first people as studies of the other sizes."""
    places = {people: _place(people, max(sizes)) for people in sizes}
    if all(path.exists() for path in places.values()):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    most = simulated(max(sizes), SEED + 2)
    for people, path in places.items():
        path.write_bytes(pickle.dumps(most.select(most.subjects[:people])))


def _place(people: int, most: int) -> Path:
    return FOLDER / f"first_{people}_of_{most}.pickle"


def two_stages(people: int, most: int) -> dict:
    """Of a population of so many in two stages in this process: seconds, memory, disk, how the stages went,
    and each number of the population beside the true one."""
    study, place = study_of(people, most), FOLDER / f"two_stage_{people}"
    found, spent = _spent(bg.fit_two_stage, model(), study, place, draws=150, stored=STORED)
    return {
        "people": people,
        **spent,
        "stages": json.loads(found.attrs["stages"]),
        "numbers": beside_the_truth(found),
        "held_90": _held(found["posterior"].to_dataset(), study),
    }


def beside_the_truth(fit) -> dict[str, dict[str, float]]:
    """Mean and SD of each number of a population on the logarithmic scale, and the true one."""
    spec, found = model(), {}
    for name in FREE:
        parameter = spec.parameters[name]
        found[names.typical(name)] = parameter.typical.median
        found[names.omega(name)] = parameter.between_subject.omega
    found |= {names.sigma(a): spec.analytes[a].sigma.median for a in ("glucose", "insulin")}
    log = {name: np.log(fit["posterior"][name].values) for name in found}
    return {
        name: {"mean": float(log[name].mean()), "sd": float(log[name].std()), "true": float(np.log(true))}
        for name, true in found.items()
    }


def together(most: int) -> dict:
    """Of a fit of the first people together: seconds, and the numbers of its population."""
    spent = time.process_time()
    fit = bg.fit(model(), study_of(TOGETHER, most), draws=300, tune=400, **QUICK)
    return {
        "people": TOGETHER,
        "processor_seconds": time.process_time() - spent,
        "numbers": beside_the_truth(fit),
        "clean": bool(bg.check(fit, warn=False).clean),
    }


def _held(people, study: Study) -> dict[str, int]:
    """How many of the people have their true parameters in their intervals of 90 %."""
    held = {}
    for name in FREE:
        draws = people[name].transpose("subject", ...).values.reshape(people.sizes["subject"], -1)
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        true = study.truth[name].sel(subject=list(people["subject"].values)).values
        held[name] = int(((low <= true) & (true <= high)).sum())
    return held


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
    there = there if all(there.get(name) == value for name, value in about.items()) else {}
    rows = {row["people"]: row for row in there.get("rows", [])}
    staged = {row["people"]: row for row in there.get("two_stage", [])}
    rest = {name: there.get(name) for name in ("together", "left_out")}

    def keep() -> None:
        ordered = [rows[n] for n in sorted(rows)]
        write("many_people", ordered, **about, two_stage=[staged[n] for n in sorted(staged)], **rest)

    for people in map(int, os.environ.get("BAYESGLU_PEOPLE", SIZES).split()):
        if people not in rows:
            rows[people] = _in_a_process("many", people)
            keep()
    sizes = [*map(int, os.environ.get("BAYESGLU_TWO_STAGE", TWO_STAGE).split())]
    for people in sizes:
        if people not in staged:
            _in_a_process("studies", *sizes)
            staged[people] = _in_a_process("two_stage", people, max(sizes))
            keep()
    if rest["together"] is None:
        rest["together"] = _in_a_process("together", max(sizes))
        keep()
    if rest["left_out"] is None:
        rest["left_out"] = by_weights_and_in_earnest()
    keep()
    columns = {"people": "people", "clock_seconds": "s", "processor_seconds": "processor s"}
    columns |= {"memory_gib": "GiB", "disk_mb": "MB on disk"}
    show("fit_many", [rows[n] for n in sorted(rows)], columns)
    show("fit_two_stage", [staged[n] for n in sorted(staged)], columns)
    print(json.dumps(rest, indent=1))


PARTS = {
    "many": one_size,
    "studies": studies,
    "two_stage": two_stages,
    "together": together,
}


def _in_a_process(part: str, *sizes: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.many_people", part, *map(str, sizes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        warnings.simplefilter("ignore")
        print(json.dumps(PARTS[sys.argv[1]](*map(int, sys.argv[2:]))))
    else:
        main()
