"""Everything public explains itself in numpydoc's sections, and its examples run."""

import doctest
import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import bayesglu as bg
from bayesglu.errors import BayesgluError, BayesgluWarning

PACKAGE = Path(bg.__file__).parent

# What a public function returns, and what those have in turn: a user never makes one.
RETURNED = {
    "bayesglu.analysis.verdict.Verdict",
    "bayesglu.analysis.changes.Change",
    "bayesglu.analysis.new_people.NewPeople",
    "bayesglu.protocols.events.Delivery",
    "bayesglu.protocols.events.Event",
    "bayesglu.validation.facts.Fact",
    "bayesglu.validation.facts.Group",
    "bayesglu.validation.validate.Validation",
}
# Rules of numpydoc that are not ours.
EXCEPT = {
    "ES01",  # a summary may say it all
    "GL01",  # the summary starts beside the opening quotes
    "SA01",  # related names are named in the text
    "SS05",  # a summary says what comes back, so it begins with a noun, which may end in s
}
# What takes arguments and refuses none of them.
TAKES_ANYTHING = {
    "bayesglu.ModelSpec.at",
}


def public() -> list[str]:
    """Full names of all functions, classes, methods and properties that a user sees."""
    own = [f"bayesglu.{name}" for name in bg.__all__ if name != "plots"]
    figures = [f"bayesglu.plots.{name}" for name in bg.plots.__all__]
    names = [*own, *figures, *sorted(RETURNED)]
    members = [
        f"{name}.{member}"
        for name in names
        if inspect.isclass(thing(name)) and not issubclass(thing(name), Exception)
        for member, value in vars(thing(name)).items()
        if not member.startswith("_") and _is_member(value)
    ]
    return [*names, *members]


def thing(name: str):
    module, *path = name.split(".")
    found, at = import_module(module), ""
    for part in path:
        at = f"{at}.{part}"
        try:
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        except AttributeError:
            found = import_module(f"{module}{at}")
    return found.__func__ if isinstance(found, classmethod | staticmethod) else found


def _is_member(value) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | cached_property | classmethod)


PUBLIC = public()
CALLABLE = [name for name in PUBLIC if inspect.isfunction(thing(name))]


def raised(name: str) -> list[str]:
    """Names of the errors that a docstring announces."""
    return [entry.type for entry in get_doc_object(thing(name))["Raises"]]


def errors(base: type = BayesgluError) -> dict[str, type]:
    """Every error of the package by its name."""
    found = {base.__name__: base}
    for child in base.__subclasses__():
        found |= errors(child)
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_every_section_that_its_reader_needs(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of sections that numpydoc does not know, or that are there twice
        found = validate(name)
    is_error = isinstance(thing(name), type) and issubclass(thing(name), Exception | Warning)
    leave = EXCEPT | ({"PR01"} if is_error else set())
    wrong = [f"{code}: {message}" for code, message in found["errors"] if code not in leave]
    where = f"{Path(found['file']).relative_to(PACKAGE.parent)}:{found['file_line']}"
    assert not wrong, "\n  ".join([f"the docstring of {name} ({where}) lacks or has wrong", *wrong])


@pytest.mark.parametrize("name", CALLABLE)
def test_what_can_refuse_its_arguments_says_which_errors_it_raises(name):
    takes = [p for p in inspect.signature(thing(name)).parameters if p not in ("self", "cls")]
    if not takes or name in TAKES_ANYTHING:
        assert name not in TAKES_ANYTHING or not raised(name), f"{name} is listed as taking anything"
        return
    assert raised(name), f"the docstring of {name} lacks the section Raises"
    unknown = set(raised(name)) - set(errors())
    assert not unknown, f"the docstring of {name} names {unknown}, which are no errors of this package"


@pytest.mark.parametrize("name", CALLABLE)
def test_a_decorated_function_keeps_its_name_its_signature_and_its_text(name):
    found = thing(name)
    assert found.__name__ == name.rpartition(".")[2]
    assert inspect.signature(found).return_annotation is not inspect.Signature.empty
    kinds = {p.kind for p in inspect.signature(found).parameters.values()}
    assert inspect.Parameter.VAR_POSITIONAL not in kinds or name == "bayesglu.ModelSpec.at"


@cache
def quick(model: str = "minimal", draws: int = 20) -> xr.DataTree:
    return bg.fit(model, "bergman1986", method="laplace", draws=draws, random_seed=1, progressbar=False)


NOTHING = xr.DataTree()
SIMULATION = xr.Dataset({"glucose": ("time", [90.0, 95.0])}, coords={"time": [0.0, 5.0]})
REFUSED: dict[str, list[Callable]] = {
    "bayesglu.Part.replacing": [lambda: bg.get_part("kidney", "threshold").replacing(uptake=abs)],
    "bayesglu.Protocol.canonical": [lambda: bg.ogtt(75).canonical(), lambda: bg.ogtt(75).canonical(-1)],
    "bayesglu.Protocol.shift": [lambda: bg.ogtt(75).shift(np.nan)],
    "bayesglu.ModelSpec.with_changes": [
        lambda: bg.load_model("oral").with_changes(structure={"gut": "fast"}),
        lambda: bg.load_model("oral").with_changes(parameters={"unheard_of": {}}),
    ],
    "bayesglu.Study.from_table": [
        lambda: bg.Study.from_table(bg.load_study("bergman1986").summary()),
    ],
    "bayesglu.Study.plot": [
        lambda: bg.load_study("bergman1986").plot(by="group"),
        lambda: bg.load_study("bergman1986").plot(analytes=["lactate"]),
    ],
    "bayesglu.Study.select": [lambda: bg.load_study("bergman1986").select(["9"])],
    "bayesglu.build": [
        lambda: bg.build("minimal", "nobody"),
        lambda: bg.build("nothing", "bergman1986"),
        lambda: bg.build("minimal", "synthetic_ogtt"),
        lambda: bg.build("minimal", "bergman1986", "centered"),
    ],
    "bayesglu.compare": [
        lambda: bg.compare({"a": quick(), "b": quick()}),
        lambda: bg.compare({"a": quick()}),
        lambda: bg.compare({"a": NOTHING, "b": NOTHING}),
    ],
    "bayesglu.cross_validate": [
        lambda: bg.cross_validate("minimal", "bergman1986"),
        lambda: bg.cross_validate("nothing", "bergman1986"),
        lambda: bg.cross_validate("oral", "nobody"),
        lambda: bg.cross_validate("oral", "synthetic_ogtt", by="group"),
        lambda: bg.cross_validate("oral", "synthetic_ogtt", probability=2),
        lambda: bg.cross_validate("oral", "synthetic_ogtt", executor="cluster"),
    ],
    "bayesglu.comparisons": [
        lambda: bg.comparisons(quick("ivgtt"), {"group": ["NGT"]}),
        lambda: bg.comparisons(quick("ivgtt"), {"insulin_sensitivity": bg.scale(2)}, units="metric"),
    ],
    "bayesglu.dose_for": [
        lambda: bg.dose_for(quick("ivgtt"), "peak"),
        lambda: bg.dose_for(quick("ivgtt"), doses=[-1]),
    ],
    "bayesglu.trial": [
        lambda: bg.trial(quick("ivgtt"), {"a": "ivgtt()"}),
        lambda: bg.trial(quick("ivgtt"), {"a": "ivgtt()", "b": "ivgt()"}),
    ],
    "bayesglu.effects": [lambda: bg.effects(quick("ivgtt"))],
    "bayesglu.posterior_as_prior": [
        lambda: bg.posterior_as_prior(NOTHING),
        lambda: bg.posterior_as_prior(quick()),  # of too few draws
        lambda: bg.posterior_as_prior(quick(draws=200), wider=-1),
    ],
    "bayesglu.predictions": [
        lambda: bg.predictions(quick("ivgtt"), "peek"),
        lambda: bg.predictions(quick("ivgtt"), "peak", "ivgt()"),
    ],
    "bayesglu.slopes": [lambda: bg.slopes(quick("ivgtt"), "sex")],
    "bayesglu.plots.conditional": [lambda: bg.plots.conditional(3)],
    "bayesglu.plots.forest": [lambda: bg.plots.forest(3)],
    "bayesglu.calibrate": [
        lambda: bg.calibrate("minimal", "bergman1986", simulations=3),
        lambda: bg.calibrate("nothing", "bergman1986"),
        lambda: bg.calibrate("minimal", "nobody"),
    ],
    "bayesglu.plots.comparison": [lambda: bg.plots.comparison(3)],
    "bayesglu.plots.calibration": [lambda: bg.plots.calibration(3)],
    "bayesglu.check": [lambda: bg.check(NOTHING)],
    "bayesglu.citation": [lambda: bg.citation("nobody2099")],
    "bayesglu.clamp": [lambda: bg.clamp(5), lambda: bg.clamp(unit="g"), lambda: bg.clamp(priming=2)],
    "bayesglu.design": [
        lambda: bg.design(NOTHING),
        lambda: bg.design("nothing"),
        lambda: bg.design("oral", ["ogt(75)"]),
        lambda: bg.design("oral", ["clamp(90)"]),
        lambda: bg.design("oral", for_="weather"),
        lambda: bg.design("oral", budget=0),
        lambda: bg.design("oral", []),
        lambda: bg.design("ivgtt", ["ogtt(75)"]),
        lambda: bg.design("minimal"),
        lambda: bg.design("oral", times=[0, 30], budget=3),
        lambda: bg.design(quick("ivgtt"), ["ivgtt()"], subject="X"),
    ],
    "bayesglu.fast": [lambda: bg.fast(-1)],
    "bayesglu.fit": [
        lambda: bg.fit("minimal", "bergman1986", method="guess"),
        lambda: bg.fit("minimal", "bergman1986", draws=0),
        lambda: bg.fit("minimal", "bergman1986", resume="run.txt"),
        lambda: bg.fit("nothing", "bergman1986"),
        lambda: bg.fit("oral", "synthetic_ogtt"),
        lambda: bg.fit("minimal", "bergman1986", method="laplace", max_steps=1, progressbar=False),
    ],
    "bayesglu.fit_two_stage": [
        lambda: bg.fit_two_stage("minimal", "bergman1986", "two", stored=2),
        lambda: bg.fit_two_stage("minimal", "nobody", "two"),
    ],
    "bayesglu.fit_many": [
        lambda: bg.fit_many(NOTHING, "bergman1986", "many"),
        lambda: bg.fit_many(quick(), "bergman1986", "many", draws=0),
        lambda: bg.fit_many(quick(draws=30), "nobody", "many"),
        lambda: bg.fit_many(quick(), "bergman1986", "many"),  # of too few draws
    ],
    "bayesglu.fit_person": [
        lambda: bg.fit_person(NOTHING, "bergman1986"),
        lambda: bg.fit_person(quick(), "bergman1986"),  # of too few draws
        lambda: bg.fit_person(quick(), "bergman1986", draws=0),
        lambda: bg.fit_person(quick(), "bergman1986", population_draws=3),
        lambda: bg.fit_person(quick(), []),
        lambda: bg.fit_person(quick(), "nobody"),
        lambda: bg.fit_person(quick(draws=30), "bergman1986", max_steps=1),
    ],
    "bayesglu.get_part": [
        lambda: bg.get_part("lung", "left"),
        lambda: bg.get_part("liver", "left"),
    ],
    "bayesglu.grid": [
        lambda: bg.grid(),
        lambda: bg.grid(bmi=["?"]),
        lambda: bg.grid(protocol=["mael(60)"]),
    ],
    "bayesglu.in_units": [lambda: bg.in_units(SIMULATION, "metric")],
    "bayesglu.load_scenarios": [
        lambda: bg.load_scenarios("nowhere.toml"),
        lambda: bg.load_scenarios(PACKAGE / "errors.py"),
    ],
    "bayesglu.new_people": [lambda: bg.new_people(0), lambda: bg.new_people(like="others")],
    "bayesglu.quantities": [
        lambda: bg.quantities(SIMULATION, "glucose_peek"),
        lambda: bg.quantities(SIMULATION, "peak", "metric"),
    ],
    "bayesglu.set_units": [lambda: bg.set_units("metric")],
    "bayesglu.identify": [
        lambda: bg.identify("oral", "ogtt(75)", draws=0),
        lambda: bg.identify("oral", "ogtt(75)", analytes=["lactate"]),
        lambda: bg.identify("oral", "ogt(75)"),
        lambda: bg.identify("oral", "ogtt(75)", body_weight=None),
        lambda: bg.identify("nothing", "ogtt(75)"),
    ],
    "bayesglu.indices": [
        lambda: bg.indices(NOTHING),
        lambda: bg.indices("nobody"),
        lambda: bg.indices("synthetic_ogtt", "weather"),
        lambda: bg.indices("synthetic_ogtt", probability=90),
        lambda: bg.indices(quick(), clamp="clmp(90)"),
    ],
    "bayesglu.infusion": [lambda: bg.infusion("insulin", 1, "mU/kg", 60)],
    "bayesglu.injection": [lambda: bg.injection("insulin", 5, "U", route="oral")],
    "bayesglu.isoglycaemic": [lambda: bg.isoglycaemic([0], [90])],
    "bayesglu.ivgtt": [lambda: bg.ivgtt(unit="l")],
    "bayesglu.join_log_likelihoods": [lambda: bg.join_log_likelihoods(NOTHING)],
    "bayesglu.leave_one_out": [
        lambda: bg.leave_one_out("minimal", "bergman1986"),
        lambda: bg.leave_one_out("oral", "synthetic_ogtt", ["X"]),
        lambda: bg.leave_one_out("oral", "synthetic_ogtt", probability=2),
    ],
    "bayesglu.load": [lambda: bg.load("nowhere.nc"), lambda: bg.load(__file__)],
    "bayesglu.load_facts": [lambda: bg.load_facts(PACKAGE / "errors.py")],
    "bayesglu.load_model": [lambda: bg.load_model("nothing"), lambda: bg.load_model("nowhere.toml")],
    "bayesglu.load_study": [
        lambda: bg.load_study("nobody"),
        lambda: bg.load_study(bg.load_study("bergman1986"), protocol="ogtt(75)"),
        lambda: bg.load_study("bergman1986", protocol="ogt(75)"),
        lambda: bg.load_study("bergman1986", units={"glucose": "mg/dL"}),
        lambda: bg.load_study([]),
    ],
    "bayesglu.individual_fits": [
        lambda: bg.individual_fits(NOTHING),
        lambda: bg.individual_fits(quick()),
        lambda: bg.individual_fits(quick(), "nobody"),
        lambda: bg.individual_fits(quick("ivgtt"), "synthetic_ogtt"),
        lambda: bg.individual_fits(quick("ivgtt"), points=1),
    ],
    "bayesglu.npde": [lambda: bg.npde(NOTHING), lambda: bg.npde(quick())],
    "bayesglu.pit": [lambda: bg.pit(NOTHING), lambda: bg.pit(quick(), by="weather")],
    "bayesglu.prior_sensitivity": [
        lambda: bg.prior_sensitivity(NOTHING),
        lambda: bg.prior_sensitivity(quick()),
    ],
    "bayesglu.random_effects": [lambda: bg.random_effects(NOTHING)],
    "bayesglu.sample_residuals": [lambda: bg.sample_residuals(NOTHING)],
    "bayesglu.vpc": [
        lambda: bg.vpc(NOTHING),
        lambda: bg.vpc(quick(), by="weather"),
        lambda: bg.vpc(quick(), quantiles=[50]),
    ],
    "bayesglu.plots.individual_fits": [
        lambda: bg.plots.individual_fits(SIMULATION),
        lambda: bg.plots.individual_fits(bg.individual_fits(quick("ivgtt"), points=2), "lactate"),
        lambda: bg.plots.individual_fits(bg.individual_fits(quick("ivgtt"), points=2), page=2),
        lambda: bg.plots.individual_fits(bg.individual_fits(quick("ivgtt"), points=2), subjects="X"),
    ],
    "bayesglu.plots.npde": [lambda: bg.plots.npde(SIMULATION)],
    "bayesglu.plots.pit": [lambda: bg.plots.pit(SIMULATION)],
    "bayesglu.plots.prior_sensitivity": [lambda: bg.plots.prior_sensitivity(3)],
    "bayesglu.plots.random_effects": [
        lambda: bg.plots.random_effects(SIMULATION),
        lambda: bg.plots.random_effects(bg.random_effects(quick()), "weather"),
    ],
    "bayesglu.plots.sample_residuals": [lambda: bg.plots.sample_residuals(SIMULATION)],
    "bayesglu.plots.vpc": [lambda: bg.plots.vpc(SIMULATION)],
    "bayesglu.meal": [lambda: bg.meal(60, emptying=0)],
    "bayesglu.meal_day": [lambda: bg.meal_day(times=[0])],
    "bayesglu.ogtt": [lambda: bg.ogtt(-75), lambda: bg.ogtt("75"), lambda: bg.ogtt(unit="oz")],
    "bayesglu.pancreatic_clamp": [lambda: bg.pancreatic_clamp(-1)],
    "bayesglu.percentiles": [
        lambda: bg.percentiles(NOTHING),
        lambda: bg.percentiles(quick(), {"weather": "fine"}),
        lambda: bg.percentiles(quick(), {"bmi": "high"}),
        lambda: bg.percentiles(quick(), probability=90),
    ],
    "bayesglu.plots.contrast": [
        lambda: bg.plots.contrast(SIMULATION),
        lambda: bg.plots.contrast(SIMULATION, "lactate"),
    ],
    "bayesglu.plots.facts": [lambda: bg.plots.facts(bg.validate(facts=[]))],
    "bayesglu.plots.fasting": [lambda: bg.plots.fasting(quick())],
    "bayesglu.plots.fit_overview": [
        lambda: bg.plots.fit_overview(NOTHING),
        lambda: bg.plots.fit_overview(quick(), ["X"]),
    ],
    "bayesglu.plots.study": [
        lambda: bg.plots.study("unheard of"),
        lambda: bg.plots.study("bergman1986", by="group"),
        lambda: bg.plots.study("bergman1986", analytes=["lactate"]),
    ],
    "bayesglu.plots.contraction": [lambda: bg.plots.contraction(NOTHING)],
    "bayesglu.plots.index": [
        lambda: bg.plots.index(NOTHING.to_dataset(), "matsuda"),
        lambda: bg.plots.index(bg.indices(quick()), "weather"),
        lambda: bg.plots.index(bg.indices(quick()), "matsuda"),
    ],
    "bayesglu.plots.flows": [lambda: bg.plots.flows({}), lambda: bg.plots.flows(SIMULATION)],
    "bayesglu.plots.organs": [lambda: bg.plots.organs({}), lambda: bg.plots.organs({"now": SIMULATION})],
    "bayesglu.plots.parameters": [
        lambda: bg.plots.parameters(NOTHING),
        lambda: bg.plots.parameters(quick(), ["unheard_of"]),
    ],
    "bayesglu.plots.trajectories": [
        lambda: bg.plots.trajectories(SIMULATION, ["insulin"]),
        lambda: bg.plots.trajectories(SIMULATION[[]]),
    ],
    "bayesglu.prior_predictive": [
        lambda: bg.prior_predictive("minimal", "bergman1986", draws=0),
        lambda: bg.prior_predictive("nothing", "bergman1986"),
        lambda: bg.prior_predictive("minimal", "nobody"),
    ],
    "bayesglu.pump_stop": [lambda: bg.pump_stop(1, before=0)],
    "bayesglu.ranking": [
        lambda: bg.ranking(NOTHING, "matsuda"),
        lambda: bg.ranking(quick(), "weather"),
        lambda: bg.ranking(quick(), "homa_ir"),
        lambda: bg.ranking(quick(), "homa_ir", probability=90),
    ],
    "bayesglu.register_analyte": [lambda: bg.register_analyte("lactate", {"mmol/L": 2.0})],
    "bayesglu.register_part": [lambda: bg.register_part("liver", "Mine", bg.Part({}))],
    "bayesglu.report": [
        lambda: bg.report(NOTHING),
        lambda: bg.report(quick(), "report.pdf"),
        lambda: bg.report(quick(), "absent/report.html"),
        lambda: bg.report(quick(), probability=1.5),
        lambda: bg.report(quick(), without_data=True),
    ],
    "bayesglu.save": [
        lambda: bg.save(quick(), "fit.txt"),
        lambda: bg.save(quick(), "no/folder/fit.nc"),
    ],
    "bayesglu.scale": [lambda: bg.scale(-1), lambda: bg.scale("1.3")],
    "bayesglu.set_to": [lambda: bg.set_to(float("nan"))],
    "bayesglu.shift": [lambda: bg.shift(None)],
    "bayesglu.coverage": [lambda: bg.coverage([]), lambda: bg.coverage(NOTHING.to_dataset())],
    "bayesglu.plots.expected_contraction": [lambda: bg.plots.expected_contraction(3)],
    "bayesglu.plots.demo_figure": [
        lambda: bg.plots.demo_figure(NOTHING, NOTHING, NOTHING.to_dataset()),
        lambda: bg.plots.demo_figure(quick(), quick(), 3),
    ],
    "bayesglu.simulate": [
        lambda: bg.simulate("oral", "ogtt(75)", outputs=["lactate"]),
        lambda: bg.simulate("oral", "ogtt(75)", times=[5, 0]),
        lambda: bg.simulate("ivgtt", "ogtt(75)"),
        lambda: bg.simulate("minimal", "ivgtt()"),
        lambda: bg.simulate("oral", "ogt(75)"),
        lambda: bg.simulate("oral", "ogtt(75)", body_weight=None),
        lambda: bg.simulate("nothing", "ogtt(75)"),
        lambda: bg.simulate("oral", "ogtt(75)", max_steps=2),
    ],
    "bayesglu.simulate_study": [
        lambda: bg.simulate_study("oral"),
        lambda: bg.simulate_study("oral", like="bergman1986", protocol="ogtt(75)"),
        lambda: bg.simulate_study("oral", like="synthetic_ogtt"),
        lambda: bg.simulate_study("nothing", like="synthetic_ogtt"),
    ],
    "bayesglu.stepped_clamp": [lambda: bg.stepped_clamp([])],
    "bayesglu.summarize_individuals": [lambda: bg.summarize_individuals(NOTHING)],
    "bayesglu.summarize_occasions": [lambda: bg.summarize_occasions(quick())],
    "bayesglu.summarize_population": [
        lambda: bg.summarize_population(NOTHING),
        lambda: bg.summarize_population(quick(), probability=90),
    ],
    "bayesglu.validate": [
        lambda: bg.validate("nothing"),
        lambda: bg.validate(draws=-1),
    ],
    "bayesglu.what_if": [
        lambda: bg.what_if(quick("ivgtt"), "ivgtt()", {"unheard_of": bg.scale(2)}),
        lambda: bg.what_if(quick("ivgtt"), "ivgtt()", {"insulin_sensitivity": 2}),
        lambda: bg.what_if(quick("ivgtt"), subjects=["X"]),
        lambda: bg.what_if(quick("ivgtt"), "ivgt()"),
        lambda: bg.what_if(quick("ivgtt"), "infusion('glucose', 10, 'g/h', 60)"),
        lambda: bg.what_if(quick("minimal")),
        lambda: bg.what_if(quick("ivgtt"), draws=0),
        lambda: bg.what_if(quick("ivgtt"), "ivgtt()", units="metric"),
        lambda: bg.what_if(quick("ivgtt"), {"a": bg.Scenario("ivgtt()", switches="no_glucagon")}),
    ],
    "bayesglu.refit": [
        lambda: bg.refit(quick(), "nobody"),
        lambda: bg.refit(quick(), "bergman1986", draws=0),
    ],
}
"""What each refuses; the error must be one of those that it announces."""
HARD_TO_REFUSE = {"bayesglu.Study.to_folder"}
CASES = [pytest.param(name, call, id=name) for name, calls in REFUSED.items() for call in calls]


@pytest.mark.parametrize(("name", "call"), CASES)
def test_an_error_is_of_a_class_that_the_docstring_announces(name, call):
    with pytest.raises(BayesgluError) as caught:
        call()
    announced = tuple(errors()[told] for told in raised(name))
    assert type(caught.value) in announced, f"{name} raises {caught.type.__name__}: {caught.value}"


def test_every_announcement_of_errors_is_put_to_the_test():
    assert {name for name in CALLABLE if raised(name)} == {*REFUSED, *HARD_TO_REFUSE}


@pytest.mark.parametrize("name", [name for name in PUBLIC if get_doc_object(thing(name))["Warns"]])
def test_an_announced_warning_is_one_of_this_package(name):
    assert {entry.type for entry in get_doc_object(thing(name))["Warns"]} <= set(errors(BayesgluWarning))


# --- examples ---

WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)
SLOW = {
    "bayesglu.analysis.calibration",
    "bayesglu.analysis.cross_validation",
    "bayesglu.analysis.model_comparison",
    "bayesglu.analysis.prior_sensitivity",
    "bayesglu.plots.calibration",
    "bayesglu.plots.comparison",
}
"""Whose examples sample."""


@pytest.fixture(scope="module")
def made_once():
    """``fit`` as the examples call it: what many ask for is made once, and each gets a copy of it."""
    kept = {}

    def fit(model, study, **settings):
        key = (bg.load_model(model).hash, bg.load_study(study).hash, *sorted(settings.items()))
        if key not in kept:
            kept[key] = made(model, study, **settings)
        return kept[key].copy(deep=True)

    made = bg.fit
    return fit


@pytest.mark.parametrize(
    "module", [pytest.param(m, marks=[pytest.mark.long] if m in SLOW else []) for m in WITH_EXAMPLES]
)
def test_the_examples_in_the_documentation_are_true(
    module, made_once, registry, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if module != "bayesglu.inference.fitting":  # whose examples are about making fits
        monkeypatch.setattr(bg, "fit", made_once)
    result = doctest.testmod(import_module(module))
    assert result.attempted > result.skipped
    assert not result.failed, capsys.readouterr().out


def test_an_example_is_left_out_only_where_it_needs_a_sampled_fit_or_data_that_do_not_ship():
    skipped = {
        name
        for name in PUBLIC
        if (examples := doctest.DocTestParser().get_examples(inspect.getdoc(thing(name)) or ""))
        and any(example.options.get(doctest.SKIP) for example in examples)
    }
    assert skipped == {"bayesglu.join_log_likelihoods", "bayesglu.plots.fasting"}
