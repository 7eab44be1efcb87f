"""Comparisons: by how much quantities differ between scenarios, within each draw of the same people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.answers import (
    check_above,
    check_probability,
    check_rope,
    groups_of,
    rows,
    summary,
    table_of,
)
from bayesglu.analysis.asking import Question, ask, question_of
from bayesglu.analysis.changes import Change, scale, shift
from bayesglu.analysis.cohort import Cohort
from bayesglu.analysis.predictions import taking, value_words
from bayesglu.analysis.quantities import Quantity
from bayesglu.analysis.scenarios import Scenario, scenarios_of
from bayesglu.errors import InputError
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.spec.model import model_of
from bayesglu.spec.priors import SPELLINGS
from bayesglu.text.problems import hint, is_number, show
from bayesglu.units import canonical_unit, has_unit

COMPARE: Mapping[str, tuple[Callable, float]] = {
    "difference": (lambda changed, reference: changed - reference, 0.0),
    "ratio": (lambda changed, reference: changed / reference, 1.0),
}
"""How two numbers are compared, and what it is where nothing differs."""

STEP = 0.005


def comparisons(
    fit: xr.DataTree,
    variables: Mapping[str, Any] | None = None,
    of: str | Quantity | Callable | Iterable = "glucose_peak",
    by: str | None = None,
    average: bool = True,
    compare: str | Callable = "difference",
    adjusted: bool = True,
    above: float | None = None,
    rope: tuple[float, float] | None = None,
    probability: float = 0.9,
    units: str | None = None,
    scenarios: Mapping[str, Scenario | Protocol | str] | None = None,
    **asked: Any,
) -> pd.DataFrame:
    """By how much quantities differ when something is changed, with intervals and probabilities.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    variables : mapping, optional
        What is changed, each on its own: a covariate, parameter or ``protocol`` to the values of which the
        others are compared with the first (``{"group": ["NGT", "T2D"]}``), or to a change
        (``{"insulin_sensitivity": scale(1.3)}``).
    of : str, Quantity, callable or iterable of these
        Quantities, as in `quantities`.
    by : str, optional
        Covariate whose levels are the groups of people to speak of.
    average : bool
        Whether to speak of the mean of the people; else of each of them. Of new people the mean and one of
        them are spoken of.
    compare : str or callable
        ``"difference"``, ``"ratio"`` (of a person's numbers, or of the means), or a function of both numbers,
        the changed one first.
    adjusted : bool
        Whether the same people are compared, with all else as it is (standardization, or g-computation). If
        not, the people of the study at each level of a covariate as they are: with all else in which the
        groups differ.
    above : float, optional
        Report the probability of more than this; by default 0 for differences and 1 for ratios.
    rope : tuple of float, optional
        A region of practical equivalence, from and to: report the probability of being within.
    probability : float
        Probability of the equal-tailed intervals.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.
    scenarios : mapping, optional
        Scenarios, or protocols, by name instead of variables: each is compared with the first.
    **asked : Any
        What else `what_if` takes: `subjects`, `protocol`, `times`, `draws`, `body_weight`, `random_seed`,
        `occasion`, `hold`, `forcing`, `measured`, `progressbar`.

    Returns
    -------
    pandas.DataFrame
        A row per comparison, quantity and group or person, as of `predictions`, with ``contrast``,
        ``p_above``, the probability of more than ``above``, and ``p_in_rope`` where a region is given.

    Raises
    ------
    InputError
        If anything cannot be used, as in `what_if`, or there is nothing to compare.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is unknown.
    SpecError
        If the model has a part that is not registered.
    UnitError
        If there is no such system of units.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> more = {"insulin_sensitivity": bg.scale(1.3)}
    >>> found = bg.comparisons(fit, more, "glucose_at_60", draws=40, body_weight=70, random_seed=1)
    >>> found.contrast[0], float(found.p_above[0])
    ('insulin_sensitivity x 1.3', 0.0)
    """
    check_probability(probability)
    check_rope(rope)
    check_above(above)
    how, neutral, kind = _comparing(compare)
    question = question_of(asked, of=of, units=units)
    judge = Judge(how, kind, by, average, probability, neutral if above is None else above, rope)
    if (variables is None) == (scenarios is None):
        raise InputError(
            "Give variables, or scenarios, to compare: comparisons(fit, {'group': ['NGT', 'T2D']}, ...)."
        )
    if scenarios is not None:
        return _table([judge.compare(fit, question, scenarios_of(scenarios, {}), {})])
    if not isinstance(variables, Mapping):
        raise InputError(
            f"variables is {show(variables)}. Give a mapping, such as {{'group': ['NGT', 'T2D']}}."
        )
    found = []
    for name, values in variables.items():
        about = {"variable": name}
        if adjusted:
            found.append(judge.compare(fit, question, _worlds(name, values), about))
        else:
            found.append(judge.compare_groups(fit, question, name, values, about))
    return _table(found)


def slopes(
    fit: xr.DataTree,
    variable: str,
    of: str | Quantity | Callable | Iterable = "glucose_auc",
    per: float | None = None,
    by: str | None = None,
    average: bool = True,
    above: float = 0.0,
    rope: tuple[float, float] | None = None,
    probability: float = 0.9,
    units: str | None = None,
    **asked: Any,
) -> pd.DataFrame:
    """By how much quantities change with a covariate or a parameter, about where people are.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    variable : str
        A covariate that is a number, or a parameter.
    of : str, Quantity, callable or iterable of these
        Quantities, as in `quantities`.
    per : float, optional
        Of a covariate, per so many of its unit, 1 by default; of a parameter, per so many per cent of its
        value, 1 by default.
    by : str, optional
        Covariate whose levels are the groups of people to speak of.
    average : bool
        As of `comparisons`.
    above : float
        Report the probability of more than this.
    rope : tuple of float, optional
        A region of practical equivalence, from and to.
    probability : float
        Probability of the equal-tailed intervals.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.
    **asked : Any
        What else `what_if` takes: `subjects`, `protocol`, `times`, `draws`, `body_weight`, `random_seed`,
        `occasion`, `hold`, `forcing`, `measured`, `progressbar`.

    Returns
    -------
    pandas.DataFrame
        As of `comparisons`; the difference over an interval of that length about where each person is.

    Raises
    ------
    InputError
        If anything cannot be used, as in `what_if`, or there is no such number.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is unknown.
    SpecError
        If the model has a part that is not registered.
    UnitError
        If there is no such system of units.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.slopes(fit, "insulin_sensitivity", "glucose_at_60", draws=20, body_weight=70)
    >>> found.unit[0]
    'mg/dL per 1 %'
    """
    check_probability(probability)
    check_rope(rope)
    check_above(above)
    spec = model_of(require_fit(fit).attrs)
    covariates = {e.covariate: e for p in spec.parameters.values() for e in p.effects.values()}
    per = 1.0 if per is None else per
    if not is_number(per) or not per > 0:
        raise InputError(f"per is {show(per)}; it must be a number above 0.")
    if variable in spec.parameters:
        low, high, unit = scale(1 - STEP * per), scale(1 + STEP * per), "%"
    elif variable in covariates and covariates[variable].form != "level":
        unit = canonical_unit(variable) if has_unit(variable) else variable
        low, high = shift(-per / 2), shift(per / 2)
    else:
        known = [*spec.parameters, *(n for n, e in covariates.items() if e.form != "level")]
        raise InputError(
            f"{variable!r} is no parameter and no covariate that is a number.{hint(variable, known)}"
        )
    worlds = {"less": Scenario(change={variable: low}), "more": Scenario(change={variable: high})}
    judge = Judge(COMPARE["difference"][0], "slope", by, average, probability, above, rope)
    question = question_of(asked, of=of, units=units)
    table, attrs, cohort = judge.compare(fit, question, worlds, {"variable": variable})
    for row in table:
        row |= {"contrast": f"{variable} + {per:g} {unit}", "unit": f"{row['unit']} per {per:g} {unit}"}
    return _table([(table, attrs, cohort)])


Found = tuple[list[dict[str, Any]], dict[str, Any], Cohort]


@dataclass(frozen=True)
class Judge:
    """How numbers are compared, for whom, and what is said of it."""

    how: Callable
    kind: str
    by: str | None
    average: bool
    probability: float
    above: float
    rope: tuple[float, float] | None

    def compare(
        self, fit: xr.DataTree, question: Question, named: Mapping[str, Scenario], about: dict
    ) -> Found:
        """Rows of the comparisons of all scenarios with the first, and what they are of."""
        if len(named) < 2:
            raise InputError("There is one scenario alone; a comparison needs two or more.")
        found, cohort = ask(fit, named, question)
        groups = groups_of(cohort, self.by)
        first, *others = named
        table = []
        for name, values in found.data_vars.items():
            reference = values.sel(scenario=first, drop=True)
            for other in others:
                changed = values.sel(scenario=other, drop=True)
                means = [
                    self.how(*(v.sel(subject=labels).mean("subject") for v in (changed, reference)))
                    for labels in groups.values()
                ]
                mean = xr.concat(means, pd.Index(list(groups), name="group"))
                each = self.how(changed, reference)
                contrast = other if first == "reference" else f"{other} - {first}"
                kind = about | self._about(str(name), values, contrast)
                of = rows(each, cohort, groups, self.average, self.probability, mean, self.by)
                table += [kind | self._judged(row) for row in of]
        return table, found.attrs, cohort

    def compare_groups(
        self, fit: xr.DataTree, question: Question, variable: str, values: Sequence, about: dict
    ) -> Found:
        """Rows of the comparison of people of the study as they are, by the levels of a covariate."""
        few = isinstance(values, Change | str) or len(values) < 2
        if question.subjects != "same" or self.by is not None or few:
            raise InputError(
                "adjusted=False compares the people of the study at the levels of a covariate: give two or "
                "more, such as {'group': ['NGT', 'T2D']}, and neither subjects nor by."
            )
        found, cohort = ask(fit, {"reference": Scenario()}, question)
        groups, levels = groups_of(cohort, variable), [SPELLINGS.get(str(v), str(v)) for v in values]
        if lacking := [level for level in levels if level not in groups]:
            listed = ", ".join(groups)
            raise InputError(f"Nobody in the study has {variable} {', '.join(lacking)}. There are: {listed}.")
        first, *others = levels
        table = []
        for name, numbers in found.isel(scenario=0, drop=True).data_vars.items():
            mean = {level: numbers.sel(subject=groups[level]).mean("subject") for level in levels}
            for other in others:
                who = f"means of {len(groups[other])} and {len(groups[first])} people"
                row = {"interval": who} | summary(self.how(mean[other], mean[first]).values, self.probability)
                kind = self._about(str(name), numbers, f"{other} - {first}, unadjusted")
                table.append(about | kind | self._judged(row))
        return table, found.attrs, cohort

    def _about(self, name: str, values: xr.DataArray, contrast: str) -> dict[str, Any]:
        """Of what a row is."""
        unit = {"difference": values.attrs["units"], "slope": values.attrs["units"], "ratio": "1"}
        said = contrast.replace(" - ", " / ") if self.kind == "ratio" else contrast
        return {"contrast": said, "quantity": name, "compare": self.kind, "unit": unit.get(self.kind, "")}

    def _judged(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with its probabilities."""
        draws = row["draws"]
        values = draws[np.isfinite(draws)]
        answer = row | {
            "above": self.above,
            "p_above": float((values > self.above).mean()) if len(values) else np.nan,
        }
        if self.rope is not None:
            low, high = self.rope
            within = (values >= low) & (values <= high)
            answer |= {"rope_low": low, "rope_high": high, "p_in_rope": float(within.mean())}
        return answer


def _table(found: Sequence[Found]) -> pd.DataFrame:
    """One table of all comparisons."""
    tables = [table_of(*each) for each in found]
    together = pd.concat(tables, ignore_index=True)
    together.attrs = tables[0].attrs
    return together


def _comparing(compare: str | Callable) -> tuple[Callable, float, str]:
    """How to compare, what it is where nothing differs, and its name."""
    if callable(compare):
        return compare, 0.0, getattr(compare, "__name__", "function").strip("<>")
    if compare not in COMPARE:
        raise InputError(
            f"compare is {show(compare)}. Allowed: difference, ratio, a function of both numbers."
        )
    return *COMPARE[compare], compare


def _worlds(name: str, values: Any) -> dict[str, Scenario]:
    """The scenarios of a variable."""
    if isinstance(values, Change):
        return {"reference": Scenario(), f"{name} {values.words}": Scenario(change={name: values})}
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) < 2:
        raise InputError(
            f"variables: {name} takes {show(values)}. Give two values or more, such as ['NGT', 'T2D'], or a "
            "change such as scale(1.3)."
        )
    return {value_words(name, value): taking({name: value}) for value in values}
