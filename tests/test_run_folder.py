"""In the folder of a run nothing is lost: what is damaged is named and kept; the rest is resumed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from bayesglu.atomic import REPLACED, WriteError
from bayesglu.errors import InputError, RunWarning
from bayesglu.inference import sampler, stages
from bayesglu.inference.fit_files import check_place, load
from bayesglu.inference.fitting import fit
from bayesglu.inference.kept_draws import DAMAGED, STATISTICS, KeptDraws, Segment
from bayesglu.inference.run_folder import ABOUT, COPY, Run
from bayesglu.inference.sampler import PATIENCE, SHORTEST
from bayesglu.inference.stages import SHORTEST_WITH_PILOT
from bayesglu.lock import NAME, STALE, InUseError, _started, in_use

SETTINGS = {"draws": 40, "tune": SHORTEST_WITH_PILOT, "chains": 2, "random_seed": 3}
SETTINGS |= {"steps": "frozen", "progressbar": False}
DAMAGES = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "a bit flipped": lambda content: content[:99] + bytes([content[99] ^ 4]) + content[100:],
    "the last byte gone": lambda content: content[:-1],
    "zeros": lambda content: content[:50] + bytes(200) + content[250:],
    "garbage": lambda content: bytes(reversed(content)),
}
each_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def again(folder, **settings):
    return fit("minimal", "bergman1986", resume=folder, **{**SETTINGS, **settings})


def content(folder):
    """All files of a folder, but for those that say who works there."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != NAME}


def segment(first, draws):
    """Draws that say their own number."""
    numbers = np.arange(first, first + draws)
    return Segment(numbers[:, None] + np.zeros(3), {name: numbers for name in STATISTICS})


def numbers(part):
    assert all((part.statistics[name] == part.positions[:, 0]).all() for name in STATISTICS)
    return part.positions[:, 0].tolist()


@pytest.fixture
def chains(tmp_path):
    """A chain of 30 draws in three files, and a whole one of 10 in one."""
    kept = KeptDraws(tmp_path)
    assert [kept.begin(0, 0), kept.begin(0, 0), kept.begin(1, 0)] == [0, 1, 0]
    for first in (0, 10, 20):
        kept.keep(0, 0, first, segment(first, 10))
    kept.keep(1, 0, 0, segment(0, 10))
    kept.finish(1, 0, 10)
    return kept


def test_draws_are_found_as_they_were_kept(chains):
    assert numbers(chains.parts(0)[0]) == list(range(30)) and chains.parts(0)[0].gaps == ()
    assert numbers(chains.parts(1)[0]) == list(range(10)) and chains.parts(2) == {}


@each_damage
@pytest.mark.parametrize("first", [0, 10, 20])
def test_a_damaged_file_is_named_and_kept_and_all_other_draws_are_used(chains, damage, first):
    place = chains.place(0, 0) / f"draws-{first:06}.npz"
    damaged = damage(place.read_bytes())
    place.write_bytes(damaged)
    with pytest.warns(RunWarning) as told:
        part = chains.parts(0)[0]
    assert str(place) in str(told[0].message) and f"{DAMAGED}{place.name}" in str(told[0].message)
    assert place.with_name(DAMAGED + place.name).read_bytes() == damaged
    assert numbers(part) == [n for n in range(30) if not first <= n < first + 10]
    assert part.gaps == ((first,) if first < 20 else ())


@pytest.mark.parametrize("first", [0, 10])
def test_a_lost_file_is_told_and_all_other_draws_are_used(chains, first):
    (chains.place(0, 0) / f"draws-{first:06}.npz").unlink()
    with pytest.warns(
        RunWarning, match=f"the draws {first} to {first + 9} of this part of the chain are lost"
    ):
        part = chains.parts(0)[0]
    assert numbers(part) == [n for n in range(30) if not first <= n < first + 10] and part.gaps == (first,)


def test_the_last_file_of_a_part_that_had_ended_is_missed_and_so_is_a_whole_part(chains):
    chains.finish(0, 0, 30)
    (chains.place(0, 0) / "draws-000020.npz").unlink()
    with pytest.warns(RunWarning, match="draws 20 to 29"):
        assert len(chains.parts(0)[0]) == 20
    chains.begin(1, 1)
    chains.keep(1, 1, 0, segment(0, 5))
    shutil.rmtree(chains.place(1, 0))
    with pytest.warns(RunWarning, match="part-0: the draws of this part of the chain are lost"):
        assert list(chains.parts(1)) == [1]


def test_draws_of_another_chain_are_not_taken_for_those_of_this_one(chains):
    shutil.copy(chains.place(1, 0) / "draws-000000.npz", chains.place(0, 0) / "draws-000000.npz")
    with pytest.warns(RunWarning, match="not as it was written"):
        assert numbers(chains.parts(0)[0]) == list(range(10, 30))


def test_a_disk_that_cannot_be_read_at_the_moment_changes_nothing(chains, monkeypatch):
    def blink(path):
        raise PermissionError(13, "Permission denied", str(path))

    before = content(chains.folder)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="draws-000"):
        patch.setattr(Path, "read_bytes", blink)
        chains.parts(0)
    assert content(chains.folder) == before


# --- whole runs ---


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("finished") / "run.zarr"
    return folder, again(folder)


@pytest.fixture
def stopped(finished, tmp_path):
    """The same run, killed before its last write."""
    folder = tmp_path / "run.zarr"
    shutil.copytree(finished[0], folder)
    shutil.rmtree(folder / "fit.zarr")
    return folder


def test_the_run_ends_as_it_would_have_though_files_of_others_lie_there(stopped, finished, monkeypatch):
    for name in (".DS_Store", "Thumbs.db", "._run.json", "thesis.txt"):
        (stopped / name).write_bytes(b"theirs")
    (stopped / "chain-0" / ".DS_Store").write_bytes(b"theirs")
    monkeypatch.setattr(sampler, "Chain", lambda *_: pytest.fail("it draws, though all draws are there"))
    xr.testing.assert_equal(again(stopped).posterior, finished[1].posterior)
    assert (stopped / "thesis.txt").read_bytes() == b"theirs" and not (stopped / NAME).exists()


@each_damage
@pytest.mark.parametrize("name", [ABOUT, COPY])
def test_a_damaged_description_is_kept_and_the_other_takes_its_place(tmp_path, damage, name):
    about = {"draws": 3, "seed": 7, "model": "m", "study": "s", "nuts": {}}
    run = Run(tmp_path / "run.zarr")
    with run.work(about):
        pass
    place = run.folder / name
    whole = place.read_bytes()
    place.write_bytes(damage(whole))
    assert run.described and run.about()["seed"] == 7
    with pytest.warns(RunWarning, match=f"{name}: this file is damaged; .* says the same"), run.work(about):
        assert place.read_bytes() == whole
    assert (run.folder / f"{DAMAGED}{name}").read_bytes() == damage(whole)


def test_where_both_are_damaged_or_gone_nothing_is_changed_and_it_is_said(stopped):
    for text in ("", "{", "[]", "null", '"x"', "{}", '{"draws": 3}', "[" * 5000, "\0"):
        for name in (ABOUT, COPY):
            (stopped / name).write_text(text)
        before = content(stopped)
        for seed in (3, None):
            with pytest.raises(InputError, match=f"{ABOUT}: this file and {COPY} are damaged"):
                again(stopped, random_seed=seed)
        assert content(stopped) == before
    for name in (ABOUT, COPY):
        (stopped / name).unlink()
    with pytest.raises(InputError, match=f"{ABOUT} and {COPY} are missing"):
        again(stopped)
    assert content(stopped) == {p: c for p, c in before.items() if p.name not in (ABOUT, COPY)}


@pytest.mark.parametrize("name", ["coordinates", "steps"])
def test_draws_are_not_read_in_other_coordinates_or_with_other_steps(stopped, name):
    place = stopped / f"{name}.npz"
    whole = place.read_bytes()
    for damage in (*DAMAGES.values(), None):
        if damage is None:
            place.unlink()
        else:
            place.write_bytes(damage(whole))
        before = content(stopped)
        told = rf"{name}\.npz: this file is (damaged|missing).*nothing with others"
        with pytest.raises(InputError, match=told):
            again(stopped)
        assert content(stopped) == before


@pytest.mark.long
def test_a_run_goes_on_without_a_damaged_file_and_says_where(stopped, finished):
    chains = Run(stopped).chains
    drawn = chains.parts(1)[0]
    for path in stopped.glob("chain-1/part-0/draws-*"):
        path.unlink()
    for first, end in ((0, 16), (16, 30), (30, 40)):
        some = {name: values[first:end] for name, values in drawn.statistics.items()}
        chains.keep(1, 0, first, Segment(drawn.positions[first:end], some))
    place = chains.place(1, 0) / "draws-000016.npz"
    place.write_bytes(place.read_bytes()[:-5])
    with pytest.warns(RunWarning, match="not as it was written"):
        found = again(stopped)
    xr.testing.assert_equal(*(f.posterior.sel(chain=0) for f in (found, finished[1])))
    mine, same = (f.posterior.basal_glucose.sel(chain=1).values for f in (found, finished[1]))
    assert (mine[:26] == same[[*range(16), *range(30, 40)]]).all() and mine.shape == same.shape
    assert json.loads(found.attrs["continued"]) == [{"chain": 1, "draw": 16}, {"chain": 1, "draw": 26}]
    assert load(stopped).identical(found)


@pytest.mark.long
def test_a_pilot_run_and_its_coordinates_are_kept(stopped, finished, monkeypatch):
    """Killed while the chains tuned, and while the pilot run was evaluated: nothing of it is drawn again."""
    for kept in stopped.glob("chain-*"):
        shutil.rmtree(kept)
    about = json.loads((stopped / ABOUT).read_text())
    real = stages.sample

    def sample(*arguments, **named):
        if named.get("doing") == "pilot":
            monkeypatch.setattr(sampler, "Chain", lambda *_: pytest.fail("it draws the pilot run again"))
        try:
            return real(*arguments, **named)
        finally:
            monkeypatch.setattr(sampler, "Chain", chain)

    chain = sampler.Chain
    monkeypatch.setattr(stages, "sample", sample)
    xr.testing.assert_equal(again(stopped).posterior, finished[1].posterior)
    shutil.rmtree(stopped / "fit.zarr")
    run = Run(stopped)
    run._describe({**run.about(), "coordinates": {"modes": about["coordinates"]["modes"]}})
    xr.testing.assert_equal(again(stopped).posterior, finished[1].posterior)
    assert json.loads((stopped / ABOUT).read_text()) == about


@pytest.mark.long
def test_a_chain_that_is_stopped_more_often_than_it_tunes_gets_there(stopped, monkeypatch):
    tuned, start = {}, sampler.Chain._started

    def started(chain, density, sampling, *rest):
        tuned[chain.number] = sampling.tune
        return start(chain, density, sampling, *rest)

    monkeypatch.setattr(sampler.Chain, "_started", started)
    for number, stops in ((0, PATIENCE + 1), (1, 50)):
        shutil.rmtree(stopped / f"chain-{number}")
        kept = Run(stopped).chains
        assert [kept.begin(number, 0) for _ in range(stops)] == list(range(stops))
    again(stopped)
    assert tuned == {0: SETTINGS["tune"] // 4, 1: SHORTEST}


@pytest.mark.long
def test_a_damaged_fit_is_written_anew_from_the_draws(finished, tmp_path):
    folder = tmp_path / "run.zarr"
    shutil.copytree(finished[0], folder)
    place = next(p for p in folder.glob("fit.zarr/posterior/basal_glucose/c/**/0") if p.is_file())
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"not whole any more.*fit\(\.\.\., resume=.*writes it anew"):
        load(folder)
    with pytest.warns(RunWarning, match="It is written anew from the draws of the run"):
        xr.testing.assert_equal(again(folder).posterior, finished[1].posterior)
    assert load(folder).identical(again(folder))


def test_a_fit_is_found_though_a_kill_came_between_the_moves_that_replace_it(finished, tmp_path):
    folder = tmp_path / "run.zarr"
    shutil.copytree(finished[0], folder)
    (folder / "fit.zarr").rename(folder / f"{REPLACED}fit.zarr")
    assert load(folder).identical(finished[1]) and again(folder).identical(finished[1])


def test_a_run_goes_on_with_its_own_seed_and_steps_where_no_others_are_asked_for(finished):
    """The steps of one person's fit adapt by default; those of this run are frozen."""
    folder, first = finished
    silent = {k: v for k, v in SETTINGS.items() if k not in ("random_seed", "steps")}
    assert fit("minimal", "bergman1986", resume=folder, **silent).identical(first)
    with pytest.raises(InputError, match="steps: frozen then, adaptive now"):
        fit("minimal", "bergman1986", resume=folder, steps="adaptive", **silent)


def test_a_run_goes_on_with_its_own_target_acceptance(tmp_path):
    """That of earlier versions was another for several people."""
    folder = tmp_path / "run.zarr"
    begun = json.loads(again(folder, target_accept=0.85).attrs["settings"])
    more = json.loads(again(folder, draws=50).attrs["settings"])
    assert more == begun | {"draws": 50} and more["target_accept"] == 0.85
    with pytest.raises(InputError, match=r"target_accept: 0\.85 then, 0\.8 now"):
        again(folder, draws=50, target_accept=0.8)
    assert json.loads(again(tmp_path / "new.zarr").attrs["settings"])["target_accept"] == 0.9


def test_the_older_fit_stays_until_one_with_more_draws_is_whole(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run.zarr"
    shutil.copytree(finished[0], folder)

    def full(*_):
        raise WriteError("no room")

    with (
        monkeypatch.context() as patch,
        pytest.raises(WriteError, match="no room The draws that are kept stay"),
    ):
        patch.setattr(KeptDraws, "keep", full)
        again(folder, draws=60)
    with pytest.warns(RunWarning, match="asked for 60 draws and has not finished; .* 40"):
        xr.testing.assert_equal(load(folder).posterior, finished[1].posterior)
    assert again(folder, draws=60).posterior.sizes["draw"] == load(folder).posterior.sizes["draw"] == 60


def test_a_folder_that_is_taken_away_while_it_draws_is_a_sentence(tmp_path, monkeypatch):
    folder, keep = tmp_path / "run.zarr", KeptDraws.keep

    def taken_away(kept, *arguments):
        folder.rename(tmp_path / "elsewhere.zarr")
        keep(kept, *arguments)

    with (
        monkeypatch.context() as patch,
        pytest.raises(WriteError, match=r"draws-000000\.npz.*The folder is gone"),
    ):
        patch.setattr(KeptDraws, "keep", taken_away)
        again(folder)
    (tmp_path / "elsewhere.zarr").rename(folder)
    assert again(folder).posterior.sizes["draw"] == SETTINGS["draws"]


def test_a_run_of_an_earlier_version_is_not_gone_on_with_and_its_fit_is_read(stopped, finished):
    about = json.loads((stopped / ABOUT).read_text())
    for key in ("format", "coordinates", "sha256"):
        del about[key]
    (stopped / COPY).unlink()
    (stopped / ABOUT).write_text(json.dumps(about))
    before = content(stopped)
    with pytest.raises(InputError, match="begun by another version of bayesglu"):
        again(stopped)
    assert content(stopped) == before
    shutil.copytree(finished[0] / "fit.zarr", stopped / "fit.zarr")
    assert again(stopped).identical(load(stopped))


def test_a_panic_of_the_sampler_is_an_exception_that_names_the_chain():
    class Panic(BaseException):
        pass

    def wait():
        raise Panic("assertion failed")

    chain = sampler.Chain.__new__(sampler.Chain)
    chain.number, chain.sampler = 3, SimpleNamespace(wait=wait)
    with pytest.raises(sampler.NutpieError, match="nutpie gave up chain 3: assertion failed"):
        chain.end()


# --- who works there ---


ELSEWHERE = """
import sys
from pathlib import Path
from bayesglu.lock import in_use
try:
    with in_use(Path(sys.argv[1])):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


def owner(**changes):
    number = os.getppid()  # of a process that is there
    own = {"host": socket.gethostname(), "process": number, "started": _started(number), "since": "now"}
    return json.dumps({**own, **changes})


def test_one_call_at_a_time_works_in_a_folder(tmp_path):
    with in_use(tmp_path):
        with pytest.raises(InUseError, match=f"process {os.getpid()} on "), in_use(tmp_path):
            pass
        told = subprocess.run([sys.executable, "-c", ELSEWHERE, tmp_path], capture_output=True, text=True)
        assert told.stdout.startswith(f"InUseError {tmp_path}: this folder is in use by another call")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "left",
    [*({"process": number} for number in (2**22 + 5, os.getpid(), -1, "x", 0, 2**70)), {"started": "before"}],
    ids=["nobody's", "this one's", "negative", "a word", "zero", "too large", "another start"],
)
def test_the_folder_of_a_process_that_has_ended_is_taken_over(tmp_path, left):
    (tmp_path / NAME).write_text(owner(**left))
    with in_use(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", [owner(host="elsewhere"), "", "{", "[]"])
def test_of_another_host_it_counts_whether_anybody_keeps_the_file_fresh(tmp_path, left):
    (tmp_path / NAME).write_text(left)
    with pytest.raises(InUseError, match="in use by another call"), in_use(tmp_path):
        pass
    long_ago = time.time() - STALE - 5
    os.utime(tmp_path / NAME, (long_ago, long_ago))
    with pytest.warns(RunWarning, match="nothing was seen for 60 s"), in_use(tmp_path):
        pass


def test_whoever_works_keeps_the_file_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesglu.lock.FRESH", 0.01)
    with in_use(tmp_path):
        os.utime(tmp_path / NAME, (1, 1))
        limit = time.monotonic() + 20
        while (tmp_path / NAME).stat().st_mtime < 2:
            assert time.monotonic() < limit
            time.sleep(0.01)


def test_no_fit_is_saved_where_somebody_makes_a_run(tmp_path):
    folder = tmp_path / "run.zarr"
    folder.mkdir()
    with in_use(folder), pytest.raises(InputError, match="the folder of a run"):
        check_place(folder)
    check_place(folder)


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "run.zarr").touch()
    with pytest.raises(InputError, match="a run is kept in a folder, and this is none"):
        again(tmp_path / "run.zarr")
    with pytest.raises(WriteError, match=r"run\.zarr/deeper\.zarr: cannot be made"):
        again(tmp_path / "run.zarr" / "deeper.zarr")
