"""What the forms of the fluxes miss: factors that follow the time of a test, another one's on another day."""

import warnings

import numpy as np
import pytest
from simulated import as_formed, simulated

import bayesglu as bg
from bayesglu.physiology.loop import assemble, carbon
from bayesglu.protocols.events import SAME_MOMENT
from bayesglu.protocols.schedule import build_schedule
from benchmarks.discrepancy import models
from benchmarks.report import read

MODEL = bg.load_model("oral_cpeptide")
COEFFICIENTS = [name for name in MODEL.parameters if name.endswith("_discrepancy")]
FLUXES = {
    "emptying": "gastric_emptying",
    "secretion": "insulin_secretion",
    "production": "endogenous_glucose_production",
    "uptake": "insulin_dependent_uptake",
}
TIMES = [0, 20, 60, 180, 300]


def followed(protocol, **coefficients):
    outputs = ["glucose", "insulin", *FLUXES.values(), *(f"{flux}_discrepancy" for flux in FLUXES)]
    return bg.simulate(MODEL, protocol, coefficients, times=TIMES, outputs=outputs)


def elapsed(protocol, times):
    schedule = build_schedule([protocol], [times], 70.0, start=min(times), clock=True)
    column = schedule.channels.index("elapsed")
    at = np.searchsorted(schedule.time, times)
    return schedule.rate[at, column], schedule.slope[at, column]


def test_there_are_three_waves_of_four_fluxes():
    assert len(COEFFICIENTS) == 12
    assert all(MODEL.parameters[name].between_occasion for name in COEFFICIENTS)


def test_coefficients_of_one_leave_everything_as_it_is():
    shown = ["glucose", "insulin", *FLUXES.values()]
    plain = bg.simulate(as_formed("oral_cpeptide"), bg.meal(60), times=TIMES, outputs=shown)
    found = followed(bg.meal(60))
    for name in shown:
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-9)


@pytest.mark.parametrize("flux", FLUXES)
def test_a_flux_is_larger_while_its_wave_lasts_and_the_same_at_rest(flux):
    plain, found = followed(bg.ogtt(75)), followed(bg.ogtt(75), **{f"middle_{flux}_discrepancy": 1.5})
    progress = np.array(TIMES) / 60
    np.testing.assert_allclose(
        found[f"{flux}_discrepancy"], 1.5 ** (progress * np.exp(1 - progress)), rtol=1e-9
    )
    before, after = plain[FLUXES[flux]].values, found[FLUXES[flux]].values
    assert after[0] == pytest.approx(before[0], rel=1e-9)
    assert after[1] > 1.1 * before[1]


def test_a_fasting_person_rests_whatever_the_coefficients():
    found = followed(bg.fast(5), **dict.fromkeys(COEFFICIENTS, 2.0))
    for name in ("glucose", "insulin", *FLUXES.values()):
        np.testing.assert_allclose(found[name], found[name][0], rtol=1e-5)  # the solver: 1e-6


def test_no_carbon_is_lost_or_made():
    loop = assemble({**MODEL.structure, "mass_balance": "tracked", "glycogen": "free"})
    parameters = {name: p.typical.median for name, p in MODEL.parameters.items()}
    parameters |= dict.fromkeys(COEFFICIENTS, 1.7)
    state = {name: value + 3.0 for name, value in loop.initial(parameters).items()}
    change = loop.derivatives(state, parameters, {"elapsed": 70.0, "glucose": 2.0})
    assert carbon(change) == pytest.approx(0.0, abs=1e-11)


def test_time_is_counted_from_the_first_delivery_and_from_each_meal_anew():
    twice = bg.meal(50) + bg.meal(50).shift(120)
    minutes, slope = elapsed(twice, [-10.0, 0.0, 30.0, 119.0, 120.0, 150.0, 200.0])
    np.testing.assert_allclose(minutes, [0, 0, 30, 119, 0, 30, 80])
    np.testing.assert_allclose(slope, [0, 1, 1, 1, 1, 1, 0])
    clamp = bg.clamp(100, 60, start=30) + bg.infusion("insulin", 1, "mU/kg/min", 60, start=50)
    np.testing.assert_allclose(elapsed(clamp, [0.0, 30.0, 60.0, 90.0])[0], [0, 0, 30, 60])
    assert not elapsed(bg.fast(300), [0.0, 300.0])[0].any()


def test_time_is_counted_from_the_stop_on_which_the_first_delivery_falls():
    late = SAME_MOMENT / 2
    minutes, slope = elapsed(bg.ivgtt(0.3).shift(late), [0.0, 10.0, 60.0])
    np.testing.assert_allclose(minutes, [0, 10, 60])
    np.testing.assert_allclose(slope, [1, 1, 0])


def test_a_schedule_has_no_clock_unless_it_is_asked_for():
    assert "elapsed" not in build_schedule([bg.ogtt(75)], [[0.0, 60.0]], 70.0).channels


def test_they_are_kept_for_the_fitted_day_and_on_another_only_what_is_the_persons_own():
    draws, asked = 2000, {"times": [0, 60], "outputs": ["secretion_discrepancy"], "random_seed": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a quick fit is not judged here
        fit = bg.fit(MODEL, simulated(MODEL, 3).study, method="laplace", draws=draws, random_seed=1)
        fitted, another = (
            np.log(bg.what_if(fit, occasion=which, draws=draws, **asked).secretion_discrepancy)
            .sel(subject="A")
            .isel(time=1)
            .squeeze()
            for which in ("fitted", "another")
        )
    assert fitted.size == another.size == draws
    own, of_none = np.corrcoef(fitted, another)[0, 1], 1 / np.sqrt(draws)
    assert own > 5 * of_none, "five standard errors of a correlation of none"
    assert own < 1 - 5 * (1 - own**2) * of_none, "and of this one"
    assert another.std() > fitted.std()


def test_what_is_kept_of_it_is_of_these_models():
    kept = read("discrepancy")
    assert kept["models"] == {name: model.hash for name, model in models().items()}, (
        "run python -m benchmarks discrepancy"
    )
    held = {(row["body"], row["discrepancy"], row["asked"]): row for row in kept["rows"]}
    for (body, how, asked), row in held.items():
        if how == "with":
            before = held[body, "without", asked]
            assert row["held"] > before["held"] - 3 * np.hypot(row["se"], before["se"])
