"""Resampling against scipy."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.resample import Resample


@pytest.mark.parametrize(("target", "up", "down"), [(125, 1, 2), (128, 64, 125), (500, 2, 1), (200, 4, 5)])
@pytest.mark.parametrize("n_times", [1, 37, 2000])
def test_linear_phase_is_resample_poly(
    eeg: SignalSpec, noise: np.ndarray, target: float, up: int, down: int, n_times: int
) -> None:
    op, x = Resample(sfreq=target).bind(eeg), noise[:, :n_times]
    got = run(op, x)
    want = ss.resample_poly(x.astype(float), up, down, axis=1, padtype="edge")
    assert op.output.sfreq == target
    assert got.n_times == want.shape[1] == -(-n_times * up // down)
    np.testing.assert_allclose(got.values, want, rtol=1e-6)


@pytest.mark.parametrize(("rate", "target"), [(256, 250), (500, 128), (1000, 250), (2048, 512), (512, 500), (250, 256)])
def test_the_rates_of_eeg_are_scipys_and_mnes(rate: int, target: int) -> None:
    up, down = target // np.gcd(rate, target), rate // np.gcd(rate, target)
    x = generator(0, "rates").standard_normal((2, 4 * rate)).astype(np.float32)
    got = run(Resample(sfreq=target).bind(SignalSpec(sfreq=rate, ch_names=("a", "b"))), x).values
    np.testing.assert_allclose(got, ss.resample_poly(x.astype(float), up, down, axis=1, padtype="edge"), atol=1e-6)
    theirs = mne.filter.resample(x.astype(float), up, down, method="polyphase", verbose="error")
    middle = slice(target, 3 * target)  # their ends are reflected
    np.testing.assert_allclose(got[:, middle], theirs[:, middle], atol=1e-6)


def test_the_declared_delay_is_the_one_that_passes(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Resample(sfreq=125).bind(eeg)
    assert op.lookahead_s == pytest.approx(10 / 125)
    out, _ = op.step(Chunk.of(noise), op.start())
    assert out.n_times == (2000 * 1 - 1 - 20) // 2 + 1


def test_minimum_phase_does_not_wait_and_passes_the_band(eeg: SignalSpec) -> None:
    t = np.arange(2000) / 250
    wave = np.tile(np.sin(2 * np.pi * 10 * t), (5, 1)).astype(np.float32)
    op = Resample(sfreq=100, phase="minimum").bind(eeg)
    out, _ = op.step(Chunk.of(wave), op.start())
    assert op.lookahead_s == 0
    assert out.n_times == 800
    assert np.abs(out.values[0, 200:]).max() == pytest.approx(1, abs=0.02)
    lag = np.argmax(ss.correlate(out.values[0, 200:600], np.sin(2 * np.pi * 10 * np.arange(200, 600) / 100))) - 399
    assert lag <= 3


def test_what_would_alias_is_removed(eeg: SignalSpec) -> None:
    t = np.arange(2000) / 250
    high = np.tile(np.sin(2 * np.pi * 90 * t), (5, 1)).astype(np.float32)
    got = run(Resample(sfreq=125).bind(eeg), high).values
    assert np.abs(got[:, 50:-50]).max() < 0.005


def test_the_same_rate_changes_nothing(eeg: SignalSpec, noise: np.ndarray) -> None:
    np.testing.assert_array_equal(run(Resample(sfreq=250).bind(eeg), noise).values, noise)


def test_validity_moves_with_the_samples(eeg: SignalSpec, noise: np.ndarray) -> None:
    valid = np.ones(2000, bool)
    valid[1000:1010] = False
    op = Resample(sfreq=125).bind(eeg)
    out, _ = op.step(Chunk(noise, valid), op.start())
    np.testing.assert_array_equal(np.flatnonzero(~out.valid), np.arange(499, 506))


def test_rates_without_a_common_multiple_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"250\.0 Hz to 100\.0001234 Hz is not in the ratio .* e\.g\. 125"):
        Resample(sfreq=100.0001234).bind(eeg)


def test_rates_that_differ_by_rounding_are_one_rate(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Resample(sfreq=250).bind(eeg.replace(sfreq=250 * (1 + 1e-13)))
    assert op.output.sfreq == 250
    np.testing.assert_array_equal(run(op, noise).values, noise)
