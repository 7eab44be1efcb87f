"""What several tests share."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from bayesglu import analytes, load_model, load_study
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.physiology import registry as parts

# Half a million objects of imported libraries are looked through again and again otherwise: a tenth of the
# time.
gc.freeze()
gc.set_threshold(500_000, 20, 20)


def pytest_sessionstart(session):
    """What several workers would compile at once is compiled once, before they start."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        density = Density(make_design(load_model("minimal"), load_study("bergman1986")))
        density(np.zeros(density.size))
        density.unpack(np.zeros((1, density.size)))


LONG = pytest.StashKey[list[str]]()
"""The tests marked ``long`` among all that were collected: they are then deselected."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What takes a minute comes first, so that no worker is alone with it at the end."""
    config.stash[LONG] = [item.nodeid for item in items if item.get_closest_marker("long")]
    items.sort(key=lambda item: -sum(m.kwargs.get("seconds", 0) for m in item.iter_markers("apart")))


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real studies that lies beside the project and is not part of it."""
    if not SHARED_DATA.is_dir():
        reason = "the real studies are not here: ../shared/data, seen from the project's root, is absent"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED_DATA


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(parts, "_registered", parts._registered)
    monkeypatch.setattr(analytes, "_registered", analytes._registered)
