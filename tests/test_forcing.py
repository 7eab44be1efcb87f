"""Any measured curve may be a forcing function, with a value at rest among the parameters or without."""

from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from simulated import CASES, EXERCISE, exercising

from bayesglu.analysis.changes import scale
from bayesglu.analysis.counterfactual import what_if
from bayesglu.analysis.identifiability import identify
from bayesglu.analysis.simulation import simulate
from bayesglu.analytes import register_analyte
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.fitting import fit, prior_predictive
from bayesglu.physiology.loop import assemble
from bayesglu.physiology.parts import Part, State
from bayesglu.physiology.registry import register_part
from bayesglu.spec.model import ModelSpec, SpecError, load_model
from bayesglu.study.study import Study

pytestmark = pytest.mark.usefixtures("registry")

Beats = Annotated[float, "beat/min"]
BASAL = {"symbol": "HR_b", "unit": "beat/min", "level": "subject", "kind": "judgement", "source": []}
BASAL |= {"typical": {"median": 65, "gsd": 1.2}, "between_subject": {"cv": 0.1, "gsd": 1.3}}
HEART_RATE = {"unit": "beat/min", "sigma": {"median": 0.05, "gsd": 1.3}, "forcing": True}
CURVE = ([-10.0, 0.0, 20.0, 40.0, 60.0, 120.0], [60.0, 70.0, 120.0, 130.0, 80.0, 66.0])


def beats_rate(heart_rate_input: Beats, basal_heart_rate: Beats) -> Beats:
    return heart_rate_input - basal_heart_rate


def beating(analyte=HEART_RATE) -> ModelSpec:
    """A model that counts the heart beats beyond rest."""
    counting = Part({"beats_rate": beats_rate}, {"beats": State("beats_rate", None, "beat", 1000.0)})
    register_part("heart", "counted", counting)
    register_analyte("heart_rate", {"beat/min": 1.0}, plausible=(25, 240))
    return load_model("ivgtt").with_changes(
        {"heart": "counted"}, {"basal_heart_rate": BASAL}, analytes={"heart_rate": analyte}
    )


def study(analyte: str, unit: str, curve, glucose=(0, 20, 60, 120)) -> Study:
    rows = [("A", t, analyte, value, unit) for t, value in zip(*curve, strict=True)]
    rows += [("A", t, "glucose", 100.0 + 100 * (t > 0) * np.exp(-t / 40), "mg/dL") for t in glucose]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    return Study.from_table(table, protocol="ivgtt(0.3)", body_weight=70.0)


def test_a_curve_is_followed_as_a_straight_line_between_its_knots():
    times = [0.0, 10.0, 30.0, 60.0, 150.0]
    found = simulate(
        beating(), "fast(3)", {"basal_heart_rate": 50.0}, times, ["beats", "heart_rate"], forcing=CURVE
    )
    minute = np.linspace(0, 150, 1501)
    level = np.interp(minute, *CURVE)
    counted = np.concatenate([[0], np.cumsum((level[1:] + level[:-1]) / 2 * 0.1)]) - 50 * minute
    np.testing.assert_allclose(found.beats, np.interp(times, minute, counted), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.heart_rate, np.interp(times, *CURVE), rtol=1e-9)
    assert found.heart_rate.attrs == {"units": "beat/min", "long_name": "heart rate"}


def test_what_drives_a_model_has_to_be_given():
    with pytest.raises(
        InputError,
        match=r"measured heart rate as its forcing function and cannot predict it: give forc",
    ):
        simulate(beating(), "fast(3)")
    with pytest.raises(InputError, match="measured exercise intensity as its forcing function"):
        identify(exercising(), "ivgtt(0.3)")


def test_with_a_value_at_rest_readings_at_rest_are_compared_with_it():
    d = make_design(beating({**HEART_RATE, "basal_from": 100}), study("heart_rate", "beat/min", CURVE))
    assert list(d.forcing.error) == [-1, -1, 0, 1, 2, -1]
    assert d.individuals.columns[d.forcing.basal] == "basal_heart_rate"
    analyte = d.analytes.index("heart_rate")
    rows = d.rows.part(d.rows.analyte == analyte)
    np.testing.assert_allclose(np.exp(rows.log_value), [60.0, 70.0, 66.0])
    assert (rows.by_output == 0).all() and (rows.parameter == d.forcing.basal).all()
    np.testing.assert_allclose(d.true_forcing(d.prior_medians), [65.0, 65.0, 120.0, 130.0, 80.0, 65.0])


def test_without_one_every_reading_has_an_error_of_its_own_and_none_is_compared():
    curve = ([-10.0, 0.0, 20.0, 40.0, 60.0], [0.0, 0.0, 40.0, 60.0, 0.0])
    d = make_design(exercising(), study("exercise_intensity", "%", curve))
    assert list(d.forcing.error) == [0, 1, 2, 3, 4]
    analyte = d.analytes.index("exercise_intensity")
    assert (d.rows.analyte != analyte).all()
    values = d.prior_medians._replace(forcing_error=np.array([1.0, -2.0, 1.0, 0.0, 3.0]))
    sigma = values.sigma[analyte]
    expected = [0.0, 0.0, 40 * np.exp(sigma), 60.0, 0.0]
    np.testing.assert_allclose(d.true_forcing(values), expected, rtol=1e-12)


def test_a_fit_has_the_true_curve_with_its_name_and_unit():
    d = CASES[EXERCISE]()
    found = fit(d.spec, d.study, method="laplace", draws=5, random_seed=1, progressbar=False)
    true, times = found.posterior.exercise_intensity_forcing, found.constant_data.forcing_time
    assert true.dims == ("chain", "draw", "forcing_obs") and true.attrs["units"] == "%"
    assert float(true.where(times <= 10).max()) == 0.0
    assert (true.where(times == 50) > 0).any()
    drawn = prior_predictive(d.spec, d.study, draws=5, random_seed=1)
    assert all(np.isfinite(values).all() for values in drawn.prior_predictive.data_vars.values())


def test_a_what_if_is_asked_with_a_curve_that_is_given():
    d = CASES[EXERCISE]()
    found = fit(d.spec, d.study, method="laplace", draws=5, random_seed=1, progressbar=False)
    with pytest.raises(InputError, match="measured exercise intensity as its forcing function"):
        what_if(found)
    curve = ([0.0, 30.0, 31.0, 90.0, 91.0], [0.0, 0.0, 60.0, 60.0, 0.0])
    asked = {"times": [0.0, 30.0, 90.0], "outputs": ["glucose"], "forcing": curve}
    answer = what_if(found, change={"exercise_gain": scale(2)}, **asked).glucose
    change = (answer.isel(scenario=1) - answer.isel(scenario=0)).mean(["chain", "draw", "subject"])
    np.testing.assert_allclose(change[:2], 0, atol=1e-6)
    assert float(change[2]) < -1


def test_what_a_plan_can_teach_of_a_model_that_is_driven():
    curve = ([0.0, 30.0, 60.0, 120.0], [0.0, 60.0, 60.0, 0.0])
    few = {"subjects": 3, "draws": 2, "times": [0, 30, 60, 90, 120], "forcing": curve, "random_seed": 0}
    taught = identify(exercising(), "ivgtt(0.3)", **few).individual.sel(parameter="exercise_gain")
    rest = identify(exercising(), "ivgtt(0.3)", **few | {"forcing": ([0.0], [0.0])})
    assert float(taught) > 0.2 > 0.01 > abs(float(rest.individual.sel(parameter="exercise_gain")))


def test_the_curve_of_a_model_whose_input_nobody_uses_is_no_output():
    exercising()
    assert "exercise_intensity" not in assemble(load_model("ivgtt").structure).quantities
    assert assemble(exercising().structure).unit("exercise_intensity") == "%"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"heart_rate": {**HEART_RATE, "forcing": False}}, "'heart_rate' must have forcing = true"),
        (
            {"insulin": {"forcing": True}},
            "forcing = true is said of insulin, heart_rate; a model has one forcing function",
        ),
        (
            {"insulin": {"forcing": True}},
            "where a part asks for X_input. Outputs of this structure that can be: heart_rate",
        ),
        ({"heart_rate": {"unit": "1/min"}}, "the physiology has heart_rate in 'beat/min'"),
    ],
)
def test_a_model_file_says_which_analyte_is_its_forcing_function_and_only_that(changed, told):
    with pytest.raises(SpecError) as caught:
        beating().with_changes(analytes=changed)
    assert told in str(caught.value)


def test_there_is_no_coming_back_to_rest_without_a_value_at_rest():
    with pytest.raises(
        SpecError, match="exercise_intensity has no basal value: there is no basal_exercise_int"
    ):
        exercising().with_changes(analytes={"exercise_intensity": {"basal_from": 100}})
