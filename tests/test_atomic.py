"""Files and folders are written whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayesglu.atomic import WriteError, as_path, is_hidden, present, remove, whole
from bayesglu.errors import BayesgluError, InputError

STOPPED = """
import sys, time
from pathlib import Path
from bayesglu.atomic import whole
place = Path(sys.argv[1])
with whole(place) as new:
    if sys.argv[2] == "folder":
        new.mkdir()
        new = new / "part"
    new.write_text("half")
    Path(sys.argv[3]).touch()
    time.sleep(600)
"""


def fill(path, kind: str, text: str) -> None:
    """What a file or a folder of this kind holds from now on."""
    with whole(path) as new:
        if kind == "folder":
            new.mkdir()
            new = new / "part"
        new.write_text(text)


def content(path) -> str:
    return (path / "part" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_written_is_there_and_nothing_else(kind, tmp_path):
    place = tmp_path / "people.zarr"
    for text in ("first", "second"):
        fill(place, kind, text)
        assert content(place) == text
        assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_error_while_it_is_written_leaves_what_was_there(kind, tmp_path):
    place = tmp_path / "people.zarr"
    fill(place, kind, "first")
    with pytest.raises(KeyError), whole(place) as new:
        new.write_text("half")
        raise KeyError
    assert content(place) == "first" and list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_while_it_is_written_leaves_what_was_there(kind, tmp_path):
    place, begun = tmp_path / "people.zarr", tmp_path / "begun"
    fill(place, kind, "first")
    process = subprocess.Popen([sys.executable, "-c", STOPPED, str(place), kind, str(begun)])
    try:
        limit = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert content(place) == "first"
    assert all(is_hidden(path) for path in tmp_path.iterdir() if path not in (place, begun))
    fill(place, kind, "second")
    assert content(place) == "second"


def test_a_kill_between_the_two_moves_that_replace_a_folder_leaves_the_old_one(tmp_path, monkeypatch):
    place = tmp_path / "people.zarr"
    fill(place, "folder", "first")
    rename, moves = os.rename, []

    def killed(*paths):
        if moves:
            raise KeyboardInterrupt
        rename(*paths)
        moves.append(paths)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", killed)
        fill(place, "folder", "second")
    assert not place.exists() and content(present(place)) == "first"
    fill(place, "folder", "third")
    assert content(present(place)) == "third" and list(tmp_path.iterdir()) == [place]


def test_what_is_taken_away_is_gone_at_once_and_need_not_be_there(tmp_path):
    place = tmp_path / "people.zarr"
    fill(place, "folder", "first")
    remove(place)
    remove(place)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_the_error_names_the_place_that_was_asked_for(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "absent" / "people.nc", tmp_path / "file" / "people.nc"):
        with pytest.raises(WriteError, match=r"people\.nc: cannot be written: N.*as it was") as caught:
            fill(place, "file", "text")
        assert "unfinished" not in str(caught.value)
        assert isinstance(caught.value, BayesgluError) and isinstance(caught.value, OSError)


def test_a_link_is_followed_and_what_is_no_file_is_written_to(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("first")
    link.symlink_to(real)
    fill(link, "file", "second")
    assert link.is_symlink() and real.read_text() == "second"
    fill(os.devnull, "file", "text")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path):
    place = tmp_path / "people.nc"
    fill(place, "file", "first")
    place.chmod(0o600)
    fill(place, "file", "second")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", [None, 5, ["fit.nc"], b"fit.nc", "a\0b", "x" * 300])
def test_what_is_no_path_is_told(given):
    with pytest.raises(InputError, match=r"is no path|cannot be the name of a file or folder"):
        as_path(given)


@pytest.mark.parametrize("place", ["", ".", "/"])
def test_a_place_without_a_name_is_where_it_is(place):
    assert present(Path(place)) == Path(place)
