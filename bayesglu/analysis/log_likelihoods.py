"""The log likelihoods of all analytes as one, for ArviZ's comparison of models."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names

JOINED = "joined"
"""Name of the one variable of all analytes, and of its dimension with ``_obs``."""


def join_log_likelihoods(fit: xr.DataTree, analytes: Sequence[str] | None = None) -> xr.DataTree:
    """The fit with one log likelihood for all its samples, as ``arviz.loo`` and ``arviz.compare`` want it.

    ArviZ compares models by one variable of the group ``log_likelihood``, where a fit has one an analyte.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with the group ``log_likelihood``.
    analytes : sequence of str, optional
        Which to join; all of the fit by default. Models that measure different analytes can be compared by
        those that they have in common.

    Returns
    -------
    xarray.DataTree
        The same groups, but in ``log_likelihood`` one variable ``joined`` with dims ``chain, draw,
        joined_obs``, in logarithms of densities per canonical unit of each analyte. The labels begin with
        the analyte's name. The fit itself is not changed.

    Raises
    ------
    InputError
        If the fit holds no log likelihood, as one saved without data, or lacks an analyte that is asked for.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> bg.join_log_likelihoods(fit).log_likelihood["joined"].dims
    ('chain', 'draw', 'joined_obs')

    Models are compared on fits that were sampled:

    >>> import arviz as az  # doctest: +SKIP
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])  # doctest: +SKIP
    >>> joined = {m: bg.join_log_likelihoods(bg.fit(m, study)) for m in ("one", "two")}  # doctest: +SKIP
    >>> az.compare(joined)  # doctest: +SKIP
    """
    if not isinstance(fit, xr.DataTree) or "log_likelihood" not in fit.children:
        raise InputError(
            "The fit has no group 'log_likelihood'. It is in every fit that was made from measurements; "
            "save(..., without_data=True) leaves it out."
        )
    likelihood = fit["log_likelihood"].to_dataset()
    known = [str(name) for name in likelihood.data_vars]
    wanted = known if analytes is None else [analytes] if isinstance(analytes, str) else list(analytes)
    if absent := [name for name in wanted if name not in known]:
        raise InputError(
            f"The fit has no samples of {', '.join(map(repr, absent))}. It has {', '.join(known)}."
        )
    if not wanted:
        raise InputError(f"No analyte to join. The fit has {', '.join(known)}.")
    dim = names.observations(JOINED)
    labels, parts = [], []
    for analyte in wanted:
        own = likelihood[analyte]
        labels += [f"{analyte}: {label}" for label in own[names.observations(analyte)].values]
        parts.append(own.transpose("chain", "draw", ...).values)
    joined = xr.DataArray(
        np.concatenate(parts, axis=-1),
        {"chain": likelihood.chain, "draw": likelihood.draw, dim: labels},
        ("chain", "draw", dim),
        attrs={"units": "1", "long_name": "log likelihood of each sample of all analytes"},
    )
    found = fit.copy()
    found["log_likelihood"] = xr.DataTree(xr.Dataset({JOINED: joined}, attrs=likelihood.attrs))
    return found
