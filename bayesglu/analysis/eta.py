"""Random effects of people: how far each is from what the typical value and covariates let expect."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayesglu.analysis.people import random_effects as of_draws
from bayesglu.errors import InputError
from bayesglu.results import require_fit
from bayesglu.spec.model import model_of


def random_effects(fit: xr.DataTree) -> xr.Dataset:
    """The random effects (eta) of people and occasions, with their shrinkage.

    They are on the scale on which priors are Normal: differences of logarithms, or of log odds. Their
    posterior means are drawn to zero where data say little, so that their SD is below omega; that is
    eta-shrinkage. Draws have no such shrinkage: `plots.random_effects` shows a draw of each.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its data.

    Returns
    -------
    xarray.Dataset
        By ``parameter`` and ``person`` (NaN where it has none of its own): ``mean``, ``sd`` and one random
        ``draw``. By ``parameter``: ``omega`` (its posterior median) and ``eta_shrinkage``, 1 - SD of the
        means / omega. By ``person``: ``covariate_...`` each. Parameters that differ between the occasions
        of a person are those of the first.

    Raises
    ------
    InputError
        If the fit was saved without its people, or nothing differs between them.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> bg.random_effects(fit)["mean"].dims
    ('parameter', 'person')
    """
    fit = require_fit(fit)
    if "constant_data" not in fit.children:
        raise InputError("The fit was saved without its people, of whom random effects are.")
    known, posterior = fit["constant_data"].to_dataset(), fit["posterior"].to_dataset()
    people, eta = of_draws(model_of(fit.attrs), posterior, known)
    if not people.deviations:
        raise InputError("Nothing differs between people in this fit: there are no random effects.")
    first = people.layout.component[people.first_occasion]  # (subject, varying)
    rows = people.layout.subject[people.first_occasion]
    own = eta[..., rows[:, None], first]  # (chain, draw, subject, varying)
    rng = np.random.default_rng(len(rows))
    flat = own.reshape(-1, *own.shape[2:])
    one = flat[rng.integers(len(flat))]
    names_ = [deviation.name for deviation in people.deviations]
    omega = np.array([float(posterior[name].median()) for name in names_])
    mean, sd = flat.mean(0), flat.std(0)
    with np.errstate(invalid="ignore"):
        shrinkage = 1 - mean.std(0, ddof=1) / omega if len(rows) > 1 else np.full(len(omega), np.nan)
    by_both = ("parameter", "person")
    found = xr.Dataset(
        {
            "mean": (by_both, mean.T),
            "sd": (by_both, sd.T),
            "draw": (by_both, one.T),
            "omega": ("parameter", omega),
            "eta_shrinkage": ("parameter", shrinkage),
        },
        {"parameter": [deviation.label for deviation in people.deviations], "person": list(people.subjects)},
    )
    known = known.rename(subject="person")
    for name in known:
        if str(name).startswith("covariate_"):
            found[str(name)] = known[name].sel(person=list(people.subjects))
    found.attrs = {"study": fit.attrs.get("study_name", "")}
    return found
