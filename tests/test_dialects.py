"""Other programs, languages and devices: what their tables say is read, asked about, or refused."""

import json

import numpy as np
import pandas as pd
import pytest
from many_forms import LIBREVIEW, asked, written

from bayesglu.errors import InputError
from bayesglu.study.covariates import covariate_name
from bayesglu.study.readers.headers import beside_analyte, is_dose, mentioned
from bayesglu.study.study import StudyError, StudyWarning, load_study

HALF_WIDE = "Subject,Time (min),Glucose (mg/dL)"
EVENTS = {
    "units": {"time": "h", "glucose": "mg/dL", "insulin": "uU/mL"},
    "analytes": {1: "glucose", 2: "insulin"},
    "doses": "oral glucose g",
    "body_weight": 70,
}


def half_wide(folder, header, *rows, sep=",", protocol="ogtt(75)", **answers):
    path = written(folder / "t.csv", "\n".join([header, *rows]) + "\n")
    return load_study(path, protocol, **({"body_weight": 70} | answers))


def words(told):
    return " ".join(str(warning.message) for warning in told)


def values(study, analyte):
    samples = study.observations
    return samples["value"].values[samples["analyte"].values == analyte].tolist()


# --- languages and signs ---


@pytest.mark.parametrize(
    "header",
    [
        "Proband;Zeit [min];Glukose [mmol/l];Insulin [mU/l];Gewicht [kg];Größe [cm];Geschlecht",
        "Sujet;Temps (min);Glycémie (mmol/L);Insulinémie (mUI/L);Poids (kg);Height (cm);Sexe",
        "Paciente;Tiempo (min);Glucosa (mmol/L);Insulina (µUI/mL);Peso (kg);Estatura (cm);Sexo",
    ],
)
def test_headers_of_other_languages_are_read(header, tmp_path):
    study = half_wide(tmp_path, header, "1;0;5,1;7,2;71;180;f", "1;30;8,2;44,5;71;180;f", body_weight=None)
    np.testing.assert_allclose(values(study, "glucose"), np.array([5.1, 8.2]) * 18.016)
    np.testing.assert_allclose(values(study, "insulin"), [43.2, 267])
    assert study.body_weight.values.tolist() == [71]
    assert set(study.covariates.data_vars) == {"weight", "height", "sex"}


def test_glucose_in_grams_and_another_minus_are_read(tmp_path):
    study = half_wide(tmp_path, "Sujet,Temps (min),Glycémie (g/L)", "1,\u221210,0.9", "1,0,0.91", "1,30,1.4")
    assert values(study, "glucose") == [90, 91, 140]
    assert study.observations["time"].values.tolist() == [-10, 0, 30]


def test_covariates_of_other_languages_are_known_in_a_folder_too():
    assert covariate_name("gewicht_kg", {}) == ("weight", "kg")
    assert covariate_name("alter", {}) == ("age", "y") and covariate_name("imc", {})[0] == "bmi"


# --- columns that must not be overlooked ---


@pytest.mark.parametrize("name", ["Glucose flag", "insulin_blq", "BLQ glucose", "Haemolysis", "excluded"])
def test_marks_of_samples_are_refused_where_they_mark_any_whatever_analyte_stands_beside(name, tmp_path):
    rows = ["A,0,90,0", "A,30,140,1"]
    with pytest.raises(StudyError, match=f"column '{name}' says which values do not count"):
        half_wide(tmp_path, f"{HALF_WIDE},{name}", *rows)
    study = half_wide(tmp_path, f"{HALF_WIDE},{name}", *[row[:-1] + "0" for row in rows])
    assert not study.covariates.data_vars
    long = "subject,time,analyte,value,unit," + name
    path = written(tmp_path / "long.csv", f"{long}\nA,0,glucose,90,mg/dL,0\nA,30,glucose,140,mg/dL,1\n")
    assert f"line 3: column '{name.lower()}' marks" in asked(path)


def test_who_uses_insulin_is_a_covariate_and_what_an_analyte_stands_beside_is_told(tmp_path):
    rows = ["A,0,90,1,4.1", "A,30,140,1,4.1"]
    with pytest.warns(StudyWarning, match="'insulin_used', 'Insulin_0_log': not taken for samples"):
        study = half_wide(tmp_path, f"{HALF_WIDE},insulin_used,Insulin_0_log", *rows)
    assert set(study.covariates.data_vars) == {"insulin_used", "insulin_0_log"}
    assert mentioned("Peak insulin") == "insulin" and mentioned("Group") == mentioned("G0") == ""
    assert beside_analyte("C-peptide 30 BLQ") == "blq" and beside_analyte("flag") == ""


def test_an_analyte_in_a_unit_that_is_not_known_is_told(tmp_path):
    with pytest.warns(StudyWarning) as told:
        half_wide(tmp_path, f"{HALF_WIDE},Insulin (furlong)", "A,0,90,7", "A,30,140,44")
    assert "column 'Insulin (furlong)': not taken for samples" in words(told)


@pytest.mark.parametrize("name", ["Glucose load (g)", "Dose [mg]", "Carbs (g)"])
def test_doses_in_a_table_of_samples_are_named(name, tmp_path):
    assert is_dose(name)
    with pytest.warns(StudyWarning, match="A protocol says what was given"):
        study = half_wide(tmp_path, f"{HALF_WIDE},{name}", "A,0,90,75", "B,0,90,50")
    assert not study.covariates.data_vars


@pytest.mark.parametrize("form", ["half-wide", "wide", "nonmem"])
def test_two_columns_of_one_name_are_refused(form, tmp_path):
    text = {
        "half-wide": f"{HALF_WIDE},BMI,BMI\nA,0,90,21,22\nA,30,140,21,22\n",
        "wide": "ID,Glucose_0 (mg/dL),Glucose_30 (mg/dL),BMI,BMI\nA,90,140,21,22\n",
        "nonmem": "ID,TIME,AMT,DV,BMI,BMI\n1,0,75,.,21,22\n1,0,.,90,21,22\n",
    }
    assert "column 'BMI' is there 2 times" in asked(written(tmp_path / "t.csv", text[form]))


# --- times ---


def test_a_test_has_one_time_of_its_dose(tmp_path):
    header = "Subject,Time,dose_time,Glucose (mg/dL)"
    with pytest.raises(StudyError, match="subject A has several times of the dose in one test: 08:00, 08:05"):
        half_wide(tmp_path, header, "A,08:00,08:00,90", "A,08:30,08:05,140")
    first = half_wide(
        tmp_path, "dose_time,Subject,Time,Glucose (mg/dL)", "08:00,A,07:50,90", "08:00,A,08:30,140"
    )
    assert first.observations["time"].values.tolist() == [-10, 30]


def test_times_in_a_unit_that_is_not_known_are_asked_about(tmp_path):
    table = "Subject,Time (weeks),Glucose (mg/dL)", "A,0,90", "A,30,140"
    with pytest.raises(StudyError, match=r"column 'Time \(weeks\)': the unit is not known"):
        half_wide(tmp_path, *table)
    study = half_wide(tmp_path, *table, units={"time": "min"})
    assert study.observations["time"].values.tolist() == [0, 30]


def test_numbers_in_a_column_of_a_clock_are_no_minutes(tmp_path):
    with pytest.raises(StudyError, match="column 'Clock time' is of a clock, and 800, 830 is no time of day"):
        half_wide(tmp_path, "Subject,Clock time,Glucose (mg/dL)", "A,800,90", "A,830,140")


# --- tables from memory ---


def test_tables_from_memory_are_read_as_files_are():
    columns = {"id": ["A", "B"], "glucose_0": [90, 91], "glucose_30": [140, 150]}
    answers = {"protocol": "ogtt(75)", "body_weight": 70, "units": {"glucose": "mg/dL"}}
    study = load_study(columns, **answers)
    assert load_study(pd.DataFrame(columns), **answers) == study
    assert load_study(pd.DataFrame(columns).set_index("id"), **answers) == study
    long = pd.DataFrame({"id": ["A"] * 2, "time": pd.to_timedelta([0, 0.5], unit="h"), "glucose": [90, 140]})
    assert load_study(long, **answers).observations["time"].values.tolist() == [0, 30]
    with pytest.raises(StudyError, match="table: is no table"):
        load_study({"id": ["A", "B"], "glucose_0": [90]}, **answers)
    people = pd.DataFrame({"id": ["A", "B"], "bmi": [21, 30]})
    assert load_study([pd.DataFrame(columns), people], **answers).covariates["bmi"].values.tolist() == [
        21,
        30,
    ]


@pytest.mark.parametrize("source", [None, 5, [5], ["synthetic_ogtt", None]])
def test_what_is_no_study_is_told(source):
    with pytest.raises(InputError, match=r"is no study\. Give a name, a path, a table or several"):
        load_study(source)


# --- event tables ---


def events(folder, text, **answers):
    return load_study(written(folder / "e.csv", text), **(EVENTS | answers))


@pytest.mark.parametrize("name", ["TINF", "DUR", "Duration"])
def test_the_duration_of_an_infusion_is_read(name, tmp_path):
    text = f"ID,TIME,AMT,{name},DV,DVID\n1,0,20,2,.,.\n1,0,.,.,92,1\n1,4,.,.,148,1\n"
    [event] = events(tmp_path, text, doses="iv glucose g").protocols["1", "1"].events
    assert (event.kind, event.duration) == ("infusion", 120)


@pytest.mark.parametrize(
    ("name", "nothing", "something"), [("ALAG1", 0, 0.5), ("F1", 1, 0.8), ("Tlag", 0, 1)]
)
def test_delays_and_shares_of_doses_are_refused_where_there_are_any(name, nothing, something, tmp_path):
    text = f"ID,TIME,AMT,{name},DV,DVID\n1,0,75,?,.,.\n1,0,.,?,92,1\n"
    assert not events(tmp_path, text.replace("?", str(nothing))).covariates.data_vars
    with pytest.raises(StudyError, match=f"line 2: {name}: a delay or share of a dose cannot be given"):
        events(tmp_path, text.replace("?", str(something)))


@pytest.mark.parametrize("name", ["BLQ", "BLOQ", "CENSORED"])
def test_values_below_a_limit_are_so_by_whatever_name_and_their_limit_must_be_said(name, tmp_path):
    text = f"ID,TIME,AMT,DV,DVID,{name},LLOQ\n1,0,75,.,.,.,.\n1,0,.,92,1,0,2\n1,0,.,1,2,1,2\n1,1,.,.,2,1,2\n"
    samples = events(tmp_path, text).observations
    assert samples["value"].values.tolist() == [92, 12, 12]
    assert samples["censoring"].values.tolist() == ["none", "left", "left"]
    with pytest.raises(StudyError, match="line 5: a value beyond a limit, and neither DV nor LLOQ says it"):
        events(tmp_path, text.replace("LLOQ", "TAD"))


def test_excluded_rows_of_an_event_table_are_refused(tmp_path):
    text = "ID,TIME,AMT,DV,DVID,EXCLUDE\n1,0,75,.,.,.\n1,0,.,92,1,0\n1,1,.,148,1,1\n"
    with pytest.raises(StudyError, match="column 'EXCLUDE' says which values do not count"):
        events(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("DAT1", ("02/05/2024", "03/05/2024")),
        ("DAT2", ("24-05-02", "24-05-03")),
        ("DAT3", ("2024-02-05", "2024-03-05")),
    ],
)
def test_the_dates_of_nonmem_are_in_the_order_that_their_name_says(name, days, tmp_path):
    text = f"ID,{name},TIME,AMT,DV,DVID\n1,{days[0]},23:00,75,.,.\n1,{days[0]},23:00,.,92,1\n"
    text += f"1,{days[1]},00:30,.,148,1\n"
    assert events(tmp_path, text).observations["time"].values.tolist() == [0, 90]
    hours = text.replace("23:00", "23").replace("00:30", "0.5")
    with pytest.raises(StudyError, match="one test has several dates, and TIME is no time of day"):
        events(tmp_path, hours)


def test_a_value_in_a_row_of_a_dose_is_told(tmp_path):
    with pytest.warns(StudyWarning, match="1 values of DV in rows of doses: not used"):
        assert (
            events(tmp_path, "ID,TIME,AMT,DV,DVID\n1,0,75,92,1\n1,1,.,148,1\n").observations.sizes["obs"] == 1
        )
    events(tmp_path, "ID,TIME,AMT,DV,DVID,MDV\n1,0,75,92,1,1\n1,1,.,148,1,0\n")
    events(tmp_path, "ID,TIME,AMT,DV,DVID\n1,0,75,0,1\n1,1,.,148,1\n")


def test_units_in_an_event_table_are_those_of_its_samples_and_doses(tmp_path):
    text = "ID,TIME,AMT,DV,DVID,UNIT\n1,0,75,.,.,g\n1,0,.,5.1,1,mmol/L\n1,1,.,8.2,1,mmol/L\n"
    samples = events(tmp_path, text, units={"time": "h"}).observations
    np.testing.assert_allclose(samples["value"], np.array([5.1, 8.2]) * 18.016)
    for wrong, told in (
        (text.replace("75,.,.,g", "75000,.,.,mg"), "line 2: a dose is in 'mg' as the table says, and in 'g'"),
        (text.replace("8.2,1,mmol/L", "148,1,mg/dL"), "glucose is in several units: mmol/L, mg/dL"),
    ):
        with pytest.raises(StudyError, match=told):
            events(tmp_path, wrong, units={"time": "h"})
    with pytest.raises(StudyError, match="glucose is in 'mmol/L' as the table says, and in 'mg/dL'"):
        events(tmp_path, text)


def test_a_rate_and_a_duration_that_do_not_agree_are_refused(tmp_path):
    text = "ID,TIME,AMT,RATE,DUR,DV,DVID\n1,0,20,10,2,.,.\n1,0,.,.,.,92,1\n1,4,.,.,.,148,1\n"
    [event] = events(tmp_path, text, doses="iv glucose g").protocols["1", "1"].events
    assert event.duration == 120
    with pytest.raises(StudyError, match="AMT and RATE make 120 min of an infusion, and its duration is 60"):
        events(tmp_path, text.replace("10,2", "10,1"), doses="iv glucose g")


def test_an_amount_in_a_row_of_a_sample_is_refused(tmp_path):
    with pytest.raises(StudyError, match="line 2: AMT is given in a row of EVID 0"):
        events(tmp_path, "ID,TIME,EVID,AMT,DV,DVID\n1,0,0,75,92,1\n1,1,0,.,148,1\n")


# --- exports of devices ---

READINGS = [
    {"sgv": 95, "date": 1714636500000, "type": "sgv", "device": "x"},
    {"sgv": 180, "date": 1714638600000, "type": "sgv", "device": "x"},
]
MEAL = {"eventType": "Meal Bolus", "carbs": 60, "insulin": 4.5, "created_at": "2024-05-02T08:00:00Z"}


def nightscout(folder, *rows):
    return load_study(written(folder / "jo.json", json.dumps(rows)), body_weight=70)


@pytest.mark.parametrize("meal", [MEAL, {**MEAL, "created_at": None, "timestamp": 1714636800000}])
def test_entries_and_treatments_in_one_list(meal, tmp_path):
    study = nightscout(tmp_path, *READINGS, meal)
    assert study.observations["time"].values.tolist() == [-5, 30]
    assert [event.amount for event in study.protocols["jo", "1"].events] == [60, 4.5]


def test_readings_in_the_other_unit_and_boluses_that_take_long_are_told(tmp_path):
    low = [{**entry, "sgv": entry["sgv"] / 18} for entry in READINGS]
    with pytest.raises(StudyError, match=r"has readings up to 10\. Are they in mmol/L"):
        nightscout(tmp_path, *low, MEAL)
    with pytest.warns(StudyWarning, match="1 boluses over some time are given at once"):
        nightscout(tmp_path, *READINGS, {**MEAL, "eventType": "Combo Bolus", "duration": 120})


def test_two_sensors_at_one_time_are_told_and_one_after_the_other_are_not(tmp_path):
    lines = LIBREVIEW.splitlines()
    first = next(line for line in lines if "07:55" in line)
    serial = first.split(",")[1]
    other = first.replace(serial, "another").replace("07:55", "08:20")
    together = "\n".join([*lines, other])
    with pytest.warns(StudyWarning) as told:
        load_study(written(tmp_path / "jo.csv", together), body_weight=70, dates="dmy")
    assert "readings of X, another at one time are taken for one curve" in words(told)
    later = other.replace("08:20", "23:20")
    with pytest.warns(StudyWarning) as told:
        load_study(written(tmp_path / "al.csv", "\n".join([*lines, later])), body_weight=70, dates="dmy")
    assert "one curve" not in words(told)


def test_an_export_in_another_language_is_asked_for_in_english(tmp_path):
    text = "Index;Zeitstempel (JJJJ-MM-TTThh:mm:ss);Ereignistyp;Glukosewert (mg/dL)\n"
    text += "1;2024-05-02T07:55:00;EGV;95\n"
    assert "They are read in English" in asked(written(tmp_path / "t.csv", text))
