"""Studies: tidy tables in, checked and in canonical units out."""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bayesglu import atomic
from bayesglu.catalog import locate
from bayesglu.cli.app import app
from bayesglu.errors import InputError
from bayesglu.protocols.library import fast, infusion, ivgtt, ogtt
from bayesglu.protocols.parse import parse_protocol
from bayesglu.study import writer
from bayesglu.study.cells import natural
from bayesglu.study.covariates import covariate_name
from bayesglu.study.datasheet import checksum
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study
from bayesglu.study.tables import ranges
from bayesglu.units import canonical_unit, express

HEADER = "subject,time,analyte,value,unit"
GOOD = f"""{HEADER}
A,-10,glucose,90,mg/dL
A,0,glucose,92,mg/dL
A,60,glucose,150,mg/dL
A,0,insulin,10,uU/mL
A,60,insulin,60,uU/mL
B,0,glucose,5.0,mmol/L
B,60,glucose,8.1,mmol/L
"""
EVENTS = "subject,time,substance,route,amount,unit\nA,0,glucose,oral,75,g\n"
SUBJECTS = "subject,weight_kg,age_y,group\nA,70,30,lean\nB,82.5,41,obese\n"


def folder(path, **files):
    """Write a study folder; ``observations`` and ``subjects`` are good unless given."""
    texts = {"observations": GOOD, "subjects": SUBJECTS, **files}
    path.mkdir(exist_ok=True)
    for name, text in texts.items():
        if text is not None:
            suffix = "toml" if name == "datasheet" else "csv"
            (path / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    return path


def problems(path, protocol="ogtt(75)", **options):
    """All problems that loading finds, as one text."""
    with pytest.raises(StudyError) as caught:
        load_study(path, protocol=protocol, **options)
    assert caught.value.problems, "a StudyError carries its problems"
    return "\n".join(caught.value.problems)


def rows(*lines, path):
    """The problems of a table of observations with these rows, the first of them on line 2."""
    return problems(
        folder(path, observations="\n".join([HEADER, *lines, ""]), subjects=None), protocol="ivgtt(0.3)"
    )


# What comes out of good tables


def test_a_good_folder_is_in_canonical_units_with_the_labels_of_the_user(tmp_path):
    study = load_study(folder(tmp_path / "mine"), protocol="ogtt(75)")
    assert study.name == "mine"
    assert study.subjects == ("A", "B")
    assert study.analytes == ("glucose", "insulin")
    assert study.occasions == (("A", "1"), ("B", "1"))
    assert study.observations["time"].values[0] == -10
    np.testing.assert_allclose(study.observations["value"][[3, 5]], [60.0, 90.08])
    np.testing.assert_array_equal(study.observations["line"], np.arange(2, 9))
    assert study.body_weight.sel(subject="B") == 82.5
    assert study.covariates["weight"].attrs["units"] == "kg"
    assert list(study.covariates["group"].values) == ["lean", "obese"]
    assert study.protocols["A", "1"] == ogtt(75)


def test_subjects_are_in_natural_order_whatever_the_order_of_rows():
    table = pd.DataFrame(
        {"subject": [10, 9, 1], "time": 0, "analyte": "glucose", "value": 90.0, "unit": "mg/dL"}
    )
    assert Study.from_table(table, protocol=fast(1)).subjects == ("1", "9", "10")
    assert sorted(["P10", "P2", "a", "3"], key=natural) == ["3", "P2", "P10", "a"]


def test_times_in_hours_become_minutes(tmp_path):
    text = "subject,time_h,analyte,value,unit\n1,0,glucose,90,mg/dL\n1,1.5,glucose,85,mg/dL\n"
    study = load_study(folder(tmp_path, observations=text, subjects=None), protocol="fast(2)")
    assert list(study.observations["time"].values) == [0, 90]


def test_a_missing_value_is_kept_counted_and_reported(tmp_path):
    text = GOOD.replace("A,60,insulin,60", "A,60,insulin,").replace("B,60,glucose,8.1", "B,60,glucose,NA")
    study = load_study(folder(tmp_path, observations=text), protocol="ogtt(75)")
    assert study.missing == {"glucose": 1, "insulin": 1}
    assert study.observations.sizes["obs"] == 7
    assert study.used.sizes["obs"] == 5
    assert "1 missing" in repr(study)


def test_a_value_beyond_a_limit_of_the_assay_is_censored_at_that_limit(tmp_path):
    text = f"""{HEADER},censoring
1,0,insulin,<2.0,uU/mL,
1,5,insulin,>300,uU/mL,right
1,9,insulin,3,uU/mL,left
"""
    study = load_study(folder(tmp_path, observations=text, subjects=None), protocol="fast(1)")
    assert list(study.observations["censoring"].values) == ["left", "right", "left"]
    np.testing.assert_allclose(study.observations["value"], [12, 1800, 18])
    assert "3 censored" in repr(study)


def test_samples_outside_the_window_of_the_datasheet_are_kept_and_left_out(tmp_path):
    sheet = 'protocol = "ivgtt(0.3)"\n[use.glucose]\nfrom = 10\nalso = [0]\n'
    study = load_study(folder(tmp_path, datasheet=sheet))
    glucose = study.observations.isel(obs=slice(0, 3))
    assert glucose["time"].values.tolist() == [-10, 0, 60]
    assert glucose["use"].values.tolist() == [False, True, True]
    assert study.observations["use"].values[3:5].all(), "the window of glucose says nothing about insulin"


def test_a_column_use_leaves_single_samples_out(tmp_path):
    text = f"{HEADER},use\n1,0,glucose,90,mg/dL,true\n1,2,glucose,350,mg/dL,false\n"
    study = load_study(folder(tmp_path, observations=text, subjects=None), protocol="ivgtt(0.3)")
    assert list(study.used["time"].values) == [0]
    assert "1 left out" in repr(study)


def test_the_datasheet_names_columns_and_units(tmp_path):
    text = "who,minutes,analyte,value\nA,0,glucose,5.0\nA,90,glucose,7.0\n"
    sheet = (
        'protocol = "fast(3)"\n[columns]\nsubject = "who"\ntime = "minutes"\n[units]\nglucose = "mmol/L"\n'
    )
    study = load_study(folder(tmp_path, observations=text, subjects=None, datasheet=sheet))
    np.testing.assert_allclose(study.observations["value"], [90.08, 126.112])


def test_two_occasions_are_two_tests_of_one_person(tmp_path):
    text = f"{HEADER},occasion\n1,0,glucose,90,mg/dL,before\n1,0,glucose,95,mg/dL,after\n"
    path = folder(tmp_path, observations=text, subjects=None)
    study = load_study(path, protocol={"1": {"before": "fast(1)", "after": ivgtt(0.3)}})
    assert study.subjects == ("1",)
    assert study.occasions == (("1", "before"), ("1", "after"))
    assert study.protocols["1", "after"] == ivgtt(0.3)


def test_a_body_weight_given_takes_the_place_of_the_covariate(tmp_path):
    path = folder(tmp_path)
    assert load_study(path, protocol="ogtt(75)", body_weight={"A": 60}).body_weight.values.tolist() == [
        60,
        82.5,
    ]


def test_a_covariate_column_says_its_unit_and_is_converted(tmp_path):
    text = "subject,weight_lb,height_m,hba1c_percent,male,site\nA,150,1.72,5.4,1,x\nB,180,1.8,,0,\n"
    covariates = load_study(folder(tmp_path, subjects=text), protocol="ogtt(75)").covariates
    assert covariates["weight"].values[0] == pytest.approx(68.04, abs=0.01)
    assert covariates["height"].values[0] == pytest.approx(172)
    assert covariates["hba1c"].attrs["units"] == "%"
    assert np.isnan(covariates["hba1c"].values[1])
    assert covariates["male"].values.tolist() == [1, 0]
    assert covariates["site"].values.tolist() == ["x", ""]


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [
        ("weight_kg", "weight", "kg"),
        ("bmi", "bmi", "kg/m2"),
        ("group", "group", ""),
        ("group_m", "group_m", ""),
    ],
)
def test_only_a_suffix_that_is_a_unit_is_stripped(column, name, unit):
    assert covariate_name(column, {}) == (name, unit)


def test_events_say_exactly_what_was_given(tmp_path):
    events = (
        "subject,time,substance,route,amount,unit,duration\n"
        "A,0,glucose,oral,75,g,\nB,0,glucose,intravenous,0.3,g/kg,\nB,20,glucagon,intravenous,3,ng/kg/min,30\n"
        "B,30,glucagon,intramuscular,1,mg,\n"
    )
    study = load_study(folder(tmp_path, events=events))
    assert study.protocols["A", "1"] == ogtt(75)
    given = study.protocols["B", "1"]
    assert given.total()["glucagon", "intravenous", "ng/kg"] == pytest.approx(90)
    assert [event.kind for event in given.events] == ["bolus", "infusion", "release"]


# What is wrong with bad tables


def test_everything_wrong_in_every_file_is_told_at_once(tmp_path):
    bad = (
        f"{HEADER}\nA,0,glukose,90,mg/dL\nA,0,insulin,high,uU/mL\nA,0,glucose,5,mg/dL\nC,0,glucose,90,mg/dL\n"
    )
    text = problems(folder(tmp_path, observations=bad, subjects="subject,weight_kg\nA,heavy\nB,70\n"))
    assert "observations.csv, line 2: unknown analyte 'glukose'. Did you mean 'glucose'?" in text
    assert "observations.csv, line 3: value 'high' is not a number." in text
    assert "observations.csv, line 4: glucose 5 in 'mg/dL'" in text
    assert "subjects.csv, line 2: weight_kg 'heavy' is not a number." in text
    assert "subjects.csv, line 3: subject 'B' has no samples." in text
    assert "C of 2 subjects with samples: not in subjects.csv." in text
    assert "body weight is missing" in text


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1,0,glukagon,90,pg/mL", "line 2: unknown analyte 'glukagon'. Did you mean 'glucagon'?"),
        ("1,0,glucose,90,mg/dl2", "line 2: unknown unit 'mg/dl2' for glucose. Did you mean 'mg/dL'?"),
        ("1,0,glucose,90,", "line 2: glucose has no unit. Known: mg/dL, mmol/L"),
        ("1,0,glucose,n.d.,mg/dL", "line 2: value 'n.d.' is not a number."),
        ('1,0,glucose,"5,4",mmol/L', "line 2: value '5,4' is not a number. Write a decimal point."),
        ("1,0,glucose,inf,mg/dL", "line 2: value 'inf' is not a number."),
        ("1,0,glucose,5.4,mg/dL", "outside the plausible 20 to 1000 mg/dL. Is the unit 'mmol/L'?"),
        ("1,0,glucose,92,mmol/L", "outside the plausible 20 to 1000 mg/dL. Is the unit 'mg/dL'?"),
        ("1,0,c_peptide,2.6,pmol/L", "Is the unit 'ng/mL' or 'nmol/L'?"),
        ("1,0,c_peptide,860,ng/mL", "Is the unit 'pmol/L'?"),
        ("1,0,insulin,60000,uU/mL", "insulin 60000 in 'uU/mL' is outside the plausible 0.5 to 30000 pmol/L."),
        ("1,0,insulin,-3,uU/mL", "line 2: insulin -3 is negative."),
        ("1,0,insulin,0,uU/mL", "insulin is 0. Write '<' and the lower limit of quantification"),
        ("1,noon,glucose,90,mg/dL", "line 2: time 'noon' is not a number."),
        ("1,,glucose,90,mg/dL", "line 2: time is empty."),
        (",0,glucose,90,mg/dL", "line 2: subject is empty."),
        ("1,0,,90,mg/dL", "line 2: analyte is empty."),
        ("1,0,glucose,90", "line 2: 4 cells where the header has 5."),
        ("1,0,glucose,<,mg/dL", "line 2: value is empty."),
    ],
)
def test_each_bad_row_is_named_with_its_line_and_the_likely_fix(tmp_path, row, sentence):
    assert sentence in rows(row, path=tmp_path)


def test_equal_problems_share_a_sentence_that_names_every_line(tmp_path):
    text = rows(
        *(f"1,{t},glucose,{5 + t / 10},mg/dL" for t in (0, 10, 20)), "1,30,glucose,90,mg/dL", path=tmp_path
    )
    assert text.startswith("observations.csv, lines 2-4: glucose 5, 6, 7 in 'mg/dL' is outside")
    assert ranges([9, 2, 3, 4]) == "2-4, 9"


def test_a_repeated_row_names_the_row_it_repeats(tmp_path):
    text = rows("1,0,glucose,90,mg/dL", "1,0,insulin,9,uU/mL", "1,0,glucose,91,mg/dL", path=tmp_path)
    assert "line 4: the same subject, occasion, analyte and time as line 2." in text


def test_unsorted_times_are_an_error_and_not_sorted_silently(tmp_path):
    text = rows("1,20,glucose,90,mg/dL", "1,10,glucose,91,mg/dL", "1,30,glucose,92,mg/dL", path=tmp_path)
    assert "line 3: time 10 after 20 min in one subject, occasion and analyte. Sort the rows" in text
    assert "line 4" not in text


def test_a_censoring_column_must_agree_with_the_value(tmp_path):
    text = f"{HEADER},censoring\n1,0,insulin,<2,uU/mL,right\n1,5,insulin,3,uU/mL,below\n"
    found = problems(folder(tmp_path, observations=text, subjects=None), protocol="fast(1)")
    assert "line 2: the value <2 is censored on the left, the column censoring says 'right'." in found
    assert "line 3: censoring 'below' is not known. Allowed: none, left, right." in found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "observations.csv: is empty."),
        (f"{HEADER}\n", "observations.csv, line 1: has a header and no rows."),
        (
            "subject,time,analyte,valeu,unit\n1,0,glucose,90,mg/dL\n",
            "lacks the column value. Did you mean 'valeu'?",
        ),
        ("subject,time,glucose\n1,0,90\n", "has columns glucose. Write one row per sample"),
        ("subject;time;analyte\n1;0;90\n", "Are the values separated by ';'"),
        (f"{HEADER},unit\n1,0,glucose,90,mg/dL,mg/dL\n", "column 'unit' is there 2 times."),
        (
            f"{HEADER},ocasion\n1,0,glucose,90,mg/dL,1\n",
            "column 'ocasion' is not known. Did you mean 'occasion'?",
        ),
        (
            "subject,time_x,analyte,value,unit\n1,0,glucose,90,mg/dL\n",
            "unknown unit 'x'. Known: min, h, s, d.",
        ),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, text, sentence):
    assert sentence in problems(folder(tmp_path, observations=text, subjects=None), protocol="fast(1)")


def test_a_file_that_is_not_utf8_says_how_to_save_it(tmp_path):
    (tmp_path / "observations.csv").write_bytes(f"{HEADER}\n1,0,insulin,9,\xb5U/mL\n".encode("latin-1"))
    assert "is not UTF-8 text" in problems(tmp_path, protocol="fast(1)")


def test_an_amount_per_person_needs_a_weight_and_one_per_kg_does_not(tmp_path):
    path = folder(tmp_path, subjects=None)
    assert (
        "subject A, subject B: 75 g of glucose is an absolute amount and the body weight is missing"
        in problems(path)
    )
    assert np.isnan(load_study(path, protocol="ivgtt(0.3)").body_weight).all()
    assert "body_weight is 0.07" in problems(path, body_weight=0.07)


def test_an_event_after_the_last_sample_of_its_test_is_an_error(tmp_path):
    text = problems(folder(tmp_path), protocol="ogtt(75) + ivgtt(0.3).shift(90)")
    assert "subject A, subject B: the event at 90 min: glucose 0.3 g/kg intravenous comes after" in text
    assert "the last sample, at 60 min" in text


def test_who_left_early_stays_with_what_there_is_and_a_warning_says_what_has_no_effect(tmp_path):
    protocol = "meal(50) + meal(50).shift(300)"
    stays = [f"S0,{t},glucose,{90 + t / 10},mg/dL" for t in (0, 60, 300, 360)]
    leaves = ["S1,0,glucose,90,mg/dL", "S1,60,glucose,130,mg/dL"]
    path = folder(tmp_path, observations="\n".join([HEADER, *stays, *leaves, ""]), subjects=None)
    with pytest.warns(
        StudyWarning, match="subject S1 has no sample after 60 min; what was given later, from 300 min on"
    ):
        study = load_study(path, protocol=protocol, body_weight=70)
    assert study.subjects == ("S0", "S1") and len(study.protocols["S1", "1"].events) == 2


def test_a_subject_without_events_is_an_error_when_there_is_a_table_of_events(tmp_path):
    events = EVENTS + "AA,0,glucose,oral,75,g\nA,0,sugar,oral,75,g\n"
    text = problems(folder(tmp_path, events=events), protocol=None)
    assert "1 of 2 occasions have no protocol: subject B." in text
    lines = (EVENTS + "AA").count("\n") + 1
    assert f"events.csv, line {lines}: subject AA has no samples." in text
    assert f"events.csv, line {lines + 1}:" in text and "sugar" in text


def test_what_is_wrong_with_events_beside_samples_names_their_lines(tmp_path):
    events = "subject,time,substance,route,amount,unit\nA,0,glucose,oral,75,g\nB,90,glucose,oral,1,g/kg\n"
    text = problems(folder(tmp_path, events=events, subjects=None), protocol=None)
    assert "events.csv, line 2: subject A: 75 g of glucose is an absolute amount and the body weight" in text
    assert "events.csv, line 3: subject B: the event at 90 min" in text and "after the last sample" in text


def test_a_repeated_event_names_the_row_it_repeats(tmp_path):
    events = EVENTS + "B,0,glucose,oral,75,g\nA,0.0,glucose,oral,75,g\nA,5,glucose,oral,75,g\n"
    text = problems(folder(tmp_path, events=events), protocol=None)
    assert text == "events.csv, line 4: the same as line 2. Keep one, or write one row with the sum."
    twice = type(ogtt())(ogtt(30).events + ogtt(30).events)
    study = load_study(folder(tmp_path / "good"), protocol=twice)
    with pytest.raises(StudyError, match="the same twice at one time"):
        study.to_folder(tmp_path / "out")


def test_a_study_must_say_what_was_given_and_only_once(tmp_path):
    assert "has no protocol and no dosing events" in problems(folder(tmp_path), protocol=None)
    events = EVENTS + "B,0,glucose,oral,75,g\n"
    both = folder(tmp_path, events=events, datasheet='protocol = "ogtt(75)"\n')
    assert "both events.csv and the datasheet say what was given" in problems(both, protocol=None)
    assert "ogtt" in problems(folder(tmp_path), protocol="ogt(75)")


def test_a_changed_file_does_not_match_its_checksum(tmp_path):
    path = folder(tmp_path)
    good = checksum((path / "observations.csv").read_bytes())
    folder(tmp_path, datasheet=f'[checksums]\n"observations.csv" = "{good}"\n"lost.csv" = "0"\n')
    text = problems(path)
    assert "names the file 'lost.csv', which is not in the folder" in text and "has changed" not in text
    folder(tmp_path, observations=GOOD.replace("150", "151"))
    assert "observations.csv has changed since its checksum was written" in problems(path)


def test_a_checksum_does_not_depend_on_how_lines_end(tmp_path):
    assert checksum(b"x\ny\n") == checksum(b"x\r\ny\r\n") != checksum(b"x\n")


def test_unknown_entries_of_a_datasheet_are_answered_with_the_nearest(tmp_path):
    text = problems(
        folder(tmp_path, datasheet='titel = "x"\n[units]\nwieght = "kg"\n[use.glucos]\nfrom = 1\n')
    )
    assert "'titel'. Did you mean 'title'?" in text
    assert "'wieght'. Did you mean 'weight'?" in text
    assert "'glucos'. Did you mean 'glucose'?" in text


@pytest.mark.parametrize(
    ("window", "used"), [("until = 0", [-10, 0]), ("from = 0", [0, 60]), ("until = -20\nalso = [60]", [60])]
)
def test_a_window_ends_where_it_says_even_at_zero(window, used, tmp_path):
    path = folder(tmp_path, subjects=None, datasheet=f"body_weight = 70\n[use.glucose]\n{window}\n")
    study = load_study(path, "ogtt(75)").select(subjects=["A"], analytes=["glucose"])
    assert list(study.used.time.values) == used


def test_a_study_passes_through_but_not_with_another_protocol():
    study = load_study("bergman1986")
    assert load_study(study) is study
    with pytest.raises(ValueError, match="A Study has its protocols and body weights already"):
        load_study(study, "ivgtt(0.3)")


def test_a_datasheet_may_widen_what_is_plausible(tmp_path):
    text = f"{HEADER}\n1,0,c_peptide,2.6,pmol/L\n"
    path = folder(
        tmp_path, observations=text, subjects=None, datasheet="[plausible]\nc_peptide = [0.5, 9000]\n"
    )
    with pytest.warns(StudyWarning, match="c_peptide"):
        assert load_study(path, protocol="fast(1)").observations["value"].item() == 2.6


def test_a_folder_that_is_no_study_is_told_by_a_few_of_its_files(tmp_path):
    for i in range(200):
        (tmp_path / f"{i:03d}.txt").touch()
    assert "Found: 000.txt, 001.txt" in (text := problems(tmp_path))
    assert "and 190 more" in text and len(text) < 400


def test_a_misspelt_file_is_not_overlooked(tmp_path):
    path = folder(tmp_path, subjects=None)
    (path / "subject.csv").write_text(SUBJECTS)
    assert "the file 'subject.csv' is not read. Did you mean 'subjects.csv'?" in problems(path)


def test_covariates_are_checked_like_samples(tmp_path):
    text = problems(
        folder(tmp_path, subjects="subject,weight_kg,height_cm,male\nA,70,1.72,2\nA,70,172,1\nB,70,172,1\n")
    )
    assert "line 2: height 1.72 in 'cm' is outside the plausible 40 to 250 cm. Is the unit 'm'?" in text
    assert "line 2: male is 2; it must be 1 or 0." in text
    assert "line 3: subject 'A' is there already." in text


def test_swapped_insulin_units_are_suspected_from_the_fasting_median():
    table = pd.DataFrame({"subject": list("abc"), "time": 0, "analyte": "insulin", "value": [4.0, 5.0, 8.0]})
    with pytest.warns(StudyWarning, match=r"median fasting insulin is 5 pmol/L.*pmol/L and uU/mL confused"):
        Study.from_table(table.assign(unit="pmol/L"), protocol=fast(1))


def test_an_unknown_name_lists_what_is_shipped():
    with pytest.raises(StudyError, match=r"Did you mean 'bergman1986'\? Built-in: .*bergman1986"):
        load_study("bergman198")


# Studies as values


@settings(max_examples=30, deadline=None)
@given(
    glucose=st.lists(st.floats(40, 400), min_size=1, max_size=6),
    insulin=st.lists(st.floats(10, 2000), min_size=1, max_size=6),
)
def test_another_unit_system_gives_the_same_study(glucose, insulin):
    values = {"glucose": (glucose, "mmol/L"), "insulin": (insulin, "mIU/L")}
    ours, theirs = [], []
    for analyte, (series, unit) in values.items():
        for time, value in enumerate(series, start=1):
            ours.append(("1", time, analyte, value, canonical_unit(analyte)))
            theirs.append(("1", time, analyte, express(value, unit, analyte), unit))
    columns = HEADER.split(",")
    one, two = (
        Study.from_table(pd.DataFrame(each, columns=columns), protocol=fast(1)) for each in (ours, theirs)
    )
    np.testing.assert_allclose(one.observations["value"], two.observations["value"], rtol=1e-14)
    assert one == two and hash(one) == hash(two)


def test_a_changed_value_label_order_weight_or_protocol_is_another_study(tmp_path):
    path = folder(tmp_path)
    study = load_study(path, protocol="ogtt(75)")
    assert study == load_study(path, protocol=ogtt(75, unit="g"))
    assert study == load_study(path, protocol=ogtt(75000, unit="mg")), "the same amount in another unit"
    assert study != load_study(path, protocol="ogtt(50)")
    assert study != load_study(path, protocol="ogtt(75)", body_weight=70)
    for old, new in (("150", "151"), ("B,", "C,"), ("A,-10", "A,-9")):
        changed = folder(tmp_path / "other", observations=GOOD.replace(old, new),
                         subjects=SUBJECTS.replace("B,", "C,") if old == "B," else SUBJECTS)  # fmt: skip
        assert study != load_study(changed, protocol="ogtt(75)")


@pytest.mark.parametrize(
    "protocol",
    [
        "ogtt(75)",
        {"A": "ogtt(75)", "B": "fast(4)"},
        {"A": infusion("insulin", 1, "mU/kg/min", 30), "B": parse_protocol("clamp(90, 40)")},
        {"A": type(ogtt())(ogtt(75).events + ivgtt(0.1).events, "my own"), "B": ivgtt(0.3)},
    ],
    ids=["for everyone", "by subject", "infusion and clamp", "without a readable name"],
)
def test_a_study_written_to_a_folder_reads_back_as_an_equal_study(tmp_path, protocol):
    text = GOOD.replace("insulin,60", "insulin,>60").replace("glucose,8.1", "glucose,")
    sheet = 'title = "Tea \\"and\\" sugar"\n[use.glucose]\nfrom = 0\n[plausible]\nc_peptide = [0.5, 9000]\n'
    study = load_study(
        folder(tmp_path / "in", observations=text, datasheet=sheet), protocol, body_weight={"A": 66}
    )
    again = load_study(study.to_folder(tmp_path / "out"))
    assert again == study
    assert again.missing == study.missing
    assert again.datasheet == study.datasheet
    assert again.protocols == study.protocols
    xr.testing.assert_identical(again.covariates, study.covariates)
    xr.testing.assert_allclose(again.body_weight, study.body_weight)
    xr.testing.assert_identical(again.observations.drop_vars("line"), study.observations.drop_vars("line"))


def test_true_parameters_travel_with_a_simulated_study(tmp_path):
    observations = pd.DataFrame(
        {"subject": ["1", "2"], "time": 0, "analyte": "glucose", "value": [90.0, 99.5]}
    )
    truth = pd.DataFrame(
        {"subject": ["1", "2"], "parameter": "basal_glucose", "value": [90.1, 98.7], "unit": "mg/dL"}
    )
    study = Study.from_table(observations.assign(unit="mg/dL"), protocol=fast(1), truth=truth, name="made")
    again = load_study(study.to_folder(tmp_path))
    xr.testing.assert_identical(again.truth, study.truth)
    assert again.truth["basal_glucose"].sel(subject="2").item() == 98.7
    assert again.truth["basal_glucose"].attrs["units"] == "mg/dL"
    assert load_study("bergman1986").truth is None


def test_an_earlier_study_in_the_folder_leaves_no_tables_behind(tmp_path):
    load_study(folder(tmp_path / "in"), protocol="ogtt(75)").to_folder(tmp_path / "out")
    study = load_study("bergman1986")
    assert load_study(study.to_folder(tmp_path / "out")) == study


def test_tables_of_another_origin_are_never_replaced(tmp_path):
    study = load_study("bergman1986")
    raw = folder(tmp_path / "raw")
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    with pytest.raises(InputError, match=r"observations\.csv.* there already"):
        study.to_folder(raw)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    kept = study.to_folder(tmp_path / "kept")
    assert study.to_folder(kept) == kept
    sheet = kept / "datasheet.toml"
    corrected = kept / "observations.csv"
    corrected.write_text(corrected.read_text().replace("\n1,", "\n2,", 1))
    with pytest.raises(InputError, match=r"datasheet\.toml, observations\.csv are there already"):
        study.to_folder(kept)
    for path in (corrected, *kept.glob("s*.csv")):
        path.unlink()
    with pytest.raises(InputError, match=r"datasheet\.toml is there already"):
        study.to_folder(kept)
    sheet.unlink()
    assert load_study(study.to_folder(kept)) == study


def stopped_at(step: int, monkeypatch):
    """Have the process stop where it puts the file of this number into its place."""
    steps = iter(range(step))

    @contextmanager
    def stopping(path):
        with atomic.whole(path) as new:
            yield new
            if next(steps, None) is None:
                raise KeyboardInterrupt

    monkeypatch.setattr(writer, "whole", stopping)


@pytest.mark.parametrize("step", range(5))
def test_a_write_that_is_stopped_is_told_and_can_be_made_again(tmp_path, monkeypatch, step):
    older = load_study(folder(tmp_path / "in"), protocol="ogtt(75)")
    study = load_study("synthetic_ogtt").select(["P01", "P02"])
    older.to_folder(tmp_path / "out"), study.to_folder(tmp_path / "whole")
    assert len([*(tmp_path / "whole").iterdir()]) == 4  # and the datasheet is written twice
    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopped_at(step, stopping)
        study.to_folder(tmp_path / "out")
    if step:
        assert "was not written to its end. Make the call that wrote it" in problems(tmp_path / "out")
    else:
        assert load_study(tmp_path / "out") == older
    (tmp_path / "out" / f"{atomic.UNFINISHED}0a1b2c3d.csv").touch()  # as a killed process leaves it
    assert load_study(study.to_folder(tmp_path / "out")) == study
    assert step == 0 or not any(map(atomic.is_hidden, (tmp_path / "out").iterdir()))


def test_the_first_write_that_is_stopped_leaves_a_folder_to_import_into(tmp_path, monkeypatch):
    study = load_study("bergman1986")
    (tmp_path / "table.csv").write_bytes((study.to_folder(tmp_path / "a") / "observations.csv").read_bytes())
    for step in (0, 1, 2):
        with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
            stopped_at(step, stopping)
            study.to_folder(tmp_path / f"half-{step}")
        words = ["import", str(tmp_path / "table.csv"), "-p", "ivgtt(0.3)", "--body-weight", "70"]
        assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / f"half-{step}")]).exit_code == 0
        assert load_study(tmp_path / f"half-{step}").subjects == study.subjects


def test_a_datasheet_that_was_changed_is_not_replaced(tmp_path):
    study = load_study("bergman1986")
    sheet = study.to_folder(tmp_path) / "datasheet.toml"
    sheet.write_text(sheet.read_text() + "[use.glucose]\nfrom = 8\n")
    with pytest.raises(InputError, match=r"datasheet\.toml is there already, not as written"):
        study.to_folder(tmp_path)
    assert load_study(tmp_path).used.sizes["obs"] < study.used.sizes["obs"]


def test_selecting_people_keeps_what_belongs_to_them(tmp_path):
    study = load_study(folder(tmp_path), protocol="ogtt(75)")
    chosen = study.select(subjects=["B"])
    assert chosen.subjects == ("B",) and chosen.occasions == (("B", "1"),)
    assert set(chosen.observations["subject"].values) == {"B"}
    assert chosen.body_weight.values.tolist() == [82.5]
    assert study.select(analytes=["insulin"]).subjects == ("A",)
    assert study.select() == study
    with pytest.raises(StudyError, match=r"no analyte 'insulins'\. Did you mean 'insulin'\?"):
        study.select(analytes=["insulins"])


def test_a_data_frame_reports_rows_counted_from_one():
    table = pd.DataFrame(
        {"subject": 1, "time": [0, 5], "analyte": "glucose", "value": [90.0, -1.0], "unit": "mg/dL"}
    )
    with pytest.raises(StudyError, match="observations, row 2: glucose -1 is negative"):
        Study.from_table(table, protocol=fast(1))


def test_a_study_shows_itself_as_text_and_as_html(tmp_path):
    study = load_study(folder(tmp_path / "<b>"), protocol="ogtt(75)")
    for word in (
        "2 subjects, 7 samples",
        "-10 to 60 min, mg/dL",
        "in 1 subjects",
        "70 to 82.5 kg",
        "age y",
        "ogtt(75)",
    ):
        assert word in repr(study)
    assert "<table" in study._repr_html_() and "&lt;b&gt;" in study._repr_html_()


def test_columns_that_nobody_reads_are_mentioned(tmp_path):
    text = f"{HEADER},remark\n1,0,glucose,90,mg/dL,tired\n"
    study = load_study(folder(tmp_path, observations=text, subjects=None), protocol="fast(1)")
    assert study.unread == ("remark",) and "remark" in repr(study)


# Real studies


def test_bergman1986_has_the_published_figures_and_leaves_mixing_out_of_a_fit():
    study = load_study("bergman1986")
    table = study.observations.to_dataframe().set_index(["analyte", "time"])
    assert len(table) == 48
    assert table.loc[("glucose", 2), "value"] == 350
    assert table.loc[("insulin", 4), "value"] == pytest.approx(130 * 6.00)
    assert list(table.index[~table["use"]]) == [("glucose", 2), ("glucose", 4), ("glucose", 6)]
    assert study.protocols["1", "1"].total() == {("glucose", "intravenous", "g/kg"): 0.3}
    assert "Pacini" in study.datasheet["source"]


def test_the_simulated_people_are_those_that_their_script_draws_today(tmp_path):
    """Up to the rounding of what was measured: to a whole pmol/L of C-peptide."""
    shipped = locate("study", "synthetic_ogtt")
    shutil.copy(shipped / "make.py", tmp_path)
    subprocess.run([sys.executable, tmp_path / "make.py"], check=True, timeout=300)
    drawn, kept = load_study(tmp_path), load_study("synthetic_ogtt")
    xr.testing.assert_allclose(drawn.truth, kept.truth, rtol=1e-5)
    xr.testing.assert_identical(drawn.covariates, kept.covariates)
    xr.testing.assert_allclose(drawn.observations, kept.observations, rtol=0.01)


def test_another_models_people_are_those_that_their_script_samples_today(tmp_path):
    shipped = locate("study", "dallaman2007_virtual")
    shutil.copytree(shipped, tmp_path / "again")
    (tmp_path / "again" / "observations.csv").unlink()
    subprocess.run([sys.executable, tmp_path / "again" / "make.py"], check=True, timeout=300)
    drawn, kept = load_study(tmp_path / "again"), load_study("dallaman2007_virtual")
    xr.testing.assert_allclose(drawn.observations, kept.observations, rtol=0.01)
    assert kept.observations.analyte.to_series().value_counts()["endogenous_glucose_production"] == 8 * 21


def test_fujita2022_loads_with_a_body_weight_for_everyone(shared_data):
    study = load_study(shared_data / "fujita2022" / "observations.csv", protocol="ogtt(75)", body_weight=62)
    assert study.name == "fujita2022"
    assert study.subjects == tuple(str(n) for n in range(1, 21))
    assert study.summary()["samples"].to_dict() == dict.fromkeys(
        ("glucose", "insulin", "c_peptide", "glucagon"), 280
    )
    first = study.observations.isel(obs=(study.observations["analyte"] == "insulin").values)["value"].values[
        0
    ]
    assert first == pytest.approx(6.1 * 6.00), "the micro sign is read"
    assert set(study.body_weight.values) == {62.0}


def test_ohashi2015_loads_with_its_covariates(shared_data):
    with pytest.warns(
        StudyWarning, match=r"Insulin is 0\.018 of C-peptide .* in subject 92; 0\.035 to 0\.8 is"
    ):
        study = load_study(shared_data / "ohashi2015", protocol=ogtt(75))
    assert len(study.subjects) == 120 and study.observations.sizes["obs"] == 1781
    assert {name: values.attrs.get("units") for name, values in study.covariates.items()} == {
        "male": "1", "age": "y", "height": "cm", "weight": "kg", "bmi": "kg/m2", "group": None,
    }  # fmt: skip
    assert study.body_weight.sel(subject="1").item() == 78.7
    assert set(study.covariates["group"].values) == {"NGT", "IGT", "T2DM"}
    assert study.summary().loc["c_peptide", "subjects"] == 117
