"""A run that is stopped, even killed, goes on from what it had written."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from bayesglu.analysis.checks import check
from bayesglu.inference.fitting import SHORTEST_WITH_PILOT, fit, load, with_data
from bayesglu.inference.sampler import CHUNK, RETUNE, Run, Sampling
from bayesglu.study.study import load_study

SHORT = {"draws": 320, "tune": 100, "chains": 2, "random_seed": 3, "progressbar": False}
QUICK = {**SHORT, "draws": 40, "tune": SHORTEST_WITH_PILOT}
SLOWED = """
import sys, time
from bayesglu.inference import fitting as fit
from bayesglu.inference import sampler as chains
whole = chains.log_density
def slow(*arguments):
    time.sleep(float(sys.argv[2]))
    return whole(*arguments)
chains.log_density = slow
fit.fit("minimal", "bergman1986", resume=sys.argv[1], cores=2, **{settings!r})
"""


def killed(folder, seconds_a_solve, when):
    """A run in a process of its own that is killed as soon as `when(folder)` is true."""
    script = SLOWED.format(settings=SHORT)
    process = subprocess.Popen([sys.executable, "-c", script, str(folder), str(seconds_a_solve)])
    try:
        began = time.monotonic()
        while not when(folder):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() - began < 120
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def kept(folder):
    return [sum(len(p.positions) for p in Run(folder).parts(chain)) for chain in range(SHORT["chains"])]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole") / "run.zarr"
    return folder, fit("minimal", "bergman1986", resume=folder, **SHORT)


def test_draws_kept_on_disk_are_those_that_would_have_been_kept_in_memory(whole):
    folder, kept_on_disk = whole
    in_memory = fit("minimal", "bergman1986", **SHORT)
    xr.testing.assert_equal(kept_on_disk.posterior, in_memory.posterior)
    xr.testing.assert_equal(kept_on_disk.sample_stats, in_memory.sample_stats)
    xr.testing.assert_equal(load(folder).posterior, in_memory.posterior)
    assert json.loads(in_memory.attrs["continued"]) == []


def test_a_chain_does_not_depend_on_what_runs_beside_it(whole):
    alone = fit("minimal", "bergman1986", cores=1, **SHORT)
    xr.testing.assert_equal(alone.posterior, whole[1].posterior)


def test_killed_while_it_tunes_a_run_ends_the_same_to_the_last_bit(whole, tmp_path):
    folder = tmp_path / "run.zarr"
    killed(folder, 0.002, lambda f: len(list(f.glob("chain-*/part-0"))) == 2)
    assert kept(folder) == [0, 0]
    again = fit("minimal", "bergman1986", resume=folder, **SHORT)
    xr.testing.assert_equal(again.posterior, whole[1].posterior)
    assert json.loads(again.attrs["continued"]) == []


def test_killed_while_it_draws_a_run_goes_on_and_says_so(whole, tmp_path):
    folder = tmp_path / "run.zarr"

    def has_draws(folder):
        return len(list(folder.glob("chain-0/part-0/posterior/position/c/0/*"))) >= 6

    killed(folder, 0.0005, has_draws)
    before = [Run(folder).parts(chain)[0].positions for chain in (0,)]
    made = len(before[0])
    assert made % CHUNK == 0 and 4 * CHUNK <= made < SHORT["draws"]
    with pytest.raises(ValueError, match=r"has not finished; fit\(\.\.\., resume="):
        load(folder)
    again = fit("minimal", "bergman1986", resume=folder, **SHORT)
    assert again.posterior.sizes["draw"] == SHORT["draws"]
    first, same = again.posterior.sel(chain=0), whole[1].posterior.sel(chain=0)
    xr.testing.assert_equal(
        first.isel(draw=slice(made)).to_dataset(), same.isel(draw=slice(made)).to_dataset()
    )
    assert {"chain": 0, "draw": made} in json.loads(again.attrs["continued"])
    assert f"went on with a short new tuning: chain 0 after draw {made}" in str(check(again, warn=False))
    # What was drawn after the stop is of the same posterior.
    for name in ("insulin_sensitivity", "glucose_volume"):
        a = np.log(first[name].isel(draw=slice(made, None)).values.ravel())
        b = np.log(whole[1].posterior[name].values.ravel())
        assert abs(a.mean() - b.mean()) < 0.5 * b.std()
        assert 0.6 < a.std() / b.std() < 1.6
    xr.testing.assert_equal(load(folder).posterior, again.posterior)


def test_more_draws_go_on_from_those_that_there_are(tmp_path):
    folder = tmp_path / "run.zarr"
    few = fit("minimal", "bergman1986", resume=folder, **QUICK)
    xr.testing.assert_equal(fit("minimal", "bergman1986", resume=folder, **QUICK).posterior, few.posterior)
    many = fit("minimal", "bergman1986", resume=folder, **{**QUICK, "draws": 60, "random_seed": None})
    xr.testing.assert_equal(many.posterior.isel(draw=slice(40)).to_dataset(), few.posterior.to_dataset())
    assert json.loads(many.attrs["continued"]) == [{"chain": c, "draw": 40} for c in (0, 1)]
    assert QUICK["tune"] <= RETUNE and load(folder).posterior.sizes["draw"] == 60


def test_a_run_of_something_else_is_not_gone_on_with(tmp_path):
    folder = tmp_path / "run.zarr"
    fit("minimal", "bergman1986", resume=folder, **QUICK)
    other = {**QUICK, "tune": 210, "random_seed": 4, "draws": 30}
    with pytest.raises(ValueError) as error:
        fit("minimal", load_study("bergman1986", "ivgtt(0.25)"), resume=folder, **other)
    for told in ("draws: 40 then, only 30 now", "tune: 200 then, 210 now", "seed: 3 then, 4 now", "study: "):
        assert told in str(error.value)
    with pytest.raises(ValueError, match=r"name ends in \.zarr"):
        fit("minimal", "bergman1986", resume=tmp_path / "run", **QUICK)
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(ValueError, match="something else here"):
        fit("minimal", "bergman1986", resume=tmp_path / "mine.zarr", **QUICK)
    with pytest.raises(ValueError, match="resume keeps draws of method 'nuts'"):
        fit("minimal", "bergman1986", resume=folder, method="map", **QUICK)


def test_a_new_study_is_fitted_as_the_old_one_was():
    first = fit(
        "minimal", "bergman1986", coordinates="non-centred", target_accept=0.85, relative=1e-5, **QUICK
    )
    study = load_study("bergman1986", "ivgtt(0.25)")
    again = with_data(first, study, random_seed=5, draws=20, progressbar=False)
    same = {name: value for name, value in json.loads(first.attrs["settings"]).items() if name != "draws"}
    assert json.loads(again.attrs["settings"]) == {**same, "draws": 20, "seed": 5}
    assert again.attrs["study_hash"] == study.hash != first.attrs["study_hash"]
    assert again.attrs["model_hash"] == first.attrs["model_hash"]
    assert {f for f in Sampling.__dataclass_fields__} == set(json.loads(again.attrs["settings"]))
