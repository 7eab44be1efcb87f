"""Where the clock of a study starts is of no consequence: what counts from zero counts from the dose."""

import numpy as np
import pandas as pd
import pytest
from simulated import ORAL_TIMES, USUAL

from bayesglu.analysis.simulation import simulate
from bayesglu.catalog import names
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_protocol
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.log_density import log_density
from bayesglu.inference.density import Density
from bayesglu.inference.fitting import fit
from bayesglu.protocols.library import fast, infusion, injection, ogtt, pump_stop
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.table import keep_protocols, kept_protocols
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study, StudyWarning, load_study
from bayesglu.units import canonical_unit

EIGHT_HOURS = 480.0
PROTOCOLS = [
    "ogtt(75)",
    "meal(60, duration=15)",
    "meal(50) + meal(60).shift(60)",
    "ivgtt(0.3)",
    "ivgtt(0.3, insulin=0.03)",
    "infusion('glucose', 2, 'mg/kg/min', 200, start=-60) + ivgtt(0.3)",
    "injection('insulin', 5, 'U', route='subcutaneous')",
    "clamp(90, 120, insulin_rate=1)",
    "isoglycaemic([0, 30, 60], [90, 140, 110])",
    "pancreatic_clamp(duration=120)",
    "pump_stop(1, before=60)",
    "fast(3)",
    "fast(1) + ogtt(75).shift(60)",
]
TIMES = (-90, -10, *ORAL_TIMES[1:], 180)
VALUES = {**USUAL, "liver_glycogen": 300.0, "endogenous_glucose_production": 2.0}
VALUES |= {"gluconeogenesis": 0.8, "glycogenolysis": 1.0, "gluconeogenesis_share": 0.3}


def study(spec, protocol, later: float = 0.0, times=TIMES, **columns) -> Study:
    """One person, sampled at these times, with a clock that started so many minutes earlier."""
    rows = [
        ("A", time + later, analyte, _value(analyte, time), canonical_unit(analyte))
        for analyte in spec.analytes
        for time in times
    ]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    given = parse_protocol(protocol)
    return Study.from_table(
        table, protocol=given.shift(later) if later else given, body_weight=70.0, **columns
    )


def _value(analyte: str, time: float) -> float:
    return VALUES[analyte] * (1 + (time > 0) * time / 20 * np.exp(-time / 40))


def density(spec, data: Study) -> float:
    d = make_design(spec, data)
    return float(log_density(d, d.prior_medians))


WITHIN = ("fasting", "oral_cpeptide")
"""Models of which all parts are in others too."""


@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=[pytest.mark.long] if name in WITHIN else []) for name in names("model")],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_data_eight_hours_later_have_the_same_density(model, protocol):
    spec = load_model(model)
    try:
        check_protocol(spec, parse_protocol(protocol))
    except InputError:
        return
    early, late = (density(spec, study(spec, protocol, later)) for later in (0.0, EIGHT_HOURS))
    assert late == pytest.approx(early, abs=1e-8)


@pytest.mark.parametrize("model", ["fasting", "oral"])
@pytest.mark.parametrize("protocol", ["fast(3)", "fast(1) + ogtt(75).shift(60)", "ogtt(75)"])
def test_a_simulation_eight_hours_later_is_the_same(model, protocol):
    times, given = np.array([0.0, 60.0, 120.0, 180.0]), parse_protocol(protocol)
    try:
        early = simulate(model, given, times=times, body_weight=70)
    except InputError:
        return
    late = simulate(model, given.shift(EIGHT_HOURS), times=times + EIGHT_HOURS, body_weight=70)
    for name, values in early.data_vars.items():
        np.testing.assert_allclose(late[name], values, rtol=1e-6, atol=1e-6)


def test_zero_is_the_first_dose_given_at_once_whatever_runs_before():
    assert ogtt(75).shift(480).onset == 480
    assert (infusion("insulin", 1, "mU/kg/min", 300, start=-120) + ogtt(75)).onset == 0
    assert (fast(10) + ogtt(75).shift(600)).onset == 600
    assert pump_stop(1).onset == 0
    assert infusion("glucose", 2, "mg/kg/min", 60, start=30).onset == 30
    assert parse_protocol("clamp(90, 60)").shift(5).onset == 5
    assert fast(10).shift(90).onset == 90
    assert injection("glucagon", 1, "mg", route="intramuscular").shift(7).onset == 7


def test_nothing_was_given_until_the_first_event_and_a_fast_begins_before():
    one = infusion("insulin", 1, "mU/kg/min", 300, start=-120) + ogtt(75)
    assert (one.rest_until, one.start, one.shift(60).rest_until) == (-120, -120, -60)
    two = fast(10) + ogtt(75).shift(600)
    assert (two.rest_until, two.start, two.shift(-30).start) == (600, 0, -30)


def test_when_a_fast_began_comes_back_from_its_table():
    given = {("a", "1"): fast(10).shift(30), ("b", "1"): ogtt(75), ("c", "1"): ogtt(75) + fast(24)}
    kept = keep_protocols(given)
    assert list(kept_protocols(kept).values()) == list(given.values())
    old = kept_protocols(kept.drop_vars("since"))
    assert list(old.values()) == list(given.values()), "their names say so"


@pytest.mark.parametrize("later", [0.0, 0.1, EIGHT_HOURS])
def test_windows_of_a_datasheet_count_from_the_dose(later):
    window = {"glucose": {"from": 20.1, "until": 90, "also": [0.1]}}
    times = (0.0, 0.1, 20.1, 45.0, 90.0, 90.1)
    data = study(load_model("oral"), "ogtt(75)", later, times, datasheet={"use": window})
    used = data.used.isel(obs=(data.used.analyte == "glucose").values)
    np.testing.assert_allclose(used.time - later, [0.1, 20.1, 45.0, 90.0])


def test_windows_of_a_person_count_from_their_own_dose():
    rows = [(s, t, "glucose", 90.0, "mg/dL") for s in "AB" for t in (0, 60, 120)]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    given = {"A": "ivgtt(0.3)", "B": ogtt(75).shift(60)}
    window = {"use": {"glucose": {"until": 0}}}
    used = Study.from_table(table, protocol=given, body_weight=70, datasheet=window).used
    assert list(used.subject.values) == ["A", "B", "B"] and list(used.time.values) == [0, 0, 60]


# A curve that does not cover its test


def curve(insulin, glucose=(-10, 0, 8, 20, 60, 120, 180), protocol="ivgtt(0.3)") -> Study:
    rows = [("A", t, "insulin", 60 + 600 * np.exp(-t / 15) * (t > 0), "pmol/L") for t in insulin]
    rows += [("A", t, "glucose", 90 + 180 * np.exp(-t / 40) * (t > 0), "mg/dL") for t in glucose]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    return Study.from_table(table, protocol=protocol)


def test_before_the_dose_insulin_is_the_basal_one_where_none_was_sampled():
    spec, after = load_model("minimal"), (2, 4, 8, 20, 60, 120, 180)
    with pytest.warns(StudyWarning, match=r"first sample of insulin comes 2 min after.*'basal_insulin'"):
        d = make_design(spec, curve(after))
    assert len(d.forcing.obs) == len(after) and len(d.forcing.error) == len(after) + 1
    true = d.true_forcing(d.prior_medians)
    level = d.forcing.at_stops(true)
    basal = spec.parameters["basal_insulin"].typical.median
    at = d.solver.schedule.time
    np.testing.assert_allclose(level[at <= 0], basal)
    np.testing.assert_allclose(level[at == 2], 60 + 600 * np.exp(-2 / 15))
    late = curve((*np.add(after, 0),))
    with pytest.warns(StudyWarning):
        assert density(spec, late) == pytest.approx(density_late(spec, after), abs=1e-8)


def density_late(spec, after) -> float:
    rows = curve(after).observations.to_dataframe()
    rows = rows.assign(time=rows.time + EIGHT_HOURS, unit=[canonical_unit(a) for a in rows.analyte])
    table = rows[["subject", "time", "analyte", "value", "unit"]]
    return density(spec, Study.from_table(table, protocol="ivgtt(0.3).shift(480)"))


def test_a_curve_that_ends_early_is_told_and_goes_back_to_rest():
    spec = load_model("minimal")
    with pytest.warns(StudyWarning, match=r"comes 120 min before the last of all.*basal_insulin.*at 120 min"):
        d = make_design(spec, curve((-5, 2, 10, 60)))
    level = d.forcing.at_stops(d.true_forcing(d.prior_medians))
    at, basal = d.solver.schedule.time, spec.parameters["basal_insulin"].typical.median
    np.testing.assert_allclose(level[at >= 120], basal)
    assert (level[(at > 60) & (at < 120)] > basal).all()


def test_a_curve_that_covers_its_test_or_nearly_is_not_mentioned():
    for insulin in ((-5, 2, 10, 60, 180), (0, 2, 10, 60, 150)):
        d = make_design(load_model("minimal"), curve(insulin))
        assert len(d.forcing.obs) == len(d.forcing.error)


def test_the_true_curve_of_a_fit_is_that_at_the_samples():
    with pytest.warns(StudyWarning, match="first sample of insulin"):
        found = fit(
            "minimal", curve((2, 8, 20, 60, 120, 180)), method="laplace", draws=5, random_seed=1,
            progressbar=False,
        )  # fmt: skip
    assert found.posterior.insulin_forcing.sizes["forcing_obs"] == 6
    assert found.constant_data.forcing_time.values.tolist() == [2, 8, 20, 60, 120, 180]


def test_a_study_that_ships_begins_where_it_did():
    d = make_design(load_model("minimal"), load_study("bergman1986"))
    assert d.solver.schedule.start.tolist() == [0.0]


def test_the_gradient_sees_that_the_basal_value_holds_before_the_dose():
    with pytest.warns(StudyWarning):
        density_of = Density(make_design(load_model("minimal"), curve((2, 8, 20, 60))))
    at, step = np.zeros(density_of.size), 1e-5
    _, gradient = density_of(at)
    for i in (0, 3, 12, 15):
        ends = [density_of(at + sign * step * (np.arange(len(at)) == i))[0] for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(gradient[i], rel=1e-4, abs=1e-4)
