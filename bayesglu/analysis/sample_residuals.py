"""Residuals of samples, against their own person's fit and against the population."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayesglu.analysis.compared import analytes_of, compared, drawn, logarithm
from bayesglu.analysis.npde import npde
from bayesglu.hierarchy import names
from bayesglu.seeds import seed_of
from bayesglu.spec.model import model_of


def sample_residuals(fit: xr.DataTree, random_seed: int | np.random.Generator | None = None) -> xr.Dataset:
    """Individual weighted residuals and normalised prediction distribution errors, with covariates.

    The first compare a sample with the person's own median prediction, in SDs of the assay; the second with
    new people (`npde`). The fit has adapted to each person, so that the first are smaller than 1 where
    people have few samples.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with the group ``population_predictive``.
    random_seed : int or numpy.random.Generator, optional
        Seed of what `npde` puts at random; drawn where it is not given.

    Returns
    -------
    xarray.Dataset
        Dim ``obs``, with the coordinates of `npde`: ``fitted`` and ``expected`` (canonical unit),
        ``residual`` (of a censored sample that of its limit) and ``npde``. Dims ``person, measured``:
        ``mean_npde``; dim ``person``: ``covariate_...`` each.

    Raises
    ------
    InputError
        As by `npde`.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.sample_residuals(fit, random_seed=1)
    >>> abs(float(found.residual.mean())) < 0.5
    True
    """
    seed = seed_of(random_seed)
    residuals, samples, spec = npde(fit, seed), compared(fit), model_of(fit.attrs)
    analytes = analytes_of(samples)
    fitted = np.median(drawn(fit, "fitted", analytes), axis=0)
    away = logarithm(samples["value"].values, samples) - logarithm(fitted, samples)
    of_analyte = {a: spec.analytes[a].sigma.median for a in analytes}
    of_analyte |= {
        a: float(fit["posterior"][names.sigma(a)].median())
        for a in analytes
        if names.sigma(a) in fit["posterior"]
    }
    sigma = np.array([of_analyte[str(a)] for a in samples.analyte.values])
    residuals = residuals.drop_dims("tested").drop_vars("pd")
    residuals = residuals.assign(fitted=("obs", fitted), residual=("obs", away / sigma))
    people = list(dict.fromkeys(map(str, samples.subject.values)))
    mean = np.full((len(people), len(analytes)), np.nan)
    for i, who in enumerate(people):
        for j, analyte in enumerate(analytes):
            own = (samples.subject.values == who) & (samples.analyte.values == analyte)
            mean[i, j] = residuals["npde"].values[own].mean() if own.any() else np.nan
    means = xr.Dataset(
        {"mean_npde": (("person", "measured"), mean)}, {"person": people, "measured": analytes}
    )
    known = fit["constant_data"].to_dataset().rename(subject="person")
    for name in known:
        if str(name).startswith("covariate_"):
            means[str(name)] = known[name].sel(person=people)
    return residuals.merge(means).assign_attrs(residuals.attrs)
