"""The people of a fit, as the statistical model knows them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, individuals_of, population_of
from bayesglu.hierarchy.values import Values
from bayesglu.physiology.loop import assemble
from bayesglu.spec.model import ModelSpec


def thinned(posterior: xr.Dataset, draws: int) -> xr.Dataset:
    """About `draws` draws, evenly spaced within each chain."""
    chains, length = posterior.sizes["chain"], posterior.sizes["draw"]
    each = min(length, max(1, round(draws / chains)))
    return posterior.isel(draw=np.linspace(0, length - 1, each).astype(int))


def people_of(
    spec: ModelSpec,
    posterior: xr.Dataset,
    occasions,
    covariates: xr.Dataset,
    of_occasions: xr.Dataset | None = None,
) -> Individuals:
    """People whose parameters come from the population of a posterior: occasions (subject, name), and
    covariates by subject, and by occasion where they differ. Occasions are told from people where the
    posterior does so."""
    columns = assemble(spec.structure).parameters
    estimated = [n for n in spec.estimated if n in posterior and n in columns]
    nested = [n for n in estimated if names.kappa(n) in posterior]
    return Individuals.of(spec, columns, estimated, occasions, covariates, of_occasions, nested)


def occasions_of(posterior: xr.Dataset) -> list[tuple[str, str]]:
    """The occasions (subject, name) that a posterior tells apart; one a person where it tells none apart."""
    subjects = list(map(str, posterior.subject.values))
    if "occasion" in posterior.coords:
        return [names.of_occasion(str(label), subjects) for label in posterior.occasion.values]
    return [(subject, "1") for subject in subjects]


def covariates_of(known: xr.Dataset, posterior: xr.Dataset) -> xr.Dataset:
    """Covariates by subject from a fit's constant data; empty where it was saved without them.

    A covariate that some people lack and that acts on nothing, as in fits of earlier versions, is left out.
    """
    named = {str(c).removeprefix("covariate_"): c for c in known if str(c).startswith("covariate_")}
    coords = {"subject": [str(s) for s in known.subject.values]}
    found = xr.Dataset({name: ("subject", known[c].values) for name, c in named.items()}, coords=coords)
    acted = {label.rpartition(" by ")[2].partition(":")[0] for label in acting_in(posterior)}
    return found.drop_vars([name for name in named if name not in acted and lacking(found, name)])


def occasion_covariates_of(known: xr.Dataset) -> xr.Dataset | None:
    """Covariates by occasion from a fit's constant data, those that differ; None where it has none."""
    prefix = "occasion_covariate_"
    found = {str(c).removeprefix(prefix): own for c, own in known.items() if str(c).startswith(prefix)}
    return xr.Dataset(found) if found else None


def covariate_in_draws(
    posterior: xr.Dataset, name: str, who: str, rng: np.random.Generator
) -> np.ndarray | None:
    """What a person who lacks a covariate has of it in each draw (chain, draw): numbers, or levels, drawn by
    their probability given the person's parameters; None where the fit says nothing of it."""
    number, level = names.missing(name), names.level_probability(name)
    called = number if number in posterior else level
    dim = names.missing_subject(name)
    if called not in posterior or who not in posterior[dim].values:
        return None
    found = posterior[called].sel({dim: who}).transpose("chain", "draw", ...)
    if called == number:
        return found.values
    with np.errstate(divide="ignore"):
        chosen = np.log(found.values) + rng.gumbel(size=found.shape)
    return found[names.levels(name)].values[chosen.argmax(-1)]


def random_effects(spec: ModelSpec, posterior: xr.Dataset, known: xr.Dataset):
    """The people of a fit and their deviations from what their covariates let expect, eta ``(chain, draw, S,
    D)``, on the scales on which priors are Normal."""
    covariates = covariates_of(known, posterior)
    # Of a posterior that tells no occasions apart, all is as on the first.
    of_occasions = occasion_covariates_of(known) if "occasion" in posterior.coords else None
    people = people_of(spec, posterior, occasions_of(posterior), covariates, of_occasions)
    population = population_of(posterior, people, absent_effect=0.0)
    centre = people.centre(population.typical, population.effect, population.missing)
    eta = individuals_of(posterior, people) - centre
    return people, eta


# --- their parameters in each draw ---


def fitted_people(
    spec: ModelSpec,
    posterior: xr.Dataset,
    known: xr.Dataset,
    labels: Sequence[str],
    anew: tuple[Sequence[int], np.random.Generator] | None = None,
) -> dict[str, xr.DataArray]:
    """Parameters of people of the study, on the first of each one's occasions, or on another one.

    known : what the fit knows of everyone. anew : for another occasion, on how many each was seen, and what
    draws it.
    """
    first = dict(reversed(occasions_of(posterior)))
    occasions = [(label, first[label]) for label in labels]
    covariates = covariates_of(known, posterior)
    of_occasions = occasion_covariates_of(known) if "occasion" in posterior.coords else None
    people = people_of(spec, posterior, occasions, covariates, of_occasions)
    _require_covariates(people, posterior, covariates)
    population = population_of(posterior, people, absent_effect=0.0)
    parameters = individuals_of(posterior, people)
    if anew is not None:
        deviating = population.typical, population.effect, population.omega, population.correlation
        parameters = people.draw_another_occasion(*deviating, parameters, *anew, population.missing)
    return _parameters(people, population, parameters, posterior)


def draw_people(
    spec: ModelSpec, posterior: xr.Dataset, labels: Sequence[str], rng: np.random.Generator, days: int = 1
) -> dict[str, xr.DataArray]:
    """People drawn from the population, at the references of all covariates: typical values with deviations
    of the population's own size.

    days : on so many each is seen; `labels` are then those of everyone on the first day, then on the second.
    """
    each = len(labels) // days
    people, population = _new_subjects(spec, posterior, labels[:each])
    deviating = population.typical, population.effect, population.omega, population.correlation
    if days == 1:
        return _parameters(people, population, people.draw(*deviating, rng), posterior)
    drawn = people.draw_days(*deviating, days, rng)
    seen = [_parameters(people, population, own, posterior) for own in drawn]
    together = {name: xr.concat([day[name] for day in seen], "subject") for name in seen[0]}
    return {name: values.assign_coords(subject=list(labels)) for name, values in together.items()}


def typical_person(spec: ModelSpec, posterior: xr.Dataset, label: str) -> dict[str, xr.DataArray]:
    """The person at the typical values, at the references of all covariates."""
    people, population = _new_subjects(spec, posterior, [label])
    own = people.centre(population.typical, population.effect)
    return _parameters(people, population, own, posterior)


def _new_subjects(
    spec: ModelSpec, posterior: xr.Dataset, labels: Sequence[str]
) -> tuple[Individuals, Values]:
    """People of whom nothing is known, and the population that they are of."""
    nothing = xr.Dataset(coords={"subject": list(labels)})
    people = people_of(spec, posterior, [(label, "1") for label in labels], nothing)
    return people, population_of(posterior, people)


def _parameters(
    people: Individuals, population: Values, individual: np.ndarray, posterior: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Parameters by name, with the dims chain, draw and subject."""
    theta = people.theta(population.typical, population.effect, individual, population.missing)
    coords = {"chain": posterior.chain, "draw": posterior.draw, "subject": list(people.subjects)}
    return {
        p.name: xr.DataArray(theta[..., column], coords, ("chain", "draw", "subject"))
        for p, column in zip(people.estimated, people.layout.columns, strict=True)
    }


def _require_covariates(people: Individuals, posterior: xr.Dataset, covariates: xr.Dataset) -> None:
    """Raise InputError where a covariate acts on what people share and the fit does not say on whom."""
    for p in people.estimated:
        for key, effect in p.effects.items():
            acted = not p.varies and names.effect(p.name, key) in acting_in(posterior)
            if acted and effect.covariate not in covariates:
                raise InputError(
                    f"{p.name} depends on {effect.covariate}, which the fit was saved without; "
                    "choose subjects='new'."
                )
