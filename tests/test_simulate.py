"""A simulation gives what was asked for, tells what was delivered, and refuses what it could not mean."""

import warnings

import numpy as np
import pytest
import xarray as xr
from reference import TYPICAL, solve_slowly

from bayesglu.analysis.simulation import available_outputs, default_times, simulate
from bayesglu.catalog import list_models
from bayesglu.errors import InputError, ModelWarning
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.clamps import clamp
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, ogtt
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import load_model

INSULIN = ([0.0, 4.0, 20.0, 60.0, 180.0], [60.0, 700.0, 200.0, 90.0, 55.0])
USUAL = {"minimal": ivgtt(), "ivgtt": ivgtt()}


def usual(name, **settings) -> xr.Dataset:
    """A model under the protocol that it is for."""
    settings |= {"forcing": INSULIN} if name == "minimal" else {}
    return simulate(name, USUAL.get(name, ogtt(75)), **settings)


def people(*values, name="subject", labels=None) -> xr.DataArray:
    return xr.DataArray(list(values), dims=name, coords={name: labels} if labels else None)


@pytest.mark.parametrize("name", list_models())
def test_every_state_and_flux_of_every_model_can_be_seen_with_its_unit(name):
    spec = load_model(name)
    found = usual(name)
    assert set(found.data_vars) == set(available_outputs(spec))
    for output, values in found.items():
        assert values.attrs["units"] == assemble(spec.structure).unit(output)
        assert values.dims == ("time",) and np.isfinite(values).all(), output
    assert found.time.attrs["units"] == "min"
    assert found.attrs["model"] == name and found.attrs["model_hash"] == spec.hash
    assert found.attrs["protocol"] == USUAL.get(name, ogtt(75)).name


def test_the_result_is_what_the_slow_solver_gives():
    times, shown = [0.0, 20.0, 70.0, 240.0], ("glucose", "insulin", "glucagon", "glycogenolysis")
    found = simulate("feedback", ogtt(75), TYPICAL, times, shown)
    slow = solve_slowly(load_model("feedback").structure, TYPICAL, ogtt(75), times, shown)
    np.testing.assert_allclose(found.to_dataarray().values.T, slow, rtol=1e-5)


def test_parameters_may_have_any_dimensions_and_the_result_has_them_too():
    sensitivity = people(6e-5, 9e-5, 12e-5, labels=["Ada", "Bruno", "Cleo"])
    basal = people(85.0, 95.0, name="draw")
    found = simulate(
        "oral", ogtt(75), {"insulin_sensitivity": sensitivity, "basal_glucose": basal}, [0, 60], ["glucose"]
    ).glucose
    assert dict(found.sizes) == {"subject": 3, "draw": 2, "time": 2}
    assert found.subject.values.tolist() == ["Ada", "Bruno", "Cleo"]
    np.testing.assert_allclose(found.sel(time=0), np.tile(basal, (3, 1)), rtol=1e-14)
    for who in ("Ada", "Cleo"):
        alone = {"insulin_sensitivity": float(sensitivity.sel(subject=who)), "basal_glucose": 95.0}
        alone = simulate("oral", ogtt(75), alone, [0, 60], ["glucose"]).glucose
        np.testing.assert_allclose(found.sel(subject=who).isel(draw=1), alone, rtol=1e-12)


def test_each_person_drinks_as_much_per_kilogram_as_their_own_weight_says():
    weights = people(50.0, 100.0, labels=["light", "heavy"])
    sensitivity = people(6e-5, 9e-5, 12e-5, name="draw")
    found = simulate(
        "oral", ogtt(75), {"insulin_sensitivity": sensitivity}, [0, 40], ["glucose"], body_weight=weights
    )
    assert found.attrs["delivered"] == "750 to 1500 mg/kg stomach"
    for who, weight in (("light", 50.0), ("heavy", 100.0)):
        alone = simulate(
            "oral", ogtt(75), {"insulin_sensitivity": 12e-5}, [0, 40], ["glucose"], body_weight=weight
        )
        np.testing.assert_allclose(
            found.glucose.sel(subject=who).isel(draw=2), alone.glucose, rtol=1e-12, err_msg=who
        )


def test_many_people_are_solved_in_parts_as_if_at_once():
    many = xr.DataArray(np.geomspace(4e-5, 2e-4, 5000), dims="draw")
    found = simulate("oral", ogtt(75), {"insulin_sensitivity": many}, [0, 90], ["glucose"]).glucose
    assert (np.diff(found.sel(time=90)) < 0).all()
    last = simulate("oral", ogtt(75), {"insulin_sensitivity": 2e-4}, [0, 90], ["glucose"]).glucose
    np.testing.assert_allclose(found.isel(draw=-1), last, rtol=1e-12)


def test_samples_before_time_zero_show_the_fasting_person():
    found = simulate("oral", ogtt(75), times=[-30, -5, 0, 30], outputs=["glucose", "insulin"])
    medians = load_model("oral").medians
    np.testing.assert_allclose(found.glucose[:3], medians["basal_glucose"], rtol=1e-9)
    np.testing.assert_allclose(found.insulin[:3], medians["basal_insulin"], rtol=1e-9)
    assert found.glucose[3] > 110


def test_what_happened_before_the_first_sample_counts():
    late = simulate("oral", ogtt(75).shift(-60), times=[0, 60], outputs=["glucose"])
    at_zero = simulate("oral", ogtt(75), times=[60, 120], outputs=["glucose"])
    np.testing.assert_allclose(late.glucose, at_zero.glucose, rtol=1e-6)


@pytest.mark.parametrize("name", ["oral", "oral_cpeptide"])
def test_glycogen_is_constant_in_a_model_that_holds_it(name):
    found = usual(name)
    assert (found.glycogen == load_model(name).medians["initial_glycogen"]).all()
    assert np.ptp(found.liver_glycogen.values) == 0 and found.liver_glycogen[0] > 200


def test_a_state_that_is_held_stays_where_it_starts():
    found = simulate("feedback", fast(20), outputs=["glycogen", "glucose"], hold=["glycogen"])
    assert np.ptp(found.glycogen.values) == 0
    np.testing.assert_allclose(found.glucose, found.glucose[0], rtol=1e-9)
    free = simulate("feedback", fast(20), outputs=["glucose"])
    assert free.glucose[-1] < found.glucose[-1] - 5


@pytest.mark.parametrize("name", ["glycogen", "liver_glycogen"])
def test_what_a_model_holds_already_may_be_held(name):
    usual = {"protocol": ogtt(75), "times": [60, 120], "outputs": ["glucose", "glycogen"]}
    xr.testing.assert_identical(simulate("oral", hold=[name], **usual), simulate("oral", **usual))


def test_a_state_may_be_held_by_what_is_measured_of_it():
    found = simulate("feedback", fast(20), outputs=["liver_glycogen", "glucose"], hold="liver_glycogen")
    assert np.ptp(found.liver_glycogen.values) == 0
    with pytest.raises(ValueError, match=r"no state 'glycogenn'. Did you mean 'glycogen'"):
        simulate("oral", ogtt(75), hold=["glycogenn"])


# --- what is told of doses ---


def test_what_was_delivered_what_is_still_in_depots_and_what_comes_later_is_told_and_adds_up():
    protocol = (
        ogtt(70)
        + ogtt(35).shift(500)
        + injection("glucagon", 1, "mg", route="intramuscular")
        + infusion("insulin", 1, "mU/kg/min", 400)
    )
    found = simulate("feedback", protocol, times=[0, 100], outputs=["glucose"], body_weight=70.0)
    assert found.attrs["prescribed_later"] == "500 mg/kg stomach, 1800 pmol/kg insulin"
    reached = 0.5e9 / 70 * (1 - np.exp(-0.03 * 100))
    assert (
        found.attrs["delivered"] == f"1000 mg/kg stomach, 600 pmol/kg insulin, {reached:.6g} pg/kg glucagon"
    )
    assert found.attrs["in_depots"] == f"{0.5e9 / 70 - reached:.6g} pg/kg glucagon"


def test_nothing_is_told_as_nothing():
    found = simulate("oral", fast(2), outputs=["glucose"])
    assert {found.attrs[kind] for kind in ("delivered", "in_depots", "prescribed_later")} == {"nothing"}


def test_a_clamp_shows_the_glucose_that_it_took():
    found = simulate("oral", clamp(90, 120, insulin_rate=1), outputs=["glucose", "glucose_infusion"])
    assert found.glucose.sel(time=120).item() == pytest.approx(90, abs=0.5)
    assert 2 < found.glucose_infusion.sel(time=115) < 12, "mg/kg/min"
    assert (found.glucose_infusion.sel(time=slice(120, None)) == 0).all()


# --- times ---


@pytest.mark.parametrize(
    "protocol, last, most_apart",
    [(ogtt(75), 240, 5), (clamp(90, 120), 120, 5), (fast(50), 3000, 5), (fast(0), 240, 5)],
    ids=repr,
)
def test_usual_times_cover_the_protocol(protocol, last, most_apart):
    times = default_times(protocol)
    assert times[0] == 0 and times[-1] == last
    assert np.diff(times).max() <= most_apart


def test_a_week_is_not_shown_minute_by_minute():
    assert len(default_times(fast(7 * 24))) < 1000


# --- what is refused ---


@pytest.mark.parametrize("times", [[], [0, 0], [10, 5], [0, np.nan], [np.inf], [[0, 1]], 30.0])
def test_times_must_increase(times):
    with pytest.raises(ValueError, match="minutes that increases"):
        simulate("oral", ogtt(75), times=times)


def test_times_are_numbers():
    with pytest.raises(InputError, match=r"times are .*; give numbers, the minutes"):
        simulate("oral", ogtt(75), times=["0", "half an hour"])


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"outputs": ["glucose", "insuline"]}, "no output 'insuline'. Did you mean 'insulin'"),
        ({"outputs": "glucos"}, "no output 'glucos'. Did you mean 'glucose'"),
        ({"parameters": {"insulin_sensitivty": 1e-4}}, "Did you mean 'insulin_sensitivity'"),
        ({"parameters": {"basal_glucagon": 70.0}}, "no parameter 'basal_glucagon'"),
        ({"hold": ["insuline"]}, "no state 'insuline'. Did you mean 'insulin'"),
        ({"hold": ["renal_glucose_excretion"]}, "no state 'renal_glucose_excretion'"),
    ],
)
def test_a_name_that_the_model_does_not_have_is_answered_with_those_it_has(settings, told):
    with pytest.raises(ValueError, match=r"(?s)There is .* Known: ") as caught:
        simulate("oral", ogtt(75), **settings)
    assert told in str(caught.value)


@pytest.mark.parametrize("value", [[1e-4, 2e-4], np.array([1e-4, 2e-4]), "much", None, True])
def test_a_parameter_is_a_number_or_says_what_its_dimensions_are(value):
    with pytest.raises(ValueError, match=r"insulin_sensitivity is .* DataArray with named dimensions"):
        simulate("oral", ogtt(75), {"insulin_sensitivity": value})


def test_the_time_of_a_parameter_would_not_be_the_time_of_the_result():
    with pytest.raises(ValueError, match="other than 'time'"):
        simulate("oral", ogtt(75), {"insulin_sensitivity": people(1e-4, 2e-4, name="time")})


@pytest.mark.parametrize(
    "name, protocol, told",
    [
        ("ivgtt", meal(50), "no gut to take oral glucose. Choose one that has, such as 'oral'"),
        ("minimal", ogtt(75), "no gut"),
        ("oral", injection("glucagon", 1, "mg"), "leaves out what glucagon does"),
    ],
)
def test_a_dose_that_could_change_nothing_is_refused(name, protocol, told):
    with pytest.raises(ValueError, match=f"is not for the model '{name}'") as caught:
        simulate(name, protocol, forcing=INSULIN if name == "minimal" else None)
    assert told in str(caught.value)


@pytest.mark.parametrize("weight", [0.07, 70_000.0])
def test_a_body_weight_that_no_person_has_is_refused(weight):
    with pytest.raises(ValueError, match="Is it in another unit"):
        simulate("oral", ogtt(75), body_weight=people(70.0, weight, name="subject"))


def test_insulin_may_be_given_to_whom_it_was_measured_in():
    modified = ivgtt(insulin=0.03)
    found, plain = (simulate("minimal", p, forcing=INSULIN).glucose for p in (modified, ivgtt()))
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_measured_insulin_is_asked_for_where_it_is_needed_and_refused_elsewhere():
    with pytest.raises(ValueError, match=r"forcing=\(times, values\).*'ivgtt' or 'oral'"):
        simulate("minimal", ivgtt())
    with pytest.raises(ValueError, match=r"no use for forcing.*'minimal'"):
        simulate("oral", ogtt(75), forcing=INSULIN)


def test_an_amount_for_a_whole_person_needs_a_weight():
    with pytest.raises(ProtocolError, match="body weight is missing"):
        simulate("oral", ogtt(75), body_weight=None)
    per_kilogram = simulate("oral", ogtt(1, unit="g/kg"), body_weight=None, outputs=["glucose"])
    assert per_kilogram.attrs["delivered"] == "1000 mg/kg stomach"


def test_whoever_cannot_be_solved_is_named_by_their_labels():
    sensitivity = people(8e-5, np.nan, labels=["Ada", "Bruno"])
    basal = people(90.0, 95.0, name="draw")
    with pytest.raises(SolverError) as caught:
        simulate("oral", ogtt(75), {"insulin_sensitivity": sensitivity, "basal_glucose": basal})
    told = str(caught.value)
    assert "2 of 4 solves failed" in told and "Ada" not in told
    assert "subject Bruno, draw 0: A value stopped being a finite number" in told


def test_a_typical_person_who_cannot_be_solved_is_called_that():
    with pytest.raises(SolverError, match="the typical person: The budget of steps ran out"):
        simulate("oral", ogtt(75), outputs=["glucose"], max_steps=5)


# --- other beginnings than the basal state ---


def test_a_state_begins_where_it_is_told_and_stays_there_when_held():
    start, hold = {"insulin": people(60.0, 300.0), "glucose": 55.0}, ["insulin", "glucose_mass"]
    found = simulate("feedback", fast(1), outputs=["insulin", "glucose"], start=start, hold=hold)
    np.testing.assert_allclose(found.glucose, 55.0)
    np.testing.assert_allclose(found.insulin.sel(subject=0), 60.0)
    np.testing.assert_allclose(found.insulin.sel(subject=1), 300.0)


def test_to_begin_at_the_basal_state_changes_nothing():
    usual, shown = load_model("oral").medians, ["glucose", "insulin"]
    told = simulate("oral", ogtt(75), outputs=shown, start={"glucose": usual["basal_glucose"]})
    xr.testing.assert_allclose(told, simulate("oral", ogtt(75), outputs=shown), rtol=1e-6)


def test_a_concentration_stands_for_the_state_that_it_is_measured_by():
    volume = people(1.5, 2.0)
    settings = {"parameters": {"glucose_volume": volume}, "times": [0, 30], "outputs": ["glucose"]}
    one = simulate("oral", fast(1), start={"glucose": 200.0}, **settings)
    two = simulate("oral", fast(1), start={"glucose_mass": 200.0 * volume}, **settings)
    xr.testing.assert_allclose(one, two)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ({"insuline": 1.0}, "Did you mean 'insulin'"),
        ({"insulin": -1.0}, "insulin of the typical person is -1; it must be a number of at least 0"),
        ({"insulin": people(60, -1e-3, -2)}, "insulin of subject 2 is -2; it must be"),
        ({"glucose": people(90, -3, np.nan)}, "glucose of subject 1 is -3, and so on for 1 more; it must be"),
        ({"glucose": 90.0, "glucose_mass": 150.0}, "given twice"),
    ],
)
def test_a_beginning_that_cannot_be_is_refused(start, told):
    with pytest.raises(ValueError, match=told):
        simulate("oral", fast(1), start=start)


def test_a_beginning_below_zero_by_what_a_solver_errs_is_zero():
    found = simulate("oral", ogtt(75), start={"gut": people(0.0, -1.3e-4), "insulin": people(0.0, -6.6e-5)})
    for name in ("glucose", "gut"):
        np.testing.assert_array_equal(found[name].sel(subject=1), found[name].sel(subject=0))
    with pytest.raises(ValueError, match="gut of the typical person is"):
        simulate("oral", ogtt(75), start={"gut": -1.3e-4}, atol=1e-8)


def test_a_protocol_may_be_its_text():
    xr.testing.assert_identical(simulate("oral", "ogtt(75)"), simulate("oral", ogtt(75)))


@pytest.mark.parametrize(
    ("model", "protocol", "times", "told"),
    [
        ("oral", "fast(24)", None, True),
        ("oral", "ogtt(75)", [0.0, 120.0, 1440.0], True),
        ("oral_cpeptide", "fast(20) + ogtt(75).shift(1200)", None, True),
        ("oral", "meal_day()", None, False),
        ("ivgtt", "clamp(90, 1200)", None, False),
        ("feedback", "fast(24)", None, False),
    ],
)
def test_a_fast_that_a_model_cannot_follow_is_told(model, protocol, times, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        simulate(model, protocol, times=times, outputs=["glucose"])
    assert [w.category for w in caught] == [ModelWarning] * told
    assert all("such as 'feedback'" in str(w.message) for w in caught)
