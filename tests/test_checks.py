"""The verdict on a fit, in sentences."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit

from bayesglu.analysis.checks import FitWarning, check


def changed(fit, group, **variables):
    """A copy of a fit with some variables of a group replaced."""
    copy = fit.copy(deep=True)
    copy[group] = xr.DataTree(copy[group].to_dataset().assign(variables))
    return copy


@pytest.fixture(scope="module")
def clean():
    return fake_fit("minimal", subjects=3, draws=250)


def told(fit):
    """Verdict of a fit that is not clean, checked to warn of just its problems."""
    with pytest.warns(FitWarning) as caught:
        verdict = check(fit)
    assert not verdict.clean and verdict.problems
    assert set(verdict.problems) <= set(verdict.sentences)
    assert len(caught) == 1 and all(problem in str(caught[0].message) for problem in verdict.problems)
    return verdict


def test_a_clean_fit_says_so_and_warns_of_nothing(clean):
    verdict = check(clean)
    assert verdict.clean and verdict.problems == ()
    assert repr(verdict).startswith("All sampling diagnostics passed.\n")
    said = "\n".join(verdict.sentences)
    assert "4 chains of 250 draws, 31 leapfrog steps per draw, 12 s in total." in said
    assert "The 4 chains have mixed: the largest R-hat is 1.0" in said
    assert "No divergent transitions." in said and "ODE solver converged for all subjects" in said


def test_the_table_has_a_row_a_variable_with_its_worst_value(clean):
    table = check(clean).table
    assert list(table.index) == list(clean["posterior"].data_vars)
    assert (table["values"] == [draws[0, 0].size for draws in clean["posterior"].data_vars.values()]).all()
    sensitivity = clean["posterior"]["insulin_sensitivity"]
    moved = sensitivity.where((sensitivity.chain != 2) | (sensitivity.subject != "3"), sensitivity * 3)
    row = told(changed(clean, "posterior", insulin_sensitivity=moved)).table.loc["insulin_sensitivity"]
    assert row["rhat"] > 1.2 and row["worst"] == "subject 3"


def test_chains_that_disagree_are_named_with_the_person_and_the_number(clean):
    sensitivity = clean["posterior"]["insulin_sensitivity"]
    moved = sensitivity.where((sensitivity.chain != 2) | (sensitivity.subject != "3"), sensitivity * 3)
    verdict = told(changed(clean, "posterior", insulin_sensitivity=moved))
    assert any(
        told.startswith("The 4 chains have not mixed") and "insulin_sensitivity of subject 3" in told
        for told in verdict.problems
    )
    assert "failed.\n" in repr(verdict)
    assert "\n! The 4 chains have not mixed" in repr(verdict)
    assert "<b>The 4 chains have not mixed" in verdict._repr_html_()


def test_too_few_draws_are_counted_and_the_advice_says_how_many_times_more():
    verdict = told(fake_fit("minimal", subjects=1, draws=75))
    few = next(problem for problem in verdict.problems if "bulk ESS" in problem)
    times = float(few.split("increase draws about ")[1].split("-")[0])
    least = float(few.split("ESS is ")[1].split()[0])
    assert least < 400 <= times * (least + 1)
    assert times < 400 / least + 0.11
    assert " of subject 1)" in few or "_typical)" in few or "_omega)" in few or "sigma_" in few


def test_chains_that_hardly_move_are_not_advised_to_draw_more(clean):
    stuck = clean["posterior"]["sigma_glucose"].copy()
    stuck[:] = np.cumsum(np.random.default_rng(0).normal(size=stuck.shape), axis=1)
    assert any(
        "more draws alone will not help" in p
        for p in told(changed(clean, "posterior", sigma_glucose=stuck)).problems
    )


def test_one_divergence_in_more_than_a_thousand_draws_is_said_and_tolerated():
    verdict = check(fake_fit("minimal", subjects=1, draws=500, diverging=1))
    assert verdict.clean
    expected = "1 divergent transition in 2000 draws (0.05 %): fewer than one"
    assert any(told.startswith(expected) for told in verdict.sentences)


def test_more_divergences_are_a_problem_with_a_fix_and_the_place_where_they_gather(clean):
    spread = clean["posterior"]["basal_glucose_omega"]
    verdict = told(changed(clean, "sample_stats", diverging=spread < spread.quantile(0.05)))
    (problem,) = verdict.problems
    assert problem.startswith("50 divergent transitions in 1000 draws (5 %)")
    assert "near small basal_glucose_omega" in problem and "target_accept" in problem


def test_slow_energies_are_a_problem_of_the_chains_that_have_them(clean):
    energy = clean["sample_stats"]["energy"].copy()
    energy[1] = np.cumsum(energy[1])
    (problem,) = told(changed(clean, "sample_stats", energy=energy)).problems
    assert problem.startswith("E-BFMI is 0.") and "in chain 1:" in problem


def test_constant_variables_are_passed_over(clean):
    one = xr.ones_like(clean["posterior"]["sigma_glucose"])
    verdict = check(changed(clean, "posterior", beta_cell_mass=one))
    assert verdict.clean
    assert np.isnan(verdict.table.loc["beta_cell_mass", "rhat"])


def test_a_posterior_in_which_nothing_varies_cannot_be_judged(clean):
    tree = clean.copy()
    tree["posterior"] = xr.DataTree(xr.ones_like(clean["posterior"].to_dataset()))
    assert any("convergence cannot be assessed" in problem for problem in told(tree).problems)


def test_failed_solves_are_named_by_person_and_reason():
    failed = [{"subject": "7", "reason": "The budget of steps ran out.", "count": 13}]
    _, problem = told(fake_fit("minimal", subjects=1, failed=failed, diverging=13)).problems
    assert problem.startswith("The ODE solver failed 13 times for subject 7")
    assert problem.endswith("The budget of steps ran out.")


def test_failed_solves_of_several_people_are_one_sentence_for_each_reason():
    stiff, lost = "The budget of steps ran out.", "A value stopped being a finite number."
    rows = [("7", stiff, 13), ("3", stiff, 1), ("3", lost, 2)]
    failed = [{"subject": who, "reason": why, "count": times} for who, why, times in rows]
    _, *told_of = told(fake_fit("minimal", subjects=1, failed=failed, diverging=16)).problems
    where = "warm-up included), where the density is zero."
    assert told_of == [
        f"The ODE solver failed 14 times for 2 subjects (7: 13, 3: 1; {where} {stiff}",
        f"The ODE solver failed 2 times for subject 3 ({where} {lost}",
    ]


def test_solves_that_failed_only_while_warming_up_are_told_and_are_no_problem():
    failed = [{"subject": "7", "reason": "The budget of steps ran out.", "count": 13}]
    verdict = check(fake_fit("minimal", subjects=1, failed=failed))
    assert verdict.clean
    assert "13 ODE solves failed during warm-up, and none after it." in verdict.sentences


def test_draws_that_are_not_finite_are_a_problem(clean):
    broken = clean["posterior"]["sigma_glucose"].copy()
    broken[0, 0] = np.nan
    assert any(
        "sigma_glucose are not finite" in p
        for p in told(changed(clean, "posterior", sigma_glucose=broken)).problems
    )


def test_one_chain_is_not_enough():
    assert any("One chain" in p for p in told(fake_fit("minimal", subjects=1, chains=1, draws=600)).problems)


def test_a_posterior_mode_is_called_a_laplace_approximation_and_warns_of_nothing():
    verdict = check(fake_fit("minimal", subjects=2, method="laplace"))
    assert verdict.clean and "Laplace approximation" in verdict.headline
    assert any("Laplace" in told and 'method="nuts"' in told for told in verdict.sentences)
    assert not any("R-hat" in told for told in verdict.sentences)


def test_no_warning_is_issued_when_none_is_wanted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not check(fake_fit("minimal", subjects=1, draws=20), warn=False).clean


@pytest.mark.parametrize("thing", [None, xr.Dataset(), xr.DataTree()])
def test_what_is_no_fit_is_refused(thing):
    with pytest.raises(ValueError, match="'posterior'"):
        check(thing)


@pytest.mark.parametrize(("share", "clean"), [(0.1, True), (0.5, False)])
def test_a_mode_says_who_has_another_one(share, clean):
    fit = fake_fit("minimal", subjects=3, draws=100, method="laplace")
    fit.attrs["other_modes"] = json.dumps([["2", share / 2], ["3", share]])
    verdict = check(fit, warn=False)
    (told,) = [told for told in verdict.sentences if "more than one mode" in told]
    assert f"modes: 3 ({share:.2g} times as probable), 2 (" in told
    assert (told not in verdict.problems) == clean
