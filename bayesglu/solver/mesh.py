"""Frozen steps: as many between two stops, and placed there, as an adaptive solver wants for most of the
parameters that it is shown.

Who has the same times has the same steps, so that lanes go together.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from bayesglu.solver.integrate import FINE
from bayesglu.solver.plan import Plan, Tape

ENOUGH = 0.9
"""The share of the solves that the steps of an interval are enough for."""

GRID = 24
"""Points of an interval at which solves are compared."""


class Mesh(NamedTuple):
    """Sizes of frozen ``steps``, those from stop s to the next from ``first_step[s]`` on; see `Plan`."""

    first_step: np.ndarray
    steps: np.ndarray


def mesh_of(plan: Plan, solves: Iterable[tuple[np.ndarray, Tape]]) -> Mesh | None:
    """The mesh that serves adaptive solves of a plan, each an outcome (person,) and a tape; None where there
    are people whose equations none of them solved."""
    groups = _alike(plan)
    group = {int(person): g for g, own in enumerate(groups) for person in own}
    wanted: list[list[np.ndarray]] = [[] for _ in groups]
    for outcome, tape in solves:
        for person, sizes in _steps_taken(plan, tape):
            if outcome[person] == FINE:
                wanted[group[person]].append(_counted(plan, person, sizes))
    if not all(wanted):
        return None
    steps: list[np.ndarray] = [np.zeros(0)] * len(plan.time)
    for own, paths in zip(groups, wanted, strict=True):
        for s, sizes in enumerate(_shared(_times(plan, own[0]), np.array(paths))):
            for person in own:
                steps[plan.offset[person] + s] = sizes
    first = np.cumsum([0, *map(len, steps)])
    return Mesh(first.astype(np.int64), np.concatenate(steps))


def _times(plan: Plan, person: int) -> np.ndarray:
    """Stops of a person, from the first on."""
    own = plan.time[plan.offset[person] : plan.offset[person + 1]]
    return own - own[0]


def _alike(plan: Plan) -> list[list[int]]:
    """People with the same times."""
    found: dict[bytes, list[int]] = {}
    for person in range(len(plan.offset) - 1):
        found.setdefault(_times(plan, person).tobytes(), []).append(person)
    return list(found.values())


def _steps_taken(plan: Plan, tape: Tape) -> Iterator[tuple[int, np.ndarray]]:
    """Each person, and the sizes of the steps that were accepted."""
    width = tape.h.shape[1]
    for place, person in enumerate(plan.order):
        rows = slice(tape.first[place // width], tape.first[place // width + 1])
        sizes = tape.h[rows, place % width]
        yield int(person), sizes[sizes > 0]


def _grid(times: np.ndarray) -> np.ndarray:
    """Points within each interval, its ends with them (interval, point)."""
    return times[:-1, None] + np.diff(times)[:, None] * np.linspace(0, 1, GRID + 1)


def _counted(plan: Plan, person: int, sizes: np.ndarray) -> np.ndarray:
    """How many steps a person has made at the points of the grid (interval, point)."""
    ends = np.concatenate([[0.0], np.cumsum(sizes)])
    return np.interp(_grid(_times(plan, person)), ends, np.arange(len(ends)))


def _shared(times: np.ndarray, made: np.ndarray) -> Iterator[np.ndarray]:
    """Sizes of the steps of each interval, for those who had `made` so many (path, interval, point)."""
    number = np.quantile(made[:, :, -1] - made[:, :, 0], ENOUGH, axis=0)
    spread = (made - made[:, :, :1]).mean(0)
    for grid, path, count in zip(_grid(times), spread, number, strict=True):
        share = np.linspace(0, path[-1], max(1, int(np.ceil(count - 0.1))) + 1)
        yield np.diff(np.interp(share, path, grid))
