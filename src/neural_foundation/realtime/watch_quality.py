"""Which channels do not show the brain now, once a second, by the thresholds of `signals.bad_channels`.

Other than there, powers come from the second's spectrum and not from filters, so a verdict takes whole seconds (flat:
2, bridged and disconnected: averages that forget over 4 and 10 s). `saturated` is its `clipped`; `not_finite` and
`invalid` (nothing can be trusted) are seconds with more than 4 % of such samples.

Mains are looked for at 50 and at 60 Hz, wherever the device may stand; `line` is the worse of the two.

A channel is bad once it was judged so far more often than the 2 % of seconds that good channels are let (`Shares`):
after 3 to 5 s in a row, and until about 20 good ones have passed. The verdict at the second mains frequency has sums
of its own, counted when the limit is set, so that looking twice makes no more false alarms than are stated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.specs import SignalSpec
from ..core.stream import State
from ..signals.artefacts import FAST_HZ, STUCK_S, STUCK_SAMPLES
from ..signals.bad_channels import AT_RAILS, BESIDE_HZ, ENOUGH, HOP_S, MEMORY_S, SHORT, BadChannels, RunningBadChannels
from ..signals.quality import MAINS_HZ
from ..signals.usual import Usual
from .watch_cusum import Shares
from .watch_spectra import EEG_HZ, Second, Spectra

Bool = NDArray[np.bool_]
REASONS = ("flat", "noisy", "saturated", "line", "bridged", "disconnected", "not_finite")
ALL = "all channels"  # a last, made-up channel: the whole signal
BRIDGED_S, ALONE_S = 4, 10
FAST = (FAST_HZ[0] + 5, FAST_HZ[1] - 8)  # the flat part of the filter: 20 to 40 Hz
LINE = REASONS.index("line")
ROOM_HZ = 2.0  # from the mains to the Nyquist frequency, at least


class QualityWatch:
    """The watch of the channels. State: what `bad_channels` remembers, two covariances, sums."""

    def __init__(self, signal: SignalSpec, spectra: Spectra, false_alarm_s: float, *, counts: bool) -> None:
        self.ch_names, n = (*spectra.ch_names, ALL), len(spectra.ch_names)
        self._judge = None if counts else _judge(signal, spectra)
        self._spectra, self._run = spectra, max(STUCK_SAMPLES, round(STUCK_S * signal.sfreq)) - 1
        self._mains = tuple(hz for hz in MAINS_HZ if self._judge is not None and signal.sfreq > 2 * (hz + ROOM_HZ))
        self._usual = Usual(1 + len(MAINS_HZ), n, round(MEMORY_S / HOP_S))
        self._second = n if len(self._mains) > 1 else 0  # sums of the second mains frequency, behind the others
        self.shares = Shares(n + 1 + self._second, run_length=false_alarm_s / spectra.length_s)

    def fresh(self) -> State:
        """Return the state before the first second."""
        n = len(self.ch_names) - 1
        state: State = {"shares": self.shares.fresh(), "why": np.zeros((len(REASONS), n + 1), np.bool_), "seconds": 0}
        if self._judge is not None:
            state |= {"usual": self._usual.fresh(), "recent": np.zeros((0, 4 + 2 * len(MAINS_HZ), n))}
            state |= {"near": np.zeros((n, n)), "far": np.zeros((n, n))}
        return state

    def second(self, second: Second, valid: float, state: State) -> NDArray[np.int64]:
        """Add a second, `valid` its share of samples to be trusted; return the channels that went bad."""
        why = np.zeros((len(REASONS), len(self.ch_names)), np.bool_)
        also: Bool = np.zeros(len(self.ch_names), np.bool_)  # mains at the second frequency
        why[-1, :-1] = second.lost > AT_RAILS
        why[-1, -1] = 1 - valid > AT_RAILS
        if self._judge is not None and second.whole and valid > 0.5:
            found, also[:-1] = self._verdict(self._judge, second, state)
            why[:-1, :-1], also[:-1] = found & (second.lost == 0), also[:-1] & (second.lost == 0)
            state["seconds"] += 1
        bad: Bool = np.any(why, 0)
        if valid <= 0.5:
            bad[:-1] = False  # nothing is known of the channels
        before = self.on(state)
        self.shares.take(np.concatenate([bad, also[: self._second]]), state["shares"])
        on = self.on(state)
        why[LINE] |= also
        bad |= also
        state["why"] = np.where(bad, why, state["why"]) & (on | bad)
        return np.flatnonzero(on & ~before)

    def on(self, state: State) -> Bool:
        """Return which channels are bad now, and whether the whole signal is (n_chans + 1,)."""
        return self._either(state["shares"]["on"])

    def score(self, state: State) -> float:
        """Return the largest sum over its limit."""
        return float(state["shares"]["sums"].max() / self.shares.limit)

    def _either(self, on: Bool) -> Bool:
        n = len(self.ch_names)
        out = on[:n].copy()
        out[: self._second] |= on[n:]
        return out

    def bad(self, state: State) -> dict[str, list[str]]:
        """Return the channels that are bad now, by reason."""
        now = state["why"] & self.on(state)
        names = {r: [self.ch_names[c] for c in np.flatnonzero(row)] for r, row in zip(REASONS, now, strict=True)}
        return {r: channels for r, channels in names.items() if channels}

    def what(self, channel: int, state: State) -> str:
        """Return in words what is wrong with a channel."""
        if channel == len(self.ch_names) - 1:
            return f"{ALL}: invalid"
        return f"{self.ch_names[channel]}: {', '.join(np.array(REASONS)[state['why'][:, channel]])}"

    def share(self, state: State) -> float:
        """Return the share of channels that are bad."""
        on = self.on(state)
        return 1.0 if on[-1] else float(on[:-1].mean())

    def _verdict(self, judge: RunningBadChannels, second: Second, state: State) -> tuple[Bool, Bool]:
        """Return the reasons (6, n) of one second, as `RunningBadChannels` finds them in blocks, `line` by the first
        mains frequency, and that of the second one (n,).
        """
        now = self._measures(second)
        recent = state["recent"] = np.concatenate([state["recent"][-SHORT + 1 :], now[None]])
        rms = np.sqrt(np.maximum(recent.mean(0), 1e-60))
        usual = self._usual.update(np.sqrt(np.maximum(now[[1, 2, 6]], 1e-60)), state["usual"])
        out = np.zeros((len(REASONS) - 1, len(second.power)), np.bool_)
        out[0] = judge._flat(recent, usual[0])
        out[1] = judge._noisy(rms[1], usual[0]) & ~out[0]
        out[2] = judge._clipped(recent[:, 5].mean(0)) & ~out[0]
        out[3] = judge._line(rms[:4], usual[1]) & ~out[0]
        also: Bool = judge._line(rms[[0, 1, 6, 7]], usual[2]) & ~out[0]
        self._covariances(second, state)
        if state["seconds"] >= BRIDGED_S:
            out[4] = judge._bridged(state["near"]) & ~out[0]
        if state["seconds"] >= ALONE_S and out.shape[1] >= ENOUGH:
            out[5] = judge._alone(state["far"]) & ~out[0]
        return out, also

    def _measures(self, second: Second) -> NDArray[np.float64]:
        """Return (8, n): powers of the EEG, its fast part, the first mains frequency and beside it; shares of stuck
        samples and of rails; powers of the second mains frequency and beside it. 0 where the rate is too low.
        """
        edges = {0: EEG_HZ, 1: FAST}
        for row, mains in zip((2, 6), self._mains, strict=False):
            edges |= {row + k: (hz - 1, hz + 1.01) for k, hz in enumerate((mains, mains - BESIDE_HZ))}
        now = np.zeros((4 + 2 * len(MAINS_HZ), len(second.power)))
        for row, (a, b) in edges.items():
            now[row] = second.power[:, self._spectra.between(a, b)].sum(1)
        now[4], now[5] = _stuck(second.values, self._run), _at_rails(second.values)
        return now

    def _covariances(self, second: Second, state: State) -> None:
        for name, seconds in (("near", BRIDGED_S), ("far", ALONE_S)):
            new = max(1 / seconds, 1 / (state["seconds"] + 1))
            state[name] = state[name] + new * (second.cov - state[name])


def _judge(signal: SignalSpec, spectra: Spectra) -> RunningBadChannels | None:
    """Return the thresholds of `bad_channels` for these channels; None where the rate is too low for them."""
    if signal.sfreq < 5 * FAST_HZ[0]:
        return None
    plain = SignalSpec(sfreq=signal.sfreq, ch_names=spectra.ch_names)
    return RunningBadChannels(plain, BadChannels(output="reasons", repair="none", mains_hz=None))


def _stuck(x: NDArray[np.float32], run: int) -> NDArray[np.float64]:
    """Return the share of samples (n_chans,) that equal all of the `run` samples ahead of them."""
    same = x[:, 1:] == x[:, :-1]
    if not same.any():
        return np.zeros(len(x))
    done = 1
    while done < run:  # same[i] now says: equal to the `done` before it
        step = min(done, run - done)
        same = same[:, step:] & same[:, :-step]
        done += step
    return np.asarray(same.mean(1))


def _at_rails(x: NDArray[np.float32], blocks: int = 4) -> NDArray[np.float64]:
    """Return the share of samples (n_chans,) at the extremes of their quarter of a second, beyond the one that must."""
    quarters = x[:, : x.shape[1] // blocks * blocks].reshape(len(x), blocks, -1)
    extreme = (quarters == quarters.max(-1, keepdims=True)) | (quarters == quarters.min(-1, keepdims=True))
    counts = np.add.reduce(extreme.view(np.int8), axis=-1, dtype=np.int32) - 2  # int8: four times as fast as bool
    return np.asarray(np.maximum(counts, 0).mean(1) / quarters.shape[-1])
