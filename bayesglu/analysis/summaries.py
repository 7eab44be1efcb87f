"""What a fit says in numbers: medians and intervals of what people share and each has, and the prior.

Every table states the kind and the probability of its intervals, and how informative the data were. The
posterior *contraction* is 1 - SD of the posterior / SD of the prior, on the scale on which the prior is
Normal (logarithm or log odds): 0 where the data say nothing, near 1 where they say all. (Some define it by
variances.) The prior is known from its draws, which makes the contraction uncertain by a few hundredths.
*Eta-shrinkage* runs the other way, as in pharmacometrics: 1 - SD of people's mean random effects / omega,
near 0 where each person's data speak for themselves, near 1 where everyone is drawn to the typical value.

How much a person differs from occasion to occasion is estimated from those who were seen on several. Where
nobody was, what is said of it is its prior, and a note says so.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import xarray as xr

from bayesglu.analysis.people import random_effects
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.physiology.loop import assemble
from bayesglu.results import require_fit
from bayesglu.spec.model import model_of
from bayesglu.units import convert

LITTLE = 0.1
NOTE = "posterior is prior-dominated"
ITS_PRIOR = "its prior: this fit does not separate occasions from people"
WIDER = "wider than the prior: the data say little here, or people differ more than it expected"


def summarize_population(fit: xr.DataTree, probability: float = 0.9) -> xr.Dataset:
    """What people have in common: typical values, shared parameters, effects, correlations and assay errors.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    probability : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    xarray.Dataset
        Dim ``parameter``, coordinates ``unit``, ``symbol``, ``role`` (typical, shared, effect, correlation,
        sigma, and covariate: what is known of one that some people lack), ``interval`` and
        ``probability``; ``.to_dataframe()`` makes a table of it.
        Variables:

        * ``median, lower, upper``: posterior, in ``unit``;
        * ``prior_median, prior_lower, prior_upper``: prior, in ``unit``;
        * ``contraction``: 1 - posterior SD / prior SD;
        * ``note``: what a contraction below 0.1, or far below 0, means;
        * ``omega_...``: all of these but the note for the between-subject SD of the logarithm (log odds),
          which is about a coefficient of variation; NaN where nothing differs between people. Where occasions
          are separated from people it is of what is people's own, else of people on one occasion;
        * ``kappa_...``: all of these for the between-occasion SD, and a ``kappa_note``, which also says where
          it is its prior; NaN where the model lets nothing differ between a person's occasions;
        * ``eta_shrinkage``, ``kappa_eta_shrinkage``: 1 - SD of the mean random effects of people / omega, and
          of occasions / kappa; NaN likewise.

    Raises
    ------
    InputError
        If `fit` has no posterior, or the probability is not between 0 and 1.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> table = bg.summarize_population(fit)
    >>> 80 < float(table["median"].sel(parameter="basal_glucose")) < 100
    True
    """
    posterior, prior = _groups(fit)
    rows, expected = _of_everyone(posterior), _of_everyone(prior)
    shrinkage, between_occasion = _eta_shrinkage(fit, posterior), _between_occasion(fit, probability)
    tables = []
    for row, draws in rows.items():
        table = _summary(draws, expected.get(row), probability)
        for kind, sd in (("omega", names.omega(row)), ("kappa", names.kappa(row))):
            about = _summary(posterior.get(sd), prior.get(sd), probability)
            if kind == "kappa" and sd not in posterior:
                about |= between_occasion.get(row, {})
            table |= {f"{kind}_{name}": values for name, values in about.items()}
        table["eta_shrinkage"] = np.array(shrinkage.get(names.omega(row), np.nan))
        table["kappa_eta_shrinkage"] = np.array(shrinkage.get(names.kappa(row), np.nan))
        tables.append({name: values for name, values in table.items() if name != "omega_note"})
    table = _together(rows, tables, probability)
    return table.assign_coords(role=("parameter", [draws.attrs["role"] for draws in rows.values()]))


def summarize_individuals(fit: xr.DataTree, probability: float = 0.9) -> xr.Dataset:
    """Each person's own parameters, on all of their occasions and with the covariates of the first.

    Where everyone was seen on one occasion, they are of that one.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    probability : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    xarray.Dataset
        Dims ``parameter, subject``: ``median, lower, upper``, ``prior_median, prior_lower, prior_upper`` (of
        someone with the same covariates and no samples), ``contraction`` and ``note``, with the coordinates
        of `summarize_population`.

    Raises
    ------
    InputError
        As by `summarize_population`, and where nothing differs between people.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> bg.summarize_individuals(fit)["median"].dims
    ('parameter', 'subject')
    """
    return _individual(fit, "subject", probability)


def summarize_occasions(fit: xr.DataTree, probability: float = 0.9) -> xr.Dataset:
    """Parameters that differ between occasions of one person, on each occasion.

    They are those of level ``occasion``, and where people were seen on several occasions, those to which the
    model gives a `between_occasion`; `summarize_individuals` says what of these is a person's own.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    probability : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    xarray.Dataset
        As of `summarize_individuals`, with the dims ``parameter, occasion``.

    Raises
    ------
    InputError
        As by `summarize_population`, and where nothing differs between occasions.

    Examples
    --------
    >>> import bayesglu as bg
    >>> varying = {"insulin_sensitivity": {"level": "occasion"}}
    >>> spec = bg.load_model("minimal").with_changes(parameters=varying)
    >>> fit = bg.fit(spec, "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> bg.summarize_occasions(fit).parameter.values.tolist()
    ['insulin_sensitivity']
    """
    return _individual(fit, "occasion", probability)


def _of_everyone(drawn: xr.Dataset) -> dict[str, xr.DataArray]:
    """What is said of people in common, a number a row."""
    rows: dict[str, xr.DataArray] = {}
    for name, draws in drawn.data_vars.items():
        role = draws.attrs.get("role")
        if role == "correlation":
            rows |= {f"correlation of {p}": draws.sel(pair=p, drop=True) for p in draws.pair.values}
        elif role == "effect":
            rows |= {str(label): draws.sel(effect=label, drop=True) for label in draws.effect.values}
        elif role == "covariate":
            (*levels,) = set(draws.dims) - {"chain", "draw"}
            each = {f"{name} of {label}": {dim: label} for dim in levels for label in draws[dim].values}
            rows |= {row: draws.sel(level, drop=True) for row, level in (each or {str(name): {}}).items()}
        elif role in names.OF_EVERYONE:
            rows[draws.attrs["parameter"] if role == "typical" else str(name)] = draws
    return rows


def _eta_shrinkage(fit: xr.DataTree, posterior: xr.Dataset) -> dict[str, float]:
    """Of each deviation by the name of its SD, where the fit knows two people or more, and covariates."""
    known = fit["constant_data"].to_dataset() if "constant_data" in fit.children else xr.Dataset()
    if known.sizes.get("subject", 0) < 2 or "model_text" not in fit.attrs:
        return {}
    spec = model_of(fit.attrs)
    people, eta = random_effects(spec, posterior, known)
    if acting_in(posterior) != {names.effect(a.parameter, a.key) for a in people.effects}:
        return {}
    mean, layout = eta.mean((0, 1)), people.layout
    own = mean[layout.subject[:, None], layout.component]  # (occasion, varying)
    found = {}
    for v, each in enumerate(people.deviations):
        rows = people.first_occasion if each.level == "subject" else slice(None)
        found[each.name] = 1 - float(own[rows, v].std(ddof=1)) / float(posterior[each.name].median())
    return found


def _between_occasion(fit: xr.DataTree, probability: float) -> dict[str, dict]:
    """Of each parameter that the model lets differ between a person's occasions: the prior of that SD, as of
    a fit that does not tell."""
    if "model_text" not in fit.attrs:
        return {}
    _require_probability(probability)
    reach, found = NormalDist().inv_cdf(0.5 + probability / 2), {}
    for p in model_of(fit.attrs).parameters.values():
        if (prior := p.between_occasion) is not None:
            limits = np.exp(np.log(prior.omega) + prior.sd * reach * np.array([0, -1, 1]))
            known = dict(zip(("median", "lower", "upper"), limits, strict=True))
            found[p.name] = known | {f"prior_{name}": limit for name, limit in known.items()}
            found[p.name] |= {"contraction": 0.0, "note": ITS_PRIOR}
    return found


def minimal_model_indices(fit: xr.DataTree, group: str = "posterior") -> xr.Dataset:
    """S_I (/min per uU/mL) and S_G (/min) of the minimal model, as the literature reports them, in each draw.

    Variables ``insulin_sensitivity`` and ``glucose_effectiveness``, the latter at basal insulin
    (k_g / V_G + S_I I_b); dims ``chain, draw`` and, where people differ, ``subject``. ``group`` may be
    ``"prior"``.
    """
    spec = model_of(fit.attrs)
    drawn = fit[group].to_dataset()

    def value(name: str) -> xr.DataArray:
        return drawn[name] if name in drawn else xr.DataArray(spec.parameters[name].typical.median)

    loop, sensitivity = assemble(spec.structure), value("insulin_sensitivity")
    basal = loop.basal({name: value(name) for name in loop.parameters})
    alone = basal["insulin_independent_clearance"] / value("glucose_volume")
    effectiveness = alone + sensitivity * value("basal_insulin")
    per_unit = sensitivity * convert(1.0, "uU/mL", "insulin")
    return xr.Dataset(
        {
            "insulin_sensitivity": per_unit.assign_attrs(units="1/min per uU/mL", symbol="S_I"),
            "glucose_effectiveness": effectiveness.assign_attrs(units="1/min", symbol="S_G"),
        }
    )


def _individual(fit: xr.DataTree, dim: str, probability: float) -> xr.Dataset:
    posterior, prior = _groups(fit)
    rows = {
        str(name): draws
        for name, draws in posterior.data_vars.items()
        if draws.attrs.get("role") == "individual" and dim in draws.dims
    }
    if not rows:
        raise InputError(
            f"No parameter of this fit differs from {dim} to {dim}: see summarize_population(fit)."
        )
    tables = [_summary(draws, prior.get(name), probability) for name, draws in rows.items()]
    of = {str(draws.attrs.get("parameter", name)): draws for name, draws in rows.items()}
    return _together(of, tables, probability)


def _groups(fit: xr.DataTree) -> tuple[xr.Dataset, xr.Dataset]:
    """Posterior and prior; a fit saved without its prior has an empty one."""
    fit = require_fit(fit)
    prior = fit["prior"].to_dataset() if "prior" in fit.children else xr.Dataset()
    return fit["posterior"].to_dataset(), prior


def _summary(
    draws: xr.DataArray | None, prior: xr.DataArray | None, probability: float
) -> dict[str, np.ndarray]:
    """Medians and intervals of one variable and of its prior, and the contraction from one to the other."""
    _require_probability(probability)
    table = _interval(draws, probability)
    table |= {f"prior_{name}": values for name, values in _interval(prior, probability).items()}
    contraction = 1 - _deviation(draws) / _deviation(prior)
    note = np.where(contraction < -LITTLE, WIDER, np.where(contraction < LITTLE, NOTE, ""))
    table |= {"contraction": contraction, "note": note}
    return dict(zip(table, np.broadcast_arrays(*table.values()), strict=True))  # NaN, where there is none


def _require_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability}. Allowed: between 0 and 1, such as 0.9.")


def _interval(draws: xr.DataArray | None, probability: float) -> dict[str, np.ndarray]:
    """NaN where there are no draws."""
    tail, limits = (1 - probability) / 2, np.full(3, np.nan)
    if draws is not None:
        limits = np.quantile(_over_draws(draws), [0.5, tail, 1 - tail], axis=0)
    return dict(zip(("median", "lower", "upper"), limits, strict=True))


def _deviation(draws: xr.DataArray | None) -> np.ndarray:
    """Standard deviation on the scale on which the prior is normal, of covariates as they are; NaN for a
    constant, or of no draws."""
    if draws is None:
        return np.array(np.nan)
    values = _over_draws(draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        if draws.attrs.get("role") == "correlation":
            return np.arctanh(values).std(axis=0)
        if draws.attrs.get("role") == "covariate":
            return values.std(axis=0)
        scaled = np.log(values / (1 - values)) if _is_fraction(draws) else np.log(values)
        deviation = scaled.std(axis=0)
    return np.where(deviation > 0, deviation, np.nan)


def _over_draws(draws: xr.DataArray) -> np.ndarray:
    """Values ``(draw, ...)``, those of all chains one after the other."""
    values = draws.transpose("chain", "draw", ...).values
    return values.reshape(-1, *values.shape[2:])


def _is_fraction(draws: xr.DataArray) -> bool:
    """Whether the prior is normal in the log odds: of a fraction itself, not of its spread or an effect."""
    values = ("individual", "typical", "shared")
    return draws.attrs.get("scale") == "logit" and draws.attrs.get("role") in values


def _together(
    rows: dict[str, xr.DataArray], tables: list[dict[str, np.ndarray]], probability: float
) -> xr.Dataset:
    """One table of many, with units and symbols, and what the intervals are."""
    labels: dict = {"parameter": list(rows)}
    for key, attribute in (("unit", "units"), ("symbol", "symbol")):
        labels[key] = ("parameter", [draws.attrs.get(attribute, "") for draws in rows.values()])
    stated = {"interval": "equal-tailed", "probability": probability}
    own = next(iter(rows.values())).isel(chain=0, draw=0, drop=True)
    columns = {name: np.stack([table[name] for table in tables]) for name in tables[0]}
    made = {name: (("parameter", *own.dims)[: each.ndim], each) for name, each in columns.items()}
    return xr.Dataset(made, {str(name): own[name] for name in own.coords} | labels | stated, stated)
