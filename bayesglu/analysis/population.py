"""Draws of a population that was fitted, and people who were not in that fit."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import numpy as np
import xarray as xr

from bayesglu.analysis.people import covariates_of
from bayesglu.analysis.weights import IMPORTANCE
from bayesglu.errors import InputError, warn_caller
from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, population_of, to_dataset
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import in_chains
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Effect
from bayesglu.study.study import Study, StudyWarning
from bayesglu.text.wording import some

POPULATION = (*names.OF_EVERYONE, "omega", "kappa", "covariate")
LEAST = 25
"""Draws of a population without which the tail of their weights cannot be looked at."""


def of_everyone(posterior: xr.Dataset) -> xr.Dataset:
    """What a posterior says of people in common."""
    return posterior[[n for n, draws in posterior.data_vars.items() if draws.attrs.get("role") in POPULATION]]


def hash_of(population: xr.Dataset) -> str:
    """A checksum of the draws of a population."""
    content = sha256()
    for name, draws in sorted(of_everyone(population).items()):
        content.update(str(name).encode() + np.ascontiguousarray(draws.values).tobytes())
    return content.hexdigest()


def draws_of_population(fit: xr.DataTree, most: int, fewest: int = LEAST) -> xr.Dataset:
    """Draws of a population, at most so many, as one chain; beside them what a fit of people weighed them
    by."""
    posterior = of_everyone(fit["posterior"].to_dataset())
    if IMPORTANCE in fit.children:
        posterior = posterior.assign(log_marginal_likelihood=fit[IMPORTANCE]["log_marginal_likelihood"])
    flat = posterior.stack(sample=("chain", "draw"), create_index=False)
    size = flat.sizes["sample"]
    if size < fewest:
        raise InputError(
            f"The fit of the population has {size} draws; {fewest} are the least, and some hundreds are "
            "needed to say how uncertain it is."
        )
    flat = flat.isel(sample=np.linspace(0, size - 1, min(most, size)).round().astype(int))
    flat = flat.drop_vars(("chain", "draw"), errors="ignore").rename(sample="draw").expand_dims("chain")
    labels = {"chain": [0], "draw": np.arange(flat.sizes["draw"])}
    return flat.transpose("chain", "draw", ...).assign_coords(labels)


def population_alone(fit: xr.DataTree, most: int) -> xr.DataTree:
    """A fit with at most so many draws of its population, and no more than `design_of_new` reads besides."""
    groups = {"posterior": draws_of_population(fit, most), "constant_data": fit["constant_data"].to_dataset()}
    found = xr.DataTree.from_dict(groups)
    found.attrs = {name: fit.attrs[name] for name in ("model_text", "model_hash") if name in fit.attrs}
    return found


def completed(population: xr.Dataset, d: Design, rng: np.random.Generator) -> xr.Dataset:
    """The population, with draws from the prior of what new people need and its fit did not know: the error
    of an analyte that it did not have, the effect of a covariate that nobody had."""
    draws = population.sizes["draw"]
    population = _told_apart(population, d, rng)
    unknown = of_everyone(to_dataset(d, in_chains(d.draw_prior(draws, rng), 1)))
    whole = population.drop_vars("log_marginal_likelihood", errors="ignore")
    if more := sorted(acting_in(unknown) - acting_in(whole)):
        effects = [unknown[names.EFFECT].sel(effect=more)]
        if names.EFFECT in whole:
            effects.insert(0, whole[names.EFFECT])
        together = xr.concat(effects, "effect", coords="minimal", compat="override").assign_attrs(
            effects[0].attrs
        )
        whole = whole.drop_dims("effect", errors="ignore").assign({names.EFFECT: together})
    # What covariates may be of which the fit knows nothing is drawn with them.
    roles = {name: draws.attrs["role"] for name, draws in unknown.data_vars.items()}
    absent = [name for name, role in roles.items() if name not in whole and role != "covariate"]
    return whole.assign({name: unknown[name] for name in absent}).transpose("chain", "draw", ...)


def _told_apart(population: xr.Dataset, d: Design, rng: np.random.Generator) -> xr.Dataset:
    """The population with SDs of what is people's own and of what is an occasion's, where new people were
    seen on several and those of the population were not: divided as the prior says."""
    new = [n for n in d.individuals.nested if names.kappa(n) not in population]
    if not new:
        return population
    omega = population_of(population, d.individuals, rng=rng).omega
    for v, each in enumerate(d.individuals.deviations):
        p = each.parameter
        if p.name in new:
            about = population[names.omega(p.name)].attrs | ({"role": "kappa"} if each.nested else {})
            population = population.assign({each.name: (("chain", "draw"), omega[..., v], about)})
    return population


def population_values(population: xr.Dataset, d: Design, rng: np.random.Generator) -> Values:
    """The draws of a population (M, ...), without individual parameters; what people may have of the
    covariates that they lack is drawn with each."""
    values = population_of(population, d.individuals, d.analytes)
    values = values._replace(missing=d.individuals.missing.draw(values.missing, rng))
    return Values(*(field[0] for field in values))


def design_of_new(
    spec: ModelSpec, study: Study, population_fit: xr.DataTree, solver: Mapping, warn: bool = True
) -> Design:
    """The new people, with covariates that they lack as those of the population predict them; where that
    separates occasions from people, so do they.

    warn : whether to say which covariates they lack."""
    posterior = population_fit["posterior"].to_dataset()
    nested = [n for n in spec.estimated if names.kappa(n) in posterior] or None
    acting = [effect.covariate for _, effect in effects_of(spec, acting_in(posterior)).values()]
    given = study.covariates
    lacked = {n: _lacking(given, n) for n in dict.fromkeys(acting)}
    lacked = {name: who for name, who in lacked.items() if who}
    known_of_all = replace(study, covariates=given.drop_vars(lacked, errors="ignore"))
    d = make_design(spec, known_of_all, nested, **solver)
    if not lacked:
        return d
    known = covariates_of(population_fit["constant_data"].to_dataset(), posterior)
    absent = [n for n in lacked if n not in known or len(lacking(known, n)) == known.sizes["subject"]]
    if warn:
        _warn_of_covariates(lacked, absent)
    filled = given.drop_vars(absent, errors="ignore")
    for name in lacked.keys() - {*absent, *given}:
        empty = np.full(given.sizes["subject"], np.nan if known[name].dtype.kind in "if" else "")
        filled = filled.assign({name: ("subject", empty)})
    together = [name for name in known if name in filled]
    known = known[together].assign_coords(subject=[f"population, {s}" for s in known["subject"].values])
    both = xr.concat([known, filled[together]], "subject") if together else filled
    people = d.individuals
    occasions = people.occasions, both, study.occasion_covariates, people.nested
    people = Individuals.of(spec, people.columns, people.names, *occasions)
    return replace(d, study=replace(study, covariates=filled), individuals=people)


def effects_of(spec: ModelSpec, labels: set[str]) -> dict[str, tuple[str, Effect]]:
    """The parameter and the effect of each label."""
    parameters = spec.parameters.values()
    every = {
        names.effect(p.name, key): (p.name, effect) for p in parameters for key, effect in p.effects.items()
    }
    return {label: every[label] for label in every if label in labels}


def _lacking(covariates: xr.Dataset, name: str) -> list[str]:
    """Who lacks a covariate: everyone where there is none."""
    return lacking(covariates, name) if name in covariates else [str(s) for s in covariates["subject"].values]


def _warn_of_covariates(lacked: dict[str, list[str]], absent: list[str]) -> None:
    """Say which covariates that people of the population differ by are not known of new ones."""
    for name, who in lacked.items():
        what = "it is estimated with the rest, from those of the population and by its effects"
        if name in absent:
            what = (
                "nor does the fit keep those of its people, so that its effects are left out for the new ones"
            )
        warn_caller(f"{name} is missing for {some(who)}: {what}.", StudyWarning)
