"""New people given a population that was fitted before them: the joint posterior of both, in seconds."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.conditional import Conditional
from bayesglu.analysis.importance import Sampled, sample_people
from bayesglu.analysis.kept_study import joined, study_of
from bayesglu.analysis.population import (
    LEAST,
    completed,
    design_of_new,
    draws_of_population,
    effects_of,
    hash_of,
    population_values,
)
from bayesglu.analysis.weights import IMPORTANCE, judge_weights
from bayesglu.errors import FitWarning, InputError, warn_caller
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.posterior import acting_in, effect_labels, to_dataset
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import data_groups, in_chains, predict, provenance, samples_groups, tree_of
from bayesglu.inference.sampler import Failures
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.settings import COUNT, MANY, SOLVER, Number, check_all
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.study.study import Study, load_study

PRIOR_DRAWS = 500
SETTINGS = {"draws": COUNT, "population_draws": Number(LEAST, MANY, whole=True)}


def fit_person(
    population_fit: xr.DataTree,
    study: Study | str | Path | Sequence[Study | str | Path],
    draws: int = 1000,
    random_seed: int | np.random.Generator | None = None,
    population_draws: int = 1000,
    **solver_settings,
) -> xr.DataTree:
    """The posterior of new people given a population that was fitted before, in seconds.

    Nobody of the population is fitted again. Draws of its posterior, with all their uncertainty, are weighted
    by the likelihood of the new people's samples, with everything that may differ in them integrated out; so
    what comes back agrees with a fit of all people together, but for Monte Carlo error, of the new people as
    of the population. How far the weights can be trusted is measured by the shape k of their tail (Pareto),
    which `check` judges.

    Parameters
    ----------
    population_fit : xarray.DataTree
        As `fit` and `load` return it. Or what `fit_person` returned: then the new study is a later test of
        the same people, or of others besides them, who are all in the result.
    study : Study, str, Path or sequence of these
        The new people: a study, or its name or path. Of several studies, each is another test of those who
        are in more than one.
    draws : int
        Draws to return.
    random_seed : int or numpy.random.Generator, optional
        Seed of everything random; drawn where it is not given, and kept in the attributes.
    population_draws : int
        Draws of the population to use at most, evenly spaced; 25 or more.
    **solver_settings
        Settings of the ODE solver that differ from those of the population's fit: ``rtol``, ``atol``,
        ``max_steps``.

    Returns
    -------
    xarray.DataTree
        As of `fit`, with one chain of draws, of the new people alone: ``posterior``, also of the population
        given everybody; ``prior``, what the population predicts for people with these covariates before
        their samples; ``observed_data``, ``constant_data``, ``protocols``, ``fitted``,
        ``posterior_predictive`` and ``log_likelihood``; and ``importance``: ``pareto_k`` and ``ess``
        (subject) of the draws of each person, ``modes`` (subject) of that person's posterior,
        ``population_pareto_k`` and ``population_ess``, and ``log_marginal_likelihood`` (chain, draw). There
        is no ``log_prior``. The attributes name the population.

    Raises
    ------
    InputError
        If it is no fit or a setting cannot be used; if the fit of a person was saved without data.
    SpecError
        If the model has a part that is not registered.
    StudyError
        If there is no such study, or model and study do not go together.
    SolverError
        If the equations cannot be solved.

    Warns
    -----
    FitWarning
        Where the weights are too uneven to be trusted; the message says what to do instead.
    StudyWarning
        Where people of the population differ by a covariate that is not known of a new one.

    Notes
    -----
    Under each draw of the population individual parameters are proposed about the modes of their posterior,
    with heavy tails whose form is adapted, and weighed; the mean weight is an unbiased likelihood of the draw
    of the population (Andrieu and Roberts 2009, Annals of Statistics 37:697). Weights are Pareto smoothed
    (Vehtari et al. 2024, JMLR 25:72). Assay errors are those of the population. What the population's fit
    says nothing of, such as the error of an analyte that it did not have, is drawn from its prior.

    Examples
    --------
    >>> import bayesglu as bg
    >>> people = bg.simulate_study("ivgtt", protocol="ivgtt(0.3)", times=[0, 4, 10, 30, 60], random_seed=1)
    >>> known, new = people.select(people.subjects[:3]), people.select(people.subjects[3:4])
    >>> quick = {"method": "laplace", "draws": 1000, "progressbar": False}
    >>> population = bg.fit("ivgtt", known, random_seed=1, **quick)
    >>> person = bg.fit_person(population, new, random_seed=1)
    >>> person.posterior.insulin_sensitivity.dims
    ('chain', 'draw', 'subject')
    """
    began = time.perf_counter()
    spec = model_of(require_fit(population_fit).attrs)
    checked, solver = check_all(
        ({"draws": draws, "population_draws": population_draws}, SETTINGS, ""),
        ({**_solver_of(population_fit), **solver_settings}, SOLVER, ""),
    )
    several = study if isinstance(study, Sequence) and not isinstance(study, str) else [study]
    if not several:
        raise InputError("No study is given: fit_person(population, study).")
    studies = [load_study(one) for one in several]
    again = population_fit.attrs.get("method") == IMPORTANCE
    together = joined([study_of(population_fit), *studies] if again else studies)
    d = design_of_new(spec, together, population_fit, solver)
    seed = seed_of(random_seed)
    rng = np.random.default_rng(seed)
    kept = draws_of_population(population_fit, checked["population_draws"])
    population = completed(kept, d, rng)
    conditional = Conditional.of(d, population_values(population, d, rng), rng)
    # Draws of an earlier fit of people have been weighted by a likelihood that the new one contains.
    before = -kept["log_marginal_likelihood"].values[0] if again else None
    found = sample_people(conditional, checked["draws"], rng, before)
    diagnostics = _diagnostics(found, d)
    _warn_of_weights(diagnostics)
    values = in_chains(conditional.values(found.which, found.x), 1)
    predicted, _ = predict(d, values)
    failures = Failures(d)
    failures.add(conditional.failed)
    expected = _expected(conditional, rng)
    groups = {
        "posterior": _with_population(to_dataset(d, values), population, found.which),
        "prior": _with_population(to_dataset(d, expected), population, np.arange(expected.typical.shape[1])),
        **samples_groups(d, values, predicted, rng),
        **_data(d, spec, population),
        IMPORTANCE: diagnostics,
    }
    tree = tree_of(groups, provenance(d, IMPORTANCE, seed, {**checked, "solver": solver}))
    sampled = tree["posterior"].attrs
    sampled |= {f"inference_library{what}": sampled[f"creation_library{what}"] for what in ("", "_version")}
    tree.attrs |= _of_population(population_fit)
    tree.attrs |= {
        "failed_solves": json.dumps(failures.rows()),
        "wall_seconds": time.perf_counter() - began,
    }
    return tree


def _solver_of(fit: xr.DataTree) -> dict:
    return dict(json.loads(fit.attrs.get("settings", "{}")).get("solver", {}))


def _of_population(fit: xr.DataTree) -> dict[str, str]:
    """Attributes that say which population it was: its study, its own seed, and a checksum of its draws."""
    if fit.attrs.get("method") == IMPORTANCE:
        return {str(name): v for name, v in fit.attrs.items() if str(name).startswith("population_")}
    about = {
        "study_name": "study",
        "study_hash": "study_hash",
        "random_seed": "random_seed",
        "method": "method",
    }
    found = {f"population_{new}": fit.attrs[old] for old, new in about.items() if old in fit.attrs}
    return found | {"population_draws_hash": hash_of(fit["posterior"].to_dataset())}


def _expected(c: Conditional, rng: np.random.Generator) -> Values:
    """New people before their samples, drawn from the population (1, draw, ...)."""
    few = np.arange(min(PRIOR_DRAWS, len(c.population.typical)))
    return in_chains(c.values(few, rng.normal(size=(len(few), c.people, c.size))), 1)


def _with_population(people: xr.Dataset, population: xr.Dataset, which: np.ndarray) -> xr.Dataset:
    """Draws of people, beside all that is known of the population under the same draws."""
    drawn = population.isel(draw=which).assign_coords(draw=np.arange(len(which)))
    own = people.drop_dims("effect", errors="ignore")
    return own.assign({name: drawn[name] for name in drawn.data_vars if name not in own})


def _data(d: Design, spec: ModelSpec, population: xr.Dataset) -> dict:
    """What was measured and done, with labels of all effects that the population knows."""
    found = data_groups(d)
    known = effects_of(spec, acting_in(population))
    people = found["constant_data"].drop_dims("effect", errors="ignore")
    if known:
        labels = [population["effect"].values.tolist().index(label) for label in known]
        order = [list(known)[i] for i in np.argsort(labels)]
        people = people.assign(effect_labels([known[label] for label in order]))
        people = people.assign_coords(effect=order)
    return {**found, "constant_data": people}


def _diagnostics(found: Sampled, d: Design) -> xr.Dataset:
    subject = list(d.individuals.subjects)
    k, ess = "shape of the tail of the weights", "effective number of draws"
    likelihood = "log likelihood of the people's samples under the draw of the population"
    return xr.Dataset(
        {
            "pareto_k": ("subject", found.k, {"long_name": f"{k} of draws of the person"}),
            "ess": ("subject", found.ess, {"long_name": f"{ess} of the person"}),
            "modes": ("subject", found.modes, {"long_name": "modes that were found"}),
            "population_pareto_k": ((), found.population_k, {"long_name": f"{k} of draws of the population"}),
            "population_ess": ((), found.population_ess, {"long_name": f"{ess} of the population"}),
            "log_marginal_likelihood": (
                ("chain", "draw"),
                found.log_likelihood[None],
                {"long_name": likelihood},
            ),
        },
        coords={"subject": subject, "chain": [0], "draw": np.arange(len(found.which))},
    )


def _warn_of_weights(diagnostics: xr.Dataset) -> None:
    """Say whose weights cannot be trusted, and what to do."""
    if problems := [finding.sentence for finding in judge_weights(diagnostics) if not finding.fine]:
        warn_caller("\n".join(problems), FitWarning)
