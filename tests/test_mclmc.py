"""The unadjusted sampler is named as what it is, and keeps the promises that NUTS keeps."""

import json

import pytest
import xarray as xr

from bayesglu.analysis.checks import check
from bayesglu.errors import InputError
from bayesglu.inference.fitting import fit, refit

SHORT = {"draws": 60, "tune": 200, "chains": 2, "random_seed": 1, "progressbar": False, "method": "mclmc"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that is kept, and its fit."""
    folder = tmp_path_factory.mktemp("mclmc") / "run.zarr"
    return folder, fit("minimal", "bergman1986", resume=folder, **SHORT)


def test_the_same_seed_gives_the_same_draws_kept_or_not(run):
    again = fit("minimal", "bergman1986", cores=1, **SHORT)
    xr.testing.assert_equal(again.posterior, run[1].posterior)
    xr.testing.assert_equal(again.sample_stats, run[1].sample_stats)


def test_it_is_resumed_with_more_draws_and_by_no_other_method(run):
    folder, few = run
    with pytest.raises(InputError, match="method: mclmc then, nuts now"):
        fit("minimal", "bergman1986", resume=folder, **{**SHORT, "method": "nuts"})
    more = fit("minimal", "bergman1986", resume=folder, **{**SHORT, "draws": 70})
    xr.testing.assert_equal(more.posterior.isel(draw=slice(60)).to_dataset(), few.posterior.to_dataset())
    assert json.loads(more.attrs["continued"]) == [{"chain": c, "draw": 60} for c in (0, 1)]


def test_its_statistics_have_the_names_of_arviz_and_its_failures_are_counted(run):
    statistics, told = run[1].sample_stats, run[1].attrs
    assert {"lp", "acceptance_rate", "n_steps", "step_size", "diverging", "energy"} <= set(statistics)
    assert statistics.step_size.min() > 0.06 and statistics.step_size.max() < 0.14
    assert isinstance(json.loads(told["failed_solves"]), list) and told["method"] == "mclmc"


def test_a_check_says_that_it_is_not_exact(run):
    told = str(check(run[1], warn=False))
    assert "is not adjusted" in told and "E-BFMI" not in told


def test_it_is_refit_as_it_was(run):
    again = refit(run[1], "bergman1986", random_seed=1, progressbar=False)
    xr.testing.assert_equal(again.posterior, run[1].posterior)


def test_a_fit_by_nuts_is_refit_by_it():
    first = fit("minimal", "bergman1986", **{**SHORT, "method": "nuts"})
    again = refit(first, "bergman1986", random_seed=1, progressbar=False, method="mclmc", draws=20)
    assert again.attrs["method"] == "mclmc" and json.loads(again.attrs["settings"])["nuts"] == {}


@pytest.mark.parametrize("settings", [{"nuts": {"maxdepth": 8}}, {"parametrization": "noncentered"}])
def test_what_it_does_not_have_is_refused(settings):
    with pytest.raises(InputError, match="method 'mclmc'"):
        fit("minimal", "bergman1986", **SHORT, **settings)
