"""What many people are given and when they are sampled, checked; all faults are reported at once.

A person is called by the name that `names` has of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bayesglu.errors import InputError
from bayesglu.protocols.events import SAME_MOMENT
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.protocol import Protocol

Forcing = tuple[ArrayLike, ArrayLike]
"""Times (min) and values of a measured curve."""


def as_minutes(times: ArrayLike) -> np.ndarray:
    """Times as an array of floats; InputError where they are none.

    >>> as_minutes(range(0, 91, 30)).tolist()
    [0.0, 30.0, 60.0, 90.0]
    """
    try:
        return np.asarray(times, float)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"times are {str(times)[:60]}; give numbers, the minutes of the samples.") from None


def per_person(value: ArrayLike | None, people: int, name: str) -> np.ndarray:
    """Value of each person (N,), NaN where there is none."""
    array = np.asarray(np.nan if value is None else value, float)
    if array.shape not in ((), (people,)):
        raise ValueError(
            f"{name} has shape {array.shape}; give one number, or one for each of {people} people."
        )
    return np.broadcast_to(array, people)


def same_length(people: int, **sequences: Sequence) -> None:
    if people == 0:
        raise ValueError("A schedule needs at least one person; there are no protocols.")
    wrong = [f"{len(s)} {name}" for name, s in sequences.items() if len(s) != people]
    if wrong:
        raise ValueError(f"There are {people} protocols but {' and '.join(wrong)}; give one for each person.")


def checked_samples(times: Sequence[ArrayLike], names: Sequence[str]) -> list[np.ndarray]:
    samples = [np.unique(as_minutes(t)) for t in times]
    problems = []
    for name, t in zip(names, samples, strict=True):
        if t.size == 0:
            problems.append(f"{name} has no sampling time; give at least one, the integration ends there")
        elif not np.isfinite(t).all():
            problems.append(f"{name} has sampling times that are not finite numbers")
        elif t.size > 1 and np.diff(t).min() <= SAME_MOMENT:
            pair = np.argmin(np.diff(t))
            both = f"{float(t[pair])!r} and {float(t[pair + 1])!r} min"
            problems.append(f"{name} has samples at {both}, closer than {SAME_MOMENT:g} min")
    _raise_all(InputError, problems)
    return samples


def checked_curves(forcing: Sequence[Forcing | None], names: Sequence[str]):
    curves, problems = [], []
    for name, pair in zip(names, forcing, strict=True):
        if pair is None:
            curves.append(None)
            continue
        try:
            knots, values = (np.atleast_1d(np.asarray(part, float)) for part in pair)
        except (TypeError, ValueError, OverflowError):
            problems.append(f"{name} has the forcing {str(pair)[:60]}; it must be (times, values)")
            continue
        if knots.ndim != 1 or knots.shape != values.shape or knots.size == 0:
            problems.append(f"{name} has a forcing of {knots.size} times and {values.size} values")
        elif not (np.isfinite(knots).all() and np.isfinite(values).all()):
            problems.append(f"{name} has a forcing with missing values; leave such samples out of it")
        elif (np.diff(knots) <= SAME_MOMENT).any():
            problems.append(f"{name} has a forcing whose times do not increase")
        curves.append((knots, values))
    _raise_all(InputError, problems)
    return curves


def checked_deliveries(protocols: Sequence[Protocol], weights: np.ndarray, names: Sequence[str]):
    deliveries, problems = [], []
    for name, protocol, weight in zip(names, protocols, weights, strict=True):
        try:
            given = protocol.canonical(None if np.isnan(weight) else float(weight))
            deliveries.append([d for d in given if d.kind == "clamp" or d.amount != 0])
        except ProtocolError as error:
            problems.append(f"{name}: {error}")
    _raise_all(ProtocolError, problems)
    return deliveries


def checked_starts(starts: np.ndarray, samples, deliveries, names: Sequence[str]) -> np.ndarray:
    pairs = zip(samples, deliveries, strict=True)
    first = np.array([min([t[0], *(d.time for d in given)]) for t, given in pairs])
    _raise_all(
        ValueError,
        [
            f"{name} would start at {start:g} min, after its first sample or delivery at {early:g} min"
            for name, start, early in zip(names, starts, first, strict=True)
            if start > early
        ],
    )
    return np.fmin(starts, first)


def _raise_all(kind: type[Exception], problems: Sequence[str]) -> None:
    """Raise one error of the first ten, which says how many more there are."""
    if problems:
        rest = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise kind("\n".join([*problems[:10], *rest]))
