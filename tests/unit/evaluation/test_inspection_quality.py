"""Quality at a glance: every measure against a signal whose fault is known, or against SciPy; memory stays bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.specs import SignalSpec
from neural_foundation.evaluation.inspection import quality
from neural_foundation.evaluation.inspection.quality import BUDGET_BYTES, PIECES, evenly, spectra, valid_share
from neural_foundation.recordings import ArraySignal, Signal

RATE = 250.0


def spec(n: int, sfreq: float = RATE) -> SignalSpec:
    return SignalSpec(sfreq=sfreq, ch_names=tuple(f"c{i}" for i in range(n)), ch_types=("eeg",) * n)


def noise(n: int, seconds: float, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, round(seconds * RATE))).astype(np.float32) * 1e-5


def test_range_is_the_middle_95_percent() -> None:
    values = noise(2, 60)
    found = quality(ArraySignal(values, spec(2)))
    want = np.percentile(values, [2.5, 97.5], axis=1)
    np.testing.assert_allclose([found.low, found.high], want, rtol=1e-6)
    assert found.whole
    assert found.seconds == 60


def test_flat_is_the_share_of_the_time() -> None:
    values = noise(3, 40)
    values[1, 2500:5000] = values[1, 2500]  # 10 s of 40
    values[2] = 0
    values[0, ::2] = values[0, 1::2]  # pairs of equal samples are no flat stretch
    found = quality(ArraySignal(values, spec(3)))
    np.testing.assert_allclose(found.flat, [0, 0.25, 1], atol=1e-3)


def test_clipped_is_the_share_at_the_extremes() -> None:
    values = noise(2, 40)
    limit = np.float32(1e-5)
    slow = 3e-5 * np.sin(2 * np.pi * np.arange(values.shape[1]) / RATE)
    values[1] = np.clip(slow, -limit, limit)
    found = quality(ArraySignal(values, spec(2)))
    at_limit = np.isin(values[1], [limit, -limit]).mean()
    assert found.clipped[0] == 0, "the largest sample of a good channel is no clipping"
    np.testing.assert_allclose(found.clipped[1], at_limit, atol=0.01)


def test_a_channel_of_one_value_is_flat_not_clipped() -> None:
    found = quality(ArraySignal(np.full((1, 5000), 3e-5), spec(1)))
    assert (found.flat[0], found.clipped[0]) == (1.0, 0.0)


def test_missing_counts_what_is_not_finite_or_not_valid() -> None:
    values = noise(2, 40)
    values[1, :1000] = np.nan
    valid = np.ones(10_000, bool)
    valid[5000:6000] = False
    signal = ArraySignal(values, spec(2), valid=valid)
    found = quality(signal)
    np.testing.assert_allclose(found.missing, [0.1, 0.2])
    assert valid_share(signal) == 0.9
    assert np.isfinite(found.low).all()


def test_line_noise_stands_out_at_its_own_frequency() -> None:
    values = noise(3, 60)
    t = np.arange(values.shape[1]) / RATE
    values[1] += 1e-5 * np.sin(2 * np.pi * 50 * t)
    values[2] += 1e-5 * np.sin(2 * np.pi * 60 * t)
    line = quality(ArraySignal(values, spec(3))).line
    assert line[50.0][1] > 10 > 3 > line[50.0][0]
    assert line[60.0][2] > 10 > 3 > line[60.0][1]


def test_line_noise_is_unknown_where_the_rate_cannot_show_it() -> None:
    found = quality(ArraySignal(noise(1, 60), spec(1, 100.0)))
    assert np.isnan(found.line[50.0]).all()
    assert np.isnan(found.line[60.0]).all()


def test_spectra_are_those_of_scipy() -> None:
    from scipy.signal import welch

    values = noise(2, 60)
    freqs, density = spectra([(values, np.ones(values.shape, bool))], 2, RATE)
    want_freqs, want = welch(values.astype(float), RATE, window="hann", nperseg=500, noverlap=0, detrend="constant")
    np.testing.assert_allclose(freqs, want_freqs)
    np.testing.assert_allclose(density[:, 1:-1], want[:, 1:-1], rtol=1e-9)


def test_a_segment_with_a_gap_counts_for_no_spectrum_of_its_channel() -> None:
    values = noise(2, 60)
    whole = spectra([(values[:, 500:], np.ones((2, values.shape[1] - 500), bool))], 2, RATE)[1]
    ok = np.ones(values.shape, bool)
    ok[1, 100] = False
    found = spectra([(values, ok)], 2, RATE)[1]
    np.testing.assert_allclose(found[1], whole[1])
    assert not np.allclose(found[0], whole[0], atol=0)


class Counting(Signal):
    """A signal of days that counts what is read of it."""

    def __init__(self, n_chans: int, n_times: int) -> None:
        super().__init__(spec(n_chans, 1000.0), n_times)
        self.reads: list[int] = []

    def _read(self, start: int, stop: int) -> Any:
        self.reads.append(stop - start)
        return np.random.default_rng(start).standard_normal((self.spec.n_chans, stop - start)).astype(np.float32)


@pytest.mark.parametrize("n_chans", [1, 3000])
def test_a_long_signal_is_read_in_pieces_within_the_budget(n_chans: int) -> None:
    signal = Counting(n_chans, 86_400_000 if n_chans == 1 else 10_000_000)
    spans = evenly(signal)
    assert len(spans) == PIECES
    assert 4 * n_chans * sum(b - a for a, b in spans) <= BUDGET_BYTES
    assert (spans[0][0], spans[-1][1]) == (0, signal.n_times)
    if n_chans == 1:
        found = quality(signal)
        assert sum(signal.reads) == PIECES * 4000
        assert not found.whole
        assert found.seconds == PIECES * 4
        assert (np.diff(found.piece_start_s) > 1000).all()


@pytest.mark.parametrize("n_times", [0, 1, 7, 300])
def test_a_signal_too_short_to_judge_is_unknown_not_an_error(n_times: int) -> None:
    found = quality(ArraySignal(np.zeros((2, n_times)), spec(2)))
    assert np.isnan(found.line[50.0]).all()
    assert found.flat.shape == found.low.shape == (2,)
    assert np.isnan(found.low).all() == (n_times == 0)


def test_a_signal_without_any_valid_sample() -> None:
    signal = ArraySignal(np.full((2, 5000), np.nan), spec(2), valid=np.zeros(5000, bool))
    found = quality(signal)
    assert (found.missing == 1).all()
    assert np.isnan(found.density).all()
    assert np.isnan(found.piece_sd).all()
    assert valid_share(signal) == 0
