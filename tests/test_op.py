"""The solver inside PyTensor gives what it gives outside, by machine code, and so does its gradient."""

import warnings
from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from reference import FEEDBACK, TYPICAL, WEIGHT, crowd

from bayesglu.protocols.library import ivgtt, ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.op import Solve, SolveAdjoint, solve_op
from bayesglu.solver.solver import Solver, make_solver
from bayesglu.spec.model import load_model

SHOWN = ("glucose", "insulin", "glucagon")
TIMES = ([0, 30, 90], [0, 10, 60, 120], [5, 240])


def solver_for(times, structure=FEEDBACK.structure, shown=SHOWN, **settings) -> Solver:
    people = len(times)
    return make_solver(structure, build_schedule([ogtt(75)] * people, times, WEIGHT), shown, **settings)


def theta_of(solving: Solver, people) -> np.ndarray:
    return np.array([[p[name] for name in solving.system.parameters] for p in people])


def value_and_gradient(solving: Solver, mode: str):
    """A compiled function from theta and cotangents of the outputs to outputs and cotangents of theta."""
    theta, bar = pt.dmatrix("theta"), pt.dmatrix("bar")
    outputs = solve_op(solving, theta)
    pulled = pytensor.grad((outputs * bar).sum(), theta)
    return pytensor.function([theta, bar], [outputs, pulled], mode=mode)


@pytest.fixture(scope="module")
def three() -> Solver:
    """Three people with samples of their own."""
    return solver_for(TIMES)


@pytest.fixture(scope="module")
def theta(three) -> np.ndarray:
    return theta_of(three, crowd(3, within=1.0))


@pytest.fixture(scope="module")
def bar(three, theta) -> np.ndarray:
    return np.random.default_rng(1).normal(size=three.outputs(theta)[0].shape)


@pytest.fixture(scope="module")
def told():
    """What numba has to say about the compilation of `compiled`."""
    return []


@pytest.fixture(scope="module")
def compiled(three, theta, bar, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function = value_and_gradient(three, "NUMBA")
        function(theta, bar)
    told.extend(str(w.message) for w in caught)
    return function


def test_value_and_gradient_are_those_of_the_solver(three, theta, bar, compiled):
    expected, pull = three.outputs_and_pull(theta)
    found, gradient = compiled(theta, bar)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradient, pull(bar))


def test_nothing_of_it_runs_as_a_python_object(compiled, told):
    assert not [message for message in told if "object mode" in message], told


def test_an_operation_without_machine_code_would_have_been_noticed():
    class Doubled(pytensor.graph.op.Op):
        itypes, otypes = (pt.dvector,), (pt.dvector,)

        def perform(self, node, inputs, storage):
            storage[0][0] = 2 * inputs[0]

    x = pt.dvector("x")
    with pytest.warns(UserWarning, match="object mode"):
        pytensor.function([x], Doubled()(x), mode="NUMBA")(np.ones(2))


def test_without_numba_the_numbers_are_the_same(three, theta, bar, compiled):
    slow = value_and_gradient(three, "FAST_COMPILE")
    for found, expected in zip(slow(theta, bar), compiled(theta, bar), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_parameters_may_lie_in_memory_in_any_order(theta, bar, compiled):
    wide = np.zeros((len(theta), 2 * theta.shape[1]))
    wide[:, ::2] = theta
    for found, expected in zip(compiled(wide[:, ::2], bar), compiled(theta, bar), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_inside_a_larger_graph_the_gradient_is_that_of_differences(three, theta):
    log_theta = pt.dmatrix("log_theta")
    misfit = (pt.log(solve_op(replace(three, rtol=1e-10, atol=1e-10), pt.exp(log_theta))) ** 2).sum()
    function = pytensor.function([log_theta], [misfit, pytensor.grad(misfit, log_theta)], mode="NUMBA")
    at = np.log(theta)
    _, gradient = function(at)
    direction = np.random.default_rng(2).normal(size=at.shape)
    h = 1e-4
    slope = (function(at + h * direction)[0] - function(at - h * direction)[0]) / (2 * h)
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_who_cannot_be_solved_is_not_a_number_and_the_others_are_as_before(three, theta, bar, compiled):
    impossible = theta.copy()
    impossible[1, three.system.parameters.index("glucose_volume")] = 1e-9
    outputs, gradient = compiled(impossible, bar)
    hers = three.schedule.sample_person == 1
    assert np.isnan(outputs[hers]).all() and np.isnan(gradient[1]).all()
    before, gradient_before = compiled(theta, bar)
    np.testing.assert_array_equal(outputs[~hers], before[~hers])
    np.testing.assert_array_equal(gradient[[0, 2]], gradient_before[[0, 2]])


def test_the_schedule_may_be_changed_after_compilation(three):
    later = solver_for([[0, 45], [0, 200], [0, 20, 60, 100]])
    theta = pt.dmatrix("theta")
    plan = [pt.tensor(dtype=array.dtype, shape=(None,) * array.ndim) for array in three.plan]
    function = pytensor.function([theta, *plan], solve_op(three, theta, plan), mode="NUMBA")
    people = theta_of(three, [TYPICAL] * 3)
    for solving in (three, later):
        np.testing.assert_array_equal(function(people, *solving.plan), solving.outputs(people)[0])


def test_two_systems_in_one_process_each_keep_their_own_physics(three, theta, bar, compiled):
    spec = load_model("oral")
    other = solver_for([[0, 30, 90]], spec.structure, ("glucose",))
    medians = theta_of(other, [spec.medians])
    function = value_and_gradient(other, "NUMBA")
    expected, pull = other.outputs_and_pull(medians)
    found, gradient = function(medians, np.ones((3, 1)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradient, pull(np.ones((3, 1))))
    np.testing.assert_array_equal(compiled(theta, bar)[0], three.outputs(theta)[0])


def test_the_gradient_by_the_level_of_measured_insulin_is_that_of_the_solver():
    spec = load_model("minimal")
    curves = [([0, 5, 40], [60.0, 500.0, 70.0]), ([0, 3, 20, 60], [50.0, 300.0, 200.0, 40.0])]
    schedule = build_schedule([ivgtt()] * 2, [[0, 10, 90], [0, 30]], forcing=curves)
    forced = make_solver(spec.structure, schedule, ("glucose",))
    theta, bar = theta_of(forced, [spec.medians] * 2), np.ones((5, 1))
    level = 1.1 * forced.plan.rate[:, forced.system.level]
    symbols = pt.dmatrix("theta"), pt.dvector("level")
    outputs = solve_op(forced, symbols[0], level=symbols[1])
    results = [outputs, *pytensor.grad(outputs.sum(), symbols)]
    expected, pull = forced.outputs_and_pull(theta, level)
    for mode in ("NUMBA", "FAST_COMPILE"):
        found = pytensor.function(symbols, results, mode=mode)(theta, level)
        for one, other in zip(found, (expected, *pull(bar)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_operations_are_equal_when_and_only_when_they_compute_the_same(three):
    assert Solve(three) == Solve(solver_for([[0, 10]]))
    assert hash(Solve(three)) == hash(Solve(solver_for([[0, 10]])))
    different = [
        solver_for(TIMES, shown=("glucose",)),
        solver_for(TIMES, rtol=1e-8),
        solver_for(TIMES, max_steps=100),
        solver_for(TIMES, {**FEEDBACK.structure, "glycogen": "held"}),
    ]
    assert len({Solve(three), *map(Solve, different)}) == 5


def test_derivatives_come_by_pullback_and_only_to_the_parameters_and_the_level(three):
    for operation in (Solve, SolveAdjoint):
        assert "grad" not in vars(operation) and "L_op" not in vars(operation)
    theta = pt.dmatrix("theta")
    outputs = solve_op(three, theta)
    node = outputs.owner
    assert sum(any(row) for row in node.op.connection_pattern(node)) == 2
    with pytest.raises(NotImplementedError):
        pytensor.grad(pytensor.grad(outputs.sum(), theta).sum(), theta)
