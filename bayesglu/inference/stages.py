"""The stages of sampling: modes, steps of the solver, a pilot run, better coordinates, chains."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.hierarchy.design import Design
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.modes import find_modes
from bayesglu.inference.other_modes import OtherMode
from bayesglu.inference.pilot import refresh
from bayesglu.inference.progress import Progress
from bayesglu.inference.run_folder import Run
from bayesglu.inference.sampler import Failures, Sampling, sample
from bayesglu.inference.steps import (
    TRIED,
    kept_steps,
    of_laplace,
    weighted,
    with_frozen_steps,
    with_kept_steps,
)

SHORTEST_WITH_PILOT = 200
"""Tuning draws of which half may go to a pilot run that re-estimates the whitened coordinates (`pilot`)."""

PILOT_DEPTH = 6
"""A trajectory of the pilot run is doubled so often, at most: it has 63 steps, and not 1,023."""


class Sampled(NamedTuple):
    """A density, and `positions` ``(chain, draw, x)``, draws of its coordinates.

    `groups` : statistics of the sampler, where there was one. `continued` : where chains were. `weights` : of
    the draws, where they had any, the ``pareto_k`` and ``efficiency``, and the ``tolerance`` of frozen steps.
    `others` : who has a mode that a Laplace approximation knows nothing of.
    """

    density: Density
    positions: np.ndarray
    groups: Mapping[str, xr.Dataset]
    continued: list[dict]
    weights: Mapping[str, float]
    others: tuple[OtherMode, ...] = ()


def sampled(
    d: Design,
    sampling: Sampling,
    failures: Failures,
    progress: Progress,
    cores: int | None = None,
    run: Run | None = None,
    start: Expansion | None = None,
) -> Sampled:
    """Draws of the posterior of a design.

    start : taken in place of the modes.
    """
    progress.doing("modes")
    whitens = sampling.parametrization == "whitened"
    if sampling.method == "laplace":
        modes = find_modes(d)
        density = Density(d, modes.expansion)
        rng = np.random.default_rng(sampling.seed)
        positions = rng.normal(size=(1, sampling.draws, density.size))
        return Sampled(density, positions, {}, [], of_laplace(density, positions[0]), modes.others)
    progress.expect(sampling.chains * (sampling.tune + sampling.draws))
    pilot = sampling.tune // 4 if whitens and sampling.tune >= SHORTEST_WITH_PILOT else 0
    expansion, stepping = None, d
    if whitens:
        expansion, stepping = _prepared(d, sampling, pilot, failures, progress, cores, run, start)
    density, rest = Density(stepping, expansion), replace(sampling, tune=sampling.tune - 2 * pilot)
    kept = None if run is None else run.chains
    positions, statistics, breaks = sample(density, rest, failures, progress, cores, kept)
    weights: Mapping[str, float] = {}
    if stepping is not d:
        progress.doing("weights")
        positions, statistics, weights = _weighted(d, density, positions, statistics, sampling.seed)
    return Sampled(Density(d, expansion), positions, {"sample_stats": statistics}, breaks, weights)


def _prepared(
    d: Design,
    sampling: Sampling,
    pilot: int,
    failures: Failures,
    progress: Progress,
    cores: int | None,
    run: Run | None,
    start: Expansion | None,
) -> tuple[Expansion, Design]:
    """The linear model about the modes, or about the draws of a pilot run of so many; and the design with the
    steps of the solver with which it is to be sampled."""
    freezes = sampling.steps == "frozen"
    if run is not None and (kept := run.expansion("coordinates")):
        return kept, with_kept_steps(d, run.kept("steps") or {}) if freezes else d
    before = None if run is None else run.expansion("modes")
    expansion = before or start or find_modes(d).expansion
    first, stepping = Density(d, expansion), d
    if freezes:
        about = np.random.default_rng(sampling.seed + 3).normal(size=(TRIED, first.size))
        stepping = with_frozen_steps(d, first.unpack(about))
    if pilot:
        if run is not None:
            run.keep("modes", asdict(expansion))
        short = _short(sampling, pilot)
        density = Density(stepping, expansion)
        there = None if run is None else run.pilot
        after = sampling.chains * (sampling.tune + sampling.draws - 2 * pilot)
        seen, _, _ = sample(density, short, failures, progress, cores, there, doing="pilot", after=after)
        expansion = refresh(first, seen)
        if freezes:
            stepping = with_frozen_steps(d, first.unpack(seen.reshape(-1, first.size)))
    if run is not None:
        if freezes:
            run.keep("steps", kept_steps(stepping))
        run.keep("coordinates", asdict(expansion))
    return expansion, stepping


def _short(sampling: Sampling, pilot: int) -> Sampling:
    """How the pilot run samples. Far from most of the posterior steps are short, and whole trajectories long;
    a part of them gets there too."""
    most = max(min(sampling.nuts.get("maxdepth", PILOT_DEPTH), PILOT_DEPTH), sampling.nuts.get("mindepth", 0))
    nuts = {**sampling.nuts, "maxdepth": most}
    return replace(sampling, method="nuts", draws=pilot, tune=pilot, seed=sampling.seed + 2, nuts=nuts)


def _weighted(
    d: Design, density: Density, positions: np.ndarray, statistics: xr.Dataset, seed: int
) -> tuple[np.ndarray, xr.Dataset, dict[str, float]]:
    """Positions (chain, draw, x) of draws of the density and their statistics, as they are of a design's own;
    and what is to be told of their weights."""
    values = density.unpack(positions.reshape(-1, density.size))
    rng = np.random.default_rng(seed + 4)
    places, diagnostics = weighted(d, density.design, values, len(positions), rng)
    which = xr.DataArray(places, dims=("chain", "draw"))
    chains = xr.DataArray(np.arange(len(positions)), dims="chain")
    chosen = statistics.drop_vars(("chain", "draw")).isel(chain=chains, draw=which)
    chosen = chosen.assign_coords(chain=statistics.chain, draw=statistics.draw)
    return positions[chains.values[:, None], places], chosen, diagnostics
