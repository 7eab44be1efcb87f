"""Tables as people write them: what could be lost or misread in silence is read, refused, or told."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayesglu.hierarchy.design import make_design
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.library import ogtt
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.spec.model import SpecError, load_model
from bayesglu.study.cells import as_number, natural
from bayesglu.study.covariates import covariate_name
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fuzz import SHARES, fuzz

TIMES = (0.0, 30.0, 60.0, 90.0, 120.0)
GLUCOSE = (91.0, 141.0, 155.0, 120.0, 97.0)
INSULIN = (52.0, 310.0, 280.0, 200.0, 90.0)


def table(people="ABC", times=TIMES, **levels) -> pd.DataFrame:
    """An oral test of each person; levels : of each analyte's values, by person."""
    rows = [
        (person, time, analyte, value * levels.get(f"{analyte}_{person}", 1.0) * (1 + 0.05 * i), unit)
        for i, person in enumerate(people)
        for analyte, values, unit in (("glucose", GLUCOSE, "mg/dL"), ("insulin", INSULIN, "pmol/L"))
        for time, value in zip(times, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])


def read(observations=None, protocol="ogtt(75)", body_weight=70.0, **others) -> Study:
    observations = table() if observations is None else observations
    return Study.from_table(observations, protocol=protocol, body_weight=body_weight, **others)


def faults(observations=None, **others) -> str:
    with pytest.raises(StudyError) as caught:
        read(observations, **others)
    return str(caught.value)


def events(*rows, columns="subject time substance route amount unit", **others) -> Study:
    given = pd.DataFrame(rows, columns=columns.split())
    return read(table("A"), protocol=None, events=given, **others)


def given_to(study: Study) -> list[str]:
    (protocol,) = study.protocols.values()
    return list(map(str, protocol.events))


def refused(*rows, **others) -> str:
    with pytest.raises(StudyError) as caught:
        events(*rows, **others)
    return str(caught.value)


# Columns of doses


def test_addl_and_ii_are_further_doses():
    study = events(
        ("A", 0, "glucose", "oral", 50, "g", 1, 60),
        columns="subject time substance route amount unit addl ii",
    )
    assert given_to(study) == ["0 min: glucose 50 g oral", "60 min: glucose 50 g oral"]


def test_ii_is_in_the_unit_of_the_times():
    columns = "subject time_h substance route amount unit addl ii"
    study = events(("A", 0, "glucose", "oral", 50, "g", 2, 0.5), columns=columns)
    assert [event.time for event in study.protocols["A", "1"].events] == [0, 30, 60]


@pytest.mark.parametrize(("addl", "ii"), [(1, 0), (1.5, 60), (-1, 60), (1e9, 1)])
def test_further_doses_that_are_none_are_refused(addl, ii):
    columns = "subject time substance route amount unit addl ii"
    assert "addl is" in refused(("A", 0, "glucose", "oral", 50, "g", addl, ii), columns=columns)


@pytest.mark.parametrize(
    ("amount", "unit", "rate", "rate_unit", "minutes"),
    [(20, "g", 10, "g/h", 120), (600, "mg/kg", 10, "mg/kg/min", 60), (3, "U", 0.05, "U/min", 60)],
)
def test_amount_and_rate_are_an_infusion_of_so_many_minutes(amount, unit, rate, rate_unit, minutes):
    substance = "insulin" if "U" in unit else "glucose"
    row = ("A", 0, substance, "intravenous", amount, unit, rate, rate_unit)
    study = events(row, columns="subject time substance route amount unit rate rate_unit")
    (event,) = study.protocols["A", "1"].events
    assert (event.kind, event.amount, event.unit) == ("infusion", amount, unit)
    assert event.duration == pytest.approx(minutes)


def test_a_rate_needs_a_unit_which_the_datasheet_may_say_and_none_of_the_codes_below_zero():
    columns, row = (
        "subject time substance route amount unit rate",
        ("A", 0, "glucose", "intravenous", 20, "g"),
    )
    assert "rate is 10 and has no unit" in refused((*row, 10), columns=columns)
    assert "rate is -2" in refused((*row, -2), columns=columns)
    assert "both per kg" in refused((*row, 10), columns=columns, datasheet={"units": {"rate": "mg/kg/min"}})
    study = events((*row, 10), columns=columns, datasheet={"units": {"rate": "g/h"}})
    assert study.protocols["A", "1"].duration == pytest.approx(120)
    assert given_to(events((*row, 0), columns=columns)) == ["0 min: glucose 20 g intravenous"]


@pytest.mark.parametrize("route", ["subcutaneous", "rectal", "intramuscular"])
def test_the_route_of_an_infusion_is_followed_or_refused(route):
    columns = "subject time substance route amount unit duration"
    found = refused(("A", 0, "insulin", route, 1, "U/h", 60), columns=columns)
    assert f"route of a infusion is '{route}'" in found or f"route is '{route}'; allowed" in found
    (drink,) = events(("A", 0, "glucose", "oral", 5, "g/min", 15), columns=columns).protocols["A", "1"].events
    assert (drink.route, drink.channel, drink.amount) == ("oral", "stomach", 75)


@pytest.mark.parametrize(
    ("column", "value"), [("bioavailability", 0.5), ("absorption_rate", 0.1), ("emptying", 0.5)]
)
def test_what_an_infusion_has_not_is_refused(column, value):
    columns = f"subject time substance route amount unit duration {column}"
    assert column in refused(("A", 0, "insulin", "intravenous", 1, "U/h", 60, value), columns=columns)


@pytest.mark.parametrize(
    ("written", "route"),
    [("i.v.", "intravenous"), ("IV", "intravenous"), ("s.c.", "subcutaneous"), ("SubQ", "subcutaneous")],
)
def test_routes_may_be_written_as_usual(written, route):
    (found,) = given_to(events(("A", 0, "insulin", written, 5, "U")))
    assert (found,) == tuple(given_to(events(("A", 0, "insulin", route, 5, "U")))) and route in found


@pytest.mark.parametrize(
    ("name", "advice"), [("dose_g", "Call it amount"), ("infusion_rate", "Is it 'rate'?")]
)
def test_an_amount_or_a_rate_by_another_name_is_recognised(name, advice):
    columns = f"subject time substance route {name}"
    found = refused(("A", 0, "glucose", "oral", 75), columns=columns)
    assert f"column '{name}'" in found and advice in found and "absorption_rate" not in found


def test_a_release_has_no_duration():
    row = ("A", 0, "infusion", "insulin", "subcutaneous", 1, "U", 60)
    columns = "subject time kind substance route amount unit duration"
    assert "route" in refused(row, columns=columns)
    assert "duration is 60" in refused(("A", 0, "release", *row[3:]), columns=columns)


@pytest.mark.parametrize(
    ("target", "unit", "mg_dl"), [(5, "mmol/L", 90.08), (90, "mg/dL", 90), (90, "mg/kg", 90), (90, "", 90)]
)
def test_the_target_of_a_clamp_is_in_the_unit_that_stands_there(target, unit, mg_dl):
    columns = "subject time kind substance unit duration target"
    study = events(("A", 0, "clamp", "glucose", unit, 60, target), columns=columns)
    assert study.protocols["A", "1"].events[0].target == pytest.approx(mg_dl)


@pytest.mark.parametrize(
    ("target", "unit"), [(5, "mg/dL"), (0.1, ""), (50000, ""), (90, "mmol/L"), (90, "rectal")]
)
def test_the_target_of_a_clamp_must_be_one_that_can_be_held(target, unit):
    columns = "subject time kind substance unit duration target"
    assert "glucose" in refused(("A", 0, "clamp", "glucose", unit, 60, target), columns=columns)


@pytest.mark.parametrize(
    ("column", "nothing", "something"),
    [
        *(("ss", 0, 1), ("lag", 0, 15), ("alag1", "", 5), ("evid", 1, 4), ("cmt", "", 2)),
        *(("dose_per_kg", 0, 1), ("exclude", 0, 1)),
    ],
)  # fmt: skip
def test_what_a_table_of_doses_cannot_say_is_refused_where_it_is_said(column, nothing, something):
    columns, row = f"subject time substance route amount unit {column}", ("A", 0, "glucose", "oral", 75, "g")
    assert given_to(events((*row, nothing), columns=columns)) == ["0 min: glucose 75 g oral"]
    found = refused((*row, something), columns=columns)
    assert (f"events, row 1: column '{column}'" in found and "nobody reads it" in found) or "evid" in found


def test_an_unknown_column_of_doses_is_named():
    columns, row = "subject time substance route amount unit nurse", ("A", 0, "glucose", "oral", 75, "g", "x")
    with pytest.warns(StudyWarning, match="column 'nurse' is not read"):
        events(row, columns=columns)
    assert events(row, columns=columns, datasheet={"ignore": ["nurse"]}).subjects == ("A",)


# Columns of samples


@pytest.mark.parametrize(
    ("column", "nothing", "something", "advice"),
    [
        ("blq", 0, 1, "'<'"),
        ("BLOQ", "no", "yes", "'<'"),
        ("mdv", 0, 1, "'use'"),
        ("evid", 0, 1, "events.csv"),
        ("exclude", False, True, "'use'"),
        ("flag", "", "H", "'use'"),
        ("valid", 1, 0, "'use'"),
        ("qualifier", "=", "<", "'<'"),
        ("lloq", "", 12, "'<'"),
        ("dose_g", 0, 75, "events.csv"),
        ("BLOQ_flag", 0, 1, "'<'"),
        ("below_LOD", 0, 1, "'<'"),
        ("is_outlier", False, True, "'use'"),
        ("sample flag", "", "x", "'use'"),
        ("LOQ (pmol/L)", "", 12, "'<'"),
    ],
)
def test_a_column_that_marks_samples_is_refused_where_it_marks_any(column, nothing, something, advice):
    marks = [nothing] * 29 + [something]
    found = faults(table().assign(**{column: marks}))
    assert f"observations, row 30: column '{column.lower()}'" in found
    assert advice in found and "'ignore'" in found
    assert read(table().assign(**{column: nothing})).unread == (column.lower(),)
    ignored = read(table().assign(**{column: marks}), datasheet={"ignore": [column]})
    assert ignored.unread == (column.lower(),)


@pytest.mark.parametrize(
    ("column", "meant"),
    [("visit", "'occasion'"), ("weight_kg", "subjects.csv"), ("sex", "subjects.csv"), ("site", "")],
)
def test_a_column_that_is_not_read_is_named_with_what_is_probably_meant(column, meant):
    with pytest.warns(StudyWarning, match=rf"column '{column}' is not read.*{meant}"):
        assert read(table().assign(**{column: 1})).unread == (column,)


@pytest.mark.parametrize(("missing", "called"), [("value", "dv"), ("subject", "id"), ("analyte", "dvid")])
def test_a_column_by_another_of_its_usual_names_is_recognised(missing, called):
    found = faults(table().rename(columns={missing: called.upper()}))
    assert f"lacks the column {missing}. Is {missing!r} the column {called!r}?" in found


def test_what_is_to_be_ignored_must_be_there():
    assert "no table has the column 'lloqq'" in faults(datasheet={"ignore": ["lloqq"]})


# Times


@pytest.mark.parametrize("per_hour", [1.0, 0.5])
def test_hours_in_a_column_of_minutes_are_suspected(per_hour):
    hours = tuple(t / 60 * per_hour for t in TIMES)
    with pytest.warns(
        StudyWarning, match=r"within \d min after the dose. Is the time in h.*time_h.*\"times\""
    ):
        read(table(times=hours))
    read(table(times=hours), datasheet={"checked": ["times"]})


def test_a_window_that_holds_nothing_is_told():
    window = {"use": {"insulin": {"from": 480, "until": 600, "also": [481]}}}
    with (
        pytest.warns(StudyWarning, match="leaves out every sample of insulin: they lie 0 to 120 min from"),
        pytest.warns(StudyWarning, match="also names 481 min, at which nothing was sampled"),
    ):
        read(datasheet=window)
    found = faults(datasheet={"use": {"insulin": {"from": 60, "until": 30}}})
    assert "[use.insulin] begins at 60 and ends at 30 min" in found


def test_a_fast_in_hours_is_suspected():
    with pytest.warns(StudyWarning, match="within 60 min after the dose. Is the time in h"):
        read(table(times=(0, 12, 24, 36, 60)), protocol="fast(60)")


def test_minutes_in_a_column_of_hours_are_suspected():
    with pytest.warns(StudyWarning, match="more than a day after the last one. Is the time in min, not in h"):
        read(table().rename(columns={"time": "time_h"}))


def test_one_persons_hours_are_suspected_among_the_minutes_of_others():
    both = pd.concat([table("AB"), table("C", times=tuple(t / 60 for t in TIMES))])
    with pytest.warns(StudyWarning, match="samples of subject C end within.*in hours"):
        read(both)


def test_minutes_since_midnight_are_suspected():
    with pytest.warns(StudyWarning, match=r"first sample comes 480 min after the dose.*midnight.*shift"):
        read(table(times=tuple(t + 480 for t in TIMES)))
    read(table(times=tuple(t + 480 for t in TIMES)), protocol="ogtt(75).shift(480)")


def test_seconds_are_suspected():
    with pytest.warns(StudyWarning, match="end 7200 min after the dose.*in s, not in min.*time_s"):
        read(table(times=tuple(t * 60 for t in TIMES)))


def test_a_time_of_day_without_a_colon_is_no_minute():
    times = ("0800", "0830", "0900", "0930", "1000")
    found = faults(table("A", times=times))
    assert "time '0800', '0830', '0900' and 1 more looks like a time of day" in found


@pytest.mark.parametrize("time", ["1e300", "-1e300", "1732000000"])
def test_a_time_that_no_test_has_is_refused(time):
    found = faults(table("A").astype({"time": object}).replace({"time": {120.0: time}}))
    assert "is no time of a test" in found
    given = ("A", float(time), "glucose", "oral", 75, "g")
    assert "is no time of a test" in refused(given)


def test_a_test_of_days_and_a_long_fast_are_no_slip():
    fasting = table("A", times=(0.0, 600.0, 1200.0, 2400.0, 3600.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(fasting, protocol="fast(60)").analytes == ("glucose", "insulin")
        assert read(table("A"), protocol="fast(2)").subjects == ("A",)


def test_people_who_left_early_stay_in_and_are_told():
    day = table("AB", times=(0.0, 60.0, 240.0, 300.0, 540.0))
    left = day[(day.subject == "A") | (day.time <= 60)]
    with pytest.warns(
        StudyWarning, match="subject B has no sample after 60 min; what was given later, from 300"
    ):
        study = read(left, protocol="meal(50) + meal(50).shift(300)")
    assert study.subjects == ("A", "B") and make_design(load_model("oral"), study).n_obs == len(left)
    fasting = day[(day.subject == "A") | (day.time < 0)]
    early = pd.concat([fasting, table("B", times=(-10.0, -8.0, -6.0, -4.0, -2.0))])
    with pytest.warns(StudyWarning, match="subject B has no sample after -2 min"):
        read(early, protocol="meal(50) + meal(50).shift(300)")
    assert "comes after the last sample" in faults(day, protocol="meal(50) + meal(50).shift(900)")


# Doses, units and weights


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ("ivgtt(25)", r"25 g/kg of intravenous glucose is outside .*0\.05 to 2 g/kg.*'g'"),
        ("ivgtt(0.3, unit='g')", r"0\.3 g of intravenous glucose .*'g/kg'"),
        ("ogtt(1.75)", r"1\.75 g of oral glucose .*'g/kg'"),
        ("ogtt(75000)", r"7\.5e\+04 g of oral glucose .*'mg'"),
        (
            "ivgtt(0.3) + injection('insulin', 30, 'U/kg').shift(20)",
            "30 U/kg of intravenous insulin.*'U'",
        ),
        ("injection('glucagon', 1, 'g', route='intramuscular')", ""),
        ("ivgtt(0.3) + infusion('insulin', 40, 'mU/kg/min', 60)", "40 mU/kg/min of insulin is outside"),
        ("infusion('glucose', 150, 'mg/kg/min', 60)", "150 mg/kg/min of glucose"),
    ],
)
def test_a_dose_that_nobody_is_given_is_told_with_the_likely_unit(protocol, told):
    if not told:
        assert "Unknown unit 'g'" in faults(protocol=protocol)
        return
    with pytest.warns(StudyWarning, match=rf"subject A, B, C: {told}.*checked = \[\"doses\"\]"):
        read(protocol=protocol)
    read(protocol=protocol, datasheet={"checked": ["doses"]})


@pytest.mark.parametrize(
    "protocol",
    [
        "ogtt(75)", "ogtt(1.75, unit='g/kg')", "ivgtt(0.3)", "ivgtt(25, unit='g')", "meal(20)", "ogtt(0)",
        "clamp(90, 60, insulin_rate=1, priming=5)", "pancreatic_clamp(duration=60)", "pump_stop(0.5)",
        "injection('glucagon', 1, 'mg', route='intramuscular')", "infusion('glucagon', 3, 'ng/kg/min', 60)",
        "injection('insulin', 6, 'U', route='subcutaneous')", "isoglycaemic([0, 60], [90, 120])",
    ],
)  # fmt: skip
def test_usual_doses_are_not_mentioned(protocol):
    assert read(protocol=protocol).subjects == ("A", "B", "C")


def test_one_person_in_another_unit_is_told():
    with pytest.warns(
        StudyWarning, match=r"insulin of subject B is 1/6\.\d that of the others.*uU/mL.*\"units\""
    ):
        read(table("ABCD", insulin_B=1 / 6))
    read(table("ABCD", insulin_B=1 / 6), datasheet={"checked": ["units"]})
    read(table("ABCD", insulin_B=0.5)), read(table("ABCD", insulin_B=1.8))


def test_among_people_who_differ_by_half_most_are_told_who_are_in_another_unit():
    """Insulin at the quantiles of a log-normal distribution; each of twelve people in turn is too low."""
    people, step = "ABCDEFGHIJKL", (np.arange(12) + 0.5) / 12
    levels = np.exp(np.log(1.5) * norm.ppf(step)) / (1 + 0.05 * np.arange(12))  # as `table` has it
    named = 0
    for one in (None, *people):
        scaled = {f"insulin_{s}": x / (6 if s == one else 1) for s, x in zip(people, levels, strict=True)}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            read(table(people, **scaled))
        said = [str(w.message) for w in told if "insulin of subject" in str(w.message)]
        assert len(said) <= 1 and all(f"subject {one} is 1/" in sentence for sentence in said)
        named += len(said)
    assert named >= 9


@pytest.mark.filterwarnings("ignore:.*Were the units of these people confused")
def test_a_site_in_another_unit_is_told():
    levels = {"insulin_A": 0.6, "insulin_C": 1.4, "insulin_D": 0.1, "insulin_E": 0.16, "insulin_F": 0.25}
    where = pd.DataFrame({"subject": list("ABCDEF"), "site": ["x"] * 3 + ["y"] * 3})
    with pytest.warns(StudyWarning, match=r"insulin where site is x is 5\.\d times that elsewhere.*uU/mL"):
        read(table("ABCDEF", **levels), subjects=where)
    assert read(table("ABCDEF", insulin_A=0.6, insulin_F=1.4), subjects=where).analytes


def test_half_of_the_people_in_another_unit_are_told():
    with pytest.warns(StudyWarning, match="insulin of subject D, E, F is"):
        read(table("ABCDEF", insulin_D=1 / 6, insulin_E=1 / 6, insulin_F=1 / 6))


def test_insulin_and_c_peptide_of_one_sample_tell_a_wrong_unit():
    def with_c_peptide(insulin, factor=1.0):
        rows = insulin[insulin.analyte == "insulin"]
        return pd.concat([insulin, rows.assign(analyte="c_peptide", value=rows.value * 8 * factor)])

    read(with_c_peptide(table()))
    low = {f"insulin_{person}": 1 / 4 for person in "ABC"}
    wrong = with_c_peptide(table()).query("analyte == 'c_peptide'")
    with pytest.warns(StudyWarning, match=r"Insulin is 0\.031 of C-peptide.*subject A, B, C;.*uU/mL"):
        read(pd.concat([table(**low), wrong]), protocol="fast(2)")


def test_everyone_in_another_unit_is_told_by_the_peak():
    with pytest.warns(StudyWarning, match=r"median insulin is 10\.9 pmol/L fasting and .* at its peak"):
        read(table(**{f"insulin_{person}": 0.2 for person in "ABC"}))


def test_weights_in_pounds_are_suspected():
    with pytest.warns(StudyWarning, match="median body weight is 165 kg. Are the weights in lb"):
        read(body_weight=165)
    people = pd.DataFrame({"subject": list("ABC"), "weight_kg": 121.0, "height_cm": 170.0, "bmi": 19.0})
    with pytest.warns(StudyWarning, match=r"do not go together.*Is the weight in lb"):
        read(body_weight=None, subjects=people)


# People and covariates


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("weight (kg)", "weight", "kg"),
        ("body mass index", "bmi", "kg/m2"),
        ("bmi (kg/m2)", "bmi", "kg/m2"),
        ("bmi [kg/m^2]", "bmi", "kg/m^2"),
        ("bmi_kgm2", "bmi", "kg/m2"),
        ("hba1c (mmol/mol)", "hba1c", "mmol/mol"),
        ("age (years)", "age", "y"),
        ("wt", "weight", "kg"),
        ("height, cm", "height", "cm"),
        ("weightkg", "weight", "kg"),
        ("a/b", "a_b", ""),
    ],
)
def test_the_header_of_a_covariate_says_its_unit_and_becomes_a_name_that_can_be_kept(header, name, unit):
    assert covariate_name(header, {}) == (name, unit)


def people(**columns) -> pd.DataFrame:
    return pd.DataFrame({"subject": list("ABC"), **columns})


def test_covariates_with_units_in_their_headers_are_those_of_the_models():
    study = read(
        body_weight=None, subjects=people(**{"Weight (kg)": [60, 70, 80], "BMI (kg/m2)": [22, 27, 33]})
    )
    assert study.body_weight.values.tolist() == [60, 70, 80]
    design = make_design(load_model("oral_cpeptide"), study)
    assert {acting.key for acting in design.individuals.effects} == {"bmi"}


@pytest.mark.parametrize(
    "level",
    [
        *("Type 2", "type 2 diabetes", "DM2", "diabetic", "t2d", "T2", "Typ 2", "tipo II", "DM II"),
        *("diabetes mellitus type 2", "Diabète de type 2", "type_2"),
    ],
)
def test_a_usual_spelling_of_a_level_is_told(level):
    study = read(subjects=people(group=["NGT", level, level]))
    with pytest.warns(StudyWarning, match=rf"The group '{level}' is none .* If 'T2D' is meant"):
        make_design(load_model("oral"), study)
    legend = {"legend": {"group": {level: "T2D", "NGT": "NGT"}}}
    design = make_design(
        load_model("oral"), read(subjects=people(group=["NGT", level, level]), datasheet=legend)
    )
    assert "group:T2D" in {acting.key for acting in design.individuals.effects}


@pytest.mark.parametrize("level", ["type 1 diabetes", "Typ 1", "DM1", "typical", "obese"])
def test_another_level_is_taken_for_none_that_a_model_knows(level):
    with pytest.warns(
        StudyWarning, match=rf"No group of the study \({level}\) is one that the model 'oral' knows"
    ):
        make_design(load_model("oral"), read(subjects=people(group=[level] * 3)))


@pytest.mark.parametrize("name", ["weight_unit", "Wt. units", "bmi_units"])
def test_a_unit_in_a_column_of_its_own_is_not_overlooked(name):
    found = faults(subjects=people(weight=[150, 160, 170]).assign(**{name: "lb"}), body_weight=None)
    assert f"column '{name.lower()}' is a unit, and nobody reads it" in found


def test_a_unit_in_a_column_of_its_own_may_be_ours():
    study = read(subjects=people(weight=[60, 70, 80]).assign(weight_unit="kg"), body_weight=None)
    assert study.body_weight.values.tolist() == [60, 70, 80]


def test_a_dose_in_the_table_of_people_is_told():
    with pytest.warns(StudyWarning, match=r"column 'glucose dose \(g\)' is taken for a covariate"):
        read(subjects=people(**{"Glucose dose (g)": [75, 75, 50]}))


@pytest.mark.parametrize("codes", [[0, 1, 1], ["0", "1", "1"], [0.0, 1.0, 1.0]])
def test_codes_have_a_legend_or_are_told(codes):
    with pytest.warns(StudyWarning, match=r"No group of the study \(0, 1\) is one that.*\[legend.group\]"):
        make_design(load_model("oral"), read(subjects=people(group=codes)))
    legend = {"legend": {"group": {"0": "NGT", "1": "T2D"}}}
    study = read(subjects=people(group=codes), datasheet=legend)
    assert study.covariates["group"].values.tolist() == ["NGT", "T2D", "T2D"]
    assert "group '1' is not in" in faults(
        subjects=people(group=codes), datasheet={"legend": {"group": {"0": "NGT"}}}
    ).replace("group 1 ", "group '1' ")


@pytest.mark.parametrize("words", [["m", "f", "F"], ["yes", "no", "No"], [True, False, False]])
def test_male_may_be_written_in_words(words):
    assert read(subjects=people(male=words)).covariates["male"].values.tolist() == [1, 0, 0]
    assert "male 'x' is not a number" in faults(subjects=people(male=["m", "f", "x"]))


def test_units_and_doses_are_no_covariates():
    assert "Write it in the header, as in weight_kg" in faults(
        subjects=people(weight=70, weight_unit=["kg", "lb", "kg"])
    )
    with pytest.warns(StudyWarning, match="column 'dose_g' is taken for a covariate. Doses stand in events"):
        read(subjects=people(dose_g=75))


def test_covariates_that_no_effect_is_of_are_told():
    with pytest.warns(
        StudyWarning, match="No effect of the model 'oral' is of age, smoker; it has effects of"
    ):
        make_design(load_model("oral"), read(subjects=people(age_y=[30, 40, 50], smoker=["y", "n", "n"])))


def test_a_half_numeric_covariate_is_no_text():
    found = faults(subjects=people(hba1c=["5,4", "5,9", "6.1"]))
    assert "hba1c '5,4', '5,9' is not a number. Write a decimal point." in found
    with pytest.warns(StudyWarning, match="1 of 3 values of the covariate 'centre' look like numbers"):
        read(subjects=people(centre=["x", "3", "y"]))


def test_labels_are_no_missing_values_and_sort_alike_at_every_start():
    named = table("AB").replace({"subject": {"A": "NA", "B": "null"}})
    assert read(named).subjects == ("NA", "null")
    with pytest.warns(StudyWarning, match="'01' and '1' differ in zeros"):
        assert read(table("AB").replace({"subject": {"A": "1", "B": "01"}})).subjects == ("01", "1")
    assert sorted(["1", "01", "2", "001"], key=natural) == ["001", "01", "1", "2"]


def test_tests_whose_labels_join_alike_are_refused():
    one, other = table("A").assign(occasion="b/c"), table("A").assign(subject="A/b", occasion="c")
    assert "are both 'A/b/c' in a fit" in faults(pd.concat([one, other]))
    other = other.assign(occasion="1")
    assert "subject 'A/b' looks like an occasion of subject 'A' in a fit" in faults(pd.concat([one, other]))


CODE = """
import warnings, pandas as pd, bayesglu as bg
warnings.simplefilter("ignore")
rows = [(s, t, "glucose", v, "mg/dL") for s in ("1", "01", "a") for t, v in ((0, 90.0), (60, 140.0))]
table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
given = {"1": "ogtt(75)", "01": "meal(60)", "a": "ogtt(50)"}
study = bg.Study.from_table(table, protocol=given, body_weight=70)
print(study.subjects, study.hash)
try:
    sheet = {"units": {"b": "1", "c": "1", "d": "1"}, "ignore": ["e", "f", "g"]}
    sheet["plausible"] = {"h": [1, 2], "i": [1, 2]}
    bg.Study.from_table(table.assign(x=1, lag=2), protocol="ogtt(75)", datasheet=sheet)
except bg.StudyError as error:
    print(error)
"""


@pytest.mark.long
def test_nothing_depends_on_the_seed_of_pythons_hashes():
    run, said = [sys.executable, "-c", CODE], []
    for seed in ("1", "5"):
        seeded = {**os.environ, "PYTHONHASHSEED": seed}
        said.append(subprocess.run(run, env=seeded, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1] and "('01', '1', 'a')" in said[0]


# Tables from memory


def test_a_table_from_memory_gets_every_check_of_a_file(tmp_path):
    base = table("A")
    assert "column 'time' is there 2 times" in faults(base.assign(Time=base.time / 60))
    assert "column 'value' is there 2 times" in faults(pd.concat([base, base[["value"]]], axis=1))
    assert read(base.set_index("subject")) == read(base)
    assert "is empty" in faults(pd.DataFrame())
    visits = pd.concat([base.assign(visit=1), base.assign(visit=2)])
    assert "column 'occasion'. Is it the column 'visit'?" in faults(visits)
    assert "several rows" in faults(pd.concat({"x": base}, axis=1))
    assert "is no table" in faults([1, 2]) and "is no table" in faults({"subject": [1, 2], "time": [0]})
    columns = {name: base[name].tolist() for name in base}
    assert read(columns) == read(base)
    base.to_csv(tmp_path / "observations.csv", index=False)
    assert load_study(tmp_path / "observations.csv", protocol="ogtt(75)", body_weight=70) == read(base)


def test_a_frame_of_polars_is_a_table():
    polars = pytest.importorskip("polars")
    assert read(polars.DataFrame({name: table()[name].tolist() for name in table()})) == read()


def test_spans_of_time_are_minutes_and_dates_are_told_how():
    spans = table("A").assign(time=lambda rows: pd.to_timedelta(rows.time, unit="min"))
    assert read(spans) == read(table("A"))
    dated = table("A").assign(
        time=lambda rows: pd.Timestamp("2024-03-31") + pd.to_timedelta(rows.time, unit="min")
    )
    assert "Is it a time of day, or a date? Write the minutes from the dose." in faults(dated)
    assert "minutes from the dose" in faults(table("A").assign(time="08:30"))


def test_weights_of_a_series_are_by_subject_and_a_key_that_is_no_occasion_is_told():
    assert read(body_weight=pd.Series({"A": 60, "B": 70, "C": 80.0})).body_weight.values.tolist() == [
        60,
        70,
        80,
    ]
    assert "the key () is no (subject, occasion)" in faults(protocol={(): "ogtt(75)"})
    assert "body_weight is 'heavy'" in faults(body_weight="heavy")


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("1,234", "Is the comma a mark between thousands? Write none. Is it a decimal comma? Write a point."),
        ("1'234", "without marks between thousands"),
        ("5,4", "Write a decimal point."),
        ("9_0", ""),
        ("٣", ""),
    ],
)
def test_a_number_in_another_notation_is_asked_about(cell, advice):
    values = table("A").value.astype(object)
    values[3] = cell
    found = faults(table("A").assign(value=values))
    assert f"observations, row 4: value {cell!r} is not a number" in found and advice in found


def test_numbers_are_written_as_everyone_writes_them():
    assert [as_number(cell) for cell in ("5", "-5.", ".5e1", "+1e-2")] == [5, -5, 5, 0.01]
    assert all(np.isnan([as_number(cell) for cell in ("1_0", "0x10", "inf", "1e999", "nan", "", "1 2", "½")]))


# What no file should hold


HUGE, DEEP = "9" * 400, "[" * 1200 + "]" * 1200
PARAMETER = 'extends = "oral"\n[parameters.insulin_sensitivity]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"a = {DEEP}", "nested too deeply"),
        ("a = " + "9" * 5000, "a number has thousands of digits"),
        (".".join("a" * 3000) + " = 1", "nested too deeply"),
        (f"{PARAMETER}typical = {{median = {HUGE}, gsd = 2.0}}", "median is a number of too many digits"),
        (f"{PARAMETER}typical = {{median = 1e308, gsd = 2.0}}", "median is 1e+308"),
        (f"{PARAMETER}level = [[1]]", "level must be a text"),
        (f'{PARAMETER}level = "fixed"\ntypical = "x"', "must be a table"),
        ('extends = "oral"\n[parameters]\ninsulin_sensitivity = "x"', "must be a table"),
        ('extends = "oral"\n[analytes.glucose]\noutput = [1]', "output must be a text"),
        ('extends = "oral"\n[analytes.glucose]\nresidual = []', "residual must be a text"),
        ('extends = "' + "a" * 300 + '.toml"', "there is no such file"),
    ],
)
def test_a_model_file_that_cannot_be_followed_is_answered_in_words(text, told, tmp_path):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_model(tmp_path / "m.toml")
    assert told in str(caught.value) and len(str(caught.value)) < 3000


def test_parents_that_are_no_text_or_far_too_many_are_told(tmp_path):
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    (tmp_path / "m.toml").write_text('extends = "latin.toml"')
    with pytest.raises(SpecError, match=r"'latin\.toml', which is not UTF-8 text"):
        load_model(tmp_path / "m.toml")
    for n in range(60):
        (tmp_path / f"{n}.toml").write_text(f'extends = "{n + 1}.toml"')
    with pytest.raises(SpecError, match="a chain of more than 50 files"):
        load_model(tmp_path / "0.toml")
    with pytest.raises(SpecError):
        load_model("a" * 300)


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        (f"protocol = {DEEP}", "nested too deeply"),
        (f"body_weight = {HUGE}", "a number of too many digits"),
        ("body_weight = " + "9" * 5000, "a number has thousands of digits"),
        (f"[plausible]\nglucose = [1, {HUGE}]", "must be a list of numbers"),
        ('[checksums]\n"../../etc/passwd" = "x"', "a checksum is of a file in the folder itself"),
        ('checked = ["dose"]', "Did you mean 'doses'?"),
    ],
)
def test_a_datasheet_that_cannot_be_followed_is_answered_in_words(sheet, told, tmp_path):
    table("A").to_csv(tmp_path / "observations.csv", index=False)
    (tmp_path / "datasheet.toml").write_text(sheet)
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path, protocol="ogtt(75)")
    assert told in str(caught.value) and len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "subject,time,analyte,value,unit\nA,0,glucose," + "9" * 140_000 + ",mg/dL\n",
            "cannot be read as CSV",
        ),
        ('subject,time,analyte,value,unit\nA,0,glucose,90,"mg/dL\nA,5,glucose,91,mg/dL\n', "quotation mark"),
        (",".join(f"c{n}" for n in range(200_000)) + "\n" + "1," * 199_999 + "1\n", "has 200000 columns"),
        ("s\0u\0b\0,\0t\0", "is not UTF-8 text"),
        ("subject,time,analyte,value,unit,\nA,0,glucose,90,mg/dL,x\n", "column 6 has no name"),
    ],
)
def test_a_table_that_cannot_be_followed_is_answered_in_words(text, told, tmp_path):
    (tmp_path / "observations.csv").write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path, protocol="fast(1)")
    assert told in str(caught.value) and len(str(caught.value)) < 3000


@pytest.mark.parametrize("first", [0, 1])
def test_rows_that_a_program_counted_are_no_column(first, tmp_path):
    rows = "".join(f"{n + first},A,{n},glucose,90,mg/dL\n" for n in range(3))
    (tmp_path / "o.csv").write_text(f",subject,time,analyte,value,unit\n{rows}")
    assert load_study(tmp_path / "o.csv", protocol="fast(1)").unread == ()


def test_labels_of_thousands_of_digits_and_true_parameters_called_subject():
    assert read(table("A").assign(subject="7" * 5000)).subjects == ("7" * 5000,)
    truth = pd.DataFrame({"subject": list("ABC"), "parameter": "subject", "value": 1.0, "unit": "1"})
    assert "the parameter cannot be called 'subject'" in faults(truth=truth)


def test_a_column_without_a_name_and_content_is_the_end_of_a_line(tmp_path):
    (tmp_path / "o.csv").write_text("subject,time,analyte,value,unit,\nA,0,glucose,90,mg/dL,\n")
    assert load_study(tmp_path / "o.csv", protocol="fast(1)").subjects == ("A",)


@pytest.mark.parametrize(
    "text",
    [
        "ogtt(" + "9*" * 9000 + "9)",
        "9*" * 9000 + "9",
        "1" * 5000,
        "ogtt(75)" + "+ogtt(75)" * 2000,
        "(" * 300 + ")" * 300,
    ],
)
def test_an_endless_protocol_is_answered_in_words(text):
    with pytest.raises(ProtocolError) as caught:
        parse_protocol(text)
    assert len(str(caught.value)) < 1000


def test_a_protocol_of_thousands_of_steps_is_read_at_once():
    assert len(parse_protocol(f"stepped_clamp([{','.join(['90'] * 3000)}])").events) == 3001, (
        "and the insulin"
    )


def test_a_fast_that_events_cannot_hold_is_not_written_away(tmp_path):
    mine = Protocol(ogtt(75).shift(60).events, "my own", since=0.0)
    with pytest.raises(StudyError, match="a protocol with a fast"):
        read(protocol=mine, datasheet={"checked": ["units"]}).to_folder(tmp_path)


def test_damaged_and_mistaken_input_is_read_told_or_refused_and_never_anything_else():
    fuzzer = fuzz(60, first=10_000)
    assert set(fuzzer.found) == set(SHARES) and fuzzer.found["observations.csv"]["refused"] > 3
    assert fuzzer.odd == []
