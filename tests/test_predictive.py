"""Predictive checks: what samples are compared with; a right model passes, and a wrong one does not."""

from dataclasses import replace

import arviz_stats as az
import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit
from scipy.special import ndtr
from typer.testing import CliRunner

import bayesglu as bg
from bayesglu import plots
from bayesglu.analysis.kept_study import joined
from bayesglu.analysis.prior_sensitivity import BOTH, FINE, FOLLOWS
from bayesglu.analysis.uniformity import order_band
from bayesglu.cli.app import app
from bayesglu.hierarchy import names

STUDIES = 15
"""Studies of new people that are taken for the measured one."""
TIMES = [0, 15, 30, 60, 90, 120, 180]


@pytest.fixture(scope="module")
def study() -> bg.Study:
    """Ten people, of whom five were given half the dose."""
    return joined([simulate("oral", f"ogtt({dose})", TIMES, 5, seed) for seed, dose in ((1, 75), (2, 37.5))])


def simulate(model: str, protocol: str, times, people: int, seed: int) -> bg.Study:
    labels = [f"{'ABC'[seed - 1]}{i + 1}" for i in range(people)]
    return bg.simulate_study(model, protocol=protocol, times=list(times), subjects=labels, random_seed=seed)


@pytest.fixture(scope="module")
def fit(study) -> xr.DataTree:
    return bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)


def with_samples(fit: xr.DataTree, draw: int) -> xr.DataTree:
    """The fit, had one study of new people been measured; without it among the others."""
    copy = fit.copy()
    new = fit["population_predictive"].to_dataset()
    one = new.isel(chain=0, draw=draw, drop=True)
    observed = fit["observed_data"].to_dataset()
    copy["observed_data"] = xr.DataTree(
        observed.assign({a: observed[a].copy(data=one[a].values) for a in one})
    )
    keep = np.arange(new.sizes["draw"]) != draw
    copy["population_predictive"] = xr.DataTree(new.isel(draw=keep))
    return copy


def below(fit: xr.DataTree, analyte: str, limit: float) -> xr.DataTree:
    """The fit, had samples of an analyte below a limit been censored there."""
    copy, values = fit.copy(), fit.observed_data[analyte]
    low = (values < limit).values
    told = np.where(low, "left", "none").astype(object)
    observed = fit["observed_data"].to_dataset().assign({analyte: values.where(~low, limit)})
    known = fit["constant_data"].to_dataset()
    copy["observed_data"] = xr.DataTree(observed)
    copy["constant_data"] = xr.DataTree(
        known.assign({f"{analyte}_censoring": (names.observations(analyte), told)})
    )
    return copy


# --- new people in the fit ---


@pytest.mark.long
def test_new_people_are_as_many_as_the_fit_has_and_of_no_file_without_data(fit, tmp_path):
    new = fit.population_predictive
    assert new.glucose.shape == (1, 400, *fit.observed_data.glucose.shape)
    assert (new.glucose_subject.values == fit.observed_data.glucose_subject.values).all()
    bg.save(fit, tmp_path / "fit.nc", without_data=True)
    assert "population_predictive" not in bg.load(tmp_path / "fit.nc").children


def test_new_people_spread_more_than_the_same_people_measured_again(fit):
    same, new = (np.log(fit[group].glucose).std(("chain", "draw")) for group in GROUPS)
    assert float((new > same).mean()) > 0.95


GROUPS = ("posterior_predictive", "population_predictive")


# --- PIT ---


def test_transforms_are_those_of_arviz_but_for_the_luck_of_its_draws(fit):
    """Ranks among 400 draws, whose weights are as good as 200 equal ones, have an SE below 0.036."""
    ours, theirs = bg.pit(fit, random_seed=1), az.loo_pit(fit)
    apart, reliable = [], ours.pareto_k.values < 0.5
    for analyte in ("glucose", "insulin"):
        own = ours.analyte.values == analyte
        apart.append((ours.pit.values[own] - theirs[analyte].values)[reliable[own]])
    apart = np.concatenate(apart)
    assert np.sqrt(np.mean(apart**2)) < 0.036 and abs(apart.mean()) < 4 * 0.036 / np.sqrt(len(apart))


def test_a_right_model_has_uniform_transforms_and_one_that_is_too_sure_has_not():
    often = [simulate("ivgtt", "ivgtt(0.3)", range(0, 180, 9), 3, 1)]
    often.append(simulate("ivgtt", "ivgtt(0.2)", range(0, 180, 9), 2, 2))
    fit = bg.fit("ivgtt", joined(often), method="laplace", random_seed=1, progressbar=False)
    found = bg.pit(fit, by="protocol", random_seed=1)
    of_all = found.isel(group=(found.level != "at").values)
    assert of_all.level.values.tolist() == ["", "ivgtt(0.3)", "ivgtt(0.2)"] * 2
    told = of_all.p.values[np.isfinite(of_all.p.values)]  # all whose weights are reliable
    assert len(told) >= 3 and (told > 1e-4).all()
    small = fit.posterior.to_dataset()
    fit["posterior"] = xr.DataTree(small.assign(sigma_glucose=small.sigma_glucose / 4))
    wrong = bg.pit(fit, random_seed=1)
    assert float(wrong.p[0]) < 1e-4 and wrong.group_analyte.values[0] == "glucose"


def test_no_p_is_told_where_weights_are_unreliable(fit):
    found = bg.pit(fit, random_seed=1)
    for analyte in ("glucose", "insulin"):
        unreliable = float((found.pareto_k.values[found.analyte.values == analyte] > 0.7).mean())
        whole = found.isel(group=(found.group_analyte == analyte).values & (found.level == "").values)
        assert np.isnan(float(whole.p[0])) == (unreliable > 0.1)
    assert float((found.pareto_k > 0.7).mean()) > 0.1


def test_a_censored_sample_lies_below_the_probability_of_its_limit(fit):
    limit = float(fit.observed_data.insulin.median())
    censored, whole = (bg.pit(f, random_seed=3) for f in (below(fit, "insulin", limit), fit))
    low = censored.censoring.values == "left"
    assert 0 < low.sum() < len(low) and (censored.pit.values[~low] == whole.pit.values[~low]).all()
    sigma = fit.posterior.sigma_insulin.median().item()
    expected = fit.fitted.insulin.median(("chain", "draw")).values[low[fit.observed_data.glucose.size :]]
    assert (censored.pit.values[low] < ndtr((np.log(limit / expected) + 0.5) / sigma) + 0.05).all()


# --- population ---


def test_errors_of_new_people_are_standard_normal(fit):
    """140 numbers of each of some studies, whose means and variances are independent from study to study."""
    of_each = [bg.npde(with_samples(fit, 25 * i), random_seed=1) for i in range(STUDIES)]
    for name, right in (("mean", 0.0), ("variance", 1.0)):
        each = np.array([float(found[name].sel(tested="all")) for found in of_each])
        # Half a per cent of the variance is what ranks among 399 leave out.
        assert abs(each.mean() - right) < 4 * each.std(ddof=1) / np.sqrt(STUDIES) + 0.02


def test_errors_of_people_with_other_curves_are_not(fit):
    glucose = fit.observed_data.glucose
    late = (fit.observed_data.glucose_time >= 90).values
    moved = fit.copy()
    moved["observed_data"] = xr.DataTree(
        fit["observed_data"].to_dataset().assign(glucose=glucose.where(~late, glucose * 2.5))
    )
    tested = bg.npde(moved, random_seed=1)
    assert float(tested.p.sel(tested="glucose")) < 1e-3
    assert float(bg.npde(fit, random_seed=1).p.sel(tested="all")) > 1e-4


def test_a_tenth_of_the_quantiles_of_new_people_lies_outside(fit):
    of_each = [bg.vpc(with_samples(fit, 25 * i)) for i in range(STUDIES)]
    share = np.array([float(((v.observed < v["lower"]) | (v.observed > v["upper"])).mean()) for v in of_each])
    assert abs(share.mean() - 0.1) < 4 * share.std(ddof=1) / np.sqrt(STUDIES) + 0.02  # quantiles are values


def test_doses_that_differ_are_corrected_unless_they_are_told_apart(fit):
    corrected, apart = bg.vpc(fit), bg.vpc(fit, by="protocol")
    assert corrected.attrs["prediction_corrected"] == 1 and apart.attrs["prediction_corrected"] == 0
    assert apart.sizes["bin"] == 2 * corrected.sizes["bin"]
    expected, samples = bg.npde(fit, random_seed=1).expected.values, corrected.analyte.values == "glucose"
    for time in TIMES:
        own = samples & (corrected.time.values == time)
        of = fit.observed_data.glucose.values[fit.observed_data.glucose_time.values == time]
        right = of * np.median(expected[own]) / expected[own]
        assert np.allclose(corrected["value"].values[own], right)
    assert np.ptp(expected[own]) > 0


def test_samples_below_a_limit_are_counted_and_their_quantiles_are_not_drawn(fit):
    limit = float(fit.observed_data.insulin.quantile(0.3))
    found = bg.vpc(below(fit, "insulin", limit))
    insulin = found.isel(bin=(found.bin_analyte == "insulin").values)
    fasting = insulin.sel(bin=insulin.bin[0])
    share = float(
        (fit.observed_data.insulin.values[fit.observed_data.insulin_time.values == 0] < limit).mean()
    )
    assert float(fasting["below"]) == pytest.approx(share) and share > 0.5
    assert np.isnan(float(fasting.observed.sel(quantile=0.1)))
    assert np.isnan(found["below"].values[found.bin_analyte.values == "glucose"]).all()
    assert len(plots.vpc(found).axes) == 4


# --- people ---


@pytest.mark.parametrize("model", ["oral", "minimal"])
def test_curves_pass_through_what_is_fitted_at_the_samples(fit, model):
    """With a forcing function too, whose study has to be given."""
    given = None
    if model == "minimal":
        given = bg.load_study("bergman1986")
        fit = bg.fit(model, given, method="laplace", draws=40, random_seed=1, progressbar=False)
    draws = fit.posterior.sizes["draw"]
    found = bg.individual_fits(fit, given, points=3, draws=draws, random_seed=1)
    own = found.isel(moment=(found.analyte == "glucose").values)
    curve = {
        (str(s), float(t)): float(v)
        for s, t, v in zip(own.subject.values, own.time.values, own["median"].values, strict=True)
    }
    observed, fitted = fit.observed_data, fit.fitted.glucose.median(("chain", "draw")).values
    whose = zip(observed.glucose_subject.values, observed.glucose_time.values, strict=True)
    there = np.array([curve[str(s), float(t)] for s, t in whose])
    assert np.allclose(there, fitted, rtol=2e-5)
    left_out = int((found.state == "left out").sum())
    assert left_out == (0 if given is None else int((~given.observations.use).sum()))


def test_curves_of_some_people_are_those_of_everyone(fit):
    asked = {"points": 5, "draws": 20, "random_seed": 1}
    who = list(map(str, fit.posterior.subject.values))
    some, every = bg.individual_fits(fit, subjects=who[1:3], **asked), bg.individual_fits(fit, **asked)
    same = every.isel(moment=np.isin(every.subject.values, who[1:3]))
    assert (
        list(dict.fromkeys(some.subject.values))
        == who[1:3]
        == list(dict.fromkeys(some.sample_subject.values))
    )
    np.testing.assert_allclose(some["median"], same["median"], rtol=1e-6)
    with pytest.raises(bg.BayesgluError, match="There is no subject 'nobody'"):
        bg.individual_fits(fit, subjects=["nobody"], **asked)


def test_no_curve_goes_on_across_a_bolus_into_a_vein_and_its_peak_is_there():
    fit = bg.fit("ivgtt", "bergman1986", method="laplace", draws=20, random_seed=1, progressbar=False)
    found = bg.individual_fits(fit, "bergman1986", points=10, random_seed=1)
    glucose = found.isel(moment=(found.analyte == "glucose").values)
    assert glucose.piece.values.tolist() == [0] + [1] * (glucose.sizes["moment"] - 1)
    assert float(found.piece.where(found.analyte == "insulin").max()) == 0, "nobody was given insulin"


def test_another_study_than_the_fitted_one_is_refused(fit, study):
    other = replace(study, observations=study.observations.assign(value=study.observations.value * 2))
    with pytest.raises(bg.BayesgluError, match="not the one that was fitted"):
        bg.individual_fits(fit, other)


def test_a_hundred_and_twenty_people_are_on_ten_pages():
    rows = [(f"P{i:03}", t) for i in range(120) for t in (0.0, 60.0)]
    who, time = (np.array(column) for column in zip(*rows, strict=True))
    n = len(who)
    of_all = {"occasion": np.full(n, "1"), "analyte": np.full(n, "glucose")}
    labels = {name: ("moment", column) for name, column in ({"subject": who, "time": time} | of_all).items()}
    curves = {name: ("moment", np.full(n, 90.0)) for name in ("median", "lower", "upper")}
    curves |= {"sample_lower": ("moment", np.full(n, 80.0)), "sample_upper": ("moment", np.full(n, 99.0))}
    curves["piece"] = ("moment", np.zeros(n, int))
    found = xr.Dataset(curves, labels)
    found = found.assign(value=("obs", np.full(n, 91.0)))
    states = np.where(np.arange(n) == n - 1, "left out", "used")
    where = {f"sample_{name}": ("obs", column) for name, (_, column) in labels.items()}
    found = found.assign_coords(where | {"state": ("obs", states)})
    last = plots.individual_fits(found, page=10)
    titles = [axis.get_title(loc="left") for axis in last.axes]
    assert titles == [f"P{i:03}" for i in range(108, 120)]
    legend = [text.get_text() for text in last.legends[0].get_texts()]
    bands = ["median of the expected sample", "its 50 % interval", "90 % of new samples"]
    assert legend == [*bands, "sample", "sample left out of the fit"]
    with pytest.raises(bg.BayesgluError, match="pages 1 to 10"):
        plots.individual_fits(found, page=11)


def test_random_effects_are_those_of_the_summary(fit):
    found, table = bg.random_effects(fit), bg.summarize_population(fit)
    for name in map(str, found.parameter.values):
        assert float(found.eta_shrinkage.sel(parameter=name)) == pytest.approx(
            float(table.eta_shrinkage.sel(parameter=name))
        )
    typical = np.log(fit.posterior.basal_glucose / fit.posterior.basal_glucose_typical).mean(
        ("chain", "draw")
    )
    assert np.allclose(found["mean"].sel(parameter="basal_glucose"), typical)


def test_residuals_are_samples_less_what_is_fitted_in_sds_of_the_assay(fit):
    found = bg.sample_residuals(fit, random_seed=1)
    of = found.analyte.values == "insulin"
    expected = np.log(fit.observed_data.insulin.values / fit.fitted.insulin.median(("chain", "draw")).values)
    assert np.allclose(found.residual.values[of], expected / float(fit.posterior.sigma_insulin.median()))


@pytest.mark.long
def test_the_command_line_writes_each_check_as_a_table_and_a_figure(tmp_path):
    one = bg.fit("ivgtt", "bergman1986", method="laplace", draws=200, random_seed=1, progressbar=False)
    fit, out = bg.save(one, tmp_path / "one.nc"), tmp_path / "checks"
    done = CliRunner().invoke(app, ["predictive", str(fit), "--out", str(out), "--seed", "1"])
    assert done.exit_code == 0, done.output
    assert "Visual predictive check: " in done.stdout and "npde: mean 0, variance 1" in done.stdout
    checks = ("pit", "vpc", "npde", "residuals", "random_effects")
    names = [*checks, "individual_fits_glucose", "individual_fits_insulin"]
    assert {path.name for path in out.iterdir()} == {f"{n}.{e}" for n in names for e in ("csv", "png")}
    refused = CliRunner().invoke(app, ["sensitivity", str(fit)])
    assert refused.exit_code == 1 and "Laplace approximation" in refused.stderr


# --- sensitivity ---


def test_what_follows_its_prior_is_told_with_the_source():
    """One parameter goes with its prior, one with the likelihood, and one with neither."""
    fit = fake_fit("ivgtt", subjects=2, chains=2, draws=500)
    posterior, rng = fit["posterior"].to_dataset(), np.random.default_rng(1)
    spec = bg.load_model("ivgtt")

    def standard(name):
        value = np.log(posterior[name])
        return (value - value.mean()) / value.std()

    prior = {
        str(n): (("chain", "draw"), 0.01 * rng.normal(size=(2, 500)))
        for n, draws in posterior.items()
        if str(n).endswith(("_typical", "_omega")) or draws.attrs["role"] in ("sigma", "shared")
    }
    prior["insulin_sensitivity_typical"] = -(standard("insulin_sensitivity_typical") ** 2)
    told = -(standard("basal_glucose_typical") ** 2)
    of_samples = fit["log_likelihood"].to_dataset()
    fit["log_prior"] = xr.DataTree(xr.Dataset(prior, {"chain": posterior.chain, "draw": posterior.draw}))
    fit["log_likelihood"] = xr.DataTree(
        of_samples.map(lambda v: v * 0 + told / (v.shape[-1] * len(of_samples))).drop_vars(
            [c for c in of_samples.coords if c not in of_samples.dims]
        )
    )
    table = bg.prior_sensitivity(fit)
    by_name = table.groupby("parameter")["diagnosis"].first()
    assert by_name["insulin_sensitivity_typical"] == FOLLOWS
    assert by_name["basal_glucose_typical"] == FINE and by_name["glucose_volume_typical"] == FINE
    first, source = table.iloc[0], ", ".join(spec.parameters["insulin_sensitivity"].source)
    assert first["words"] == f"insulin_sensitivity_typical follows its prior ({source})."
    assert table.attrs["chance_prior"] < first["prior"]
    assert BOTH not in set(table["diagnosis"])
    assert len(plots.prior_sensitivity(table).axes) == 2


def test_an_ordered_band_holds_all_uniform_numbers_as_often_as_it_says():
    """5 % of 2,000 sets leave it, known to 0.5 %."""
    low, high = order_band(30)
    numbers = np.sort(np.random.default_rng(1).uniform(size=(2000, 30)), axis=1)
    out = ((numbers < low) | (numbers > high)).any(1).mean()
    assert abs(out - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000) + 0.02  # its points are those of a grid of 100
