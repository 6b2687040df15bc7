"""A detector of change: band powers that leave what they were, with a stated rate of false alarms."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .base import Operation, SignalOp
from .blocks import block_of, eeg_of
from .features import BANDS, described
from .usual import Banks

BANDS_HZ = tuple(BANDS.values())
LARGEST = 3.0  # a hop cannot say more than this many standard deviations


class Drift(SignalOp):
    """Gives `drift:score` and `drift:alarm`, one column a hop, from the EEG channels' log powers in five bands.

    Each power is standardised by the median and the median absolute deviation of the first `reference_s` of valid
    hops, clipped at 3, and summed up by a two-sided CUSUM (Page 1954, doi:10.1093/biomet/41.1-2.100): g = max(0, g + z
    - k). The score is the largest sum over its limit h; at 1 the alarm is 1 for that hop, and a new reference begins.

    k = `allowance` + 1.25 q / sqrt(n) and the deviation is taken 1 + 1.17 q / sqrt(n) times as large: q is the normal
    quantile of 1 - 1 / (2 sums), and these are the standard errors of a median and of a median absolute deviation of n
    hops, so that the worst of all references still errs on the quiet side. h is such that a mean time of
    `false_alarm_s` lies between false alarms of all sums together, for independent normal hops, by Siegmund's
    approximation (1985, eq. 2.57): ARL = (exp(2 a b) - 2 a b - 1) / (2 a^2), a = `allowance`, b = h + 1.166. Hops of
    brain signals depend on each other, so the deviation is also taken sqrt((1 + r) / (1 - r)) times as large, r the
    mean correlation of a hop with the next in the reference, 0 to 0.8. 0 until the reference is there.
    """

    kind: Literal["drift"] = "drift"
    hop_s: float = Field(2.0, gt=0, description="a column this often")
    reference_s: float = Field(60.0, gt=0, description="valid signal that says how things were")
    allowance: float = Field(
        0.5, gt=0, le=2, description="changes below twice this many standard deviations are let be"
    )
    false_alarm_s: float = Field(3600.0, gt=0, description="mean time between false alarms")

    @property
    def keeps_topography(self) -> bool:
        return False

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the detector; SignalMismatchError without EEG, too slow, or with under 10 hops of reference."""
        if not eeg_of(signal):
            raise SignalMismatchError(
                f"drift: no channel is EEG, the types are {sorted(set(signal.ch_types))}",
                remedy="Correct the channel types",
            )
        if signal.sfreq < 4 * BANDS_HZ[2][1]:
            raise SignalMismatchError(
                f"drift: {signal.sfreq:g} Hz is too slow", allowed=f"sfreq >= {4 * BANDS_HZ[2][1]:g}"
            )
        if self.reference_s < 10 * self.hop_s:
            raise SignalMismatchError(
                f"drift: reference_s={self.reference_s:g} holds fewer than 10 hops of {self.hop_s:g} s",
                allowed=f"reference_s >= {10 * self.hop_s:g}",
            )
        return RunningDrift(signal, self)


def limit(allowance: float, run_length: float) -> float:
    """Return the h of a one-sided CUSUM whose mean run length without change is `run_length` (Siegmund)."""
    low, high = 0.0, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        x = min(2 * allowance * (middle + 1.166), 700.0)
        low, high = (middle, high) if (np.exp(x) - x - 1) / (2 * allowance**2) < run_length else (low, middle)
    return low


class RunningDrift(Operation):
    """The bound `drift`. State: the hop being filled, filters, the reference, the sums."""

    def __init__(self, signal: SignalSpec, spec: Drift) -> None:
        from scipy.signal import butter

        self._hop, self._rows = block_of(spec.hop_s, signal), np.array(eeg_of(signal))
        names = ("drift:score", "drift:alarm")
        output = described(signal, [(name, "") for name in names])
        super().__init__(signal, output.replace(sfreq=signal.sfreq / self._hop))
        nyquist = 0.45 * signal.sfreq
        edges = [(a, min(b, nyquist)) for a, b in BANDS_HZ if a < nyquist]
        bank = {f"{a:g}": butter(2, (a, b), "bandpass", fs=signal.sfreq, output="sos") for a, b in edges}
        self._banks = Banks(len(self._rows), bank)
        self._n = len(edges) * len(self._rows)
        self._enough = int(np.ceil(spec.reference_s * signal.sfreq / self._hop))
        error = NormalDist().inv_cdf(1 - 1 / (4 * self._n)) / np.sqrt(self._enough)
        self._allow, self._wider = spec.allowance + 1.25 * error, 1 + 1.17 * error
        self._limit = limit(spec.allowance, spec.false_alarm_s * signal.sfreq / self._hop * 2 * self._n)
        self.settle_s = spec.reference_s

    def fresh(self) -> State:
        return {
            "tail": np.zeros((self.input.n_chans, 0), np.float32),
            "ok": np.zeros(0, np.bool_),
            "banks": self._banks.fresh(),
            "ring": np.zeros((self._enough, self._n)),
            "n_ring": 0,
            "centre": np.zeros(self._n),
            "spread": np.ones(self._n),
            "sums": np.zeros((2, self._n)),
            "n_out": 0,
        }

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        tail = np.concatenate([state["tail"], chunk.values], 1)
        ok = np.concatenate([state["ok"], chunk.valid])
        whole = tail.shape[1] // self._hop
        cut, first = whole * self._hop, state["n_out"]
        out = np.zeros((2, whole), np.float32)
        good: Array = np.all(ok[:cut].reshape(whole, self._hop), 1)
        if whole:
            bands = self._banks(tail[self._rows, :cut], ok[:cut], state["banks"])
            logs = [self._logs(x, whole) for x in bands.values()]
            features = np.concatenate(logs, 1)
            for k in np.flatnonzero(good):
                out[:, k] = self._score(features[k], state)
        state["tail"], state["ok"], state["n_out"] = tail[:, cut:].copy(), ok[cut:].copy(), first + whole
        return Chunk(out, good, first), state

    def _logs(self, x: Array, whole: int) -> Array:
        power = np.square(x).reshape(len(x), whole, self._hop).mean(-1).T
        logs: Array = np.log(np.maximum(power, 1e-60))
        return logs

    def _score(self, features: Array, state: State) -> tuple[float, float]:
        """Return score and alarm of one hop; until there is a reference, add to it."""
        if state["n_ring"] < self._enough:
            state["ring"][state["n_ring"]] = features
            state["n_ring"] += 1
            if state["n_ring"] == self._enough:
                state["centre"] = np.median(state["ring"], 0)
                spread = 1.4826 * np.median(np.abs(state["ring"] - state["centre"]), 0)
                state["spread"] = np.maximum(spread, 1e-3) * self._wider * _dependence(state["ring"])
            return 0.0, 0.0
        z = np.clip((features - state["centre"]) / state["spread"], -LARGEST, LARGEST)
        state["sums"] = np.maximum(0.0, state["sums"] + np.stack([z, -z]) - self._allow)
        score = float(state["sums"].max() / self._limit)
        if score < 1:
            return score, 0.0
        state["sums"], state["n_ring"] = np.zeros_like(state["sums"]), 0
        return score, 1.0


def _dependence(ring: Array) -> float:
    """Return by how much sums of such hops (n, features) spread more than those of independent ones."""
    z = ring - ring.mean(0)
    lagged = (z[1:] * z[:-1]).sum(0) / np.maximum(np.square(z).sum(0), 1e-60)
    r = min(max(float(np.mean(lagged)), 0.0), 0.8)
    return float(np.sqrt((1 + r) / (1 - r)))
