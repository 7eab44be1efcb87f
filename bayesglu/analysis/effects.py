"""What covariates do to parameters, on natural scales and in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.answers import check_probability, check_rope
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.results import require_fit
from bayesglu.spec.model import model_of
from bayesglu.spec.priors import Effect
from bayesglu.units import canonical_unit, has_unit

LEVELS = {
    "T1D": "type 1 diabetes",
    "T2D": "type 2 diabetes",
    "IGT": "impaired glucose tolerance",
    "IFG": "impaired fasting glucose",
    "NGT": "normal glucose tolerance",
}
"""Levels of covariates, written out."""


def effects(
    fit: xr.DataTree,
    above: float = 1.0,
    rope: tuple[float, float] | None = None,
    probability: float = 0.9,
) -> pd.DataFrame:
    """What each covariate does to each parameter: the factor of its typical value, in numbers and words.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    above : float
        Report the probability that a factor is more than this.
    rope : tuple of float, optional
        A region of practical equivalence, from and to, such as ``(0.9, 1.1)``: report the probability of
        being within.
    probability : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    pandas.DataFrame
        A row per effect: ``contrast`` (a level, or so much more of a number), ``quantity`` (the parameter,
        whose odds are multiplied where it is a fraction), ``median``, ``lower``, ``upper`` of the factor, and
        of its prior, ``p_above``, and ``words`` such as ``type 2 diabetes: insulin sensitivity x 0.46 (0.27
        to 0.77)``.

    Raises
    ------
    InputError
        If `fit` has no posterior, or no covariate acts in it.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> import pandas as pd
    >>> people = pd.DataFrame({"subject": ["1", "2", "3", "4"], "group": ["NGT", "T2D"] * 2})
    >>> asked = {"protocol": "ivgtt(0.3)", "times": [0, 8, 20, 40, 90, 180], "covariates": people}
    >>> study = bg.simulate_study("ivgtt", **asked, random_seed=1)
    >>> fit = bg.fit("ivgtt", study, method="laplace", random_seed=1, progressbar=False)
    >>> bg.effects(fit).words[0].partition(" x ")[0]
    'type 2 diabetes: basal glucose'
    """
    check_probability(probability)
    check_rope(rope)
    posterior = require_fit(fit).posterior.to_dataset()
    spec, acting = model_of(fit.attrs), acting_in(posterior)
    prior = fit.prior.to_dataset() if "prior" in fit.children else xr.Dataset()
    table = []
    for parameter in spec.parameters.values():
        for key, effect in parameter.effects.items():
            label = names.effect(parameter.name, key)
            if label not in acting:
                continue
            draws = posterior[names.EFFECT].sel(effect=label).values.ravel()
            row = {"variable": effect.covariate, "contrast": contrast_words(effect)}
            row |= {"quantity": parameter.name, "compare": "ratio", "unit": "1"}
            row |= _interval(draws, probability)
            if label in acting_in(prior):
                before = _interval(prior[names.EFFECT].sel(effect=label).values.ravel(), probability)
                row |= {f"prior_{name}": value for name, value in before.items()}
            row |= {"probability": probability, "above": above, "p_above": float((draws > above).mean())}
            if rope is not None:
                within = (draws >= rope[0]) & (draws <= rope[1])
                row |= {"rope_low": rope[0], "rope_high": rope[1], "p_in_rope": float(within.mean())}
            of = f"odds of {words(parameter.name)}" if parameter.scale == "logit" else words(parameter.name)
            interval = f"({row['lower']:.2g} to {row['upper']:.2g})"
            row["words"] = f"{row['contrast']}: {of} x {row['median']:.2g} {interval}"
            table.append(row)
    if not table:
        raise InputError("No covariate acts in this fit: the study has none that the model has an effect of.")
    found = pd.DataFrame(table)
    found.attrs = {"model": spec.name, "subjects": "the typical person of the population"}
    return found


def contrast_words(effect: Effect) -> str:
    """What a factor is for, in words: a level, or so much more of a number."""
    if effect.form == "level":
        return LEVELS.get(str(effect.reference), f"{effect.covariate} {effect.reference}")
    name = "BMI" if effect.covariate == "bmi" else words(effect.covariate)
    if effect.form == "power":
        return f"{name} x {effect.per:g}"
    unit = f" {canonical_unit(effect.covariate)}" if has_unit(effect.covariate) else ""
    return f"{name} + {effect.per:g}{unit}"


def _interval(draws: np.ndarray, probability: float) -> dict[str, float]:
    tail = (1 - probability) / 2
    lower, middle, upper = np.quantile(draws, [tail, 0.5, 1 - tail])
    return {"median": middle, "lower": lower, "upper": upper}
