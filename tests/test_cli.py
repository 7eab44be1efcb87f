"""The command line answers in tables and files, and says what is wrong in sentences and exit codes."""

import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit, fake_what_if
from hypothesis import given
from hypothesis import strategies as st
from test_scenarios import every_effect, with_covariates
from typer.testing import CliRunner

import bayesglu
from bayesglu.analysis.identifiability import untouched
from bayesglu.analysis.model_comparison import judged
from bayesglu.cli import app as cli
from bayesglu.cli import options as words
from bayesglu.cli import terminal
from bayesglu.reporting import tables
from bayesglu.spec.model import read_model

COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]


def run(*words):
    """What a person would see: stdout, stderr, exit code. A fault of the program is raised."""
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, list(map(str, words)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A clean fit in a file."""
    return bayesglu.save(fake_fit(), tmp_path_factory.mktemp("fits") / "people.nc")


@pytest.fixture
def in_place(monkeypatch):
    """Put something in the place of a public name, which is then not loaded."""
    return lambda name, value: monkeypatch.setitem(bayesglu.__dict__, name, value)


# --- help ---


def test_help_lists_every_command():
    shown = run("--help")
    assert shown.exit_code == 0
    listed = re.findall(r"^\W*([a-z][a-z-]*) {2,}\S", shown.stdout, re.MULTILINE)
    assert {*COMMANDS} <= {*listed}


def test_no_command_at_all_shows_the_help():
    assert run().exit_code == 0
    assert "what-if" in run().stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("models", "studies")])
def test_the_help_of_a_command_has_examples_whose_options_exist(name):
    shown = run(name, "--help")
    assert shown.exit_code == 0
    assert f"bayesglu {name}" in shown.stdout.partition("Examples")[2]
    options, _, examples = shown.stdout.partition("Examples")
    used = re.findall(r"(?<!\S)--?[a-z][a-z-]*", examples)
    assert used or name in ("demo", "show", "check")
    assert all(re.search(rf"{re.escape(option)}\b", options) for option in used)


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout.strip() == bayesglu.__version__


# --- tables of one's own ---


def test_import_asks_writes_a_folder_that_loads_as_the_same_study_and_never_replaces_one(tmp_path):
    table, out = tmp_path / "wide.csv", tmp_path / "trial"
    table.write_text("id,group,G0,G30,I0,I30\nA,T2D,92,148,8,52\nB,ND,97,160,11,60\n")
    words = ["import", table, "--out", out, "-p", "ogtt(75)", "--body-weight", "70"]
    asked = run(*words)
    assert asked.exit_code == 1 and "(`bayesglu import` --units)" in asked.stderr and not out.exists()
    answers = ["--units", "glucose=mg/dL", "--units", "insulin=uU/mL", "--plot", tmp_path / "look.png"]
    told = run(*words, *answers)
    assert told.exit_code == 0, told.stderr
    assert (
        "wide: one row per person, one column per time" in told.stdout and "covariates: group" in told.stdout
    )
    units = {"glucose": "mg/dL", "insulin": "uU/mL"}
    study = bayesglu.load_study(table, "ogtt(75)", 70, units=units)
    assert bayesglu.load_study(out) == study
    assert bayesglu.load_study(out).datasheet["format"] == "wide"
    assert (tmp_path / "look.png").stat().st_size > 10_000
    again = run(*words, *answers)
    assert again.exit_code == 1 and "there is something already" in again.stderr
    assert run(*words[:3], tmp_path / "b", "--units", "mg/dL").exit_code == 1


# --- looking around ---


def test_models_and_studies_are_listed():
    assert all(name in run("models").stdout for name in bayesglu.list_models())
    assert all(name in run("studies").stdout for name in bayesglu.list_studies())


def test_the_text_of_a_shown_model_reads_back_as_the_same_model():
    spec = bayesglu.load_model("feedback")
    assert read_model(run("show", "feedback", "--text").stdout).hash == spec.hash
    assert repr(spec) in run("show", "feedback").stdout


def test_the_papers_behind_a_model_are_cited_in_full():
    shown = run("show", "minimal", "--papers").stdout
    assert all(bayesglu.citation(key) in shown for key in bayesglu.load_model("minimal").sources)


def test_a_simulation_is_written_as_a_tidy_table_and_drawn(tmp_path):
    csv, plot = tmp_path / "oral.csv", tmp_path / "oral.png"
    shown = run("simulate", "-m", "oral", "-p", "ogtt(75)", "--every", 10, "--csv", csv, "--plot", plot)
    assert shown.exit_code == 0
    table = pd.read_csv(csv)
    assert list(table) == ["time_min", "output", "value", "unit"]
    glucose = table[table.output == "glucose"]
    expected = bayesglu.simulate(
        "oral", bayesglu.ogtt(75), times=glucose.time_min.values, outputs=["glucose"]
    )
    np.testing.assert_allclose(glucose.value, expected.glucose, rtol=1e-6)
    assert set(glucose.unit) == {"mg/dL"}
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "1071.43 mg/kg stomach" in shown.stdout


def test_a_changed_parameter_changes_the_simulated_person(tmp_path):
    csv = tmp_path / "less.csv"
    words = ("-c", "insulin_sensitivity=*0.5", "-c", "basal_glucose=+5", "-o", "glucose", "--until", 60)
    assert run("simulate", "-m", "oral", "-p", "ogtt(75)", *words, "--csv", csv).exit_code == 0
    median = bayesglu.load_model("oral").medians
    parameters = {"insulin_sensitivity": median["insulin_sensitivity"] / 2, "basal_glucose": 95}
    times = np.arange(0, 61, 5.0)
    expected = bayesglu.simulate("oral", bayesglu.ogtt(75), parameters, times, ["glucose"])
    np.testing.assert_allclose(pd.read_csv(csv).value, expected.glucose, rtol=1e-6)


IDENTIFY = ("identify", "-m", "oral", "-p", "ogtt(75)", "--subjects", 3, "--draws", 2, "--seed", 0)


def test_what_a_protocol_can_teach_is_listed_best_first_written_and_drawn(tmp_path):
    csv, plot = tmp_path / "taught.csv", tmp_path / "taught.png"
    words = ("--analytes", "glucose, insulin", "--times", "0,30,120", "--noise", "glucose=0.02")
    shown = run(*IDENTIFY, *words, "--csv", csv, "--plot", plot)
    assert shown.exit_code == 0
    expected = bayesglu.identify(
        "oral", bayesglu.ogtt(75), [0, 30, 120], noise={"glucose": 0.02}, subjects=3, draws=2, random_seed=0
    )
    table = pd.read_csv(csv).set_index("parameter")
    np.testing.assert_allclose(table.individual, expected.individual, rtol=1e-6)
    listed = re.findall(r"^([a-z_]+) .* (?:subject|shared) +\d", shown.stdout, re.MULTILINE)
    best_first = table.individual.sort_values(ascending=False).index.tolist()
    told = shown.stdout.split("No information about ")[1].split(".")[0].replace("\n", " ").split(", ")
    assert {*told} == {*untouched(expected)} and listed == [n for n in best_first if n not in told]
    assert "glucose, insulin at 0, 30, 120 min" in shown.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_what_cannot_be_learnt_or_told_apart_is_named():
    shown = run("identify", "-m", "feedback", "-p", "fast(50)", "--noise", 0.02, "--draws", 6)
    assert re.search(r"No information about .*emptying_rate", shown.stdout)
    assert re.search(r"basal_glucagon +glucagon_background +-0.9", shown.stdout)
    held = run(*IDENTIFY, "--parameters", "beta_cell_mass,glucose_suppression_half_saturation")
    assert re.search(r"^beta_cell_mass .* fixed", held.stdout, re.MULTILINE)
    assert "posterior correlation beyond 0.9" in held.stdout


# --- bad input ---

SIMULATE = ("simulate", "-m", "oral", "-p")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "orall"), "Did you mean 'oral'?"),
        ((*SIMULATE, "ogt(75)"), "Did you mean 'ogtt'?"),
        ((*SIMULATE, "infusion('insulin', 1, 'mg/min', 60)"), "mg"),
        ((*SIMULATE, "ogtt(75)", "-c", "insulin_sensitivty=*2", "-c", "nothing=1"), "'nothing'"),
        ((*SIMULATE, "ogtt(75)", "-c", "basal_glucose"), "NAME=*1.3 to scale"),
        ((*SIMULATE, "ogtt(75)", "-o", "glukose"), "Did you mean 'glucose'?"),
        ((*SIMULATE, "ogtt(75)", "-c", "fasting_production=*1e9"), "the typical person"),
        ((*SIMULATE, "ogtt(75)", "--plot", "figure.gif"), ".png or .pdf or .svg"),
        ((*SIMULATE, "ogtt(75)", "--csv", "no/such/folder.csv"), "does not exist"),
        (("simulate", "-m", "minimal", "-p", "ivgtt(0.3)"), "has measured insulin as its forcing function"),
        ((*IDENTIFY, "--analytes", "glucose,insulinn"), "Did you mean 'insulin'?"),
        ((*IDENTIFY, "--times", "0,30,later"), "such as 0,30,60,120"),
        ((*IDENTIFY, "--noise", "glucose:0.1"), "glucose=0.03"),
        (("identify", "-m", "minimal", "-p", "ivgtt(0.3)"), "'ivgtt' or 'oral'"),
        (("fit", "bergmann1986", "-m", "minimal"), "Did you mean 'bergman1986'?"),
        (("fit", "bergman1986", "-m", "minimal", "--out", "fit.txt"), ".nc (netCDF) or .zarr"),
        (("fit", "bergman1986"), "--model"),
        (("fit", "bergman1986", "-m", "minimal", "--draws", "0"), "--draws"),
        (("fitt",), "fit"),
        (("check", "nothing.nc"), "there is no such file"),
        (("what-if", "nothing.nc", "-c", "basal_glucose=0", "--subjects", "new"), "new:100"),
    ],
)
def test_bad_input_is_told_in_words_and_ends_with_exit_code_1(words, told):
    result = run(*words)
    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


def test_a_table_with_faults_is_answered_with_its_lines(tmp_path):
    table = tmp_path / "observations.csv"
    table.write_text("subject,time_min,analyte,value,unit\n1,0,glucos,90,mg/dL\n1,30,glucose,many,mg/dL\n")
    result = run("fit", table, "-m", "oral", "-p", "ogtt(75)", "--body-weight", 70)
    assert result.exit_code == 1
    assert "glucos" in result.stderr and "many" in result.stderr and "3" in result.stderr


def test_a_fault_of_the_program_keeps_its_traceback(in_place):
    def broken():
        return {}["missing"]

    in_place("list_models", broken)
    with pytest.raises(KeyError, match="missing") as raised:
        run("models")
    assert raised.value.__notes__ == [terminal.REPORT]


@pytest.mark.parametrize(
    ("raised", "of_the_user"),
    [
        (ValueError("operands could not be broadcast together"), False),
        (LookupError("nothing there"), False),
        (RuntimeError("no locator available"), False),
        (OSError("of no file"), False),
        (FileNotFoundError(2, "No such file or directory", terminal.__file__), False),
        (bayesglu.BayesgluError("a unit that is none"), True),
        (PermissionError(13, "Permission denied", "/tables/people.csv"), True),
    ],
)
def test_only_errors_of_ours_and_those_of_the_users_own_paths_are_told_as_theirs(
    raised, of_the_user, in_place
):
    def broken():
        raise raised

    in_place("list_models", broken)
    if of_the_user:
        told = run("models")
        assert told.exit_code == 1 and told.stderr.startswith("Error: ") and not told.stdout
    else:
        with pytest.raises(type(raised)) as caught:
            run("models")
        assert caught.value.__notes__ == [terminal.REPORT]


def test_a_traceback_ends_with_a_line_that_asks_for_a_report():
    code = "import bayesglu; from bayesglu.cli.app import app; bayesglu.list_models = None; app(['models'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 1 and told.stderr.startswith("Traceback")
    assert told.stderr.splitlines()[-1] == terminal.REPORT


def test_a_warning_of_ours_is_a_note_and_that_of_others_says_where_it_arose(in_place):
    class OurWarning(UserWarning):
        __module__ = "bayesglu.study.study"

    def listed():
        warnings.warn("units look swapped", OurWarning, stacklevel=1)
        warnings.warn("soon to go", DeprecationWarning, stacklevel=1)
        return ()

    in_place("list_studies", listed)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        told = run("studies").stderr
    assert "Note: units look swapped\n" in told
    assert re.search(r"test_cli\.py:\d+: DeprecationWarning: soon to go", told)


# --- fits ---


def test_a_fit_is_made_as_asked_saved_and_judged(tmp_path, in_place):
    asked = {}

    def fit(model, study, **settings):
        asked.update(settings, model=model.name, study=study.name, protocol=study.protocols["1", "1"].name)
        return fake_fit()

    in_place("fit", fit)
    table, out = tmp_path / "people.csv", tmp_path / "people.nc"
    table.write_text("subject,time_min,analyte,value,unit\n1,0,glucose,90,mg/dL\n1,60,glucose,140,mg/dL\n")
    words = ("--model", "oral", "--protocol", "ogtt(75)", "--body-weight", 62, "--seed", 1, "--out", out)
    result = run("fit", table, *words, "--draws", 7, "--no-progress")
    assert result.exit_code == 0, result.output
    assert "All sampling diagnostics passed." in result.stdout
    assert asked == {
        **{"model": "oral", "study": "people", "protocol": "ogtt(75)", "method": "nuts"},
        **{"draws": 7, "tune": 1000, "chains": 4, "random_seed": 1, "progressbar": False, "resume": None},
        "steps": None,
    }
    assert bayesglu.load(out).attrs["model_name"] == "oral"


@pytest.mark.long
def test_a_fit_that_is_not_clean_is_saved_and_ends_with_exit_code_2(tmp_path, in_place):
    in_place("fit", lambda *_, **__: fake_fit(diverging=50))
    out = tmp_path / "fit.nc"
    result = run("fit", "bergman1986", "-m", "minimal", "--out", out)
    assert result.exit_code == 2
    assert "failed" in result.stdout and "divergent transitions" in result.stdout
    assert out.is_file()
    assert run("check", out).exit_code == 2


def test_posterior_modes_of_the_shipped_person_come_within_seconds(tmp_path):
    out = tmp_path / "modes.nc"
    words = ("--model", "minimal", "--method", "laplace", "--seed", 1, "--out", out)
    assert run("fit", "bergman1986", *words).exit_code == 0
    shown = run("subjects", out, "--parameter", "insulin_sensitivity").stdout
    assert re.search(r"insulin_sensitivity +1 +L/pmol/min +0\.000\d+", shown)


def test_check_writes_the_diagnostics_of_every_variable(saved, tmp_path):
    csv = tmp_path / "diagnostics.csv"
    result = run("check", saved, "--csv", csv)
    assert result.exit_code == 0
    assert "All sampling diagnostics passed." in result.stdout
    assert set(pd.read_csv(csv)["variable"]) == set(map(str, fake_fit().posterior.data_vars))


@pytest.mark.long
def test_population_and_subjects_show_what_the_functions_return(saved, tmp_path):
    fit, csv = bayesglu.load(saved), tmp_path / "table.csv"
    for command, function in (
        ("population", bayesglu.summarize_population),
        ("subjects", bayesglu.summarize_individuals),
    ):
        result = run(command, saved, "--probability", 0.5, "--csv", csv)
        assert result.exit_code == 0
        assert "50 % equal-tailed" in result.stdout
        expected = function(fit, 0.5).to_dataframe().reset_index()
        np.testing.assert_allclose(pd.read_csv(csv)["median"], expected["median"], rtol=1e-6)
        assert "insulin_sensitivity" in result.stdout


def test_some_parameters_of_some_people_are_shown_on_demand(saved):
    words = ("--parameter", "insulin_sensitivity", "--subject", 2, "--subject", 3)
    lines = run("subjects", saved, *words).stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("insulin")] == [
        ["insulin_sensitivity", "2"],
        ["insulin_sensitivity", "3"],
    ]
    wrong = run("subjects", saved, "--parameter", "insulin_sensitivty")
    assert wrong.exit_code == 1
    assert "Did you mean 'insulin_sensitivity'?" in wrong.stderr


@pytest.mark.long
def test_a_what_if_is_asked_as_written_and_answered_with_paired_differences(saved, tmp_path, in_place):
    asked, answer = {}, fake_what_if()
    answer.attrs = {"protocol": "ogtt(75)", "change": "insulin_sensitivity x 1.3"}
    answer.attrs |= {"random_seed": 1, "occasion": "another"}

    def what_if(fit, protocol, change, **settings):
        asked.update(settings, protocol=protocol.name, change={n: c.words for n, c in change.items()})
        return answer

    in_place("what_if", what_if)
    csv, plot = tmp_path / "effect.csv", tmp_path / "effect.png"
    words = ("-c", "insulin_sensitivity=*1.3", "-c", "beta_cell_mass=0", "-p", "ogtt(75)", "-o", "glucose")
    result = run("what-if", saved, *words, "--subjects", "new:100", "--csv", csv, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "on another occasion" not in result.stdout and asked["occasion"] is None
    same = run("what-if", saved, *words, "--occasion", "another")
    assert "on another occasion" in same.stdout and asked.pop("occasion") == "another"
    result = run("what-if", saved, *words, "--subjects", "new:100", "--csv", csv, "--plot", plot)
    assert asked["change"] == {"insulin_sensitivity": "x 1.3", "beta_cell_mass": "= 0"}
    assert (asked["protocol"], asked["subjects"], asked["n_new"]) == ("ogtt(75)", "new", 100)
    assert (asked["outputs"], asked["times"]) == (["glucose"], None)
    table = pd.read_csv(csv, dtype={"subject": str}).set_index(["subject", "scenario", "time_min", "output"])
    found = table.loc[("2", "difference (changed)", 60, "glucose")]
    one = answer.glucose.sel(subject="2", time=60)
    difference = one.sel(scenario="changed") - one.sel(scenario="reference")
    expected = difference.quantile([0.5, 0.05, 0.95])
    np.testing.assert_allclose(found[["median", "lower", "upper"]].astype(float), expected, rtol=1e-6)
    assert found["unit"] == "mg/dL"
    assert plot.stat().st_size > 10_000
    assert "difference (changed)" in result.stdout


SCENARIOS = """
protocol = "meal(60)"
[scenarios.usual]
[scenarios."more of it"]
protocol = "meal(90)"
"""


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """A fit of people in two groups, in a file."""
    fit = with_covariates(effects=every_effect())
    return bayesglu.save(fit, tmp_path_factory.mktemp("fits") / "groups.nc")


@pytest.mark.long
def test_scenarios_of_a_file_are_answered_in_quantities_and_differences_by_group(grouped, tmp_path):
    path, csv, plot = (tmp_path / name for name in ("meals.toml", "meals.csv", "meals.svg"))
    path.write_text(SCENARIOS, encoding="utf-8")
    words = ("what-if", grouped, "--scenarios", path, "--draws", 8, "--seed", 1)
    result = run(*words, "--of", "peak,insulin_auc", "--by", "group", "--csv", csv, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "more of it - usual" in result.stdout and "Seed 1" in result.stdout
    table = pd.read_csv(csv)
    assert len(table) == 2 * 2 * 2 + 2 * 2 and set(table["group"]) == {"NGT", "T2D"}
    told = table[table["scenario"].notna() & (table["quantity"] == "glucose_peak")]
    fit = bayesglu.load(grouped)
    asked = {"draws": 8, "random_seed": 1, "by": "group"}
    expected = bayesglu.predictions(fit, "peak", bayesglu.load_scenarios(path), **asked)
    np.testing.assert_allclose(told["median"], expected["median"], rtol=1e-6)
    assert plot.stat().st_size > 5_000
    curves = run(*words, "--output", "glucose", "--every", 60)
    assert curves.exit_code == 0 and "difference (more of it)" in curves.stdout


@pytest.mark.long
def test_quantities_are_predicted_over_values_and_groups_compared(grouped, tmp_path):
    csv, plot = tmp_path / "found.csv", tmp_path / "found.png"
    common = ("--draws", 8, "--seed", 1, "--csv", csv, "--plot", plot)
    over = run("predict", grouped, "--over", "bmi=20,30,40", "--subjects", "new:5", "--units", "SI", *common)
    assert over.exit_code == 0, over.output
    table = pd.read_csv(csv)
    assert table["bmi"].tolist() == [20, 20, 30, 30, 40, 40] * 2 and table["unit"][0] == "mmol/L"
    each = run("predict", grouped, "--each", "--of", "glucose_at_120", "-p", "meal(60)", *common)
    assert each.exit_code == 0 and pd.read_csv(csv)["subject"].tolist() == [1, 2, 3, 4]
    found = run("compare-groups", grouped, "group", "NGT", "T2D", "--rope", "-5,5", *common)
    assert found.exit_code == 0 and "T2D - NGT" in found.stdout
    assert pd.read_csv(csv)["p_in_rope"].between(0, 1).all() and plot.stat().st_size > 5_000
    plain = run("compare-groups", grouped, "group", "NGT", "T2D", "--unadjusted", "--draws", 8)
    assert "means of 2 and 2 people" in plain.stdout
    told = run("effects", grouped, "--rope", "0.9,1.1", "--csv", csv, "--plot", plot)
    assert "type 2 diabetes: insulin sensitivity x 0.5" in told.stdout and told.exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("what-if",), "Give what is changed"),
        (("what-if", "-c", "basal_glucose=+5", "--by", "group"), "--by is for quantities"),
        (("what-if", "-c", "basal_glucose=+5", "--of", "peek"), "Did you mean 'peak'"),
        (("what-if", "--scenarios", "nothing.toml"), "there is no such file"),
        (("predict", "--over", "bmi"), "is not NAME=VALUE"),
        (("predict", "--subjects", "new:3,group"), "is not NAME=VALUE"),
        (("compare-groups", "group", "NGT", "T2D", "--rope", "3"), "Write two numbers"),
        (("effects", "--rope", "3"), "Write two numbers"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_in_words(grouped, words, told):
    command, *rest = words
    result = run(command, grouped, *rest)
    assert result.exit_code == 1 and told in result.stderr and not result.stdout


@pytest.mark.filterwarnings("default")
def test_a_value_where_a_factor_was_meant_is_told(grouped):
    result = run("what-if", grouped, "-c", "insulin_sensitivity=1.3", "--draws", 4, "--of", "auc")
    assert "write scale(1.3), on the command line insulin_sensitivity=*1.3" in result.stderr


@pytest.mark.long
def test_trials_and_doses_are_planned_as_asked(grouped, tmp_path, in_place):
    arms, csv = tmp_path / "arms.toml", tmp_path / "plan.csv"
    arms.write_text(SCENARIOS, encoding="utf-8")
    words = ("trial", grouped, arms, "--of", "glucose_at_60", "--n", "3,5", "--repeats", 10, "--seed", 1)
    done = run(*words, "--crossover", "--subjects", "new:1,group=T2D", "--csv", csv)
    assert done.exit_code == 0, done.output
    assert "crossover arms" in done.stdout and "10 trials of 5 new people like group T2D" in done.stdout
    named = bayesglu.load_scenarios(arms)
    asked = {"repeats": 10, "people": bayesglu.new_people(1, {"group": "T2D"}), "crossover": True}
    expected = bayesglu.trial(bayesglu.load(grouped), named, "glucose_at_60", [3, 5], random_seed=1, **asked)
    np.testing.assert_allclose(pd.read_csv(csv)["median"], expected["median"], rtol=1e-6)
    assert "A trial is of new people" in run(*words, "--subjects", "same").stderr
    assert "Write whole numbers" in run(*words[:5], "--n", "2.5").stderr
    assert "no protocol 'ogt'" in run(*words[:5], "--n", "3", "-p", "ogt(75)").stderr
    asked = {}

    def dose_for(*words, **settings):
        asked.update(settings, words=words[1:])
        table = pd.DataFrame({"subject": ["1"], "dose": [20.0], "unit": "g", "p_target": 0.4, "met": False})
        table = table.assign(target=words[1], use="for research, not for treatment")
        table.attrs = {"random_seed": 7}
        return table

    in_place("dose_for", dose_for)
    done = run("dose-for", grouped, "glucose_peak < 180", "--doses", "20,40", "--subjects", "1", "--csv", csv)
    assert done.exit_code == 0 and "for research, not for treatment" in done.stdout
    assert asked["words"] == ("glucose_peak < 180", "carbohydrate", [20.0, 40.0], None, 0.9, ["1"])
    assert len(pd.read_csv(csv)) == 1 and "Seed 7" in done.stdout


@pytest.mark.parametrize(("clean", "code"), [(True, 0), (None, 0), (False, 2)])
def test_the_demo_says_whether_its_fits_are_clean(tmp_path, monkeypatch, clean, code):
    asked = []
    demo = SimpleNamespace(run=lambda *words: asked.append(words) or clean)
    monkeypatch.setitem(sys.modules, "bayesglu.cli.demo", demo)
    assert run("demo", "--out", tmp_path, "--seed", 3, "--no-progress").exit_code == code
    assert asked == [(tmp_path, 3, False)]


# --- words ---

AMOUNTS = st.floats(0, 1e6, allow_nan=False)


@given(AMOUNTS, AMOUNTS, st.sampled_from(["*", "+", "-", ""]))
def test_a_change_does_to_a_number_what_its_sign_says(value, amount, sign):
    name, change = words.parse_change(f" insulin_sensitivity = {sign}{amount} ")
    expected = {"*": value * amount, "+": value + amount, "-": value - amount, "": amount}[sign]
    assert name == "insulin_sensitivity"
    assert float(change.apply(xr.DataArray(value))) == expected


@given(st.text(max_size=12))
def test_whatever_is_not_a_change_is_said_not_to_be_one(text):
    number, level = r"[*+-]?\s*(\d*\.?\d+([eE][+-]?\d+)?)\s*", r"[A-Za-z][\w /().-]*"
    if not re.fullmatch(rf"\s*\w+\s*=\s*({number}|{level})", text):
        with pytest.raises(ValueError, match="is not a change"):
            words.parse_change(text)


def test_people_are_the_same_new_or_named():
    assert words.parse_people("same") == {"subjects": "same"}
    assert words.parse_people("new:12") == {"subjects": "new", "n_new": 12}
    assert words.parse_people("3, 7") == {"subjects": ["3", "7"]}
    assert words.parse_people("typical") == {"subjects": "typical"}
    assert words.parse_subjects("new:12").n == 12 and words.parse_subjects("same") == "same"
    asked = words.parse_subjects("new:3,group=T2D,bmi=33,like=study")
    assert (asked.n, asked.like) == (3, "the study's people, group T2D, bmi 33.0")
    for wrong in ("new:0", "new:many", "new"):
        with pytest.raises(ValueError, match="new:100"):
            words.parse_people(wrong)


def test_a_difference_in_a_table_is_taken_within_each_draw():
    answer = fake_what_if()
    table = tables.with_difference(answer)
    assert list(table.scenario.values) == ["reference", "changed", "difference (changed)"]
    expected = answer.glucose.sel(scenario="changed") - answer.glucose.sel(scenario="reference")
    assert (table.glucose.sel(scenario="difference (changed)") == expected).all()
    assert table.glucose.attrs["units"] == "mg/dL"


def test_a_folder_that_is_missing_is_noticed_before_anything_is_computed(tmp_path):
    assert terminal.writable(tmp_path / "fit.nc", (".nc",)) == tmp_path / "fit.nc"
    assert terminal.writable(None) is None
    with pytest.raises(FileNotFoundError, match="does not exist"):
        terminal.writable(tmp_path / "missing" / "fit.nc")
    with pytest.raises(ValueError, match=r"must end in \.nc or \.zarr"):
        terminal.writable(tmp_path / "fit", (".nc", ".zarr"))


# --- people of a population ---


@pytest.mark.long
def test_a_new_person_is_fitted_shown_judged_and_saved(tmp_path, in_place):
    person, asked = fake_fit(subjects=1, chains=1), {}

    def fit_person(population, study, **settings):
        asked.update(settings, subjects=study.subjects)
        return person

    in_place("fit_person", fit_person)
    saved, out, csv = (
        bayesglu.save(fake_fit(), tmp_path / "people.nc"),
        tmp_path / "person.nc",
        tmp_path / "p.csv",
    )
    where = "--out", out, "--csv", csv, "--reference", "group=T2D", "--reference", "bmi=30", "--seed", 3
    shown = run("person", saved, "bergman1986", "--population-draws", 70, *where)
    assert asked == {"subjects": ("1",), "draws": 1000, "population_draws": 70, "random_seed": 3}
    assert "group T2D, bmi 30.0 (%)" in shown.stdout and "insulin_sensitivity" in shown.stdout
    assert "Prior: what the population predicts for people with the same covariates." in shown.stdout
    assert shown.exit_code == 2  # one chain is not clean
    assert bayesglu.load(out).posterior.equals(person.posterior)
    table = pd.read_csv(csv)
    assert table["parameter"].is_unique and set(table["subject"]) == {1}


def test_folds_are_made_shown_and_judged(tmp_path, in_place):
    asked = {}

    def cross_validate(model, study, by, probability, **settings):
        asked.update(settings, by=by)
        bands = {n: ("obs", ["A", "B"]) for n in ("subject", "occasion", "censoring")}
        bands |= {"analyte": ("obs", ["glucose"] * 2), "inside": ("obs", [True, False])}
        own = {n: ("left_out_subject", [-3.0, -4]) for n in ("elpd", "elpd_error")}
        folds = {"clean": ("fold", [True, False]), "problems": ("fold", ["", "R-hat is 2."])}
        labels = {"left_out_subject": ["A", "B"], "fold": ["1 of 2", "2 of 2"]}
        made = xr.Dataset({**bands, **own, **folds, "fold_of": ("left_out_subject", labels["fold"])}, labels)
        return made.assign_attrs(random_seed=3)

    in_place("cross_validate", cross_validate)
    csv = tmp_path / "people.csv"
    shown = run("cross-validate", "oral", "synthetic_ogtt", "--by", 2, "--tune", 400, "--csv", csv)
    assert asked["by"] == 2 and asked["tune"] == 400 and asked["draws"] is None
    assert "elpd -7.0 in 2 people" in shown.stdout and "Without 2 of 2: R-hat is 2." in shown.stdout
    assert shown.exit_code == 2
    assert list(pd.read_csv(csv)["elpd"]) == [-3, -4]
    assert run("cross-validate", "oral", "synthetic_ogtt", "--by", "group").exit_code == 2
    assert asked["by"] == "group"


def test_models_are_compared_by_name_and_who_decides_is_shown(tmp_path, in_place, monkeypatch):
    asked, csv, fits = {}, tmp_path / "people.csv", ["one.nc", "two.nc"]
    monkeypatch.setattr("bayesglu.cli.by_people.load", lambda path: path.stem)

    def compare(models, study, **settings):
        asked.update(settings, names=list(models))
        elpd = xr.DataArray([[-9.0, -8, -9], [-1, -2, -1]], dims=("model", "subject"))
        return judged(xr.Dataset({"elpd": elpd}, {"model": list(models), "subject": ["1", "2", "3"]}))

    in_place("compare", compare)
    shown = run("compare", fits[0], f"other={fits[1]}", "--no-refit", "--csv", csv)
    assert shown.exit_code == 0 and "'other' predicts people better than 'one'" in shown.stdout
    assert asked["names"] == ["one", "other"] and asked["refit"] is False
    assert len(pd.read_csv(csv)) == 6
    assert "Two fits are called one: give each a name" in run("compare", fits[0], fits[0]).stderr


def test_many_people_are_fitted_and_their_medians_written(tmp_path, in_place, monkeypatch):
    asked, csv = {}, tmp_path / "medians.csv"
    monkeypatch.setattr("bayesglu.cli.by_people.load", lambda path: path.stem)

    def fit_many(population, study, keep, **settings):
        asked.update(settings, keep=keep)
        own = (("subject", "draw"), [[1.0, 2, 3], [4, 5, 6]])
        made = xr.Dataset({"insulin_sensitivity": own, "population_draw": own}, {"subject": ["A", "B"]})
        return made.assign_attrs(random_seed=3)

    in_place("fit_many", fit_many)
    shown = run(
        "fit-many", "people.nc", "synthetic_ogtt", "--keep", tmp_path / "many", "--csv", csv, "--processes", 1
    )
    assert shown.exit_code == 0 and "2 people, each given the population alone." in shown.stdout
    assert asked["portion"] == 50 and asked["executor"] == 1
    assert list(pd.read_csv(csv)["insulin_sensitivity"]) == [2, 5]
    assert "population_draw" not in pd.read_csv(csv)


def test_a_population_in_two_stages_is_shown_judged_and_saved(tmp_path, in_place):
    asked, out = {}, tmp_path / "population.nc"

    def fit_two_stage(model, study, keep, **settings):
        asked.update(settings, model=model)
        return fake_fit("minimal", subjects=2, draws=20)

    in_place("fit_two_stage", fit_two_stage)
    few = "--stored", 16, "--processes", 1, "--out", out
    shown = run("fit-two-stage", "minimal", "bergman1986", "--keep", tmp_path / "run", *few)
    assert shown.exit_code == 2 and "Did sampling work?" in shown.stdout and out.exists()
    assert asked["stored"] == 16 and asked["executor"] == 1 and asked["model"] == "minimal"
    nowhere = "--out", tmp_path / "nowhere" / "population.nc"
    assert "does not exist" in run("fit-two-stage", "minimal", "x", "--keep", tmp_path, *nowhere).stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_workers_of_a_dask_scheduler_work_by_its_address(in_place):
    distributed = pytest.importorskip("distributed", reason="Dask is the extra `dask`")

    def cross_validate(model, study, *rest, executor, **settings):
        assert executor.submit(abs, -3).result() == 3
        raise bayesglu.BayesgluError(f"{len(executor.scheduler_info()['workers'])} worker was there")

    in_place("cross_validate", cross_validate)
    local = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "silence_logs": 50}
    with distributed.LocalCluster(
        host="127.0.0.1", dashboard_address=None, protocol="tcp", **local
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tcp://127.0.0.1:")
        shown = run("cross-validate", "oral", "synthetic_ogtt", "--dask", address)
        assert "1 worker was there" in shown.stderr
    both = run("cross-validate", "oral", "synthetic_ogtt", "--dask", address, "--processes", 2)
    assert "Give --processes or --dask" in both.stderr


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere://head:8786"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_scheduler_that_does_not_answer_is_told(address, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is the extra `dask`")
    monkeypatch.setattr("bayesglu.cli.by_people.WAIT", 0.5)
    shown = run("fit-two-stage", "minimal", "bergman1986", "--keep", "x", "--dask", address)
    assert shown.exit_code == 1 and f"No Dask scheduler answers at {address}" in shown.stderr


def test_indices_of_a_study_and_of_a_fit_are_shown_with_the_reasons_of_those_that_are_missing(tmp_path):
    shown = run("indices", "synthetic_ogtt", "--index", "matsuda", "--index", "ogis", "--subject", "P01")
    assert shown.exit_code == 0 and "matsuda" in shown.stdout
    assert "Not computed for 1 subject: ogis: body weight or height is unknown." in shown.stdout
    csv = tmp_path / "indices.csv"
    fit = bayesglu.save(fake_fit(subjects=2, draws=20), tmp_path / "people.nc")
    shown = run("indices", fit, "--index", "homa_ir", "--csv", csv, "--plot", tmp_path / "homa.png")
    assert shown.exit_code == 0 and (tmp_path / "homa.png").stat().st_size > 0
    assert (pd.read_csv(csv)["lower"] < pd.read_csv(csv)["upper"]).all()
    assert "name it, --index matsuda" in run("indices", fit, "--plot", tmp_path / "all.png").stderr
    raw = run("indices", "synthetic_ogtt", "--index", "matsuda", "--plot", tmp_path / "raw.png")
    assert raw.exit_code == 1 and "synthetic_ogtt is a study" in raw.stderr
