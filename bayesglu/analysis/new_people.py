"""New people: who they are to be, before they are drawn from the population of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bayesglu.errors import InputError
from bayesglu.text.problems import show

NUMBER = 20


@dataclass(frozen=True)
class NewPeople:
    """People who were not in the study; made by `new_people`.

    Parameters
    ----------
    n : int
        How many.
    covariates : pandas.DataFrame
        Their covariates, a row per person, and perhaps their ``body_weight`` in kg; without columns where
        they are at the references of the model.
    like : str
        Whom they are like, in words.
    of_study : bool
        Whether covariates and body weights are those of the study's people.
    days : int
        On how many days each is seen; each then stands among the people as often, everyone on the first day
        before everyone on the second.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.new_people(40, covariates={"group": "T2D", "bmi": 33}).like
    'group T2D, bmi 33'
    """

    n: int
    covariates: pd.DataFrame
    like: str = ""
    of_study: bool = False
    days: int = 1


def new_people(
    n: int | None = None,
    covariates: Mapping[str, float | str] | None = None,
    like: str | pd.DataFrame | None = None,
) -> NewPeople:
    """New people for `what_if`, drawn from the population of a fit, with covariates of their own.

    Parameters
    ----------
    n : int, optional
        How many; by default 20, or as many as a table has rows.
    covariates : mapping, optional
        Covariates that all of them have, in canonical units: ``{"group": "T2D", "bmi": 33}``; and perhaps
        their ``body_weight``.
    like : str or pandas.DataFrame, optional
        ``"study"`` for the covariates and body weights of the study's people, or a table with a row per
        person and a column per covariate. The rows are taken in a random order, each as often as the others.

    Returns
    -------
    NewPeople
        For the argument `subjects` of `what_if` and its like. Where nothing is said, and covariates act in
        the fit, they are like the study's people; where something is said, all else is at the references
        of the model. The answer says which.

    Raises
    ------
    InputError
        If `n` is no number of people, `covariates` no mapping, or `like` is neither.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.new_people(40, like="study").n
    40
    """
    table = pd.DataFrame()
    if isinstance(like, pd.DataFrame):
        table = like.reset_index(drop=True).drop(columns=["subject"], errors="ignore")
    elif like not in (None, "study"):
        raise InputError(f"like is {show(like)}. Allowed: 'study', or a table with a row per person.")
    n = (len(table) or NUMBER) if n is None else n
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n is {show(n)}; it must be a whole number, 1 or more.")
    if covariates is not None and not isinstance(covariates, Mapping):
        raise InputError(
            f"covariates is {show(covariates)}. Give a mapping, such as {{'group': 'T2D', 'bmi': 33}}."
        )
    said = dict(covariates or {})
    if said and len(table):
        table = table.assign(**said)
    elif said:
        table = pd.DataFrame([said])
    of_study = isinstance(like, str)
    words = ["the study's people" if of_study else "a table" if like is not None else ""]
    words += [f"{name.replace('_', ' ')} {value}" for name, value in said.items()]
    return NewPeople(n, table, ", ".join(filter(None, words)), of_study)
