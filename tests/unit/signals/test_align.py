"""Running alignment against the covariance it should undo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.align import Align, whitening


@pytest.fixture
def mixed() -> np.ndarray:
    """Five correlated channels (5, 5000), around zero."""
    rng = generator(0, "mixed")
    return (rng.standard_normal((5, 5)) @ rng.standard_normal((5, 5000)) * 1e-5).astype(np.float32)


def test_the_output_is_white(eeg: SignalSpec, mixed: np.ndarray) -> None:
    got = run(Align(shrinkage=0, max_gain=1e3).bind(eeg), mixed).values[:, 2500:]
    np.testing.assert_allclose(got @ got.T / got.shape[1], np.eye(5), atol=0.1)


def test_a_block_is_whitened_by_the_blocks_before_it(eeg: SignalSpec, mixed: np.ndarray) -> None:
    op = Align(every_s=1, warmup_s=2, time_constant_s=3, shrinkage=0, max_gain=1e3).bind(eeg)
    got = run(op, mixed).values
    blocks = mixed.astype(float).reshape(5, 20, 250)
    weights = np.exp(-np.arange(3)[::-1] / 3)
    cov = sum(w * blocks[:, i] @ blocks[:, i].T / 250 for i, w in enumerate(weights / weights.sum()))
    want = fractional_matrix_power(cov, -0.5) @ blocks[:, 3]
    np.testing.assert_allclose(got[:, 750:1000], want, atol=1e-5)


def test_until_the_warm_up_all_channels_share_one_running_scale(eeg: SignalSpec, mixed: np.ndarray) -> None:
    got = run(Align(warmup_s=1.5).bind(eeg), mixed).values
    n = 321
    np.testing.assert_allclose(
        got[:, n - 1], mixed[:, n - 1] / np.sqrt(np.mean(mixed[:, :n].astype(float) ** 2)), rtol=1e-5
    )
    assert not np.allclose(got[:, 501], mixed[:, 501] / np.sqrt(np.mean(mixed[:, :502].astype(float) ** 2)), rtol=1e-2)


def test_a_direction_without_power_is_not_blown_up(eeg: SignalSpec, mixed: np.ndarray) -> None:
    flat = mixed - mixed.mean(0)
    white = whitening(np.cov(flat), 0.0, 10.0)
    gain = np.linalg.eigvalsh(white).max() * np.sqrt(np.trace(np.cov(flat)) / 5)
    assert gain == pytest.approx(10)
    assert np.abs(run(Align().bind(eeg), flat).values).max() < 10


def test_full_shrinkage_is_one_scale_for_all(mixed: np.ndarray) -> None:
    cov = np.cov(mixed)
    np.testing.assert_allclose(whitening(cov, 1.0, 10.0), np.eye(5) / np.sqrt(np.trace(cov) / 5), atol=1e-6)


def test_silence_stays_silence(eeg: SignalSpec) -> None:
    assert (run(Align().bind(eeg), np.zeros((5, 3000), np.float32)).values == 0).all()


def test_invalid_blocks_teach_nothing(eeg: SignalSpec, mixed: np.ndarray) -> None:
    op = Align(every_s=1, warmup_s=1).bind(eeg)
    valid, wild = np.ones(5000, bool), mixed.copy()
    valid[1000:1250], wild[:, 1000:1250] = False, 1
    got, _ = op.step(Chunk(wild, valid), op.start())
    want, _ = op.step(Chunk.of(np.delete(mixed, slice(1000, 1250), 1)), op.start())
    np.testing.assert_array_equal(got.values[:, 1250:], want.values[:, 1000:])


def test_a_stream_that_begins_late_is_scaled_until_there_is_a_covariance(eeg: SignalSpec, mixed: np.ndarray) -> None:
    op, valid = Align(warmup_s=2).bind(eeg), np.ones(5000, bool)
    valid[:600] = False
    got = op.step(Chunk(mixed.copy(), valid, 0), op.start())[0].values
    n = 150
    want = mixed[:, 599 + n] / np.sqrt(np.mean(mixed[:, 600 : 600 + n].astype(float) ** 2))
    np.testing.assert_allclose(got[:, 599 + n], want, rtol=1e-5)
