"""Scenarios: several worlds on the same draws of the same people, in words, combinations and files."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit

import bayesglu as bg
from bayesglu.analysis import asking
from bayesglu.analysis.changes import set_to
from bayesglu.analysis.cohort import cohort_of
from bayesglu.analysis.measurements import measured_outputs
from bayesglu.analysis.scenarios import SWITCHES
from bayesglu.errors import BayesgluWarning
from bayesglu.hierarchy import names
from bayesglu.protocols.table import keep_protocols
from benchmarks.problem import THEN

BRIEF = {"times": (0, 30, 60, 120), "draws": 6, "random_seed": 1, "progressbar": False}
EFFECT = "insulin_sensitivity by group:T2D"


def with_covariates(model="oral", effects=None, **settings):
    """A fit of four people in two groups, with draws of what covariates do."""
    fit = fake_fit(model, subjects=4, chains=2, draws=30, **settings)
    known = {
        "covariate_group": ("subject", np.array(["NGT", "T2D", "NGT", "T2D"], object)),
        "covariate_bmi": ("subject", np.array([22.0, 33.0, 25.0, 30.0])),
        "covariate_height": ("subject", np.array([180.0, 175.0, 160.0, 190.0])),
    }
    fit["constant_data"] = fit["constant_data"].to_dataset().assign(known)
    if effects:
        like = fit.posterior.sigma_glucose
        draws = [
            xr.full_like(like, value) * np.exp(0.1 * np.sin(np.arange(30.0))) for value in effects.values()
        ]
        together = xr.concat(draws, xr.Variable("effect", list(effects))).transpose("chain", "draw", "effect")
        together.attrs = {"role": "effect", "units": "1", "long_name": "effect"}
        fit["posterior"] = fit["posterior"].to_dataset().assign(covariate_effect=together)
    return fit


def every_effect(model="oral"):
    """A factor for each effect of a model."""
    spec = bg.load_model(model)
    pairs = [(p.name, key, effect) for p in spec.parameters.values() for key, effect in p.effects.items()]
    return {names.effect(name, key): effect.median for name, key, effect in pairs} | {EFFECT: 0.5}


@pytest.fixture(scope="module")
def people():
    return with_covariates(effects=every_effect())


@pytest.fixture(scope="module")
def loop():
    return fake_fit("feedback", subjects=2, chains=1, draws=6)


# --- what is compared ---


def test_any_number_of_named_scenarios_stand_beside_each_other_and_each_is_itself_alone(people):
    asked = {
        "usual": "meal(60)",
        "more": bg.Scenario("meal(90)", {"insulin_sensitivity": bg.scale(1.3)}),
        "less": bg.Scenario("meal(30)", start={"glucose": 150}),
    }
    found = bg.what_if(people, asked, occasion="fitted", outputs=["glucose"], **BRIEF)
    assert list(found.scenario.values) == list(asked) and found.sizes["subject"] == 4
    alone = bg.what_if(people, "meal(90)", {"insulin_sensitivity": bg.scale(1.3)}, occasion="fitted", **BRIEF)
    xr.testing.assert_allclose(
        found.glucose.sel(scenario="more", drop=True), alone.glucose.sel(scenario="changed", drop=True)
    )
    assert (found.glucose.sel(scenario="less", time=0) == pytest.approx(150)).all()
    assert found.attrs["change"] == "more: insulin_sensitivity x 1.3; less: glucose begins at 150"
    assert found.attrs["protocol"] == "meal(60); meal(90); meal(30)"


def test_new_people_and_other_days_are_the_same_in_all_scenarios(people):
    for who in (bg.new_people(5), "same"):
        found = bg.what_if(people, {"a": "meal(60)", "b": "meal(60)"}, subjects=who, of="peak", **BRIEF)
        assert (found.glucose_peak.sel(scenario="a") == found.glucose_peak.sel(scenario="b")).all()


def test_a_protocol_may_be_each_persons_own_or_given_by_person(people):
    fit = people.copy()
    given = {
        ("1", "1"): bg.ogtt(75),
        ("2", "1"): bg.ogtt(50),
        ("3", "1"): bg.ogtt(75),
        ("4", "1"): bg.ogtt(50),
    }
    fit["protocols"] = xr.DataTree(keep_protocols(given))
    by_hand = {"1": "ogtt(75)", "2": bg.ogtt(50), "3": "ogtt(75)", "4": "ogtt(50)"}
    asked = {"own": "own", "by hand": bg.Scenario(by_hand)}
    found = bg.what_if(fit, asked, outputs=["glucose"], **BRIEF)
    assert (found.glucose.sel(scenario="own") == found.glucose.sel(scenario="by hand")).all()
    assert list(found.subject.values) == ["1", "2", "3", "4"] and found.attrs["occasion"] == "fitted"
    one = bg.what_if(fit, "ogtt(50)", subjects=["2"], outputs=["glucose"], **BRIEF)
    xr.testing.assert_allclose(
        one.glucose.isel(subject=0, scenario=0, drop=True),
        found.glucose.sel(subject="2", scenario="own", drop=True),
    )
    with pytest.raises(bg.BayesgluError, match="there is no protocol for 3, 4"):
        bg.what_if(fit, {"a": bg.Scenario({"1": "ogtt(75)", "2": "ogtt(75)"})}, **BRIEF)


def test_an_event_at_the_end_of_a_protocol_is_simulated_too(people):
    twice = "ogtt(75) + meal(60).shift(300)"
    found = bg.what_if(people, twice, outputs=["glucose_appearance"], draws=4, random_seed=1)
    assert found.time.values[-1] == 420
    appearance = found.glucose_appearance
    assert (appearance.sel(time=330) > appearance.sel(time=300)).all()


# --- covariates ---


def test_a_changed_covariate_moves_a_person_by_its_effect_and_leaves_what_is_their_own(people):
    lean = bg.Scenario("ogtt(75)", {"group": bg.set_to("NGT")})
    ill = bg.Scenario("ogtt(75)", {"group": bg.set_to("T2D")})
    found = bg.what_if(people, {"as they are": "ogtt(75)", "NGT": lean, "T2D": ill}, of="auc", **BRIEF)
    area = found.glucose_auc
    healthy, diabetic = ["1", "3"], ["2", "4"]
    assert (area.sel(scenario="NGT") == area.sel(scenario="as they are")).sel(subject=healthy).all()
    assert (area.sel(scenario="T2D") == area.sel(scenario="as they are")).sel(subject=diabetic).all()
    assert (area.sel(scenario="T2D") > area.sel(scenario="NGT")).all()


def test_the_parameter_of_a_changed_covariate_is_multiplied_by_the_draws_of_its_factor(people):
    posterior = people.posterior.to_dataset()
    cohort = cohort_of(people, bg.load_model("oral"), posterior, "same", "fitted", True, 1)
    changed = cohort.changed({"group": set_to("T2D")})
    factor = posterior.covariate_effect.sel(effect=EFFECT)
    ratio = changed.parameters["insulin_sensitivity"] / cohort.parameters["insulin_sensitivity"]
    np.testing.assert_allclose(ratio.sel(subject="1"), factor)
    np.testing.assert_allclose(ratio.sel(subject="2"), 1.0)
    assert changed.covariates.group.values.tolist() == ["T2D"] * 4
    new = cohort_of(
        people, bg.load_model("oral"), posterior, bg.new_people(3, {"group": "NGT"}), None, False, 1
    )
    ill = new.changed({"group": set_to("T2D")})
    ratio = ill.parameters["insulin_sensitivity"] / new.parameters["insulin_sensitivity"]
    np.testing.assert_allclose(ratio.transpose("subject", ...), np.broadcast_to(factor, (3, *factor.shape)))


def test_an_effect_of_which_the_study_says_nothing_is_drawn_from_its_prior_and_told():
    silent = with_covariates()
    with pytest.warns(BayesgluWarning, match="does not say how group acts on basal_glucose"):
        found = bg.what_if(
            silent,
            {"a": "ogtt(75)", "b": bg.Scenario("ogtt(75)", {"group": "T2D"})},
            subjects="typical",
            of="auc",
            draws=60,
            random_seed=1,
        )
    area = found.glucose_auc
    assert float((np.log(area.sel(scenario="b") / area.sel(scenario="a"))).std()) > 0.01


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"group": bg.set_to("T3D")}, "there is no group 'T3D'. Did you mean 'T2D'"),
        ({"group": bg.shift(1)}, "group has levels"),
        ({"height": bg.shift(1)}, "No effect of the model 'oral' is of height"),
        ({"bmy": bg.shift(1)}, "Did you mean 'bmi'"),
        ({"insulin_sensitivity": lambda draws: "more"}, "does not make numbers"),
    ],
)
def test_a_covariate_that_cannot_be_so_is_refused(people, change, told):
    with pytest.raises(bg.BayesgluError, match=told):
        bg.what_if(people, change=change, **BRIEF)


def test_a_covariate_that_is_not_known_of_everyone_cannot_be_changed():
    unknown = fake_fit("oral", subjects=2, chains=1, draws=4)
    with pytest.raises(bg.BayesgluError, match="does not know group of its people"):
        bg.what_if(unknown, change={"group": bg.set_to("T2D")}, **BRIEF)
    partly = with_covariates(effects=every_effect())
    partly["constant_data"]["covariate_group"][1] = ""
    with pytest.raises(bg.BayesgluError, match="group is missing for 2"):
        bg.what_if(partly, change={"group": bg.set_to("T2D")}, **BRIEF)


def test_a_function_of_draws_is_a_change(people):
    found = bg.what_if(people, change={"insulin_sensitivity": lambda draws: 1.3 * draws}, of="auc", **BRIEF)
    scaled = bg.what_if(people, change={"insulin_sensitivity": bg.scale(1.3)}, of="auc", **BRIEF)
    xr.testing.assert_allclose(found.glucose_auc, scaled.glucose_auc)


def test_a_value_far_from_all_that_is_expected_is_taken_for_a_slip(people):
    with pytest.warns(BayesgluWarning, match=r"prior SDs from its median .* write scale\(1.3\)"):
        bg.what_if(people, change={"insulin_sensitivity": bg.set_to(1.3)}, **BRIEF)


# --- switches ---


def test_what_is_switched_off_is_off(loop):
    off = {name: bg.Scenario("meal(60)", switches=name) for name in SWITCHES} | {"usual": "meal(60)"}
    outputs = ["gluconeogenesis", "insulin_secretion", "glucagon", "glycogen"]
    outputs += ["hepatic_glucose_uptake", "incretin_effect"]
    found = bg.what_if(loop, off, outputs=outputs, **BRIEF)

    def at(output, scenario):
        return found[output].sel(scenario=scenario, time=60)

    assert (at("glucagon", "no_glucagon") < 0.2 * at("glucagon", "usual")).all()
    assert (at("gluconeogenesis", "no_glucagon") < at("gluconeogenesis", "usual")).all()
    assert (at("insulin_secretion", "no_beta_cells") == 0).all()
    assert (found.glycogen.sel(scenario="empty_liver", time=0) == 0).all()
    assert (at("hepatic_glucose_uptake", "no_hepatic_uptake") == 0).all()
    assert (at("incretin_effect", "no_incretin") == 1).all()
    assert found.attrs["change"].startswith("no_beta_cells: no beta cells; no_glucagon: no glucagon;")


def test_the_liver_of_an_earlier_model_is_switched_off_too():
    study = bg.load_study("synthetic_ogtt").select(subjects=["P01"], analytes=["glucose", "insulin"])
    earlier = bg.fit(
        THEN / "oral_cpeptide.toml", study, method="laplace", draws=6, random_seed=1, progressbar=False
    )
    off = bg.Scenario("meal(60)", switches="no_hepatic_uptake")
    found = bg.what_if(earlier, {"off": off}, outputs=["hepatic_glucose_uptake"], **BRIEF)
    assert (found.hepatic_glucose_uptake == 0).all()


@pytest.mark.parametrize("name", ["no_glucagon", "empty_liver"])
def test_what_a_model_does_not_have_cannot_be_switched_off(people, name):
    with pytest.raises(bg.BayesgluError, match=f"{name}: the model 'oral' has no"):
        bg.what_if(people, {"a": "ogtt(75)", "b": bg.Scenario("ogtt(75)", switches=name)}, **BRIEF)


# --- who ---


def test_the_typical_person_is_at_the_typical_values(people):
    found = bg.what_if(people, "ogtt(75)", subjects="typical", outputs=["glucose"], **BRIEF)
    basal = people.posterior.basal_glucose_typical.sel(draw=found.draw)
    np.testing.assert_allclose(found.glucose.isel(subject=0, scenario=0, time=0), basal)
    assert found.subject.values.tolist() == ["typical"] and found.attrs["subjects"] == "the typical person"


def test_new_people_have_the_covariates_and_weights_that_are_asked_for(people):
    table = pd.DataFrame({"group": ["NGT", "T2D"], "body_weight": [50.0, 100.0]})
    found = bg.what_if(people, "ogtt(75)", subjects=bg.new_people(4, like=table), of="auc", **BRIEF)
    assert found.attrs["delivered"] == "750 to 1500 mg/kg stomach" and found.sizes["subject"] == 4
    asked = {"subjects": bg.new_people(30, covariates={"group": "T2D"}), "of": "auc"}
    ill = bg.what_if(people, "ogtt(75)", **asked, **BRIEF)
    healthy = bg.new_people(30, covariates={"group": "NGT"})
    well = bg.what_if(people, "ogtt(75)", subjects=healthy, of="auc", **BRIEF)
    assert (ill.glucose_auc > well.glucose_auc).all(), "the same people, but for their group"
    assert ill.attrs["subjects"] == "30 new people like group T2D"
    like_study = bg.what_if(people, "ogtt(75)", subjects=bg.new_people(8, like="study"), of="auc", **BRIEF)
    mean = [float(each.glucose_auc.mean()) for each in (well, like_study, ill)]
    assert mean == sorted(mean)


def test_body_weights_may_be_given_by_person(people):
    weights = {"1": 50, "3": 100}
    found = bg.what_if(people, "ogtt(75)", subjects=["1", "2", "3"], body_weight=weights, of="auc", **BRIEF)
    assert found.attrs["delivered"] == "750 to 1500 mg/kg stomach"
    with pytest.raises(bg.BayesgluError, match="no subject '9'"):
        bg.what_if(people, "ogtt(75)", body_weight={"9": 70}, **BRIEF)


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"n": 2.5}, {"like": "others"}, {"n": True}], ids=lambda wrong: str(wrong)
)
def test_new_people_that_cannot_be_are_refused(wrong):
    with pytest.raises(bg.BayesgluError, match=r"(n|like) is"):
        bg.new_people(**wrong)


# --- measurements ---


def test_measurements_have_the_error_of_the_assay_and_keep_to_its_limits():
    """The SD of log errors against that of each draw: within five standard errors of an SD."""
    spec = bg.load_model("feedback").with_changes(analytes={"insulin": {"lloq": 60.0}})
    fit = fake_fit(spec, subjects=5, chains=2, draws=40)
    asked = {"outputs": ["glucose", "insulin", "glucagon", "glycogen"], "draws": 80, "random_seed": 1}
    true, read = (bg.what_if(fit, "ogtt(75)", measured=measured, **asked) for measured in (False, True))
    z = np.log(read.glucose / true.glucose) / fit.posterior.sigma_glucose
    assert abs(float(z.std()) - 1) < 5 / np.sqrt(2 * z.size) and abs(float(z.mean())) < 5 / np.sqrt(z.size)
    added = np.log(read.glucagon / (true.glucagon + fit.posterior.glucagon_background))
    z = added / fit.posterior.sigma_glucagon
    assert abs(float(z.std()) - 1) < 5 / np.sqrt(2 * z.size)
    assert float(read.insulin.min()) == 60 < float(read.insulin.max())
    assert (read.glycogen == true.glycogen).all() and read.glucose.attrs["long_name"].endswith("measurement")
    assert "glycogen" not in measured_outputs(spec)
    with pytest.raises(bg.BayesgluError, match="The model measures glucose, insulin"):
        bg.what_if(fit, "ogtt(75)", measured=True, outputs=["glycogen"], **BRIEF)


# --- much at once ---


def test_what_is_computed_in_parts_is_the_same(people, monkeypatch):
    asked = {"of": ["peak", "auc"], "outputs": ["glucose"], **BRIEF}
    whole = bg.what_if(people, {"a": "meal(60)", "b": "meal(90)"}, **asked)
    monkeypatch.setattr(asking, "AT_ONCE", 100)
    xr.testing.assert_equal(bg.what_if(people, {"a": "meal(60)", "b": "meal(90)"}, **asked), whole)


def test_where_quantities_are_asked_curves_are_kept_only_by_name(people):
    found = bg.what_if(people, "ogtt(75)", of=["peak", "insulin_auc"], **BRIEF)
    assert set(found) == {"glucose_peak", "insulin_auc"} and "time" not in found.dims
    curves = bg.what_if(people, "ogtt(75)", of="peak", outputs=["glucose"], units="SI", **BRIEF)
    assert set(curves) == {"glucose_peak", "glucose"} and curves.glucose.attrs["units"] == "mmol/L"
    np.testing.assert_allclose(curves.glucose.max("time"), curves.glucose_peak)


# --- grids and files ---


def test_a_grid_is_every_combination_and_the_first_of_each_comes_first():
    found = bg.grid(protocol={"small": "meal(30)", "large": "meal(90)"}, bmi=[22, 30.5])
    assert list(found) == ["small, bmi = 22", "small, bmi = 30.5", "large, bmi = 22", "large, bmi = 30.5"]
    assert str(found["large, bmi = 22"]) == "meal(90), bmi = 22"
    for wrong in ({}, {"protocol": []}, {"protocol": "meal(30)"}):
        with pytest.raises(bg.BayesgluError, match="something to combine"):
            bg.grid(**wrong)


FILE = """
protocol = "meal(60)"
[scenarios.usual]
[scenarios."a lean life"]
protocol = "meal(40)"
change = { insulin_sensitivity = "*1.3", group = "NGT", beta_cell_mass = 0.9, basal_glucose = "-5" }
switches = ["no_incretin"]
start = { glucose = 150 }
[scenarios.each]
protocol = { 1 = "meal(60)", 2 = "meal(90)" }
"""


def test_scenarios_are_read_from_a_file(tmp_path):
    path = tmp_path / "scenarios.toml"
    path.write_text(FILE, encoding="utf-8")
    found = bg.load_scenarios(path)
    assert list(found) == ["usual", "a lean life", "each"]
    assert str(found["a lean life"]) == (
        "meal(40), insulin_sensitivity x 1.3, group = NGT, beta_cell_mass = 0.9, basal_glucose -5, "
        "no incretin, glucose begins at 150"
    )
    assert found["usual"].protocol == bg.meal(60) and found["each"].protocol["2"] == bg.meal(90)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks the key 'scenarios'"),
        ("[scenarios]", "has no scenarios"),
        ("[scenarios.a]\nprotocl = 'meal(60)'", "Did you mean 'protocol'"),
        ("[scenarios.a]\nprotocol = 3", r"\[scenarios.a\] protocol must be a text"),
        ("[scenarios.a]\nprotocol = 'mael(60)'", "no protocol 'mael'. Did you mean 'meal'"),
        ("[scenarios.a]\nchange = { bmi = '?' }", "change bmi is '\\?'. Write"),
        ("[scenarios.a]\nchange = 3", "change must be a table"),
        ("[scenarios.a]\nswitches = ['no_liver']", "no switch 'no_liver'"),
        ("[scenarios.a]\nstart = { glucose = -3 }", "start glucose is -3"),
        ("a = [", "cannot be read"),
    ],
)
def test_everything_that_is_wrong_in_a_file_is_told_with_its_place(tmp_path, text, told):
    path = tmp_path / "scenarios.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(bg.BayesgluError, match=told):
        bg.load_scenarios(path)


def test_a_scenario_lists_all_that_is_wrong():
    with pytest.raises(
        bg.BayesgluError, match=r"2 problems(.|\n)*bmi: 3 is not a change(.|\n)*no_liver"
    ) as caught:
        bg.Scenario(change={"bmi": 3}, switches=["no_liver"])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("wrong", [[], {}, 3, ["meal(60)"]])
def test_what_are_no_scenarios_are_refused(people, wrong):
    with pytest.raises(bg.BayesgluError, match="Give a mapping"):
        bg.what_if(people, wrong, **BRIEF)
    with pytest.raises(bg.BayesgluError, match="and not both"):
        bg.what_if(people, {"a": "meal(60)"}, {"insulin_sensitivity": bg.scale(2)}, **BRIEF)


# --- whose protocol, weight and covariates, where nothing is said ---


@pytest.fixture(scope="module")
def differing():
    """A fit of people of other weights who did not take the same test."""
    study = bg.load_study("synthetic_ogtt").select(
        subjects=["P02", "P03", "P04"], analytes=["glucose", "insulin"]
    )
    given = {"P02": "ogtt(75)", "P03": "ogtt(50)", "P04": "meal(60)"}
    table = study.observations.to_dataframe()[["subject", "time", "analyte", "value"]]
    table["unit"] = table["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    weights = dict(zip(study.subjects, study.body_weight.values.tolist(), strict=True))
    study = bg.Study.from_table(table, protocol=given, body_weight=weights)
    return given, bg.fit("oral", study, method="laplace", draws=10, random_seed=1, progressbar=False)


def test_everyone_repeats_their_own_test_and_a_mapping_by_person_is_one(differing):
    given, fit = differing
    change = {"insulin_sensitivity": bg.scale(1.3)}
    unsaid = bg.what_if(fit, change=change, **BRIEF)
    said = bg.what_if(fit, given, change, **BRIEF)
    xr.testing.assert_equal(unsaid.drop_attrs(), said.drop_attrs())
    assert unsaid.attrs["occasion"] == said.attrs["occasion"] == "fitted"
    alone = bg.what_if(fit, "ogtt(50)", change, occasion="fitted", **BRIEF)
    xr.testing.assert_allclose(unsaid.glucose.sel(subject="P03"), alone.glucose.sel(subject="P03"))
    with pytest.raises(bg.BayesgluError, match="3 different protocols"):
        bg.what_if(fit, subjects="new", **BRIEF)


def test_no_mean_weight_takes_the_place_of_weights_that_were_left_out(differing, tmp_path):
    _, fit = differing
    shared = bg.load(bg.save(fit, tmp_path / "shared.nc", without_data=True))
    with pytest.raises(bg.BayesgluError, match=r"body weight is missing\. Give body_weight"):
        bg.what_if(shared, "ogtt(75)", **BRIEF)
    weights = dict(zip(fit.posterior.subject.values, fit.constant_data.body_weight.values, strict=True))
    told = bg.what_if(shared, "ogtt(75)", body_weight=weights, occasion="fitted", **BRIEF)
    xr.testing.assert_allclose(told.glucose, bg.what_if(fit, "ogtt(75)", occasion="fitted", **BRIEF).glucose)
    new = bg.what_if(shared, "ogtt(75)", subjects="new", n_new=3, **BRIEF)
    assert (
        new.attrs["delivered"]
        == bg.what_if(fit, "ogtt(75)", subjects="new", n_new=3, **BRIEF).attrs["delivered"]
    )


def test_new_people_of_whom_nothing_is_said_are_like_those_of_the_study(people):
    new = bg.what_if(people, "ogtt(75)", subjects="new", n_new=8, **BRIEF)
    like = bg.what_if(people, "ogtt(75)", subjects=bg.new_people(8, like="study"), **BRIEF)
    xr.testing.assert_equal(new.drop_attrs(), like.drop_attrs())
    assert new.attrs["subjects"] == "8 new people like the study's people"
    unknown = people.copy()
    unknown["constant_data"] = unknown["constant_data"].to_dataset()[["body_weight"]]
    told = bg.what_if(unknown, "ogtt(75)", subjects="new", n_new=8, **BRIEF).attrs["subjects"]
    assert told == "8 new people, at the references of bmi, group"


# --- what cannot be asked ---


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ({"group": "T2DD"}, "there is no group 'T2DD'. Did you mean 'T2D'"),
        ({"bmi": "heavy"}, "bmi is a number, and 'heavy' is none"),
        (
            pd.DataFrame({"bmi": [22.0, np.nan]}),
            "bmi is missing for 1 of 2. Fill it in, or leave all of it out",
        ),
    ],
)
def test_new_people_have_covariates_that_the_model_knows(people, who, told):
    given = {"like": who} if isinstance(who, pd.DataFrame) else {"covariates": who}
    with pytest.raises(bg.BayesgluError, match=told):
        bg.what_if(people, "ogtt(75)", subjects=bg.new_people(2, **given), **BRIEF)


def test_new_people_may_have_levels_by_other_spellings(people):
    spelt, usual = (
        bg.what_if(people, "ogtt(75)", subjects=bg.new_people(2, {"group": name}), of="auc", **BRIEF)
        for name in ("T2DM", "T2D")
    )
    assert (spelt.glucose_auc == usual.glucose_auc).all()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda fit: bg.grid(bmi=[25, 25.0], protocol=["meal(60)"]), "two combinations are called 'bmi = 25"),
        (lambda fit: bg.new_people(2, ["T2D"]), "Give a mapping, such as"),
        (lambda fit: bg.comparisons(fit, "group"), "variables is 'group'. Give a mapping"),
        (
            lambda fit: bg.comparisons(fit, {"group": ["NGT", "T2D"]}, rope=(2, 1)),
            "Give two numbers, from and to",
        ),
        (
            lambda fit: bg.comparisons(fit, {"group": ["NGT", "T2D"]}, above=float("nan")),
            "above is nan; it must be a finite number",
        ),
        (lambda fit: bg.effects(fit, rope=0.1), "Give two numbers, from and to"),
        (lambda fit: bg.slopes(fit, "bmi", per="5"), "per is '5'; it must be a number above 0"),
        (lambda fit: bg.what_if(fit, draws="all"), "draws is 'all'; it must be 1 or more"),
        (lambda fit: bg.what_if(fit, "meal(60)", body_weight="70kg"), "body_weight of everyone is '70kg'"),
        (lambda fit: bg.what_if(fit, "meal(60)", rtol=0), "rtol is 0"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_in_words(people, ask, told):
    with pytest.raises(bg.BayesgluError, match=told):
        ask(people)
