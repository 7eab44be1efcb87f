"""Parts combine: each name has one home, and what organs give and take is added to the pools."""

from typing import Annotated

import numpy as np
import pytest
from reference import FEEDBACK, TYPICAL

from bayesglu.analysis.simulation import simulate
from bayesglu.errors import InputError
from bayesglu.physiology.loop import LoopError, assemble, carbon
from bayesglu.physiology.parts import Part, State
from bayesglu.physiology.quantities import (
    GlucagonRate,
    Glucose,
    GlucoseAmount,
    GlucoseRate,
    InsulinRate,
    Rate,
    Ratio,
)
from bayesglu.physiology.registry import get_part, register_part
from bayesglu.protocols.clamps import clamp

pytestmark = pytest.mark.usefixtures("registry")

ORGAN = {"organ": "kept"}


def constant(value: float, unit: str):
    """A flux that is always so large; its unit is that of an argument with a default."""

    def flux(size=value):
        return size

    flux.__annotations__ = dict.fromkeys(("size", "return"), Annotated[float, unit])
    return flux


def rates(structure, state=None, parameters=TYPICAL, inputs=None):
    body = assemble(structure)
    return body.derivatives(body.initial(parameters) | (state or {}), parameters, inputs)


def organ(**sides) -> dict:
    """A structure with an organ of 1.5 amounts per kg and minute, which gives or takes them."""
    kinds = {"glucose_mass": GlucoseRate, "insulin": InsulinRate, "glucagon": GlucagonRate}
    unit = kinds[next(iter(next(iter(sides.values())).values()))].__metadata__[0]
    register_part("organ", "kept", Part({"organ_flux": constant(1.5, unit)}, **sides), replace=True)
    return {**FEEDBACK.structure, **ORGAN}


@pytest.mark.parametrize(
    ("pool", "volume"),
    [("glucose_mass", 1.0), ("insulin", TYPICAL["insulin_volume"]), ("glucagon", TYPICAL["glucagon_volume"])],
)
@pytest.mark.parametrize(("side", "sign"), [("gives", 1.0), ("takes", -1.0)])
def test_the_rate_of_a_pool_is_its_own_and_what_organs_give_less_what_they_take(pool, volume, side, sign):
    away = {"glucose_mass": 300.0, "insulin": 200.0, "glucagon": 150.0}
    before = rates(FEEDBACK.structure, away)
    after = rates(organ(**{side: {"organ_flux": pool}}), away)
    assert after[pool] - before[pool] == pytest.approx(sign * 1.5 / volume, rel=1e-9)
    assert {name for name in before if after[name] != before[name]} == {pool}


def test_several_organs_share_a_pool():
    one = Part({"first_flux": constant(2.0, "mg/kg/min")}, gives={"first_flux": "glucose_mass"})
    two = Part({"second_flux": constant(0.5, "mg/kg/min")}, takes={"second_flux": "glucose_mass"})
    register_part("first_organ", "kept", one)
    register_part("second_organ", "kept", two)
    both = {**FEEDBACK.structure, "first_organ": "kept", "second_organ": "kept"}
    change = rates(both)["glucose_mass"] - rates(FEEDBACK.structure)["glucose_mass"]
    assert change == pytest.approx(1.5)


def test_a_flux_may_go_from_one_pool_to_that_of_another_organ():
    def store_rate(store: GlucoseAmount, store_loss: Rate) -> GlucoseRate:
        return -store_loss * store

    register_part(
        "store", "kept", Part({"store_rate": store_rate}, {"store": State("store_rate", None, "mg/kg", 10.0)})
    )
    carried = Part(
        {"carried": constant(0.25, "mg/kg/min")}, {}, {"carried": "store"}, {"carried": "glucose_mass"}
    )
    register_part("carrier", "kept", carried)
    structure = {**FEEDBACK.structure, "store": "kept", "carrier": "kept"}
    change = rates(structure, {"store": 4.0}, {**TYPICAL, "store_loss": 0.1})
    assert change["store"] == pytest.approx(0.25 - 0.4)
    assert change["glucose_mass"] == pytest.approx(rates(FEEDBACK.structure)["glucose_mass"] - 0.25)


def kidney_output(basal_kidney_output: GlucoseRate, glucose: Glucose, basal_glucose: Glucose) -> GlucoseRate:
    return basal_kidney_output * basal_glucose / glucose


@pytest.mark.parametrize(("side", "sign"), [("gives", -1.0), ("takes", 1.0)])
def test_at_rest_the_liver_makes_up_for_what_other_organs_exchange(side, sign):
    register_part(
        "organ", "kept", Part({"kidney_output": kidney_output}, **{side: {"kidney_output": "glucose_mass"}})
    )
    structure, parameters = {**FEEDBACK.structure, **ORGAN}, {**TYPICAL, "basal_kidney_output": 0.4}
    body = assemble({**structure, "glycogen": "held"})
    assert "basal_kidney_output" in body.parameters
    change = body.derivatives(body.initial(parameters), parameters)
    assert max(map(abs, change.values())) < 1e-10
    without = assemble(FEEDBACK.structure).basal(TYPICAL)["basal_glucose_production"]
    assert body.basal(parameters)["basal_glucose_production"] == pytest.approx(without + sign * 0.4)


def test_carbon_that_an_organ_gives_or_takes_is_counted_as_given():
    structure = {**organ(takes={"organ_flux": "glucose_mass"}), "mass_balance": "tracked"}
    change = rates(structure, {"glucose_mass": 300.0, "gut": 100.0}, inputs={"stomach": 7.0})
    assert carbon(change) == pytest.approx(7.0, abs=1e-11)


def test_a_clamp_makes_up_for_what_an_organ_takes():
    changed = FEEDBACK.with_changes(organ(takes={"organ_flux": "glucose_mass"}))
    with_organ, without = (
        simulate(spec, clamp(150, 120), times=[60.0, 110.0, 120.0], outputs=["glucose", "glucose_infusion"])
        for spec in (changed, FEEDBACK)
    )
    np.testing.assert_allclose(with_organ.glucose, 150, atol=0.3)
    assert float(with_organ.glucose_infusion[1] - without.glucose_infusion[1]) > 1.0


def test_two_parts_that_compute_one_name_are_refused_by_their_names():
    register_part("organ", "kept", get_part("brain", "constant"))
    told = r"both brain 'saturating' and organ 'kept' compute brain_glucose_uptake, which must be one part's"
    with pytest.raises(LoopError, match=told):
        assemble({**FEEDBACK.structure, **ORGAN})


def test_quantities_that_need_each_other_are_refused():
    def egg(hen: Ratio) -> Ratio:
        return hen

    def hen(egg: Ratio) -> Ratio:
        return egg

    register_part("organ", "kept", Part({"egg": egg, "hen": hen}))
    with pytest.raises(LoopError, match=r"(egg, hen|hen, egg) need each other; one of them must be a state"):
        assemble({**FEEDBACK.structure, **ORGAN})


def test_what_no_chosen_part_has_is_no_pool():
    structure = organ(gives={"organ_flux": "glucagon"}) | {"alpha_cell": "constant"}
    with pytest.raises(
        LoopError, match="organ 'kept' exchanges organ_flux with glucagon, which no chosen part"
    ):
        assemble(structure)


def test_an_exchange_at_rest_with_what_nothing_balances_is_refused():
    def graft(basal_graft: InsulinRate) -> InsulinRate:
        return basal_graft

    register_part("organ", "kept", Part({"graft": graft}, gives={"graft": "insulin"}))
    with pytest.raises(LoopError, match="basal_graft of it at rest, but nothing balances insulin"):
        assemble({**FEEDBACK.structure, **ORGAN})


# --- fluxes replaced one by one ---


def test_a_replaced_flux_is_computed_anew_and_all_others_as_before():
    def glycogenolysis(glycogen: GlucoseAmount, glycogen_turnover: Rate) -> GlucoseRate:
        return glycogen_turnover * glycogen

    whole = get_part("liver", "reference_uptake")
    mine = whole.replacing(glycogenolysis=glycogenolysis)
    assert {n for n, f in mine.quantities.items() if f is not whole.quantities[n]} == {"glycogenolysis"}
    assert mine.states == whole.states
    register_part("liver", "mine", mine)
    body = assemble({**FEEDBACK.structure, "liver": "mine"})
    parameters = {**TYPICAL, "glycogen_turnover": 0.001}
    fluxes = body.fluxes_at(body.initial(parameters), parameters)
    assert fluxes["glycogenolysis"] == 0.001 * TYPICAL["initial_glycogen"]
    assert "glycogen_half_saturation" not in body.parameters
    assert body.parameters[-1] == "glycogen_turnover", "those of bayesglu come first"


def test_unknown_fluxes_are_refused_all_at_once_with_the_known_ones():
    with pytest.raises(InputError) as caught:
        get_part("brain", "constant").replacing(brain_glucose_uptak=kidney_output, sweat=kidney_output)
    assert "no quantity 'brain_glucose_uptak'. Did you mean 'brain_glucose_uptake'?" in str(caught.value)
    assert "'sweat'" in str(caught.value) and "Quantities allowed here: brain_glucose_up" in str(caught.value)


def test_a_part_cannot_be_changed_in_place():
    with pytest.raises(TypeError):
        get_part("brain", "constant").quantities["brain_glucose_uptake"] = kidney_output
