"""The population of many people in two stages: the density is that of a fit of all together, and what it does
not know is told."""

import json
import re
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

import bayesglu as bg
from bayesglu.analysis import stage_one, two_stage
from bayesglu.analysis.stage_one import Stored
from bayesglu.analysis.stage_two import BATCHES, Pooled
from bayesglu.analysis.two_stage import Stages, _wide
from bayesglu.errors import FitWarning, InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.study.study import StudyWarning
from benchmarks import many_people as benchmark
from benchmarks.report import read

FEW = {"draws": 100, "tune": 60, "chains": 2, "stored": 32, "portion": 4, "executor": 1}
FEW |= {"progressbar": False, "random_seed": 5}


def model(*free: str, **changes) -> bg.ModelSpec:
    spec = bg.load_model("ivgtt")
    fixed = {n: {"level": "fixed"} for n in spec.estimated if n not in free}
    return spec.with_changes(parameters=fixed, **changes)


def people(spec: bg.ModelSpec, number: int = 6, covariates: bool = False) -> bg.Study:
    who = [f"P{i}" for i in range(number)]
    table = pd.DataFrame({"subject": who, "bmi": np.linspace(21.0, 34, number)}) if covariates else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bg.simulate_study(
            spec, protocol="ivgtt(0.3)", times=[0, 10, 25, 60], subjects=who, population="medians",
            random_seed=3, covariates=table,
        )  # fmt: skip


@pytest.fixture(scope="module")
def pooled() -> Pooled:
    """With all that the density may have: effects, correlations, a shared parameter, residuals that are not
    Normal, and a sample beyond a limit."""
    free = "basal_glucose", "basal_insulin", "insulin_sensitivity", "insulin_volume"
    spec = model(*free, analytes={"insulin": {"residual": "normal"}})
    spec = replace(spec, correlations=("basal_insulin", "insulin_sensitivity"))
    study = people(spec, covariates=True)
    obs = study.observations
    side = obs.censoring.values.astype(object)
    side[np.flatnonzero(obs.analyte.values == "insulin")[-1]] = "left"
    study = replace(study, observations=obs.assign(censoring=("obs", side.astype(str))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        d = make_design(spec, study)
    assert d.individuals.effects and len(d.individuals.layout.correlated) == 2
    assert set(d.rows.residual) == {0, 1} and (d.rows.censoring != 0).any()
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages(d, Path(folder), {"portion": 4, "stored": 32}, {}, 1, 1, False)
        return stages._round(1, _wide(d))[0]


def test_the_gradient_is_that_of_the_density(pooled):
    at = np.concatenate(pooled.reference)
    at = at + 0.1 * np.random.default_rng(1).normal(size=len(at))
    value, slope = pooled.log_density(at)
    assert value == pytest.approx(pooled.log_value(at), rel=1e-12)
    steps = 1e-5 * np.eye(len(at))
    found = [(pooled.log_value(at + step) - pooled.log_value(at - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(slope, found, rtol=1e-6, atol=1e-6)


def test_stored_residuals_are_those_of_the_equations_under_another_population(pooled):
    """The likelihood of each stored draw, with other errors and another shared parameter, by solving anew."""
    d, v = pooled.design, pooled.reference
    moved = v._replace(
        typical=v.typical + np.where(np.arange(len(v.typical)) == pooled.shared, 0.01, 0.0),
        log_sigma=v.log_sigma + np.array([0.3, -0.2]),
    )
    before, after = (_by_solving(d, pooled.stored.individual, n) for n in (v, moved))
    found = pooled._samples(moved)[0] - pooled._samples(v)[0]
    np.testing.assert_allclose(found, after - before, atol=5e-3)


def _by_solving(d, individual, numbers) -> np.ndarray:
    values, found = numbers.values(d.individuals), []
    for k in range(individual.shape[1]):
        own = values._replace(individual=individual[:, k])
        predicted, _ = d.predict(d.theta(own))
        rows = d.rows.log_density(np.log(predicted), own.sigma)
        found.append(np.bincount(d.individuals.layout.subject[d.rows.occasion], rows))
    return np.stack(found, axis=1)


def test_the_mode_is_where_the_gradient_vanishes_and_knows_no_less_than_the_prior(pooled):
    mode = pooled.mode()
    slope = pooled.log_density(mode.position)[1]
    assert (np.abs(slope) * mode.sd).max() < 1e-2
    assert (mode.error > 0).all() and (mode.sd[: len(pooled.prior[1])] < 1.01 * pooled.prior[1]).all()


def test_the_likelihood_of_a_normal_hierarchy_is_the_known_one_and_thousands_do_not_add_up_its_bias():
    """Draws are stored of people whose samples say what is Normal about a number of each: then the likelihood
    of a population is known. Beside its Monte Carlo error, of draws in eight batches: Student's t with 7
    degrees of freedom is beyond 8.5 in 3 of 50,000 cases."""
    rng, number, draws, tau = np.random.default_rng(2), 4000, 64, 0.4
    spec = model("basal_glucose", "insulin_sensitivity")
    d = make_design(spec, people(spec, 2))
    i = d.individuals
    who = [(f"P{n}", "1") for n in range(number)]
    d = replace(d, individuals=Individuals.of(spec, i.columns, i.names, who, xr.Dataset()))
    reference = _wide(d)._replace(log_omega=np.log([0.5, 0.5]))
    told = reference.typical + rng.normal(0, np.hypot(0.5, tau), (number, 2))
    own = told[:, None] + tau * rng.normal(size=(number, draws, 2))
    density = norm.logpdf(own, reference.typical, 0.5).sum(-1)  # the samples are what draws are proposed by
    nothing = {"count": (number, 3), "squares": (number, draws, 3), "along": (number, draws, 3, 0)}
    nothing |= {"across": (number, draws, 3, 0, 0), "bend": (number, draws, 0), "residual": (0, draws)}
    nothing |= {"slope": (0, draws, 0), "kind": (0, 3)}
    rest = {n: np.zeros(shape) for n, shape in nothing.items()} | dict.fromkeys(
        ("whose", "group"), np.zeros(0, int)
    )
    pooled = Pooled(d, Stored(individual=own, log_ratio=density, **rest), reference)
    other = reference._replace(typical=reference.typical + 0.05, log_omega=np.log([0.35, 0.6]))
    exact = [
        norm.logpdf(told, v.typical, np.hypot(np.exp(v.log_omega), tau)).sum() for v in (reference, other)
    ]
    batches = [pooled.part(slice(b, None, BATCHES)) for b in range(BATCHES)]
    each = [_difference(part, reference, other) for part in batches]
    error = np.std(each, ddof=1) / np.sqrt(BATCHES)
    away = _difference(pooled, reference, other) - np.diff(exact)[0]
    assert abs(away) < 8.5 * error
    # What is added back is more than that error, for so many people.
    plain = [logsumexp(pooled.log_weights(v), axis=1).sum() for v in (reference, other)]
    assert abs(_difference(pooled, reference, other) - np.diff(plain)[0]) > error


def _difference(pooled: Pooled, one, other) -> float:
    one, other = np.concatenate(one), np.concatenate(other)
    found = [pooled.log_value(at) - pooled._log_prior(at)[0] for at in (one, other)]
    return found[1] - found[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    spec = model("basal_glucose", "insulin_sensitivity")
    folder = tmp_path_factory.mktemp("stages") / "run"
    study = people(spec, 10)
    return spec, study, folder, bg.fit_two_stage(spec, study, folder, **FEW)


def test_what_is_kept_is_not_made_again_and_is_the_same(fitted, monkeypatch):
    spec, study, folder, found = fitted
    monkeypatch.setattr(two_stage, "draw_portion", None)
    again = bg.fit_two_stage(spec, study, folder, **FEW | {"random_seed": None})
    for group in ("posterior", "stages", "prior"):
        xr.testing.assert_identical(
            again[group].to_dataset().drop_attrs(), found[group].to_dataset().drop_attrs()
        )
    with pytest.raises(InputError, match="holds a two-stage of another kind: stored differs"):
        bg.fit_two_stage(spec, study, folder, **FEW | {"stored": 16})


def test_others_read_it_as_they_read_a_fit(fitted, tmp_path):
    _, study, _, found = fitted
    summary = bg.summarize_population(found).sel(parameter="insulin_sensitivity")
    assert float(summary["lower"]) < float(summary["median"]) < float(summary["upper"])
    asked = bg.what_if(found, "ivgtt(0.3)", subjects="typical", draws=5, random_seed=1)
    assert np.isfinite(asked["glucose"]).all()
    loaded = bg.load(bg.save(found, tmp_path / "population.nc"))
    assert loaded.posterior.insulin_sensitivity.sizes == {"chain": 2, "draw": 100, "subject": 10}
    assert list(loaded.posterior.subject.values) == list(study.subjects)
    verdict = bg.check(loaded, warn=False)
    assert any("Two stages" in told for told in verdict.sentences)
    assert any("Draws of the population were weighted" in told for told in verdict.problems)  # 200 are few
    assert any("Samples are not judged" in told for told in verdict.about_model)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"error": 0.9}, "stored draws is at most 0.90 .* store 4 times as many"),
        ({"unsettled": True, "moved": 2.0}, "still moved by 2.0 SDs"),
        ({"bent": 0.4}, "SDs may be wrong by 40 %"),
        ({"left_out": ["P3"]}, "Left out, .* P3"),
    ],
)
def test_what_two_stages_do_not_know_is_told(fitted, told, words):
    found = fitted[-1].copy()
    found.attrs = found.attrs | {"stages": json.dumps(json.loads(found.attrs["stages"]) | told)}
    problems = "\n".join(bg.check(found, warn=False).problems)
    assert re.search(words, problems), problems


def test_who_cannot_be_solved_is_left_out_and_told(fitted, tmp_path, monkeypatch):
    spec, study, _, _ = fitted
    real, lost = stage_one._drawn, study.subjects[2]

    def drawn(d, *rest):
        if lost in d.study.subjects:
            raise bg.SolverError("maximum number of steps reached.")
        return real(d, *rest)

    monkeypatch.setattr(stage_one, "_drawn", drawn)
    few = study.select(study.subjects[:4])
    with pytest.warns(FitWarning, match=f"Subject {lost} left out. {lost}: maximum number"):
        found = bg.fit_two_stage(spec, few, tmp_path / "run", **FEW | {"draws": 20, "chains": 1})
    assert list(found.posterior.subject.values) == [s for s in few.subjects if s != lost]


def test_what_two_stages_cannot_do_is_refused(tmp_path):
    spec = model("basal_glucose", "insulin_sensitivity")
    study = people(spec, 3, covariates=True)
    with pytest.raises(InputError, match="stored is 3"):
        bg.fit_two_stage(spec, study, tmp_path / "run", stored=3)
    lacking = replace(study, covariates=study.covariates.assign(bmi=("subject", [22.0, np.nan, 30.0])))
    with pytest.warns(StudyWarning), pytest.raises(InputError, match="bmi is missing for P1"):
        bg.fit_two_stage(spec, lacking, tmp_path / "run")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="something else than a two-stage"):
        bg.fit_two_stage(spec, study, tmp_path)


def test_what_is_kept_of_two_stages_agrees_with_the_truth_and_grows_as_people_do():
    """If it does not: python -m benchmarks many_people"""
    kept = read("many_people")
    assert kept["model_hash"] == benchmark.model().hash
    rows = {row["people"]: row for row in kept["two_stage"]}
    assert set(rows) >= {200, 1000, 10_000}
    for people, row in rows.items():
        stages = row["stages"]
        assert not (stages["unsettled"] or stages["left_out"]) and stages["pareto_k"] < 0.7
        assert stages["error"] < 0.5
        # An interval of 99.9 % of all numbers together misses none.
        away = [abs(n["mean"] - n["true"]) / n["sd"] for n in row["numbers"].values()]
        assert max(away) < norm.isf(0.0005 / 24)
        # What lies between quantiles of n draws is expected of (n - 1) / (n + 1) of the share between them.
        n, chance = stages["fewest_effective_draws"], 4.5 * np.sqrt(0.09 / people)
        for held in row["held_90"].values():
            assert 0.9 * (n - 1) / (n + 1) - chance < held / people < 0.9 + chance
    size = np.array(sorted(rows), float)
    for what in ("processor_seconds", "disk_mb"):
        spent = np.array([rows[int(n)][what] for n in size])
        assert np.polyfit(np.log(size), np.log(spent), 1)[0] < 1.1


def test_what_is_kept_of_two_stages_is_what_one_fit_of_all_says():
    """Of the same 200 people. Means and SDs differ by the errors of both: which draws stand for people, as
    stated, and how many draws of the population there are; of the fit of all at least 100 effective ones."""
    kept = read("many_people")
    one, (two,) = kept["together"], [row for row in kept["two_stage"] if row["people"] == 200]
    drawn = 4 * 150 * two["stages"]["efficiency"]
    for name, all_at_once in one["numbers"].items():
        found = two["numbers"][name]
        error = np.sqrt(two["stages"]["error"] ** 2 + 1 / drawn + 1 / 100)
        assert abs(found["mean"] - all_at_once["mean"]) < 4 * error * all_at_once["sd"], name
        assert abs(np.log(found["sd"] / all_at_once["sd"])) < 4 * np.sqrt(0.5 / drawn + 0.5 / 100), name
