"""Where people stand in a population: parameter by parameter, among others like them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from bayesglu.analysis.people import covariate_in_draws, covariates_of, occasions_of, people_of
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, individuals_of, population_of
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.text.problems import Problems

ALIKE = "same covariates"


def percentiles(
    fit: xr.DataTree,
    reference: Mapping[str, Any] | None = None,
    probability: float = 0.9,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Percentiles of each person's parameters among new people of the population, with their uncertainty.

    Of every draw it is asked which share of people, drawn anew from the population of that draw, would have a
    smaller value than the person has in it. A percentile is as uncertain as the person's parameter is: where
    the data say nothing of it, its interval is nearly all from 0 to 100.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit`, `fit_person` and `load` return it.
    reference : mapping, optional
        Covariates of people to compare with besides, such as ``{"group": "NGT", "bmi": 23}``; a covariate
        that is not named is at the reference of its effect. A level that no effect is of is the model's
        reference too.
    probability : float
        Probability of the equal-tailed intervals.
    random_seed : int or numpy.random.Generator, optional
        Seed of effects that the fit knows nothing of, which are drawn from their priors; drawn where it is
        not given, and kept in the attributes.

    Returns
    -------
    xarray.Dataset
        Dims ``among, parameter, subject``: ``median``, ``lower`` and ``upper``, in percent, with the
        coordinate ``level``. ``among`` is ``"same covariates"``, people with those of the person, and, where
        a reference is given, what it says. A parameter that differs between a person's occasions is that of
        the first.

    Raises
    ------
    InputError
        If it is no fit, nothing differs between people, a covariate is none of the model's, or the
        probability is not between 0 and 1.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.percentiles(fit, reference={"group": "T2D"})
    >>> found.among.values.tolist()
    ['same covariates', 'group T2D']
    """
    spec = model_of(require_fit(fit).attrs)
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability:g}; it must be between 0 and 1.")
    posterior = fit["posterior"].to_dataset()
    known = fit["constant_data"].to_dataset()
    occasions = occasions_of(posterior)
    labels = {ALIKE: covariates_of(known, posterior)}
    if reference is not None:
        _check_reference(spec, reference)
        labels[_told(reference)] = _profile(reference, [str(s) for s in known["subject"].values])
    seed, shares, people = seed_of(random_seed), [], None
    rng = np.random.default_rng(seed)
    for covariates in labels.values():
        people = people_of(spec, posterior, occasions, _at_references(spec, covariates))
        shares.append(_shares(people, posterior, _lacked(spec, people, covariates, posterior, rng), rng))
    assert people is not None
    if not people.varying:
        raise InputError("Nothing differs between people in this fit, so that nobody is at a percentile.")
    tail = (1 - probability) / 2
    low, middle, high = 100 * np.quantile(shares, [tail, 0.5, 1 - tail], axis=(1, 2))
    dims = ("among", "parameter", "subject")
    about = {"units": "%", "long_name": "share of new people of the population with a smaller value"}
    return xr.Dataset(
        {
            name: (dims, values.swapaxes(1, 2), about)
            for name, values in zip(("median", "lower", "upper"), (middle, low, high), strict=True)
        },
        coords={
            "among": list(labels),
            "parameter": [people.varying[v].name for v in _whole(people)],
            "level": ("parameter", [people.varying[v].level for v in _whole(people)]),
            "subject": list(people.subjects),
        },
        attrs={"interval": "equal-tailed", "probability": probability, "random_seed": seed},
    )


def _shares(people: Individuals, posterior: xr.Dataset, lacked, rng: np.random.Generator) -> np.ndarray:
    """Shares of new people below (chain, draw, S, V), in what is not nested in it; `lacked` is added to what
    is expected of them (chain, draw, S, D)."""
    population = population_of(posterior, people)
    known = acting_in(posterior)
    unknown = np.array([names.effect(a.parameter, a.key) not in known for a in people.effects], bool)
    drawn = rng.normal(*people.effect_prior, size=population.effect.shape)
    effect = np.where(unknown, drawn, population.effect)
    own = individuals_of(posterior, people) - people.centre(population.typical, effect) - lacked
    whole = _whole(people)
    first = people.layout.component[people.first_occasion][:, whole]  # (S, V)
    away = own[..., np.arange(len(first))[:, None], first]
    return ndtr(away / population.omega[..., None, whole])


def _whole(people: Individuals) -> list[int]:
    """Which deviations are not those of occasions within people."""
    return [v for v, each in enumerate(people.deviations) if not each.nested]


def _at_references(spec: ModelSpec, covariates: xr.Dataset) -> xr.Dataset:
    """Covariates with the reference of the effect in place of what people lack."""
    found = covariates.copy()
    for effect in (effect for p in spec.parameters.values() for effect in p.effects.values()):
        if effect.covariate in found and (who := lacking(found, effect.covariate)):
            values = found[effect.covariate].values.astype(object)
            at = "no level" if effect.form == "level" else float(effect.reference)
            values[np.isin(found["subject"].values, who)] = at
            found[effect.covariate] = ("subject", values)
    return found


def _lacked(spec: ModelSpec, people: Individuals, covariates: xr.Dataset, posterior: xr.Dataset, rng):
    """What covariates that people lack add to what is expected of them (chain, draw, S, D): a number is that
    of each draw, a level one that is drawn by its probability in it."""
    found = np.zeros((posterior.sizes["chain"], posterior.sizes["draw"], *people.shape))
    drawn: dict[tuple[str, str], np.ndarray | None] = {}  # once, for all that a covariate acts on
    for label in sorted(acting_in(posterior)):
        name, _, key = label.partition(" by ")
        effect = spec.parameters[name].effects[key]
        if effect.covariate not in covariates or name not in people.names:
            continue
        of_parameter = people.layout.component_parameter == people.names.index(name)
        components = of_parameter * people.layout.component_typical
        for who in lacking(covariates, effect.covariate):
            pair = effect.covariate, who
            if pair not in drawn:
                drawn[pair] = covariate_in_draws(posterior, effect.covariate, who, rng)
            if (values := drawn[pair]) is not None:
                x = np.vectorize(effect.standardized)(values)
                size = np.log(posterior[names.EFFECT].sel(effect=label).values) * x
                found[..., people.subjects.index(who), :] += size[..., None] * components
    return found


def _check_reference(spec: ModelSpec, reference: Mapping[str, Any]) -> None:
    problems = Problems("reference")
    effects = [effect for p in spec.parameters.values() for effect in p.effects.values()]
    for name, value in reference.items():
        own = [effect for effect in effects if effect.covariate == name]
        if not own:
            problems.unknown(name, sorted({effect.covariate for effect in effects}), "covariate")
        elif own[0].form != "level" and (isinstance(value, bool) or not isinstance(value, int | float)):
            problems.add(f"{name} is {value!r}; it must be a number.")
    problems.raise_any(InputError)


def _told(reference: Mapping[str, Any]) -> str:
    """A profile in words."""
    return ", ".join(f"{name} {value}" for name, value in reference.items()) or "the model's references"


def _profile(reference: Mapping[str, Any], subjects: list[str]) -> xr.Dataset:
    """Everyone with the covariates of a profile."""
    return xr.Dataset(
        {name: ("subject", [value] * len(subjects)) for name, value in reference.items()},
        coords={"subject": subjects},
    )
