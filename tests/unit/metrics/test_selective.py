from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import abstention_threshold, area_under_risk_coverage, risk_coverage


def test_the_curve_by_hand_with_ties():
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.8]), np.array([False, True, False, True]))
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 0.5])
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.6])


def test_the_area_is_the_mean_risk_at_each_window():
    rng = np.random.default_rng(0)
    confidence, right = rng.random(200), rng.random(200) < 0.7
    order = np.argsort(-confidence)
    expected = np.mean(np.cumsum(~right[order]) / np.arange(1, 201))
    assert area_under_risk_coverage(confidence, right) == pytest.approx(expected)
    assert area_under_risk_coverage(np.full(200, 0.5), right) == pytest.approx(np.mean(~right))
    shuffled = rng.permutation(200)
    tied = confidence.round(1)
    assert area_under_risk_coverage(tied[shuffled], right[shuffled]) == pytest.approx(
        area_under_risk_coverage(tied, right)
    )


def test_knowing_when_it_is_wrong_is_better():
    right = np.arange(100) < 80
    assert area_under_risk_coverage(right.astype(float), right) < 0.1 * 0.2 + 0.05
    assert area_under_risk_coverage(-right.astype(float), right) > 0.2


def test_the_threshold_answers_as_much_as_the_risk_allows():
    confidence = np.linspace(1, 0, 101)
    right = np.arange(101) < 50
    # answering k windows: wrong max(0, k - 50); (wrong + 1) / (k + 1) <= 0.2 up to k = 61
    threshold = abstention_threshold(confidence, right, 0.2)
    assert threshold == confidence[60]
    answered = confidence >= threshold
    assert np.mean(~right[answered]) <= 0.2


def test_a_few_lucky_windows_are_not_enough():
    assert abstention_threshold(np.linspace(1, 0, 8), np.ones(8, bool), 0.1) == np.inf
    assert abstention_threshold(np.linspace(1, 0, 9), np.ones(9, bool), 0.1) == 0


def test_answers_of_one_window_count_as_one():
    confidence, right = np.linspace(1, 0, 40), np.arange(40) < 25
    once = abstention_threshold(confidence, right, 0.2)
    assert abstention_threshold(np.repeat(confidence, 7), np.repeat(right, 7), 0.2, per_window=7) == once
    lucky = np.repeat(np.arange(40) == 0, 30)
    assert abstention_threshold(np.repeat(confidence, 30), lucky, 0.1, per_window=30) == np.inf
    assert np.isfinite(abstention_threshold(np.repeat(confidence, 30), lucky, 0.1)), "30 windows would be enough"


def test_refusals():
    with pytest.raises(DataError, match="do not match"):
        risk_coverage(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="under 1"):
        abstention_threshold(np.zeros(3), np.zeros(3), 0.0)
    with pytest.raises(DataError, match="0 answers a window"):
        abstention_threshold(np.zeros(3), np.zeros(3), 0.1, per_window=0)
