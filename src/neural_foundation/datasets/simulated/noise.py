"""What time courses an EEG is made of: coloured noise, rhythms, blinks, muscle bursts, the power line, drift.

Shapes: time courses (n_times,) or (n, n_times). Each function takes a generator of its own, so leaving one component
out leaves the others as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]
Complex = NDArray[np.complex128]
Rng = np.random.Generator


def frequencies(n_times: int, sfreq: float) -> Float:
    """Return the frequencies in Hz (n_freqs,) on which `coloured` wants its spectrum."""
    return np.asarray(np.fft.rfftfreq(_fast_length(n_times), 1 / sfreq))


def coloured(rng: Rng, n: int, n_times: int, amplitude: Float) -> Float32:
    """Return `n` Gaussian time courses (n, n_times) of unit variance whose amplitude spectrum has the given shape.

    amplitude : (n_freqs,) or (n, n_freqs), on `frequencies(n_times, sfreq)`; its scale does not matter.
    Source: Timmer and Koenig 1995, Astron Astrophys 300:707 (normal real and imaginary parts, shaped).
    """
    length = _fast_length(n_times)
    shape = (n, length // 2 + 1)
    inner = np.array(np.atleast_2d(amplitude), np.float64)
    inner[:, [0, -1]] = 0.0  # no mean and no Nyquist bin: every bin left counts twice
    gain = (inner / np.sqrt((inner**2).sum(1, keepdims=True))).astype(np.float32)
    spectrum = (rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)) * gain
    values = np.fft.irfft(spectrum, length, axis=1)[:, :n_times]
    return np.asarray(values * np.float32(length / 2), np.float32)


def narrowband(rng: Rng, n_times: int, sfreq: float, hz: float, width_hz: float) -> Complex:
    """Return the analytic signal (n_times,) of a Gaussian rhythm; its real part has unit variance.

    The spectrum is a Gaussian around `hz` with standard deviation `width_hz`: |.| is the envelope and waxes and wanes
    over about 1 / (2 pi width_hz) seconds, as spontaneous rhythms do.
    """
    length = _fast_length(n_times)
    freqs = np.fft.fftfreq(length, 1 / sfreq)
    gain = np.exp(-0.5 * ((freqs - hz) / width_hz) ** 2) * (freqs > 0)
    noise = rng.standard_normal(length) + 1j * rng.standard_normal(length)
    return np.asarray(np.fft.ifft(noise * gain)[:n_times] * length / np.sqrt((gain**2).sum()))


def slow(rng: Rng, n: int, n_times: int, sfreq: float, width_hz: float) -> Float32:
    """Return `n` smooth fluctuations (n, n_times) of unit variance, nothing much faster than `width_hz`."""
    return coloured(rng, n, n_times, np.exp(-0.5 * (frequencies(n_times, sfreq) / width_hz) ** 2))


def poisson_times(rng: Rng, total_s: float, per_minute: float, apart_s: float) -> Float:
    """Return random onsets in seconds, at least `apart_s` apart, at `per_minute` on average."""
    mean_gap = max(60.0 / per_minute - apart_s, 0.0)
    gaps = apart_s + rng.exponential(mean_gap, int(2 * total_s / apart_s) + 2)
    onsets = np.cumsum(gaps)
    return np.asarray(onsets[onsets < total_s])


def blink_course(onset_s: Float, amplitude: Float, n_times: int, sfreq: float) -> Float32:
    """Return blinks (n_times,) of the given peak amplitudes: up in about 0.1 s, down over 0.25 s."""
    time = np.arange(int(0.6 * sfreq)) / sfreq
    shape = (time / 0.1) ** 2 * np.exp(2 * (1 - time / 0.1))  # a gamma curve, 1 at 0.1 s
    return _placed(onset_s, [a * shape for a in amplitude], n_times, sfreq)


def muscle_course(rng: Rng, onset_s: Float, duration_s: Float, n_times: int, sfreq: float) -> Float32:
    """Return bursts (n_times,) of 20-100 Hz noise, unit variance at the middle of each burst."""
    freqs = frequencies(n_times, sfreq)
    noise = coloured(rng, 1, n_times, ((freqs > 20) & (freqs < min(100.0, 0.48 * sfreq))).astype(np.float64))[0]
    windows = [np.hanning(max(int(d * sfreq), 3)) for d in duration_s]
    return np.asarray(np.minimum(_placed(onset_s, windows, n_times, sfreq), 1.0) * noise, np.float32)


def line_course(rng: Rng, n_times: int, sfreq: float, hz: float) -> Complex:
    """Return exp(i phase) (n_times,) of a power line whose phase drifts by about 0.2 rad over a second."""
    drift = np.cumsum(rng.standard_normal(n_times)) * 0.2 / np.sqrt(sfreq)
    return np.asarray(np.exp(1j * (2 * np.pi * hz * np.arange(n_times) / sfreq + drift)))


def _placed(onset_s: Float, shapes: list[Float], n_times: int, sfreq: float) -> Float32:
    course = np.zeros(n_times, np.float32)
    for onset, shape in zip(onset_s, shapes, strict=True):
        start = int(round(onset * sfreq))
        stop = min(start + len(shape), n_times)
        course[start:stop] += shape[: stop - start].astype(np.float32)
    return course


def _fast_length(n_times: int) -> int:
    from scipy.fft import next_fast_len

    return 2 * int(next_fast_len((n_times + 1) // 2, real=True))
