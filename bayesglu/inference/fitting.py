"""Fit a model to a study."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.errors import InputError, RenamedWarning, RunWarning, warn_caller
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import to_dataset
from bayesglu.inference.checksums import DamagedFitError
from bayesglu.inference.datatree import (
    NEW_PEOPLE,
    data_groups,
    in_chains,
    log_prior_group,
    new_people_group,
    predict,
    provenance,
    samples_groups,
    tree_of,
)
from bayesglu.inference.fit_files import draws_of, load, write
from bayesglu.inference.kept_coordinates import COORDINATES, keep_coordinates
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.progress import Progress
from bayesglu.inference.run_folder import Run
from bayesglu.inference.sampler import Failures, Sampling, usual_acceptance
from bayesglu.inference.stages import Sampled, sampled
from bayesglu.inference.starts import expansion_of
from bayesglu.inference.steps import usual_steps
from bayesglu.renamed import METHODS
from bayesglu.seeds import seed_of
from bayesglu.settings import EARLIER, NUTS, SAMPLING, SOLVER, check_all, check_settings
from bayesglu.spec.model import ModelSpec, load_model, model_of
from bayesglu.study.study import Study, load_study

DRAWS = {"nuts": 1000, "mclmc": 1000, "laplace": 400}
PRIOR_DRAWS = 500


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
    target_accept: float | None = None,
    parametrization: str = "whitened",
    steps: str | None = None,
    nuts: Mapping | None = None,
    resume: str | Path | None = None,
    start: xr.DataTree | None = None,
    **solver_settings,
) -> xr.DataTree:
    """The posterior of a model given a study, as a DataTree that ArviZ understands.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    draws : int, optional
        Draws of each chain, by default 1000; of the Laplace approximation 400, which are independent.
    tune : int
        Draws that tune the sampler and are not kept. In whitened coordinates half of them are a pilot run,
        whose draws re-estimate them; with fewer than 200 there is none.
    chains : int
        How many chains.
    random_seed : int or numpy.random.Generator, optional
        Seed of everything random; drawn where it is not given, and kept in the attributes.
    progressbar : bool
        Whether to show progress.
    method : str
        ``"nuts"`` samples with nutpie, the sampler that PyMC uses by default. ``"mclmc"``, which nutpie calls
        experimental, may take fewer gradients per effective draw and is not adjusted: its SDs may be wrong.
        ``"laplace"`` gives posterior modes with a Laplace approximation in seconds; it takes a forcing
        function as exact, and correlations as where the prior expects them.
    cores : int, optional
        Chains that run at a time; by default as many as there are cores.
    target_accept : float, optional
        Target acceptance rate of the step size adaptation; by default that of the run that `resume` goes on
        with, otherwise 0.8 where the study has several people, and 0.9 where it has one.
    parametrization : str
        ``"whitened"`` or ``"noncentered"``; the posterior is the same.
    steps : str, optional
        ``"adaptive"`` steps of the solver, as its tolerances ask for, or ``"frozen"`` ones: while the sampler
        is at work in whitened coordinates, equations are solved with long steps that are the same for all
        parameters, so that the log density is smooth; afterwards draws are weighted to the posterior at
        the solver's tolerances, by Pareto smoothed importance sampling, and resampled, each chain in its
        order. Where no frozen steps would have even weights, and in non-centered coordinates, steps adapt.
        `check` judges the weights. By default steps of chains are those of the run that `resume` goes on
        with; otherwise they are frozen where the study has several people, and adapt where it has one, whose
        fit long steps hardly shorten.
    nuts : mapping, optional
        More settings for nutpie, such as ``{"maxdepth": 8}``.
    resume : str or Path, optional
        A folder, ``"run.zarr"``, in which draws are kept as they come. When the run is interrupted, even
        killed, the same call resumes it; with more draws it draws more. A chain that was interrupted while it
        tuned starts again and is the same to the last bit, but for one that was interrupted more than three
        times: it tunes for a shorter time. One that had draws continues from its last, with a short new
        warm-up: a valid continuation, but not the chain that it would have been; where, stands in the
        attribute ``continued``, and `check` says so. The same holds for the pilot run. One process at a time
        works in the folder, and nothing in it is ever deleted.
    start : xarray.DataTree, optional
        A fit of the same model to these people, or to more of them: sampling begins in its coordinates, and
        modes are not sought, so that fewer tuning draws will do. Where a person or a covariate effect is not
        in it, modes are sought as ever. The posterior is the same.
    **solver_settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``prior`` with individual parameters (chain, draw, subject), typical values,
        between-subject SDs, covariate factors and assay errors, all on their natural scale with their unit in
        ``attrs``, and of a forcing function, such as measured insulin in `minimal`, the true values behind
        its samples, ``insulin_forcing`` (chain, draw, forcing_obs); ``sample_stats``; ``observed_data``,
        ``constant_data`` and ``protocols``; ``fitted`` (without assay error), ``posterior_predictive`` (with
        it) and ``log_likelihood``, one variable per analyte, over (chain, draw, obs of the analyte);
        ``population_predictive``, the same samples of new people, with 400 draws at most;
        ``whitened_coordinates`` of the sampler, if it had them, for `build`. The attributes hold the model's
        text, hashes (also of parts that are not bayesglu's own), versions and a seed that gives the same fit
        again. `check` judges it.

    Raises
    ------
    InputError
        If a setting cannot be used, `resume` names a folder of something else or one whose description or
        coordinates are damaged, or a protocol of the study gives what the model has no place for.
    InUseError
        If another process works in the folder `resume`.
    WriteError
        If nothing can be written there. The draws that are kept stay.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    StudyError
        If there is no such study, or model and study do not go together.
    SolverError
        If the equations cannot be solved where the sampler is to start.

    Warns
    -----
    RunWarning
        Where the folder `resume` was left behind by a process of another host, or a part of it is damaged.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> 1e-5 < float(fit.posterior.insulin_sensitivity.median()) < 1e-3
    True
    """
    if isinstance(method, str) and method in METHODS:
        warn_caller(f"The method {method!r} is now {METHODS[method]!r}.", RenamedWarning)
        method = METHODS[method]
    given = {
        "draws": DRAWS.get(str(method), PRIOR_DRAWS) if draws is None else draws,
        **{"tune": tune, "chains": chains, "cores": cores},
        **{"progressbar": progressbar, "method": method, "parametrization": parametrization},
        **({} if target_accept is None else {"target_accept": target_accept}),
        **({} if steps is None else {"steps": steps}),
    }
    checked, nuts, solver_settings = check_all(
        (given, SAMPLING, ""), ({} if nuts is None else nuts, NUTS, "nuts"), (solver_settings, SOLVER, "")
    )
    if resume is not None and method == "laplace":
        raise InputError("resume keeps draws of chains; method 'laplace' has none and takes seconds.")
    if method == "mclmc" and (nuts or parametrization != "whitened"):
        raise InputError("method 'mclmc' takes no settings of NUTS, and whitened coordinates alone.")
    if start is not None and (method == "laplace" or parametrization != "whitened"):
        raise InputError("start gives whitened coordinates to chains; nothing else begins in them.")
    began = time.perf_counter()
    d = _design(model, study, **solver_settings)
    about_draws = expansion_of(start, d) if start is not None else None
    run = Run(resume) if resume is not None else None
    before = run.about() if run is not None and run.described else {}
    seed = seed_of(before["seed"] if before and random_seed is None else random_seed)
    checked.setdefault("steps", before.get("steps", usual_steps(d)))
    checked.setdefault("target_accept", before.get("target_accept", usual_acceptance(d)))
    if method == "laplace" or parametrization != "whitened":
        checked["steps"] = "adaptive"
    cores, shown = checked.pop("cores"), checked.pop("progressbar")
    sampling = Sampling(**checked, seed=seed, nuts=nuts, solver=solver_settings)
    if run is None:
        with Progress(shown) as progress:
            return _fitted(d, sampling, progress, cores, began, start=about_draws)
    about = {**asdict(sampling), **_identity(d)}
    if run.described:
        run.check(about)
        if draws_of(run.fit) == sampling.draws:
            try:
                return load(run.fit)
            except DamagedFitError as error:
                warn_caller(f"{error} It is written anew from the draws of the run.", RunWarning)
    with run.work(about), Progress(shown) as progress:
        tree = _fitted(d, sampling, progress, cores, began, run, about_draws)
        progress.doing("writing")
        write(tree, run.fit)
    return tree


def _fitted(
    d: Design,
    sampling: Sampling,
    progress: Progress,
    cores: int | None,
    began: float,
    run: Run | None = None,
    start: Expansion | None = None,
) -> xr.DataTree:
    """The fit; with a `run` from what is kept there, as far as that goes."""
    seed, failures = sampling.seed, Failures(d)
    found = sampled(d, sampling, failures, progress, cores, run, start)
    progress.doing("predictions")
    attrs = provenance(d, sampling.method, seed, asdict(sampling))
    tree = _tree(d, found, np.random.default_rng(seed + 1), failures, attrs)
    tree.attrs |= {
        "failed_solves": json.dumps(failures.rows()),
        "wall_seconds": time.perf_counter() - began,
    }
    tree.attrs |= {"continued": json.dumps(found.continued), "weights": json.dumps(found.weights)}
    if sampling.method == "laplace":
        tree.attrs["other_modes"] = json.dumps(found.others)
    return tree


def refit(
    previous: xr.DataTree,
    study: Study | str | Path,
    random_seed: int | np.random.Generator | None = None,
    **changes,
) -> xr.DataTree:
    """Fit another study with the model and settings of a previous fit.

    Nothing is compiled again, whatever the number of people, samples and doses; only a route or substance
    that no study had before (say, intravenous insulin) brings its own code, within a second.

    Parameters
    ----------
    previous : xarray.DataTree
        As `fit` and `load` return it.
    study : Study, str or Path
        A study, or its name or path.
    random_seed : int or numpy.random.Generator, optional
        Seed of the new fit; drawn where it is not given.
    **changes
        Settings of `fit` that differ from those of the previous fit.

    Returns
    -------
    xarray.DataTree
        As of `fit`.

    Raises
    ------
    InputError
        If a setting cannot be used, or a protocol of the study gives what the model has no place for.
    SpecError
        If the model has a part that is not registered.
    StudyError
        If there is no such study, or model and study do not go together.
    SolverError
        If the equations cannot be solved where the sampler is to start.

    Examples
    --------
    >>> import bayesglu as bg
    >>> first = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> again = bg.refit(first, "bergman1986", random_seed=1, progressbar=False)
    >>> bool((again.posterior.basal_glucose == first.posterior.basal_glucose).all())
    True
    """
    kept = json.loads(previous.attrs["settings"])
    if previous.attrs["method"] not in DRAWS:
        raise InputError(f"This fit is of method '{previous.attrs['method']}', which refit does not repeat.")
    kept = EARLIER | kept
    names = ("draws", "tune", "chains", "target_accept", "parametrization", "steps", "nuts")
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
    """What the model expects of a study before it has seen the data.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    draws : int
        How many draws.
    random_seed : int or numpy.random.Generator, optional
        Seed of the draws; drawn where it is not given, and kept in the attributes.
    **solver_settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    xarray.DataTree
        Groups ``prior``, ``prior_predictive`` and ``fitted`` (without assay error), with the dims of `fit`
        and one chain. Draws whose equations could not be solved are NaN, and counted in the attribute
        ``failed_solves``.

    Raises
    ------
    InputError
        If `draws` is below 1, or a protocol of the study gives what the model has no place for.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    StudyError
        If there is no such study, or model and study do not go together.

    Examples
    --------
    >>> import bayesglu as bg
    >>> expected = bg.prior_predictive("minimal", "bergman1986", draws=20, random_seed=1)
    >>> expected.prior_predictive["glucose"].sizes["draw"]
    20
    """
    draws = check_settings({"draws": draws}, SAMPLING)["draws"]
    d = _design(model, study, **solver_settings)
    seed, failures = seed_of(random_seed), Failures(d)
    rng = np.random.default_rng(seed)
    values = in_chains(d.draw_prior(draws, rng), 1)
    predicted, outcome = predict(d, values)
    failures.count(outcome)
    made = samples_groups(d, values, predicted, rng)
    groups = {"prior": to_dataset(d, values), "prior_predictive": made["posterior_predictive"]}
    attrs = provenance(d, "prior", seed, {"draws": draws, "solver": solver_settings})
    attrs["failed_solves"] = json.dumps(failures.rows())
    return tree_of({**groups, "fitted": made["fitted"], **data_groups(d)}, attrs)


def _design(model, study, **solver_settings) -> Design:
    solver_settings = check_settings(solver_settings, SOLVER)
    return make_design(load_model(model), load_study(study), **solver_settings)


def _identity(d: Design) -> dict[str, str]:
    """Of what a run is: its draws mean something for this alone."""
    equations = sha256(d.solver.system.text().encode()).hexdigest()
    nested = d.individuals.nested  # of earlier versions, which told no occasions from people, nothing is kept
    occasions = {"occasions within people": ", ".join(nested)} if nested else {}
    return {"model": d.spec.hash, "study": d.study.hash, "equations": equations, **occasions}


def _tree(d: Design, found: Sampled, rng, failures: Failures, attrs) -> xr.DataTree:
    density, (chains, draws, _) = found.density, found.positions.shape
    values = in_chains(density.unpack(found.positions.reshape(chains * draws, -1)), chains)
    predicted, outcome = predict(d, values)
    failures.count(outcome)
    prior = in_chains(d.draw_prior(PRIOR_DRAWS, rng), 1)
    made = {"posterior": to_dataset(d, values), **found.groups, "prior": to_dataset(d, prior)}
    if density.expansion:
        made[COORDINATES] = keep_coordinates(density.coordinates, d)
    made["log_prior"] = log_prior_group(d, values, predicted)
    made |= samples_groups(d, values, predicted, rng)
    return tree_of({**made, NEW_PEOPLE: new_people_group(d, values, rng), **data_groups(d)}, attrs)
