"""The plain PyMC model says what the model file says, and takes part in everything that PyMC can do."""

import numpy as np
import pymc as pm
import pytest
from pytensor.graph.traversal import ancestors
from scipy.special import expit
from scipy.stats import beta, lognorm, norm, t
from simulated import CASES, COVARIATES, LIMITS, REAL, SEVERAL_TESTS, SHARED, WHOLE

from bayesglu.hierarchy.correlation import below_diagonal, factor_of
from bayesglu.hierarchy.values import Values
from bayesglu.inference.density import Density
from bayesglu.inference.pymc_model import build, model_of
from bayesglu.solver.op import Solve
from bayesglu.spec.model import SpecError
from bayesglu.study.study import StudyError, load_study

QUICK = {"mode": "FAST_COMPILE"}


@pytest.fixture(scope="module", params=CASES)
def design(request):
    return CASES[request.param]()


@pytest.fixture(scope="module")
def model(design) -> pm.Model:
    return model_of(design)


def drawn(model: pm.Model, seed: int = 1) -> dict[str, np.ndarray]:
    """Values of the free variables not far from where PyMC starts."""
    rng = np.random.default_rng(seed)
    start = model.initial_point()
    return {name: value + 0.2 * rng.normal(size=value.shape) for name, value in start.items()}


def values_at(d, point: dict) -> Values:
    """The values that the model's free variables stand for."""
    people, layout = d.individuals, d.individuals.layout
    effect = point.get("log_effect", np.zeros(0))
    deviation, correlation = point["deviation"].copy(), np.zeros(0)
    if len(layout.correlated):
        factor = factor_of(2 * expit(point["partial_logodds__"]) - 1)
        correlation = below_diagonal(factor @ factor.T)
        deviation[:, layout.correlated] = deviation[:, layout.correlated] @ factor.T
    omega = np.exp(point["log_between"])
    individual = people.centre(point["typical"], effect) + omega[layout.component_varying] * deviation
    reading_error = point.get("reading_error", np.zeros(0))
    sigma = np.exp(point["log_error"])
    return Values(point["typical"], effect, omega, sigma, correlation, individual, reading_error)


def test_the_log_density_is_the_sum_that_scipy_makes_of_priors_and_samples(design, model):
    d, people, point = design, design.individuals, drawn(model)
    values = values_at(d, point)
    expected = norm(*people.typical_prior).logpdf(values.typical).sum()
    expected += norm(*people.omega_prior).logpdf(point["log_between"]).sum()
    expected += norm(*d.sigma_prior).logpdf(point["log_error"]).sum()
    expected += norm().logpdf(point["deviation"]).sum()
    expected += norm(*people.effect_prior).logpdf(values.effect).sum()
    if len(people.layout.correlated):
        share, shapes = expit(point["partial_logodds__"]), people.partial_shapes
        expected += (beta(shapes, shapes).logpdf(share) + np.log(share * (1 - share))).sum()
    expected += norm().logpdf(values.reading_error).sum()
    predicted, _ = d.predict(d.theta(values), d.driven_by(values))
    for i, value in enumerate(np.exp(d.rows.log_value)):
        sd = values.sigma[d.rows.analyte[i]] if i < d.n_obs else d.rows.known_sigma[i]
        distance = np.log(value / predicted[i]) / sd
        if d.rows.censoring[i]:
            expected += norm.logcdf(-d.rows.censoring[i] * distance)
        elif i >= d.n_obs:
            expected += -0.5 * distance**2
        elif d.rows.nu[i]:
            expected += t(d.rows.nu[i]).logpdf(distance) - np.log(sd * value)
        else:
            expected += lognorm(sd, scale=predicted[i]).logpdf(value)
    found = model.compile_logp(**QUICK)(point)
    assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-7)


def test_dimensions_bear_the_users_labels(design, model):
    d = design
    assert model.coords["subject"] == tuple(d.study.subjects)
    assert model.coords["parameter"] == d.individuals.names
    assert model.coords["analyte"] == d.analytes
    assert model.coords["test"] == tuple("/".join(test) for test in d.study.occasions)
    assert model.named_vars_to_dims["theta"] == ("test", "parameter")
    if len(d.driving.obs):
        assert model.named_vars_to_dims["driving"] == ("reading",)
        erring, reading = set(model.coords["reading_with_error"]), set(model.coords["reading"])
        assert erring <= reading == set(d.driving.obs)
        assert (erring == reading) == (d.driving.error >= 0).all()
    shown = {*model.coords["obs"], *model.coords["heavy_tailed_obs"]}
    assert shown == set(d.obs[d.rows.censoring[: d.n_obs] == 0])
    assert {v.name for v in model.observed_RVs} <= {"observation", "heavy_tailed_observation"}


def test_samples_beyond_limits_and_soft_observations_are_potentials():
    names = {name: {p.name for p in model_of(case()).potentials} for name, case in CASES.items()}
    assert names[LIMITS] == {"below_detection", "above_detection"}
    assert names[WHOLE] == {"soft_observations"}
    assert names[SEVERAL_TESTS] == set()


def test_the_gradient_is_that_of_the_compiled_density():
    d = CASES[WHOLE]()
    model, density = model_of(d), Density(d)
    point = drawn(model)
    gradient = model.compile_dlogp(**QUICK)(point)
    people = d.individuals
    priors = {"typical": people.typical_prior, "log_between": people.omega_prior, "log_error": d.sigma_prior}
    centres, scales = ({name: pair[i] for name, pair in priors.items()} for i in (0, 1))
    names = [v.name for v in model.value_vars]
    parts = np.split(gradient, np.cumsum([point[n].size for n in names])[:-1])
    by_name = dict(zip(names, parts, strict=True))
    order = ("typical", "log_between", "log_error", "deviation")
    at = [((point[n] - centres.get(n, 0.0)) / scales.get(n, 1.0)).ravel() for n in order]
    expected = density(np.concatenate(at))[1]
    found = np.concatenate([by_name[n] * scales.get(n, 1.0) for n in order])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_draws_of_the_prior_hold_the_people_that_the_design_makes_of_them():
    d = CASES[COVARIATES]()
    with model_of(d):
        found = pm.sample_prior_predictive(3, random_seed=1, compile_kwargs=QUICK)
    prior = found.prior.isel(chain=0)
    for i in range(3):
        point = {name: prior[name].values[i] for name in prior.data_vars}
        expected = d.theta(values_at(d, point))[:, d.individuals.layout.columns]
        np.testing.assert_allclose(prior.theta.values[i], expected, rtol=1e-10)
    samples = np.concatenate([v.values.reshape(3, -1) for v in found.prior_predictive.values()], axis=1)
    assert samples.shape == (3, d.n_obs) and (samples > 0).all()


def test_an_intervention_on_the_model_is_followed_by_its_samples():
    """Everyone typical and an assay without error: what is measured is the typical person."""
    d = CASES[REAL]()
    fixed = {
        "typical": d.prior_medians.typical,
        "deviation": np.zeros(d.individuals.shape),
        "log_error": np.full(len(d.analytes), -30.0),
    }
    with pm.do(model_of(d), fixed):
        found = pm.sample_prior_predictive(2, random_seed=1, compile_kwargs=QUICK)
    predicted, _ = d.predict(d.theta(d.prior_medians))
    predicted = dict(zip(d.obs, predicted, strict=True))
    for samples in found.prior_predictive.values():
        labels = samples[samples.dims[-1]].values
        expected = [predicted[label] for label in labels]
        np.testing.assert_allclose(samples.values[0], [expected] * 2, rtol=1e-6)


def test_names_are_enough_and_settings_go_to_the_solver():
    model = build("minimal", "bergman1986", rtol=1e-8)
    nodes = [variable.owner for variable in ancestors(model.observed_RVs) if variable.owner is not None]
    (operation,) = {node.op for node in nodes if isinstance(node.op, Solve)}
    assert operation.rtol == 1e-8


def test_what_does_not_fit_together_is_refused():
    study = load_study("bergman1986")
    with pytest.raises(StudyError, match="driven by measured insulin"):
        build("minimal", study.select(analytes=["glucose"]))
    with pytest.raises(SpecError, match="minimal"):
        build("minimall", study)


@pytest.mark.sampling
def test_pymc_samples_it_as_it_is():
    d = CASES[SHARED]()
    with model_of(d):
        found = pm.sample(20, tune=60, chains=2, cores=1, random_seed=1, progressbar=False)
        again = pm.sample_posterior_predictive(found, random_seed=1, progressbar=False).posterior_predictive
    assert sum(values.size for values in again.data_vars.values()) == 2 * 20 * d.n_obs
    assert found.posterior.theta.shape == (2, 20, len(d.study.occasions), len(d.individuals.names))
    glucose = found.posterior.theta.sel(parameter="basal_glucose")
    assert 70 < float(glucose.mean()) < 110
