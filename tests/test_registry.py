"""What a structure can choose from: what is registered is checked, has no old code, and leaves its trace."""

import inspect
import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import pytest
from reference import FEEDBACK, TYPICAL

import bayesglu
from bayesglu.analysis.simulation import simulate
from bayesglu.catalog import list_models
from bayesglu.errors import BayesgluError, FitWarning, InputError
from bayesglu.physiology.choices import ALWAYS, BUILT_IN
from bayesglu.physiology.faults import faults_of
from bayesglu.physiology.loop import LoopError, assemble
from bayesglu.physiology.parts import Part, State
from bayesglu.physiology.quantities import (
    Fraction,
    Glucose,
    GlucoseAmount,
    GlucoseClearance,
    GlucoseRate,
    Insulin,
    Minutes,
    Rate,
    Ratio,
)
from bayesglu.physiology.registry import (
    SHIPPED,
    available,
    get_part,
    list_parts,
    register_part,
    registered_sources,
)
from bayesglu.physiology.smooth import log
from bayesglu.protocols.library import ogtt
from bayesglu.spec.model import SpecError, load_model, model_of, read_model

pytestmark = pytest.mark.usefixtures("registry")

TIMES = [0.0, 30.0, 60.0, 120.0]


def uptake(factor: float):
    """Uptake by muscle so many times as strong, as a function of its own."""

    def insulin_independent_uptake(glucose: Glucose, mass_action_uptake: GlucoseClearance) -> GlucoseRate:
        return factor * mass_action_uptake * glucose

    return insulin_independent_uptake


def lactate_rate(lactate: Annotated[float, "mmol/L"], lactate_loss: Rate) -> Annotated[float, "mmol/L/min"]:
    return -lactate_loss * lactate


LACTATE = Part({"lactate_rate": lactate_rate}, {"lactate": State("lactate_rate", None, "mmol/L", 1.0)})
LOSS = {"symbol": "k_L", "unit": "1/min", "level": "fixed", "typical": {"median": 0.02}}
LOSS |= {"kind": "judgement", "source": []}


def with_lactate():
    register_part("lactate", "lost", LACTATE)
    return load_model("oral").with_changes({"lactate": "lost"}, {"lactate_loss": LOSS})


def _size() -> Ratio:
    return 1.0


# --- the parts of bayesglu ---


@pytest.mark.parametrize("slot, name", [(slot, name) for slot in BUILT_IN for name in BUILT_IN[slot]])
def test_a_shipped_part_passes_the_checks_of_one_that_is_registered(slot, name):
    assert faults_of(BUILT_IN[slot][name], SHIPPED.without_part(slot, name)) == []


def test_what_every_model_has_passes_them_too():
    assert faults_of(ALWAYS, SHIPPED) == []


def test_parts_are_listed_and_given_by_name_and_an_unknown_name_is_answered_with_the_known_ones():
    assert list_parts()["kidney"] == ("threshold", "none")
    assert get_part("kidney", "threshold") is BUILT_IN["kidney"]["threshold"]
    with pytest.raises(LookupError, match=r"no slot 'kidny'\. Did you mean 'kidney'\?"):
        get_part("kidny", "threshold")
    with pytest.raises(BayesgluError, match=r"no choice 'treshold'\. Did you mean 'threshold'\?"):
        get_part("kidney", "treshold")


# --- what is registered ---


def test_a_new_parameter_has_the_unit_of_the_signature_and_comes_after_those_of_bayesglu():
    register_part("lactate", "lost", LACTATE)
    assert list(available().parameters)[: len(SHIPPED.parameters)] == list(SHIPPED.parameters)
    assert available().parameters["lactate_loss"] == "1/min"
    with pytest.raises(SpecError, match=r"unit is '1/h'; the physiology has lactate_loss in '1/min'"):
        load_model("oral").with_changes({"lactate": "lost"}, {"lactate_loss": {**LOSS, "unit": "1/h"}})
    with pytest.raises(SpecError, match=r"lacks 'lactate_loss' \(1/min\), which this structure needs"):
        load_model("oral").with_changes({"lactate": "lost"})


def test_a_new_share_of_a_whole_wants_a_scale_that_keeps_it_below_one():
    def lost(
        lactate: Annotated[float, "mmol/L"], lactate_loss: Rate, share: Fraction
    ) -> Annotated[float, "mmol/L/min"]:
        return -lactate_loss * share * lactate

    register_part("lactate", "partly_lost", LACTATE.replacing(lactate_rate=lost))
    share = {**LOSS, "unit": "1", "typical": {"median": 0.5}}
    with pytest.raises(SpecError, match="scale is 'log'; this is a share of a whole"):
        load_model("oral").with_changes({"lactate": "partly_lost"}, {"lactate_loss": LOSS, "share": share})


def test_a_model_that_does_not_name_a_new_slot_is_the_model_it_was():
    before = {name: (load_model(name).hash, assemble(load_model(name).structure)) for name in list_models()}
    register_part("lactate", "lost", LACTATE)
    for name, (known, loop) in before.items():
        spec = load_model(name)
        assert spec.hash == known and assemble(spec.structure) is loop
        named = read_model(spec.text.replace("[structure]\n", '[structure]\nlactate = "none"\n'))
        assert named.hash == known, "to name the default is to say nothing"


def test_the_default_of_a_new_slot_is_the_part_registered_as_none():
    def excess(glucose: Glucose, basal_glucose: Glucose) -> Ratio:
        return glucose / basal_glucose

    register_part("excess", "none", Part({"excess": excess}))
    assert available().defaults["excess"] == "none"
    for name in list_models():
        loop = assemble(load_model(name).structure)
        assert "excess" in loop.fluxes and loop.structure["excess"] == "none"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (LACTATE, "none asks for lactate_loss, which not every model has"),
        (Part({"storage_signal": _size}), "none computes storage_signal, as another part does"),
    ],
)
def test_the_default_of_a_new_slot_leaves_every_model_whole(part, told):
    with pytest.raises(InputError, match=told):
        register_part("lactate", "none", part)


def test_a_registered_organ_is_simulated_and_its_model_text_means_the_same_again():
    spec = with_lactate()
    found = simulate(spec, ogtt(75), times=TIMES, start={"lactate": 2.0}, outputs=["lactate"])
    np.testing.assert_allclose(found.lactate, 2.0 * np.exp(-0.02 * np.array(TIMES)), rtol=1e-5)
    assert found.lactate.attrs["units"] == "mmol/L"
    again = read_model(spec.text)
    assert again == spec and again.hash == spec.hash


def test_the_same_part_twice_does_no_harm_and_another_is_refused_unless_it_is_meant():
    def made(exponent):
        def lactate_rate(
            lactate: Annotated[float, "mmol/L"], lactate_loss: Rate
        ) -> Annotated[float, "mmol/L/min"]:
            return -lactate_loss * lactate * exponent

        return LACTATE.replacing(lactate_rate=lactate_rate)

    register_part("lactate", "lost", made(1))
    register_part("lactate", "lost", made(1))
    with pytest.raises(InputError, match=r"another part has this name, from test_registry.*replace=True"):
        register_part("lactate", "lost", made(2))
    register_part("lactate", "lost", made(2), replace=True)
    with pytest.raises(InputError, match="another part has this name, from bayesglu"):
        register_part("kidney", "threshold", LACTATE)


def test_a_flux_that_is_registered_anew_gives_new_numbers_though_all_caches_are_full_of_the_old():
    clearance = {"symbol": "k_g", "unit": "dL/kg/min", "level": "fixed", "typical": {"median": 0.005}}
    clearance |= {"kind": "judgement", "source": []}
    balance = {"basal_balance": "from_uptake"}
    oral = load_model("oral").with_changes(balance, {"mass_action_uptake": clearance})
    kidney = {"mass_action_uptake": 0.01}
    for factor, same_as in ((1.0, {}), (2.0, kidney), (1.0, {})):
        body = {**ALWAYS.quantities, "insulin_independent_uptake": uptake(factor)}
        mine = Part(
            {
                "renal_glucose_excretion": body["insulin_independent_uptake"],
                "basal_renal_glucose_excretion": uptake_at_rest(factor),
            }
        )
        register_part("kidney", "by_mass_action", mine, replace=True)
        spec = oral.with_changes({"kidney": "by_mass_action"})
        found = simulate(spec, ogtt(75), times=TIMES, outputs=["glucose"]).glucose
        expected = simulate(spec, ogtt(75), same_as, times=TIMES, outputs=["glucose"]).glucose
        if factor == 1.0:
            np.testing.assert_array_equal(found, expected)
            first = found
        else:
            assert float(abs(found - first).max()) > 1.0


def uptake_at_rest(factor: float):
    def basal_renal_glucose_excretion(
        basal_glucose: Glucose, mass_action_uptake: GlucoseClearance
    ) -> GlucoseRate:
        return factor * mass_action_uptake * basal_glucose

    return basal_renal_glucose_excretion


def test_many_threads_register_at_once_and_nothing_is_lost():
    def register(number):
        register_part(f"organ_{number}", "kept", Part({f"size_{number}": _size}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(register, range(40)))
    assert {f"organ_{number}" for number in range(40)} <= set(list_parts())


# --- what is wrong with a part ---


def without_units(glucose, basal_glucose: Glucose):
    return glucose - basal_glucose


def with_a_number(glucose: Glucose) -> Glucose:
    return glucose - 90.0


def in_wrong_powers(glucose: Glucose, renal_clearance: GlucoseClearance) -> GlucoseRate:
    return renal_clearance * glucose**2


def in_another_unit(glucose: Annotated[float, "mmol/L"]) -> Glucose:
    return glucose


def not_a_share(bioavailability: Ratio) -> Ratio:
    return bioavailability


def a_share(beta_cell_mass: Fraction) -> Ratio:
    return beta_cell_mass


def star(*glucose: Glucose) -> Glucose:
    return glucose[0]


def mistaken(glucose: Glucose) -> Glucose:
    return glucos  # noqa: F821


def ratio(glucose: Glucose, basal_glucose: Glucose) -> Ratio:
    return glucose / basal_glucose


def slope(delayed: Glucose, glucose: Glucose, delay: Minutes) -> Annotated[float, "mg/dL/min"]:
    return (glucose - delayed) / delay


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Part({"x": without_units}), "x does not say the unit of glucose, return. Write a kind of"),
        (Part({"x": star}), "x takes glucose otherwise than by name"),
        (Part({"x": math.exp}), "x must be a plain function"),
        (Part({"x": in_another_unit}), "x has glucose in 'mmol/L'; elsewhere it is in 'mg/dL'"),
        (Part({"gut_rate": slope}), "gut_rate has gut_rate in 'mg/dL/min'; elsewhere it is in 'mg/kg/min'"),
        (Part({"x": with_a_number}), "x does not come out in 'mg/dL' when other units are chosen"),
        (Part({"x": in_wrong_powers}), "x does not come out in 'mg/kg/min'"),
        (Part({"x": mistaken}), "x cannot be computed: NameError"),
        (Part({"x": not_a_share}), "bioavailability is a share of a whole (Fraction) in one signature"),
        (Part({"x": a_share}), "beta_cell_mass is a share of a whole (Fraction) in one signature"),
        (
            Part({"x": slope}, {"delayed": State("x", "basal_insulin", "mg/dL", 100.0)}),
            "basal_insulin in 'mg/dL'",
        ),
        (Part({"x": slope}, {"delayed": State("y", None, "mg/dL", 100.0)}), "needs y, which no function"),
        (
            Part({"x": slope}, {"delayed": State("x", None, "mg/dL", 0.0)}),
            "scale of the state delayed is 0.0",
        ),
        (Part({"x": slope}, {"delayed": State("x", None, "mg/dL", 1.0, volume="w")}), "names w, which no"),
        (
            Part({"x": slope}, gives={"x": "glucose_mass"}),
            "x is in 'mg/dL/min'; glucose_mass receives 'mg/kg/min'",
        ),
        (Part({"x": slope}, gives={"x": "glucos_mass"}), "exchanged with glucos_mass, which is no state"),
        (
            Part({"x": slope}, takes={"y": "glucose_mass"}),
            "y is exchanged with glucose_mass, but the part does not",
        ),
        (Part({"x": slope}, modulates={"x": ("glycogenolysis",)}), "x modulates, and is in 'mg/dL/min'"),
        (
            Part({"x": slope}, modulates={"y": ("glycogenolysis",)}),
            "y modulates glycogenolysis, but",
        ),
        (
            Part({"x": ratio}, modulates={"x": ("glycogenolisis",)}),
            "x modulates glycogenolisis, which no function",
        ),
        ({"x": slope}, "Make one with bayesglu.Part(quantities, states)"),
    ],
)
def test_a_fault_of_a_part_is_told_before_it_takes_part(part, told):
    with pytest.raises(InputError) as caught:
        register_part("organ", "mine", part)
    assert told in str(caught.value)
    assert "organ" not in list_parts()


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError) as caught:
        register_part(
            "organ", "mine", Part({"x": with_a_number, "y": in_wrong_powers}, gives={"z": "insulin"})
        )
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError, match=r"(?s)'My organ' is no name.*'2nd' is no name"):
        register_part("My organ", "2nd", LACTATE)


def test_a_flux_that_has_no_derivative_is_told_by_name():
    def uneven(glucose: Glucose, basal_glucose: Glucose, brain_uptake: GlucoseRate) -> GlucoseRate:
        return brain_uptake if glucose > basal_glucose else 0.0 * brain_uptake

    register_part("brain", "uneven", Part({"brain_glucose_uptake": uneven}))
    spec = load_model("oral").with_changes({"brain": "uneven"})
    told = r"brain_glucose_uptake \(test_registry\) cannot be run on symbols.*comparisons and ifs"
    with pytest.raises(InputError, match=told):
        simulate(spec, ogtt(75), times=TIMES)


def test_a_power_that_is_not_whole_is_refused():
    def allometric(glucose: Glucose, basal_glucose: Glucose, brain_uptake: GlucoseRate) -> GlucoseRate:
        return brain_uptake * (glucose / basal_glucose) ** 0.75

    register_part("brain", "allometric", Part({"brain_glucose_uptake": allometric}))
    with pytest.raises(BayesgluError, match=r"Only integer powers and square roots .*\*\*-?0\.75"):
        simulate(load_model("oral").with_changes({"brain": "allometric"}), ogtt(75), times=TIMES)


def test_a_structure_with_what_is_not_there_makes_no_loop():
    with pytest.raises(LoopError, match=r"there is no liver 'mine'\. lactate is no slot"):
        assemble({**FEEDBACK.structure, "liver": "mine", "lactate": "lost"})
    with pytest.raises(LoopError, match="nothing is chosen for liver"):
        assemble({slot: name for slot, name in FEEDBACK.structure.items() if slot != "liver"})


# --- the trace that a part leaves ---


def test_the_sources_of_a_structure_are_those_of_its_registered_parts_alone():
    assert registered_sources(FEEDBACK.structure) == {}
    (found,) = registered_sources(with_lactate().structure).items()
    assert found[0] == "lactate/lost" and found[1]["module"] == "test_registry"
    assert len(found[1]["sha256"]) == 64
    register_part("kidney", "threshold", get_part("kidney", "none"), replace=True)
    assert "kidney/threshold" in registered_sources(FEEDBACK.structure)


GAIN = 1.0


def _helper(x):
    return GAIN * x


def helped(lactate: Annotated[float, "mmol/L"], lactate_loss: Rate) -> Annotated[float, "mmol/L/min"]:
    return -_helper(lactate_loss) * lactate


def test_the_hash_is_of_the_function_and_of_all_that_it_names(monkeypatch):
    def found():
        return registered_sources({**FEEDBACK.structure, "lactate": "helped"})["lactate/helped"]["sha256"]

    register_part("lactate", "helped", LACTATE.replacing(lactate_rate=helped))
    first = found()
    assert first == found()
    monkeypatch.setitem(globals(), "GAIN", 2.0)
    assert found() != first
    monkeypatch.setitem(globals(), "GAIN", 1.0)
    monkeypatch.setitem(globals(), "_helper", lambda x: GAIN * x + 0 * x)
    assert found() != first


def test_the_source_of_what_was_typed_in_is_its_code():
    def typed(body):
        scope = {"Ratio": Ratio, "__name__": "__main__"}
        exec(f"def size(other_size: Ratio) -> Ratio:\n    return {body}", scope)
        register_part("organ", "typed", Part({"size": scope["size"]}), replace=True)
        return registered_sources({**FEEDBACK.structure, "organ": "typed"})["organ/typed"]

    one, two, same = typed("other_size"), typed("2 * other_size"), typed("other_size")
    assert one == same != two and one["module"] == "__main__"


def kept_of(spec):
    """What a fit keeps of its model."""
    equations = assemble(spec.structure).fingerprint(spec.medians)
    parts = registered_sources(spec.structure)
    return {"model_text": spec.text, "equations": json.dumps(equations), "parts": json.dumps(parts)}


def test_a_slot_that_came_later_changes_no_fit():
    kept = {name: kept_of(load_model(name)) for name in list_models()}
    register_part("excess", "none", Part({"excess": _size}))
    for name, attributes in kept.items():
        assert "excess" in assemble(model_of(attributes).structure).fluxes
        assert model_of(attributes).hash == load_model(name).hash


def test_one_warning_says_which_quantities_and_which_sources_have_changed_since_a_fit():
    def doubled(lactate: Annotated[float, "mmol/L"], lactate_loss: Rate) -> Annotated[float, "mmol/L/min"]:
        return -2 * lactate_loss * lactate

    def held(initial_glycogen: GlucoseAmount) -> GlucoseAmount:
        return initial_glycogen

    kept = kept_of(with_lactate())
    assert model_of(kept) == with_lactate()
    register_part("lactate", "lost", LACTATE.replacing(lactate_rate=helped), replace=True)
    alike = "^my fit: the source of lactate/lost has changed since .* may not be what was fitted"
    with pytest.warns(FitWarning, match=alike):
        model_of(kept, "my fit")
    register_part("lactate", "lost", LACTATE.replacing(lactate_rate=doubled), replace=True)
    both = "the equations of lactate_rate have changed and the source of lactate/lost has changed since"
    with pytest.warns(FitWarning, match=f"{both} .* is not what was fitted"):
        model_of(kept)
    register_part("glycogen", "held", get_part("glycogen", "held").replacing(glycogen=held), replace=True)
    with pytest.warns(FitWarning, match="the source of lactate/lost, glycogen/held has changed"):
        model_of(kept)


def test_a_fit_is_made_where_a_quantity_of_its_own_has_no_value_at_the_state_that_is_compared():
    def growth(lactate: Annotated[float, "mmol/L"], lactate_loss: Rate) -> Ratio:
        return log(-lactate_loss * lactate / (lactate_loss * lactate))

    register_part("lactate", "grown", Part({**LACTATE.quantities, "growth": growth}, LACTATE.states))
    spec = load_model("oral").with_changes({"lactate": "grown"}, {"lactate_loss": LOSS})
    kept = kept_of(spec)
    assert math.isnan(json.loads(kept["equations"])["growth"])
    assert model_of(kept) == spec


def test_a_fit_keeps_the_sources_and_an_error_names_the_module_where_they_are_not_registered(registry):
    register_part("lactate", "lost", LACTATE)
    spec = load_model("minimal").with_changes({"lactate": "lost"}, {"lactate_loss": LOSS})
    quick = {"method": "laplace", "random_seed": 1, "draws": 4, "progressbar": False}
    fit = bayesglu.fit(spec, "bergman1986", **quick)
    plain = bayesglu.fit("minimal", "bergman1986", **quick)
    assert json.loads(plain.attrs["parts"]) == {}
    assert json.loads(fit.attrs["parts"]) == registered_sources(spec.structure)
    found, known = (float(f.posterior.insulin_sensitivity.median()) for f in (fit, plain))
    assert found == pytest.approx(known, rel=1e-3), "an organ apart changes nothing"
    assert model_of(fit.attrs) == spec

    register_part("lactate", "lost", LACTATE.replacing(lactate_rate=helped), replace=True)
    with pytest.warns(FitWarning, match="the source of lactate/lost has changed since this fit was made"):
        model_of(fit.attrs)

    registry = inspect.getmodule(register_part)
    registry._registered = SHIPPED
    told = r"has no key 'lactate'.*\n.*\n.*registered first.*came from the module 'test_registry'"
    with pytest.raises(SpecError, match=told):
        model_of(fit.attrs)
    with pytest.raises(SpecError, match=r"has no key 'lactate'.*\n.*\n.*with bayesglu.register_part"):
        read_model(spec.text)


def test_an_unknown_choice_is_answered_with_the_known_ones_and_with_what_to_do():
    text = FEEDBACK.text.replace('liver = "reference_uptake"', 'liver = "regulatd"')
    with pytest.raises(SpecError) as caught:
        read_model(text)
    assert (
        "Did you mean 'regulated'?\n  Allowed here: regulated, counterregulated, reference_uptake, constant"
        in str(caught.value)
    )
    assert "must be registered first, with bayesglu.register_part" in str(caught.value)


def test_what_is_typical_is_at_rest_whatever_is_registered_beside():
    with_lactate()
    body = assemble({**FEEDBACK.structure, "glycogen": "held"})
    change = body.derivatives(body.initial(TYPICAL), TYPICAL)
    assert max(map(abs, change.values())) < 1e-10


def test_two_measured_curves_cannot_drive_one_model():
    def extra_uptake(heart_rate_input: Rate, gain: GlucoseAmount) -> GlucoseRate:
        return gain * heart_rate_input

    register_part(
        "exercise", "measured", Part({"extra_uptake": extra_uptake}, takes={"extra_uptake": "glucose_mass"})
    )
    with pytest.raises(LoopError, match="measured insulin and heart_rate would be"):
        assemble({**load_model("minimal").structure, "exercise": "measured"})
    assert assemble({**load_model("ivgtt").structure, "exercise": "measured"}).forced == {
        "heart_rate": "heart_rate"
    }
    assert assemble(load_model("minimal").structure).forced == {"insulin": "insulin_level"}


def test_insulin_can_be_forced_and_given_units_of_its_own_kind():
    def forced(insulin_level_input: Insulin) -> Insulin:
        return insulin_level_input

    register_part("insulin", "measured", Part({"insulin": forced}))
    mine, ours = (
        simulate(
            load_model("minimal").with_changes({"insulin": how}),
            "ivgtt(0.3)",
            times=TIMES,
            forcing=([0, 10, 60, 120], [60, 500, 100, 60]),
            outputs=["glucose"],
        ).glucose
        for how in ("measured", "forced")
    )
    np.testing.assert_array_equal(mine, ours)


def test_a_loop_is_the_same_in_whichever_order_its_parts_were_registered():
    def sized(gain_of_one: Ratio) -> Ratio:
        return gain_of_one

    def growth(gain_of_two: Rate) -> Rate:
        return gain_of_two

    organs = {
        "b_organ": Part({"size_one": sized}),
        "a_organ": Part({"growth": growth}, {"size_two": State("growth", None, "1", 1.0)}),
    }
    found = []
    for order in (organs, reversed(organs)):
        inspect.getmodule(register_part)._registered = SHIPPED
        for slot in order:
            register_part(slot, "kept", organs[slot])
        loop = assemble({**FEEDBACK.structure, **dict.fromkeys(organs, "kept")})
        found.append((list(loop.parameters), list(loop.states), list(loop.quantities)))
    assert found[0] == found[1]
