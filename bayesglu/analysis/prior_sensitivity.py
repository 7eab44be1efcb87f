"""How much a posterior follows its priors: power scaling, with the priors' sources.

Kallioinen, Paananen, Bürkner & Vehtari 2024, Stat Comput 34:57, by ArviZ.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.results import require_fit
from bayesglu.spec.model import ModelSpec, model_of

THRESHOLD = 0.05
"""Of sensitivities, as its authors propose: about a fifth of an SD when a prior is doubled."""

FOLLOWS, BOTH, FINE = "follows its prior", "changes with both", "informed by the data"

SHIFTS = 3
"""How often draws are compared with what was drawn at other times, to see what is found by chance."""


def prior_sensitivity(fit: xr.DataTree, threshold: float = THRESHOLD) -> pd.DataFrame:
    """How much each value of the posterior changes when its own prior, or the likelihood, counts for more.

    The prior of a parameter, of its typical value and of how people differ in it, is raised to a power near 1
    by weighting the draws, and so is the likelihood; the sensitivity is how fast the distribution of a value
    changes. Where it changes with its prior and not with the data, it follows its prior; where with both, the
    prior matters beside the data, or disagrees with them (a potential prior-data conflict).

    Weights of few draws find changes by chance. How large is seen where draws are paired with the densities
    of others, so many further along their chain; what 95 % of values stay below then does not count, and is
    in the attributes ``chance_prior`` and ``chance_likelihood``.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its log prior and log likelihood.
    threshold : float
        The smallest sensitivity that counts.

    Returns
    -------
    pandas.DataFrame
        A row per value, those that follow their priors first: ``parameter``, ``of`` (a person, an effect, or
        empty), ``prior`` and ``likelihood`` (sensitivities), ``diagnosis``, the ``words`` in a sentence, and
        the ``source`` of the prior.

    Raises
    ------
    InputError
        If the fit has no log prior or no log likelihood, was made with ``method="laplace"``, whose draws
        are not of the posterior, or the threshold is not above 0.

    Examples
    --------
    >>> import bayesglu as bg
    >>> quick = dict(draws=200, tune=200, chains=2, random_seed=1, progressbar=False)
    >>> fit = bg.fit("ivgtt", "bergman1986", **quick)
    >>> table = bg.prior_sensitivity(fit)
    >>> table.columns.tolist()
    ['parameter', 'of', 'prior', 'likelihood', 'diagnosis', 'words', 'source']
    """
    fit = require_fit(fit)
    if missing := [name for name in ("log_prior", "log_likelihood") if name not in fit.children]:
        raise InputError(
            f"The fit has no group {' and '.join(missing)}: it was saved without data, or is of fit_person."
        )
    if fit.attrs.get("method") == "laplace":
        raise InputError(
            "Draws of a Laplace approximation are not of the posterior, so that they cannot be weighted: fit "
            'with method="nuts".'
        )
    if not threshold > 0:
        raise InputError(f"threshold is {threshold!r}; it must be above 0, such as {THRESHOLD}.")
    spec = model_of(fit.attrs)
    from arviz_stats import psense  # which takes seconds to load

    of_prior, of_data, rows = _by_prior(fit), psense(fit, group="likelihood"), []
    by_chance = _by_chance(fit)
    limit = {group: max(threshold, chance) for group, chance in by_chance.items()}
    for name, draws in fit["posterior"].data_vars.items():
        dims = draws.dims[2:]
        by = {"prior": of_prior[str(name)], "likelihood": of_data[name].transpose(*dims).values}
        for place in np.ndindex(*(draws.sizes[dim] for dim in dims)):
            label = ", ".join(str(draws[dim].values[i]) for dim, i in zip(dims, place, strict=True))
            value = {group: float(of[place]) for group, of in by.items()}
            if np.isfinite(list(value.values())).all():
                rows.append(_row(spec, draws, str(name), label, value, limit))
    table = pd.DataFrame(rows)
    order = table["diagnosis"].map({FOLLOWS: 0, BOTH: 1, FINE: 2})
    table = table.assign(order=order).sort_values(["order", "prior"], ascending=[True, False], kind="stable")
    table = table.drop(columns="order").reset_index(drop=True)
    table.attrs = {"threshold": threshold, **{f"chance_{group}": size for group, size in by_chance.items()}}
    return table


def _by_prior(fit: xr.DataTree) -> dict[str, np.ndarray]:
    """Sensitivity of each variable to its own prior."""
    from arviz_stats import psense

    posterior, priors = fit["posterior"].to_dataset(), set(map(str, fit["log_prior"].data_vars))
    of_each: dict[str, list[str]] = {}
    for name, draws in posterior.data_vars.items():
        owner = str(draws.attrs.get("parameter", name))
        of_each.setdefault(owner, []).append(str(name))
    sensitivities = {}
    for owner, own in of_each.items():
        known = [owner, names.typical(owner), names.omega(owner), names.kappa(owner)]
        known = [name for name in known if name in priors] or sorted(priors)
        if owner != names.EFFECT:
            table = psense(fit, var_names=own, group="prior", group_var_names=known)
            sensitivities |= {name: table[name].transpose(*posterior[name].dims[2:]).values for name in own}
            continue
        each = []
        for label in posterior["effect"].values:
            of = {"effect": [label]}
            table = psense(
                fit, var_names=own, group="prior", coords=of, group_var_names=known, group_coords=of
            )
            each.append(float(table[owner].values.item()))
        sensitivities[owner] = np.array(each)
    return sensitivities


def _by_chance(fit: xr.DataTree) -> dict[str, float]:
    """The 95 % quantile of sensitivities to densities that have nothing to do with the draws."""
    from arviz_stats import psense

    length, found = fit["posterior"].sizes["draw"], {}
    for group, of in (("prior", "log_prior"), ("likelihood", "log_likelihood")):
        sizes = []
        for turn in range(1, SHIFTS + 1):
            apart = fit.copy()
            shift = max(1, turn * length // (SHIFTS + 1))
            apart[of] = xr.DataTree(fit[of].to_dataset().roll(draw=shift))
            table = _by_prior(apart) if group == "prior" else psense(apart, group=group).data_vars
            sizes += [np.ravel(np.asarray(table[name], float)) for name in table]
        found[group] = float(np.nanquantile(np.concatenate(sizes), 0.95))
    return found


def _row(spec: ModelSpec, draws: xr.DataArray, name: str, label: str, value: dict, limit: dict) -> dict:
    sensitive = {group: size >= limit[group] for group, size in value.items()}
    diagnosis = FINE
    if sensitive["prior"]:
        diagnosis = BOTH if sensitive["likelihood"] else FOLLOWS
    called = f"{name} of {label}" if label else name
    source = _source(spec, draws, label)
    verdict = {FOLLOWS: FOLLOWS, BOTH: "changes with its prior and with the data"}.get(diagnosis)
    verdict = verdict or "is informed by the data"
    words = f"{called} {verdict}"
    if diagnosis != FINE and source:
        words += f" ({source})"
    return {
        "parameter": name,
        "of": label,
        **value,
        "diagnosis": diagnosis,
        "words": f"{words}.",
        "source": source,
    }


def _source(spec: ModelSpec, draws: xr.DataArray, label: str) -> str:
    """Where the prior comes from: keys of the bibliography, or its kind."""
    role = draws.attrs.get("role")
    if role == "effect":
        return "prior of the effect"
    parameter = spec.parameters.get(str(draws.attrs.get("parameter", "")))
    if parameter is None:
        return "prior of the model"
    return ", ".join(parameter.source) or parameter.kind
