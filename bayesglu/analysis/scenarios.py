"""What would be different: scenarios of a what-if, their combinations, and files of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bayesglu.analysis.changes import Change, as_change, change_of, set_to
from bayesglu.errors import BayesgluError, InputError, MissingFileError
from bayesglu.frozen import Frozen
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.settings import as_mapping, as_names
from bayesglu.text.problems import Problems, Section, hint, is_file, is_number, read_toml, show

OWN = "own"
"""The protocol that stands for each person's own one."""


@dataclass(frozen=True)
class Switch:
    """A part of the body that is switched off: of `parameters` the one that a model has is 0, or `states`
    begin at 0."""

    meaning: str
    parameters: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


SWITCHES: Mapping[str, Switch] = MappingProxyType(
    {
        "no_beta_cells": Switch("no insulin is secreted from the start on", parameters=("beta_cell_mass",)),
        "no_glucagon": Switch("no glucagon is secreted from the start on", parameters=("alpha_cell_mass",)),
        "no_incretin": Switch("insulin is not potentiated", parameters=("incretin_potentiation",)),
        "no_hepatic_uptake": Switch(
            "the liver takes up no glucose", parameters=("reference_hepatic_uptake", "hepatic_uptake_maximum")
        ),
        "empty_liver": Switch("the liver begins without glycogen", states=("glycogen",)),
    }
)
"""Switches by their physiological words."""


@dataclass(frozen=True)
class Scenario:
    """One of the worlds that `what_if` compares, on the same draws of the same people.

    Parameters
    ----------
    protocol : Protocol, str or mapping, optional
        What is done: to everyone, by subject, or ``"own"`` for what was done to each person in the study. By
        default that of the question.
    change : mapping, optional
        Parameter or covariate to `scale`, `shift`, `set_to` or a function of its draws:
        ``{"insulin_sensitivity": scale(1.3), "bmi": shift(-5), "group": set_to("NGT")}``. Texts are read as
        on the command line: ``"*1.3"``, ``"-5"``, ``"NGT"``.
    switches : str or iterable of str
        ``no_beta_cells``, ``no_glucagon``, ``no_incretin``, ``no_hepatic_uptake``, ``empty_liver``.
    start : mapping, optional
        Initial values of states, as in `simulate`: ``{"glucose": 300}``.

    Raises
    ------
    InputError
        If a change or a switch is none; the message lists every fault.
    ProtocolError
        If a text is not a protocol.

    Examples
    --------
    >>> import bayesglu as bg
    >>> str(bg.Scenario("meal(90)", {"insulin_sensitivity": bg.scale(1.3)}, "no_incretin"))
    'meal(90), insulin_sensitivity x 1.3, no incretin'
    """

    protocol: Protocol | str | Mapping[str, Protocol | str] | None = None
    change: Mapping[str, Any] = field(default_factory=Frozen)
    switches: str | Iterable[str] = ()
    start: Mapping[str, float] = field(default_factory=Frozen)

    def __post_init__(self) -> None:
        problems = Problems("Scenario")
        changes = {}
        for name, how in as_mapping("change", self.change).items():
            try:
                changes[str(name)] = as_change(how)
            except InputError as error:
                problems.add(f"{name}: {error}")
        switches = as_names("switches", self.switches)
        for name in switches:
            if name not in SWITCHES:
                problems.unknown(name, SWITCHES, "switch")
        problems.raise_any(InputError)
        done = self.protocol
        if isinstance(done, Mapping):
            done = Frozen({str(label): parse_protocol(each) for label, each in done.items()})
        elif done is not None and done != OWN:
            done = parse_protocol(done)
        object.__setattr__(self, "protocol", done)
        object.__setattr__(self, "change", Frozen(changes))
        object.__setattr__(self, "switches", switches)
        object.__setattr__(self, "start", Frozen(as_mapping("start", self.start)))

    def __str__(self) -> str:
        done = self.protocol
        by_person = "a protocol for each person" if done == OWN or isinstance(done, Mapping) else ""
        said = [by_person or (done.name if isinstance(done, Protocol) else "")]
        said += [f"{name} {how.words}" for name, how in self.change.items()]
        said += [name.replace("_", " ") for name in self.switches]
        said += [f"{name} begins at {value:g}" for name, value in self.start.items()]
        return ", ".join(filter(None, said))


def grid(**axes: Mapping[str, Any] | Sequence[Any]) -> dict[str, Scenario]:
    """Scenarios for all combinations of protocols and of changes.

    Parameters
    ----------
    **axes : mapping or sequence
        What varies: ``protocol``, ``switches``, or the name of a parameter or covariate; and what it takes in
        turn, perhaps by a name of your own. The first of each is in the first scenario, with which the others
        are compared.

    Returns
    -------
    dict of str to Scenario
        For `what_if`; their names are made of what they take.

    Raises
    ------
    InputError
        If an axis is empty, a change or a switch is none, or two combinations have the same name.
    ProtocolError
        If a text is not a protocol.

    Examples
    --------
    >>> import bayesglu as bg
    >>> list(bg.grid(protocol=["meal(60)", "meal(90)"], insulin_sensitivity={"": "*1", "better": "*1.3"}))
    ['meal(60)', 'meal(60), better', 'meal(90)', 'meal(90), better']
    """
    if not axes or any(isinstance(axis, str) or not len(axis) for axis in axes.values()):
        raise InputError("grid needs something to combine, such as grid(protocol=['meal(60)', 'meal(90)']).")
    columns = []
    for axis, taken in axes.items():
        named = taken.items() if isinstance(taken, Mapping) else ((_name(axis, each), each) for each in taken)
        columns.append([(axis, name, value) for name, value in named])
    found = {}
    for row in product(*columns):
        own = {axis: value for axis, _, value in row if axis in ("protocol", "switches")}
        changes = {axis: _change(value) for axis, _, value in row if axis not in own}
        called = ", ".join(name for _, name, _ in row if name) or "reference"
        if called in found:
            raise InputError(f"grid: two combinations are called {called!r}. Give their values other names.")
        found[called] = Scenario(change=changes, **own)
    return found


def _name(axis: str, value: Any) -> str:
    """What a scenario is called after one of its values."""
    if axis == "protocol":
        return value.name if isinstance(value, Protocol) else str(value)
    if axis == "switches":
        return ", ".join([value] if isinstance(value, str) else value).replace("_", " ")
    return f"{axis} {_change(value).words}"


def _change(value: Any) -> Change:
    """A change that an axis takes: a number is what a covariate or parameter is set to."""
    return set_to(value) if is_number(value) else as_change(value)


def scenarios_of(given: Any, default: Mapping[str, Scenario]) -> dict[str, Scenario]:
    """Named scenarios from what a caller gave: a mapping of scenarios or protocols, or one scenario, which is
    then compared with `default`.

    Raises InputError, or what `Scenario` raises.
    """
    if isinstance(given, Scenario):
        return {**default, "changed": given}
    if not isinstance(given, Mapping) or not given:
        raise InputError(
            f"scenarios are {show(given)}. Give a mapping from names to Scenario(...) or to protocols."
        )
    found = {}
    for name, each in given.items():
        found[str(name)] = each if isinstance(each, Scenario) else Scenario(protocol=each)
    return found


def load_scenarios(path: str | Path) -> dict[str, Scenario]:
    """Scenarios that are written in a file.

    Parameters
    ----------
    path : str or Path
        A TOML file with a table ``[scenarios.NAME]`` for each, in their order, with the keys ``protocol`` (a
        text, or a table by subject), ``change`` (a table of texts such as ``"*1.3"``, ``"-5"``, ``"NGT"``, or
        of numbers to set to), ``switches`` (a list) and ``start`` (a table of numbers). A ``protocol`` before
        all tables is that of the scenarios that name none.

    Returns
    -------
    dict of str to Scenario
        For `what_if`; the others are compared with the first.

    Raises
    ------
    InputError
        Listing everything that is wrong in the file.
    MissingFileError
        If there is no such file.

    Examples
    --------
    >>> from pathlib import Path
    >>> import bayesglu as bg
    >>> text = 'protocol = "meal(60)"\\n[scenarios.usual]\\n[scenarios.lost]\\nswitches = ["no_incretin"]'
    >>> _ = Path("meals.toml").write_text(text)
    >>> {name: str(scenario) for name, scenario in bg.load_scenarios("meals.toml").items()}
    {'usual': 'meal(60)', 'lost': 'meal(60), no incretin'}
    """
    path = Path(path)
    if not is_file(path):
        raise MissingFileError(f"{path}: there is no such file.")
    problems = Problems(str(path))
    try:
        table, fault = read_toml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        table, fault = {}, "it is not a text in UTF-8"
    if fault:
        problems.add(f"cannot be read: {fault}.")
    problems.raise_any(InputError)
    whole = Section(table, "", problems, ("protocol", "scenarios"))
    usual = whole.text("protocol", None)
    named = whole.section("scenarios")
    found = {}
    for name in named.table if named else ():
        section = named.section(name, ("protocol", "change", "switches", "start"))
        if section.sound:
            found[name] = _scenario(section, usual)
    if named and not named.table:
        problems.add("has no scenarios. Write a table such as [scenarios.usual] for each.")
    problems.raise_any(InputError)
    return found


def _scenario(section: Section, usual: str | None) -> Scenario:
    """One table of a file; an empty scenario after noting what is wrong."""
    before = len(section.problems.found)
    protocol = section.given("protocol", usual)
    if not isinstance(protocol, str | dict | None):
        section.fault(f"protocol must be a text, or a table of texts by subject, and is {show(protocol)}.")
    changes, given, start = {}, section.given("change", {}), section.given("start", {})
    for key, table in (("change", given), ("start", start)):
        if not isinstance(table, dict):
            section.fault(f"{key} must be a table, and is {show(table)}.")
    for name, how in given.items() if isinstance(given, dict) else ():
        if isinstance(how, str) and (found := change_of(how)):
            changes[name] = found
        elif is_number(how):
            changes[name] = set_to(how)
        else:
            section.fault(
                f"change {name} is {show(how)}. Write '*1.3', '+5', '-5', 90 or a level such as 'NGT'."
            )
    switches = section.texts("switches", ())
    for switch in switches:
        if switch not in SWITCHES:
            section.fault(
                f"has no switch {switch!r}.{hint(switch, SWITCHES)}\n  Known: {', '.join(SWITCHES)}."
            )
    for name, value in start.items() if isinstance(start, dict) else ():
        if not is_number(value) or value < 0:
            section.fault(f"start {name} is {show(value)}; it must be a number of at least 0.")
    if len(section.problems.found) > before:
        return Scenario()
    try:
        return Scenario(protocol, changes, switches, start)
    except BayesgluError as error:
        section.fault(str(error))
        return Scenario()
