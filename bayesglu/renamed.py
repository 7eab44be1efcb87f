"""What had another name in an earlier version: the one table of old and new names.

Model files with old names are read with a warning that says the new ones, fits with old names are read
silently. Names stay in this table for good, so that every file that was ever written can be read.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

PARAMETERS: Mapping[str, str] = {
    "glucagon_floor": "glucagon_background",
    "glucagon_habituation": "glucagon_tolerance",
    "glucagon_habituation_time": "glucagon_tolerance_time",
    "glucose_autoregulation": "glucose_suppression_half_saturation",
    "glucose_memory_time": "glucose_adaptation_time",
    "insulin_brake_half_saturation": "insulin_suppression_half_saturation",
    "paracrine_restraint": "paracrine_inhibition",
}
"""Parameters of the physiology and of assays."""

OUTPUTS: Mapping[str, str] = {
    "basal_urine": "basal_renal_glucose_excretion",
    "glucose_brake": "glycogenolysis_left_by_glucose",
    "glucose_suppression": "glycogenolysis_left_by_glucose",
    "habitual_glucagon": "adapted_glucagon",
    "insulin_brake": "production_left_by_insulin",
    "insulin_suppression": "production_left_by_insulin",
    "paracrine_drive": "glucagon_secretion_left_by_insulin",
    "remembered_glucose": "adapted_glucose",
    "sensed_glucose": "glucose_stimulus",
    "total_urine": "total_renal_glucose_excretion",
    "urine": "renal_glucose_excretion",
}
"""States and fluxes."""

LEVELS: Mapping[str, str] = {"population": "shared"}
"""Values of the key ``level`` of a parameter."""

CORRELATION_KEYS: Mapping[str, str] = {"eta": "lkj_eta"}
SECTIONS: Mapping[str, str] = {"soft": "pseudo_observations"}
PARAMETER_KEYS: Mapping[str, str] = {"between": "between_subject"}
ANALYTE_KEYS: Mapping[str, str] = {
    "error": "sigma",
    "floor": "background",
    "lower": "lloq",
    "offset": "error_offset",
    "upper": "uloq",
}
"""Keys of model files. ``tails`` became ``residual`` and ``nu``: see `model_table`."""

STATISTICS: Mapping[str, str] = {
    "depth": "tree_depth",
    "logp": "lp",
    "maxdepth_reached": "reached_max_treedepth",
    "mean_tree_accept": "acceptance_rate",
}
"""Statistics of the sampler."""

ROLES: Mapping[str, str] = {
    "between": "omega",
    "driving": "forcing",
    "error": "sigma",
    "population": "shared",
}
GROUPS: Mapping[str, str] = {"coordinates": "whitened_coordinates"}
DIMS: Mapping[str, str] = {
    "known_occasion": "pseudo_observation_occasion",
    "reading": "forcing_obs",
    "test": "occasion",
}
METHODS: Mapping[str, str] = {"map": "laplace"}
SETTINGS: Mapping[str, str] = {"coordinates": "parametrization", "relative": "rtol", "absolute": "atol"}

METHODS: Mapping[str, str] = {"map": "laplace"}

FUNCTIONS: Mapping[str, str] = {
    "population": "summarize_population",
    "subjects": "summarize_individuals",
    "with_data": "refit",
}
"""Public functions."""

FIGURES: Mapping[str, str] = {"identified": "expected_contraction", "learning": "contraction"}
"""Functions of `bayesglu.plots`."""

ATTRIBUTES: Mapping[str, str] = {"eta": "lkj_eta"}
"""Attributes of a `ModelSpec`."""


def model_table(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The tables of a model file with today's names, and what was renamed where: ``"old -> new"``."""
    renamed: list[str] = []
    new = _keys(deepcopy(dict(table)), SECTIONS, "", renamed)
    if isinstance(parameters := new.get("parameters"), Mapping):
        new["parameters"] = {
            name: _parameter(entry, f"[parameters.{name}]", renamed) if isinstance(entry, Mapping) else entry
            for name, entry in _keys(parameters, PARAMETERS, "[parameters]", renamed).items()
        }
    if isinstance(analytes := new.get("analytes"), Mapping):
        new["analytes"] = {
            name: _analyte(entry, f"[analytes.{name}]", renamed) if isinstance(entry, Mapping) else entry
            for name, entry in analytes.items()
        }
    if isinstance(known := new.get("pseudo_observations"), Mapping):
        new["pseudo_observations"] = {
            name: {
                **entry,
                "output": _name(entry["output"], OUTPUTS, f"[pseudo_observations.{name}]", renamed),
            }
            if isinstance(entry, Mapping) and "output" in entry
            else entry
            for name, entry in _keys(known, OUTPUTS, "[pseudo_observations]", renamed).items()
        }
    if isinstance(correlations := new.get("correlations"), Mapping):
        correlations = _keys(correlations, CORRELATION_KEYS, "[correlations]", renamed)
        if isinstance(names := correlations.get("parameters"), list):
            names = [_name(name, PARAMETERS, "[correlations]", renamed) for name in names]
            correlations["parameters"] = names
        new["correlations"] = correlations
    return new, renamed


def _parameter(entry: Mapping, place: str, renamed: list[str]) -> dict:
    new = _keys(entry, PARAMETER_KEYS, place, renamed)
    if "level" in new:
        new["level"] = _name(new["level"], LEVELS, f"{place} level", renamed)
    return new


def _analyte(entry: Mapping, place: str, renamed: list[str]) -> dict:
    new = _keys(entry, ANALYTE_KEYS, place, renamed)
    for key, names in (("background", PARAMETERS), ("output", OUTPUTS)):
        if key in new:
            new[key] = _name(new[key], names, place, renamed)
    if "tails" in new:
        tails = new.pop("tails")
        normal = tails == 0 and not isinstance(tails, bool)
        new |= {"residual": "normal"} if normal else {"residual": "student", "nu": tails}
        renamed.append(f"{place} tails -> residual" + ("" if normal else " and nu"))
    return new


def _keys(table: Mapping, names: Mapping[str, str], place: str, renamed: list[str]) -> dict:
    """A table with today's keys, in their order; a key that stands there by both names keeps both."""
    taken = set(table)
    found = {}
    for key, value in table.items():
        new = names.get(key, key)
        if new != key and new not in taken:
            renamed.append(f"{place} {key} -> {new}".strip())
            found[new] = value
        else:
            found[key] = value
    return found


def _name(value: Any, names: Mapping[str, str], place: str, renamed: list[str]) -> Any:
    new = names.get(value, value) if isinstance(value, str) else value
    if new != value:
        renamed.append(f"{place} {value} -> {new}")
    return new
