"""Better coordinates from a pilot run: the linear model about the posterior instead of at its modes.

Modes may lie far from where most of the posterior is: on a ridge, in the lesser of two hollows, at spreads
that are too small. A few draws tell better. The linear model is averaged over them, as curvature is in the
Gaussian nearest to a posterior (Opper and Archambeau 2009, Neural Comput 21:786); what is then still off in a
person's deviations, and in the typical values, is mended by their mean and covariance in the pilot.
"""

from dataclasses import replace

import numpy as np

from bayesglu.hierarchy.correlation import matrices_of
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion, average_linear_model

POINTS = 24
"""Draws about which the model is linearised."""

WORTH = 100
"""How many draws the linear model's own answer, mean 0 and variance 1, counts as."""


def refresh(density: Density, positions: np.ndarray) -> Expansion:
    """The expansion of a whitened `density`, from draws (chain, draw, x) that need not be many."""
    d, before = density.design, density.expansion
    x = positions.reshape(-1, density.size)
    typical, effect, between, error, correlation, block, _ = density.unpack(x)
    shared = np.concatenate([typical, effect], axis=1)
    few = np.linspace(0, len(x) - 1, POINTS).astype(int)
    at = typical[few], effect[few], error[few], block[few]
    information, pull, cross = average_linear_model(d, *at)

    precision = np.linalg.inv(_covariance(density, between, correlation))  # (draw, D, D)
    deviations = np.empty(block.shape)
    for i in range(len(x)):
        centre = d.centre(typical[i], effect[i])
        r = pull + centre @ precision[i] - cross @ shared[i]
        q = information + precision[i]
        away = block[i] - np.linalg.solve(q, r[..., None])[..., 0]
        deviations[i] = np.einsum("sed,se->sd", np.linalg.cholesky(q), away)
    drift, stretch = _gaussian(deviations.swapaxes(0, 1))
    shift, turn = _gaussian(x[None, :, : shared.shape[1]])
    return replace(
        before,
        shared=before.shared + before.shared_factor @ shift[0],
        shared_factor=before.shared_factor @ turn[0],
        between=np.exp(np.log(between).mean(0)),
        error=np.exp(np.log(error).mean(0)),
        block=block.mean(0),
        information=information,
        pull=pull,
        cross=cross,
        drift=drift,
        stretch=stretch,
    )


def _covariance(density: Density, between: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Prior covariance of a block (draw, D, D)."""
    d = density.design
    spread = between[:, d.block_varying]
    whole = np.tile(np.eye(spread.shape[1]), (len(spread), 1, 1))
    if len(d.correlated):
        whole[:, d.correlated[:, None], d.correlated] = matrices_of(correlation)
    return spread[:, :, None] * whole * spread[:, None, :]


def _gaussian(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (group, D) and Cholesky factor of the covariance (group, D, D) of draws (group, draw, D), with a
    standard Normal added that counts as `WORTH` draws."""
    mean = draws.mean(1)
    away = draws - mean[:, None]
    squares = np.einsum("gid,gie->gde", away, away) + WORTH * np.eye(draws.shape[2])
    return mean, np.linalg.cholesky(squares / (draws.shape[1] + WORTH))
