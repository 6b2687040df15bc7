from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import bootstrap_mean, chance, paired_difference


def test_bootstrap_interval_is_near_the_closed_form():
    values = np.random.default_rng(0).normal(size=200)
    interval = bootstrap_mean(values, seed=1)
    half = 1.96 * values.std() / np.sqrt(200)
    assert interval.mean == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_pairing_takes_off_what_subjects_share():
    rng = np.random.default_rng(0)
    subject = rng.normal(scale=1.0, size=20)
    a, b = subject + 0.1 + rng.normal(scale=0.01, size=20), subject + rng.normal(scale=0.01, size=20)
    interval = paired_difference(a, b, seed=0)
    assert 0 < interval.low < 0.1 < interval.high + 0.02
    assert interval.high - interval.low < 0.03


def test_seed_decides():
    a, b = np.random.default_rng(0).normal(size=(2, 10))
    assert paired_difference(a, b, 3) == paired_difference(a, b, 3)
    assert paired_difference(a, b, 3) != paired_difference(a, b, 4)
    with pytest.raises(DataError, match="not paired"):
        paired_difference(a, b[:5], 0)


def test_chance_of_two_balanced_classes_is_a_half():
    target = np.tile([0, 1], 200)
    said = np.random.default_rng(0).integers(0, 2, 400)
    found = chance(target, said, np.repeat(np.arange(4), 100), seed=0, n=500)
    assert found.distribution.mean() == pytest.approx(0.5, abs=0.01)
    # the mean of four subjects of 100: standard deviation 0.5 / sqrt(400), 95 % at 1.645 of them
    assert found.level == pytest.approx(0.5 + 1.645 * 0.025, abs=0.01)


def test_whole_units_change_labels():
    # ten recordings of one class each: windows are many, evidence is little
    unit = np.repeat(np.arange(10), 20)
    target = unit % 2
    said = target.copy()
    free = chance(target, said, np.zeros(200), seed=0, n=300)
    whole = chance(target, said, np.zeros(200), seed=0, n=300, units=unit)
    assert whole.level > free.level + 0.1


def test_chance_knows_unequal_subjects():
    # one subject has class 0 only: it always scores 1 for a decoder that says 0
    target = np.array([0] * 50 + [0, 1] * 25)
    said = np.zeros(100, int)
    assert chance(target, said, np.repeat([0, 1], 50), seed=0, n=50).level == pytest.approx(0.75)


def test_chance_refusals():
    with pytest.raises(DataError, match="two classes"):
        chance(np.array([0, 1]), np.array([0, 1]), np.zeros(2), 0, units=np.zeros(2))
    with pytest.raises(DataError, match="3 targets, 2 predictions"):
        chance(np.zeros(3, int), np.zeros(2, int), np.zeros(3), 0)
