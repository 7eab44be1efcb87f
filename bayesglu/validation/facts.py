"""Published facts, each an experiment that a model can be put to, and what the model answers.

The files in ``data/facts/`` hold a group of experiments each; `load_facts` reads them, `validate` asks a
model. A file of one's own has the same shape::

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu import catalog
from bayesglu.analysis.simulation import available_outputs
from bayesglu.errors import BayesgluError, InputError
from bayesglu.physiology.loop import assemble
from bayesglu.physiology.registry import available
from bayesglu.protocols.events import Protocol, ProtocolError
from bayesglu.protocols.parse import parse_protocol
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.text.problems import Problems, Section
from bayesglu.validation.experiments import Experiment, draw_people
from bayesglu.validation.readings import ReadingError, needs, read

CERTAINTY = {
    "A": "read in an abstract, a table or a code file",
    "B": "cited from memory, not re-checked",
    "C": "order of magnitude only",
}
PASSES, FAILS, KNOWN = "passes", "FAILS", "expected failure"
UNEXPECTED, LEFT_OUT = "UNEXPECTED PASS", "not asked"
BANDS = (0.5, 0.9)

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


@dataclass(frozen=True)
class Validation:
    """What a model answered to published facts.

    Parameters
    ----------
    model : str
        Name of the model.
    groups : tuple of Group
        The experiments that were asked.
    table : pandas.DataFrame
        One row a fact: ``model`` at the typical values, ``lower_50`` to ``upper_90`` the ends of equal-tailed
        bands over people (NaN without draws), ``verdict`` one of the words of this module.
    curves : mapping
        What each experiment's panel shows, by name, dims ``draw`` (0 is typical), ``level``, ``time``.
    random_seed : int, optional
        Seed with which the people were drawn.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.validate(facts=bg.load_facts()[:1]).model
    'feedback'
    """

    model: str
    groups: tuple[Group, ...]
    table: pd.DataFrame
    curves: Mapping[str, xr.DataArray]
    random_seed: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many facts have each verdict.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.validate(facts=bg.load_facts()[:1]).counts
        {'passes': 7}
        """
        return {str(word): int(n) for word, n in self.table["verdict"].value_counts().items()}

    @property
    def clean(self) -> bool:
        """Whether no fact fails that is not known to.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.validate(facts=bg.load_facts()[:1]).clean
        True
        """
        return FAILS not in self.counts


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
    groups = []
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
            groups.append(_group(name, outer.section(name, (*_EXPERIMENT, *_OPTIONAL)), papers))
        problems.found += inner.found
    facts = [fact.name for group in groups if group for fact in group.facts]
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
    if len(section.problems.found) > before:
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
    return protocol and Experiment(
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
        return text and parse_protocol(text)
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


def _fact(name: str, section: Section, papers: Iterable[str]) -> Fact | None:
    accepted = section.given("accepted")
    sound = isinstance(accepted, list) and len(accepted) == 2 and accepted[0] < accepted[1]
    if accepted is not None and not sound:
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
        accepted=tuple(map(float, accepted)) if sound else (0.0, 0.0),
        certainty=section.text("certainty", allowed=CERTAINTY) or "",
        source=sources,
        spread=section.number("spread", None, above=0),
        spread_is=section.text("spread_is", ""),
        note=section.text("note", ""),
        fails=section.text("fails", ""),
        point=tuple(map(float, point if isinstance(point, list) else [point])),
    )


def validate(
    model: ModelSpec | str | Path = "feedback",
    facts: Sequence[Group] | None = None,
    draws: int = 0,
    random_seed: int | np.random.Generator | None = None,
) -> Validation:
    """What a model answers to published facts: at its typical values, and over people drawn from its priors.

    Facts about something that the model does not have are not asked.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    facts : sequence of Group, optional
        As `load_facts` returns them; by default all that are built in.
    draws : int
        People for the bands; with 0 only the typical values are asked.
    random_seed : int or numpy.random.Generator, optional
        Seed of the people; drawn where it is not given, and kept in the result.

    Returns
    -------
    Validation
        A table with a row a fact, counts of verdicts, and the curves of the experiments.

    Raises
    ------
    InputError
        If `draws` is negative.
    SpecError
        If there is no such model.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.validate("feedback", bg.load_facts()[:1]).clean
    True
    """
    if draws < 0:
        raise InputError(f"draws is {draws}; it must be 0 (typical values alone) or more.")
    spec = load_model(model)
    groups = load_facts() if facts is None else tuple(facts)
    seed = seed_of(random_seed)
    people = draw_people(spec, draws, seed) if draws else {}
    known = {*available_outputs(spec), *spec.parameters, "body_weight"}
    if "glycogen" not in assemble(spec.structure).states:  # held by the model itself, it answers nothing
        known -= {"glycogen", "liver_glycogen", "glycogen_rate"}
    rows, curves = [], {}
    for group in groups:
        experiment = group.experiment
        texts = [fact.reads for fact in group.facts] + [group.shown]
        asked = {text for text in texts if {*needs(text)} <= known and experiment.possible(spec)}
        if asked:
            result = experiment.perform(spec, people)
            names = {**experiment.parameters_of(spec, people), "body_weight": experiment.body_weight}
        answers = {text: read(text, result, names) for text in asked}
        if group.shown in asked:
            curves[experiment.name] = answers[group.shown]
        rows += [_row(experiment.name, fact, answers.get(fact.reads)) for fact in group.facts]
    return Validation(spec.name, groups, pd.DataFrame(rows), curves, seed if draws else None)


def _row(experiment: str, fact: Fact, answer: xr.DataArray | None) -> dict:
    """A fact as a row of the table."""
    values = np.atleast_1d(answer.values) if answer is not None else np.array([np.nan])
    inside = fact.accepted[0] <= values[0] <= fact.accepted[1]
    verdict = (PASSES, UNEXPECTED)[bool(fact.fails)] if inside else (FAILS, KNOWN)[bool(fact.fails)]
    row = {
        "experiment": experiment,
        "fact": fact.name,
        "unit": fact.unit,
        "published": fact.value,
        "spread": fact.spread,
        "spread_is": fact.spread_is,
        "lowest": fact.accepted[0],
        "highest": fact.accepted[1],
        "model": float(values[0]),
    }
    for band in BANDS:
        tails = (
            np.nanquantile(values[1:], [0.5 - band / 2, 0.5 + band / 2]) if len(values) > 1 else [np.nan] * 2
        )
        row |= {f"{end}_{100 * band:g}": float(v) for end, v in zip(("lower", "upper"), tails, strict=True)}
    told = {"certainty": fact.certainty, "source": ", ".join(fact.source), "why": fact.fails}
    return {**row, "verdict": verdict if answer is not None else LEFT_OUT, **told}
