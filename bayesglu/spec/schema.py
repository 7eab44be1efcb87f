"""The JSON schema of model files, from which editors complete keys and mark faults while one types.

``python -m bayesglu.spec.schema > model.schema.json`` writes it, with the parts of one's own that packages
bring. It knows less than the reader, which looks at what is inherited and at several keys together.
"""

from __future__ import annotations

import json
from typing import Any

from bayesglu.physiology.choices import SIMULATORS
from bayesglu.physiology.registry import SHIPPED, Choices, available
from bayesglu.spec import keys
from bayesglu.spec.reader import MAY_BE_ZERO

Schema = dict[str, Any]

_EFFECTS = {"^[^:]+:.+$": keys.EFFECT_OF_LEVEL, "^[^:]+$": keys.EFFECT_OF_NUMBER}
"""Names of effects, of one level of a covariate and of a covariate that is a number -> their keys."""


def schema(choices: Choices = SHIPPED) -> Schema:
    """The schema of a model file (draft 7, which editors of TOML read).

    choices : what a structure can choose from, and the parameters that it asks for.

    Examples
    --------
    >>> sorted(schema()["properties"]["structure"]["properties"]["kidney"]["enum"])
    ['none', 'threshold']
    """
    found = _table(keys.MODEL)
    properties = found["properties"]
    properties["format"] |= {"minimum": 1, "maximum": keys.FORMAT}
    properties["structure"] |= _structure(choices)
    properties["parameters"] = {
        "type": "object",
        "description": properties["parameters"]["description"],
        "properties": {
            name: _parameter(name, unit, name in choices.fractions)
            for name, unit in choices.parameters.items()
        },
        # what assays add, and what parts of one's own need
        "additionalProperties": {"$ref": "#/definitions/parameter"},
    }
    demanded = _demands(keys.MODEL)
    demanded["properties"]["parameters"]["additionalProperties"]["properties"]["effects"] = {
        "patternProperties": {pattern: _demands(of) for pattern, of in _EFFECTS.items()}
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Model file of bayesglu",
        **found,
        "if": {"required": ["extends"]},
        "else": demanded,
        "definitions": {"parameter": _parameter_of_any_name()},
    }


def text(choices: Choices = SHIPPED) -> str:
    """The schema as the text of its file."""
    return json.dumps(schema(choices), indent=1, ensure_ascii=False) + "\n"


def _table(of: tuple[keys.Key, ...]) -> Schema:
    return {
        "type": "object",
        "properties": {key.name: _value(key) for key in of},
        "additionalProperties": False,
    }


def _value(key: keys.Key) -> Schema:
    """What may stand under a key."""
    about: Schema = {"description": key.meaning}
    if key.default not in (None, ""):
        about["default"] = key.default
    if key.holds == "table":
        return (_table(key.keys) if key.keys else {"type": "object"}) | about
    if key.holds == "tables":
        return {"type": "object", "additionalProperties": _table(key.keys)} | about
    if key.holds == "texts":
        return {"type": "array", "items": {"type": "string"}} | about
    if key.allowed:
        return {"type": "string", "enum": list(key.allowed)} | about
    types = {"text": "string", "number": "number", "integer": "integer", "flag": "boolean"}
    bounds: Schema = {}
    if key.above is not None:
        bounds["minimum" if key.closed else "exclusiveMinimum"] = key.above
    if key.below is not None:
        bounds["exclusiveMaximum"] = key.below
    return {"type": types[key.holds]} | bounds | about


def _demands(of: tuple[keys.Key, ...]) -> Schema:
    """What a file that extends none must have."""
    wanted: Schema = {"required": [key.name for key in of if key.required]}
    inner: Schema = {}
    for key in of:
        if key.keys:
            demanded = _demands(key.keys)
            inner[key.name] = {"additionalProperties": demanded} if key.holds == "tables" else demanded
    return wanted | ({"properties": inner} if inner else {})


def _structure(choices: Choices) -> Schema:
    slots = {name: {"enum": list(of)} for name, of in choices.slots.items() if name not in SIMULATORS}
    return {"properties": slots, "additionalProperties": False}


def _parameter_of_any_name() -> Schema:
    found = _table(keys.PARAMETER)
    found["properties"]["effects"] |= {
        "patternProperties": {pattern: _table(of) for pattern, of in _EFFECTS.items()},
        "additionalProperties": False,
    }
    return found


def _parameter(name: str, unit: str, is_fraction: bool) -> Schema:
    """What holds for a parameter of this name besides."""
    own: Schema = {"unit": {"const": unit, "default": unit}}
    if is_fraction:
        own["scale"] = {"const": "logit", "default": "logit"}
    if name not in MAY_BE_ZERO:
        own["typical"] = {"properties": {"median": {"exclusiveMinimum": 0}}}
    return {
        "description": f"In {unit}." if unit != "1" else "A pure number.",
        "allOf": [{"$ref": "#/definitions/parameter"}, {"properties": own}],
    }


if __name__ == "__main__":
    print(text(available()), end="")
