"""A model file is checked whole, means the same wherever it is read, and can be read on one page."""

import math
import pickle
import tomllib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from simulated import BASAL_PRODUCTION, with_pseudo_observation

from bayesglu import catalog
from bayesglu.physiology.loop import assemble
from bayesglu.physiology.registry import SHIPPED
from bayesglu.spec import files as model_file
from bayesglu.spec.model import Effect, Parameter, Prior, SpecError, load_model, read_model

KNOWN = """[correlations]
parameters = ["basal_insulin", "basal_glucose", "insulin_sensitivity"]
[correlations.priors.basal_insulin]
with = "insulin_sensitivity"
mean = -0.6
sd = 0.1
source = []
"""
TOGETHER = "[typical_correlations.insulin_sensitivity]\n"

MODELS = catalog.list_models()


def faults(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read_model(text, "my.toml", papers=catalog.references())
    return str(caught.value)


def child(extra: str, parent: str = "oral") -> str:
    return f'title = "A trial"\nextends = "{parent}"\n{extra}'


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_has_every_parameter_of_its_structure_and_no_other(name):
    spec = load_model(name)
    floors = {analyte.background for analyte in spec.analytes.values()} - {None}
    needed = assemble(spec.structure).parameters
    assert set(spec.parameters) == {*needed, *floors}
    assert all(spec.parameters[name].unit == SHIPPED.parameters[name] for name in needed)


@pytest.mark.parametrize("name", MODELS)
def test_the_resolved_text_alone_gives_the_same_model_and_the_same_hash(name):
    spec = load_model(name)
    again = read_model(spec.text)
    assert again == spec
    assert again.hash == spec.hash and list(again.parameters) == list(spec.parameters)
    assert "extends" not in tomllib.loads(spec.text)


@pytest.mark.parametrize("name", MODELS)
def test_every_measured_or_derived_value_names_a_paper_and_every_learnt_one_has_a_spread(name):
    spec = load_model(name)
    for parameter in spec.parameters.values():
        assert parameter.source or parameter.kind == "judgement", parameter.name
        assert (parameter.typical.gsd is None) == (parameter.level == "fixed"), parameter.name
        assert (parameter.between_subject is None) == (parameter.name not in spec.varying), parameter.name


@pytest.mark.parametrize("name", MODELS)
def test_what_is_measured_or_softly_known_is_something_that_the_loop_computes_in_that_unit(name):
    spec = load_model(name)
    loop = assemble(spec.structure)
    assert all(loop.unit(analyte.output) == analyte.unit for analyte in spec.analytes.values())
    assert {soft.output for soft in spec.pseudo_observations.values()} <= loop.constant_quantities


@pytest.mark.parametrize("name", MODELS)
def test_the_whole_model_can_be_read_on_one_page(name):
    spec = load_model(name)
    page, rich_page = repr(spec), spec._repr_html_()
    for parameter in spec.parameters.values():
        assert parameter.name in page and parameter.name in rich_page
    assert spec.hash[:16] in page
    # In a fast insulin sensitivity is fixed.
    shown, cv = ("fasting_production", "12 %") if name == "fasting" else ("insulin_sensitivity", "55 %")
    assert f"{spec.medians[shown]:.4g} (" in page and cv in page
    assert name != "minimal" or "8.4e-05 (4.34e-05 to 0.000162)" in page


def test_each_model_has_all_the_parameters_of_the_one_before_it():
    nested = [
        set(load_model(name).parameters) for name in ("minimal", "ivgtt", "oral", "oral_cpeptide", "feedback")
    ]
    replaced = {"mass_action_uptake"}  # by fasting_production, from `oral` on
    assert all(small - replaced < large for small, large in pairwise(nested))


def test_the_flip_flop_of_emptying_and_absorption_is_kept_in_check():
    for name in ("oral", "oral_cpeptide"):
        spec = load_model(name)
        assert "emptying_rate" in spec.varying and "absorption_rate" not in spec.varying
    # With more analytes both may vary: only emptying saturates, and absorption's typical value is known.
    absorption, emptying = (
        load_model("feedback").parameters[n] for n in ("absorption_rate", "emptying_rate")
    )
    assert absorption.typical.gsd <= 1.2 and absorption.between_subject.cv < emptying.between_subject.cv


def test_all_problems_of_a_file_are_told_at_once_with_place_value_and_nearest_name():
    message = faults(
        """
        title = "A trial"
        extends = "oral"
        colour = "red"
        [parameters.insulin_sensitivity]
        between_subjct = { cv = 0.5, gsd = 1.4 }
        unit = "1/min"
        [parameters.first_phase_gane]
        level = "subject"
        [parameters.emptying_rate]
        typical = { median = -3 }
        level = "person"
        [parameters.hepatic_extraction]
        typical = { median = 1.2 }
        source = ["campioni2008"]
        [analytes.insulin]
        output = "insuline"
        sigma = { median = "small" }
        """
    )
    assert message.startswith("my.toml has ")
    for part in (
        "my.toml: has no key 'colour'.",
        "[parameters.insulin_sensitivity] has no key 'between_subjct'. Did you mean 'between_subject'?\n"
        "  Keys allowed here: between_occasion, between_subject, effects, kind, level, note, scale, source, "
        "symbol, typical, unit.",
        "unit is '1/min'; the physiology has insulin_sensitivity in 'L/pmol/min'.",
        "has no parameter 'first_phase_gane'. Did you mean 'first_phase_gain'?",
        "[parameters.emptying_rate.typical] median is -3. Allowed: above 0.",
        "level is 'person'.",
        "Allowed here: fixed, shared, subject, occasion.",
        "[parameters.hepatic_extraction.typical] median is 1.2. Allowed: above 0 and below 1.",
        "has no source 'campioni2008'. Did you mean 'campioni2009'?",
        "has no output 'insuline'. Did you mean 'insulin'?",
        "[analytes.insulin.sigma] median must be a number, and is 'small'.",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('[structure]\ngutt = "none"', "[structure] has no key 'gutt'. Did you mean 'gut'?"),
        ('[structure]\ngut = "two_stages"', "gut is 'two_stages'. Did you mean 'two_stage'?"),
        ('[structure]\nbeta_cell = "none"', "do not make a loop"),
        ('[structure]\nc_peptide = "two_pool"', "lacks 'c_peptide_volume' (L/kg), which"),
        ("[parameters.c_peptide_volume]\nlevel='fixed'", "is not used by this structure"),
        ("[parameters.renal_clearance]\ntypical = {gsd = 1.2}", "has a gsd, but the level is 'fixed'"),
        ("[parameters.renal_clearance]\nlevel = 'shared'", "lacks the key 'gsd'"),
        ("[parameters.insulin_volume]\nlevel = 'subject'", "lacks the key 'between_subject'"),
        (
            "[parameters.insulin_volume]\nbetween_subject = {cv = 0.2, gsd = 1.4}",
            "is the same for all people",
        ),
        (
            "[parameters.renal_clearance]\neffects.bmi = {reference=23, per=5, median=2, gsd=2}",
            "an effect is estimated",
        ),
        ("[parameters.insulin_volume]\ntypical = {gsd = 1}", "gsd is 1. Allowed: above 1."),
        ("[parameters.insulin_volume]\ntypical = {median = nan}", "median is nan."),
        ("[parameters.insulin_volume]\ntypical = {median = true}", "median must be a number, and is true."),
        ("[parameters.insulin_volume]\ntypical = 3", ".typical] must be a table, and is 3."),
        ("[parameters.insulin_volume]\nscale = 'linear'", "scale is 'linear'."),
        ("[parameters.hepatic_extraction]\nscale = 'log'", "share of a whole"),
        ("[parameters.bioavailability]\nsource = []", "names no source, but its kind is 'measured'"),
        ("[parameters.brain_uptake]\nsource = []", "names no source, but its kind is 'learnt'"),
        ("[parameters.brain_uptake]\nsource = 'dallaman2007'", "source must be a list of texts"),
        ("parameters = 3", "[parameters] must be a table, and is 3."),
        ("[analytes.glucose]\nunit = 'mmol/L'", "the physiology has glucose in 'mg/dL'"),
        ("[analytes.glucose]\nlloq = 9\nuloq = 3", "the lower limit must be the smaller"),
        (
            "[analytes.glucose]\nbackground = 'glucagon_background'",
            "has no parameter for its background 'glucagon_background'",
        ),
        ("[analytes.insulin]\nforcing = true", "only for output 'insulin' in a structure with insulin"),
        (
            "[pseudo_observations.basal_glucose]\nmedian = 90\ncv = 0.1\nsource = []",
            "has no basal quantity 'basal_glucose'",
        ),
        ("[correlations]\nparameters = ['insulin_volume', 'basal_insulin']", "no individual parameter"),
        ("[correlations]\nparameters = ['basal_insulin']", "at least two different names"),
        (
            KNOWN.replace("sd = 0.1", "sd = 0.8"),
            "nothing between -1 and 1 with the mean -0.6 has an SD of 0.8",
        ),
        (KNOWN.replace("mean = -0.6", "mean = -1"), "mean is -1. Allowed: above -1 and below 1"),
        (KNOWN.replace('with = "insulin_s', 'with = "insulin_sens'), "no correlated parameter"),
        (KNOWN.replace("priors.basal_insulin", "priors.insulin_volume"), "parameter 'insulin_volume'"),
        (KNOWN.replace("priors.basal_insulin", "priors.insulin_sensitivity"), "with itself is 1"),
        (
            f'{KNOWN}[correlations.priors.insulin_sensitivity]\nwith = "basal_glucose"\nmean = 0.1\n'
            "sd = 0.1\nsource = []",
            "with insulin_sensitivity and with basal_glucose: 'with' must be one parameter",
        ),
        (TOGETHER + "basal_insuline = 0.2", "no estimated parameter 'basal_insuline'"),
        (TOGETHER + "renal_threshold = 0.2", "no estimated parameter 'renal_threshold'"),
        (TOGETHER + "insulin_sensitivity = 0.2", "its correlation with itself is 1"),
        (TOGETHER + "glucose_volume = 1.0", "glucose_volume is 1. Allowed: above -1 and below 1"),
        (
            f"{TOGETHER}glucose_volume = 0.2\n"
            "[typical_correlations.glucose_volume]\ninsulin_sensitivity = 0.2",
            "insulin_sensitivity: the correlation of these two is given twice",
        ),
        (
            f"{TOGETHER}glucose_volume = 0.9\nbasal_insulin = 0.9\n[typical_correlations.glucose_volume]\n"
            "basal_insulin = -0.9",
            "[typical_correlations] is no correlation matrix",
        ),
        ("typical_correlations = 3", "[typical_correlations] must be a table, and is 3."),
        ("[learnt_from]\nfirst = 3", "[learnt_from] first must be a text"),
        ("[structure", "is not valid TOML"),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_is_allowed(extra, expected):
    assert expected in faults(child(extra))


def test_forced_insulin_asks_for_the_analyte_that_drives_it():
    message = faults(child("[analytes.insulin]\nforcing = false", "minimal"))
    assert "must have forcing = true" in message


def test_an_unknown_model_is_an_error_that_lists_those_there_are():
    with pytest.raises(SpecError, match=r"Did you mean 'feedback'\?\n  Built-in: fasting, feedback, ivgtt"):
        load_model("fedback")
    with pytest.raises(SpecError, match="there is no such file"):
        load_model("nowhere/oral.toml")


def test_a_file_that_is_not_text_is_refused_by_its_name(tmp_path):
    (tmp_path / "figure.png").write_bytes(b"\x89PNG")
    with pytest.raises(SpecError, match=r"figure\.png: is not UTF-8 text"):
        load_model(tmp_path / "figure.png")


def test_a_chain_of_files_that_extend_each_other_in_a_circle_is_an_error(tmp_path):
    for name, parent in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.toml").write_text(f'title = "{name}"\nextends = "{parent}.toml"\n')
    with pytest.raises(SpecError, match="circular extends: one -> two -> one"):
        load_model(tmp_path / "one.toml")


def test_a_file_has_one_parent_and_it_must_be_there(tmp_path):
    assert "A file has one parent" in faults('title = "x"\nextends = ["oral", "ivgtt"]')
    assert "There is no built-in model 'orall'. Did you mean 'oral'?" in faults(child("", "orall"))
    assert "no such file beside it" in faults(child("", "gone.toml"))


def test_a_child_overrides_key_by_key_and_keeps_the_rest(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(child("[parameters.insulin_sensitivity]\ntypical = {median = 1e-4}\nsource = ['me2026']"))
    (tmp_path / "references.bib").write_text("@misc{me2026, title = {Own data}}")
    spec, parent = load_model(path), load_model("oral")
    mine, theirs = spec.parameters["insulin_sensitivity"], parent.parameters["insulin_sensitivity"]
    assert (spec.name, mine.typical, mine.source) == ("mine", Prior(1e-4, theirs.typical.gsd), ("me2026",))
    assert mine.between_subject == theirs.between_subject and mine.effects == theirs.effects
    assert spec.structure == parent.structure
    assert spec.hash != parent.hash


def test_an_empty_table_takes_away_what_is_inherited_under_its_name():
    parent = load_model("oral")
    assert len(parent.parameters["insulin_sensitivity"].effects) == 3
    none, one_less = (
        read_model(child(f"[parameters.insulin_sensitivity]\n{effects} = {{}}"))
        for effects in ("effects", 'effects."group:T2D"')
    )
    assert not none.parameters["insulin_sensitivity"].effects
    left = one_less.parameters["insulin_sensitivity"].effects
    assert {**left, "group:T2D": None}.keys() == parent.parameters["insulin_sensitivity"].effects.keys()
    assert none.parameters["basal_insulin"] == parent.parameters["basal_insulin"]
    changes = ({"effects": {}}, {"effects": {"group:T2D": {}}})
    assert [
        parent.with_changes(parameters={"insulin_sensitivity": change}).parameters for change in changes
    ] == [
        none.parameters,
        one_less.parameters,
    ]


def test_a_section_that_a_model_can_be_without_is_taken_away_by_an_empty_one(tmp_path):
    (tmp_path / "first.toml").write_text(
        child("[correlations]\nparameters = ['insulin_sensitivity', 'basal_insulin']\n", "feedback")
        + BASAL_PRODUCTION
    )
    (tmp_path / "second.toml").write_text(
        child("[correlations]\n[pseudo_observations]\n[analytes.glucagon]", "first.toml")
    )
    first, second = load_model(tmp_path / "first.toml"), load_model(tmp_path / "second.toml")
    assert first.correlations and first.pseudo_observations and "glucagon" in first.analytes
    assert not second.correlations and not second.pseudo_observations and "glucagon" not in second.analytes
    assert second.parameters == {n: p for n, p in first.parameters.items() if n != "glucagon_background"}


def test_what_a_model_cannot_be_without_is_told_when_an_empty_table_took_it_away():
    taken = "[parameters.basal_glucose]\nbetween_subject = {}\n[parameters.basal_insulin]\n[structure]\n"
    told = faults(child(taken, "oral"))
    assert "[parameters.basal_glucose] lacks the key 'between_subject'" in told
    assert "lacks the key 'structure'" in told
    assert "lacks 'basal_insulin'" in faults(child("[parameters.basal_insulin]\n"))


def test_an_empty_effect_that_nothing_is_inherited_for_is_a_fault():
    told = faults(child('[parameters.insulin_sensitivity]\neffects."group:T2DM" = {}'))
    assert "effects.group:T2DM] is empty, and no effect of this name is inherited" in told


def test_a_share_of_a_whole_wants_a_scale_that_keeps_it_below_one():
    for name in sorted(SHIPPED.fractions):
        told = faults(child(f'[parameters.{name}]\nscale = "log"', "feedback"))
        assert f"[parameters.{name}] scale is 'log'; this is a share of a whole" in told


def test_a_parameter_that_a_child_fixes_loses_its_spread_and_one_it_shares_loses_its_variation():
    spec = load_model("oral").with_changes(
        parameters={"insulin_sensitivity": {"level": "fixed"}, "first_phase_gain": {"level": "shared"}}
    )
    assert spec.parameters["insulin_sensitivity"].typical.gsd is None
    assert not spec.parameters["insulin_sensitivity"].effects
    assert (
        spec.parameters["first_phase_gain"].typical
        == load_model("oral").parameters["first_phase_gain"].typical
    )
    assert spec.parameters["first_phase_gain"].between_subject is None


def test_another_structure_leaves_out_what_it_has_no_use_for():
    spec = load_model("feedback").with_changes(structure={"alpha_cell": "constant", "c_peptide": "none"})
    assert set(spec.analytes) == {"glucose", "insulin"}
    assert not {"basal_glucagon", "glucagon_background", "c_peptide_volume"} & set(spec.parameters)
    assert spec.name == "feedback (changed)"


def test_correlations_are_read_and_kept_in_the_text():
    extra = "[correlations]\nparameters = ['insulin_sensitivity', 'basal_insulin']\nlkj_eta = 3"
    spec = read_model(child(extra))
    assert (spec.correlations, spec.lkj_eta) == (("insulin_sensitivity", "basal_insulin"), 3.0)
    assert read_model(spec.text) == spec


def test_what_is_known_of_a_correlation_is_read_and_kept_in_the_text_and_its_parameter_is_the_first():
    spec = read_model(child(KNOWN))
    assert spec.correlations == ("insulin_sensitivity", "basal_insulin", "basal_glucose")
    (known,) = spec.correlation_priors.values()
    mean, sd = beta(*known.shapes, loc=-1, scale=2).stats("mv")
    assert (mean, np.sqrt(sd)) == (pytest.approx(-0.6), pytest.approx(0.1))
    assert read_model(spec.text) == spec
    assert "correlation of basal_insulin with insulin_sensitivity: about -0.6, SD 0.1" in repr(spec)


@pytest.mark.parametrize("level", ["fixed", "shared", "occasion"])
def test_a_correlation_that_is_inherited_goes_with_the_variation_of_its_parameter(level):
    spec = read_model(child(KNOWN))
    without = spec.with_changes(parameters={"insulin_sensitivity": {"level": level}})
    assert without.correlations == ("basal_insulin", "basal_glucose") and not without.correlation_priors
    other = spec.with_changes(parameters={"basal_glucose": {"level": level}})
    assert other.correlations == ("insulin_sensitivity", "basal_insulin") and len(other.correlation_priors)
    neither = without.with_changes(parameters={"basal_glucose": {"level": level}})
    assert not neither.correlations and neither.lkj_eta is None
    assert not spec.with_changes(correlations={}).correlations
    assert spec.with_changes(correlations={"lkj_eta": 1}).lkj_eta == 1.0


def test_correlations_of_typical_values_are_read_and_kept_in_the_text_once_in_the_order_of_parameters():
    spec = read_model(child(TOGETHER + "glucose_volume = -0.5\nbasal_glucose = 0.25"))
    pairs = {
        ("basal_glucose", "insulin_sensitivity"): 0.25,
        ("glucose_volume", "insulin_sensitivity"): -0.5,
    }
    assert dict(spec.typical_correlations) == pairs
    assert read_model(spec.text) == spec and "typical values with a joint prior" in repr(spec)
    fixed = spec.with_changes(parameters={"glucose_volume": {"level": "fixed"}})
    assert list(fixed.typical_correlations) == [("basal_glucose", "insulin_sensitivity")]
    assert not load_model("oral").typical_correlations


def test_an_organ_can_be_lost():
    spec = load_model("feedback").with_changes(parameters={"beta_cell_mass": {"typical": {"median": 0}}})
    assert spec.medians["beta_cell_mass"] == 0


def test_a_model_can_be_hashed_and_sent_to_another_process_but_not_changed_in_place():
    spec = load_model("oral")
    assert pickle.loads(pickle.dumps(spec)) == spec and len({spec, load_model("oral")}) == 1
    with pytest.raises(TypeError):
        spec.parameters["basal_glucose"] = None


@given(median=st.floats(0.01, 0.99), gsd=st.floats(1.01, 5), scale=st.sampled_from(["log", "logit"]))
def test_a_prior_interval_surrounds_the_median_evenly_on_the_priors_own_scale(median, gsd, scale):
    p = Parameter("x", "x", "1", "shared", Prior(median, gsd), "judgement", (), scale)
    low, high = p.interval()
    assert low < median < high and p.from_scale(p.location) == pytest.approx(median)
    assert p.to_scale(high) - p.location == pytest.approx(p.location - p.to_scale(low), rel=1e-6)
    assert scale == "log" or high < 1


def test_a_covariate_acts_by_step_by_factor_or_by_group():
    step = Effect("bmi", "exponential", 23.0, 5.0, 0.7, 1.3)
    factor = Effect("weight", "power", 70.0, 2.0, 1.5, 1.3)
    group = Effect("group", "level", "T2D", None, 0.35, 1.6)
    assert step.standardized(33) == pytest.approx(2) and step.standardized(23) == 0
    assert factor.standardized(35) == pytest.approx(-1)
    assert (group.standardized("T2D"), group.standardized("NGT")) == (1, 0)


plain = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=3),
)
tables = st.dictionaries(st.text(st.characters(codec="utf-8")), plain, max_size=3)


deep = st.dictionaries(st.text(), plain | tables, max_size=3)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), plain | tables | deep, max_size=4))
def test_whatever_is_written_is_read_back(table):
    read = tomllib.loads(model_file.write(table))
    assert read == table


def test_the_spread_of_a_prior_is_that_of_its_logarithm():
    known = with_pseudo_observation(load_model("oral")).pseudo_observations
    between = load_model("oral").parameters["insulin_sensitivity"].between_subject
    assert between.omega == pytest.approx(math.sqrt(math.log(1 + 0.55**2)))
    assert known["basal_glucose_production"].sd == pytest.approx(0.12, rel=0.01)


def test_a_model_may_be_given_as_the_text_of_its_file_wherever_one_is_asked_for():
    text = 'extends = "oral"\nname = "mine"\ntitle = "With a limit"\n[analytes.insulin]\nlloq = 12.0\n'
    assert load_model(text) == read_model(text)
    assert load_model(text).analytes["insulin"].lloq == 12.0
    with pytest.raises(SpecError, match=r"model text: .*llqq.*'lloq'"):
        load_model(text.replace("lloq", "llqq"))
