"""Scores of behaviour against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.metrics.behaviour import (
    mean_position_error,
    median_position_error,
    position_error,
    psth_r2,
    r2_by_channel,
    r2_weighted,
)


def pair(seed: int = 0, shape: tuple[int, ...] = (6, 9, 2)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal([1.0, -3.0], [1.0, 5.0], shape)
    return y, y + rng.normal(0, 0.7, shape)


def test_r2_is_that_of_scikit_learn():
    from sklearn.metrics import r2_score

    y, said = pair()
    flat = y.reshape(-1, 2), said.reshape(-1, 2)
    np.testing.assert_allclose(r2_by_channel(y, said), r2_score(*flat, multioutput="raw_values"))
    assert r2_weighted(y, said) == pytest.approx(r2_score(*flat, multioutput="variance_weighted"))


def test_r2_leaves_out_what_is_not_known():
    y, said = pair()
    gaps = y.copy()
    gaps[0, :4, 0] = np.nan
    gaps[3] = np.nan
    got = r2_by_channel(gaps, said)
    for k in range(2):
        known = ~np.isnan(gaps[..., k])
        assert got[k] == pytest.approx(r2_by_channel(y[..., k][known][:, None], said[..., k][known][:, None])[0])


def test_a_constant_channel_has_no_r2():
    y, said = pair()
    y[..., 0] = 0.1
    assert np.isnan(r2_by_channel(y, said)).tolist() == [True, False]
    assert np.isnan(r2_weighted(y[..., :1], said[..., :1]))


def test_psth_r2_is_that_of_the_averages():
    y, said = pair(shape=(8, 5, 2))
    condition = np.array([0, 0, 0, 2, 2, 2, 2, -1])
    means = [np.stack([v[condition == k].mean(0) for k in (0, 2)]) for v in (y, said)]
    np.testing.assert_allclose(psth_r2(y, said, condition), r2_by_channel(*means))


def test_psth_r2_does_not_see_single_trials():
    rng = np.random.default_rng(1)
    condition = np.arange(40) % 2
    trace = np.sin(np.arange(10) / 2)[None, :, None] * (1 + condition[:, None, None])
    y = trace + rng.normal(size=(40, 10, 1))
    means = np.stack([y[condition == k].mean(0) for k in range(2)])[condition]
    assert psth_r2(y, means, condition)[0] == pytest.approx(1)
    assert r2_by_channel(y, means)[0] < 0.8


def test_psth_r2_averages_the_same_values_on_both_sides():
    y, said = pair(shape=(4, 5, 2))
    y[0, 2, 0] = np.nan
    condition = np.zeros(4, int)
    true, predicted = np.nanmean(y, 0), said.mean(0)
    predicted[2, 0] = said[1:, 2, 0].mean()
    np.testing.assert_allclose(psth_r2(y, said, condition), r2_by_channel(true, predicted))
    y[:, 1, 1] = np.nan  # known in no trial: that bin falls out
    assert np.isfinite(psth_r2(y, said, condition)).all()


def test_position_error_is_euclidean():
    y = np.array([[[0.0, 0.0], [1.0, 1.0], [np.nan, 2.0], [5.0, 5.0]]])
    said = y + np.array([3.0, 4.0])
    said[0, 2] = 0
    said[0, 3] = y[0, 3]
    assert position_error(y, said).tolist() == [5, 5, 0]
    assert mean_position_error(y, said) == pytest.approx(10 / 3)
    assert median_position_error(y, said) == 5
    assert position_error(y[..., :1], said[..., :1]).tolist() == [3, 3, 0]


def test_refusals():
    y, said = pair()
    with pytest.raises(DataError, match="cannot be compared"):
        r2_by_channel(y, said[:3])
    with pytest.raises(DataError, match="not finite"):
        r2_by_channel(y, np.where(said > 0, np.nan, said))
    with pytest.raises(DataError, match="No target is known"):
        r2_by_channel(np.full((2, 2, 1), np.nan), np.zeros((2, 2, 1)))
    with pytest.raises(DataError, match="No trial has a condition"):
        psth_r2(y, said, np.full(6, -1))
    with pytest.raises(DataError, match=r"\(n, T, C\) and \(n,\)"):
        psth_r2(y, said, np.zeros(5))
    with pytest.raises(DataError, match="No bin is known in all channels"):
        position_error(np.array([[[1.0, np.nan]]]), np.zeros((1, 1, 2)))
