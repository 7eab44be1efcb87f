"""Studies of simulated people, whose true parameters are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import analytes as known_analytes
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design, make_design, within_limits
from bayesglu.hierarchy.posterior import population_of
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import measured
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.solver.solver import require_solved
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study
from bayesglu.text.problems import Problems
from bayesglu.units import canonical_unit

POPULATIONS = ("prior", "medians")


def simulate_study(
    model: ModelSpec | str | Path | xr.DataTree,
    like: Study | str | Path | None = None,
    *,
    protocol: Protocol | str | None = None,
    times: Sequence[float] | None = None,
    subjects: int | Sequence[str] = 12,
    analytes: Sequence[str] | None = None,
    covariates: pd.DataFrame | None = None,
    body_weight: float | Mapping[str, float] | None = 70.0,
    population: str = "prior",
    sigma: Mapping[str, float] | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> Study:
    """Simulated people of a model, what is measured of them, and their true parameters, as a study.

    Parameters
    ----------
    model : ModelSpec, str, Path or xarray.DataTree
        A model, or the name or path of a model file; or a fit, whose model it is then, with one draw of its
        population.
    like : Study, str or Path, optional
        A study, or its name or path: people with the same covariates take the same tests, and are sampled at
        the same times.
    protocol : Protocol or str, optional
        What is done, such as ``"ogtt(75)"``, where no study is given.
    times : sequence of float, optional
        Minutes at which everyone is sampled, where no study is given.
    subjects : int or sequence of str
        How many people, or their labels, where no study is given.
    analytes : sequence of str, optional
        What is measured, where no study is given; by default all that the model measures.
    covariates : pandas.DataFrame, optional
        Covariates with a column ``subject``, where no study is given.
    body_weight : float or mapping, optional
        Body weight in kg, for everyone or by subject, where no study is given.
    population : str
        ``"prior"``: typical values, between-subject SDs and errors are drawn from their priors, as
        calibration needs it; ``"medians"``: they are at the medians of these. People are drawn from that
        population. What a model has of pseudo-observations is data to a fit, and no part of its priors.
    sigma : mapping, optional
        SD of log residuals by analyte, where they are not to come from the population.
    random_seed : int or numpy.random.Generator, optional
        Makes it the same study again. By default another one each time.

    Returns
    -------
    Study
        With ``truth``: every estimated parameter by subject, what is a person's own where their occasions
        differ, but for those that are each occasion's alone. Samples that a fit of the model would leave out
        are missing, and those beyond a limit of quantification are at the limit. The seed is in the
        datasheet.

    Raises
    ------
    InputError
        If neither or both of a study and a protocol with times are given, a name is not known, or the model
        is driven by something measured.
    SpecError
        If there is no such model.
    StudyError
        If the study does not go with the model.
    SolverError
        If the equations of someone who was drawn cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.simulate_study("oral", protocol="ogtt(75)", times=[0, 30, 120], subjects=3, random_seed=1)
    >>> study.subjects, study.analytes
    (('1', '2', '3'), ('glucose', 'insulin'))
    >>> sorted(study.truth)[:2]
    ['absorption_rate', 'adrenergic_half_glucose']
    """
    seed = seed_of(random_seed)
    fitted = require_fit(model) if isinstance(model, xr.DataTree) else None
    spec = load_model(model.attrs["model_text"] if isinstance(model, xr.DataTree) else model)
    problems = Problems("simulate_study")
    if population not in POPULATIONS:
        problems.unknown(population, POPULATIONS, "population")
    for name in (*(analytes or ()), *(sigma or {})):
        if name not in spec.analytes:
            problems.unknown(name, list(spec.analytes), "analyte")
    if (like is None) == (protocol is None and times is None):
        problems.add("give a study to simulate people like (like=...), or a protocol and times, not both.")
    elif like is None and (protocol is None or times is None):
        missing = "times" if times is None else "protocol"
        problems.add(f"a protocol needs times, and times a protocol: {missing} is missing.")
    if forcing := [name for name, analyte in spec.analytes.items() if analyte.forcing]:
        problems.add(
            f"the model '{spec.name}' is driven by measured {' and '.join(forcing)}, which it cannot "
            "simulate: take people of a model that makes it itself."
        )
    problems.raise_any(InputError)
    if like is None:
        wanted = list(analytes or spec.analytes)
        study = _empty(spec, protocol, times, subjects, wanted, covariates, body_weight)
    else:
        study = load_study(like)
    d, rng = make_design(spec, study), np.random.default_rng(seed)
    values = _drawn(d, fitted, population, rng)
    for name, sd in (sigma or {}).items():
        if name in d.analytes:
            values.sigma[..., d.analytes.index(name)] = sd
    true = values.at(0)
    predicted, outcome = d.predict(d.theta(true), d.true_forcing(true))
    require_solved(outcome, [f"subject {subject}" for subject, _ in d.study.occasions])
    sampled = measured(d, values, predicted[None, None], rng)[0, 0]
    return within_limits(spec, replace(
        d.study,
        name=f"simulated {spec.name}",
        observations=_with_samples(d, sampled),
        truth=_truth(d, true),
        datasheet={"title": f"Simulated people: {spec.title}", "note": f"Drawn with random_seed={seed}."},
    ))  # fmt: skip


def _empty(spec, protocol, times, subjects, wanted, covariates, body_weight) -> Study:
    """People, tests and times, with samples that are still to be drawn."""
    labels = [str(i + 1) for i in range(subjects)] if isinstance(subjects, int) else list(map(str, subjects))
    if covariates is not None and isinstance(subjects, int) and "subject" in covariates:
        labels = covariates["subject"].astype(str).tolist()
    usual = {name: _usual(name) for name in wanted}
    table = pd.DataFrame(
        [(s, t, name, usual[name], canonical_unit(name)) for s in labels for name in wanted for t in times],
        columns=["subject", "time", "analyte", "value", "unit"],
    )
    return Study.from_table(
        table, protocol=protocol, subjects=covariates, body_weight=body_weight, name=f"simulated {spec.name}"
    )


def _usual(analyte: str) -> float:
    """A value that no check takes for a slip."""
    kind = known_analytes()[analyte]
    low, high = kind.usual_fasting or kind.usual or kind.plausible or (1.0, 1.0)
    return float(np.sqrt(max(low, 1e-3 * high) * high))


def _drawn(d: Design, fitted: xr.DataTree | None, population: str, rng: np.random.Generator) -> Values:
    """People of a population, as one draw ``(1, ...)``."""
    i = d.individuals
    if fitted is None and population == "prior":
        return d.draw_prior(1, rng)
    at = d.prior_medians
    population_, sigma = at, at.sigma
    if fitted is not None:
        posterior = fitted["posterior"].to_dataset()
        chain, draw = (int(rng.integers(posterior.sizes[dim])) for dim in ("chain", "draw"))
        one = posterior.isel(chain=[chain], draw=[draw])
        population_ = population_of(one, i, absent_effect=0.0, rng=rng).at((0, 0))
        known = {a: one[names.sigma(a)].item() for a in d.analytes if names.sigma(a) in one}
        sigma = np.array([known.get(a, usual) for a, usual in zip(d.analytes, at.sigma, strict=True)])
    shared = (population_.typical, population_.effect, population_.omega, population_.correlation)
    typical, effect, omega, correlation = (values[None] for values in shared)
    missing = population_.missing[None].copy()
    i.missing.parts(missing).value[:] = np.nan  # of these people it is drawn anew
    missing = i.missing.draw(missing, rng)
    individual = i.draw(typical, effect, omega, correlation, rng, missing)
    forcing_error = rng.normal(size=(1, d.forcing.n_errors))
    errors = sigma[None].copy()
    return Values(typical, effect, omega, errors, correlation, individual, forcing_error, missing)


def _with_samples(d: Design, sampled: np.ndarray) -> xr.Dataset:
    """The observations of the study with what was sampled; the others are missing. An assay whose noise
    reaches below zero tells no more than that."""
    obs = d.study.observations
    value = pd.Series(np.nan, index=obs.obs.values)
    value[d.obs] = sampled
    below = pd.Series(False, index=value.index)
    below[d.obs] = d.rows.part(slice(d.n_obs)).below_zero(sampled)
    censoring = ("obs", np.where(below, "left", "none"))
    return obs.assign(value=("obs", value.to_numpy(), obs.value.attrs), censoring=censoring)


def _truth(d: Design, values: Values) -> xr.Dataset:
    theta, people = d.theta(values), d.individuals
    found = {}
    for k, (p, column) in enumerate(zip(people.estimated, people.layout.columns, strict=True)):
        if p.level == "subject":
            found[p.name] = ("subject", people.of_people(values.individual, k), {"units": p.unit})
        elif p.level != "occasion" or len(people.occasions) == len(people.subjects):
            found[p.name] = ("subject", theta[people.first_occasion, column], {"units": p.unit})
    return xr.Dataset(found, coords={"subject": np.array(people.subjects)})
