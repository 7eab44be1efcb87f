"""A pilot run re-estimates coordinates that the modes had put in the wrong place."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import CASES, CORRELATED, COVARIATES

from bayesglu.hierarchy.values import Values
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import average_linear_model
from bayesglu.inference.modes import find_modes
from bayesglu.inference.pilot import refresh


@pytest.fixture(scope="module", params=[COVARIATES, CORRELATED])
def density(request) -> Density:
    design = CASES[request.param]()
    return Density(design, find_modes(design).expansion)


def test_the_average_over_two_points_is_half_way_between_theirs(density):
    at = density.unpack(np.zeros((1, density.size)))
    away = at._replace(sigma=2 * at.sigma, individual=1.01 * at.individual)
    both = Values(*(np.concatenate(pair) for pair in zip(at, away, strict=True)))
    one, other, found = (average_linear_model(density.design, where) for where in (at, away, both))
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
            offset=e.offset + 3 * e.scale.sum(-1),
            scale=2 * e.scale,
        ),
    )
    x = 0.5 * np.random.default_rng(1).normal(size=(2, 200, density.size))
    n_shared, own = len(e.shared), np.s_[..., density.individuals]
    shifted = x.copy()
    shifted[own] = (x[own] - 3) / 2
    away = e.shared_factor @ x[..., :n_shared, None] - 3 * np.diag(e.shared_factor)[:, None]
    shifted[..., :n_shared] = np.linalg.solve(2 * e.shared_factor, away)[..., 0]
    for there, here in zip(wrong.unpack(shifted[0]), density.unpack(x[0]), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-9)

    renewed = refresh(wrong, shifted)
    one = np.zeros((1, density.size))
    found, drawn = Density(density.design, renewed).unpack(one), density.unpack(x.reshape(-1, density.size))
    for name, near in (("typical", 0.05), ("individual", 0.5)):
        here, draws = getattr(found, name)[0], getattr(drawn, name)
        np.testing.assert_allclose((here - draws.mean(0)) / draws.std(0), 0, atol=near)
    scale = np.einsum("sdd->sd", renewed.scale)
    assert np.median(scale) == pytest.approx(np.sqrt((0.25 * 400 + 100) / 500), rel=0.1)
