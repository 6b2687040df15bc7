"""The quality of a signal at a glance, from evenly spaced pieces of it: bounded memory and time, however long it is.

Shapes: a piece (n_chans, n) float32; per channel (n_chans,); spectra (n_chans, n_freqs); by piece (n_chans, n_pieces).

Definitions:
- range: the middle 95 % of the samples, in the unit of the channel.
- flat: share of the time in runs of equal samples of 0.1 s and 8 samples or more.
- clipped: share of the samples that stay at the channel's largest or smallest value for 3 samples or more.
- line: power density within 1 Hz of the mains frequency over that 2 to 5 Hz away from it; 1 is no line noise.
- missing: share of the samples that are not finite or that the file marks as not valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...recordings import Signal

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PIECES, PIECE_S, SHORTEST_S, LEAST_SAMPLES = 48, 4.0, 2.0, 256
BUDGET_BYTES = 48 << 20  # of samples held at once
FLAT_S, FLAT_SAMPLES, CLIPPED_SAMPLES = 0.1, 8, 3
SEGMENT_S, MAX_HZ = 2.0, 500.0
MAINS_HZ = (50.0, 60.0)


@dataclass(frozen=True)
class Quality:
    """What the pieces of one signal say; NaN where they cannot tell.

    low, high, flat, clipped, missing : (n_chans,). line : mains frequency -> (n_chans,) ratios. freqs, density :
    (n_freqs,) and (n_chans, n_freqs), unit squared per Hz, up to 500 Hz. piece_start_s : (n_pieces,). piece_sd :
    (n_chans, n_pieces), the standard deviation. seconds : how much was read. whole : whether that is everything.
    """

    low: Floats
    high: Floats
    flat: Floats
    clipped: Floats
    missing: Floats
    line: dict[float, Floats]
    freqs: Floats
    density: Floats
    piece_start_s: Floats
    piece_sd: Floats
    seconds: float
    whole: bool

    @property
    def n_pieces(self) -> int:
        return len(self.piece_start_s)


def quality(signal: Signal, *, pieces: int = PIECES) -> Quality:
    """Return the quality of a signal from at most `pieces` evenly spaced pieces of it; raises what reading raises."""
    spans = evenly(signal, pieces)
    read = [_piece(signal, a, b) for a, b in spans]
    low, high, least, largest = _levels(read, signal.spec.n_chans)
    flat, clipped, missing = (np.zeros(signal.spec.n_chans) for _ in range(3))
    for values, ok in read:
        flat += _flat(values, ok, signal.spec.sfreq)
        clipped += _clipped(values, ok, least, largest)
        missing += (~ok).sum(1)
    n = max(1, sum(b - a for a, b in spans))
    freqs, density = spectra(read, signal.spec.n_chans, signal.spec.sfreq)
    return Quality(
        low,
        high,
        flat / n,
        clipped / n,
        missing / n,
        {hz: line_ratio(freqs, density, hz, signal.spec.sfreq) for hz in MAINS_HZ},
        freqs,
        density,
        signal.start_s + np.array([a for a, _ in spans]) / signal.spec.sfreq,
        np.stack([_sd(v, ok) for v, ok in read], 1) if read else np.zeros((signal.spec.n_chans, 0)),
        n / signal.spec.sfreq if spans else 0.0,
        sum(b - a for a, b in spans) == signal.n_times,
    )


def evenly(signal: Signal, pieces: int = PIECES) -> list[tuple[int, int]]:
    """Return the samples [start, stop) of at most `pieces` pieces: the whole signal where that is little enough."""
    rate, n_times = signal.spec.sfreq, signal.n_times
    bound = max(1, BUDGET_BYTES // (4 * signal.spec.n_chans * pieces))
    wanted = min(max(n_times / pieces, SHORTEST_S * rate), PIECE_S * rate)
    length = min(max(round(wanted), LEAST_SAMPLES), bound)
    if n_times <= length * pieces:
        edges = np.linspace(0, n_times, -(-n_times // length) + 1).round().astype(np.int64).tolist()
        return list(zip(edges[:-1], edges[1:], strict=True))
    starts = np.linspace(0, n_times - length, pieces).astype(np.int64).tolist()
    return [(a, a + length) for a in starts]


def valid_share(signal: Signal) -> float:
    """Return which share of the samples the file says can be trusted; of a very long signal, of pieces of it."""
    spans = evenly(signal)
    if signal.n_times <= 1 << 28:
        spans = [(a, min(a + (1 << 20), signal.n_times)) for a in range(0, signal.n_times, 1 << 20)]
    counts = [int(signal.valid(a, b).sum()) for a, b in spans]
    return sum(counts) / max(1, sum(b - a for a, b in spans))


def _piece(signal: Signal, start: int, stop: int) -> tuple[Any, Mask]:
    values = signal.read(start, stop)
    return values, np.isfinite(values) & signal.valid(start, stop)


def _levels(read: list[tuple[Any, Mask]], n_chans: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the ends of the middle 95 %, and the extremes, of each channel."""
    out = np.full((4, n_chans), np.nan)
    for channel in range(n_chans):
        held = [values[channel][ok[channel]] for values, ok in read]
        joined = np.concatenate(held) if held else np.zeros(0)
        if len(joined):
            low, high = np.percentile(joined, [2.5, 97.5])
            out[:, channel] = low, high, joined.min(), joined.max()
    return out[0], out[1], out[2], out[3]


def _flat(values: Any, ok: Mask, sfreq: float) -> Floats:
    """Return the samples of each channel in runs of equal ones."""
    equal = (values[:, 1:] == values[:, :-1]) & ok[:, 1:] & ok[:, :-1]
    return _in_runs(equal, max(FLAT_SAMPLES, round(FLAT_S * sfreq)) - 1, extra=1)


def _clipped(values: Any, ok: Mask, least: Floats, largest: Floats) -> Floats:
    """Return the samples of each channel that stay at one of its extremes; a channel of one value has none."""
    varies = (largest > least)[:, None]
    low, high = (_in_runs((values == end[:, None]) & ok & varies, CLIPPED_SAMPLES) for end in (least, largest))
    return low + high


def _in_runs(mask: Mask, least: int, extra: int = 0) -> Floats:
    """Return how many True of each row lie in runs of `least` or more, and `extra` more a run."""
    rows, n = mask.shape
    padded = np.zeros((rows, n + 2), np.int8)
    padded[:, 1:-1] = mask
    edges = np.diff(padded.reshape(-1))
    begin, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    length = end - begin
    long = length >= least
    held = np.bincount(begin[long] // (n + 2), weights=length[long] + extra, minlength=rows)
    return np.asarray(held, np.float64)


def _sd(values: Any, ok: Mask) -> Floats:
    """Return the standard deviation of each channel, NaN where half of it or more is missing."""
    count = ok.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(ok, values, 0).sum(1, dtype=np.float64) / count
        square = (np.where(ok, values - mean[:, None], 0) ** 2).sum(1, dtype=np.float64) / count
    sd: Floats = np.where(count * 2 > ok.shape[1], np.sqrt(square), np.nan)
    return sd


def spectra(read: list[tuple[Any, Mask]], n_chans: int, sfreq: float) -> tuple[Floats, Floats]:
    """Return frequencies (n_freqs,) and power densities (n_chans, n_freqs): Hann windows of 2 s, averaged (Welch 1967).

    A segment counts for a channel that misses nothing in it; a channel without any is NaN. One-sided, mean removed.
    """
    size = min(max(2, round(SEGMENT_S * sfreq)), max((values.shape[1] for values, _ in read), default=0))
    freqs: Floats = np.asarray(np.fft.rfftfreq(max(size, 2), 1 / sfreq), np.float64)
    keep = freqs <= MAX_HZ
    total, count = np.zeros((n_chans, int(keep.sum()))), np.zeros(n_chans)
    window = np.hanning(size + 1)[:-1]
    for part, ok in _segments(read, size):
        part = np.where(ok, part, 0.0).astype(np.float64)
        power = np.abs(np.fft.rfft((part - part.mean(1, keepdims=True)) * window, axis=1)[:, keep]) ** 2
        whole = ok.all(1)
        total[whole] += 2 * power[whole] / (sfreq * (window**2).sum())
        count += whole
    with np.errstate(invalid="ignore", divide="ignore"):
        return freqs[keep], total / count[:, None]


def _segments(read: list[tuple[Any, Mask]], size: int) -> Iterator[tuple[Any, Mask]]:
    if size < 8:
        return
    for values, ok in read:
        for at in range(0, values.shape[1] - size + 1, size):
            yield values[:, at : at + size], ok[:, at : at + size]


def line_ratio(freqs: Floats, density: Floats, hz: float, sfreq: float) -> Floats:
    """Return the line noise of each channel at `hz`; NaN where the rate or the resolution cannot show it."""
    away = np.abs(freqs - hz)
    near, around = away <= 1.0, (away >= 2.0) & (away <= 5.0)
    resolved = len(freqs) > 1 and freqs[1] <= 1.01
    if hz + 1 >= sfreq / 2 or not resolved or not around.any():
        return np.full(len(density), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(density[:, near].mean(1) / density[:, around].mean(1), np.float64)
