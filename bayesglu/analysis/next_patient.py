"""New people given a population that was fitted before them: the joint posterior of both, in seconds."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.conditional import Conditional
from bayesglu.analysis.importance import Sampled, sample_people
from bayesglu.analysis.kept_study import joined, study_of
from bayesglu.analysis.people import covariates_of
from bayesglu.analysis.weights import IMPORTANCE, judge_weights
from bayesglu.errors import FitWarning, InputError, warn_caller
from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, effect_labels, population_of, to_dataset
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import data_groups, in_chains, predict, provenance, samples_groups, tree_of
from bayesglu.inference.sampler import Failures
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.settings import COUNT, MANY, SOLVER, Number, check_all
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.spec.priors import Effect
from bayesglu.study.study import Study, StudyWarning, load_study
from bayesglu.text.wording import some

PRIOR_DRAWS = 500
POPULATION = (*names.OF_EVERYONE, "omega", "kappa", "covariate")
LEAST = 25
"""Draws of a population without which the tail of their weights cannot be looked at."""

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
    of the population. How far the weights can be trusted is told by the shape k of their tail (Pareto), and
    by `check`.

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
        given everybody; ``prior``, what the population lets expect of people with these covariates before
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
    d = _design(spec, together, population_fit, solver)
    seed = seed_of(random_seed)
    rng = np.random.default_rng(seed)
    kept = _thinned(population_fit, checked["population_draws"])
    population = _completed(kept, d, rng)
    conditional = Conditional.of(d, _population(population, d, rng), rng)
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
    tree.attrs |= {"failed_solves": json.dumps(failures.told()), "wall_seconds": time.perf_counter() - began}
    return tree


def _solver_of(fit: xr.DataTree) -> dict:
    return dict(json.loads(fit.attrs.get("settings", "{}")).get("solver", {}))


def _of_population(fit: xr.DataTree) -> dict[str, str]:
    """Attributes that say which population it was: its study, its own seed, and a checksum of its draws."""
    if fit.attrs.get("method") == IMPORTANCE:
        return {name: fit.attrs[name] for name in fit.attrs if name.startswith("population_")}
    content = sha256()
    for name, draws in sorted(_of_everyone(fit["posterior"].to_dataset()).items()):
        content.update(str(name).encode() + np.ascontiguousarray(draws.values).tobytes())
    about = {
        "study_name": "study",
        "study_hash": "study_hash",
        "random_seed": "random_seed",
        "method": "method",
    }
    found = {f"population_{new}": fit.attrs[old] for old, new in about.items() if old in fit.attrs}
    return found | {"population_draws_hash": content.hexdigest()}


def _of_everyone(posterior: xr.Dataset) -> xr.Dataset:
    """What a posterior says of people in common."""
    return posterior[[n for n, draws in posterior.data_vars.items() if draws.attrs.get("role") in POPULATION]]


def _thinned(fit: xr.DataTree, most: int) -> xr.Dataset:
    """Draws of a population, at most so many, as one chain; beside them what a fit of people weighed them
    by."""
    posterior = _of_everyone(fit["posterior"].to_dataset())
    if IMPORTANCE in fit.children:
        posterior = posterior.assign(log_marginal_likelihood=fit[IMPORTANCE]["log_marginal_likelihood"])
    flat = posterior.stack(sample=("chain", "draw"), create_index=False)
    size = flat.sizes["sample"]
    if size < LEAST:
        raise InputError(
            f"The fit of the population has {size} draws; {LEAST} are the least, and some hundreds are "
            "needed to say how uncertain it is."
        )
    flat = flat.isel(sample=np.linspace(0, size - 1, min(most, size)).round().astype(int))
    flat = flat.drop_vars(("chain", "draw"), errors="ignore").rename(sample="draw").expand_dims("chain")
    labels = {"chain": [0], "draw": np.arange(flat.sizes["draw"])}
    return flat.transpose("chain", "draw", ...).assign_coords(labels)


def _completed(population: xr.Dataset, d: Design, rng: np.random.Generator) -> xr.Dataset:
    """The population, with draws from the prior of what new people need and its fit did not know: the error
    of an analyte that it did not have, the effect of a covariate that nobody had."""
    draws = population.sizes["draw"]
    population = _told_apart(population, d, rng)
    unknown = _of_everyone(to_dataset(d, in_chains(d.draw_prior(draws, rng), 1)))
    found = population.drop_vars("log_marginal_likelihood", errors="ignore")
    if more := sorted(acting_in(unknown) - acting_in(found)):
        effects = [unknown[names.EFFECT].sel(effect=more)]
        if names.EFFECT in found:
            effects.insert(0, found[names.EFFECT])
        together = xr.concat(effects, "effect", coords="minimal", compat="override").assign_attrs(
            effects[0].attrs
        )
        found = found.drop_dims("effect", errors="ignore").assign({names.EFFECT: together})
    # What covariates may be of which the fit knows nothing is drawn with them.
    roles = {name: draws.attrs["role"] for name, draws in unknown.data_vars.items()}
    absent = [name for name, role in roles.items() if name not in found and role != "covariate"]
    return found.assign({name: unknown[name] for name in absent}).transpose("chain", "draw", ...)


def _told_apart(population: xr.Dataset, d: Design, rng: np.random.Generator) -> xr.Dataset:
    """The population with SDs of what is people's own and of what is an occasion's, where new people were
    seen on several and those of the population were not: divided as the prior says."""
    new = [n for n in d.individuals.nested if names.kappa(n) not in population]
    omega = population_of(population, d.individuals, rng=rng).omega if new else None
    for v, each in enumerate(d.individuals.deviations if new else ()):
        p = each.parameter
        if p.name in new:
            about = population[names.omega(p.name)].attrs | ({"role": "kappa"} if each.nested else {})
            population = population.assign({each.name: (("chain", "draw"), omega[..., v], about)})
    return population


def _population(population: xr.Dataset, d: Design, rng: np.random.Generator) -> Values:
    """The draws of a population (M, ...), without individual parameters; what people may have of the
    covariates that they lack is drawn with each."""
    found = population_of(population, d.individuals, d.analytes)
    found = found._replace(missing=d.individuals.missing.draw(found.missing, rng))
    return Values(*(field[0] for field in found))


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
    known = _effects(spec, acting_in(population))
    people = found["constant_data"].drop_dims("effect", errors="ignore")
    if known:
        labels = [population["effect"].values.tolist().index(label) for label in known]
        order = [list(known)[i] for i in np.argsort(labels)]
        people = people.assign(effect_labels([known[label] for label in order]))
        people = people.assign_coords(effect=order)
    return {**found, "constant_data": people}


def _effects(spec: ModelSpec, labels: set[str]) -> dict[str, tuple[str, Effect]]:
    """The parameter and the effect of each label."""
    parameters = spec.parameters.values()
    every = {
        names.effect(p.name, key): (p.name, effect) for p in parameters for key, effect in p.effects.items()
    }
    return {label: every[label] for label in every if label in labels}


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


def _design(spec: ModelSpec, study: Study, population_fit: xr.DataTree, solver: dict) -> Design:
    """The new people, of whom covariates that they lack are what those of the population let expect; where
    that tells occasions from people, so do they."""
    posterior = population_fit["posterior"].to_dataset()
    nested = [n for n in spec.estimated if names.kappa(n) in posterior] or None
    acting = [effect.covariate for _, effect in _effects(spec, acting_in(posterior)).values()]
    given = study.covariates
    lacked = {n: _lacking(given, n) for n in dict.fromkeys(acting)}
    lacked = {name: who for name, who in lacked.items() if who}
    known_of_all = replace(study, covariates=given.drop_vars(lacked, errors="ignore"))
    d = make_design(spec, known_of_all, nested, **solver)
    if not lacked:
        return d
    known = covariates_of(population_fit["constant_data"].to_dataset(), posterior)
    absent = [n for n in lacked if n not in known or len(lacking(known, n)) == known.sizes["subject"]]
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


def _warn_of_weights(diagnostics: xr.Dataset) -> None:
    """Say whose weights cannot be trusted, and what to do."""
    if problems := [finding.sentence for finding in judge_weights(diagnostics) if not finding.fine]:
        warn_caller("\n".join(problems), FitWarning)
