"""Published experiments come out as they were published, and what does not is known, with the reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PolyCollection
from reference import FEEDBACK, TYPICAL, solve_slowly
from simulated import with_pseudo_observation
from typer.testing import CliRunner

import bayesglu
from bayesglu import fast, injection, ivgtt, load_model, ogtt, plots, simulate
from bayesglu.cli import app as cli
from bayesglu.errors import InputError
from bayesglu.physiology.loop import assemble
from bayesglu.plots.validation import pages_of
from bayesglu.validation.experiments import Experiment, draw_people
from bayesglu.validation.facts import FactError, load_facts
from bayesglu.validation.readings import ReadingError, fit_minimal_model, needs, read
from bayesglu.validation.validate import validate

ROOT = Path(__file__).parents[1]
LEVELS = ("no glucagon", "glucagon 0.5", "glucagon 1", "glucagon 2", "saline")


@pytest.fixture(scope="module")
def answers():
    """What the whole loop answers at its typical values."""
    return validate("feedback")


def of(answers, fact: str) -> pd.Series:
    (row,) = answers.table[answers.table["fact"] == fact].to_dict("records")
    return row


def test_published_facts_and_the_question_of_which_a_model_meets_are_public():
    assert bayesglu.load_facts is load_facts and bayesglu.validate is validate


def test_every_fact_comes_out_as_published_but_those_that_are_known_not_to(answers):
    table = answers.table.set_index("fact")
    lost = table.index[table["verdict"] == "FAILS"]
    unexpected = table.index[table["verdict"] == "UNEXPECTED PASS"]
    assert not len(lost), (
        f"No longer in the accepted range: {table.loc[lost, ['model', 'lowest', 'highest']]}"
    )
    assert not len(unexpected), (
        f"In the accepted range now; take 'fails' out of data/facts: {', '.join(unexpected)}"
    )
    assert answers.clean and set(answers.counts) == {"passes", "expected failure"}


def test_the_page_of_physiology_tells_what_the_facts_come_out_at(answers):
    page = " ".join((ROOT / "docs" / "physiology.md").read_text(encoding="utf-8").split())
    table = answers.table.set_index("fact")
    levels = [table.model.filter(like=f"type 1 diabetes, {level}").item() for level in LEVELS]
    none, half, one, two, saline = (f"{value:.0f}" for value in levels)
    assert f"{none}, {half}, {one} and {two} mg/dL (58, 104, 143 and 160 published)" in page
    assert f"published), and {saline} with saline (98)" in page
    withdrawn = table.model["both withdrawn: glucose after 60 min"]
    assert f"(somatostatin clamp without replacement): {withdrawn:.0f} mg/dL" in page
    passing = table[table["verdict"] == "passes"]
    from_edge = np.minimum(passing.model - passing.lowest, passing.highest - passing.model)
    near = (from_edge < (passing.highest - passing.lowest) / 20).sum()
    assert f"{near} of the {len(table)} lie within a twentieth of an edge of their range" in page


def test_every_fact_has_a_published_figure_in_its_own_range_and_a_source_or_a_reason():
    for group in load_facts():
        for fact in group.facts:
            assert fact.accepted[0] <= fact.value <= fact.accepted[1], fact.name
            assert fact.source or (fact.note and fact.certainty in "BC"), fact.name
            assert fact.certainty != "A" or fact.source, fact.name


def test_answers_are_those_of_the_slow_solver(answers):
    """The same fluxes on plain floats, one person at a time, with SciPy's DOP853."""

    def slow(protocol, times, **changes):
        parameters = {**TYPICAL, **changes}
        return solve_slowly(
            FEEDBACK.structure, parameters, protocol, times, ("glucose", "insulin"), rtol=1e-8
        )

    minute = np.arange(0.0, 181.0)
    drink = slow(ogtt(75), minute)
    shot = slow(injection("glucagon", 1, "mg", route="intramuscular"), minute)
    lost = slow(fast(24), np.array([0.0, 180.0, 1440.0]), beta_cell_mass=0.0)
    expected = {
        "OGTT glucose at 30 min": drink[30, 0],
        "OGTT highest insulin": drink[:, 1].max(),
        "1 mg of glucagon: rise of glucose": shot[:, 0].max() - shot[0, 0],
        "no insulin: glucose after 3 h": lost[1, 0],
        "no insulin: glucose after 24 h": lost[2, 0],
    }
    for fact, value in expected.items():
        assert of(answers, fact)["model"] == pytest.approx(value, rel=1e-4), fact


def test_bands_hold_the_typical_person_and_widen_with_their_probability():
    oral = [group for group in load_facts() if group.experiment.name == "ogtt"]
    table = validate("feedback", oral, draws=60, random_seed=1).table
    assert (table["lower_90"] <= table["lower_50"]).all() and (table["upper_50"] <= table["upper_90"]).all()
    assert table["model"].between(table["lower_90"], table["upper_90"]).all()
    again = validate("feedback", oral, draws=60, random_seed=1).table
    pd.testing.assert_frame_equal(table, again)


def test_a_model_is_not_asked_about_what_it_does_not_have():
    # No kernels are compiled here: nothing of these can be asked of the minimal model.
    answers = validate("minimal", load_facts())
    assert set(answers.counts) == {"not asked"} and answers.clean and not answers.curves


# --- people ---


def test_people_differ_as_their_priors_say_and_the_first_is_typical():
    spec = load_model("feedback")
    people = draw_people(spec, 3000, 1)
    assert {*people} == {
        n for n in assemble(spec.structure).parameters if spec.parameters[n].level != "fixed"
    }
    for name, values in people.items():
        assert float(values[0]) == spec.medians[name] and values.sizes["draw"] == 3001
    delay, prior = people["provision_time"], spec.parameters["provision_time"]
    spread = np.hypot(prior.typical.sd, prior.between_subject.omega)
    assert float(np.log(delay).std()) == pytest.approx(spread, rel=0.15)
    assert float(np.log(delay).mean()) == pytest.approx(prior.location, abs=0.05)


def production_of(spec):
    people = draw_people(spec, 3000, 1)
    typical = {n: np.full(3001, spec.medians[n]) for n in assemble(spec.structure).parameters}
    known = {**typical, **{n: v.values for n, v in people.items()}}
    production = assemble(spec.structure).basal(known)["basal_glucose_production"]
    return production


def test_people_make_as_much_glucose_as_a_pseudo_observation_says():
    production = production_of(with_pseudo_observation(load_model("feedback")))
    assert np.log(production).std() < 1.05 * np.sqrt(np.log1p(0.12**2))
    assert np.median(production) == pytest.approx(2.1, rel=0.1)


def test_few_people_make_much_more_glucose_in_a_fast_than_is_measured():
    spec = load_model("feedback")
    production, own = production_of(spec), spec.parameters["fasting_production"]
    below, above = own.typical.median * np.exp(np.array([-1.96, 1.96]) * own.typical.sd * 2)
    assert np.mean(production < below) < 0.03
    assert np.mean(production > above) < 0.25


def test_an_experiment_may_begin_where_another_ends():
    whole = Experiment("whole", fast(2), until=120, every=30)
    second = Experiment("second", fast(1), 60, 30, before=Experiment("first", fast(1), 60, 30))
    together, parts = (e.perform(load_model("feedback"), {}) for e in (whole, second))
    for name in ("glucose", "glycogen", "insulin"):
        np.testing.assert_allclose(parts[name].values, together[name].values[2:], rtol=1e-5)


def test_covariates_act_through_the_effects_of_the_model():
    spec = load_model("feedback")
    found = Experiment("T2D", ogtt(75), 10, covariates={"group": "T2D", "bmi": 28}).parameters_of(spec, {})
    for name, times in (("first_phase_gain", 1.0), ("insulin_sensitivity", 0.7)):  # of a BMI of 28
        own = spec.parameters[name]
        expected = own.typical.median * own.effects["group:T2D"].median * times
        assert float(found[name]) == pytest.approx(expected)
    assert float(found["hepatic_extraction"]) == pytest.approx(0.8 * 0.55 / (0.45 + 0.8 * 0.55))  # odds x 0.8


# --- readings ---

TIME = xr.DataArray([0.0, 10.0, 20.0, 30.0], dims="time")
CURVE = xr.Dataset({"glucose": ("time", [90.0, 150.0, 120.0, 80.0])}, coords={"time": TIME})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("at(glucose, 5)", 120),
        ("start(glucose)", 90),
        ("highest(glucose) - lowest(glucose)", 70),
        ("highest(glucose, 20, 30)", 120),
        ("time_of_highest(glucose)", 10),
        ("total(glucose)", 3550),
        ("mean(glucose, 10, 30)", 117.5),
        ("slope(glucose, 10, 30)", -3.5),
        ("share_within(glucose, 85, 130)", 0.5),
        ("-2 * body_weight / 7", -20),
    ],
)
def test_a_reading_is_what_its_words_say(text, value):
    assert float(read(text, CURVE, {"body_weight": 70.0})) == pytest.approx(value)


def test_a_level_is_found_between_two_steps():
    values = xr.DataArray([1.0, 0.8, 0.4, 0.1], dims="level")
    along = xr.DataArray([0.0, 10.0, 20.0, 30.0], dims="level")
    result = xr.Dataset({"production": values, "insulin": along})
    assert float(read("where(production, 0.5, insulin)", result)) == pytest.approx(17.5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("glucose +", "invalid syntax"),
        ("__import__('os')", "not part of a reading"),
        ("at(glucose)", "missing a required argument"),
        ("glucose.values", "not part of a reading"),
        ("peak(glucose)", "not part of a reading"),
        ("glucose ** 2", "not part of a reading"),
    ],
)
def test_what_is_no_reading_is_refused_in_words(text, told):
    with pytest.raises(ReadingError, match=told) as error:
        needs(text)
    assert "Allowed: " in str(error.value)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ReadingError, match="Did you mean 'glucose'"):
        read("start(glucos)", CURVE)


def test_the_minimal_model_finds_the_parameters_that_made_a_curve():
    time = np.arange(0.0, 183.0)
    insulin = 55 + 500 * np.exp(-time / 15) + 150 * (time / 40) * np.exp(1 - time / 40)
    result = simulate(
        "minimal",
        ivgtt(0.3),
        {"basal_insulin": float(insulin[0])},
        time,
        ["glucose"],
        forcing=(time, insulin),
    )
    spec = load_model("minimal").medians
    glucose = result.glucose.values.copy()
    glucose[0] = spec["basal_glucose"]
    effectiveness, rate, sensitivity, _ = fit_minimal_model(time, glucose, insulin)
    expected = spec["mass_action_uptake"] / spec["glucose_volume"] + spec["insulin_sensitivity"] * insulin[0]
    assert effectiveness == pytest.approx(expected, rel=5e-3)
    assert sensitivity == pytest.approx(spec["insulin_sensitivity"], rel=5e-3)
    assert rate == pytest.approx(spec["insulin_action_rate"], rel=5e-3)


# --- files ---


def test_a_file_with_faults_is_told_all_of_them(tmp_path):
    (tmp_path / "mine.toml").write_text("""
[experiments.mine]
protocol = "ogttt(75)"
until = 120
shown = "glucose"
[experiments.mine.facts.high]
reads = "peak(glucose)"
unit = "mg/dL"
value = 140
accepted = [160, 120]
certainty = "D"
sauce = "me"
""")
    with pytest.raises(FactError) as error:
        load_facts(tmp_path / "mine.toml")
    told = str(error.value)
    for part in ("'ogttt'", "peak(glucose)", "[160, 120]", "'D'", "'sauce'", "Did you mean 'source'"):
        assert part in told
    assert len(error.value.problems) == 5


@pytest.mark.parametrize(
    ("accepted", "known", "verdict"),
    [
        ([40, 60], "", "FAILS"),
        ([40, 60], 'fails = "it is known to"', "expected failure"),
        ([80, 100], 'fails = "it is known to"', "UNEXPECTED PASS"),
    ],
)
def test_a_fact_that_is_missed_is_clean_only_where_that_is_known(accepted, known, verdict, tmp_path):
    (tmp_path / "mine.toml").write_text(f"""
[experiments.mine]
protocol = "fast(1)"
until = 60
every = 10
shown = "glucose"
[experiments.mine.facts.low]
reads = "start(glucose)"
unit = "mg/dL"
value = 50
accepted = {accepted}
certainty = "C"
{known}
""")
    answers = validate("feedback", load_facts(tmp_path))
    assert answers.clean == (verdict != "FAILS") and answers.counts == {verdict: 1}


# --- figure and command ---


def test_the_figure_has_a_panel_an_experiment_and_says_what_was_missed(answers):
    pages = [plots.facts(answers, page=page + 1) for page in range(pages_of(answers))]
    axes = [axis for figure in pages for axis in figure.axes]
    assert [axis.get_title("left").replace("\n", " ") for axis in axes] == [g.title for g in answers.groups]
    assert max(len(figure.axes) for figure in pages) == 12
    assert f"{answers.counts['expected failure']} expected failure" in pages[0].get_suptitle()
    assert all(axis.get_ylabel() and axis.get_xlabel() for axis in axes)
    with pytest.raises(InputError, match=f"there are pages 1 to {len(pages)}"):
        plots.facts(answers, page=len(pages) + 1)


def test_every_experiment_shows_a_published_figure_but_those_that_have_none_at_a_time():
    bare = {g.experiment.name for g in load_facts() if not any(fact.point for fact in g.facts)}
    assert bare == {"clamp_steps", "ogtt_92"}  # a level of insulin, and a peak whose time is not known


def test_the_figure_has_bands_over_people_and_published_figures_with_their_spread_and_accepted_range():
    (oral,) = (group for group in load_facts() if group.experiment.name == "ogtt")
    answers = validate("feedback", [oral], draws=20)
    (axis,), (molar,) = (plots.facts(answers, units=units).axes for units in ("canonical", "SI"))
    assert "mg/dL" in axis.get_ylabel() and "mmol/L" in molar.get_ylabel()
    np.testing.assert_allclose(np.divide(axis.get_ylim(), molar.get_ylim()), 18.0156, rtol=1e-3)
    shown = [fact for fact in oral.facts if fact.point]
    bands = [c for c in axis.collections if isinstance(c, PolyCollection)]
    bars = [line for c in axis.collections if isinstance(c, LineCollection) for line in c.get_segments()]
    bars = [(float(bar[0, 0]), *map(float, bar[:, 1])) for bar in bars]
    points = [(*line.get_xdata(), *line.get_ydata()) for line in axis.lines if line.get_marker() == "o"]
    assert len(bands) == 2
    assert points == [(fact.point[0], fact.value) for fact in shown]
    for fact in shown:
        assert (fact.point[0], *fact.accepted) in bars
        if fact.spread:
            ends = (fact.value - fact.spread, fact.value + fact.spread)
            assert any(bar == pytest.approx((fact.point[0], *ends)) for bar in bars)


@pytest.mark.parametrize(("accepted", "code"), [("[80, 100]", 0), ("[80, 85]", 2)])
def test_the_command_tells_each_verdict_and_ends_as_it_should(tmp_path, accepted, code):
    (tmp_path / "mine.toml").write_text(f"""
[experiments.mine]
protocol = "fast(1)"
until = 60
every = 10
shown = "glucose"
unit = "mg/dL"
[experiments.mine.facts.level]
reads = "start(glucose)"
unit = "mg/dL"
value = 83
spread = 2
accepted = {accepted}
certainty = "C"
point = 0
""")
    told = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        cli.app,
        ["validate", "--facts", str(tmp_path), "--draws", "20", "--plot", str(tmp_path / "facts.png")],
    )
    assert told.exit_code == code
    assert ("1 FAILS" if code else "1 passes") in told.stdout
    assert "83 (2)" in told.stdout and "50 %" in told.stdout and "90 %" in told.stdout
    assert (tmp_path / "facts.png").stat().st_size > 10_000


def test_further_pages_of_the_figure_have_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesglu.plots.validation.PAGE", 1)
    one = """
[experiments.{name}]
protocol = "fast(1)"
until = 60
every = 10
shown = "glucose"
unit = "mg/dL"
[experiments.{name}.facts.{name}]
reads = "start(glucose)"
unit = "mg/dL"
value = 83
accepted = [70, 110]
certainty = "C"
point = 0
"""
    text = "".join(one.format(name=name) for name in ("first", "second"))
    (tmp_path / "two.toml").write_text(text, encoding="utf-8")
    words = ["validate", "--facts", str(tmp_path), "--draws", "0", "--plot", str(tmp_path / "facts.png")]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["facts.png", "facts_2.png"]
