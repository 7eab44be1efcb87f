"""Leave-one-subject-out cross-validation: each is left out of a fit, which predicts them as a new subject."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.checks import check
from bayesglu.errors import InputError
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import population_of
from bayesglu.inference.datatree import measured, predict
from bayesglu.inference.fitting import fit
from bayesglu.results import require_table
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study


def leave_one_out(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    subjects: Sequence[str] | None = None,
    probability: float = 0.9,
    random_seed: int | np.random.Generator | None = None,
    **settings,
) -> xr.Dataset:
    """Leave-one-subject-out cross-validation: predictive bands of people whom the fit has not seen.

    The model is fitted to all the others, and the person is treated as a new subject, drawn from the
    estimated population once with each of its draws: the bands hold the differences between people, the
    uncertainty of the population and the assay's error. Analytes that nobody else has get no bands.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    subjects : sequence of str, optional
        Labels of the people to leave out, one after another; by default everyone.
    probability : float
        Probability of the equal-tailed bands.
    random_seed : int or numpy.random.Generator, optional
        Seed of every fit; drawn where it is not given, and kept in the attributes.
    **settings
        Those of `fit`, such as ``draws=500`` or ``method="laplace"``.

    Returns
    -------
    xarray.Dataset
        Dim ``obs``: ``subject``, ``occasion``, ``analyte``, ``time`` (min), ``value`` (canonical unit),
        ``censoring``, ``lower``, ``median``, ``upper`` and ``inside``; dim ``left_out_subject``: whether the
        fit without that subject was ``clean``. A censored sample is inside where its band reaches into what
        its limit allows.

    Raises
    ------
    InputError
        If the study has one person, the probability is not between 0 and 1, or a setting cannot be used.
    StudyError
        If a label is unknown, or model and study do not go together.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    SolverError
        If the equations cannot be solved where a fit is to start.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03"], ["glucose", "insulin"])
    >>> left_out = bg.leave_one_out("oral", study, ["P01"], method="laplace", draws=20, random_seed=1)
    >>> sorted(set(left_out.analyte.values.tolist()))
    ['glucose', 'insulin']
    """
    spec, study = load_model(model), load_study(study)
    people = list(study.subjects if subjects is None else study.select(subjects=subjects).subjects)
    if len(study.subjects) < 2:
        raise InputError(f"The study '{study.name}' has one person, and a fit without them has nobody.")
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability:g}; it must be between 0 and 1.")
    seed, parts, clean = seed_of(random_seed), [], []
    for person in people:
        others = study.select(subjects=[s for s in study.subjects if s != person])
        known = [a for a in study.select(subjects=[person]).analytes if a in others.analytes]
        found = fit(spec, others, random_seed=seed, **{"progressbar": False, **settings})
        clean.append(check(found, warn=False).clean)
        if known:
            solver = json.loads(found.attrs["settings"])["solver"]
            left_out = _left_out(spec, study, person, known, solver)
            rng = np.random.default_rng(seed)
            parts.append(_bands(left_out, _measured(left_out, found, rng), probability))
    result = xr.concat(parts, "obs").assign_coords(left_out_subject=people)
    result["clean"] = ("left_out_subject", np.array(clean))
    result.attrs = {"model": spec.name, "study": study.name, "probability": probability}
    result.attrs["random_seed"] = seed
    return result


def coverage(left_out: xr.Dataset) -> pd.DataFrame:
    """How many samples lie inside their predictive bands.

    Parameters
    ----------
    left_out : xarray.Dataset
        As `leave_one_out` returns it.

    Returns
    -------
    pandas.DataFrame
        One row an analyte and subject, and a row ``all`` for each analyte: ``inside``, ``samples`` and their
        ratio, ``share``.

    Raises
    ------
    InputError
        If it is not what `leave_one_out` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03"], ["glucose", "insulin"])
    >>> left_out = bg.leave_one_out("oral", study, ["P01"], method="laplace", draws=20, random_seed=1)
    >>> int(bg.coverage(left_out).loc[("glucose", "all"), "samples"])
    13
    """
    table = require_table(left_out, "leave_one_out", "subject", "analyte", "inside")
    table = table[["subject", "analyte", "inside"]].to_dataframe()
    counted = {"inside": ("inside", "sum"), "samples": ("inside", "size")}
    by_person = table.groupby(["analyte", "subject"], sort=False).agg(**counted)
    total = table.assign(subject="all").groupby(["analyte", "subject"], sort=False).agg(**counted)
    both = pd.concat([by_person, total]).sort_index(level="analyte", sort_remaining=False, kind="stable")
    return both.assign(share=both["inside"] / both["samples"])


def _left_out(spec: ModelSpec, study: Study, person: str, analytes: Sequence[str], solver: dict) -> Design:
    """A person's own samples; of a covariate that is missing is known what it may be from the others."""
    one = study.select(subjects=[person], analytes=analytes)
    known = one.covariates.drop_vars([name for name in one.covariates if lacking(one.covariates, name)])
    d = make_design(spec, replace(one, covariates=known), **solver)
    people = d.individuals
    occasions, covariates = people.occasions, study.covariates
    people = Individuals.of(spec, people.columns, people.names, occasions, covariates)
    return replace(d, individuals=people)


def _measured(d: Design, found: xr.DataTree, rng: np.random.Generator) -> np.ndarray:
    """Samples ``(draw, obs)`` of a new person whose occasions are those of `d`, drawn from a fit's
    population."""
    people = d.individuals
    values = population_of(found.posterior.to_dataset(), people, d.analytes, rng=rng)
    missing = people.missing.draw(values.missing, rng)
    own = people.draw(values.typical, values.effect, values.omega, values.correlation, rng, missing)
    forcing_error = rng.normal(size=(*own.shape[:2], d.forcing.n_errors))
    values = values._replace(individual=own, forcing_error=forcing_error, missing=missing)
    predicted, _ = predict(d, values)
    return measured(d, values, predicted, rng).reshape(-1, d.n_obs)


def _bands(d: Design, measured: np.ndarray, probability: float) -> xr.Dataset:
    tail = (1 - probability) / 2
    low, middle, high = np.nanquantile(measured, [tail, 0.5, 1 - tail], axis=0)
    own = d.study.observations.sel(obs=d.obs).drop_vars("obs")
    value, censoring = own.value.values, own.censoring.values
    inside = ((low <= value) | (censoring == "right")) & ((value <= high) | (censoring == "left"))
    bands = {"lower": low, "median": middle, "upper": high, "inside": inside}
    kept = own[["subject", "occasion", "analyte", "time", "value", "censoring"]]
    return kept.assign({name: ("obs", values) for name, values in bands.items()})
