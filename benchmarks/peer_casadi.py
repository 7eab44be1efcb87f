"""CasADi with CVODES: people one by one, expressions evaluated by its virtual machine.

The gradient is that of the adjoint equations.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.problem import Problem
from benchmarks.programs import as_function, given


def prepare(problem: Problem, people: int = 8) -> Callable:
    """Value and gradient for the first `people`."""
    import casadi

    system, tolerance = problem.system, problem.tolerance
    setup, rhs, observe = (
        as_function(system.programs[name], casadi, lambda values: casadi.vertcat(*values))
        for name in ("setup", "rhs", "observe")
    )
    scales = casadi.DM(list(system.scales))
    z, c = casadi.SX.sym("z", len(scales.full())), casadi.SX.sym("c", system.n_coefficients)
    theta = casadi.SX.sym("theta", len(system.parameters))
    equations = {"x": z, "p": c, "ode": rhs(z * scales, [], c) / scales}
    settings = {"abstol": tolerance, "reltol": tolerance}
    grid = list(problem.times[1:])
    solve = casadi.integrator("solve", "cvodes", equations, problem.times[0], grid, settings)
    begin = casadi.Function("begin", [theta], list(setup(theta)))
    see = casadi.Function("see", [z, c], [observe(z, [], c)]).map(len(problem.times))

    person = casadi.MX.sym("theta", len(system.parameters))
    weights = casadi.MX.sym("weights", len(system.outputs), len(problem.times))
    coefficients, rest = begin(person)
    start = (rest + casadi.vertcat(*given(system, coefficients, problem.dose))) / scales
    states = solve(x0=start, p=coefficients)["xf"] * casadi.repmat(scales, 1, len(grid))
    out = see(casadi.horzcat(rest, states), casadi.repmat(coefficients, 1, len(problem.times)))
    total = casadi.sum1(casadi.sum2(out * weights))
    both = casadi.Function("both", [person, weights], [out, casadi.gradient(total, person)])
    parts = problem.weights.reshape(problem.people, len(problem.times), -1)

    def call():
        found = [both(problem.theta[i], parts[i].T) for i in range(people)]
        return np.array([f[0].full().T for f in found]), np.array([f[1].full().ravel() for f in found])

    return call
