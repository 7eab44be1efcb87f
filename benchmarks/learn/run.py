"""python -m benchmarks learn

Medians and spreads of typical values in the shipped models that have them from here, as
``results/learnt.json``. Priors from the literature, in ``literature`` beside this file, are laid over the
shipped models; sixty people's oral tests and clamps say what they say (`joint`), for each half of the people
too; and medians are then balanced with the published facts (`balance`). A median is what came out of that;
its spread is that of the tests, `BETWEEN` from one group of people to another, and how far facts have moved
the median, together; and never more than the literature's, or `NO_MORE` times that where assays differ.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

import bayesglu
from bayesglu import ModelSpec, register_analyte
from bayesglu.spec.files import overlay
from benchmarks.learn.balance import BEYOND, KEPT_NEAR, SILENT, WIDER, balance
from benchmarks.learn.joint import INFUSION, Learnt, both_days, doses, learn, with_infusion
from benchmarks.report import write
from benchmarks.truth.run import lineage

LITERATURE = Path(__file__).parent / "literature"

HELD = {
    *("alpha_cell_mass", "beta_cell_mass", "basal_glucose", "basal_insulin", "basal_glucagon"),
    *("c_peptide_volume", "c_peptide_loss", "c_peptide_return", "c_peptide_exchange", "hepatic_extraction"),
    *("bioavailability", "liver_volume", "initial_glycogen", "brain_half_saturation", "secretion_width"),
    *("renal_clearance", "renal_threshold", "renal_width"),
    *("glucagon_volume", "glucagon_background", "glucagon_clearance_rate"),
    *("reference_portal_glucose", "reference_insulin_ratio", "reference_glycogen"),
    *("adrenergic_half_glucose", "adrenergic_production", "adrenergic_resistance"),
}
"""Parameters that are definitions, or were measured as such: their medians stay."""

BETWEEN = 0.12
"""SD, on the prior's scale, by which typical values of groups of people like these differ: a judgement."""

BETWEEN_ASSAYS = 0.35
"""The same of what is in proportion to insulin, whose assays differ by a third."""

NO_MORE = 1.5
"""Times the literature's SD that the SD of such a typical value may be: facts and tests, which different
assays measured, ask for insulin sensitivities that are nearly twofold apart."""

IN_PROPORTION_TO_INSULIN = {"beta_cell_sensitivity", "incretin_potentiation", "insulin_sensitivity"}

BETWEEN_EFFECTS = 0.15
"""The same of an effect of a group of people."""


def main() -> None:
    """Learn, balance and write."""
    register_analyte(INFUSION, units={"mg/kg/min": 1.0}, plausible=(0, 60))
    table = with_infusion("oral_cpeptide") + over("oral_cpeptide")
    model = bayesglu.load_model(table)
    times = doses(model)
    learnt = learn(model, both_days(times=times))
    halves = [learn(model, both_days(slice(k, None, 2), times)) for k in (0, 1)]
    whole = bayesglu.load_model(loop({}))
    start = {
        name: p.typical.median
        for name, p in whole.parameters.items()
        if name not in HELD and not name.endswith("_discrepancy")
    }
    found = balance(lambda medians: bayesglu.load_model(loop(medians)), start, learnt)
    write(
        "learnt",
        [],
        medians={name: float(f"{value:.3g}") for name, value in found.medians.items()},
        gsd=spreads(model, learnt, found.medians),
        effects=effects(learnt),
        missed=found.missed,
        costs=found.costs,
        doses={subject: round(value, 3) for subject, value in times.items()},
        joint=plain(learnt),
        halves=[plain(half) for half in halves],
        literature={place.stem: place.read_text() for place in sorted(LITERATURE.glob("*.toml"))},
        settings={
            "wider": WIDER,
            "beyond": BEYOND,
            "silent": SILENT,
            "between": (BETWEEN, BETWEEN_ASSAYS),
            "near": KEPT_NEAR,
        },
        study=both_days(times=times).hash,
    )


def over(model: str) -> str:
    """The tables of the literature for a model and those that it extends."""
    tables: dict = {}
    for name in lineage(model):
        place = LITERATURE / f"{name}.toml"
        tables = overlay(tables, tomllib.loads(place.read_text()) if place.exists() else {})
    return "\n".join(lines(tables))


def loop(medians: Mapping[str, float]) -> str:
    """The text of the whole loop with these medians, everything else as in the literature."""
    head = 'title = "the whole loop"\ndescription = "See benchmarks/learn."\nextends = "feedback"\n'
    tables = tomllib.loads(over("feedback"))
    shipped = bayesglu.load_model("feedback").parameters
    for name, median in medians.items():
        own = tables["parameters"].setdefault(name, {})
        spread = own.get("typical", {}).get("gsd") or (name in shipped and shipped[name].typical.gsd)
        own["typical"] = {"median": median} | ({"gsd": spread} if spread else {})
    return head + "\n".join(lines(tables))


def lines(table: Mapping, place: str = ""):
    """A nested table as lines of TOML: sections down to a parameter's, then tables in line."""
    for name, value in table.items():
        if place.startswith("parameters.") or not isinstance(value, Mapping):
            yield f"{_key(name)} = {_value(value)}"
    for name, value in table.items():
        if not place.startswith("parameters.") and isinstance(value, Mapping):
            inner = f"{place}{_key(name)}"
            yield f"\n[{inner}]"
            yield from lines(value, f"{inner}.")


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f'"{name}"'


def _value(value) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def spreads(model: ModelSpec, learnt: Learnt, medians: Mapping[str, float]) -> dict[str, float]:
    """Geometric SDs of typical values."""
    found = {}
    for name, at, sd in zip(learnt.names, learnt.mean, np.sqrt(np.diag(learnt.covariance)), strict=True):
        own = model.parameters[name]
        moved = own.to_scale(medians[name]) - at if name in medians else 0.0
        between, times = (BETWEEN_ASSAYS, NO_MORE) if name in IN_PROPORTION_TO_INSULIN else (BETWEEN, 1.0)
        together = float(np.sqrt(sd**2 + between**2 + moved**2))
        found[name] = round(float(np.exp(min(times * own.typical.sd, together))), 2)
    return found


def effects(learnt: Learnt) -> dict[str, dict[str, tuple[float, float]]]:
    """Median and geometric SD of the effects of groups of people."""
    return {
        parameter: {
            covariate: (round(median, 2), round(float(np.exp(np.hypot(np.log(gsd), BETWEEN_EFFECTS))), 2))
            for covariate, (median, gsd) in own.items()
            if covariate.startswith("group:")
        }
        for parameter, own in learnt.effects.items()
    }


def plain(learnt: Learnt) -> dict:
    """As JSON can hold it."""
    return asdict(learnt) | {"mean": learnt.mean.tolist(), "covariance": learnt.covariance.tolist()}
