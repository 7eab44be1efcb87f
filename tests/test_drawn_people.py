"""People who are drawn from the models, with the medians of the population: glucose is held in health."""

import re
from pathlib import Path

import numpy as np
import pytest

from bayesglu import load_model, ogtt, simulate, simulate_study
from bayesglu.physiology.loop import assemble

PAGE = Path(__file__).parents[1] / "docs" / "physiology.md"
MODELS = ("oral", "oral_cpeptide", "feedback")
PEOPLE = 3000


def lowest(model, people: int = PEOPLE) -> np.ndarray:
    """The lowest glucose (mg/dL) of each of `people` in the three hours after 75 g."""
    asked = {"protocol": "ogtt(75)", "times": [0.0], "subjects": people, "analytes": ["glucose"]}
    truth = simulate_study(model, **asked, population="medians", random_seed=1).truth
    own = truth[[name for name in assemble(model.structure).parameters if name in truth]]
    return simulate(model, ogtt(75), own, np.arange(0.0, 181.0, 2.0)).glucose.min("time").values


@pytest.fixture(scope="module")
def shares():
    """Percent of people below 50 and below 40 mg/dL, by model."""
    low = {name: lowest(load_model(name)) for name in MODELS}
    return {name: (100 * (at < 50).mean(), 100 * (at < 40).mean()) for name, at in low.items()}


def test_few_of_them_are_hypoglycaemic_after_a_drink_of_glucose(shares):
    """Standard errors of the shares of 3,000: 0.25 and 0.08 %."""
    for name, (below_50, below_40) in shares.items():
        assert below_50 < 3 and below_40 < 0.5, name


def test_the_page_of_physiology_says_how_many(shares):
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    (told,) = re.findall(r"([\d.]+), ([\d.]+) and ([\d.]+) % fall below 50 mg/dL within three hours", page)
    assert list(map(float, told)) == pytest.approx([of_50 for of_50, _ in shares.values()], abs=0.11)


def test_without_adrenaline_many_were(shares):
    maximum = {
        "symbol": "v_S",
        "unit": "mg/kg/min",
        "level": "subject",
        "typical": {"median": 6.03, "gsd": 1.12},
        "between_subject": {"cv": 0.25, "gsd": 1.3},
        "kind": "judgement",
        "source": [],
    }
    without = {"adrenal_medulla": "none", "liver": "regulated"}
    before = load_model("oral").with_changes(without, {"hepatic_uptake_maximum": maximum})
    assert 100 * (lowest(before, 1000) < 50).mean() > 10 * shares["oral"][0]
