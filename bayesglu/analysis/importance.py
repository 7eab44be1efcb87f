"""Importance sampling of people given draws of a population, with smoothed weights and their diagnostics.

Under each draw of the population a person's numbers are drawn from Student's t about the modes, a few times,
and weighed. The mean weight is the likelihood of the person's data under that draw, whatever numbers the
person has; without bias, so that pairs of a draw of the population and a draw of the person, chosen by their
weights, are draws of the posterior of both (pseudo-marginal importance sampling; Andrieu and Roberts 2009,
Annals of Statistics 37:697). Weights are Pareto smoothed, and the shape k of their tail says whether they can
be trusted (Vehtari et al. 2024, JMLR 25:72).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from bayesglu.analysis.conditional import Conditional, HeavyTailed
from bayesglu.pareto import chosen, smoothed

EACH = 8
"""Draws of each person under each draw of the population."""

ADAPTED = 3
"""Most times that the proposal takes the mean and the covariance of what it found."""

STARTS = 12
"""Draws of the population from which modes are sought, each from someone drawn from it."""

APART, FAINT = 3.0, 6.0
"""Modes are several where they lie so many SDs apart; one whose share of the posterior is below exp(-6) is
left to the tails of the proposal."""

COUNTED, FEWEST_COUNTED = 0.999, 50
"""Share of the weight of the draws of the population by which proposals are judged, and how many at least."""


class Sampled(NamedTuple):
    """Draws (R) of people and population given all data: ``which`` draw of the population (R,), numbers ``x``
    (R, S, N), and of each chosen draw of the population the ``log_likelihood`` of the people's data (R,).

    ``k`` and ``ess`` (S,) are of the draws of each person, ``population_k`` and ``population_ess`` of the
    draws of the population: the shape of the tail of the weights, and their
    effective sample size. ``modes`` (S,) counts how many each person has.
    """

    which: np.ndarray
    x: np.ndarray
    log_likelihood: np.ndarray
    k: np.ndarray
    ess: np.ndarray
    population_k: float | np.ndarray
    population_ess: float | np.ndarray
    modes: np.ndarray


class Weighed(NamedTuple):
    """Draws ``x`` (each, M, S, N) of people under draws of the population, the logarithms of their weights
    (each, M, S) against a Laplace approximation, and the ``log_likelihood`` (M, S) of each person's data
    under each draw of the population; ``k`` and ``modes`` (S,) as in `Sampled`."""

    x: np.ndarray
    log_weight: np.ndarray
    log_likelihood: np.ndarray
    k: np.ndarray
    ess: np.ndarray
    modes: np.ndarray


@dataclass(frozen=True)
class Mixture:
    """What is proposed under each draw of the population: heavy tails about the modes (C, M, S, N), along the
    axes of the precision there. ``factor`` (C, M, S, N, N), ``log_mass`` (C, M, S): the Laplace approximation
    of each mode's share."""

    mode: np.ndarray
    factor: np.ndarray
    log_mass: np.ndarray
    tails: HeavyTailed

    @property
    def log_likelihood(self) -> np.ndarray:
        """Laplace's approximation of the likelihood of each person's data (M, S)."""
        # The same mode counts once for each of its copies, which no ratio of weights sees.
        return logsumexp(self.log_mass, axis=0)

    @property
    def share(self) -> np.ndarray:
        """How often each mode is proposed (C, M, S): by its mass, and none too seldom."""
        share = np.exp(self.log_mass - self.log_likelihood)
        return 0.9 * share + 0.1 / len(share)

    def draw(self, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (each, M, S, N), and what they are along the axes of the mode that they are drawn about."""
        _, draws, people, _ = self.mode.shape
        v = self.tails.draw((each, draws), rng)
        before = np.cumsum(self.share, axis=0)[:-1]
        about = (rng.random((each, 1, draws, people)) > before).sum(1)  # (each, M, S)
        m, s = np.arange(draws)[:, None], np.arange(people)
        x = self.mode[about, m, s] + np.einsum("kmsij,kmsj->kmsi", self.factor[about, m, s], v)
        return x, v

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density (each, M, S)."""
        parts = []
        for mode, factor, share in zip(self.mode, self.factor, self.share, strict=True):
            v = np.linalg.solve(factor, (x - mode)[..., None])[..., 0]
            volume = np.linalg.slogdet(factor)[1]
            parts.append(np.log(share) + self.tails.log_density(v) - volume)
        return logsumexp(parts, axis=0)


def sample_people(
    c: Conditional, draws: int, rng: np.random.Generator, log_weight: np.ndarray | None = None
) -> Sampled:
    """So many draws of people and population; `log_weight` (M,) of what the draws of the population weigh
    before the people's data."""
    before = np.zeros(len(c.population.typical)) if log_weight is None else log_weight
    people = weigh_people(c, rng, before)
    log_likelihood = people.log_likelihood.sum(-1)
    log_weight, population_k = _smoothed((log_likelihood + before)[:, None, None])
    weight = np.exp(log_weight[:, 0, 0] - log_weight.max())
    which = rng.permutation(chosen(weight, draws, rng))
    x = np.stack([_drawn(people, which, s, rng) for s in range(c.people)], axis=1)
    return Sampled(
        which=which,
        x=x,
        log_likelihood=log_likelihood[which],
        k=people.k,
        ess=people.ess,
        population_k=float(population_k[0]),
        population_ess=float(weight.sum() ** 2 / np.square(weight).sum()),
        modes=people.modes,
    )


def sample_each(c: Conditional, draws: int, rng: np.random.Generator) -> Sampled:
    """So many draws of each person, as if nobody else had come: each with draws of the population of its own,
    ``which`` (R, S). ``log_likelihood`` is that of each person's data (S,) under the population; beside it
    ``population_k`` and ``population_ess`` are of each person (S,)."""
    people = weigh_people(c, rng, None)
    log_weight, population_k = _smoothed(people.log_likelihood[None])
    weight = np.exp(log_weight[0] - log_weight[0].max(0))
    which = np.stack([rng.permutation(chosen(own, draws, rng)) for own in weight.T], axis=1)
    return Sampled(
        which=which,
        x=np.stack([_drawn(people, which[:, s], s, rng) for s in range(c.people)], axis=1),
        log_likelihood=logsumexp(people.log_likelihood, axis=0) - np.log(len(weight)),
        k=people.k,
        ess=people.ess,
        population_k=population_k,
        population_ess=weight.sum(0) ** 2 / np.square(weight).sum(0),
        modes=people.modes,
    )


def _drawn(people: Weighed, which: np.ndarray, s: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (R, N) of one person, given draws of the population (R,)."""
    log_own = people.log_weight[:, which, s]
    own = np.cumsum(np.exp(log_own - log_own.max(0)), axis=0)
    turn = (rng.random(len(which)) * own[-1] > own).sum(0)
    return people.x[turn, which, s]


def weigh_people(
    c: Conditional, rng: np.random.Generator, before: np.ndarray | float | None = 0.0, each: int = EACH
) -> Weighed:
    """Draws of each person under each draw of the population, `each` so many, with their weights; `before`
    (M,) are the logarithms of what draws of the population weigh before, or None where all count alike
    whatever the people's data say."""
    proposal, modes = proposal_of(c, rng)
    if before is None:
        counted = np.arange(len(c.population.typical))
    else:
        counted = _counted(proposal.log_likelihood.sum(-1) + before)
    x, v, log_ratio = proposed(c, proposal, rng)
    for _ in range(ADAPTED):
        adapted = _adapted(proposal, v[:, counted], log_ratio[:, counted])
        tried = proposed(c, adapted, rng)
        if _sizes(tried[2][:, counted]).sum() <= _sizes(log_ratio[:, counted]).sum():
            break
        proposal, (x, v, log_ratio) = adapted, tried
    if each != EACH:
        x, v, log_ratio = proposed(c, proposal, rng, each)
    log_weight = log_ratio.copy()
    log_weight[:, counted], k = _smoothed(log_ratio[:, counted])
    within = logsumexp(log_weight, axis=0) - np.log(len(log_weight))
    ess = _sizes(log_weight[:, counted])
    return Weighed(x, log_weight, within + proposal.log_likelihood, k, ess, modes)


def _counted(log_weight: np.ndarray) -> np.ndarray:
    """The draws of the population (M,) that have nearly all the weight, by Laplace's approximation: how well
    others are proposed does not matter."""
    weight = np.exp(log_weight - log_weight.max())
    order = np.argsort(-weight)
    share = np.cumsum(weight[order]) / weight.sum()
    count = np.clip(np.searchsorted(share, COUNTED) + 1, min(FEWEST_COUNTED, len(weight)), len(weight))
    return order[:count]


def proposal_of(c: Conditional, rng: np.random.Generator) -> tuple[Mixture, np.ndarray]:
    """Heavy tails about the modes under each draw of the population, and how many modes each person has."""
    count = len(c.population.typical)
    every = np.arange(count)
    at, modes = _modes(c, rng)
    parts = []
    for x in at:  # of one draw of the population, and from there of all
        known = c.values(every[:1], x[None])
        start = np.repeat(known.individual, count, 0), np.repeat(known.forcing_error, count, 0)
        mode, density, precision = c.climb(every, c.numbers(every, *start), 5)
        factor = np.linalg.inv(np.linalg.cholesky(precision)).swapaxes(-1, -2)
        mass = density + 0.5 * c.size * np.log(2 * np.pi) + np.linalg.slogdet(factor)[1]
        parts.append((mode, factor, mass))
    mode, factor, mass = (np.stack(part) for part in zip(*parts, strict=True))
    one = np.broadcast_to(np.eye(c.size), (c.people, c.size, c.size))
    return Mixture(mode, factor, mass, HeavyTailed(np.zeros((c.people, c.size)), one)), modes


def _modes(c: Conditional, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Modes (C, S, N) under the first draw of the population, and how many each person has; who has fewer
    than others has the best of them several times."""
    few = np.linspace(0, len(c.population.typical) - 1, STARTS).astype(int)
    n = c.design.individuals.shape[1]
    x = np.zeros((STARTS, c.people, c.size))
    x[1:, :, :n] = rng.normal(size=(STARTS - 1, c.people, n))
    x, _, _ = c.climb(few, x, 15)
    one = np.zeros(STARTS, int)
    known = c.values(few, x)
    start = c.numbers(one, known.individual, known.forcing_error)
    x, density, precision = c.climb(one, start, 15)
    c.require_solved(density)
    mass = density - 0.5 * np.linalg.slogdet(precision)[1]
    kept = []
    for s in range(c.people):
        chosen: list[int] = []
        for i in np.argsort(-mass[:, s]):
            away = [x[i, s] - x[j, s] for j in chosen]
            near = any(a @ precision[j, s] @ a < APART**2 for a, j in zip(away, chosen, strict=True))
            if not near and mass[i, s] > mass[:, s].max() - FAINT:
                chosen.append(int(i))
        kept.append(chosen)
    modes = np.array([len(chosen) for chosen in kept])
    places = [[chosen[i] if i < len(chosen) else chosen[0] for chosen in kept] for i in range(modes.max())]
    return x[np.array(places), np.arange(c.people)], modes


def proposed(c: Conditional, proposal: Mixture, rng: np.random.Generator, each: int = EACH):
    """Numbers, what they are along the axes, and logarithms (each, M, S) of their weights against the Laplace
    approximation."""
    x, v = proposal.draw(each, rng)
    each, draws, people, _ = x.shape
    which = np.tile(np.arange(draws), each)
    density = c.log_density(which, x.reshape(-1, people, c.size)).reshape(each, draws, people)
    return x, v, density - proposal.log_density(x) - proposal.log_likelihood


def _adapted(proposal: Mixture, v: np.ndarray, log_ratio: np.ndarray) -> Mixture:
    """The proposal with the mean and covariance that draws v have by their weights."""
    weights, _ = _smoothed(log_ratio)
    people, n = v.shape[2:]
    mean, scale = proposal.tails.mean.copy(), np.array(proposal.tails.scale)
    for s in range(people):
        weight = np.exp(weights[..., s] - weights[..., s].max()).ravel()
        if weight.sum() ** 2 < 5 * n * np.square(weight).sum():  # too few to tell
            continue
        own, weight = v[:, :, s].reshape(-1, n), weight / weight.sum()
        mean[s] = weight @ own
        scale[s] = np.linalg.cholesky((own - mean[s]).T @ ((own - mean[s]) * weight[:, None]))
    return Mixture(proposal.mode, proposal.factor, proposal.log_mass, HeavyTailed(mean, scale))


def _smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pareto smoothed logarithms of weights (each, M, S), a person a column, and the shape of each tail
    (S,)."""
    weights, shapes = np.empty(log_ratio.shape), np.empty(log_ratio.shape[-1])
    for s in range(len(shapes)):
        found, shapes[s] = smoothed(log_ratio[..., s].ravel())
        weights[..., s] = found.reshape(log_ratio.shape[:-1])
    return weights, shapes


def _sizes(log_weight: np.ndarray) -> np.ndarray:
    """Effective numbers of draws (S,) with such weights (each, M, S)."""
    each = log_weight.reshape(-1, log_weight.shape[-1])
    return np.exp(2 * logsumexp(each, axis=0) - logsumexp(2 * each, axis=0))
