from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import (
    calibration_interval,
    debiased_calibration_error,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)


def drawn(n: int, seed: int = 0, k: int = 3, scale: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth: target drawn from it."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((n, k))
    return logits, (softmax(logits, 1).cumsum(1) > rng.random((n, 1))).argmax(1)


def pairs(gap: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes; right with probability confidence - gap."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.6, 0.95, n)
    return (rng.random(n) >= confidence - gap).astype(int), np.c_[confidence, 1 - confidence]


def test_bins_hold_equally_many_and_all():
    target, probability = pairs(0.1, n=1003)
    curve = reliability_curve(target, probability, bins=10)
    assert curve.windows.sum() == 1003
    assert np.ptp(curve.windows) <= 1
    assert (np.diff(curve.confidence) > 0).all()
    whole = curve.windows / 1003
    assert whole @ curve.accuracy == pytest.approx(np.mean(target == 0))
    assert whole @ curve.confidence == pytest.approx(probability[:, 0].mean())


def test_ties_share_a_bin_and_order_changes_nothing():
    target, probability = np.array([0, 1, 1, 0, 0]), np.tile([0.7, 0.3], (5, 1))
    curve = reliability_curve(target, probability)
    assert (curve.windows.tolist(), curve.accuracy.tolist()) == ([5], [0.6])
    target, probability = pairs(0.05, n=300)
    order = np.random.default_rng(1).permutation(300)
    for f in (expected_calibration_error, debiased_calibration_error):
        assert f(target, probability) == pytest.approx(f(target[order], probability[order]))


def test_a_known_gap_is_found():
    target, probability = pairs(0.2)
    assert expected_calibration_error(target, probability) == pytest.approx(0.2, abs=0.02)
    assert debiased_calibration_error(target, probability) == pytest.approx(0.2, abs=0.02)


def test_debiasing_takes_off_what_sampling_adds():
    plain, debiased = zip(
        *[
            (expected_calibration_error(*pairs(0, 200, s)), debiased_calibration_error(*pairs(0, 200, s)))
            for s in range(60)
        ],
        strict=True,
    )
    assert np.mean(plain) == pytest.approx(np.sqrt(10 / 200) / 3, rel=0.2)  # as its docstring says
    assert np.mean(debiased) < 0.5 * np.mean(plain)
    assert np.mean(np.array(debiased) == 0) > 0.3


def test_the_interval_is_over_people():
    rng = np.random.default_rng(0)
    gap = np.repeat(rng.choice([-0.15, 0.25], 20), 100)  # people differ in how much they deceive
    confidence = rng.uniform(0.65, 0.85, 2000)
    target, probability = (rng.random(2000) >= confidence - gap).astype(int), np.c_[confidence, 1 - confidence]
    people, alone = np.repeat(np.arange(20), 100), np.arange(2000)
    over_people = calibration_interval(target, probability, people, 0)
    over_windows = calibration_interval(target, probability, alone, 0)
    assert over_people.mean == pytest.approx(expected_calibration_error(target, probability))
    assert over_people.low <= over_people.mean <= over_people.high
    assert over_people.high - over_people.low > 2 * (over_windows.high - over_windows.low)
    assert calibration_interval(target, probability, people, 0) == over_people


def test_the_interval_covers_the_truth():
    held = []
    for seed in range(40):
        target, probability = pairs(0.1, 1000, seed)
        interval = calibration_interval(target, probability, np.repeat(np.arange(50), 20), 0, n=400)
        held.append(interval.low <= 0.1 <= interval.high)
    assert np.mean(held) >= 0.85


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.2, 5.0))
def test_temperature_is_where_the_likelihood_is_largest(seed, true):
    logits, target = drawn(200, seed)
    logits *= true
    found = fit_temperature(logits, target)

    def loss(log_temperature):
        return -np.mean(log_softmax(logits / np.exp(log_temperature), 1)[np.arange(200), target])

    reference = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    assert np.log(found) == pytest.approx(np.clip(reference.x, np.log(0.05), np.log(20)), abs=1e-3)
    assert loss(np.log(found)) <= reference.fun + 1e-9


def test_temperature_mends_what_it_can():
    logits, target = drawn(5000)
    assert fit_temperature(logits, target) == pytest.approx(1, abs=0.05)
    assert fit_temperature(3 * logits, target) == pytest.approx(3, abs=0.15)
    # logarithms of probabilities are logits
    assert fit_temperature(log_softmax(3 * logits, 1), target) == pytest.approx(fit_temperature(3 * logits, target))


def test_ends_of_the_temperature():
    certain = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(certain, np.array([0, 1])) == 0.05
    assert fit_temperature(certain, np.array([1, 0])) == 20.0


def test_weights_count_windows():
    logits, target = drawn(60)
    twice = fit_temperature(np.r_[logits, logits[:20]], np.r_[target, target[:20]])
    assert fit_temperature(logits, target, weight=np.r_[np.full(20, 2), np.ones(40)]) == pytest.approx(twice)


@pytest.mark.parametrize(
    ("logits", "target", "weight", "message"),
    [
        (np.zeros((2, 2)), np.zeros(3, int), None, "do not match"),
        (np.array([[0.0, -np.inf]]), np.zeros(1, int), None, "not finite. Clip probabilities"),
        (np.zeros((1, 2)), np.array([2]), None, "Allowed: 0 to 1"),
        (np.zeros((1, 2)), np.array([1]), np.zeros(1), "not all 0"),
    ],
)
def test_refusals(logits, target, weight, message):
    with pytest.raises(DataError, match=message):
        fit_temperature(logits, target, weight=weight)


def test_more_refusals():
    target, probability = pairs(0, 20)
    with pytest.raises(DataError, match="one each"):
        calibration_interval(target, probability, np.arange(3), 0)
    with pytest.raises(DataError, match="1 or more"):
        reliability_curve(target, probability, bins=0)
    with pytest.raises(DataError, match="Use fewer bins"):
        debiased_calibration_error(target[:3], probability[:3], bins=3)
