"""Studies of simulated people, whose true parameters are known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit
from scipy.stats import kstest

import bayesglu as bg
from bayesglu.errors import InputError

SETTINGS = {"protocol": "ogtt(75)", "times": [0, 30, 60, 120], "random_seed": 3}


def test_what_is_measured_is_what_the_true_people_have_but_for_the_assay():
    study = bg.simulate_study("oral", **SETTINGS, subjects=5, sigma={"glucose": 1e-6, "insulin": 0.1})
    parameters = {str(name): study.truth[name] for name in study.truth}
    true = bg.simulate("oral", "ogtt(75)", parameters, times=[0, 30, 60, 120], outputs=["glucose", "insulin"])
    for analyte, sd in (("glucose", 1e-6), ("insulin", 0.1)):
        own = study.observations.where(study.observations.analyte == analyte, drop=True)
        expected = true[analyte].transpose("subject", "time").values.ravel()
        away = np.log(own.value.values / expected) / sd
        assert np.abs(away).max() < 60 if analyte == "glucose" else kstest(away, "norm").pvalue > 1e-4


def test_the_seed_makes_it_again_and_is_kept():
    one, other = (bg.simulate_study("oral", **SETTINGS, subjects=2) for _ in range(2))
    assert one == other and "random_seed=3" in one.datasheet["note"]
    assert one != bg.simulate_study("oral", **SETTINGS | {"random_seed": 4}, subjects=2)


def test_people_at_the_medians_differ_as_the_priors_expect_and_typical_values_do_not():
    study = bg.simulate_study("oral", **SETTINGS, subjects=300, population="medians")
    spec = bg.load_model("oral")
    shared = [n for n in spec.estimated if not spec.parameters[n].varies]
    for name in shared:
        np.testing.assert_allclose(study.truth[name], spec.parameters[name].typical.median)
    own = spec.parameters["insulin_sensitivity"]
    away = (np.log(study.truth.insulin_sensitivity) - own.location) / own.between_subject.omega
    assert kstest(away, "norm").pvalue > 1e-4


def test_like_a_study_it_has_its_people_tests_times_and_covariates():
    known = bg.load_study("synthetic_ogtt")
    found = bg.simulate_study("feedback", like=known, random_seed=1)
    assert found.subjects == known.subjects and found.protocols == known.protocols
    for name in ("subject", "occasion", "analyte", "time", "use"):
        np.testing.assert_array_equal(found.observations[name], known.observations[name])
    xr.testing.assert_identical(found.covariates, known.covariates)
    assert not np.array_equal(found.observations.value, known.observations.value)


def test_what_a_fit_leaves_out_is_missing():
    """Glucose before it has mixed."""
    found = bg.simulate_study("ivgtt", protocol="ivgtt(0.3)", times=[-5, 2, 4, 10, 60], random_seed=1)
    glucose = found.observations.where(found.observations.analyte == "glucose", drop=True)
    np.testing.assert_array_equal(np.isnan(glucose.value), (glucose.time > 0) & (glucose.time < 8))


def test_a_fit_gives_its_model_and_one_draw_of_its_population():
    fit = fake_fit("oral", subjects=2, draws=50)
    fit["posterior"] = xr.DataTree(fit["posterior"].to_dataset().isel(chain=[0], draw=[7]))
    found = bg.simulate_study(fit, **SETTINGS, subjects=3)
    one = fit.posterior.isel(chain=0, draw=0)
    for name in ("glucose_volume",):
        np.testing.assert_allclose(found.truth[name], one[name].item())


def test_levels_of_covariates_act():
    people = pd.DataFrame({"subject": [str(i) for i in range(60)], "group": ["NGT", "T2D"] * 30})
    study = bg.simulate_study("oral", **SETTINGS, covariates=people, population="medians")
    by = study.truth.basal_glucose.groupby(study.covariates.group).median()
    assert float(by.sel(group="T2D") / by.sel(group="NGT")) == pytest.approx(1.7, rel=0.15)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give a study to simulate people like"),
        ({"protocol": "ogtt(75)"}, "times is missing"),
        ({"like": "synthetic_ogtt", **SETTINGS}, "not both"),
        ({**SETTINGS, "population": "median"}, "no population 'median'"),
        ({**SETTINGS, "sigma": {"lactate": 0.1}}, "no analyte 'lactate'"),
    ],
)
def test_what_cannot_be_simulated_is_told(given, told):
    with pytest.raises(InputError, match=told):
        bg.simulate_study("oral", **given)
    with pytest.raises(InputError, match="driven by measured insulin"):
        bg.simulate_study("minimal", **SETTINGS)


def test_what_an_assay_reads_as_less_than_nothing_is_known_to_be_that_alone(tmp_path):
    """Magnetic resonance reads a depleted liver with noise that does not shrink."""
    study = bg.simulate_study(
        "fasting", protocol=bg.fast(66), times=range(0, 3961, 120), subjects=8, random_seed=4,
        analytes=["liver_glycogen"],
    )  # fmt: skip
    value, censoring = study.observations.value.values, study.observations.censoring.values
    assert ((value == 0) == (censoring == "left")).all() and (value >= 0).all()
    assert 0 < (value == 0).sum() < len(value)
    study.to_folder(tmp_path / "simulated")
    assert (bg.load_study(tmp_path / "simulated").observations.censoring.values == censoring).all()
