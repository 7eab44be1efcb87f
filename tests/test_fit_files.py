"""A fit is in its file whole or not at all, and takes the place of nothing but a fit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import pytest
import xarray as xr
from fake_fit import fake_fit
from test_cli import run

import bayesglu
from bayesglu.atomic import WriteError
from bayesglu.errors import BayesgluError, InputError
from bayesglu.inference import checksums, fit_files
from bayesglu.inference.checksums import CHECKSUMS, DamagedFitError
from bayesglu.inference.fit_files import MARK, check_place, load, save
from bayesglu.sealed import is_sealed

each_ending = pytest.mark.parametrize("ending", fit_files.ENDINGS)

SAVE = """
import sys, time
from pathlib import Path
import xarray as xr
from bayesglu.inference import fit_files

fit = fit_files.load(sys.argv[1])
fit.attrs["study_name"] = "the new one"
def stopped(write):
    def then(*arguments, **settings):
        made = write(*arguments, **settings)
        Path(sys.argv[3]).touch()
        time.sleep(600)
    return then
xr.DataTree.to_netcdf, xr.DataTree.to_zarr = stopped(xr.DataTree.to_netcdf), stopped(xr.DataTree.to_zarr)
fit_files.save(fit, sys.argv[2])
"""

FULL = """
import resource, sys
from bayesglu.inference import fit_files
places = sys.argv[1:]
fits = [fit_files.load(place) for place in places]
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
for fit, place in zip(fits, places):
    try:
        fit_files.save(fit, place)
    except OSError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def fit():
    """Few groups: reading and writing takes time for each variable."""
    whole = fake_fit("minimal")
    few = xr.DataTree.from_dict({name: whole[name] for name in ("posterior", "observed_data", "protocols")})
    few.attrs = whole.attrs
    return few


def as_an_older_version_wrote_it(fit, path):
    """A fit without the mark, which it is that says that one is whole."""
    if path.suffix == ".nc":
        fit.to_netcdf(path, engine="h5netcdf")
    else:
        fit.to_zarr(path, mode="w", consolidated=False)
    return path


@each_ending
def test_a_newer_fit_takes_the_place_of_an_older_one_and_leaves_nothing_beside_it(fit, tmp_path, ending):
    place = as_an_older_version_wrote_it(fit, tmp_path / f"people{ending}")
    for name in ("second", "third"):
        newer = fit.copy()
        newer.attrs = {**fit.attrs, "study_name": name}
        assert load(save(newer, place)).attrs == newer.attrs
        assert list(tmp_path.iterdir()) == [place]


@pytest.mark.long
@each_ending
def test_the_older_fit_outlives_a_kill_while_a_newer_one_is_saved(fit, tmp_path, ending):
    place, begun = save(fit, tmp_path / f"people{ending}"), tmp_path / "begun"
    process = subprocess.Popen([sys.executable, "-c", SAVE, str(place), str(place), str(begun)])
    try:
        limit = time.monotonic() + 120
        while not begun.exists():
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    xr.testing.assert_identical(load(place), fit)


@pytest.mark.long
def test_the_older_fit_outlives_a_disk_that_is_full_and_the_error_says_so(fit, tmp_path):
    places = [save(fit, tmp_path / f"people{ending}") for ending in fit_files.ENDINGS]
    command = [sys.executable, "-c", FULL, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for place, told in zip(places, done.stdout.splitlines(), strict=True):
        assert told.startswith(f"WriteError {place}: cannot be written: File too large")
        xr.testing.assert_identical(load(place), fit)
    assert sorted(tmp_path.iterdir()) == sorted(places)


@each_ending
def test_groups_and_variables_come_back_in_their_order(fit, tmp_path, ending):
    found = load(save(fit, tmp_path / f"people{ending}"))
    assert list(found.children) == list(fit.children)
    for name, group in fit.children.items():
        assert list(found[name].data_vars) == list(group.data_vars)
        assert set(found[name].coords) == set(group.coords)
    kinds = {v.dtype.kind for group in found.subtree for v in group.variables.values()}
    assert kinds <= set("biufU"), "what NumPy casts"


def damages(place):
    """Every file of a fit with every kind of damage, one at a time; of large ones at a few places."""
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())[::5]
    for path in {*files, place if place.is_file() else place / CHECKSUMS}:
        content = path.read_bytes()
        places = {8, len(content) // 2, len(content) - 1}
        for at in sorted(p for p in places if 0 <= p < len(content)):
            for changed in (
                content[:at],
                content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
                content[:at] + bytes(min(4096, len(content) - at)) + content[at + 4096 :],
            ):
                if changed != content:
                    yield path, content, changed


@each_ending
def test_whatever_is_damaged_in_a_file_is_seen_before_a_library_reads_it(fit, tmp_path, monkeypatch, ending):
    place = save(fit, tmp_path / f"people{ending}")
    for name in ("open_datatree", "load_datatree"):
        monkeypatch.setattr(xr, name, lambda *_, **__: pytest.fail("it was read"))
    tried = 0
    for path, whole, changed in damages(place):
        if path == place and not is_sealed(changed):
            continue  # as fits without a checksum: see the next test
        path.write_bytes(changed)
        with pytest.raises(DamagedFitError, match="this fit is not whole any more"):
            load(place)
        path.write_bytes(whole)
        tried += 1
    assert tried > 5


def test_a_netcdf_file_without_checksum_is_read_by_another_process_first(fit, tmp_path, monkeypatch):
    place = as_an_older_version_wrote_it(fit, tmp_path / "people.nc")
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFitError, match="HDF5 cannot read it to its end"):
        load(place)
    for stands_for_hdf5 in ("while True: pass", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"):
        monkeypatch.setattr(checksums, "READ", stands_for_hdf5)
        monkeypatch.setattr(checksums, "LONGEST", 0.5)
        place.write_bytes(whole)
        with pytest.raises(DamagedFitError, match="HDF5 cannot read it to its end"):
            load(place)


def test_what_another_program_changed_is_named_and_what_it_only_wrote_anew_is_read(fit, tmp_path):
    place = save(fit, tmp_path / "people.nc")
    with h5py.File(place, "r+") as file:
        file.attrs["study_name"] = "another"
    assert not is_sealed(place.read_bytes()) and load(place).attrs["study_name"] == "another"
    with h5py.File(place, "r+") as file:
        file["posterior/insulin_sensitivity"][0, 0] *= 2
    with pytest.raises(DamagedFitError, match="other numbers than were written have posterior/insulin_sens"):
        load(place)
    place = save(fit, tmp_path / "people.zarr")
    (place / CHECKSUMS).unlink()
    xr.testing.assert_identical(load(place), fit)


def test_attributes_that_cannot_be_read_are_named(fit, tmp_path):
    odd = fit.copy()
    odd.attrs = {**fit.attrs, "settings": "[[[", "format": "two"}
    with pytest.raises(InputError, match="attributes that cannot be read: settings, format"):
        load(save(odd, tmp_path / "people.nc"))


def test_what_a_file_manager_leaves_in_a_fit_is_no_reason_to_refuse_it(fit, tmp_path):
    place = save(fit, tmp_path / "people.zarr")
    for folder in (place, place / "posterior", place / "posterior" / "chain" / "c"):
        (folder / ".DS_Store").write_bytes(b"\0\1")
    xr.testing.assert_identical(load(place), fit)
    save(fit, place)


@each_ending
def test_a_fit_without_the_mark_is_not_taken_for_whole(fit, tmp_path, ending):
    half = xr.DataTree.from_dict({"posterior": fit.posterior.to_dataset()})
    half.attrs = dict(fit.attrs)
    place = as_an_older_version_wrote_it(half, tmp_path / f"half{ending}")
    with pytest.raises(BayesgluError, match="bears no mark that it was written to its end"):
        load(place)


def test_a_fit_that_lacks_what_its_mark_names_is_not_whole(fit, tmp_path):
    place = save(fit, tmp_path / "people.zarr")
    shutil.rmtree(place / "posterior" / "insulin_sensitivity")
    shutil.rmtree(place / "protocols")
    for _ in range(2):
        with pytest.raises(BayesgluError, match="not whole any more; it lacks posterior/insulin_sens"):
            load(place)
        (place / CHECKSUMS).unlink(missing_ok=True)


def test_the_mark_is_the_files_and_not_the_fits(fit, tmp_path):
    place = save(fit, tmp_path / "people.zarr")
    kept = json.loads((place / "zarr.json").read_text())["attributes"]
    assert set(json.loads(kept[MARK])) == set(fit.children)
    assert MARK not in fit.attrs and MARK not in load(place).attrs


def strange_places(folder, fit):
    """Places where no fit may be saved, with what must be said of them and still be there afterwards."""
    (folder / "mine.zarr").mkdir()
    (folder / "mine.zarr" / "thesis.txt").write_text("all I have")
    yield folder / "mine.zarr", "thesis.txt", folder / "mine.zarr" / "thesis.txt"
    among = save(fit, folder / "among.zarr") / "posterior" / "thesis.txt"
    among.write_text("all I have")
    yield folder / "among.zarr", "thesis.txt", among
    xr.DataTree.from_dict({"a": xr.Dataset({"x": ("i", [1.0])})}).to_zarr(
        folder / "other.zarr", consolidated=False
    )
    yield folder / "other.zarr", "something else is there", folder / "other.zarr" / "zarr.json"
    xr.Dataset({"x": ("i", [1.0])}).to_netcdf(folder / "other.nc", engine="h5netcdf")
    yield folder / "other.nc", "something else is there", folder / "other.nc"
    (folder / "text.nc").write_text("all I have")
    yield folder / "text.nc", "something else is there", folder / "text.nc"
    (folder / "file.zarr").write_text("all I have")
    yield folder / "file.zarr", "something else is there", folder / "file.zarr"
    (folder / "folder.nc").mkdir()
    yield folder / "folder.nc", "something else is there", folder / "folder.nc"
    (folder / "run.zarr").mkdir()
    (folder / "run.zarr" / "run.json").write_text("{}")
    yield folder / "run.zarr", "the folder of a run", folder / "run.zarr" / "run.json"
    yield folder / "run.zarr" / "fit.zarr", "the folder of a run", folder / "run.zarr" / "run.json"
    (folder / "link.zarr").symlink_to(folder / "run.zarr")
    yield folder / "link.zarr", "the folder of a run", folder / "run.zarr" / "run.json"
    yield folder / "absent" / "people.nc", "does not exist", folder


def test_nothing_but_a_fit_is_ever_replaced(fit, tmp_path):
    for place, told, kept in strange_places(tmp_path, fit):
        with pytest.raises(BayesgluError, match=told):
            save(fit, place)
        assert kept.exists() and (kept.suffix != ".txt" or kept.read_text() == "all I have")


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_done(tmp_path, monkeypatch):
    def read_only(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(WriteError, match=r"people\.nc: cannot be written: Read-only file system"):
        check_place(tmp_path / "people.nc")


def test_only_a_fit_is_saved(tmp_path):
    for given in (xr.Dataset(), None, xr.DataTree()):
        with pytest.raises(InputError, match="A fit is needed"):
            save(given, tmp_path / "people.nc")


def test_a_file_or_a_folder_with_nothing_in_it_may_be_written_to(fit, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.nc").touch()
    for ending in fit_files.ENDINGS:
        assert load(save(fit, tmp_path / f"empty{ending}")).identical(fit)


def test_the_command_line_refuses_such_a_place_before_it_samples(fit, tmp_path, monkeypatch):
    monkeypatch.setitem(bayesglu.__dict__, "fit", lambda *_, **__: pytest.fail("it began to sample"))
    words = ("fit", "bergman1986", "--model", "minimal")
    for place, told, kept in strange_places(tmp_path, fit):
        answered = run(*words, "--out", place)
        assert answered.exit_code == 1 and told in answered.stderr and kept.exists()
    new_run = tmp_path / "new.zarr"
    answered = run(*words, "--resume", new_run, "--out", new_run)
    assert answered.exit_code == 1 and "the folder of a run" in answered.stderr
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bergman1986-minimal.nc").write_text("all I have")
    assert run(*words).exit_code == 1
    assert (tmp_path / "bergman1986-minimal.nc").read_text() == "all I have"


def test_a_place_is_good_where_nothing_is(tmp_path):
    check_place(tmp_path / "people.nc", run=tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_thinned_fit_is_smaller_is_read_as_one_and_says_so(tmp_path):
    fit = fake_fit(draws=100)
    whole, thin = save(fit, tmp_path / "whole.nc"), save(fit, tmp_path / "thin.nc", thin=10)
    assert thin.stat().st_size < 0.65 * whole.stat().st_size
    again = load(thin)
    assert again.attrs["thinned"] == 10 and "thinned" not in fit.attrs
    assert again.posterior.equals(fit.posterior.isel(draw=slice(None, None, 10)))
    assert again.prior.equals(fit.prior)
    assert "1 of 10 draws was kept when the fit was saved" in bayesglu.check(again, warn=False).sentences[0]
    assert load(save(again, tmp_path / "again.nc", thin=2)).attrs["thinned"] == 20
    with pytest.raises(InputError, match="thin is 200; the fit has 100 draws per chain"):
        save(fit, tmp_path / "none.nc", thin=200)
