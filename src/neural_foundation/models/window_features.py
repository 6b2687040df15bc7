"""Numbers that describe a window of EEG: per channel, over channels, and side against side.

Shapes: windows (n, n_chans, n_times); a span is the whole window or its centre; measures (n, n_chans, M) of a span;
features (n, F). All is computed in float64 and then rounded to what float32 holds, so that trees decide the same
wherever their thresholds are kept. The result is a function of each window alone.

Of each channel: `power_<band>` in dB, `share_<band>` of all bands' power, `edge` (95 % of the power lies below),
`centroid`, `entropy` of the spectrum (Welch 1967, 2 s Hann segments, half overlapping; as signals.band_powers and
signals.spectral); `line_length` and `activity` in dB, `mobility`, `complexity`, `kurtosis`, `crossings` (as the signals
of these names); `period` and `rhythm`, where the autocorrelation has its first great peak and how high that is: 1 for
what repeats exactly; `burst_period`, `burst_rhythm`, the same of the slope's envelope, which follows discharges
whatever their shape and sign.

Over channels: `mean` and `spread` (standard deviation). Over those of the left and of the right: `left_right`, the
left's mean less the right's, and `asymmetry`, its size. `all`, `left`, `right`: period and rhythm of the channels' mean
autocorrelation, and `sides:together`, the correlation of the two sides' envelopes: generalised patterns come at once.
A flat channel has -300 dB and 0 for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError, SpecError, one_of
from neural_foundation.core.specs import SignalSpec

from ..signals.estimates import Estimator as Spectrum
from ..signals.estimates import welch
from ..signals.features import decibels

Array = NDArray[Any]
SEGMENT_S = 2.0
EDGE = 0.95
LEAST_TIMES = 16
SLOW_HZ = 64.0  # about the rate at which autocorrelations are computed
LONGEST_S = 2.5  # period that is looked for: 0.4 a second
NEAR = 0.9  # the first peak this near to the highest is the period; its multiples are as high
BATCH_BYTES = 1 << 23  # of float64 signal at a time
PLAIN = ("edge", "centroid", "entropy", "line_length", "activity", "mobility", "complexity", "kurtosis", "crossings")
RHYTHMS = ("period", "rhythm", "burst_period", "burst_rhythm")
_ELECTRODE = re.compile(r"(?:EEG[ _]?)?(?:Fp|AF|FC|FT|F|CP|C|TP|T|PO|P|O|I)(\d{1,2}|z)", re.IGNORECASE)


def sides(ch_names: Sequence[str]) -> tuple[Array, Array]:
    """Return the indices of the left and of the right channels, by their 10-20 or 10-10 names.

    Odd numbers are left, even ones right. A pair such as "Fp1-F7" has a side where both of its electrodes have it;
    in "C3-Ref" and "C3-A2" the one on the head decides. Other names, the midline and pairs across it have none.
    """
    side = [_side(name) for name in ch_names]
    return np.flatnonzero([s == 1 for s in side]), np.flatnonzero([s == 0 for s in side])


def _side(name: str) -> int | None:
    found = [m[1] for part in name.split("-") if (m := _ELECTRODE.fullmatch(part.strip()))]
    of_each = {None if number in "zZ" else int(number) % 2 for number in found}
    return of_each.pop() if len(of_each) == 1 else None


class WindowFeatures:
    """What is measured of windows of one signal; `names` are those of the features, in order.

    Parameters
    ----------
    signal : of the windows. bands : [low, high) in Hz by name, in any order: the features are in that of their edges.
        They are cut at half the sampling rate, and those above it are left out. crop_s : also measure the central
        seconds, as `centre_...`. per_channel : give each channel's own measures, not those over channels alone.

    Raises SpecError where no band is left, or one holds no frequency of the spectrum.
    """

    def __init__(
        self,
        signal: SignalSpec,
        *,
        bands: Mapping[str, tuple[float, float]],
        crop_s: float | None = None,
        per_channel: bool = True,
    ) -> None:
        half = signal.sfreq / 2
        ordered = sorted(bands.items(), key=lambda b: (b[1], b[0]))  # as given is not as read back from a file
        self.bands = {name: (low, min(high, half)) for name, (low, high) in ordered if low < half}
        if not self.bands:
            raise SpecError(
                f"No band lies in a signal of {signal.sfreq:g} samples a second", allowed=f"bands below {half:g} Hz"
            )
        self.n_fft = max(round(SEGMENT_S * signal.sfreq), LEAST_TIMES)
        hz = np.fft.rfftfreq(self.n_fft, 1 / signal.sfreq)
        self._inside = np.array([(hz >= low) & (hz < high) for low, high in self.bands.values()])
        if not self._inside.any(1).all():
            empty = [name for name, inside in zip(self.bands, self._inside, strict=True) if not inside.any()]
            raise SpecError(
                f"No frequency of the spectrum lies in band {one_of(empty)}", allowed=f"steps of {hz[1]:g} Hz"
            )
        self.signal, self.crop_s = signal, crop_s
        self.per_channel = per_channel or signal.n_chans == 1
        self.left, self.right = sides(signal.ch_names)
        self.sided = bool(len(self.left) and len(self.right))
        self.measures = (*(f"{w}_{b}" for w in ("power", "share") for b in self.bands), *PLAIN, *RHYTHMS)
        self.block = max(1, round(signal.sfreq / SLOW_HZ))
        spans = ("", "centre_") if crop_s else ("",)
        self.names = tuple(f"{who}:{span}{what}" for span in spans for who, what in self._of_a_span())
        self._spectra: dict[int, tuple[Spectrum, Array]] = {}

    def __call__(self, windows: Array) -> NDArray[np.float64]:
        """Return the features (n, F); DataError where windows are shorter than 16 samples or than `crop_s`."""
        n, n_chans, n_times = windows.shape
        centre = self._centre(n_times)
        size = max(1, BATCH_BYTES // (8 * n_chans * n_times))
        out = np.empty((n, len(self.names)))
        for at in range(0, n, size):
            signal = np.asarray(windows[at : at + size], np.float64)
            parts = [self._span(signal)] + ([self._span(signal[..., centre])] if self.crop_s else [])
            out[at : at + size] = np.concatenate(parts, -1)
        return out.astype(np.float32).astype(np.float64)

    def _centre(self, n_times: int) -> slice:
        crop = n_times if self.crop_s is None else round(self.crop_s * self.signal.sfreq)
        if crop > n_times or min(crop, n_times) < LEAST_TIMES:
            seconds = f" and crop_s={self.crop_s:g} s" if self.crop_s else ""
            raise DataError(
                f"Windows have {n_times} samples at {self.signal.sfreq:g} Hz",
                allowed=f"at least {LEAST_TIMES} samples{seconds}",
                remedy="Give longer windows",
            )
        first = (n_times - crop) // 2
        return slice(first, first + crop)

    def _of_a_span(self) -> list[tuple[str, str]]:
        over: tuple[str, ...] = ("mean", "spread") if self.signal.n_chans > 1 else ()
        over += ("left_right", "asymmetry") if self.sided else ()
        who = (*(self.signal.ch_names if self.per_channel else ()), *over)
        rows = [(w, m) for w in who for m in self.measures]
        rows += [(region, r) for region in self._regions() for r in RHYTHMS]
        return rows + ([("sides", "together")] if self.sided else [])

    def _regions(self) -> dict[str, Array]:
        every = {"all": np.arange(self.signal.n_chans)} if self.signal.n_chans > 1 else {}
        return {**every, **({"left": self.left, "right": self.right} if self.sided else {})}

    def _span(self, signal: Array) -> Array:
        """Return the features (n, F of a span)."""
        x = signal - signal[..., :1]  # a constant is 0 before its mean is taken, without a rest
        x -= x.mean(-1, keepdims=True)
        slow, bursts = self._autocorrelations(x)
        envelope = bursts[1]
        measures = np.concatenate([self._spectral(x), self._temporal(x), self._rhythms(slow[0], bursts[0])], -1)
        parts = [measures] if self.per_channel else []
        parts += self._over_channels(measures)
        flat = [p.reshape(len(x), -1) for p in parts]
        flat += [self._rhythms(slow[0][:, of].mean(1), bursts[0][:, of].mean(1)) for of in self._regions().values()]
        if self.sided:
            flat.append(_correlation(envelope[:, self.left].mean(1), envelope[:, self.right].mean(1))[:, None])
        return np.concatenate(flat, -1)

    def _over_channels(self, measures: Array) -> list[Array]:
        over = [measures.mean(1), measures.std(1)] if self.signal.n_chans > 1 else []
        if self.sided:
            difference = measures[:, self.left].mean(1) - measures[:, self.right].mean(1)
            over += [difference, np.abs(difference)]
        return over

    def _spectral(self, x: Array) -> Array:
        """Return powers, shares, edge, centroid and entropy, (n, n_chans, 2 n_bands + 3)."""
        spectrum, inside = self._spectrum(x.shape[-1])
        density, hz = spectrum.density(x), spectrum.hz
        power = np.stack([density[..., i].sum(-1) for i in inside], -1) * (spectrum.sfreq / spectrum.n_fft)
        share = _over(density, density.sum(-1, keepdims=True))
        below = (np.cumsum(share, -1) < EDGE - 1e-12).sum(-1)
        edge = np.where(share.any(-1), hz[np.minimum(below, len(hz) - 1)], 0.0)
        entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(-1) / np.log(max(2, len(hz)))
        shares = _over(power, power.sum(-1, keepdims=True))
        return np.concatenate([decibels(power), shares, np.stack([edge, (share * hz).sum(-1), entropy], -1)], -1)

    def _spectrum(self, n_times: int) -> tuple[Spectrum, Array]:
        """Return the estimator of the bands' range, and which of its frequencies lie in each band."""
        if n_times not in self._spectra:
            whole = welch(n_times, self.signal.sfreq, min(self.n_fft, n_times), self.n_fft)
            kept = whole.keep(np.asarray(self._inside.any(0)))
            self._spectra[n_times] = kept, self._inside[:, np.isin(whole.hz, kept.hz)]
        return self._spectra[n_times]

    def _temporal(self, x: Array) -> Array:
        """Return line length to crossings, (n, n_chans, 6), of centred signals."""
        sfreq, n_times = self.signal.sfreq, x.shape[-1]
        slope = np.diff(x)
        length = np.abs(slope).sum(-1) * (sfreq / (n_times - 1))
        square = x * x
        m2, m4 = square.mean(-1), (square * square).mean(-1)
        first, second = _variance(slope), _variance(np.diff(slope))
        mobility = np.sqrt(_over(first, m2))
        complexity = _over(np.sqrt(_over(second, first)), mobility)
        kurtosis = np.where(m2 > 0, _over(m4, m2 * m2) - 3, 0.0)
        above = x >= 0
        crossings = (above[..., 1:] != above[..., :-1]).sum(-1) * (sfreq / (n_times - 1))
        made = [decibels(length * length), decibels(m2), mobility * sfreq, complexity, kurtosis, crossings]
        return np.stack(made, -1)

    def _autocorrelations(self, x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Return the autocorrelation and what it is of, for the signal in blocks and for its slope's envelope."""
        slope = np.abs(np.diff(x, prepend=x[..., :1]))
        return self._autocorrelation(x), self._autocorrelation(slope)

    def _autocorrelation(self, x: Array) -> tuple[Array, Array]:
        """Return (n, n_chans, 1 + lags), 1 at lag 0 and 0 for what is flat, and the centred means of blocks."""
        from scipy.fft import irfft, next_fast_len, rfft

        blocks = x.shape[-1] // self.block
        means = x[..., : blocks * self.block].reshape(*x.shape[:-1], blocks, self.block).sum(-1)
        means -= means.mean(-1, keepdims=True)
        lags = min(int(LONGEST_S * self.signal.sfreq / self.block) + 1, blocks // 2)
        spectrum = rfft(means, next_fast_len(blocks + lags, real=True))
        power = spectrum.real**2 + spectrum.imag**2
        product = irfft(power, next_fast_len(blocks + lags, real=True))[..., : lags + 1]
        product *= blocks / (blocks - np.arange(lags + 1))
        flat = product[..., :1] <= 1e-12 * blocks * np.square(x).mean(-1, keepdims=True)
        return np.where(flat, 0.0, _over(product, np.where(flat, 0.0, product[..., :1]))), means

    def _rhythms(self, slow: Array, bursts: Array) -> Array:
        """Return period and height of both autocorrelations, (..., 4)."""
        made = [m for r in (slow, bursts) for m in first_peak(r, self.block / self.signal.sfreq)]
        return np.stack(made, -1)


def first_peak(autocorrelation: Array, lag_s: float) -> tuple[Array, Array]:
    """Return where (in seconds) an autocorrelation (..., 1 + lags) has its period, and its height there.

    The first local maximum above 0 of at least 0.9 times the highest one, its place by a parabola through three
    points; (0, 0) where there is none.
    """
    r = autocorrelation
    if r.shape[-1] < 4:
        return np.zeros(r.shape[:-1]), np.zeros(r.shape[:-1])
    before, here, after = r[..., 1:-2], r[..., 2:-1], r[..., 3:]
    found = (here >= before) & (here > after) & (here > 0)
    bend = np.where(found, before - 2 * here + after, -1.0)
    shift = 0.5 * (before - after) / bend
    height = np.where(found, np.minimum(here - 0.25 * (before - after) * shift, 1.0), 0.0)
    highest = height.max(-1, keepdims=True)
    at = (found & (height >= NEAR * highest)).argmax(-1)[..., None]
    height, shift = (np.take_along_axis(v, at, -1)[..., 0] for v in (height, shift))
    return np.where(height > 0, (2 + at[..., 0] + shift) * lag_s, 0.0), height


def _over(above: Array, below: Array) -> Array:
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), 0.0))


def _variance(x: Array) -> Array:
    x = x - x.mean(-1, keepdims=True)
    return np.asarray((x * x).mean(-1))


def _correlation(a: Array, b: Array) -> Array:
    size = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return _over((a * b).sum(-1), size)
