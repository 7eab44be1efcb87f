"""Virtual trials against brute force, and doses that meet a target."""

import numpy as np
import pytest
from scipy.stats import ttest_ind
from test_scenarios import every_effect, with_covariates

import bayesglu as bg
from bayesglu.analysis.people import draw_people
from bayesglu.errors import BayesgluWarning, InputError

TIMES = {"times": (0, 30, 60, 120, 180)}
ARMS = {"placebo": "ogtt(75)", "drug": bg.Scenario("ogtt(75)", {"insulin_sensitivity": bg.scale(1.5)})}
ILL = bg.new_people(covariates={"group": "T2D"})


@pytest.fixture(scope="module")
def people():
    return with_covariates(effects=every_effect())


def test_the_power_of_a_trial_is_that_of_trials_done_one_after_the_other(people):
    """Brute force: other people with another seed, one trial at a time; within four standard errors."""
    plan = bg.trial(people, ARMS, n=12, repeats=60, people=ILL, random_seed=1, **TIMES).iloc[0]
    found = bg.what_if(
        people,
        ARMS,
        subjects=bg.new_people(24, covariates={"group": "T2D"}),
        of="glucose_auc",
        measured=True,
        draws=60,
        random_seed=2,
        **TIMES,
    ).glucose_auc
    significant = []
    for chain in range(found.sizes["chain"]):
        for draw in range(found.sizes["draw"]):
            one = found.isel(chain=chain, draw=draw)
            placebo = one.sel(scenario="placebo").values[:12]
            drug = one.sel(scenario="drug").values[12:]
            significant.append(ttest_ind(drug, placebo, equal_var=False).pvalue < 0.05)
    expected = np.mean(significant)
    pooled = (plan.power + expected) / 2
    assert abs(plan.power - expected) <= 4 * np.sqrt(2 * max(pooled * (1 - pooled), 1 / 60) / 60)
    assert plan.repeats == 60 and plan.people == "24 new people like group T2D"
    assert plan.unit == "mg/dL*min" and plan.lower < plan["median"] < plan.upper


def test_more_people_have_more_power_and_those_who_leave_cost_some(people):
    asked = {"repeats": 40, "people": ILL, "random_seed": 3, **TIMES}
    grown = bg.trial(people, ARMS, n=[4, 40], **asked)
    assert grown.n.tolist() == [4, 40] and grown.power[1] > grown.power[0]
    same = bg.trial(people, {"a": "ogtt(75)", "b": "ogtt(75)"}, n=20, **asked).iloc[0]
    assert same.power <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)
    left = bg.trial(people, ARMS, n=40, dropout=0.8, **asked)
    assert left.power[0] < grown.power[1]
    again = bg.trial(people, ARMS, n=40, **asked)
    assert again.power[0] == grown.power[1] and again.attrs["random_seed"] == 3


def test_in_a_crossover_everyone_is_paired_and_each_day_is_another(people):
    asked = {"repeats": 60, "people": ILL, "random_seed": 3, **TIMES}
    parallel = bg.trial(people, ARMS, n=8, **asked).iloc[0]
    crossed = bg.trial(people, ARMS, n=8, crossover=True, **asked)
    assert crossed.attrs["design"] == "crossover" and crossed.people[0] == "8 new people like group T2D"
    # The mean difference is the same; what people differ by goes out of it, and days stay.
    spread = [row["upper"] - row["lower"] for row in (parallel, crossed.iloc[0])]
    assert spread[1] < spread[0]
    assert crossed.power[0] >= parallel.power - 4 * np.sqrt(2 * parallel.power * (1 - parallel.power) / 60)
    same = bg.trial(people, {"a": "ogtt(75)", "b": "ogtt(75)"}, n=8, crossover=True, **asked).iloc[0]
    assert same.upper > same.lower  # days and the assay's error differ between arms
    assert same.power <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)


def test_days_of_new_people_share_what_is_their_own_and_no_more(people):
    """Correlations of days agree with the share that is a person's own, within four standard errors."""
    spec = bg.load_model(people.attrs["model_text"])
    posterior = people.posterior.to_dataset().isel(chain=[0], draw=[0])
    n, rng = 4000, np.random.default_rng(1)
    drawn = draw_people(spec, posterior, [f"p{i}" for i in range(3 * n)], rng, days=3)
    for name, day in (("basal_glucose", True), ("fasting_production", False)):
        parameter = spec.parameters[name]
        assert (parameter.between_occasion is not None) is day
        days = parameter.to_scale(drawn[name].values.reshape(3, n))
        found = np.corrcoef(days)[np.triu_indices(3, 1)]
        sd = float(posterior[f"{name}_omega"].item())
        np.testing.assert_allclose(days.std(axis=1), sd, rtol=4 / np.sqrt(2 * n))
        if not day:
            np.testing.assert_allclose(found, 1.0)
            continue
        kappa = spec.parameters[name].between_occasion
        shares = np.exp(2 * (np.log(kappa.omega / sd) + np.array([-4, 4]) * kappa.sd))
        error = 4 / np.sqrt(n)
        assert np.all(found > 1 - min(1, shares[1]) - error) and np.all(found < 1 - shares[0] + error)
        assert np.ptp(found) < 2 * error  # one kappa for all days


def test_a_dose_meets_its_target_in_the_share_of_draws_in_which_it_does(people):
    asked = {"draws": 40, "random_seed": 1}
    found = bg.dose_for(people, "glucose_peak < 150", doses=[20, 100], probability=0.5, **asked)
    peak = bg.what_if(people, {"20": "meal(20)", "100": "meal(100)"}, of="peak", **asked).glucose_peak
    expected = (peak < 150).mean(("chain", "draw")).values.ravel()
    np.testing.assert_allclose(found.p_target, expected)
    assert found.met.tolist() == (expected >= 0.5).tolist()
    assert set(found.use) == {"for research, not for treatment"} and found.dose.tolist() == [20, 100] * 4
    insulin = bg.dose_for(people, "nadir > 70", "insulin", [0, 20], "meal(60)", subjects=["1"], **asked)
    assert insulin.p_target[0] >= insulin.p_target[1] and set(insulin.unit) == {"U"}


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda fit: bg.trial(fit, {"a": "ogtt(75)"}), "two arms or more"),
        (lambda fit: bg.trial(fit, ARMS, n=1), "n is 1"),
        (lambda fit: bg.trial(fit, ARMS, n=[10, 10**9]), "2 to 100,000"),
        (lambda fit: bg.trial(fit, ARMS, dropout=1), "dropout is 1"),
        (lambda fit: bg.trial(fit, ARMS, ["peak", "auc"]), "One quantity"),
        (lambda fit: bg.dose_for(fit, "peak"), "Write a quantity and a limit"),
        (lambda fit: bg.dose_for(fit, vary="exercise"), "Allowed: carbohydrate, insulin"),
        (lambda fit: bg.dose_for(fit, doses=[]), "doses are none"),
    ],
)
def test_a_trial_or_dose_that_cannot_be_is_refused(people, ask, told):
    with pytest.raises(InputError, match=told):
        ask(people)


def test_trials_that_lose_their_people_are_told_and_count_as_no_difference(people):
    arms = {"a": "ogtt(75)", "b": "ogtt(50)"}
    with pytest.warns(BayesgluWarning, match="fewer than two people with the endpoint"):
        found = bg.trial(people, arms, n=2, repeats=6, dropout=0.9, random_seed=1, **TIMES)
    assert float(found.power[0]) == 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"n": 4.0}, r"n is 4\.0; it must be a whole number"),
        ({"people": 20}, "people is 20. Give new people"),
    ],
)
def test_what_is_no_size_and_no_people_of_a_trial_is_refused(people, asked, told):
    with pytest.raises(InputError, match=told):
        bg.trial(people, {"a": "ogtt(75)", "b": "ogtt(50)"}, **asked)


def test_doses_and_targets_that_are_none_are_refused_and_one_dose_is_enough(people):
    with pytest.raises(InputError, match=r"target is 180\. Write a quantity and a limit"):
        bg.dose_for(people, 180)
    asked = {"subjects": ["1"], "draws": 4, "random_seed": 1, **TIMES}
    assert bg.dose_for(people, doses=50, **asked).dose.tolist() == [50]
    assert bg.dose_for(people, doses=[50, 50, 20], **asked).dose.tolist() == [50, 20]
