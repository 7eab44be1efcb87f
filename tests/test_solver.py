"""The fast solver agrees with the slow one, and its gradient with differences and with another library's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import FEEDBACK, TYPICAL, WEIGHT, Body, crowd, people, solve_slowly, whole_system

from bayesglu.catalog import list_models
from bayesglu.physiology import smooth
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.clamps import clamp
from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.integrate import FINE, NOT_FINITE, OUTCOMES, TOO_MANY_STEPS
from bayesglu.solver.solver import Solver, SolverError, make_solver, require_solved
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model

few = settings(deadline=None, max_examples=4)

GLUCAGON = injection("glucagon", 1, "mg", route="intramuscular")
PROTOCOLS = {
    "an oral glucose tolerance test": (ogtt(75), [0, 15, 30, 60, 90, 120, 180, 240, 300]),
    "an insulin-modified intravenous test": (ivgtt(insulin=0.03), [0, 2, 4, 8, 19, 22, 30, 40, 70, 100, 180]),
    "fifty hours of fasting": (fast(50), [0, 480, 840, 1560, 3000]),
    "a day of meals": (
        meal(60).shift(420) + meal(80, duration=20).shift(720) + meal(90).shift(1080),
        [0, 420, 480, 730, 780, 1080, 1200, 1440],
    ),
    "a clamp": (clamp(110, 120, insulin_rate=1, priming=2), [0, 5, 30, 60, 120, 130, 180]),
    "glucagon into muscle": (GLUCAGON, [0, 5, 10, 20, 30, 60, 120, 180]),
}
SHOWN = (
    "glucose",
    "insulin",
    "c_peptide",
    "glucagon",
    "liver_glycogen",
    "hepatic_glucose_uptake",
    "renal_glucose_excretion",
)
STATES = tuple(assemble(FEEDBACK.structure).states)


def theta_of(parts, parameters) -> np.ndarray:
    """Parameters as the solver takes them (person, parameter)."""
    return np.array([[p[name] for name in parts.parameters] for p in parameters])


def columns(names) -> list[int]:
    """Where outputs stand among those of the whole system."""
    return [whole_system().outputs.index(name) for name in names]


def whole_solver(protocols, times, tolerance=1e-6, **settings) -> Solver:
    schedule = build_schedule(protocols, times, WEIGHT)
    return Solver(whole_system(), schedule, rtol=tolerance, atol=tolerance, **settings)


# --- value ---


@pytest.fixture(scope="module")
def slow():
    """SciPy's states for the typical person under each protocol."""
    return {
        name: solve_slowly(FEEDBACK.structure, TYPICAL, protocol, times, STATES)
        for name, (protocol, times) in PROTOCOLS.items()
    }


@pytest.mark.parametrize("tolerance", [1e-6, 1e-9])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_states_agree_with_scipy_within_the_tolerance_asked(slow, name, tolerance):
    """In the norm of the step control, a root mean square over states."""
    protocol, times = PROTOCOLS[name]
    found, outcome = whole_solver([protocol], [times], tolerance).outputs(theta_of(whole_system(), [TYPICAL]))
    sizes = np.array([state.scale for state in assemble(FEEDBACK.structure).states.values()])
    error = (found[:, columns(STATES)] - slow[name]) / (sizes + np.abs(slow[name]))
    assert outcome[0] == FINE
    assert np.sqrt((error**2).mean(axis=1)).max() < tolerance


@pytest.mark.parametrize("name", PROTOCOLS)
@given(parameters=people(FEEDBACK, within=1.5))
@settings(deadline=None, max_examples=2)
def test_fluxes_of_anyone_agree_with_scipy(name, parameters):
    protocol, times = PROTOCOLS[name]
    expected = solve_slowly(FEEDBACK.structure, parameters, protocol, times, SHOWN)
    found, outcome = whole_solver([protocol], [times], 1e-9).outputs(theta_of(whole_system(), [parameters]))
    assert outcome[0] == FINE
    np.testing.assert_allclose(found[:, columns(SHOWN)], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", list_models())
def test_every_model_compiled_for_its_own_protocol_agrees_with_scipy(name):
    spec = load_model(name)
    measured = (np.array([0.0, 4.0, 20.0, 60.0, 200.0]), np.array([60.0, 700.0, 200.0, 120.0, 50.0]))
    protocol, forcing = ivgtt() if name in ("minimal", "ivgtt") else ogtt(75), None
    if name == "minimal":
        forcing = measured
    times = [0.0, 10.0, 30.0, 60.0, 120.0]
    loop = assemble(spec.structure)
    parameters = {n: spec.parameters[n].typical.median for n in loop.parameters}
    shown = tuple(loop.states)
    expected = solve_slowly(spec.structure, parameters, protocol, times, shown, forcing=forcing)
    schedule = build_schedule([protocol], [times], WEIGHT, forcing=[forcing])
    solving = make_solver(spec.structure, schedule, shown, rtol=1e-9, atol=1e-9)
    found, _ = solving.outputs(theta_of(loop, [parameters]))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


def test_a_sample_at_the_time_of_a_bolus_is_taken_before_it():
    found, _ = whole_solver([ivgtt() + ogtt(75)], [[0, 0.001]]).outputs(theta_of(whole_system(), [TYPICAL]))
    glucose, stomach = found[:, columns(["glucose", "stomach"])].T
    assert glucose[0] == pytest.approx(TYPICAL["basal_glucose"], rel=1e-12) and stomach[0] == 0.0
    assert glucose[1] == pytest.approx(TYPICAL["basal_glucose"] + 300 / TYPICAL["glucose_volume"], rel=1e-4)
    late = 1 - TYPICAL["early_emptying_share"]
    assert stomach[1] == pytest.approx(late * 75_000 / WEIGHT, rel=1e-4)


def test_a_state_that_is_held_stays_and_no_bolus_moves_it():
    protocol, times = ogtt(75) + injection("insulin", 5, "U"), [0, 30, 120]
    schedule = build_schedule([protocol], [times], WEIGHT)
    held = make_solver(
        FEEDBACK.structure, schedule, ("insulin", "glycogen", "glucose"), ("insulin", "glycogen")
    )
    found, _ = held.outputs(theta_of(held.system, [TYPICAL]))
    assert (found[:, 0] == TYPICAL["basal_insulin"]).all()
    assert (found[:, 1] == TYPICAL["initial_glycogen"]).all()
    assert found[1, 2] > found[0, 2] + 10
    slow = solve_slowly(
        FEEDBACK.structure, TYPICAL, protocol, times, ("glucose",), hold=("insulin", "glycogen")
    )
    np.testing.assert_allclose(found[:, 2:], slow, rtol=1e-5)


@pytest.mark.parametrize(
    "protocol",
    [
        ivgtt(0.2) + infusion("glucose", 2, "mg/kg/min", 45, start=7),
        injection("glucose", 20, "g", route="subcutaneous", absorption_rate=0.02, bioavailability=0.8),
        infusion("glucose", 3, "mg/kg/min", 400, start=30),
    ],
    ids=["at once and by infusion", "from a depot", "beyond the last sample"],
)
def test_the_glucose_that_enters_is_what_the_schedule_says_was_delivered(protocol):
    solving = whole_solver([protocol], [[0, 60, 240]], 1e-9)
    given, _ = solving.outputs(theta_of(whole_system(), [TYPICAL]))
    (total,) = given[-1, columns(["total_given"])]
    schedule = solving.schedule
    assert total == pytest.approx(schedule.delivered()["glucose"][0], rel=1e-9)
    everything = (
        schedule.delivered()["glucose"] + schedule.remaining()["glucose"] + schedule.undelivered["glucose"]
    )
    prescribed = sum(d.amount for d in protocol.canonical(WEIGHT))
    assert everything[0] == pytest.approx(prescribed, rel=1e-12)


# --- several people at once ---

GROUP = (
    (ogtt(75), [0, 30, 60, 120]),
    (ivgtt(insulin=0.03), [-10, 0, 3, 19, 60, 100.5]),
    (fast(0), [5]),
    (meal(50, duration=15) + GLUCAGON.shift(33), [0, 17, 33, 200, 900]),
    (clamp(120, 60) + infusion("insulin", 1, "mU/kg/min", 90), [0, 59, 60, 61, 120]),
    (infusion("glucagon", 3, "ng/kg/min", 60) + injection("insulin", 4, "U", route="subcutaneous"), [10, 90]),
    (ogtt(30) + ogtt(30).shift(10), [0, 10, 45]),
    (fast(10), [0, 600]),
    (ogtt(100) + clamp(250, 60, start=60), [0, 50, 100, 150]),
    (ivgtt(0.5), list(range(0, 100, 3))),
    (fast(0), [-30, 0]),
)


@pytest.fixture(scope="module")
def group():
    """Eleven people who differ in everything, and the outputs and gradient of each when solved alone."""
    persons, rng = crowd(len(GROUP), 1.5), np.random.default_rng(2)
    alone, cotangents, gradients = [], [], []
    for (protocol, times), one in zip(GROUP, persons, strict=True):
        found, pull = whole_solver([protocol], [times], 1e-7).outputs_and_pull(
            theta_of(whole_system(), [one])
        )
        cotangents.append(rng.normal(size=found.shape))
        alone.append(found)
        gradients.append(pull(cotangents[-1]))
    return theta_of(whole_system(), persons), alone, cotangents, gradients


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_people_solved_together_are_the_same_as_alone_in_any_number_of_lanes(group, lanes):
    theta, alone, cotangents, gradients = group
    protocols, times = zip(*GROUP, strict=True)
    together = whole_solver(protocols, times, 1e-7, lanes=lanes)
    found, pull = together.outputs_and_pull(theta)
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-12, atol=1e-12)
    pulled, expected = pull(np.concatenate(cotangents)) * theta, np.concatenate(gradients) * theta
    assert np.abs(pulled - expected).max() < 1e-11 * np.abs(expected).max()
    assert np.array_equal(together.outputs(theta)[0], found), "with or without keeping what a gradient needs"


def test_the_gradient_of_one_person_does_not_depend_on_the_parameters_of_another(group):
    theta, _, cotangents, _ = group
    protocols, times = zip(*GROUP, strict=True)
    together = whole_solver(protocols, times)
    _, pull = together.outputs_and_pull(theta)
    before = pull(np.concatenate(cotangents))
    changed = theta.copy()
    changed[3] *= 1.01
    _, pull = together.outputs_and_pull(changed)
    after = pull(np.concatenate(cotangents))
    same = np.arange(len(theta)) != 3
    assert np.array_equal(before[same], after[same])
    assert not np.array_equal(before[3], after[3])


# --- what cannot be solved ---


def test_a_person_whose_budget_of_steps_runs_out_is_named_and_the_others_are_solved():
    protocols, times = [fast(0), ogtt(75), fast(0)], [[0, 5], [0, 300], [0, 5]]
    solving = whole_solver(protocols, times, 1e-9, max_steps=20)
    found, outcome = solving.outputs(theta_of(whole_system(), [TYPICAL] * 3))
    assert outcome.tolist() == [FINE, TOO_MANY_STEPS, FINE]
    assert np.isnan(found[2:4, columns(STATES + SHOWN)]).all(), "no half of a solution"
    assert np.isfinite(found[[0, 1, 4, 5]]).all()
    with pytest.raises(SolverError, match=r"1 of 3 solves failed\.\nBruno: The budget of steps ran out"):
        require_solved(outcome, ["Ada", "Bruno", "Cleo"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("parameter", ["insulin_sensitivity", "basal_glucose", "emptying_rate"])
def test_a_parameter_that_is_no_number_spoils_one_person_only(parameter, value):
    theta = theta_of(whole_system(), crowd(9, 1.0))
    solving = whole_solver([ogtt(75)] * 9, [[0, 30, 120]] * 9)
    expected, expected_pull = solving.outputs_and_pull(theta)
    theta[4, whole_system().parameters.index(parameter)] = value
    found, outcome = solving.outputs(theta)
    again, pull = solving.outputs_and_pull(theta)
    bar = np.ones_like(expected)
    others = np.r_[0:12, 15:27]
    assert outcome.tolist() == [NOT_FINITE if i == 4 else FINE for i in range(9)]
    for outputs in (found, again):
        assert np.isnan(outputs[12:15, columns(STATES + SHOWN)]).all()
        assert np.array_equal(outputs[others], expected[others])
    pulled, healthy = pull(bar), np.arange(9) != 4
    assert np.isnan(pulled[4]).all()
    assert np.array_equal(pulled[healthy], expected_pull(bar)[healthy])


def test_everyone_who_failed_is_told_and_many_are_counted():
    with pytest.raises(SolverError) as caught:
        require_solved(np.full(12, TOO_MANY_STEPS), [f"person {i}" for i in range(12)])
    told = str(caught.value)
    assert "12 of 12 solves failed" in told and "person 9:" in told and "person 10:" not in told
    assert "and 2 more" in told


def test_nobody_is_told_when_all_is_well():
    assert require_solved(np.zeros(3, int), "abc") is None


def test_every_outcome_is_a_sentence():
    assert all(
        text[0].isupper() and text.endswith(".") and len(text.split()) > 3 for text in OUTCOMES.values()
    )


# --- gradient ---


@pytest.mark.parametrize("name", PROTOCOLS)
@given(parameters=people(FEEDBACK, within=1.5), seed=st.integers(0, 1000))
@few
def test_the_gradient_agrees_with_central_differences(name, parameters, seed):
    protocol, times = PROTOCOLS[name]
    shown = columns(SHOWN)
    theta = theta_of(whole_system(), [parameters])
    found, pull = whole_solver([protocol], [times], 1e-12).outputs_and_pull(theta)
    bar = np.zeros_like(found)
    sizes = np.abs(found[:, shown]).max(axis=0)
    bar[:, shown] = np.random.default_rng(seed).normal(size=(len(times), len(shown))) / sizes

    gradient = pull(bar)[0] * theta[0]
    expected = differences(protocol, times, theta[0], bar)
    assert np.abs(gradient - expected).max() < 1e-6 * np.abs(expected).max()
    large = np.abs(expected) > 1e-2 * np.abs(expected).max()
    np.testing.assert_allclose(gradient[large], expected[large], rtol=1e-6)


def test_the_gradient_of_a_long_fast_is_right_however_few_its_samples_are():
    """Left to themselves, steps outgrow the fastest state where nothing moves: in a fifth of such designs the
    derivatives of someone are off by more than a hundredth, and by up to a billionfold."""
    rng = np.random.default_rng(100)
    varied = "insulin_sensitivity", "initial_glycogen", "gluconeogenic_share"
    shown = columns(["glucose", "liver_glycogen"])
    for _ in range(20):
        times = [0.0, *np.sort(rng.uniform(200, 3960, rng.integers(3, 40)))]
        drawn = [TYPICAL | {n: TYPICAL[n] * np.exp(0.3 * rng.normal()) for n in varied} for _ in range(32)]
        theta, found = theta_of(whole_system(), drawn), []
        for tolerance in (1e-9, 1e-11):
            solving = whole_solver([fast(66)] * 32, [times] * 32, tolerance, max_steps=20_000)
            outputs, pull = solving.outputs_and_pull(theta)
            bar = np.zeros_like(outputs)
            bar[:, shown] = 1 / np.abs(outputs[:, shown]).max(axis=0)
            found.append(pull(bar) * theta)
        np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)


def differences(protocol, times, theta, bar, step=3e-4):
    """Derivatives of ``sum(bar * outputs)`` by each log parameter; whoever is moved is one more person."""
    offsets, weights = step * np.array([2, 1, -1, -2]), np.array([-1, 8, -8, 1]) / (12 * step)
    moved = np.tile(theta, (len(theta), 4, 1))
    for i in range(len(theta)):
        moved[i, :, i] *= np.exp(offsets)
    n = 4 * len(theta)
    found, outcome = whole_solver([protocol] * n, [times] * n, 1e-12).outputs(moved.reshape(n, -1))
    assert (outcome == FINE).all()
    return (found.reshape(len(theta), 4, *bar.shape) * bar).sum(axis=(2, 3)) @ weights


def test_the_gradient_through_measured_insulin_agrees_with_central_differences():
    spec = load_model("minimal")
    parts = system(spec.structure, ("glucose",), ("insulin_level",), ("glucose",))
    theta = np.array([[spec.parameters[n].typical.median for n in parts.parameters]])
    forcing = (np.array([0.0, 4.0, 20.0, 60.0]), np.array([60.0, 700.0, 200.0, 50.0]))

    def solving(n):
        schedule = build_schedule([ivgtt()] * n, [[0, 8, 30, 90]] * n, forcing=[forcing] * n)
        return Solver(parts, schedule, rtol=1e-11, atol=1e-11)

    _, pull = solving(1).outputs_and_pull(theta)
    gradient = pull(np.ones((4, 1)))[0] * theta[0]
    moved = theta * np.exp(1e-4 * np.concatenate([np.eye(theta.size), -np.eye(theta.size)]))
    total = solving(len(moved)).outputs(moved)[0].reshape(2, theta.size, 4).sum(axis=2)
    np.testing.assert_allclose(gradient, (total[0] - total[1]) / 2e-4, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("lanes", [1, 8])
def test_the_gradient_by_the_levels_of_measured_insulin_agrees_with_central_differences(lanes):
    """Three people with readings of their own, of whom the insulin itself is an output too."""
    spec, rng = load_model("minimal"), np.random.default_rng(4)
    curves = [
        ([0.0, 4.0, 20.0, 60.0], [60.0, 700.0, 200.0, 50.0]),
        ([-10.0, 0.0, 2.0, 5.0, 11.0, 33.0, 150.0], [70.0, 55.0, 300.0, 400.0, 180.0, 90.0, 60.0]),
        ([3.0, 12.0], [500.0, 80.0]),
    ]
    times = [[0, 8, 30, 90], [-10, 0, 5, 19, 100], [0, 12, 40]]
    schedule = build_schedule([ivgtt()] * 3, times, forcing=curves)
    tight = {"rtol": 1e-11, "atol": 1e-11, "lanes": lanes}
    solving = make_solver(spec.structure, schedule, ("glucose", "insulin"), **tight)
    theta = np.array([[spec.parameters[n].typical.median for n in solving.system.parameters]] * 3)
    theta *= np.exp(0.3 * rng.normal(size=theta.shape))
    level = solving.plan.rate[:, solving.system.level].copy()
    assert np.array_equal(solving.outputs(theta, level)[0], solving.outputs(theta)[0])
    found, pull = solving.outputs_and_pull(theta, level)
    bar = rng.normal(size=found.shape)
    by_theta, by_level = pull(bar)
    np.testing.assert_array_equal(by_theta, solving.outputs_and_pull(theta)[1](bar))
    h = 1e-2
    sides = [
        [solving.outputs(theta, level + s * step)[0] for step in h * np.eye(len(level))] for s in (1, -1)
    ]
    expected = ((np.array(sides[0]) - np.array(sides[1])) * bar).sum(axis=(1, 2)) / (2 * h)
    np.testing.assert_allclose(by_level, expected, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def other_library():
    """All derivatives of the states at two hours by diffrax: a drink, and glucagon released from muscle."""
    jax, diffrax = pytest.importorskip("jax"), pytest.importorskip("diffrax")
    loop = assemble(FEEDBACK.structure)
    own = smooth._library
    (depot,) = GLUCAGON.canonical(WEIGHT)

    def vector(values):
        return jax.numpy.stack([jax.numpy.asarray(value, float) for value in values])

    def after_two_hours(theta):
        parameters = dict(zip(loop.parameters, theta, strict=True))
        body, start = Body(loop, parameters), loop.initial(parameters)
        at_once = parameters["early_emptying_share"]
        start["stomach"] += (1 - at_once) * 75_000 / WEIGHT
        start["gut"] += at_once * 75_000 / WEIGHT

        def change(t, y, _):
            released = depot.amount * depot.absorption_rate * jax.numpy.exp(-depot.absorption_rate * t)
            return vector(body.with_changes(list(y), {"glucagon": released}))

        return diffrax.diffeqsolve(
            diffrax.ODETerm(change),
            diffrax.Tsit5(),
            t0=0.0,
            t1=120.0,
            dt0=0.5,
            y0=vector(start.values()),
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-9),
            adjoint=diffrax.ForwardMode(),
        ).ys[0]

    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        # The physiology asks whoever made a number for its exponential; jax answers through another module.
        patch.setattr(smooth, "_library", lambda x: jax.numpy if isinstance(x, jax.Array) else own(x))
        typical = jax.numpy.array([TYPICAL[name] for name in loop.parameters])
        compiled = jax.jit(jax.jacfwd(after_two_hours)).lower(typical).compile()

    def derivatives(parameters):
        with jax.enable_x64(True):
            return np.asarray(compiled(jax.numpy.array([parameters[name] for name in loop.parameters])))

    return derivatives


@given(parameters=people(FEEDBACK, within=1.5), seed=st.integers(0, 1000))
@few
@pytest.mark.apart
def test_the_gradient_agrees_with_that_of_diffrax(other_library, parameters, seed):
    loop = assemble(FEEDBACK.structure)
    schedule = build_schedule([ogtt(75) + GLUCAGON], [[120.0]], WEIGHT, start=0.0)
    solving = make_solver(FEEDBACK.structure, schedule, tuple(loop.states), rtol=1e-10, atol=1e-10)
    theta = theta_of(loop, [parameters])
    found, pull = solving.outputs_and_pull(theta)
    bar = np.random.default_rng(seed).normal(size=found.shape) / np.abs(found)
    gradient, expected = pull(bar)[0] * theta[0], (bar @ other_library(parameters))[0] * theta[0]
    assert np.abs(gradient - expected).max() < 1e-6 * np.abs(expected).max()
    large = np.abs(expected) > 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(gradient[large], expected[large], rtol=1e-6)
