"""Units: conversion at the border."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesglu import units
from bayesglu.analytes import analytes
from bayesglu.units import UnitError, convert, dose_amount, express

EVERY_UNIT = [(analyte, unit) for analyte in analytes() for unit in units.allowed_units(analyte)]
ordinary = st.floats(1e-6, 1e6)


@given(pair=st.sampled_from(EVERY_UNIT), value=ordinary)
def test_a_value_survives_the_way_in_and_out_of_every_unit(pair, value):
    analyte, unit = pair
    assert express(convert(value, unit, analyte), unit, analyte) == pytest.approx(value, rel=1e-14)


@given(pair=st.sampled_from(EVERY_UNIT), value=ordinary)
def test_conversion_is_a_positive_factor_and_no_offset(pair, value):
    analyte, unit = pair
    assert convert(0.0, unit, analyte) == 0.0
    assert convert(2 * value, unit, analyte) == pytest.approx(2 * convert(value, unit, analyte), rel=1e-14)
    assert convert(value, unit, analyte) > 0


@pytest.mark.parametrize(
    ("value", "unit", "analyte", "canonical"),
    [
        (1, "mmol/L", "glucose", 18.016),
        (1, "uU/mL", "insulin", 6.00),
        (1, "ng/mL", "c_peptide", 331),
        (1, "pmol/L", "glucagon", 3.48),
        (1, "umol/kg/min", "endogenous_glucose_production", 0.18016),
        (2, "h", "time", 120),
        (1.72, "m", "height", 172),
    ],
)
def test_the_stated_factors_hold(value, unit, analyte, canonical):
    assert convert(value, unit, analyte) == pytest.approx(canonical, rel=1e-12)


@pytest.mark.parametrize(
    "unit", ["\u00b5U/mL", "\u03bcU/mL", "uU/ml", "mU/L", "mIU/L", "\u00b5IU/mL", "uIU / mL"]
)
def test_every_spelling_of_the_insulin_unit_is_one_unit(unit):
    assert convert(10, unit, "insulin") == pytest.approx(60)


def test_the_canonical_unit_is_the_first_allowed_one_and_leaves_values_alone():
    for analyte in analytes():
        assert units.allowed_units(analyte)[0] == units.canonical_unit(analyte)
        assert convert(3.7, units.canonical_unit(analyte), analyte) == 3.7


def test_an_array_keeps_its_shape():
    assert convert(np.ones((2, 3)), "mmol/L", "glucose").shape == (2, 3)


def test_an_unknown_unit_is_answered_with_the_nearest_and_the_allowed_ones():
    with pytest.raises(
        UnitError, match=r"'mmol/l1' for glucose\. Did you mean 'mmol/L'\? Known: mg/dL, mmol/L"
    ):
        convert(5, "mmol/l1", "glucose")
    with pytest.raises(UnitError, match=r"'insuline'\. Did you mean 'insulin'\?"):
        units.canonical_unit("insuline")


def test_a_unit_of_another_analyte_is_refused():
    with pytest.raises(UnitError, match="for glucose"):
        convert(5, "uU/mL", "glucose")


@pytest.mark.parametrize(
    ("value", "unit", "substance", "weight", "per_kg"),
    [
        (75, "g", "glucose", 62, 75000 / 62),
        (0.3, "g/kg", "glucose", None, 300),
        (300, "mg/kg", "glucose", None, 300),
        (1, "mmol/kg", "glucose", None, 180.16),
        (2, "mg/kg/min", "glucose", None, 2),
        (0.1, "U/kg", "insulin", None, 600),
        (1, "mU/kg/min", "insulin", None, 6),
        (6, "U", "insulin", 60, 600),
        (1, "nmol", "insulin", 50, 20),
        (1, "U/h", "insulin", 60, 6000 / 60 / 60),
        (1, "mg", "glucagon", 70, 1e9 / 70),
        (3, "ng/kg/min", "glucagon", None, 3000),
        (10, "\u00b5g/kg", "glucagon", None, 1e7),
    ],
)
def test_doses_become_canonical_amounts_per_kg(value, unit, substance, weight, per_kg):
    assert dose_amount(value, unit, substance, weight) == pytest.approx(per_kg, rel=1e-12)


@given(grams=st.floats(1, 200), weight=st.floats(5, 250))
def test_a_dose_for_a_person_is_the_same_as_its_share_for_each_kg(grams, weight):
    whole = dose_amount(grams, "g", "glucose", weight)
    assert whole == pytest.approx(dose_amount(grams / weight, "g/kg", "glucose"), rel=1e-12)


def test_a_dose_for_a_person_asks_for_the_body_weight():
    assert units.is_per_person("g")
    assert not units.is_per_person("mU/kg/min")
    with pytest.raises(UnitError, match="body weight"):
        dose_amount(75, "g", "glucose")


def test_an_unknown_dose_is_answered_with_what_is_known():
    with pytest.raises(UnitError, match=r"'grams' for a dose of glucose\. .*Known: mg, g, mmol"):
        dose_amount(75, "grams", "glucose", 70)
    with pytest.raises(UnitError, match=r"'glukagon'\. Did you mean 'glucagon'\?"):
        dose_amount(1, "mg", "glukagon", 70)
    with pytest.raises(UnitError, match="for a dose of insulin"):
        dose_amount(1, "U/kg/kg", "insulin")
