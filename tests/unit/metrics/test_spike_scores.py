"""Scores of rates against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.metrics.spikes import (
    RATE_FLOOR,
    bits_against_test_mean,
    bits_against_train_mean,
    bits_per_spike,
    deviance_explained,
    log_likelihood,
    mean_rates,
)

# one unit: two bins with 1 and 3 spikes; the other: 0 and 2
COUNTS = np.array([[1, 0], [3, 2]], np.uint16)


def counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson([0.1, 0.7, 3.0], (5, 11, 3))


def test_mean_rates_pool_trials_and_bins():
    np.testing.assert_allclose(mean_rates(COUNTS), [2, 1])
    np.testing.assert_allclose(mean_rates(counts()), counts().mean((0, 1)))


def test_log_likelihood_is_that_of_poisson():
    from scipy.stats import poisson

    y, r = counts(), np.random.default_rng(1).uniform(0.05, 4, (5, 11, 3))
    null = y.mean((0, 1))
    expected = (poisson.logpmf(y, r) - poisson.logpmf(y, null)).sum((0, 1))
    np.testing.assert_allclose(log_likelihood(y, r) - log_likelihood(y, null), expected, rtol=1e-10)


def test_bits_in_closed_form():
    # rates equal to the counts against means of 2 and 1: sum y ln(y / m), as both have the same sum
    bits = bits_against_test_mean(COUNTS, COUNTS.astype(float))
    first = (1 * np.log2(1 / 2) + 3 * np.log2(3 / 2)) / 4
    second = 2 * np.log2(2) / 2
    floor = RATE_FLOOR / np.log(2) / 2  # the rate of 0 counts as the floor
    np.testing.assert_allclose(bits.by_unit, [first, second - floor], rtol=1e-12)
    assert bits.pooled == pytest.approx((4 * first + 2 * (second - floor)) / 6)
    assert bits.left_out == 0


def test_the_null_itself_has_no_bits():
    y = counts()
    for null in (mean_rates(y), np.array([0.3, 0.3, 0.3])):
        bits = bits_per_spike(y, np.broadcast_to(null, y.shape), null)
        np.testing.assert_allclose(bits.by_unit, 0, atol=1e-12)
        assert bits.pooled == pytest.approx(0, abs=1e-12)


def test_train_and_test_mean_differ_by_what_the_drift_costs():
    train, test = counts(1) + 1, counts(2)
    rates = np.random.default_rng(3).uniform(0.1, 4, test.shape)
    m, t = mean_rates(train), mean_rates(test)
    gap = bits_against_train_mean(test, rates, train).by_unit - bits_against_test_mean(test, rates).by_unit
    n = test.shape[0] * test.shape[1]
    # Kullback-Leibler of the test mean from the training mean, per spike
    np.testing.assert_allclose(gap, n * (t * np.log(t / m) - (t - m)) / (n * t * np.log(2)), rtol=1e-9)
    assert (gap >= 0).all()


def test_a_silent_unit_has_no_score_and_does_not_weigh():
    y = counts()
    rates = np.full(y.shape, 0.5)
    silent = np.concatenate([y, np.zeros((5, 11, 1))], axis=-1)
    more = np.concatenate([rates, np.full((5, 11, 1), 9.0)], axis=-1)
    bits, with_silent = bits_against_test_mean(y, rates), bits_against_test_mean(silent, more)
    assert np.isnan(with_silent.by_unit[3])
    assert with_silent.left_out == 1
    assert with_silent.pooled == pytest.approx(bits.pooled)
    np.testing.assert_allclose(with_silent.by_unit[:3], bits.by_unit)


def test_a_unit_silent_in_training_has_no_score_against_that_mean():
    train = counts(1)
    train[..., 1] = 0
    bits = bits_against_train_mean(counts(), np.ones((5, 11, 3)), train)
    assert np.isnan(bits.by_unit).tolist() == [False, True, False]
    assert (bits.left_out, np.isfinite(bits.pooled)) == (1, True)


def test_a_rate_of_zero_counts_as_the_floor():
    y = np.array([[1.0], [1.0]])
    zero, floor = (bits_against_test_mean(y, np.array([[r], [1.0]])).by_unit[0] for r in (0.0, RATE_FLOOR))
    assert zero == floor
    assert zero == pytest.approx((np.log(RATE_FLOOR) + 1 - RATE_FLOOR) / (2 * np.log(2)))


def test_pseudo_r2_in_closed_form():
    full = deviance_explained(COUNTS, COUNTS.astype(float))
    np.testing.assert_allclose(full.by_unit, 1, atol=1e-8)
    y, r = counts(), np.random.default_rng(1).uniform(0.05, 4, (5, 11, 3))

    def deviance(rate: np.ndarray) -> np.ndarray:
        return 2 * np.sum(y * np.log(np.where(y > 0, y / rate, 1)) - (y - rate), axis=(0, 1))

    null = mean_rates(y)
    got = deviance_explained(y, r)
    np.testing.assert_allclose(got.by_unit, 1 - deviance(r) / deviance(null), rtol=1e-9)
    assert got.pooled == pytest.approx(1 - deviance(r).sum() / deviance(null).sum())
    np.testing.assert_allclose(deviance_explained(y, np.broadcast_to(null, y.shape)).by_unit, 0, atol=1e-12)


def test_pseudo_r2_of_constant_counts_is_not_defined():
    got = deviance_explained(np.array([[2, 1], [2, 0]]), np.ones((2, 2)))
    assert np.isnan(got.by_unit).tolist() == [True, False]
    assert got.left_out == 1
    assert np.isnan(deviance_explained(np.full((3, 1), 2), np.ones((3, 1))).pooled)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_no_rate_beats_the_counts_and_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    y, r = (
        rng.poisson(1.0, (4, 6, 2)) + np.eye(2, dtype=int)[rng.integers(2, size=(4, 6))],
        rng.uniform(0, 3, (4, 6, 2)),
    )
    best = bits_against_test_mean(y, y).by_unit
    assert (bits_against_test_mean(y, r).by_unit <= best + 1e-9).all()
    order = rng.permutation(24)
    shuffled = bits_against_test_mean(y.reshape(24, 2)[order], r.reshape(24, 2)[order])
    np.testing.assert_allclose(shuffled.by_unit, bits_against_test_mean(y, r).by_unit)


@pytest.mark.parametrize(
    ("given_counts", "rates", "message"),
    [
        (COUNTS, np.ones((2, 3)), "do not match"),
        (COUNTS, np.array([[1, 1], [1, np.nan]]), "Rates are not finite or under zero"),
        (COUNTS, -np.ones((2, 2)), "Rates are not finite or under zero"),
        (COUNTS - 1.5, np.ones((2, 2)), "Counts are not finite or under zero"),
        (np.zeros((0, 2)), np.ones((0, 2)), "one bin and one unit"),
    ],
)
def test_refusals(given_counts, rates, message):
    with pytest.raises(DataError, match=message):
        bits_per_spike(given_counts, rates, np.ones(2))


def test_a_null_of_other_units_is_refused():
    with pytest.raises(DataError, match=r"null of shape \(3,\) for 2 units"):
        bits_per_spike(COUNTS, np.ones((2, 2)), np.ones(3))
