"""The reference and the schema of model files are those of the code, and say what the reader does."""

import importlib.util
import json
import re
import tomllib
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest

import bayesglu
from bayesglu.spec import keys
from bayesglu.spec.files import write
from bayesglu.spec.model import SpecError, read_model
from bayesglu.study.datasheet import ABOUT, TABLES
from bayesglu.study.samples import OBSERVATION_COLUMNS, OTHER_OBSERVATION_COLUMNS
from bayesglu.study.treatments import EVENT_COLUMNS, OTHER_EVENT_COLUMNS

ROOT = Path(__file__).parents[1]
SCHEMA = jsonschema.Draft7Validator(json.loads((ROOT / "models" / "model.schema.json").read_text("utf-8")))
MODELS = sorted((ROOT / "models").glob("*.toml"))


def _script():
    found = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


REFERENCE = _script()
PAGES = REFERENCE.pages()


# --- pages ---


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_of_the_reference_is_what_the_code_gives(path):
    assert path.read_text(encoding="utf-8") == PAGES[path], "run: python docs/reference.py"


def test_the_reference_holds_no_page_that_nothing_makes():
    assert set((ROOT / "docs" / "reference").iterdir()) == {
        path for path in PAGES if path.parent.name == "reference"
    }


def test_every_public_name_is_on_one_page():
    shown = [name for _, *names in REFERENCE.NAMES.values() for name in names]
    figures = [f"plots.{name}" for name in bayesglu.plots.__all__]
    assert sorted(shown) == sorted([*(n for n in bayesglu.__all__ if n != "plots"), *figures])


@pytest.mark.parametrize(
    ("page", "names"),
    [("models", bayesglu.list_models()), ("data", bayesglu.list_studies())],
    ids=["models", "studies"],
)
def test_the_tables_of_the_documentation_name_every_model_and_study(page, names):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    first = re.search(r"(^\|.*\n)+", text, re.MULTILINE)[0]
    assert set(re.findall(r"^\| `(\w+)`", first, re.MULTILINE)) == set(names)


def test_the_page_on_data_names_every_column_and_every_key_of_a_datasheet():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    columns = {*OBSERVATION_COLUMNS, *OTHER_OBSERVATION_COLUMNS, *EVENT_COLUMNS, *OTHER_EVENT_COLUMNS}
    assert {name for name in columns if f"`{name}`" not in text} == set()
    assert {name for name in (*ABOUT, "protocol", "body_weight") if f"\n{name} = " not in text} == set()
    assert {name for name in TABLES if f"\n[{name}" not in text} == set()


# --- the schema ---


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_validates_against_the_schema_as_written_and_as_resolved(path):
    for text in (path.read_text(encoding="utf-8"), bayesglu.load_model(path).text):
        assert [error.message for error in SCHEMA.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_first_line_of_a_model_leads_an_editor_to_the_schema(path):
    hint = path.read_text(encoding="utf-8").splitlines()[0]
    assert (path.parent / hint.removeprefix("#:schema ")).is_file()


def test_the_example_of_a_model_file_in_the_documentation_is_one():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    example = re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    SCHEMA.validate(tomllib.loads(example))
    assert read_model(example).parameters["insulin_volume"].level == "fixed"


WHOLE = tomllib.loads(bayesglu.load_model("minimal").text) | {
    "correlations": {
        "parameters": ["insulin_sensitivity", "insulin_action_rate"],
        "lkj_eta": 2.0,
        "priors": {
            "insulin_action_rate": {"with": "insulin_sensitivity", "mean": -0.4, "sd": 0.2, "source": []}
        },
    },
    "pseudo_observations": {"basal_glucose_production": {"median": 2.0, "cv": 0.1, "source": []}},
}
WHOLE["analytes"]["glucose"] |= {"lloq": 1.0, "uloq": 999.0, "error_offset": 1.0}
PLACES = {
    "": ((), keys.MODEL),
    "parameter": (("parameters", "insulin_sensitivity"), keys.PARAMETER),
    "typical": (("parameters", "insulin_sensitivity", "typical"), keys.TYPICAL),
    "between": (("parameters", "insulin_sensitivity", "between_subject"), keys.VARIATION),
    "number": (("parameters", "insulin_sensitivity", "effects", "bmi"), keys.EFFECT_OF_NUMBER),
    "level": (("parameters", "insulin_sensitivity", "effects", "group:T2D"), keys.EFFECT_OF_LEVEL),
    "analyte": (("analytes", "glucose"), keys.ANALYTE),
    "forcing": (("analytes", "insulin"), keys.ANALYTE),
    "sigma": (("analytes", "glucose", "sigma"), keys.SIGMA),
    "pseudo": (("pseudo_observations", "basal_glucose_production"), keys.PSEUDO_OBSERVATION),
    "correlations": (("correlations",), keys.CORRELATIONS),
    "correlation": (("correlations", "priors", "insulin_action_rate"), keys.CORRELATION_PRIOR),
}
each_place = pytest.mark.parametrize("place", PLACES)


def changed(place: str, key: str, value) -> dict:
    """A whole model with one key changed, or without it where the value is None."""
    model = deepcopy(WHOLE)
    table = model
    for name in PLACES[place][0]:
        table = table[name]
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    return model


def read_faults(model: dict) -> str:
    """What the reader says of a model; nothing where it reads it."""
    try:
        read_model(write(model))
    except SpecError as error:
        return str(error)
    return ""


def test_the_model_that_is_changed_is_sound():
    assert read_faults(WHOLE) == ""
    SCHEMA.validate(WHOLE)


@each_place
def test_reader_and_schema_agree_on_which_keys_there_are(place):
    model = changed(place, "surprise", 1)
    assert "'surprise'" in read_faults(model)
    assert not SCHEMA.is_valid(model)


@each_place
def test_reader_and_schema_agree_on_which_keys_are_needed(place):
    for key in PLACES[place][1]:
        model = changed(place, key.name, None)
        if key.required:
            assert f"{key.name!r}" in read_faults(model)
            assert not SCHEMA.is_valid(model), key.name
        else:
            assert SCHEMA.is_valid(model), key.name


@each_place
def test_reader_and_schema_agree_on_the_bounds_of_numbers(place):
    for key in (key for key in PLACES[place][1] if key.above is not None):
        refused = f"{key.name} is {key.above:g}."
        at, below = changed(place, key.name, key.above), changed(place, key.name, key.above - 1)
        # a median may be 0 where an organ is lost; that of this parameter may not
        closed = key.closed and place != "typical"
        assert (refused in read_faults(at)) is (not closed), key.name
        assert SCHEMA.is_valid(at) is closed, key.name
        assert f"{key.name} is {key.above - 1:g}." in read_faults(below)
        assert not SCHEMA.is_valid(below)


@each_place
def test_reader_and_schema_agree_on_the_choices_and_kinds_of_values(place):
    for key in PLACES[place][1]:
        wrong = "surprise" if key.holds not in ("text",) or key.allowed else 1
        model = changed(place, key.name, wrong)
        assert read_faults(model), key.name
        assert not SCHEMA.is_valid(model), key.name
        for choice in key.allowed:
            assert SCHEMA.is_valid(changed(place, key.name, choice))
            assert f"{key.name} is {choice!r}." not in read_faults(changed(place, key.name, choice))


@pytest.mark.parametrize("place", [place for place in PLACES if place])
def test_a_default_is_what_the_reader_takes(place):
    for key in PLACES[place][1]:
        if key.default in (None, "") or place == "forcing":
            continue
        absent, written = changed(place, key.name, None), changed(place, key.name, key.default)
        if "nu" in absent.get("analytes", {}).get("glucose", {}) and key.name == "residual":
            del absent["analytes"]["glucose"]["nu"], written["analytes"]["glucose"]["nu"]
        assert read_model(write(absent)).text == read_model(write(written)).text, key.name


def test_a_share_of_a_whole_is_completed_as_one():
    model = tomllib.loads(bayesglu.load_model("oral").text)
    model["parameters"]["bioavailability"]["scale"] = "log"
    assert not SCHEMA.is_valid(model)
    assert "logit" in read_faults(model)
