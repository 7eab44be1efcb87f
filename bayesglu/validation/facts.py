"""Published facts, each an experiment that a model can be put to.

The files in ``data/facts/`` hold a group of experiments each; `load_facts` reads them. A file of one's own
has the same shape::

    [experiments.fasting]
    protocol = "fast(hours=50)"
    until = 3000
    every = 10
    shown = "glucose"
    unit = "mg/dL"
    [experiments.fasting.facts."glucose after a night"]
    reads = "at(glucose, 600)"
    unit = "mg/dL"
    value = 84
    accepted = [76, 89]
    certainty = "B"
    source = ["hojlund2001"]
    point = 600
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bayesglu import catalog
from bayesglu.errors import BayesgluError
from bayesglu.physiology.registry import available
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.text.problems import Problems, Section
from bayesglu.validation.experiments import Experiment
from bayesglu.validation.readings import ReadingError, needs

CERTAINTY = {
    "A": "read in an abstract, a table or a code file",
    "B": "cited from memory, not re-checked",
    "C": "order of magnitude only",
}

_EXPERIMENT = ("protocol", "until", "every", "body_weight", "parameters", "covariates", "start", "hold")
_OPTIONAL = ("title", "shown", "called", "unit", "note", "before", "facts")
_FACT = ("reads", "unit", "value", "spread", "spread_is", "accepted", "certainty", "source", "note", "fails")


class FactError(BayesgluError, ValueError):
    """A file of facts that cannot be used. The message, and `problems`, list every fault that it has."""


@dataclass(frozen=True)
class Fact:
    """A published figure, and how it is read off the experiment.

    Parameters
    ----------
    name : str
        What it is a figure of.
    reads : str
        A reading, such as ``at(glucose, 600)``: what is read off the simulation.
    unit : str
        Unit of the figure.
    value : float
        The figure as published.
    accepted : tuple of float
        Where the mean of a healthy group may plausibly lie, from and to.
    certainty : str
        A, B or C: see `CERTAINTY`.
    source : tuple of str
        Keys of the bibliography.
    spread : float, optional
        Spread as published.
    spread_is : str
        What that is: ``SD``, ``SE``, or nothing where the source does not say.
    note : str
        Anything else.
    fails : str
        The reason, where the model ``feedback`` is known to miss it.
    point : tuple of float
        Where it stands in the experiment's panel: a time (min), or the two ends of a window.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fact = bg.load_facts()[0].facts[0]
    >>> fact.accepted[0] <= fact.value <= fact.accepted[1]
    True
    """

    name: str
    reads: str
    unit: str
    value: float
    accepted: tuple[float, float]
    certainty: str
    source: tuple[str, ...]
    spread: float | None = None
    spread_is: str = ""
    note: str = ""
    fails: str = ""
    point: tuple[float, ...] = ()


@dataclass(frozen=True)
class Group:
    """An experiment with the facts found by it, and what its panel shows.

    Parameters
    ----------
    experiment : Experiment
        What is done, to whom, and how long it is followed.
    facts : tuple of Fact
        Its published figures.
    title : str
        Heading of the panel.
    shown : str
        A reading that changes over time: the curve of the panel.
    called : str
        Its name.
    unit : str
        Its unit.
    note : str
        Anything else.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.load_facts()[0].title
    'Overnight fast'
    """

    experiment: Experiment
    facts: tuple[Fact, ...]
    title: str
    shown: str
    called: str
    unit: str
    note: str = ""


def load_facts(source: str | Path | None = None) -> tuple[Group, ...]:
    """Published experiments with their facts, of the built-in files or of a file or folder of one's own.

    Parameters
    ----------
    source : str or Path, optional
        A TOML file or a folder of them; by default the built-in ones.

    Returns
    -------
    tuple of Group
        One for each experiment: what was done, and its published figures with their sources.

    Raises
    ------
    FactError
        If a file cannot be used; the message lists everything that is wrong.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.load_facts()[0].facts[0].source
    ('taylor1996', 'katz1983')
    """
    path = catalog.folder("facts") if source is None else Path(source)
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    papers = catalog.references()
    problems = Problems("data/facts" if source is None else str(source))
    groups: list[Group] = []
    for file in files:
        inner = Problems(file.name)
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            problems.found.append(f"{file.name}: {error}")
            continue
        top = Section(table, "", inner, ("experiments",))
        outer = top.section("experiments")
        for name in outer.table if outer else ():
            group = _group(name, outer.section(name, (*_EXPERIMENT, *_OPTIONAL)), papers)
            groups += [] if group is None else [group]
        problems.found += inner.found
    facts = [fact.name for group in groups for fact in group.facts]
    for name in dict.fromkeys(n for n in facts if facts.count(n) > 1):
        problems.add(f"has two facts named {name!r}; their names must differ.")
    problems.raise_any(FactError)
    return tuple(groups)


def _group(name: str, section: Section, papers: Iterable[str]) -> Group | None:
    before = len(section.problems.found)
    experiment = _experiment(name, section)
    shown = _reading(section, "shown")
    facts = section.section("facts")
    found = [
        _fact(label, facts.section(label, (*_FACT, "point")), papers)
        for label in (facts.table if facts else ())
    ]
    title, unit, note = section.text("title", name), section.text("unit", ""), section.text("note", "")
    called = section.text("called", None)
    if experiment is None or shown is None or len(section.problems.found) > before:
        return None
    return Group(experiment, tuple(found), title, shown, called or needs(shown)[0], unit, note)


def _experiment(name: str, section: Section) -> Experiment | None:
    protocol = _protocol(section)
    inner = section.section("before", _EXPERIMENT, required=False)
    parameters, covariates, start = (
        dict(section.given(key, None) or {}) for key in ("parameters", "covariates", "start")
    )
    known = available().parameters
    for key in parameters:
        if key not in known:
            section.problems.unknown(key, known, "parameter", section.place)
    until = section.number("until", above=0)
    if protocol is None:
        return None
    return Experiment(
        name=name,
        protocol=protocol,
        until=until or 1.0,
        every=section.number("every", 1.0, above=0) or 1.0,
        body_weight=section.number("body_weight", 70.0, above=0) or 70.0,
        parameters={key: float(value) for key, value in parameters.items()},
        covariates=covariates,
        start={k: tuple(map(float, v)) if isinstance(v, list) else float(v) for k, v in start.items()},
        hold=section.texts("hold", ()),
        before=inner and _experiment(f"before {name}", inner),
    )


def _protocol(section: Section) -> Protocol | None:
    text = section.text("protocol")
    try:
        return parse_protocol(text) if text else None
    except ProtocolError as error:
        section.fault(f"protocol: {error}")
        return None


def _reading(section: Section, key: str) -> str | None:
    text = section.text(key)
    try:
        if text:
            needs(text)
    except ReadingError as error:
        section.fault(f"{key}: {error}")
    return text


def _fact(name: str, section: Section, papers: Iterable[str]) -> Fact:
    accepted, lowest, highest = section.given("accepted"), 0.0, 0.0
    if isinstance(accepted, list) and len(accepted) == 2 and accepted[0] < accepted[1]:
        lowest, highest = map(float, accepted)
    elif accepted is not None:
        section.fault(f"accepted must be [lowest, highest], and is {accepted!r}.")
    sources = section.texts("source", ())
    for key in sources:
        if key not in papers:
            section.problems.unknown(key, papers, "source", section.place)
    point = section.given("point", [])
    return Fact(
        name=name,
        reads=_reading(section, "reads") or "",
        unit=section.text("unit") or "",
        value=section.number("value") or 0.0,
        accepted=(lowest, highest),
        certainty=section.text("certainty", allowed=CERTAINTY) or "",
        source=sources,
        spread=section.number("spread", None, above=0),
        spread_is=section.text("spread_is", ""),
        note=section.text("note", ""),
        fails=section.text("fails", ""),
        point=tuple(map(float, point if isinstance(point, list) else [point])),
    )
