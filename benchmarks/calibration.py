"""``python -m benchmarks calibration``: the shipped models as shipped, calibrated on simulated people.

Half of the simulations are sampled with either of the acceptances that `fit` takes by default. Every
simulation is kept in build/calibration as it ends, so that the same command goes on; BAYESGLU_MODELS (names
with spaces between) takes some of them. The verdicts are kept with the hashes of models and studies; a test
fails when these are no longer today's.
"""

import os
from collections.abc import Callable
from pathlib import Path

import bayesglu
from bayesglu.analysis.calibration import Calibration, calibrate, summed_up
from bayesglu.pieces import Kept
from bayesglu.study.study import Study
from bayesglu.validation.rothman1991 import fasting_study
from benchmarks.fasting import TABLES
from benchmarks.report import RESULTS, read, write

SIMULATIONS = 100
"""Of each half."""

HALVES = {1: 0.9, 2: 0.8}
"""The acceptance of each seed."""

OTHER_HALVES = {"fasting": {1: 0.8, 2: 0.9}}

FOLDER = Path(__file__).parents[1] / "build" / "calibration"
PEOPLE = 4


def _drinkers(*analytes: str) -> Study:
    """The first of the simulated people that ship: who they are and when they are sampled."""
    study = bayesglu.load_study("synthetic_ogtt")
    return study.select(subjects=list(study.subjects)[:PEOPLE], analytes=list(analytes) or None)


STUDIES: dict[str, Callable[[], Study]] = {
    "minimal": lambda: bayesglu.load_study("bergman1986"),
    "ivgtt": lambda: bayesglu.load_study("bergman1986"),
    "oral": lambda: _drinkers("glucose", "insulin"),
    "oral_cpeptide": lambda: _drinkers("glucose", "insulin", "c_peptide"),
    "feedback": _drinkers,
    "fasting": lambda: fasting_study(TABLES),
}


def main() -> None:
    """Simulate, fit, judge, and keep the verdicts."""
    there = read("calibration")["models"] if (RESULTS / "calibration.json").exists() else {}
    for name in os.environ.get("BAYESGLU_MODELS", " ".join(STUDIES)).split():
        found = _halves(name)
        print(name, found, sep="\n")
        there[name] = kept(found)
        write("calibration", [], models={n: there[n] for n in STUDIES if n in there})


def _halves(name: str) -> Calibration:
    """Both halves together."""
    study, about, simulations = STUDIES[name](), [], []
    for seed, target_accept in OTHER_HALVES.get(name, HALVES).items():
        keep = FOLDER / f"{name}-{seed}"
        half = calibrate(
            name,
            study,
            simulations=SIMULATIONS,
            target_accept=target_accept,
            keep=keep,
            random_seed=seed,
        )
        about.append(half.about)
        there = Kept(keep, "calibration", "simulation").found(range(SIMULATIONS))
        simulations += [there[i] for i in range(SIMULATIONS)]
    differs = {key: [one[key] for one in about] for key in ("seed", "target_accept")}
    return summed_up(simulations, {**about[0], **differs})


def kept(found: Calibration) -> dict:
    """What is kept of a calibration."""
    table = found.table.round(5).reset_index().to_dict("list")
    ranks = {str(n): " ".join(map(str, found.ranks.sel(quantity=n).values)) for n in found.table.index}
    return {"headline": found.headline, "about": found.about, "table": table, "ranks": ranks}


if __name__ == "__main__":
    main()
