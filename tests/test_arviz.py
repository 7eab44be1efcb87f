"""ArviZ understands every fit that was sampled: its tables, its checks and its figures."""

import re

import arviz as az
import numpy as np
import pytest
import xarray as xr
from simulated import CASES, INTRAVENOUS_TIMES, REAL, simulated

from bayesglu.analysis.log_likelihoods import join_log_likelihoods
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design
from bayesglu.inference.fitting import fit
from bayesglu.spec.model import load_model


def several_people() -> Design:
    """What a fit can have besides: several people and tests, covariates, samples beyond limits."""
    effect = {"form": "exponential", "reference": 23, "per": 5, "median": 0.9, "gsd": 1.2}
    spec = load_model("minimal").with_changes(
        parameters={
            "mass_action_uptake": {"level": "shared", "effects": {"bmi": effect}},
            "insulin_action_rate": {"level": "occasion"},
            "insulin_sensitivity": {"level": "occasion"},
        }
    )
    covariates = {"bmi": [21.0, 24.0, 33.0], "group": ["NGT", "IGT", "T2D"]}
    about = {"tests": {"A": 2, "C": 2}, "covariates": covariates, "limits": {"glucose": (95.0, 210.0)}}
    return simulated(spec, 3, INTRAVENOUS_TIMES, **about).design


FITTED = {REAL: CASES[REAL], "several people, tests, covariates and limits": several_people}
OF_THE_POSTERIOR = {"plot_trace_dist": "trace", "plot_forest": "trunk", "plot_prior_posterior": "dist"}
"""What these draw of every variable."""
OF_SAMPLES = ("plot_ppc_dist", "plot_ppc_pit", "plot_loo_pit")

pytestmark = [
    pytest.mark.sampling,
    # Two hundred draws are too few for leaving some samples out; a user has more.
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto distribution:UserWarning"),
]


@pytest.fixture(scope="module", params=FITTED)
def sampled(request) -> xr.DataTree:
    d = FITTED[request.param]()
    return fit(d.spec, d.study, draws=100, tune=150, chains=2, random_seed=3, progressbar=False)


def test_tables_have_a_row_for_everything_that_was_drawn(sampled):
    posterior = sampled.posterior
    numbers = sum(int(np.prod(v.shape[2:])) for v in posterior.data_vars.values())
    table = az.summary(sampled)
    assert len(table) == numbers and np.isfinite(table["mean"].astype(float)).all()
    sensitivity = az.psense_summary(sampled)
    assert len(sensitivity) == numbers and np.isfinite(sensitivity[["prior", "likelihood"]].to_numpy()).all()


def test_its_verdict_reads_the_statistics_of_the_sampler(sampled, capsys):
    az.diagnose(sampled)
    said = capsys.readouterr().out
    assert "Divergences" in said and "Tree depth" in said and "E-BFMI" in said


def test_samples_are_left_out_analyte_by_analyte(sampled):
    pit = az.loo_pit(sampled)
    for analyte, measured in sampled.observed_data.data_vars.items():
        assert az.loo(sampled, var_name=analyte).n_data_points == measured.size
        assert ((pit[analyte] >= 0) & (pit[analyte] <= 1)).all()


def test_models_are_compared_by_all_analytes_once_their_log_likelihoods_are_joined(sampled):
    joined = join_log_likelihoods(sampled)
    measured = sampled.observed_data.data_vars
    loo = az.loo(joined)
    assert loo.n_data_points == sum(v.size for v in measured.values())
    assert loo.elpd == pytest.approx(sum(az.loo(sampled, var_name=a).elpd for a in measured), rel=1e-9)
    glucose = join_log_likelihoods(sampled, ["glucose"])
    assert az.loo(glucose).elpd == pytest.approx(az.loo(sampled, var_name="glucose").elpd, rel=1e-9)
    table = az.compare({"one": joined, "another": joined})
    assert list(table["elpd_diff"]) == [0, 0]
    by_name = az.compare({"one": sampled, "another": sampled}, var_name="glucose")
    assert list(by_name["elpd_diff"]) == [0, 0]


@pytest.mark.parametrize("figure", OF_THE_POSTERIOR)
def test_figures_of_the_posterior_show_all_of_it(sampled, figure):
    with az.rc_context({"plot.max_subplots": None}):
        drawn = getattr(az, figure)(sampled, backend="none").viz
    assert set(drawn[OF_THE_POSTERIOR[figure]].data_vars) == set(sampled.posterior.data_vars)


@pytest.mark.parametrize("figure", OF_SAMPLES)
def test_figures_of_samples_have_a_panel_an_analyte(sampled, figure):
    drawn = getattr(az, figure)(sampled, backend="none").viz
    assert set(drawn["plot"].data_vars) == set(sampled.observed_data.data_vars)


def test_pairs_of_variables_are_drawn(sampled):
    pair = ["sigma_glucose", "basal_glucose_typical"]
    drawn = az.plot_pair(sampled, var_names=pair, backend="none").viz
    assert set(map(str, drawn["scatter"].var_name_x.values)) == set(pair)


def test_what_cannot_be_joined_is_said(sampled):
    without = sampled.copy()
    del without["log_likelihood"]
    with pytest.raises(InputError, match="no group 'log_likelihood'"):
        join_log_likelihoods(without)
    known = ", ".join(sampled.log_likelihood.data_vars)
    with pytest.raises(InputError, match=re.escape(f"no samples of 'lactate'. It has {known}")):
        join_log_likelihoods(sampled, ["glucose", "lactate"])
    with pytest.raises(InputError, match="No analyte"):
        join_log_likelihoods(sampled, [])
