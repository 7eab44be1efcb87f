"""PyMC's `pm.ode`: one person, SciPy's odeint with forward sensitivities, the tolerance that it comes with."""

from collections.abc import Callable

import numpy as np

from benchmarks.problem import Problem
from benchmarks.programs import as_function, given


def prepare(problem: Problem) -> Callable:
    """Value and gradient for the first person."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    system = problem.system
    setup, rhs, observe = (as_function(system.programs[name], pt) for name in ("setup", "rhs", "observe"))
    n_states, n_coefficients = len(system.states), system.n_coefficients
    equations = pm.ode.DifferentialEquation(
        func=lambda y, t, p: [pt.as_tensor(rate) for rate in rhs(y, [], p)],
        times=problem.times[1:],
        n_states=n_states,
        n_theta=n_coefficients,
        t0=problem.times[0],
    )
    theta = pt.dvector("theta")
    c, rest = (pt.stack([pt.as_tensor(v) for v in values]) for values in setup(theta))
    start = rest + pt.stack([pt.as_tensor(v) for v in given(system, c, problem.dose)])
    states = pt.concatenate([rest[None], equations(y0=start, theta=c)])
    out = pt.stack(observe(states.T, [], c), axis=1)
    total = (out * problem.weights[: len(problem.times)]).sum()
    both = pytensor.function([theta], [out, pytensor.grad(total, theta)])

    def call():
        out, gradient = both(problem.theta[0])
        return np.asarray(out), np.asarray(gradient)[None]

    return call
