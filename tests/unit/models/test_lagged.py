"""Lags, their products and the ridge regression on them, against the plain way of doing it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.models.lag_regression import fit_lags
from neural_foundation.models.lagged import Lags, moments, ridge_path, standard, standardised


def plain(lags: Lags, values: np.ndarray) -> np.ndarray:
    """Lag l of bin t is the sum of `step` bins that end at t - l * step, latest lag first."""
    n, n_bins, c = values.shape
    made = np.zeros((n, n_bins, len(lags) * c))
    for i, lag in enumerate(range(-lags.after, lags.before)):
        for t in range(n_bins):
            for u in range(t - (lag + 1) * lags.step + 1, t - lag * lags.step + 1):
                if 0 <= u < n_bins:
                    made[:, t, i * c : (i + 1) * c] += values[:, u]
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(2, 9), st.integers(0, 99))
def test_products_are_those_of_the_features(before, after, step, n_bins, seed):
    rng, lags = np.random.default_rng(seed), Lags(before, after, step)
    x, y, known = rng.normal(size=(3, n_bins, 2)), rng.normal(size=(3, n_bins, 2)), rng.random((3, n_bins)) > 0.3
    features = plain(lags, x)
    np.testing.assert_allclose(lags.features(x), features)
    flat = features.reshape(-1, features.shape[-1])
    np.testing.assert_allclose(lags.gram(x), flat.T @ flat, atol=1e-9)
    weight = rng.normal(size=(flat.shape[1], 2))
    np.testing.assert_allclose(lags.apply(x, weight), features @ weight, atol=1e-9)
    gram, cross = moments(lags, x, y, known)
    mine = known.ravel()
    np.testing.assert_allclose(gram, flat[mine].T @ flat[mine], atol=1e-9)
    np.testing.assert_allclose(cross, flat[mine].T @ y.reshape(-1, 2)[mine], atol=1e-9)


@pytest.mark.parametrize(
    ("given_s", "expected"),
    [
        ((0.05, 100, 0.5, 0.0, 0.05), (10, 0, 1)),
        ((0.02, 100, 0.5, 0.2, 0.04), (12, 5, 2)),
        ((0.2, 50, 0.01, 0.0, 0.01), (1, 0, 1)),  # a bin is the shortest lag, and there is always one
        ((0.1, 4, 5.0, 5.0, 0.1), (4, 4, 1)),  # no farther than the window
        ((0.1, 4, 5.0, 5.0, 9.0), (1, 1, 4)),
    ],
)
def test_lags_in_seconds(given_s, expected):
    lags = Lags.of(*given_s)
    assert (lags.before, lags.after, lags.step) == expected


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 2))
    level = np.trace(x.T @ x) / 6
    for alpha, made in zip((0.01, 3.0), ridge_path(x.T @ x, x.T @ y, (0.01, 3.0)), strict=True):
        np.testing.assert_allclose(made, Ridge(alpha=alpha * level, fit_intercept=False).fit(x, y).coef_.T, rtol=1e-8)


def test_standard_is_of_known_bins():
    x = np.array([[[1.0, 7.0, np.nan], [3.0, 7.0, np.nan], [np.nan, 7.0, np.nan]]])
    mean, scale = standard(x)
    assert mean.tolist() == [2, 7, 0]
    assert scale.tolist() == [1, 1, 1]
    assert standardised(x, mean, scale)[0, :, 0].tolist() == [-1, 1, 0]


def noisy(seed: int, n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 30, 8))
    weight = np.random.default_rng(99).normal(size=(16, 2))
    return x, Lags(2, 0, 1).features(x) @ weight + rng.normal(size=(n, 30, 2)) * [0.01, noise]


def test_the_penalty_is_the_best_of_validation_for_each_channel():
    lags, alphas = Lags(2, 0, 1), (1e-4, 1e-2, 1.0, 100.0)
    train, apart = noisy(0, 4, 30.0), noisy(1, 20, 30.0)
    weight, alpha = fit_lags(lags, train, apart, alphas)
    flat = lags.features(train[0]).reshape(-1, 16)
    path = list(ridge_path(flat.T @ flat, flat.T @ train[1].reshape(-1, 2), alphas))
    error = np.array([((lags.apply(apart[0], w) - apart[1]) ** 2).sum((0, 1)) for w in path])
    best = error.argmin(0)
    assert alpha.tolist() == [alphas[i] for i in best]
    assert alpha[0] < alpha[1]
    np.testing.assert_allclose(weight, np.stack([path[i][:, k] for k, i in enumerate(best)], 1), rtol=1e-7)


def test_channels_with_gaps_of_their_own_are_learned_from_their_own_bins():
    lags = Lags(2, 0, 1)
    x, y = noisy(0, 6, 1.0)
    y[0, :, 0] = y[2, 5:9, 1] = np.nan
    weight = fit_lags(lags, (x, y), noisy(1, 4, 1.0), (1e-3,)).weight
    features = lags.features(x)
    for k in range(2):
        known = ~np.isnan(y[..., k])
        f = features[known]
        level = np.trace(f.T @ f) / 16
        expected = np.linalg.solve(f.T @ f + 1e-3 * level * np.eye(16), f.T @ y[..., k][known])
        np.testing.assert_allclose(weight[:, k], expected, rtol=1e-7)


def test_refit_learns_from_both_parts():
    lags = Lags(2, 0, 1)
    train, apart = noisy(0, 4, 1.0), noisy(1, 4, 1.0)
    apart[1][1, :7, 0] = np.nan
    weight, alpha = fit_lags(lags, train, apart, (1e-3,), refit=True)
    x, y = (np.concatenate(side) for side in zip(train, apart, strict=True))
    np.testing.assert_allclose(weight, fit_lags(lags, (x, y), apart, (1e-3,)).weight, rtol=1e-7)
    assert alpha.tolist() == [1e-3, 1e-3]


def test_a_channel_never_known():
    lags = Lags(2, 0, 1)
    (x, y), (x_apart, y_apart) = noisy(0, 4, 1.0), noisy(1, 4, 1.0)
    y[..., 0] = np.nan
    y_apart[..., 1] = np.nan
    weight, alpha = fit_lags(lags, (x, y), (x_apart, y_apart), (1e-3, 1e-2, 1.0))
    assert (weight[:, 0] == 0).all()
    assert (weight[:, 1] != 0).all()
    assert alpha.tolist() == [1e-2, 1e-2]


def test_many_features_are_solved_in_single_precision_alike():
    rng = np.random.default_rng(0)
    x, lags = rng.normal(size=(30, 40, 250)), Lags(8, 0, 1)
    y = (x[..., :1] + rng.normal(size=(30, 40, 1))).astype(np.float64)
    weight = fit_lags(lags, (x, y), (x[:2], y[:2]), (0.1,)).weight
    exact = next(ridge_path(lags.gram(x), lags.cross(x, y), (0.1,)))
    np.testing.assert_allclose(weight, exact, atol=2e-5)
    assert not np.array_equal(weight, exact)
