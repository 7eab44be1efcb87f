"""Tables as people have them give the numbers of the long table, or a question that a keyword answers."""

import itertools
import json
import re
import warnings
import zipfile
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglu.errors import BayesgluError, InputError
from bayesglu.study.readers.clock import moment
from bayesglu.study.readers.forms import FORMS
from bayesglu.study.readers.headers import covariate, measured, only_time
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study

OGTT = {"protocol": "ogtt(75)", "body_weight": 70}
UNITS = {"glucose": "mmol/L", "insulin": "uU/mL"}
GLUCOSE = {"A": {0: "5.1", 30: "8.2", 120: "5.6"}, "B": {0: "4.9", 30: "7.7", 120: ""}}
INSULIN = {"A": {0: "7", 30: "44.5", 120: "<2"}, "B": {0: "9", 30: "60", 120: "20"}}


def long_study(insulin=INSULIN, **options):
    """The study that every form of the table must give."""
    rows = [
        (subject, time, analyte, value, UNITS[analyte])
        for analyte, people in (("glucose", GLUCOSE), ("insulin", insulin))
        for subject, values in people.items()
        for time, value in values.items()
    ]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    order = table["subject"].map(list(GLUCOSE).index) * 2 + table["analyte"].map(list(UNITS).index)
    table = table.iloc[np.argsort(order.to_numpy(), kind="stable")]
    return Study.from_table(table, **(OGTT | options))


LONG = long_study()


def same(study, other=LONG):
    """Whether two studies say the same of every sample, whatever the order of samples."""

    def rows(of):
        table = of.observations.to_dataframe().drop(columns="line")
        return sorted(map(str, table.round(6).itertuples(index=False)))

    given = {o: p.events for o, p in study.protocols.items()} == {
        o: p.events for o, p in other.protocols.items()
    }
    return rows(study) == rows(other) and given


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def wide_rows(header=lambda analyte, time: f"{analyte}_{time}", sep=","):
    columns = [(analyte, time) for analyte in UNITS for time in (0, 30, 120)]
    values = {"glucose": GLUCOSE, "insulin": INSULIN}
    lines = [sep.join(["id", *(header(*column) for column in columns)])]
    lines += [sep.join([who, *(values[analyte][who][time] for analyte, time in columns)]) for who in "AB"]
    return "\n".join(lines) + "\n"


def asked(path, *keywords, **options):
    """The questions that a table leaves, each naming the keyword that answers it."""
    with pytest.raises(StudyError) as caught:
        load_study(path, **(OGTT | options))
    text = str(caught.value)
    assert all(f"Say {keyword}=" in text for keyword in keywords), text
    return text


# --- wide tables ---


@pytest.mark.parametrize(
    "header",
    [
        lambda analyte, time: f"{analyte}_{time}",
        lambda analyte, time: f"{analyte}_{time:03d}",
        lambda analyte, time: f"{analyte[0].upper()}{time}",
        lambda analyte, time: f"{analyte.title()} {time} min",
        lambda analyte, time: f"{time}' {analyte[:3]}",
        lambda analyte, time: f"{analyte}_t{time}",
        lambda analyte, time: f"{analyte.upper()}.{time}",
        lambda analyte, time: f"{analyte} {time / 60:g} h",
        lambda analyte, time: f"plasma {analyte}-{time}",
    ],
)
def test_a_wide_table_gives_the_numbers_of_the_long_one(tmp_path, header):
    path = written(tmp_path / "wide.csv", wide_rows(header))
    study = load_study(path, units=UNITS, **OGTT)
    assert same(study) and study.datasheet["format"] == "wide"
    assert study.missing["glucose"] == 1


def test_units_may_stand_in_headers_in_a_row_below_or_in_an_answer_and_are_asked_for_otherwise(tmp_path):
    headers = wide_rows(lambda analyte, time: f"{analyte} ({UNITS[analyte]}) {time} min")
    assert same(load_study(written(tmp_path / "a.csv", headers), **OGTT))
    plain = wide_rows().splitlines()
    below = "\n".join([plain[0], ",mmol/L,,,uU/mL,,".replace(",,", ",mmol/L,", 0), *plain[1:]])
    below = "\n".join([plain[0], "," + ",".join(["mmol/L"] * 3 + ["uU/mL"] * 3), *plain[1:]])
    assert same(load_study(written(tmp_path / "b.csv", below), **OGTT))
    text = asked(written(tmp_path / "c.csv", wide_rows()), "units")
    assert "does not say in which unit glucose is" in text and "Usual values they would be in mmol/L." in text
    clash = {"glucose": "mg/dL", "insulin": "uU/mL"}
    assert "Keep one" in asked(tmp_path / "a.csv", units=clash)


def test_two_header_rows_and_titles_above_them(tmp_path):
    rows = wide_rows().splitlines()[1:]
    text = "Trial of last year\n,Glucose (mmol/L),,,Insulin (uU/mL),,\nid,0,30,120,0,30,120\n" + "\n".join(
        rows
    )
    assert same(load_study(written(tmp_path / "two.csv", text), **OGTT))
    frame = pd.DataFrame(
        [["A", 5.1, 8.2, 5.6], ["B", 4.9, 7.7, None]],
        columns=pd.MultiIndex.from_tuples(
            [("", "id"), *(("glucose mmol/L", f"{time} min") for time in (0, 30, 120))]
        ),
    )
    assert same(load_study(frame, **OGTT), LONG.select(analytes=["glucose"]))


def test_one_file_an_analyte(tmp_path):
    paths = []
    for analyte, values in (("glucose", GLUCOSE), ("insulin", INSULIN)):
        lines = ["id,0,30,120", *(",".join([who, *values[who].values()]) for who in "AB")]
        paths.append(written(tmp_path / f"{analyte}.csv", "\n".join(lines)))
    assert same(load_study(paths, units=UNITS, **OGTT))


def test_other_columns_are_covariates_and_summaries_and_remarks_are_named(tmp_path):
    rows = wide_rows().splitlines()
    rows = [
        f"{row},{more}"
        for row, more in zip(rows, ["Weight (kg),Group,Notes", "70,T2D,late", "80,ND,"], strict=True)
    ]
    path = written(tmp_path / "wide.csv", "\n".join([*rows, "Mean,5,8,5.6,8,52,20,75,,"]))
    with pytest.warns(StudyWarning) as told:
        study = load_study(path, protocol="ogtt(75)", units=UNITS)
    assert study.body_weight.values.tolist() == [70, 80]
    assert study.covariates["group"].values.tolist() == ["T2D", "ND"]
    words = " ".join(str(warning.message) for warning in told)
    assert "'Mean' is a summary and no person" in words and "column 'Notes': not used" in words
    assert study.subjects == ("A", "B")


def test_a_wide_table_with_a_flag_a_repeated_person_or_hours_is_refused(tmp_path):
    rows = wide_rows().splitlines()
    flagged = "\n".join(f"{row},{more}" for row, more in zip(rows, ["blq", "0", "1"], strict=True))
    assert "column 'blq' says which values do not count" in asked(
        written(tmp_path / "a.csv", flagged), units=UNITS
    )
    twice = "\n".join([*rows, rows[1]])
    assert "subject 'A' is there already, at line 2" in asked(written(tmp_path / "b.csv", twice), units=UNITS)
    hours = wide_rows(lambda analyte, time: f"{analyte}_{time / 60:g}")
    path = written(tmp_path / "c.csv", hours)
    assert "are they hours?" in asked(path, "units", units=UNITS)
    assert same(load_study(path, units=UNITS | {"time": "h"}, **OGTT))


def test_two_tests_of_a_person_in_a_wide_table(tmp_path):
    text = "id,visit,G0,G30\nA,1,5.1,8.2\nA,2,5.3,8.9\nB,1,4.9,7.7\n"
    study = load_study(written(tmp_path / "wide.csv", text), units=UNITS, **OGTT)
    assert study.occasions == (("A", "1"), ("A", "2"), ("B", "1"))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("glucose_-10", ("glucose", -10.0, "")),
        ("Insulin [mIU/L] t=30", ("insulin", 30.0, "uU/mL")),
        ("Fasting glucose (mg/dL)", ("glucose", 0.0, "mg/dL")),
        ("2h glucose", ("glucose", 120.0, "")),
        ("C-peptide 0", ("c_peptide", 0.0, "")),
        ("glucagon_m15", ("glucagon", -15.0, "")),
        ("insulin_uU_ml", ("insulin", None, "uU/mL")),
        ("glucose auc 120", None),
        ("insulin_sensitivity", None),
        ("HbA1c", None),
        ("group", None),
        ("G", None),
    ],
)
def test_a_header_says_an_analyte_a_time_and_a_unit_and_nothing_else(header, says):
    found = measured(header)
    assert (found and (found.analyte, found.minutes, found.unit)) == says


def test_headers_of_times_and_covariates():
    assert only_time("t-10") == (-10, False) and only_time("2 h") == (120, True) and only_time("id") is None
    assert covariate("Body weight (kg)") == ("weight", "kg") and covariate("bmi_kgm2") == ("bmi", "kg/m2")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_header_is_read_without_a_fault_of_the_program(header):
    measured(header), only_time(header), covariate(header), moment(header, "dmy")


# --- half-wide and long tables ---


def half_wide(names=("glucose_mmol_l", "insulin_uU_ml"), sep=","):
    lines = [sep.join(["id", "time", *names])]
    lines += [
        sep.join([who, str(time), GLUCOSE[who][time], INSULIN[who][time]])
        for who in "AB"
        for time in (0, 30, 120)
    ]
    return "\n".join(lines) + "\n"


def test_a_half_wide_table_gives_the_numbers_of_the_long_one(tmp_path):
    study = load_study(written(tmp_path / "half.csv", half_wide()), **OGTT)
    assert same(study) and study.datasheet["format"] == "half-wide"
    other = half_wide(("Glc", "Marker 2")).replace("time", "Time (h)")
    other = re.sub(r"(?m)^(\w),(\d+)", lambda row: f"{row[1]},{int(row[2]) / 60:g}", other)
    answers = {"units": UNITS, "analytes": {"Marker 2": "insulin", "Glc": "glucose"}}
    assert same(load_study(written(tmp_path / "other.csv", other), **answers, **OGTT))


def test_moments_at_which_nobody_has_a_value_are_no_missing_samples(tmp_path):
    text = "id,time,glucose_mmol_l,insulin_uU_ml\nA,0,5.1,7\nA,5,5.5,\nA,30,,44.5\n"
    study = load_study(written(tmp_path / "half.csv", text), **OGTT)
    assert study.observations.sizes["obs"] == 4 and not any(study.missing.values())


def long_rows(sep=",", comma=False, name="glucose"):
    text = ["subject,time,analyte,value,unit"]
    for analyte, people in (("glucose", GLUCOSE), ("insulin", INSULIN)):
        text += [
            f"{who},{time},{analyte},{v},{UNITS[analyte]}"
            for who, own in people.items()
            for time, v in own.items()
        ]
    lines = "\n".join(text).replace(",", sep) + "\n"
    return re.sub(r"(\d)\.(\d)", r"\1,\2", lines) if comma else lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize(("sep", "comma"), [(",", False), (";", True), ("\t", True), (";", False)])
def test_encodings_separators_and_decimal_commas(tmp_path, encoding, sep, comma):
    text = long_rows(sep, comma).replace("uU/mL", "µU/mL")
    study = load_study(written(tmp_path / "table.csv", text, encoding), **OGTT)
    assert same(study)
    if sep == ";" and comma:
        assert "decimal commas" in study.datasheet["note"]


def test_a_comma_before_three_digits_is_asked_about_and_never_taken_for_a_point(tmp_path):
    text = 'subject,time,analyte,value,unit\n1,0,insulin,65,pmol/L\n1,30,insulin,"1,050",pmol/L\n'
    path = written(tmp_path / "a.csv", text)
    assert "separator of thousands or a decimal one" in asked(path, "thousands")
    assert load_study(path, thousands=",", **OGTT).observations["value"].values.tolist() == [65, 1050]
    assert load_study(path, decimal=",", **OGTT).observations["value"].values.tolist() == [65, 1.05]
    semicolons = "subject;time;analyte;value;unit\n1;0;insulin;65,5;pmol/L\n1;30;insulin;1.050;pmol/L\n"
    path = written(tmp_path / "b.csv", semicolons)
    assert "is the point a separator of thousands" in asked(path, "thousands")
    assert load_study(path, thousands=".", **OGTT).observations["value"].values.tolist() == [65.5, 1050]
    both = semicolons.replace("1.050", "70.5")
    assert "which sign is the decimal one" in asked(written(tmp_path / "c.csv", both), "decimal")
    spaces = semicolons.replace("1.050", "1 050")
    path = written(tmp_path / "d.csv", spaces)
    asked(path, "thousands")
    assert load_study(path, thousands=" ", **OGTT).observations["value"].values.tolist() == [65.5, 1050]


def test_a_row_with_a_bare_decimal_comma_is_a_fault_with_its_line(tmp_path):
    text = half_wide().replace("8.2", "8,2")
    assert "half.csv, line 3: 5 cells where the header has 4" in asked(written(tmp_path / "half.csv", text))


def test_what_is_wrong_with_a_value_names_the_line_of_the_file(tmp_path):
    path = written(tmp_path / "long.csv", long_rows(";").replace("44.5", "high").replace("8.2", "820"))
    text = asked(path)
    assert (
        "long.csv, line 9: value 'high' is not a number" in text and "long.csv, line 3: glucose 820" in text
    )
    path = written(tmp_path / "wide.csv", wide_rows().replace("44.5", "high"))
    assert "wide.csv, line 2: value 'high' is not a number" in asked(path, units=UNITS)


# --- times of day ---


def clock_rows(times, date="", extra=""):
    head = "subject,time,analyte,value,unit" + (",dose_time" if extra else "")
    lines = [f"A,{date}{time},glucose,{90 + n},mg/dL{extra}" for n, time in enumerate(times)]
    return "\n".join([head, *lines]) + "\n"


def minutes(path, **options):
    return load_study(path, **OGTT, **options).observations["time"].values.tolist()


def test_times_of_day_are_minutes_from_the_dose_once_it_is_said(tmp_path):
    path = written(tmp_path / "clock.csv", clock_rows(["07:50", "08:00", "08:30", "9:00"]))
    assert "start='first'" in asked(path, "start")
    assert minutes(path, start="08:00") == [-10, 0, 30, 60]
    assert minutes(path, start={"A": "8:00 AM"}) == [-10, 0, 30, 60]
    assert minutes(path, start="first") == [0, 10, 40, 70]
    stated = written(tmp_path / "stated.csv", clock_rows(["07:50", "08:30"], extra=",08:00"))
    assert minutes(stated) == [-10, 30]
    assert "zero of each test is 08:00" in load_study(path, start="08:00", **OGTT).datasheet["note"]


def test_a_test_may_run_through_midnight_and_dates_may_have_a_column_of_their_own(tmp_path):
    night = written(tmp_path / "night.csv", clock_rows(["23:30", "23:45", "00:15", "01:30"]))
    assert minutes(night, start="23:30") == [0, 15, 45, 120]
    text = "id;Date;Time;Glucose (mmol/L)\nA;31.05.2024;23:50;5,1\nA;01.06.2024;00:20;8,2\n"
    assert minutes(written(tmp_path / "dates.csv", text), start="31.05.2024 23:50") == [0, 30]


def test_the_order_of_day_and_month_is_asked_for_where_no_date_says_it(tmp_path):
    text = "subject,time,analyte,value,unit\nA,03/04/2024 23:00,glucose,90,mg/dL\nA,03/05/2024 01:00,glucose,91,mg/dL\n"
    path = written(tmp_path / "order.csv", text)
    asked(path, "dates", start="first")
    assert minutes(path, start="first", dates="mdy") == [0, 120]
    clear = written(tmp_path / "clear.csv", text.replace("03/04", "03/30").replace("03/05", "03/31"))
    assert minutes(clear, start="first", time_zone="America/New_York") == [0, 120]


def test_summer_time_is_real_time_in_a_time_zone_and_asked_for_without(tmp_path):
    spring = written(tmp_path / "s.csv", clock_rows(["2024-03-31 00:30", "2024-03-31 04:30"]))
    assert "change their clocks" in asked(spring, "time_zone", start="first")
    assert minutes(spring, start="first", time_zone="Europe/Berlin") == [0, 180]
    assert minutes(spring, start="first", time_zone="UTC") == [0, 240]
    autumn = clock_rows(["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:15", "2024-10-27 03:30"])
    assert minutes(written(tmp_path / "a.csv", autumn), start="first", time_zone="Europe/Berlin") == [
        0,
        60,
        105,
        180,
    ]
    offsets = clock_rows(["2024-03-31T00:30:00+01:00", "2024-03-31T04:30:00+02:00"])
    assert minutes(written(tmp_path / "o.csv", offsets), start="first") == [0, 180]
    gap = written(tmp_path / "g.csv", clock_rows(["2024-03-31 01:30", "2024-03-31 02:30"]))
    assert "does not exist in Europe/Berlin" in asked(gap, start="first", time_zone="Europe/Berlin")


def test_several_days_of_one_person_are_not_one_test(tmp_path):
    text = clock_rows(["2024-05-01 08:00", "2024-05-01 09:00", "2024-05-08 08:00"])
    assert "has samples on several days" in asked(written(tmp_path / "days.csv", text), start="08:00")


def test_a_folder_with_times_of_day_says_what_makes_minutes_of_them(tmp_path):
    path = written(tmp_path / "observations.csv", clock_rows(["08:00"]))
    with pytest.raises(StudyError, match=r"time '08:00' is not a number. `bayesglu import"):
        load_study(path.parent, **OGTT)


@pytest.mark.parametrize("text", ["25:00", "2024-02-31 08:00", "13:00 PM", "08:61", "8", "2024-05-01", ""])
def test_what_is_no_moment_is_none(text):
    assert moment(text, "dmy") is None


# --- event tables ---

EVENTS = {"analytes": {1: "glucose", 2: "insulin"}, "doses": "oral glucose g"}
NONMEM = """ID,TIME,EVID,AMT,DV,DVID,MDV,WT
A,0,1,75,.,0,1,70
{rows}
"""


def nonmem(extra=""):
    rows = [f"{who},0,1,75,.,0,1,70" for who in "AB"]
    lines = ["ID,TIME,EVID,AMT,DV,DVID,MDV,CENS,WT"]
    for who, _dose in zip("AB", rows, strict=True):
        lines.append(f"{who},0,1,75,.,0,1,0,70")
        for time in (0, 30, 120):
            for dvid, values in ((1, GLUCOSE), (2, INSULIN)):
                value = values[who][time]
                lines.append(
                    f"{who},{time / 60:g},0,.,{value.lstrip('<') or '.'},{dvid},{int(not value)},"
                    f"{int('<' in value)},70"
                )
    return "\n".join(lines) + extra + "\n"


def test_an_event_table_gives_the_numbers_of_the_long_one(tmp_path):
    path = written(tmp_path / "nonmem.csv", nonmem())
    study = load_study(path, units=UNITS | {"time": "h"}, **EVENTS)
    assert same(study) and study.datasheet["format"] == "nonmem"
    assert study.body_weight.values.tolist() == [70, 70]
    assert asked(path, "units", "analytes", "doses", protocol=None).count("Say ") == 3
    with pytest.warns(StudyWarning, match="2 doses: a protocol is given instead"):
        assert same(load_study(path, "ogtt(75)", units=UNITS | {"time": "h"}, analytes=EVENTS["analytes"]))


def events(path, text, **options):
    answers = {"units": {"time": "min", "glucose": "mg/dL"}, "analytes": {"DV": "glucose"}, "body_weight": 70}
    study = load_study(written(path / "events.csv", text), **(answers | {"doses": "iv glucose g"} | options))
    return {occasion: protocol.events for occasion, protocol in study.protocols.items()}


def test_rates_and_additional_doses_are_written_out(tmp_path):
    text = "id,time,amt,rate,addl,ii,dv\n1,0,20,10,0,0,.\n1,240,,,,,95\n"
    [event] = events(tmp_path, text, units={"time": "h", "glucose": "mg/dL"})["1", "1"]
    assert (event.kind, event.amount, event.duration) == ("infusion", 20, 120)
    text = "id,time,amt,addl,ii,dv\n1,0,50,2,240,.\n1,600,,,,95\n"
    assert [e.time for e in events(tmp_path, text)["1", "1"]] == [0, 240, 480]


def test_a_reset_begins_another_occasion_and_compartments_have_doses_of_their_own(tmp_path):
    text = "ID,TIME,EVID,AMT,CMT,DV\n1,0,1,75,1,.\n1,60,0,.,1,140\n1,0,4,2,2,.\n1,60,0,.,1,80\n"
    doses = {"1": "oral glucose g", "2": "sc insulin U"}
    given = events(tmp_path, text, doses=doses, analytes={1: "glucose"})
    assert [e.substance for e in given["1", "1"]] == ["glucose"]
    assert [(e.substance, e.kind) for e in given["1", "2"]] == [("insulin", "release")]


def test_censored_and_missing_values_of_an_event_table(tmp_path):
    text = "ID,TIME,AMT,DV,MDV,CENS\n1,0,75,.,1,0\n1,0,.,999,1,0\n1,30,.,40,0,1\n1,60,.,300,0,-1\n"
    answers = {"units": {"time": "min", "glucose": "mg/dL"}, "analytes": {"DV": "glucose"}}
    study = load_study(written(tmp_path / "e.csv", text), **answers, doses="oral glucose g", body_weight=70)
    assert study.observations["censoring"].values.tolist() == ["none", "left", "right"]
    assert np.isnan(study.observations["value"].values[0])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1,0,75,0,0,0,1,.", "SS: a steady state of doses cannot be given"),
        ("1,0,75,-2,0,0,0,.", "RATE below 0 asks for a modelled rate"),
        ("1,0,75,0,3,0,0,.", "ADDL is above 0, and II"),
        ("1,0,75,x,0,0,0,.", "RATE 'x' is not a number"),
    ],
)
def test_what_cannot_be_given_is_refused_with_its_line(tmp_path, row, sentence):
    text = f"ID,TIME,AMT,RATE,ADDL,II,SS,DV\n{row}\n1,60,.,.,.,.,.,140\n"
    with pytest.raises(StudyError, match=rf"events.csv, line 2: {sentence}"):
        events(tmp_path, text)


def test_a_clock_in_an_event_table_counts_from_the_first_dose(tmp_path):
    text = "ID,DATE,TIME,AMT,DV\n1,2024-05-02,07:50,.,90\n1,2024-05-02,08:00,75,.\n1,2024-05-02,9:00,.,140\n"
    path = written(tmp_path / "e.csv", text)
    answers = {"units": {"glucose": "mg/dL"}, "analytes": {"DV": "glucose"}, "doses": "oral glucose g"}
    study = load_study(path, body_weight=70, **answers)
    assert study.observations["time"].values.tolist() == [-10, 60]
    assert study.protocols["1", "1"].events[0].time == 0


def test_the_columns_that_r_writes_first_are_no_trouble(tmp_path):
    text = '"","id","time","evid","amt","cmt","dv"\n"1",1,0,1,75,"depot",NA\n"2",1,60,0,NA,"glucose",140\n'
    given = events(tmp_path, text, doses={"depot": "oral glucose g"}, analytes={})
    assert given["1", "1"][0].amount == 75


# --- sensors and pumps ---

# ruff: noqa: E501, of the headers of exports, which are as long as they are

CLARITY = """Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID
1,,FirstName,,Jo,,,,,,,,,
2,,Alert,Low,,,iOS G7,70,,,,,,
3,2024-05-02T07:55:00,EGV,,,,iOS G7,95,,,,,1,X
4,2024-05-02T08:00:00,Carbs,,,,iOS G7,,,60,,,,
5,2024-05-02T08:00:00,Insulin,Fast-Acting,,,iOS G7,,4.5,,,,,
6,2024-05-02T08:30:00,EGV,,,,iOS G7,180,,,,,2,X
7,2024-05-02T09:00:00,EGV,,,,iOS G7,High,,,,,3,X
8,2024-05-02T09:00:00,Insulin,Long-Acting,,,iOS G7,,20,,,,,
"""
LIBREVIEW = """Glucose Data,Generated on,03-05-2024 10:00 UTC,Generated by,Jo Doe
Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mmol/L,Scan Glucose mmol/L,Non-numeric Rapid-Acting Insulin,Rapid-Acting Insulin (units),Non-numeric Food,Carbohydrates (grams),Carbohydrates (servings),Non-numeric Long-Acting Insulin,Long-Acting Insulin (units),Notes,Strip Glucose mmol/L,Ketone mmol/L,Meal Insulin (units),Correction Insulin (units),User Change Insulin (units)
FreeStyle LibreLink,X,13-05-2024 07:55,0,5.3,,,,,,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 08:00,5,,,,,,60,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 08:00,4,,,,4.5,,,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 08:10,1,,7.0,,,,,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 08:30,0,10.0,,,,,,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 09:00,0,HI,,,,,,,,,,,,,,
FreeStyle LibreLink,X,13-05-2024 09:00,4,,,,,,,,,20,,,,,,
"""
CARELINK = """Last Name;First Name;Patient ID
Doe;Jo;1

-------;MiniMed 780G MMT-1886;Pump;NG1;-------
Index;Date;Time;New Device Time;BG Reading (mg/dL);Basal Rate (U/h);Bolus Type;Bolus Volume Delivered (U);BWZ Carb Input (grams);Sensor Glucose (mg/dL)
0,00000;2024/05/02;08:00:00;;;;Normal;4,5;60;
1,00000;2024/05/02;07:00:00;;;0,8;;;;
-------;MiniMed 780G MMT-1886;Sensor;NG1;-------
Index;Date;Time;New Device Time;BG Reading (mg/dL);Basal Rate (U/h);Bolus Type;Bolus Volume Delivered (U);BWZ Carb Input (grams);Sensor Glucose (mg/dL)
2,00000;2024/05/02;09:00:00;;;;;;;210
3,00000;2024/05/02;08:30:00;;;;;;;180
4,00000;2024/05/02;07:55:00;;;;;;;95
"""
ENTRIES = [
    {"type": "sgv", "sgv": 401, "date": 1714640400000, "dateString": "2024-05-02T09:00:00.000Z"},
    {"type": "sgv", "sgv": 180, "date": 1714638600000, "dateString": "2024-05-02T08:30:00.000Z"},
    {"type": "sgv", "sgv": 5, "date": 1714638000000, "dateString": "2024-05-02T08:20:00.000Z"},
    {"type": "sgv", "sgv": 95, "date": 1714636500000, "dateString": "2024-05-02T07:55:00.000Z"},
]
TREATMENTS = [
    {"eventType": "Meal Bolus", "created_at": "2024-05-02T10:00:00+02:00", "carbs": 60, "insulin": 4.5},
    {"eventType": "Temp Basal", "created_at": "2024-05-02T08:10:00Z", "rate": 0.8, "duration": 30},
]
LEFT_OUT = {
    "clarity": "1 doses of long-acting insulin",
    "libreview": "1 scans of the sensor",
    "carelink": "1 changes of the basal rate",
    "nightscout": "1 codes of errors",
}


def export(folder, name):
    if name == "nightscout":
        files = {"entries.json": ENTRIES, "treatments.json": TREATMENTS}
        return [written(folder / file, json.dumps(rows)) for file, rows in files.items()]
    return written(
        folder / f"{name}.csv", {"clarity": CLARITY, "libreview": LIBREVIEW, "carelink": CARELINK}[name]
    )


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_export_is_samples_meals_and_boluses_from_the_first_meal_on(tmp_path, name):
    with pytest.warns(StudyWarning) as told:
        study = load_study(export(tmp_path, name), body_weight=70)
    assert study.datasheet["format"] == name
    assert study.observations["time"].values.tolist() == [-5, 30, 60]
    expected = {"carelink": [95, 180, 210], "clarity": [95, 180, 400], "nightscout": [95, 180, 400]}
    values = study.observations["value"].values
    np.testing.assert_allclose(values, expected.get(name, np.array([5.3, 10, 27.8]) * 18.016))
    assert study.observations["censoring"].values[-1] == ("none" if name == "carelink" else "right")
    [protocol] = study.protocols.values()
    given = [(e.time, e.substance, e.route, e.amount, e.unit) for e in protocol.events]
    assert sorted(given) == [(0, "glucose", "oral", 60, "g"), (0, "insulin", "subcutaneous", 4.5, "U")]
    assert [e.emptying for e in protocol.events if e.substance == "glucose"] == [0.7]
    words = " ".join(str(warning.message) for warning in told)
    assert LEFT_OUT[name] in words
    assert "plasma glucose" in study.datasheet["note"] and "Doe" not in repr(study)


def test_part_of_an_export_with_a_protocol_and_a_zero_of_its_own(tmp_path):
    text = CLARITY.replace("4,2024-05-02T08:00:00,Carbs,,,,iOS G7,,,60,,,,\n", "")
    path = written(tmp_path / "jo.csv", text)
    part = ("2024-05-02 08:00", "2024-05-02 10:00")
    with pytest.warns(StudyWarning) as told:
        study = load_study(path, "meal(60)", body_weight=70, start="2024-05-02 08:10", between=part)
    assert any("a protocol is given instead" in str(warning.message) for warning in told)
    assert study.observations["time"].values.tolist() == [20, 50]


def test_an_export_without_a_meal_asks_when_zero_is(tmp_path):
    lines = [line for line in CLARITY.splitlines() if "Carbs" not in line and "Insulin," not in line]
    path = written(tmp_path / "jo.csv", "\n".join(lines))
    text = asked(path, "start", protocol="fast(4)")
    assert "when is zero" in text
    assert load_study(path, "fast(4)", start="first").observations["time"].values.tolist() == [0, 35, 65]


# --- workbooks ---


def workbook(path, **sheets):
    """A workbook with the least that a spreadsheet program would read: texts and numbers."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"

    def cell(column, row, value):
        at = f"{chr(65 + column)}{row}"
        if isinstance(value, str):
            return f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>' if value else ""
        return f'<c r="{at}"><v>{value}</v></c>'

    with zipfile.ZipFile(path, "w") as file:
        numbered = list(enumerate(sheets.items(), start=1))
        names = "".join(f'<sheet name="{escape(n)}" sheetId="{i}" r:id="r{i}"/>' for i, (n, _) in numbered)
        links = "".join(
            f'<Relationship Id="r{i}" Type="{office}/worksheet" Target="s{i}.xml"/>' for i, _ in numbered
        )
        parts = "".join(
            f'<Override PartName="/s{i}.xml" ContentType="{kind}.worksheet+xml"/>' for i, _ in numbered
        )
        file.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType="application/'
            'vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/w.xml" ContentType="{kind}.sheet.main+xml"/>{parts}</Types>',
        )
        rel = f'<Relationships xmlns="{package}/relationships">'
        file.writestr(
            "_rels/.rels",
            f'{rel}<Relationship Id="r0" Type="{office}/officeDocument" Target="w.xml"/></Relationships>',
        )
        file.writestr("_rels/w.xml.rels", f"{rel}{links}</Relationships>")
        file.writestr(
            "w.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>'
        )
        for i, (_, rows) in numbered:
            data = "".join(
                f'<row r="{r}">{"".join(cell(c, r, v) for c, v in enumerate(row))}</row>'
                for r, row in enumerate(rows, start=1)
            )
            file.writestr(f"s{i}.xml", f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>')
    return path


def numbered(cell):
    return float(cell) if re.fullmatch(r"\d+(\.\d+)?", cell) else cell


def test_a_workbook_with_a_sheet_an_analyte_and_one_of_people(tmp_path):
    pytest.importorskip("openpyxl", reason="openpyxl, the extra excel, reads workbooks")
    sheets = {}
    for analyte, values in (("glucose", GLUCOSE), ("insulin", INSULIN)):
        rows = [[who, *map(numbered, values[who].values())] for who in "AB"]
        sheets[f"{analyte.title()} {UNITS[analyte].replace('/', ' ')}"] = [["ID", 0, 30, 120], *rows]
    sheets["People"] = [["ID", "Sex", "Weight (kg)"], ["A", "F", 70], ["B", "M", 70]]
    sheets["Read me"] = [["made last year"]]
    with pytest.warns(StudyWarning, match="sheet 'Read me': no table of samples or people"):
        study = load_study(workbook(tmp_path / "trial.xlsx", **sheets), "ogtt(75)")
    assert same(study) and study.covariates["sex"].values.tolist() == ["F", "M"]


def test_a_workbook_with_a_sheet_a_group(tmp_path):
    pytest.importorskip("openpyxl", reason="openpyxl, the extra excel, reads workbooks")
    rows = [[numbered(cell) for cell in line.split(",")] for line in wide_rows().splitlines()]
    path = workbook(tmp_path / "trial.xlsx", T2D=[rows[0], rows[1]], Control=[rows[0], rows[2]])
    study = load_study(path, units=UNITS, **OGTT)
    assert same(study) and study.covariates["group"].values.tolist() == ["T2D", "Control"]
    text = asked(workbook(tmp_path / "bad.xlsx", T2D=[rows[0], [*rows[1][:-1], "high"]]), units=UNITS)
    assert "bad.xlsx, sheet 'T2D', row 2: value 'high' is not a number" in text


def test_a_workbook_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    path = workbook(tmp_path / "trial.xlsx", Sheet=[["id", "G0"], ["A", 5.1]])

    def absent(*_args, **_options):
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(pd, "read_excel", absent)
    with pytest.raises(StudyError, match=r"pip install 'bayesglu\[excel\]'"):
        load_study(path, units=UNITS, **OGTT)


# --- what is no table, and answers that are none ---


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a,b\n1,2\n", "has no form that is known. Found: a, b."),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is no text and no workbook"),
        (b"\xd0\xcf\x11\xe0old", "is a workbook of an old Excel"),
        (b"PK\x03\x04 broken", "is no workbook that can be read|openpyxl is needed"),
        (b"[1, 2]", "is JSON, but no list of entries"),
        (b"[{", "is not JSON"),
        (b"id,G0\n" + b"x" * 140_000 + b",5.1\n", "is not a table of cells"),
        (b"id,G0,G30\n", "has no form that is known"),
        (b"id,time,analyte\n1,0,glucose\n", "has no form that is known"),
    ],
)
def test_what_is_no_table_is_told_in_words(tmp_path, data, sentence):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(StudyError, match=sentence):
        load_study(tmp_path / "x.csv", **OGTT)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"unit": {"glucose": "mg/dL"}}, "has no keyword 'unit'. Did you mean 'units'?"),
        ({"units": "mg/dL"}, "units is 'mg/dL'. Give a mapping"),
        ({"decimal": ";"}, "decimal is ';'. Allowed"),
        ({"decimal": ",", "thousands": ","}, "One sign cannot be both"),
        ({"dates": "ymd"}, "dates is 'ymd'"),
        ({"time_zone": "Berlin"}, "time_zone is 'Berlin'"),
        ({"analytes": {"1": "glukose"}}, "Did you mean 'glucose'?"),
        ({"between": ("2024-05-01",)}, "between is"),
        ({"format": "broad"}, "There is no format 'broad'"),
    ],
)
def test_answers_that_are_none_are_told_at_once(tmp_path, answers, sentence):
    path = written(tmp_path / "wide.csv", wide_rows())
    with pytest.raises(InputError, match=re.escape(sentence)):
        load_study(path, **OGTT, **answers)
    with pytest.raises(InputError, match="is a folder, whose datasheet says how it is read"):
        load_study("bergman1986", units=UNITS)


def test_a_format_that_is_named_must_be_there(tmp_path):
    path = written(tmp_path / "wide.csv", wide_rows())
    for name in set(FORMS) - {"wide"}:
        with pytest.raises(StudyError, match="does not look like"):
            load_study(path, format=name, **OGTT)


FORMS_BY_FILE = [wide_rows(), half_wide(), long_rows(";", True), nonmem(), CLARITY, LIBREVIEW, CARELINK]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_tables_are_read_or_refused_in_words(tmp_path_factory, data):
    text = bytearray(data.draw(st.sampled_from(FORMS_BY_FILE)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        cut = data.draw(st.sampled_from([0, 1, 5]))
        text[at : at + cut] = data.draw(
            st.sampled_from([b"", b",", b";", b"\n", b'"', b"\xff", b"1e400", b"-", b"."])
        )
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(bytes(text))
    answers = {"units": UNITS | {"time": "h"}, **EVENTS, "start": "first", "body_weight": 70}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StudyWarning)
        for options in itertools.islice([answers, OGTT], 1 + data.draw(st.booleans())):
            try:
                assert isinstance(load_study(path, **options), Study)
            except BayesgluError as error:
                assert str(error)
