"""Modes are where a general optimiser finds them, and near the truth where the data tell it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import lognorm, norm
from simulated import (
    CASES,
    INTRAVENOUS_TIMES,
    LIMITS,
    OUTLIERS,
    SEVERAL_TESTS,
    WHOLE,
    as_formed,
    simulated,
    varied,
)

from bayesglu.analysis.calibration import _simulated
from bayesglu.frozen import frozen
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.modes import _volume, find_modes
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import load_model
from bayesglu.study.study import load_study

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
MANY_TIMES = (*range(0, 60, 2), *range(60, 240, 5))
NORMAL = load_model("minimal").with_changes(
    analytes={
        "glucose": {"sigma": {"median": 0.02, "gsd": 1.5}, "nu": 1e6},
        "insulin": {"residual": "student", "nu": 1e6},
    }
)
"""The minimal model with residuals that are as good as Normal."""


@pytest.fixture(scope="module")
def informed():
    """Five people who were sampled often and precisely."""
    return simulated(NORMAL, 5, MANY_TIMES, noise=0.003)


@pytest.fixture(scope="module")
def found(informed) -> Expansion:
    return find_modes(informed.design).expansion


def prior_precision(d: Design, expansion: Expansion) -> np.ndarray:
    return np.diag(expansion.omega[d.individuals.layout.component_varying] ** -2.0)


def shifted(d: Design, by: np.ndarray) -> Design:
    """The same with other logarithms of the samples."""
    return replace(d, rows=frozen(d.rows._replace(log_value=d.rows.log_value + by)))


def values_at(d: Design, expansion: Expansion):
    """Everything at the expansion's own values."""
    k = len(d.individuals.names)
    return d.prior_medians._replace(
        typical=expansion.shared[:k],
        effect=expansion.shared[k:],
        omega=expansion.omega,
        sigma=expansion.sigma,
        individual=expansion.individual,
    )


def test_the_modes_are_near_the_truth_when_samples_are_many_and_precise(informed, found):
    d = informed.design
    names = [d.individuals.names[k] for k in d.individuals.layout.component_parameter]
    told = [i for i, name in enumerate(names) if name != "basal_insulin"]  # few samples are at rest
    np.testing.assert_allclose(found.individual[:, told], informed.values.individual[:, told], atol=0.1)
    residual = d.rows.log_value - np.log(d.predict(informed.theta)[0])
    glucose = d.analytes.index("glucose")
    assert found.sigma[glucose] == pytest.approx(residual[d.rows.analyte == glucose].std(), rel=0.05)


@pytest.mark.long
def test_the_distance_from_the_truth_is_as_large_as_the_expansion_says(informed, found):
    precision = found.information + prior_precision(informed.design, found)
    away = informed.values.individual - found.individual
    distances = np.einsum("sd,sde,se->s", away, precision, away)
    assert 0.3 < distances.mean() / away.shape[1] < 3


def test_spreads_between_people_come_from_people_and_prior_together():
    """With many people the data decide; with one, the prior."""
    spec = varied("minimal", "fixed", "insulin_action_rate", "mass_action_uptake", "glucose_volume")
    for people, share in ((40, 0.75), (1, 0.0)):
        known = simulated(spec, people, INTRAVENOUS_TIMES, noise=0.01)
        everyone = known.design.individuals
        sensitivity = [p.name for p in everyone.varying].index("insulin_sensitivity")
        prior = np.exp(everyone.omega_prior[0][sensitivity])
        seen = known.values.individual[:, sensitivity].std() if people > 1 else prior
        expected = prior ** (1 - share) * seen**share
        assert find_modes(known.design).expansion.omega[sensitivity] == pytest.approx(expected, rel=0.15)


def cost(d: Design, expansion: Expansion, numbers: np.ndarray) -> float:
    """Minus the log density of typical values and individual parameters, omega and sigma being those of the
    expansion."""
    at, k = values_at(d, expansion), len(d.individuals.names)
    individual = numbers[k:].reshape(expansion.individual.shape)
    at = at._replace(typical=numbers[:k], individual=individual)
    predicted, _ = d.predict(d.theta(at))
    known = norm(*d.individuals.typical_prior).logpdf(at.typical).sum()
    spread = expansion.omega[d.individuals.layout.component_varying]
    known += norm(d.individuals.centre(at.typical, np.zeros(0)), spread).logpdf(individual).sum()
    sd = np.where(d.rows.analyte >= 0, expansion.sigma[d.rows.analyte], d.rows.known_sigma)
    return -known - lognorm(sd, scale=predicted).logpdf(np.exp(d.rows.log_value)).sum()


@pytest.mark.long
@pytest.mark.parametrize("model", [NORMAL, "feedback"], ids=["minimal", "feedback"])
def test_a_general_optimiser_finds_the_same_typical_values_and_people(model):
    if model == "feedback":
        spec = load_model(model)
        kept = ("basal_glucose", "insulin_sensitivity", "hepatic_extraction", "glucagon_background")
        spec = varied(model, "fixed", *(name for name in spec.estimated if name not in kept))
        d = simulated(spec, 2, **TIGHT).design
    else:
        d = simulated(model, 1, INTRAVENOUS_TIMES, **TIGHT).design
    found = find_modes(d, tolerance=1e-4).expansion
    start = np.concatenate([d.prior_medians.typical, d.prior_medians.individual.ravel()])
    best = minimize(lambda x: cost(d, found, x), start, method="BFGS", options={"gtol": 1e-4, "maxiter": 500})
    here = np.concatenate([found.shared, found.individual.ravel()])
    assert cost(d, found, here) < best.fun + 1e-4
    np.testing.assert_allclose(here, best.x, atol=2e-3)


def by_adjoint(d: Design, expansion: Expansion) -> np.ndarray:
    """Derivatives of the log predictions (row, D) in the parameters of the row's own person, one backward
    pass a row."""
    rows, layout, r = d.rows, d.individuals.layout, d.forcing
    theta = d.theta(values_at(d, expansion))
    n = len(d.solver.system.parameters)
    rest = r.error < 0
    outputs, pull = d.solver.outputs_and_pull(theta[:, :n], r.at_stops(r.true(theta)))
    value = rows.predict(outputs, theta)
    natural = theta[:, layout.columns]
    slope = np.where(layout.is_logit, natural * (1 - natural), natural)
    found = np.zeros((len(value), expansion.individual.shape[1]))
    for row in range(len(value)):
        bar = np.zeros(outputs.shape)
        bar[rows.sample[row], rows.output[row]] = rows.by_output[row]
        bar_theta = np.zeros(theta.shape)
        bar_theta[:, :n], bar_level = pull(bar)
        bar_true = np.zeros(len(rest))
        np.add.at(bar_true, r.before, (1 - r.weight) * bar_level)
        np.add.at(bar_true, r.after, r.weight * bar_level)
        np.add.at(bar_theta, (r.occasion[rest], r.basal), bar_true[rest])
        bar_theta[rows.occasion[row], rows.parameter[row]] += rows.by_parameter[row]
        at = (bar_theta[:, layout.columns] * slope)[rows.occasion[row], layout.varying]
        np.add.at(found[row], layout.component[rows.occasion[row]], at / value[row])
    return found


@pytest.mark.parametrize("name", [WHOLE, SEVERAL_TESTS, OUTLIERS])
def test_the_information_is_that_of_exact_derivatives_weighted_by_the_errors(name):
    d = CASES[name](**TIGHT)
    expansion = find_modes(d).expansion
    slopes = by_adjoint(d, expansion)
    sd = np.where(d.rows.analyte >= 0, expansion.sigma[d.rows.analyte], d.rows.known_sigma)
    distance = (d.rows.log_value - np.log(d.predict(d.theta(values_at(d, expansion)))[0])) / sd
    nu = d.rows.nu
    outlying = np.where(nu > 0, (nu + 1) / (nu + distance**2), 1.0)
    for s in range(len(d.study.subjects)):
        own = d.individuals.layout.subject[d.rows.occasion] == s
        expected = (slopes[own].T * (outlying / sd**2)[own]) @ slopes[own]
        np.testing.assert_allclose(
            expansion.information[s], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


def test_an_outlier_moves_the_modes_less_when_tails_are_heavy():
    heavy = load_model("minimal").with_changes(analytes={"glucose": {"residual": "student", "nu": 3.0}})
    moved = []
    for spec in (NORMAL, heavy):
        d = simulated(spec, 1, INTRAVENOUS_TIMES, noise=0.02).design
        before, outlier = find_modes(d).expansion.individual, 0.7 * (np.arange(len(d.rows.log_value)) == 5)
        moved.append(np.abs(find_modes(shifted(d, outlier)).expansion.individual - before).max())
    assert moved[1] < 0.5 * moved[0]


def test_a_sample_below_a_limit_pulls_little_where_the_model_agrees_and_much_where_not():
    d = CASES[LIMITS]()
    below = d.rows.censoring < 0
    assert below.any()
    predicted = []
    for shift in (0.0, 2.0, -1.0):
        expansion = find_modes(shifted(d, shift * below)).expansion
        theta = d.theta(values_at(d, expansion))
        predicted.append(np.log(d.predict(theta)[0][below]).mean())
    limit, far_above, lower = predicted
    assert limit == pytest.approx(far_above, abs=0.02), "these limits are well above what is predicted"
    assert lower < limit - 0.1


@pytest.mark.parametrize("name", CASES)
def test_the_density_is_level_where_the_modes_are(name):
    """But for what a forcing function, and correlations, would still change."""
    density = Density(CASES[name](), find_modes(CASES[name]()).expansion)
    _, gradient = density(np.zeros(density.size))
    gradient[density.sds] += _volume(density, np.zeros(density.size)[density.sds])[1]
    np.testing.assert_allclose(gradient[: density.sds.stop], 0, atol=0.1)
    np.testing.assert_allclose(gradient[density.individuals], 0, atol=0.1)


HARDLY_TAUGHT = (
    *("uptake_half_saturation", "early_emptying_share", "fasting_production", "insulin_action_rate"),
    *("reference_hepatic_uptake", "insulin_suppression_half_saturation", "hepatic_insulin_rate"),
    *("interstitial_insulin_volume", "extraction_half_saturation", "emptying_saturation"),
    "incretin_potentiation",
)
"""Of people, by samples every half hour."""


@pytest.mark.long
def test_errors_are_not_too_small_though_few_samples_tell_many_parameters():
    """Of twelve samples a person, parameters take a third or more; without that, errors would be 0.08.

    Of what is left, two thirds of 480 samples, the mean error has a Monte Carlo error of 4 %: three of them.
    """
    spec = as_formed("oral_cpeptide").with_changes(
        parameters={name: {"level": "shared"} for name in HARDLY_TAUGHT}
    )
    known = simulated(spec, 40, (0, 30, 60, 120), noise=0.1)
    found = find_modes(known.design).expansion
    precision = prior_precision(known.design, found)
    learnt = np.linalg.solve(found.information + precision, found.information).trace(axis1=1, axis2=2)
    assert learnt.sum() > 0.3 * known.design.n_obs
    left = known.design.n_obs * 2 / 3
    assert np.exp(np.log(found.sigma).mean()) == pytest.approx(0.1, rel=3 / np.sqrt(2 * left))


def test_when_nobodys_equations_can_be_solved_it_is_said_who_and_why():
    d = CASES[SEVERAL_TESTS]()
    with pytest.raises(SolverError, match=r"5 of 5 solves failed.\nsubject A: The budget of steps ran out"):
        find_modes(make_design(d.spec, d.study, max_steps=5))


def test_modes_are_found_though_they_lie_far_from_the_medians_of_the_prior():
    """Four people drawn from the prior. From its medians, 18,000 in log density below the modes, a climb as
    far as the first linear model points ends where hardly a step leads to anything that can be solved."""
    study = load_study("synthetic_ogtt").select(
        subjects=["P01", "P02", "P03", "P04"], analytes=["glucose", "insulin"]
    )
    d, _, _ = _simulated(make_design(load_model("oral"), study), np.random.default_rng([1, 74]))
    density = Density(d, find_modes(d).expansion)
    at = density.unpack(np.zeros((1, density.size))).at(0)
    predicted, _ = d.predict(d.theta(at))
    away = (d.rows.log_value - np.log(predicted)) / at.sigma[d.rows.analyte]
    assert np.square(away).mean() < 2, "and there the model describes them"


def test_modes_that_did_not_settle_are_told_and_begin_at_the_best_place_found():
    d = CASES[WHOLE]()
    with pytest.warns(UserWarning, match="did not settle in 2 rounds"):
        found = find_modes(d, max_rounds=2).expansion
    density = Density(d, found)
    (individual,) = density.unpack(np.zeros((1, density.size))).individual
    np.testing.assert_allclose(individual, found.individual, rtol=1e-6)
    assert np.isfinite(density(np.zeros(density.size))[0])


@pytest.mark.parametrize("beyond", [-3e4, -300.0, -99.0, -3.0, 0.0, 2.0])
def test_a_sample_beyond_a_limit_pulls_as_its_probability_rises(beyond):
    """Weight and residual of the Normal row in its place against the derivatives of the log probability."""
    d = CASES[LIMITS]()
    row = int(np.flatnonzero(d.rows.censoring < 0)[0])
    sigma = np.full(len(d.analytes), 0.2)
    log_predicted = d.rows.log_value.copy()
    log_predicted[row] -= 0.2 * beyond
    weight, pull = d.rows.working(log_predicted, sigma)
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
    density = Density(d, find_modes(d, tolerance=0.5).expansion)
    x = np.random.default_rng(1).normal(size=density.size)[density.sds]
    _, gradient = _volume(density, x)
    ways = 1e-5 * np.eye(len(x))
    expected = [(_volume(density, x + h)[0] - _volume(density, x - h)[0]) / 2e-5 for h in ways]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
