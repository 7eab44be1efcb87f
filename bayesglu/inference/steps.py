"""Frozen steps for the sampler, and its draws weighted to the tight solution.

A tight tolerance pays for a smooth log density and not for accuracy: far longer steps leave the posterior
nearly as it is, if they are the same for all parameters. What is left of the difference is in the weights of
the draws, which are Pareto smoothed (Timonen et al. 2023, Stat 12:e614), and by which draws are chosen, so
that all that follows is of the tight solution.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.inference.density import Density
from bayesglu.parallel import in_threads
from bayesglu.pareto import FEWEST, chosen, smoothed
from bayesglu.solver.mesh import Mesh

TOLERANCES = (3e-4, 1e-4, 3e-5)
"""Of frozen steps, the loosest first. A looser one saves few steps more, and makes the guard's jumps larger;
below the last adaptive steps take no longer."""

PATHS, TRIED = 12, 240
"""Draws whose adaptive steps make a mesh, and draws at which it is tried."""

EVEN = 0.98
"""Efficiency of the weights of such draws from which on a tolerance will do."""

LARGEST_K = 0.5
"""Shape of their tail up to which it will: few draws decide for many, so that it lies below the 0.7 up to
which weights can be trusted."""


def usual_steps(d: Design) -> str:
    """The steps with which chains are sampled where nobody asks for others: a fit of one person, whose
    equations take one of eight lanes, is hardly shorter with long ones."""
    return "frozen" if len(d.study.subjects) > 1 else "adaptive"


def with_frozen_steps(d: Design, values: Values) -> Design:
    """The design whose equations are solved by the longest frozen steps with which draws (draw, ...) of about
    its posterior are weighted evenly enough; the design as it is, where there are none."""
    tried, few = _some(values, TRIED), _some(values, PATHS)
    tight = log_likelihood(d, tried)
    solved = np.isfinite(tight)
    if solved.sum() < TRIED // 2:
        return d
    for tolerance in TOLERANCES:
        solver = d.solver.frozen(tolerance, _solves(d, few)) if tolerance > d.solver.rtol else None
        if solver is None:
            continue
        found = replace(d, solver=solver)
        log_ratio = tight[solved] - log_likelihood(found, tried)[solved]
        if np.isfinite(log_ratio).all():
            log_weight, k = smoothed(log_ratio)
            if k <= LARGEST_K and efficiency(log_weight) >= EVEN:
                return found
    return d


def _some(values: Values, count: int) -> Values:
    return values.at(np.linspace(0, len(values.typical) - 1, count).astype(int))


def _solves(d: Design, values: Values) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parameters (occasion, parameter) of the physiology, and a measured curve at the stops, of draws."""
    theta = d.theta(values)
    level = d.forcing.at_stops(d.true_forcing(values))
    yield from zip(theta[..., : len(d.solver.system.parameters)], level, strict=True)


def log_likelihood(d: Design, values: Values) -> np.ndarray:
    """Log likelihood of draws (draw, ...), but for a constant; minus infinity where a solve failed."""
    theta, true = d.theta(values), d.true_forcing(values)

    def at(draw):
        predicted, _ = d.predict(theta[draw], true[draw])
        with np.errstate(invalid="ignore"):
            log_predicted = np.log(np.maximum(predicted, TINY))
        found = d.rows.log_density(log_predicted, values.sigma[draw]).sum()
        return found if np.isfinite(found) else -np.inf

    return np.array(in_threads(at, range(len(theta))))


def efficiency(log_weight: np.ndarray) -> float:
    """The effective sample size of weighted draws, as a share of their number."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / np.square(weight).sum() / len(weight))


def weighted(
    tight: Design, sampled: Design, values: Values, chains: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, float]]:
    """Which draws (chain, draw) of each chain are of the `tight` design, in their order, when draws (chain *
    draw, ...) are of the `sampled` one; and what is to be told of their weights."""
    log_ratio = log_likelihood(tight, values) - log_likelihood(sampled, values)
    log_weight, k = smoothed(log_ratio)
    each = np.exp(log_weight - log_weight.max()).reshape(chains, -1)
    places = np.stack([chosen(weight, len(weight), rng) for weight in each])
    diagnostics = {"tolerance": sampled.solver.rtol, "pareto_k": k, "efficiency": efficiency(log_weight)}
    return places, diagnostics


def of_laplace(density: Density, positions: np.ndarray) -> dict[str, float]:
    """What is to be told of draws (draw, x) of the Laplace approximation, if they were weighted to the
    posterior: at `TRIED` of them."""
    few = positions[:TRIED]
    if len(few) < FEWEST:
        return {}
    value = np.array(in_threads(lambda x: density(x)[0], few))
    log_ratio = np.where(np.isfinite(value), value, -np.inf) + 0.5 * np.square(few).sum(1)
    log_weight, k = smoothed(log_ratio)
    return {"pareto_k": k, "efficiency": efficiency(log_weight)}


def kept_steps(d: Design) -> dict[str, np.ndarray]:
    """By which steps a design's equations are solved, as arrays; see `with_kept_steps`."""
    mesh = d.solver.mesh
    return {"tolerance": np.array(d.solver.rtol), **(mesh._asdict() if mesh else {})}


def with_kept_steps(d: Design, kept: dict[str, np.ndarray]) -> Design:
    """The design whose equations are solved by the steps that were kept."""
    if "steps" not in kept:
        return d
    tolerance, mesh = float(kept["tolerance"]), Mesh(kept["first_step"], kept["steps"])
    return replace(d, solver=replace(d.solver, rtol=tolerance, atol=tolerance, mesh=mesh))
