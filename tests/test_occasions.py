"""People seen on several occasions: covariates that differ between these, deviations of occasions nested in
those of people, what is told of both, and predictions for another day."""

import warnings
from dataclasses import replace
from itertools import product

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import ndtr
from simulated import INTRAVENOUS_TIMES, simulated

from bayesglu.analysis.next_patient import fit_person
from bayesglu.analysis.people import random_effects
from bayesglu.analysis.percentiles import percentiles
from bayesglu.analysis.sampling_search import known_of_person
from bayesglu.analysis.summaries import summarize_occasions, summarize_population
from bayesglu.errors import FitWarning, InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.log_density import log_density as obvious
from bayesglu.hierarchy.posterior import individuals_of, population_of, to_dataset
from bayesglu.hierarchy.variation import LEAST_OWN, own_log_sd
from bayesglu.inference.coordinates import noncentered
from bayesglu.inference.datatree import data_groups, in_chains
from bayesglu.inference.density import Density
from bayesglu.inference.fitting import _identity, fit
from bayesglu.inference.kept_coordinates import keep_coordinates, kept_coordinates
from bayesglu.inference.run_folder import Run
from bayesglu.spec.model import load_model, model_of
from bayesglu.spec.priors import Variation
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study

SHARED_EFFECT = {"form": "exponential", "reference": 23, "per": 5, "median": 0.9, "gsd": 1.2}


def table(**more):
    """Samples of A on two days and of B on one."""
    days = [("A", "1"), ("A", "2"), ("B", "1")]
    rows = [(s, o, t, "glucose", 95.0 + t / 3, "mg/dL") for s, o in days for t in (0, 30, 60, 120)]
    samples = pd.DataFrame(rows, columns=["subject", "occasion", "time", "analyte", "value", "unit"])
    return Study.from_table(samples, protocol="ogtt(75)", body_weight=70.0, **more)


def people(*rows, columns=("subject", "occasion", "bmi", "group")):
    return pd.DataFrame(rows, columns=list(columns))


OF_TWO_DAYS = people(("A", "1", 24.0, "NGT"), ("A", "2", 29.0, "T2D"), ("B", "", 31.0, "NGT"))


# --- covariates of each occasion ---


def test_a_table_of_people_may_have_a_row_for_each_occasion():
    study = table(subjects=OF_TWO_DAYS)
    assert study.covariates.bmi.values.tolist() == [24.0, 31.0], "as on the first"
    assert study.covariates.group.values.tolist() == ["NGT", "NGT"]
    assert study.occasion_covariates.occasion.values.tolist() == ["A/1", "A/2", "B/1"]
    assert study.occasion_covariates.bmi.values.tolist() == [24.0, 29.0, 31.0]
    assert study.occasion_covariates.group.values.tolist() == ["NGT", "T2D", "NGT"]


def test_what_is_the_same_on_all_occasions_is_a_covariate_as_ever():
    same = OF_TWO_DAYS.assign(bmi=[24.0, 24.0, 31.0], group="NGT")
    plain = people(("A", 24.0, "NGT"), ("B", 31.0, "NGT"), columns=("subject", "bmi", "group"))
    study = table(subjects=same)
    assert study.occasion_covariates is None
    assert study == table(subjects=plain) and study != table(subjects=OF_TWO_DAYS)


def test_a_study_with_covariates_of_occasions_is_written_and_read_again(tmp_path):
    study = table(subjects=OF_TWO_DAYS)
    again = load_study(study.to_folder(tmp_path / "again"))
    assert again == study and again.occasion_covariates.identical(study.occasion_covariates)
    assert study.select(["B"]).occasion_covariates.occasion.values.tolist() == ["B/1"]


def test_a_covariate_that_is_missing_on_an_occasion_is_as_on_the_nearest_one_and_that_is_told():
    rows = people(("A", "1", np.nan, ""), ("A", "2", 29.0, "T2D"), ("B", "1", np.nan, "NGT"))
    with pytest.warns(
        StudyWarning, match="is missing for subject A, and taken to be as on their nearest"
    ) as told:
        study = table(subjects=rows)
    assert study.covariates.bmi.values.tolist()[0] == 29.0 and np.isnan(study.covariates.bmi.values[1])
    assert {str(w.message).split()[1] for w in told} == {"bmi", "group"}
    assert study.occasion_covariates is None, "nothing that is known differs"


def test_weights_that_differ_say_by_which_doses_count():
    rows = people(
        ("A", "1", 70.0), ("A", "2", 74.0), ("B", "1", 80.0), columns=("subject", "occasion", "weight")
    )
    with pytest.warns(StudyWarning, match="doses per kg count by that of the first"):
        table(subjects=rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((("A", "1", 24.0, ""), ("B", "1", 31.0, "")), "no row is of subject A, occasion 2, and none of all"),
        (
            (*OF_TWO_DAYS.itertuples(index=False), ("A", "3", 24.0, "")),
            "subject A, occasion 3 has no samples",
        ),
        ((*OF_TWO_DAYS.itertuples(index=False), ("A", "2", 24.0, "")), "'A', occasion '2' is there already"),
        ((("A", "", 24.0, ""),), "subject B of 2|B of 2 subjects with samples: not in"),
    ],
)
def test_rows_of_occasions_that_do_not_fit_the_samples_are_faults(rows, message):
    with pytest.raises(StudyError, match=message):
        table(subjects=people(*rows))


def test_two_rows_of_a_person_without_occasions_say_what_is_missing():
    twice = people(
        ("A", 24.0, "NGT"), ("A", 25.0, "NGT"), ("B", 31.0, "NGT"), columns=("subject", "bmi", "group")
    )
    with pytest.raises(StudyError, match="A covariate that differs by occasion needs a column 'occasion'"):
        table(subjects=twice)


def test_tables_of_other_forms_have_covariates_of_occasions_too(tmp_path):
    """One value on each occasion of a person is a covariate; several on one are named as not used."""
    lines = ["id,visit,time,glucose (mg/dL),bmi,heart_rate,sex"]
    for visit, bmi in (("1", 31.2), ("2", 28.9)):
        lines += [f"A,{visit},{t},{95 + t / 3:g},{bmi},{60 + t},F" for t in (0, 30, 120)]
    lines += [f"B,1,{t},{90 + t / 3:g},27.5,{70 + t},M" for t in (0, 30, 120)]
    path = tmp_path / "tall.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(
        StudyWarning, match="'heart_rate', in which one person has several values on one occasion"
    ):
        study = load_study(path, protocol="ogtt(75)", body_weight=70)
    assert study.covariates.sex.values.tolist() == ["F", "M"]
    assert study.covariates.bmi.values.tolist() == [31.2, 27.5]
    assert list(study.occasion_covariates) == ["bmi"]
    assert study.occasion_covariates.bmi.values.tolist() == [31.2, 28.9, 27.5]


@pytest.fixture(scope="module")
def differing():
    """A design in which effects act on what people share, on what is theirs, on what differs within them, and
    on what is an occasion's alone."""
    levels = {"insulin_action_rate": "occasion", "mass_action_uptake": "shared"}
    changes = {name: {"level": level} for name, level in levels.items()}
    effects = ("basal_insulin", "mass_action_uptake", "insulin_action_rate", "glucose_volume")
    for name in effects:
        changes.setdefault(name, {})["effects"] = {"bmi": SHARED_EFFECT}
    spec = load_model("minimal").with_changes(parameters=changes)
    d = simulated(spec, 3, INTRAVENOUS_TIMES, tests={"A": 2, "C": 3}).design
    bmi = {
        ("A", "1"): 22.0,
        ("A", "2"): 27.0,
        ("B", "1"): 30.0,
        ("C", "1"): 25.0,
        ("C", "2"): 25.0,
        ("C", "3"): 33.0,
    }
    rows = pd.DataFrame(
        [(s, o, value) for (s, o), value in bmi.items()], columns=["subject", "occasion", "bmi"]
    )
    samples = d.study.observations.to_dataframe()
    samples["unit"] = samples["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    study = Study.from_table(
        samples.drop(columns=["line"]), protocol="ivgtt(0.3)", body_weight=70.0, subjects=rows
    )
    return make_design(spec, study, rtol=1e-10, atol=1e-10), bmi


def drawn(d, n=4):
    x = 0.5 * np.random.default_rng(2).normal(size=(n, Density(d).size))
    return Density(d).unpack(x), x


def test_an_effect_acts_on_each_occasion_with_the_covariate_of_that_occasion(differing):
    d, bmi = differing
    values, _ = drawn(d, 1)
    one, i = values.at(0), d.individuals
    theta = dict(zip(i.columns, d.theta(one).T, strict=True))
    assert i.nested == ("basal_glucose", "basal_insulin", "insulin_sensitivity")
    by_bmi = {a.parameter: e for e, a in enumerate(i.effects) if a.key == "bmi"}
    assert {"basal_insulin", "mass_action_uptake", "insulin_action_rate", "glucose_volume"} <= set(by_bmi)
    eta = one.individual - i.centre(one.typical, one.effect)
    for t, (subject, name) in enumerate(i.occasions):
        for k, p in enumerate(i.estimated):
            number, s = one.typical[k], i.subjects.index(subject)
            if p.name in by_bmi:
                number += p.effects["bmi"].standardized(bmi[subject, name]) * one.effect[by_bmi[p.name]]
            own = [v for v, each in enumerate(i.deviations) if each.parameter is p]
            number += sum(eta[s, i.layout.component[t, v]] for v in own)
            assert theta[p.name][t] == pytest.approx(p.from_scale(number), rel=1e-12), (p.name, subject, name)


def test_the_compiled_density_of_such_occasions_is_the_obvious_one_and_its_gradient_that_of_differences(
    differing,
):
    d, _ = differing
    density, (values, x) = Density(d), drawn(d)
    # In non-centered coordinates the log volume is that of the deviations.
    volume = np.log(values.omega)[:, d.individuals.layout.component_varying].sum(-1) * len(
        d.individuals.subjects
    )
    away = [density(x[i])[0] - volume[i] - obvious(d, values.at(i)) for i in range(len(x))]
    np.testing.assert_allclose(away, away[0], atol=1e-7)
    h, direction = 1e-4, np.random.default_rng(3).normal(size=x.shape[1])
    ahead, behind = (density(x[0] + k * h * direction)[0] for k in (1, -1))
    assert density(x[0])[1] @ direction == pytest.approx((ahead - behind) / (2 * h), rel=1e-5)


def test_a_posterior_holds_all_that_it_is_about_also_where_covariates_differ(differing):
    d, _ = differing
    values = in_chains(drawn(d)[0], 2)
    posterior = to_dataset(d, values)
    known = data_groups(d)["constant_data"]
    people, eta = random_effects(d.spec, posterior, known)
    expected = values.individual - d.individuals.centre(values.typical, values.effect)
    assert people.nested == d.individuals.nested
    read = d.individuals.layout.subject[:, None], d.individuals.layout.component
    np.testing.assert_allclose(eta[..., *read], expected[..., *read], atol=1e-9)
    again = population_of(posterior, d.individuals, d.analytes)
    individual = individuals_of(posterior, d.individuals)
    found = d.individuals.theta(again.typical, again.effect, individual)
    np.testing.assert_allclose(found, d.theta(values), rtol=1e-9)


# --- deviations ---


def test_what_is_a_persons_own_is_expected_to_be_what_the_day_leaves():
    whole, day = Variation(0.5, 1.4), Variation(0.3, 1.3)
    mean, sd = own_log_sd(whole, day)
    assert np.exp(2 * mean) + day.omega**2 == pytest.approx(whole.omega**2) and sd == whole.sd
    assert np.exp(2 * own_log_sd(day, whole)[0]) == pytest.approx(0.1 * day.omega**2), "never nothing"


def test_where_nobody_was_seen_twice_nothing_is_nested():
    d = simulated("minimal", 2, INTRAVENOUS_TIMES).design
    assert d.individuals.nested == () and not d.individuals.layout.nested.any()
    assert d.individuals.shape == (2, len(d.spec.varying))


def of_one_parameter(own, day, gsd):
    """A model in which people, and days of each, differ in insulin sensitivity alone."""
    fixed = ("basal_glucose", "basal_insulin", "glucose_volume", "insulin_action_rate", "mass_action_uptake")
    spread = {"between_subject": {"cv": own, "gsd": gsd}, "between_occasion": {"cv": day, "gsd": gsd}}
    changes = {name: {"level": "fixed"} for name in fixed} | {
        "insulin_sensitivity": {**spread, "effects": {}}
    }
    return load_model("minimal").with_changes(parameters=changes)


@pytest.fixture(scope="module")
def three_days():
    """Twelve people on three days each, and a fit whose prior expects other spreads than theirs."""
    tests = {chr(ord("A") + person): 3 for person in range(12)}
    truth = simulated(of_one_parameter(0.6, 0.35, 1.5), 12, (0, 10, 20, 40, 70, 120), tests=tests)
    settings = {"chains": 2, "tune": 200, "draws": 200, "random_seed": 1, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # of chains so short
        return truth, fit(of_one_parameter(0.45, 0.15, 2.0), truth.study, **settings)


@pytest.mark.long
def test_both_spreads_are_learnt_from_people_on_several_days(three_days):
    """Within four posterior SDs (0.3 and 0.2 of the logarithm, which are those of estimates of so few people
    and days), to which chains of an ESS above 50 add at most 0.15 of one; and surer than the prior, whose
    medians are 0.1 and 0.8 of the logarithm off."""
    truth, found = three_days
    told = summarize_population(found).sel(parameter="insulin_sensitivity")
    for sd, true in zip(("omega", "kappa"), truth.values.omega, strict=True):
        draws = np.log(found.posterior[f"insulin_sensitivity_{sd}"])
        assert float(az.ess(draws.rename("x").to_dataset())["x"]) > 50
        assert float(draws.mean()) == pytest.approx(np.log(true), abs=4.15 * float(draws.std()))
        assert float(told[f"{sd}_contraction"]) > 0.4
    assert str(told["kappa_note"].values) == ""


def test_predictions_for_another_day_hold_what_people_do_on_other_days_and_those_for_a_fitted_one_do_not(
    three_days,
):
    """Of 400 new days of each of the twelve people, in 90 % bands. What is learnt of a person makes that
    person's share lower or higher; over twelve its standard error is at most 0.09 (that of twelve coins of
    0.9), of which four are allowed below."""
    truth, found = three_days
    rng, people = np.random.default_rng(1), truth.design.individuals
    posterior = found.posterior.to_dataset()
    values, own = population_of(posterior, people), individuals_of(posterior, people)
    population = values.typical, values.effect, values.omega, values.correlation
    another = people.draw_another_occasion(*population, own, np.full(12, 3), rng)
    first = people.first_occasion
    here, there = (
        np.log(people.theta(values.typical, values.effect, each)[:, :, first, people.layout.columns[0]])
        for each in (own, another)
    )
    persons, kappa = truth.values.individual[:, 0], truth.values.omega[1]
    days = persons + kappa * rng.normal(size=(400, 12))
    shares = []
    for drawn in (here, there):
        low, high = np.quantile(drawn, [0.05, 0.95], axis=(0, 1))
        shares.append(((low < days) & (days < high)).mean())
    assert shares[1] > 0.9 - 4 * 0.09 and shares[0] < shares[1] - 0.1


def test_on_another_day_a_person_stays_and_the_day_is_drawn_anew(three_days):
    people, rng = three_days[0].design.individuals, np.random.default_rng(2)
    draws = 4000
    typical = np.tile(people.typical_prior[0], (draws, 1))
    omega = np.tile([0.4, 0.25], (draws, 1))
    none = np.zeros((draws, 0))
    own = people.draw(typical, none, omega, none, rng)
    other = people.draw_another_occasion(typical, none, omega, none, own, np.full(12, 3), rng)
    days = [(each[..., :1] + each[..., 1:] - typical[:, None]) for each in (own, other)]
    n = draws * 12
    for each in days:  # the standard error of a variance is sqrt(2 / n) of it, and no more of 12 people
        assert each[..., 0].var() == pytest.approx(0.4**2 + 0.25**2, rel=5 * np.sqrt(2 / n))
    shared = (days[0][..., 0] * days[1][..., 0]).mean()
    assert shared == pytest.approx(0.4**2, abs=5 * (0.4**2 + 0.25**2) * np.sqrt(2 / n))
    np.testing.assert_allclose(other[..., 0], own[..., 0], rtol=1e-12)


def test_a_fit_of_one_day_and_people_seen_on_several_go_together_and_the_other_way_round(three_days):
    """One person on one occasion is expected to differ as much, whether or not occasions are told apart."""
    truth, found = three_days
    apart = truth.design.individuals
    once = simulated(of_one_parameter(0.45, 0.15, 2.0), 2, (0, 10, 20, 40, 70, 120)).design.individuals
    assert once.nested == ()
    told = found.posterior.to_dataset()
    whole = population_of(told, once).omega[..., 0]
    of_both = np.hypot(told.insulin_sensitivity_omega, told.insulin_sensitivity_kappa)
    np.testing.assert_allclose(whole, of_both, rtol=1e-12)
    untold = told.drop_vars(["insulin_sensitivity_kappa", "insulin_sensitivity_occasion"])
    whole = told.insulin_sensitivity_omega.values
    known, drawn = (population_of(untold, apart, rng=r).omega for r in (None, np.random.default_rng(1)))
    for divided in (known, drawn):
        np.testing.assert_allclose(np.hypot(divided[..., 0], divided[..., 1]), whole)
    expected = np.minimum(np.exp(apart.omega_prior[0][1]), np.sqrt(1 - LEAST_OWN) * whole)
    np.testing.assert_allclose(known[..., 1], expected)
    assert (drawn[..., 1] != known[..., 1]).any() and (drawn[..., 0] > 0.3 * whole).all()


# --- people of such fits ---


@pytest.fixture(scope="module")
def of_occasions(differing):
    d, bmi = differing
    return fit(d.spec, d.study, method="laplace", draws=50, random_seed=1, progressbar=False), bmi


def standardized(found, name, value):
    """What the covariate adds to the logarithm of a parameter, in each draw."""
    effect = model_of(found.attrs).parameters[name].effects["bmi"]
    return np.log(found.posterior.covariate_effect.sel(effect=f"{name} by bmi")) * effect.standardized(value)


def test_percentiles_are_among_people_with_the_covariates_of_the_first_occasion(of_occasions):
    found, bmi = of_occasions
    posterior, told = found.posterior, percentiles(found, random_seed=1)["median"].isel(among=0)
    for name, subject in product(("basal_insulin", "glucose_volume", "insulin_action_rate"), "ABC"):
        of_day = "occasion" in posterior[name].dims
        own = posterior[name].sel(occasion=f"{subject}/1") if of_day else posterior[name].sel(subject=subject)
        expected = np.log(posterior[f"{name}_typical"]) + standardized(found, name, bmi[subject, "1"])
        share = ndtr((np.log(own) - expected) / posterior[f"{name}_omega"])
        assert float(told.sel(parameter=name, subject=subject)) == pytest.approx(100 * float(share.median()))


def test_a_next_test_is_planned_for_a_person_as_on_the_first_occasion(of_occasions):
    found, bmi = of_occasions
    known = known_of_person(model_of(found.attrs), found, "A", 50)
    own = found.posterior.insulin_action_rate.sel(occasion="A/1")
    shared = found.posterior.mass_action_uptake * np.exp(
        standardized(found, "mass_action_uptake", bmi["A", "1"])
    )
    for name, values in (("insulin_action_rate", own), ("mass_action_uptake", shared)):
        drawn_of = known.phi[:, known.names.index(name)]
        np.testing.assert_allclose(drawn_of, np.log(values.values).ravel(), rtol=1e-9)


# --- new people ---


def test_new_people_of_such_a_population_have_what_is_their_own_and_what_is_the_days(three_days):
    _, found = three_days
    new = simulated(of_one_parameter(0.45, 0.15, 2.0), 2, (0, 10, 20, 40, 70, 120), seed=3).study
    person = fit_person(found, new, draws=200, random_seed=1)
    posterior = person.posterior
    assert posterior.insulin_sensitivity_occasion.occasion.values.tolist() == ["A/1", "B/1"]
    of_fit = set(found.posterior.insulin_sensitivity_kappa.values.ravel())
    assert set(posterior.insulin_sensitivity_kappa.values.ravel()) <= of_fit
    assert summarize_occasions(person)["median"].sizes["occasion"] == 2
    told = percentiles(person, random_seed=1)
    assert told.parameter.values.tolist() == ["insulin_sensitivity"] and (told["median"] > 0).all()


def test_new_people_seen_twice_divide_what_a_population_seen_once_does_not(three_days):
    truth, found = three_days
    posterior = found.posterior.to_dataset()
    whole = np.hypot(posterior.insulin_sensitivity_omega, posterior.insulin_sensitivity_kappa)
    once = found.copy()
    once["posterior"] = xr.DataTree(
        posterior.drop_vars(["insulin_sensitivity_kappa", "insulin_sensitivity_occasion"]).assign(
            insulin_sensitivity_omega=whole.assign_attrs(posterior.insulin_sensitivity_omega.attrs)
        )
    )
    person = fit_person(once, truth.study.select(subjects=["A"]), draws=200, random_seed=1).posterior
    assert person.sizes["occasion"] == 3
    divided = np.hypot(person.insulin_sensitivity_omega, person.insulin_sensitivity_kappa)
    assert set(divided.values.ravel().round(9)) <= set(whole.values.ravel().round(9))
    assert float(person.insulin_sensitivity_kappa.std()) > 0


# --- what earlier versions made ---


@pytest.fixture(scope="module")
def before(three_days):
    """The same people as an earlier version took them: all occasions of a person share one deviation."""
    d = three_days[0].design
    i = d.individuals
    people = Individuals.of(d.spec, i.columns, i.names, i.occasions, d.study.covariates, nested=())
    return replace(d, individuals=people)


def test_a_fit_of_an_earlier_version_answers_as_it_did(before, three_days):
    values = in_chains(drawn(before)[0], 2)
    posterior, known = to_dataset(before, values), data_groups(before)["constant_data"]
    assert not {"occasion", "insulin_sensitivity_kappa"} & {*posterior.coords, *posterior.data_vars}
    people, eta = random_effects(before.spec, posterior, known)
    assert people.nested == () and eta.shape == (2, 2, 12, 1)
    expected = values.individual - before.individuals.centre(values.typical, values.effect)
    np.testing.assert_allclose(eta, expected, atol=1e-12)


def test_coordinates_and_runs_of_an_earlier_version_are_no_coordinates_of_occasions_within_people(
    before, three_days, tmp_path
):
    d = three_days[0].design
    tree = xr.DataTree.from_dict({"whitened_coordinates": keep_coordinates(noncentered(before), before)})
    tree.attrs = {"model_hash": d.spec.hash, "study_hash": d.study.hash}
    assert "did not separate occasions from people" in kept_coordinates(tree, d)[1][0]
    assert kept_coordinates(tree, before)[1] == []
    run = Run(tmp_path / "run.zarr")
    with run.work(_identity(before)):
        run.check(_identity(before))
    with pytest.raises(InputError, match="occasions within people: None then, insulin_sensitivity now"):
        run.check(_identity(d))
