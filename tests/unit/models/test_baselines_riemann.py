from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigvalsh, sqrtm
from sklearn.covariance import ledoit_wolf, oas

from neural_foundation.core.errors import DataError
from neural_foundation.models import riemann


@pytest.fixture(scope="module")
def matrices() -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    return riemann.covariance(mixing @ rng.normal(size=(12, 5, 40)), 0.1)


@pytest.mark.parametrize(("rule", "expected"), [("oas", oas), ("lwf", ledoit_wolf)])
@pytest.mark.parametrize("n_times", [7, 60])
def test_shrinkage_equals_scikit_learn(rule, expected, n_times):
    signal = np.random.default_rng(1).normal(size=(4, 5, n_times)) * np.arange(1, 6)[:, None]
    found = riemann.covariance(signal, rule)
    np.testing.assert_allclose(found, [expected(window.T)[0] for window in signal], rtol=1e-10)


def test_fixed_shrinkage_keeps_the_trace():
    signal = np.random.default_rng(2).normal(size=(3, 4, 50))
    bare, shrunk = riemann.covariance(signal, 0.0), riemann.covariance(signal, 0.3)
    np.testing.assert_allclose(bare, [np.cov(w, bias=True) for w in signal])
    np.testing.assert_allclose(np.trace(shrunk, axis1=1, axis2=2), np.trace(bare, axis1=1, axis2=2))
    assert np.linalg.cond(shrunk).max() < np.linalg.cond(bare).max()


def test_mean_of_two_is_the_midpoint(matrices):
    a, b = matrices[:2]
    root = sqrtm(a)
    inverse = np.linalg.inv(root)
    expected = root @ sqrtm(inverse @ b @ inverse) @ root
    np.testing.assert_allclose(riemann.riemannian_mean(matrices[:2]), expected, rtol=1e-7, atol=1e-9)


def test_tangent_length_is_the_distance(matrices):
    a, b = matrices[:2]
    expected = np.sqrt(np.sum(np.log(eigvalsh(a, b)) ** 2))
    assert np.linalg.norm(riemann.tangent(a[None], b)[0]) == pytest.approx(expected)


@pytest.mark.slow
def test_mean_and_tangent_equal_pyriemann(matrices):
    from pyriemann.geometry.mean import mean_riemann
    from pyriemann.geometry.tangentspace import tangent_space

    mean = riemann.riemannian_mean(matrices)
    np.testing.assert_allclose(mean, mean_riemann(matrices, tol=1e-10, maxiter=200), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        riemann.tangent(matrices, mean), tangent_space(matrices, mean, metric="riemann"), atol=1e-8
    )


def test_the_mean_moves_with_the_mixing(matrices):
    mixing = np.random.default_rng(3).normal(size=(5, 5))
    moved = riemann.riemannian_mean(mixing @ matrices @ mixing.T)
    np.testing.assert_allclose(moved, mixing @ riemann.riemannian_mean(matrices) @ mixing.T, rtol=1e-6)


def test_recentring_puts_each_group_at_the_identity(matrices):
    group = np.repeat(["a", "b"], 6)
    moved = riemann.recentre(matrices, group)
    for name in "ab":
        np.testing.assert_allclose(riemann.riemannian_mean(moved[group == name]), np.eye(5), atol=1e-8)


def test_bands_keep_what_is_inside_and_leave_the_rest():
    time = np.arange(512) / 128
    signal = np.stack([np.sin(2 * np.pi * 10 * time), np.sin(2 * np.pi * 30 * time)])[None]
    power = np.var(riemann.band_signals(signal, 128.0, 8, 12), axis=-1)[0]
    # the taper is scaled to keep power: half of a sine's squared amplitude
    assert power[0] == pytest.approx(0.5, rel=0.02)
    assert power[1] < 1e-6


def test_refusals():
    with pytest.raises(DataError, match="constant in all channels"):
        riemann.covariance(np.ones((2, 3, 10)), 0.1)
    with pytest.raises(DataError, match="Set shrinkage above 0"):
        riemann.logm(np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match="no frequency between 8 and 8.5 Hz"):
        riemann.band_signals(np.random.default_rng(0).normal(size=(1, 2, 100)), 128.0, 8.0, 8.5)
