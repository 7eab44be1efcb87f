"""Better coordinates from a pilot run: the linear model about the posterior instead of at its modes.

Modes may lie far from where most of the posterior is: on a ridge, in the lesser of two modes, at SDs
that are too small. A few draws tell better. The linear model is averaged over them, as curvature is in the
Gaussian nearest to a posterior (Opper and Archambeau 2009, Neural Comput 21:786); what is then still off in a
person's deviations, and in the typical values, is corrected by their mean and covariance in the pilot.
"""

from dataclasses import replace

import numpy as np

from bayesglu.inference.density import Density
from bayesglu.inference.linearise import Expansion, average_linear_model, informed

POINTS = 24
"""Draws about which the model is linearised."""

WORTH = 100
"""How many draws the linear model's own answer, mean 0 and variance 1, counts as."""


def refresh(density: Density, positions: np.ndarray) -> Expansion:
    """The expansion of a whitened `density`, from draws (chain, draw, x) that need not be many."""
    people, before = density.design.individuals, density.linear_model
    x = positions.reshape(-1, density.size)
    draws = density.unpack(x)
    few = np.linspace(0, len(x) - 1, POINTS).astype(int)
    information, linear, cross = average_linear_model(density.design, draws.at(few))

    omega = np.exp(np.log(draws.omega).mean(0))
    root = people.root(omega, draws.correlation.mean(0))
    lean, linear, cross = informed(information, linear, cross, root)
    about = replace(
        before,
        information=information,
        lean=lean,
        linear=linear,
        cross=cross,
        offset=np.zeros_like(before.offset),
        scale=np.tile(np.eye(len(root)), (len(before.offset), 1, 1)),
    )
    again = Density(density.design, about)
    deviations = again.pack(draws)[:, again.individuals].reshape(draws.individual.shape)
    offset, scale = _gaussian(deviations.swapaxes(0, 1))
    shift, turn = _gaussian(x[None, :, : len(before.shared)])
    return replace(
        about,
        shared=before.shared + before.shared_factor @ shift[0],
        shared_factor=before.shared_factor @ turn[0],
        omega=omega,
        sigma=np.exp(np.log(draws.sigma).mean(0)),
        individual=draws.individual.mean(0),
        offset=offset,
        scale=scale,
    )


def _gaussian(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (group, D) and Cholesky factor of the covariance (group, D, D) of draws (group, draw, D), with a
    standard Normal added that counts as `WORTH` draws."""
    mean = draws.mean(1)
    away = draws - mean[:, None]
    squares = np.einsum("gid,gie->gde", away, away) + WORTH * np.eye(draws.shape[2])
    return mean, np.linalg.cholesky(squares / (draws.shape[1] + WORTH))
