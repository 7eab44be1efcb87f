"""``python -m benchmarks calibration``: the shipped models as shipped, calibrated on simulated people.

Every simulation is kept in build/calibration as it ends, so that the same command goes on; BAYESGLU_MODELS
(names with spaces between) takes some of them. The verdicts are kept with the hashes of models and studies;
a test fails when these are no longer today's.
"""

import os
from collections.abc import Callable
from pathlib import Path

import bayesglu
from bayesglu.analysis.calibration import Calibration, calibrate
from bayesglu.study.study import Study
from bayesglu.validation.rothman1991 import fasting_study
from benchmarks.fasting import TABLES
from benchmarks.report import RESULTS, read, write

SIMULATIONS, SEED = 100, 1
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
        found = calibrate(
            name, STUDIES[name](), simulations=SIMULATIONS, keep=FOLDER / name, random_seed=SEED
        )
        print(name, found, sep="\n")
        there[name] = kept(found)
        write("calibration", [], models={n: there[n] for n in STUDIES if n in there})


def kept(found: Calibration) -> dict:
    """What is kept of a calibration."""
    table = found.table.round(5).reset_index().to_dict("list")
    ranks = {str(n): " ".join(map(str, found.ranks.sel(quantity=n).values)) for n in found.table.index}
    return {"headline": found.headline, "about": found.about, "table": table, "ranks": ranks}


if __name__ == "__main__":
    main()
