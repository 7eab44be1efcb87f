"""Slips that are common in tables, put into a sound study: each is found and named."""

import warnings
from pathlib import Path

import pytest

import bayesglu as bg
from bayesglu.analysis import misfit, outliers, suspects
from benchmarks import faults
from benchmarks.faults import FAULTS, names, simulated
from benchmarks.report import read

MODEL, PEOPLE, SEED = "oral_cpeptide", 8, 6
FAST = [
    "insulin of everyone six times too small",
    "everyone's times in hours",
    "insulin of one person six times too large",
    "one person's times in hours",
    "one person's samples at 0 and 60 min changed about",
    "severe hyperglycaemia",
    "one person's dose missing",
]
"""One of each kind; `benchmarks.faults` tries them all, with more people and analytes."""


def judged(study: bg.Study):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bg.fit(MODEL, study, method="laplace", draws=200, random_seed=1, progressbar=False)
        return fit, bg.check(fit, warn=False)


@pytest.fixture(scope="module")
def sound() -> bg.Study:
    return simulated(MODEL, PEOPLE, SEED)


@pytest.mark.long
def test_a_sound_study_is_not_accused_and_its_verdict_is_kept(sound, tmp_path):
    fit, verdict = judged(sound)
    assert verdict.clean and verdict.about_model
    question = "Does the model describe the data?"
    assert f"\n{question} Yes, as far as was checked.\n" in repr(verdict)
    bg.save(fit, tmp_path / "fit.nc")
    assert '"clean": true' in bg.load(tmp_path / "fit.nc").attrs["verdict"]


@pytest.mark.long
@pytest.mark.parametrize("name", FAST)
def test_a_slip_is_found_and_named(sound, name):
    _, verdict = judged(FAULTS[name].put(sound))
    assert not verdict.clean and "The model does not describe the data." in verdict.headline
    assert names([told for told in verdict.problems if told in verdict.about_model], name), verdict


# --- what is kept ---


def test_what_is_kept_is_of_todays_models_and_limits():
    """If it is not: python -m benchmarks faults"""
    kept = read("faults")
    assert kept["models"] == {name: bg.load_model(name).hash for name in faults.TESTS}
    assert kept["limits"] == [
        *(misfit.FAR, misfit.ALONE, misfit.ROUGH, misfit.OUTSIDE, misfit.ONE_SIDED),
        *(outliers.UNLIKE, suspects.CHANCE),
    ]
    assert [row["name"] for row in kept["rows"]] == list(FAULTS)


def test_the_page_says_what_is_kept():
    page = (Path(__file__).parents[1] / "docs" / "trust.md").read_text(encoding="utf-8")
    assert faults.page(read("faults")) in page


def test_sound_studies_are_seldom_accused_and_slips_are_found():
    sound, rows = read("faults")["sound"], read("faults")["rows"]
    assert sound["studies"] >= 100 and min(sound["people"]) == 1 and max(sound["people"]) == 120
    assert sound["accused"] <= 0.05 * sound["studies"]
    everyone = [row for row in rows if "everyone" in row["name"]]
    units = [row for row in rows if "six times" in row["name"] and row not in everyone]
    single = [row for row in rows if row not in (*units, *everyone)]
    assert all(row["found"] == row["studies"] for row in (*single, *everyone))
    # Of a single person, whose insulin is in another unit may be taken for somebody who clears it fast.
    for those, share in ((single, 0.9), (everyone, 1.0), (units, 0.75)):
        assert sum(row["named"] for row in those) >= share * sum(row["studies"] for row in those)
