"""What protocols do to a person: clamps hold, copies match, what is given arrives, what is stopped runs out.

The claims are about physiology, for the typical person of `feedback`; published figures are in data/facts.
"""

from functools import cache

import numpy as np
import pytest
import xarray as xr
from reference import TYPICAL, WEIGHT, solve_slowly

from bayesglu.analysis.simulation import simulate
from bayesglu.protocols.clamps import clamp, isoglycaemic, pancreatic_clamp, stepped_clamp
from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, meal_day, ogtt, pump_stop
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.schedule import AMOUNT_CHANNELS, build_schedule
from bayesglu.spec.model import load_model

FEEDBACK = load_model("feedback")
WITHOUT_ISLETS = (("alpha_cell_mass", 0.0), ("beta_cell_mass", 0.0))
WITHOUT_BETA_CELLS = (("beta_cell_mass", 0.0),)


@cache
def done(text: str, until: float, begin: float = 0, changes: tuple = (), every: float = 1) -> xr.Dataset:
    """The typical person, with some parameters changed, under the protocol that a text describes."""
    times = np.arange(begin, until + 1e-9, every)
    return simulate("feedback", parse_protocol(text), dict(changes), times, body_weight=WEIGHT)


def over_basal(values: xr.DataArray) -> float:
    """The area above the first value."""
    return float((values - values.isel(time=0)).integrate("time"))


# --- amounts ---


@pytest.mark.parametrize(
    "protocol",
    [
        ogtt(75),
        meal(60, duration=15),
        meal_day(),
        ivgtt(insulin=0.03),
        infusion("glucagon", 3, "ng/kg/min", 180),
        injection("glucagon", 1, "mg", route="intramuscular"),
        clamp(90, insulin_rate=1, priming=3),
        stepped_clamp([90, 70, 55]),
        isoglycaemic([0, 60], [90, 120]),
        pancreatic_clamp(glucose=90),
        pump_stop(0.9),
        fast(5),
    ],
    ids=lambda protocol: protocol.name,
)
@pytest.mark.parametrize("share", [0.4, 1.5])
def test_what_is_delivered_what_waits_in_depots_and_what_comes_later_add_up_to_what_is_prescribed(
    protocol, share
):
    end = share * max(protocol.duration, 60)
    schedule = build_schedule([protocol], [[0, end]], body_weight=WEIGHT)
    for channel in AMOUNT_CHANNELS:
        given = sum(d.amount for d in protocol.canonical(WEIGHT) if d.channel == channel)
        parts = schedule.delivered()[channel], schedule.remaining()[channel], schedule.undelivered[channel]
        assert sum(part[0] for part in parts) == pytest.approx(given, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("text", ["ogtt(75)", "meal(75)", "meal_day(25, 25, 25)"])
def test_of_the_carbohydrate_that_is_eaten_the_bioavailable_share_appears_in_the_blood(text):
    run = done(text, 24 * 60, every=0.2)  # what goes past the stomach begins to appear at once
    left = float(run.stomach[-1] + run.gut[-1])
    appeared = float(run.glucose_appearance.integrate("time"))
    expected = TYPICAL["bioavailability"] * (75_000 / WEIGHT - left)
    assert appeared == pytest.approx(expected, rel=1e-3)


# --- clamps ---


def test_a_euglycaemic_clamp_holds_glucose_by_an_infusion_that_balances_all_other_fluxes():
    run = done("clamp(90, 180, insulin_rate=1)", 179)
    assert float(abs(run.glucose - 90).max()) < 0.5
    used = (
        run.tissue_uptake
        + run.hepatic_glucose_uptake
        + run.renal_glucose_excretion
        - run.endogenous_glucose_production
    )
    np.testing.assert_allclose(run.glucose_infusion[20:], used[20:], atol=0.02)
    assert float(run.glucose_infusion[-1]) > float(run.glucose_infusion[30]) > 0
    assert float(run.insulin[-1]) > 3 * float(run.insulin[0])


def test_more_insulin_and_more_sensitivity_both_call_for_more_glucose():
    rates = [
        float(done(f"clamp(90, 180, insulin_rate={rate})", 179).glucose_infusion[-1]) for rate in (0.5, 1, 2)
    ]
    assert rates == sorted(rates) and rates[0] > 0
    people = xr.DataArray([0.5, 1.0, 1.5], dims="subject") * TYPICAL["insulin_sensitivity"]
    held = simulate(
        "feedback", clamp(90, 180, insulin_rate=1), {"insulin_sensitivity": people}, [0, 179, 180]
    )
    assert (held.glucose_infusion.sel(time=179).diff("subject") > 1).all()


def test_a_hyperglycaemic_clamp_shows_a_first_and_a_second_phase_of_insulin():
    run = done("clamp(215, 120)", 119)
    assert float(abs(run.glucose[15:] - 215).max()) < 0.5
    assert (run.glucose_infusion >= 0).all()
    first = float(run.insulin_secretion[:10].max())
    between = float(run.insulin_secretion[10:60].min())
    assert first > 1.1 * between > 2 * float(run.insulin_secretion[0])
    assert float(run.glucose_infusion[-1]) > float(run.glucose_infusion[40])


def test_the_infusion_of_a_clamp_given_without_the_clamp_does_the_same():
    run = done("clamp(215, 120)", 119)
    rate = (run.glucose_infusion.values[1:] + run.glucose_infusion.values[:-1]) / 2
    given = sum(
        (infusion("glucose", r, "mg/kg/min", 1, start=i) for i, r in enumerate(rate)), Protocol()
    ) + infusion("insulin", 0, "mU/kg/min", 1)
    again = simulate("feedback", given, times=run.time)
    # Glucose leaps in the first minutes, where a rate a minute is coarse.
    assert float(abs(again.glucose - run.glucose)[15:].max()) < 10
    assert over_basal(again.insulin) == pytest.approx(over_basal(run.insulin), rel=0.05)


def test_a_stepped_clamp_reaches_each_level_and_glucagon_rises_as_insulin_secretion_stops():
    levels = [90, 75, 65, 55, 45]
    run = done("stepped_clamp([90, 75, 65, 55, 45], 60, insulin_rate=2)", 299)
    ends = run.sel(time=[59, 119, 179, 239, 299])
    np.testing.assert_allclose(ends.glucose, levels, atol=0.5)
    # The insulin given holds glucagon back at first; below the threshold it rises all the same.
    assert (ends.glucagon.diff("time")[1:] > 0).all()
    assert (ends.insulin_secretion.diff("time") < 0).all()
    assert float(ends.glucagon[-1]) > 1.5 * float(ends.glucagon[0])
    np.testing.assert_allclose(ends.insulin[1:], ends.insulin[-1], rtol=0.1)


def test_in_a_pancreatic_clamp_the_hormones_are_where_their_rates_put_them_whatever_glucose_is():
    low, high = (
        done(f"pancreatic_clamp(0.1, 1, 300, glucose={level})", 299, changes=WITHOUT_ISLETS)
        for level in (80, 150)
    )
    for hormone in ("insulin", "glucagon", "hepatic_insulin"):
        np.testing.assert_allclose(low[hormone], high[hormone], rtol=1e-5)
    cleared = TYPICAL["glucagon_clearance_rate"] * TYPICAL["glucagon_volume"] * float(low.glucagon[-1])
    assert cleared == pytest.approx(1000, rel=1e-3)  # pg/kg/min, as given
    passage = low.insulin_extraction * TYPICAL["hepatic_plasma_flow"] + TYPICAL["systemic_insulin_clearance"]
    assert float((passage * low.insulin)[-1]) == pytest.approx(0.6, rel=2e-3)  # pmol/kg/min, as given
    assert float(low.insulin_secretion.max()) == 0


def test_without_glucagon_the_liver_gives_less_and_glucose_is_lower():
    both, insulin_only = (
        done(f"pancreatic_clamp(0.1, {rate}, 240)", 240, changes=WITHOUT_ISLETS) for rate in (1, 0)
    )
    assert float(insulin_only.glucose[-1]) < float(both.glucose[-1]) - 20
    gap = both.endogenous_glucose_production - insulin_only.endogenous_glucose_production
    assert float(gap[30:120].min()) > 0.2


# --- tolerance tests and meals ---


def test_the_insulin_of_the_modified_intravenous_test_arrives_whole_and_hastens_the_fall_of_glucose():
    plain, modified = done("ivgtt()", 240), done("ivgtt(insulin=0.03)", 240)
    before = slice(0, 20)
    np.testing.assert_allclose(modified.glucose.sel(time=before), plain.glucose.sel(time=before), rtol=1e-6)
    leap = modified.insulin - plain.insulin
    assert float(leap.sel(time=21)) == pytest.approx(180 / TYPICAL["insulin_volume"], rel=0.2)
    assert (modified.glucose.sel(time=[30, 40, 60]) < plain.glucose.sel(time=[30, 40, 60])).all()


def test_a_mixed_meal_empties_more_slowly_than_a_drink_and_raises_glucose_less():
    drink, mixed = done("ogtt(75)", 480), done("meal(75)", 480)
    assert (mixed.stomach >= drink.stomach - 1e-6).all()
    assert float(mixed.glucose.max()) < float(drink.glucose.max())
    half = [float((run.stomach > run.stomach.max() / 2).sum()) for run in (drink, mixed)]
    assert half[1] > 1.2 * half[0]
    appeared = [float(run.glucose_appearance.integrate("time")) for run in (drink, mixed)]
    assert appeared[0] == pytest.approx(appeared[1], rel=0.02)


def test_each_meal_has_its_own_emptying():
    light, heavy = done("meal(60, emptying=1)", 60), done("meal(60, emptying=0.4)", 60)
    early = dict(time=1)
    assert float(heavy.gastric_emptying.sel(early)) == pytest.approx(
        0.4 * float(light.gastric_emptying.sel(early)), rel=0.03
    )
    day = done("meal(60, emptying=0.4) + meal(60, emptying=1).shift(600)", 720)
    assert float(day.gastric_emptying.sel(time=601)) == pytest.approx(
        float(light.gastric_emptying.sel(early)), rel=0.05
    )


def test_on_a_day_of_meals_glycogen_is_filled_by_day_and_emptied_by_night_and_glucose_comes_back():
    run = done("meal_day() + meal_day().shift(1440)", 2880, every=5)
    rises = run.glucose.sel(time=[45, 345, 705]) - run.glucose.sel(time=[0, 300, 660]).values
    assert (rises > 10).all()
    day = run.glycogen.sel(time=slice(1440, 2880))
    assert 1440 + 660 < float(day.idxmax()) < 1440 + 1200
    assert float(run.glucose[-1]) == pytest.approx(float(run.glucose[0]), rel=0.1)


# --- the isoglycaemic infusion ---


@cache
def drunk_and_copied(potentiation: float | None = None) -> tuple[xr.Dataset, xr.Dataset]:
    changes = () if potentiation is None else (("incretin_potentiation", potentiation),)
    drunk = done("ogtt(75)", 150, changes=changes)
    knots = drunk.sel(time=slice(0, 150, 5))
    return drunk, done(isoglycaemic(knots.time, knots.glucose).name, 149, changes=changes)


def test_an_isoglycaemic_infusion_copies_the_oral_curve_within_1_mg_dl_with_far_less_insulin():
    drunk, copied = drunk_and_copied()
    assert float(abs(copied.glucose - drunk.glucose).max()) < 1
    share = over_basal(copied.insulin_secretion) / over_basal(drunk.insulin_secretion)
    assert 0.2 < share < 0.7  # so the incretin effect is 30 to 80 %
    assert float(copied.insulin.max()) < float(drunk.insulin.max())
    given = float(copied.glucose_infusion.integrate("time"))
    assert given < 0.6 * float(drunk.glucose_appearance.integrate("time"))


def test_without_incretins_the_copy_calls_for_the_same_insulin():
    drunk, copied = drunk_and_copied(0.0)
    assert over_basal(copied.insulin_secretion) == pytest.approx(
        over_basal(drunk.insulin_secretion), rel=0.03
    )


def test_where_glucose_would_have_to_fall_faster_than_it_falls_by_itself_nothing_is_infused():
    run = done("isoglycaemic([0, 30, 35], [90, 180, 90])", 60)
    assert float(run.glucose.sel(time=35)) > 120
    assert float(run.glucose_infusion.sel(time=slice(31, 34)).max()) < 0.01
    assert (run.glucose_infusion >= -1e-12).all()


def test_a_moving_clamp_is_solved_as_the_slow_solver_does():
    times, shown = [0.0, 12.0, 40.0, 70.0, 75.0], ("glucose", "insulin", "glucose_infusion")
    moving = isoglycaemic([0, 30, 60, 75], [90, 150, 120, 118])
    found = simulate("feedback", moving, TYPICAL, times, shown)
    slow = solve_slowly(FEEDBACK.structure, TYPICAL, moving, times, shown)
    np.testing.assert_allclose(found.to_dataarray().values.T[:-1], slow[:-1], rtol=1e-4, atol=1e-6)


# --- hormones given and withheld ---


def test_when_the_pump_of_a_person_without_beta_cells_stops_insulin_decays_and_glucose_and_production_rise():
    run = done("pump_stop(0.9)", 720, -480, WITHOUT_BETA_CELLS, every=5)
    running, stopped = run.sel(time=slice(-240, 0)), run.sel(time=slice(0, 720))
    np.testing.assert_allclose(running.insulin, running.insulin[-1], rtol=0.01)
    assert float(run.insulin.sel(time=5)) > 0.9 * float(run.insulin.sel(time=0))  # the depot lasts
    assert (stopped.insulin.diff("time") < 0).all()
    assert float(run.insulin.sel(time=720)) < 0.02 * float(run.insulin.sel(time=0))
    assert (stopped.glucose.sel(time=slice(90, 480)).diff("time") > 0).all()
    assert float(run.glucose.sel(time=720)) > float(run.glucose.sel(time=0)) + 70
    made = run.endogenous_glucose_production
    assert float(made.sel(time=180)) > float(made.sel(time=0)) + 0.1
    assert float(run.tissue_uptake.sel(time=180)) < float(made.sel(time=180))


def test_what_lies_under_the_skin_when_a_pump_stops_is_all_absorbed_in_the_end():
    pumped = parse_protocol("pump_stop(0.9)")
    schedule = build_schedule([pumped], [[0, 3000]], body_weight=WEIGHT)
    assert schedule.delivered()["insulin"][0] == pytest.approx(
        (0.9 * 8 + 0.9 * 110 / 60) * 6000 / WEIGHT, rel=1e-6
    )


def test_of_glucagon_into_muscle_the_bioavailable_share_reaches_the_blood_and_into_a_vein_all_of_it():
    text = "injection('glucagon', 0.1, 'mg', route='{}')"
    none = done("fast(10)", 600, changes=WITHOUT_ISLETS).glucagon
    muscle, vein = (
        done(text.format(route), 600, changes=WITHOUT_ISLETS).glucagon - none
        for route in ("intramuscular", "intravenous")
    )
    cleared = TYPICAL["glucagon_clearance_rate"] * TYPICAL["glucagon_volume"]
    assert cleared * float(muscle.integrate("time")) == pytest.approx(0.5 * 1e8 / WEIGHT, rel=0.01)
    # A bolus follows the sample at its moment: the curve begins at dose over volume.
    vein = xr.where(vein.time == 0, 1e8 / WEIGHT / TYPICAL["glucagon_volume"], vein)
    assert cleared * float(vein.integrate("time")) == pytest.approx(1e8 / WEIGHT, rel=0.01)


def test_glucagon_raises_glucose_by_glycogen_and_from_a_vein_sooner_than_from_muscle():
    text = "injection('glucagon', 1, 'mg', route='{}')"
    muscle, vein = (done(text.format(route), 180) for route in ("intramuscular", "intravenous"))
    assert float(vein.glucagon.max()) > 2 * float(muscle.glucagon.max())
    assert float(vein.glucose.sel(time=10)) > float(muscle.glucose.sel(time=10))
    for run in (muscle, vein):
        assert float(run.glucose.max()) > 115
        more = {
            name: over_basal(run[name].sel(time=slice(0, 40)))
            for name in ("glycogenolysis", "gluconeogenesis")
        }
        assert more["glycogenolysis"] > more["gluconeogenesis"] > 0
