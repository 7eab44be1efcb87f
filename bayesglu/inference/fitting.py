"""Fit a model to a study."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import to_dataset
from bayesglu.inference.datatree import (
    data_groups,
    in_chains,
    log_prior_group,
    predict,
    provenance,
    samples_groups,
    tree_of,
)
from bayesglu.inference.density import Density
from bayesglu.inference.fit_files import is_whole, load, write
from bayesglu.inference.kept_coordinates import COORDINATES, keep_coordinates
from bayesglu.inference.modes import find_modes
from bayesglu.inference.pilot import refresh
from bayesglu.inference.run_folder import Run
from bayesglu.inference.sampler import Failures, Sampling, sample
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, load_model, model_of
from bayesglu.study.study import Study, load_study

DRAWS = {"nuts": 1000, "laplace": 400}
PRIOR_DRAWS = 500

SHORTEST_WITH_PILOT = 200
"""Tuning draws of which half may go to a pilot run that re-estimates the coordinates (`refresh`)."""


def fit(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    draws: int | None = None,
    tune: int = 1000,
    chains: int = 4,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
    method: str = "nuts",
    cores: int | None = None,
    target_accept: float = 0.9,
    parametrization: str = "whitened",
    nuts: Mapping | None = None,
    resume: str | Path | None = None,
    **solver_settings,
) -> xr.DataTree:
    """The posterior of a model given a study, as a DataTree that ArviZ understands.

    method : ``"nuts"`` samples with nutpie, the sampler that PyMC uses by default. ``"laplace"`` gives
        posterior modes with a Laplace approximation in seconds, with draws of a Gaussian about the modes; it
        takes readings that drive the model as exact, and correlations as zero.
    cores : chains that run at a time; by default as many as there are cores.
    draws : of each chain, 1000 if not said; of the Gaussian of ``"laplace"`` 400, which are independent.
    parametrization : ``"whitened"`` (see `density`) or ``"noncentered"``; the posterior is the same.
    tune : draws to tune the sampler, not kept. In whitened coordinates half of them are a pilot run, whose
        draws make the coordinates better; with fewer than 200 there is none.
    nuts : more settings for nutpie, such as ``{"maxdepth": 8}``.
    resume : a folder, ``"run.zarr"``, in which draws are kept as they come. When the run is stopped, even
        killed, the same call goes on with it; with more draws it draws more. A chain that was stopped while
        it tuned starts again and is the same to the last bit. One that had draws goes on from its last, with
        a short new tuning: a valid continuation, but not the chain that it would have been; where, stands in
        the attribute ``continued``, and `check` says so.
    solver_settings : rtol, atol, max_steps.

    Groups: ``posterior`` and ``prior`` with individual parameters (chain, draw, subject), typical values,
    between-subject SDs, covariate factors and assay errors, all on their natural scale with their unit in the
    attributes, and in a model driven by measured insulin the true ``insulin_at_readings`` (chain, draw,
    reading), or the like of what else drives it; ``sample_stats``; ``observed_data``, ``constant_data`` and
    ``protocols``; over (chain, draw, obs) ``fitted`` (without assay error), ``posterior_predictive`` (with
    it) and ``log_likelihood``; ``coordinates`` if they are whitened, for `build`. The attributes hold the
    model's text, hashes (also of parts that are not bayesglu's own), versions and a seed that gives the same
    fit again.

    Raises SpecError or StudyError when model and study do not fit together, SolverError when the equations
    cannot be solved where the sampler is to start. `bayesglu.check` judges the result.

    >>> import bayesglu
    >>> quick = bayesglu.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> 1e-5 < float(quick.posterior.insulin_sensitivity.median()) < 1e-3
    True
    """
    if method not in DRAWS:
        raise InputError(f"There is no method '{method}'. Known: {', '.join(DRAWS)}.")
    if parametrization not in ("whitened", "noncentered"):
        raise InputError(f"There is no parametrization '{parametrization}'. Known: whitened, noncentered.")
    if resume is not None and method != "nuts":
        raise InputError(f"resume keeps draws of method 'nuts'; '{method}' takes seconds and needs none.")
    draws = DRAWS[method] if draws is None else draws
    _check_counts(draws=draws, chains=chains)
    began = time.perf_counter()
    d = _design(model, study, **solver_settings)
    run = Run(resume) if resume is not None else None
    going_on = run is not None and run.described
    if going_on and random_seed is None:
        random_seed = run.about()["seed"]
    seed = seed_of(random_seed)
    sampling = Sampling(
        draws, tune, chains, seed, target_accept, parametrization, dict(nuts or {}), solver_settings
    )
    about = {**asdict(sampling), **_identity(d)}
    failures = Failures(d)
    pilot = (
        tune // 4 if parametrization == "whitened" and method == "nuts" and tune >= SHORTEST_WITH_PILOT else 0
    )
    if going_on:
        run.check(about)
        if run.about()["draws"] == draws and is_whole(run.fit):
            return load(run.fit)
        expansion = run.expansion()
    else:
        expansion = find_modes(d) if parametrization == "whitened" or method == "laplace" else None
        if pilot:
            first = Density(d, expansion)
            short = replace(sampling, draws=pilot, tune=pilot, seed=seed + 2)
            seen, _, _ = sample(first, short, failures, cores, progressbar, doing="pilot")
            expansion = refresh(first, seen)
    if run is not None:
        run.begin(about, expansion)
    density = Density(d, expansion)
    groups: dict[str, xr.Dataset] = {}
    breaks: list[dict] = []
    if method == "laplace":
        positions = np.random.default_rng(seed).normal(size=(1, draws, density.size))
    else:
        rest = replace(sampling, tune=tune - 2 * pilot)
        found = sample(density, rest, failures, cores, progressbar, run)
        positions, groups["sample_stats"], breaks = found
    attrs = provenance(d, method, seed, asdict(sampling))
    tree = _tree(d, density, positions, np.random.default_rng(seed + 1), groups, failures, attrs)
    tree.attrs |= {"failed_solves": json.dumps(failures.told()), "wall_seconds": time.perf_counter() - began}
    tree.attrs["continued"] = json.dumps(breaks)
    if run is not None:
        write(tree, run.fit)
    return tree


def with_data(
    previous: xr.DataTree,
    study: Study | str | Path,
    random_seed: int | np.random.Generator | None = None,
    **changes,
) -> xr.DataTree:
    """Fit another study as a `previous` fit was made: its model and settings, but for `changes`.

    Nothing is compiled again, whatever the number of people, samples and doses; only what a study gives that
    no study gave before (say, insulin by vein) brings its own code, within a second.

    >>> import bayesglu
    >>> first = bayesglu.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> again = bayesglu.with_data(first, "bergman1986", random_seed=1, progressbar=False)
    >>> bool((again.posterior.basal_glucose == first.posterior.basal_glucose).all())
    True
    """
    kept = json.loads(previous.attrs["settings"])
    names = ("draws", "tune", "chains", "target_accept", "parametrization", "nuts")
    settings = {name: kept[name] for name in names} | kept["solver"] | {"method": previous.attrs["method"]}
    if changes.get("method", settings["method"]) != settings["method"]:
        del settings["draws"]
    spec = model_of(previous.attrs)
    return fit(spec, study, random_seed=random_seed, **{**settings, **changes})


def prior_predictive(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    draws: int = 500,
    random_seed=None,
    **solver_settings,
) -> xr.DataTree:
    """What the model expects of a study before it has seen the data: groups ``prior`` and
    ``prior_predictive``.

    Dims as in `fit`, with one chain. Draws whose equations could not be solved are not-a-number, and counted
    in the attribute ``failed_solves``.
    """
    _check_counts(draws=draws)
    d = _design(model, study, **solver_settings)
    seed, failures = seed_of(random_seed), Failures(d)
    rng = np.random.default_rng(seed)
    values = in_chains(d.draw_prior(draws, rng), 1)
    predicted, outcome = predict(d, values)
    failures.count(outcome)
    made = samples_groups(d, values, predicted, rng)
    groups = {"prior": to_dataset(d, values), "prior_predictive": made["posterior_predictive"]}
    attrs = provenance(d, "prior", seed, {"draws": draws, "solver": solver_settings})
    attrs["failed_solves"] = json.dumps(failures.told())
    return tree_of({**groups, "fitted": made["fitted"], **data_groups(d)}, attrs)


def _design(model, study, **solver_settings) -> Design:
    return make_design(load_model(model), load_study(study), **solver_settings)


def _check_counts(**counts: int) -> None:
    wrong = [f"{name} is {count}; it must be 1 or more." for name, count in counts.items() if count < 1]
    if wrong:
        raise InputError("\n".join(wrong))


def _identity(d: Design) -> dict[str, str]:
    """Of what a run is: its draws mean something for this alone."""
    equations = sha256(d.solver.system.text().encode()).hexdigest()
    return {"model": d.spec.hash, "study": d.study.hash, "equations": equations}


def _tree(d: Design, density: Density, positions, rng, groups, failures: Failures, attrs) -> xr.DataTree:
    chains, draws, _ = positions.shape
    values = in_chains(density.unpack(positions.reshape(chains * draws, -1)), chains)
    predicted, outcome = predict(d, values)
    failures.count(outcome)
    prior = in_chains(d.draw_prior(PRIOR_DRAWS, rng), 1)
    made = {"posterior": to_dataset(d, values), **groups, "prior": to_dataset(d, prior)}
    if density.expansion:
        made[COORDINATES] = keep_coordinates(density.coordinates, d)
    made["log_prior"] = log_prior_group(d, values, predicted)
    return tree_of({**made, **samples_groups(d, values, predicted, rng), **data_groups(d)}, attrs)
