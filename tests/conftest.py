"""What several tests share."""

import os
from pathlib import Path

import pytest

from bayesglu import analytes
from bayesglu.physiology import registry as parts

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
