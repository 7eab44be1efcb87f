"""Fits that other versions wrote are read, and answer what they answered then."""

import json
import lzma
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit

import bayesglu
from bayesglu import check, load, summarize_individuals, summarize_population
from bayesglu.analysis.summaries import minimal_model_indices
from bayesglu.errors import FitWarning, InputError
from bayesglu.hierarchy import names
from bayesglu.inference.datatree import FORMAT
from bayesglu.spec.model import load_model

FOLDER = Path(__file__).parent / "data"
FITS = sorted(FOLDER.glob("*/*.nc.xz"))

sys.path.insert(0, str(FOLDER))
import make as kept  # noqa: E402


def unpacked(path, folder):
    """A kept fit as the file that was written then."""
    file = folder / path.name.removesuffix(".xz")
    file.write_bytes(lzma.decompress(path.read_bytes()))
    return file


def written(tree, path, **attrs):
    """A tree in a file, with some attributes changed and no look at what is in it."""
    changed = tree.copy()
    changed.attrs = {**tree.attrs, **attrs}
    changed.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("path", FITS, ids=lambda path: f"{path.stem} of {path.parent.name}")
def test_a_kept_fit_loads_and_answers_what_it_answered_when_it_was_made(path, tmp_path):
    fit = load(unpacked(path, tmp_path))
    answer = json.loads((path.parent / "answers.json").read_text())[path.name.partition(".")[0]]
    if "values" not in answer:
        found = minimal_model_indices(fit)
        for name, expected in answer["minimal_model_indices"].items():
            assert float(found[name].median()) == pytest.approx(expected, rel=1e-9)
        return
    for output, values in kept.answer(fit, answer).items():
        np.testing.assert_allclose(values, answer["values"][output], rtol=1e-5)


@pytest.mark.parametrize("path", FITS, ids=lambda path: f"{path.stem} of {path.parent.name}")
def test_whatever_is_asked_of_a_fit_can_be_asked_of_a_kept_one(path, tmp_path):
    fit = load(unpacked(path, tmp_path))
    spec = load_model("feedback") if path.name.startswith("whole") else None
    assert fit.attrs["format"] == FORMAT
    assert sha256(fit.attrs["model_text"].encode()).hexdigest() == fit.attrs["model_hash"]
    check(fit, warn=False)
    for table in (summarize_population(fit), summarize_individuals(fit)):
        assert np.isfinite(table["median"]).all()
    bayesglu.plots.fit_overview(fit)
    measured = set(fit.observed_data.data_vars)
    for group in ("posterior_predictive", "fitted", "log_likelihood"):
        assert set(fit[group].data_vars) == measured
    assert all(values.dims == (names.observations(a),) for a, values in fit.observed_data.data_vars.items())
    if spec is not None:
        assert measured == set(spec.analytes)
        effects = set(fit.posterior.effect.values)
        assert "insulin_sensitivity by group:T2D" in effects
        assert "glucagon_background" in fit.posterior and "occasion" in fit.posterior.emptying_rate.dims


def test_a_fit_that_was_read_from_an_old_file_is_saved_and_loaded_as_a_new_one(tmp_path):
    old = load(unpacked(FOLDER / "14a2322" / "whole_loop.nc.xz", tmp_path))
    again = load(bayesglu.save(old, tmp_path / "new.nc"))
    xr.testing.assert_identical(old, again)
    assert json.loads(again.attrs["read_from"])["bayesglu_version"]


def test_an_old_fit_that_lacks_something_or_whose_model_was_edited_is_refused(tmp_path):
    file = unpacked(FOLDER / "14a2322" / "ivgtt.nc.xz", tmp_path)
    tree = xr.load_datatree(file, engine="h5netcdf")
    text = tree.attrs["model_text"].replace("gsd = 1.", "gsd = 2.", 1)
    assert text != tree.attrs["model_text"]
    with pytest.raises(InputError, match="not the one that was fitted; its hash differs"):
        load(written(tree, tmp_path / "edited.nc", model_text=text))
    half = tree.copy()
    half["posterior"] = xr.DataTree(tree.posterior.to_dataset().drop_vars("insulin_sensitivity"))
    with pytest.raises(InputError, match="not whole; it lacks posterior/insulin_sensitivity"):
        load(written(half, tmp_path / "half.nc"))


def test_a_fit_of_a_later_format_or_with_an_edited_model_is_refused_and_other_equations_warn(tmp_path):
    tree = fake_fit("ivgtt", subjects=1, draws=5)
    tree = xr.load_datatree(bayesglu.save(tree, tmp_path / "fit.nc"), engine="h5netcdf")
    with pytest.raises(InputError, match="format 99, of a later version of bayesglu"):
        load(written(tree, tmp_path / "later.nc", format=99))
    text = tree.attrs["model_text"].replace("gsd = 1.", "gsd = 2.", 1)
    with pytest.raises(InputError, match="not the one that was fitted; its hash differs"):
        load(written(tree, tmp_path / "edited.nc", model_text=text))
    equations = json.loads(tree.attrs["equations"])
    equations["insulin_secretion"] *= 1.01
    with pytest.warns(FitWarning, match="equations of insulin_secretion have changed since this fit"):
        load(written(tree, tmp_path / "other.nc", equations=json.dumps(equations)))
