"""What nutpie calls from its threads is the log density, and what failed there is counted."""

import ctypes

import numpy as np
import nutpie
import pytest
from simulated import CASES, REAL, SEVERAL_TESTS

from bayesglu.analysis.diagnostics import mixing
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.inference.from_nutpie import Along, model_of, model_of_function
from bayesglu.solver.integrate import FINE

NUMBERS = ctypes.POINTER(ctypes.c_double)


def called(model, x):
    """Code, value and gradient at x, through the C function that nutpie is given."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, NUMBERS, NUMBERS, NUMBERS, ctypes.c_void_p)
    gradient, value = np.empty(len(x)), np.empty(1)
    pointers = [a.ctypes.data_as(NUMBERS) for a in (x, gradient, value)]
    code = kind(model.compiled_logp_func.address)(len(x), *pointers, model.user_data.ctypes.data)
    return code, value[0], gradient


@pytest.mark.parametrize("name", [REAL, SEVERAL_TESTS])
def test_it_is_called_the_log_density_with_its_gradient(name):
    density = Density(CASES[name]())
    failed = density.no_failures()
    model = model_of(density, failed, np.zeros(density.size))
    x = 0.3 * np.random.default_rng(1).normal(size=density.size)
    value, gradient = density(x)
    code, found, slope = called(model, x)
    assert code == 0 and found == value and (slope == gradient).all() and not failed.any()


def test_what_fails_is_refused_and_counted_by_occasion_and_outcome_once_a_call():
    usual = CASES[SEVERAL_TESTS]()
    d = make_design(usual.spec, usual.study, max_steps=20)
    density = Density(d)
    failed = density.no_failures()
    model = model_of(density, failed, np.zeros(density.size))
    x = 0.3 * np.random.default_rng(1).normal(size=density.size)
    values = density.unpack(x[None]).at(0)
    _, outcome = d.predict(d.theta(values), d.true_forcing(values))
    assert 0 < (outcome != FINE).sum() < len(outcome)
    for _ in range(3):
        code, value, _ = called(model, x)
        assert code > 0 and value == -np.inf
    expected = np.zeros_like(failed)
    for t, one in enumerate(outcome):
        expected[t, one] += 3 * (one != FINE)
    np.testing.assert_array_equal(failed, expected)


def test_parameters_that_overflow_are_refused_and_are_no_failure_of_a_solve():
    density = Density(CASES[REAL]())
    failed = density.no_failures()
    model = model_of(density, failed, np.zeros(density.size))
    code, value, _ = called(model, np.full(density.size, 400.0))
    assert code > 0 and value == -np.inf and not failed.any()


def test_a_model_of_a_chain_begins_where_it_is_told():
    density = Density(CASES[REAL]())
    start = np.arange(float(density.size))
    assert (model_of(density, density.no_failures(), start).initial_point_func(5) == start).all()


def sampled(function, n, trajectory, draws):
    """Draws (chain, draw, n) and the sampler's statistics."""
    start = np.random.default_rng(0).normal(size=n)
    model = Along(model_of_function(n, function, start), trajectory)
    settings = {"draws": draws, "tune": 500, "chains": 4, "seed": 1, "progress_bar": False}
    tree = nutpie.sample(model, **settings)
    return tree["posterior"]["position"].transpose("chain", "draw", ...).values, tree["sample_stats"]


def bent(x):
    """Log density and gradient of numbers that are no standard Normal: the first is logistic, the second
    Normal about a parabola of the first, the third Normal with mean 2 and SD 3."""
    a, b, c = x
    tail, off = np.tanh(a / 2), b - 0.3 * a**2
    value = -a - 2 * np.log1p(np.exp(-a)) - 0.5 * (off / 0.7) ** 2 - 0.5 * ((c - 2) / 3) ** 2
    return value, np.array([-tail + 0.6 * a * off / 0.49, -off / 0.49, (2 - c) / 9])


@pytest.mark.parametrize("trajectory", ["Euclidean", "ExactNormal"])
def test_draws_along_either_trajectory_are_of_the_density_however_far_from_normal(trajectory):
    """Six Monte Carlo standard errors are allowed for each of seven numbers."""
    draws, _ = sampled(bent, 3, trajectory, 3000)
    a, b, c = np.moveaxis(draws, -1, 0)
    known = {
        "a": (a, 0),
        "a2": (a**2, np.pi**2 / 3),
        "b": (b, 0.1 * np.pi**2),
        "tail": (a > 3, 1 / (1 + np.exp(3))),
    }
    known |= {"ab": (a * b, 0), "c": (c, 2), "c2": ((c - 2) ** 2, 9)}
    for name, (seen, true) in known.items():
        error = seen.std() / np.sqrt(mixing(seen[..., None].astype(float)).ess_bulk[0])
        assert abs(seen.mean() - true) < 6 * error, name
        assert error < 0.1 * max(seen.std(), 1), "too few draws to see anything"


def test_the_exact_path_of_a_standard_normal_takes_fewer_steps():
    def normal(x):
        return -0.5 * x @ x, -x

    steps = [float(sampled(normal, 40, kind, 300)[1].n_steps.mean()) for kind in ("Euclidean", "ExactNormal")]
    assert steps[1] < 0.5 * steps[0]
