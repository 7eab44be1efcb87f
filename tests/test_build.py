"""The PyMC model says what the model file says, in both parametrizations, and takes part in all that PyMC can
do."""

import itertools

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from pymc.stats import compute_log_likelihood, compute_log_prior
from pytensor.graph.traversal import ancestors
from scipy.special import betaln, expit, logit
from scipy.stats import beta, gamma, lognorm, multivariate_normal, norm, t
from simulated import (
    CASES,
    CONSTANT_ERROR,
    CORRELATED,
    COVARIATES,
    DISCREPANCY,
    EVERY_RESIDUAL,
    EXERCISE,
    INTRAVENOUS_TIMES,
    LIMITS,
    MISSING,
    OUTLIERS,
    REAL,
    SHARED,
    simulated,
)

import bayesglu
from bayesglu.catalog import list_models
from bayesglu.errors import InputError
from bayesglu.hierarchy import log_density as obvious
from bayesglu.hierarchy.correlation import below_diagonal, factor_of, matrices_of, partial_of
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.names import forcing
from bayesglu.hierarchy.posterior import forcing_labels, labelled
from bayesglu.hierarchy.values import Values
from bayesglu.inference.coordinates import Coordinates, whitened
from bayesglu.inference.density import Density
from bayesglu.inference.kept_coordinates import keep_coordinates, kept_coordinates
from bayesglu.inference.linearise import average_linear_model
from bayesglu.inference.modes import find_modes
from bayesglu.inference.pilot import refresh
from bayesglu.inference.pymc_model import build, model_of
from bayesglu.spec.model import SpecError, load_model
from bayesglu.study.study import StudyError, load_study

QUICK = {"mode": "FAST_COMPILE"}
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


SLOW = (MISSING, DISCREPANCY, EXERCISE)
"""What takes PyTensor long to compile."""


def cases(*without: str) -> list:
    return [
        pytest.param(name, marks=[pytest.mark.long] if name in SLOW else [])
        for name in CASES
        if name not in without
    ]


@pytest.fixture(scope="module", params=cases())
def design(request) -> Design:
    return CASES[request.param](**TIGHT)


@pytest.fixture(scope="module")
def model(design) -> pm.Model:
    return model_of(design)


@pytest.fixture(scope="module")
def density(design) -> Density:
    """In coordinates made better by draws, of which offsets and scales are not 0 and 1."""
    first = Density(design, find_modes(design).expansion)
    draws = 0.5 * np.random.default_rng(1).normal(size=(1, 30, first.size))
    return Density(design, refresh(first, draws))


@pytest.fixture(scope="module")
def other_model(design, density) -> pm.Model:
    return model_of(design, density.coordinates)


def value_and_gradient(model: pm.Model):
    """The log density and its gradient, compiled together."""
    return model.compile_fn([model.logp(), model.dlogp()], inputs=model.value_vars, **QUICK)


@pytest.fixture(scope="module")
def both(model):
    """Compiled once for all tests, as are those in whitened coordinates."""
    return value_and_gradient(model)


@pytest.fixture(scope="module")
def log_p(both):
    return lambda point: both(point)[0]


@pytest.fixture(scope="module")
def gradient(both):
    return lambda point: both(point)[1]


@pytest.fixture(scope="module")
def other_both(other_model):
    return value_and_gradient(other_model)


@pytest.fixture(scope="module")
def other_log_p(other_both):
    return lambda point: other_both(point)[0]


@pytest.fixture(scope="module")
def other_gradient(other_both):
    return lambda point: other_both(point)[1]


def drawn(model: pm.Model, seed: int = 1) -> dict[str, np.ndarray]:
    """Values of the free variables not far from where PyMC starts."""
    rng = np.random.default_rng(seed)
    start = model.initial_point()
    return {name: value + 0.2 * rng.normal(size=value.shape) for name, value in start.items()}


def values_at(d: Design, point: dict) -> Values:
    """What the free variables of the non-centered model stand for."""
    people, layout = d.individuals, d.individuals.layout
    none = np.zeros(0)
    effect, omega = point.get("log_covariate_effect", none), np.exp(point.get("log_omega", none))
    z, correlation = point.get("z_eta", np.zeros(people.shape)).copy(), none
    if len(layout.correlated):
        factor = factor_of(2 * expit(point["partial_logodds__"]) - 1)
        correlation = below_diagonal(factor @ factor.T)
        z[:, layout.correlated] = z[:, layout.correlated] @ factor.T
    missing = missing_at(d, point)
    centre = people.centre(point["transformed_typical"], effect, missing)
    individual = centre + omega[layout.component_varying] * z
    sigma, error = np.exp(point["log_sigma"]), point.get("z_forcing", none)
    return Values(point["transformed_typical"], effect, omega, sigma, correlation, individual, error, missing)


def missing_at(d: Design, point: dict) -> np.ndarray:
    """The vector of missing covariates."""
    none = np.zeros(0)
    log_sd = -0.5 * point.get("covariate_precision_log__", none)
    mean, value = point.get("covariate_mean", none), point.get("missing_number", none)
    return np.concatenate([mean, log_sd, value, point.get("level_fraction_logodds__", none)])


def point_of(d: Design, values: Values) -> dict[str, np.ndarray]:
    """The inverse: the free variables of the non-centered model."""
    people, layout = d.individuals, d.individuals.layout
    away = values.individual - people.centre(values.typical, values.effect, values.missing)
    z = away / values.omega[layout.component_varying]
    point = {"transformed_typical": values.typical, "log_sigma": np.log(values.sigma)}
    if len(layout.correlated):
        factor = np.linalg.cholesky(matrices_of(values.correlation))
        z[:, layout.correlated] = np.linalg.solve(factor, z[:, layout.correlated].T).T
        point["partial_logodds__"] = logit((partial_of(factor) + 1) / 2)
    if people.effects:
        point["log_covariate_effect"] = values.effect
    if people.varying:
        point |= {"log_omega": np.log(values.omega), "z_eta": z}
    if d.forcing.n_errors:
        point["z_forcing"] = values.forcing_error
    parts = people.missing.parts(values.missing)
    if people.missing.numbers:
        point |= {"covariate_mean": parts.mean, "missing_number": parts.value}
        point["covariate_precision_log__"] = -2 * parts.log_sd
    if people.missing.levels:
        point["level_fraction_logodds__"] = parts.log_odds
    return point


# --- the density ---


def test_the_log_density_is_the_sum_that_scipy_makes_of_priors_and_samples(design, model, log_p):
    d, people, point = design, design.individuals, drawn(model)
    values = values_at(d, point)
    mean, sd = people.typical_prior
    covariance = np.diag(sd**2)
    for pair, correlation in d.spec.typical_correlations.items():
        i, j = (people.names.index(name) for name in pair)
        covariance[i, j] = covariance[j, i] = correlation * sd[i] * sd[j]
    expected = multivariate_normal(mean, covariance).logpdf(values.typical)
    expected += norm(*people.omega_prior).logpdf(np.log(values.omega)).sum()
    expected += norm(*d.sigma_prior).logpdf(point["log_sigma"]).sum()
    expected += random_effects_log_density(d, values, point.get("z_eta", np.zeros(people.shape)))
    expected += missing_log_density(d, point)
    expected += norm(*people.effect_prior).logpdf(values.effect).sum()
    if len(people.layout.correlated):
        share = expit(point["partial_logodds__"])
        expected += (beta(*people.partial_shapes).logpdf(share) + np.log(share * (1 - share))).sum()
    expected += norm().logpdf(values.forcing_error).sum()
    predicted, _ = d.predict(d.theta(values), d.true_forcing(values))
    for i, shown in enumerate(np.exp(d.rows.log_value)):
        sd = values.sigma[d.rows.analyte[i]] if i < d.n_obs else d.rows.known_sigma[i]
        distance = np.log(shown / predicted[i]) / sd
        if d.rows.censoring[i]:
            expected += norm.logcdf(-d.rows.censoring[i] * distance)
        elif i >= d.n_obs:
            expected += norm(scale=sd).logpdf(sd * distance)
        elif d.rows.nu[i]:
            expected += t(d.rows.nu[i]).logpdf(distance) - np.log(sd * shown)
        else:
            expected += lognorm(sd, scale=predicted[i]).logpdf(shown)
    assert log_p(point) == pytest.approx(float(expected), rel=1e-9, abs=1e-7)


def random_effects_log_density(d: Design, values: Values, z: np.ndarray) -> float:
    """Of standard Normal numbers; of people who lack levels, about each that they may be at."""
    people, known = d.individuals, d.study.covariates
    if not people.varying:
        return 0.0
    factor = np.eye(people.shape[1])
    together = people.layout.correlated
    if len(together):
        factor[np.ix_(together, together)] = np.linalg.cholesky(matrices_of(values.correlation))
    found = norm().logpdf(z)
    for subject in people.subjects:
        lacked = [of for of in people.missing.levels if known[of.name].sel(subject=subject).item() == ""]
        if not lacked:
            continue
        s, shares = people.subjects.index(subject), [shares_of(d, values, of) for of in lacked]
        total = 0.0
        for levels in itertools.product(*(of.levels for of in lacked)):
            share = np.prod([shares[i][lacked[i].levels.index(level)] for i, level in enumerate(levels)])
            away = np.zeros(people.shape[1])
            for acting, effect in zip(people.effects, values.effect, strict=True):
                for of, level in zip(lacked, levels, strict=True):
                    if acting.effect.covariate == of.name:
                        counts = counts_of(d, of)
                        expected = (counts / counts.sum())[of.levels.index(str(acting.effect.reference))]
                        x = acting.effect.standardized(level) - expected
                        k = people.names.index(acting.parameter)
                        whole = people.layout.component_typical == 1  # not what is nested in it
                        away += np.where(whole & (people.layout.component_parameter == k), x * effect, 0.0)
            mean = np.linalg.solve(factor, away / values.omega[people.layout.component_varying])
            total += share * np.exp(norm(mean).logpdf(z[s]).sum())
        found[s] = np.log(total) / people.shape[1]
    return found.sum()


def counts_of(d: Design, of) -> np.ndarray:
    """How many people are at each level, with one for the prior."""
    known = list(d.study.covariates[of.name].values)
    named = [known.count(level) for level in of.levels[:-1]]
    return 1.0 + np.array([*named, len(known) - known.count("") - sum(named)])


def shares_of(d: Design, values: Values, of) -> np.ndarray:
    missing = d.individuals.missing
    own = missing.shares_of(missing.levels.index(of))
    return np.exp(missing.log_shares(values.missing)[own])


def missing_log_density(d: Design, point: dict) -> float:
    """Of means, precisions and numbers by what the known ones leave open, and of shares by counts."""
    found, at = 0.0, 0
    for c, of in enumerate(d.individuals.missing.numbers):
        known = d.study.covariates[of.name].values
        x = np.log(known[np.isfinite(known)]) if of.is_log else known[np.isfinite(known)]
        n, (origin, unit) = len(x), {"bmi": (23.0, 5.0), "age": (np.log(50), np.log(2))}[of.name]
        rate = unit**2 + 0.5 * n * x.var() + 0.5 * 0.01 * n * (x.mean() - origin) ** 2 / (n + 0.01)
        precision, mean = np.exp(point["covariate_precision_log__"][c]), point["covariate_mean"][c]
        found += gamma(1 + n / 2, scale=1 / rate).logpdf(precision) + np.log(precision)
        middle = (x.sum() + 0.01 * origin) / (n + 0.01)
        found += norm(middle, 1 / np.sqrt((n + 0.01) * precision)).logpdf(mean)
        own = point["missing_number"][d.individuals.missing.layout.number == c]
        found += norm(mean, precision**-0.5).logpdf(own).sum()
    for of in d.individuals.missing.levels:
        counts = counts_of(d, of)
        for i, count in enumerate(counts[:-1]):
            odds = point["level_fraction_logodds__"][at]
            found += beta(count, counts[i + 1 :].sum()).logpdf(expit(odds)) + np.log(
                expit(odds) * expit(-odds)
            )
            at += 1
    return found


def test_the_log_density_is_the_obvious_one_in_its_own_variables(design, model, log_p):
    """Random effects in units of their SDs, correlations by log odds, samples by themselves and not by their
    logarithms."""
    for seed in range(3):
        point = drawn(model, seed)
        assert log_p(point) == pytest.approx(expected_log_density(design, point), rel=1e-9, abs=1e-7)


def expected_log_density(d: Design, point: dict) -> float:
    """What the hierarchy makes of the free variables of the non-centered model."""
    (a, b), samples, values = d.individuals.partial_shapes, d.rows.part(slice(d.n_obs)), values_at(d, point)
    constant = -(betaln(a, b) + (a + b) * np.log(2)).sum() - samples.log_value[samples.censoring == 0].sum()
    constant -= np.log(2) * len(d.individuals.missing.numbers)  # precisions, not SDs
    volume = 0.5 * np.linalg.slogdet(d.individuals.covariance(values.omega, values.correlation))[1]
    return obvious.log_density(d, values) + constant + len(d.individuals.subjects) * volume


@pytest.mark.long
@pytest.mark.parametrize("name", list_models())
def test_every_shipped_model_has_its_density_in_both_forms(name):
    study = load_study("bergman1986" if name in ("minimal", "ivgtt") else "synthetic_ogtt")
    spec = load_model(name)
    measured = [analyte for analyte in study.analytes if analyte in spec.analytes]
    d = make_design(spec, study.select(subjects=study.subjects[:2], analytes=measured), **TIGHT)
    m, density = model_of(d), Density(d, find_modes(d).expansion)
    log_p, other_log_p = (one.compile_logp(**QUICK) for one in (m, model_of(d, density.coordinates)))
    constants = []
    for seed in range(2):
        point = drawn(m, seed)
        assert log_p(point) == pytest.approx(expected_log_density(d, point), rel=1e-9, abs=1e-7)
        x = 0.5 * np.random.default_rng(seed).normal(size=density.size)
        constants.append(other_log_p({"whitened_coordinates": x}) - density(x)[0])
    assert constants[0] == pytest.approx(constants[1], rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("offset", [0.0, 40.0])
@pytest.mark.parametrize("residual", [{"residual": "normal"}, {"residual": "student", "nu": 4.0}])
def test_every_residual_with_limits_and_a_constant_error_has_its_density_and_gradient(residual, offset):
    spec = load_model("minimal").with_changes(analytes={"glucose": {**residual, "error_offset": offset}})
    limits = {"glucose": (95.0, 210.0)}
    d = simulated(spec, 2, INTRAVENOUS_TIMES, limits=limits, **TIGHT).design
    assert set(d.rows.censoring) == {-1, 0, 1}
    density = Density(d, find_modes(d).expansion)
    m, other = model_of(d), model_of(d, density.coordinates)
    point = drawn(m)
    expected = expected_log_density(d, point)
    assert m.compile_logp(**QUICK)(point) == pytest.approx(expected, rel=1e-9, abs=1e-7)
    x = 0.5 * np.random.default_rng(8).normal(size=density.size)
    found = other.compile_dlogp(**QUICK)({"whitened_coordinates": x})
    np.testing.assert_allclose(found, density(x)[1], rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_differences(
    model, other_model, log_p, gradient, other_log_p, other_gradient
):
    rng = np.random.default_rng(3)
    for m, value, slope in ((model, log_p, gradient), (other_model, other_log_p, other_gradient)):
        point = drawn(m)
        along = {name: rng.normal(size=value.shape) for name, value in point.items()}
        h = 1e-4
        ahead, behind = (value({n: v + s * h * along[n] for n, v in point.items()}) for s in (1, -1))
        found = slope(point) @ np.concatenate([along[v.name].ravel() for v in m.value_vars])
        assert found == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-4)


def test_the_gradient_in_coordinates_is_that_of_the_compiled_density(density, other_gradient):
    for x in 0.5 * np.random.default_rng(2).normal(size=(3, density.size)):
        np.testing.assert_allclose(
            other_gradient({"whitened_coordinates": x}), density(x)[1], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("design", cases(CORRELATED, DISCREPANCY, MISSING), indirect=True)
def test_the_gradient_without_coordinates_is_that_of_the_compiled_density(design, model, gradient):
    """Where random effects are independent: those that go together are made of other standard Normal
    numbers."""
    d, people = design, design.individuals
    assert not len(people.layout.correlated)
    point, density = drawn(model), Density(d)
    priors = {
        "transformed_typical": people.typical_prior,
        "log_covariate_effect": people.effect_prior,
        "log_omega": people.omega_prior,
        "log_sigma": d.sigma_prior,
        "z_eta": (0.0, 1.0),
        "z_forcing": (0.0, 1.0),
    }
    there = [name for name in priors if name in point]
    expected = density(np.concatenate([((point[n] - priors[n][0]) / priors[n][1]).ravel() for n in there]))[1]
    names = [v.name for v in model.value_vars]
    ends = np.cumsum([point[n].size for n in names])[:-1]
    parts = dict(zip(names, np.split(gradient(point), ends), strict=True))
    found = np.concatenate([(parts[n].reshape(point[n].shape) * priors[n][1]).ravel() for n in there])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_both_forms_have_the_same_density_but_for_the_volume_of_the_change_of_variables(
    design, density, model, log_p, other_log_p
):
    d = design

    def flat(x):
        point = point_of(d, density.unpack(x[None]).at(0))
        return np.concatenate([point[v.name].ravel() for v in model.value_vars])

    for x in 0.5 * np.random.default_rng(4).normal(size=(2, density.size)):
        h = 1e-5
        jacobian = np.array([flat(x + step) - flat(x - step) for step in h * np.eye(len(x))]) / (2 * h)
        expected = log_p(point_of(d, density.unpack(x[None]).at(0))) + np.linalg.slogdet(jacobian)[1]
        assert other_log_p({"whitened_coordinates": x}) == pytest.approx(expected, rel=1e-8, abs=1e-5)


# --- names ---


def curve_of(d: Design) -> str:
    """The variable of the true forcing function of a model."""
    return forcing(d.spec.analytes[d.analytes[d.forcing.analyte]].output)


def test_the_same_variables_with_the_users_labels_are_in_both_forms(design, model, other_model):
    d = design
    named = {v.name: v for v in model.free_RVs + model.deterministics if v.name != "z_eta"}
    others = {v.name for v in other_model.deterministics}
    assert set(named) == others and [v.name for v in other_model.free_RVs] == ["whitened_coordinates"]
    for m in (model, other_model):
        assert m.coords["parameter"] == d.individuals.names
        assert m.coords["analyte"] == d.analytes
        assert m.coords["subject"] == tuple(d.study.subjects)
        assert m.coords["occasion"] == tuple("/".join(occasion) for occasion in d.study.occasions)
        for name in named:
            assert m.named_vars_to_dims[name] == model.named_vars_to_dims[name]
        assert m.named_vars_to_dims["theta"] == ("occasion", "parameter")
        if d.individuals.varying:
            assert m.named_vars_to_dims["eta"] == ("subject", "random_effect")
            own = {e.partition("/")[0] for e in m.coords["random_effect"]}
            within = {f"{name}/occasion" for name in d.individuals.nested}
            assert set(m.coords["varying"]) == own | within
        if len(d.forcing.obs):
            assert m.named_vars_to_dims[curve_of(d)] == ("forcing_obs",)
            labels, own = m.coords["forcing_obs"], d.forcing.error >= 0
            assert list(labels) == forcing_labels(d)
            assert list(m.coords["forcing_error"]) == list(np.array(labels)[own])


def test_variables_of_one_name_have_one_value_in_both_forms(design, density, model, other_model):
    names = [v.name for v in other_model.deterministics]
    (x,) = 0.5 * np.random.default_rng(5).normal(size=(1, density.size))
    values = density.unpack(x[None]).at(0)

    def at(m, point):
        # values of the trace, after the transformations of PyMC
        found = m.compile_fn(m.unobserved_value_vars, **QUICK)(point)
        return dict(zip((v.name for v in m.unobserved_value_vars), found, strict=True))

    one, other = at(model, point_of(design, values)), at(other_model, {"whitened_coordinates": x})
    for name in names:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)
    theta = design.theta(values)[:, design.individuals.layout.columns]
    np.testing.assert_allclose(one["theta"], theta, rtol=1e-10)
    if len(design.forcing.obs):
        np.testing.assert_allclose(one[curve_of(design)], design.true_forcing(values), rtol=1e-10)
    if len(design.individuals.layout.correlated):
        np.testing.assert_allclose(one["correlation"], matrices_of(values.correlation), rtol=1e-9, atol=1e-12)


def test_all_samples_of_an_analyte_are_one_observed_variable_and_none_is_a_potential(
    design, model, other_model
):
    used = design.study.observations.sel(obs=design.obs)
    for m in (model, other_model):
        seen = []
        for variable in m.observed_RVs:
            own = used.isel(obs=used.analyte.values == variable.name)
            assert m.named_vars_to_dims[variable.name] == (f"{variable.name}_obs",)
            labels = labelled(design.study, own, variable.name)[f"{variable.name}_obs"]
            assert m.coords[f"{variable.name}_obs"] == tuple(labels)
            np.testing.assert_array_equal(m.rvs_to_values[variable].data, own.value.values)
            seen += list(own.obs.values)
        assert sorted(seen) == sorted(design.obs)
        assert [p.name for p in m.potentials] == ["pseudo_observations"] * (
            len(design.rows.sample) > design.n_obs
        )


# --- likelihood and draws ---


def posterior(m: pm.Model, density: Density, draws: int = 3) -> xr.DataTree:
    """A tree with draws of the free variables of a model, not of its posterior."""
    x = 0.3 * np.random.default_rng(6).normal(size=(draws, density.size))
    d, values = density.design, density.unpack(x)
    points = [point_of(d, values.at(i)) for i in range(draws)]
    for point in points:
        for name in [name for name in point if name.endswith("__")]:
            natural = np.exp if name.endswith("_log__") else expit
            point[name.removesuffix("_log__").removesuffix("_logodds__")] = natural(point.pop(name))
    if [v.name for v in m.free_RVs] == ["whitened_coordinates"]:
        points = [{"whitened_coordinates": row} for row in x]
    found = {}
    for name in points[0]:
        stacked = np.stack([p[name] for p in points])[None]
        dims = m.named_vars_to_dims[name]
        found[name] = (("chain", "draw", *dims), stacked)
    coords = {dim: list(labels) for dim, labels in m.coords.items()}
    used = {dim for dims, _ in found.values() for dim in dims}
    data = xr.Dataset(found, coords={d: c for d, c in coords.items() if d in used})
    return xr.DataTree.from_dict({"posterior": data.assign_coords(chain=[0], draw=range(draws))})


def log_likelihood(design: Design, density: Density, draws: int = 3) -> dict[str, np.ndarray]:
    """What the hierarchy makes of the same draws, by analyte: of a value, not of its logarithm."""
    x = 0.3 * np.random.default_rng(6).normal(size=(draws, density.size))
    values, rows = density.unpack(x), design.rows.part(slice(design.n_obs))
    each = np.array([obvious.log_likelihood(design, values.at(i))[: design.n_obs] for i in range(draws)])
    each -= np.where(rows.censoring == 0, rows.log_value, 0.0)
    return {name: each[:, rows.analyte == a] for a, name in enumerate(design.analytes)}


def test_the_log_likelihood_of_each_sample_is_that_of_the_hierarchy(design, density, model, other_model):
    expected = log_likelihood(design, density)
    for m in (model, other_model):
        tree = compute_log_likelihood(posterior(m, density), model=m, progressbar=False, compile_kwargs=QUICK)
        assert set(tree.log_likelihood.data_vars) == {v.name for v in m.observed_RVs}
        for name, found in tree.log_likelihood.data_vars.items():
            np.testing.assert_allclose(found.values[0], expected[name], rtol=1e-8, atol=1e-9)


def test_the_log_prior_is_that_of_the_hierarchy(design, density, model, other_model):
    """In the coordinates, but for their volume: see the test of both forms' densities."""
    tree = compute_log_prior(posterior(model, density), model=model, progressbar=False, compile_kwargs=QUICK)
    total = sum(v.sum(set(v.dims) - {"chain", "draw"}) for v in tree.log_prior.data_vars.values())
    x = 0.3 * np.random.default_rng(6).normal(size=(3, density.size))
    values, (a, b) = density.unpack(x), design.individuals.partial_shapes
    expected = []
    for i in range(3):
        at = values.at(i)
        parts = obvious.log_prior(design, at)
        partial = partial_of(np.linalg.cholesky(matrices_of(at.correlation)))
        parts["correlation"] = (
            parts["correlation"] - np.log1p(-(partial**2)) - betaln(a, b) - (a + b - 2) * np.log(2)
        )
        # of precisions, not of log SDs; of fractions, not of log odds
        missing = design.individuals.missing.parts(at.missing)
        parts["missing"] = np.concatenate([parts["missing"], -np.log(2) + 2 * missing.log_sd])
        parts["missing"] = np.append(
            parts["missing"], -np.log(expit(missing.log_odds) * expit(-missing.log_odds))
        )
        volume = 0.5 * np.linalg.slogdet(design.individuals.covariance(at.omega, at.correlation))[1]
        people = obvious.log_individuals(design, at).sum() + len(design.individuals.subjects) * volume
        expected.append(sum(p.sum() for p in parts.values()) + people)
    np.testing.assert_allclose(total.values[0], expected, rtol=1e-9, atol=1e-8)
    other = compute_log_prior(
        posterior(other_model, density), model=other_model, progressbar=False, compile_kwargs=QUICK
    )
    assert set(other.log_prior.data_vars) == {"whitened_coordinates"}


def test_of_a_value_beyond_a_limit_only_the_side_counts():
    d = CASES[LIMITS]()
    m = model_of(d)
    point = m.initial_point()
    own = d.rows.analyte == d.analytes.index("glucose")
    rows = d.rows.part(own)
    measured = m.rvs_to_values[m["glucose"]].data
    below, above, within = (rows.censoring == side for side in (-1, 1, 0))

    def each(values):
        changed = pm.observe(m, {"glucose": values})
        return changed.compile_logp([changed["glucose"]], sum=False, **QUICK)(point)[0]

    usual = each(measured)
    beyond = each(np.where(below, 0.5 * measured, np.where(above, 2 * measured, measured)))
    np.testing.assert_array_equal(beyond, usual)
    inside = each(np.where(below, 2 * measured, np.where(above, 0.5 * measured, measured)))
    np.testing.assert_array_equal(inside[within], usual[within])
    predicted, _ = d.predict(d.theta(values_at(d, point)), d.true_forcing(values_at(d, point)))
    sd = np.exp(point["log_sigma"][d.analytes.index("glucose")])
    shown = np.where(below, 2 * measured, 0.5 * measured)
    expected = t(rows.nu).logpdf(np.log(shown / predicted[own]) / sd) - np.log(sd * shown)
    np.testing.assert_allclose(inside[~within], expected[~within], rtol=1e-9)
    assert (each(np.where(within, -1.0, measured))[within] == -np.inf).all()


@pytest.mark.parametrize("residual", EVERY_RESIDUAL, ids=repr)
def test_pymc_draws_every_kind_of_residual(residual):
    """The share of 20,000 draws below a value, whose standard error is at most 0.0036, is the CDF."""
    distribution, parameters = residual.pymc
    drawn = pm.draw(getattr(pm, distribution).dist(**parameters, size=20_000), random_seed=1, **QUICK)
    for z in (-2.0, -0.5, 0.0, 1.0):
        assert (drawn < z).mean() == pytest.approx(float(residual.cdf(np.array(z))), abs=5 * 0.0036)


@pytest.mark.parametrize("name", [LIMITS, OUTLIERS, CONSTANT_ERROR])
@pytest.mark.long
def test_draws_are_those_of_the_hierarchy_without_limits(name):
    """The share of 4,000 draws of each sample below the 10, 50 and 90 % quantiles of 4,000 of the hierarchy,
    whose difference has a standard error of at most 0.011."""
    d = CASES[name]()
    m = model_of(d)
    fixed = {v.name: m.initial_point()[v.name] for v in m.free_RVs}
    values = values_at(d, fixed)
    predicted, _ = d.predict(d.theta(values), d.true_forcing(values))
    samples = d.rows.part(slice(d.n_obs))
    log_predicted = np.tile(np.log(predicted[: d.n_obs]), (4000, 1))
    expected = samples.draw(log_predicted, values.sigma, np.random.default_rng(7))
    done = pm.do(m, fixed)
    draws = pm.draw([done[v.name] for v in m.observed_RVs], 4000, random_seed=7, **QUICK)
    for variable, found in zip(m.observed_RVs, draws, strict=True):
        theirs = expected[:, samples.analyte == d.analytes.index(variable.name)]
        quantiles = np.quantile(theirs, (0.1, 0.5, 0.9), axis=0)
        shares = (found[None] < quantiles[:, None]).mean(1)
        np.testing.assert_allclose(shares, np.tile([[0.1], [0.5], [0.9]], theirs.shape[1]), atol=5 * 0.011)


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


@pytest.mark.parametrize("name", [CORRELATED, REAL])
@pytest.mark.long
def test_draws_of_the_prior_in_coordinates_are_draws_of_the_prior(name):
    """The mean and the variance of each number of 1,000 draws, in units of their standard errors."""
    d = CASES[name]()
    with model_of(d, whitened(d, find_modes(d).expansion)) as m:
        found = pm.sample_prior_predictive(1000, random_seed=2, compile_kwargs=QUICK).prior.isel(chain=0)
    people, (a, b) = d.individuals, d.individuals.partial_shapes
    expected = {
        "transformed_typical": people.typical_prior,
        "log_omega": people.omega_prior,
        "log_sigma": d.sigma_prior,
        "partial": (a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)),
        "z_forcing": (0.0, 1.0),
    }
    z = found.eta.values / np.exp(found.log_omega.values)[:, None, people.layout.component_varying]
    numbers = [(z.reshape(1000, -1), 0.0, 1.0)]
    numbers += [(found[n].values, *pair) for n, pair in expected.items() if n in m.named_vars]
    for draws, mean, sd in numbers:
        away = (draws - mean) / sd
        kurtosis = (away**4).mean(0)
        assert (np.abs(away.mean(0)) < 5 / np.sqrt(1000)).all()
        assert (np.abs((away**2).mean(0) - 1) < 5 * np.sqrt(kurtosis / 1000)).all()


def test_an_intervention_on_the_model_is_followed_by_its_samples():
    """Everyone typical and an assay without error: what is measured is the typical person."""
    d = CASES[REAL]()
    fixed = {
        "transformed_typical": d.prior_medians.typical,
        "z_eta": np.zeros(d.individuals.shape),
        "log_sigma": np.full(len(d.analytes), -30.0),
    }
    predicted, _ = d.predict(d.theta(d.prior_medians))
    theta = d.theta(d.prior_medians)[:, d.individuals.layout.columns]
    for interventions in (fixed, {"theta": theta, "log_sigma": fixed["log_sigma"]}):
        with pm.do(model_of(d), interventions):
            found = pm.sample_prior_predictive(2, random_seed=1, compile_kwargs=QUICK)
        for analyte, samples in found.prior_predictive.items():
            expected = predicted[: d.n_obs][d.rows.analyte[: d.n_obs] == d.analytes.index(analyte)]
            np.testing.assert_allclose(samples.values[0], [expected] * 2, rtol=1e-6)


# --- how it is asked for ---


def test_names_are_enough_and_settings_go_to_the_solver():
    def operations(rtol):
        model = build("minimal", "bergman1986", rtol=rtol)
        nodes = [v.owner for v in ancestors(model.observed_RVs) if v.owner is not None]
        return {str(node.op): node.op for node in nodes}

    one, other = operations(1e-8), operations(1e-6)
    assert one["parameters"] == other["parameters"] and one["predictions"] != other["predictions"]


@pytest.fixture(scope="module")
def quick() -> xr.DataTree:
    return bayesglu.fit("minimal", "bergman1986", method="laplace", draws=4, random_seed=1, progressbar=False)


def test_a_fit_keeps_its_coordinates_and_a_model_can_be_written_in_them(quick, tmp_path):
    d = make_design(load_model("minimal"), load_study("bergman1986"))
    expected = whitened(d, find_modes(d).expansion)
    for ending in ("nc", "zarr"):
        kept = bayesglu.load(bayesglu.save(quick, tmp_path / f"fit.{ending}"))
        found, problems = kept_coordinates(kept, d)
        assert not problems
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    models = build("minimal", "bergman1986", coordinates_of=kept), build("minimal", "bergman1986", "whitened")
    x = {name: np.full(value.shape, 0.1) for name, value in models[0].initial_point().items()}
    one, other = (m.compile_logp(**QUICK)(x) for m in models)
    assert one == pytest.approx(other, rel=1e-9)


def test_coordinates_survive_a_group_whatever_is_empty(design, density):
    group = keep_coordinates(density.coordinates, design)
    tree = xr.DataTree.from_dict({"whitened_coordinates": group})
    tree.attrs = {"model_hash": design.spec.hash, "study_hash": design.study.hash}
    found, problems = kept_coordinates(tree, design)
    assert not problems
    for name, one, other in zip(Coordinates._fields, found, density.coordinates, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_coordinates_that_an_earlier_version_kept_have_the_same_origin_and_information():
    """They held what is told of all components, not of informed directions."""
    d = CASES[LIMITS]()
    expansion = find_modes(d).expansion
    now, layout = whitened(d, expansion), d.individuals.layout
    at = Density(d, expansion).unpack(np.zeros((1, Density(d, expansion).size)))
    information, linear, cross = average_linear_model(d, at)
    group = keep_coordinates(now, d).drop_vars(["lean", "linear", "cross", "offset", "scale"])
    there = ("subject", "component")
    sd = np.exp(now.log_omega)[layout.component_varying]
    whole = information + np.diag(sd**-2.0)
    centre = d.individuals.centre(at.typical[0], at.effect[0])
    known = linear + centre / sd**2 - cross @ now.shared
    away = at.individual[0] - np.linalg.solve(whole, known[..., None])[..., 0]
    offset = (np.linalg.cholesky(whole).swapaxes(1, 2) @ away[..., None])[..., 0]
    group = group.assign(
        information=((*there, "other_component"), information),
        linear=(there, linear),
        cross=((*there, "value"), cross),
        offset=(there, offset),
        scale=((*there, "other_component"), np.tile(np.eye(len(sd)), (len(offset), 1, 1))),
    )
    tree = xr.DataTree.from_dict({"whitened_coordinates": group})
    tree.attrs = {"model_hash": d.spec.hash, "study_hash": d.study.hash}
    found, problems = kept_coordinates(tree, d)
    assert not problems
    for name, one, other in zip(Coordinates._fields, found, now, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8, err_msg=name)


def test_what_does_not_fit_together_is_refused():
    study = load_study("bergman1986")
    with pytest.raises(StudyError, match="has measured insulin as its forcing function"):
        build("minimal", study.select(analytes=["glucose"]))
    with pytest.raises(SpecError, match="minimal"):
        build("minimall", study)


def test_everything_that_is_wrong_with_a_parametrization_is_said_at_once(quick):
    with pytest.raises(InputError, match=r"'whitend'. Did you mean 'whitened'\?"):
        build("minimal", "bergman1986", "whitend")
    changed = load_model("minimal").with_changes(analytes={"glucose": {"residual": "student", "nu": 4.0}})
    bare = quick.copy()
    del bare["whitened_coordinates"]
    with pytest.raises(InputError) as raised:
        build(changed, CASES[LIMITS]().study, "noncentered", coordinates_of=bare)
    said = (
        "not for 'noncentered'",
        "another model: 'minimal'",
        "another study",
        "holds no whitened coordinates",
    )
    assert len(raised.value.problems) == len(said)
    for words, problem in zip(said, raised.value.problems, strict=True):
        assert words in problem


def test_a_fit_saved_without_data_has_no_coordinates(quick, tmp_path):
    path = bayesglu.save(quick, tmp_path / "fit.nc", without_data=True)
    with pytest.raises(InputError, match="saved without data"):
        build("minimal", "bergman1986", coordinates_of=bayesglu.load(path))


# --- sampling ---


@pytest.mark.long
def test_pymc_samples_it_as_it_is():
    d = CASES[SHARED]()
    with model_of(d):
        found = pm.sample(20, tune=60, chains=2, cores=1, random_seed=1, progressbar=False)
        again = pm.sample_posterior_predictive(found, random_seed=1, progressbar=False).posterior_predictive
    assert sum(values.size for values in again.data_vars.values()) == 2 * 20 * d.n_obs
    assert found.posterior.theta.shape == (2, 20, len(d.study.occasions), len(d.individuals.names))
    glucose = found.posterior.theta.sel(parameter="basal_glucose")
    assert 70 < float(glucose.mean()) < 110
