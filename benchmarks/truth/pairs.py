"""Pairs of tests of the same people: one to be fitted, and what was measured in another.

The data are those of ``shared/data`` beside the checkout, whose README tells where they come from. Of the
clamps half is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import bayesglu
from bayesglu import ModelSpec, Protocol, Study

DATA = Path(__file__).parents[3] / "shared" / "data"
PICOMOLES_A_MILLIUNIT = 6.0  # of insulin
EUGLYCAEMIC = (100.0, 220.0)  # minutes: see the README of the data
INSULIN = 40.0  # mU/m2/min in these minutes
INFUSED_AT = EUGLYCAEMIC[1] - 5
TYPICAL_ERRORS = {"glucose": 0.02, "insulin": 0.06, "c_peptide": 0.05}  # CV of good assays


@dataclass(frozen=True)
class Given:
    """What is known of a dose: ``protocol(subject, times)`` with `times` the stated one, and the insulin
    (pmol/L, by subject) that was measured at minute `at`."""

    protocol: Callable[[str, float], Protocol]
    insulin: Mapping[str, float]
    at: float


@dataclass(frozen=True)
class Pair:
    """A study to be fitted with a model, and another test of its people.

    protocols : of the other test, by subject. measured : in it, one row per value: ``subject, time, output,
    value`` (canonical units), ``assay`` the analyte with whose error it was measured; none for a true value.
    groups : by subject. carried : what was measured on the fitted day, where it can be carried forward.
    another_occasion : whether the other test was on another day. given : where a dose was not published but
    what it brought was measured, the protocol of a subject who got so many times the stated dose, and
    insulin (pmol/L) that the dose is to bring.
    """

    title: str
    model: str | ModelSpec
    fitted: Study
    protocols: Mapping[str, Protocol]
    measured: pd.DataFrame
    groups: Mapping[str, str]
    carried: pd.DataFrame | None = None
    another_occasion: bool = True
    given: Given | None = None


@dataclass(frozen=True)
class Maker:
    """What makes a pair of the data in a folder."""

    folder: Path
    make: Callable[[], Pair]


def by_vein() -> Pair:
    """Ten healthy people: 50 g of oral glucose; then the same curve by intravenous glucose, and the insulin
    it called for."""
    table = _table("vahidi2013_healthy/observations.csv")
    weight = _table("vahidi2013_healthy/subjects.csv").set_index("subject").weight_kg.to_dict()
    oral = table[table.occasion == "oral"].drop(columns="occasion")
    study = Study.from_table(oral, protocol="ogtt(50)", body_weight=weight, name="vahidi2013, by mouth")
    vein = table[table.occasion == "intravenous"].dropna(subset="value").sort_values("time")
    protocols = {
        subject: bayesglu.isoglycaemic(own.time.tolist(), own.value.tolist(), unit="mmol/L")
        for subject, own in vein[vein.analyte == "glucose"].groupby("subject")
    }
    insulin = vein[(vein.analyte == "insulin") & (vein.time > 0)]
    measured = insulin[["subject", "time", "value"]].assign(output="insulin", assay="insulin")
    title = "OGTT, then glucose by vein with the same curve"
    return Pair(title, "oral", study, protocols, measured, dict.fromkeys(protocols, "healthy"))


def clamped() -> Pair:
    """Sixty people of three groups: 75 g by mouth; then a hyperglycaemic and a euglycaemic clamp.

    The measured glucose is the clamps' target. Insulin is infused from the stated dose; some were given more.
    """
    clamp = _clamps()
    indices = _table("ohashi2015/clamp_indices_half.csv").set_index("subject")
    people = _table("ohashi2015/subjects.csv").set_index("subject")
    study = bayesglu.load_study(DATA / "ohashi2015", protocol="ogtt(75)")
    study = study.select(subjects=[s for s in study.subjects if s in set(indices.index)])
    protocols, rows = {}, []
    for subject in study.subjects:
        protocols[subject] = two_clamps(subject)
        insulin = clamp[(clamp.subject == subject) & (clamp.analyte == "insulin")]
        for time, value in zip(insulin.time, PICOMOLES_A_MILLIUNIT * insulin.value, strict=True):
            if 0 < time <= 90:
                rows.append((subject, time, "insulin", value, "insulin"))
        rows.append((subject, 85.0, "glucose_infusion", indices.gir_at_85[subject], ""))
        rows.append((subject, INFUSED_AT, "glucose_infusion", indices.gir_mg_kg_min[subject], ""))
    measured = pd.DataFrame(rows, columns=["subject", "time", "output", "value", "assay"])
    groups = {subject: str(people.group[subject]) for subject in study.subjects}
    measured = measured.dropna(subset="value")
    return Pair("OGTT, then clamps", "oral_cpeptide", study, protocols, measured, groups)


def clamped_with_insulin() -> Pair:
    """The end of the same clamps, where everyone's insulin is infused at the rate that brings what was
    measured: what is predicted is what that insulin does."""
    pair = clamped()
    end = pair.measured[pair.measured.time == INFUSED_AT]
    return replace(
        pair, title="OGTT, then clamps with the measured insulin", measured=end, given=insulin_given()
    )


def insulin_given() -> Given:
    """What is known of the insulin of the second clamp: what it was at the end."""
    clamp, (_, end) = _clamps(), EUGLYCAEMIC
    reached = clamp[(clamp.analyte == "insulin") & (clamp.time == end)].set_index("subject").value
    return Given(two_clamps, (PICOMOLES_A_MILLIUNIT * reached).to_dict(), end)


def two_clamps(subject: str, times: float = 1.0) -> Protocol:
    """The clamps of a subject, with so many times the stated dose of insulin in the second."""
    people = _table("ohashi2015/subjects.csv").set_index("subject").loc[subject]
    clamp = _clamps()
    glucose = clamp[(clamp.subject == subject) & (clamp.analyte == "glucose")]
    begin, end = EUGLYCAEMIC
    area = np.sqrt(people.height_cm * people.weight_kg / 3600)  # m2 (Mosteller 1987)
    rate = float(times * INSULIN * PICOMOLES_A_MILLIUNIT * area)
    infused = bayesglu.infusion("insulin", rate, "pmol/min", end - begin, start=begin)
    return bayesglu.isoglycaemic(glucose.time.tolist(), glucose.value.tolist()) + infused


def _clamps() -> pd.DataFrame:
    clamp = _table("ohashi2015/clamp_observations_half.csv").dropna(subset="value")
    return clamp.assign(time=clamp.time.replace("end", EUGLYCAEMIC[1]).astype(float)).sort_values("time")


def another_day() -> Pair:
    """Nineteen people: 75 g at home with a sensor, on two days."""
    table = _table("stanford_cgm_ogtt/observations.csv").sort_values(["subject", "time"])
    sensor = table[(table.analyte == "cgm_glucose") & (table.time % 15 == 0)].assign(analyte="glucose")
    days = [sensor[sensor.occasion == day].drop(columns="occasion") for day in ("home_1", "home_2")]
    both = sorted(set(days[0].subject) & set(days[1].subject))
    first, second = (day[day.subject.isin(both)] for day in days)
    study = Study.from_table(first, protocol="ogtt(75)", body_weight=80.0, name="stanford, one day")
    values = ["subject", "time", "value"]
    measured = second[second.time > 0][values].assign(output="glucose", assay="glucose")
    carried = first[values].assign(output="glucose")
    drinks, groups = (dict.fromkeys(both, one) for one in (bayesglu.ogtt(75), "some insulin resistant"))
    title = "OGTT, then another day's (sensor)"
    return Pair(title, "oral", study, drinks, measured, groups, carried)


def virtual() -> Pair:
    """Eight virtual people of another model: a mixed meal; and the fluxes that no blood sample shows."""
    table = _table("dallaman2007_virtual/curves.csv")
    units = {"glucose": "mg_dL", "insulin": "pmol_L", "c_peptide": "pmol_L"}
    times = [0, 10, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 360, 420]
    rng, samples = np.random.default_rng(1), []
    for analyte, unit in units.items():
        own = table[table.time.isin(times)].sort_values(["subject", "time"])
        value = own[f"{analyte}_{unit}"] * np.exp(TYPICAL_ERRORS[analyte] * rng.normal(size=len(own)))
        own = own[["subject", "time"]]
        samples.append(own.assign(analyte=analyte, value=value, unit=unit.replace("_", "/")))
    meal = bayesglu.meal(78)
    study = Study.from_table(pd.concat(samples), protocol=meal, body_weight=78.0, name="dallaman2007")
    shown, measured = table[(table.time > 0) & (table.time % 20 == 0)], []
    for flux in ("endogenous_glucose_production", "glucose_appearance"):
        value = shown[f"{flux}_mg_kg_min"]
        measured.append(shown[["subject", "time"]].assign(output=flux, value=value, assay=""))
    meals, groups = (dict.fromkeys(study.subjects, one) for one in (meal, "virtual"))
    title = "meal of another model's people, then its fluxes"
    measured = pd.concat(measured)
    return Pair(title, "oral_cpeptide", study, meals, measured, groups, another_occasion=False)


def _table(path: str) -> pd.DataFrame:
    return _read(path).rename(columns={"time_min": "time"})


@cache
def _read(path: str) -> pd.DataFrame:
    return pd.read_csv(DATA / path, dtype={"subject": str})


PAIRS = {
    "by_vein": Maker(DATA / "vahidi2013_healthy", by_vein),
    "clamped": Maker(DATA / "ohashi2015", clamped),
    "clamped_with_insulin": Maker(DATA / "ohashi2015", clamped_with_insulin),
    "another_day": Maker(DATA / "stanford_cgm_ogtt", another_day),
    "virtual": Maker(DATA / "dallaman2007_virtual", virtual),
}
