"""Blinks, muscle, movement and clipping in time: found as they happen, and marked."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, State, Transducer
from .base import SignalOp
from .blocks import Judged, block_of, eeg_of, in_blocks
from .features import described
from .usual import Banks, Usual, stuck

Found = Literal["blink", "muscle", "movement", "clipped"]
KINDS: tuple[Found, ...] = ("blink", "muscle", "movement", "clipped")
SLOW_HZ, FAST_HZ, TOP_HZ = (0.5, 8.0), (15.0, 48.0), (62.0, 98.0)
SLOW = ((1, SLOW_HZ[0], "high"), (2, SLOW_HZ[1], "low"))  # Butterworth
MUSCLE_BLOCKS, EMPTY, UNSURE = 4, 1 / 400, 3.0
STUCK_S, STUCK_SAMPLES = 0.012, 4  # a saturated input stays exactly equal for so long
OUTER = 2.5  # ... and that far out, in usual slow deflections


class Artefacts(SignalOp):
    """Finds blinks, muscle, movement and clipping, and clears `valid` there; the values stay as they are.

    In blocks of `hop_s`, on EEG and EOG channels, each against what is usual for that channel (a running median over
    `memory_s`, see `usual`), so no threshold depends on the unit:

    - the largest |x| of a block, 0.5 to 8 Hz, over the usual rms of that band. In EOG and frontal channels (named Fp or
      AF, or lying there) it is a `blink` beyond the threshold of that name; in the others a `movement` beyond
      `deflection`: steps, pops and sway; where both are, what is further beyond. Gaussian noise has at most 4.5.
    - `muscle`: the rms over 0.4 s, 20 to 40 and 66 to 94 Hz (clear of both mains), over the usual one; the mean of
      both bands' power ratios. The upper band counts where it holds at least 1/400 of the lower's power, that is,
      where no low-pass has emptied it.
    - `clipped`: at least 12 ms of exactly equal samples, far out. Filters before this operation hide it.

    While what is usual rests on n blocks only, the thresholds of both are 1 + 3 / n times as high.

    A verdict lasts `hold_s` longer and reaches `lookahead_s` back; with a look-ahead of 0 the onset is missed and
    nothing waits. `output: flags` gives one channel of 0 and 1 for each of `find` instead of the signal.
    """

    kind: Literal["artefacts"] = "artefacts"
    find: tuple[Found, ...] = Field(KINDS, description="which of blink, muscle, movement, clipped")
    output: Literal["mark", "flags"] = Field("mark", description="clear `valid`, or give channels of 0 and 1")
    blink: float = Field(
        9.0, gt=1, description="slow deflections of EOG and frontal channels beyond so many usual ones"
    )
    deflection: float = Field(
        10.0, gt=1, description="slow deflections of the other channels beyond so many usual ones"
    )
    muscle: float = Field(3.0, gt=1, description="fast activity beyond so many usual ones")
    hop_s: float = Field(0.1, gt=0, description="a verdict this often")
    lookahead_s: float = Field(0.3, ge=0, description="delay, and how far back a verdict reaches (whole hops)")
    hold_s: float = Field(0.1, ge=0, description="how much longer a verdict lasts (whole hops)")
    memory_s: float = Field(60.0, gt=0, description="memory of what is usual")

    @model_validator(mode="after")
    def _something(self) -> Artefacts:
        if not self.find or len(set(self.find)) < len(self.find):
            raise ValueError(f"find={list(self.find)} must name one or more of {', '.join(KINDS)}, each once")
        return self

    @property
    def keeps_topography(self) -> bool:
        return self.output == "mark"

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError without EEG or EOG, or where the rate is too low for muscle."""
        if not eeg_of(signal, "eeg", "eog"):
            raise SignalMismatchError(
                f"artefacts: no channel is EEG or EOG, the types are {sorted(set(signal.ch_types))}",
                remedy="Correct the channel types, or leave artefacts out",
            )
        least = 2.5 * FAST_HZ[0] * 2 if "muscle" in self.find else 2.5 * SLOW_HZ[1]
        if signal.sfreq < least:
            raise SignalMismatchError(
                f"artefacts: {signal.sfreq:g} Hz is too slow to find {', '.join(self.find)}",
                allowed=f"sfreq >= {least:g}",
                remedy="Leave 'muscle' out of find, or put artefacts before resample",
            )
        return RunningArtefacts(signal, self)


def slow_and_fast(sfreq: float, *, fast: bool = True) -> dict[str, Array]:
    """Return the filters: 0.5 to 8 Hz, 20 to 40 Hz and, where the rate allows, 66 to 94 Hz."""
    from scipy.signal import butter

    filters = {"slow": np.vstack([butter(n, hz, kind, fs=sfreq, output="sos") for n, hz, kind in SLOW])}
    if fast:
        filters["fast"] = between(FAST_HZ, sfreq)
    if fast and sfreq > 2.2 * TOP_HZ[1]:
        filters["top"] = between(TOP_HZ, sfreq)
    return filters


def between(stop_hz: tuple[float, float], sfreq: float) -> Array:
    """Return a band-pass with 40 dB of rejection outside `stop_hz`, and of an electrode's offset altogether."""
    from scipy.signal import butter, cheby2

    edges = [stop_hz[0], min(stop_hz[1], 0.45 * sfreq)]
    offset = butter(2, stop_hz[0] / 3, "high", fs=sfreq, output="sos")
    return np.vstack([offset, cheby2(4, 40, edges, "bandpass", fs=sfreq, output="sos")])


def frontal(signal: SignalSpec, channels: list[int]) -> Array:
    """Return which of the channels see the eyes: EOG, named Fp or AF, or lying 9 cm to the front
    in the head frame and lower than 9 cm."""
    names, types, places = signal.ch_names, signal.ch_types, signal.positions
    return np.array(
        [
            bool(types and types[i] == "eog")
            or names[i].upper().startswith(("FP", "AF"))
            or bool(places and (p := places[i]) is not None and p[1] > 0.09 and p[2] < 0.09)
            for i in channels
        ]
    )


class RunningArtefacts(Judged):
    """The bound `artefacts`. The judge remembers its filters, the last samples and fast powers, what is usual."""

    def __init__(self, signal: SignalSpec, spec: Artefacts) -> None:
        output = signal
        if spec.output == "flags":
            output = described(signal, [(name, "") for name in spec.find])
        ahead, hold = (in_blocks(s, signal, spec.hop_s) for s in (spec.lookahead_s, spec.hold_s))
        block = block_of(spec.hop_s, signal)
        super().__init__(signal, len(spec.find), block=block, ahead=ahead, hold=hold, output=output)
        self._spec, self._channels = spec, eeg_of(signal, "eeg", "eog")
        n = len(self._channels)
        self._frontal = frontal(signal, self._channels)
        self._fast = "muscle" in spec.find
        self._banks = Banks(n, slow_and_fast(signal.sfreq, fast=self._fast))
        self._usual = Usual(3, n, in_blocks(spec.memory_s, signal, spec.hop_s))
        self._run = max(STUCK_SAMPLES, round(STUCK_S * signal.sfreq)) - 1
        self.settle_s = 1 / SLOW_HZ[0]

    def remember(self) -> State:
        n = len(self._channels)
        return {
            "banks": self._banks.fresh(),
            "usual": self._usual.fresh(),
            "last": np.full((n, self._run), np.nan, np.float32),
            "powers": np.zeros((0, 2, n)),
        }

    def judge(self, values: Array, valid: Array, state: State) -> Array:
        x = np.ascontiguousarray(values[self._channels])
        m, n = self.block, len(self._channels)
        same: Array = np.any(stuck(x, state["last"]).reshape(n, -1, m), -1)
        state["last"] = np.concatenate([state["last"], x], 1)[:, -self._run :].copy()
        bands = self._banks(x, valid, state["banks"])
        slow = bands["slow"].reshape(n, -1, m)
        peak, rms = np.abs(slow).max(-1).T, np.sqrt(np.square(slow).mean(-1)).T
        fast = self._smooth(bands, state) if self._fast else np.ones((len(rms), 2, n))
        ok: Array = np.all(valid.reshape(-1, m), 1)
        usual, seen = np.empty((len(rms), 3, n)), np.empty(len(rms))
        for k in range(len(rms)):
            usual[k] = self._renewed(np.concatenate([rms[None, k], fast[k]]), bool(ok[k]), state["usual"])
            seen[k] = max(1, state["usual"]["n"])
        unsure = 1 + UNSURE / seen[:, None]
        found = self._verdicts(peak / usual[:, 0] / unsure, _muscle(fast, usual[:, 1:]) / unsure, same.T)
        verdicts: Array = np.stack([found[name] for name in self._spec.find], 1)
        return verdicts & ok[:, None]

    def _renewed(self, features: Array, ok: bool, state: State) -> Array:
        """Return what is usual; a block without signal teaches nothing, and before any has come all is usual."""
        if ok and features[0].any():
            return self._usual.update(np.maximum(features, 1e-30), state)
        usual: Array = np.exp(state["log"]) if state["n"] else np.full(features.shape, np.inf)
        return usual

    def _smooth(self, bands: dict[str, Array], state: State) -> Array:
        """Return the rms (b, 2, n) of both fast bands over each block and the ones before it."""
        n = len(self._channels)
        both = [np.square(bands[name]) if name in bands else np.zeros_like(bands["fast"]) for name in ("fast", "top")]
        powers = np.stack([p.reshape(n, -1, self.block).mean(-1).T for p in both], 1)
        powers = np.concatenate([state["powers"], powers])
        new = range(len(state["powers"]), len(powers))
        means = [powers[max(0, k - MUSCLE_BLOCKS + 1) : k + 1].mean(0) for k in new]
        state["powers"] = powers[1 - MUSCLE_BLOCKS :].copy()
        smooth: Array = np.sqrt(np.stack(means))
        return smooth

    def _verdicts(self, slow: Array, fast: Array, same: Array) -> dict[str, Array]:
        """Return which blocks (b,) hold which artefact, from ratios to the usual (b, n)."""
        beyond = slow / np.where(self._frontal, self._spec.blink, self._spec.deflection)
        far, eyes = beyond.max(1) > 1, self._frontal[beyond.argmax(1)]
        return {
            "blink": far & eyes,
            "movement": far & ~eyes,
            "muscle": (fast > self._spec.muscle).any(1),
            "clipped": (same & (slow > OUTER)).any(1),
        }

    def apply(self, values: Array, valid: Array, verdicts: Array, which: Array) -> tuple[Array, Array]:
        if self._spec.output == "flags":
            return verdicts[which].T.astype(np.float32), valid
        marked: Array = np.any(verdicts, 1)
        return values, valid & ~marked[which]


def _muscle(fast: Array, usual: Array) -> Array:
    """Return the ratio (b, n) to what is usual of both bands together, each (b, 2, n); see `Artefacts`."""
    ratio = np.square(fast / usual)
    medians = np.median(usual, -1)
    empty = medians[:, 1] ** 2 <= EMPTY * medians[:, 0] ** 2
    ratio[empty, 1] = ratio[empty, 0]
    both: Array = np.sqrt(ratio.mean(1))
    return both
