"""The pages say what the code does: every protocol has an example, a picture and papers; examples run."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from bayesglu import catalog
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.calls import PROTOCOLS
from bayesglu.spec.model import load_model
from bayesglu.study.study import StudyError, load_study
from benchmarks.report import read

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def _script(name):
    found = importlib.util.spec_from_file_location(f"{name}_page", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


PAGE = _script("protocols")
TRUTH = _script("truth")
SECTIONS = PAGE.sections()
each_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.picture)


def test_every_protocol_function_has_an_example_on_the_page():
    shown = {name for section in SECTIONS for name in re.findall(r"bg\.(\w+)\(", section.code)}
    assert set(PROTOCOLS) <= shown


@each_section
def test_a_section_has_an_example_of_few_lines_a_picture_and_papers_of_the_bibliography(section):
    assert 1 <= len(section.code.splitlines()) <= 3
    picture = DOCS / "figures" / f"protocol_{section.picture}.png"
    assert 20_000 < picture.stat().st_size < 90_000
    assert section.papers and set(section.papers) <= set(catalog.references())


def test_every_picture_of_a_protocol_belongs_to_a_section_and_shows_something():
    drawn = {path.stem.removeprefix("protocol_") for path in (DOCS / "figures").glob("protocol_*.png")}
    assert drawn == set(PAGE.SHOWN) == {section.picture for section in SECTIONS}


@each_section
def test_a_picture_shows_what_is_given_and_what_follows_with_units(section):
    figure = PAGE.draw(PAGE.run(section), PAGE.SHOWN[section.picture])
    given, *panels = figure.axes
    assert given.get_title(loc="left") == "Given" and given.texts
    assert len(panels) == len(PAGE.SHOWN[section.picture])
    assert all(axis.get_ylabel() and axis.get_title(loc="left") and axis.lines for axis in panels)


def test_the_page_on_what_ifs_is_that_of_the_kept_results():
    assert TRUTH.PAGE.read_text(encoding="utf-8") == TRUTH.page(), "run python docs/truth.py"


def test_the_kept_results_on_what_ifs_are_of_todays_models_and_equations():
    """They take ten minutes: `python -m benchmarks truth` makes them, and `ranks` what is made of one."""
    truth, ranks = read("truth")["fits"], read("ranks")
    assert ranks["study"] == truth["clamped"]["study"], "run python -m benchmarks ranks"
    for pair, kept in {**truth, "ranks": {**ranks, "extends": truth["clamped"]["extends"]}}.items():
        spec = load_model(kept["extends"])
        made_by = "ranks" if pair == "ranks" else "truth"
        again = f"{pair} is of another model or other equations: run python -m benchmarks {made_by}"
        assert kept["model"] == spec.hash, again
        now = assemble(spec.structure).fingerprint(spec.medians)
        assert {name: now.get(name) for name in kept["equations"]} == pytest.approx(kept["equations"]), again


def _run(block: int) -> dict:
    """The names of a block of the page of models, after it was run."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "models.md").read_text("utf-8"), re.M | re.S)
    page: dict = {}
    exec(compile(blocks[block], "<models>", "exec"), page)
    return page


def test_without_adrenaline_glucose_falls_lower_as_the_page_of_models_asks():
    lowest = _run(2)["answer"].glucose.min("time").mean(["chain", "draw", "subject"])
    assert lowest.sel(scenario="unaware") < lowest.sel(scenario="as usual") - 3


def test_a_model_goes_without_a_discrepancy_as_the_page_of_models_says():
    page = _run(1)
    kept = {*page["model"].parameters}
    left_out = {name for name in load_model("oral").parameters if name.endswith("_discrepancy")}
    assert left_out and kept == {*load_model("oral").parameters} - left_out


@pytest.mark.long
def test_the_code_of_the_page_on_extending_runs_from_the_root_of_a_checkout(registry, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    page = {"__name__": "extending"}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "<extending>", "exec"), page)
    models = {path.name: load_model(path) for path in (ROOT / "examples").glob("*.toml")}
    assert all(f"(../examples/{name})" in text or f"examples/{name}" in text for name in models)
    fits = {fit.attrs["model_name"]: fit for name, fit in page.items() if name.endswith("_fit")}
    assert {f"{name}.toml" for name in fits} == set(models)
    assert all(json.loads(fit.attrs["parts"]) for fit in fits.values())
    errors = fits["free_fatty_acids"].posterior.sigma_free_fatty_acids
    assert 0.04 < float(errors.median()) < 0.12


def test_the_tables_of_the_page_on_data_are_read_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    for name, table in re.findall(r'^```csv title="(.+?)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
        Path(name).write_text(table, encoding="utf-8")
    page, studies = {"__name__": "data"}, {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "<data>", "exec"), page)
        studies[page["study"].name] = page["study"].datasheet.get("format")
    forms = {"wide": "wide", "long": None, "half_wide": "half-wide", "two_rows": "wide", "clock": "long"}
    assert studies == forms | {"events": "nonmem", "export": "clarity"}
    assert "Study 'export': 1 subject, 3 samples" in capsys.readouterr().out
    question = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    with pytest.raises(StudyError) as asked:
        load_study("wide.csv", "ogtt(75)")
    assert " ".join(question.split()) in " ".join(str(asked.value).split())


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_a_link_of_the_documentation_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert links and all((DOCS / link).exists() for link in links)
