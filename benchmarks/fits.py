"""``python -m benchmarks fits``: studies fitted from beginning to end, by this program and an earlier one.

Each is fitted by the program of the earlier commit, by this one with the model as it was then, and by this
one with the model that ships, which is far wider; every fit in a process of its own, that has compiled before
the clock starts. A fit is kept as it ends, so that the same command goes on where it was stopped.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.compare import COMMIT, SHARED, earlier_program
from benchmarks.long import program
from benchmarks.people import synthetic_table
from benchmarks.problem import THEN
from benchmarks.report import RESULTS, read, show, write

SEEDS = (1, 2, 3)
WORKER = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import bayesglu
import numpy as np
from arviz_stats.base import array_stats

task = json.loads(sys.argv[1])
study = bayesglu.load_study(task["study"], **task["settings"])
model, chains = bayesglu.load_model(task["model"]), task["chains"]
told = {"chains": chains, "random_seed": task["seed"], "progressbar": False}
bayesglu.fit(model, study, draws=10, tune=30, **told)  # compiles
began, spent = time.perf_counter(), time.process_time()
tree = bayesglu.fit(model, study, draws=task["draws"], tune=task["tune"], **told)
clock, processor = time.perf_counter() - began, time.process_time() - spent
posterior = tree.posterior.to_dataset()
values = [posterior[name].values.reshape(chains, task["draws"], -1) for name in posterior.data_vars]
values = np.concatenate(values, axis=-1)
values = values[..., values.std((0, 1)) > 0]
statistics = {"chain_axis": 0, "draw_axis": 1}
found = {
    "people": len(study.subjects),
    "values": values.shape[-1],
    "clock_seconds": clock,
    "processor_seconds": processor,
    "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "steps_a_draw": float(tree.sample_stats.n_steps.mean()),
    "smallest_bulk": float(array_stats.ess(values, method="bulk", **statistics).min()),
    "smallest_tail": float(array_stats.ess(values, method="tail", prob=(0.05, 0.95), **statistics).min()),
    "rhat": float(array_stats.rhat(values, **statistics).max()),
    "divergences": int(tree.sample_stats.diverging.sum()),
}
print(json.dumps(found))
"""
WHO = {"then": f"{COMMIT}", "now": "now, the model as then", "shipped": "now, as shipped"}
COLUMNS = {
    "name": "study",
    "who": "program",
    "seeds": "seeds",
    "values": "values",
    "clock_seconds": "s",
    "processor_seconds": "processor s",
    "memory_gib": "peak GiB",
    "steps_a_draw": "steps per draw",
    "smallest_bulk": "smallest ESS",
    "smallest_tail": "tail",
    "ess_a_second": "ESS/s",
    "rhat": "R-hat",
    "divergences": "divergences",
}


@dataclass(frozen=True)
class Task:
    """What is fitted: the model's name, a study's name or folder, and the chains; how many of the seeds each
    program has, only the first where it takes minutes."""

    model: str
    study: str
    settings: dict = field(default_factory=dict)
    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seeds: dict = field(default_factory=lambda: {"then": 1, "now": 3, "shipped": 3})


def tasks(folder: Path) -> dict[str, Task]:
    """The studies; synthetic people are written to `folder`."""
    people = folder / "people.csv"
    synthetic_table(20, model=THEN / "oral_cpeptide.toml").to_csv(people, index=False)
    oral = {"protocol": "ogtt(75)"}
    every, few = dict.fromkeys(WHO, len(SEEDS)), {"then": 1, "now": 3, "shipped": 1}
    return {
        "bergman1986": Task("minimal", "bergman1986", seeds=every),
        "20 synthetic people": Task(
            "oral_cpeptide", str(people), oral | {"body_weight": 70.0}, 500, 500, 2, seeds=every
        ),
        "Fujita 2022": Task("feedback", str(SHARED / "fujita2022"), oral | {"body_weight": 62.0}),
        "Ohashi 2015": Task("oral_cpeptide", str(SHARED / "ohashi2015"), oral, seeds=few),
    }


def main() -> None:
    """Measure what is not kept, and keep it."""
    known = read("fits")["rows"] if (RESULTS / "fits.json").exists() else []
    today, rows = program(), {(row["name"], row["who"], row["seed"]): row for row in known}
    with tempfile.TemporaryDirectory() as made, earlier_program(Path(made)) as then:
        for seed, name, task, who in _turns(tasks(Path(made))):
            of = COMMIT if who == "then" else today
            if rows.get((name, who, seed), {}).get("of") != of:
                found = _fitted(task, who, seed, then)
                rows[name, who, seed] = {"name": name, "who": who, "seed": seed, "of": of, **found}
                write("fits", list(rows.values()), commit=COMMIT)
                print(name, WHO[who], f"seed {seed}: {found['clock_seconds']:.1f} s", flush=True)
    show(
        "Fits, medians of seeds; the worst of ESS, R-hat and divergences",
        summary(list(rows.values())),
        COLUMNS,
    )


def _turns(studies: dict[str, Task]) -> Iterator[tuple[int, str, Task, str]]:
    """Seeds, studies and programs in turns, so that whatever else the machine does hits all of them; a study
    that is not in shared/data is left out."""
    for seed, (name, task), who in product(SEEDS, studies.items(), WHO):
        there = not task.study.startswith(str(SHARED)) or Path(task.study).is_dir()
        if there and seed <= task.seeds[who]:
            yield seed, name, task, who


def _fitted(task: Task, who: str, seed: int, then: Path) -> dict:
    """One fit, in a process of its own."""
    model = str(THEN / f"{task.model}.toml") if who == "now" else task.model
    told = json.dumps(asdict(task) | {"model": model, "seed": seed})
    root = then if who == "then" else Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, told],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{task.study}, {WHO[who]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summary(rows: list[dict]) -> list[dict]:
    """A row for each study and program: medians of its seeds, and the worst of what tells whether chains have
    mixed."""
    found = {}
    for row in rows:
        found.setdefault((row["name"], row["who"]), []).append(row)
    worst = {"smallest_bulk": min, "smallest_tail": min, "rhat": max, "divergences": max}
    medians = ("clock_seconds", "processor_seconds", "memory_gib", "steps_a_draw")
    return [
        {
            "name": name,
            "who": WHO[who],
            "seeds": len(own),
            "people": own[0]["people"],
            "values": own[0]["values"],
            **{key: float(np.median([row[key] for row in own])) for key in medians},
            "ess_a_second": float(np.median([row["smallest_bulk"] / row["clock_seconds"] for row in own])),
            **{key: choose(row[key] for row in own) for key, choose in worst.items()},
        }
        for (name, who), own in found.items()
    ]
