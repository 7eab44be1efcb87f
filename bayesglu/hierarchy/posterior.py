"""Draws of everything as a Dataset with names, units and labels, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.hierarchy.correlation import pairs
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.missing import log_odds_of
from bayesglu.hierarchy.values import Values
from bayesglu.hierarchy.variation import own_share, sds_of
from bayesglu.spec.priors import Effect, Parameter
from bayesglu.spec.scales import to_scale
from bayesglu.study.study import Study
from bayesglu.units import canonical_unit


def to_dataset(d: Design, values: Values) -> xr.Dataset:
    """Draws ``(chain, draw, ...)`` on their natural scale, with units and labels: see `names`."""
    people = d.individuals
    theta, natural = d.theta(values), people.natural(values.typical)
    found: dict[str, xr.Variable] = {}

    def put(name, array, dims, role, unit, long_name, parameter: Parameter | None = None):
        attrs = {"units": unit, "long_name": long_name, "role": role}
        if parameter is not None:
            attrs |= {"symbol": parameter.symbol, "level": parameter.level, "scale": parameter.scale}
            attrs["parameter"] = parameter.name
        found[name] = xr.Variable(("chain", "draw", *dims), array, attrs)

    apart = people.nested
    for k, p in enumerate(people.estimated):
        called, column = p.name.replace("_", " "), people.layout.columns[k]
        if not p.varies:
            put(p.name, natural[..., k], (), "shared", p.unit, called, p)
            continue
        if p.level == "occasion" or p.name in apart:
            by_occasion = names.by_occasion(p.name) if p.name in apart else p.name
            put(by_occasion, theta[..., column], ("occasion",), "individual", p.unit, called, p)
        if p.level == "subject":
            own = people.of_people(values.individual, k)
            put(p.name, own, ("subject",), "individual", p.unit, called, p)
        put(names.typical(p.name), natural[..., k], (), "typical", p.unit, f"typical {called}", p)
    for v, each in enumerate(people.deviations):
        p, role = each.parameter, "kappa" if each.nested else "omega"
        scale = "log odds" if p.scale == "logit" else "logarithm"
        between = {"subject": "between-subject", "occasion": "inter-occasion"}[each.level]
        text = f"{between} SD of the {scale} of {p.name.replace('_', ' ')}"
        put(each.name, values.omega[..., v], (), role, "1", text, p)
    for a, analyte in enumerate(d.analytes):
        text = f"SD of the log residuals of {analyte}"
        put(names.sigma(analyte), values.sigma[..., a], (), "sigma", "1", text)
    coords: dict[str, Any] = _put_missing(d, values, put)
    sizes = zip(("chain", "draw"), values.typical.shape[:2], strict=True)
    coords |= {n: np.arange(size) for n, size in sizes}
    coords["subject"] = list(people.subjects)
    if people.effects:
        text = "factor by which a covariate multiplies a typical value (or its odds)"
        put(names.EFFECT, np.exp(values.effect), ("effect",), "effect", "1", text)
        coords["effect"] = [names.effect(a.parameter, a.key) for a in people.effects]
    if len(people.layout.correlated):
        text = "correlation of people's deviations, on the scales on which the priors are normal"
        put(names.CORRELATION, values.correlation, ("pair",), "correlation", "1", text)
        coords["pair"] = pairs(people.correlated)
    if d.spec.at("occasion") or apart:
        coords["occasion"] = [names.occasion(*occasion) for occasion in people.occasions]
    if len(d.forcing.obs):
        analyte = d.analytes[d.forcing.analyte]
        output = d.spec.analytes[analyte].output
        text = f"true {output} at the samples of the forcing function, a straight line from each to the next"
        true = d.true_forcing(values)[..., : len(d.forcing.obs)]
        put(names.forcing(output), true, ("forcing_obs",), "forcing", canonical_unit(analyte), text)
        coords["forcing_obs"] = forcing_labels(d)
    return xr.Dataset(found, coords=coords)


def _put_missing(d: Design, values: Values, put) -> dict[str, Sequence[str]]:
    """What covariates that some people lack may be; the labels of those people and of levels."""
    people, missing, coords = d.individuals, d.individuals.missing, {}
    parts, shares = missing.parts(values.missing), np.exp(missing.log_shares(values.missing))
    for c, of in enumerate(missing.numbers):
        unit = str(d.study.covariates[of.name].attrs.get("units", ""))
        mean, scale = ("geometric mean", "the logarithm of ") if of.is_log else ("mean", "")
        natural = of.natural(parts.mean[..., c])
        put(names.covariate_mean(of.name), natural, (), "covariate", unit, f"{mean} of {of.name}")
        text = f"SD of {scale}{of.name} between people"
        sd = np.exp(parts.log_sd[..., c])
        put(names.covariate_sd(of.name), sd, (), "covariate", "1" if of.is_log else unit, text)
        own, dim = people.missing.layout.number == c, names.missing_subject(of.name)
        natural = of.natural(parts.value[..., own])
        put(names.missing(of.name), natural, (dim,), "missing", unit, f"{of.name} of those who lack it")
        coords[dim] = of.subjects
    for h, of in enumerate(missing.levels):
        who, dim = names.missing_subject(of.name), names.levels(of.name)
        text = f"how many people are at each level of {of.name}"
        put(names.level_share(of.name), shares[..., missing.shares_of(h)], (dim,), "covariate", "1", text)
        places = [people.subjects.index(s) for s in of.subjects]
        mixed = [people.missing.layout.mixed.tolist().index(s) for s in places]
        v = values
        known = v.typical, v.effect, v.omega, v.correlation, v.individual, v.missing
        each = [missing.probabilities(j, h, people.log_levels(j, *known)) for j in mixed]
        text = f"probability of each level of {of.name}, of those who lack it, given their parameters"
        put(names.level_probability(of.name), np.stack(each, axis=-2), (who, dim), "level", "1", text)
        coords |= {who: of.subjects, dim: of.levels}
    return {dim: list(found) for dim, found in coords.items()}


def labels(d: Design) -> xr.Dataset:
    """What the labels of the dims ``effect`` and ``forcing_obs`` of a posterior stand for.

    They are not coordinates of the posterior, for `arviz.summary` and others refuse coordinates that only
    some variables have.
    """
    variables, coords = {}, {}
    if acting := d.individuals.effects:
        variables |= effect_labels([(a.parameter, a.effect) for a in acting])
        coords["effect"] = [names.effect(a.parameter, a.key) for a in acting]
    if len(d.forcing.obs):
        read = _forcing_samples(d)
        coords["forcing_obs"] = forcing_labels(d)
        for name in ("subject", "occasion"):
            variables[f"forcing_{name}"] = ("forcing_obs", read[name].values.astype(object))
        variables["forcing_time"] = ("forcing_obs", read.time.values, {"units": "min"})
    return xr.Dataset(variables, coords=coords)


def effect_labels(acting: Sequence[tuple[str, Effect]]) -> dict:
    """Of each effect, the parameter that it acts on, its covariate, and the level, if it has levels."""
    levels = [str(e.reference) if e.form == "level" else "" for _, e in acting]
    return {
        "effect_parameter": ("effect", [parameter for parameter, _ in acting]),
        "effect_covariate": ("effect", [e.covariate for _, e in acting]),
        "effect_level": ("effect", levels),
    }


def labelled(study: Study, samples: xr.Dataset, analyte: str) -> dict:
    """Coordinates of an analyte's samples: their labels, and subject, occasion and time of each."""
    dim = names.observations(analyte)
    subject, occasion = (samples[name].values.astype(str) for name in ("subject", "occasion"))
    return {
        dim: _sample_labels(study, samples),
        f"{analyte}_subject": (dim, subject),
        f"{analyte}_occasion": (dim, occasion),
        f"{analyte}_time": (dim, samples.time.values, {"units": "min"}),
    }


def _sample_labels(study: Study, samples: xr.Dataset) -> list[str]:
    """A label for each sample: whose, on which occasion (where there are several), and when."""
    several = len(study.occasions) > len(study.subjects)
    subject, occasion = (samples[name].values.astype(str) for name in ("subject", "occasion"))
    who = [f"{s}/{o}" if several else s for s, o in zip(subject, occasion, strict=True)]
    return [f"{w}, {t:g} min" for w, t in zip(who, samples.time.values, strict=True)]


def forcing_labels(d: Design) -> list[str]:
    """Labels of the samples of the forcing function."""
    return _sample_labels(d.study, _forcing_samples(d))


def _forcing_samples(d: Design) -> xr.Dataset:
    """The samples of the forcing function."""
    return d.study.observations.sel(obs=d.forcing.obs)


def population_of(
    posterior: xr.Dataset,
    people: Individuals,
    analytes: Sequence[str] = (),
    absent_effect: float | None = None,
    rng: np.random.Generator | None = None,
) -> Values:
    """Draws ``(chain, draw, ...)`` of the population of a fit, for `people` who may be others than its own.

    absent_effect : of a covariate that did not act in the fit, on the log scale; None for the prior median.
    rng : what draws, where a fit does not separate occasions from people, how much is the occasions'; None
    for the prior median.

    Individual parameters and errors of the forcing are empty. What the fit does not know of missing
    covariates is NaN: `MissingCovariates.draw` draws it.
    """
    shape = posterior.sizes["chain"], posterior.sizes["draw"]

    def stacked(found: list[np.ndarray]) -> np.ndarray:
        return np.stack(found, axis=-1) if found else np.zeros((*shape, 0))

    def drawn(name: str) -> np.ndarray:
        return posterior[name].transpose("chain", "draw", ...).values

    shared = [names.typical(p.name) if p.varies else p.name for p in people.estimated]
    typical = to_scale(stacked([drawn(name) for name in shared]), people.layout.is_logit)
    called = [names.effect(acting.parameter, acting.key) for acting in people.effects]
    absent = people.effect_prior[0] if absent_effect is None else np.full(len(called), absent_effect)
    known = acting_in(posterior)
    effects = [
        np.log(posterior[names.EFFECT].sel(effect=name).values)
        if name in known
        else np.full(shape, absent[e])
        for e, name in enumerate(called)
    ]
    called = {f(p.name) for p in people.varying for f in (names.omega, names.kappa)}
    of_fit = {name: drawn(name) for name in called if name in posterior}
    correlation = np.zeros((*shape, 0))
    if len(people.layout.correlated):
        correlation = drawn(names.CORRELATION) * own_share(people.correlated, people.deviations, of_fit)
    return Values(
        typical=typical,
        effect=stacked(effects),
        omega=stacked(sds_of(people.deviations, of_fit, rng)),
        sigma=stacked([drawn(names.sigma(a)) for a in analytes]),
        correlation=correlation,
        individual=np.zeros((*shape, 0, 0)),
        forcing_error=np.zeros((*shape, 0)),
        missing=_missing_of(posterior, people),
    )


def _missing_of(posterior: xr.Dataset, people: Individuals) -> np.ndarray:
    """What draws of a posterior say of the covariates that some of these people lack ``(chain, draw, M)``."""
    missing, layout = people.missing, people.missing.layout
    found = missing.unknown((posterior.sizes["chain"], posterior.sizes["draw"]))
    parts = missing.parts(found)  # views
    for c, of in enumerate(missing.numbers):
        if names.covariate_mean(of.name) not in posterior:
            continue
        parts.mean[..., c] = of.scaled(posterior[names.covariate_mean(of.name)].values)
        parts.log_sd[..., c] = np.log(posterior[names.covariate_sd(of.name)].values)
        if names.missing(of.name) not in posterior:  # a population without its people
            continue
        drawn = posterior[names.missing(of.name)]
        known = [str(s) for s in drawn[names.missing_subject(of.name)].values]
        for g in np.flatnonzero(layout.number == c):
            if (subject := people.subjects[layout.subject[g]]) in known:
                parts.value[..., g] = of.scaled(drawn[..., known.index(subject)].values)
    for h, of in enumerate(missing.levels):
        if names.level_share(of.name) not in posterior:
            continue
        drawn = posterior[names.level_share(of.name)]
        if tuple(map(str, drawn[names.levels(of.name)].values[:-1])) == of.levels[:-1]:
            found[..., missing.log_odds_of(h)] = log_odds_of(drawn.values)
    return found


def acting_in(posterior: xr.Dataset) -> set[str]:
    """Labels of the covariate effects that acted in a fit."""
    return set(map(str, posterior.effect.values)) if names.EFFECT in posterior else set()


def individuals_of(posterior: xr.Dataset, people: Individuals) -> np.ndarray:
    """Individual parameters ``(chain, draw, S, D)`` of people of a fit, on their own scales."""
    layout = people.layout
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    found = np.zeros((*shape, *people.shape))
    labels = [names.occasion(*occasion) for occasion in people.occasions]
    shift = people.shift(population_of(posterior, people, absent_effect=0.0).effect)

    def scaled(name: str, p: Parameter, **labels) -> np.ndarray:
        drawn = posterior[name].sel(labels).transpose("chain", "draw", ...).values
        return to_scale(drawn, p.scale == "logit")

    for v, each in enumerate(people.deviations):
        p = each.parameter
        if each.level == "subject":
            own = scaled(p.name, p, subject=[s for s, _ in people.occasions])
        elif each.nested:
            own = scaled(names.by_occasion(p.name), p, occasion=labels) - shift[..., layout.varying[v]]
            own = own - scaled(p.name, p, subject=[s for s, _ in people.occasions])
        else:
            own = scaled(p.name, p, occasion=labels) - shift[..., layout.varying[v]]
        found[..., layout.subject, layout.component[:, v]] = own
    return found
