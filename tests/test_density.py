"""The compiled log density is the obvious one in other coordinates, and its gradient is exact."""

import numpy as np
import pandas as pd
import pytest
from numba import njit
from scipy.stats import norm, t
from simulated import CASES, EVERY_RESIDUAL, LIMITS, REAL

from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.log_density import log_density as obvious_log_density
from bayesglu.hierarchy.missing import MissingLayout
from bayesglu.inference.coordinates import point_at, points_at
from bayesglu.inference.density import Density, log_density
from bayesglu.inference.modes import find_modes
from bayesglu.inference.pilot import refresh
from bayesglu.inference.predictions import parameters_at
from bayesglu.inference.residuals import log_cdf, log_residual
from bayesglu.residuals import KINDS, Normal, Student, censored
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
POINTS = 4


@njit
def _point_at(x, layout, coordinates):
    """`point_at`, which only compiled functions can call."""
    return point_at(x, layout, coordinates)


@njit
def _log_cdf(x):
    return log_cdf(x)


@njit
def _log_residual(kind, nu, side, z):
    return log_residual(kind, nu, side, z)


@njit
def _parameters_at(shared, individual, missing, layout):
    return parameters_at(shared, individual, missing, layout)


@pytest.fixture(scope="module", params=CASES)
def design(request) -> Design:
    return CASES[request.param](**TIGHT)


@pytest.fixture(scope="module", params=["whitened", "noncentered"])
def density(request, design) -> Density:
    if request.param == "noncentered":
        return Density(design)
    first = Density(design, find_modes(design).expansion)
    return Density(design, refresh(first, points(first, 30)[None]))


def points(density: Density, n: int = POINTS) -> np.ndarray:
    return 0.5 * np.random.default_rng(1).normal(size=(n, density.size))


def test_the_gradient_is_that_of_differences(density):
    (x,) = points(density, 1)
    value, gradient = density(x)
    assert np.isfinite(value)
    h = 1e-3
    steps = h * np.eye(density.size)
    near, far = ([density(x + k * s)[0] - density(x - k * s)[0] for s in steps] for k in (1, 2))
    expected = (8 * np.array(near) - np.array(far)) / (12 * h)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_it_is_compiled_once_where_nobody_lacks_a_covariate_and_once_for_all_others(density):
    density(np.zeros(density.size))
    density.unpack(np.zeros((1, density.size)))
    for function in (log_density, points_at):
        kinds = [MissingLayout.__name__ in str(signature) for signature in function.overloads]
        assert len(kinds) == len({*kinds})


def test_values_have_a_position_from_which_they_unpack(design):
    first = Density(design, find_modes(design).expansion)
    for whitened in (first, Density(design, refresh(first, points(first, 30)[None]))):
        values = first.unpack(points(first))
        found = whitened.unpack(whitened.pack(values))
        for name, expected, one in zip(values._fields, values, found, strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_it_is_the_obvious_log_density_but_for_the_volume_of_the_coordinates_and_a_constant(density):
    design, offsets = density.design, []
    for x in points(density):
        point = _point_at(x, design.individuals.layout, density.coordinates)
        values = density.unpack(x[None]).at(0)
        offsets.append(density(x)[0] - point.log_volume - obvious_log_density(design, values))
    np.testing.assert_allclose(offsets, offsets[0], atol=1e-7)


def test_the_cases_hold_all_that_a_row_or_a_parameter_can_be():
    designs = {name: case(**TIGHT) for name, case in CASES.items()}
    rows = [d.rows for d in designs.values()]
    assert {c for r in rows for c in r.censoring} == {-1, 0, 1}
    assert any((r.analyte < 0).any() for r in rows), "a pseudo-observation"
    assert any(((r.by_output == 1) & (r.by_parameter == 1)).any() for r in rows), "an assay's floor"
    assert any((r.by_output == 0).any() for r in rows), "a basal concentration itself"
    assert {number for r in rows for number in r.residual} == {kind.number for kind in KINDS.values()}
    assert any((r.offset > 0).any() for r in rows), "an error with a constant part"
    assert any(d.individuals.effects for d in designs.values())
    assert any(d.individuals.layout.is_logit.any() for d in designs.values())
    assert any(d.spec.at("occasion") for d in designs.values())
    assert any(not d.individuals.varying for d in designs.values())
    nested = [d.individuals for d in designs.values() if d.individuals.nested]
    assert any(len(d.individuals.layout.correlated) == 3 for d in designs.values())
    assert any(people.layout.correlated.any() for people in nested), "tests within people that go together"
    assert any(d.spec.at("occasion") and d.individuals.nested for d in designs.values())


def test_positions_unpack_to_the_same_people_in_compiled_code_and_in_numpy(density):
    design, people = density.design, density.design.individuals
    values = density.unpack(points(density))
    shapes = {
        "typical": (len(people.estimated),),
        "effect": (len(people.effects),),
        "omega": (len(people.varying),),
        "sigma": (len(design.analytes),),
        "correlation": (people.partial_shapes.shape[1],),
        "individual": people.shape,
        "forcing_error": (design.forcing.n_errors,),
        "missing": (people.missing.size,),
    }
    assert {name: array.shape[1:] for name, array in values._asdict().items()} == shapes
    theta = design.theta(values)[..., people.layout.columns]
    for i in range(POINTS):
        shared = np.concatenate([values.typical[i], values.effect[i]])
        compiled = _parameters_at(shared, values.individual[i], values.missing[i], people.layout)
        np.testing.assert_allclose(compiled, theta[i], rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name != LIMITS])
def test_in_whitened_coordinates_the_posterior_is_about_a_standard_normal_at_the_origin(name):
    """Exactly so for a linear model with known spreads; samples beyond limits make it no linear model."""
    design = CASES[name](**TIGHT)
    expansion = find_modes(design).expansion
    density = Density(design, expansion)
    gradient = np.array([density(x)[1] for x in (np.zeros(density.size), *(0.1 * np.eye(density.size)))])
    np.testing.assert_allclose(gradient[0, : len(expansion.shared)], 0.0, atol=0.5)
    curvature = -(gradient[1:] - gradient[0]).diagonal() / 0.1
    assert (curvature > 0).all()
    assert np.median(curvature) == pytest.approx(1.0, abs=0.2)


@pytest.mark.filterwarnings("ignore:.*first sample of insulin")
@pytest.mark.filterwarnings("ignore:.*last sample of insulin")
def test_everyone_may_have_readings_of_their_own_number_and_times_also_none_before_the_drink():
    insulin = {"A": (-10, 0, 3, 9, 25, 70, 130, 150), "B": (2, 6, 40, 121), "C": (0, 180)}
    rows = [
        (person, t, analyte, value, unit)
        for person, readings in insulin.items()
        for analyte, times, value, unit in (
            ("glucose", (0, 10, 30, 60, 120), 120.0, "mg/dL"),
            ("insulin", readings, 80.0, "pmol/L"),
        )
        for t in times
    ]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    table["value"] *= np.exp(0.2 * np.random.default_rng(3).normal(size=len(table)))
    study = Study.from_table(table, protocol="ivgtt(0.3)", body_weight=70.0)
    d = make_design(load_model("minimal"), study, **TIGHT)
    assert [list(d.forcing.error[d.forcing.occasion == n] >= 0) for n in range(3)] == [
        [False, False, True, True, True, True, False, False],
        [True, True, True, False, False],  # at rest at the dose, before the first
        [False, False],
    ]
    insulin["B"] += (0,)
    density = Density(d)
    (x,) = points(density, 1)
    _, gradient = density(x)
    steps = 1e-4 * np.eye(density.size)
    expected = [(density(x + s)[0] - density(x - s)[0]) / 2e-4 for s in steps]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)
    true = d.true_forcing(density.unpack(x[None]).at(0))
    schedule, found = d.solver.schedule, d.forcing.at_stops(true)
    for n, (person, times) in enumerate(insulin.items()):
        stops = slice(*schedule.offset[n : n + 2])
        order = np.argsort(times)
        knots = np.array(times)[order], true[d.forcing.occasion == n][order]
        curve = np.interp(schedule.time[stops], *knots)
        np.testing.assert_allclose(found[stops], curve, err_msg=person)


def test_where_someones_equations_cannot_be_solved_the_density_is_zero():
    design = CASES[REAL](max_steps=5)
    value, gradient = Density(design)(np.zeros(Density(design).size))
    assert value == -np.inf and (gradient == 0).all()


def test_the_density_is_zero_not_an_error_where_parameters_overflow():
    density = Density(CASES[REAL]())
    with np.errstate(all="ignore"):
        assert density(np.full(density.size, 400.0))[0] == -np.inf


@pytest.mark.parametrize("x", [-60.0, -31.0, -30.0, -29.0, -8.0, -1.0, 0.0, 2.0, 9.0])
def test_the_normal_distributions_tail_is_scipys_however_far_out(x):
    value, slope = _log_cdf(x)
    assert value == pytest.approx(norm.logcdf(x), rel=1e-6, abs=1e-12)
    assert slope == pytest.approx(np.exp(norm.logpdf(x) - norm.logcdf(x)), rel=1e-6)


@pytest.mark.parametrize("residual", EVERY_RESIDUAL, ids=repr)
def test_a_residual_keeps_its_contract_and_its_compiled_form_is_the_obvious_one(residual):
    z = np.array([-9.0, -1.2, -0.1, 0.3, 2.0, 40.0])
    h = 1e-5
    difference = (residual.log_density(z + h) - residual.log_density(z - h)) / (2 * h)
    np.testing.assert_allclose(residual.slope(z), difference, rtol=1e-6)
    np.testing.assert_allclose(residual.weight(z), -residual.slope(z) / z, rtol=1e-12)
    np.testing.assert_allclose(
        (residual.cdf(z + h) - residual.cdf(z - h)) / (2 * h), np.exp(residual.log_density(z)), atol=1e-6
    )
    grid = np.linspace(-200, 200, 400_001)
    squares = np.exp(residual.log_density(grid)) * residual.slope(grid) ** 2
    assert np.trapezoid(squares, grid) == pytest.approx(residual.information, rel=1e-5)
    compiled = np.array([_log_residual(residual.number, residual.nu, 0, one) for one in z])
    np.testing.assert_allclose(compiled[:, 1], residual.slope(z), rtol=1e-12)
    constant = compiled[:, 0] - residual.log_density(z)
    np.testing.assert_allclose(constant, constant[0], atol=1e-9)


def test_residuals_are_drawn_from_their_distributions():
    """The share of 20,000 draws below a value, whose standard error is at most 0.0036, is the CDF."""
    rng = np.random.default_rng(1)
    for residual in EVERY_RESIDUAL:
        draws = residual.draw(rng, 20_000)
        for z in (-2.0, -0.5, 0.0, 1.0):
            assert (draws < z).mean() == pytest.approx(float(residual.cdf(np.array(z))), abs=5 * 0.0036)


@pytest.mark.parametrize(("residual", "expected"), [(Normal(), norm), (Student(4.0), t(4.0))])
def test_residuals_are_the_distributions_of_scipy(residual, expected):
    z = np.array([-30.0, -2.0, -0.5, 0.0, 1.0, 7.0])
    np.testing.assert_allclose(residual.log_density(z), expected.logpdf(z), rtol=1e-12)
    np.testing.assert_allclose(residual.cdf(z), expected.cdf(z), rtol=1e-12)


@pytest.mark.parametrize("side", [-1, 1])
def test_beyond_a_limit_compiled_code_has_the_obvious_probability_and_slope(side):
    for z in (-35.0, -4.0, -0.2, 0.0, 3.0):
        value, slope = _log_residual(Normal.number, 0.0, side, z)
        assert value == pytest.approx(censored.log_probability(z, side), rel=1e-6, abs=1e-12)
        assert slope == pytest.approx(censored.slope(z, side), rel=1e-6, abs=1e-12)
