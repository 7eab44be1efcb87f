"""What a model answers to published facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.simulation import available_outputs
from bayesglu.errors import InputError
from bayesglu.physiology.loop import assemble
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.validation.experiments import draw_people
from bayesglu.validation.facts import Fact, Group, load_facts
from bayesglu.validation.readings import needs, read

PASSES, FAILS, KNOWN = "passes", "FAILS", "expected failure"
UNEXPECTED, LEFT_OUT = "UNEXPECTED PASS", "not asked"
BANDS = (0.5, 0.9)


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
        One row per fact: ``model`` at the typical values, ``lower_50`` to ``upper_90`` the ends of
        equal-tailed bands over people (NaN without draws), ``verdict`` one of the words of this module.
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
        A table with a row per fact, counts of verdicts, and the curves of the experiments.

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
        answers = {}
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
    about = {"certainty": fact.certainty, "source": ", ".join(fact.source), "why": fact.fails}
    return {**row, "verdict": verdict if answer is not None else LEFT_OUT, **about}
