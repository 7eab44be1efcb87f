"""The model made linear about values of its parameters: what the samples would tell of everyone.

Given a linear model, everyone's deviations and the population's typical values are Normal (first-order
conditional estimation; Lindstrom and Bates 1990, Biometrics 46:673). Those Gaussians are the coordinates in
which the sampler runs (`density`).
"""

from dataclasses import dataclass, replace

import numpy as np

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads

STEP = 1e-3  # of the central differences, on the scale of log parameters

INFORMATIVE = 0.1
"""Information along a direction, in units of the prior's, from which on the coordinates follow it as the
between-subject SD changes."""


@dataclass(frozen=True)
class Expansion:
    """The linearised model, at the modes or about draws of the posterior (`pilot`).

    ``shared`` stacks the typical values (K) and the covariate effects (E); ``shared_factor`` is the Cholesky
    factor of their covariance given `omega` and `sigma`. Given shared values s, the data tell of a person's
    parameters that their precision is ``information`` (S, D, D), of which the few directions that data inform
    make ``lean lean'`` (S, D, direction), and that their linear term is ``lean (linear - cross @ s)`` with
    ``linear`` (S, direction): see `blocks`. Deviations from what this says have the mean ``offset`` (S, D)
    and the Cholesky factor ``scale`` (S, D, D).
    ``by_analyte`` (A, S, D, D) is what each analyte's samples give of the information: at the modes, also in
    an expansion about draws.
    """

    shared: np.ndarray
    shared_factor: np.ndarray
    omega: np.ndarray
    sigma: np.ndarray
    individual: np.ndarray
    information: np.ndarray
    lean: np.ndarray
    linear: np.ndarray
    cross: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    by_analyte: np.ndarray


@dataclass(frozen=True)
class Slopes:
    """Derivatives of the log predictions in the parameters of the row's own person (row, D) and in the shared
    values that act on it directly (row, K + E); the rows' weights; and what both should add up to for the
    rows' samples, times these derivatives."""

    own: np.ndarray
    direct: np.ndarray
    weight: np.ndarray
    target: np.ndarray


def expand(d: Design, at: Values) -> Expansion:
    """The linear model about values, given their omega and sigma."""
    found = _slopes(d, at)
    information, linear, cross = _of_subjects(d, found)
    layout = d.individuals.layout
    root = d.individuals.root(at.omega, at.correlation)
    whitening = np.linalg.inv(root)
    precision = whitening.T @ whitening
    # Each component's expected value is linear in the shared values: (S, D, K + E).
    n_k, (people, n) = len(at.typical), at.individual.shape
    expected = np.zeros((people, n, n_k + len(at.effect)))
    expected[:, np.arange(n), layout.component_parameter] = layout.component_typical
    expected[..., n_k:] = d.individuals.covariates_at(at.missing)
    # With people integrated out: individual | s ~ N(q^-1 (linear - cross s + precision expected s), q^-1).
    lean = precision @ expected - cross
    lever = np.linalg.solve(information + precision, lean)
    known = np.diag(np.concatenate([np.zeros(n_k), d.individuals.effect_prior[1] ** -2.0]))
    known[:n_k, :n_k] = np.linalg.inv(d.individuals.typical_factor @ d.individuals.typical_factor.T)
    known = known + (found.direct * found.weight[:, None]).T @ found.direct
    known = known + np.tensordot(precision @ expected, expected, ([0, 1], [0, 1]))
    known = known - np.tensordot(lean, lever, ([0, 1], [0, 1]))
    shared = np.concatenate([at.typical, at.effect])
    directions = informed(information, linear, cross, root)
    offset, scale = missed(*directions, information, shared, expected @ shared, root, at.individual)
    parts = [replace(found, weight=found.weight * (d.rows.analyte == a)) for a in range(len(at.sigma))]
    return Expansion(
        shared=shared,
        shared_factor=np.linalg.cholesky(np.linalg.inv(known)),
        omega=at.omega,
        sigma=at.sigma,
        individual=at.individual,
        information=information,
        lean=directions[0],
        linear=directions[1],
        cross=directions[2],
        offset=offset,
        scale=scale,
        by_analyte=np.array([_of_subjects(d, part)[0] for part in parts]),
    )


def informed(
    information: np.ndarray, linear: np.ndarray, cross: np.ndarray, root: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along the directions in which a person's samples tell more than `INFORMATIVE`: the lean matrix (S, D,
    direction), the linear term (S, direction) and its dependence on shared values (S, direction, K + E).

    root : of the covariance of deviations (D, D), to which the information is compared. People with fewer
    such directions than others have directions without information.
    """
    eigenvalues, axes = np.linalg.eigh(root.T @ information @ root)
    most = int((eigenvalues > INFORMATIVE).sum(1).max(initial=0))
    first = eigenvalues.shape[1] - most
    eigenvalues, axes = eigenvalues[:, first:], axes[:, :, first:]
    size = np.where(eigenvalues > INFORMATIVE, np.sqrt(np.maximum(eigenvalues, INFORMATIVE)), 0.0)
    lean = np.linalg.solve(root.T, axes * size[:, None])
    back = (root @ axes).swapaxes(1, 2) * np.divide(1, size, where=size > 0, out=0 * size)[..., None]
    found = lean, (back @ linear[..., None])[..., 0], back @ cross
    lean, linear, cross = (np.ascontiguousarray(part) for part in found)
    return lean, linear, cross


def missed(
    lean: np.ndarray,
    linear: np.ndarray,
    cross: np.ndarray,
    information: np.ndarray,
    shared: np.ndarray,
    centre: np.ndarray,
    root: np.ndarray,
    individual: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Offset (S, D) and scale (S, D, D) with which coordinates along the `informed` directions have their
    origin at the individual parameters (S, D), and there the whole information (S, D, D).

    shared : values (K + E) of the population, which expects everyone at the `centre` (S, D) with this `root`
    of the covariance (D, D).
    """
    n = len(root)
    lever = root.T @ lean
    square = lever.swapaxes(1, 2) @ lever
    one = np.eye(lean.shape[2])
    lower = np.linalg.cholesky(one + square)
    # F of `blocks`, and its inverse.
    factor = np.eye(n) - lever @ np.linalg.solve(
        lower.swapaxes(1, 2), np.linalg.solve(one + lower, lever.swapaxes(1, 2))
    )
    target = linear - cross @ shared - np.einsum("sdr,sd->sr", lean, centre)
    mean = lever @ np.linalg.solve(one + square, target[..., None])
    away = np.linalg.solve(root, (individual - centre)[..., None]) - mean
    precision = factor.swapaxes(1, 2) @ (np.eye(n) + root.T @ information @ root) @ factor
    return np.linalg.solve(factor, away)[..., 0], np.linalg.cholesky(np.linalg.inv(precision))


def average_linear_model(d: Design, draws: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Information (S, D, D), linear term (S, D) and cross (S, D, K + E), averaged over draws (draw, ...)."""
    found = [_of_subjects(d, _slopes(d, draws.at(i))) for i in range(len(draws.typical))]
    information, linear, cross = (np.mean(parts, axis=0) for parts in zip(*found, strict=True))
    return information, linear, cross


def _slopes(d: Design, at: Values) -> Slopes:
    people = d.individuals
    n_k, n = len(at.typical), at.individual.shape[1]
    shared = np.concatenate([at.typical, at.effect])

    def predicted(shared, individual):
        value, _ = d.predict(people.theta(shared[:n_k], shared[n_k:], individual, at.missing))
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(value, TINY))

    def slope(along_shared, along_individual):
        h = STEP
        ahead = predicted(shared + h * along_shared, at.individual + h * along_individual)
        behind = predicted(shared - h * along_shared, at.individual - h * along_individual)
        with np.errstate(invalid="ignore"):
            derivatives = (ahead - behind) / (2 * h)
        return np.where(np.isfinite(derivatives), derivatives, 0.0)

    # Shared values that act on people of themselves, not through where their own parameters are expected.
    alone = set(range(n_k)) - set(people.layout.varying)
    differing = people.layout.covariates.any(axis=0)  # from one occasion of a person to another
    effects = [n_k + e for e, k in enumerate(people.layout.effect_parameter) if k in alone or differing[e]]
    acting = [*sorted(alone), *effects]
    still, along = np.zeros(len(shared)), np.eye(len(shared))[acting]
    ways = [(still, way) for way in np.eye(n)] + [(way, 0.0) for way in along]
    n_rows = len(d.rows.occasion)
    derivatives = np.array(in_threads(lambda way: slope(*way), ways)).reshape(len(ways), n_rows)
    own, direct = derivatives[:n].T, np.zeros((n_rows, len(shared)))
    direct[:, acting] = derivatives[n:].T

    weight, residual = d.rows.working(predicted(shared, at.individual), at.sigma)
    whose = people.layout.subject[d.rows.occasion]
    target = residual + (own * at.individual[whose]).sum(-1) + direct @ shared
    return Slopes(own, direct, weight, target)


def _of_subjects(d: Design, found: Slopes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Information (S, D, D), linear term (S, D) and cross (S, D, K + E)."""
    whose = d.individuals.layout.subject[d.rows.occasion]
    order = np.argsort(whose, kind="stable")
    weighted = (found.own * found.weight[:, None])[order]
    right = np.hstack([found.own, found.target[:, None], found.direct])[order]
    ends = np.cumsum(np.bincount(whose, minlength=len(d.individuals.subjects)))[:-1]
    pieces = zip(np.split(weighted, ends), np.split(right, ends), strict=True)
    summed = np.array([left.T @ right for left, right in pieces])
    n = found.own.shape[1]
    parts = summed[..., :n], summed[..., n], summed[..., n + 1 :]
    # What is compiled for arrays in a row is compiled again for parts of them.
    information, linear, cross = (np.ascontiguousarray(part) for part in parts)
    return information, linear, cross
