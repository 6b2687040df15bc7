"""The watch beside a decoder: notices while live that inputs or decisions are no longer what they were.

`block` takes each raw chunk as it came and works once a second; `decision` takes each token's probabilities. Each
returns the alarms that it raised, mostly none. Four detectors, each with its own mean time between false alarms
(`WatchSettings`): input (`watch_input`), output (`watch_output`), quality (`watch_quality`), rate (`watch_rate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import StreamError
from ..core.specs import SignalSpec, Spec
from ..core.stream import Chunk, State, copy_state
from .watch_input import InputWatch, is_counts
from .watch_output import OutputWatch
from .watch_quality import QualityWatch
from .watch_rate import RateWatch
from .watch_spectra import Spectra

if TYPE_CHECKING:
    from ..models.package import Facts

Kind = Literal["input", "output", "quality", "rate"]
KINDS: tuple[Kind, ...] = ("input", "output", "quality", "rate")
SHOWN_S = 60.0  # an alarm lights for so long
WARN = 0.5


@dataclass(frozen=True)
class Alarm:
    """One alarm: of which detector, about what, its score (1 is the limit), seconds of signal from the first sample."""

    kind: Kind
    what: str
    score: float
    at_s: float


NONE: tuple[Alarm, ...] = ()


class WatchSettings(Spec):
    """Mean seconds between false alarms of each detector. One hop alone is no alarm, but of a channel gone silent."""

    input_s: float = Field(3600.0, gt=0, description="of the input")
    output_s: float = Field(3600.0, gt=0, description="of the decisions")
    quality_s: float = Field(3600.0, gt=0, description="of bad channels, all together")
    rate_s: float = Field(3600.0, gt=0, description="of the sampling rate")


class Watch:
    """Watches one connection.

    Parameters
    ----------
    facts : of the package; its classes count.
    signal : what the raw chunks are.
    settings : how seldom each detector may be wrong.
    phase : 0 to 1, the part of the first second that is passed over, so that many watches do not all work at once.
    """

    def __init__(
        self, facts: Facts, signal: SignalSpec, *, settings: WatchSettings | None = None, phase: float = 0.0
    ) -> None:
        settings = settings or WatchSettings()
        self.signal = signal
        classes = facts.target.classes if facts.target is not None else ()
        self._spectra = Spectra(signal, counts=is_counts(signal))
        self._input = InputWatch(signal, self._spectra, settings.input_s)
        self._quality = QualityWatch(signal, self._spectra, settings.quality_s, counts=is_counts(signal))
        self._output = OutputWatch(classes, settings.output_s)
        self._rate = RateWatch(signal.sfreq, settings.rate_s)
        self._size = self._spectra.n_times
        self._buffer = np.zeros((signal.n_chans, self._size), np.float32)
        self._filled, self._n_valid, self._n = min(int(phase * self._size), self._size - 1), 0, 0
        self._state: State = {k: getattr(self, f"_{k}").fresh() for k in KINDS}
        self._said: dict[Kind, Alarm] = {}
        self._scores: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self._count: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    @property
    def at_s(self) -> float:
        """Seconds of signal so far."""
        return self._n / self.signal.sfreq

    def block(self, chunk: Chunk, now_s: float | None = None) -> tuple[Alarm, ...]:
        """Take a raw chunk; `now_s` is when it came, by a clock that never jumps (None: the rate is not watched)."""
        values, n, alarms = chunk.values, chunk.values.shape[1], NONE
        at = 0
        while at < n:
            filled = self._filled
            take = min(self._size - filled, n - at)
            self._buffer[:, filled : filled + take] = values[:, at : at + take]
            self._n_valid += int(np.count_nonzero(chunk.valid[at : at + take]))
            self._filled, self._n, at = filled + take, self._n + take, at + take
            if self._filled == self._size:
                alarms += self._second()
        if now_s is not None:
            score = self._rate.block(n, float(now_s), self._state["rate"])
            if score is not None:
                alarms += self._rated(score)
        return alarms

    def decision(self, probability: NDArray[np.floating[Any]], valid: bool) -> tuple[Alarm, ...]:
        """Take one token's probabilities (K,)."""
        self._output.decision(probability, valid, self._state["output"])
        heard = self._output.due(self.at_s, self._state["output"])
        if not heard:
            return NONE
        self._scores["output"] = max(h.score for h, _ in heard)
        return tuple(self._say("output", what, h.score) for h, what in heard if h.score >= 1)

    def _second(self) -> tuple[Alarm, ...]:
        share = self._n_valid / self._size
        self._filled = self._n_valid = 0
        second = self._spectra(self._buffer)
        out = []
        quality = self._state["quality"]
        for channel in self._quality.second(second, share, quality):
            out.append(self._say("quality", self._quality.what(int(channel), quality), 1.0))
        heard = self._input.second(second, share > 0.9 and second.whole, self._state["input"])
        if heard is not None:
            self._scores["input"] = heard.score
            if heard.score >= 1:
                out.append(self._say("input", self._input.what(heard), heard.score))
        return tuple(out)

    def _rated(self, score: float) -> tuple[Alarm, ...]:
        self._scores["rate"] = score
        if not self._rate.news(score, self._state["rate"]):
            return NONE
        return (self._say("rate", f"{self._measured():.6g} samples a second, declared {self.signal.sfreq:g}", score),)

    def _measured(self) -> float:
        return float(self._state["rate"]["rate"])

    def _say(self, kind: Kind, what: str, score: float) -> Alarm:
        self._said[kind] = Alarm(kind, what, score, self.at_s)
        self._count[kind] += 1
        return self._said[kind]

    def lights(self) -> dict[str, dict[str, Any]]:
        """Return, for each detector: light (learning, ok, warn, alarm), score (1 is the limit), number of alarms.

        An alarm lights for 60 s (of a channel or the rate: while it is so), with `what` it said. `quality` names the
        bad channels by reason, `rate` the samples a second that were measured (None where no clock was given).
        """
        quality, measured = self._state["quality"], self._measured()
        lights: dict[str, dict[str, Any]] = {k: self._light(k) for k in KINDS}
        lights["quality"]["score"] = self._quality.score(quality)
        lights["quality"]["share"] = self._quality.share(quality)
        lights["quality"]["bad"] = self._quality.bad(quality)
        on = bool(self._quality.on(quality).any())
        lights["quality"]["light"] = "alarm" if on else "warn" if lights["quality"]["score"] > WARN else "ok"
        lights["rate"]["sfreq"] = None if np.isnan(measured) else measured
        return lights

    def _light(self, kind: Kind) -> dict[str, Any]:
        said, score = self._said.get(kind), self._scores[kind]
        shown = said is not None and self.at_s - said.at_s < SHOWN_S
        shown = shown or (kind == "rate" and score >= 1)
        light = "alarm" if shown else "learning" if self._learning(kind) else "warn" if score > WARN else "ok"
        what = said.what if shown and said is not None else ""
        return {"light": light, "score": score, "alarms": self._count[kind], "what": what}

    def _learning(self, kind: Kind) -> bool:
        state = self._state[kind]
        if kind == "input":
            return self._input.cusum.learning(state["cusum"])
        if kind == "output":
            return self._output.cusum.learning(state["session"])
        return kind == "rate" and self._rate.learning(state)

    def state(self) -> State:
        """Return all that is remembered, as `core.stream` states are; what the last alarms said is not."""
        state = copy_state(self._state)
        state["buffer"] = self._buffer[:, : self._filled].copy()
        state |= {"n_valid": self._n_valid, "n": self._n}
        state["counts"] = dict(self._count)
        state["scores"] = dict(self._scores)
        return state

    def restore(self, state: State) -> None:
        """Go on from a state, here or in another process, whose clock may be another: the rate's window starts anew.

        StreamError where the state is of another signal.
        """
        buffer = state["buffer"]
        if len(buffer) != self.signal.n_chans or buffer.shape[1] >= self._size:
            raise StreamError(
                f"The state is of {len(buffer)} channels with {buffer.shape[1]} samples begun",
                allowed=f"{self.signal.n_chans} channels, fewer than {self._size} samples",
                remedy="Restore it beside the decoder that it was saved with",
            )
        state = copy_state(state)
        self._filled = buffer.shape[1]
        self._buffer[:, : self._filled] = buffer
        self._n_valid, self._n = state["n_valid"], state["n"]
        self._count, self._scores = dict(state["counts"]), dict(state["scores"])
        self._state = {k: state[k] for k in KINDS}
        self._state["rate"] = self._rate.moved(self._state["rate"])
        self._said = {}
