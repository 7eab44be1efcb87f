"""A fit is a tree that holds all that there is to know, survives its file, and comes out the same again."""

import json
import sys
from importlib.metadata import version

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import lognorm, norm, t
from simulated import (
    CASES,
    CONSTANT_ERROR,
    CORRELATED,
    COVARIATES,
    INTRAVENOUS_TIMES,
    LIMITS,
    REAL,
    SEVERAL_TESTS,
    SHARED,
    WHOLE,
    simulated,
)

from bayesglu.analysis.summaries import summarize_population
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.inference.density import Density
from bayesglu.inference.fit_files import load, save
from bayesglu.inference.fitting import Failures, fit, prior_predictive
from bayesglu.protocols.library import ivgtt, ogtt
from bayesglu.protocols.table import keep_protocols, kept_protocols
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import SpecError, load_model, read_model
from bayesglu.study.study import Study, StudyError, load_study

QUIET = {"progressbar": False}
SHORT = {"draws": 100, "tune": 100, "chains": 2, "cores": 2, **QUIET}
FITTED = {
    REAL: 200,
    WHOLE: 60,
    COVARIATES: 60,
    SEVERAL_TESTS: 60,
    LIMITS: 60,
    CONSTANT_ERROR: 60,
}
LOG_LIKELIHOOD = (SEVERAL_TESTS, LIMITS, CONSTANT_ERROR)


def quick_fit(name: str, draws: int = 60) -> xr.DataTree:
    d = CASES[name]()
    return fit(d.spec, d.study, draws=draws, random_seed=1, method="laplace", **QUIET)


@pytest.fixture(scope="module")
def quick():
    """A fit by modes of each kind of study."""
    return {name: quick_fit(name, draws) for name, draws in FITTED.items()}


@pytest.fixture(scope="module", params=FITTED)
def case(request, quick):
    return CASES[request.param](), quick[request.param]


@pytest.fixture(scope="module")
def real(quick):
    return quick[REAL]


@pytest.fixture(scope="module")
def sampled():
    """A fit by NUTS, short."""
    return fit("minimal", "bergman1986", random_seed=3, **SHORT)


# --- what is in the tree ---


def test_parameters_have_the_dimensions_of_their_level_and_say_what_they_are(case):
    design, found = case
    expected = {}
    for p in design.individuals.estimated:
        name = p.name
        dims = {"subject": ("subject",), "occasion": ("occasion",), "shared": ()}[p.level]
        role = "shared" if p.level == "shared" else "individual"
        expected[name] = (dims, role, p.unit)
        if p.level != "shared":
            expected |= {f"{name}_typical": ((), "typical", p.unit), f"{name}_omega": ((), "omega", "1")}
        if name in design.individuals.nested:
            expected |= {f"{name}_occasion": (("occasion",), role, p.unit)}
            expected |= {f"{name}_kappa": ((), "kappa", "1")}
    if design.individuals.effects:
        expected["covariate_effect"] = (("effect",), "effect", "1")
    expected |= {f"sigma_{analyte}": ((), "sigma", "1") for analyte in design.analytes}
    if len(design.forcing.obs):
        expected["insulin_forcing"] = (("forcing_obs",), "forcing", "pmol/L")
    for group in ("posterior", "prior"):
        variables = found[group].to_dataset()
        assert set(variables.data_vars) == set(expected)
        for name, (dims, role, unit) in expected.items():
            attrs = variables[name].attrs
            assert variables[name].dims == ("chain", "draw", *dims)
            assert (attrs["role"], attrs["units"]) == (role, unit) and attrs["long_name"]
            if role not in ("sigma", "effect", "forcing"):
                p = design.spec.parameters[attrs["parameter"]]
                assert (attrs["symbol"], attrs["level"], attrs["scale"]) == (p.symbol, p.level, p.scale)
            assert (variables[name] > 0).all()
    assert list(found.posterior.subject.values) == list(design.study.subjects)


def test_effects_say_on_which_parameter_of_which_covariate_they_are(quick):
    found = quick[COVARIATES].posterior
    acting = CASES[COVARIATES]().individuals.effects
    assert list(found.effect.values) == [f"{a.parameter} by {a.key}" for a in acting]
    known = quick[COVARIATES].constant_data
    assert list(known.effect.values) == list(found.effect.values)
    assert list(known.effect_parameter.values) == [a.parameter for a in acting]
    assert set(known.effect_covariate.values) == {"bmi", "group"}
    assert set(known.effect_level.values) == {"", "IGT", "T2D"}


def test_samples_of_an_analyte_are_a_variable_of_their_own_with_labels(case):
    design, found = case
    used = design.study.observations.sel(obs=design.obs)
    assert set(found.observed_data.data_vars) == set(used.analyte.values)
    for analyte, values in found.observed_data.data_vars.items():
        own, dim = used.isel(obs=(used.analyte == analyte).values), f"{analyte}_obs"
        assert (values.values == own.value.values).all() and values.attrs["units"]
        for name in ("subject", "occasion", "time"):
            assert (values[f"{analyte}_{name}"].values == own[name].values).all()
        assert (found.constant_data[f"{analyte}_censoring"].values == own.censoring.values).all()
        assert len(set(values[dim].values)) == own.sizes["obs"]
        for group in ("fitted", "posterior_predictive", "log_likelihood"):
            drawn = found[group][analyte]
            assert drawn.dims == ("chain", "draw", dim) and (drawn[dim] == values[dim]).all()
            assert np.isfinite(drawn).all()
    for name in design.study.covariates:
        known = found.constant_data[f"covariate_{name}"]
        assert (known.values == design.study.covariates[name].values).all()
    assert found.prior.sizes["draw"] == 500 and found.prior.sizes["chain"] == 1
    assert "sample_stats" not in found
    assert all(group.attrs["creation_library"] == "bayesglu" for group in found.children.values())


def test_the_attributes_are_enough_to_know_what_was_done(real):
    attrs = real.attrs
    model = read_model(attrs["model_text"])
    study = load_study("bergman1986")
    assert attrs["model_name"] == model.name == "minimal" and attrs["model_hash"] == model.hash
    assert attrs["study_name"] == study.name and attrs["study_hash"] == study.hash
    assert attrs["method"] == "laplace" and attrs["random_seed"] == 1
    assert attrs["bayesglu_version"] == version("bayesglu")
    assert json.loads(attrs["versions"])["numpy"] == np.__version__
    assert json.loads(attrs["settings"])["draws"] == real.posterior.sizes["draw"]
    assert json.loads(attrs["failed_solves"]) == []
    assert 0 < attrs["wall_seconds"] < 600
    assert all(isinstance(value, str | int | float) for value in attrs.values())
    kept = kept_protocols(real.protocols.to_dataset())
    assert kept == {"/".join(test): protocol for test, protocol in study.protocols.items()}
    assert [p.name for p in kept.values()] == [p.name for p in study.protocols.values()]


# --- what its numbers mean ---


@pytest.mark.parametrize("name", LOG_LIKELIHOOD)
def test_the_log_likelihood_of_a_sample_is_scipys(quick, name):
    design, found = CASES[name](), quick[name].isel(chain=0)
    for name, values in found.observed_data.data_vars.items():
        sd, analyte = found.posterior[names.sigma(name)].values, design.spec.analytes[name]
        for i, value in enumerate(values.values + analyte.error_offset):
            middle = found.fitted[name].values[:, i] + analyte.error_offset
            censoring = found.constant_data[f"{name}_censoring"].values[i]
            distance = np.log(value / middle) / sd
            if censoring != "none":
                expected = norm.logcdf(distance if censoring == "left" else -distance)
            elif analyte.residual == "student":
                expected = t(analyte.nu).logpdf(distance) - np.log(sd * value)
            else:
                expected = lognorm(sd, scale=middle).logpdf(value)
            np.testing.assert_allclose(found.log_likelihood[name].values[:, i], expected, rtol=1e-9)


@pytest.mark.parametrize("name", [COVARIATES, WHOLE])
def test_the_log_prior_is_scipys(quick, name):
    people, found = CASES[name]().individuals, quick[name]
    log_prior, posterior = found.log_prior, found.posterior
    for p in people.estimated:
        typical = names.typical(p.name) if p.varies else p.name
        expected = norm(p.location, p.typical.sd).logpdf(p.to_scale(posterior[typical].values))
        np.testing.assert_allclose(log_prior[typical], expected, rtol=1e-9)
    for p in people.varying:
        spread = p.between_subject
        expected = norm(np.log(spread.omega), spread.sd).logpdf(np.log(posterior[names.omega(p.name)]))
        np.testing.assert_allclose(log_prior[names.omega(p.name)], expected, rtol=1e-9)
    for a in people.effects:
        drawn = np.log(posterior.covariate_effect.sel(effect=f"{a.parameter} by {a.key}"))
        expected = norm(np.log(a.effect.median), np.log(a.effect.gsd)).logpdf(drawn)
        found_density = log_prior.covariate_effect[..., list(people.effects).index(a)]
        np.testing.assert_allclose(found_density, expected, rtol=1e-9)


def test_what_drives_the_model_is_the_basal_level_at_rest_and_what_was_read_within_its_error_elsewhere(quick):
    posterior, study = quick[SEVERAL_TESTS].posterior, CASES[SEVERAL_TESTS]().study
    true = posterior.insulin_forcing.isel(chain=0)
    known = quick[SEVERAL_TESTS].constant_data
    who, when = (known[f"forcing_{name}"].values for name in ("subject", "occasion"))
    times = known.forcing_time
    read = study.observations.isel(obs=np.flatnonzero(study.observations.analyte == "insulin"))
    assert "forcing" in true.attrs["long_name"] and set(zip(who, when, strict=True)) == set(study.occasions)
    found = list(zip(who, when, times.values, strict=True))
    assert found == list(zip(read.subject.values, read.occasion.values, read.time.values, strict=True))
    labels = [f"{s}/{o}, {t:g} min" for s, o, t in found]
    assert list(true.forcing_obs.values) == list(known.forcing_obs.values) == labels
    rest = (times <= 0) | (times >= 120)
    tests = [f"{s}/{o}" for s, o in zip(who[rest], when[rest], strict=True)]
    basal = posterior.basal_insulin_occasion.isel(chain=0).sel(occasion=tests)
    np.testing.assert_allclose(true[:, rest.values], basal, rtol=1e-12)
    error = (np.log(true / read.value.values) / posterior.sigma_insulin.isel(chain=0)).values[:, ~rest.values]
    np.testing.assert_allclose([error.mean(), error.std()], [0, 1], atol=0.1)


def test_predictions_are_those_of_the_individual_parameters(case):
    design, found = case
    people = design.individuals
    for draw in (0, -1):
        at = found.posterior.isel(chain=0, draw=draw)
        theta = np.tile(people.layout.fixed, (len(people.occasions), 1))
        for p, column in zip(people.estimated, people.layout.columns, strict=True):
            values = at[f"{p.name}_occasion" if p.name in people.nested else p.name]
            if values.dims == ("subject",):
                values = values.isel(subject=people.layout.subject)
            theta[:, column] = values.values
            if not values.dims:  # shared, but for the covariates
                for key, effect in p.effects.items():
                    label = names.effect(p.name, key)
                    if label in acting_in(at):
                        covariate = design.study.covariates[effect.covariate].values[people.layout.subject]
                        factor = at.covariate_effect.sel(effect=label).item()
                        theta[:, column] *= factor ** np.array([effect.standardized(c) for c in covariate])
        true = at.insulin_forcing.values if "insulin_forcing" in at else None
        predicted, _ = design.predict(theta, true)
        expected = (predicted - design.rows.offset)[: design.n_obs]
        used = design.study.observations.sel(obs=design.obs)
        for analyte, kept in found.fitted.data_vars.items():
            own = (used.analyte == analyte).values
            np.testing.assert_allclose(kept.isel(chain=0, draw=draw), expected[own], rtol=1e-9)


def test_the_spread_of_replicated_samples_is_that_of_the_assay(real):
    log_ratio = np.log(real.posterior_predictive.glucose / real.fitted.glucose)
    middle = np.quantile(log_ratio / real.posterior.sigma_glucose, [0.25, 0.75])
    np.testing.assert_allclose(middle, t(4.0).ppf([0.25, 0.75]), atol=0.1)


def test_draws_of_the_prior_have_the_medians_and_the_spreads_of_the_model(case):
    design, found = case
    for p in design.individuals.estimated:
        values = found.prior[names.typical(p.name) if p.varies else p.name].values.ravel()
        z = (p.to_scale(values) - p.location) / p.typical.sd
        assert abs(np.median(z)) < 0.25 and 0.85 < z.std() < 1.15


def test_the_published_answer_lies_within_the_99_percent_interval_of_the_real_subject(real):
    """Pacini and Bergman (1986), the example of their program: 5.07e-4 /min per uU/mL, of 6 pmol/L each."""
    low, high = np.quantile(real.posterior.insulin_sensitivity, [0.005, 0.995])
    assert low < 5.07e-4 / 6.0 < high


# --- the file ---


@pytest.mark.parametrize(("name", "suffix"), [(COVARIATES, ".nc"), (SEVERAL_TESTS, ".zarr")])
def test_a_fit_comes_back_from_its_file_as_it_was(quick, name, suffix, tmp_path):
    path = save(quick[name], tmp_path / f"fit{suffix}")
    back = load(path)
    xr.testing.assert_equal(back, quick[name])
    assert dict(back.attrs) == quick[name].attrs
    for group in ("posterior", "prior"):
        for variable, values in quick[name][group].data_vars.items():
            assert back[group][variable].attrs == values.attrs
    path.rename(tmp_path / f"moved{suffix}")  # nothing holds the file


def test_a_sampled_fit_is_saved_with_the_samplers_statistics(sampled, tmp_path):
    back = load(save(sampled, tmp_path / "fit.nc"))
    for name in ("diverging", "n_steps", "energy", "step_size", "tree_depth", "lp", "acceptance_rate"):
        assert (back.sample_stats[name] == sampled.sample_stats[name]).all()
        assert back.sample_stats[name].shape == (2, SHORT["draws"])


def test_saved_without_data_no_sample_nor_covariate_of_anyone_is_in_the_file(quick, tmp_path):
    found = quick[COVARIATES]
    back = load(save(found, tmp_path / "shared.nc", without_data=True))
    assert set(back.children) == {"posterior", "prior", "log_prior", "constant_data", "protocols"}
    assert set(back.constant_data.data_vars) == {"body_weight"}
    assert len(set(back.constant_data.body_weight.values)) == 1
    assert "insulin_forcing" in found.posterior and "insulin_forcing" not in back.prior
    xr.testing.assert_equal(
        back.posterior.to_dataset(), found.posterior.to_dataset().drop_dims("forcing_obs")
    )
    assert back.attrs["model_text"] == found.attrs["model_text"]
    assert "observed_data" in found, "the fit itself stays whole"
    own = {("1", "1"): ivgtt(0.3), ("2", "1"): ivgtt(0.2)}
    differing = xr.DataTree.from_dict({**found.to_dict(), "/protocols": keep_protocols(own)})
    assert "protocols" not in load(save(differing, tmp_path / "own.nc", without_data=True))
    raw = (tmp_path / "shared.nc").read_bytes()
    assert found.constant_data.covariate_bmi.values.tobytes() not in raw
    assert found.observed_data.glucose.values.tobytes() not in raw


def test_a_file_that_is_none_of_ours_is_refused_in_words(real, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.nc \(netCDF\) or \.zarr, not '\.txt'"):
        save(real, tmp_path / "fit.txt")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load(tmp_path / "absent.nc")
    other = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": ("draw", [1.0])})})
    other.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="not a fit of bayesglu"):
        load(tmp_path / "other.nc")
    (tmp_path / "table.csv").write_text("subject,time\n")
    (tmp_path / "empty.zarr").mkdir()
    for name in ("table.csv", "empty.zarr", "."):
        with pytest.raises(ValueError, match="cannot be read as a fit"):
            load(tmp_path / name)


# --- sampling ---


def test_the_same_seed_gives_the_same_draws_and_the_seed_is_kept(sampled):
    seed = sampled.attrs["random_seed"]
    again = fit("minimal", "bergman1986", random_seed=seed, **SHORT)
    other = fit("minimal", "bergman1986", random_seed=seed + 1, **SHORT)
    for group in ("posterior", "prior", "posterior_predictive"):
        xr.testing.assert_equal(again[group].to_dataset(), sampled[group].to_dataset())
    assert not np.array_equal(other.posterior.sigma_glucose, sampled.posterior.sigma_glucose)


def test_a_seed_that_nobody_chose_can_be_asked_for_again():
    settings = {"draws": 5, "method": "laplace", **QUIET}
    for given in (None, np.random.default_rng(8)):
        first = fit("minimal", "bergman1986", random_seed=given, **settings)
        again = fit("minimal", "bergman1986", random_seed=first.attrs["random_seed"], **settings)
        xr.testing.assert_equal(again.posterior.to_dataset(), first.posterior.to_dataset())


def test_the_first_look_is_close_to_what_sampling_finds(real, sampled):
    for name in ("basal_glucose", "insulin_sensitivity", "glucose_volume"):
        looked, found = np.log(real.posterior[name]), np.log(sampled.posterior[name])
        assert float(looked.mean()) == pytest.approx(float(found.mean()), abs=float(found.std()))
        assert 0.5 < float(looked.std() / found.std()) < 2


# A hundred draws are too few for leaving out the one outlier of this subject; a user has more.
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto distribution:UserWarning")
def test_arviz_understands_the_tree(sampled):
    table = az.summary(sampled, var_names=["insulin_sensitivity", "sigma_glucose"])
    assert list(table.index) == ["insulin_sensitivity[1]", "sigma_glucose"]
    assert np.isfinite(az.loo(sampled, var_name="glucose").elpd)
    assert float(az.rhat(sampled, var_names=["sigma_glucose"]).sigma_glucose) < 1.2


def test_a_fit_begins_at_once_for_it_neither_imports_pymc_nor_compiles_a_graph(monkeypatch):
    """What is imported with a fit's own module is seen in a process of its own, in `test_what_if`."""
    for module in ("pymc", "pytensor"):
        monkeypatch.setitem(sys.modules, module, None)  # from now on its import fails
    found = fit("minimal", "bergman1986", draws=2, tune=5, chains=1, **QUIET)
    assert found.posterior.sizes["draw"] == 2


@pytest.mark.long
@pytest.mark.parametrize("name", [SEVERAL_TESTS, SHARED, CORRELATED])
def test_whitened_and_non_centred_coordinates_give_the_same_posterior(name):
    d = CASES[name]()
    settings = {"draws": 300, "tune": 300, "chains": 2, "cores": 2, "random_seed": 4, **QUIET}
    found = [fit(d.spec, d.study, parametrization=c, **settings) for c in ("whitened", "noncentered")]
    told = [json.loads(f.attrs["settings"]) for f in found]
    assert [t["steps"] for t in told] == ["frozen" if len(d.study.subjects) > 1 else "adaptive", "adaptive"]
    assert {t["target_accept"] for t in told} == {0.8 if len(d.study.subjects) > 1 else 0.9}
    logs = [
        xr.Dataset({n: v if n == "correlation" else np.log(v) for n, v in f.posterior.data_vars.items()})
        for f in found
    ]
    errors = [az.mcse(one) for one in logs]
    for variable in logs[0].data_vars:
        difference = (logs[0][variable] - logs[1][variable]).mean(("chain", "draw"))
        doubt = np.hypot(errors[0][variable], errors[1][variable])
        assert (np.abs(difference) < 4.5 * doubt).all(), variable


@pytest.mark.long
def test_deviations_that_go_together_are_seen_to():
    """Thirty people whose insulin sensitivity goes with their insulin at rest."""
    section = '[correlations]\nparameters = ["insulin_sensitivity", "basal_insulin"]\nlkj_eta = 1\n'
    spec = read_model(load_model("minimal").text + section)
    found = simulated(spec, 30, INTRAVENOUS_TIMES, correlation=0.85)
    settings = {"draws": 300, "tune": 300, "chains": 2, "random_seed": 1, **QUIET}
    posterior = fit(spec, found.study, **settings).posterior
    (draws,) = posterior.correlation.stack(sample=("chain", "draw")).values
    low, high = np.quantile(draws, [0.025, 0.975])
    assert 0 < low < 0.85 < high
    both = xr.DataTree.from_dict({"posterior": posterior.to_dataset()})
    row = summarize_population(both).sel(parameter="correlation of insulin_sensitivity and basal_insulin")
    assert row.role == "correlation" and float(row["median"]) == pytest.approx(np.median(draws))


# --- what cannot be done ---


def test_bad_requests_are_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match=r"no method 'vb'. Known: nuts, mclmc, laplace"):
        fit("minimal", "bergman1986", method="vb")
    with pytest.raises(ValueError, match=r"no parametrization 'centred'. Known: whitened, noncentered"):
        fit("minimal", "bergman1986", parametrization="centred")
    with pytest.raises(ValueError, match=r"draws is 0; it must be 1 or more.\nchains is -1; it must"):
        fit("minimal", "bergman1986", draws=0, chains=-1)
    with pytest.raises(ValueError, match="draws is 0; it must be 1 or more"):
        prior_predictive("minimal", "bergman1986", draws=0)
    with pytest.raises(SpecError, match="minimal"):
        fit("minimall", "bergman1986")
    with pytest.raises(StudyError, match="bergman1986"):
        fit("minimal", "bergmann1986")


def test_a_study_that_the_model_does_not_describe_is_refused():
    whole = CASES[WHOLE]().study
    with pytest.raises(StudyError, match=r"measured c_peptide, glucagon, which the model 'oral' does not"):
        fit("oral", whole, method="laplace")
    with pytest.raises(StudyError, match="has measured insulin as its forcing function"):
        fit("minimal", load_study("bergman1986").select(analytes=["glucose"]), method="laplace")


def test_a_study_without_a_single_sample_to_compare_with_is_refused():
    columns = {"subject": "1", "time": [0, 30], "analyte": "glucose", "value": "", "unit": "mg/dL"}
    empty = Study.from_table(pd.DataFrame(columns), protocol=ogtt(75), body_weight=70, name="empty")
    with pytest.raises(StudyError, match="'empty' has no sample that the model 'oral' can be compared with"):
        fit("oral", empty, method="laplace")


@pytest.mark.parametrize("settings", [{"method": "laplace"}, {}, {"parametrization": "noncentered"}])
def test_where_nothing_can_be_solved_the_person_and_the_reason_are_named(settings):
    with pytest.raises(SolverError, match=r"subject 1: The budget of steps ran out.*raise max_steps"):
        fit("minimal", "bergman1986", max_steps=5, **QUIET, **settings)


def test_solves_that_fail_are_counted_by_person_and_reason():
    d = CASES[SEVERAL_TESTS](max_steps=45)
    failures = Failures(d)
    failures.count(np.array([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]))
    density = Density(d)
    failures.record(density, np.zeros(density.size))
    told = failures.rows()
    assert told[0]["subject"] == "C" and told[0]["count"] == 2 and told[0]["reason"].endswith(".")


def test_the_prior_tells_what_a_study_would_look_like():
    found = prior_predictive("minimal", "bergman1986", draws=50, random_seed=2)
    again = prior_predictive("minimal", "bergman1986", draws=50, random_seed=2)
    xr.testing.assert_equal(found["prior_predictive"].to_dataset(), again["prior_predictive"].to_dataset())
    for analyte, samples in found.prior_predictive.data_vars.items():
        assert samples.dims == ("chain", "draw", f"{analyte}_obs") and samples.shape[:2] == (1, 50)
        low, high = samples.quantile([0.005, 0.995], ("chain", "draw")).values
        values = found.observed_data[analyte].values
        assert ((low < values) & (values < high)).mean() > 0.9
    assert json.loads(found.attrs["failed_solves"]) == [] and found.attrs["random_seed"] == 2
