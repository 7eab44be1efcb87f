"""Posterior modes in seconds, found in coordinates in which the posterior is nearly a standard Normal.

Whitened about any values (`expansion`, `density`), the posterior is rounder than it was; so a mode is looked
for there, the coordinates are made anew about what was found, and so on until it lies at their origin. People
are integrated out of the spreads between them, since the volume of the change of variables is in the density
(Laplace), and errors have the degrees of freedom that the parameters leave them. What remains, a Gaussian for
each person and one for the population, is the first look (`method="map"`), the starting point of the sampler,
and the coordinates in which it begins.
"""

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from bayesglu.inference.density import Density
from bayesglu.inference.design import Design
from bayesglu.inference.expansion import Expansion, expand
from bayesglu.solver.solver import require_solved

ITERATIONS = 15
"""Of the optimiser, in one set of coordinates."""

FAILED = 1e3
"""What a failed solve adds to the cost: about as much as a point 45 SDs off."""


@threadpool_limits.wrap(limits=1, user_api="blas")  # its threads wait for each other longer than they work
def modes(design: Design, max_rounds: int = 20, tolerance: float = 0.05) -> Expansion:
    """The linear model at the modes, which are nearer than `tolerance` SDs unless rounds run out.

    Raises SolverError when the typical person's equations cannot be solved.
    """
    d = design
    typical, effect = d.location, d.effect_prior[0]
    block = d.centre(typical, effect)
    start = Density(d)
    if not np.isfinite(start(np.zeros(start.size))[0]):
        _, outcome = d.solve(d.theta(typical, effect, block))
        require_solved(outcome, [f"subject {subject}" for subject, _ in d.study.tests])
    found = expand(d, typical, effect, np.exp(d.between_prior[0]), np.exp(d.error_prior[0]), block)
    pace, last = 1.0, None
    for _ in range(max_rounds):
        density = Density(d, found)
        x = _climb(density, tolerance)
        if np.abs(x).max() < tolerance:
            break
        # What is known of people depends on spreads and errors, and these on it: two rounds that undo each
        # other overshoot.
        way = x[density.spreads]
        if last is not None:
            pace = pace / 2 if way @ last < 0 else min(1.5 * pace, 1.0)
        last, x[density.spreads] = way.copy(), pace * way
        typical, effect, between, error, _, block, _ = (values[0] for values in density.unpack(x[None]))
        found = expand(d, typical, effect, between, error, block)
    return found


def _climb(density: Density, tolerance: float) -> np.ndarray:
    """Coordinates with a higher density than those of the expansion; correlations are held at zero, and
    readings that drive the model at what was read."""
    errors, free = np.zeros(density.size), np.zeros(density.size, bool)
    n_errors = len(density.coordinates.error_scale)
    errors[density.spreads][-n_errors:] = density.coordinates.error_scale * density.expansion.learnt
    free[: density.spreads.stop], free[density.blocks] = True, True
    worst = -np.inf

    def cost(x):
        nonlocal worst
        value, gradient = density(x)
        if value == -np.inf:
            return worst + FAILED, np.zeros(len(x))
        worst = max(worst, -value - errors @ x)
        return -value - errors @ x, np.where(free, -gradient - errors, 0.0)

    starts = np.zeros(density.size), density.position(density.expansion.block)
    start = max(starts, key=lambda x: density(x)[0])
    options = {"maxiter": ITERATIONS, "maxcor": ITERATIONS, "gtol": tolerance, "ftol": 0.0}
    return minimize(cost, start, jac=True, method="L-BFGS-B", options=options).x
