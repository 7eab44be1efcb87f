"""The model made linear about values of its parameters: what the samples would tell of everyone.

Given a linear model, everyone's deviations and the population's typical values are Normal (first-order
conditional estimation; Lindstrom and Bates 1990, Biometrics 46:673). Those Gaussians are the coordinates in
which the sampler runs (`density`).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from bayesglu.hierarchy.design import TINY, Design
from bayesglu.parallel import in_threads

STEP = 1e-3  # of the central differences, on the scale of log parameters


@dataclass(frozen=True)
class Expansion:
    """The linearised model, at the modes or about draws of the posterior (`refresh`).

    ``shared`` stacks the typical values (K) and the covariate effects (E); ``shared_factor`` is the Cholesky
    factor of their covariance given `between` and `error`. Given shared values s, the data tell of a block
    that its precision is ``information`` (S, D, D) and its linear term ``pull - cross @ s`` (S, D).
    Deviations from what this says have the mean ``drift`` (S, D) and the Cholesky factor ``stretch``
    (S, D, D): 0 and 1 at the modes.
    ``by_analyte`` (analyte, S, D, D) is what each analyte's samples give of the information: at the modes,
    also in an expansion about draws.
    """

    shared: np.ndarray
    shared_factor: np.ndarray
    between: np.ndarray
    error: np.ndarray
    block: np.ndarray
    information: np.ndarray
    pull: np.ndarray
    cross: np.ndarray
    drift: np.ndarray
    stretch: np.ndarray
    by_analyte: np.ndarray


@dataclass(frozen=True)
class Slopes:
    """Derivatives of the log predictions in the row's own block (row, D) and in the shared values that act on
    it directly (row, K + E); the rows' weights; and what block and shared values should add up to for the
    rows' samples, times these derivatives."""

    own: np.ndarray
    direct: np.ndarray
    weight: np.ndarray
    target: np.ndarray


def expand(
    d: Design,
    typical: np.ndarray,
    effect: np.ndarray,
    between: np.ndarray,
    error: np.ndarray,
    block: np.ndarray,
) -> Expansion:
    """The linear model about typical values (K), effects (E) and blocks (S, D), given between-subject SDs (V)
    and assay errors (analyte)."""
    found = _slopes(d, typical, effect, error, block)
    information, pull, cross = _of_subjects(d, found)
    precision = 1 / between[d.block_varying] ** 2
    # Each block slot's expected value is linear in the shared values: (S, D, K + E).
    n_k = len(typical)
    expected = np.zeros((*block.shape, n_k + len(effect)))
    expected[:, np.arange(block.shape[1]), d.block_parameter] = 1.0
    expected[..., n_k:] = d.block_scores
    # With blocks integrated out: block | s ~ N(q^-1 (pull - cross s + precision * expected s), q^-1).
    lean = precision[:, None] * expected - cross
    lever = np.linalg.solve(information + np.diag(precision), lean)
    known = np.diag(np.concatenate([d.spread, d.effect_prior[1]]) ** -2.0)
    known = known + (found.direct * found.weight[:, None]).T @ found.direct
    known = known + np.tensordot(expected * precision[:, None], expected, ([0, 1], [0, 1]))
    known = known - np.tensordot(lean, lever, ([0, 1], [0, 1]))
    parts = [replace(found, weight=found.weight * (d.rows.analyte == a)) for a in range(len(error))]
    return Expansion(
        np.concatenate([typical, effect]),
        np.linalg.cholesky(np.linalg.inv(known)),
        between,
        error,
        block,
        information,
        pull,
        cross,
        np.zeros_like(pull),
        np.tile(np.eye(pull.shape[1]), (len(pull), 1, 1)),
        np.array([_of_subjects(d, part)[0] for part in parts]),
    )


def average_linear_model(
    d: Design, typical: np.ndarray, effect: np.ndarray, error: np.ndarray, block: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Information (S, D, D), pull (S, D) and cross (S, D, K + E), averaged over draws (draw, ...)."""
    draws = zip(typical, effect, error, block, strict=True)
    found = [_of_subjects(d, _slopes(d, *draw)) for draw in draws]
    information, pull, cross = (np.mean(parts, axis=0) for parts in zip(*found, strict=True))
    return information, pull, cross


def _slopes(d: Design, typical, effect, error, block) -> Slopes:
    n_k, n_d = len(typical), block.shape[1]
    shared = np.concatenate([typical, effect])

    def predicted(shared, block):
        value, _ = d.solve(d.theta(shared[:n_k], shared[n_k:], block))
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(value, TINY))

    def slope(along_shared, along_block):
        h = STEP
        ahead = predicted(shared + h * along_shared, block + h * along_block)
        behind = predicted(shared - h * along_shared, block - h * along_block)
        with np.errstate(invalid="ignore"):
            found = (ahead - behind) / (2 * h)
        return np.where(np.isfinite(found), found, 0.0)

    # Shared values that act on people of themselves, not through what their block is expected to be.
    alone = set(range(n_k)) - set(d.varying_index)
    acting = [*sorted(alone), *(n_k + e for e, (k, _) in enumerate(d.effects) if k in alone)]
    still, along = np.zeros(len(shared)), np.eye(len(shared))[acting]
    ways = [(still, way) for way in np.eye(n_d)] + [(way, 0.0) for way in along]
    found = np.array(in_threads(lambda way: slope(*way), ways)).reshape(len(ways), len(d.rows.test))
    own, direct = found[:n_d].T, np.zeros((len(d.rows.test), len(shared)))
    direct[:, acting] = found[n_d:].T

    weight, residual = _working(d, error, d.rows.log_value - predicted(shared, block))
    whose = d.subject_of_test[d.rows.test]
    target = residual + (own * block[whose]).sum(-1) + direct @ shared
    return Slopes(own, direct, weight, target)


def _working(d: Design, error: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and residuals of Normal rows that would pull as these do: outliers of Student's t less, samples
    beyond a limit as their probability rises."""
    rows = d.rows
    sd = np.where(rows.analyte >= 0, error[np.maximum(rows.analyte, 0)], rows.known_error)
    distance = residual / sd
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(rows.tails > 0, (rows.tails + 1) / (rows.tails + distance**2), 1.0) / sd**2
    side = -rows.censoring
    beyond = side * distance
    hazard = np.exp(-0.5 * beyond**2 - log_ndtr(beyond)) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore"):
        excess = np.where(beyond < -100, -1 / beyond, hazard + beyond)  # far out the sum would cancel
    weight = np.where(side != 0, hazard * excess / sd**2, weight)
    return weight, np.where(side != 0, -side * sd / excess, residual)


def _of_subjects(d: Design, found: Slopes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Information (S, D, D), pull (S, D) and cross (S, D, K + E)."""
    whose = d.subject_of_test[d.rows.test]
    order = np.argsort(whose, kind="stable")
    weighted = (found.own * found.weight[:, None])[order]
    right = np.hstack([found.own, found.target[:, None], found.direct])[order]
    ends = np.cumsum(np.bincount(whose, minlength=len(d.study.subjects)))[:-1]
    pieces = zip(np.split(weighted, ends), np.split(right, ends), strict=True)
    summed = np.array([left.T @ right for left, right in pieces])
    n_d = found.own.shape[1]
    parts = summed[..., :n_d], summed[..., n_d], summed[..., n_d + 1 :]
    # What is compiled for arrays in a row is compiled again for parts of them.
    return tuple(np.ascontiguousarray(part) for part in parts)
