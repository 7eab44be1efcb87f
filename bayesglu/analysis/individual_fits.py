"""What a fit says of each person between the samples, on a dense grid of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.kept_study import study_of
from bayesglu.analysis.people import thinned
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import individuals_of, population_of
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import model_of
from bayesglu.study.study import Study, load_study

POINTS = 60
"""Of the grid, on each occasion, beside the times of the samples."""
REPEATS, TOGETHER = 10, 2000
"""New samples of each draw, so that the ends of their interval are smooth over time; of so many moments at
once."""
SOON = 0.1
"""Minutes after a bolus at which its peak is drawn."""


def individual_fits(
    fit: xr.DataTree,
    study: Study | str | Path | None = None,
    points: int = POINTS,
    draws: int = 100,
    random_seed: int | np.random.Generator | None = None,
    subjects: Sequence[str] | None = None,
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
    subjects : sequence of str, optional
        Of whom; by default of everyone.

    Returns
    -------
    xarray.Dataset
        Dim ``moment``, with the coordinates ``subject``, ``occasion``, ``analyte`` and ``time`` (min):
        ``median``, ``lower`` and ``upper`` (50 % interval of the expected measurement), ``sample_lower`` and
        ``sample_upper`` (90 % of new samples), canonical unit. Dim ``obs``: samples, ``value`` with
        ``sample_subject``, ``sample_occasion``, ``sample_analyte``, ``sample_time``, and ``state``:
        ``"used"``, ``"left"`` or ``"right"`` of a limit, ``"left out"``, or ``"forcing"``, of a forcing
        function, which is compared with nothing. ``piece`` of a moment counts the
        boluses of the analyte into a vein before it: no line goes from one piece to the next.

    Raises
    ------
    InputError
        If the fit was saved without its samples, it has a forcing function and no study is given, the study
        is another one, a number cannot be used, or there is no such subject.
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
    wanted = list(whole.subjects) if subjects is None else list(map(str, np.atleast_1d(subjects)))
    check_names("subject", wanted, whole.subjects)
    spec, seed = model_of(fit.attrs), seed_of(random_seed)
    rng, posterior = np.random.default_rng(seed), thinned(fit["posterior"].to_dataset(), draws)
    forcing = [name for name, analyte in spec.analytes.items() if analyte.forcing]
    d = make_design(spec, replace(whole, observations=_dense(whole, forcing, points, wanted)))
    rows = d.rows.part(slice(d.n_obs))
    population = population_of(posterior, d.individuals, d.analytes, absent_effect=0.0)
    predicted, sigma = _predicted(d, population, posterior)[..., : d.n_obs], population.sigma
    log_predicted = np.log(np.maximum(predicted, TINY))
    ends = []
    for first in range(0, d.n_obs, TOGETHER):  # so that memory stays small
        own = slice(first, min(first + TOGETHER, d.n_obs))
        part = d.rows.part(own)
        new = [part.draw(log_predicted[..., own], sigma, rng) for _ in range(REPEATS)]
        ends.append(np.nanquantile(new, [0.05, 0.95], axis=(0, 1, 2)))
    sample_lower, sample_upper = np.concatenate(ends, axis=-1)
    expected = predicted - rows.offset
    grid = d.study.observations.sel(obs=d.obs)
    q = {"median": 0.5, "lower": 0.25, "upper": 0.75}
    curves = xr.Dataset(
        {name: ("moment", np.nanquantile(expected, at, axis=(0, 1))) for name, at in q.items()}
        | {"sample_lower": ("moment", sample_lower), "sample_upper": ("moment", sample_upper)},
        {name: ("moment", grid[name].values) for name in ("subject", "occasion", "analyte", "time")},
    )
    curves = curves.isel(moment=np.isin(curves.subject.values, wanted))
    curves = curves.assign(piece=("moment", _pieces(whole, curves)))
    obs = whole.observations.isel(obs=np.isfinite(whole.observations.value.values))
    obs = obs.isel(obs=np.isin(obs.analyte.values, d.analytes) & np.isin(obs.subject.values, wanted))
    state = np.where(obs.censoring.values == "none", "used", obs.censoring.values)
    state = np.where(np.isin(obs.analyte.values, forcing) & ~_compared(obs, grid), "forcing", state)
    curves = curves.assign(value=("obs", obs.value.values))
    curves = curves.assign_coords(
        {f"sample_{n}": ("obs", obs[n].values) for n in ("subject", "occasion", "analyte", "time")}
    ).assign_coords(state=("obs", np.where(obs.use.values, state, "left out")))
    curves.attrs = {"random_seed": seed, "study": whole.name, "model": spec.name}
    return curves


def boluses(protocol: Protocol, analyte: str) -> list[float]:
    """Times (min) at which an analyte is given into a vein at once, so that its curve is broken."""
    given = (e for e in protocol.events if e.kind == "bolus" and e.route == "intravenous")
    return sorted(e.time for e in given if e.substance == analyte)


def _pieces(whole: Study, found: xr.Dataset) -> np.ndarray:
    """How many boluses of its analyte lie before each moment."""
    pieces = np.zeros(found.sizes["moment"], int)
    places: dict[tuple[str, str, str], list[int]] = {}
    for place, key in enumerate(
        zip(*(found[n].values for n in ("subject", "occasion", "analyte")), strict=True)
    ):
        places.setdefault(key, []).append(place)
    for (subject, occasion, analyte), own in places.items():
        given = boluses(whole.protocols[subject, occasion], analyte)
        pieces[own] = np.searchsorted(given, found.time.values[own])
    return pieces


def _compared(obs: xr.Dataset, grid: xr.Dataset) -> np.ndarray:
    """Which samples stand in a grid."""
    keys = ("subject", "occasion", "analyte", "time")
    there = set(zip(*(grid[name].values for name in keys), strict=True))
    return np.array([key in there for key in zip(*(obs[name].values for name in keys), strict=True)], bool)


def _dense(whole: Study, forcing: list[str], points: int, people: list[str]) -> xr.Dataset:
    """Moments of a grid in place of these people's samples, but for those of a forcing function: of each
    occasion and analyte, those of its samples among them. Values at these moments mean nothing."""
    observations = whole.observations
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
        if key[2] in forcing or key[0] not in people:
            added = {name: own[name].values for name in columns}
        else:
            time = own.time.values
            after = [t + SOON for t in boluses(whole.protocols[key[:2]], key[2]) if t + SOON < time.max()]
            time = np.unique(np.concatenate([time, np.linspace(time.min(), time.max(), points), after]))
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
