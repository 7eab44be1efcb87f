"""How likely the samples of each person are under draws of a population, whatever the person's own parameters
are; and of a person whom the population has not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

from bayesglu.analysis.conditional import Conditional
from bayesglu.analysis.importance import Weighed, weigh_people
from bayesglu.analysis.population import completed, design_of_new, draws_of_population, population_values
from bayesglu.frozen import frozen
from bayesglu.pareto import smoothed
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import Study

TOGETHER = 20_000_000
"""Numbers of the proposals of the people who are weighed together."""

OF_MISSING = 4
"""Times that covariates which people lack are drawn under each draw of the population."""

EACH, OF_KNOWN = 32, 8
"""Draws of each person under each draw of the population: of the likelihood, whose inverse is a weight, and
of what pseudo-observations say, of which a mean is taken."""


class Marginal(NamedTuple):
    """Log likelihoods (M, S) of people's samples under draws of the population, with the people's own
    parameters integrated out: ``joint`` with the pseudo-observations of each, ``known`` of these alone, and
    ``noise``, the variance of the estimate of ``joint`` relative to its square.
    ``volume`` (S,) makes of a density of logarithms one per canonical unit; ``k`` (S,) is the shape of the
    tail of the weights by which parameters are integrated out."""

    joint: np.ndarray
    noise: np.ndarray
    known: np.ndarray
    volume: np.ndarray
    k: np.ndarray


class Expected(NamedTuple):
    """Of each person (S,): the log density of the samples, its Monte Carlo error, and the shape of the tail
    of the weights of the population's draws (NaN where they are not weighed)."""

    elpd: np.ndarray
    error: np.ndarray
    k: np.ndarray


def marginal(
    spec: ModelSpec,
    study: Study,
    fit: xr.DataTree,
    draws: int,
    solver: Mapping,
    rng: np.random.Generator,
) -> Marginal:
    """For each person of a study, under at most so many draws of a fit's population."""
    population = draws_of_population(fit, draws)
    few = design_of_new(spec, study.select(study.subjects[:1]), fit, solver, warn=False)
    numbers = population.sizes["draw"] * few.individuals.shape[1] ** 2
    parts = [
        _of_people(spec, study.select(people), fit, population, solver, rng)
        for people in _portions(study.subjects, max(1, TOGETHER // numbers))
    ]
    return Marginal(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _portions(people: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(people), size):
        yield people[begin : begin + size]


def _of_people(spec, study, fit, population, solver, rng) -> Marginal:
    d = design_of_new(spec, study, fit, solver, warn=False)
    draws, times = population.sizes["draw"], OF_MISSING if d.individuals.missing.size else 1
    several = population.isel(draw=np.tile(np.arange(draws), times))
    values = population_values(completed(several, d, rng), d, rng)
    c = Conditional.of(d, values, rng)
    found = weigh_people(c, rng, before=None, each=EACH)
    joint = _over_missing(found.log_likelihood, times)
    noise = _noise(found, times)
    known, pseudo = np.zeros(joint.shape), d.rows.part(slice(d.n_obs, None))
    if len(pseudo.sample):
        alone = replace(c, design=replace(d, rows=frozen(pseudo), obs=d.obs[:0]))
        known = _over_missing(_before_samples(alone, rng), times)
    samples = d.rows.part(slice(d.n_obs))
    whose = d.individuals.layout.subject[samples.occasion]
    volume = np.where(samples.censoring == 0, samples.log_value, 0.0)
    return Marginal(joint, noise, known, -np.bincount(whose, volume, len(d.individuals.subjects)), found.k)


def _over_missing(log: np.ndarray, times: int) -> np.ndarray:
    """Mean (M, S) over what people may have of covariates that they lack, of logarithms (times * M, S)."""
    return logsumexp(log.reshape(times, -1, log.shape[-1]), axis=0) - np.log(times)


def _noise(found: Weighed, times: int) -> np.ndarray:
    """Variance (M, S), relative to its square, of each mean of weights."""
    away = found.log_likelihood - logsumexp(found.log_weight, axis=0)
    log = (found.log_weight + away).reshape(EACH, times, -1, away.shape[-1])
    share = np.exp(log - logsumexp(log, axis=(0, 1)))
    return (np.square(share).sum((0, 1)) - 1 / (EACH * times)) * EACH * times / (EACH * times - 1)


def _before_samples(c: Conditional, rng: np.random.Generator) -> np.ndarray:
    """Log likelihood (M, S) of the rows of people drawn from each draw of the population."""
    which = np.tile(np.arange(len(c.population.typical)), OF_KNOWN)
    x = rng.normal(size=(len(which), c.people, c.size))
    log = c.log_density(which, x) - norm.logpdf(x).sum(-1)
    return logsumexp(log.reshape(OF_KNOWN, -1, c.people), axis=0) - np.log(OF_KNOWN)


def unseen(m: Marginal) -> Expected:
    """Of people whom the population's fit has not seen."""
    elpd = _mean(m.joint, 0.0) - _mean(m.known, 0.0)
    error = _error(np.zeros(m.joint.shape), m.joint, m.known)
    return Expected(elpd + m.volume, error, np.full(len(elpd), np.nan))


def left_out(m: Marginal) -> Expected:
    """Of people of the population's own fit, as of one without each of them: its draws are weighted by the
    inverse of each person's likelihood, with a smoothed tail (Vehtari et al. 2024, JMLR 25:72)."""
    # The mean of the inverse of an estimate with noise is too large, by so much.
    joint = m.joint + np.log1p(m.noise)
    log_weight, k = np.empty(joint.shape), np.empty(joint.shape[1])
    for s in range(len(k)):
        log_weight[:, s], k[s] = smoothed(-joint[:, s])
    log_weight -= logsumexp(log_weight, axis=0) - np.log(len(log_weight))
    elpd = _mean(joint, log_weight) - _mean(m.known, log_weight)
    return Expected(elpd + m.volume, _error(log_weight, joint, m.known), k)


def _mean(log: np.ndarray, log_weight: np.ndarray | float) -> np.ndarray:
    """Logarithm of the mean over draws, by weights whose mean is 1."""
    return logsumexp(log + log_weight, axis=0) - np.log(len(log))


def _error(log_weight: np.ndarray, joint: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Monte Carlo error (S,) of the logarithm of the ratio of two weighted means, by the delta method."""
    weight = np.exp(log_weight) / len(joint)
    ratio = np.exp(joint - _mean(joint, log_weight)) - np.exp(known - _mean(known, log_weight))
    return np.sqrt((np.square(weight) * np.square(ratio)).sum(0))
