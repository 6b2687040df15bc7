"""What a further day does to a recording, with known truth: other gains, contacts, places, clocks, lost channels.

Shapes: values (n_chans, n_times). Only EEG channels change (all, where a signal names no types). Each part draws from
a generator named by (seed, part), so leaving one part out leaves the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, SignalMismatchError
from ...core.seeds import generator
from ...core.specs import SignalSpec, Spec
from . import noise

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
LOADING_V = 100e-6  # a contact with so much noise halves what it lets through
_HEADS_M = (0.03, 0.3)
_FINEST = 10_000  # largest denominator of a clock's ratio


class Change(Spec):
    """How a day differs from the one before; the defaults change nothing.

    - gain_sd: each channel's gain is exp(gain_sd z), z standard normal.
    - impedance_v: each channel's contact adds noise of r volts RMS, half of its power white and half 1/f (flat below
      0.5 Hz). r^2 is exponential over channels with mean impedance_v^2: few contacts are bad, most are not. The same
      contact lets 1 / (1 + r / 100 uV) of the signal through, as a divider with the amplifier's input does.
    - shift_m: the whole cap turned about the middle of the head so that a point at the top moves so far, towards a
      direction drawn at random. What the electrodes show at their new places is interpolated from the old ones by
      spherical splines (Perrin et al. 1989); beyond the rim of the cap it is extrapolated.
    - rate: the device takes `rate` samples where its declared rate promises one.
    - lost: so many channels, drawn at random, are 0 V.
    """

    gain_sd: float = Field(0.0, ge=0, le=3, description="spread of the logarithm of the gains")
    impedance_v: float = Field(0.0, ge=0, le=1e-2, description="contact noise, volts RMS over channels")
    shift_m: float = Field(0.0, ge=0, le=0.1, description="how far the cap moved, metres")
    rate: float = Field(1.0, ge=0.5, le=2, description="true sampling rate over the declared one")
    lost: int = Field(0, ge=0, description="channels that went flat")


@dataclass(frozen=True, eq=False)
class Effect:
    """What a change was for each channel: the truth.

    gain, noise_v, attenuation : (n_chans,), 1, 0 and 1 for channels that are not EEG. mixing : (n_chans, n_chans),
    new potentials from old ones. lost : indices of channels, ascending.
    """

    gain: Float
    noise_v: Float
    attenuation: Float
    mixing: Float
    lost: NDArray[np.int64]


def effect(signal: SignalSpec, change: Change, *, seed: int) -> Effect:
    """Return what `changed` does to each channel of that signal.

    DataError where more channels are lost than there are; SignalMismatchError where a cap moves whose electrodes have
    no positions, or none in metres.
    """
    from ...signals.blocks import eeg_of

    eeg, n = np.array(eeg_of(signal), np.int64), signal.n_chans
    if change.lost > len(eeg):
        raise DataError(f"lost={change.lost} of {len(eeg)} EEG channels", allowed=f"0 to {len(eeg)}")
    gain, noise_v = np.ones(n), np.zeros(n)
    gain[eeg] = np.exp(change.gain_sd * _rng(seed, "gain").standard_normal(len(eeg)))
    noise_v[eeg] = change.impedance_v * np.sqrt(_rng(seed, "impedance").standard_exponential(len(eeg)))
    lost = np.sort(_rng(seed, "lost").permutation(eeg)[: change.lost])
    return Effect(gain, noise_v, 1 / (1 + noise_v / LOADING_V), _mixing(signal, eeg, change.shift_m, seed), lost)


def changed(
    values: NDArray[np.floating], signal: SignalSpec, change: Change, *, seed: int, from_s: float = 0.0
) -> Float32:
    """Return the recording (n_chans, n_times) float32 with the change from `from_s` on; `values` stay as they are.

    A faster clock shows less of the recording, and what it does not show is left out at the end. A slower one runs out
    of recording; what it then shows is the recording backwards from its end.
    """
    _check(values, signal, from_s)
    at = min(round(from_s * signal.sfreq), values.shape[1])
    truth = effect(signal, change, seed=seed)
    out = np.array(values, np.float32)
    x = out[:, at:]
    if x.shape[1] == 0 or change == Change():
        return out
    if change.shift_m > 0:
        x = truth.mixing.astype(np.float32) @ x
    x = _clocked(x, change.rate)
    for c, (rms, kept, gain) in enumerate(zip(truth.noise_v, truth.attenuation, truth.gain, strict=True)):
        x[c] = np.float32(gain) * (np.float32(kept) * x[c] + _contact(rms, x.shape[1], signal, seed, c))
    x[truth.lost] = 0.0
    out[:, at:] = x
    return out


def moved_s(time_s: NDArray[np.floating] | float, change: Change, *, from_s: float = 0.0) -> Float:
    """Return when on the declared clock an event of the recording at `time_s` is seen after the change."""
    t = np.asarray(time_s, np.float64)
    return np.asarray(np.where(t > from_s, from_s + (t - from_s) * change.rate, t))


def _check(values: NDArray[np.floating], signal: SignalSpec, from_s: float) -> None:
    if values.ndim != 2 or len(values) != signal.n_chans:
        raise DataError(f"values of shape {values.shape}", allowed=f"({signal.n_chans}, n_times), as the signal says")
    if not from_s >= 0:
        raise DataError(f"from_s={from_s:g}", allowed="0 or later")


def _rng(seed: int, *part: str | int) -> np.random.Generator:
    return generator(seed, "change", *part)


def _mixing(signal: SignalSpec, eeg: NDArray[np.int64], shift_m: float, seed: int) -> Float:
    """Return the identity, or over EEG channels the splines from where they were to where they are."""
    from ...signals.spherical import ORIGIN_M, on_sphere, spline_matrix

    whole = np.eye(signal.n_chans)
    if shift_m == 0:
        return whole
    missing = [signal.ch_names[i] for i in eeg if not signal.positions or signal.positions[i] is None]
    if missing:
        raise SignalMismatchError(
            f"shift_m={shift_m:g}, but no position is known of {', '.join(missing[:5])}",
            remedy="Give positions, or pick the channels that have them",
        )
    before = on_sphere(signal, list(eeg))
    places = np.array([signal.positions[i] for i in eeg], np.float64) - ORIGIN_M
    radius = float(np.linalg.norm(places, axis=1).mean())
    if not _HEADS_M[0] < radius < _HEADS_M[1]:
        raise SignalMismatchError(
            f"shift_m={shift_m:g}, but the electrodes lie {radius:g} m from the middle of the head",
            allowed=f"{_HEADS_M[0]:g} to {_HEADS_M[1]:g} m",
            remedy="Give positions in metres in the head frame",
        )
    angle = shift_m / radius
    whole[np.ix_(eeg, eeg)] = spline_matrix(before, before @ turn(angle, seed).T)
    return whole


def turn(angle: float, seed: int) -> Float:
    """Return the rotation (3, 3) by `angle` about the horizontal axis that the seed draws."""
    azimuth = _rng(seed, "shift").uniform(0, 2 * np.pi)
    x, y = np.cos(azimuth), np.sin(azimuth)
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _clocked(x: Float32, rate: float) -> Float32:
    """Return as many samples as given, taken `rate` times as often."""
    from scipy.signal import resample_poly

    ratio = Fraction(rate).limit_denominator(_FINEST)
    if ratio == 1:
        return x
    n = x.shape[1]
    short = max(0, int(np.ceil(n / rate)) + 1 - n)
    longer = np.pad(x, ((0, 0), (0, short)), "symmetric")
    out = resample_poly(longer, ratio.numerator, ratio.denominator, axis=1, padtype="line")[:, :n]
    return np.asarray(out, np.float32)


def _contact(rms: float, n_times: int, signal: SignalSpec, seed: int, channel: int) -> Float32 | np.float32:
    if rms == 0:
        return np.float32(0)
    n = max(n_times, 64)
    freqs = noise.frequencies(n, signal.sfreq)
    pink = 1 / np.maximum(freqs, 0.5)
    both = np.sqrt(1 / len(freqs) + pink / pink.sum())
    return np.asarray(np.float32(rms) * noise.coloured(_rng(seed, "contact", channel), 1, n, both)[0, :n_times])
