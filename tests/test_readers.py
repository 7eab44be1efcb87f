"""Tables as people have them give the numbers of the long table, or a question that a keyword answers."""

import itertools
import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many_forms import (
    CARELINK,
    CLARITY,
    EVENTS,
    GLUCOSE,
    INSULIN,
    LIBREVIEW,
    LONG,
    OGTT,
    UNITS,
    asked,
    half_wide,
    long_rows,
    nonmem,
    same,
    wide_rows,
    written,
)

from bayesglu.analytes import analytes
from bayesglu.errors import BayesgluError, InputError
from bayesglu.study.readers.clock import moment
from bayesglu.study.readers.forms import FORMS
from bayesglu.study.readers.headers import covariate, measured, only_time
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study

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


def test_when_and_what_may_be_one_word(tmp_path):
    path = written(tmp_path / "t.csv", "Patient,FPG,1hPG,2hPG,FPI,2hPI\n1,92,148,101,48,312\n")
    study = load_study(path, **OGTT, units={"glucose": "mg/dL", "insulin": "pmol/L"})
    samples = study.observations.to_dataframe()
    found = dict(zip(zip(samples["analyte"], samples["time"], strict=True), samples["value"], strict=True))
    expected = {("glucose", 0): 92, ("glucose", 60): 148, ("glucose", 120): 101}
    assert found == expected | {("insulin", 0): 48, ("insulin", 120): 312}


def test_a_column_that_pandas_numbered_is_there_twice(tmp_path):
    path = written(tmp_path / "t.csv", "ID,G0,G30,G30.1,G120\n1,92,148,149,101\n")
    with pytest.raises(StudyError, match=r"column 'G30.1' is probably 'G30' a second time"):
        load_study(path, **OGTT, units={"glucose": "mg/dL"})
    hours = written(tmp_path / "h.csv", "ID,G0,G1,G1.1,G2\n1,92,148,149,101\n")
    study = load_study(hours, **OGTT, units={"glucose": "mg/dL", "time": "h"})
    np.testing.assert_allclose(study.observations["time"].values, [0, 60, 66, 120])


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
    path = written(tmp_path / "wide.csv", "\n".join([*rows, "C,,,,,,,,,", "Mean,5,8,5.6,8,52,20,75,,"]))
    with pytest.warns(StudyWarning) as told:
        study = load_study(path, protocol="ogtt(75)", units=UNITS)
    assert study.body_weight.values.tolist() == [70, 80]
    assert study.covariates["group"].values.tolist() == ["T2D", "ND"]
    words = " ".join(str(warning.message) for warning in told)
    assert "'Mean' is a summary and no person" in words and "column 'Notes': not used" in words
    assert study.subjects == ("A", "B") and "'C' has no value at all" in words


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


def test_two_columns_of_one_moment_and_doses_in_a_wide_table_are_named(tmp_path):
    text = "id,G0,glucose_0,dose_g\nA,5.1,5.2,75\n"
    assert "'G0' and 'glucose_0' are both glucose at 0 min" in asked(
        written(tmp_path / "a.csv", text), units=UNITS
    )
    path = written(tmp_path / "b.csv", text.replace("glucose_0", "G30"))
    with pytest.warns(StudyWarning, match="column 'dose_g': not used. A protocol says what was given"):
        load_study(path, units=UNITS, **OGTT)


def test_a_column_without_any_value_is_named_and_no_sample_is_missing(tmp_path):
    path = written(tmp_path / "wide.csv", "id,G0,G30,G60\nA,5.1,,8.2\nB,5.0,,\n")
    with pytest.warns(StudyWarning, match="nobody has a value of glucose at 30 min"):
        study = load_study(path, units=UNITS, **OGTT)
    assert study.missing == {"glucose": 1} and study.observations.sizes["obs"] == 4


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
    found, time, about = measured(header), only_time(header), covariate(header)
    assert found is None or found.analyte in analytes()
    assert time is None or math.isfinite(time[0])
    assert about is None or all(isinstance(part, str) for part in about)
    moment(header, "dmy")


# --- half-wide and long tables ---


def test_a_half_wide_table_gives_the_numbers_of_the_long_one(tmp_path):
    study = load_study(written(tmp_path / "half.csv", half_wide()), **OGTT)
    assert same(study) and study.datasheet["format"] == "half-wide"
    other = half_wide(("Glc", "Marker 2")).replace("time", "Time (h)")
    other = re.sub(r"(?m)^(\w),(\d+)", lambda row: f"{row[1]},{int(row[2]) / 60:g}", other)
    answers = {"units": UNITS, "analytes": {"Marker 2": "insulin", "Glc": "glucose"}}
    assert same(load_study(written(tmp_path / "other.csv", other), **answers, **OGTT))


def test_every_column_and_row_of_a_half_wide_table_is_used_or_named(tmp_path):
    text = "ID,Subject,time,Date,dose_time,Weight (kg),glucose_mmol_l\n"
    text += "A,x,0,1.2.2024,8:00,70,5.1\nA,x,30,1.2.2024,8:00,,8.2\nMean,,30,,,70,8.2\n"
    with pytest.warns(StudyWarning) as told:
        study = load_study(written(tmp_path / "half.csv", text), "ogtt(75)")
    words = " ".join(str(warning.message) for warning in told)
    assert "'Mean' is a summary" in words and "column 'Subject': not used" in words
    assert list(study.covariates) == ["date", "dose_time", "weight"] and study.subjects == ("A",)
    flagged = written(tmp_path / "flag.csv", text.replace("dose_time", "use"))
    assert "column 'use' says which values do not count" in asked(flagged)


def test_times_without_a_unit_that_may_be_hours_are_asked_about(tmp_path):
    path = written(tmp_path / "hours.csv", "id,time,glucose_mmol_l\nA,0,5.1\nA,0.5,8.2\nA,2,5.6\n")
    assert "are they hours?" in asked(path, "units")
    for unit, last in (("h", 120), ("min", 2)):
        assert load_study(path, units={"time": unit}, **OGTT).observations["time"].values[-1] == last


def test_moments_at_which_nobody_has_a_value_are_no_missing_samples(tmp_path):
    text = "id,time,glucose_mmol_l,insulin_uU_ml\nA,0,5.1,7\nA,5,5.5,\nA,30,,44.5\n"
    study = load_study(written(tmp_path / "half.csv", text), **OGTT)
    assert study.observations.sizes["obs"] == 4 and not any(study.missing.values())


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
        (b"c," * 5000 + b"c\n" + b"1," * 5000 + b"1\n", "has 5001 columns, of at most 4000"),
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


def test_answers_about_what_is_not_in_the_table_are_refused(tmp_path):
    path = written(tmp_path / "wide.csv", wide_rows())
    text = asked(path, units=UNITS | {"glukose": "mg/dL"}, columns={"subject": "idd"}, start={"C": "08:00"})
    assert "units is given for 'glukose', which is not in the table. Did you mean 'glucose'?" in text
    assert "columns says that subject is 'idd': no column." in text
    assert "start is given for 'C', who has no samples." in text


def test_a_format_that_is_named_must_be_there(tmp_path):
    path = written(tmp_path / "wide.csv", wide_rows())
    for name in set(FORMS) - {"wide"}:
        with pytest.raises(StudyError, match="does not look like"):
            load_study(path, format=name, **OGTT)


FORMS_BY_FILE = [wide_rows(), half_wide(), long_rows(";", True), nonmem(), CLARITY, LIBREVIEW, CARELINK]


@settings(max_examples=40, deadline=None)
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
