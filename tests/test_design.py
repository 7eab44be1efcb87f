"""A design knows which number of the model speaks about which sample, and refuses what does not fit."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from simulated import (
    CASES,
    COVARIATES,
    ORAL_TIMES,
    REAL,
    SEVERAL_TESTS,
    simulated,
    varied,
    with_pseudo_observation,
)

from bayesglu.analysis.simulation import simulate
from bayesglu.hierarchy.design import make_design
from bayesglu.protocols.library import ogtt
from bayesglu.spec.model import SpecError, load_model, read_model
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study


@pytest.fixture(scope="module")
def whole():
    return simulated(with_pseudo_observation(load_model("feedback")))


@pytest.fixture(scope="module")
def several():
    return CASES[SEVERAL_TESTS]()


def theta_at(d, individual=None):
    """Parameters at the centre of the priors, of people with these individual parameters."""
    middle = d.prior_medians
    return d.theta(middle if individual is None else middle._replace(individual=individual))


def small_study(rows, **settings) -> Study:
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    return Study.from_table(table, **{"protocol": "ogtt(75)", "body_weight": 70.0, **settings})


GLUCOSE = [("A", t, "glucose", 95.0, "mg/dL") for t in ORAL_TIMES]


# --- predictions ---


def test_predictions_are_what_simulate_gives_for_the_same_people_plus_the_assays_floor(whole):
    d = whole.design
    predicted, outcome = d.predict(whole.theta)
    assert not outcome.any()
    used = d.study.observations.sel(obs=d.obs)
    for i, person in enumerate(d.study.subjects):
        parameters = dict(zip(d.individuals.columns, whole.theta[i], strict=True))
        floor = parameters.pop("glucagon_background")
        shown = d.solver.system.outputs
        expected = simulate(d.spec, ogtt(75), parameters, ORAL_TIMES, shown, body_weight=70.0)
        for analyte in d.analytes:
            mine = ((used.subject == person) & (used.analyte == analyte)).values
            added = floor if analyte == "glucagon" else 0.0
            np.testing.assert_allclose(predicted[: d.n_obs][mine], expected[analyte] + added, rtol=1e-5)


def test_a_soft_observation_is_one_row_a_test_about_the_basal_state(whole):
    d = whole.design
    (soft,) = d.spec.pseudo_observations.values()
    rows = slice(d.n_obs, None)
    assert len(d.rows.sample[rows]) == len(d.study.occasions)
    assert np.exp(d.rows.log_value[rows]) == pytest.approx(soft.median)
    assert d.rows.known_sigma[rows] == pytest.approx(soft.sd)
    predicted, _ = d.predict(whole.theta)
    parameters = dict(zip(d.individuals.columns, whole.theta[0], strict=True))
    parameters.pop("glucagon_background")
    at_rest = simulate(d.spec, ogtt(75), parameters, ORAL_TIMES, d.solver.system.outputs)[soft.output]
    assert predicted[d.n_obs] == pytest.approx(float(at_rest[0]))


def test_insulin_that_drives_the_model_is_compared_only_at_rest_and_with_its_basal_value():
    d = CASES[REAL]()
    insulin, glucose = d.spec.analytes["insulin"], d.spec.analytes["glucose"]
    used = d.study.observations.sel(obs=d.obs)
    compared = {a: set(used.time.values[used.analyte.values == a]) for a in d.analytes}
    times = set(d.study.used.time.values)
    assert compared["insulin"] == {t for t in times if t <= 0 or t >= insulin.basal_from}
    assert compared["glucose"] == {t for t in times if t <= 0 or t >= glucose.samples_from}
    theta = theta_at(d)
    predicted, _ = d.predict(theta)
    basal = theta[0, d.individuals.columns.index("basal_insulin")]
    assert predicted[: d.n_obs][used.analyte.values == "insulin"] == pytest.approx(basal)


def test_predictions_broadcast_over_draws_as_one_by_one(whole):
    d = whole.design
    outputs = np.random.default_rng(1).normal(size=(2, 3, len(d.solver.schedule.sample_time), 5))
    theta = np.random.default_rng(2).normal(size=(2, 3, *whole.theta.shape))
    together = d.rows.predict(outputs, theta)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[place], d.rows.predict(outputs[place], theta[place]))


# --- who reads which number ---


def test_a_persons_parameters_touch_their_own_samples_only(whole):
    d = whole.design
    own = d.prior_medians.individual
    before, _ = d.predict(theta_at(d))
    changed = own.copy()
    changed[1] += 0.1
    after, _ = d.predict(theta_at(d, changed))
    own = d.individuals.layout.subject[d.rows.occasion] == 1
    assert (after[~own] == before[~own]).all()
    assert (after[own] != before[own]).all()


def test_what_varies_from_test_to_test_touches_the_samples_of_one_test_only(several):
    d = several
    assert d.study.occasions == (("A", "1"), ("A", "2"), ("B", "1"), ("C", "1"), ("C", "2"))
    people = d.individuals
    sensitivity = people.names.index("insulin_sensitivity")
    occasional = np.flatnonzero(people.layout.component_parameter == sensitivity)
    assert len(occasional) == 2
    before, _ = d.predict(theta_at(d))
    for turn, component in enumerate(occasional):
        changed = d.prior_medians.individual.copy()
        changed[0, component] += 0.5
        after, _ = d.predict(theta_at(d, changed))
        touched = {d.study.occasions[t] for t in set(d.rows.occasion[after != before])}
        assert touched == {("A", str(turn + 1))}


def test_the_components_of_an_occasion_that_nobody_had_are_read_by_nobody(several):
    d, people, layout = several, several.individuals, several.individuals.layout
    components = layout.component[layout.subject == 1]
    assert len(components) == 1
    unread = set(range(len(layout.component_parameter))) - set(components[0])
    assert len(unread) == len(d.spec.at("occasion")) + len(people.nested)
    changed = d.prior_medians.individual.copy()
    changed[1, list(unread)] += 1.0
    np.testing.assert_array_equal(theta_at(d), theta_at(d, changed))


def test_every_parameter_of_every_test_is_what_a_plain_loop_gives():
    d = CASES[COVARIATES]()
    rng, people = np.random.default_rng(3), d.individuals
    typical = people.typical_prior[0] + 0.1 * rng.normal(size=len(people.names))
    effect = 0.1 * rng.normal(size=len(people.effects))
    deviation = 0.3 * rng.normal(size=people.shape)
    found = people.theta(typical, effect, people.centre(typical, effect) + deviation)
    for s, person in enumerate(people.subjects):
        for name, value in zip(people.columns, found[s], strict=True):
            p = d.spec.parameters[name]
            if p.level == "fixed":
                assert value == p.typical.median
                continue
            k = people.names.index(name)
            number = typical[k]
            for e, acting in enumerate(people.effects):
                if acting.parameter == name:
                    covariate = d.study.covariates[acting.effect.covariate].sel(subject=person).item()
                    number += acting.effect.standardized(covariate) * effect[e]
            if p.level == "subject":
                number += deviation[s, list(people.layout.component_parameter).index(k)]
            assert value == pytest.approx(p.from_scale(number), rel=1e-12)


def test_fractions_stay_between_zero_and_one_however_large_the_number(whole):
    people = whole.design.individuals
    is_logit = people.layout.is_logit
    assert is_logit.any()
    numbers = np.full((3, len(is_logit)), [[-800.0], [0.0], [30.0]])
    fractions = people.natural(numbers)[:, is_logit]
    assert (fractions >= 0).all() and (fractions <= 1).all()
    assert fractions[1] == pytest.approx(0.5)


def test_the_priors_are_those_of_the_model(whole):
    d, people = whole.design, whole.design.individuals
    for k, p in enumerate(people.estimated):
        assert p is d.spec.parameters[p.name]
        assert people.typical_prior[0][k] == p.location and people.typical_prior[1][k] == p.typical.sd
    for v, p in enumerate(people.varying):
        assert people.omega_prior[0][v] == pytest.approx(math.log(p.between_subject.omega))
        assert people.omega_prior[1][v] == p.between_subject.sd
    for a, name in enumerate(d.analytes):
        assert d.sigma_prior[0][a] == pytest.approx(math.log(d.spec.analytes[name].sigma.median))


# --- what takes part ---


def test_samples_that_are_missing_or_left_out_are_not_compared():
    rows = [*GLUCOSE, ("A", 200, "glucose", np.nan, "mg/dL"), ("A", 210, "glucose", 80.0, "mg/dL")]
    study = small_study(rows, datasheet={"use": {"glucose": {"until": 205}}})
    assert list(make_design(load_model("feedback"), study).obs) == list(study.observations.obs.values[:5])


def test_a_floor_is_estimated_only_when_its_assay_was_used():
    study = small_study(GLUCOSE)
    shared = make_design(load_model("feedback"), study)
    assert "glucagon_background" not in shared.individuals.names
    own = load_model("feedback").with_changes(
        parameters={"glucagon_background": {"level": "subject", "between_subject": {"cv": 0.3, "gsd": 1.4}}}
    )
    d = make_design(own, study)
    assert "glucagon_background" not in d.individuals.names and theta_at(d).shape == (
        1,
        len(d.individuals.columns),
    )


def test_a_model_without_anything_to_learn_but_the_error_is_a_design_too():
    spec = varied("minimal", "fixed", *load_model("minimal").estimated)
    d = make_design(spec, load_study("bergman1986"))
    assert d.individuals.estimated == d.individuals.varying == ()
    predicted, _ = d.predict(theta_at(d))
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize(
    (COVARIATES, "acting"),
    [
        (None, set()),
        ({"bmi": [22.0, 31.0]}, {"bmi"}),
        ({"group": ["NGT", "T2D"]}, {"group:T2D"}),
        ({"group": ["NGT", "T2DM"]}, {"group:T2D"}),
        ({"group": ["NGT", "NGT"]}, set()),
    ],
)
def test_an_effect_acts_when_the_study_knows_its_covariate_of_everyone(covariates, acting):
    d = simulated("minimal", 2, (0, 10, 40, 130), covariates=covariates).design
    assert {acts.key for acts in d.individuals.effects} == acting


@pytest.mark.parametrize(
    ("covariates", "acting"), [({"bmi": [22.0, np.nan]}, "bmi"), ({"group": ["T2D", ""]}, "group:T2D")]
)
def test_a_covariate_that_some_lack_acts_on_all_and_that_is_said(covariates, acting):
    said = rf"{next(iter(covariates))} is missing for B \(1 of 2 people\): it is estimated with the rest"
    with pytest.warns(StudyWarning, match=said):
        d = simulated("minimal", 2, (0, 10, 40, 130), covariates=covariates).design
    assert {acts.key for acts in d.individuals.effects} == {acting}


@pytest.mark.parametrize("covariates", [{"bmi": [np.nan, np.nan]}, {"group": ["", ""]}])
def test_a_covariate_that_everyone_lacks_is_left_out_and_that_is_said(covariates):
    with pytest.warns(StudyWarning, match="is missing for everyone: its effect on basal_.* is left out"):
        d = simulated("minimal", 2, (0, 10, 40, 130), covariates=covariates).design
    assert not d.individuals.effects


def test_a_missing_level_that_acts_on_what_people_share_is_refused_with_the_ways_out():
    spec = varied("minimal", "shared", "basal_glucose")
    said = r"group is missing for B, and acts on basal_glucose, which people share.*level = \"subject\""
    with pytest.raises(StudyError, match=said):
        simulated(spec, 2, (0, 10, 40, 130), covariates={"group": ["T2D", ""]})


def test_samples_beyond_the_models_limits_of_quantification_are_known_to_be_beyond_them_and_no_more():
    study = load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    limits = {"insulin": {"lloq": 60.0, "uloq": 200.0}}
    d = make_design(load_model("oral").with_changes(analytes=limits), study)
    used = study.used
    insulin, value = used.analyte.values == "insulin", used.value.values
    expected = np.where(insulin & (value < 60), -1, np.where(insulin & (value > 200), 1, 0))
    assert {-1, 0, 1} == set(expected)
    np.testing.assert_array_equal(d.rows.censoring[: d.n_obs], expected)
    np.testing.assert_allclose(
        np.exp(d.rows.log_value[: d.n_obs]), np.where(insulin, np.clip(value, 60, 200), value)
    )
    assert set(d.study.observations.censoring.values) == {"left", "none", "right"}


def test_a_person_of_whom_nothing_was_measured_is_named():
    rows = [("A", t, "glucose", 90.0, "mg/dL") for t in (0, 60)] + [("B", 0, "glucose", None, "mg/dL")]
    with pytest.warns(StudyWarning, match="Nothing that 'oral' compares was measured in subject B"):
        make_design(load_model("oral"), small_study(rows))


def test_a_level_that_looks_like_one_the_model_knows_is_said_and_another_is_not():
    with pytest.warns(StudyWarning, match=r"The group 't2d' is none .*\(IGT, T2D\).* If 'T2D' is meant"):
        simulated("minimal", 2, (0, 10, 40, 130), covariates={"group": ["NGT", "t2d"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulated("minimal", 2, (0, 10, 40, 130), covariates={"group": ["NGT", "athletes"]})


# --- what does not fit together ---


def test_an_analyte_that_the_model_does_not_describe_is_refused_with_the_ways_out():
    others = [("A", 0, "c_peptide", 500.0, "pmol/L"), ("A", 0, "glucagon", 90.0, "pg/mL")]
    study = small_study([*GLUCOSE, *others])
    with pytest.raises(StudyError) as error:
        make_design(load_model("oral"), study)
    message = str(error.value)
    for word in ("c_peptide, glucagon", "'oral'", "glucose, insulin", "select(analytes=", "another model"):
        assert word in message
    assert make_design(load_model("oral"), study.select(analytes=["glucose"])).analytes == ("glucose",)


def test_a_model_driven_by_insulin_needs_a_study_that_measured_it():
    with pytest.raises(
        StudyError, match=r"'minimal' has measured insulin as its forcing function.*'bergman1986' lacks"
    ):
        make_design(load_model("minimal"), load_study("bergman1986").select(analytes=["glucose"]))


def test_correlations_are_of_what_differs_between_people():
    section = '[correlations]\nparameters = ["basal_glucose", "basal_insulin"]\nlkj_eta = 2\n'
    text = f"{load_model('minimal').text}\n{section}"
    d = make_design(read_model(text), load_study("bergman1986"))
    assert d.individuals.correlated == ["basal_glucose", "basal_insulin"]
    np.testing.assert_array_equal(d.individuals.partial_shapes, [[2.0], [2.0]])
    daily = {"basal_insulin": {"level": "occasion"}}
    assert not read_model(text).with_changes(parameters=daily).correlations, "what is inherited goes"
    pair = {"parameters": ["basal_glucose", "basal_insulin"]}
    spec = read_model(text).with_changes(parameters=daily, correlations=pair)
    with pytest.raises(SpecError, match="basal_insulin differs from occasion to occasion"):
        make_design(spec, load_study("bergman1986"))
