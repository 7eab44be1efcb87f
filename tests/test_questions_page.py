"""The questions of the page are answered by its lines, which are few, and rightly."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

PAGE = (Path(__file__).parents[1] / "docs" / "questions.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.apart, pytest.mark.filterwarnings("ignore:bmi is missing for P00")]

CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^bayesglu .*$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the lines of the page made, and the folder in which they ran."""
    names, folder = {}, tmp_path_factory.mktemp("questions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code in CODE:
            exec(compile(code, "docs/questions.md", "exec"), names)
    return names, folder


def test_each_answer_has_few_lines():
    lines = [len([line for line in code.splitlines() if line.strip()]) for code in CODE]
    assert max(lines[1:]) <= 5 and len(CODE) > 20


def test_the_answers_are_those_of_the_people_who_were_simulated(answers):
    names, folder = answers
    her = names["table"].set_index(["quantity", "interval"])["median"]
    assert her["glucose_at_120", "a new person"] > 140
    assert names["adjusted"]["median"][0] > 0 and names["plain"]["median"][0] > 0
    assert set(names["day"]["quantity"]) >= {"glucose_gmi", "glucose_time_in_range"}
    balance = names["balance"].pivot_table(index="quantity", columns="group", values="median")
    entered, left = (
        ["glucose_appearance_total", "endogenous_glucose_production_total"],
        ["tissue_uptake_total"],
    )
    assert (balance.loc[entered].sum() > balance.loc[left].sum()).all()
    assert names["slope"]["unit"][0] == "mg/dL*min per 1 kg/m2"
    truth = names["study"].truth.insulin_sensitivity
    words = names["effects"].set_index("quantity")["words"]
    assert any("type 2 diabetes: insulin sensitivity x" in each for each in words)
    assert truth.sizes["subject"] == 12
    assert names["lost"].groupby("contrast")["p_above"].first()["no incretin - usual"] > 0.5
    assert np.all(np.diff(names["doses"]["p_target"]) <= 0)
    assert names["power"]["n"].tolist() == [10, 20, 40] and set(names["power"]["repeats"]) == {100}
    assert 0.1 < float(names["expected"].sel(parameter="insulin_sensitivity")) < 1
    assert names["plan"].sizes["sample"] == 5 and "recommended" in names["plan"].attrs
    assert names["leaner"]["subject"].tolist()[0] == "P00" and names["leaner"]["median"].notna().all()
    assert names["si"]["unit"].tolist() == ["mmol/L", "pmol/L"]
    assert (names["variability"]["kappa_median"] > 0).all() and "emptying_rate" in names["variability"].index
    assert {"matsuda", "homa_ir"} <= set(map(str, names["found"].index.values))
    assert names["person"].posterior.subject.values.tolist() == ["new"]
    made = ("bmi.png", "effects.png", "meals.png", "raw.png", "table.html", "people.nc")
    assert all((folder / name).stat().st_size > 1000 for name in made)


def test_the_commands_of_the_page_run(answers, monkeypatch):
    _, folder = answers
    monkeypatch.chdir(folder)
    for command in COMMANDS:
        result = run(*shlex.split(command)[1:], "--draws", "20", "--seed", "1")
        assert result.exit_code == 0, result.output
    assert len(COMMANDS) >= 2 and (folder / "groups.png").stat().st_size > 1000


def test_every_question_names_the_way_of_others_or_is_bayesglus_own():
    asked = re.findall(r"^\*\*(.+?\?)\*\*", PAGE, re.MULTILINE)
    assert len(asked) >= 20 and len(set(asked)) == len(asked)
