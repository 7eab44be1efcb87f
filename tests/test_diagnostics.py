"""R-hat and effective sample sizes of many columns at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglu.analysis.diagnostics import energy_fraction, mixing, normal_scores


def wandering(shape, memory, seed=0):
    """Draws ``(chain, draw, column)`` in which each remembers this share of the one before."""
    draws = np.random.default_rng(seed).normal(size=shape)
    for i in range(1, shape[1]):
        draws[:, i] += memory * draws[:, i - 1]
    return draws


METHODS = {"bulk": {"method": "bulk"}, "tail": {"method": "tail", "prob": (0.05, 0.95)}}


@pytest.fixture(scope="module")
def arviz_stats():
    return pytest.importorskip("arviz_stats")


@pytest.mark.parametrize("shape", [(4, 500, 3), (2, 101, 3), (1, 250, 3)])
def test_it_agrees_with_arviz_for_sticky_skewed_tied_and_disagreeing_chains(arviz_stats, shape):
    sticky, swinging = wandering(shape, 0.95), wandering(shape, -0.6)
    apart = wandering(shape, 0.3) + np.arange(shape[0])[:, None, None]
    draws = np.concatenate([sticky, swinging, apart, np.exp(3 * sticky), np.round(swinging)], axis=-1)
    found = mixing(draws)
    columns = np.moveaxis(draws, -1, 0)
    ess = {kind: [arviz_stats.ess(c, **how) for c in columns] for kind, how in METHODS.items()}
    np.testing.assert_allclose(found.ess_bulk, ess["bulk"], rtol=1e-9)
    np.testing.assert_allclose(found.ess_tail, ess["tail"], rtol=1e-9)
    if shape[0] > 1:
        np.testing.assert_allclose(found.rhat, [arviz_stats.rhat(c) for c in columns], rtol=1e-9)
    else:
        assert np.isnan(found.rhat).all()


def test_it_agrees_with_arviz_on_the_energy_fraction(arviz_stats):
    energy = wandering((4, 300, 1), 0.9)[..., 0]
    from arviz_stats.base import array_stats

    np.testing.assert_allclose(energy_fraction(energy), array_stats.bfmi(energy), rtol=1e-12)


def test_constant_and_not_finite_columns_have_no_diagnostics_and_spoil_no_others():
    draws = wandering((4, 200, 4), 0.2)
    alone = mixing(draws[..., :1])
    draws[..., 1] = 3.0
    draws[0, 7, 2] = np.nan
    draws[0, 7, 3] = np.inf
    for together, single in zip(mixing(draws), alone, strict=True):
        assert together[0] == single[0]
        assert np.isnan(together[1:]).all()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_chains_of_three_draws_tell_nothing(length):
    assert all(np.isnan(each).all() for each in mixing(np.ones((4, length, 2))))


def test_chains_in_different_places_have_a_large_rhat():
    draws = wandering((4, 200, 1), 0.0)
    draws[3] += 5
    assert mixing(draws).rhat[0] > 1.5


def test_sticky_chains_are_worth_less_than_their_draws_and_swinging_ones_more():
    sticky, free, swinging = (
        mixing(wandering((4, 500, 1), memory)).ess_bulk[0] for memory in (0.9, 0.0, -0.5)
    )
    assert sticky < 300 < 1500 < free < swinging


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_a_parameter_changes_no_diagnostic_and_its_logarithm_no_bulk_sample_size(seed, factor):
    draws = np.exp(wandering((2, 40, 2), 0.4, seed))
    before = mixing(draws)
    for original, scaled in zip(before, mixing(factor * draws), strict=True):
        np.testing.assert_array_equal(original, scaled)
    np.testing.assert_allclose(before.ess_bulk, mixing(np.log(draws)).ess_bulk, rtol=1e-12)


def test_equal_values_share_their_mean_rank():
    scores = normal_scores(np.array([[[2.0, 1.0, 2.0, 3.0]]]))[0, 0]
    assert scores[0] == scores[2] == pytest.approx(0.0)
    assert scores[1] == pytest.approx(-scores[3])
