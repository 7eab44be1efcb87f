"""Which test to do next: the search finds the best sampling times, and what is known already counts."""

from itertools import combinations

import numpy as np
import pytest
from fake_fit import fake_fit
from typer.testing import CliRunner

import bayesglu as bg
from bayesglu.analysis import sampling_search
from bayesglu.analysis.information import between_of, individual_covariance, planned_study
from bayesglu.analysis.sampling_search import (
    Comparison,
    OnePerson,
    in_order_of,
    information_by_time,
    known_of_anybody,
    known_of_person,
    search,
)
from bayesglu.cli.app import app
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.protocols.parse import parse_protocol

EVERY = np.array([0.0, 4, 10, 25, 60, 120])


@pytest.fixture(scope="module")
def plan():
    spec, times = bg.load_model("ivgtt"), dict.fromkeys(("glucose", "insulin"), EVERY)
    return make_design(spec, planned_study(spec, parse_protocol("ivgtt(0.3)"), times, None, 70.0))


def test_the_search_finds_the_best_of_all_choices(plan):
    known = known_of_anybody(plan, 5, np.random.default_rng(1))
    information = information_by_time(plan, known, EVERY)
    target = [plan.individuals.names.index("insulin_sensitivity")]
    score = OnePerson(plan.individuals, known.precision, target)
    chosen = search(score, information, np.arange(6), 3)
    every = {c: score(information[:, list(c)].sum(1)) for c in combinations(range(6), 3)}
    assert score(information[:, chosen].sum(1)) == pytest.approx(max(every.values()), abs=1e-3)
    more = search(score, information, np.arange(6), 4)
    assert 0 < score(information[:, chosen].sum(1)) < score(information[:, more].sum(1)) < 1


def test_without_days_one_person_is_as_identify_has_it_and_days_tell_less(plan, monkeypatch):
    known = known_of_anybody(plan, 5, np.random.default_rng(1))
    information = information_by_time(plan, known, EVERY).sum(1)
    typical, between = plan.individuals.typical_prior[1], between_of(plan.individuals)
    covariance = individual_covariance(information, plan.individuals.typical_factor, between)
    k = plan.individuals.names.index("insulin_sensitivity")
    expected = (1 - np.sqrt(covariance[:, k, k]) / np.hypot(typical[k], np.linalg.norm(between[k]))).mean()
    whole = OnePerson(plan.individuals, known.precision, [k])(information)
    monkeypatch.setattr(sampling_search, "_between_days", lambda people: np.zeros(len(people.estimated)))
    assert OnePerson(plan.individuals, known.precision, [k])(information) == pytest.approx(expected)
    assert whole < expected


def test_what_is_known_already_counts(plan):
    fit = fake_fit("ivgtt", subjects=2, draws=200, untaught=())
    known = known_of_person(plan.spec, fit, "2", 20)
    own = in_order_of(plan, known, np.random.default_rng(1))
    anybody = known_of_anybody(plan, 20, np.random.default_rng(1))
    assert own.names == plan.individuals.names and own.whom == "subject 2" and own.body_weight == 70
    sd, before = (np.sqrt(np.diag(np.linalg.inv(each.precision))) for each in (own, anybody))
    assert (sd < 0.5 * before).all()
    expected = np.log(fit.posterior.insulin_sensitivity.sel(subject="2").values).std()
    assert sd[own.names.index("insulin_sensitivity")] == pytest.approx(expected, rel=0.01)
    target = [own.names.index("insulin_sensitivity")]
    new, old = (
        OnePerson(plan.individuals, each.precision, target)(information_by_time(plan, each, EVERY).sum(1))
        for each in (own, anybody)
    )
    assert 0 < new < old
    with pytest.raises(InputError, match="Whose next test is it"):
        known_of_person(plan.spec, fit, None, 20)


def test_larger_groups_find_smaller_differences(plan):
    known = known_of_anybody(plan, 5, np.random.default_rng(1))
    information = information_by_time(plan, known, EVERY).sum(1)
    target = [plan.individuals.names.index("insulin_sensitivity")]
    small, large = (Comparison(plan.individuals, target, n) for n in (10, 40))
    assert 1 < large.ratio(information) < small.ratio(information)
    assert small(information) < large(information)


def test_candidates_are_put_in_order_and_the_best_is_told():
    found = bg.design("ivgtt", ["ivgtt(0.1)", "ivgtt(0.3)"], budget=4, draws=6, random_seed=1)
    assert found.candidate.values.tolist() == ["ivgtt(0.3)", "ivgtt(0.1)"]
    assert (np.diff(found.contraction) < 0).all() and (found.contraction < found.usual).all()
    assert found.attrs["recommended"].startswith("ivgtt(0.3), sampled at ")
    assert (np.diff(found.times, axis=1) > 0).all()
    again = bg.design("ivgtt", ["ivgtt(0.1)", "ivgtt(0.3)"], budget=4, draws=6, random_seed=1)
    assert again.equals(found)


def test_the_command_line_says_what_to_do_next(tmp_path):
    fit = bg.save(fake_fit("ivgtt", subjects=2, draws=50), tmp_path / "people.nc")
    words = ["design", str(fit), "-p", "ivgtt(0.3)", "--budget", "3", "--draws", "4", "--subject", "1"]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*words, "--seed", "1", "--times", "0,5,20,60,120"])
    assert shown.exit_code == 0, shown.output
    assert "insulin_sensitivity of subject 1" in shown.output and "would remove" in shown.output
