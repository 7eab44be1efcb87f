"""Folds of people, what is kept of them, and how likely people are whom a fit has not seen."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

import bayesglu as bg
from bayesglu.analysis import cross_validation
from bayesglu.analysis.cross_validation import COLUMNS, LEFT_OUT, folds_of
from bayesglu.analysis.marginal import Marginal, left_out, unseen
from bayesglu.errors import InputError

QUICK = {"method": "laplace", "draws": 60, "progressbar": False}


def small():
    """A model of which little is unknown."""
    spec, free = bg.load_model("ivgtt"), {"basal_glucose", "basal_insulin", "insulin_sensitivity"}
    return spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated if n not in free})


@pytest.fixture(scope="module")
def study():
    table = {"subject": list("ABCDE"), "bmi": [22.0, 30, 24, 33, 26], "group": ["NGT", "T2D"] * 2 + ["NGT"]}
    return bg.simulate_study(
        small(), protocol="ivgtt(0.3)", times=[0, 10, 25, 60], subjects=5, covariates=pd.DataFrame(table),
        population="medians", random_seed=3,
    )  # fmt: skip


# --- whom a fold leaves out ---


def test_folds_are_of_persons_of_levels_or_so_many(study):
    people = list(study.subjects)
    assert folds_of(study, "person", 1) == {p: [p] for p in people}
    assert folds_of(study, "group", 1) == {"NGT": people[::2], "T2D": people[1::2]}
    three = folds_of(study, 3, 1)
    assert sorted(map(len, three.values())) == [1, 2, 2]
    assert sorted(p for fold in three.values() for p in fold) == sorted(people)
    assert three == folds_of(study, 3, 1) != folds_of(study, 3, 2)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (
            "bmi",
            r"by is 'bmi'; folds are by 'person', by a number of folds or a covariate with levels \(group\)",
        ),
        (1, "5 people make 2 to 5 folds"),
        (True, "by is True"),
    ],
)
def test_folds_that_cannot_be_made_are_told(study, by, words):
    with pytest.raises(InputError, match=words):
        folds_of(study, by, 1)


def test_people_who_lack_the_covariate_of_the_folds_are_told(study):
    table = study.covariates.assign(group=("subject", ["NGT", "", "NGT", "T2D", "NGT"]))
    lacking = replace(study, covariates=table)
    with pytest.raises(InputError, match=f"group is missing for {study.subjects[1]}, who are in no fold"):
        folds_of(lacking, "group", 1)


# --- what is kept ---


def faked(monkeypatch) -> list[list[str]]:
    """Folds that take no time; which were made."""
    done = []

    def quick(spec, study, people, seed, probability, settings, start, weighed):
        done.append(people)
        drawn = np.random.default_rng([seed, *map(ord, people[0])]).normal(size=len(people))
        own = study.observations[[*COLUMNS]].isel(obs=np.isin(study.observations.subject, people))
        bands = own.drop_vars("obs").assign(inside=("obs", np.full(own.sizes["obs"], True)))
        made = xr.Dataset({"elpd": (LEFT_OUT, drawn), "elpd_error": (LEFT_OUT, drawn**2)}, {LEFT_OUT: people})
        told = {"clean": True, "verdict": "fine", "problems": "", "seconds": 0.1}
        return {"bands": bands.to_dict(), "people": made.to_dict(), **told}

    monkeypatch.setattr(cross_validation, "fold", quick)
    monkeypatch.setattr("bayesglu.pieces.cores", lambda: 1)
    return done


def test_folds_that_are_kept_are_not_made_again(monkeypatch, study, tmp_path):
    done = faked(monkeypatch)
    asked = {"by": 3, "keep": tmp_path / "kept", "progressbar": False}
    first = bg.cross_validate("ivgtt", study, random_seed=7, **asked)
    assert len(done) == 3
    (tmp_path / "kept" / "fold_0001.json").unlink()
    again = bg.cross_validate("ivgtt", study, **asked)  # the seed is that of before
    assert len(done) == 4 and done[3] == done[1]
    xr.testing.assert_identical(again, first)
    with pytest.raises(InputError, match="holds a cross-validation of another kind: settings differs"):
        bg.cross_validate("ivgtt", study, draws=5, **asked)


def test_an_executor_gives_the_same_folds(monkeypatch, study):
    faked(monkeypatch)
    asked = {"by": "person", "progressbar": False, "random_seed": 3}
    with ThreadPoolExecutor(2) as executor:
        there = bg.cross_validate("ivgtt", study, executor=executor, **asked)
    xr.testing.assert_identical(there, bg.cross_validate("ivgtt", study, **asked))
    with pytest.raises(InputError, match="executor is of type str; give a number of processes"):
        bg.cross_validate("ivgtt", study, executor="dask", **asked)
    with pytest.raises(InputError, match="executor is 0"):
        bg.cross_validate("ivgtt", study, executor=0, **asked)


# --- real folds ---


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.long
def test_a_group_that_nobody_else_is_of_is_predicted_with_the_prior_of_its_effect(study, monkeypatch):
    monkeypatch.setattr(cross_validation, "POPULATION_DRAWS", 40)
    found = bg.cross_validate(small(), study, by="group", random_seed=1, **QUICK)
    assert list(found.fold.values) == ["NGT", "T2D"] and found.clean.dtype == bool
    assert dict(zip(found[LEFT_OUT].values, found.fold_of.values, strict=True)) == dict(
        zip(study.subjects, ["NGT", "T2D"] * 2 + ["NGT"], strict=True)
    )
    assert np.isfinite(found.elpd).all() and (found.elpd_error > 0).all()
    assert found.sizes["obs"] == study.observations.sizes["obs"]
    # The effect of a group that nobody is of is as the prior says, which makes bands wider.
    known = bg.cross_validate(small(), study, by="person", random_seed=1, **QUICK)
    wide, narrow = (
        np.log(each.upper / each.lower).groupby(each.subject).mean().sel(subject=list(study.subjects[1::2]))
        for each in (found, known)
    )
    assert (wide > narrow).mean() >= 0.5 and float(wide.mean()) > float(narrow.mean())
    counted = bg.coverage(found).xs("all", level="subject")
    assert counted["samples"].sum() == found.sizes["obs"]
    lone = bg.leave_one_out(small(), study, [study.subjects[0]], method="laplace", draws=60, random_seed=1)
    same = known.isel(obs=(known.subject == study.subjects[0]).values)
    np.testing.assert_array_equal(lone.upper, same.upper)


@pytest.mark.sampling
def test_a_fit_begins_in_the_coordinates_of_another_of_more_people(study, monkeypatch):
    few = {"draws": 150, "tune": 200, "chains": 2, "cores": 1, "random_seed": 1, "progressbar": False}
    spec = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = bg.fit(spec, study, **few)
        monkeypatch.setattr(
            "bayesglu.inference.stages.find_modes", lambda d: pytest.fail("modes were sought")
        )
        again = bg.refit(whole, study.select(study.subjects[:4]), 2, start=whole, progressbar=False)
    assert again.posterior.sizes["subject"] == 4
    drawn = again.posterior.insulin_sensitivity.sel(subject=study.subjects[0])
    before = whole.posterior.insulin_sensitivity.sel(subject=study.subjects[0])
    assert abs(float(np.log(drawn / float(before.median())).mean())) < 4.5 * float(np.log(before).std())
    with pytest.raises(InputError, match="start is a fit of the model"):
        bg.fit("ivgtt", study, start=whole, progressbar=False)
    with pytest.raises(InputError, match="start gives whitened coordinates"):
        bg.fit(spec, study, start=whole, method="laplace")


# --- how likely people are whom the fit has not seen ---


def toy(rng, draws=4000, people=30, noise=0.0):
    """People y ~ N(mu, 1), mu ~ N(0, 10): draws of mu given all, and each one's likelihood under them."""
    y = rng.normal(1.0, 1.0, people)
    precision = people + 0.01
    mu = rng.normal(y.sum() / precision, precision**-0.5, draws)
    log = norm.logpdf(y, mu[:, None])
    exact = []
    for s in range(people):
        known = people - 1 + 0.01
        exact.append(norm.logpdf(y[s], (y.sum() - y[s]) / known, np.sqrt(1 + 1 / known)))
    shape = 1 / noise if noise else np.inf
    wrong = np.log(rng.gamma(shape, 1 / shape, log.shape)) if noise else 0.0
    return Marginal(log + wrong, np.full(log.shape, noise), np.zeros(log.shape), np.zeros(people), y), exact


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_leaving_out_by_weights_is_leaving_out(noise):
    m, exact = toy(np.random.default_rng(1), noise=noise)
    found = left_out(m)
    assert (found.k < 0.7).all()
    away = (found.elpd - exact) / found.error
    # 30 people share their draws: their sum is compared, with the errors added as if all went together.
    assert abs((found.elpd - exact).sum()) < 4.5 * found.error.sum()
    assert np.abs(away).max() < 5.5
    # Of the noise of a likelihood its inverse would keep 10 %: several times the error of 30 people.
    if noise:
        naive = left_out(m._replace(noise=np.zeros(m.joint.shape))).elpd
        assert (naive - exact).mean() < -0.06 < (found.elpd - exact).mean()


def test_pseudo_observations_of_a_person_are_taken_as_known():
    rng = np.random.default_rng(2)
    m, _ = toy(rng)
    seen = m._replace(known=m.joint - 1.0)
    assert unseen(seen).elpd == pytest.approx(np.ones(30))
    assert left_out(seen).elpd == pytest.approx(np.ones(30))
    assert unseen(seen).error == pytest.approx(np.zeros(30), abs=1e-9)
    np.testing.assert_allclose(unseen(m).elpd, logsumexp(m.joint, axis=0) - np.log(4000))
    assert np.isnan(unseen(m).k).all()


def test_a_folder_that_is_in_use_stays_that_of_who_uses_it(monkeypatch, study, tmp_path):
    faked(monkeypatch)
    from bayesglu.lock import InUseError, in_use

    asked = {"by": 2, "keep": tmp_path / "kept", "progressbar": False, "random_seed": 1}
    bg.cross_validate("ivgtt", study, **asked)
    with in_use(tmp_path / "kept"), pytest.raises(InUseError):
        bg.cross_validate("ivgtt", study, **asked)
