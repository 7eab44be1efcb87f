"""People who are unlike what the fit predicts of new people: whose samples no one of that population has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.analysis.compared import compared, logarithm, of_new_people
from bayesglu.analysis.npde import FEWEST, Decorrelated, by_person, imputed
from bayesglu.inference.datatree import NEW_PEOPLE

UNLIKE = 5e-3
"""How seldom chance puts anyone of a study as far from what is predicted of new people."""

TAIL = 0.05
"""Share of new people from whom the tail is known that is beyond them all."""


class People(NamedTuple):
    """The people of a fit beside new people: their `samples`, the logarithms that are compared (obs), each
    one's `decorrelated` samples, and how probable it is that one of so many is as far off, by label."""

    samples: xr.Dataset
    log_value: np.ndarray
    decorrelated: dict[str, Decorrelated]
    chance: dict[str, float]

    @property
    def outliers(self) -> list[str]:
        """Those who are unlike new people, the farthest first."""
        return [who for who in sorted(self.chance, key=self.chance.__getitem__) if self.chance[who] < UNLIKE]


def beside_new_people(fit: xr.DataTree) -> People | None:
    """The people of a fit beside new people; None where it holds none of these, or too few."""
    if not {NEW_PEOPLE, "observed_data", "constant_data"} <= set(fit.children):
        return None
    samples = compared(fit)
    new = of_new_people(fit, samples)
    if len(new) < FEWEST:
        return None
    log_new = logarithm(new, samples)
    log_value = imputed(samples, log_new, np.random.default_rng(len(log_new)))
    of_each = by_person(samples, log_value, log_new)
    return People(samples, log_value, of_each, _chances(of_each))


def _chances(of_each: dict[str, Decorrelated]) -> dict[str, float]:
    """How probable it is that one of so many people is as far off as each, by label.

    Squared distances of new people are heavier in their tails than those of Normal numbers are. So beyond the
    farthest twentieth of new people, all together, their tail is taken to fall as a power (Hill 1975, Ann
    Stat 3:1163).
    """
    middle = {who: np.median((person.others**2).sum(1)) for who, person in of_each.items()}
    far = [(person.others**2).sum(1) / middle[who] for who, person in of_each.items()]
    everyone = np.sort(np.concatenate(far))
    edge = np.quantile(everyone, 1 - TAIL)
    power = 1 / np.mean(np.log(everyone[everyone > edge] / edge))
    found = {}
    for who, person in of_each.items():
        distance = (person.own**2).sum() / middle[who]
        rank = (everyone >= distance).mean()
        alone = TAIL * (distance / edge) ** -power if distance > edge else rank
        found[who] = float(-np.expm1(len(of_each) * np.log1p(-min(alone, 0.5))))
    return found


def unusual(people: People, who: str) -> str:
    """By how much, and where, a person is unlike new people."""
    own = people.decorrelated[who]
    samples, log_value = people.samples.isel(obs=own.rows), people.log_value[own.rows]
    away = log_value - own.mean
    i = int(np.abs(away / np.sqrt((own.factor**2).sum(1))).argmax())
    ratio = float(np.exp(away[i]))
    times = f"{ratio:.2g} times" if ratio > 1 else f"1/{1 / ratio:.2g} of"
    what = f"{samples.analyte.values[i]} at {float(samples.time.values[i]):g} min"
    return f"{what} is {times} what is expected of someone like that"
