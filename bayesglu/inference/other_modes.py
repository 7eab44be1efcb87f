"""Other modes of single people: everyone's own parameters sought from elsewhere, given the population.

Given the population people are independent of each other, so that one climb from a start for everyone is a
climb of each, and what is found is compared person by person.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.log_density import log_individuals, log_likelihood
from bayesglu.hierarchy.values import Values
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import expand

STARTS = 3
"""People drawn from the population, from which everyone is sought."""

ITERATIONS = 60

FAILED = 1e3
"""What a failed solve adds to the cost: about as much as a point 45 SDs off."""

APART = 2.0
"""SDs of a person's own parameters, as the expansion has them, from which on two places are not one mode."""

WORTH = 0.01
"""Another mode is told where it has at least a hundredth of the probability of the one with most."""

SETTLED = 0.1
"""Where the gradient along a person's coordinates is shorter, the climb has reached a mode."""

MORE = 0.01
"""By what share another mode must have more probability for a person to be moved there."""


class OtherMode(NamedTuple):
    """A person with another mode, and how much probability it has as a share of that of the mode at hand:
    above 1 where the person alone would be there, and all together are not."""

    subject: str
    share: float


def seek_others(density: Density, at: Values) -> tuple[Values | None, tuple[OtherMode, ...]]:
    """The values with everyone at the mode that has most probability given the population (Laplace's
    approximation), where that is another one for anybody; and who has another one.

    density : in the coordinates of an expansion about the modes `at`.
    """
    d, rng = density.design, np.random.default_rng(0)  # the same starts for the same design
    free = np.zeros(density.size, bool)
    free[density.individuals] = True
    places = [np.zeros(density.size)]
    for _ in range(STARTS):
        start = _start(density, at, rng)
        if start is not None:
            places.append(_climbed(density, start, free))
    people = np.arange(len(at.individual))
    own = [at.individual, *(density.unpack(x[None]).at(0).individual for x in places[1:])]
    by = len(places), len(people), -1
    whitened = np.array(places)[:, density.individuals].reshape(by)
    slope = np.array([density(x)[1] for x in places])[:, density.individuals].reshape(by)
    mass = np.array([_mass(d, at._replace(individual=each)) for each in own])
    mass[1:][np.linalg.norm(slope[1:], axis=-1) > SETTLED] = -np.inf
    apart = np.linalg.norm(whitened - whitened[0], axis=-1) > APART
    elsewhere = np.where(apart, mass, -np.inf)
    share = np.exp(elsewhere.max(0) - mass[0])
    best = np.where(share > 1 + MORE, elsewhere.argmax(0), 0)
    subjects = zip(d.individuals.subjects, share.tolist(), strict=True)
    others = tuple(OtherMode(subject, of) for subject, of in subjects if of > WORTH)
    if not best.any():
        return None, others
    return at._replace(individual=np.array(own)[best, people]), others


def _mass(d: Design, at: Values) -> np.ndarray:
    """The log probability about everyone's own parameters, given the population ``(S,)``, up to a constant:
    what the density and its curvature say."""
    precision = np.linalg.inv(d.individuals.covariance(at.omega, at.correlation))
    volume = -0.5 * np.linalg.slogdet(expand(d, at).information + precision)[1]
    return by_person(d, at) + volume


def by_person(d: Design, values: Values) -> np.ndarray:
    """The log density of everyone's samples and own parameters given the population ``(S,)``, up to
    constants."""
    whose = d.individuals.layout.subject[d.rows.occasion]
    samples = np.bincount(whose, log_likelihood(d, values), minlength=len(values.individual))
    return samples + log_individuals(d, values)


def _start(density: Density, at: Values, rng: np.random.Generator) -> np.ndarray | None:
    """Coordinates at which everyone is drawn from the population; None where the equations of some cannot be
    solved, nor nearer to the modes."""
    i = density.design.individuals
    deviation = rng.normal(size=at.individual.shape) @ i.root(at.omega, at.correlation).T
    drawn = i.centre(at.typical, at.effect, at.missing) + deviation
    for share in (1.0, 0.5, 0.25):
        there = at._replace(individual=at.individual + share * (drawn - at.individual))
        x = density.pack(Values(*(field[None] for field in there)))[0]
        if np.isfinite(density(x)[0]):
            return x
    return None


def _climbed(density: Density, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Where a climb ends from a start, in the coordinates that are free."""
    lowest, x = density(start)[0], start.copy()

    def cost(own):
        x[free] = own
        value, gradient = density(x)
        if value == -np.inf:
            return FAILED - lowest, np.zeros(len(own))
        return -value, -gradient[free]

    options = {"maxiter": ITERATIONS, "maxcor": 20, "gtol": 1e-3}
    x[free] = minimize(cost, start[free], jac=True, method="L-BFGS-B", options=options).x
    return x
