"""Modes are where a general optimiser finds them, and near the truth where the data tell it."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import lognorm, norm
from simulated import CASES, INTRAVENOUS_TIMES, LIMITS, OUTLIERS, SEVERAL_TESTS, WHOLE, simulated, varied

from bayesglu.hierarchy.design import Design, design
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion, _working
from bayesglu.inference.modes import _volume, modes
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import load_model

TIGHT = {"relative": 1e-10, "absolute": 1e-10}
MANY_TIMES = (*range(0, 60, 2), *range(60, 240, 5))
NORMAL = load_model("minimal").change(
    analytes={"glucose": {"error": {"median": 0.02, "gsd": 1.5}, "tails": 1e6}, "insulin": {"tails": 1e6}}
)
"""The minimal model with residuals that are as good as Normal."""


@pytest.fixture(scope="module")
def informed():
    """Five people who were sampled often and precisely."""
    return simulated(NORMAL, 5, MANY_TIMES, noise=0.003)


@pytest.fixture(scope="module")
def found(informed) -> Expansion:
    return modes(informed.design)


def test_the_modes_are_near_the_truth_when_samples_are_many_and_precise(informed, found):
    names = [informed.design.varying[v] for v in informed.design.block_varying]
    told = [i for i, name in enumerate(names) if name != "basal_insulin"]  # few samples are at rest
    np.testing.assert_allclose(found.block[:, told], informed.block[:, told], atol=0.1)
    d = informed.design
    residual = d.rows.log_value - np.log(d.solve(informed.theta)[0])
    glucose = d.analytes.index("glucose")
    assert found.error[glucose] == pytest.approx(residual[d.rows.analyte == glucose].std(), rel=0.05)


def test_the_distance_from_the_truth_is_as_large_as_the_expansion_says(informed, found):
    precision = found.information + np.diag(found.between[informed.design.block_varying] ** -2.0)
    away = informed.block - found.block
    distances = np.einsum("sd,sde,se->s", away, precision, away)
    assert 0.3 < distances.mean() / away.shape[1] < 3


def test_spreads_between_people_come_from_people_and_prior_together():
    """With many people the data decide; with one, the prior."""
    spec = varied("minimal", "fixed", "insulin_action_rate", "mass_action_uptake", "glucose_volume")
    for people, share in ((40, 0.75), (1, 0.0)):
        known = simulated(spec, people, INTRAVENOUS_TIMES, noise=0.01)
        found = dict(zip(known.design.varying, modes(known.design).between, strict=True))
        sensitivity = known.design.varying.index("insulin_sensitivity")
        prior = np.exp(known.design.between_prior[0][sensitivity])
        seen = known.block[:, sensitivity].std() if people > 1 else prior
        expected = prior ** (1 - share) * seen**share
        assert found["insulin_sensitivity"] == pytest.approx(expected, rel=0.15)


def cost(d: Design, expansion: Expansion, numbers: np.ndarray) -> float:
    """Minus the log density of typical values and blocks, spreads and errors being those of the expansion."""
    typical, block = numbers[: len(d.estimated)], numbers[len(d.estimated) :].reshape(expansion.block.shape)
    predicted, _ = d.solve(d.theta(typical, np.zeros(0), block))
    known = norm(d.location, d.spread).logpdf(typical).sum()
    between = expansion.between[d.block_varying]
    known += norm(d.centre(typical, np.zeros(0)), between).logpdf(block).sum()
    sd = np.where(d.rows.analyte >= 0, expansion.error[d.rows.analyte], d.rows.known_error)
    return -known - lognorm(sd, scale=predicted).logpdf(np.exp(d.rows.log_value)).sum()


@pytest.mark.parametrize("model", [NORMAL, "feedback"], ids=["minimal", "feedback"])
def test_a_general_optimiser_finds_the_same_typical_values_and_people(model):
    if model == "feedback":
        spec = load_model(model)
        kept = ("basal_glucose", "insulin_sensitivity", "hepatic_extraction", "glucagon_floor")
        spec = varied(model, "fixed", *(name for name in spec.estimated if name not in kept))
        d = simulated(spec, 2, **TIGHT).design
    else:
        d = simulated(model, 1, INTRAVENOUS_TIMES, **TIGHT).design
    found = modes(d, tolerance=1e-4)
    start = np.concatenate([d.location, d.centre(d.location, np.zeros(0)).ravel()])
    best = minimize(lambda x: cost(d, found, x), start, method="BFGS", options={"gtol": 1e-4, "maxiter": 500})
    here = np.concatenate([found.shared, found.block.ravel()])
    assert cost(d, found, here) < best.fun + 1e-4
    np.testing.assert_allclose(here, best.x, atol=2e-3)


def by_adjoint(d: Design, expansion: Expansion) -> np.ndarray:
    """Derivatives of the log predictions (row, slot) in the row's own block, one backward pass a row."""
    k, rows = len(d.estimated), d.rows
    typical, effect = expansion.shared[:k], expansion.shared[k:]
    theta = d.theta(typical, effect, expansion.block)
    n = len(d.solver.system.parameters)
    r = d.readings
    rest = r.slot < 0
    outputs, pull = d.solver.outputs_and_pull(theta[:, :n], r.at_stops(d.driving(theta)))
    value = rows.predict(outputs, theta)
    natural = theta[:, d.columns]
    slope = np.where(d.is_logit, natural * (1 - natural), natural)
    found = np.zeros((len(value), expansion.block.shape[1]))
    for row in range(len(value)):
        bar = np.zeros(outputs.shape)
        bar[rows.sample[row], rows.output[row]] = rows.by_output[row]
        bar_theta = np.zeros(theta.shape)
        bar_theta[:, :n], bar_level = pull(bar)
        bar_true = np.zeros(len(rest))
        np.add.at(bar_true, r.before, (1 - r.weight) * bar_level)
        np.add.at(bar_true, r.after, r.weight * bar_level)
        np.add.at(bar_theta, (r.test[rest], r.basal), bar_true[rest])
        bar_theta[rows.test[row], rows.parameter[row]] += rows.by_parameter[row]
        at = (bar_theta[:, d.columns] * slope)[rows.test[row], d.varying_index]
        np.add.at(found[row], d.place[rows.test[row]], at / value[row])
    return found


@pytest.mark.parametrize("name", [WHOLE, SEVERAL_TESTS, OUTLIERS])
def test_the_information_is_that_of_exact_derivatives_weighted_by_the_errors(name):
    d = CASES[name](**TIGHT)
    expansion = modes(d)
    slopes = by_adjoint(d, expansion)
    k = len(d.estimated)
    theta = d.theta(expansion.shared[:k], expansion.shared[k:], expansion.block)
    sd = np.where(d.rows.analyte >= 0, expansion.error[d.rows.analyte], d.rows.known_error)
    distance = (d.rows.log_value - np.log(d.solve(theta)[0])) / sd
    tails = d.rows.tails
    outlying = np.where(tails > 0, (tails + 1) / (tails + distance**2), 1.0)
    for s in range(len(d.study.subjects)):
        own = d.subject_of_test[d.rows.test] == s
        expected = (slopes[own].T * (outlying / sd**2)[own]) @ slopes[own]
        np.testing.assert_allclose(
            expansion.information[s], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


def test_an_outlier_moves_the_modes_less_when_tails_are_heavy():
    heavy = load_model("minimal").change(analytes={"glucose": {"tails": 3.0}})
    moved = []
    for spec in (NORMAL, heavy):
        d = simulated(spec, 1, INTRAVENOUS_TIMES, noise=0.02).design
        before = modes(d).block
        d.rows.log_value[5] += 0.7
        moved.append(np.abs(modes(d).block - before).max())
        d.rows.log_value[5] -= 0.7
    assert moved[1] < 0.5 * moved[0]


def test_a_sample_below_a_limit_pulls_little_where_the_model_agrees_and_much_where_not():
    d = CASES[LIMITS]()
    below = d.rows.censoring < 0
    assert below.any()
    predicted = []
    for shift in (0.0, 2.0, -1.0):
        d.rows.log_value[below] += shift
        expansion = modes(d)
        d.rows.log_value[below] -= shift
        theta = d.theta(expansion.shared, np.zeros(0), expansion.block)
        predicted.append(np.log(d.solve(theta)[0][below]).mean())
    limit, far_above, lower = predicted
    assert limit == pytest.approx(far_above, abs=0.02), "these limits are well above what is predicted"
    assert lower < limit - 0.1


@pytest.mark.parametrize("name", CASES)
def test_the_density_is_level_where_the_modes_are(name):
    """But for what readings that drive the model, and correlations, would still change."""
    density = Density(CASES[name](), modes(CASES[name]()))
    _, gradient = density(np.zeros(density.size))
    gradient[density.spreads] += _volume(density, np.zeros(density.size)[density.spreads])[1]
    np.testing.assert_allclose(gradient[: density.spreads.stop], 0, atol=0.1)
    np.testing.assert_allclose(gradient[density.blocks], 0, atol=0.1)


def test_errors_are_not_too_small_though_few_samples_tell_many_parameters():
    """Of twelve samples a person, parameters take a third or more; without that, errors would be 0.08."""
    known = simulated("oral_cpeptide", 40, (0, 30, 60, 120), noise=0.1)
    found = modes(known.design)
    precision = np.diag(found.between[known.design.block_varying] ** -2.0)
    learnt = np.linalg.solve(found.information + precision, found.information).trace(axis1=1, axis2=2)
    assert learnt.sum() > 0.3 * known.design.n_obs
    assert ((found.error > 0.09) & (found.error < 0.12)).all()


def test_when_nobodys_equations_can_be_solved_it_is_said_who_and_why():
    d = CASES[SEVERAL_TESTS]()
    with pytest.raises(SolverError, match=r"5 of 5 solves failed.\nsubject A: The budget of steps ran out"):
        modes(design(d.spec, d.study, max_steps=5))


def test_modes_that_did_not_settle_are_told_and_begin_at_the_best_place_found():
    d = CASES[WHOLE]()
    with pytest.warns(UserWarning, match="did not settle in 2 rounds"):
        found = modes(d, max_rounds=2)
    density = Density(d, found)
    *_, (block,), _ = density.unpack(np.zeros((1, density.size)))
    np.testing.assert_allclose(block, found.block, rtol=1e-6)
    assert np.isfinite(density(np.zeros(density.size))[0])


@pytest.mark.parametrize("beyond", [-3e4, -300.0, -99.0, -3.0, 0.0, 2.0])
def test_a_sample_beyond_a_limit_pulls_as_its_probability_rises(beyond):
    """Weight and residual of the Normal row in its place against the derivatives of the log probability."""
    d = CASES[LIMITS]()
    row = int(np.flatnonzero(d.rows.censoring < 0)[0])
    error = np.full(len(d.analytes), 0.2)
    residual = np.zeros(len(d.rows.test))
    residual[row] = 0.2 * beyond
    weight, pull = _working(d, error, residual)
    hazard = np.exp(norm.logpdf(beyond) - norm.logcdf(beyond))
    assert weight[row] * pull[row] == pytest.approx(-hazard / 0.2, rel=1e-6)
    curvature = (
        -derivative(lambda x: np.exp(norm.logpdf(x) - norm.logcdf(x)), beyond) if beyond > -99 else 1.0
    )
    assert weight[row] == pytest.approx(curvature / 0.2**2, rel=1e-3)


def derivative(function, x: float, h: float = 1e-4) -> float:
    return (function(x + h) - function(x - h)) / (2 * h)


def test_the_gradient_of_the_volume_is_that_of_differences():
    d = CASES[WHOLE]()
    density = Density(d, modes(d, tolerance=0.5))
    x = np.random.default_rng(1).normal(size=density.size)[density.spreads]
    _, gradient = _volume(density, x)
    ways = 1e-5 * np.eye(len(x))
    expected = [(_volume(density, x + h)[0] - _volume(density, x - h)[0]) / 2e-5 for h in ways]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
