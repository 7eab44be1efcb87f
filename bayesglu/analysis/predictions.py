"""Predictions: what quantities will be, of whom, in which scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.answers import check_probability, groups_of, rows, table_of
from bayesglu.analysis.asking import ask, question_of
from bayesglu.analysis.changes import as_change, set_to
from bayesglu.analysis.quantities import Quantity
from bayesglu.analysis.scenarios import Scenario, scenarios_of
from bayesglu.errors import InputError
from bayesglu.protocols.protocol import Protocol
from bayesglu.text.problems import is_number, show


def predictions(
    fit: xr.DataTree,
    of: str | Quantity | Callable | Iterable = "glucose_peak",
    scenarios: Mapping[str, Scenario | Protocol | str] | Protocol | str | None = None,
    variables: Mapping[str, Sequence] | None = None,
    by: str | None = None,
    average: bool = True,
    probability: float = 0.9,
    units: str | None = None,
    **asked: Any,
) -> pd.DataFrame:
    """Predicted quantities with their intervals, as a table.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    of : str, Quantity, callable or iterable of these
        Quantities, as in `quantities`.
    scenarios : mapping, Protocol or str, optional
        Scenarios, or protocols, by name, or one protocol, as in `what_if`; by default that of the study.
    variables : mapping, optional
        Covariate, parameter or ``protocol`` to the values that it takes in turn, all combinations, each a
        column of the table: ``{"bmi": [20, 25, 30]}``.
    by : str, optional
        Covariate whose levels are the groups of people to speak of.
    average : bool
        Whether to speak of the mean of the people; else of each of them. Of new people the mean and one of
        them are spoken of.
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
        A row per quantity, scenario and group or person: ``median``, ``lower``, ``upper``, ``unit``, and in
        ``interval`` what they are of: a subject, the mean of people, a new person. ``people`` and
        ``occasion`` say of whom and which day; ``defined``, in which share of draws there is a number, where
        that is not always so.

    Raises
    ------
    InputError
        If anything cannot be used, as in `what_if`.
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
    >>> found = bg.predictions(fit, "glucose_at_60", "ivgtt(0.3)", draws=20, random_seed=1)
    >>> found[["quantity", "unit", "interval"]].values.tolist()
    [['glucose_at_60', 'mg/dL', 'subject 1']]
    """
    check_probability(probability)
    columns: dict[str, dict[str, Any]] = {}
    named: dict[str, Scenario] = {"reference": Scenario()}
    if scenarios is None or isinstance(scenarios, Protocol | str):
        asked |= {} if scenarios is None else {"protocol": scenarios}
        if variables is not None:
            named, columns = combinations(variables)
    elif variables is not None:
        raise InputError("Give scenarios, or variables, and not both.")
    else:
        named = scenarios_of(scenarios, {})
    found, cohort = ask(fit, named, question_of(asked, of=of, units=units))
    groups = groups_of(cohort, by)
    table = []
    for name, values in found.data_vars.items():
        for scenario in named:
            about = columns.get(scenario, {"scenario": scenario})
            about = {**about, "quantity": str(name), "unit": values.attrs["units"]}
            one = values.sel(scenario=scenario, drop=True)
            table += [about | row for row in rows(one, cohort, groups, average, probability, by=by)]
    return table_of(table, found.attrs, cohort)


def combinations(variables: Mapping[str, Sequence]) -> tuple[dict[str, Scenario], dict[str, dict[str, Any]]]:
    """Scenarios in which variables take their values in turn, and by their names what each takes.

    Raises InputError where there is nothing to take.
    """
    if not isinstance(variables, Mapping) or not variables:
        raise InputError(f"variables are {show(variables)}. Give a mapping, such as {{'bmi': [22, 30]}}.")
    for name, values in variables.items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
            raise InputError(
                f"variables: {name} takes {show(values)}. Give several values, such as [22, 30]."
            )
    found, columns = {}, {}
    for taken in product(*variables.values()):
        row = dict(zip(variables, taken, strict=True))
        label = ", ".join(value_words(name, value) for name, value in row.items())
        found[label] = taking(row)
        columns[label] = {name: v if is_number(v) else value_words("", v).strip() for name, v in row.items()}
    return found, columns


def taking(row: Mapping[str, Any]) -> Scenario:
    """The scenario in which variables take these values."""
    changes = {}
    for name, value in row.items():
        if name != "protocol":
            number = isinstance(value, np.number) or is_number(value)
            changes[name] = set_to(float(value)) if number else as_change(value)
    return Scenario(row.get("protocol"), changes)


def value_words(name: str, value: Any) -> str:
    """What a variable takes, in words."""
    if isinstance(value, Protocol):
        return value.name
    if isinstance(value, str):
        return value
    return f"{name} {getattr(value, 'words', None) or f'{value:g}'}"
