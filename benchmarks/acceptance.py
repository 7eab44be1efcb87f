"""``python -m benchmarks acceptance``: the target acceptance of NUTS, in a posterior of each model.

Gradients are counted, not seconds. Means of all values, and of their distances from the middle, are held
against those of the first acceptance in Monte Carlo standard errors of both: the mean square is about 1 where
the posterior is the same. What is done is kept, so that the same command goes on.
"""

from pathlib import Path

import numpy as np
import xarray as xr

import bayesglu
from bayesglu.analysis.diagnostics import mixing
from bayesglu.catalog import list_models
from benchmarks.calibration import STUDIES
from benchmarks.compare import SHARED
from benchmarks.coordinates import study_of, values_of
from benchmarks.long import program
from benchmarks.problem import THEN
from benchmarks.report import RESULTS, read, show, write

SETTINGS = {"draws": 500, "tune": 500, "chains": 4, "random_seed": 1, "progressbar": False}
ACCEPTANCES = (0.9, 0.8)
COLUMNS = {
    "name": "posterior",
    "people": "people",
    "target_accept": "target acceptance",
    "steps_a_draw": "steps per draw",
    "bulk": "smallest ESS in 1,000 gradients",
    "tail": "tail",
    "median": "median ESS in 1,000",
    "rhat": "R-hat",
    "divergences": "divergences",
    "apart": "mean square of differences",
}


def main() -> None:
    """Sample each posterior with each."""
    today = program()
    known = read("acceptance") if (RESULTS / "acceptance.json").exists() else {}
    rows = list(known["rows"]) if known.get("program") == today else []
    done = {row["name"] for row in rows}
    for name, (model, study) in _posteriors().items():
        if name not in done:
            rows += _rows(name, model, study)
            write("acceptance", rows, program=today, **SETTINGS)
    show("NUTS in whitened coordinates", rows, COLUMNS)


def _posteriors() -> dict[str, tuple[str | Path, bayesglu.Study]]:
    found: dict = {name: (name, study) for name in list_models() if (study := study_of(name)) is not None}
    found["fasting"] = ("fasting", STUDIES["fasting"]())
    folder = SHARED / "fujita2022"
    if folder.is_dir():
        study = bayesglu.load_study(folder, protocol="ogtt(75)", body_weight=62.0)
        found["narrow feedback"] = (THEN / "feedback.toml", study)
    return found


def _rows(name: str, model: str | Path, study: bayesglu.Study) -> list[dict]:
    reference, rows = None, []
    for target_accept in ACCEPTANCES:
        fit = bayesglu.fit(model, study, target_accept=target_accept, **SETTINGS)
        draws = np.concatenate([flat for _, flat in values_of(fit)], axis=-1)
        draws = draws[..., draws.std((0, 1)) > 0]
        row = {
            "name": name,
            "people": len(study.subjects),
            "target_accept": target_accept,
            **_row(fit, draws),
        }
        if reference is None:
            reference = draws
        else:
            apart = _apart(reference, draws)
            row |= {"apart": float(np.mean(apart**2)), "farthest": float(np.abs(apart).max())}
        rows.append(row)
    return rows


def _row(fit: xr.DataTree, draws: np.ndarray) -> dict:
    found, steps = mixing(draws), fit.sample_stats.n_steps
    in_thousand = 1000 / float(steps.sum())
    return {
        "values": draws.shape[-1],
        "steps_a_draw": float(steps.mean()),
        "bulk": float(found.ess_bulk.min()) * in_thousand,
        "tail": float(found.ess_tail.min()) * in_thousand,
        "median": float(np.median(found.ess_bulk)) * in_thousand,
        "rhat": float(found.rhat.max()),
        "divergences": int(fit.sample_stats.diverging.sum()),
    }


def _apart(reference: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """How far means lie apart, and mean distances from the middle, in Monte Carlo standard errors."""
    middle, found = np.median(reference, (0, 1)), []
    for statistic in (lambda x: x, lambda x: np.abs(x - middle)):
        two = [statistic(x) for x in (reference, draws)]
        errors = [x.std((0, 1)) / np.sqrt(mixing(x).ess_bulk) for x in two]
        found.append((two[1].mean((0, 1)) - two[0].mean((0, 1))) / np.hypot(*errors))
    return np.concatenate(found)


if __name__ == "__main__":
    main()
