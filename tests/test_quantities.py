"""Quantities of curves, each against a curve whose answer is known; units of what is said."""

import numpy as np
import pytest
import xarray as xr

import bayesglu as bg
from bayesglu.analysis.quantities import GROUPS, quantities
from bayesglu.analysis.statistics import STATISTICS
from bayesglu.units import UnitError

TIME = np.arange(0.0, 301.0)
TRIANGLE = np.interp(TIME, [0, 60, 120, 180, 240, 300], [90, 190, 90, 60, 90, 90])
"""From 90 up to 190 and back within two hours, down to 60 and back within two more."""


def curves(**outputs):
    units = {"glucose": "mg/dL", "insulin": "pmol/L", "insulin_secretion": "pmol/kg/min", "glycogen": "mg/kg"}
    variables = {n: ("time", np.asarray(y, float), {"units": units[n]}) for n, y in outputs.items()}
    return xr.Dataset(variables, {"time": TIME})


KNOWN = {
    "start": 90,
    "end": 90,
    "change": 0,
    "at_30": 140,
    "at_12.5": 90 + 100 * 12.5 / 60,
    "at_500": np.nan,
    "peak": 190,
    "peak_time": 60,
    "nadir": 60,
    "nadir_time": 180,
    "rise": 100,
    "auc": 90 * 300 + 100 * 60 - 30 * 60,
    "mean": 90 + (6000 - 1800) / 300,
    "iauc": 6000,
    "suppression": 100 / 3,
    "minutes_above_140": 60,
    "minutes_below_75": 60,
    "until_above_140": 30,
    "until_below_75": 150,
    "until_below_20": np.nan,
    "until_baseline": 60 + 57,
    "time_above_range": 100 * 12 / 300,
    "time_below_range": 100 * 40 / 300,
    "time_in_range": 100 * (300 - 52) / 300,
    "gmi": 3.31 + 0.02392 * 104,
    "first_phase": 100 / 60 * 10**2 / 2,
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_quantity_of_a_curve_of_straight_lines_is_what_geometry_says(name):
    found = quantities(curves(glucose=TRIANGLE), f"glucose_{name}")[f"glucose_{name}"]
    np.testing.assert_allclose(found, KNOWN[name], rtol=1e-9)


def test_variation_and_amplitude_are_those_of_a_sine():
    """Six periods of amplitude 30 about 120: the SD is 30 over the root of 2, each excursion is 60."""
    y = 120 - 30 * np.cos(2 * np.pi * TIME / 50)
    found = quantities(curves(glucose=y), ["glucose_cv", "glucose_mage"])
    np.testing.assert_allclose(found.glucose_cv, 100 * 30 / np.sqrt(2) / 120, rtol=1e-3)
    np.testing.assert_allclose(found.glucose_mage, 60, rtol=0.01)


def test_small_excursions_do_not_count_and_those_of_the_other_direction_neither():
    """Up 100, down 80, up 5, down 5, up 60: of the two upward ones above one SD, 100 and 60."""
    y = np.interp(TIME, [0, 50, 100, 120, 140, 200, 300], [100, 200, 120, 125, 120, 180, 180])
    assert float(quantities(curves(glucose=y), "mage").glucose_mage) == pytest.approx(80)
    flat = quantities(curves(glucose=np.full(301, 100.0)), ["mage", "until_baseline", "iauc"])
    assert float(flat.glucose_mage) == 0 and np.isnan(flat.glucose_until_baseline) and flat.glucose_iauc == 0


def test_every_statistic_is_put_to_a_known_curve():
    tested = {name.rstrip("0123456789.").rstrip("_") for name in KNOWN}
    assert set(STATISTICS) == tested | {"cv", "mage", "total"}


def test_a_total_is_of_what_flows_and_loses_its_per_minute():
    found = quantities(curves(insulin_secretion=np.full(301, 2.0)), "insulin_secretion_total")
    assert found.insulin_secretion_total.item() == 600
    assert found.insulin_secretion_total.attrs["units"] == "pmol/kg"
    with pytest.raises(bg.BayesgluError, match="glucose is in mg/dL"):
        quantities(curves(glucose=TRIANGLE), "glucose_total")


def test_what_enters_the_blood_and_what_leaves_it_balance():
    """Within the error of trapezia over one minute."""
    times = np.union1d(np.arange(0, 241.0), [1e-3])
    found = quantities(bg.simulate("feedback", "meal(75)", times=times), "mass_balance")
    assert list(found) == list(GROUPS["mass_balance"])
    entered = found.glucose_appearance_total + found.endogenous_glucose_production_total
    left = (
        found.hepatic_glucose_uptake_total + found.tissue_uptake_total + found.renal_glucose_excretion_total
    )
    assert float(entered - left) == pytest.approx(float(found.glucose_mass_change), abs=1e-3 * float(entered))


def test_quantities_have_the_dims_of_the_curves_without_time():
    simulated = bg.simulate(
        "oral", "ogtt(75)", {"basal_glucose": xr.DataArray([80.0, 100.0], dims="subject")}
    )
    found = quantities(simulated, ["glucose_peak", "insulin_auc"])
    assert found.glucose_peak.dims == ("subject",)
    np.testing.assert_allclose(found.glucose_peak, simulated.glucose.max("time"))


def test_a_quantity_of_your_own_is_a_function_of_the_curves():
    def late(simulated):
        return simulated.glucose.sel(time=180)

    own = bg.Quantity("later", late, ("glucose",), "mg/dL")
    found = quantities(curves(glucose=TRIANGLE), [late, own], units="SI")
    assert found.late.item() == 60 and found.later.attrs["units"] == "mmol/L"
    assert found.later.item() == pytest.approx(60 / 18.016)
    with pytest.raises(bg.BayesgluError, match="lactate, which is not among the outputs: glucose"):
        quantities(curves(glucose=TRIANGLE), bg.Quantity("mine", late, ("lactate",)))
    with pytest.raises(bg.BayesgluError, match="must give a DataArray without the dim 'time'"):
        quantities(curves(glucose=TRIANGLE), lambda simulated: simulated.glucose)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("glucose_peek", "Did you mean 'glucose_peak'"),
        ("peek", "has no quantity 'peek'"),
        ("glucose_at", "has no quantity 'glucose_at'"),
        ("insulin_gmi", "gmi"),
        ("insulin_gmi_3", "has no quantity"),
        (7, "7 is no quantity"),
        ([], "nothing is asked for"),
    ],
)
def test_what_is_no_quantity_is_refused_with_those_that_there_are(name, told):
    with pytest.raises(bg.BayesgluError, match=told):
        quantities(curves(glucose=TRIANGLE, insulin=TRIANGLE), [name] if isinstance(name, int) else name)


def test_units_of_a_result_are_those_that_are_asked_for_or_set():
    simulated = curves(glucose=TRIANGLE, insulin=np.full(301, 60.0), glycogen=np.full(301, 180.16))
    si, conventional = (bg.in_units(simulated, system) for system in ("SI", "conventional"))
    assert (si.glucose.attrs["units"], conventional.insulin.attrs["units"]) == ("mmol/L", "uU/mL")
    np.testing.assert_allclose(si.glucose[0], 90 / 18.016)
    np.testing.assert_allclose([conventional.insulin[0], si.glycogen[0]], [10, 1])
    assert conventional.glucose.equals(simulated.glucose) and si.insulin.equals(simulated.insulin)
    bg.set_units("SI")
    try:
        found = quantities(
            simulated, ["glucose_auc", "glucose_minutes_above_7.77", "glucose_time_above_range"]
        )
        again = quantities(simulated, "glucose_auc", units="canonical")
    finally:
        bg.set_units("canonical")
    assert found.glucose_auc.attrs["units"] == "mmol/L*min"
    assert float(again.glucose_auc / found.glucose_auc) == pytest.approx(18.016)
    assert float(found["glucose_minutes_above_7.77"]) == pytest.approx(60, abs=0.1)
    assert float(found.glucose_time_above_range) == pytest.approx(KNOWN["time_above_range"])
    with pytest.raises(UnitError, match=r"no system of units 'Si'. Did you mean 'SI'"):
        bg.set_units("Si")
