"""Whether the model describes the data, in sentences."""

import json

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit

from bayesglu.analysis.checks import FitWarning, check
from bayesglu.analysis.misfit import ALONE, FAR, SHOWN
from bayesglu.spec.model import load_model


@pytest.fixture(scope="module")
def good() -> xr.DataTree:
    return fake_fit("oral", subjects=6)


def changed(fit: xr.DataTree, group: str, **variables) -> xr.DataTree:
    copy = fit.copy(deep=True)
    copy[group] = xr.DataTree(copy[group].to_dataset().assign(variables))
    return copy


def problems(fit: xr.DataTree) -> list[str]:
    """Those of a fit, whose sampling has none."""
    with pytest.warns(FitWarning, match="The model does not describe the data"):
        verdict = check(fit)
    assert verdict.headline == "All sampling diagnostics passed. The model does not describe the data."
    assert not verdict.clean
    return list(verdict.problems)


def test_a_model_that_describes_the_data_has_a_sentence_and_no_problem(good):
    verdict = check(good)
    assert verdict.clean
    assert any("inside their own 90 % bands, and no person stands out" in told for told in verdict.sentences)


@pytest.mark.parametrize("times", [1.1, 1 / 1.1])
def test_an_error_is_told_from_so_many_sds_above_its_prior(good, times):
    prior = load_model("oral").analytes["glucose"].sigma
    median = float(good.posterior.sigma_glucose.median())
    large = good.posterior.sigma_glucose / median * prior.median * prior.gsd**FAR * times
    fit = changed(good, "posterior", sigma_glucose=large.assign_attrs(good.posterior.sigma_glucose.attrs))
    if times < 1:
        assert check(fit).clean
        return
    (told,) = problems(fit)
    assert told.startswith("The residual SD of glucose is 0.2") and "units, times, doses" in told


@pytest.mark.parametrize("sign", [1, -1])
def test_typical_values_far_from_their_priors_are_named_the_farthest_first(good, sign):
    posterior, spec = good.posterior, load_model("oral")
    moved = {}
    for name, sds in (("insulin_sensitivity", 4), ("basal_glucose", 6), ("first_phase_gain", 2.9)):
        own, called = spec.parameters[name], f"{name}_typical"
        draws = posterior[called] / posterior[called].median() * own.typical.median
        moved[called] = (draws * own.typical.gsd ** (sign * sds)).assign_attrs(posterior[called].attrs)
    (told,) = problems(changed(good, "posterior", **moved))
    assert told.startswith("Prior-data conflict, by more than 3.5 SDs of the prior: basal_glu")
    assert "insulin_sensitivity" in told and "first_phase_gain" not in told
    low, high = spec.parameters["basal_glucose"].interval(0.95)
    assert f"mg/dL (95 % of the prior: {low:.3g} to {high:.3g})" in told


def rough(fit, k=0.8):
    """The same numbers as a Laplace approximation with this Pareto k."""
    fit = fit.copy(deep=True)
    fit.attrs |= {"method": "laplace", "weights": json.dumps({"pareto_k": k, "efficiency": 0.5})}
    return fit


@pytest.mark.parametrize(("k", "judged"), [(0.6, True), (0.8, False)])
def test_typical_values_of_a_rough_approximation_are_told_and_not_judged(good, k, judged):
    called = "basal_glucose_typical"
    moved = (good.posterior[called] * 1.6).assign_attrs(good.posterior[called].attrs)
    found = check(rough(changed(good, "posterior", **{called: moved}), k), warn=False)
    (told,) = (sentence for sentence in found.about_model if "basal_glucose" in sentence)
    assert told.startswith("Prior-data conflict") and ("This is not judged" in told) != judged
    assert (told in found.problems) == judged


def test_nor_are_people_of_a_rough_approximation_where_most_are_far_off(good):
    draws = good.posterior.basal_glucose
    moved = draws / draws.median(("chain", "draw")) * 400.0
    for who, named in ((["1", "2"], True), (draws.subject.values.tolist(), False)):
        other = moved.where(draws.subject.isin(who), draws).assign_attrs(draws.attrs)
        fit = changed(good, "posterior", basal_glucose=other)
        for one, is_named in ((fit, True), (rough(fit), named)):
            found = check(one, warn=False)
            assert any("where the prior expects" in sentence for sentence in found.about_model)
            assert any("where the prior expects" in sentence for sentence in found.problems) == is_named


@pytest.mark.parametrize("times", [1.1, 1 / 1.1])
def test_a_person_unlike_anyone_whom_the_prior_expects_is_named(good, times):
    """Typical value and error stay as they are: it is the person alone who is far off."""
    own = load_model("oral").parameters["basal_glucose"]
    expected = np.log(good.prior.basal_glucose.sel(subject="4").values)
    q = np.quantile(expected, [0.001, 0.05, 0.5, 0.95, 0.999])
    away = ALONE * times * max((q[3] - q[1]) / 3.28971, (q[4] - q[0]) / 6.18046)
    draws = good.posterior.basal_glucose
    moved = draws / draws.median(("chain", "draw")) * np.exp(q[2] + away)
    fit = changed(
        good, "posterior", basal_glucose=draws.where(draws.subject != "4", moved).assign_attrs(draws.attrs)
    )
    if times < 1:
        assert check(fit).clean
        return
    (told,) = problems(fit)
    found, low, high = np.exp([q[2] + away, q[0], q[4]])
    assert told.startswith(
        f"basal_glucose of subject 4 is {found:.3g} mg/dL, where the prior expects {low:.3g} to {high:.3g}"
    )
    assert own.unit in told and "others" not in told


def test_people_whose_samples_lie_outside_their_bands_are_named(good):
    """Half a person's samples times three: an assay in other units."""
    glucose, insulin = good.observed_data.glucose, good.observed_data.insulin
    of = good.observed_data.insulin_subject == "3"
    fit = changed(good, "observed_data", insulin=insulin.where(~of, insulin * 3))
    told = problems(fit)
    assert told[0].startswith("The model does not describe 1 person: 3 (8 of 16 outside). Look at")
    everyone = changed(good, "observed_data", insulin=insulin * 3, glucose=glucose * 2)
    told = problems(everyone)
    assert told[0].startswith("The model does not describe 6 people: ") and ", and 2 others" in told[0]
    assert told[0].count("of 16 outside") == SHOWN


def test_residuals_that_keep_their_sign_are_told_with_time_and_size(good):
    """Too high before an hour, too low after it, in everyone, and inside the bands."""
    glucose, fitted = good.observed_data.glucose, good.fitted.glucose.median(("chain", "draw"))
    late = good.observed_data.glucose_time >= 60
    wave = fitted * np.where(late, 0.95, 1.05) * np.where(good.observed_data.glucose_time == 30, 1.03, 1.0)
    fit = changed(good, "observed_data", glucose=glucose.copy(data=wave.values))
    (told,) = problems(fit)
    assert told.startswith("Residuals of glucose keep their sign from sample to sample (12 runs where")
    assert "at 30 min, where samples lie 8 % above what is fitted" in told


def test_samples_beyond_a_limit_are_not_judged(good):
    insulin = good.observed_data.insulin
    of = (good.observed_data.insulin_subject == "3").values
    fit = changed(good, "observed_data", insulin=insulin.where(~of, insulin * 3))
    beyond = np.where(of, "below", "none").astype(object)
    fit = changed(fit, "constant_data", insulin_censoring=("insulin_obs", beyond))
    assert check(fit).clean


def test_a_fit_that_holds_no_predictions_is_judged_by_its_priors(good):
    fit = good.copy(deep=True)
    del fit["posterior_predictive"]
    assert check(fit).clean and not any("bands" in told for told in check(fit).sentences)


def test_a_mode_says_what_was_held():
    told = check(fake_fit("minimal", subjects=3, draws=100, method="laplace"), warn=False).sentences
    assert any(t.startswith("Fixed while the mode was sought: the forcing function, at") for t in told)
