"""The limit that our solver is compared with solves the same problem."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import limit
from benchmarks.problem import problem
from benchmarks.programs import as_function
from benchmarks.timing import interleaved

pytestmark = pytest.mark.skipif(not limit.available(), reason="there is no gcc to compile the limit with")


@pytest.fixture(scope="module")
def small():
    return problem("oral_cpeptide", people=11)


def test_the_limit_in_c_finds_the_values_and_the_gradient_that_ours_finds():
    """With steps so short that none has to be kept from becoming unstable, which the limit does not do."""
    short = problem("oral_cpeptide", people=11, tolerance=1e-12)
    out, pull = short.solver().outputs_and_pull(short.theta)
    found_out, found = limit.Limit(short)(short.theta)
    gradient = pull(short.weights)
    np.testing.assert_allclose(found_out, out, rtol=1e-9)
    size = np.abs(gradient * short.theta).max(axis=1, keepdims=True)
    assert np.abs((found - gradient) * short.theta / size).max() < 1e-9


def test_a_peer_is_given_the_equations_that_ours_solves(small):
    import math

    c, start = as_function(small.system.programs["setup"], math)(small.theta[0].tolist())
    seen = as_function(small.system.programs["observe"], math)(start, [], c)
    out, _ = small.solver().outputs(small.theta)
    np.testing.assert_allclose(seen, out[0], rtol=1e-12)
    rates = as_function(small.system.programs["rhs"], math)(start, [], c)
    assert np.abs(rates).max() < 1e-9, "before the drink everyone is at rest"


def test_errors_are_told_against_a_tighter_solution(small):
    errors = small.errors(*small.reference)
    assert max(errors.values()) == 0.0
    out, pull = small.solver().outputs_and_pull(small.theta)
    errors = small.errors(out, pull(small.weights))
    assert 0 < errors["gradient_error"] <= errors["gradient_error_worst"] < 1e-4


def test_work_runs_in_turns_and_slow_work_sits_out():
    order = []
    work = {"quick": lambda: order.append("quick"), "slow": lambda: order.append("slow")}
    times = interleaved(work, rounds=4, at_most=0.0)
    assert order == ["quick", "slow"] * 3
    assert [len(t.clock) for t in times.values()] == [3, 3]
