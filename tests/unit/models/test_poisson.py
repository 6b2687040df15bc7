"""Poisson regression of many units at once against scikit-learn's, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.models import poisson
from neural_foundation.models.poisson import fit_poisson, log_likelihood


def data(seed: int = 0, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) @ np.random.default_rng(7).normal(size=(5, 5))
    weight = np.random.default_rng(8).normal(size=(5, 6)) * 0.3
    return x - x.mean(0), rng.poisson(np.exp(x @ weight + np.linspace(-3, 1, 6)))


@pytest.mark.parametrize("alpha", [1.0, 1e-2])
def test_it_is_the_regression_of_scikit_learn(alpha):
    from sklearn.linear_model import PoissonRegressor

    x, y = data()
    weight, bias, _ = fit_poisson((x, y), (x, y), (alpha,))
    for unit in range(6):
        # its loss is nats a bin, ours nats a spike
        other = PoissonRegressor(alpha=alpha * y[:, unit].mean(), tol=1e-10, max_iter=1000).fit(x, y[:, unit])
        np.testing.assert_allclose(weight[:, unit], other.coef_, atol=2e-3)
        assert bias[unit] == pytest.approx(other.intercept_, abs=2e-3)


def test_single_precision_is_close(monkeypatch):
    x, y = data()
    exact = fit_poisson((x, y), (x, y), (0.1,))
    monkeypatch.setattr(poisson, "SINGLE", 1)
    np.testing.assert_allclose(fit_poisson((x, y), (x, y), (0.1,))[0], exact[0], atol=2e-3)


def test_the_mean_rate_is_kept_and_the_penalty_is_the_most_likely():
    (x, y), apart = data(), data(1)
    weight, bias, alpha = fit_poisson((x, y), apart)
    np.testing.assert_allclose(np.exp(x @ weight + bias).mean(0), y.mean(0), rtol=1e-6)
    scores = []
    for a in poisson.ALPHAS:
        w, b, _ = fit_poisson((x, y), apart, (a,))
        scores.append(log_likelihood(apart[0] @ w + b, apart[1]))
    best = np.asarray(poisson.ALPHAS)[np.argmax(scores, axis=0)]
    chosen = log_likelihood(apart[0] @ weight + bias, apart[1])
    np.testing.assert_allclose(chosen, np.max(scores, axis=0), rtol=1e-3)
    assert np.mean(best == alpha) > 0.5


def test_a_silent_unit_and_repeated_features():
    x, y = data()
    y[:, 2] = 0
    x = np.concatenate([x, x[:, :1], np.zeros((400, 1))], axis=1)
    weight, bias, _ = fit_poisson((x, y), (x, y))
    assert np.isfinite(weight).all()
    assert (weight[:, 2] == 0).all()
    assert np.exp(bias[2]) == pytest.approx(0.5 / 400)
    np.testing.assert_allclose(weight[0], weight[5], atol=1e-8)
    assert np.abs(weight[6]).max() < 1e-12


def test_log_likelihood_of_huge_rates_is_finite():
    assert np.isfinite(log_likelihood(np.array([[800.0]]), np.array([[1.0]]))).all()
