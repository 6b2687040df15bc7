"""Smoothing against numpy, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.smooth import Smooth

FS = 250.0


def padded(x: np.ndarray, before: int, after: int) -> np.ndarray:
    return np.pad(x.astype(float), ((0, 0), (before, after)), mode="edge")


@pytest.mark.parametrize("n", [1, 5, 40, 41])
def test_a_causal_moving_mean_is_over_the_last_samples(eeg: SignalSpec, noise: np.ndarray, n: int) -> None:
    op = Smooth(width_s=n / FS).bind(eeg)
    want = np.stack([np.convolve(row, np.ones(n) / n, "valid") for row in padded(noise, n - 1, 0)])
    assert op.lookahead_s == 0
    np.testing.assert_allclose(run(op, noise).values, want, atol=1e-9)


def test_a_centred_moving_mean_looks_half_its_length_ahead(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Smooth(width_s=0.1, causal=False).bind(eeg)  # 25 samples
    assert op.lookahead_s == pytest.approx(12 / FS)
    want = ndimage.uniform_filter1d(noise.astype(float), 25, axis=1, mode="nearest")
    np.testing.assert_allclose(run(op, noise).values, want, atol=1e-9)


def test_a_centred_mean_of_an_even_number_halves_its_ends(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Smooth(width_s=4 / FS, causal=False).bind(eeg)
    want = np.stack([np.convolve(row, [0.125, 0.25, 0.25, 0.25, 0.125], "valid") for row in padded(noise, 2, 2)])
    np.testing.assert_allclose(run(op, noise).values, want, atol=1e-9)


def test_an_exponential_mean_is_a_leaky_sum_that_starts_settled(eeg: SignalSpec, noise: np.ndarray) -> None:
    alpha = 1 - np.exp(-1 / (0.2 * FS))
    x = noise.astype(float)
    want, _ = ss.lfilter([alpha], [1, alpha - 1], x, zi=(1 - alpha) * x[:, :1])
    np.testing.assert_allclose(run(Smooth(shape="exponential", width_s=0.2).bind(eeg), noise).values, want, atol=1e-9)


def test_an_exponential_mean_falls_to_one_e_in_its_time_constant() -> None:
    one = SignalSpec(sfreq=1000, ch_names=("a",))
    x = np.zeros((1, 2000), np.float32)
    x[0, :500] = 1
    got = run(Smooth(shape="exponential", width_s=0.1).bind(one), x).values[0]
    assert got[499 + 100] == pytest.approx(np.exp(-1), rel=1e-5)


def test_a_centred_gaussian_is_scipys(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Smooth(shape="gaussian", width_s=0.02, causal=False).bind(eeg)
    want = ndimage.gaussian_filter1d(noise.astype(float), 5, axis=1, mode="nearest", truncate=4)
    assert op.lookahead_s == pytest.approx(0.08)
    np.testing.assert_allclose(run(op, noise).values, want, atol=1e-9)


def test_a_causal_gaussian_is_the_older_half(eeg: SignalSpec) -> None:
    impulse = np.zeros((5, 100), np.float32)
    impulse[:, 40] = 1
    op = Smooth(shape="gaussian", width_s=0.02).bind(eeg)
    got = run(op, impulse).values[0]
    assert op.lookahead_s == 0
    assert not got[:40].any()
    want = np.exp(-0.5 * (np.arange(21) / 5) ** 2)
    np.testing.assert_allclose(got[40:61], want / want.sum(), rtol=1e-6)
    assert got.sum() == pytest.approx(1, rel=1e-5)


def test_wrong_settings_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SpecError, match="an exponential mean looks back only"):
        SIGNALS.parse({"kind": "smooth", "shape": "exponential", "width_s": 1, "causal": False})
    with pytest.raises(
        SignalMismatchError, match=r"width_s=0.001 is shorter than a sample at 250 Hz. Allowed: width_s >="
    ):
        Smooth(width_s=0.001).bind(eeg)
