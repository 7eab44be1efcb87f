"""What a fit says of each person between the samples, on a dense grid of times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.kept_study import study_of
from bayesglu.analysis.people import thinned
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import individuals_of, population_of
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import model_of
from bayesglu.study.study import Study, load_study

POINTS = 60
"""Of the grid, on each occasion, beside the times of the samples."""


def individual_fits(
    fit: xr.DataTree,
    study: Study | str | Path | None = None,
    points: int = POINTS,
    draws: int = 100,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Each person's curves as fitted, on a dense grid, with where new samples would lie.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its samples.
    study : Study, str or Path, optional
        The study that was fitted, or its name or path: with it samples that were left out are shown too, and
        it is needed where the model has a forcing function. By default it is taken from the fit.
    points : int
        How many moments of each occasion, 2 or more, beside those of its samples.
    draws : int
        About how many draws are used.
    random_seed : int or numpy.random.Generator, optional
        Seed of new samples; drawn where it is not given.

    Returns
    -------
    xarray.Dataset
        Dim ``moment``, with the coordinates ``subject``, ``occasion``, ``analyte`` and ``time`` (min):
        ``median``, ``lower`` and ``upper`` (50 % interval of the expected measurement), ``sample_lower`` and
        ``sample_upper`` (90 % of new samples), canonical unit. Dim ``obs``: samples, ``value`` with
        ``sample_subject``, ``sample_occasion``, ``sample_analyte``, ``sample_time``, and ``state``:
        ``"used"``, ``"left"`` or ``"right"`` of a limit, ``"left out"``.

    Raises
    ------
    InputError
        If the fit was saved without its samples, it has a forcing function and no study is given, the study
        is another one, or a number cannot be used.
    StudyError
        If there is no such study.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.individual_fits(fit, points=20, random_seed=1)
    >>> bool((found.sample_lower < found["median"]).all())
    True
    """
    fit = require_fit(fit)
    for name, number, least in (("points", points, 2), ("draws", draws, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise InputError(f"{name} is {number!r}; give a whole number, {least} or more.")
    whole = study_of(fit) if study is None else load_study(study)
    if study is not None and fit.attrs.get("study_hash") != whole.hash:
        raise InputError(
            f"The study '{whole.name}' is not the one that was fitted, '{fit.attrs.get('study_name')}': its "
            "samples, people or protocols differ."
        )
    spec, seed = model_of(fit.attrs), seed_of(random_seed)
    rng, posterior = np.random.default_rng(seed), thinned(fit["posterior"].to_dataset(), draws)
    forcing = [name for name, analyte in spec.analytes.items() if analyte.forcing]
    d = make_design(spec, replace(whole, observations=_dense(whole.observations, forcing, points)))
    rows = d.rows.part(slice(d.n_obs))
    population = population_of(posterior, d.individuals, d.analytes, absent_effect=0.0)
    predicted, sigma = _predicted(d, population, posterior)[..., : d.n_obs], population.sigma
    new = rows.draw(np.log(np.maximum(predicted, TINY)), sigma, rng)
    expected = predicted - rows.offset
    q = {"median": (expected, 0.5), "lower": (expected, 0.25), "upper": (expected, 0.75)}
    q |= {"sample_lower": (new, 0.05), "sample_upper": (new, 0.95)}
    grid = d.study.observations.sel(obs=d.obs)
    curves = xr.Dataset(
        {name: ("moment", np.nanquantile(of, at, axis=(0, 1))) for name, (of, at) in q.items()},
        {name: ("moment", grid[name].values) for name in ("subject", "occasion", "analyte", "time")},
    )
    obs = whole.observations.isel(obs=np.isfinite(whole.observations.value.values))
    obs = obs.isel(obs=np.isin(obs.analyte.values, d.analytes))
    state = np.where(obs.censoring.values == "none", "used", obs.censoring.values)
    curves = curves.assign(value=("obs", obs.value.values))
    curves = curves.assign_coords(
        {f"sample_{n}": ("obs", obs[n].values) for n in ("subject", "occasion", "analyte", "time")}
    ).assign_coords(state=("obs", np.where(obs.use.values, state, "left out")))
    curves.attrs = {"random_seed": seed, "study": whole.name, "model": spec.name}
    return curves


def _dense(observations: xr.Dataset, forcing: list[str], points: int) -> xr.Dataset:
    """Moments of a grid in place of the samples, but for those of a forcing function: of each occasion and
    analyte, those of its samples among them. Values at these moments mean nothing."""
    columns: dict[str, list] = {str(name): [] for name in observations.data_vars}
    whose = zip(*(observations[n].values for n in ("subject", "occasion", "analyte")), strict=True)
    for key in dict.fromkeys(whose):
        own = observations.isel(
            obs=np.logical_and.reduce(
                [
                    observations[n].values == k
                    for n, k in zip(("subject", "occasion", "analyte"), key, strict=True)
                ]
            )
        )
        if key[2] in forcing:
            added = {name: own[name].values for name in columns}
        else:
            time = own.time.values
            time = np.unique(np.concatenate([time, np.linspace(time.min(), time.max(), points)]))
            added = {name: np.full(len(time), own[name].values[0]) for name in columns}
            added |= {"time": time, "value": np.ones(len(time)), "use": np.ones(len(time), bool)}
            added["censoring"] = np.full(len(time), "none")
        added["line"] = np.zeros(len(added["time"]), int)  # read from no file
        for name in columns:
            columns[name].append(added[name])
    kept = {name: ("obs", np.concatenate(parts)) for name, parts in columns.items()}
    return xr.Dataset(kept, {"obs": np.arange(len(kept["time"][1]))})


def _predicted(d: Design, population: Values, posterior: xr.Dataset) -> np.ndarray:
    """Predictions ``(chain, draw, row)`` of the people of a fit, with its forcing function."""
    values = population._replace(individual=individuals_of(posterior, d.individuals))
    theta = d.theta(values)
    true = d.forcing.true(theta)
    if read := len(d.forcing.obs):
        output = d.spec.analytes[d.analytes[d.forcing.analyte]].output
        true[..., :read] = posterior[names.forcing(output)].transpose("chain", "draw", ...).values
    found = np.empty((*theta.shape[:2], len(d.rows.sample)))

    def solve(place):
        found[place] = d.predict(theta[place], true[place])[0]

    in_threads(solve, np.ndindex(theta.shape[:2]))
    return found
