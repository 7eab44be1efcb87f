"""SciPy: the same method, people one by one, the right-hand side in Python, and no gradient."""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from benchmarks.problem import Problem
from benchmarks.programs import as_function, given


def prepare(problem: Problem, people: int = 4) -> Callable:
    """Values for the first `people`."""
    system, tolerance = problem.system, problem.tolerance
    setup, rhs, observe = (as_function(system.programs[name], math) for name in ("setup", "rhs", "observe"))

    def one(theta):
        c, rest = setup(theta)
        start = np.add(rest, given(system, c, problem.dose))
        span, allowed = problem.times[[0, -1]], tolerance * np.array(system.scales)
        found = solve_ivp(
            lambda t, y: rhs(y.tolist(), (), c),
            span,
            start,
            "RK45",
            problem.times[1:],
            rtol=tolerance,
            atol=allowed,
        )
        return [observe(y, (), c) for y in (rest, *found.y.T)]

    def call():
        return np.array([one(theta) for theta in problem.theta[:people].tolist()]), None

    return call
