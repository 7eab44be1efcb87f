"""A model file as plain tables: read, laid over the file it extends, and written back in one canonical form.

Nothing here knows what a key means; :mod:`bayesglu.spec.reader` checks that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from bayesglu import catalog
from bayesglu.errors import RenamedWarning, warn_caller
from bayesglu.renamed import model_table
from bayesglu.residuals import KINDS
from bayesglu.text.problems import Problems, is_file, read_toml, show

Table = dict[str, Any]

MOST_PARENTS = 50
_VARIATION = ("between_subject", "between_occasion")
_WITHOUT_SHAPE = frozenset(name for name, kind in KINDS.items() if kind.shape_above is None)


def parse(text: str, problems: Problems, remind: bool = True) -> Table:
    """The tables of a TOML text, by today's names; empty, with a problem noted, where it is not TOML.

    remind : whether to warn of names that were given up.
    """
    table, why = read_toml(text)
    if why:
        problems.add(f"is not valid TOML: {why}.")
        return {}
    return with_todays_names(table, problems, remind)


def with_todays_names(table: Mapping[str, Any], problems: Problems, remind: bool = True) -> Table:
    """Tables by today's names, with a warning of those that were given up, unless `remind` is False."""
    table, old = model_table(table)
    if old and remind:
        warn_caller(
            f"{problems.where}: names that will be given up, and those that took their place: "
            f"{'; '.join(old)}. Write the new ones.",
            RenamedWarning,
        )
    return table


def resolve(table: Table, problems: Problems, folder: Path | None, seen: tuple[str, ...] = ()) -> Table:
    """`table` laid over its chain of parents, without the key ``extends``.

    A parent is the name of a built-in model, or the path of a file relative to `folder`, the child's own.
    """
    child = {key: value for key, value in table.items() if key != "extends"}
    if "extends" not in table:
        return child
    parent = table["extends"]
    if not isinstance(parent, str):
        problems.add(f"extends must name one model in quotes, and is {show(parent)}. A file has one parent.")
        return child
    if len(seen) > MOST_PARENTS:
        problems.add(f"extends a chain of more than {MOST_PARENTS} files. Write the last ones as one.")
        return child
    path = _parent_path(parent, folder, problems)
    if path is None:
        return child
    step = str(path.resolve())
    if step in seen:
        chain = " -> ".join(Path(name).stem for name in (*seen[seen.index(step) :], step))
        problems.add(f"circular extends: {chain}. Let one of these files stand alone.")
        return child
    try:
        inherited = parse(path.read_text(encoding="utf-8"), problems)
    except UnicodeDecodeError:
        problems.add(f"extends {parent!r}, which is not UTF-8 text, and so no model file.")
        return child
    return overlay(resolve(inherited, problems, path.parent, (*seen, step)), child)


def _parent_path(parent: str, folder: Path | None, problems: Problems) -> Path | None:
    """Where the parent's file lies; None, with a problem noted, where there is none."""
    if parent.endswith(".toml"):
        path = (folder or Path()) / parent
        if is_file(path):
            return path
        problems.add(f"extends {show(parent)}, and there is no such file beside it.")
        return None
    try:
        return catalog.locate("model", parent)
    except LookupError as error:
        problems.add(f"extends {parent!r}. {error}")
        return None


def overlay(parent: Table, child: Mapping[str, Any]) -> Table:
    """The parent's tables with the child's keys laid over them, key by key at every depth.

    An empty table takes away what is inherited under its name: ``effects = {}`` every effect on a parameter,
    ``"group:T2D" = {}`` within ``effects`` that one, ``[correlations]`` with nothing below it the whole
    section. What a model cannot be without is then missing, and is told to be.

    Three rules keep things whole. A parameter that the child fixes loses the ``gsd``, the variation and the
    covariate effects that it inherits; one that becomes shared loses the inherited variation, one that
    becomes each occasion's own that between occasions. An analyte to which the child gives a residual
    without a shape loses the inherited ``nu``. What the child itself writes stays, and is checked.
    """
    laid = _merge(deepcopy(parent), child)
    parameters = child.get("parameters")
    for name, given in parameters.items() if isinstance(parameters, Mapping) else ():
        level = given.get("level", "") if isinstance(given, Mapping) else ""
        written = laid["parameters"].get(name, {})
        if not isinstance(written, dict) or not isinstance(level, str):
            continue  # which the reader tells
        dropped = {
            "fixed": (*_VARIATION, "effects"),
            "shared": _VARIATION,
            "occasion": ("between_occasion",),
        }.get(level, ())
        for key in dropped:
            if key not in given:
                written.pop(key, None)
        typical = written.get("typical")
        if level == "fixed" and isinstance(typical, dict) and "gsd" not in given.get("typical", {}):
            typical.pop("gsd", None)
    analytes = child.get("analytes")
    for name, given in analytes.items() if isinstance(analytes, Mapping) else ():
        residual = given.get("residual") if isinstance(given, Mapping) else None
        if isinstance(residual, str) and residual in _WITHOUT_SHAPE and "nu" not in given:
            laid["analytes"].get(name, {}).pop("nu", None)
    return laid


def _merge(parent: Any, child: Any) -> Any:
    if not isinstance(child, Mapping):
        return child
    inherited = dict(parent) if isinstance(parent, Mapping) else {}
    laid = inherited | {key: _merge(inherited.get(key), value) for key, value in child.items()}
    empty = {key for key, value in child.items() if isinstance(value, Mapping) and not value}
    return {key: value for key, value in laid.items() if key not in empty & inherited.keys()}


def write(table: Mapping[str, Any]) -> str:
    """`table` as TOML text: the same tables, in the same order, always give the same text.

    Keys that hold plain values come first, then a heading for each table; below the second depth tables are
    written within one line.
    """
    lines = [
        f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)
    ]
    for key, inner in table.items():
        if not isinstance(inner, Mapping):
            continue
        plain = {name: value for name, value in inner.items() if not isinstance(value, Mapping)}
        if plain or not inner:
            lines += [
                "",
                f"[{_key(key)}]",
                *(f"{_key(name)} = {_value(value)}" for name, value in plain.items()),
            ]
        for name, deep in inner.items():
            if isinstance(deep, Mapping):
                lines += ["", f"[{_key(key)}.{_key(name)}]"]
                lines += [f"{_key(word)} = {_value(value)}" for word, value in deep.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    bare = key.replace("_", "a").replace("-", "a")
    return key if bare.isascii() and bare.isalnum() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the one control character that JSON leaves bare.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
