"""Steps a draw and effective draws of every shipped model, in whitened and in non-centered coordinates.

Models of an oral test are fitted to synthetic people, those of an intravenous one to the real person that
ships. Gradients are counted, not seconds, so that what else the machine does is of no matter.
"""

import numpy as np
import xarray as xr

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
        study = study_of(model)
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


def study_of(model: str) -> Study | None:
    """What a built-in model is fitted to here; None where there is nothing that ships."""
    analytes = load_model(model).analytes
    if model in ("minimal", "ivgtt"):
        return load_study("bergman1986")
    if set(analytes) <= {"glucose", "insulin", "c_peptide"}:
        return synthetic_study(12).select(analytes=list(analytes))
    return (
        load_study("synthetic_ogtt") if set(analytes) <= set(load_study("synthetic_ogtt").analytes) else None
    )


def values_of(tree: xr.DataTree) -> list[tuple[list[str], np.ndarray]]:
    """Names and draws (chain, draw, value) of each quantity of the posterior."""
    found = []
    for name, values in tree.posterior.data_vars.items():
        flat = values.values.reshape(*values.shape[:2], -1)
        several = flat.shape[-1] > 1
        found.append(([f"{name}[{i}]" if several else str(name) for i in range(flat.shape[-1])], flat))
    return found


def _row(tree: xr.DataTree) -> dict:
    names, columns = zip(*values_of(tree), strict=True)
    names = [name for some in names for name in some]
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
