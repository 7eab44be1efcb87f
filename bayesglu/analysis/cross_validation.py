"""Cross-validation by people: some are left out of a fit, which predicts them as new subjects."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.checks import check
from bayesglu.analysis.marginal import marginal, unseen
from bayesglu.analysis.population import completed, design_of_new, draws_of_population
from bayesglu.errors import InputError
from bayesglu.hierarchy.covariates import lacking
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.posterior import population_of
from bayesglu.inference.datatree import measured, predict
from bayesglu.inference.fitting import fit
from bayesglu.inference.progress import tracked
from bayesglu.inference.starts import start_of
from bayesglu.parallel import cores
from bayesglu.physiology.registry import modules_of
from bayesglu.pieces import Kept, check_executor, in_pieces
from bayesglu.results import require_table
from bayesglu.seeds import seed_of
from bayesglu.settings import MANY
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study
from bayesglu.text.wording import some

POPULATION_DRAWS = 500
"""Draws of a population, at most, under which the samples of people are weighed."""

LEFT_OUT = "left_out_subject"


def cross_validate(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    by: str | int = "person",
    probability: float = 0.9,
    *,
    start: xr.DataTree | None = None,
    keep: str | Path | None = None,
    executor: Any = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = None,
    **settings,
) -> xr.Dataset:
    """Cross-validation by people: predictive bands and log densities of people whom the fit has not seen.

    Of each fold the model is fitted to all the others, and each person of the fold is treated as a new
    subject, drawn from the estimated population with each of its draws: what is said of a person holds the
    differences between people, the uncertainty of the population and the assay's error. Of a covariate or an
    analyte that nobody else has, what the prior says is added. The log density is of all samples of a person
    together, the person's own parameters integrated out.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    by : str or int
        ``"person"`` leaves out one after another; a number makes so many folds of people at random; the name
        of a covariate with levels, such as ``"group"``, leaves out one level after another.
    probability : float
        Probability of the equal-tailed bands.
    start : xarray.DataTree, optional
        A fit of the model to the whole study, in whose coordinates every fold begins, so that ``tune=400``
        is enough. With ``method="laplace"`` there is none.
    keep : str or Path, optional
        A folder in which each fold is kept as it ends. The same call resumes from there.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        How many local processes, or what makes the folds; by default as many local processes as there are
        cores for, each with all chains of a fit at a time.
    progressbar : bool
        Whether to show progress.
    random_seed : int or numpy.random.Generator, optional
        Seed of every fit; drawn where it is not given, and kept in the attributes.
    **settings
        Those of `fit`, such as ``draws=500`` or ``method="laplace"``.

    Returns
    -------
    xarray.Dataset
        Dim ``obs``: ``subject``, ``occasion``, ``analyte``, ``time`` (min), ``value`` (canonical unit),
        ``censoring``, ``lower``, ``median``, ``upper`` and ``inside``. A censored sample is inside where its
        band reaches into what its limit allows. Dim ``left_out_subject``: ``elpd``, the log density of the
        person's samples per canonical units, ``elpd_error``, its Monte Carlo error, and ``fold_of``. Dim
        ``fold``: whether the fit was ``clean``, the ``verdict`` of `check`, its ``problems`` and ``seconds``.

    Raises
    ------
    InputError
        If the study has one person, folds cannot be made so, a setting cannot be used, or `keep` is a folder
        of something else.
    InUseError
        If another process works in the folder `keep`.
    StudyError
        If model and study do not go together.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    SolverError
        If the equations cannot be solved where a fit is to start.
    WorkerLostError
        If a process was ended before its work was done.

    Examples
    --------
    >>> import bayesglu as bg
    >>> test = dict(protocol="ivgtt(0.3)", times=[0, 4, 10, 30, 60], subjects=2)
    >>> study = bg.simulate_study("ivgtt", **test, random_seed=1)
    >>> quick = dict(method="laplace", draws=30, progressbar=False, random_seed=1)
    >>> found = bg.cross_validate("ivgtt", study, by="person", **quick)
    >>> found.sizes["left_out_subject"], found.sizes["fold"]
    (2, 2)
    """
    spec, study = load_model(model), load_study(study)
    check_executor(executor)
    kept = Kept(Path(keep), "cross_validation", "fold") if keep is not None else None
    seed = seed_of(kept.seed() if kept is not None and random_seed is None else random_seed)
    folds = folds_of(study, by, seed)
    done = made(spec, study, folds, seed, probability, settings, start, kept, executor, progressbar)
    result = xr.concat([one["bands"] for one in done if one["bands"].sizes["obs"]], "obs")
    people = [one["people"].assign(fold_of=(LEFT_OUT, [label] * one["people"].sizes[LEFT_OUT]))
              for label, one in zip(folds, done, strict=True)]  # fmt: skip
    result = result.merge(xr.concat(people, LEFT_OUT)).assign_coords(fold=list(folds))
    for name in ("clean", "verdict", "problems", "seconds"):
        result[name] = ("fold", [one[name] for one in done])
    about = {"model": spec.name, "study": study.name, "by": str(by), "probability": probability}
    result.attrs = {**about, "random_seed": seed}
    return result


def leave_one_out(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    subjects: Sequence[str] | None = None,
    probability: float = 0.9,
    random_seed: int | np.random.Generator | None = None,
    **settings,
) -> xr.Dataset:
    """Leave-one-subject-out cross-validation: predictive bands of people whom the fit has not seen.

    As `cross_validate` by person, of some people alone, and without log densities of all samples of each. The
    bands hold the differences between people, the uncertainty of the population and the assay's error.
    Analytes that nobody else has get no bands.

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
    seed = seed_of(random_seed)
    folds = folds_of(study, "person", seed)
    if subjects is not None:
        folds = {s: folds[s] for s in study.select(subjects=subjects).subjects}
    done = made(spec, study, folds, seed, probability, settings, weighed=False, executor=1)
    result = xr.concat([one["bands"] for one in done if one["bands"].sizes["obs"]], "obs")
    result = result.assign_coords({LEFT_OUT: list(folds)})
    result["clean"] = (LEFT_OUT, np.array([one["clean"] for one in done]))
    result.attrs = {"model": spec.name, "study": study.name, "probability": probability}
    result.attrs["random_seed"] = seed
    return result


def coverage(left_out: xr.Dataset) -> pd.DataFrame:
    """How many samples lie inside their predictive bands.

    Parameters
    ----------
    left_out : xarray.Dataset
        As `leave_one_out` or `cross_validate` returns it.

    Returns
    -------
    pandas.DataFrame
        One row per analyte and subject, and a row ``all`` for each analyte: ``inside``, ``samples`` and their
        ratio, ``share``.

    Raises
    ------
    InputError
        If it is not what `leave_one_out` or `cross_validate` returned.

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


# --- folds ---


def folds_of(study: Study, by: str | int, seed: int) -> dict[str, list[str]]:
    """The label of each fold, and whom it leaves out."""
    people = list(study.subjects)
    if len(people) < 2:
        raise InputError(f"The study '{study.name}' has one person, and a fit without them has nobody.")
    if by == "person":
        return {person: [person] for person in people}
    if isinstance(by, int) and not isinstance(by, bool):
        if not 2 <= by <= len(people):
            raise InputError(f"by is {by}; {len(people)} people make 2 to {len(people)} folds.")
        places = np.random.default_rng(seed).permutation(len(people)) % by
        return {f"{k + 1} of {by}": [p for p, at in zip(people, places, strict=True) if at == k]
                for k in range(by)}  # fmt: skip
    levels = [str(n) for n, values in study.covariates.items() if values.dtype.kind not in "if"]
    if by not in levels:
        known = f" or a covariate with levels ({', '.join(levels)})" if levels else ""
        raise InputError(f"by is {by!r}; folds are by 'person', by a number of folds{known}.")
    if without := lacking(study.covariates, by):
        raise InputError(
            f"{by} is missing for {some(without)}, who are in no fold: leave them out with study.select, or "
            "give another by."
        )
    level = dict(zip(people, map(str, study.covariates[by].sel(subject=people).values), strict=True))
    folds = {name: [p for p in people if level[p] == name] for name in dict.fromkeys(level.values())}
    if len(folds) < 2:
        raise InputError(f"All people are of one level of {by}, and a fit without them has nobody.")
    return folds


def made(
    spec: ModelSpec,
    study: Study,
    folds: dict[str, list[str]],
    seed: int,
    probability: float,
    settings: dict,
    start: xr.DataTree | None = None,
    kept: Kept | None = None,
    executor: Any = None,
    progressbar: bool = False,
    weighed: bool = True,
) -> list[dict]:
    """What each fold is found to be: see `fold`."""
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability:g}; it must be between 0 and 1.")
    everyone, pieces = set(study.subjects), {}
    for number, people in enumerate(folds.values()):
        own = None if start is None else start_of(start, everyone - set(people))
        pieces[number] = (spec, study, people, seed, probability, settings, own, weighed)
    about = {"model": spec.name, "model_hash": spec.hash, "study": study.name, "study_hash": study.hash}
    about |= {"seed": seed, "probability": probability, "folds": folds, "settings": settings}
    about |= {"start": None if start is None else int(start.attrs["random_seed"])}
    each = min(settings.get("chains") or 4, settings.get("cores") or cores())
    shown, modules = tracked("folds", progressbar), modules_of(spec.structure)
    done = in_pieces(fold, pieces, kept, about, executor, each, modules, shown)
    read = {"bands": xr.Dataset.from_dict, "people": xr.Dataset.from_dict}
    return [{k: read.get(k, lambda v: v)(v) for k, v in done[number].items()} for number in pieces]


def fold(
    spec: ModelSpec,
    study: Study,
    people: list[str],
    seed: int,
    probability: float,
    settings: dict,
    start: xr.DataTree | None,
    weighed: bool,
) -> dict:
    """Bands and log densities of people, from a fit without them, as dictionaries; and how the fit went."""
    began = time.perf_counter()
    others = study.select(subjects=[s for s in study.subjects if s not in people])
    given: dict[str, Any] = {"progressbar": False, **settings} | ({} if start is None else {"start": start})
    found = fit(spec, others, random_seed=seed, **given)
    verdict = check(found, warn=False)
    known = [a for a in study.select(subjects=people).analytes if a in others.analytes]
    solver = json.loads(found.attrs["settings"])["solver"]
    rng, bands, density = np.random.default_rng(seed), _no_bands(study), {}
    if known:
        theirs = study.select(subjects=people, analytes=known)
        d = design_of_new(spec, theirs, found, solver, warn=False)
        bands = _bands(d, _measured(d, found, rng), probability)
        if weighed:
            m = unseen(marginal(spec, theirs, found, POPULATION_DRAWS, solver, rng))
            density = {s: (m.elpd[i], m.error[i]) for i, s in enumerate(theirs.subjects)}
    elpd, error = np.array([density.get(s, (np.nan, np.nan)) for s in people]).T
    return {
        "bands": bands.to_dict(),
        "people": xr.Dataset(
            {"elpd": (LEFT_OUT, elpd), "elpd_error": (LEFT_OUT, error)}, {LEFT_OUT: people}
        ).to_dict(),
        "clean": verdict.clean,
        "verdict": verdict.headline,
        "problems": "\n".join(verdict.problems),
        "seconds": time.perf_counter() - began,
    }


def _measured(d: Design, found: xr.DataTree, rng: np.random.Generator) -> np.ndarray:
    """Samples ``(draw, obs)`` of new people whose occasions are those of `d`, drawn from a fit's
    population."""
    people, population = d.individuals, completed(draws_of_population(found, MANY, 1), d, rng)
    values = population_of(population, people, d.analytes, rng=rng)
    missing = people.missing.draw(values.missing, rng)
    own = people.draw(values.typical, values.effect, values.omega, values.correlation, rng, missing)
    forcing_error = rng.normal(size=(*own.shape[:2], d.forcing.n_errors))
    values = values._replace(individual=own, forcing_error=forcing_error, missing=missing)
    predicted, _ = predict(d, values)
    return measured(d, values, predicted, rng).reshape(-1, d.n_obs)


COLUMNS = ("subject", "occasion", "analyte", "time", "value", "censoring")


def _bands(d: Design, measured: np.ndarray, probability: float) -> xr.Dataset:
    tail = (1 - probability) / 2
    low, middle, high = np.nanquantile(measured, [tail, 0.5, 1 - tail], axis=0)
    own = d.study.observations.sel(obs=d.obs).drop_vars("obs")
    value, censoring = own.value.values, own.censoring.values
    inside = ((low <= value) | (censoring == "right")) & ((value <= high) | (censoring == "left"))
    bands = {"lower": low, "median": middle, "upper": high, "inside": inside}
    return own[[*COLUMNS]].assign({name: ("obs", values) for name, values in bands.items()})


def _no_bands(study: Study) -> xr.Dataset:
    """Of people who have nothing that others have."""
    return study.observations[[*COLUMNS]].isel(obs=slice(0)).drop_vars("obs")
