"""Steps a draw and effective draws of every shipped model, in whitened and in non-centered coordinates.

Models of an oral test are fitted to synthetic people, those of an intravenous one to the real person that
ships. Gradients are counted, not seconds, so that what else the machine does is of no matter.
"""

import numpy as np

from bayesglu.analysis.diagnostics import mixing
from bayesglu.catalog import list_models
from bayesglu.inference.fitting import fit
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study, load_study
from benchmarks.people import synthetic_study
from benchmarks.report import show, write

COLUMNS = {
    "name": "model",
    "people": "people",
    "coordinates": "coordinates",
    "steps_a_draw": "steps per draw",
    "divergences": "divergences",
    "rhat": "R-hat",
    "smallest": "smallest ESS",
    "median": "median ESS",
    "smallest_a_thousand": "smallest ESS in 1,000 gradients",
    "slowest": "slowest",
}


def main(draws: int = 500, tune: int = 500, chains: int = 2) -> None:
    """Fit all models that a shipped or synthetic study is for."""
    rows = []
    for model in list_models():
        study = _study(model)
        if study is None:
            continue
        for coordinates in ("whitened", "noncentered"):
            settings = {"draws": draws, "tune": tune, "chains": chains, "parametrization": coordinates}
            tree = fit(model, study, random_seed=1, progressbar=False, **settings)
            rows.append(
                {"name": model, "people": len(study.subjects), "coordinates": coordinates, **_row(tree)}
            )
    show(f"{chains} chains of {draws} draws after {tune} of tuning", rows, COLUMNS)
    write("coordinates", rows, draws=draws, tune=tune, chains=chains)


def _study(model: str) -> Study | None:
    analytes = load_model(model).analytes
    if model in ("minimal", "ivgtt"):
        return load_study("bergman1986")
    if set(analytes) <= {"glucose", "insulin", "c_peptide"}:
        return synthetic_study(12).select(analytes=list(analytes))
    return (
        load_study("synthetic_ogtt") if set(analytes) <= set(load_study("synthetic_ogtt").analytes) else None
    )


def _row(tree) -> dict:
    names, columns = [], []
    for name, values in tree.posterior.data_vars.items():
        flat = values.values.reshape(*values.shape[:2], -1)
        names += [f"{name}[{i}]" if flat.shape[-1] > 1 else name for i in range(flat.shape[-1])]
        columns.append(flat)
    found = mixing(np.concatenate(columns, axis=-1))
    steps, smallest = tree.sample_stats.n_steps, float(np.nanmin(found.ess_bulk))
    return {
        "steps_a_draw": float(steps.mean()),
        "divergences": int(tree.sample_stats.diverging.sum()),
        "rhat": float(np.nanmax(found.rhat)),
        "smallest": smallest,
        "median": float(np.nanmedian(found.ess_bulk)),
        "smallest_a_thousand": 1000 * smallest / float(steps.sum()),
        "slowest": names[int(np.nanargmin(found.ess_bulk))],
    }
