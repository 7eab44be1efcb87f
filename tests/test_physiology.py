"""Plain arithmetic with units: the same for any kind of number, in any units, and at rest when fasting."""

import ast
import inspect
import math
import sys
from inspect import Parameter, signature

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import TYPICAL, WHOLE, people

from bayesglu import physiology
from bayesglu.catalog import list_models
from bayesglu.physiology import adrenal, basal, gut, liver, loop, pancreas, periphery, smooth
from bayesglu.physiology.choices import BUILT_IN, DEFAULTS, INPUTS
from bayesglu.physiology.loop import LoopError, assemble
from bayesglu.physiology.quantities import fractions, units
from bayesglu.physiology.registry import SHIPPED
from bayesglu.spec.model import load_model

unhurried = settings(deadline=None, max_examples=8)

MODELS = list_models()
PARTS = list(SHIPPED.parts())
PARAMETERS = SHIPPED.parameters
FLUXES = {
    f"{f.__module__.rpartition('.')[2]}.{f.__name__}": f for part in PARTS for f in part.quantities.values()
}
REGULATORS = (
    "incretin_effect",
    "glucagon_effect",
    "glucagon_drive",
    "production_left_by_insulin",
    "glycogenolysis_left_by_glucose",
    "hypoglycaemic_drive",
    "glucagon_secretion_left_by_insulin",
    "glycogenolysis_drive",
    "gluconeogenesis_drive",
    "adrenergic_restraint",
)
ACTING = {
    "stomach": 5.0,
    "glucose": 2.0,
    "insulin": 6.0,
    "glucagon": 3000.0,
    "emptying": 0.7,
    "elapsed": 40.0,
    "clamp": 1.0,
    "clamp_target": 120.0,
    "insulin_level": 80.0,
}
levels = st.lists(st.floats(-1.0, 1.0), min_size=len(DEFAULTS) + 30, max_size=len(DEFAULTS) + 30)


def defaults(quantities) -> dict:
    """Arguments that need not be given, with their values: constants of nature and of the laboratory."""
    return {
        name: a.default
        for f in quantities
        for name, a in signature(f).parameters.items()
        if a.default is not Parameter.empty
    }


def disturbed(body: loop.Loop, parameters, scores) -> dict:
    """A state some way from basal: each concentration and store moved by a factor, stomach and gut filled."""
    start = body.initial(parameters)
    return {
        name: (start[name] or state.scale) * math.exp(score)
        for (name, state), score in zip(body.states.items(), scores, strict=False)
    }


def everything(structure=WHOLE, parameters=TYPICAL, scores=(0.3, -0.2, 0.5, -0.4) * 6) -> dict:
    """Every number that flows through a loop in a disturbed state: parameters, states, inputs, quantities."""
    body = assemble(structure)
    return body.fluxes_at(disturbed(body, parameters, scores), parameters, ACTING)


ADRENALINE = {"adrenal_medulla": "responsive", "liver": "counterregulated"}
OTHER = {**WHOLE, "gut": "two_phase", "tissue": "saturating", "discrepancy": "smooth", **ADRENALINE}
OF_OTHER = {"hepatic_uptake_maximum": 6.0, "early_emptying_share": 0.1, "uptake_half_saturation": 160.0}
OF_OTHER |= {"mass_action_uptake": 0.005, "fasting_production": 2.2}
OF_OTHER |= {"adrenergic_half_glucose": 90.0, "adrenergic_production": 2.5, "adrenergic_resistance": 0.4}
OF_OTHER |= {name: 1.2 for name in SHIPPED.parameters if name.endswith("_discrepancy")}


def arguments(function) -> dict[str, float]:
    """Numbers to call a flux with, of their usual size."""
    pool = everything(OTHER, TYPICAL | OF_OTHER) | everything()
    pool |= everything(load_model("minimal").structure, TYPICAL | OF_OTHER) | defaults([function])
    return {name: pool[name] for name in signature(function).parameters}


# --- arithmetic ---


@pytest.mark.parametrize("name", FLUXES)
def test_a_flux_is_the_same_on_numbers_on_arrays_and_on_symbols(name):
    flux, near = FLUXES[name], arguments(FLUXES[name])
    rng = np.random.default_rng(1)
    many = {n: value * rng.uniform(0.9, 1.1, 20) for n, value in near.items()}
    symbols = {n: sympy.Symbol(n, real=True) for n in many}

    one_by_one = [flux(**{n: float(v[i]) for n, v in many.items()}) for i in range(20)]
    at_once = flux(**many)
    exactly = sympy.lambdify(list(symbols.values()), flux(**symbols), "math")
    by_symbols = [exactly(*(float(v[i]) for v in many.values())) for i in range(20)]

    assert np.isfinite(one_by_one).all()
    np.testing.assert_allclose(np.broadcast_to(at_once, 20), one_by_one, rtol=1e-13)
    np.testing.assert_allclose(by_symbols, one_by_one, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "module", [adrenal, basal, gut, liver, pancreas, periphery], ids=lambda m: m.__name__
)
def test_an_organ_holds_no_number_with_a_unit(module):
    tree = ast.parse(inspect.getsource(module))
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    numbers = {
        node.value
        for body in bodies
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and not isinstance(node.value, str)
    }
    assert numbers <= {1, 2, 3, 4, 8, 16}, "only ones, halves and whole powers"


@given(st.floats(-2000, 2000), st.floats(0.01, 30))
@unhurried
def test_the_softplus_neither_overflows_nor_undershoots_its_corner(x, width):
    value = smooth.softplus(x, width)
    assert max(x, 0.0) <= value <= max(x, 0.0) + width * math.log(2) * (1 + 1e-12)


@given(st.floats(1e-3, 500), st.floats(0.1, 30))
@unhurried
def test_the_inverse_softplus_undoes_the_softplus(value, width):
    assert smooth.softplus(smooth.softplus_inverse(value, width), width) == pytest.approx(value, rel=1e-9)


@given(st.floats(1.01, 20))
@unhurried
def test_a_saturating_drive_is_one_at_one_nothing_at_nothing_and_never_above_its_ceiling(ceiling):
    assert smooth.saturating_drive(1.0, ceiling) == pytest.approx(1.0, rel=1e-12)
    assert smooth.saturating_drive(0.0, ceiling) == 0.0
    assert smooth.saturating_drive(1e9, ceiling) < ceiling


# --- units ---


def test_a_name_has_one_unit_wherever_it_stands():
    said: dict[str, set[str]] = {}
    for part in PARTS:
        for name, flux in part.quantities.items():
            for argument, unit in units(flux).items():
                said.setdefault(name if argument == "return" else argument, set()).add(unit)
        for name, state in part.states.items():
            said.setdefault(name, set()).add(state.unit)
    assert {name: found for name, found in said.items() if len(found) > 1} == {}


def test_every_argument_and_every_result_says_its_unit():
    for flux in FLUXES.values():
        assert set(units(flux)) == {*signature(flux).parameters, "return"}, flux


@pytest.mark.parametrize("slot, choice", [(slot, choice) for slot in BUILT_IN for choice in BUILT_IN[slot]])
def test_a_state_changes_in_its_unit_per_minute_and_starts_in_its_unit(slot, choice):
    structure = {**WHOLE, slot: choice}
    if (slot, choice) == ("adrenal_medulla", "none"):
        structure["liver"] = "regulated"
    if slot in ("beta_cell", "insulin", "liver", "glycogen") and choice in ("none", "forced", "constant"):
        structure = {**load_model("minimal").structure, slot: choice}
    if slot == "gut" and choice == "none":
        structure["discrepancy"] = "none"  # which changes the emptying of the stomach
    body = assemble(structure)
    for name, state in body.states.items():
        assert body.unit(state.rate) == f"{state.unit}/min", name
        assert state.initial is None or {**PARAMETERS, **units_of(body)}[state.initial] == state.unit, name


def units_of(body: loop.Loop) -> dict[str, str]:
    return {name: body.unit(name) for name in body.quantities}


INPUT_UNITS = ("mg/kg/min", "mg/kg/min", "pmol/kg/min", "pg/kg/min", "1", "min", "1", "mg/dL", "pmol/L")
BASE_UNITS = ("min", "mg", "dL", "L", "kg", "pmol", "pg", "mL", "mmol")


def size(unit: str, factors) -> float:
    """By how much a number in `unit` grows when each base unit is replaced by another."""
    powers = {name: sympy.Symbol(name, positive=True) for name in BASE_UNITS}
    return float(sympy.sympify(unit, locals=powers).subs({powers[n]: f for n, f in factors.items()}))


@pytest.mark.parametrize("name", [*MODELS, "the whole loop under a clamp"])
@given(logs=st.lists(st.floats(-3, 3), min_size=len(BASE_UNITS), max_size=len(BASE_UNITS)), scores=levels)
@settings(deadline=None, max_examples=10)
def test_in_other_units_it_is_the_same_person(name, logs, scores):
    """Each base unit is replaced by another; every quantity of the loop must change as its own unit says."""
    structure = load_model(name).structure if name in MODELS else WHOLE
    body = assemble(structure)
    factors = dict(zip(BASE_UNITS, map(math.exp, logs), strict=True))
    unit = dict(PARAMETERS) | {name: state.unit for name, state in body.states.items()}
    for quantity, flux in body.quantities.items():
        unit |= units(flux) | {quantity: units(flux)["return"]}
    unit |= dict(zip((f"{channel}_input" for channel in INPUTS), INPUT_UNITS, strict=True))
    grows = {u: size(u, factors) for u in set(unit.values())}

    parameters = {n: (TYPICAL | OF_OTHER)[n] for n in body.parameters}
    known = parameters | disturbed(body, parameters, scores) | defaults(body.quantities.values())
    known |= {f"{channel}_input": value for channel, value in ACTING.items()}
    here = body.evaluate(known)
    there = body.evaluate({n: value * grows[unit[n]] for n, value in known.items()})
    for quantity in body.quantities:
        back, said = there[quantity] / grows[unit[quantity]], unit[quantity]
        assert back == pytest.approx(here[quantity], rel=1e-9, abs=1e-9), f"{quantity} is not in {said}"


def test_a_wrong_unit_would_be_noticed():
    factors = dict.fromkeys(BASE_UNITS, 1.0) | {"dL": 10.0, "kg": 2.0}
    assert size("pmol*dL/kg/min/mg", factors) == 5.0
    assert size("mg/dL", factors) == 0.1
    assert size("1", factors) == 1.0


# --- the fasting basal state ---


def basal_inputs(body: loop.Loop, parameters) -> dict[str, float]:
    """A person whose insulin is measured has basal insulin while fasting."""
    return {"insulin_level": parameters["basal_insulin"]} if body.structure["insulin"] == "forced" else {}


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@unhurried
def test_a_fasting_person_is_at_rest_but_for_the_glycogen_that_is_used_up(name, data):
    spec = load_model(name)
    body, parameters = assemble(spec.structure), data.draw(people(spec))
    start = body.initial(parameters)
    change = body.derivatives(start, parameters, basal_inputs(body, parameters))
    assert max(abs(rate) for state, rate in change.items() if state != "glycogen") < 1e-10


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@unhurried
def test_a_fasting_person_stays_at_the_basal_state_when_glycogen_is_held(name, data):
    spec = load_model(name)
    body, parameters = assemble({**spec.structure, "glycogen": "held"}), data.draw(people(spec))
    change = body.derivatives(body.initial(parameters), parameters, basal_inputs(body, parameters))
    assert max(map(abs, change.values())) < 1e-10


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@unhurried
def test_every_regulator_is_one_in_the_basal_state(name, data):
    spec = load_model(name)
    body, parameters = assemble(spec.structure), data.draw(people(spec))
    fluxes = body.fluxes_at(body.initial(parameters), parameters, basal_inputs(body, parameters))
    for regulator in set(REGULATORS) & set(fluxes):
        assert fluxes[regulator] == pytest.approx(1.0, rel=1e-12), regulator


def test_the_typical_person_loses_glycogen_overnight_as_was_measured():
    body = assemble(load_model("feedback").structure)
    lost = -body.derivatives(body.initial(TYPICAL), TYPICAL)["glycogen"]
    fluxes = body.fluxes_at(body.initial(TYPICAL), TYPICAL)
    per_minute = lost * fluxes["liver_glycogen"] / TYPICAL["initial_glycogen"]
    assert lost == pytest.approx(0.856, abs=0.005)
    assert 0.14 < per_minute < 0.26, "mmol/L/min; 0.19 (SE 0.01) in Bischof 2001"


@given(people(load_model("feedback")))
@unhurried
def test_every_basal_flux_is_positive_whatever_the_parameters(parameters):
    body = assemble(load_model("feedback").structure)
    found = {name: value for name, value in body.basal(parameters).items() if name.startswith("basal_")}
    assert len(found) > 10 and min(found.values()) > 0


@given(people(load_model("feedback")))
@unhurried
def test_basal_production_is_what_tissues_kidney_and_liver_take_up(parameters):
    body = assemble(load_model("feedback").structure)
    fluxes = body.fluxes_at(body.initial(parameters), parameters)
    taken = fluxes["tissue_uptake"] + fluxes["renal_glucose_excretion"] + fluxes["hepatic_glucose_uptake"]
    produced = fluxes["endogenous_glucose_production"]
    assert produced == pytest.approx(taken, rel=1e-12)
    assert produced == pytest.approx(fluxes["basal_glucose_production"], rel=1e-12)
    assert fluxes["gluconeogenesis_share"] == pytest.approx(parameters["gluconeogenic_share"], rel=1e-12)


# --- positivity ---


@given(st.floats(0.01, 0.99), st.floats(1.0, 1e5), st.floats(1.0, 1e4), st.floats(0.0, 1e6))
@unhurried
def test_the_liver_clears_a_share_of_its_insulin_however_much_arrives(extraction, half, fasting, arriving):
    assert 0 < liver.insulin_extraction(arriving, fasting, extraction, half) < 1
    assert liver.insulin_extraction(fasting, fasting, extraction, half) == pytest.approx(extraction)


@given(people(load_model("feedback")), st.floats(0.3, 3.0))
@unhurried
def test_what_is_stored_while_fasting_does_not_depend_on_how_high_basal_insulin_is(parameters, factor):
    body, other = assemble(load_model("feedback").structure), {**parameters}
    other["basal_insulin"] *= factor
    signals = [body.basal(p)["basal_storage_signal"] for p in (parameters, other)]
    assert signals[0] == pytest.approx(signals[1], rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data(), scores=levels)
@unhurried
def test_nothing_falls_below_zero_because_no_state_falls_when_it_is_empty(name, data, scores):
    spec = load_model(name)
    body, parameters = assemble(spec.structure), data.draw(people(spec))
    for empty in body.states:
        state = disturbed(body, parameters, scores) | {empty: 0.0}
        change = body.derivatives(state, parameters, {"insulin_level": 80.0})
        assert change[empty] >= 0, empty


# --- how a loop is put together ---


@pytest.mark.parametrize("name", MODELS)
def test_each_quantity_comes_after_all_that_it_needs(name):
    body = assemble(load_model(name).structure)
    seen = {*body.states, *body.parameters, *(f"{channel}_input" for channel in INPUTS)}
    for quantity, flux in body.quantities.items():
        assert set(signature(flux).parameters) - set(defaults([flux])) <= seen, quantity
        seen.add(quantity)


def test_the_whole_loop_has_every_flux_that_people_ask_for():
    body = assemble(load_model("feedback").structure)
    asked = {
        "glycogenolysis",
        "gluconeogenesis",
        "endogenous_glucose_production",
        "hepatic_glucose_uptake",
        "insulin_secretion",
        "insulin_extraction",
        "tissue_uptake",
        "renal_glucose_excretion",
        "glucose_appearance",
    }
    assert asked <= set(body.fluxes)


def test_parts_that_do_not_fit_together_are_refused_with_what_is_missing():
    with pytest.raises(LoopError, match="nothing computes basal_insulin_secretion, insulin_secretion"):
        assemble({**load_model("oral").structure, "beta_cell": "none"})


def test_a_parameter_is_a_share_of_a_whole_in_every_signature_or_in_none():
    for name in PARAMETERS:
        asking = [function for function in SHIPPED.functions if name in signature(function).parameters]
        assert {name in fractions(function) for function in asking} == {name in SHIPPED.fractions}, name
    assert {"bioavailability", "glucagon_tolerance"} <= SHIPPED.fractions
    assert not {"beta_cell_mass", "production_ceiling"} & SHIPPED.fractions  # ratios, which may be above 1
    assert units(gut.glucose_appearance)["bioavailability"] == "1"


def test_the_physiology_needs_nothing_but_the_standard_library():
    for module in (physiology, basal, gut, liver, loop, pancreas, periphery, smooth):
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            named += [node.module] if isinstance(node, ast.ImportFrom) else []
            homes = {source.split(".")[0] for source in named}
            assert homes <= {"bayesglu", *sys.stdlib_module_names}, module.__name__
