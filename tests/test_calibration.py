"""Calibration: ranks, their bands, simulations that are kept, and faults that are seen."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm
from simulated import with_pseudo_observation

import bayesglu
from bayesglu.analysis import calibration
from bayesglu.analysis.calibration import RANKED, Calibration, calibrate
from bayesglu.analysis.uniformity import band, p_values
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.replicates import replicate
from bayesglu.residuals import Normal
from benchmarks.calibration import STUDIES
from benchmarks.report import read

ROOT = Path(__file__).parents[1]

QUICK = {"progressbar": False, "random_seed": 1}


# --- are numbers uniform? ---


@pytest.mark.parametrize("n", [20, 100])
def test_uniform_numbers_leave_their_band_as_often_as_it_says(n):
    rng = np.random.default_rng(1)
    p = p_values(rng.uniform(size=(n, 4000)))
    # The statistic has few values, so that p may be larger than uniform, and never smaller: 4.5 SDs.
    for level in (0.05, 0.2):
        share = (p <= level).mean()
        assert share < level + 4.5 * np.sqrt(level * (1 - level) / 4000)
        assert share > level / 3
    points, low, high = band(n)
    below = (rng.uniform(size=(n, 4000))[..., None] <= points).mean(0)
    held = ((low <= below) & (below <= high)).all(-1).mean()
    assert held > 0.95 - 4.5 * np.sqrt(0.05 * 0.95 / 4000)
    assert held < 0.99


@pytest.mark.parametrize("shape", [(2.5, 1), (0.25, 0.25), (6, 6)], ids=["too low", "too narrow", "too wide"])
def test_numbers_that_are_not_uniform_are_seen(shape):
    numbers = np.random.default_rng(2).beta(*shape, size=(100, 50))
    assert (p_values(numbers) < 0.001).all()


# --- measurements drawn anew ---


def test_a_replicate_has_measurements_of_the_given_people_within_limits():
    study = bayesglu.load_study("synthetic_ogtt").select(
        subjects=["P01", "P02"], analytes=["glucose", "insulin"]
    )
    limits = {"insulin": {"lloq": 60.0, "uloq": 500.0}}
    spec = with_pseudo_observation(bayesglu.load_model("oral").with_changes(analytes=limits))
    d = make_design(spec, study)
    true = d.prior_medians
    predicted, outcome = d.predict(d.theta(true), d.true_forcing(true))
    assert not outcome.any()
    rng = np.random.default_rng(3)
    drawn = [replicate(d, true, predicted, rng).rows for _ in range(400)]
    value = np.exp([rows.log_value for rows in drawn]) - d.rows.offset
    side = np.array([rows.censoring for rows in drawn])
    insulin = (d.rows.analyte == d.analytes.index("insulin")) & (np.arange(len(d.rows.analyte)) < d.n_obs)
    assert (side[:, ~insulin] == 0).all()
    assert value[:, insulin].min() == pytest.approx(60) and value[:, insulin].max() <= 500 * (1 + 1e-9)
    assert (side == -1).any() and (side == 1).any()
    assert value[side == -1] == pytest.approx(60) and value[side == 1] == pytest.approx(500)
    # Residuals of what is not censored are those of the model; so are pseudo-observations: 4.5 SDs.
    z = (np.array([rows.log_value for rows in drawn]) - np.log(predicted)) / d.rows.sd(true.sigma)
    normal = (d.rows.residual == Normal.number) & ~insulin
    assert (np.arange(len(normal)) >= d.n_obs)[normal].any()
    assert np.abs(z[:, normal].mean(0)).max() < 4.5 / np.sqrt(400)
    assert np.abs(z[:, normal].std(0) - 1).max() < 4.5 / np.sqrt(800)


def test_a_measurement_that_noise_takes_below_zero_is_one_of_zero_or_less():
    """So that its share is the probability that the likelihood gives it: 4.5 Monte Carlo errors."""
    study = bayesglu.load_study("synthetic_ogtt").select(subjects=["P01"], analytes=["glucose", "insulin"])
    noisy = {"insulin": {"error_offset": 400.0, "sigma": {"median": 0.3, "gsd": 1.5}}}
    d = make_design(bayesglu.load_model("oral").with_changes(analytes=noisy), study)
    true, rng = d.prior_medians, np.random.default_rng(4)
    predicted, _ = d.predict(d.theta(true), d.true_forcing(true))
    drawn = [replicate(d, true, predicted, rng).rows for _ in range(1000)]
    insulin = (d.rows.analyte == d.analytes.index("insulin")) & (np.arange(len(d.rows.analyte)) < d.n_obs)
    side = np.array([rows.censoring for rows in drawn])
    value = np.exp([rows.log_value for rows in drawn]) - d.rows.offset
    assert (side[:, ~insulin] == 0).all() and (value[side == 0] > 0).all()
    assert value[side == -1] == pytest.approx(0, abs=1e-9)
    expected = norm.cdf(-np.log(predicted[insulin] / 400) / d.rows.sd(true.sigma)[insulin])
    error = np.sqrt(expected * (1 - expected) / len(drawn))
    assert expected.max() > 0.2
    assert (np.abs((side == -1)[:, insulin].mean(0) - expected) < 4.5 * error + 1 / len(drawn)).all()


def test_what_was_read_of_a_forcing_function_stays():
    d = make_design(bayesglu.load_model("minimal"), bayesglu.load_study("bergman1986"))
    true = d.prior_medians
    predicted, _ = d.predict(d.theta(true))
    again = replicate(d, true, predicted, np.random.default_rng(1))
    assert again.forcing is d.forcing
    assert (again.rows.log_value != d.rows.log_value).all()


# --- ranks ---


def test_ranks_and_intervals_are_of_the_person_that_was_drawn_and_of_all():
    draws = np.arange(1000.0).reshape(2, 500)
    posterior = xr.Dataset(
        {
            "shared": (("chain", "draw"), draws),
            "own": (("chain", "draw", "subject"), np.stack([draws, draws + 2000], -1)),
            "factor": (("chain", "draw", "effect"), draws[..., None]),
        },
        coords={"effect": ["a by b"]},
    )
    true = xr.Dataset(
        {
            "shared": (("chain", "draw"), [[250.5]]),
            "own": (("chain", "draw", "subject"), [[[5.0, 2500.0]]]),
            "factor": (("chain", "draw", "effect"), [[[2000.0]]]),
        }
    )
    found = calibration._ranks(posterior, true, {"subject": 1}, np.random.default_rng(1))
    assert found["rank"] == {"shared": 25, "own": 50, "a by b": 99}
    assert found["held"] == {"shared": [1, 1, 1], "own": [1, 1, 2], "a by b": [0, 0, 1]}


def test_what_is_known_exactly_has_any_rank():
    known = xr.Dataset({"known": (("chain", "draw"), np.ones((2, 100)))})
    rng = np.random.default_rng(1)
    found = [calibration._ranks(known, known.isel(draw=[0]), {}, rng)["rank"]["known"] for _ in range(400)]
    assert p_values((np.array(found)[:, None] + rng.uniform(size=(400, 1))) / (RANKED + 1))[0] > 1e-3


def ranks(shape: tuple[float, float], names=20, n=100) -> Calibration:
    drawn = np.random.default_rng(4).beta(*shape, size=(n, names)) * (RANKED + 1)
    return calibration.judged(drawn.astype(int), {str(i): [[1, 1, 1]] * n for i in range(names)}, {})


def test_the_verdict_follows_the_ranks():
    fine, narrow = ranks((1, 1)), ranks((0.5, 0.5))
    assert fine.calibrated and fine.headline.startswith("Calibrated")
    assert not narrow.calibrated and "20 of 20 quantities outside" in narrow.headline
    assert str(narrow).splitlines()[0] == narrow.headline
    assert len(bayesglu.plots.calibration(narrow).axes) == 2


@pytest.mark.long
@pytest.mark.sampling
def test_a_fit_that_is_too_sure_is_found(monkeypatch):
    """Simulations whose residuals are twice as large as the fit believes."""
    wrong = calibration.replicate

    def louder(d, values, predicted, rng):
        return wrong(d, values._replace(sigma=4 * values.sigma), predicted, rng)

    monkeypatch.setattr(calibration, "replicate", louder)
    found = calibrate("minimal", "bergman1986", simulations=10, draws=50, tune=50, **QUICK)
    assert not found.calibrated
    assert found.table["p"].idxmin() == "sigma_glucose"


# --- kept, resumed, elsewhere ---


def faked(monkeypatch) -> list[int]:
    """Simulations that take no time; which were made."""
    made = []

    def quick(spec, study, sampling, number):
        made.append(number)
        rank = int(np.random.default_rng([sampling.seed, number]).integers(RANKED + 1))
        one = {"rank": {"a": rank}, "held": {"a": [0, 1, 1]}, "drawn_again": 0, "r_hat": 1.0}
        return {**one, "ess": 500.0, "diverging": 0.0, "seconds": 0.1}

    monkeypatch.setattr(calibration, "simulation", quick)
    return made


def test_what_is_kept_is_not_made_again_and_more_can_be_added(monkeypatch, tmp_path):
    made = faked(monkeypatch)
    asked = {"keep": tmp_path / "kept", "progressbar": False}
    first = calibrate("minimal", "bergman1986", simulations=10, random_seed=7, **asked)
    assert made == list(range(10))
    (tmp_path / "kept" / "simulation_0003.json").unlink()
    more = calibrate("minimal", "bergman1986", simulations=12, **asked)  # the seed is that of before
    assert made[10:] == [3, 10, 11]
    assert (more.ranks[:10].values == first.ranks.values).all()
    assert more.about["seed"] == 7 and more.about["simulations"] == 12


def test_a_folder_of_something_else_is_refused(monkeypatch, tmp_path):
    faked(monkeypatch)
    asked = {"simulations": 10, "keep": tmp_path / "kept", "progressbar": False}
    calibrate("minimal", "bergman1986", random_seed=7, **asked)
    with pytest.raises(InputError, match="another kind: draws differs"):
        calibrate("minimal", "bergman1986", draws=100, **asked)
    (tmp_path / "kept" / "simulation_0003.json").write_text("{", encoding="utf-8")
    with pytest.raises(bayesglu.BayesgluError, match=r"0003.json: this file is damaged.*made again"):
        calibrate("minimal", "bergman1986", **asked)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="something else than a calibration"):
        calibrate("minimal", "bergman1986", **{**asked, "keep": tmp_path / "mine"})


def test_an_executor_gives_the_same(monkeypatch):
    faked(monkeypatch)
    here = calibrate("minimal", "bergman1986", simulations=12, **QUICK)
    with ThreadPoolExecutor(2) as executor:
        there = calibrate("minimal", "bergman1986", simulations=12, executor=executor, **QUICK)
    assert (here.ranks.values == there.ranks.values).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"simulations": 3}, "10 or more"),
        ({"simulations": True}, "10 or more"),
        ({"draws": 20}, "below 99"),
        ({"chains": 0}, "chains is 0"),
        ({"rtool": 1}, "rtool"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_first(asked, words):
    with pytest.raises(bayesglu.BayesgluError, match=words):
        calibrate("minimal", "bergman1986", **asked)


def test_who_cannot_be_solved_is_told():
    d = make_design(bayesglu.load_model("minimal"), bayesglu.load_study("bergman1986"), max_steps=1)
    with pytest.raises(bayesglu.SolverError, match=r"Of 20 draws from the prior.*Are its priors too wide"):
        calibration._simulated(d, np.random.default_rng(1))


# --- the verdicts that are kept ---


KEPT = read("calibration")["models"]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_of_todays_model_and_what_the_page_says(name, request):
    """If it is not: python -m benchmarks calibration"""
    if name == "fasting":
        request.getfixturevalue("shared_data")
    found, page = KEPT[name], (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")
    assert found["about"]["model_hash"] == bayesglu.load_model(name).hash
    assert found["about"]["study_hash"] == STUDIES[name]().hash
    assert found["about"]["simulations"] >= 100
    assert f"| `{name}` | `{found['about']['study']}` | {found['headline']} |" in page
    ranks = np.array([list(map(int, told.split())) for told in found["ranks"].values()]).T
    held = {quantity: [[1, 1, 1]] for quantity in found["ranks"]}
    again = calibration.judged(ranks, held, {})
    assert again.headline == found["headline"] and again.calibrated
