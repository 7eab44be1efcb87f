r"""Missing covariates: what they may be, learnt from the people of whom they are known.

On the scale of its effects (the logarithm if any is a power of it) a number u is Normal between people, with
mean m and SD s. A level is one of those that have an effect, or none of them, with shares :math:`\pi`:

.. math::
    u \sim N(m, s^2), \quad m \mid s \sim N(m_0, s^2 / \kappa_0), \quad s^{-2} \sim Gamma(a_0, b_0), \qquad
    \pi \sim Dirichlet(1, \ldots, 1)

with the effect's reference as :math:`m_0`, its unit as :math:`\sqrt{b_0}`, and little weight:
:math:`\kappa_0 = 0.01`, :math:`a_0 = 1`. These priors are conjugate, so that what is known of others is
counted in at once, and the prior here is what they leave open. Everyone's known covariates are given, as are
doses: draws of the prior are about them too.

The numbers of this model are one vector without bounds: means, logarithms of SDs, the missing numbers, and
the log odds of each level among those not yet named.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import betaln, gammaln

from bayesglu.frozen import frozen
from bayesglu.hierarchy.covariates import Acting, known_levels, lacking, level_name

COUNT, SHAPE = 0.01, 1.0
"""Weight of the reference in people, and shape of the prior of the precision, which is that of two people."""


class MissingLayout(NamedTuple):
    """Who lacks what: arrays that compiled code reads as they are.

    C covariates are numbers that G people lack; H are levels, of which M people lack one or more. E effects
    act; N combinations of levels are possible for those M people, one after the other.

    ===================  ======  ========================================================================
    ``mean``             (C,)    where means are expected, and
    ``count``            (C,)    of how many people
    ``shape``            (C,)    of the Gamma distribution of the precisions
    ``rate``             (C,)    likewise
    ``subject``          (G,)    who lacks a number, and
    ``number``           (G,)    which of the C
    ``effect_number``    (E,)    of which of the C an effect is; -1 if of none
    ``effect_is_power``  (E,)    whether it is of the exponential of a number on its scale
    ``effect_origin``    (E,)    the reference of an effect, and
    ``effect_unit``      (E,)    its unit
    ``shares``           (L, 2)  shapes of the Beta distribution of a level's share of what is left
    ``first_share``      (H+1,)  where in these the levels of a covariate begin
    ``mixed``            (M,)    who lacks a level
    ``first``            (M+1,)  where their combinations of levels begin
    ``shift``            (N, E)  standardized covariates of a combination, from those of the layout
    ``share``            (N, H)  which share each level of it has; -1 where it is known
    ===================  ======  ========================================================================
    """

    mean: np.ndarray
    count: np.ndarray
    shape: np.ndarray
    rate: np.ndarray
    subject: np.ndarray
    number: np.ndarray
    effect_number: np.ndarray
    effect_is_power: np.ndarray
    effect_origin: np.ndarray
    effect_unit: np.ndarray
    shares: np.ndarray
    first_share: np.ndarray
    mixed: np.ndarray
    first: np.ndarray
    shift: np.ndarray
    share: np.ndarray


class Parts(NamedTuple):
    """The vector of numbers in its parts: means and log SDs (..., C), missing numbers (..., G), log odds of
    levels (..., L)."""

    mean: np.ndarray
    log_sd: np.ndarray
    value: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class Number:
    """A covariate that is a number: who lacks it, and whether its scale is the logarithm."""

    name: str
    subjects: tuple[str, ...]
    is_log: bool

    def natural(self, value):
        """Numbers on their natural scale."""
        return np.exp(value) if self.is_log else value

    def scaled(self, value):
        """The inverse of `natural`."""
        return np.log(value) if self.is_log else value


@dataclass(frozen=True)
class Level:
    """A covariate that has levels: who lacks it, and the levels, of which the last has no effect."""

    name: str
    subjects: tuple[str, ...]
    levels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MissingCovariates:
    """See the module's first lines. ``numbers`` (C) and ``levels`` (H) are the covariates that are lacking.
    ``expected`` (S, E) are the standardized covariates of everyone, with 0 in place of missing numbers and
    what others let expect in place of missing levels."""

    numbers: tuple[Number, ...]
    levels: tuple[Level, ...]
    expected: np.ndarray
    layout: MissingLayout

    @property
    def size(self) -> int:
        """How many numbers this model has."""
        m = self.layout
        return 2 * len(m.mean) + len(m.subject) + len(m.shares)

    def parts(self, vector: np.ndarray) -> Parts:
        """The parts of the vector ``(..., size)``."""
        m = self.layout
        ends = np.cumsum([len(m.mean), len(m.mean), len(m.subject)])
        return Parts(*np.split(vector, ends, axis=-1))

    @property
    def centre(self) -> np.ndarray:
        """The vector where the prior expects it."""
        m = self.layout
        log_sd, log_odds = 0.5 * np.log(m.rate / m.shape), np.log(m.shares[:, 0] / m.shares[:, 1])
        return np.concatenate([m.mean, log_sd, m.mean[m.number], log_odds])

    def draw(self, vector: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The vector ``(..., size)`` with what is NaN in it drawn: from the prior, and missing numbers from
        the distribution of their covariate."""
        m, (mean, log_sd, value, log_odds) = self.layout, self.parts(vector)
        precision = rng.gamma(m.shape, size=log_sd.shape) / m.rate
        log_sd = np.where(np.isnan(log_sd), -0.5 * np.log(precision), log_sd)
        sd = np.exp(log_sd)
        mean = np.where(np.isnan(mean), rng.normal(m.mean, sd / np.sqrt(m.count)), mean)
        anew = rng.normal(mean[..., m.number], sd[..., m.number])
        value = np.where(np.isnan(value), anew, value)
        share = rng.beta(*m.shares.T, size=log_odds.shape)
        log_odds = np.where(np.isnan(log_odds), np.log(share) - np.log1p(-share), log_odds)
        return np.concatenate([mean, log_sd, value, log_odds], axis=-1)

    def unknown(self, shape: tuple[int, ...] = ()) -> np.ndarray:
        """The vector ``(*shape, size)`` of which nothing is known."""
        return np.full((*shape, self.size), np.nan)

    def log_prior(self, vector: np.ndarray) -> np.ndarray:
        """Log density of each number of the vector ``(..., size)``, given those before it."""
        m, (mean, log_sd, value, log_odds) = self.layout, self.parts(vector)
        precision = np.exp(-2 * log_sd)
        of_sd = m.shape * np.log(m.rate * precision) - m.rate * precision + np.log(2) - gammaln(m.shape)
        of_mean = _log_normal(mean, m.mean, log_sd - 0.5 * np.log(m.count))
        of_value = _log_normal(value, mean[..., m.number], log_sd[..., m.number])
        a, b = m.shares.T
        of_odds = -a * np.logaddexp(0, -log_odds) - b * np.logaddexp(0, log_odds) - betaln(a, b)
        return np.concatenate([of_mean, of_sd, of_value, of_odds], axis=-1)

    def standardized(self, vector: np.ndarray) -> np.ndarray:
        """Standardized covariates ``(..., G, E)`` that the missing numbers make."""
        m, value = self.layout, self.parts(vector).value[..., None]
        number = np.where(m.effect_is_power, np.exp(np.where(m.effect_is_power, value, 0.0)), value)
        return np.where(m.number[:, None] == m.effect_number, (number - m.effect_origin) / m.effect_unit, 0.0)

    def log_shares(self, vector: np.ndarray) -> np.ndarray:
        """Logarithms of the shares of all levels, those of one covariate after those of another."""
        m, log_odds = self.layout, self.parts(vector).log_odds
        found = []
        for first, end in zip(m.first_share[:-1], m.first_share[1:], strict=True):
            left = np.zeros(log_odds.shape[:-1])
            for i in range(first, end):
                found.append(left - np.logaddexp(0, -log_odds[..., i]))
                left = left - np.logaddexp(0, log_odds[..., i])
            found.append(left)
        return np.stack(found, axis=-1) if found else np.zeros((*log_odds.shape[:-1], 0))

    def shares_of(self, h: int) -> slice:
        """Which of all shares are those of the H-th covariate's levels."""
        first = int(self.layout.first_share[h]) + h
        return slice(first, first + len(self.levels[h].levels))

    def log_odds_of(self, h: int) -> slice:
        """Where in the vector the log odds of the H-th covariate's levels are."""
        first = self.size - len(self.layout.shares)
        return slice(*(first + self.layout.first_share[h : h + 2]))

    def combinations(self, j: int) -> slice:
        """Which combinations of levels the j-th of the people who lack one may have."""
        return slice(*self.layout.first[j : j + 2])

    def log_share(self, vector: np.ndarray, j: int) -> np.ndarray:
        """Log probability ``(..., combination)`` of each combination of levels of that person, of whom
        nothing else is known."""
        share, log_shares = self.layout.share[self.combinations(j)], self.log_shares(vector)
        return np.where(share >= 0, log_shares[..., share], 0.0).sum(-1)

    def probabilities(self, j: int, h: int, log_density: np.ndarray) -> np.ndarray:
        """Probability ``(..., level)`` of the H-th covariate's levels, from the log density ``(...,
        combination)`` of that person's combinations."""
        own, first = self.layout.share[self.combinations(j), h], self.shares_of(h).start
        weight = np.exp(log_density - log_density.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        of_level = [weight[..., own == first + k].sum(-1) for k in range(len(self.levels[h].levels))]
        return np.stack(of_level, axis=-1)


def log_odds_of(shares: np.ndarray) -> np.ndarray:
    """Log odds ``(..., level - 1)`` of each level among those not yet named, from shares ``(..., level)``."""
    left = np.cumsum(shares[..., ::-1], axis=-1)[..., ::-1]
    return np.log(shares[..., :-1]) - np.log(left[..., 1:])


def missing_covariates(
    acting: Sequence[Acting], covariates: xr.Dataset, subjects: Sequence[str], standardized: np.ndarray
) -> MissingCovariates:
    """What people (S) lack of the covariates whose effects act, from standardized covariates (S, E) that are
    NaN where a number is missing. `covariates` may be of others too."""
    numbers = [_number(n, acting, covariates, subjects) for n in _names(acting, covariates, subjects, False)]
    levels = [_level(n, acting, covariates, subjects) for n in _names(acting, covariates, subjects, True)]
    expected = np.nan_to_num(standardized, nan=0.0)
    mixed = [s for s in subjects if any(s in each.subjects for each, _ in levels)]
    for level, counts in levels:
        those = np.isin(subjects, level.subjects)
        expected[those] += _of_levels(level, acting).T @ (counts / counts.sum())
    shift, share, first = [], [], [0]
    starts = np.cumsum([0, *(len(level.levels) for level, _ in levels)])
    for subject in mixed:
        own = [h for h, (level, _) in enumerate(levels) if subject in level.subjects]
        for choice in product(*(range(len(levels[h][0].levels)) for h in own)):
            away, which = np.zeros(len(acting)), np.full(len(levels), -1)
            for h, k in zip(own, choice, strict=True):
                level, counts = levels[h]
                x = _of_levels(level, acting)
                away += x[k] - x.T @ (counts / counts.sum())
                which[h] = starts[h] + k
            shift.append(away)
            share.append(which)
        first.append(len(shift))
    names, place = [number.name for number, _ in numbers], list(subjects)
    gaps = [(place.index(s), c) for c, (number, _) in enumerate(numbers) for s in number.subjects]
    scales = [_scale(a, names, numbers) for a in acting]
    layout = MissingLayout(
        **{f: np.array([prior[i] for _, prior in numbers], float) for i, f in enumerate(PRIOR)},
        subject=np.array([s for s, _ in gaps], int),
        number=np.array([c for _, c in gaps], int),
        effect_number=np.array([number for number, *_ in scales], int),
        effect_is_power=np.array([power for _, power, _, _ in scales], bool),
        effect_origin=np.array([origin for *_, origin, _ in scales], float),
        effect_unit=np.array([unit for *_, unit in scales], float),
        shares=np.concatenate([np.zeros((0, 2)), *(_sticks(counts) for _, counts in levels)]),
        first_share=np.cumsum([0, *(len(level.levels) - 1 for level, _ in levels)]),
        mixed=np.array([place.index(s) for s in mixed], int),
        first=np.array(first, int),
        shift=np.array(shift, float).reshape(first[-1], len(acting)),
        share=np.array(share, int).reshape(first[-1], len(levels)),
    )
    return MissingCovariates(
        tuple(number for number, _ in numbers), tuple(level for level, _ in levels), expected, frozen(layout)
    )


PRIOR = ("mean", "count", "shape", "rate")


def _names(acting, covariates: xr.Dataset, subjects, of_levels: bool) -> list[str]:
    """Covariates with an effect, numbers or levels, that some of these people lack."""
    lacked = [a for a in acting if set(lacking(covariates, a.effect.covariate)) & set(subjects)]
    numbers = dict.fromkeys(a.effect.covariate for a in lacked if a.effect.form != "level")
    levels = dict.fromkeys(a.effect.covariate for a in lacked if a.effect.covariate not in numbers)
    return list(levels if of_levels else numbers)


def _known(covariates: xr.Dataset, name: str) -> np.ndarray:
    """The covariate of everyone who has one."""
    values = covariates[name]
    return values.values[~np.isin(values.subject.values, lacking(covariates, name))]


def _number(name: str, acting, covariates: xr.Dataset, subjects) -> tuple[Number, tuple[float, ...]]:
    """A covariate that is a number, and its prior, in which those of others are counted."""
    effects = [a.effect for a in acting if a.effect.covariate == name and a.effect.form != "level"]
    is_log = any(effect.form == "power" for effect in effects)
    effect = next(e for e in effects if not is_log or e.form == "power")
    origin, unit = float(effect.reference), float(effect.per)
    values = _known(covariates, name).astype(float)
    if is_log:
        origin, unit, values = np.log(origin), np.log(unit), np.log(values)
    n, mean = len(values), values.mean()
    count = COUNT + n
    rate = SHAPE * unit**2 + 0.5 * ((values - mean) ** 2).sum()
    rate += 0.5 * COUNT * n * (mean - origin) ** 2 / count
    who = tuple(s for s in lacking(covariates, name) if s in set(subjects))
    return Number(name, who, is_log), ((COUNT * origin + n * mean) / count, count, SHAPE + 0.5 * n, rate)


def _level(name: str, acting, covariates: xr.Dataset, subjects) -> tuple[Level, np.ndarray]:
    """A covariate that has levels, and how often each is known, with 1 for the prior."""
    effects = {str(a.effect.reference): a.effect for a in acting if a.effect.covariate == name}
    known = _known(covariates, name)
    counts = [1.0 + sum(effect.standardized(v) for v in known) for effect in effects.values()]
    others = [
        level_name(v) for v in known_levels(known) if not any(e.standardized(v) for e in effects.values())
    ]
    rest = 1.0 + sum(not any(e.standardized(v) for e in effects.values()) for v in known)
    levels = *effects, " or ".join(others) if 0 < len(others) < 4 else "none of these"
    who = tuple(s for s in lacking(covariates, name) if s in set(subjects))
    return Level(name, who, levels), np.array([*counts, rest])


def _of_levels(level: Level, acting) -> np.ndarray:
    """Standardized covariates (level, E)."""
    here = [(a.effect.covariate == level.name, str(a.effect.reference)) for a in acting]
    return np.array([[float(own and at == name) for own, at in here] for name in level.levels])


def _sticks(counts: np.ndarray) -> np.ndarray:
    """Shapes (level - 1, 2) of the Beta distributions that together are a Dirichlet distribution: of each
    level's share among itself and those after it."""
    after = np.cumsum(counts[::-1])[::-1]
    return np.stack([counts[:-1], after[1:]], axis=1)


def _scale(a: Acting, names: list[str], numbers) -> tuple[int, bool, float, float]:
    """Of which number an effect is, whether of its exponential, its reference and its unit."""
    effect = a.effect
    if effect.per is None or effect.covariate not in names:
        return -1, False, 0.0, 1.0
    c = names.index(effect.covariate)
    if effect.form == "power":
        return c, False, math.log(float(effect.reference)), math.log(effect.per)
    return c, numbers[c][0].is_log, float(effect.reference), effect.per


def _log_normal(value, mean, log_sd):
    return -0.5 * ((value - mean) * np.exp(-log_sd)) ** 2 - log_sd - 0.5 * np.log(2 * np.pi)
