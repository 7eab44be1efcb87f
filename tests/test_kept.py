"""Compiled code on disk is used only while it is whole, and a disk that cannot keep it only costs time."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayesglu
from bayesglu.solver import kept
from bayesglu.solver.compiled import COMPILED, compiled
from bayesglu.solver.kept import CHECKSUM, CacheWarning, find, keep
from bayesglu.solver.kernels import PARTS, Compiled, _object_code
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model

SOLVE = """
import sys, warnings
if len(sys.argv) > 1:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import bayesglu
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    found = bayesglu.simulate("minimal", "ivgtt(0.3)", forcing=([0, 60], [60, 90]), outputs=["glucose"])
ours = [w.category.__name__ for w in told if "bayesglu" in w.category.__module__]
print(ours, found.glucose.values[-1].hex())
"""

DAMAGES = {
    "empty": lambda code: b"",
    "cut short": lambda code: code[: len(code) // 2],
    "garbage": lambda code: bytes(reversed(code)),
    "a bit flipped": lambda code: code[:-9] + bytes([code[-9] ^ 1]) + code[-8:],
}
each_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for compiled code."""
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No folder for compiled code: a file is in its place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path / "file"))
    kept._tell.cache_clear()
    return tmp_path / "file"


def twice(x):
    return 2.0 * x


def test_what_is_kept_is_found_again_and_what_is_not_is_none(tmp_path):
    keep(tmp_path / "deep" / "one.o", b"code")
    assert find(tmp_path / "deep" / "one.o") == b"code"
    assert find(tmp_path / "two.o") is None


@given(code=st.binary(max_size=40), place=st.integers(0), bit=st.integers(0, 7), end=st.integers(0))
def test_one_bit_more_or_less_is_seen_wherever_it_is(tmp_path_factory, code, place, bit, end):
    path = tmp_path_factory.getbasetemp() / "bits.o"
    keep(path, code)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[place % len(whole)] ^= 1 << bit
    for damaged in (bytes(flipped), whole[: end % len(whole)], whole + b"\0"):
        path.write_bytes(damaged)
        assert find(path) is None


def test_code_under_the_name_of_other_code_is_not_found(tmp_path):
    keep(tmp_path / "one.o", b"code")
    (tmp_path / "one.o").rename(tmp_path / "two.o")
    assert find(tmp_path / "two.o") is None


def test_code_that_others_can_write_is_not_run_and_is_replaced(tmp_path):
    place = tmp_path / "one.o"
    for mode in (0o666, 0o620, 0o602):
        keep(place, b"code")
        assert find(place) == b"code" and stat.S_IMODE(place.stat().st_mode) == 0o600
        place.chmod(mode)
        assert find(place) is None


def test_code_of_another_user_is_not_run(tmp_path, monkeypatch):
    place = tmp_path / "one.o"
    keep(place, b"code")
    if os.getuid() == 0:
        os.chown(place, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert find(place) is None


def test_a_disk_where_everybody_may_write_is_told(tmp_path, monkeypatch):
    kept._tell.cache_clear()
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    before = os.umask(0)
    try:
        with pytest.warns(CacheWarning, match="others can write to the files there"):
            keep(tmp_path / "one.o", b"code")
    finally:
        os.umask(before)
    assert find(tmp_path / "one.o") is None


def test_code_compiled_by_numba_takes_nothing_from_folders_that_do_not_decide_its_cache():
    """A constant is compiled into whatever reads it."""
    package, users = Path(bayesglu.__file__).parent, 0
    for path in package.rglob("*.py"):
        text = path.read_text()
        if re.search(r"^\s*@(compiled|separate)\(", text, re.MULTILINE):
            taken = set(re.findall(r"^from bayesglu\.(\w+)", text, re.MULTILINE)) | {path.parent.name}
            assert {name for name in taken if (package / name).is_dir()} <= set(COMPILED), path
            users += 1
    assert users > 8


@each_damage
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_kernel_is_compiled_and_kept_anew(damage, part, cache):
    own = Compiled(system(load_model("minimal").structure, ("glucose",)), 1)
    code = _object_code(own, part)
    (file,) = (cache / "kernels").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert _object_code(own, part) == code
    assert find(file) == code


@each_damage
def test_a_damaged_function_of_numba_is_compiled_and_kept_anew(damage, cache):
    assert compiled()(twice)(1.5) == 3.0
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again, from_disk = compiled()(twice), compiled()(twice)
    assert again(1.5) == 3.0 and not again.stats.cache_hits
    assert find(file) is not None and len(file.read_bytes()) > CHECKSUM
    assert from_disk(1.5) == 3.0 and from_disk.stats.cache_hits


def test_whole_code_that_this_numba_cannot_read_is_compiled_anew(cache):
    assert compiled()(twice)(1.5) == 3.0
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    keep(file, b"no pickle at all")
    assert compiled()(twice)(1.5) == 3.0


def test_where_nothing_can_be_kept_functions_run_all_the_same_and_one_warning_says_so(nowhere):
    with pytest.warns(CacheWarning, match="cannot be kept in .*file .*so that every start compiles") as told:
        assert compiled()(twice)(1.5) == 3.0
        assert compiled()(twice)(3) == 6.0
        assert _object_code(Compiled(system(load_model("minimal").structure, ("glucose",)), 1), "forward")
    assert len(told) == 1


@pytest.mark.apart
@pytest.mark.parametrize("full", [False, True], ids=["no folder", "a full disk"])
def test_the_program_runs_where_nothing_can_be_kept_and_keeps_nothing_beside_its_sources(full, tmp_path):
    place = tmp_path / "cache"
    if not full:
        place.touch()
    environment = {**os.environ, "BAYESGLU_CACHE_DIR": str(place), "NUMBA_OPT": "0"}
    command = [sys.executable, "-c", SOLVE, *(["full"] if full else [])]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stderr
    usual = bayesglu.simulate("minimal", "ivgtt(0.3)", forcing=([0, 60], [60, 90]), outputs=["glucose"])
    told, glucose = found.stdout.split("] ")
    assert told == "['CacheWarning'" and float.fromhex(glucose) == usual.glucose.values[-1]
    assert not [*Path(bayesglu.__file__).parent.rglob("*.nb[ic]")]
    assert all(find(path) is not None for path in place.rglob("*") if path.is_file())
