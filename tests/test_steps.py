"""Frozen steps: what is computed is smooth, near the tight solution, and its draws are weighted to that."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import TYPICAL, WEIGHT, crowd, whole_system
from test_solver import columns, theta_of

from bayesglu.analysis.checks import check
from bayesglu.hierarchy.design import make_design
from bayesglu.inference import steps
from bayesglu.inference.density import Density
from bayesglu.inference.fitting import fit
from bayesglu.inference.modes import find_modes
from bayesglu.inference.steps import log_likelihood, weighted, with_frozen_steps
from bayesglu.pareto import chosen, smoothed
from bayesglu.protocols.clamps import clamp
from bayesglu.protocols.library import ivgtt, meal, ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.integrate import FINE, solve
from bayesglu.solver.solver import Solver
from bayesglu.solver.tableau import DORMAND_PRINCE, STABILIZED
from bayesglu.spec.model import load_model
from bayesglu.study.study import load_study
from benchmarks.report import read
from benchmarks.steps import design_of, identity

PROTOCOLS = [ogtt(75), ogtt(75), meal(60, duration=15), ivgtt(insulin=0.03), clamp(110, 120, insulin_rate=1)]
TIMES = [0.0, 10.0, 30.0, 60.0, 120.0]
NO_CURVE = np.zeros(0)


@pytest.fixture(scope="module")
def solver():
    schedule = build_schedule(PROTOCOLS, [TIMES] * len(PROTOCOLS), WEIGHT, clock=True)
    return Solver(whole_system(), schedule, rtol=1e-7, atol=1e-7)


@pytest.fixture(scope="module")
def theta(solver):
    return theta_of(whole_system(), crowd(len(PROTOCOLS), seed=3))


@pytest.fixture(scope="module")
def frozen(solver, theta):
    return solver.frozen(1e-3, [(theta, NO_CURVE)])


# --- the method ---


@pytest.mark.parametrize(("method", "order"), [(DORMAND_PRINCE, 5), (STABILIZED, 4)])
def test_a_method_has_its_order_and_its_estimate_one_less(method, order):
    """The conditions for quadrature, which all methods of an order meet, and those of trees to order 4."""
    a = np.array([(*row, *[0.0] * (7 - len(row))) for row in method.stages])
    c, own = np.array(method.times), a[6]
    np.testing.assert_allclose(a.sum(1), c, atol=1e-15)
    for weights, reached in ((own, order), (own - method.error, method.order - 1)):
        for power in range(reached):
            assert weights @ c**power == pytest.approx(1 / (power + 1), abs=2e-14)
        trees = [(a @ c, 3, 1 / 6), (c * (a @ c), 4, 1 / 8), (a @ c**2, 4, 1 / 12), (a @ a @ c, 4, 1 / 24)]
        for tree, tree_order, value in trees:
            if tree_order <= reached:
                assert weights @ tree == pytest.approx(value, abs=2e-14)
    assert abs(method.error @ c ** (method.order - 1)) > 1e-4, "and no more than that"


def test_the_stabilized_method_is_stable_along_three_times_as_much_of_the_real_axis():
    def reach(method):
        for z in np.arange(0.05, 20, 0.05):
            k = []
            for row in method.stages:
                k.append(-z * (1 + sum(w * slope for w, slope in zip(row, k, strict=False))))
            after = 1 + sum(w * slope for w, slope in zip(method.stages[6], k, strict=False))
            if abs(after) > 1 + 1e-9:
                return z
        return np.inf

    assert 9.6 <= reach(STABILIZED) < 9.75 and 3.25 <= reach(DORMAND_PRINCE) < 3.4


# --- the mesh ---


def test_steps_fill_their_intervals_and_who_has_the_same_times_has_the_same_steps(frozen):
    plan, own = frozen.plan, []
    for person in range(len(PROTOCOLS)):
        stops = range(plan.offset[person], plan.offset[person + 1])
        for s in stops[:-1]:
            sizes = plan.steps[plan.first_step[s] : plan.first_step[s + 1]]
            assert (sizes > 0).all()
            assert sizes.sum() == pytest.approx(plan.time[s + 1] - plan.time[s], rel=1e-12)
        assert plan.first_step[stops[-1]] == plan.first_step[stops[-1] + 1]
        own.append(plan.steps[plan.first_step[stops[0]] : plan.first_step[stops[-1]]])
    assert (own[0] == own[1]).all()
    assert len({len(sizes) for sizes in own}) > 1, "other protocols have other steps"


def test_frozen_steps_agree_with_the_tight_solution_as_far_as_they_are_asked_to(solver, theta):
    tight, _ = solver.outputs(theta)
    for tolerance in (1e-3, 1e-5):
        loose, outcome = solver.frozen(tolerance, [(theta, NO_CURVE)]).outputs(theta)
        assert (outcome == FINE).all()
        error = np.abs(loose - tight) / (np.abs(tight) + np.abs(tight).max(axis=0))
        assert 1e-4 * tolerance < np.quantile(error, 0.95) < tolerance


def test_the_gradient_of_frozen_steps_is_that_of_what_they_compute_however_long_they_are(frozen, theta):
    """By differences over some thousandths: as smooth is what adapts only at tight tolerances."""
    shown = columns(["glucose", "insulin"])
    weights = np.zeros((len(frozen.plan.sample_person), len(frozen.system.outputs)))
    weights[:, shown] = [1.0, 0.2]

    def far_off(solver):
        worst = 0.0
        _, pull = solver.outputs_and_pull(theta)
        slope = pull(weights)
        for name in ("insulin_sensitivity", "emptying_rate", "beta_cell_sensitivity"):
            column = solver.system.parameters.index(name)
            ahead, behind = theta.copy(), theta.copy()
            h = 1e-4 * theta[:, column]
            ahead[:, column] += h
            behind[:, column] -= h
            change = (solver.outputs(ahead)[0] - solver.outputs(behind)[0]) * weights
            each = np.bincount(solver.plan.sample_person, change.sum(1)) / (2 * h)
            worst = max(worst, np.abs(each - slope[:, column]).max() / np.abs(slope[:, column]).max())
        return worst

    assert far_off(frozen) < 1e-6 < 1e-4 < far_off(replace(frozen, mesh=None))


def test_a_state_too_fast_for_the_steps_has_them_halved_and_is_solved(solver, frozen):
    quick = dict(TYPICAL, provision_time=TYPICAL["provision_time"] / 300)
    theta = theta_of(whole_system(), [quick] * len(PROTOCOLS))
    limits = frozen.tolerance, frozen.max_steps, len(frozen.system.outputs)
    out, outcome, tape = solve(frozen.kernels, theta, frozen.plan, *limits, True)
    assert (outcome == FINE).all()
    taken = (tape.h[: tape.first[-1]] > 0).sum()
    assert taken > 1.5 * len(frozen.mesh.steps)
    tight, _ = solver.outputs(theta)
    error = np.abs(out - tight) / (np.abs(tight) + np.abs(tight).max(axis=0))
    assert np.quantile(error, 0.95) < 10 * frozen.rtol
    few = replace(frozen, max_steps=len(frozen.mesh.steps) // len(PROTOCOLS))
    assert (few.outputs(theta)[1] != FINE).any(), "and the budget of steps holds for halved ones too"


@pytest.mark.parametrize("quicker", [1, 300], ids=["as expected", "halved"])
def test_the_tape_is_as_long_as_frozen_steps_are_and_grows_where_they_are_halved(quicker):
    people, same = 160, dict(TYPICAL, provision_time=TYPICAL["provision_time"] / quicker)
    schedule = build_schedule([ogtt(75)] * people, [TIMES] * people, WEIGHT)
    usual = theta_of(whole_system(), [TYPICAL] * people)
    solver = Solver(whole_system(), schedule).frozen(1e-3, [(usual, NO_CURVE)])
    theta = theta_of(whole_system(), [same] * people)
    limits = solver.tolerance, solver.max_steps, len(solver.system.outputs)
    _, outcome, tape = solve(solver.kernels, theta, solver.plan, *limits, True)
    used, packs = tape.first[-1], people // solver.lanes
    expected = len(solver.mesh.steps) // people * packs
    assert (outcome == FINE).all() and used <= len(tape.stages)
    if quicker == 1:
        assert used == expected and len(tape.stages) < 1.2 * used + 80
    else:
        assert used > 1.5 * expected and len(tape.stages) > 1.5 * expected, "it has grown"
    _, pull = solver.outputs_and_pull(theta)
    slopes = pull(np.ones((people * len(TIMES), len(solver.system.outputs))))
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[0], slopes.shape), rtol=1e-12)


# --- weights ---


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.integers(1, 60), st.integers(0, 9))
def test_a_place_is_chosen_as_often_as_its_weight_says_but_for_one(weights, draws, seed):
    weight = np.array(weights)
    places = chosen(weight, draws, np.random.default_rng(seed))
    counts = np.bincount(places, minlength=len(weight))
    assert (np.diff(places) >= 0).all() and len(places) == draws
    assert (np.abs(counts - draws * weight / weight.sum()) < 1 + 1e-6).all()


def test_smoothing_keeps_the_sum_and_tells_the_tail():
    rng = np.random.default_rng(1)
    heavy, light = -np.log(rng.uniform(size=4000)) * 0.9, 0.05 * rng.normal(size=4000)
    for log_ratio, low, high in ((heavy, 0.7, 1.2), (light, -1.0, 0.3)):
        log_weight, k = smoothed(log_ratio)
        assert low < k < high
        assert np.exp(log_weight).sum() == pytest.approx(np.exp(log_ratio).sum())
    assert np.isnan(smoothed(heavy[:20])[1]) and smoothed(np.zeros(40))[1] == -np.inf


def test_a_tail_so_short_that_no_draw_counts_for_more_than_another_is_none():
    """Steps whose log densities differ by a millionth are refused for no tail's shape."""
    heavy = -np.log(np.random.default_rng(1).uniform(size=4000)) * 0.9
    for size, there in ((1e-4, False), (1e-1, True)):
        log_weight, k = smoothed(size * np.expm1(heavy).clip(max=50))
        assert np.isfinite(k) == there
        assert np.ptp(log_weight) < 100 * size


# --- a study ---


@pytest.fixture(scope="module")
def real():
    d = make_design(load_model("minimal"), load_study("bergman1986"))
    density = Density(d, find_modes(d).expansion)
    x = np.random.default_rng(2).normal(size=(steps.TRIED, density.size))
    return d, density.unpack(x)


def test_a_study_is_sampled_with_steps_whose_draws_have_even_weights(real):
    d, values = real
    found = with_frozen_steps(d, values)
    assert found.solver.rtol == steps.TOLERANCES[0] and found.solver.mesh is not None
    log_ratio = log_likelihood(d, values) - log_likelihood(found, values)
    assert 1e-6 < log_ratio.std() < 0.1


@pytest.mark.parametrize(
    "name, other", [("EVEN", 1.1), ("smoothed", lambda log_ratio: (log_ratio, steps.LARGEST_K + 0.01))]
)
def test_where_no_steps_have_even_weights_the_solvers_own_are_taken(real, name, other, monkeypatch):
    d, values = real
    monkeypatch.setattr(steps, name, other)
    assert with_frozen_steps(d, values) is d


def test_steps_looser_than_the_solvers_own_alone_are_tried(real):
    _, values = real
    d = make_design(load_model("minimal"), load_study("bergman1986"), rtol=1e-3, atol=1e-3)
    assert with_frozen_steps(d, values) is d


def test_draws_that_are_chosen_are_of_the_tight_solution(real, monkeypatch):
    """Standard Normal draws whose log ratio is half of themselves are weighted to Normal(1/2, 1): an
    efficiency of exp(-1/4), and a Monte Carlo error of the mean of a bit more than 1 / sqrt(6,000)."""
    d, values = real
    z = np.random.default_rng(1).normal(size=8000)
    monkeypatch.setattr(steps, "log_likelihood", lambda design, _: 0.5 * z if design is d else 0.0 * z)
    places, told = weighted(d, replace(d), values, 2, np.random.default_rng(2))
    found = z.reshape(2, -1)[np.arange(2)[:, None], places]
    assert places.shape == (2, 4000) and (np.diff(places, axis=1) >= 0).all()
    assert abs(found.mean() - 0.5) < 4.5 / np.sqrt(6000)
    assert told["efficiency"] == pytest.approx(np.exp(-0.25), abs=0.03)
    assert told["tolerance"] == d.solver.rtol and told["pareto_k"] < 0.5


@pytest.fixture(scope="module")
def sampled():
    settings = {"draws": 50, "tune": 200, "chains": 2, "random_seed": 1, "progressbar": False}
    return {kind: fit("minimal", "bergman1986", steps=kind, **settings) for kind in ("frozen", "adaptive")}


def test_a_fit_keeps_the_steps_and_their_weights_and_its_check_tells_them(sampled):
    told = json.loads(sampled["frozen"].attrs["weights"])
    assert told["tolerance"] in steps.TOLERANCES and told["efficiency"] > 0.99
    one = sampled["frozen"].copy()
    for k, sentence in ((0.31, "Pareto k is 0.31"), (-np.inf, "weights are all but equal")):
        one.attrs = {**one.attrs, "weights": json.dumps(told | {"pareto_k": k})}
        assert sentence in str(check(one, warn=False))
    assert json.loads(sampled["adaptive"].attrs["weights"]) == {}
    assert "frozen" not in str(check(sampled["adaptive"], warn=False))


def test_weights_that_are_too_uneven_fail_the_check(sampled):
    bad = sampled["frozen"].copy()
    uneven = {**json.loads(bad.attrs["weights"]), "pareto_k": 0.9}
    bad.attrs = {**bad.attrs, "weights": json.dumps(uneven)}
    assert any("steps='adaptive'" in problem for problem in check(bad, warn=False).problems)


KEPT = {f"{row['model']}, {row['draws']} draws": row for row in read("steps")["rows"]}


@pytest.mark.parametrize("fitted", KEPT)
def test_weights_of_sampled_posteriors_are_kept_of_this_method_and_even(fitted, shared_data):
    """Made by ``python -m benchmarks.steps``, which measures again what is of something else."""
    row = KEPT[fitted]
    assert row["of"] == identity(design_of(row["model"]))
    k = row["pareto_k"]
    assert (k is None or k < steps.LARGEST_K) and row["efficiency"] > steps.EVEN
