"""A chain that begins with spikes: their counts in equal bins."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.errors import DataError, SignalMismatchError, one_of
from ..core.specs import SignalSpec
from ..core.stream import Transducer
from ..recordings.events import Spikes
from ..recordings.session import Session, Signal
from .resample import Unchanged
from .source import Source
from .spikes import binned


class BinSpikes(Source):
    """Counts the spikes of each unit in bins of bin_s; must be a chain's first operation. A channel a unit.

    A spike on an edge belongs to the later bin; times are rounded to a 2^24th of a bin first. The bins begin at
    start_s and cover the session's primary signal, or, where it has none, its trials and spikes from the whole second
    before the first to the end of the last. Live, a `SpikeBinner` of the same units and bins feeds the chain.
    """

    kind: Literal["bin_spikes"] = "bin_spikes"
    bin_s: float = Field(0.01, gt=0, description="length of a bin")
    spikes: str | None = Field(None, description="name of the spikes in the session; None: the only ones")
    start_s: float | None = Field(None, description="where the first bin begins; None: where the session does")
    stop_s: float | None = Field(None, description="where the last bin has ended; None: where the session does")

    @model_validator(mode="after")
    def _ordered(self) -> BinSpikes:
        if self.start_s is not None and self.stop_s is not None and self.start_s >= self.stop_s:
            raise ValueError(f"start_s={self.start_s:g} must be below stop_s={self.stop_s:g}")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the identity; SignalMismatchError where the signal is no counts in bins of bin_s."""
        if set(signal.units) != {""} or abs(signal.sfreq * self.bin_s - 1) > 1e-9:
            raise SignalMismatchError(
                f"bin_spikes: a signal at {signal.sfreq:g} Hz is not spike counts in bins of {self.bin_s:g} s",
                allowed="the first place in a chain",
                remedy="Move bin_spikes to the front; it takes a session's spikes, not a signal",
            )
        return Unchanged(signal)

    def signal(self, session: Session) -> Signal:
        """Return the counts; DataError where the session has no such spikes."""
        spikes = self._of(session)
        start, stop = _span(session, spikes)
        return binned(
            spikes,
            self.bin_s,
            start if self.start_s is None else self.start_s,
            stop if self.stop_s is None else self.stop_s,
        )

    def _of(self, session: Session) -> Spikes:
        if self.spikes is not None:
            return session.spikes[self.spikes]
        if len(session.spikes) != 1:
            raise DataError(
                f"Session '{session.session_id}' has {len(session.spikes)} spikes to bin",
                allowed=f"spikes: {one_of(session.spikes)}" if session.spikes else "a recording with spikes",
            )
        return next(iter(session.spikes.values()))


def _span(session: Session, spikes: Spikes) -> tuple[float, float | None]:
    """Return where a session begins and ends; None: with the last spike's bin."""
    if session.signals:
        signal = session.signal
        return signal.start_s, signal.start_s + signal.duration_s
    starts = [*spikes.times_s[:1].tolist(), *session.trials.start_s.tolist()]
    start = float(min(starts, default=0.0) // 1)
    ends = session.trials.end_s.tolist()
    if not ends or (len(spikes) and spikes.times_s[-1] >= max(ends)):
        return start, None
    return start, float(max(ends))
