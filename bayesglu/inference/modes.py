"""Posterior modes in seconds, found in coordinates in which the posterior is nearly a standard Normal.

Whitened about any values (`expansion`, `density`), the posterior is rounder than it was; so a mode is looked
for there, the coordinates are made anew about what was found, and so on until it lies at their origin. From
the between-subject and residual SDs everyone's deviations are integrated out (Laplace's
method), so that errors have the degrees of freedom that people leave them. What remains, a Gaussian for each
person and one for the population, is the Laplace approximation (`method="laplace"`), the starting point of
the sampler, and the coordinates in which it begins.

A climb from the medians of the prior ends at one mode; with longer strides between new coordinates it may end
at another, and the one with more probability is taken. Where single people have a higher one (`other_modes`),
they are moved there, and everyone is sought again from that place.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from bayesglu.errors import FitWarning, warn_caller
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.values import Values
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion, expand
from bayesglu.inference.other_modes import FAILED, OtherMode, seek_others
from bayesglu.parallel import in_threads
from bayesglu.solver.solver import SolverError, require_solved

ITERATIONS = 15
"""Of the optimiser, in one set of coordinates."""

STRIDES = 10.0, 3.0
"""SDs that a coordinate may go, at most, before coordinates are made anew: far from its origin a linear model
says little, and a climb that trusts it ends where hardly anyone's equations can be solved."""

MOVES = 3
"""How often, at most, people are moved to other modes: each time the population follows them, and they stay
where all together have more probability than before (Laplace's approximation, in coordinates of unit
volume)."""


class Modes(NamedTuple):
    """The linear model at the modes, and who has another mode of their own."""

    expansion: Expansion
    others: tuple[OtherMode, ...]


def find_modes(design: Design, max_rounds: int = 20, tolerance: float = 0.05) -> Modes:
    """The modes, which are nearer than `tolerance` SDs; if they are not after so many rounds, a warning says
    so.

    Raises SolverError when the typical person's equations cannot be solved.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # more threads wait longer than they work
        _require_finite(Density(design))
        search = partial(_search, design, max_rounds=max_rounds, tolerance=tolerance)
        expansion, settled = _best(design, in_threads(partial(_tried, search, design.prior_medians), STRIDES))
        density = Density(design, expansion)
        origin = np.zeros(density.size)
        for _ in range(MOVES):
            higher, others = seek_others(density, density.unpack(origin[None]).at(0))
            if higher is None:
                break
            moved, settles = search(higher, STRIDES[0])
            there = Density(design, moved)
            if there(origin)[0] <= density(origin)[0]:
                break
            expansion, settled, density = moved, settles, there
    if not settled:
        warn_caller(
            f"The posterior modes did not settle in {max_rounds} rounds. Sampling is unaffected; a Laplace "
            "approximation (method 'laplace') is of a place near them.",
            FitWarning,
        )
    return Modes(expansion, others)


def _search(
    design: Design, at: Values, stride: float, max_rounds: int, tolerance: float
) -> tuple[Expansion, bool]:
    """The linear model at the modes above `at`, sought with such strides, and whether they were found."""
    expansion = expand(design, at)
    for _ in range(max_rounds):
        density = Density(design, expansion)
        x, settled = _climb(density, stride, tolerance)
        if settled:
            return expansion, True
        at = density.unpack(x[None]).at(0)
        expansion = expand(design, at)
    return expansion, False


def _tried(search: Callable, at: Values, stride: float) -> tuple[Expansion, bool] | SolverError:
    """What a search finds, or why it cannot."""
    try:
        return search(at, stride)
    except SolverError as error:
        return error


def _best(design: Design, found: list[tuple[Expansion, bool] | SolverError]) -> tuple[Expansion, bool]:
    """Of what was found the modes with most probability."""
    ended = [it for it in found if not isinstance(it, SolverError)]
    failed = [it for it in found if isinstance(it, SolverError)]
    if not ended:
        raise failed[0]

    def mass(it: tuple[Expansion, bool]) -> float:
        density = Density(design, it[0])
        return density(np.zeros(density.size))[0]

    return max(ended, key=mass)


def _require_finite(density: Density) -> None:
    """Raise SolverError when the density is not finite at the origin, with everyone whose solve failed."""
    d = density.design
    if np.isfinite(density(np.zeros(density.size))[0]):
        return
    _, outcome = d.predict(d.theta(d.prior_medians))
    require_solved(outcome, [f"subject {subject}" for subject, _ in d.study.occasions])
    raise SolverError("The density of the samples is not finite at the typical values of the model.")


def _climb(density: Density, stride: float, tolerance: float) -> tuple[np.ndarray, bool]:
    """Coordinates nearer to the mode than the origin, none further off than a `stride`, and whether the
    origin is near enough; correlations are held at the prior's mode, and the forcing function at what was
    measured."""
    free = np.zeros(density.size, bool)
    free[: density.sds.stop], free[density.individuals] = True, True
    worst = -np.inf

    def cost(x):
        nonlocal worst
        value, gradient = density(x)
        if value == -np.inf:
            return worst + FAILED, np.zeros(len(x))
        volume, slope = _volume(density, x[density.sds])
        gradient[density.sds] += slope
        worst = max(worst, -value - volume)
        return -value - volume, np.where(free, -gradient, 0.0)

    e, stepped = density.linear_model, np.zeros(density.size)
    # Where the linear model expects everyone.
    stepped[density.individuals] = np.linalg.solve(e.scale, -e.offset[..., None]).ravel()
    starts = np.zeros(density.size), np.clip(stepped, -stride, stride)
    values = [density(x)[0] for x in starts]
    if not np.isfinite(max(values)):
        raise SolverError("The equations could not be solved near the modes.")
    start = starts[int(np.argmax(values))]
    options = {"maxiter": ITERATIONS, "maxcor": ITERATIONS, "gtol": tolerance, "ftol": 0.0}
    near = [(-stride, stride)] * density.size
    top = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=near, options=options)
    return top.x, max(np.abs(top.x).max(), np.abs(top.jac).max()) < tolerance


def _volume(density: Density, x: np.ndarray) -> tuple[float, np.ndarray]:
    """What the density lacks of the log volume that everyone's deviations have about their modes, at
    coordinates x of the SDs; and its gradient.

    With the prior's precision P that volume is -1/2 log det (H + P), where the information H falls as errors
    grow. In the density H is that of the expansion's informed directions.
    """
    c, e, n = density.coordinates, density.linear_model, len(density.coordinates.omega_scale)
    omega, growth = np.exp(c.log_omega + c.omega_scale * x[:n]), c.sigma_scale * x[n:]
    people = density.design.individuals
    whose = people.layout.component_varying
    precision = np.linalg.inv(people.covariance(omega, people.expected_correlation))
    now = np.exp(-2 * growth)[:, None, None, None] * e.by_analyte
    held = e.lean @ e.lean.swapaxes(1, 2) + precision
    true = now.sum(0) + precision
    inverse_held, inverse = np.linalg.inv(held), np.linalg.inv(true)
    volume = 0.5 * (np.linalg.slogdet(held)[1] - np.linalg.slogdet(true)[1]).sum()
    by_component = np.einsum("sde,ed->d", inverse - inverse_held, precision)
    by_omega = np.bincount(whose, by_component, minlength=n)
    by_sigma = np.einsum("sde,ased->a", inverse, now)
    return volume, np.concatenate([by_omega * c.omega_scale, by_sigma * c.sigma_scale])
