"""A pilot run mends coordinates that the modes had put in the wrong place."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import CASES, CORRELATED, COVARIATES

from bayesglu.inference.density import Density
from bayesglu.inference.linearise import average_linear_model
from bayesglu.inference.modes import modes
from bayesglu.inference.pilot import refresh


@pytest.fixture(scope="module", params=[COVARIATES, CORRELATED])
def density(request) -> Density:
    design = CASES[request.param]()
    return Density(design, modes(design))


def test_the_average_over_two_points_is_half_way_between_theirs(density):
    e, n_k = density.expansion, len(density.design.estimated)
    at = e.shared[None, :n_k], e.shared[None, n_k:], e.error[None], e.block[None]
    away = (*at[:2], 2 * e.error[None], 1.01 * e.block[None])
    both = [np.concatenate(pair) for pair in zip(at, away, strict=True)]
    one, other, found = (average_linear_model(density.design, *where) for where in (at, away, both))
    for here, there, average in zip(one, other, found, strict=True):
        np.testing.assert_allclose((here + there) / 2, average, rtol=1e-9, atol=1e-9)
    assert (one[0] > 3 * other[0]).any(), "twice the error, a quarter of the information"


def test_wherever_the_old_coordinates_were_the_new_ones_begin_where_the_draws_are(density):
    """People and typical values three standard deviations off, and twice as wide as they should be."""
    e = density.expansion
    wrong = Density(
        density.design,
        replace(
            e,
            shared=e.shared + 3 * np.diag(e.shared_factor),
            shared_factor=2 * e.shared_factor,
            drift=e.drift + 3,
            stretch=2 * e.stretch,
        ),
    )
    x = 0.5 * np.random.default_rng(1).normal(size=(2, 200, density.size))
    n_shared, end = len(e.shared), density.size - density.design.readings.n_errors
    own = np.s_[..., end - e.block.size : end]
    shifted = x.copy()
    shifted[own] = (x[own] - 3) / 2
    away = e.shared_factor @ x[..., :n_shared, None] - 3 * np.diag(e.shared_factor)[:, None]
    shifted[..., :n_shared] = np.linalg.solve(2 * e.shared_factor, away)[..., 0]
    for there, here in zip(wrong.unpack(shifted[0]), density.unpack(x[0]), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-9)

    mended = refresh(wrong, shifted)
    one = np.zeros((1, density.size))
    typical, _, _, _, _, block, _ = Density(density.design, mended).unpack(one)
    drawn_typical, _, _, _, _, drawn, _ = density.unpack(x.reshape(-1, density.size))
    np.testing.assert_allclose((typical[0] - drawn_typical.mean(0)) / drawn_typical.std(0), 0, atol=0.05)
    np.testing.assert_allclose((block[0] - drawn.mean(0)) / drawn.std(0), 0, atol=0.5)
    scale = np.einsum("sdd->sd", mended.stretch)
    assert np.median(scale) == pytest.approx(np.sqrt((0.25 * 400 + 100) / 500), rel=0.1)
