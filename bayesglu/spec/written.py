"""A model as the tables of a model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesglu.spec import keys

if TYPE_CHECKING:
    from bayesglu.spec.model import ModelSpec


def tables_of(spec: ModelSpec) -> dict[str, Any]:
    """A spec as the tables of the file that would describe it alone."""
    table: dict[str, Any] = {"format": keys.FORMAT, "name": spec.name}
    table |= {"title": spec.title, "description": spec.description}
    table["structure"] = dict(spec.structure)
    table["parameters"] = {name: _plain(parameter) for name, parameter in spec.parameters.items()}
    table["analytes"] = {name: _plain(analyte) for name, analyte in spec.analytes.items()}
    table["pseudo_observations"] = {name: _plain(p) for name, p in spec.pseudo_observations.items()}
    if spec.correlations:
        table["correlations"] = {"parameters": list(spec.correlations), "lkj_eta": spec.lkj_eta}
    for (first, other), known in spec.correlation_priors.items():
        table["correlations"].setdefault("priors", {})[other] = {"with": first, **_plain(known)}
    for (one, other), value in spec.typical_correlations.items():
        table.setdefault("typical_correlations", {}).setdefault(one, {})[other] = value
    if spec.learnt_from:
        table["learnt_from"] = dict(spec.learnt_from)
    return {key: value for key, value in table.items() if value != {}}


def _plain(noun: Any) -> Any:
    """A noun as a table, without its name and whatever it does not have."""
    if isinstance(noun, Mapping):
        return {key: _plain(value) for key, value in noun.items()}
    if not hasattr(noun, "__dataclass_fields__"):
        return noun
    omitted = ("name", "covariate") + (("reference", "form") if getattr(noun, "form", "") == "level" else ())
    pairs = {key: _plain(getattr(noun, key)) for key in noun.__dataclass_fields__ if key not in omitted}
    return {key: value for key, value in pairs.items() if value is not None and value not in ({}, "")}
