"""Names that were given up are still read, with a warning that says the new ones."""

import warnings

import pytest

import bayesglu
from bayesglu import load_model, renamed
from bayesglu.errors import RenamedWarning
from bayesglu.physiology.registry import available

OLD = """
extends = "oral"
title = "By old names"

[parameters.glucose_autoregulation]
level = "population"
typical = { gsd = 1.2 }

[parameters.insulin_brake_half_saturation]
typical = { median = 70 }
"""
NEW = (
    OLD.replace("glucose_autoregulation", "glucose_suppression_half_saturation")
    .replace("insulin_brake", "insulin_suppression")
    .replace('"population"', '"shared"')
)


def test_a_model_file_with_old_names_is_the_one_with_the_new_names_and_a_warning_says_them():
    with pytest.warns(RenamedWarning, match="glucose_autoregulation -> glucose_suppression_half_saturation"):
        old = load_model(OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RenamedWarning)
        new = load_model(NEW)
    assert old == new and old.hash == new.hash
    with pytest.warns(RenamedWarning, match="level population -> shared"):
        changed = load_model("oral").with_changes(
            parameters={"portal_flow": {"level": "population", **GIVEN}}
        )
    assert changed.parameters["portal_flow"].level == "shared"
    with pytest.warns(RenamedWarning, match="'population' is now 'shared'"):
        assert old.at("population") == new.at("shared")


GIVEN = {"typical": {"gsd": 1.2}}


@pytest.mark.parametrize("table", ["PARAMETERS", "OUTPUTS"])
def test_names_that_took_the_place_of_others_are_there_and_the_others_are_not(table):
    known = available()
    there = {*known.parameters, *known.states, *(n for part in known.parts() for n in part.quantities)}
    there |= {a.background for name in ("feedback",) for a in load_model(name).analytes.values()}
    names = getattr(renamed, table)
    assert set(names.values()) <= there and not names.keys() & there


def test_functions_by_old_names_are_the_new_ones():
    for old, new in renamed.FUNCTIONS.items():
        bayesglu.__dict__.pop(old, None)
        with pytest.warns(RenamedWarning, match=f"bayesglu.{old} is now bayesglu.{new}"):
            assert getattr(bayesglu, old) is getattr(bayesglu, new)
