"""What a fit has learnt is the prior of the next, jointly: two halves of a study say what the whole says."""

import numpy as np
import pandas as pd
import pytest

import bayesglu
from bayesglu import load_model, load_study
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import make_design
from bayesglu.study.study import StudyWarning

PAIR = ("insulin_sensitivity", "basal_insulin")
LAPLACE = {"method": "laplace", "draws": 2000, "random_seed": 1, "progressbar": False}


@pytest.fixture(scope="module")
def study():
    return load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])


@pytest.fixture(scope="module")
def first(study):
    return bayesglu.fit("oral", study.select(subjects=study.subjects[:6]), **LAPLACE)


@pytest.fixture(scope="module")
def learnt(first):
    return bayesglu.posterior_as_prior(first)


def typical(fit, spec):
    """Draws of typical values by name, on the scales of their priors."""
    found = {}
    for name in spec.estimated:
        parameter = spec.parameters[name]
        called = f"{name}_typical" if parameter.varies else name
        found[name] = parameter.to_scale(fit.posterior[called].values.ravel())
    return found


def test_priors_are_the_posterior_with_its_correlations(first, learnt, study):
    drawn = typical(first, load_model("oral"))
    for name, draws in drawn.items():
        own = learnt.parameters[name]
        assert own.location == pytest.approx(np.median(draws), abs=1e-3)
        assert own.typical.sd == pytest.approx(draws.std(), abs=2e-3)
    d = make_design(learnt, study)
    covariance = d.individuals.typical_factor @ d.individuals.typical_factor.T
    sd = np.sqrt(np.diag(covariance))
    expected = np.corrcoef([drawn[name] for name in d.individuals.names])
    np.testing.assert_allclose(covariance / np.outer(sd, sd), expected, atol=2e-3)
    omega = first.posterior.insulin_sensitivity_omega
    assert learnt.parameters["insulin_sensitivity"].between_subject.omega == pytest.approx(
        float(omega.median()), rel=1e-3
    )
    sigma = first.posterior.sigma_glucose
    assert learnt.analytes["glucose"].sigma.median == pytest.approx(float(sigma.median()), rel=1e-3)
    assert load_model(learnt.text) == learnt
    between = first.posterior.correlation.sel(pair=" and ".join(PAIR))
    known = learnt.correlation_priors[*PAIR]
    assert known.mean == pytest.approx(float(between.mean()), abs=1e-3)
    assert known.sd == pytest.approx(float(between.std()), abs=1e-3)
    assert (
        known.source == load_model("oral").correlation_priors["insulin_sensitivity", "basal_insulin"].source
    )


def test_what_was_not_estimated_stays_as_it_was(learnt):
    before = load_model("oral")
    assert (
        learnt.parameters["insulin_sensitivity"].effects == before.parameters["insulin_sensitivity"].effects
    )
    assert learnt.parameters["renal_threshold"] == before.parameters["renal_threshold"]
    assert (
        learnt.parameters["emptying_rate"].between_occasion
        == before.parameters["emptying_rate"].between_occasion
    )


def test_two_halves_one_after_the_other_say_what_the_whole_says(study, learnt):
    """The posterior of the second half, from priors that the first has taught, is that of both; the second
    half alone is further away. Draws' means have standard errors of 0.02 SDs."""
    spec, rest = load_model("oral"), study.select(subjects=study.subjects[6:])
    whole = typical(bayesglu.fit("oral", study, **LAPLACE), spec)
    after = typical(bayesglu.fit(learnt, rest, **LAPLACE), spec)
    alone = typical(bayesglu.fit("oral", rest, **LAPLACE), spec)

    def away(found):
        return np.sqrt(np.mean([((found[n].mean() - whole[n].mean()) / whole[n].std()) ** 2 for n in whole]))

    assert away(after) < 0.25 < 0.3 < away(alone)
    narrower = [after[n].std() / whole[n].std() for n in whole]
    assert np.mean(narrower) == pytest.approx(1.0, abs=0.05)


def test_effects_and_days_are_learnt_and_a_wider_prior_is_as_much_wider(study):
    samples = study.observations.to_dataframe().reset_index()[["subject", "time", "analyte", "value"]]
    groups = pd.DataFrame({"subject": study.subjects, "group": ["NGT", "T2D"] * 6})
    samples["unit"] = samples.analyte.map({"glucose": "mg/dL", "insulin": "pmol/L"})
    told = {"protocol": "ogtt(75)", "body_weight": 70.0, "name": "grouped"}
    grouped = bayesglu.Study.from_table(samples, subjects=groups, **told)
    fit = bayesglu.fit("oral", grouped, **LAPLACE)
    narrow, wide = (bayesglu.posterior_as_prior(fit, wider=w) for w in (1.0, 2.0))
    key = "group:T2D"
    drawn = np.log(fit.posterior.covariate_effect.sel(effect=f"insulin_sensitivity by {key}").values)
    effects = [m.parameters["insulin_sensitivity"].effects[key] for m in (narrow, wide)]
    assert np.log(effects[0].median) == pytest.approx(np.median(drawn), abs=1e-3)
    assert np.log([e.gsd for e in effects]) == pytest.approx([drawn.std(), 2 * drawn.std()], abs=1e-3)
    sds = [m.parameters["insulin_sensitivity"].typical.sd for m in (narrow, wide)]
    assert sds[1] == pytest.approx(2 * sds[0], abs=1e-3)
    with pytest.raises(InputError, match="wider is 0"):
        bayesglu.posterior_as_prior(fit, wider=0)


def test_a_study_that_taught_the_priors_says_so_when_it_is_fitted(learnt, study):
    assert list(learnt.learnt_from) == ["synthetic_ogtt"] and "learnt from" in repr(learnt)
    with pytest.warns(
        StudyWarning, match=r"learnt from this study \(synthetic_ogtt\): its samples count twice"
    ):
        make_design(learnt, study.select(subjects=study.subjects[:6]))


def test_two_parts_of_one_study_are_both_known_as_teachers(learnt, study):
    """They have one name, and each is told from the other by what was measured."""
    parts = [study.select(subjects=study.subjects[6 * k : 6 * k + 6]) for k in (0, 1)]
    both = bayesglu.posterior_as_prior(bayesglu.fit(learnt, parts[1], **LAPLACE))
    assert dict(both.learnt_from) == {
        "synthetic_ogtt": parts[0].hash,
        "synthetic_ogtt, part 2": parts[1].hash,
    }
    for part in parts:
        with pytest.warns(StudyWarning, match="learnt from this study .*: its samples count twice"):
            make_design(both, part)
