"""Runs that are killed at a random moment of a named phase lose nothing: some of `benchmarks.kills`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from bayesglu.solver.kept import cache_folder
from benchmarks import kills

TRIED = ("save",)  # what a kill in tuning and in drawing leaves is tried in test_resume


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return kills.undisturbed(tmp_path_factory.mktemp("undisturbed"), cache_folder("").resolve())


@pytest.mark.apart
@pytest.mark.parametrize("phase", TRIED)
def test_nothing_is_lost_where_a_run_is_killed_in_this_phase(phase, reference, tmp_path):
    row = kills.killed(kills.PHASES.index(phase), 7, reference, tmp_path / "kill")
    assert row["phase"] == phase and row["faults"] == []
    assert row["equal"] or row["fell"] in ("pilot", "drawing")


def test_counts_are_by_the_phase_that_was_meant():
    made = {"kept": 0, "delay": 0.1, "number": 0}
    rows = [
        {**made, "phase": "save", "fell": "save", "equal": True, "faults": []},
        {**made, "phase": "save", "fell": "end", "equal": True, "faults": ["x is lost", "y is lost"]},
        {**made, "phase": "pilot", "fell": "pilot", "equal": False, "faults": []},
    ]
    found = {count["name"]: count for count in kills.counts(rows)}
    assert set(found) == set(kills.PHASES) and found["compile"]["kills"] == 0
    assert found["save"] == {
        "name": "save",
        "kills": 2,
        "equal": 2,
        "faults": 1,
        "fell": {"save": 1, "end": 1},
    }
    assert found["pilot"]["equal"] == 0
