"""Medians, intervals and contraction of a fit."""

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglu.analysis import summaries
from bayesglu.analysis.summaries import (
    LITTLE,
    NOTE,
    WIDER,
    minimal_model_indices,
    summarize_individuals,
    summarize_population,
)
from bayesglu.reporting.tables import summary
from bayesglu.spec.model import load_model

FIT = fake_fit("minimal", subjects=2)
WITH_FRACTION = fake_fit("oral_cpeptide", subjects=1, draws=100)


def log_odds(share):
    return np.log(share / (1 - share))


@pytest.fixture(scope="module")
def fit():
    return fake_fit("oral", subjects=3, untaught=("insulin_sensitivity", "glucose_volume"))


@given(st.floats(0.01, 0.99))
@settings(max_examples=15, deadline=None)
def test_intervals_are_equal_tailed_and_have_their_probability(probability):
    draws = FIT["posterior"]["insulin_sensitivity"].sel(subject="2").values
    table = summarize_individuals(FIT, probability).sel(parameter="insulin_sensitivity", subject="2")
    below = (draws < float(table["lower"])).mean()
    above = (draws > float(table["upper"])).mean()
    assert below == pytest.approx((1 - probability) / 2, abs=0.002)
    assert above == pytest.approx(below, abs=0.002)
    assert float(table["lower"]) <= float(table["median"]) == np.median(draws) <= float(table["upper"])


def test_every_row_says_its_unit_symbol_and_what_its_interval_is(fit):
    for table in (summarize_population(fit, 0.8), summarize_individuals(fit, 0.8)):
        assert table.attrs == {"interval": "equal-tailed", "probability": 0.8}
        frame = table.to_dataframe()
        assert set(frame["interval"]) == {"equal-tailed"} and set(frame["probability"]) == {0.8}
        rows = frame.xs("insulin_sensitivity", level="parameter") if frame.index.nlevels > 1 else frame
        assert "L/pmol/min" in set(rows["unit"]) and "S_I" in set(rows["symbol"])


def test_population_has_a_row_for_each_thing_that_people_share(fit):
    table = summarize_population(fit)
    spec = load_model("oral")
    together = "correlation of insulin_sensitivity and basal_insulin"
    expected = {*spec.estimated, "sigma_glucose", "sigma_insulin", together}
    assert set(table["parameter"].values) == expected
    roles = dict(zip(table["parameter"].values, table["role"].values, strict=True))
    assert roles["insulin_sensitivity"] == "typical"
    assert roles["glucose_volume"] == "shared" and roles["sigma_glucose"] == "sigma"


def test_the_typical_value_and_the_spread_between_people_stand_in_one_row(fit):
    row = summarize_population(fit).sel(parameter="basal_glucose")
    assert float(row["median"]) == np.median(fit["posterior"]["basal_glucose_typical"])
    assert float(row["omega_median"]) == np.median(fit["posterior"]["basal_glucose_omega"])
    assert float(row["omega_lower"]) < float(row["omega_median"]) < float(row["omega_upper"])


def test_what_does_not_vary_has_no_spread_between_people(fit):
    assert np.isnan(summarize_population(fit)["omega_median"].sel(parameter="glucose_volume"))


@pytest.mark.parametrize("name, scale", [("basal_glucose", np.log), ("hepatic_extraction", log_odds)])
def test_contraction_compares_the_posterior_with_the_prior_on_the_scale_of_the_prior(name, scale):
    posterior, prior = (
        WITH_FRACTION[group][name].sel(subject="1").values for group in ("posterior", "prior")
    )
    found = summarize_individuals(WITH_FRACTION)["contraction"].sel(parameter=name, subject="1")
    assert float(found) == pytest.approx(1 - scale(posterior).std() / scale(prior).std())


def test_how_much_people_differ_in_a_fraction_is_compared_on_the_logarithm():
    posterior, prior = (WITH_FRACTION[group]["hepatic_extraction_omega"] for group in ("posterior", "prior"))
    expected = 1 - np.log(posterior.values).std() / np.log(prior.values).std()
    found = summarize_population(WITH_FRACTION)["omega_contraction"].sel(parameter="hepatic_extraction")
    assert float(found) == pytest.approx(expected)


def test_a_note_says_where_the_data_taught_almost_nothing(fit):
    table = summarize_population(fit)
    assert str(table["note"].sel(parameter="glucose_volume").values) == NOTE
    assert str(table["note"].sel(parameter="basal_glucose").values) == ""
    assert ((table["note"].values != "") == (table["contraction"].values < LITTLE)).all()


def test_a_posterior_wider_than_the_prior_is_not_called_the_prior(fit):
    wide = fit["posterior"].to_dataset()
    about = wide["basal_insulin"].attrs
    wide["basal_insulin"] = (60 * (wide["basal_insulin"] / 60) ** 9).assign_attrs(about)
    tree = fit.copy()
    tree["posterior"] = xr.DataTree(wide)
    row = summarize_individuals(tree).sel(parameter="basal_insulin", subject="1")
    assert float(row["contraction"]) < -0.1 and str(row["note"].values) == WIDER


def test_the_prior_stands_beside_the_posterior(fit):
    prior = fit["prior"]["basal_glucose"].sel(subject="3").values
    row = summarize_individuals(fit).sel(parameter="basal_glucose", subject="3")
    np.testing.assert_allclose(
        [row["prior_lower"], row["prior_median"], row["prior_upper"]], np.quantile(prior, [0.05, 0.5, 0.95])
    )


def test_a_fit_that_was_saved_without_its_prior_has_no_contraction_and_no_notes(fit):
    bare = fit.copy()
    del bare["prior"]
    table = summarize_individuals(bare)
    assert np.isfinite(table["median"]).all() and np.isnan(table["contraction"]).all()
    assert set(table["note"].values.ravel()) == {""}


ON_TWO_DAYS = fake_fit("minimal", subjects=2, occasions=2, draws=50, untaught=("basal_insulin",))


def test_how_much_occasions_differ_stands_beside_how_much_people_do_and_says_whether_data_taught_it():
    table, row = summarize_population(ON_TWO_DAYS), {"parameter": "basal_glucose"}
    draws = ON_TWO_DAYS["posterior"]["basal_glucose_kappa"]
    assert float(table["kappa_median"].sel(row)) == np.median(draws)
    after, before = (np.log(ON_TWO_DAYS[g]["basal_glucose_kappa"]).std() for g in ("posterior", "prior"))
    assert float(table["kappa_contraction"].sel(row)) == pytest.approx(float(1 - after / before))
    assert str(table["kappa_note"].sel(row).values) == ""
    assert str(table["kappa_note"].sel(parameter="basal_insulin").values) == NOTE
    assert np.isfinite(table["kappa_eta_shrinkage"].sel(row))
    assert np.isnan(table["kappa_median"].sel(parameter="glucose_volume"))
    assert "basal_glucose_kappa" not in table["parameter"]


def test_where_nobody_was_seen_twice_what_is_said_of_occasions_is_the_prior_and_says_so():
    spread, row = load_model("minimal").parameters["basal_glucose"].between_occasion, "basal_glucose"
    told = summarize_population(FIT, 0.95).sel(parameter=row)
    assert float(told["kappa_median"]) == float(told["kappa_prior_median"]) == pytest.approx(spread.omega)
    assert float(told["kappa_upper"]) == pytest.approx(spread.omega * spread.gsd**1.959964)
    assert float(told["kappa_contraction"]) == 0 and str(told["kappa_note"].values) == summaries.ITS_PRIOR
    shown = summary(summarize_population(FIT)).set_index("parameter")["kappa (between-occasion SD)"]
    assert shown[row].endswith("its prior") and shown["glucose_volume"] == ""
    assert "its prior" not in summary(summarize_population(ON_TWO_DAYS)).to_string()


def test_a_persons_own_and_what_each_occasion_had_are_two_tables():
    posterior = ON_TWO_DAYS["posterior"]
    own = summarize_individuals(ON_TWO_DAYS)["median"].sel(parameter="basal_glucose", subject="2")
    assert float(own) == np.median(posterior["basal_glucose"].sel(subject="2"))
    table = summaries.summarize_occasions(ON_TWO_DAYS)
    assert set(table["parameter"].values) == {"basal_glucose", "basal_insulin", "insulin_sensitivity"}
    day = table["median"].sel(parameter="basal_glucose", occasion="2/1")
    assert float(day) == np.median(posterior["basal_glucose_occasion"].sel(occasion="2/1"))


def test_what_varies_from_occasion_to_occasion_alone_is_in_the_table_of_occasions_only():
    spec = load_model("oral").with_changes(parameters={"emptying_rate": {"level": "occasion"}})
    fit = fake_fit(spec, subjects=2, occasions=2, draws=20)
    table = summaries.summarize_occasions(fit)
    assert table["median"].dims == ("parameter", "occasion")
    assert {"emptying_rate", "incretin_potentiation"} <= set(table["parameter"].values)
    assert list(table["occasion"].values) == ["1/1", "1/2", "2/1", "2/2"]
    assert "emptying_rate" not in summarize_individuals(fit)["parameter"]


def test_a_fit_in_which_no_occasion_differs_says_where_to_look(fit):
    with pytest.raises(ValueError, match="population"):
        summaries.summarize_occasions(fit)


@pytest.mark.parametrize("probability", [0, 1, 90])
def test_a_probability_outside_0_and_1_is_refused(fit, probability):
    for table in (summarize_population, summarize_individuals):
        with pytest.raises(ValueError, match="between 0 and 1"):
            table(fit, probability)


def test_what_is_no_fit_is_refused():
    with pytest.raises(ValueError, match="'posterior'"):
        summarize_population(xr.Dataset())


def test_the_indices_of_the_minimal_model_are_those_of_the_literature():
    found = minimal_model_indices(FIT)
    drawn = FIT["posterior"].to_dataset().sel(subject="1").isel(chain=0, draw=5)
    here = found.sel(subject="1").isel(chain=0, draw=5)
    assert float(here["insulin_sensitivity"]) == pytest.approx(6.0 * float(drawn["insulin_sensitivity"]))
    expected = drawn["mass_action_uptake"] / drawn["glucose_volume"]
    expected = expected + drawn["insulin_sensitivity"] * drawn["basal_insulin"]
    assert float(here["glucose_effectiveness"]) == pytest.approx(float(expected))


def test_a_fixed_parameter_takes_its_value_from_the_model_in_the_fit():
    spec = load_model("minimal").with_changes(parameters={"glucose_volume": {"level": "fixed"}})
    assert np.isfinite(
        minimal_model_indices(fake_fit(spec, subjects=1, draws=10))["glucose_effectiveness"]
    ).all()
