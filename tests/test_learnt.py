"""The shipped models have the medians, the spreads and the effects that were learnt for them."""

from pathlib import Path

import pytest

from bayesglu.analytes import register_analyte
from bayesglu.spec.model import load_model
from benchmarks.learn.joint import INFUSION, with_infusion
from benchmarks.learn.run import HELD, LITERATURE, loop, over
from benchmarks.report import read

KEPT = read("learnt")
AGAIN = "run python -m benchmarks learn, and write into the model what it finds"


def test_the_literatures_priors_are_those_that_it_was_learnt_with():
    files = {place.stem: Path(place).read_text(encoding="utf-8") for place in LITERATURE.glob("*.toml")}
    assert KEPT["literature"] == files, AGAIN


@pytest.mark.parametrize("name", sorted({*KEPT["medians"]}))
def test_a_median_is_the_learnt_one(name):
    own = load_model("feedback").parameters[name]
    assert own.typical.median == pytest.approx(KEPT["medians"][name], rel=1e-9), AGAIN
    assert name not in HELD and own.kind in ("learnt", "judgement")


@pytest.mark.parametrize("name", sorted({*KEPT["gsd"]} & {*KEPT["medians"]}))
def test_a_spread_and_the_effects_of_groups_are_the_learnt_ones(name):
    own = load_model("oral_cpeptide").parameters[name]
    assert own.typical.gsd == pytest.approx(KEPT["gsd"][name], abs=0.006), AGAIN
    if own.kind == "learnt" and name != "provision_time":
        for group, (median, gsd) in KEPT["effects"].get(name, {}).items():
            assert (own.effects[group].median, own.effects[group].gsd) == (median, gsd), AGAIN


def test_the_facts_that_are_missed_are_those_that_say_why():
    from bayesglu.validation.facts import load_facts

    told = {fact.name for group in load_facts() for fact in group.facts if fact.fails}
    assert set(KEPT["missed"]) == told, AGAIN


def test_the_literature_can_be_laid_over_todays_models():
    """What `python -m benchmarks learn` begins with, and where it looks for medians."""
    register_analyte(INFUSION, units={"mg/kg/min": 1.0}, plausible=(0, 60))
    joint = load_model(with_infusion("oral_cpeptide") + over("oral_cpeptide"))
    assert INFUSION in joint.analytes and joint.parameters["insulin_sensitivity"].typical.median == 7.97e-5
    medians = {"insulin_sensitivity": 9e-5, "reference_hepatic_uptake": 1.2, "glucagon_tolerance": 0.5}
    whole = load_model(loop(medians))
    assert {name: whole.parameters[name].typical.median for name in medians} == medians
