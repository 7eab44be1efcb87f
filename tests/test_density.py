"""The compiled log density is the plain PyMC model's in other coordinates, and its gradient is exact."""

import numpy as np
import pandas as pd
import pytest
from numba import njit
from scipy.stats import norm
from simulated import CASES, LIMITS, REAL

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.design import design as design_of
from bayesglu.inference.density import (
    Density,
    _log_cdf,
    log_density,
    parameters_at,
    unpack,
    unpack_draws,
)
from bayesglu.inference.modes import modes
from bayesglu.inference.pilot import refresh
from bayesglu.inference.pymc_model import model_of
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study

TIGHT = {"relative": 1e-10, "absolute": 1e-10}
POINTS = 4


@njit
def _unpack(x, population, coordinates):
    """`unpack`, which only compiled functions can call."""
    return unpack(x, population, coordinates)


@njit
def _parameters_at(shared, block, population):
    return parameters_at(shared, block, population)


@pytest.fixture(scope="module", params=CASES)
def design(request) -> Design:
    return CASES[request.param](**TIGHT)


@pytest.fixture(scope="module")
def plain_log_density(design):
    """That of the PyMC model, from values of its own variables."""
    return model_of(design).compile_logp(mode="FAST_COMPILE")


@pytest.fixture(scope="module", params=["whitened", "non-centred"])
def density(request, design) -> Density:
    if request.param == "non-centred":
        return Density(design)
    first = Density(design, modes(design))
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


def test_it_is_compiled_once_whatever_the_design_and_the_coordinates(density):
    density(np.zeros(density.size))
    density.unpack(np.zeros((1, density.size)))
    assert len(log_density.overloads) == len(unpack_draws.overloads) == 1


def test_blocks_have_a_position_from_which_they_unpack(design):
    expansion = modes(design)
    first = Density(design, expansion)
    for whitened in (first, Density(design, refresh(first, points(first, 30)[None]))):
        block = expansion.block + 0.1 * np.random.default_rng(2).normal(size=expansion.block.shape)
        *_, (found,), _ = whitened.unpack(whitened.position(block)[None])
        np.testing.assert_allclose(found, block, rtol=1e-9, atol=1e-9)


def test_it_is_the_log_density_of_the_plain_model_but_for_volume_and_a_constant(density, plain_log_density):
    design = density.design
    offsets = []
    for x in points(density):
        unpacked = _unpack(x, density.population, density.coordinates)
        shared, between, error, factor, block, centre, _, _, log_volume = unpacked
        # A deviation is its block's in units of the spread and of what it goes together with.
        unit = np.diag(between[design.block_varying])
        unit[:, design.correlated] = unit[:, design.correlated] @ factor
        n_k = len(design.estimated)
        plain = {
            "typical": shared[:n_k],
            "log_between": np.log(between),
            "log_error": np.log(error),
            "deviation": np.linalg.solve(unit, (block - centre).T).T,
        }
        if len(design.correlated):
            at = design.partial_shapes.size
            begin = density.size - block.size - at - design.readings.n_errors
            plain["partial_logodds__"] = 2 * density.coordinates.partial_scale * x[begin : begin + at]
        if design.readings.n_errors:
            plain["reading_error"] = density.unpack(x[None])[-1][0]
        if design.effects:
            plain["log_effect"] = shared[n_k:]
        volume = log_volume - len(block) * np.linalg.slogdet(unit)[1]
        offsets.append(density(x)[0] - plain_log_density(plain) - volume)
    np.testing.assert_allclose(offsets, offsets[0], atol=1e-7)


def test_the_cases_hold_all_that_a_row_or_a_parameter_can_be():
    designs = {name: case(**TIGHT) for name, case in CASES.items()}
    rows = [d.rows for d in designs.values()]
    assert {c for r in rows for c in r.censoring} == {-1, 0, 1}
    assert any((r.analyte < 0).any() for r in rows), "a soft observation"
    assert any(((r.by_output == 1) & (r.by_parameter == 1)).any() for r in rows), "an assay's floor"
    assert any((r.by_output == 0).any() for r in rows), "a basal concentration itself"
    assert any((r.tails > 0).any() for r in rows) and any((r.tails == 0).all() for r in rows)
    assert any((r.offset > 0).any() for r in rows), "an error with a constant part"
    assert any(d.effects for d in designs.values())
    assert any(d.is_logit.any() for d in designs.values())
    assert any(d.spec.at("occasion") for d in designs.values())
    assert any(not d.varying for d in designs.values())
    assert any(len(d.correlated) == 3 for d in designs.values())


def test_positions_unpack_to_the_same_people_in_compiled_code_and_in_numpy(density):
    design = density.design
    x = points(density)
    typical, effect, between, error, correlation, block, reading_error = density.unpack(x)
    assert typical.shape == (POINTS, len(design.estimated)) and effect.shape == (POINTS, len(design.effects))
    assert between.shape == (POINTS, len(design.varying)) and error.shape == (POINTS, len(design.analytes))
    assert correlation.shape == (POINTS, len(design.partial_shapes))
    assert block.shape == (POINTS, len(design.study.subjects), len(design.block_parameter))
    assert reading_error.shape == (POINTS, design.readings.n_errors)
    theta = design.theta(typical, effect, block)
    for i in range(POINTS):
        shared = np.concatenate([typical[i], effect[i]])
        compiled, slope = _parameters_at(shared, block[i], density.population)
        np.testing.assert_allclose(compiled, theta[i], rtol=1e-12)
        assert (slope > 0).all()


@pytest.mark.parametrize("name", [name for name in CASES if name != LIMITS])
def test_in_whitened_coordinates_the_posterior_is_about_a_standard_normal_at_the_origin(name):
    """Exactly so for a linear model with known spreads; samples beyond limits make it no linear model."""
    design = CASES[name](**TIGHT)
    expansion = modes(design)
    density = Density(design, expansion)
    gradient = np.array([density(x)[1] for x in (np.zeros(density.size), *(0.1 * np.eye(density.size)))])
    np.testing.assert_allclose(gradient[0, : len(expansion.shared)], 0.0, atol=0.5)
    curvature = -(gradient[1:] - gradient[0]).diagonal() / 0.1
    assert (curvature > 0).all()
    assert np.median(curvature) == pytest.approx(1.0, abs=0.2)


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
    d = design_of(load_model("minimal"), study, **TIGHT)
    assert [list(d.readings.slot[d.readings.test == n] >= 0) for n in range(3)] == [
        [False, False, True, True, True, True, False, False],
        [True, True, True, False],
        [False, False],
    ]
    density = Density(d)
    (x,) = points(density, 1)
    _, gradient = density(x)
    steps = 1e-4 * np.eye(density.size)
    expected = [(density(x + s)[0] - density(x - s)[0]) / 2e-4 for s in steps]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)
    typical, effect, _, error, _, block, e = density.unpack(x[None])
    driving = d.driving(d.theta(typical, effect, block), error, e)[0]
    schedule, found = d.solver.schedule, d.readings.at_stops(driving)
    for n, (person, times) in enumerate(insulin.items()):
        stops = slice(*schedule.offset[n : n + 2])
        curve = np.interp(schedule.time[stops], times, driving[d.readings.test == n])
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
