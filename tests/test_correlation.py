"""Partial correlations make correlation matrices, and independent ones make the LKJ distribution."""

import numpy as np
import pymc as pm
import pytensor
import pytest
from numba import njit
from pytensor.compile.mode import Mode
from scipy.stats import beta, kstest

from bayesglu import load_model, load_study
from bayesglu.hierarchy.correlation import (
    below_diagonal,
    beta_shapes,
    factor_of,
    matrices_of,
    pairs,
    partial_of,
)
from bayesglu.hierarchy.design import make_design
from bayesglu.inference import correlation as compiled


def drawn(m, eta, draws, seed=1):
    shapes = beta_shapes(m, eta)
    share = np.random.default_rng(seed).beta(shapes, shapes, size=(draws, len(shapes)))
    factors = factor_of(2 * share - 1)
    return factors @ factors.swapaxes(1, 2)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_any_numbers_make_a_correlation_matrix_and_its_elements_make_it_again(m):
    y = np.random.default_rng(m).normal(size=(20, m * (m - 1) // 2))
    factors = factor_of(np.tanh(y))
    matrices = factors @ factors.swapaxes(1, 2)
    np.testing.assert_allclose(np.einsum("sii->si", matrices), 1.0, rtol=1e-12)
    assert (np.linalg.eigvalsh(matrices) > 0).all() and (np.triu(factors, 1) == 0).all()
    np.testing.assert_allclose(matrices_of(below_diagonal(matrices)), matrices, rtol=1e-12)
    np.testing.assert_allclose(partial_of(factors), np.tanh(y), rtol=1e-9)


@njit
def compiled_factor_of(y, m):
    """`factor_of` of compiled code, which only compiled functions can call."""
    return compiled.factor_of(y, m)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_compiled_factors_are_the_obvious_ones(m):
    y = np.random.default_rng(m).normal(size=m * (m - 1) // 2)
    np.testing.assert_allclose(compiled_factor_of(y, m), factor_of(np.tanh(y)), rtol=1e-12)


@pytest.mark.parametrize(("m", "eta"), [(2, 1.0), (3, 2.0), (4, 1.0)])
def test_every_correlation_has_the_margin_of_the_lkj_distribution(m, eta):
    a = eta + (m - 2) / 2
    for margin in below_diagonal(drawn(m, eta, 4000)).T:
        assert kstest((1 + margin) / 2, beta(a, a).cdf).pvalue > 1e-3


def test_what_is_known_of_correlations_with_the_first_is_their_margin_whatever_the_others():
    """Of four, the second and the fourth are known to go with the first; the third has the margin of the LKJ
    distribution, and the correlation of two others given the first that of partial ones under it."""
    spec, names = load_model("minimal"), ["insulin_sensitivity", "glucose_volume", "basal_insulin"]
    known = {"glucose_volume": (-0.6, 0.1), "insulin_action_rate": (0.3, 0.2)}
    written = {n: {"with": names[0], "mean": m, "sd": sd, "source": []} for n, (m, sd) in known.items()}
    section = {"parameters": [*names, "insulin_action_rate"], "lkj_eta": 2.0, "priors": written}
    people = make_design(spec.with_changes(correlations=section), load_study("bergman1986")).individuals
    assert people.correlated == section["parameters"]
    matrices = matrices_of(people.draw_population(4000, np.random.default_rng(1))[3])
    for i, name in enumerate(people.correlated[1:], start=1):
        expected = beta(3.0, 3.0)
        if name in known:
            (mean, sd), share = known[name], (1 + np.array(known[name][0])) / 2
            both = (1 - mean**2) / sd**2 - 1
            expected = beta(both * share, both * (1 - share))
        assert kstest((1 + matrices[:, i, 0]) / 2, expected.cdf).pvalue > 1e-3
    partial = matrices[:, 1, 2] - matrices[:, 1, 0] * matrices[:, 2, 0]
    partial /= np.sqrt((1 - matrices[:, 1, 0] ** 2) * (1 - matrices[:, 2, 0] ** 2))
    assert kstest((1 + partial) / 2, beta(2.5, 2.5).cdf).pvalue > 1e-3


def test_the_determinant_is_distributed_as_that_of_pymcs_draws():
    with pytensor.config.change_flags(cxx=""):  # compiling takes 40 s, drawing in Python one
        theirs = pm.LKJCorr.dist(n=3, eta=2.0)
        factors = pm.draw(theirs, 2000, random_seed=1, mode=Mode(linker="py", optimizer=None))
    assert (np.triu(factors, 1) == 0).all(), "PyMC 6 draws Cholesky factors"
    theirs = factors @ factors.swapaxes(1, 2)
    ours = drawn(3, 2.0, 4000)
    assert kstest(np.linalg.det(ours), np.linalg.det(theirs)).pvalue > 1e-3


def test_pairs_are_named_in_the_order_of_the_elements():
    assert pairs(["a", "b", "c"]) == ["a and b", "a and c", "b and c"]
    assert list(below_diagonal(np.arange(9).reshape(3, 3))) == [3, 6, 7]
