"""Virtual trials, and doses that meet a target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import ttest_ind, ttest_rel

from bayesglu.analysis.asking import ask, question_of
from bayesglu.analysis.new_people import NewPeople, new_people
from bayesglu.analysis.quantities import Quantity
from bayesglu.analysis.scenarios import Scenario, scenarios_of
from bayesglu.errors import BayesgluWarning, InputError, warn_caller
from bayesglu.protocols.library import injection, meal
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.seeds import seed_of
from bayesglu.settings import Number, check_settings
from bayesglu.text.problems import show

MOST = 100_000
"""People in an arm, beyond whom a trial is none that anyone holds, and its numbers fill the memory."""

RESEARCH = "for research, not for treatment"

VARIED = {
    "carbohydrate": (lambda dose: meal(dose), "g", range(10, 121, 10)),
    "insulin": (lambda dose: injection("insulin", dose, "U"), "U", range(0, 21, 2)),
}
"""What a dose can be of: how it is given, its unit, and the usual doses."""

SHARE = {"dropout": Number(0, 0.9), "alpha": Number(0, 1, within=True)}


def trial(
    fit: xr.DataTree,
    arms: Mapping[str, Scenario | Protocol | str],
    of: str | Quantity = "glucose_auc",
    n: int | Sequence[int] = 40,
    repeats: int = 400,
    people: NewPeople | None = None,
    dropout: float = 0.0,
    alpha: float = 0.05,
    crossover: bool = False,
    random_seed: int | np.random.Generator | None = None,
    **asked: Any,
) -> pd.DataFrame:
    """The power of a trial with parallel arms or a crossover, from trials that are simulated.

    Each repetition is a draw of the population, with new people in each arm, measured with the assay's error,
    some of whom drop out. An arm differs from the first where Welch's t-test of the endpoint says so, two
    sided; in a crossover, where everyone has every arm, each on a day of its own, the paired t-test. So the
    power is that of the planned analysis over what the fit leaves open: an assurance.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    arms : mapping
        Scenarios, or protocols, by name; the others are compared with the first.
    of : str or Quantity
        The endpoint, as in `quantities`.
    n : int or sequence of int
        People in each arm, in a crossover people in all; several for a curve.
    repeats : int
        How many trials; as many at most as the fit has draws.
    people : NewPeople, optional
        Covariates of those who take part, as `new_people` has them; by default those of the study.
    dropout : float
        Share of the people who leave without the endpoint.
    alpha : float
        Significance level of the test.
    crossover : bool
        Whether everyone has every arm. What differs from day to day (`between_occasion` of the model) does
        so between arms; each day begins at rest, so that nothing carries over, and the order plays no part.
    random_seed : int or numpy.random.Generator, optional
        Seed of the trials.
    **asked : Any
        What else `what_if` takes: `protocol`, `times`, `body_weight`, `hold`, `measured`, `progressbar`.

    Returns
    -------
    pandas.DataFrame
        A row per arm and size: ``power`` with its Monte Carlo standard error ``mcse``, ``repeats``, and of
        the difference of the arms' means in these trials the ``median`` and the interval of 90 %.

    Raises
    ------
    InputError
        If anything cannot be used, as in `what_if`.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is unknown.
    SpecError
        If the model has a part that is not registered.
    SolverError
        If the equations cannot be solved.

    Warns
    -----
    BayesgluWarning
        Where trials were left with fewer than two people in an arm; they count as without a difference.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> arms = {"low": bg.Scenario("ivgtt(0.1)"), "high": bg.Scenario("ivgtt(0.4)")}
    >>> plan = bg.trial(fit, arms, "glucose_at_8", n=[3, 12], repeats=40, body_weight=70, random_seed=1)
    >>> bool(plan.power[1] > 0.9)
    True
    """
    check_settings({"dropout": dropout, "alpha": alpha}, SHARE)
    check_settings({"repeats": repeats}, {"repeats": Number(2, 10**6, whole=True)})
    sizes = list(n) if isinstance(n, Iterable) else [n]
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in sizes)
    if not sizes or not whole or not all(2 <= each <= MOST for each in sizes):
        raise InputError(
            f"n is {show(n)}; it must be a whole number of people in each arm, 2 to {MOST:,}, or several."
        )
    named = scenarios_of(arms, {})
    if len(named) < 2:
        raise InputError("A trial needs two arms or more, such as {'placebo': ..., 'drug': ...}.")
    if not isinstance(people, NewPeople | None):
        raise InputError(f"people is {show(people)}. Give new people, such as new_people(like='study').")
    most, seed = max(sizes), seed_of(random_seed)
    people = new_people(like="study") if people is None else people
    asked = {"measured": True, **asked}
    places = replace(people, n=most, days=len(named)) if crossover else replace(people, n=most * len(named))
    question = question_of(asked, of=of, subjects=places, draws=repeats, random_seed=seed)
    found, cohort = ask(fit, named, question)
    (name,) = _one(found)
    numbers = found[name].stack(trial=("chain", "draw")).transpose("trial", "scenario", "subject").values
    leaves = np.random.default_rng([seed, 1]).random(numbers.shape[0::2]) < dropout
    if crossover:  # who leaves has no pair
        leaves = np.tile(leaves[:, :most], len(named))
    numbers = np.where(leaves[:, None, :], np.nan, numbers)
    of_arm = [numbers[:, i, i * most : (i + 1) * most] for i in range(len(named))]
    rows, few = [], 0.0
    for size in sizes:
        control, *others = (each[:, :size] for each in of_arm)
        for arm, endpoint in zip(list(named)[1:], others, strict=True):
            p = _p_values(endpoint, control, crossover)
            enough = _enough(endpoint, control, crossover)
            few = max(few, float((~enough).mean()))
            power = float(np.mean(p < alpha))
            difference = (_means(endpoint) - _means(control))[enough]
            found_any = len(difference) > 0
            low, middle, high = np.quantile(difference, [0.05, 0.5, 0.95]) if found_any else [np.nan] * 3
            row = {"arm": arm, "control": next(iter(named)), "n": size, "quantity": name}
            row |= {"power": power, "mcse": np.sqrt(power * (1 - power) / len(p)), "repeats": len(p)}
            row |= {"median": middle, "lower": low, "upper": high, "unit": found[name].attrs["units"]}
            rows.append(row | {"people": cohort.whom})
    if few:
        warn_caller(
            f"In up to {100 * few:.0f} % of the trials an arm had fewer than two people with the endpoint: "
            "they count as trials that found no difference.",
            BayesgluWarning,
        )
    table = pd.DataFrame(rows)
    table.attrs = {"random_seed": seed, "protocol": found.attrs["protocol"]}
    table.attrs["design"] = "crossover" if crossover else "parallel"
    return table


def _p_values(endpoint: np.ndarray, control: np.ndarray, paired: bool) -> np.ndarray:
    """Of the test of each trial ``(trial, person)``; NaN where fewer than two people are in an arm."""
    enough = _enough(endpoint, control, paired)
    p = np.full(len(endpoint), np.nan)
    if not enough.any():
        return p
    one, other = endpoint[enough], control[enough]
    if paired:
        p[enough] = ttest_rel(one, other, axis=-1, nan_policy="omit").pvalue
    else:
        p[enough] = ttest_ind(one, other, axis=-1, equal_var=False, nan_policy="omit").pvalue
    return p


def _enough(endpoint: np.ndarray, control: np.ndarray, paired: bool) -> np.ndarray:
    """In which trials both arms have two people with the endpoint, or two have it in both."""
    one, other = np.isfinite(endpoint), np.isfinite(control)
    return (one & other).sum(-1) >= 2 if paired else np.minimum(one.sum(-1), other.sum(-1)) >= 2


def _means(endpoint: np.ndarray) -> np.ndarray:
    """Of the people of each trial ``(trial, person)`` who have it; NaN where nobody does."""
    there = np.isfinite(endpoint)
    count = there.sum(-1)
    total = np.where(there, endpoint, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def dose_for(
    fit: xr.DataTree,
    target: str = "glucose_peak < 180",
    vary: str = "carbohydrate",
    doses: Sequence[float] | None = None,
    protocol: Protocol | str | None = None,
    probability: float = 0.9,
    subjects: str | Sequence[str] | NewPeople = "same",
    **asked: Any,
) -> pd.DataFrame:
    """With which probability each dose meets a target, in each person: for research, not for treatment.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    target : str
        A quantity, ``<`` or ``>``, and a number in its canonical unit.
    vary : str
        ``"carbohydrate"``, of a meal (g), or ``"insulin"``, injected at time 0 (U).
    doses : sequence of float, optional
        Doses to try.
    protocol : Protocol or str, optional
        What is given besides, such as the meal that insulin is for.
    probability : float
        With which a target is to be met.
    subjects : str, sequence of str or NewPeople
        Of whom, as in `what_if`.
    **asked : Any
        What else `what_if` takes.

    Returns
    -------
    pandas.DataFrame
        A row per person and dose: ``p_target``, ``met`` where that is at least `probability`, and ``use``.

    Raises
    ------
    InputError
        If anything cannot be used, as in `what_if`.
    ProtocolError
        If a text is not a protocol, or a dose cannot be given.
    SpecError
        If the model has a part that is not registered.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> asked = {"protocol": "ogtt(75)", "times": [0, 30, 60, 120], "subjects": 2}
    >>> study = bg.simulate_study("oral", **asked, random_seed=1)
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.dose_for(fit, "glucose_peak < 140", doses=[10, 100], draws=40, random_seed=1)
    >>> found.use[0]
    'for research, not for treatment'
    """
    parts = isinstance(target, str) and re.fullmatch(r"\s*(\w[\w.]*)\s*([<>])\s*(-?\d+(?:\.\d+)?)\s*", target)
    if not parts:
        raise InputError(
            f"target is {show(target)}. Write a quantity and a limit, such as 'glucose_peak < 180'."
        )
    if vary not in VARIED:
        raise InputError(f"vary is {show(vary)}. Allowed: {', '.join(VARIED)}.")
    check_settings({"probability": probability}, {"probability": Number(0, 1, within=True)})
    give, unit, usual = VARIED[vary]
    given_doses = usual if doses is None else doses if isinstance(doses, Iterable) else [doses]
    tried = list(dict.fromkeys(given_doses))
    besides = None if protocol is None else parse_protocol(protocol)
    named = {}
    for dose in tried:
        given = give(dose)
        named[f"{dose:g} {unit}"] = Scenario(given if besides is None else besides + given)
    if not named:
        raise InputError("doses are none. Give some to try.")
    found, cohort = ask(fit, named, question_of(asked, of=parts[1], subjects=subjects, units="canonical"))
    (name,) = _one(found)
    limit = float(parts[3])
    meets = found[name] < limit if parts[2] == "<" else found[name] > limit
    share = meets.mean(("chain", "draw"))
    rows = []
    for label in cohort.labels:
        for dose, world in zip(tried, named, strict=True):
            met = float(share.sel(subject=label, scenario=world))
            rows.append({"subject": label, "dose": dose, "unit": unit, "p_target": met})
    table = pd.DataFrame(rows).assign(target=target, use=RESEARCH)
    table.insert(4, "met", table["p_target"] >= probability)
    table.attrs = {"random_seed": found.attrs["random_seed"], "occasion": cohort.occasion}
    return table


def _one(found: xr.Dataset) -> tuple[str]:
    """The name of the one quantity that is asked of."""
    if len(found.data_vars) != 1:
        raise InputError(f"One quantity is needed, and there are {', '.join(map(str, found.data_vars))}.")
    return (str(next(iter(found.data_vars))),)
