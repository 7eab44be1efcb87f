"""One record per analyte: what is registered is read, converted, checked, shown and drawn like any other."""

import pandas as pd
import pytest

from bayesglu import units
from bayesglu.analysis.asking import default_outputs
from bayesglu.analytes import COLOURS, SHIPPED, Measurand, analytes, register_analyte, state_of, words
from bayesglu.errors import InputError
from bayesglu.physiology.registry import SHIPPED as PARTS
from bayesglu.spec.model import SpecError, load_model
from bayesglu.study.study import Study, StudyError, StudyWarning

pytestmark = pytest.mark.usefixtures("registry")

LACTATE = {"plausible": (0.05, 30), "usual": (0.3, 5), "usual_fasting": (0.3, 2)}


def lactate(**changed) -> None:
    register_analyte("lactate", {"mmol/L": 1.0, "mg/dL": 0.111}, **LACTATE | changed)


def study(*values, unit="mmol/L", analyte="lactate", **also) -> Study:
    table = pd.DataFrame(
        {"subject": "A", "time": range(len(values)), "analyte": analyte, "value": values, "unit": unit}
    )
    return Study.from_table(table, protocol="fast(1)", body_weight=70, **also)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_canonical_unit_of_an_analyte_is_that_of_the_physiology(name):
    assert units.canonical_unit(name) == PARTS.units[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_an_analyte_is_in_proportion_to_is_a_state(name):
    assert name not in PARTS.units or state_of(name) == name or state_of(name) in PARTS.states


def test_a_registered_analyte_is_read_in_any_of_its_units():
    lactate(spellings=("lac",))
    assert units.allowed_units("lactate") == ("mmol/L", "mg/dL")
    read = study(9.0, unit="mg/dL", analyte="LAC")
    assert read.analytes == ("lactate",)
    assert float(read.observations.value[0]) == pytest.approx(0.999)
    assert read.summary().loc["lactate", "unit"] == "mmol/L"


def test_before_it_is_registered_a_study_cannot_hold_it():
    with pytest.raises(StudyError, match=r"unknown analyte 'lactate'.*Known: glucose, insulin"):
        study(1.0)


def test_its_limits_are_those_of_the_checks():
    lactate()
    with pytest.raises(
        StudyError, match=r"lactate 40 in 'mmol/L' is outside .* 0\.05 to 30.*Is the unit 'mg/dL'\?"
    ):
        study(40.0)
    with pytest.warns(
        StudyWarning, match=r"median fasting lactate is 9 mmol/L; expected are 0\.3 to 2.*mg/dL conf"
    ):
        study(9.0)
    assert study(60.0, datasheet={"plausible": {"lactate": [0.1, 80]}}).analytes == ("lactate",)


def test_without_limits_every_value_is_taken():
    register_analyte("score", {"1": 1.0})
    assert study(1e9, unit="1", analyte="score").analytes == ("score",)


def test_figures_call_it_and_draw_it_as_it_says():
    from bayesglu.plots.style import GREY, PALETTE, colour_of

    assert set(COLOURS) == set(PALETTE)
    assert colour_of("lactate") == GREY and words("basal_lactate") == "basal lactate"
    lactate(label="L-lactate", colour="purple")
    assert colour_of("lactate") == colour_of("c_peptide") == PALETTE["purple"]
    assert words("basal_lactate") == "basal L-lactate" and words("relactated") == "relactated"
    lactate(colour="#123456", replace=True)
    assert colour_of("lactate") == "#123456"


def test_what_ifs_show_what_is_usually_measured_and_glucose_fluxes():
    shown = default_outputs(load_model("oral"))
    assert (
        shown[:2] == ("glucose", "insulin")
        and "glycogenolysis" in shown
        and "gluconeogenesis_share" not in shown
    )
    assert default_outputs(load_model("feedback"))[:5] == (
        "glucose", "insulin", "c_peptide", "glucagon", "liver_glycogen",
    )  # fmt: skip


def test_the_same_analyte_twice_does_no_harm_and_another_is_refused_unless_it_is_meant():
    lactate()
    lactate()
    with pytest.raises(InputError, match=r"another analyte has this name.*replace=True"):
        lactate(usual=(0.2, 6))
    lactate(usual=(0.2, 6), replace=True)
    assert analytes()["lactate"].usual == (0.2, 6)
    with pytest.raises(InputError, match="another analyte has this name"):
        register_analyte("glucose", {"mmol/L": 1.0})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "Free fatty acids"}, "this is no name"),
        ({"units": {}}, "units are {}"),
        ({"units": {"mmol/L": 1.0, "mg/dL": -0.1}}, "one mg/dL is -0.1 of the canonical unit"),
        ({"units": {"mmol/L": 1.0, "mg/dL": "0.1"}}, "one mg/dL is '0.1' of the canonical unit"),
        ({"units": {"mg/dL": 0.1, "mmol/L": 1.0}}, "'mg/dL' is 0.1. Is it 'mmol/L'? Write it first."),
        ({"plausible": (5, 1)}, "plausible is (5, 1). Give a lower and a higher limit"),
        ({"usual": 3}, "usual is 3. Give a lower and a higher limit"),
        ({"plausible": (1, 5), "usual": (0.5, 4)}, "usual is 0.5 to 4, beyond what is plausible: 1 to 5"),
        ({"colour": "teal"}, "colour is 'teal'. Allowed: blue, vermillion"),
    ],
)
def test_what_makes_no_sense_is_refused(given, told):
    with pytest.raises(InputError) as caught:
        register_analyte(**{"name": "lactate", "units": {"mmol/L": 1.0}} | given)
    assert told in str(caught.value)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InputError) as caught:
        register_analyte("a b", {"mmol/L": 2.0}, usual=(3, 1), colour="teal")
    assert len(caught.value.problems) == 4


def test_a_model_in_another_unit_than_studies_keep_is_refused():
    register_analyte("basal_glucose_mass", {"g/kg": 1.0})
    how = {"unit": "mg/kg", "sigma": {"median": 0.1, "gsd": 1.5}}
    with pytest.raises(SpecError, match=r"unit is 'mg/kg'; studies keep basal_glucose_mass in 'g/kg'"):
        load_model("oral").with_changes(analytes={"basal_glucose_mass": how})


def test_a_record_cannot_be_changed_in_place():
    with pytest.raises(TypeError):
        analytes()["glucose"].units["mmol/L"] = 1.0
    assert Measurand({"1": 1.0}) == Measurand({"1": 1.0})
