"""The shipped models have the medians, the spreads and the effects that were learnt for them."""

from inspect import signature
from pathlib import Path

import pytest

from bayesglu.analytes import register_analyte
from bayesglu.physiology.liver import greatest_hepatic_uptake
from bayesglu.physiology.loop import assemble
from bayesglu.spec.model import load_model
from benchmarks.learn.joint import INFUSION, with_infusion
from benchmarks.learn.run import HELD, LITERATURE, loop, over
from benchmarks.report import read

KEPT = read("learnt")
AGAIN = "run python -m benchmarks learn, and write into the model what it finds"


def test_the_literatures_priors_are_those_that_it_was_learnt_with():
    files = {place.stem: Path(place).read_text(encoding="utf-8") for place in LITERATURE.glob("*.toml")}
    assert KEPT["literature"] == files, AGAIN


MAXIMUM = "hepatic_uptake_maximum"
"""What was learnt of the liver's uptake; the models state it where it is measured."""


def test_the_livers_uptake_is_the_learnt_one_where_it_is_stated():
    own = load_model("feedback").parameters
    medians = {n: own[n].typical.median for n in signature(greatest_hepatic_uptake).parameters}
    assert greatest_hepatic_uptake(**medians) == pytest.approx(KEPT["medians"][MAXIMUM], rel=5e-4), AGAIN
    effect = own["reference_hepatic_uptake"].effects["group:T2D"]
    assert [effect.median, effect.gsd] == KEPT["effects"][MAXIMUM]["group:T2D"], AGAIN
    assert own["reference_hepatic_uptake"].typical.gsd > KEPT["gsd"][MAXIMUM]  # less certain than was learnt


CLEARANCE = "mass_action_uptake"
"""Learnt too; the models state the glucose production of a fast, which leaves so much to it."""
STATED_OTHERWISE = {MAXIMUM, CLEARANCE}


def test_basal_production_leaves_the_learnt_clearance_to_what_needs_no_insulin():
    spec = load_model("feedback")
    clearance = assemble(spec.structure).basal(spec.medians)["insulin_independent_clearance"]
    assert clearance == pytest.approx(KEPT["medians"][CLEARANCE], rel=2e-3), AGAIN


@pytest.mark.parametrize("name", sorted({*KEPT["medians"]} - STATED_OTHERWISE))
def test_a_median_is_the_learnt_one(name):
    own = load_model("feedback").parameters[name]
    assert own.typical.median == pytest.approx(KEPT["medians"][name], rel=1e-9), AGAIN
    assert name not in HELD and own.kind in ("learnt", "judgement")


@pytest.mark.parametrize("name", sorted({*KEPT["gsd"]} & {*KEPT["medians"]} - STATED_OTHERWISE))
def test_a_spread_and_the_effects_of_groups_are_the_learnt_ones(name):
    own = load_model("oral_cpeptide").parameters[name]
    assert own.typical.gsd == pytest.approx(KEPT["gsd"][name], abs=0.006), AGAIN
    if own.kind == "learnt" and name != "provision_time":
        for group, (median, gsd) in KEPT["effects"].get(name, {}).items():
            assert (own.effects[group].median, own.effects[group].gsd) == (median, gsd), AGAIN


MET_BY_ADRENALINE = {"IVGTT insulin sensitivity", "type 1 diabetes, no glucagon: glucose after 180 min"}
MISSED_WITH_IT = {
    "glucagon deficient: glucose production after 180 min, of basal",
    "glucagon withdrawn: glucose after 240 min",
}
"""Medians were learnt before adrenaline was in the loop."""


def test_the_facts_that_are_missed_are_those_that_say_why():
    from bayesglu.validation.facts import load_facts

    told = {fact.name for group in load_facts() for fact in group.facts if fact.fails}
    assert set(KEPT["missed"]) - MET_BY_ADRENALINE | MISSED_WITH_IT == told, AGAIN


def test_the_literature_can_be_laid_over_todays_models():
    """What `python -m benchmarks learn` begins with, and where it looks for medians."""
    register_analyte(INFUSION, units={"mg/kg/min": 1.0}, plausible=(0, 60))
    joint = load_model(with_infusion("oral_cpeptide") + over("oral_cpeptide"))
    assert INFUSION in joint.analytes and joint.parameters["insulin_sensitivity"].typical.median == 7.97e-5
    medians = {"insulin_sensitivity": 9e-5, "reference_hepatic_uptake": 1.2, "glucagon_tolerance": 0.5}
    whole = load_model(loop(medians))
    assert {name: whole.parameters[name].typical.median for name in medians} == medians
