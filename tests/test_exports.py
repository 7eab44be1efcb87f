"""Event tables, exports of devices and workbooks give the numbers of the long table."""

import json
import re
import zipfile
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pytest
from many_forms import (
    CARELINK,
    CLARITY,
    ENTRIES,
    EVENTS,
    GLUCOSE,
    INSULIN,
    LIBREVIEW,
    OGTT,
    TREATMENTS,
    UNITS,
    asked,
    nonmem,
    same,
    wide_rows,
    written,
)

from bayesglu.study.study import StudyError, StudyWarning, load_study

# --- event tables ---


def test_an_event_table_gives_the_numbers_of_the_long_one(tmp_path):
    path = written(tmp_path / "nonmem.csv", nonmem())
    study = load_study(path, units=UNITS | {"time": "h"}, **EVENTS)
    assert same(study) and study.datasheet["format"] == "nonmem"
    assert study.body_weight.values.tolist() == [70, 70]
    assert load_study(study.to_folder(tmp_path / "kept")) == study
    assert asked(path, "units", "analytes", "doses", protocol=None).count("Say ") == 3
    with pytest.warns(StudyWarning, match="2 doses: a protocol is given instead"):
        assert same(load_study(path, "ogtt(75)", units=UNITS | {"time": "h"}, analytes=EVENTS["analytes"]))


def events(path, text, **options):
    answers = {"units": {"time": "min", "glucose": "mg/dL"}, "analytes": {"DV": "glucose"}, "body_weight": 70}
    study = load_study(written(path / "events.csv", text), **(answers | {"doses": "iv glucose g"} | options))
    return {occasion: protocol.events for occasion, protocol in study.protocols.items()}


def test_rates_and_additional_doses_are_written_out(tmp_path):
    text = "id,time,amt,rate,addl,ii,dv\n1,0,20,10,0,0,.\n1,0,,,,,90\n1,4,,,,,95\n"
    [event] = events(tmp_path, text, units={"time": "h", "glucose": "mg/dL"})["1", "1"]
    assert (event.kind, event.amount, event.duration) == ("infusion", 20, 120)
    text = "id,time,amt,addl,ii,dv\n1,0,50,2,240,.\n1,0,,,,90\n1,600,,,,95\n"
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
    assert load_study(study.to_folder(tmp_path / "kept")) == study
    assert "plasma glucose" in study.datasheet["note"] and "Doe" not in repr(study)


def test_part_of_an_export_with_a_protocol_and_a_zero_of_its_own(tmp_path):
    text = CLARITY.replace("4,2024-05-02T08:00:00,Carbs,,,,iOS G7,,,60,,,,\n", "")
    path = written(tmp_path / "jo.csv", text)
    part = ("2024-05-02 08:00", "2024-05-02 10:00")
    with pytest.warns(StudyWarning) as told:
        study = load_study(path, "meal(60)", body_weight=70, start="2024-05-02 08:10", between=part)
    assert any("a protocol is given instead" in str(warning.message) for warning in told)
    assert study.observations["time"].values.tolist() == [20, 50]


def test_an_export_written_backwards_through_the_end_of_summer_time_is_in_real_time(tmp_path):
    clock = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]  # the hour from 2 to 3 comes twice
    rows = [f"{n},2024-10-27T{at}:00,EGV,,{90 + n},," for n, at in enumerate(clock)]
    names = CLARITY.partition("\n")[0].split(",")
    header = ",".join(names[:4] + names[7:10])
    answers = {"start": "first", "time_zone": "Europe/Berlin", "protocol": "fast(4)"}
    for name, lines in (("on", rows), ("back", rows[::-1])):
        study = load_study(written(tmp_path / f"{name}.csv", "\n".join([header, *lines])), **answers)
        assert study.observations["time"].values.tolist() == [0, 30, 60, 90, 120, 150]
        assert study.observations["value"].values.tolist() == [90, 91, 92, 93, 94, 95]


def test_the_start_of_an_export_in_utc_is_of_the_time_zone_that_is_said(tmp_path):
    path = export(tmp_path, "nightscout")[0]
    answers = {"start": "2024-05-02 10:00", "between": ("2024-05-02 09:00", "2024-05-02 10:45")}
    with pytest.raises(StudyError, match="times are of UTC"):
        load_study(path, "meal(60)", body_weight=70, **answers)
    with pytest.warns(StudyWarning, match="1 codes of errors"):
        study = load_study(path, "meal(60)", body_weight=70, time_zone="Europe/Berlin", **answers)
    assert study.observations["time"].values.tolist() == [-5, 30]


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
            'vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
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
