"""What a protocol is expected to teach: exact where the model is linear, and what fits then find."""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from simulated import simulated, with_pseudo_observation

import bayesglu
from bayesglu import clamp, fast, identify, ivgtt, load_model, meal, ogtt
from bayesglu.analysis.identifiability import grade, untouched
from bayesglu.analysis.information import (
    drawn,
    individual_covariance,
    information_of,
    noise_of,
    planned_study,
    sampled_at,
    theta_of,
    typical_covariance,
)
from bayesglu.analysis.sampling_times import AFTER_A_DRINK, AFTER_AN_INJECTION, usual_times
from bayesglu.hierarchy.design import make_design
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import SpecError

FEW = {"subjects": 4, "draws": 8, "random_seed": 0}
NOISE = {"glucose": 0.03, "insulin": 0.10, "c_peptide": 0.06, "glucagon": 0.15}
GLUCOSE_AND_INSULIN = ("glucose", "insulin")


@cache
def taught(*analytes: str, protocol=None, model="feedback", **settings) -> xr.Dataset:
    """What a protocol, an oral test of 75 g if none is named, teaches by these analytes."""
    return identify(model, protocol or ogtt(75), analytes=analytes, noise=NOISE, **FEW | settings)


def ranks(values):
    return np.argsort(np.argsort(np.asarray(values)))


# --- what is known of protocols: section by section as physiologists would expect ---


def test_glucose_and_insulin_after_a_drink_teach_the_basal_state_sensitivities_and_emptying():
    person = taught(*GLUCOSE_AND_INSULIN).individual
    for name in ("basal_glucose", "basal_insulin"):
        assert grade(float(person.sel(parameter=name))) == "well", name
    for name in ("insulin_sensitivity", "beta_cell_sensitivity", "first_phase_gain"):
        assert person.sel(parameter=name) > 0.3, name
    for name in ("emptying_rate", "absorption_rate"):
        assert person.sel(parameter=name) > 0.2, name
    for name in ("hepatic_extraction", "extraction_half_saturation", "insulin_volume"):
        assert person.sel(parameter=name) < 0.25, name
    for name in ("basal_glucagon", "paracrine_inhibition"):
        assert grade(float(person.sel(parameter=name))) == "hardly", name


def test_the_order_is_that_of_the_physiology():
    order = (
        *("basal_insulin", "basal_glucose", "insulin_sensitivity", "emptying_rate", "first_phase_gain"),
        *("emptying_saturation", "absorption_rate", "paracrine_inhibition"),
    )
    found = taught(*GLUCOSE_AND_INSULIN).individual.sel(parameter=list(order))
    assert np.corrcoef(-np.arange(len(order)), ranks(found))[0, 1] > 0.8


def test_c_peptide_tells_extraction_from_secretion():
    without, with_it = taught(*GLUCOSE_AND_INSULIN), taught(*GLUCOSE_AND_INSULIN, "c_peptide")
    gain = (with_it.individual - without.individual).to_series().sort_values()
    assert gain.idxmax() == "hepatic_extraction"
    assert gain["hepatic_extraction"] > 0.4
    assert gain["beta_cell_sensitivity"] > 0.05


def test_glucagon_teaches_the_alpha_cell():
    three = (*GLUCOSE_AND_INSULIN, "c_peptide")
    gain = (taught(*three, "glucagon").individual - taught(*three).individual).to_series()
    assert gain.idxmax() == "basal_glucagon"
    assert gain["paracrine_inhibition"] > 0.02
    assert gain["basal_glucagon"] > 0.25


def test_glucose_into_a_vein_teaches_volume_and_first_phase_and_nothing_of_the_gut():
    three = (*GLUCOSE_AND_INSULIN, "c_peptide")
    drink, vein = taught(*three).individual, taught(*three, protocol=ivgtt(0.3)).individual
    for name in ("glucose_volume", "first_phase_gain", "glucose_adaptation_time", "beta_cell_sensitivity"):
        assert vein.sel(parameter=name) > drink.sel(parameter=name) + 0.1, name
    gut = {"emptying_rate", "emptying_saturation", "absorption_rate", "incretin_potentiation"}
    gut |= {"early_emptying_share", "incretin_half_saturation", "bioavailability"}
    assert gut <= set(untouched(taught(*three, protocol=ivgtt(0.3))))


def test_only_an_image_of_the_liver_teaches_glycogen():
    parameters = {
        "initial_glycogen": {
            "level": "subject",
            "typical": {"median": 1000, "gsd": 1.3},
            "between_subject": {"cv": 0.2, "gsd": 1.4},
        }
    }
    image = {"output": "liver_glycogen", "unit": "mmol/L", "sigma": {"median": 0.08, "gsd": 1.3}}
    spec = load_model("feedback").with_changes(parameters=parameters, analytes={"liver_glycogen": image})
    liver = [
        *("glycogen_half_saturation", "glycogen_capacity", "hepatic_storage_insulin", "gluconeogenic_share"),
        *(
            "gluconeogenic_hormone_share",
            "insulin_suppression_half_saturation",
            "glucose_suppression_half_saturation",
        ),
        *("production_ceiling", "brain_uptake"),
    ]
    plasma = identify(spec, fast(50), analytes=list(NOISE), noise=NOISE, parameters=liver, **FEW)
    times = {**dict.fromkeys(NOISE, range(0, 3001, 250)), "liver_glycogen": (0, 1500, 3000)}
    imaged = identify(spec, fast(50), times, noise=NOISE, parameters=liver, **FEW)
    assert grade(float(imaged.individual.sel(parameter="initial_glycogen"))) == "well"
    gain = (imaged.individual - plasma.individual).to_series()
    assert gain.idxmax() == "initial_glycogen"
    assert gain.max() > 0.3


def test_an_unspecific_assay_cannot_be_told_from_glucagon_while_nothing_moves():
    found = identify("feedback", fast(50), noise=0.02, **FEW)
    pair = found.isel(pair=0)
    assert {pair["first"].item(), pair["second"].item()} == {"basal_glucagon", "glucagon_background"}
    assert pair.pair_individual < -0.9
    whole = found.individual_correlation.sel(parameter="basal_glucagon", other="glucagon_background")
    assert whole == pair.pair_individual


# --- more, and less, to learn from ---


def test_samples_that_are_all_noise_teach_nothing():
    found = identify("feedback", ogtt(75), noise=1e6, **FEW)
    assert abs(found.individual).max() < 1e-9
    assert abs(found.typical).max() < 1e-9
    assert set(untouched(found)) == set(found.parameter.values)
    assert found.sizes["pair"] == 0


def test_what_is_softly_known_of_everyone_is_no_teaching():
    oral, asked = with_pseudo_observation(load_model("oral")), ["brain_uptake", "fasting_production"]
    found = identify(oral, ogtt(75), noise=1e6, parameters=asked, **FEW)
    assert abs(found.individual).max() < 1e-9
    assert found.individual_prior_sd.sel(parameter="brain_uptake") < 0.9 * np.sqrt(np.log1p(0.3**2))


def test_more_noise_teaches_less_of_every_parameter():
    levels = [identify("oral_cpeptide", ogtt(75), noise=sd, **FEW) for sd in (0.02, 0.05, 0.1, 0.3, 1.0)]
    for who in ("individual", "typical"):
        shares = np.stack([level[who] for level in levels])
        assert (np.diff(shares, axis=0) < 0).all()
        assert ((shares > 0) & (shares < 1)).all()


def test_more_samples_teach_more():
    few, many = (identify("oral", ogtt(75), times, **FEW) for times in ((0, 60, 120), range(0, 241, 5)))
    assert (many.individual > few.individual).all()
    assert (many.typical > few.typical).all()


def test_more_people_teach_the_population_more_and_one_person_nothing():
    sizes = [identify("oral", ogtt(75), subjects=n, draws=32, random_seed=0) for n in (1, 5, 20, 500)]
    population = np.stack([size.typical for size in sizes])
    assert (np.diff(population, axis=0) > 0).all()
    person = np.stack([size.individual for size in sizes])
    np.testing.assert_allclose(person, person[2:].mean(axis=0) * np.ones((4, 1)), atol=0.1)
    np.testing.assert_array_equal(person[2], person[3])


def test_a_sample_beyond_the_limit_of_quantification_teaches_nothing():
    limited = load_model("feedback").with_changes(analytes={"glucagon": {"lloq": 1e4}})
    blind = identify(limited, ogtt(75), **FEW)
    without = identify(limited, ogtt(75), analytes=["glucose", "insulin", "c_peptide"], **FEW)
    assert blind.individual.sel(parameter="glucagon_background") < 1e-9
    names = ["insulin_sensitivity", "hepatic_extraction"]
    np.testing.assert_allclose(
        blind.individual.sel(parameter=names), without.individual.sel(parameter=names), atol=0.1
    )


def test_outliers_that_are_expected_cost_something():
    heavy = load_model("oral").with_changes(analytes={"glucose": {"residual": "student", "nu": 3.0}})
    assert (identify(heavy, ogtt(75), **FEW).individual <= identify("oral", ogtt(75), **FEW).individual).all()


# --- the mathematics ---


@given(st.integers(0, 10_000))
def test_covariances_are_those_of_the_joint_normal_distribution(seed):
    """Typical values, two people's parameters and their samples, conditioned on the samples directly."""
    rng = np.random.default_rng(seed)
    k, rows, people = 4, 6, 2
    typical, varies = rng.uniform(0.1, 2.0, k), rng.random(k) < 0.6
    between = np.tril(rng.normal(size=(k, k))) * varies[:, None] * varies
    slopes, errors = rng.normal(size=(people, rows, k)), rng.uniform(0.1, 1.0, rows)
    information = np.einsum("prk,r,prl->pkl", slopes, errors**-2.0, slopes)

    own = slopes[0] @ (np.diag(typical**2) + between @ between.T) @ slopes[0].T + np.diag(errors**2)
    prior = np.diag(typical**2) + between @ between.T
    gain = prior @ slopes[0].T @ np.linalg.inv(own)
    expected = prior - gain @ slopes[0] @ prior
    np.testing.assert_allclose(
        individual_covariance(information[0], np.diag(typical), between), expected, atol=1e-9
    )

    stacked = slopes.reshape(people * rows, k)
    of_samples = stacked @ np.diag(typical**2) @ stacked.T + np.diag(np.tile(errors**2, people))
    for p in range(people):
        block = slice(p * rows, (p + 1) * rows)
        of_samples[block, block] += slopes[p] @ between @ between.T @ slopes[p].T
    prior = np.diag(typical**2)
    expected = prior - prior @ stacked.T @ np.linalg.inv(of_samples) @ stacked @ prior
    found = typical_covariance(information, np.diag(typical), between, np.ones(people))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_differences_are_the_exact_gradients_of_the_adjoint():
    spec, protocol = load_model("feedback"), ogtt(75)
    sampled = sampled_at(spec, protocol, (0, 30, 120), ("glucose", "insulin", "c_peptide", "glucagon"), None)
    plan = make_design(spec, planned_study(spec, protocol, sampled, None, 70.0), rtol=1e-8, atol=1e-8)
    people = plan.individuals
    phi = drawn(people, np.random.default_rng(4), 1, 1)[0]
    noise = noise_of(plan, None)
    error = plan.rows.expected_information(noise) ** -0.5
    soft, data, _ = information_of(plan, phi, noise)

    theta = theta_of(people, phi)
    count = len(plan.solver.system.parameters)
    out, pull = plan.solver.outputs_and_pull(theta[:, :count])
    value = plan.rows.predict(out, theta)
    exact = np.zeros((len(value), len(people.names)))
    natural = theta[0, people.layout.columns]
    to_scale = np.where(people.layout.is_logit, natural * (1 - natural), natural)
    for row in range(len(value)):
        bar = np.zeros_like(out)
        bar[plan.rows.sample[row], plan.rows.output[row]] = plan.rows.by_output[row]
        slope = np.append(pull(bar)[0], np.zeros(len(people.columns) - count))
        slope[plan.rows.parameter[row]] += plan.rows.by_parameter[row]
        exact[row] = slope[people.layout.columns] * to_scale / value[row] / error[row]
    for found, rows in ((data[0], exact[: plan.n_obs]), (soft[0], exact[plan.n_obs :])):
        expected, largest = rows.T @ rows, np.sqrt((rows**2).sum(0))
        scale = np.outer(largest, largest) + 1e-3
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)


@pytest.mark.long
def test_what_is_expected_is_what_fits_of_simulated_studies_find():
    """Over three studies of eight people. Of one study, the correlation of ranks is 0.87 for a person and
    0.86 for the typical values with an SD of 0.04, and what fits contract more than expected is
    0.15 (SD 0.015) and 0.07 (SD 0.012): expected is what the model, made linear at draws of the prior, says.
    The limits are five standard errors away or more.
    """
    before = identify("feedback", ogtt(75), AFTER_A_DRINK, noise=0.05, subjects=8)
    agreement, excess = [], []
    for seed in (3, 4, 5):
        study = simulated("feedback", 8, AFTER_A_DRINK, noise=0.05, seed=seed).study
        fit = bayesglu.fit("feedback", study, method="laplace", random_seed=seed)
        person = bayesglu.summarize_individuals(fit).contraction.mean("subject")
        population = bayesglu.summarize_population(fit)
        population = population.contraction.sel(parameter=np.isin(population.role, ["typical", "shared"]))
        of_one = []
        for found, expected in ((person, before.individual), (population, before.typical)):
            expected = expected.sel(parameter=found.parameter.values)
            of_one.append(
                (np.corrcoef(ranks(found), ranks(expected))[0, 1], float((found - expected).mean()))
            )
        agreement.append([both[0] for both in of_one])
        excess.append([both[1] for both in of_one])
    assert (np.mean(agreement, axis=0) > 0.7).all()
    assert (np.mean(excess, axis=0) < (0.2, 0.11)).all()
    assert (np.mean(excess, axis=0) > (0.0, -0.05)).all()


def test_the_same_seed_gives_the_same_numbers_and_another_one_nearly_so():
    one, again, other = (identify("oral", ogtt(75), random_seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(one, again)
    assert 0 < abs(one.individual - other.individual).max() < 0.1


# --- what is unknown, and when blood is drawn ---


def test_parameters_that_are_held_are_unknown_when_asked():
    spec = load_model("oral")
    every = identify(spec, ogtt(75), parameters="all", **FEW)
    assert set(every.parameter.values) == set(spec.parameters)
    one = identify(spec, ogtt(75), parameters=["beta_cell_mass"], prior_cv=0.5, **FEW)
    assert set(one.parameter.values) == {*spec.estimated, "beta_cell_mass"}
    np.testing.assert_allclose(
        one.individual_prior_sd.sel(parameter="beta_cell_mass"), np.sqrt(np.log1p(0.5**2))
    )
    free = identify(spec, ogtt(75), **FEW)
    assert set(free.parameter.values) == set(spec.estimated)
    assert free["unit"].sel(parameter="glucose_volume") == "dL/kg"


def test_one_person_differs_from_the_prior_by_the_typical_value_and_by_what_people_differ():
    found, p = identify("ivgtt", ivgtt(0.3), **FEW), load_model("ivgtt").parameters["insulin_sensitivity"]
    own = found.sel(parameter="insulin_sensitivity")
    np.testing.assert_allclose(own.typical_prior_sd, p.typical.sd)
    np.testing.assert_allclose(own.individual_prior_sd, np.hypot(p.typical.sd, p.between_subject.omega))


def test_a_model_driven_by_insulin_is_driven_by_the_insulin_that_is_given():
    forcing = ([0, 4, 20, 60, 180], [50, 500, 200, 80, 50])
    found = identify("minimal", ivgtt(0.3), forcing=forcing, **FEW)
    assert found.individual.sel(parameter="insulin_sensitivity") > 0.3
    assert "insulin at 0, 4, 20, 60, 180 min" in found.attrs["samples"]
    flat = identify("minimal", ivgtt(0.3), forcing=([0, 240], [50, 50]), **FEW)
    exact = identify("minimal", ivgtt(0.3), noise={"insulin": 1e-3}, forcing=forcing, **FEW)
    sensitivity = [f.individual.sel(parameter="insulin_sensitivity") for f in (flat, found, exact)]
    assert sensitivity[0] < sensitivity[1] < sensitivity[2]


def test_blood_is_drawn_as_is_usual():
    np.testing.assert_array_equal(usual_times(ogtt(75)), AFTER_A_DRINK)
    np.testing.assert_array_equal(usual_times(ivgtt(0.3)), AFTER_AN_INJECTION)
    np.testing.assert_array_equal(usual_times(fast(50)), np.linspace(0, 3000, 13))
    two_meals = usual_times(meal(60) + meal(60).shift(400))
    assert {0, 30, 240, 300, 360, 400, 430, 640} <= set(two_meals)
    clamped = usual_times(clamp(90, 180, insulin_rate=1))
    assert {0, 60, 180, 210} <= set(clamped)


def test_a_share_in_words_is_that_of_the_printed_number():
    words = {0.5: "well", 0.496: "well", 0.49: "partly", 0.25: "partly", 0.1: "a little", 0.09: "hardly"}
    assert {share: grade(share) for share in words} == words


# --- what goes wrong ---


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"analytes": ["insulinn"]}, ValueError, "no analyte 'insulinn'. Did you mean 'insulin'"),
        ({"parameters": ["beta"]}, ValueError, "no parameter 'beta'"),
        ({"noise": {"glucos": 0.1}}, ValueError, "noise of an analyte 'glucos'"),
        ({"noise": -0.1}, ValueError, "glucose -0.1, insulin -0.1"),
        ({"times": {"glucose": [0, 60]}}, ValueError, "times of insulin"),
        ({"times": [0, float("nan")]}, ValueError, "one or more minutes"),
        ({"subjects": 0, "draws": 1.5, "prior_cv": 0}, ValueError, "(?s)subjects.*draws.*prior_cv"),
        ({"forcing": ([0], [1])}, ValueError, "no use for forcing"),
        ({"body_weight": None}, ValueError, "body"),
    ],
)
def test_what_makes_no_sense_is_told(settings, kind, message):
    with pytest.raises(kind, match=message):
        identify("oral", ogtt(75), **FEW | settings)


def test_a_protocol_or_a_model_that_cannot_be_used_is_told():
    with pytest.raises(ValueError, match="no gut"):
        identify("ivgtt", ogtt(75))
    with pytest.raises(ValueError, match="has measured insulin as its forcing function"):
        identify("minimal", ivgtt(0.3))
    spec = load_model("minimal")
    nothing = spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated})
    with pytest.raises(SpecError, match="every parameter is fixed"):
        identify(nothing, ivgtt(0.3), forcing=([0], [50]))


def test_people_who_cannot_be_solved_are_left_out_and_too_many_of_them_are_told(monkeypatch):
    module = sys.modules["bayesglu.analysis.identifiability"]

    def hindered(share):
        def planned(*args):
            plan = make_design(*args)

            class Hindered(type(plan.solver)):
                def outputs(self, theta, level=None):
                    out, outcome = super().outputs(theta, level)
                    outcome[: int(share * len(outcome))] = 1
                    return out, outcome

            s = plan.solver
            return replace(plan, solver=Hindered(s.system, s.schedule, s.rtol, s.atol))

        return planned

    whole = identify("oral", ogtt(75), **FEW)
    monkeypatch.setattr(module, "make_design", hindered(0.3))
    some = identify("oral", ogtt(75), **FEW)
    assert 0 < some.attrs["failed_solves"] < 16
    np.testing.assert_allclose(some.individual, whole.individual, atol=0.1)
    np.testing.assert_allclose(some.typical, whole.typical, atol=0.2)
    monkeypatch.setattr(module, "make_design", hindered(0.9))
    with pytest.raises(SolverError, match=r"2\d of 32 people"):
        identify("oral", ogtt(75), **FEW)
