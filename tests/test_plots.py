"""What the figures show: not how they look, but what is in them."""

import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit, fake_simulation, fake_what_if
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text

import bayesglu
from bayesglu import plots
from bayesglu.analysis.individual_fits import individual_fits
from bayesglu.analysis.simulated_study import simulate_study
from bayesglu.analysis.simulation import simulate
from bayesglu.analysis.summaries import minimal_model_indices, summarize_individuals, summarize_population
from bayesglu.errors import InputError
from bayesglu.plots.style import colours_of_people, looks, scaled, symbol
from bayesglu.protocols.library import ivgtt
from bayesglu.protocols.table import keep_protocols
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study
from bayesglu.units import UnitError


@pytest.fixture(scope="module")
def fit():
    return fake_fit("oral", subjects=2, draws=30)


@pytest.fixture(scope="module")
def intravenous():
    return bayesglu.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def overview(fit):
    return plots.fit_overview(fit)


@pytest.fixture(scope="module")
def forest(fit):
    return plots.parameters(fit, ["insulin_sensitivity", "basal_glucose", "glucose_volume"])


def shown(figure):
    return {axis.get_title(loc="left"): axis for axis in figure.axes}


def bands(axis):
    return [each for each in axis.collections if isinstance(each, PolyCollection)]


def labels(legend):
    return [text.get_text() for text in legend.get_texts()]


# --- studies ---


@pytest.fixture(scope="module")
def measured():
    """Two groups of people: one sample missing, one censored, one left out, and someone who left early."""
    rows = [(who, t, "glucose", 90 + t / 2, "") for who in ("A", "B", "C") for t in (0, 30, 120)]
    rows += [("A", 0, "insulin", "<12", ""), ("A", 30, "insulin", "", ""), ("B", 0, "insulin", 40, "false")]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "use"])
    table["unit"] = table["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    people = pd.DataFrame({"subject": ["A", "B", "C"], "group": ["T2D", "control", "control"]})
    return Study.from_table(table, subjects=people, protocol="ogtt(75)", body_weight=70)


def marks(axis, marker):
    return sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == marker)


def test_a_study_shows_every_sample_what_is_missing_censored_and_left_out_and_the_dose(measured):
    figure = measured.plot()
    axes = shown(figure)
    assert marks(axes["Glucose"], "o") == 9
    assert [marks(axes["Insulin"], marker) for marker in ("v", "x", "o")] == [1, 1, 1]
    assert axes["Glucose"].texts[0].get_text() == "75 g glucose oral"
    assert figure.get_suptitle().endswith("12 samples, 1 missing, 1 censored, 1 left out")
    (legend,) = figure.legends
    assert labels(legend) == ["A", "B", "C", "below the limit, at it", "missing", "left out"]


def test_a_study_has_a_row_of_panels_for_each_level_with_the_same_axes(measured):
    figure = plots.study(measured, by="group")
    titles = ["Glucose, group control (2)", "Insulin, group control (2)", "Glucose, group T2D (1)"]
    assert [axis.get_title(loc="left") for axis in figure.axes][:3] == titles
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()
    with pytest.raises(InputError, match=r"no covariate 'groups'\. Did you mean 'group'\?"):
        measured.plot(by="groups")


def test_of_many_people_the_median_is_a_line_and_a_number_is_split_at_its_median():
    rows = [(f"P{n}", t, "glucose", 90 + n + t) for n in range(20) for t in (0, 60)]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value"]).assign(unit="mg/dL")
    people = pd.DataFrame({"subject": [f"P{n}" for n in range(20)], "bmi": [20.0 + n for n in range(20)]})
    many = Study.from_table(table, subjects=people, protocol="ogtt(75)", body_weight=70)
    (axis,) = many.plot().axes
    assert axis.lines[-2].get_ydata().tolist() == [99.5, 159.5]
    names = [axis.get_title(loc="left") for axis in many.plot(by="bmi").axes]
    assert names == ["Glucose, bmi up to 29.5 kg/m2 (10)", "Glucose, bmi above 29.5 kg/m2 (10)"]


# --- over time ---


def test_a_simulation_shows_glucose_hormones_glycogen_and_the_fluxes_of_the_liver_with_their_units():
    axes = shown(plots.trajectories(fake_simulation()))
    units = {name: axis.get_ylabel() for name, axis in axes.items()}
    assert units == {
        "Glucose": "mg/dL",
        "Insulin": "pmol/L",
        "C-peptide": "pmol/L",
        "Glucagon": "pg/mL",
        "Liver glycogen": "mmol/L",
        "Glucose fluxes of the liver": "mg/kg/min",
    }
    fluxes = axes["Glucose fluxes of the liver"]
    assert labels(fluxes.get_legend()) == ["production", "glycogenolysis", "uptake"]
    assert not bands(axes["Glucose"]), "a single simulation has no uncertainty"


def test_the_lines_are_the_numbers_of_the_simulation():
    simulation = fake_simulation()
    (line,) = shown(plots.trajectories(simulation))["Insulin"].lines
    np.testing.assert_array_equal(line.get_ydata(), simulation["insulin"])
    np.testing.assert_array_equal(line.get_xdata(), simulation["time"])


@pytest.mark.parametrize("hours, unit, end", [(4, "min", 240), (50, "h", 50)])
def test_long_simulations_have_their_time_in_hours(hours, unit, end):
    (axis,) = plots.trajectories(fake_simulation(hours, every=10), ["glucose"]).axes
    assert axis.get_xlabel() == f"time ({unit})"
    assert axis.lines[0].get_xdata()[-1] == end


def test_draws_become_a_band_about_their_median():
    simulation = fake_simulation(draw=40)
    (axis,) = plots.trajectories(simulation, "glucose", probability=0.5).axes
    (band,) = bands(axis)
    low, high = np.quantile(simulation["glucose"], [0.25, 0.75], axis=0)
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == low.min() and heights.max() == high.max()
    np.testing.assert_allclose(axis.lines[0].get_ydata(), simulation["glucose"].median("draw"))


def test_several_simulations_are_laid_over_each_other_with_a_legend():
    figure = plots.trajectories(
        {"a meal": fake_simulation(), "a drink": fake_simulation(2.0)}, ["glucose", "insulin"]
    )
    assert labels(figure.legends[0]) == ["a meal", "a drink"]
    assert all(len(axis.lines) == 2 for axis in figure.axes)
    first, second = (line.get_color() for line in figure.axes[0].lines)
    assert first != second == figure.axes[1].lines[1].get_color()


def test_scenarios_of_a_what_if_are_laid_over_each_other():
    figure = plots.trajectories(fake_what_if(subjects=2), ["glucose"])
    assert labels(figure.legends[0]) == ["reference", "changed"]
    assert len(figure.axes[0].lines) == 4


def test_scenarios_of_many_people_are_still_told_apart_by_a_legend():
    figure = plots.trajectories(
        fake_what_if(subjects=13, draws=4, scenarios=[f"plan {i}" for i in range(9)]), "insulin"
    )
    assert labels(figure.legends[0]) == [f"plan {i}" for i in range(9)]
    assert len(figure.axes[0].lines) == 9 and not bands(figure.axes[0])
    assert len({(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}) == 9


def test_people_have_a_line_and_a_colour_each_and_many_are_quantiles():
    few, many = (plots.trajectories(fake_simulation(draw=5, subject=n), ["glucose"]) for n in (3, 40))
    assert labels(few.legends[0]) == ["subject 1", "subject 2", "subject 3"]
    assert len({to_hex(line.get_color()) for line in few.axes[0].lines}) == 3
    assert len(bands(few.axes[0])) == 3
    assert len(many.axes[0].lines) == 1 and len(bands(many.axes[0])) == 2 and not many.legends
    assert (
        " ".join(many.get_suptitle().split())
        == "Lines: median of 40 people's medians; bands: 50 and 90 % of them."
    )


def test_what_is_held_and_what_the_model_lacks_has_no_panel():
    simulation = fake_simulation().drop_vars(["glucagon", "c_peptide"])
    simulation["liver_glycogen"] = xr.full_like(simulation["liver_glycogen"], 259.0)
    assert list(shown(plots.trajectories(simulation))) == [
        "Glucose",
        "Insulin",
        "Glucose fluxes of the liver",
    ]


def moment(**changed) -> xr.Dataset:
    """Everyone's outputs at one time, all 1 but for some."""
    names = (
        "glycogenolysis",
        "gluconeogenesis",
        "indirect_storage",
        "hepatic_glucose_uptake",
        "renal_glucose_excretion",
    )
    names += ("glucose_appearance", "insulin_independent_uptake", "insulin_dependent_uptake")
    names += ("brain_glucose_uptake", "glucose", "insulin", "glucagon", "liver_glycogen")
    values = {name: 1.0 for name in names} | changed
    return xr.Dataset({name: ((), value, {"units": "unit"}) for name, value in values.items()})


def test_the_map_of_the_organs_has_an_arrow_as_wide_as_each_flow_and_the_levels_in_numbers():
    figure = plots.organs(
        {"rest": moment(), "later": moment(gluconeogenesis=3.5, renal_glucose_excretion=0.0, glucose=123.4)}
    )
    rest, later = figure.axes
    numbers = [sorted(t.get_text() for t in axis.texts if "." in t.get_text()) for axis in (rest, later)]
    assert numbers == [["1.0"] * 5 + ["2.0"], ["1.0"] * 4 + ["2.0", "2.5"]]
    assert [axis.get_title(loc="left") for axis in (rest, later)] == ["Rest", "Later"]
    assert any("123\nunit" in text.get_text() for text in later.texts)


def test_in_the_map_a_hormone_that_is_gone_has_no_line():
    figure = plots.organs({"with": moment(), "without": moment(insulin=0.0)})
    lines = [sum(isinstance(text, Annotation) for text in axis.texts) for axis in figure.axes]
    assert lines == [3, 1]


def test_the_map_of_several_scenarios_is_one_each_of_the_means_of_people_and_draws():
    usual, more = moment(), moment(gluconeogenesis=3.5)
    people = xr.concat([usual, moment(glucose=120.0)], "subject", data_vars="all")
    other = xr.concat([more, more], "subject", data_vars="all")
    both = xr.concat([people, other], "scenario", data_vars="all")
    figure = plots.organs(both.assign_coords(scenario=["usual", "more"]))
    first, second = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Usual", "More"]
    glucose = (float(usual["glucose"]) + 120) / 2
    assert any(f"glucose\n{glucose:.0f}\n" in text.get_text() for text in first.texts)
    assert "2.5" in [text.get_text() for text in second.texts]
    assert figure.get_suptitle().endswith("means over 2 people.")
    assert {"liver", "gut", "kidney", "brain", "pancreas"} <= {text.get_text() for text in first.texts}


def test_the_map_of_the_organs_is_of_one_moment_with_all_flows():
    with pytest.raises(
        ValueError, match="the map needs the outputs brain_glucose_uptake, renal_glucose_excretion as well"
    ):
        plots.organs({"now": moment().drop_vars(["renal_glucose_excretion", "brain_glucose_uptake"])})
    with pytest.raises(ValueError, match="now has time; choose one moment"):
        plots.organs({"now": moment().expand_dims(time=2)})
    with pytest.raises(ValueError, match="no moment"):
        plots.organs({})


def test_a_study_is_drawn_in_the_units_of_a_reader(measured):
    usual, molar = shown(measured.plot()), shown(measured.plot(units="SI"))
    assert [axes["Glucose"].get_ylabel() for axes in (usual, molar)] == ["mg/dL", "mmol/L"]
    high = [
        max(np.max(line.get_ydata(), initial=0) for line in axes["Glucose"].lines) for axes in (usual, molar)
    ]
    assert high[1] == pytest.approx(high[0] / 18.0156, rel=1e-3)
    with pytest.raises(UnitError, match="no system of units 'si'"):
        measured.plot(units="si")


def test_flows_are_stacked_to_the_change_of_blood_glucose_in_each_scenario():
    given = simulate("feedback", "ogtt(75)", times=np.arange(0.0, 181, 10))
    figure = plots.flows({"as it is": given, "again": given})
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["As it is", "Again"]
    axis = figure.axes[0]
    (net,) = (line for line in axis.lines if line.get_label() == "difference")
    np.testing.assert_allclose(net.get_ydata(), given["glucose_mass_rate"], atol=1e-9)
    stack = bands(axis)
    names = [band.get_label() for band in stack]
    assert names[:3] == ["from the gut", "glycogenolysis", "gluconeogenesis"] and "infused" not in names
    highest = max(band.get_paths()[0].vertices[:, 1].max() for band in stack)
    fed = given["glucose_appearance"] + given["endogenous_glucose_production"]
    assert highest == pytest.approx(float(fed.max()))
    assert axis.get_ylabel() == "mg/kg/min" and labels(figure.legends[0]) == [*names, "difference"]


def test_flows_of_people_and_draws_are_their_means_and_all_are_needed():
    given = simulate("oral", "ogtt(75)", times=[0, 30, 60])
    several = xr.concat([given, given, given * 3], "subject").expand_dims(draw=2)
    figure = plots.flows(several)
    (net,) = (line for line in figure.axes[0].lines if line.get_label() == "difference")
    np.testing.assert_allclose(net.get_ydata(), 5 / 3 * given["glucose_mass_rate"], atol=1e-9)
    assert figure.get_suptitle().endswith("means over 3 people and draws.")
    with pytest.raises(InputError, match="The picture needs the outputs gluconeogenesis as well"):
        plots.flows(given.drop_vars("gluconeogenesis"))
    with pytest.raises(InputError, match="no simulation"):
        plots.flows({})


def test_outputs_may_share_a_panel_with_a_legend():
    figure = plots.trajectories(fake_simulation(), ["glucose", ["glycogenolysis", "gluconeogenesis"]])
    alone, shared = figure.axes
    assert len(alone.lines) == 1 and len(shared.lines) == 2
    assert [t.get_text() for t in shared.get_legend().get_texts()] == ["glycogenolysis", "gluconeogenesis"]


def test_an_unknown_output_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"glukose.*Known: glucose, insulin"):
        plots.trajectories(fake_simulation(), ["glukose"])
    with pytest.raises(ValueError, match=r"glukose.*Known: glucose, insulin"):
        plots.contrast(fake_what_if(), "glukose")


def test_a_contrast_shows_the_scenarios_and_the_difference_within_each_draw():
    what_if = fake_what_if(subjects=3)
    figure = plots.contrast(what_if, "insulin")
    level, difference = figure.axes
    assert labels(figure.legends[0]) == ["reference", "changed"]
    assert level.get_ylabel() == difference.get_ylabel() == "pmol/L"
    assert level.get_title(loc="left") == "Mean of 3 people" and len(bands(level)) == 2
    each = what_if["insulin"].sel(scenario="changed") - what_if["insulin"].sel(scenario="reference")
    middle = difference.lines[-1].get_ydata()
    np.testing.assert_allclose(middle, each.mean("subject").median(("chain", "draw")))
    thin = [line.get_ydata() for line in difference.lines[1:-1]]
    np.testing.assert_allclose(thin, each.median(("chain", "draw")))


def test_a_contrast_of_chosen_people_has_a_row_for_each_and_at_most_twelve():
    what_if = fake_what_if(subjects=14, draws=5)
    assert list(shown(plots.contrast(what_if, subjects=["2", "3"])))[:2] == [
        "Subject 2",
        "Difference from 'reference'",
    ]
    every = plots.contrast(what_if, subjects=list(what_if["subject"].values))
    assert len(every.axes) == 24 and "12 of 14 people" in every.get_suptitle()
    with pytest.raises(ValueError, match="no subject 99"):
        plots.contrast(what_if, subjects=["99"])


@pytest.mark.parametrize(
    ("occasion", "subjects", "day"),
    [
        ("another", "3 people of the study", "another day"),
        ("fitted", "subject 2", "fitted day"),
        ("another", "20 new people", ""),
    ],
)
def test_a_picture_of_a_what_if_says_for_which_day_it_speaks(occasion, subjects, day):
    what_if = fake_what_if(subjects=3).assign_attrs(protocol="ogtt(75)", occasion=occasion, subjects=subjects)
    heading = " ".join(plots.contrast(what_if, "insulin").get_suptitle().split())
    assert heading.partition(" Bands: ")[0] == ", ".join(filter(None, ("Insulin, ogtt(75)", day)))


def test_a_contrast_needs_something_to_compare():
    with pytest.raises(ValueError, match="two scenarios"):
        plots.contrast(fake_what_if(scenarios=("reference",)))


# --- what was measured ---


def test_each_person_and_analyte_has_a_panel_with_every_sample_in_its_bands(fit, overview):
    axes = shown(overview)
    assert list(axes) == [
        "Subject 1: glucose",
        "Subject 1: insulin",
        "Subject 2: glucose",
        "Subject 2: insulin",
    ]
    axis = axes["Subject 2: insulin"]
    mine = (fit["observed_data"]["insulin_subject"] == "2").values
    line, samples = axis.lines[0], axis.lines[1]
    np.testing.assert_array_equal(samples.get_ydata(), fit["observed_data"]["insulin"][mine])
    curves = individual_fits(fit, random_seed=0)
    own = (curves.subject == "2") & (curves.analyte == "insulin")
    np.testing.assert_allclose(line.get_ydata(), curves["median"].values[own], err_msg="between samples too")
    assert len(line.get_xdata()) > 60 and len(bands(axis)) == 2 and axis.get_ylabel() == "pmol/L"
    assert axis.get_xlabel() == "time (min)"
    legend = labels(overview.legends[0])
    assert legend[1:] == ["its 50 % interval", "90 % of new samples", "sample"]


def test_samples_and_predictions_are_drawn_in_the_units_that_are_asked_for(fit, overview):
    ours, theirs = (
        shown(figure)["Subject 1: glucose"] for figure in (overview, plots.fit_overview(fit, units="SI"))
    )
    assert theirs.get_ylabel() == "mmol/L"
    for line, other in zip(ours.lines, theirs.lines, strict=True):
        np.testing.assert_allclose(np.asarray(other.get_ydata(), float), line.get_ydata() / 18.016)
    conventional = shown(plots.fit_overview(fit, units="conventional"))["Subject 1: insulin"]
    assert conventional.get_ylabel() == "uU/mL"


def test_a_contrast_says_what_its_bands_are_and_shows_many_people_as_a_band():
    few, many = (plots.contrast(fake_what_if(subjects=n, draws=5), units="SI") for n in (3, 40))
    told = " ".join(few.get_suptitle().split())
    assert told.endswith("intervals of the mean of these 3 people; thin lines: people's medians.")
    twelve = " ".join(plots.contrast(fake_what_if(subjects=12, draws=5)).get_suptitle().split())
    assert twelve.endswith("thin lines: people's medians; pale bands: 90 % of these.")
    assert "40 people; pale bands" in many.get_suptitle().replace("\n", " ")
    assert len(many.axes[1].lines) == 2 and len(bands(many.axes[1])) == 2
    assert many.axes[0].get_ylabel() == "mmol/L"
    newcomers = fake_what_if(subjects=40, draws=5)
    labels = [f"new {i + 1}" for i in range(40)]
    newcomers = newcomers.assign_coords(subject=labels)
    drawn = plots.contrast(newcomers)
    assert "pale bands: 90 % of new people" in drawn.get_suptitle().replace("\n", " ")
    glucose = newcomers.glucose
    paired = glucose.sel(scenario="changed") - glucose.sel(scenario="reference")
    lowest = paired.quantile(0.05, ("chain", "draw", "subject")).min()
    pale = min(bands(drawn.axes[1]), key=lambda band: band.get_paths()[0].vertices[:, 1].min())
    assert pale.get_paths()[0].vertices[:, 1].min() == pytest.approx(float(lowest))


def test_the_band_with_assay_noise_is_wider_than_that_of_predictions(overview):
    noisy, predicted = (np.ptp(band.get_paths()[0].vertices[:, 1]) for band in bands(overview.axes[0]))
    assert noisy > predicted


def test_many_people_are_shown_in_pages_and_the_title_says_so():
    fit = fake_fit("minimal", subjects=13, draws=5)
    figure, last = plots.fit_overview(fit), plots.fit_overview(fit, page=2)
    assert [len(each.axes) for each in (figure, last)] == [12, 1]
    assert "page 2 of 2" in last.get_suptitle()
    with pytest.raises(InputError, match="page is 3; there are pages 1 to 2"):
        plots.fit_overview(fit, page=3)


def test_people_can_be_chosen_and_unknown_ones_are_refused(fit):
    assert list(shown(plots.fit_overview(fit, ["2"]))) == ["Subject 2: glucose", "Subject 2: insulin"]
    with pytest.raises(ValueError, match=r"no subject 7\. Known: 1, 2"):
        plots.fit_overview(fit, ["7"])


def test_several_tests_of_a_person_have_panels_of_their_own():
    figure = plots.fit_overview(fake_fit("minimal", subjects=1, draws=5, occasions=2))
    assert list(shown(figure)) == ["Subject 1, 1: glucose", "Subject 1, 2: glucose"]


def test_no_line_crosses_a_bolus_into_a_vein():
    fit = fake_fit("minimal", subjects=1, draws=5)
    assert len(plots.fit_overview(fit).axes[0].lines[0].get_xdata()) == 8
    fit["protocols"] = xr.DataTree(keep_protocols({("1", "1"): ivgtt(0.3)}))
    before, after = plots.fit_overview(fit).axes[0].lines[:2]
    assert list(before.get_xdata()) == [0] and after.get_xdata()[0] == 10


def test_censored_samples_are_triangles():
    fit = fake_fit("minimal", subjects=1, draws=5)
    known = fit["constant_data"].to_dataset()
    known["glucose_censoring"][2] = "left"
    fit["constant_data"] = xr.DataTree(known)
    whole, left = plots.fit_overview(fit).axes[0].lines[1:3]
    assert (whole.get_marker(), len(whole.get_xdata())) == ("o", 7)
    assert (left.get_marker(), list(left.get_xdata())) == ("v", [20.0])


def test_a_fit_that_was_saved_without_data_says_so(fit):
    bare = fit.copy()
    del bare["observed_data"]
    with pytest.raises(ValueError, match="observed_data"):
        plots.fit_overview(bare)


# --- what was learnt ---


def test_parameters_shows_medians_and_intervals_of_each_person(fit, forest):
    table = summarize_individuals(fit).sel(parameter="basal_glucose")
    axis = shown(forest)["Basal glucose"]
    (dots,) = (each for each in axis.collections if isinstance(each, PathCollection))
    np.testing.assert_allclose(dots.get_offsets()[:, 0], table["median"])
    (lines,) = (each for each in axis.collections if each.__class__.__name__ == "LineCollection")
    ends = np.array(lines.get_segments())[..., 0]
    np.testing.assert_allclose(ends, np.stack([table["lower"], table["upper"]], axis=1))
    first = forest.axes[0]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["1", "2"]


def test_parameters_has_units_on_its_axes_and_reads_well_for_small_numbers(fit, forest):
    axes = shown(forest)
    assert axes["Basal glucose"].get_xlabel() == r"$G_{\mathrm{b}}$ (mg/dL)"
    medians = summarize_individuals(fit)["median"].sel(parameter="insulin_sensitivity").values
    factor, unit = scaled(medians, "L/pmol/min")
    assert factor < 1e-3
    assert axes["Insulin sensitivity"].get_xlabel() == rf"$S_{{\mathrm{{I}}}}$ ({unit})"
    dots = next(each for each in axes["Insulin sensitivity"].collections if isinstance(each, PathCollection))
    np.testing.assert_allclose(dots.get_offsets()[:, 0], medians / factor)


def test_parameters_that_people_share_have_one_row(forest):
    axis = shown(forest)["Glucose volume"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["everyone"]


def test_axes_are_logarithmic_but_for_fractions(forest):
    fraction = plots.parameters(fake_fit("oral_cpeptide", subjects=1, draws=10), "hepatic_extraction")
    assert all(axis.get_xscale() == "log" for axis in forest.axes)
    assert fraction.axes[0].get_xscale() == "linear"


def test_parameters_shows_all_that_differ_between_people_or_else_all_that_are_shared():
    spec = load_model("minimal")
    figure = plots.parameters(fake_fit(spec, subjects=1, draws=10))
    assert len(figure.axes) == len(spec.at("subject"))
    alone = spec.with_changes(parameters={name: {"level": "shared"} for name in spec.at("subject")})
    assert len(plots.parameters(fake_fit(alone, subjects=1, draws=10)).axes) == len(spec.at("subject"))


def test_a_hundred_people_are_counted_and_not_named():
    figure = plots.parameters(fake_fit("minimal", subjects=100, draws=10), ["basal_glucose"])
    assert figure.axes[0].get_ylabel() == "100 people by median"
    assert not figure.axes[0].get_yticklabels()


def test_an_unknown_parameter_is_refused_with_those_that_there_are(fit):
    with pytest.raises(ValueError, match=r"sensitivity\. Known: .*insulin_sensitivity"):
        plots.parameters(fit, ["sensitivity"])


def test_learning_puts_what_was_least_learnt_of_the_shared_parameters_lowest(fit):
    (axis,) = plots.contraction(fit).axes
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names[0] == "glucose volume"
    assert set(names) == {name.replace("_", " ") for name in load_model("oral").estimated}
    diamonds = {
        names[int(line.get_ydata()[0])]: line.get_xdata()[0]
        for line in axis.lines
        if line.get_marker() == "D"
    }
    table = summarize_population(fit)["contraction"]
    for name in load_model("oral").estimated:
        assert diamonds[name.replace("_", " ")] == float(table.sel(parameter=name))
    assert "contraction" in axis.get_xlabel()


def test_a_fit_that_was_saved_without_its_prior_can_be_drawn_but_not_compared_with_it(fit):
    bare = fit.copy()
    del bare["prior"]
    assert plots.parameters(bare, "basal_glucose").axes[0].get_xlim()[0] > 0
    with pytest.raises(ValueError, match="'prior'"):
        plots.contraction(bare)


def test_what_can_be_learnt_has_a_bar_a_person_and_a_diamond_for_the_typical_value_the_best_on_top():
    names = ["hepatic_extraction", "glucose_volume", "first_phase_gain", "c_peptide_loss"]
    result = xr.Dataset(
        {"individual": ("parameter", [0.2, 0.6, 0.05, 0.0]), "typical": ("parameter", [0.5, 0.4, 0.3, 0.0])},
        coords={
            "parameter": names,
            "other": names,
            "first": ("pair", names[:1]),
            "second": ("pair", names[1:2]),
        },
        attrs={"protocol": "ogtt(75)", "model": "mine", "subjects": 7},
    )
    result["pair_individual"], result["pair_typical"] = ("pair", [-0.95]), ("pair", [0.2])
    figure = plots.expected_contraction(result)
    (axis,) = figure.axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == [
        *("first phase gain", "hepatic extraction", "glucose volume"),
    ]
    bars = [patch for patch in axis.patches if patch.get_height() < 1]
    assert [bar.get_width() for bar in bars] == [0.05, 0.2, 0.6]
    assert len({to_hex(bar.get_facecolor()) for bar in bars}) == 3, "hardly, a little, well"
    diamonds = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "D"]
    assert diamonds == [0.3, 0.5, 0.4]
    heading = " ".join(figure.get_suptitle().split())
    assert "ogtt(75), model mine" in heading and "from 7 subjects" in heading
    assert "hepatic extraction and glucose volume (-0.95)" in heading
    assert "no contraction of 1 more" in heading


# --- rules of every figure ---


def moments_of(people):
    return xr.concat([moment(glucose=100.0 + i) for i in range(people)], "subject", data_vars="all")


def drawn(people):
    """Figures of so many people, by name."""
    fit = fake_fit("minimal", subjects=people, draws=5, chains=1)
    answer = fake_what_if(subjects=people, draws=5)
    four = simulate_study("feedback", protocol="ogtt(75)", times=[0, 60], subjects=people, random_seed=1)
    run = simulate("oral", "ogtt(75)", times=[0, 30, 60])
    table = pd.DataFrame(
        {
            "subject": [str(i) for i in range(people)],
            "quantity": "glucose_peak",
            "unit": "mg/dL",
            "interval": [f"subject {i}" for i in range(people)],
            "median": 100.0,
            "lower": 90.0,
            "upper": 110.0,
            "probability": 0.9,
        }
    )
    return {
        "fit_overview": plots.fit_overview(fit),
        "parameters": plots.parameters(fit),
        "contraction": plots.contraction(fit),
        "contrast": plots.contrast(answer),
        "contrast of eight": plots.contrast(
            fake_what_if(subjects=people, draws=5, scenarios=[f"plan {i}" for i in range(8)])
        ),
        "trajectories": plots.trajectories(answer),
        "study": plots.study(four),
        "forest": plots.forest(table),
        "flows": plots.flows(xr.concat([run] * people, "subject")),
        "organs": plots.organs(
            {"now": moments_of(people), "later": moments_of(people), "last": moments_of(people)}
        ),
    }


@pytest.fixture(scope="module", params=[1, 12, 120])
def figures(request):
    return drawn(request.param)


def test_the_type_of_every_figure_can_be_read_in_print(figures):
    for name, figure in figures.items():
        width = 85 if figure.get_figwidth() <= 5.35 else 170  # one column of a journal, or both
        scale = width / 25.4 / figure.get_figwidth()
        sizes = {t.get_text(): t.get_fontsize() * scale for t in figure.findobj(Text) if t.get_text()}
        assert min(sizes.values()) >= 5, (name, min(sizes, key=sizes.get), min(sizes.values()))


def test_no_panel_has_a_line_for_each_of_many_people(figures):
    for name, figure in figures.items():
        for axis in figure.axes:
            lines = [
                line for line in axis.lines if len(line.get_xdata()) > 2 and line.get_linestyle() != "None"
            ]
            assert len(lines) <= 16, (name, axis.get_title(loc="left"))
            assert len(axis.get_yticklabels()) <= 40 and len(figure.axes) <= 24


def test_every_axis_has_its_unit_and_every_band_its_name(figures):
    for name in ("fit_overview", "contrast", "trajectories", "study", "flows"):
        figure = figures[name]
        assert all("(min)" in axis.get_xlabel() for axis in figure.axes[-1:]), name
        first = [axis.get_ylabel() for axis in figure.axes if axis.get_subplotspec().colspan.start == 0]
        assert all("/" in unit for unit in first), (name, first)
        told = " ".join([figure.get_suptitle(), *(t for legend in figure.legends for t in labels(legend))])
        if any(bands(axis) for axis in figure.axes) and name != "flows":
            assert "50 %" in told or "90 %" in told, (name, told)
        if name == "flows":
            assert "means over" in told or "above zero" in told.lower(), told


# --- all together ---


def test_the_figure_of_the_readme_has_the_fit_the_published_values_the_truth_and_the_question(intravenous):
    people = fake_fit("oral", subjects=12, draws=20)
    truth = people["posterior"].to_dataset()[["insulin_sensitivity"]].median(("chain", "draw"))
    question = fake_what_if(subjects=12).assign_attrs(change="insulin_sensitivity x 1.3")
    figure = plots.demo_figure(intravenous, people, question, truth=truth)
    axes = shown(figure)
    assert "median and 90 % interval of each subject: 12 of 12 hold the truth" in axes
    headings = [part.get_suptitle() for part in figure.subfigs]
    assert headings[3] == "What if: insulin sensitivity × 1.3"
    low, middle, high = np.quantile(
        minimal_model_indices(intravenous)["insulin_sensitivity"], [0.05, 0.5, 0.95]
    )
    told = f"median {1e4 * middle:.2g}, 90 % interval {1e4 * low:.2g} to {1e4 * high:.2g}"
    axis = axes["Insulin sensitivity"]
    assert axis.get_xlabel().endswith(told) and "/min per" in axis.get_xlabel()
    assert axis.lines[-1].get_xdata()[0] == pytest.approx(5.07)
    assert len(axes["Insulin"].lines[0].get_xdata()) == 24
    assert marks(axes["Glucose"], "x") == 3, "samples that the model leaves out"


def test_with_its_study_a_fit_is_drawn_with_what_it_left_out_and_a_forcing_function(intravenous):
    alone, whole = plots.fit_overview(intravenous), plots.fit_overview(intravenous, study="bergman1986")
    assert "at the times of samples alone" in alone.get_suptitle()
    glucose, insulin = whole.axes
    assert marks(glucose, "x") == 3 and marks(insulin, ".") + marks(insulin, "o") == 24
    told = labels(whole.legends[0])
    assert {"sample left out of the fit", "sample of the forcing function"} <= set(told)


def test_figures_are_unknown_to_pyplot_and_a_notebook_can_show_them(overview):
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert overview._repr_png_().startswith(b"\x89PNG")


def test_the_settings_of_whoever_draws_are_left_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.trajectories(fake_simulation(), ["glucose"])
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "text, mathematics",
    [
        ("S_I", r"$S_{\mathrm{I}}$"),
        ("HE_b", r"$\mathrm{HE}_{\mathrm{b}}$"),
        ("gamma", r"$\gamma$"),
        ("f", "$f$"),
        ("", ""),
    ],
)
def test_symbols_are_set_as_mathematics(text, mathematics):
    assert symbol(text) == mathematics


def test_no_colour_means_two_people_nor_one_stroke_two_scenarios():
    for count in range(1, 8):
        colours = colours_of_people([f"P{i}" for i in range(count)])
        assert len(set(colours.values())) == count
    assert not colours_of_people([f"P{i}" for i in range(8)])
    assert len({(look["color"], look["linestyle"]) for look in looks(30)}) == 30


@pytest.mark.parametrize(
    "value, unit, factor, printed",
    [
        (8.4e-5, "L/pmol/min", 1e-5, r"$10^{-5}$ L/pmol/min"),
        (90.0, "mg/dL", 1.0, "mg/dL"),
        (0.03, "1/min", 1.0, "/min"),
        (2e6, "pg/kg", 1e6, r"$10^{6}$ pg/kg"),
        (0.04, "pmol*dL/kg/min/mg", 1.0, "pmol·dL/kg/min/mg"),
    ],
)
def test_very_small_and_large_numbers_are_divided_by_a_power_of_ten_that_the_unit_tells(
    value, unit, factor, printed
):
    assert scaled(np.array([value]), unit) == (pytest.approx(factor), printed)
