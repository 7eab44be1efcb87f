"""A what-if is the same people with and without a change, from a saved fit alone."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import CASES, WHOLE, varied

from bayesglu.analysis.changes import scale, set_to, shift
from bayesglu.analysis.counterfactual import what_if
from bayesglu.analysis.people import draw_people
from bayesglu.analysis.simulation import simulate
from bayesglu.hierarchy import names
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.inference.fit_files import save
from bayesglu.inference.fitting import fit
from bayesglu.protocols.library import fast, infusion, ogtt
from bayesglu.protocols.table import keep_protocols
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import load_model, read_model

SHOWN = ("glucose", "insulin", "insulin_secretion")
TIMES = (0, 30, 60, 120, 240)
BRIEF = {"times": TIMES, "outputs": SHOWN, "draws": 12}


@pytest.fixture(scope="module")
def people():
    """A fit of three people with the model `oral`."""
    return fake_fit("oral", subjects=3, chains=2, draws=30)


def scenario(result: xr.Dataset, name: str) -> xr.Dataset:
    return result.sel(scenario=name, drop=True)


def difference(result: xr.Dataset, output: str) -> xr.DataArray:
    return result[output].sel(scenario="changed") - result[output].sel(scenario="reference")


def simulated_at(fit, place: dict, changed: dict | None = None, **own) -> xr.Dataset:
    """What `simulate` gives for one person at one draw of a fit."""
    at = fit.posterior.to_dataset().sel(place)
    names = [n for n, v in at.data_vars.items() if v.attrs["role"] in ("individual", "shared")]
    parameters = {n: at[n].item() for n in names if not at[n].dims} | own
    for name, how in (changed or {}).items():
        parameters[name] = how(parameters[name])
    return simulate(read_model(fit.attrs["model_text"]), ogtt(75), parameters, TIMES, SHOWN)


# --- what is compared ---


def test_each_scenario_is_the_simulation_of_the_persons_own_draw(people):
    found = what_if(people, change={"insulin_sensitivity": scale(1.3)}, **BRIEF)
    assert dict(found.sizes) == {"scenario": 2, "chain": 2, "draw": 6, "subject": 3, "time": 5}
    assert list(found.scenario.values) == ["reference", "changed"]
    for chain, draw, subject in ((0, found.draw.values[0], "1"), (1, found.draw.values[-1], "3")):
        place = {"chain": chain, "draw": draw, "subject": subject}
        before = simulated_at(people, place)
        after = simulated_at(people, place, {"insulin_sensitivity": lambda value: 1.3 * value})
        xr.testing.assert_allclose(scenario(found, "reference").sel(place, drop=True), before, rtol=1e-9)
        xr.testing.assert_allclose(scenario(found, "changed").sel(place, drop=True), after, rtol=1e-9)


@pytest.mark.parametrize("subjects", ["same", "new"])
def test_a_change_that_changes_nothing_leaves_every_draw_of_everyone_where_it_was(people, subjects):
    found = what_if(people, change={"insulin_sensitivity": scale(1.0)}, subjects=subjects, n_new=4, **BRIEF)
    for output in SHOWN:
        assert (difference(found, output) == 0).all()


def test_without_a_change_there_is_one_scenario(people):
    found = what_if(people, **BRIEF)
    assert list(found.scenario.values) == ["reference"] and found.attrs["change"] == "none"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (scale(1.1), lambda before: 1.1 * before),
        (shift(-7.0), lambda before: before - 7.0),
        (set_to(95.0), lambda before: 95.0 + 0 * before),
    ],
)
def test_a_change_scales_shifts_or_sets_and_is_told(people, how, expected):
    """Glucose begins at the basal value."""
    found = what_if(people, change={"basal_glucose": how}, **BRIEF).glucose.sel(time=0)
    before = found.sel(scenario="reference", drop=True)
    np.testing.assert_allclose(found.sel(scenario="changed", drop=True), expected(before), rtol=1e-12)


def test_a_fixed_parameter_can_be_changed_too_and_several_at_once(people):
    change = {"hepatic_extraction": set_to(0.5), "basal_insulin": shift(5)}
    found = what_if(people, change=change, **BRIEF)
    assert (difference(found, "insulin").sel(time=0) == pytest.approx(5)).all()
    assert found.attrs["change"] == "hepatic_extraction = 0.5, basal_insulin +5"


def test_outputs_say_their_unit_and_by_default_are_those_that_the_model_has(people):
    found = what_if(people, times=[0, 60], draws=2)
    assert found.glucose.attrs["units"] == "mg/dL"
    assert found.endogenous_glucose_production.attrs["units"] == "mg/kg/min"
    assert "c_peptide" not in found and "insulin_secretion" in found
    assert found.attrs["protocol"] == "ogtt(75)" and "stomach" in found.attrs["delivered"]


# --- physiology ---


@given(factor=st.floats(1.05, 4.0), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=5)
def test_more_insulin_sensitivity_lowers_glucose_within_the_hour_and_later_while_it_is_high(factor, seed):
    """Nearer to fasting, and below it, it can be higher: whoever falls sooner is on the way back sooner. And
    of the same production in a fast more insulin sensitivity leaves less to what needs no insulin: at 30 min,
    before insulin acts, one in 150 is higher, by less than 1 mg/dL, where glucose is above 200."""
    fit = fake_fit("oral", subjects=4, chains=1, draws=12, seed=seed)
    found = what_if(fit, change={"insulin_sensitivity": scale(factor)}, **BRIEF)
    away, changed = difference(found, "glucose"), scenario(found, "changed").glucose
    assert (away.sel(time=30) < 1).all() and (away.sel(time=60) < 0).all()
    still_high = changed.sel(time=120) > changed.sel(time=0) + 20
    assert (away.sel(time=120).where(still_high, -1.0) < 0).all()


def test_without_beta_cells_a_glucose_drink_brings_forth_no_insulin(people):
    found = what_if(people, change={"beta_cell_mass": set_to(0)}, **BRIEF)
    lost = scenario(found, "changed")
    assert (lost.insulin_secretion == 0).all()
    at_rest = lost.insulin.sel(time=0)
    assert (lost.insulin.sel(time=120) < 0.1 * at_rest).all()
    assert (difference(found, "glucose").sel(time=120) > 100).all()


def test_a_fasting_person_stays_at_rest_whatever_draw_it_is(people):
    found = what_if(people, fast(4), **BRIEF)
    for output in ("glucose", "insulin"):
        np.testing.assert_allclose(found[output] / found[output].sel(time=0), 1.0, rtol=1e-4)


# --- whose ---


@pytest.mark.parametrize("subjects", ["2", ["2"], ["3", "1"]])
def test_some_people_are_those_people_of_all(people, subjects):
    everyone, some = what_if(people, **BRIEF), what_if(people, subjects=subjects, **BRIEF)
    assert list(some.subject.values) == ([subjects] if isinstance(subjects, str) else subjects)
    xr.testing.assert_allclose(some, everyone.sel(subject=some.subject), rtol=1e-12)


def test_new_people_differ_from_each_other_and_from_draw_to_draw_as_the_population_says():
    fit = fake_fit("oral", subjects=2, chains=1, draws=200)
    found = what_if(fit, subjects="new", n_new=10, times=[0], outputs=["glucose"], draws=200, random_seed=5)
    basal = np.log(found.glucose.sel(time=0, scenario="reference"))
    typical = np.log(fit.posterior.basal_glucose_typical)
    between = fit.posterior.basal_glucose_omega
    assert list(found.subject.values[:2]) == ["new 1", "new 2"]
    standard = (basal - typical) / between
    assert abs(float(standard.mean())) < 0.1 and 0.93 < float(standard.std()) < 1.07
    persons = standard.mean("draw")
    assert float(persons.std()) < 0.2, "no one person is kept from draw to draw"


def test_new_people_are_the_same_with_the_same_seed(people):
    first, again, other = (what_if(people, subjects="new", random_seed=s, **BRIEF) for s in (1, 1, 2))
    xr.testing.assert_equal(first, again)
    assert not (first.glucose == other.glucose).any()


def test_what_varies_from_occasion_to_occasion_is_that_of_the_persons_first_one():
    spec = varied("oral", "occasion", "emptying_rate")
    fit = fake_fit(spec, subjects=2, chains=1, draws=5, occasions=2)
    found = what_if(fit, subjects=["2"], **BRIEF)
    place = {"chain": 0, "draw": 4, "subject": "2"}
    within = [str(n).removesuffix("_occasion") for n in fit.posterior if str(n).endswith("_occasion")]
    assert {"incretin_potentiation", "early_emptying_share"} <= set(within), "nested in what is the person's"
    first = fit.posterior.sel(chain=0, draw=4, occasion="2/1")
    of_first = {name: first[f"{name}_occasion"].item() for name in within}
    expected = simulated_at(fit, place, emptying_rate=first.emptying_rate.item(), **of_first)
    xr.testing.assert_allclose(found.sel(place, drop=True).isel(scenario=0, drop=True), expected, rtol=1e-9)
    labels = [f"{label}/morning" for label in fit.posterior.occasion.values]
    named = fit.copy()
    for group in ("posterior", "protocols"):
        named[group] = xr.DataTree(fit[group].to_dataset().assign_coords(occasion=labels))
    xr.testing.assert_equal(what_if(named, subjects=["2"], **BRIEF), found)


def test_a_parameter_that_people_share_still_follows_their_covariates():
    """As incretin potentiation, where it is a population's: less in type 2 diabetes."""
    spec = load_model("oral").with_changes(parameters={"incretin_potentiation": {"level": "shared"}})
    fit = fake_fit(spec, subjects=2, chains=1, draws=5)
    factor = xr.full_like(fit.posterior.sigma_glucose, 0.4).assign_attrs(role="effect")
    factor = factor.expand_dims(effect=["incretin_potentiation by group:T2D"], axis=-1)
    fit["posterior"] = fit["posterior"].assign(covariate_effect=factor)
    group = xr.DataArray(["NGT", "T2D"], coords={"subject": ["1", "2"]})
    fit["constant_data"] = fit["constant_data"].assign(covariate_group=group)
    found = what_if(fit, **BRIEF)
    for subject, share in (("1", 1.0), ("2", 0.4)):
        place = {"chain": 0, "draw": 3, "subject": subject}
        own = share * fit.posterior.incretin_potentiation.sel(chain=0, draw=3).item()
        expected = simulated_at(fit, place, incretin_potentiation=own)
        at = found.isel(scenario=0, drop=True).sel(place, drop=True)
        xr.testing.assert_allclose(at, expected, rtol=1e-9)
    fit["constant_data"] = xr.DataTree(fit["constant_data"].to_dataset().drop_vars("covariate_group"))
    with pytest.raises(ValueError, match="incretin_potentiation depends on group, which the fit was saved"):
        what_if(fit, **BRIEF)


def test_amounts_for_a_whole_person_follow_the_body_weight(people):
    light, heavy = (what_if(people, body_weight=kg, **BRIEF) for kg in (50, 100))
    assert light.attrs["delivered"] == "1500 mg/kg stomach"
    assert heavy.attrs["delivered"] == "750 mg/kg stomach"
    assert light.glucose.mean() > heavy.glucose.mean()


# --- from a file ---


@pytest.mark.long
def test_a_saved_fit_is_enough_and_pymc_stays_away(tmp_path):
    d = CASES[WHOLE]()
    real = fit(d.spec, d.study, draws=10, random_seed=1, method="laplace", progressbar=False)
    path = save(real, tmp_path / "fit.nc", without_data=True)
    expected = what_if(real, change={"insulin_sensitivity": scale(1.3)}, draws=3, times=[0, 120])
    text = (
        "import sys, bayesglu\n"
        "from bayesglu import scale, what_if\n"
        f"found = what_if(bayesglu.load({str(path)!r}), change={{'insulin_sensitivity': scale(1.3)}},\n"
        "                draws=3, times=[0, 120])\n"
        "print(found.glucose.values.ravel().tolist())\n"
        "print(sorted({'pymc', 'pytensor', 'nutpie', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    numbers, modules = done.stdout.splitlines()
    assert modules == "[]"
    np.testing.assert_allclose(np.fromstring(numbers[1:-1], sep=","), expected.glucose.values.ravel())


# --- what cannot be done ---


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"change": {"insulin_sensitivty": scale(2)}}, r"'insulin_sensitivty'. Did you mean 'insulin_sens"),
        ({"change": {"insulin_sensitivity": 1.3}}, r"1.3 is not a change; use scale\(1.3\), shift\(5\)"),
        ({"change": {"bioavailability": scale(1.2)}}, "values 1 or more; it is a fraction"),
        ({"change": {"hepatic_extraction": set_to(1)}}, "values 1 or more; it is a fraction"),
        ({"change": {"basal_glucose": shift(-500)}}, "makes some values negative or not finite"),
        ({"change": {"basal_glucose": set_to(-5.0)}}, "makes some values negative or not finite"),
        ({"subjects": ["1", "7", "9"]}, r"no subject '7'(.|\n)*no subject '9'(.|\n)*Known: same, new, 1"),
        ({"subjects": []}, "No subject was chosen"),
        ({"outputs": ["glucos"]}, "Did you mean 'glucose'"),
        ({"times": [60, 0]}, "increases"),
        ({"draws": 0}, "must be 1 or more"),
        ({"subjects": "new", "n_new": 0}, "must be 1 or more"),
        ({"protocol": "ogt(75)"}, "ogtt"),
        ({"protocol": 75}, "A protocol must be a text"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_words(people, request_, words):
    with pytest.raises(ValueError, match=words):
        what_if(people, **BRIEF | request_)


def test_a_factor_below_zero_and_what_is_no_number_are_refused_at_once():
    with pytest.raises(ValueError, match="a factor of 0 or more"):
        scale(-0.1)
    for make in (scale, shift, set_to):
        for wrong in (float("nan"), "1.3", None):
            with pytest.raises(ValueError, match="give a finite number"):
                make(wrong)


def test_whose_equations_cannot_be_solved_is_named_with_the_draw(people):
    with pytest.raises(SolverError, match=r"36 of 36 solves failed(.|\n)*chain 0, draw 0, subject 1: "):
        what_if(people, change={"basal_glucose": set_to(0)}, **BRIEF)


def test_a_protocol_must_be_named_when_the_fit_cannot_tell_which():
    several = fake_fit("oral", subjects=2, chains=1, draws=2)
    followed = {("1", "1"): ogtt(75), ("2", "1"): ogtt(50)}
    several["protocols"] = xr.DataTree(keep_protocols(followed))
    with pytest.raises(ValueError, match=r"2 different protocols, so name one: what_if\(fit, protocol="):
        what_if(several, subjects="new", **BRIEF)
    assert what_if(several, "ogtt(50)", **BRIEF).attrs["protocol"] == "ogtt(50)"


def test_a_protocol_without_a_name_that_can_be_read_is_followed_too():
    given = replace(ogtt(50) + infusion("insulin", 0.2, "mU/kg/min", 60), name="events.csv")
    drunk = fake_fit("oral", subjects=1, chains=1, draws=2)
    drunk["protocols"] = xr.DataTree(keep_protocols({("1", "1"): given}))
    xr.testing.assert_equal(what_if(drunk, **BRIEF), what_if(drunk, given, **BRIEF))


def test_parameters_of_new_people_are_correlated_as_the_population_is():
    section = {"parameters": ["basal_glucose", "basal_insulin"], "priors": {}}
    spec = load_model("oral").with_changes(correlations=section)
    posterior = fake_fit("oral", subjects=1, chains=2, draws=3).posterior.to_dataset()
    known = np.array([[-0.9, 0.0, 0.5], [0.9, 0.3, -0.2]])
    posterior["correlation"] = (("chain", "draw", "pair"), known[..., None])
    found = draw_people(spec, posterior, [str(i) for i in range(4000)], np.random.default_rng(1))
    pair = [
        np.log(found[n] / posterior[names.typical(n)]) / posterior[names.omega(n)]
        for n in ("basal_glucose", "basal_insulin")
    ]
    np.testing.assert_allclose((pair[0] * pair[1]).mean("subject"), known, atol=0.06)
    np.testing.assert_allclose([z.std("subject") for z in pair], 1.0, atol=0.06)


def test_a_model_driven_by_measured_insulin_cannot_answer():
    forced = fake_fit("minimal", subjects=1, chains=1, draws=2)
    with pytest.raises(
        ValueError, match=r"'minimal' has measured insulin as its forcing function.*'ivgtt' or 'oral'"
    ):
        what_if(forced, **BRIEF)


def test_a_state_can_be_held(people):
    whole = fake_fit("feedback", subjects=1, chains=1, draws=3)
    request_ = {"times": [0, 240], "outputs": ["liver_glycogen"], "draws": 3}
    free, held = (what_if(whole, hold=hold, **request_).liver_glycogen for hold in ((), ("glycogen",)))
    assert (held.sel(time=240) == held.sel(time=0)).all()
    assert (free.sel(time=240) != free.sel(time=0)).all()


# --- of which occasion ---

FROM_DAY_TO_DAY = """
title = "t"
extends = "oral"
[parameters.insulin_sensitivity]
between_occasion = { cv = 0.3, gsd = 1.2 }
[parameters.emptying_rate]
between_occasion = { cv = 0.3, gsd = 1.2 }
[parameters.basal_glucose]
between_occasion = {}
"""


@pytest.mark.parametrize("seen", [1, 3])
@pytest.mark.parametrize("kappa", [0.2, 0.4, 0.9])
def test_another_occasion_is_as_people_with_a_part_of_their_own_and_one_of_each_occasion_have_it(kappa, seen):
    """Against people who have both: limits are five standard errors, of a slope and of a variance."""
    omega, draws, people = 0.5, 400, 100
    text = FROM_DAY_TO_DAY.replace("0.3, gsd = 1.2", f"{np.sqrt(np.expm1(kappa**2))}, gsd = 1.0000001")
    labels = [(str(i), "1") for i in range(people)]
    columns = ["insulin_sensitivity", "basal_glucose"]
    own = Individuals.of(load_model(text), columns, columns, labels, xr.Dataset())
    rng = np.random.default_rng(seen)
    typical = np.tile(own.typical_prior[0], (draws, 1))
    population = typical, np.zeros((draws, 0)), np.full((draws, 2), omega), np.zeros((draws, 0))
    centre, shape = own.centre(*population[:2]), (draws, people)
    of_day = min(kappa, omega * np.sqrt(seen))  # as much as the fitted variance leaves room for
    persons = rng.normal(0, np.sqrt(omega**2 - of_day**2 / seen), size=shape)
    fitted = persons + rng.normal(0, of_day, size=(seen, *shape)).mean(0)
    expected = persons + rng.normal(0, of_day, size=shape)
    individual = centre.copy()
    individual[..., 0] += fitted
    found = own.draw_another_occasion(*population, individual, np.full(people, seen), rng) - centre
    np.testing.assert_array_equal(found[..., 1], 0.0)
    error = 5 * np.sqrt(2 / fitted.size) * max(1.0, expected.std() / omega)
    slopes = [np.cov(each.ravel(), fitted.ravel())[0, 1] / omega**2 for each in (found[..., 0], expected)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1.5 * error)
    assert found[..., 0].var() / expected.var() == pytest.approx(1, abs=1.5 * error)


@pytest.fixture(scope="module")
def from_day_to_day():
    """A fit of three people with a model that lets two parameters differ from day to day."""
    return fake_fit(load_model(FROM_DAY_TO_DAY), subjects=3, chains=2, draws=30)


def test_the_fitted_protocol_speaks_of_the_fitted_occasion_and_another_one_of_another(from_day_to_day):
    asked = {**BRIEF, "random_seed": 1}
    same = what_if(from_day_to_day, **asked)
    assert same.attrs["occasion"] == what_if(from_day_to_day, ogtt(75), **asked).attrs["occasion"] == "fitted"
    other = what_if(from_day_to_day, ogtt(74.999), {"insulin_sensitivity": scale(1.0)}, **asked)
    assert other.attrs["occasion"] == "another"
    xr.testing.assert_equal(scenario(other, "reference"), scenario(other, "changed"))
    away = abs(np.log(scenario(other, "reference").glucose / scenario(same, "reference").glucose))
    assert float(away.sel(time=[30, 60, 120]).mean()) > 0.02
    xr.testing.assert_allclose(
        scenario(what_if(from_day_to_day, ogtt(74.999), occasion="fitted", **asked), "reference"),
        scenario(same, "reference"),
        rtol=1e-3,
    )
    again = what_if(from_day_to_day, occasion="another", **asked)
    xr.testing.assert_identical(again, what_if(from_day_to_day, occasion="another", **asked))
    assert not again.equals(what_if(from_day_to_day, occasion="another", **{**asked, "random_seed": 2}))


def test_where_nothing_differs_from_day_to_day_another_occasion_is_the_fitted_one():
    differing = [p.name for p in load_model("oral").parameters.values() if p.between_occasion]
    taken_away = "".join(f"[parameters.{name}]\nbetween_occasion = {{}}\n" for name in differing)
    people = fake_fit(
        load_model(f'title = "t"\nextends = "oral"\n{taken_away}'), subjects=3, chains=2, draws=30
    )
    fitted, another = (
        what_if(people, occasion=which, random_seed=1, **BRIEF) for which in ("fitted", "another")
    )
    xr.testing.assert_allclose(fitted, another, rtol=1e-9)


def test_an_occasion_that_is_none_is_refused(people):
    with pytest.raises(ValueError, match="'tomorrow'; choose 'fitted' or 'another'"):
        what_if(people, occasion="tomorrow", **BRIEF)
    with pytest.raises(ValueError, match="New people were seen on no occasion"):
        what_if(people, subjects="new", occasion="fitted", **BRIEF)


def test_what_differs_between_occasions_is_of_parameters_that_differ_between_subjects():
    with pytest.raises(ValueError, match="is given, but the level is 'fixed'"):
        load_model(FROM_DAY_TO_DAY.replace("emptying_rate", "renal_threshold"))
    fixed = load_model('title = "t"\nextends = "oral"\n[parameters.emptying_rate]\nlevel = "fixed"\n')
    assert load_model("oral").parameters["emptying_rate"].between_occasion is not None
    assert fixed.parameters["emptying_rate"].between_occasion is None
