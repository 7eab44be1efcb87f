"""New people given a population: as a fit of all people together would have it, and told where it is not."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import multivariate_t, norm

import bayesglu as bg
from bayesglu.analysis.conditional import NU, SHARES, WIDTHS, Conditional, HeavyTailed
from bayesglu.analysis.diagnostics import mixing
from bayesglu.analysis.importance import weigh_people
from bayesglu.analysis.kept_study import joined, study_of
from bayesglu.analysis.weights import judge_weights
from bayesglu.errors import FitWarning, InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.log_density import log_individuals, log_likelihood
from bayesglu.study.study import StudyWarning

VARYING = ("basal_glucose", "basal_insulin", "insulin_sensitivity")
SHARED = ("insulin_volume",)
TIMES = [0.0, 4, 10, 25, 60, 120]
QUICK = {"draws": 300, "tune": 150, "chains": 2, "cores": 1, "progressbar": False}


@pytest.fixture(scope="module")
def spec():
    """A model of which little is unknown, so that chains move fast."""
    whole = bg.load_model("ivgtt")
    kept = {*VARYING, *SHARED}
    fixed = {n: {"level": "fixed"} for n in whole.estimated if n not in kept}
    return whole.with_changes(parameters=fixed)


@pytest.fixture(scope="module")
def people(spec):
    return bg.simulate_study(spec, protocol="ivgtt(0.3)", times=TIMES, subjects=6, random_seed=3)


@pytest.fixture(scope="module")
def population(spec, people):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return bg.fit(spec, people.select(people.subjects[:5]), random_seed=1, **QUICK)


@pytest.fixture(scope="module")
def person(population, people):
    return bg.fit_person(population, people.select(people.subjects[5:]), random_seed=4)


def _away(one: xr.Dataset, two: xr.Dataset, effective: float) -> dict[str, float]:
    """How many Monte Carlo errors the median of each variable of `two` lies from the middle of `one`, which
    has so many effective draws."""
    found = {}
    for name, draws in two.data_vars.items():
        values = draws.transpose("chain", "draw", ...).values.reshape(*draws.shape[:2], -1)
        ess = mixing(values).ess_bulk
        for column in range(values.shape[-1]):
            own = one[name].values.reshape(one.sizes["chain"] * one.sizes["draw"], -1)[:, column]
            below = (own < np.median(values[..., column])).mean()
            found[f"{name} {column}"] = (below - 0.5) / np.sqrt(0.25 / effective + 0.25 / ess[column])
    return found


@pytest.mark.long
def test_a_new_person_and_the_population_are_as_in_a_fit_of_all_together(spec, people, population, person):
    joint = bg.fit(spec, people, random_seed=2, **QUICK)
    own = joint.posterior.to_dataset().sel(subject=list(people.subjects[5:]))
    weighted = float(person["importance"].population_ess)
    draws = population.posterior.insulin_sensitivity_typical
    kept = min(mixing(population.posterior[f"{n}_typical"].values[..., None]).ess_bulk[0] for n in VARYING)
    away = _away(person.posterior.to_dataset(), own, weighted * min(1.0, kept / draws.size))
    # Of some 12 quantities one in 10,000 tests has one beyond.
    assert len(away) == len(own.data_vars)
    assert max(map(abs, away.values())) < norm.isf(0.5e-4 / len(away))
    assert bg.check(person, warn=False).clean


def test_the_mean_weight_of_draws_is_the_likelihood_of_a_persons_samples(spec):
    new = bg.simulate_study(spec, protocol="ivgtt(0.3)", times=[0, 25, 100], subjects=1, random_seed=3)
    d = make_design(spec, new)
    at = d.prior_medians._replace(sigma=np.full(len(d.analytes), 0.15))
    population = type(at)(*(np.repeat(field[None], 200, 0) for field in at))  # one population, many times
    c = Conditional.of(d, population, np.random.default_rng(0))
    found = weigh_people(c, np.random.default_rng(1)).log_likelihood[:, 0]
    # By brute force: people who are drawn from that population.
    x = np.random.default_rng(2).normal(size=(40_000, 1, c.size))
    log = c.log_density(np.zeros(len(x), int), x)[:, 0] - norm.logpdf(x[:, 0]).sum(-1)
    weights = [np.exp(logs - logs.max()) for logs in (log, found)]
    errors = [weight.std() / weight.mean() / np.sqrt(len(weight)) for weight in weights]
    means = [logsumexp(logs) - np.log(len(logs)) for logs in (log, found)]
    assert np.hypot(*errors) < 0.2
    assert abs(means[0] - means[1]) < 4.5 * np.hypot(*errors)


def test_numbers_stand_for_the_people_and_density_of_the_plain_form():
    d = make_design(bg.load_model("minimal"), bg.load_study("bergman1986"))
    rng = np.random.default_rng(1)
    drawn = d.draw_prior(3, rng)
    c, which = Conditional.of(d, drawn, rng), np.arange(3)
    x = 0.3 * rng.normal(size=(3, 1, c.size))
    values = c.values(which, x)
    np.testing.assert_allclose(c.numbers(which, values.individual, values.forcing_error), x, atol=1e-12)
    volume = np.log(np.diagonal(c.factor, axis1=1, axis2=2)).sum(-1)
    for m in range(3):
        one = values.at(m)
        plain = log_likelihood(d, one).sum() + log_individuals(d, one)[0] + volume[m]
        plain += norm.logpdf(one.forcing_error).sum()
        np.testing.assert_allclose(c.log_density(which, x)[m, 0], plain, rtol=1e-6)


def test_what_is_proposed_has_its_density():
    scale = np.array([[[1.0, 0.0], [0.4, 0.7]]])
    tails = HeavyTailed(np.array([[0.3, -1.0]]), scale)
    v = tails.draw((200_000,), np.random.default_rng(1))
    shape = scale[0] @ scale[0].T
    parts = [
        share * multivariate_t([0.3, -1.0], shape * width**2, df=nu).pdf(v[:5, 0])
        for share, width, nu in zip(SHARES, WIDTHS, NU, strict=True)
    ]
    np.testing.assert_allclose(tails.log_density(v[:5])[:, 0], np.log(sum(parts)))
    # Draws are of that density: the mean of another density over it is 1.
    weight = multivariate_t([0.3, -1.0], shape, df=10).pdf(v[:, 0]) / np.exp(tails.log_density(v)[:, 0])
    assert abs(weight.mean() - 1) < 4.5 * weight.std() / np.sqrt(len(weight))
    assert weight.std() < 1


def test_a_fit_of_a_person_is_asked_as_any_fit_is(person, tmp_path):
    assert person.posterior.sizes == {"chain": 1, "draw": 1000, "subject": 1}
    again = bg.load(bg.save(person, tmp_path / "person.nc"))
    assert again.posterior.equals(person.posterior)
    assert again.attrs["population_study"] == "simulated ivgtt (changed)"
    assert again.attrs["method"] == "importance"
    assert again.posterior.attrs["inference_library"] == "bayesglu"
    own = bg.summarize_individuals(again)
    assert own.sizes == {"parameter": len(VARYING), "subject": 1}
    assert (own.contraction.sel(parameter="basal_glucose") > 0.3).all()  # beyond what the population told
    asked = bg.what_if(again, change={"insulin_sensitivity": bg.scale(1.3)}, draws=20)
    less = asked.glucose.sel(scenario="changed", time=60) - asked.glucose.sel(scenario="reference", time=60)
    assert bool((less < 0).all())
    assert (
        bg.what_if(again, "ivgtt(0.3)", subjects="new", n_new=2, draws=5, body_weight=70).sizes["subject"]
        == 2
    )
    assert len(bg.plots.fit_overview(again).axes)
    with pytest.raises(InputError, match="method 'importance', which refit does not repeat"):
        bg.refit(again, "bergman1986")


@pytest.mark.filterwarnings("ignore:The draws of the population have:bayesglu.FitWarning")
def test_the_same_seed_gives_the_same_draws(population, people):
    new = people.select(people.subjects[5:])
    few = {"draws": 40, "population_draws": 200, "random_seed": 9}
    one, two = (bg.fit_person(population, new, **few) for _ in range(2))
    assert one.posterior.equals(two.posterior)
    assert json.loads(one.attrs["settings"])["population_draws"] == 200


@pytest.mark.filterwarnings("ignore:The draws of the population have:bayesglu.FitWarning")
@pytest.mark.sampling
def test_a_second_test_after_the_first_is_both_tests_at_once(population, people):
    new = people.select(people.subjects[5:])
    few = {"draws": 1000}
    together = bg.fit_person(population, [new, new], random_seed=1, **few)
    first = bg.fit_person(population, new, random_seed=2, **few)
    second = bg.fit_person(first, new, random_seed=3, **few)
    assert list(second.observed_data.glucose_occasion.values) == ["1"] * 5 + ["2"] * 5
    assert second.attrs["population_draws_hash"] == first.attrs["population_draws_hash"]
    effective = float(min(second["importance"].population_ess, first["importance"].population_ess))
    by_weight = together["importance"].population_ess / together.posterior.sizes["draw"]
    for name in VARYING:
        below = float((second.posterior[name] < together.posterior[name].median()).mean())
        error = np.sqrt(0.25 / effective + 0.25 / (float(by_weight) * 1000))
        assert abs(below - 0.5) < 4.5 * error


def test_people_who_fit_badly_are_told(population, people):
    new = people.select(people.subjects[5:])
    far = new.observations.value.copy()
    far[new.observations.analyte.values == "glucose"] *= 2.5
    strange = type(new)(**{**vars(new), "observations": new.observations.assign(value=far)})
    with pytest.warns(FitWarning, match="unlike those that it was fitted to|effective sample size"):
        found = bg.fit_person(population, strange, random_seed=1, draws=50)
    assert not bg.check(found, warn=False).clean


@pytest.fixture(scope="module")
def differing():
    """A population whose people differ by body mass index and group, by far."""
    spec = bg.load_model("ivgtt")
    fixed = {n: {"level": "fixed"} for n in spec.estimated if n not in (*VARYING, *SHARED)}
    spec = spec.with_changes(parameters=fixed)
    table = pd.DataFrame({"subject": [str(i) for i in range(12)], "bmi": np.linspace(20.0, 36.0, 12)})
    table["group"] = ["NGT", "T2D"] * 6
    people = bg.simulate_study(
        spec,
        protocol="ivgtt(0.3)",
        times=TIMES,
        covariates=table,
        subjects=12,
        population="medians",
        random_seed=7,
    )
    quick = {"method": "laplace", "draws": 400, "random_seed": 1, "progressbar": False}
    return people, bg.fit(spec, people.select(people.subjects[:11]), **quick)


@pytest.mark.filterwarnings("ignore:The draws of:bayesglu.FitWarning")
@pytest.mark.parametrize("covariate", ["bmi", "group"])
def test_a_covariate_that_a_new_person_lacks_is_told_and_estimated(differing, covariate):
    people, population = differing
    new = people.select(people.subjects[11:])  # with the largest body mass index, and diabetes
    known = bg.fit_person(population, new, random_seed=1, draws=400)
    lacking = replace(new, covariates=new.covariates.drop_vars(covariate))
    with pytest.warns(StudyWarning, match=f"^{covariate} is missing for 11: it is estimated with the rest"):
        found = bg.fit_person(population, lacking, random_seed=1, draws=400)
    assert set(found.posterior.effect.values) == set(population.posterior.effect.values)
    if covariate == "bmi":
        guessed = found.posterior.bmi_missing.sel(bmi_missing_subject="11")
        others = float(np.mean(people.covariates.bmi[:11]))
        assert others + 2 < float(guessed.mean())  # the samples tell that it is larger than what is usual
        assert float(guessed.std()) > 2
    else:
        share = found.posterior.group_probability.sel(group_missing_subject="11", group_level="T2D")
        assert float(share.mean()) > 0.8
    # People of whom the same is known are others than those who are known to be so.
    wide, narrow = (bg.percentiles(fit, random_seed=1).sel(among="same covariates") for fit in (found, known))
    assert np.isfinite(wide["median"]).all()
    near = np.abs(wide["median"] - narrow["median"]).max()
    assert 0 < float(near) < 45


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The draws of:bayesglu.FitWarning")
def test_without_the_covariates_of_its_people_a_population_says_nothing_of_those_that_are_lacking(
    differing, tmp_path
):
    people, population = differing
    new = people.select(people.subjects[11:])
    nothing = replace(new, covariates=new.covariates.drop_vars(["bmi", "group"]))
    public = bg.load(bg.save(population, tmp_path / "public.nc", without_data=True))
    with pytest.warns(StudyWarning) as told:
        found = bg.fit_person(public, nothing, random_seed=1, draws=50, population_draws=200)
    assert set(found.posterior.effect.values) == set(population.posterior.effect.values)
    assert set(found.constant_data.effect_covariate.values) == {"bmi", "group"}
    for name in ("bmi", "group"):
        assert any(str(one.message).startswith(f"{name} is missing for 11: nor does the fit") for one in told)


@pytest.mark.parametrize("name", ["pareto_k", "population_pareto_k"])
@pytest.mark.parametrize("k", [0.75, np.nan])
def test_a_tail_that_is_heavy_or_unknown_is_a_problem(person, name, k):
    diagnostics = person["importance"].to_dataset()
    assert all(finding.fine for finding in judge_weights(diagnostics))
    bad = judge_weights(diagnostics.assign({name: diagnostics[name] * 0 + k}))
    assert sum(not finding.fine for finding in bad) == 1


def test_studies_are_joined_by_person_and_a_change_of_covariates_is_told():
    table = {"subject": ["A", "A"], "time": [0, 60], "analyte": ["glucose"] * 2, "value": [90, 120]}
    table |= {"unit": ["mg/dL"] * 2}
    studies = [bg.Study.from_table(table, protocol="ogtt(75)", body_weight=weight) for weight in (70, 75)]
    with pytest.warns(
        StudyWarning, match=r"body weight differs between tests of subject A \(70.0 and 75.0\)"
    ):
        both = joined(studies)
    assert both.occasions == (("A", "1"), ("A", "2"))
    assert float(both.body_weight.sel(subject="A")) == 75
    assert joined(studies[:1]) is studies[0]


def test_the_study_of_a_fit_is_taken_from_it_again(spec, person, people):
    again = study_of(person)
    own = make_design(spec, people.select(people.subjects[5:]))
    columns = ["subject", "occasion", "analyte", "time", "value"]
    compared = again.observations, own.study.observations.sel(obs=own.obs)
    pd.testing.assert_frame_equal(
        *(obs[columns].to_dataframe().sort_values(columns, ignore_index=True) for obs in compared)
    )
    assert again.protocols == own.study.protocols
    forced = bg.fit("minimal", "bergman1986", method="laplace", draws=5, random_seed=1, progressbar=False)
    with pytest.raises(InputError, match="does not keep the samples of a forcing function"):
        study_of(forced)


def test_percentiles_are_shares_of_the_population_below(person):
    found = bg.percentiles(person, {"group": "T2D"}, random_seed=1)
    assert found.sizes == {"among": 2, "parameter": len(VARYING), "subject": 1}
    posterior = person.posterior.to_dataset()
    away = np.log(posterior.insulin_sensitivity[..., 0] / posterior.insulin_sensitivity_typical)
    share = 100 * norm.cdf(away / posterior.insulin_sensitivity_omega)
    own = found.sel(parameter="insulin_sensitivity", subject="6")
    np.testing.assert_allclose(own["median"][0], np.median(share), atol=1e-9)
    # In type 2 diabetes insulin sensitivity is lower, so that the same person stands higher.
    assert own["median"][1] > own["median"][0] + 5
    assert (own.lower < own["median"]).all() and (own["median"] < own.upper).all()
