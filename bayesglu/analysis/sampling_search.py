"""What samples of a planned test would tell of a person or of two groups, and a search for the best
sampling times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.analysis.information import between_of, drawn, tells_of, typical_covariance
from bayesglu.analysis.people import covariates_of, occasions_of, people_of
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import individuals_of, population_of
from bayesglu.spec.model import ModelSpec

DETECTED = 2.8
"""Standard errors of a difference that is found with a power of 80 % at a level of 5 %, two-sided."""

SMALL = 1e-9
"""Share of its variance that is added to what is constant in all draws, so that a covariance has an
inverse."""


class Known(NamedTuple):
    """What is known before a test of parameters, by name: draws on their scales (draw, K), and the precision
    (K, K); SDs of assays' errors by analyte; whom it is of, and that person's body weight."""

    names: tuple[str, ...]
    phi: np.ndarray
    precision: np.ndarray
    noise: dict[str, float]
    whom: str
    body_weight: float | None


def known_of_anybody(plan: Design, draws: int, rng: np.random.Generator) -> Known:
    """Somebody of whom nothing is known but the priors."""
    people = plan.individuals
    between = between_of(people)
    covariance = people.typical_factor @ people.typical_factor.T + between @ between.T
    phi = drawn(people, rng, draws, 1)[:, 0]
    return Known(people.names, phi, np.linalg.inv(covariance), {}, "anybody", None)


def known_of_person(spec: ModelSpec, fit: xr.DataTree, subject: str | None, draws: int) -> Known:
    """A person of a fit, on the day that was fitted."""
    posterior, about = fit["posterior"].to_dataset(), fit["constant_data"].to_dataset()
    labels = [str(s) for s in about["subject"].values]
    if subject is None and len(labels) > 1:
        raise InputError(f"Whose next test is it? Say subject=..., one of {', '.join(labels[:12])}.")
    who = labels[0] if subject is None else str(subject)
    check_names("subject", [who], labels)
    first = dict(reversed(occasions_of(posterior)))
    people = people_of(spec, posterior, [(s, first[s]) for s in labels], covariates_of(about, posterior))
    population = population_of(posterior, people, absent_effect=0.0)
    own = individuals_of(posterior, people)
    theta = people.theta(population.typical, population.effect, own, population.missing)
    theta = theta[..., labels.index(who), :].reshape(-1, theta.shape[-1])
    scaled = [
        p.to_scale(theta[:, column])
        for p, column in zip(people.estimated, people.layout.columns, strict=True)
    ]
    phi = np.stack(scaled, axis=-1)
    covariance = np.cov(phi.T).reshape(phi.shape[1], -1)
    precision = np.linalg.inv(covariance + SMALL * np.diag(np.diag(covariance) + 1e-12))
    few = np.linspace(0, len(phi) - 1, min(draws, len(phi))).round().astype(int)
    sigma = {a: names.sigma(a) for a in spec.analytes}
    noise = {a: float(posterior[name].median()) for a, name in sigma.items() if name in posterior}
    weight = float(about["body_weight"][labels.index(who)])
    whom = f"subject {who}"
    return Known(people.names, phi[few], precision, noise, whom, weight if np.isfinite(weight) else None)


def in_order_of(plan: Design, known: Known, rng: np.random.Generator) -> Known:
    """What is known in the order of a plan's parameters; what the fit did not have is as in the prior."""
    anybody = known_of_anybody(plan, len(known.phi), rng)
    phi, precision = anybody.phi, anybody.precision.copy()
    there = [k for k, name in enumerate(anybody.names) if name in known.names]
    place = [known.names.index(anybody.names[k]) for k in there]
    phi[:, there] = known.phi[:, place]
    # Of what the plan does not have nothing is asked: it is integrated out.
    covariance = np.linalg.inv(known.precision)[np.ix_(place, place)]
    precision[np.ix_(there, there)] = np.linalg.inv(covariance)
    return known._replace(names=anybody.names, phi=phi, precision=precision)


def information_by_time(plan: Design, known: Known, every: np.ndarray) -> np.ndarray:
    """What the samples at each time tell (draw, time, K, K), at the draws that could be solved."""
    usual = {a: plan.spec.analytes[a].sigma.median for a in plan.analytes}
    noise = np.array([known.noise.get(a, usual[a]) for a in plan.analytes])
    times = plan.study.observations.sel(obs=plan.obs)["time"].values
    k, found, solved = known.phi.shape[1], [], []
    for _, tells, fine in tells_of(plan, known.phi, noise):
        own = tells[:, :k, : plan.n_obs]
        at = [own[..., times == minute] for minute in every]
        found.append(np.stack([slope @ slope.swapaxes(1, 2) for slope in at], axis=1))
        solved.append(fine)
    return np.concatenate(found)[np.concatenate(solved)]


@dataclass(frozen=True)
class OnePerson:
    """The contraction of a person's parameters, averaged: what differs from day to day is integrated out."""

    people: Individuals
    precision: np.ndarray
    target: list[int]

    def __call__(self, information: np.ndarray) -> float:
        """Of the information of a test (draw, K, K)."""
        one = np.eye(len(self.precision))
        day = np.diag(_between_days(self.people) ** 2)
        lasting = np.linalg.solve(one + information @ day, information)
        after = np.linalg.inv(self.precision + lasting)
        before = np.diag(np.linalg.inv(self.precision))
        share = 1 - np.sqrt(np.einsum("dkk->dk", after) / before)
        return float(share[:, self.target].mean())


@dataclass(frozen=True)
class Comparison:
    """The contraction of the difference between the typical values of two groups of people."""

    people: Individuals
    target: list[int]
    subjects: int

    def __call__(self, information: np.ndarray) -> float:
        """Of the information of a test (draw, K, K)."""
        before = self.people.typical_prior[1][self.target]
        return float((1 - self._sd(information) / before).mean())

    def ratio(self, information: np.ndarray) -> float:
        """The ratio between groups that would be found, of the worst of the parameters."""
        return float(np.exp(DETECTED * np.sqrt(2) * self._sd(information)).max())

    def _sd(self, information: np.ndarray) -> np.ndarray:
        """SDs of typical values in one group, each draw a person of it."""
        typical, between = self.people.typical_factor, between_of(self.people)
        weight = np.full((1, len(information)), self.subjects / len(information))
        covariance = typical_covariance(information[None], typical, between, weight)
        return np.sqrt(np.diagonal(covariance[0])[self.target])


def _between_days(people: Individuals) -> np.ndarray:
    """SDs of what differs from day to day (K), at the medians of the priors; 0 of what does not."""
    found = np.zeros(len(people.estimated))
    for k, p in enumerate(people.estimated):
        if p.level == "subject" and p.between_occasion is not None:
            found[k] = p.between_occasion.omega
    return found


def search(score: Callable, information: np.ndarray, allowed: np.ndarray, budget: int) -> np.ndarray:
    """The times (budget,) among those allowed of which the score is best: taken one after another, then
    exchanged as long as that helps. information : (draw, time, K, K)."""
    chosen: list[int] = []
    for _ in range(budget):
        so_far = information[:, chosen].sum(1)
        left = [t for t in allowed if t not in chosen]
        chosen.append(max(left, key=lambda t, so_far=so_far: score(so_far + information[:, t])))
    best = score(information[:, chosen].sum(1))
    better = True
    while better:
        better = False
        for place in range(budget):
            others = [t for i, t in enumerate(chosen) if i != place]
            without = information[:, others].sum(1)
            left = [t for t in allowed if t not in chosen]
            if not left:
                break
            found = {t: score(without + information[:, t]) for t in left}
            top = max(found, key=found.__getitem__)
            if found[top] > best + 1e-9:
                chosen[place], best, better = top, found[top], True
    return np.sort(np.array(chosen))
