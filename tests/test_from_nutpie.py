"""What nutpie calls from its threads is the log density, and what failed there is counted."""

import ctypes

import numpy as np
import pytest
from simulated import CASES, REAL, SEVERAL_TESTS

from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.inference.from_nutpie import model_of
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
