"""The people of a fit, as the statistical model knows them."""

import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, individuals_of, population_of
from bayesglu.physiology.loop import assemble
from bayesglu.spec.model import ModelSpec


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
