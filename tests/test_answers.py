"""What the benchmark of answers sums up, and that what it keeps is of today's model and questions."""

import numpy as np
import pytest

from benchmarks import answers
from benchmarks.report import RESULTS, read


def simulated(held: int, below: float) -> dict:
    """What one simulation gives, where bands of everyone held so many of 10 values."""
    band = {"kind": "true", "day": "fast", "of": "glucose", "n": 10, "held_50": held // 2, "held_90": held}
    one = {"comparison": "T2D - NGT", "of": "glucose_auc", "below": below, "people": 4, "people_held": 3}
    bands = [{**band, "person": person} for person in answers.PEOPLE["subject"]]
    return {"bands": bands, "comparisons": [one], "clean": True, "processor_seconds": 1.0}


def test_coverage_is_of_all_values_and_its_interval_of_populations():
    found = answers.summed_up([simulated(10, 0.5), simulated(8, 0.99)] * 10)
    (band,), (comparison,) = found["bands"], found["comparisons"]
    assert band["people"] == 80 and band["values"] == 800
    assert band["held_90"] == pytest.approx(0.9) and band["held_50"] == pytest.approx(0.45)
    # Populations hold 1.0 and 0.8: an SD of 0.1, and of the mean of 20 of them 0.022.
    assert band["high_90"] - band["low_90"] == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(20), rel=0.15)
    assert comparison["held_90"] == 0.5 and comparison["people_held_90"] == 0.75
    assert comparison["p_uniform"] < 0.05, "half of the truths at one place are not uniform"


@pytest.mark.skipif(
    not (RESULTS / "answers.json").exists(), reason="python -m benchmarks answers was not run"
)
def test_what_is_kept_is_of_todays_model_and_questions():
    """If it is not: python -m benchmarks answers"""
    kept = read("answers")
    assert {name: kept[name] for name in answers.about()} == answers.about()
    assert all(band["people"] >= 60 for band in kept["rows"])
