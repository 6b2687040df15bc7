"""Band-pass against scipy and MNE."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import INFINITE, Chunk, run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.bandpass import Bandpass

FS = 250.0


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.sqrt(np.mean(want**2)))


@pytest.mark.parametrize(("low", "high", "kind"), [(1, 40, "bandpass"), (1, None, "highpass"), (None, 40, "lowpass")])
def test_iir_is_sosfilt(eeg: SignalSpec, noise: np.ndarray, low: float, high: float, kind: str) -> None:
    got = run(Bandpass(low_hz=low, high_hz=high, settle=False).bind(eeg), noise)
    edges = [low, high] if kind == "bandpass" else low or high
    sos = ss.butter(4, edges, kind, fs=FS, output="sos")
    assert relative(got.values, ss.sosfilt(sos, noise.astype(float))) < 1e-6
    assert got.valid.all()


def test_iir_settles_on_the_first_value(eeg: SignalSpec, noise: np.ndarray) -> None:
    sos = ss.butter(4, [1, 40], "bandpass", fs=FS, output="sos")
    x = noise.astype(float)
    want, _ = ss.sosfilt(sos, x, zi=ss.sosfilt_zi(sos)[:, None] * x[:, :1][None])
    got = run(Bandpass(low_hz=1, high_hz=40).bind(eeg), noise)
    assert relative(got.values, want) < 1e-6
    assert np.abs(got.values).max() < 5e-5  # the offset of 1 mV is no step


def test_iir_settles_on_the_first_valid_value(eeg: SignalSpec, noise: np.ndarray) -> None:
    late = noise.copy()
    late[:, :100] = np.nan
    op = Bandpass(low_hz=1, high_hz=40).bind(eeg)
    got, _ = op.step(Chunk.of(late), op.start())
    assert (got.values[:, :100] == 0).all()
    np.testing.assert_array_equal(got.values[:, 100:], run(op, noise[:, 100:]).values)


def test_a_long_flat_line_ends_in_exact_zeros(eeg: SignalSpec) -> None:
    values = np.zeros((5, 60_000), np.float32)
    values[:, 0] = 1e-4
    op = Bandpass(low_hz=1, high_hz=40, settle=False).bind(eeg)
    state = op.step(Chunk.of(values), op.start())[1]
    filled = state["memory"][: 8 * 5]  # 4 sections x 2 numbers x 5 channels; the settled flag comes after
    assert not filled.any()  # denormal numbers would linger


def test_linear_fir_is_a_convolution_with_held_ends(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Bandpass(low_hz=4, high_hz=40, method="fir").bind(eeg)
    taps, half = op.taps, len(op.taps) // 2  # type: ignore[attr-defined]
    padded = np.pad(noise.astype(float), ((0, 0), (half, half)), mode="edge")
    want = np.stack([np.convolve(row, taps, "valid") for row in padded])
    assert op.lookahead_s == pytest.approx(half / FS)
    assert relative(run(op, noise).values, want) < 1e-6
    assert relative(run(op, noise, block=33).values, want) < 1e-6  # without FFT


def test_linear_fir_has_mnes_length_and_passband(eeg: SignalSpec, noise: np.ndarray) -> None:
    ours = run(Bandpass(low_hz=4, high_hz=40, method="fir").bind(eeg), noise).values
    theirs = mne.filter.filter_data(noise.astype(float) - 1e-3, FS, 4, 40, verbose="error")
    middle = slice(500, 1500)
    assert relative(ours[:, middle], theirs[:, middle]) < 1e-4


@pytest.mark.parametrize("phase", ["linear", "minimum"])
def test_fir_leaves_nothing_of_an_offset(eeg: SignalSpec, phase: str) -> None:
    op = Bandpass(low_hz=4, high_hz=40, method="fir", phase=phase).bind(eeg)  # type: ignore[arg-type]
    got = run(op, np.full((5, 1500), 0.05, np.float32))  # 50 mV
    assert np.abs(got.values).max() < 1e-6


def test_minimum_phase_fir_keeps_the_magnitude_without_delay(eeg: SignalSpec) -> None:
    linear = Bandpass(high_hz=40, method="fir").bind(eeg)
    minimum = Bandpass(high_hz=40, method="fir", phase="minimum").bind(eeg)
    assert minimum.lookahead_s == 0
    responses = [np.abs(ss.freqz(op.taps, worN=512)[1]) for op in (linear, minimum)]  # type: ignore[attr-defined]
    assert np.abs(responses[0] - responses[1]).max() < 0.01
    energy = np.cumsum(minimum.taps**2)  # type: ignore[attr-defined]
    assert np.searchsorted(energy, 0.5 * energy[-1]) < len(minimum.taps) // 10  # type: ignore[attr-defined]


def test_minimum_phase_fir_is_a_causal_convolution(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Bandpass(high_hz=40, method="fir", phase="minimum").bind(eeg)
    taps = op.taps  # type: ignore[attr-defined]
    padded = np.pad(noise.astype(float), ((0, 0), (len(taps) - 1, 0)), mode="edge")
    want = np.stack([np.convolve(row, taps, "valid") for row in padded])
    assert relative(run(op, noise).values, want) < 1e-6


def test_fir_validity_follows_the_samples_beside_it(eeg: SignalSpec, noise: np.ndarray) -> None:
    valid = np.ones(2000, bool)
    valid[500:510] = False
    op = Bandpass(high_hz=40, method="fir").bind(eeg)
    first, state = op.step(Chunk(noise, valid), op.start())
    got = np.concatenate([first.valid, op.flush(state).valid])
    np.testing.assert_array_equal(np.flatnonzero(~got), np.arange(499, 511))


def test_zero_phase_is_sosfiltfilt(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Bandpass(low_hz=1, high_hz=40, method="zero_phase").bind(eeg)
    sos = ss.butter(4, [1, 40], "bandpass", fs=FS, output="sos")
    assert op.lookahead_s == INFINITE
    want = ss.sosfiltfilt(sos, noise.astype(float), padlen=27)
    assert relative(run(op, noise).values, want) < 1e-6
    assert run(op, noise[:, :1]).n_times == 1
    assert run(op, noise[:, :0]).n_times == 0


def test_an_edge_at_nyquist_is_refused(eeg: SignalSpec) -> None:
    with pytest.raises(
        SignalMismatchError, match=r"high_hz=125 is not below .*\(sfreq=250 Hz\). Allowed: high_hz < 125"
    ):
        Bandpass(high_hz=125).bind(eeg)
    with pytest.raises(SignalMismatchError, match="low_hz=200"):
        Bandpass(low_hz=200, method="fir").bind(eeg)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give low_hz, high_hz or both"),
        ({"low_hz": 40, "high_hz": 1}, "low_hz=40 must be below high_hz=1"),
        ({"low_hz": 1, "phase": "minimum"}, "phase 'minimum' belongs to method 'fir'"),
        ({"low_hz": 0}, "greater than 0"),
        ({"low_hertz": 1}, "Did you mean 'low_hz'"),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse({"kind": "bandpass", **fields})


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize(("low", "high", "kind"), [(1, None, "highpass"), (None, 40, "lowpass")])
def test_zero_phase_pads_as_scipy_does_at_every_order(
    eeg: SignalSpec, noise: np.ndarray, order: int, low: float | None, high: float | None, kind: str
) -> None:
    got = run(Bandpass(low_hz=low, high_hz=high, order=order, method="zero_phase").bind(eeg), noise)
    sos = ss.butter(order, low or high, kind, fs=FS, output="sos")
    assert relative(got.values, ss.sosfiltfilt(sos, noise.astype(float))) < 1e-6


def test_a_minimum_phase_filter_leaves_nothing_of_an_offset(eeg: SignalSpec) -> None:
    op = Bandpass(low_hz=1, high_hz=40, method="fir", phase="minimum").bind(eeg)
    assert np.abs(run(op, np.full((5, 2000), 0.1, np.float32)).values).max() < 1e-12
