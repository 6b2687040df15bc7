"""Channels that do not show the brain now: flat, noisy, clipped, mains, bridged, disconnected; found and repaired."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, State, Transducer
from .artefacts import FAST_HZ, STUCK_S, STUCK_SAMPLES, between
from .base import SignalOp, below_nyquist
from .blocks import Judged, block_of, eeg_of, in_blocks
from .features import described
from .usual import Banks, Usual, stuck

REASONS = ("flat", "noisy", "clipped", "line", "bridged", "disconnected")
HOP_S, SHORT, LONG, LONGEST, MEMORY_S = 0.25, 4, 12, 40, 60.0
QUIET, STUCK_FLAT, AT_RAILS = 0.1, 0.9, 0.04
LINE_OF_EEG, LINE_DOMINATES, LINE_RISE, LINE_STANDS_OUT = 0.5, 4.0, 2.0, 2.5
BESIDE_HZ = 6.0  # how far from the mains its neighbourhood is heard
SAME_VARIANCE, STRANGER = 0.002, 0.2
ENOUGH = 4  # channels, before one can be compared with the others


class BadChannels(SignalOp):
    """Watches every EEG channel and repairs the bad ones while they are bad; causal.

    Every 0.25 s, from the last second (bridged: 3 s, disconnected: 10 s). `usual` is a running
    median over 60 s (see `usual`); thresholds are ratios, so no unit matters.

    - flat: 9 of 10 samples equal the ones before, or activity of 20 to 40 Hz below 1/10 of the usual and of the median
      channel's.
    - noisy: activity of 20 to 40 Hz above `noise` times the median channel's; or above `noise` times the channel's
      usual, and that ratio 2.5 times the median channel's (so that muscle everywhere is no channel's fault).
    - clipped: more than 4 % of samples at exactly the largest or smallest value of their 0.25 s, without the one that
      every block has, and beyond three times the median channel's share (coarse steps of an amplifier are no rails).
    - line: mains (2 Hz wide) that stands out 2.5 times from 6 Hz beside it (muscle does not), above 4 times the
      activity of 1 to 45 Hz; or above half of it, and above twice what is usual for the channel or 5 times what the
      median channel has.
    - bridged: the difference from another channel has below 0.2 % of the smaller variance (1 to 45 Hz; 4.5 % of the
      amplitude; cf. Alschuler et al. 2014, doi:10.1016/j.clinph.2013.08.024, who use 5 square microvolts or so).
    - disconnected: no correlation with any channel above 0.2 (cf. Bigdely-Shamlo et al. 2015,
      doi:10.3389/fninf.2015.00016, who use 0.4 in most windows of a whole recording).

    What compares channels needs 4 of them. A verdict comes after a part of a second to 3 s (disconnected: 10 s); it
    reaches `lookahead_s` back and lasts `hold_s` longer. Filters before this operation hide clipping, a notch hides
    line. A repaired channel has the offsets of its neighbours: put a high-pass behind, or take its jump for one.
    """

    kind: Literal["bad_channels"] = "bad_channels"
    find: tuple[Literal["flat", "noisy", "clipped", "line", "bridged", "disconnected"], ...] = Field(
        ("flat", "noisy", "clipped", "line", "bridged", "disconnected"), description="which reasons count"
    )
    repair: Literal["none", "interpolate", "zero"] = Field(
        "interpolate", description="spherical splines from the good channels, zeros, or nothing"
    )
    mark: bool = Field(False, description="also clear `valid` while a channel is bad")
    output: Literal["signal", "reasons"] = Field(
        "signal", description="'reasons': per channel the sum of 1 flat, 2 noisy, 4 clipped, 8 line, 16 bridged, ..."
    )
    noise: float = Field(5.0, gt=1, description="ratio of fast activity that is noise")
    mains_hz: float | None = Field(50.0, gt=10, description="50 or 60; None: do not look for it")
    max_bad: float = Field(0.5, gt=0, le=1, description="beyond this share of bad channels the time is invalid")
    lookahead_s: float = Field(0.0, ge=0, description="delay, and how far back a verdict reaches (whole 0.25 s)")
    hold_s: float = Field(1.0, ge=0, description="how much longer a verdict lasts (whole 0.25 s)")

    @property
    def keeps_topography(self) -> bool:
        return self.output == "signal" and self.repair != "zero"

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError without EEG, too slow, or without the positions to interpolate."""
        eeg = eeg_of(signal)
        if not eeg:
            raise SignalMismatchError(
                f"bad_channels: no channel is EEG, the types are {sorted(set(signal.ch_types))}",
                remedy="Correct the channel types, or leave bad_channels out",
            )
        below_nyquist("bad_channels", "mains_hz", self.mains_hz, signal)
        if signal.sfreq < 5 * FAST_HZ[0]:
            raise SignalMismatchError(
                f"bad_channels: {signal.sfreq:g} Hz is too slow",
                allowed=f"sfreq >= {5 * FAST_HZ[0]:g}",
                remedy="Put bad_channels before resample",
            )
        missing = [signal.ch_names[i] for i in eeg if not signal.positions or signal.positions[i] is None]
        if self.repair == "interpolate" and self.output == "signal" and missing:
            raise SignalMismatchError(
                f"bad_channels: no position is known of {', '.join(missing[:5])}",
                remedy="Pick the channels with positions first, or use repair: zero or none",
            )
        return RunningBadChannels(signal, self)


def bands(sfreq: float, mains_hz: float | None) -> dict[str, Array]:
    """Return filters: the EEG (1 to 45 Hz, mains 40 dB down), its fast part, and the mains (2 Hz wide)."""
    from scipy.signal import butter, cheby2, iirpeak, tf2sos

    top = min(FAST_HZ[1], 0.45 * sfreq)
    high, low = butter(2, 1.0, "high", fs=sfreq, output="sos"), cheby2(4, 40, top, "low", fs=sfreq, output="sos")
    filters = {"eeg": np.vstack([high, low]), "fast": between(FAST_HZ, sfreq)}
    if mains_hz is not None:
        for name, hz in (("line", mains_hz), ("beside", mains_hz - BESIDE_HZ)):
            filters[name] = np.asarray(tf2sos(*iirpeak(hz, hz / 2, fs=sfreq)))
    return filters


class RunningBadChannels(Judged):
    """The bound `bad_channels`. The judge remembers filters, the last blocks' powers, what is usual, covariances."""

    def __init__(self, signal: SignalSpec, spec: BadChannels) -> None:
        self._spec, self._channels = spec, eeg_of(signal)
        n = self._n = len(self._channels)
        output = signal
        if spec.output == "reasons":
            names = tuple(f"{signal.ch_names[i]}:bad" for i in self._channels)
            output = described(signal, [(name, "") for name in names])
        ahead, hold = (in_blocks(s, signal, HOP_S) for s in (spec.lookahead_s, spec.hold_s))
        block = block_of(HOP_S, signal)
        super().__init__(signal, n * len(REASONS), block=block, ahead=ahead, hold=hold, output=output)
        self._banks = Banks(n, bands(signal.sfreq, spec.mains_hz))
        self._usual = Usual(2, n, in_blocks(MEMORY_S, signal, HOP_S))
        self._run = max(STUCK_SAMPLES, round(STUCK_S * signal.sfreq)) - 1
        self._counts = np.array([r in spec.find for r in REASONS])
        self._matrices: dict[bytes, Array] = {}
        self.settle_s = 2.0

    def remember(self) -> State:
        n = self._n
        return {
            "banks": self._banks.fresh(),
            "usual": self._usual.fresh(),
            "last": np.full((n, self._run), np.nan, np.float32),
            "recent": np.zeros((0, 6, n)),
            "covs": np.zeros((0, n, n)),
        }

    def judge(self, values: Array, valid: Array, state: State) -> Array:
        x = np.ascontiguousarray(values[self._channels])
        n, m = self._n, self.block
        same = stuck(x, state["last"]).reshape(n, -1, m).mean(-1)
        state["last"] = np.concatenate([state["last"], x], 1)[:, -self._run :].copy()
        rails = _at_rails(x.reshape(n, -1, m))
        heard = {k: v.reshape(n, -1, m) for k, v in self._banks(x, valid, state["banks"]).items()}
        powers = {k: np.square(v).mean(-1) for k, v in heard.items()}
        line, beside = (powers.get(name, np.zeros_like(same)) for name in ("line", "beside"))
        ok: Array = np.all(valid.reshape(-1, m), 1)
        out = np.zeros((same.shape[1], len(REASONS), n), np.bool_)
        for k in range(len(out)):
            if ok[k]:
                now = np.stack([p[:, k] for p in (powers["eeg"], powers["fast"], line, beside, same, rails)])
                out[k] = self._verdict(now, np.ascontiguousarray(heard["eeg"][:, k]), state)
        counted: Array = out & self._counts[:, None]
        return counted.reshape(len(out), -1)

    def _verdict(self, now: Array, eeg: Array, state: State) -> Array:
        """Return the reasons (n_reasons, n) of one block, from its powers and shares (6, n) and samples (n, block)."""
        recent = np.concatenate([state["recent"][-SHORT + 1 :], now[None]])
        state["recent"] = recent
        rms = np.sqrt(np.maximum(recent[:, :4].mean(0), 1e-60))  # eeg, fast, line, beside
        usual = self._usual.update(np.sqrt(np.maximum(now[1:3], 1e-60)), state["usual"])
        state["covs"] = np.concatenate([state["covs"][-LONGEST + 1 :], (eeg @ eeg.T / self.block)[None]])
        out = np.zeros((len(REASONS), self._n), np.bool_)
        out[0] = self._flat(recent, usual[0])
        out[1] = self._noisy(rms[1], usual[0]) & ~out[0]
        out[2] = self._clipped(recent[:, 5].mean(0)) & ~out[0]
        out[3] = self._line(rms, usual[1]) & ~out[0]
        if len(state["covs"]) >= LONG:
            out[4] = self._bridged(state["covs"][-LONG:].mean(0)) & ~out[0]
        if len(state["covs"]) == LONGEST and self._n >= ENOUGH:
            out[5] = self._alone(state["covs"].mean(0)) & ~out[0]
        return out

    def _flat(self, recent: Array, usual: Array) -> Array:
        """Return which are flat, from the last two blocks: EEG cannot become so quiet."""
        half = recent[-2:]
        fast = np.sqrt(half[:, 1].mean(0))
        quiet = fast < QUIET * np.maximum(usual, np.median(fast))
        flat: Array = (half[:, 4].mean(0) > STUCK_FLAT) | quiet
        return flat

    def _noisy(self, fast: Array, usual: Array) -> Array:
        risen = fast / usual
        own = (risen > self._spec.noise) & (risen > 2.5 * np.median(risen))
        return own | self._above(fast, self._spec.noise)

    def _clipped(self, share: Array) -> Array:
        others = float(np.median(share)) if self._n >= ENOUGH else 0.0
        clipped: Array = share > AT_RAILS + 3 * others
        return clipped

    def _line(self, rms: Array, usual: Array) -> Array:
        eeg, _, line, beside = rms
        more = (line > LINE_RISE * usual) | self._above(line, 5.0)
        much = (line > LINE_DOMINATES * eeg) | ((line > LINE_OF_EEG * np.median(eeg)) & more)
        found: Array = much & (line > LINE_STANDS_OUT * beside)
        return found

    def _above(self, rms: Array, ratio: float) -> Array:
        """Return which channels exceed the median channel by a ratio; none where too few channels can tell."""
        if self._n < ENOUGH:
            return np.zeros(self._n, np.bool_)
        above: Array = rms > ratio * np.median(rms)
        return above

    @staticmethod
    def _bridged(cov: Array) -> Array:
        var = np.maximum(np.diag(cov), 1e-60)
        apart = (var[:, None] + var[None] - 2 * cov) / np.minimum.outer(var, var)
        np.fill_diagonal(apart, np.inf)
        bridged: Array = (apart < SAME_VARIANCE).any(1)
        return bridged

    @staticmethod
    def _alone(cov: Array) -> Array:
        var = np.maximum(np.diag(cov), 1e-60)
        like = np.abs(cov) / np.sqrt(np.outer(var, var))
        np.fill_diagonal(like, 0.0)
        alone: Array = like.max(1) < STRANGER
        return alone

    def apply(self, values: Array, valid: Array, verdicts: Array, which: Array) -> tuple[Array, Array]:
        reasons = verdicts.reshape(len(verdicts), len(REASONS), self._n)
        if self._spec.output == "reasons":
            codes = np.tensordot(2.0 ** np.arange(len(REASONS)), reasons, (0, 1))
            return codes[which].T.astype(np.float32), valid
        bad: Array = np.any(reasons, 1)
        some: Array = np.any(bad, 1)
        limit = max(1, int(self._spec.max_bad * self._n)) if self._n > 1 else 0
        lost: Array = bad.sum(1) > limit
        valid &= ~(lost | (some & self._spec.mark))[which]
        if self._spec.repair != "none":
            for row in np.flatnonzero(some):
                self._repair(values, np.flatnonzero(which == row), bad[row], bool(lost[row]))
        return values, valid

    def _repair(self, values: Array, at: Array, bad: Array, lost: bool) -> None:
        """Overwrite the bad channels in place; where too many are bad to tell, with zeros."""
        if not len(at):
            return
        span, rows = slice(at[0], at[-1] + 1), np.array(self._channels)
        if self._spec.repair == "zero" or lost:
            values[rows[bad], span] = 0
        else:
            good = values[rows[~bad], span].astype(np.float64)
            values[rows[bad], span] = self._matrix(bad) @ good

    def _matrix(self, bad: Array) -> Array:
        """Return the interpolation of a set of bad channels, computed once."""
        from .spherical import on_sphere, spline_matrix

        key = bad.tobytes()
        if key not in self._matrices:
            places = on_sphere(self.input, self._channels)
            if len(self._matrices) >= 256:
                self._matrices.clear()
            self._matrices[key] = spline_matrix(places[~bad], places[bad])
        return self._matrices[key]


def _at_rails(blocks: Array) -> Array:
    """Return the share of samples (n, b) at the extremes of their block (n, b, block), beyond the one that must be."""
    high, low = blocks.max(-1, keepdims=True), blocks.min(-1, keepdims=True)
    counts = (blocks == high).sum(-1) + (blocks == low).sum(-1) - 2
    share: Array = counts / blocks.shape[-1]
    return share
