"""Fits that other versions wrote are read, and answer what they answered then."""

import json
import lzma
import shutil
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import h5py
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


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """What gives the kept fit of a path, read once for all who ask."""
    return cache(lambda path: load(unpacked(path, tmp_path_factory.mktemp("kept"))))


def written(file, name, lost=None, **attrs):
    """A copy of a fit's file, with some attributes changed or a variable lost, and no look at what is in
    it."""
    path = shutil.copy(file, file.with_name(name))
    with h5py.File(path, "r+") as copy:
        copy.attrs.update(attrs)
        if lost:
            del copy[lost]
    return path


def attributes(file) -> dict:
    with h5py.File(file, "r") as fit:
        return dict(fit.attrs)


@pytest.mark.parametrize("path", FITS, ids=lambda path: f"{path.stem} of {path.parent.name}")
def test_a_kept_fit_loads_and_answers_what_it_answered_when_it_was_made(path, loaded):
    fit = loaded(path)
    answer = json.loads((path.parent / "answers.json").read_text())[path.name.partition(".")[0]]
    if "values" not in answer:
        found = minimal_model_indices(fit)
        for name, expected in answer["minimal_model_indices"].items():
            assert float(found[name].median()) == pytest.approx(expected, rel=1e-9)
        return
    for output, values in kept.answer(fit, answer).items():
        np.testing.assert_allclose(values, answer["values"][output], rtol=1e-5)


@pytest.mark.parametrize("path", FITS, ids=lambda path: f"{path.stem} of {path.parent.name}")
def test_whatever_is_asked_of_a_fit_can_be_asked_of_a_kept_one(path, loaded):
    fit = loaded(path)
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


def test_a_fit_that_was_read_from_an_old_file_is_saved_and_loaded_as_a_new_one(loaded, tmp_path):
    old = loaded(FOLDER / "14a2322" / "whole_loop.nc.xz")
    again = load(bayesglu.save(old, tmp_path / "new.nc"))
    xr.testing.assert_identical(old, again)
    assert json.loads(again.attrs["read_from"])["bayesglu_version"]


def test_an_old_fit_that_lacks_something_or_whose_model_was_edited_is_refused(tmp_path):
    file = unpacked(FOLDER / "14a2322" / "ivgtt.nc.xz", tmp_path)
    text = attributes(file)["model_text"]
    edited = text.replace("gsd = 1.", "gsd = 2.", 1)
    assert edited != text
    with pytest.raises(InputError, match="not the one that was fitted; its hash differs"):
        load(written(file, "edited.nc", model_text=edited))
    with pytest.raises(InputError, match="not whole; it lacks posterior/insulin_sensitivity"):
        load(written(file, "half.nc", lost="posterior/insulin_sensitivity"))


def test_a_fit_of_a_later_format_or_with_an_edited_model_is_refused_and_other_equations_warn(tmp_path):
    file = bayesglu.save(fake_fit("ivgtt", subjects=1, draws=5), tmp_path / "fit.nc")
    with pytest.raises(InputError, match="format 99, of a later version of bayesglu"):
        load(written(file, "later.nc", format=99))
    text = attributes(file)["model_text"].replace("gsd = 1.", "gsd = 2.", 1)
    with pytest.raises(InputError, match="not the one that was fitted; its hash differs"):
        load(written(file, "edited.nc", model_text=text))
    equations = json.loads(attributes(file)["equations"])
    equations["insulin_secretion"] *= 1.01
    with pytest.warns(FitWarning, match="equations of insulin_secretion have changed since this fit"):
        load(written(file, "other.nc", equations=json.dumps(equations)))
