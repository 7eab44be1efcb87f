"""Predictions, comparisons, slopes and effects as tables and pictures."""

import numpy as np
import pandas as pd
import pytest
from test_scenarios import EFFECT, every_effect, with_covariates

import bayesglu as bg
from bayesglu.analysis.effects import contrast_words
from bayesglu.errors import InputError

BRIEF = {"draws": 12, "random_seed": 1, "times": range(0, 181, 15)}


@pytest.fixture(scope="module")
def people():
    return with_covariates(effects=every_effect())


def curves(fit, scenarios, **asked):
    return bg.what_if(fit, scenarios, outputs=["glucose"], **BRIEF | asked).glucose


# --- predictions ---


def test_a_prediction_is_the_median_and_interval_of_the_mean_over_people_in_each_draw(people):
    found = bg.predictions(people, "glucose_at_120", "meal(60)", probability=0.8, **BRIEF)
    expected = curves(people, "meal(60)").sel(time=120).mean("subject")
    np.testing.assert_allclose(found[["lower", "median", "upper"]], [expected.quantile([0.1, 0.5, 0.9])])
    row = found.iloc[0]
    assert (row.interval, row.people) == ("mean of 4 people", "4 people of the study")
    assert (row.occasion, row.unit, row.probability) == ("another", "mg/dL", 0.8)
    assert found.attrs["protocol"] == "meal(60)" and found.attrs["random_seed"] == 1


def test_predictions_are_of_each_person_or_of_the_groups_of_a_covariate(people):
    each = bg.predictions(people, ["peak", "insulin_peak"], "meal(60)", average=False, **BRIEF)
    assert each.subject.tolist() == ["1", "2", "3", "4"] * 2
    peak = curves(people, "meal(60)").max("time").median(("chain", "draw")).values.ravel()
    np.testing.assert_allclose(each["median"][:4], peak)
    by = bg.predictions(people, "peak", "meal(60)", by="group", **BRIEF)
    assert by.group.tolist() == ["NGT", "T2D"] and set(by.interval) == {"mean of 2 people"}
    with pytest.raises(InputError, match="by is 'sex', which is not known of these people"):
        bg.predictions(people, "peak", "meal(60)", by="sex", **BRIEF)


def test_of_new_people_the_mean_and_one_of_them_are_told_apart(people):
    asked = {"subjects": bg.new_people(20, covariates={"group": "T2D"})}
    found = bg.predictions(people, "peak", "meal(60)", **asked, **BRIEF).set_index("interval")
    assert found.index.tolist() == ["mean of 20 new people", "a new person"]
    assert set(found.people) == {"20 new people like group T2D"}
    width = found.upper - found.lower
    assert width["a new person"] > 2 * width["mean of 20 new people"]
    peaks = curves(people, "meal(60)", **asked).max("time")
    np.testing.assert_allclose(found.loc["a new person", "median"], peaks.median())


def test_predictions_over_values_have_a_column_for_each_variable(people):
    variables = {"group": ["NGT", "T2D"], "protocol": ["meal(30)", "meal(60)"], "basal_insulin": [40, 60.0]}
    found = bg.predictions(people, "peak", variables=variables, subjects="typical", **BRIEF)
    assert list(found.columns[:3]) == ["group", "protocol", "basal_insulin"] and len(found) == 8
    assert set(found.interval) == {"the typical person"} and found.basal_insulin.dtype.kind in "if"
    one = bg.predictions(
        people,
        "peak",
        {"a": bg.Scenario("meal(60)", {"group": "T2D", "basal_insulin": bg.set_to(60)})},
        subjects="typical",
        **BRIEF,
    )
    assert found["median"].iloc[-1] == pytest.approx(one["median"].iloc[0])


def test_what_never_happens_in_a_draw_is_counted(people):
    found = bg.predictions(people, ["glucose_until_below_10", "peak"], "meal(60)", **BRIEF)
    assert found.defined.tolist() == [0, 1] and np.isnan(found["median"][0])


# --- comparisons ---


def test_a_comparison_is_the_paired_difference_within_each_draw(people):
    found = bg.comparisons(
        people, {"insulin_sensitivity": bg.scale(1.3)}, "glucose_at_120", rope=(-5, 5), above=-3, **BRIEF
    ).iloc[0]
    both = bg.what_if(people, change={"insulin_sensitivity": bg.scale(1.3)}, outputs=["glucose"], **BRIEF)
    at = both.glucose.sel(time=120)
    paired = (at.sel(scenario="changed") - at.sel(scenario="reference")).mean("subject")
    expected = paired.quantile([0.05, 0.5, 0.95])
    np.testing.assert_allclose(found[["lower", "median", "upper"]].astype(float), expected)
    assert found.p_above == float((paired > -3).mean())
    assert found.p_in_rope == float((abs(paired) <= 5).mean())
    assert found.contrast == "insulin_sensitivity x 1.3" and found.above == -3


def test_groups_are_compared_in_the_same_people_or_as_they_are(people):
    asked = {"variables": {"group": ["NGT", "T2D"]}, "of": "glucose_at_120"}
    adjusted = bg.comparisons(people, **asked, **BRIEF).iloc[0]
    at = bg.what_if(
        people,
        {level: bg.Scenario("ogtt(75)", {"group": bg.set_to(level)}) for level in ("NGT", "T2D")},
        outputs=["glucose"],
        **BRIEF,
    ).glucose.sel(time=120)
    expected = (at.sel(scenario="T2D") - at.sel(scenario="NGT")).mean("subject").median()
    assert adjusted["median"] == pytest.approx(float(expected))
    assert adjusted.contrast == "T2D - NGT" and adjusted.interval == "mean of 4 people"
    plain = bg.comparisons(people, adjusted=False, **asked, **BRIEF).iloc[0]
    own = curves(people, "ogtt(75)").sel(time=120, scenario="reference")
    expected = own.sel(subject=["2", "4"]).mean("subject") - own.sel(subject=["1", "3"]).mean("subject")
    assert plain["median"] == pytest.approx(float(expected.median()))
    theirs = people.copy()
    theirs["constant_data"]["covariate_group"][1] = "T2DM"
    same = bg.comparisons(theirs, adjusted=False, **asked, **BRIEF).iloc[0]
    assert same["median"] == plain["median"], "another spelling of the same level"
    assert plain.interval == "means of 2 and 2 people" and plain.contrast == "T2D - NGT, unadjusted"


def test_ratios_and_functions_compare_too_of_each_person_or_of_the_means(people):
    scenarios = {"small": "meal(30)", "large": "meal(90)"}
    asked = {"scenarios": scenarios, "of": "iauc"}
    ratio = bg.comparisons(people, compare="ratio", **asked, **BRIEF).iloc[0]
    areas = bg.what_if(people, scenarios, of="iauc", **BRIEF).glucose_iauc
    means = areas.mean("subject")
    expected = (means.sel(scenario="large") / means.sel(scenario="small")).median()
    assert ratio["median"] == pytest.approx(float(expected)) and ratio.unit == "1" and ratio.above == 1
    each = bg.comparisons(people, compare="ratio", average=False, **asked, **BRIEF)
    of_each = (areas.sel(scenario="large") / areas.sel(scenario="small")).median(("chain", "draw"))
    np.testing.assert_allclose(each["median"], of_each)

    def percent(changed, reference):
        return 100 * (changed / reference - 1)

    own = bg.comparisons(people, compare=percent, **asked, **BRIEF).iloc[0]
    assert own["median"] == pytest.approx(100 * (ratio["median"] - 1)) and own["compare"] == "percent"


def test_several_variables_are_otherwise_each_on_its_own(people):
    found = bg.comparisons(
        people, {"group": ["NGT", "IGT", "T2D"], "protocol": ["meal(30)", "meal(90)"]}, **BRIEF
    )
    assert found.variable.tolist() == ["group", "group", "protocol"]
    assert found.contrast.tolist() == ["IGT - NGT", "T2D - NGT", "meal(90) - meal(30)"]


# --- slopes ---


def test_a_slope_is_that_of_the_curve_over_the_covariate():
    """Of basal insulin per unit of BMI, whose effect is known in each draw: log-linear, so within the third
    order of the step."""
    fit = with_covariates("oral", effects=every_effect())
    found = bg.slopes(fit, "bmi", "insulin_start", average=False, **BRIEF)
    factor = fit.posterior.covariate_effect.sel(effect="basal_insulin by bmi")
    basal = fit.posterior.basal_insulin
    expected = (basal * np.log(factor) / 5).sel(draw=bg.what_if(fit, of="peak", **BRIEF).draw)
    np.testing.assert_allclose(found["median"], expected.median(("chain", "draw")), rtol=1e-3)
    assert set(found.unit) == {"pmol/L per 1 kg/m2"} and set(found["compare"]) == {"slope"}


def test_the_slope_of_a_parameter_is_per_cent_of_its_value(people):
    found = bg.slopes(people, "basal_insulin", "insulin_start", per=2, **BRIEF).iloc[0]
    basal = people.posterior.basal_insulin.mean("subject")
    expected = 0.02 * basal.sel(draw=bg.what_if(people, of="peak", **BRIEF).draw).median()
    assert found["median"] == pytest.approx(float(expected), rel=1e-6)
    assert found.unit == "pmol/L per 2 %" and found.p_above == 1


# --- effects ---


def test_effects_are_told_as_factors_in_words(people):
    found = bg.effects(people, rope=(0.9, 1.1)).set_index("contrast")
    row = found.loc["type 2 diabetes"].set_index("quantity").loc["insulin_sensitivity"]
    draws = people.posterior.covariate_effect.sel(effect=EFFECT)
    assert row["median"] == pytest.approx(float(draws.median()))
    assert row.words == (
        f"type 2 diabetes: insulin sensitivity x {row['median']:.2g} ({row.lower:.2g} to {row.upper:.2g})"
    )
    assert row.p_above == 0 and row.p_in_rope == 0
    assert "BMI + 5 kg/m2" in found.index
    power = bg.spec.priors.Effect("age", "power", 40.0, 2.0, 1.1, 1.2)
    assert contrast_words(power) == "age x 2"


# --- what cannot be asked ---


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda fit: bg.predictions(fit, "peek"), "Did you mean"),
        (lambda fit: bg.predictions(fit, probability=90), "probability is 90"),
        (lambda fit: bg.predictions(fit, drawss=3), "no argument 'drawss'. Did you mean 'draws'"),
        (lambda fit: bg.predictions(fit, variables={}), "Give a mapping"),
        (lambda fit: bg.predictions(fit, variables={"bmi": 3}), "bmi takes 3. Give"),
        (lambda fit: bg.predictions(fit, "peak", {"a": "meal(60)"}, {"bmi": [2]}), "and not both"),
        (lambda fit: bg.comparisons(fit), "Give variables, or scenarios"),
        (lambda fit: bg.comparisons(fit, {"group": ["NGT"]}), "Give two values or more"),
        (lambda fit: bg.comparisons(fit, scenarios={"a": "meal(60)"}), "one scenario alone"),
        (
            lambda fit: bg.comparisons(fit, {"group": ["NGT", "T2D"]}, compare="odds"),
            "Allowed: difference, ratio",
        ),
        (lambda fit: bg.comparisons(fit, {"group": ["NGT", "IGT"]}, adjusted=False), "Nobody in the study"),
        (lambda fit: bg.comparisons(fit, {"bmi": bg.shift(1)}, adjusted=False), "adjusted=False compares"),
        (lambda fit: bg.comparisons(fit, {"group": ["NGT", "T3D"]}), "no group 'T3D'"),
        (lambda fit: bg.slopes(fit, "group"), "no covariate that is a number"),
        (lambda fit: bg.slopes(fit, "bmi", per=0), "per is 0"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(people, ask, told):
    with pytest.raises(InputError, match=told):
        ask(people)


def test_a_fit_without_covariates_has_no_effects():
    with pytest.raises(InputError, match="No covariate acts in this fit"):
        bg.effects(with_covariates())


# --- pictures ---


def test_a_forest_has_a_row_for_each_row_of_the_table_and_a_panel_for_each_quantity(people):
    table = bg.comparisons(people, {"group": ["NGT", "IGT", "T2D"]}, ["peak", "glucose_at_120"], **BRIEF)
    figure = bg.plots.forest(table)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Glucose peak", "Glucose at 120"]
    (peak, _) = figure.axes
    assert [text.get_text() for text in peak.get_yticklabels()] == ["IGT - NGT", "T2D - NGT"]
    (medians,) = (line for line in peak.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o")
    np.testing.assert_allclose(medians.get_xdata(), table["median"][:2])
    assert peak.get_xlabel() == "mg/dL" and "4 people of the study" in figure.get_suptitle()
    factors = bg.plots.forest(bg.effects(people)).axes[0]
    assert factors.get_xscale() == "log" and factors.get_xlabel() == "factor"


def test_a_curve_over_a_covariate_has_a_band_of_the_mean_and_one_of_a_new_person(people):
    table = bg.predictions(
        people,
        "auc",
        variables={"bmi": [20, 30, 40], "group": ["NGT", "T2D"]},
        subjects=bg.new_people(5),
        **BRIEF,
    )
    figure = bg.plots.conditional(table)
    (axis,) = figure.axes
    assert axis.get_xlabel() == "BMI (kg/m2)" and len(axis.collections) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["NGT", "T2D"]
    assert "pale: of a new person" in figure.get_suptitle()
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [20, 30, 40])
    with pytest.raises(InputError, match=r"no column of numbers 'age' to draw over\. There are: bmi"):
        bg.plots.conditional(table, "age")
    with pytest.raises(InputError, match="Nothing in this table takes two numbers or more"):
        bg.plots.conditional(table[table["bmi"] == 20])


@pytest.mark.parametrize("wrong", [3, pd.DataFrame({"a": [1]})])
def test_what_is_no_table_is_not_drawn(wrong):
    for draw in (bg.plots.forest, bg.plots.conditional):
        with pytest.raises(InputError, match="A table of predictions"):
            draw(wrong)
