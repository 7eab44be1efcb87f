"""The report is one page that needs nothing but a browser, has every part in every run, and keeps secrets."""

import base64
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit, fake_what_if
from test_cli import run
from test_scenarios import every_effect, with_covariates

import bayesglu as bg
from bayesglu.analysis.model_comparison import judged
from bayesglu.analysis.prior_sensitivity import FINE, FOLLOWS
from bayesglu.errors import InputError, MissingFileError
from bayesglu.plots.style import data_uri, picture
from bayesglu.reporting import report as reporting
from bayesglu.reporting.anonymous import anonymous
from bayesglu.reporting.latex import escaped, latex_tables, number
from bayesglu.reporting.subject import Reported

NAMES = ["verdict", "study", "model", "priors", "population", "covariates", "people", "checks", "comparison"]
NAMES += ["what-ifs", "methods", "cite", "versions"]
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Texts by section, names, links and pictures of a page whose tags are all closed."""

    def __init__(self, path):
        super().__init__()
        self.open, self.names, self.links, self.pictures, self.text = [], [], [], [], {"": ""}
        self.section = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in known:
            self.names.append(known["id"])
        if tag == "section":
            self.section = known["id"]
            self.text[self.section] = ""
        self.links += [known["href"]] if "href" in known else []
        self.pictures += [known["src"]] if "src" in known else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text[self.section] += data

    def drawn(self):
        """What is written in the figures."""
        drawings = [uri.partition(",") for uri in self.pictures if uri.startswith("data:image/svg")]
        drawings = [base64.b64decode(text).decode() for _, _, text in drawings]
        return "\n".join(text for drawing in drawings for text in re.findall(r">([^<>]+)</text>", drawing))


def without(fit, *groups):
    kept = {name: group.to_dataset() for name, group in fit.children.items() if name not in groups}
    tree = xr.DataTree.from_dict(kept)
    tree.attrs = dict(fit.attrs)
    return tree


def labelled(fit, labels):
    """The same fit of people who are called otherwise."""
    called = dict(zip(map(str, fit.posterior.subject.values), labels, strict=True))
    groups = {}
    for name, group in fit.children.items():
        data = group.to_dataset()
        for coord in [c for c in data.coords if c in ("subject", "occasion") or c.endswith("_subject")]:
            old = [str(v).partition("/") for v in data[coord].values]
            new = np.array([called[s] + rest + name for s, rest, name in old], object)
            data = data.assign_coords({coord: (data[coord].dims, new)})
        groups[name] = data
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(fit.attrs)
    return tree


SAMPLES = ("observed_data", "posterior_predictive", "fitted", "log_likelihood", "protocols")
FAILED = {"subject": "subject 2", "count": 3, "reason": "Stiff."}
RUNS = {
    "sampled": lambda: fake_fit("minimal", subjects=2, draws=20),
    "laplace": lambda: fake_fit("minimal", subjects=2, draws=20, method="laplace"),
    "occasions": lambda: fake_fit("oral", subjects=1, occasions=2, draws=20),
    "one person": lambda: fake_fit("minimal", subjects=1, draws=20),
    "without samples": lambda: without(fake_fit("minimal", subjects=2, draws=20), *SAMPLES),
    "without its prior": lambda: without(fake_fit("minimal", subjects=2, draws=20), "prior", "sample_stats"),
    "not clean": lambda: fake_fit("minimal", subjects=2, draws=20, diverging=30, failed=[FAILED]),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_every_part_closed_tags_and_links_that_lead_somewhere(name, tmp_path, monkeypatch):
    uri = "data:image/svg+xml;base64,"
    monkeypatch.setattr("bayesglu.reporting.blocks.data_uri", lambda figure: uri)  # drawn, not written
    page = Page(bg.report(RUNS[name](), tmp_path / "report.html"))
    assert [n for n in page.names if n in NAMES] == NAMES == [n for n in page.text if n]
    assert len(page.names) == len(set(page.names))
    assert all(len(text.split()) > 3 for text in page.text.values())
    inside = [link for link in page.links if link.startswith("#")]
    assert {link[1:] for link in inside} <= set(page.names) and len(inside) > 20
    assert set(page.links) - set(inside) == {"data:,"} and set(page.pictures) <= {uri}
    assert not re.search(r"\b(nan|None|inf)\b", " ".join(page.text.values()))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A page with all that can be given, and its fit."""
    fit = with_covariates(effects=every_effect())
    about = {"title": "Four people", "notes": ["Glucose <b>& more</b> is odd."], "missing": {"glucose": 7}}
    fit.attrs |= {"study_about": json.dumps(about), "versions": json.dumps({"nutpie": "0.16"})}
    compared = pd.DataFrame({"rank": [0, 1], "elpd_diff": [0.0, -12.5]}, index=["with bmi", "without"])
    numbers = fake_what_if().mean("time", keep_attrs=True)
    predicted = bg.predictions(fit, "peak", "meal(60)", draws=4, random_seed=1)
    what_ifs = {"More insulin": fake_what_if(), "On average": numbers, "A meal": predicted}
    path = tmp_path_factory.mktemp("report") / "people.html"
    return fit, Page(bg.report(fit, path, comparison=compared, what_ifs=what_ifs)), path


@pytest.mark.long
def test_the_study_says_what_its_readers_said_and_what_is_missing(told):
    _, page, _ = told
    assert "Glucose <b>& more</b> is odd." in page.text["study"] and "Four people" in page.text["study"]
    assert re.search(r"Glucose\s*mg/dL\s*4\s*32\s*0\sto\s180\s*0\s*7", page.text["study"])


@pytest.mark.long
def test_every_parameter_has_its_prior_and_every_source_its_reference(told):
    fit, page, _ = told
    spec = bg.load_model(fit.attrs["model_text"])
    for parameter in spec.parameters.values():
        assert parameter.name.replace("_", " ").replace("c peptide", "C-peptide") in page.text["priors"]
    assert {f"ref-{key}" for key in spec.sources} <= set(page.names)
    assert bg.citation("dallaman2007").partition(".")[0] in page.text["priors"]


def test_correlations_that_were_known_are_told_with_source_interval_and_method(tmp_path):
    third = {"parameters": [*bg.load_model("oral").correlations, "incretin_potentiation"], "lkj_eta": 3}
    third["priors"] = {
        "basal_insulin": {"with": "insulin_sensitivity", "mean": -0.6, "sd": 0.1, "source": ["iras"]}
    }
    alone = Page(bg.report(fake_fit("oral", subjects=2, draws=20), tmp_path / "one.html"))
    wide = bg.load_model("oral").with_changes(correlations=third)
    more = Page(bg.report(fake_fit(wide, subjects=2, draws=20), tmp_path / "two.html"))
    pair = r"basal insulin, insulin sensitivity\s*between subjects\s*-0.6\s*-0.77\d?\sto\s-0.38\d?\s*iras"
    for page in (alone, more):
        assert re.search(pair, page.text["priors"])
        assert "basal insulin with insulin sensitivity (-0.6, SD 0.1)" in page.text["methods"]
    assert "LKJ" not in alone.text["priors"] + alone.text["methods"]
    assert "LKJ(3)" in more.text["priors"] and "LKJ(3)" in more.text["methods"]


@pytest.mark.long
def test_the_population_is_that_of_its_summary(told):
    fit, page, _ = told
    table = bg.summarize_population(fit)
    row = table.sel(parameter="insulin_sensitivity")
    digits = f"{float(row['median']):.2e}".partition("e")[0]
    assert re.search(rf"insulin sensitivity\s*SI\s*\S+?\s*{re.escape(digits)}·10", page.text["population"])
    assert f"{float(row['contraction']):.2f}" in page.text["population"]
    assert "insulin sensitivity by group T2D" in page.text["population"]
    assert "type 2 diabetes: insulin sensitivity x 0.5" in page.text["covariates"]


def test_what_follows_its_prior_is_told_in_the_population_with_how_much(tmp_path, monkeypatch):
    rows = [("basal_glucose_typical", "", 0.31, FOLLOWS), ("glucose_volume", "", 0.01, FINE)]
    table = pd.DataFrame(rows, columns=["parameter", "of", "prior", "diagnosis"])
    table.attrs = {"threshold": 0.05}
    monkeypatch.setattr("bayesglu.reporting.subject.prior_sensitivity", lambda fit: table)
    fit = fake_fit("minimal", subjects=1, draws=20)
    told = Page(bg.report(fit, tmp_path / "report.html")).text["population"]
    assert "sensitivity to the prior" in told and told.count("0.31, follows its prior") == 1
    assert "informed by the data" not in told and "above 0.05" in told


@pytest.mark.long
def test_everyone_is_told_of_by_label_with_covariates_and_parameters(told):
    fit, page, _ = told
    for label in map(str, fit.posterior.subject.values):
        assert f"Subject {label}" in page.text["people"]
    assert "bmi 33" in page.text["people"] and "16 samples" in page.text["people"]
    own = float(bg.summarize_individuals(fit)["median"].sel(parameter="basal_glucose", subject="3"))
    assert f"{own:.3g}" in page.text["people"]
    assert page.drawn().count("Glucose") >= fit.posterior.sizes["subject"]


@pytest.mark.long
def test_what_is_given_beside_the_fit_is_told(told):
    _, page, _ = told
    assert "with bmi" in page.text["comparison"] and "-12.5" in page.text["comparison"]
    for name in ("More insulin", "On average", "A meal", "glucose_peak", "difference (changed)"):
        assert name in page.text["what-ifs"]


def test_a_comparison_by_people_is_told_with_its_verdict(tmp_path):
    elpd = xr.DataArray([[-9.0, -8, -9], [-8, -2, -9]], dims=("model", "subject"))
    people = xr.Dataset({"elpd": elpd}, {"model": ["a", "b"], "subject": ["1", "2", "3"]})
    found = judged(people)
    fit = fake_fit("minimal", subjects=1, draws=20)
    page = Page(bg.report(fit, tmp_path / "report.html", comparison=found))
    told = page.text["comparison"]
    assert found.headline in told and all(sentence in told for sentence in found.sentences)
    assert "elpd, less that of the best" in page.drawn()


@pytest.mark.long
def test_the_methods_can_be_pasted_and_name_what_was_done(told):
    fit, page, _ = told
    text = page.text["methods"]
    for said in ("4 subjects", "2 chains of 30 draws", "nutpie 0.16", "seed 0", "largest R-hat was", "group"):
        assert said in text
    assert fit.attrs["model_hash"][:12] in text and "Four people." in page.text["cite"]


@pytest.mark.long
def test_tables_for_latex_have_a_cell_a_column_and_escape_what_is_a_command(told):
    fit, _, _ = told
    of = Reported(fit, bg.load_model(fit.attrs["model_text"]), bg.check(fit, warn=False))
    for table in latex_tables(of).values():
        assert table.count(r"\begin{longtable}") == table.count(r"\end{longtable}") == 1
        rows = [line for line in table.splitlines() if line.endswith(r" \\") and "&" in line]
        columns = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
        assert len(columns) == 1 and len(rows) > 20
        assert not re.search(r"(?<!\\)[%#]", table)
        assert all(row.count("$") % 2 == 0 for row in rows)
    assert escaped("a_b & 5 %") == r"a\_b \& 5 \%" and number(1.234e-5) == r"$1.23\times 10^{-5}$"


def test_a_label_that_is_markup_is_text(tmp_path):
    fit = labelled(fake_fit("minimal", subjects=2, draws=20), ["<script>x()</script>", 'A"&B'])
    path = bg.report(fit, tmp_path / "report.html")
    page = Page(path)
    assert "Subject <script>x()</script>" in page.text["people"] and 'Subject A"&B' in page.text["people"]
    assert "<script>x()" not in path.read_text(encoding="utf-8")


@pytest.mark.long
def test_a_figure_of_very_many_marks_is_a_picture_in_the_page():
    figure = picture(3, 2)
    axis = figure.subplots()
    axis.plot([0, 1], [1, 0])
    assert data_uri(figure).startswith("data:image/svg+xml;base64,") and data_uri(figure) == data_uri(figure)
    axis.plot(np.random.default_rng(1).normal(size=(2, 6000)), "o")
    many = data_uri(figure)
    assert many.startswith("data:image/png;base64,") and len(many) < 500_000


# --- without data ---


@pytest.fixture(scope="module")
def secret():
    """A fit of six people with labels, covariates and a hint that occur nowhere else."""
    fit = labelled(fake_fit("minimal", subjects=6, draws=30, diverging=25), [f"Quux{i}" for i in range(6)])
    known = fit["constant_data"].to_dataset()
    known["body_weight"] = ("subject", [61.0, 62, 63, 64, 65, 171.25])
    known["covariate_group"] = ("subject", np.array(["NGT"] * 5 + ["T2D"], object))
    known["covariate_bmi"] = ("subject", [20.5, 21, 22, 23, 24, 77.125])
    fit["constant_data"] = known
    fit.attrs["study_about"] = json.dumps({"title": "Six people", "notes": ["Quux3 has glucose 612.5."]})
    fit.attrs["failed_solves"] = json.dumps([{"subject": "subject Quux4", "count": 3, "reason": "Stiff."}])
    return fit


@pytest.mark.long
def test_without_data_no_label_sample_or_individual_posterior_is_told(secret, tmp_path):
    asked = {"what_ifs": {"More": fake_what_if()}, "random_seed": 1}
    page = Page(bg.report(secret, tmp_path / "all.html", **asked))
    private = Page(bg.report(secret, tmp_path / "private.html", without_data=True, **asked))
    own = bg.summarize_individuals(secret)["median"].sel(parameter="basal_glucose").values
    every, kept = (p.text["study"] + p.text["people"] + p.drawn() for p in (page, private))
    for telling in ("Quux", "171", "77.1", "612.5", *(f"{value:.3g}" for value in own)):
        assert telling in every and telling not in kept
    assert "Quux" not in " ".join(private.text.values())
    assert [n for n in private.names if n in NAMES] == NAMES
    assert "left out" in private.text["people"] and "Six people" in private.text["study"]
    assert "NGT 5" in private.text["study"] and "T2D (< 5)" in private.text["study"]
    assert "basal glucose" in private.text["population"]
    assert re.search(r"failed 3 times for subject person [1-6]", private.text["verdict"])


@pytest.mark.long
def test_without_data_the_order_of_people_is_drawn_and_can_be_drawn_again(secret):
    fits = [anonymous(secret, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    one, again, other = (list(fit.posterior.subject.values) for fit in fits)
    assert one == again != other and sorted(one) == sorted(other) == [f"person {i}" for i in range(1, 7)]
    assert bg.check(fits[0], warn=False).clean == bg.check(secret, warn=False).clean


def test_without_data_fewer_than_five_people_are_refused(tmp_path):
    with pytest.raises(InputError, match="of 4 people, and what fewer than 5"):
        bg.report(fake_fit("minimal", subjects=4, draws=20), tmp_path / "r.html", without_data=True)


# --- what cannot be reported ---


@pytest.mark.parametrize(
    "given, error, words",
    [
        ({"path": "report.pdf"}, InputError, "ends in .html"),
        ({"path": "nowhere/report.html"}, MissingFileError, "nowhere does not exist"),
        ({"probability": 90}, InputError, "between 0 and 1"),
        ({"what_ifs": {"a": 3}}, InputError, "'a' is of type int; it must be what what_if"),
        ({"what_ifs": [1]}, InputError, "must be a mapping by name"),
        ({"comparison": 3}, InputError, "comparison is of type int"),
    ],
)
def test_what_cannot_be_reported_is_told_and_nothing_is_written(given, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        bg.report(fake_fit("minimal", subjects=1, draws=20), **({"path": "report.html"} | given))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_fit_is_no_subject_of_a_report(tmp_path):
    for given in ("people.nc", xr.DataTree(xr.Dataset())):
        with pytest.raises(InputError, match="A fit"):
            bg.report(given, tmp_path / "report.html")


@pytest.mark.long
def test_a_fit_keeps_what_its_readers_said_and_a_saved_one_without_data_does_not(tmp_path):
    table = bg.load_study("bergman1986").observations.to_dataframe()[["subject", "time", "analyte", "value"]]
    unit = table["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    with pytest.warns(UserWarning, match="'ward'"):
        study = bg.Study.from_table(table.assign(unit=unit, ward="3"), protocol="ivgtt(0.3)")
    assert any("'ward'" in note for note in study.notes) and study.select().notes == study.notes
    fit = bg.fit("minimal", study, method="laplace", draws=120, random_seed=1, progressbar=False)
    kept = json.loads(bg.load(bg.save(fit, tmp_path / "fit.nc")).attrs["study_about"])
    assert kept["notes"] == list(study.notes) and kept["missing"] == {"glucose": 0, "insulin": 0}
    bare = bg.load(bg.save(fit, tmp_path / "bare.nc", without_data=True))
    assert "notes" not in json.loads(bare.attrs["study_about"])
    page = Page(bg.report(fit, tmp_path / "r.html", random_seed=1))
    assert "'ward'" in page.text["study"] and "needs a fit that was sampled" in page.text["population"]
    titles = ("Probability integral", "Visual predictive", "Prediction distribution", "Residuals")
    assert all(title in page.text["checks"] for title in titles)
    assert "Not made." not in page.text["checks"] and "Random effects" in page.text["checks"]
    again = Page(bg.report(fit, tmp_path / "again.html", random_seed=1))
    assert again.text == page.text and again.pictures == page.pictures
    assert [n for n in Page(bg.report(bare, tmp_path / "b.html")).names if n in NAMES] == NAMES


@pytest.mark.long
def test_the_command_writes_the_page_beside_the_fit_with_scenarios(tmp_path, monkeypatch):
    fit = bg.save(fake_fit("minimal", subjects=4, draws=20), tmp_path / "people.nc")
    asked = {}

    def what_if(fit, named, **settings):
        asked.update(settings, named=list(named))
        return fake_what_if(scenarios=tuple(named))

    monkeypatch.setitem(bg.__dict__, "what_if", what_if)
    meals = tmp_path / "meals.toml"
    meals.write_text('protocol = "meal(60)"\n[scenarios.usual]\n[scenarios.large]\nprotocol = "meal(90)"\n')
    done = run("report", fit, "--scenarios", meals, "--draws", 4, "--seed", 1, "--subjects", "2,3")
    assert done.exit_code == 0 and "Wrote the report to" in done.stderr
    assert asked["named"] == ["usual", "large"] and asked["subjects"] == ["2", "3"] and asked["draws"] == 4
    assert "large" in Page(tmp_path / "people.html").text["what-ifs"]
    assert run("report", fit, "--out", tmp_path / "people.pdf").exit_code == 1


# --- in a browser ---

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser", "chrome"))), None
)
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND")


def browse(folder, path, *flags):
    """What a browser prints when it opens a page: answer, and what the console said."""
    words = [BROWSER, *QUIET, f"--user-data-dir={folder / 'browser'}", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [*words, *flags, path.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.apart
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; CHROMIUM names one elsewhere")
def test_a_browser_shows_every_part_at_two_widths_and_in_print_and_says_no_error(told, tmp_path):
    _, _, path = told
    asked = """<script>const field = document.querySelector("input"); field.value = "t2d 33";
    field.dispatchEvent(new Event("input"));</script></body>"""
    typed = tmp_path / "typed.html"
    typed.write_text(path.read_text(encoding="utf-8").replace("</body>", asked), encoding="utf-8")
    answer, console = browse(tmp_path, typed, "--dump-dom")
    shown = tmp_path / "shown.html"
    shown.write_text(answer, encoding="utf-8")
    assert console == []
    assert [name for name in Page(shown).names if name in NAMES] == NAMES
    assert answer.count('<details hidden=""') == 3 and "1 of 4 people" in answer
    sizes = []
    for width in (1280, 400):
        picture = tmp_path / f"{width}.png"
        _, console = browse(tmp_path, path, f"--screenshot={picture}", f"--window-size={width},2000")
        assert console == []
        sizes.append(picture.stat().st_size)
    assert min(sizes) > 50_000 and sizes[0] != sizes[1]
    printed = tmp_path / "report.pdf"
    _, console = browse(tmp_path, path, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    pages = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed.read_bytes())
    assert console == [] and len(pages) > 5
    assert {(round(float(w)), round(float(h))) for w, h in pages} == {(595, 842)}


@pytest.mark.apart
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; CHROMIUM names one elsewhere")
def test_a_page_that_asks_for_something_outside_would_be_noticed(told, tmp_path):
    _, _, path = told
    leaking = tmp_path / "leaking.html"
    outside = '<img src="http://127.0.0.1:9/x.png"></body>'
    leaking.write_text(path.read_text(encoding="utf-8").replace("</body>", outside), encoding="utf-8")
    _, console = browse(tmp_path, leaking, "--dump-dom")
    assert any("127.0.0.1:9" in line for line in console)


def test_the_parts_are_those_of_the_page():
    assert len(reporting.PARTS) == len(NAMES)
    assert {"page.html", "page.css", "page.js"} <= {p.name for p in Path(reporting.__file__).parent.iterdir()}
