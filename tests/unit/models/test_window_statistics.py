"""Window statistics against scipy and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kurtosis, skew

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.table import MODELS
from neural_foundation.models.window_statistics import Statistic, WindowStatistics, WindowStatisticsEstimator

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("C3", "C4"))
TARGET = TargetSpec(classes=("quiet", "loud"))
ALL = Statistic.__args__  # type: ignore[attr-defined]


def made(**fields: Any) -> WindowStatisticsEstimator:
    return WindowStatistics(**fields).estimator(SIGNAL, TARGET)


def windows(n: int = 70) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.gamma(2.0, size=(n, 2, 300)) * 1e-5).astype(np.float32)


def test_each_statistic_is_what_scipy_and_numpy_make_of_it() -> None:
    x = windows()
    found = made(statistics=ALL).features(x).reshape(70, 2, len(ALL))
    x = x.astype(np.float64)
    step, bend = np.diff(x), np.diff(x, n=2)
    mobility = step.std(-1) / x.std(-1)
    above = x > x.mean(-1, keepdims=True)
    expected = {
        "mean": x.mean(-1),
        "deviation": x.std(-1),
        "line_length": np.abs(step).mean(-1),
        "crossings": (above[..., 1:] != above[..., :-1]).sum(-1),
        "skewness": skew(x, axis=-1),
        "kurtosis": kurtosis(x, axis=-1),
        "peak_to_peak": x.max(-1) - x.min(-1),
        "energy": (x**2).mean(-1),
        "mobility": mobility,
        "complexity": bend.std(-1) / step.std(-1) / mobility,
    }
    assert set(expected) == set(ALL)
    for name, values in expected.items():
        np.testing.assert_allclose(found[..., ALL.index(name)], values, rtol=1e-9, err_msg=name)


def test_a_sine_has_the_known_statistics() -> None:
    time = np.arange(1000) / 1000
    wave = np.sin(2 * np.pi * 10 * time + 0.1)[None, None].repeat(2, 1)
    named = ("deviation", "crossings", "skewness", "kurtosis", "mobility", "complexity", "line_length")
    found = made(statistics=named).features(wave).reshape(2, -1)[0]
    turn = 2 * np.pi * 10 / 1000
    np.testing.assert_allclose(found[:4], [1 / np.sqrt(2), 20, 0, -1.5], atol=1e-9)
    np.testing.assert_allclose(found[4:], [turn, 1, 40 / 1000], rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 1e-5, 0.1])
def test_a_flat_channel_is_zero_where_nothing_is_defined(value: float) -> None:
    found = made(statistics=ALL).features(np.full((1, 2, 301), value, np.float32)).reshape(2, -1)
    flat = {n for n in ALL if n not in ("mean", "energy")}
    assert all((found[:, ALL.index(n)] == 0).all() for n in flat)
    assert np.isfinite(made(statistics=ALL).features(np.ones((1, 2, 1)))).all()


def test_shape_statistics_do_not_know_the_gain_or_the_offset() -> None:
    x = windows(8).astype(np.float64)
    named = ("crossings", "skewness", "kurtosis", "mobility", "complexity")
    estimator = made(statistics=named)
    np.testing.assert_allclose(estimator.features(x), estimator.features(3e4 * x - 0.5), rtol=1e-6)


def test_the_order_of_the_features_is_channel_then_statistic() -> None:
    x = windows(3)
    both = made(statistics=("mean", "energy")).features(x)
    one = [made(statistics=(name,)).features(x) for name in ("mean", "energy")]
    np.testing.assert_array_equal(both, np.stack(one, -1).reshape(3, 4))


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, target = windows(), (np.arange(70) % 3 == 0).astype(int)
    x[target == 1] *= 1.1
    estimator = made()
    estimator.fit(x, target, np.array(["a"] * 70))
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, class_weight="balanced", max_iter=5000, tol=1e-6)
    )
    features = estimator.features(x)
    np.testing.assert_allclose(
        estimator.predict_proba(x), theirs.fit(features, target).predict_proba(features), atol=1e-9
    )


def test_wrong_statistics_are_named() -> None:
    with pytest.raises(SpecError, match="named twice"):
        MODELS.parse({"kind": "window_statistics", "statistics": ["mean", "mean"]})
    with pytest.raises(SpecError, match="'deviation'"):
        MODELS.parse({"kind": "window_statistics", "statistics": ["variance"]})
    with pytest.raises(SpecError, match="statistics"):
        MODELS.parse({"kind": "window_statistics", "statistics": []})
