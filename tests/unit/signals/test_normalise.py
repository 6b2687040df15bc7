"""Running normalisation against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals import chain
from neural_foundation.signals.align import Align
from neural_foundation.signals.band_powers import BandPowers
from neural_foundation.signals.bandpass import Bandpass
from neural_foundation.signals.normalise import Normalise
from neural_foundation.signals.scale import Scale


def moments(x: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and variance of all samples of x (n_chans, n), the newest weighing most."""
    w = (1 - alpha) ** np.arange(x.shape[1])[::-1]
    w /= w.sum()
    mean = x @ w
    return mean, (x - mean[:, None]) ** 2 @ w


@pytest.mark.parametrize("n", [1, 2, 10, 2000])
def test_channel_mode_is_the_weighted_z_score(eeg: SignalSpec, noise: np.ndarray, n: int) -> None:
    x, alpha = noise[:, :n].astype(float), -np.expm1(-1 / (2 * 250))
    mean, var = moments(x, alpha)
    want = (x[:, -1] - mean) / np.sqrt(np.maximum(var, 1e-16))
    got = run(Normalise(time_constant_s=2).bind(eeg), noise[:, :n]).values[:, -1]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_global_mode_keeps_topographies(eeg: SignalSpec, noise: np.ndarray) -> None:
    x = noise * np.array([1, 2, 3, 4, 5], np.float32)[:, None]
    got = run(Normalise(mode="global").bind(eeg), x).values[:, -1]
    mean, var = moments(x.astype(float), -np.expm1(-1 / 2500))
    np.testing.assert_allclose(got, (x[:, -1] - mean) / np.sqrt(var.mean()), rtol=1e-3)


def test_stationary_noise_gets_unit_variance_from_the_start(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(Normalise().bind(eeg), noise).values
    assert np.abs(got.mean()) < 0.05
    assert got[:, 50:].std() == pytest.approx(1, abs=0.05)
    assert (np.abs(got[:, :100]) <= np.sqrt(np.arange(100)) * 1.01).all()  # bounded by sqrt(n - 1)


def test_a_flat_channel_gives_zeros(eeg: SignalSpec) -> None:
    assert (run(Normalise().bind(eeg), np.full((5, 100), 1e-3, np.float32)).values == 0).all()


def test_invalid_samples_teach_nothing(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Normalise().bind(eeg)
    valid = np.ones(2000, bool)
    valid[100:200] = False
    wild = noise.copy()
    wild[:, 100:200] = 1
    with_gap, _ = op.step(Chunk(wild, valid), op.start())
    without, _ = op.step(Chunk.of(np.delete(noise, slice(100, 200), 1)), op.start())
    np.testing.assert_array_equal(with_gap.values[:, 200:], without.values[:, 100:])


def test_nothing_valid_yet_gives_zeros(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Normalise().bind(eeg)
    out, _ = op.step(Chunk(noise, np.zeros(2000, bool)), op.start())
    assert (out.values == 0).all()


def test_what_is_scaled_by_itself_has_no_unit(eeg: SignalSpec) -> None:
    for op in (Normalise(), Align()):
        assert op.bind(eeg).output.units == ("",) * 5
    after = chain([Normalise(), Bandpass(low_hz=1), Scale(gain=2), BandPowers()], eeg)
    assert set(after.output.units) == {""}
