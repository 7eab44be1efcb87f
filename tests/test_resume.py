"""A run that is stopped, even killed, goes on from what it had written."""

import json
import shutil
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import xarray as xr

from bayesglu.analysis.checks import check
from bayesglu.analysis.diagnostics import mixing
from bayesglu.atomic import UNFINISHED, remove
from bayesglu.hierarchy.design import make_design
from bayesglu.inference import sampler
from bayesglu.inference.density import Density
from bayesglu.inference.fit_files import load
from bayesglu.inference.fitting import fit, refit
from bayesglu.inference.kept_draws import STATISTICS, KeptDraws, Segment
from bayesglu.inference.modes import find_modes
from bayesglu.inference.progress import Progress
from bayesglu.inference.run_folder import Run
from bayesglu.inference.sampler import CHUNK, RETUNE, Failures, Sampling, sample
from bayesglu.inference.stages import SHORTEST_WITH_PILOT
from bayesglu.spec.model import load_model
from bayesglu.study.study import load_study

SHORT = {"draws": 320, "tune": 100, "chains": 2, "random_seed": 3, "progressbar": False}
QUICK = {**SHORT, "draws": 40, "tune": SHORTEST_WITH_PILOT, "steps": "frozen"}
STOPPING = """
import ctypes, sys, time
from pathlib import Path
from bayesglu.inference import fitting, from_nutpie, sampler
sampler.OFTEN = 0.0
folder, addresses, solves, alive = Path(sys.argv[1]), from_nutpie._addresses, [], []
density = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)
def stopping(compiled):
    evaluate, expand = addresses(compiled)
    whole = density(evaluate)
    def waiting(*arguments):
        solves.append(1)
        while {stop}:
            time.sleep(0.01)
        return whole(*arguments)
    alive.append(density(waiting))
    return ctypes.cast(alive[-1], ctypes.c_void_p).value, expand
from_nutpie._addresses = stopping
fitting.fit("minimal", "bergman1986", resume=folder, cores=2, **{settings!r})
"""
IN_THE_LAST_WRITE = """
import sys, time
from pathlib import Path
import xarray as xr
from bayesglu.inference import fitting
write = xr.DataTree.to_zarr
def stopping(tree, *arguments, **settings):
    half = xr.DataTree.from_dict({{"posterior": tree.posterior.to_dataset()}})
    half.attrs = tree.attrs
    write(half, *arguments, **settings)
    (Path(sys.argv[1]) / "stopped").touch()
    time.sleep(600)
xr.DataTree.to_zarr = stopping
fitting.fit("minimal", "bergman1986", resume=sys.argv[1], **{settings!r})
"""


def killed(folder, script, when):
    """A run in a process of its own, which stops by itself, and is killed as soon as `when()` is true."""
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    try:
        limit = time.monotonic() + 300
        while not when():
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def kept(folder):
    """How many draws of each chain are kept."""
    chains = Run(folder).chains
    return [sum(map(len, chains.parts(chain).values())) for chain in range(SHORT["chains"])]


def positions(folder, chain):
    """The sampler's draws of a chain that are kept, in their order."""
    return np.concatenate([part.positions for part in Run(folder).chains.parts(chain).values()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole") / "run.zarr"
    return folder, fit("minimal", "bergman1986", resume=folder, **SHORT)


@pytest.mark.long
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


@pytest.mark.long
def test_killed_while_it_tunes_a_run_ends_the_same_to_the_last_bit(whole, tmp_path):
    folder = tmp_path / "run.zarr"
    stop = (
        f"len(solves) >= {SHORT['tune'] // 2}"  # a draw takes one solve or more: nobody has tuned to the end
    )
    script = STOPPING.format(stop=stop, settings=SHORT)
    killed(folder, script, lambda: len(list(folder.glob("chain-*/part-0/begun"))) == 2)
    assert kept(folder) == [0, 0]
    again = fit("minimal", "bergman1986", resume=folder, **SHORT)
    xr.testing.assert_equal(again.posterior, whole[1].posterior)
    assert json.loads(again.attrs["continued"]) == []


@pytest.mark.long
def test_killed_while_it_draws_a_run_keeps_its_draws_resumes_and_says_so(whole, tmp_path):
    folder = tmp_path / "run.zarr"
    stop = "any(folder.glob('chain-0/part-0/draws-*'))"  # some draws, and far from all
    killed(
        folder,
        STOPPING.format(stop=stop, settings=SHORT),
        lambda: any(folder.glob("chain-0/part-0/draws-*")),
    )
    made = kept(folder)
    assert CHUNK <= made[0] < SHORT["draws"]
    with pytest.raises(ValueError, match=r"has not finished; fit\(\.\.\., resume="):
        load(folder)
    again = fit("minimal", "bergman1986", resume=folder, **SHORT)
    stops = [{"chain": c, "draw": n} for c, n in enumerate(made) if 0 < n < SHORT["draws"]]
    assert json.loads(again.attrs["continued"]) == stops
    for chain, n in enumerate(made):
        np.testing.assert_array_equal(positions(folder, chain)[:n], positions(whole[0], chain)[:n])
        drawn = [len(part) for part in Run(folder).chains.parts(chain).values()]
        assert drawn == [each for each in (n, SHORT["draws"] - n) if each], "as many as were missing, no more"
    for stop in stops:
        told = f"chain {stop['chain']} after draw {stop['draw']}"
        assert told in str(check(again, warn=False))
    xr.testing.assert_equal(load(folder).posterior, again.posterior)


class HandedOver(KeptDraws):
    """A run in which some draws of each chain are kept already."""

    def __init__(self, folder, draws):
        super().__init__(folder)
        folder.mkdir()
        self.draws = draws  # (chain, draw, x)

    def parts(self, chain):
        nothing = np.zeros(self.draws.shape[1])
        return {0: Segment(self.draws[chain], dict.fromkeys(STATISTICS, nothing))}

    def finish(self, chain, part, draws):
        pass


@pytest.mark.sampling
@pytest.mark.apart
def test_what_is_drawn_after_resuming_is_of_the_same_posterior(tmp_path):
    """24 chains are handed a draw each of a run that nothing stopped, and are resumed from there. The Monte
    Carlo error of the difference of two means is about 0.04 SD in each coordinate, and 0.06 to 0.16 of the
    mean square. In 38 repetitions with other seeds the largest of the 78 differences was 2.2 to 4.3 such
    errors."""
    d = make_design(load_model("minimal"), load_study("bergman1986"))
    density, failures = Density(d, find_modes(d).expansion), Failures(d)
    settings = {"target_accept": 0.9, "parametrization": "whitened", "steps": "adaptive"}
    one = partial(Sampling, "nuts", **settings, nuts={}, solver={})
    sampled, _, _ = sample(density, one(1000, 200, 4, 1), failures, Progress())
    pooled, before = [], np.random.default_rng(0).permutation(np.concatenate(sampled))
    for seed in (2, 3, 4):
        run = HandedOver(tmp_path / f"{seed}", before[8 * seed :][:8, None])
        asked = one(1 + 120, 200, 8, seed)
        made, _, stops = sample(density, asked, failures, Progress(), run=run)
        assert made.shape == (8, 121, density.size) and [s["draw"] for s in stops] == [1] * 8
        pooled.append(made[:, 1:])
    after = np.concatenate(pooled)
    centre, scale = sampled.mean((0, 1)), sampled.std((0, 1))
    for statistic in (lambda x: (x - centre) / scale, lambda x: ((x - centre) / scale) ** 2):
        two = [statistic(draws) for draws in (sampled, after)]
        means = [each.mean((0, 1)) for each in two]
        errors = [each.std((0, 1)) / np.sqrt(mixing(each).ess_bulk) for each in two]
        assert (np.abs(means[0] - means[1]) < 6 * np.hypot(*errors)).all()
        assert np.hypot(*errors).max() < 0.3, "too few draws to see anything"


def test_stopped_before_it_began_a_run_begins(tmp_path):
    folder = tmp_path / "run.zarr"
    folder.mkdir()
    (folder / f"{UNFINISHED}1234.json").touch()
    (folder / ".DS_Store").touch()
    assert not Run(folder).described
    (folder / "thesis.txt").touch()
    with pytest.raises(ValueError, match="something else here"):
        Run(folder)


@pytest.mark.long
@pytest.mark.parametrize("with_mark", [False, True], ids=["of an older version", "of this one"])
def test_a_fit_that_was_cut_short_in_its_last_write_is_written_again_from_its_draws(
    whole, with_mark, tmp_path, monkeypatch
):
    folder = tmp_path / "run.zarr"
    shutil.copytree(whole[0], folder)
    remove(folder / "fit.zarr")
    if with_mark:
        script = IN_THE_LAST_WRITE.format(settings=SHORT)
        killed(folder, script, lambda: (folder / "stopped").exists())
    else:
        half = xr.DataTree.from_dict({"posterior": whole[1].posterior.to_dataset()})
        half.attrs = whole[1].attrs
        half.to_zarr(folder / "fit.zarr", consolidated=False)
    with pytest.raises(ValueError, match="has not finished"):
        load(folder)
    monkeypatch.setattr(sampler, "Chain", lambda *_: pytest.fail("it draws, though all draws are there"))
    again = fit("minimal", "bergman1986", resume=folder, **SHORT)
    for found in (again, load(folder)):
        assert set(found.children) == set(whole[1].children)
        xr.testing.assert_equal(found.posterior, whole[1].posterior)
    xr.testing.assert_equal(fit("minimal", "bergman1986", resume=folder, **SHORT), load(folder))


def test_more_draws_go_on_from_those_that_there_are(tmp_path):
    folder = tmp_path / "run.zarr"
    few = fit("minimal", "bergman1986", resume=folder, **QUICK)
    before = [positions(folder, chain) for chain in (0, 1)]
    xr.testing.assert_equal(fit("minimal", "bergman1986", resume=folder, **QUICK).posterior, few.posterior)
    many = fit("minimal", "bergman1986", resume=folder, **{**QUICK, "draws": 60, "random_seed": None})
    for chain in (0, 1):
        np.testing.assert_array_equal(positions(folder, chain)[:40], before[chain])
    tolerances = [json.loads(each.attrs["weights"])["tolerance"] for each in (few, many)]
    assert tolerances[0] == tolerances[1]
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
    with pytest.raises(ValueError, match="resume keeps draws of chains"):
        fit("minimal", "bergman1986", resume=folder, method="laplace", **QUICK)


def test_a_new_study_is_fitted_as_the_old_one_was():
    first = fit(
        "minimal", "bergman1986", parametrization="noncentered", target_accept=0.85, rtol=1e-5, **QUICK
    )
    study = load_study("bergman1986", "ivgtt(0.25)")
    again = refit(first, study, random_seed=5, draws=20, progressbar=False)
    same = {name: value for name, value in json.loads(first.attrs["settings"]).items() if name != "draws"}
    assert json.loads(again.attrs["settings"]) == {**same, "draws": 20, "seed": 5}
    assert again.attrs["study_hash"] == study.hash != first.attrs["study_hash"]
    assert again.attrs["model_hash"] == first.attrs["model_hash"]
    assert {f for f in Sampling.__dataclass_fields__} == set(json.loads(again.attrs["settings"]))
