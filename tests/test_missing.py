"""Covariates that some people lack: what is learnt of them from the others, and what becomes of it."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import ks_2samp, kstest, t
from simulated import CASES, MISSING, simulated

import bayesglu as bg
from bayesglu.analysis.diagnostics import mixing
from bayesglu.analysis.people import covariates_of
from bayesglu.hierarchy.posterior import acting_in, population_of, to_dataset
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import in_chains
from bayesglu.study.study import Study, StudyWarning

pytestmark = pytest.mark.filterwarnings("ignore:.* is missing for .*estimated with the rest")
QUIET = {"progressbar": False, "random_seed": 1}


@pytest.fixture(scope="module")
def design():
    return CASES[MISSING]()


@pytest.fixture(scope="module")
def drawn(design) -> Values:
    """Draws of the prior."""
    return design.draw_prior(4000, np.random.default_rng(2))


@pytest.fixture(scope="module")
def fit(design):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is missing for .*", StudyWarning)
        return bg.fit(design.spec, design.study, method="laplace", draws=40, **QUIET)


def without(study: Study, **lacking) -> Study:
    """The study where some lack a covariate: name -> places of these people."""
    changed = {}
    for name, places in lacking.items():
        covariate = study.covariates[name]
        values = covariate.values.astype(object if covariate.dtype.kind != "f" else float)
        values[places] = np.nan if covariate.dtype.kind == "f" else ""
        changed[name] = ("subject", values, covariate.attrs)
    return replace(study, covariates=study.covariates.assign(changed))


def test_what_is_learnt_of_covariates_stands_with_what_people_have_in_common(fit):
    table = bg.summarize_population(fit)
    table = table.sel(parameter=table.role == "covariate")
    posterior, levels = fit.posterior, fit.posterior.group_level.values
    shares = [f"group_share of {level}" for level in levels]
    numbers, sexes = ["bmi_mean", "bmi_sd", "age_mean", "age_sd"], ["sex_share of F", "sex_share of M"]
    assert table.parameter.values.tolist() == [*numbers, *shares, *sexes]
    found = table["median"].sel(parameter=shares)
    np.testing.assert_allclose(found, posterior.group_share.median(("chain", "draw")))
    narrower = 1 - posterior.bmi_mean.std() / fit.prior.bmi_mean.std()
    assert float(table.contraction.sel(parameter="bmi_mean")) == pytest.approx(float(narrower))
    assert table.unit.sel(parameter="bmi_mean") == "kg/m2"


# --- what they may be ---


def test_a_missing_number_is_expected_to_be_as_those_of_the_others_are(design, drawn):
    """Student's: by hand, from a prior of two people's weight about the effect's reference."""
    values = design.individuals.missing.parts(drawn.missing).value
    bmi = np.array([21.0, 24.0, 29.0])
    n, unit = len(bmi), 5.0
    rate = unit**2 + 0.5 * n * bmi.var() + 0.5 * 0.01 * n * (bmi.mean() - 23) ** 2 / (n + 0.01)
    middle, shape = (bmi.sum() + 0.23) / (n + 0.01), 1 + n / 2
    expected = t(2 * shape, middle, np.sqrt(rate / shape * (1 + 1 / (n + 0.01))))
    for g in range(2):
        assert kstest(values[:, g], expected.cdf).pvalue > 1e-4


def test_levels_are_drawn_as_often_as_their_shares_say_and_own_parameters_tell_them_apart(design, drawn):
    """The mean of the probabilities of a level given what was drawn is that of its share; limits are five
    standard errors."""
    people, missing = design.individuals, design.individuals.missing
    for h, of in enumerate(missing.levels):
        shares = np.exp(missing.log_shares(drawn.missing))[:, missing.shares_of(h)]
        for subject in of.subjects:
            j = people.missing.layout.mixed.tolist().index(people.subjects.index(subject))
            v = drawn
            each = people.log_levels(j, v.typical, v.effect, v.omega, v.correlation, v.individual, v.missing)
            found = missing.probabilities(j, h, each)
            np.testing.assert_allclose(found.sum(-1), 1.0)
            away = found - shares
            assert (np.abs(away.mean(0)) < 5 * away.std(0) / np.sqrt(len(away))).all()
            assert (away.std(0) > 0.05).all(), "own parameters tell of levels"


def test_shares_are_counts_with_one_for_each_level(design, drawn):
    missing = design.individuals.missing
    shares = np.exp(missing.log_shares(drawn.missing))
    expected = {"group": {"IGT": 2, "T2D": 2, "NGT": 3}, "sex": {"F": 3, "M": 2}}
    for h, of in enumerate(missing.levels):
        counts = np.array([expected[of.name][level] for level in of.levels])
        found = shares[:, missing.shares_of(h)]
        error = 5 * found.std(0) / np.sqrt(len(found))
        assert (np.abs(found.mean(0) - counts / counts.sum()) < error).all()


@pytest.mark.long
def test_pymc_draws_people_who_lack_a_level_as_the_prior_does(design, drawn):
    import pymc as pm

    from bayesglu.inference.pymc_model import model_of

    with model_of(design) as model:
        found = pm.draw(model["theta"], 300, random_seed=1, mode="FAST_COMPILE")
    expected = design.theta(drawn)[..., design.individuals.layout.columns]
    for occasion in range(3):  # of both who lack a number, and of the one who lacks two levels besides
        for k in range(found.shape[2]):
            assert ks_2samp(found[:, occasion, k], expected[:, occasion, k]).pvalue > 1e-5


# --- in a fit ---


def test_a_posterior_names_them_with_their_people_units_and_levels(fit):
    posterior = fit.posterior
    assert posterior.bmi_missing.bmi_missing_subject.values.tolist() == ["B", "E"]
    assert posterior.bmi_missing.attrs["units"] == posterior.bmi_mean.attrs["units"] == "kg/m2"
    assert posterior.age_sd.attrs["units"] == "1", "of the logarithm, since an effect is a power"
    assert 20 < float(posterior.age_mean.median()) < 100
    assert posterior.group_probability.dims[2:] == ("group_missing_subject", "group_level")
    assert posterior.sex_level.values.tolist() == ["F", "M"]
    for name in ("group_share", "group_probability", "sex_share", "sex_probability"):
        np.testing.assert_allclose(posterior[name].sum(posterior[name].dims[-1]), 1.0)
    assert {"bmi_mean", "bmi_sd", "group_share"} <= set(fit.log_prior.data_vars)


def test_what_a_posterior_says_of_them_is_read_back(design):
    values = in_chains(design.draw_prior(6, np.random.default_rng(4)), 2)
    found = population_of(to_dataset(design, values), design.individuals).missing
    np.testing.assert_allclose(found, values.missing, rtol=1e-9, atol=1e-9)
    of_others = covariates_of(xr.Dataset(coords={"subject": ["A"]}), to_dataset(design, values))
    assert not of_others.data_vars


def test_a_file_without_data_keeps_what_is_said_of_everyone(fit, tmp_path):
    public = bg.load(bg.save(fit, tmp_path / "public.nc", without_data=True)).posterior
    assert {"bmi_mean", "bmi_sd", "group_share"} <= set(public.data_vars)
    assert not {"bmi_missing", "group_probability"} & set(public.data_vars)


def test_a_what_if_of_people_who_lack_them_is_that_of_their_own_parameters(fit):
    asked = {"protocol": "ivgtt(0.3)", "draws": 4, "times": [0, 10, 40], "outputs": ["glucose"]}
    asked |= {"forcing": ([0, 10, 60], [60, 400, 60]), "random_seed": 1, "occasion": "fitted"}
    everyone = bg.what_if(fit, **asked)
    alone = bg.what_if(fit, subjects=["B"], **asked)
    xr.testing.assert_allclose(alone.glucose, everyone.glucose.sel(subject=["B"]), rtol=1e-12)
    theirs = bg.what_if(fit, subjects=["B"], **asked | {"occasion": "another"})
    assert np.isfinite(theirs.glucose).all() and not theirs.glucose.equals(alone.glucose)


ASKED = {"protocol": "ivgtt(0.3)", "draws": 40, "times": [0, 10, 40], "outputs": ["glucose"]}
ASKED |= {"forcing": ([0, 10, 60], [60, 400, 60]), "random_seed": 1}


def test_a_scenario_changes_a_number_that_is_missing_in_each_draw(fit):
    """By hand: of those who lack it from the number of each draw, of the others from their own."""
    posterior, per = fit.posterior, 5.0
    bmi = xr.DataArray([21.0, np.nan, 24.0, 29.0, np.nan], {"subject": list("ABCDE")}, ("subject",))
    drawn = posterior.bmi_missing.rename(bmi_missing_subject="subject")
    before = bmi.fillna(drawn.reindex(subject=list("ABCDE")))
    worlds = {"as is": bg.Scenario(), "leaner": bg.Scenario(change={"bmi": bg.shift(-5)})}
    worlds |= {"at 25": bg.Scenario(change={"bmi": bg.set_to(25)})}
    found = bg.what_if(fit, worlds, **ASKED).glucose
    beta = {
        name.partition(" by ")[0]: np.log(posterior.covariate_effect.sel(effect=name, drop=True))
        for name in posterior.effect.values
        if name.endswith(" by bmi")
    }
    assert {"basal_insulin", "insulin_sensitivity", "mass_action_uptake"} <= set(beta)
    for world, change in {"leaner": -5.0 + 0 * before, "at 25": 25 - before}.items():
        moved = {
            name: bg.Scenario(change={name: lambda own, b=b, c=change: own * np.exp(b * c / per)})
            for name, b in beta.items()
        }
        all_at_once = {name: each.change[name] for name, each in moved.items()}
        expected = bg.what_if(fit, {"moved": bg.Scenario(change=all_at_once)}, **ASKED).glucose
        xr.testing.assert_allclose(
            found.sel(scenario=world, drop=True), expected.isel(scenario=0, drop=True), rtol=1e-6
        )


def test_whoever_lacks_a_level_is_put_at_one_from_what_the_draw_says(fit):
    """Where the level of a draw is the one that is set, nothing changes; else its effect comes or goes."""
    asked = {**ASKED, "subjects": ["B"], "occasion": "fitted"}
    worlds = {n: bg.Scenario(change={"group": bg.set_to(n)}) for n in ("NGT", "T2D")}
    found = bg.what_if(fit, {"as is": bg.Scenario(), **worlds}, **asked).glucose.isel(subject=0)
    as_is, well, ill = (found.sel(scenario=n, drop=True) for n in ("as is", *worlds))
    moved = {n: np.abs(v - as_is).max("time") > 1e-6 for n, v in (("NGT", well), ("T2D", ill))}
    assert not (np.abs(well - ill).max("time") < 1e-6).any(), "the group matters to this model"
    was_well = float((~moved["NGT"]).mean())
    probability = fit.posterior.group_probability.sel(group_missing_subject="B")
    expected = probability.sel(group_level="NGT").mean().item()
    draws = probability.sizes["draw"] * probability.sizes["chain"]
    assert abs(was_well - expected) < 4.5 * np.sqrt(0.25 / draws)
    assert moved["T2D"].where(~moved["NGT"], True).all(), "whoever is well in a draw is moved to be ill"


def test_what_a_fit_has_not_estimated_is_refused_where_it_is_to_be_changed(fit):
    blind = fit.copy()
    blind["posterior"] = fit.posterior.to_dataset().drop_vars(["bmi_missing", "bmi_missing_subject"])
    with pytest.raises(bg.BayesgluError, match="bmi is missing for B, E, and the fit has not estimated it"):
        bg.what_if(blind, {"leaner": bg.Scenario(change={"bmi": bg.shift(-5)})}, **ASKED)
    with pytest.raises(bg.BayesgluError, match="group is missing for B, so that they are in no group of it"):
        bg.predictions(fit, "glucose_at_40", by="group", **{n: v for n, v in ASKED.items() if n != "outputs"})


def test_a_fit_of_which_the_covariate_was_left_out_answers_as_it_did():
    """As earlier versions did where anyone lacked one."""
    study = simulated("minimal", 3, (0, 10, 40, 130), covariates={"bmi": [21.0, 25.0, 33.0]}).study
    plain = replace(study, covariates=study.covariates.drop_vars("bmi"))
    before = bg.fit("minimal", plain, method="laplace", draws=20, **QUIET)
    known = before.constant_data.to_dataset()
    after = before.copy()
    after["constant_data"] = xr.DataTree(known.assign(covariate_bmi=("subject", [21.0, np.nan, 33.0])))
    asked = {"protocol": "ivgtt(0.3)", "times": [0, 10, 40], "outputs": ["glucose"], "draws": 8}
    asked |= {"forcing": ([0, 10, 60], [60, 400, 60]), "random_seed": 1, "occasion": "another"}
    assert not acting_in(after.posterior.to_dataset())
    xr.testing.assert_identical(bg.what_if(after, **asked), bg.what_if(before, **asked))
    tables = [bg.summarize_population(one).eta_shrinkage for one in (before, after)]
    xr.testing.assert_identical(*tables)
    assert np.isfinite(tables[0].sel(parameter="insulin_sensitivity"))


@pytest.mark.long
@pytest.mark.sampling
def test_a_quarter_of_covariates_less_tells_less_and_nothing_else():
    """An effect's mean given all data has, given those without the gaps, their mean and the variance by which
    theirs is larger; limits are four standard deviations of that and of both means over their draws."""
    rng = np.random.default_rng(3)
    n = 12
    covariates = {"bmi": rng.normal(27, 5, n).tolist(), "group": (["NGT", "T2D"] * n)[:n]}
    whole = simulated("minimal", n, (0, 10, 40, 130), covariates=covariates).study
    gaps = without(whole, bmi=slice(0, None, 4), group=slice(1, None, 4))
    settings = {"draws": 150, "tune": 120, "chains": 2, "cores": 2, **QUIET}
    found = [bg.fit("minimal", study, **settings).posterior for study in (whole, gaps)]
    for effect in found[0].effect.values:
        draws = [np.log(one.covariate_effect.sel(effect=effect).values) for one in found]
        errors = [one.std() / np.sqrt(mixing(one[..., None]).ess_bulk[0]) for one in draws]
        variance = [one.var() for one in draws]
        allowed = max(variance[1] - variance[0], 0) + errors[0] ** 2 + errors[1] ** 2
        assert abs(draws[0].mean() - draws[1].mean()) < 4 * np.sqrt(allowed), effect
    known = np.array(covariates["group"])[1::4] == "T2D"
    right = np.where(known, found[1].group_probability.sel(group_level="T2D"), 0).mean((0, 1))[known]
    assert right.mean() > 0.5, "of people whose glucose says it"


# --- of others ---


def test_whoever_lacks_a_level_is_simulated_at_each_as_often_as_it_is_known():
    n = 240
    table = pd.DataFrame({"subject": [str(i) for i in range(n)], "group": ["NGT", "T2D"] * (n // 2)})
    settings = {"protocol": "ogtt(75)", "times": [0, 60], "analytes": ["glucose"], "random_seed": 2}
    like = bg.simulate_study("oral", subjects=n, covariates=table, **settings)
    lacking = np.arange(n) % 4 > 1
    gaps = without(like, group=lacking)
    found = bg.simulate_study("oral", like=gaps, random_seed=1, population="medians")
    xr.testing.assert_identical(found.covariates, gaps.covariates)
    glucose = found.truth.basal_glucose.values
    assert ks_2samp(glucose[lacking], glucose[~lacking]).pvalue > 1e-4
    diabetic = gaps.covariates.group.values == "T2D"
    assert ks_2samp(glucose[lacking], glucose[diabetic]).pvalue < 1e-4, "so that the test can fail"


@pytest.mark.long
def test_whoever_is_left_out_and_lacks_a_covariate_is_predicted_over_all_that_it_may_be():
    study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03", "P04"], ["glucose"])
    levels = xr.Dataset(
        {"group": ("subject", ["NGT", "T2D", "NGT", ""])}, coords={"subject": list(study.subjects)}
    )
    found = {}
    for level in ("", "NGT"):
        covariates = levels.copy(deep=True)
        covariates["group"] = ("subject", ["NGT", "T2D", "NGT", level])
        own = replace(study, covariates=covariates)
        found[level] = bg.leave_one_out("oral", own, ["P04"], method="laplace", draws=1000, random_seed=1)
    first = {level: table.isel(obs=0) for level, table in found.items()}
    assert first["NGT"]["median"] < first[""]["median"]
    assert first["NGT"].upper < first[""].upper
