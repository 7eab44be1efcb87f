"""Frozen steps beside adaptive ones, for a posterior of each model: python -m benchmarks.steps

Weights of the draws, gradients, and posterior means of two fits that differ in nothing but their steps and
their seed. Each posterior is kept as it ends, so that a run that was stopped goes on.
"""

import json
import time
from hashlib import sha256

import numpy as np

import bayesglu
from bayesglu.analysis.diagnostics import mixing
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.inference import steps
from bayesglu.inference.density import Density
from bayesglu.inference.modes import find_modes
from bayesglu.inference.steps import TRIED, with_frozen_steps
from bayesglu.solver.tableau import STABILIZED
from bayesglu.validation.rothman1991 import fasting_study
from benchmarks.compare import SHARED
from benchmarks.report import RESULTS, read, show, write
from benchmarks.timing import interleaved

DRAWS = {"draws": 400, "tune": 300, "chains": 2, "progressbar": False}
POSTERIORS = {
    "minimal": "bergman1986",
    "ivgtt": "bergman1986",
    "oral": "synthetic_ogtt",
    "oral_cpeptide": "synthetic_ogtt",
    "feedback": "synthetic_ogtt",
    "fasting": "fasting",
}
LONGER = {"oral_cpeptide": DRAWS | {"draws": 1500, "tune": 800, "chains": 4}}
COLUMNS = {
    "model": "model",
    "draws": "draws",
    "people": "people",
    "tolerance": "tolerance",
    "pareto_k": "Pareto k",
    "efficiency": "efficiency",
    "worst": "means differ by, SE",
    "mean_square": "mean square",
    "gradient": "gradient, us a person",
    "gradient_ratio": "adaptive/frozen",
    "processor_seconds": "fit, processor s",
    "processor_seconds_adaptive": "adaptive",
    "divergences": "divergences",
    "divergences_adaptive": "adaptive",
}


def main() -> None:
    """Measure what is not kept yet, or was of something else."""
    known = read("steps")["rows"] if (RESULTS / "steps.json").exists() else []
    rows = {(row["model"], row["draws"]): row for row in known}
    for model, settings in [*((name, DRAWS) for name in POSTERIORS), *LONGER.items()]:
        d, key = design_of(model), (model, settings["draws"])
        if rows.get(key, {}).get("of") != identity(d):
            rows[key] = measure(model, d, settings)
            write("steps", list(rows.values()))
    show("Frozen steps beside adaptive ones", list(rows.values()), COLUMNS)


def design_of(model: str) -> Design:
    """A model and the study that it is measured on."""
    spec, name = bayesglu.load_model(model), POSTERIORS[model]
    study = fasting_study(SHARED / "literature") if name == "fasting" else bayesglu.load_study(name)
    return make_design(spec, study.select(analytes=[a for a in study.analytes if a in spec.analytes]))


def identity(d: Design) -> str:
    """A hash of what decides the weights: model, study, equations, method, and how steps are chosen."""
    chosen = STABILIZED, steps.TOLERANCES, steps.EVEN, steps.LARGEST_K, steps.PATHS
    told = d.spec.hash, d.study.hash, d.solver.system.text(), repr(chosen)
    return sha256("\n".join(told).encode()).hexdigest()[:16]


def measure(model: str, d: Design, settings: dict) -> dict:
    """A row: see `COLUMNS`, and the settings of the two fits."""
    first, people = Density(d, find_modes(d).expansion), len(d.study.subjects)
    x = np.random.default_rng(1).normal(size=(TRIED, first.size))
    frozen = Density(with_frozen_steps(d, first.unpack(x)), first.expansion)
    calls = {kind: lambda own=own: [own(0.5 * at) for at in x[:20]] for kind, own in
             (("frozen", frozen), ("adaptive", first))}  # fmt: skip
    times = interleaved(calls, rounds=15)
    each = {kind: own.summary(20 * people * 1e-6)["processor_median"] for kind, own in times.items()}
    fits, seconds = {}, {}
    for seed, kind in enumerate(("frozen", "adaptive"), 1):
        began = time.process_time()
        fits[kind] = bayesglu.fit(d.spec, d.study, random_seed=seed, steps=kind, **settings)
        seconds[kind] = time.process_time() - began
    away = differences(*(fit.posterior.to_dataset() for fit in fits.values()))
    told = json.loads(fits["frozen"].attrs["weights"])
    diverging = {kind: int(fit.sample_stats.diverging.sum()) for kind, fit in fits.items()}
    return {
        "model": model,
        "of": identity(d),
        "people": people,
        **{name: settings[name] for name in ("draws", "tune", "chains")},
        **{name: told[name] for name in ("tolerance", "efficiency")},
        "pareto_k": None if told["pareto_k"] == -np.inf else told["pareto_k"],
        "values": len(away),
        "worst": float(np.abs(away).max()),
        "mean_square": float(np.mean(away**2)),
        "gradient": each["frozen"],
        "gradient_ratio": each["adaptive"] / each["frozen"],
        "processor_seconds": seconds["frozen"],
        "processor_seconds_adaptive": seconds["adaptive"],
        "divergences": diverging["frozen"],
        "divergences_adaptive": diverging["adaptive"],
    }


def differences(one, other) -> np.ndarray:
    """Differences of posterior means (value,) in Monte Carlo standard errors, on the scale of logarithms."""
    found = []
    for name, draws in one.data_vars.items():
        both = [np.log(own.values).reshape(*draws.shape[:2], -1) for own in (draws, other[name])]
        errors = [own.std((0, 1)) / np.sqrt(mixing(own).ess_bulk) for own in both]
        found.append((both[0].mean((0, 1)) - both[1].mean((0, 1))) / np.hypot(*errors))
    away = np.concatenate(found)
    return away[np.isfinite(away)]


if __name__ == "__main__":
    main()
