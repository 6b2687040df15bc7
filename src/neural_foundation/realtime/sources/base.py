"""What a source is: a spec that opens into a stream of samples, read chunk by chunk.

Shapes: chunks (n_chans, n_times) float32 in volts, `valid` (n_times,) False where a sample is missing. `start` counts
samples since the first one. Samples that the source's own clock says are missing are not left out: a short gap comes
as invalid samples, after a longer one `start` jumps, and whoever decodes begins anew.

Times are seconds on this machine's monotonic clock (`time.monotonic`).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator

from ...core.errors import SignalMismatchError, StreamError, did_you_mean, one_of
from ...core.specs import SignalSpec, Spec, off_key
from ...core.stream import Chunk


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split("+")) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]  # "C3+Cz+C4", where a source is given as one word


class Trial(NamedTuple):
    """A labelled stretch of a source whose truth is known: samples [start, stop)."""

    start: int
    stop: int
    label: str


@dataclass
class Counts:
    """What became of a source's samples.

    samples : handed over, the missing ones among them. missing : invalid, or jumped over. dropped : of the missing,
    those that were lost here because nobody read. gaps : stretches of missing ones. restarts : of the gaps, those too
    long to bridge. jumps : of the source's clock.
    """

    samples: int = 0
    missing: int = 0
    dropped: int = 0
    gaps: int = 0
    restarts: int = 0
    jumps: int = 0

    def notes(self) -> list[str]:
        """Return in words what was not as it should be."""
        said = []
        if self.missing:
            long = f", {self.restarts} too long to bridge" if self.restarts else ""
            said.append(f"{self.missing} samples were missing in {self.gaps} gaps{long}")
        if self.dropped:
            said.append(f"{self.dropped} of them were dropped here: they were not read in time")
        if self.jumps:
            said.append(f"the source's clock jumped {self.jumps} times")
        return said


class Source(Spec):
    """Base of every source. `argument` : the field that the word after the colon in `KIND:WORD` gives."""

    kind: str
    argument: ClassVar[str] = ""
    block_s: float | None = off_key(None, gt=0, le=10, description="seconds handed over at once; null: what is there")

    @abstractmethod
    def open(self) -> OpenSource:
        """Return the running source; StreamError, MissingExtraError or DataError where it cannot be opened."""


class OpenSource(ABC):
    """A source that runs; close it, or use it as a context manager. One thread reads it; any may close it.

    signal : what it gives. counts : what became of its samples. ended : nothing more will come; `reason` says why.
    """

    def __init__(self, signal: SignalSpec) -> None:
        self.signal, self.counts = signal, Counts()
        self.ended, self.reason = False, ""
        self._closing = threading.Event()
        self._came_s = monotonic()

    def read(self, timeout_s: float = 1.0) -> Chunk | None:
        """Return the next samples; None where none came within `timeout_s`, or where the source has `ended`.

        StreamError once it is closed.
        """
        if self._closing.is_set():
            raise StreamError("The source is closed", remedy="Open it again")
        chunk = None if self.ended else self._read(timeout_s)
        if chunk is not None:
            self._came_s = monotonic()
            self.counts.samples += chunk.n_times
        return chunk

    @property
    def stalled_s(self) -> float:
        """Seconds since samples last came."""
        return monotonic() - self._came_s

    @property
    @abstractmethod
    def measured_sfreq(self) -> float | None:
        """Samples per second as measured; None before there is enough to say, and where there is no clock."""

    @abstractmethod
    def stamp_of(self, sample: int) -> float:
        """Return when a sample was taken, seconds on this machine's monotonic clock."""

    def trials(self, start: int, stop: int) -> list[Trial]:
        """Return the trials that begin in [start, stop), where the truth is known; none otherwise."""
        return []

    def close(self) -> None:
        """Stop and release; a second call does nothing."""
        if not self._closing.is_set():
            self._closing.set()
            self._close()

    def _close(self) -> None:  # noqa: B027 - what a kind holds it releases; some hold nothing
        """Release what the kind holds."""

    @abstractmethod
    def _read(self, timeout_s: float) -> Chunk | None: ...

    def _end(self, reason: str) -> None:
        self.ended, self.reason = True, reason

    def __enter__(self) -> OpenSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass
class Rate:
    """Samples per second by a clock, over stretches without gaps or jumps of it."""

    least_s: float = 1.0
    samples: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)

    def saw(self, samples: int, seconds: float) -> None:
        """Take note of samples that took so many seconds."""
        self.samples, self.seconds = self.samples + samples, self.seconds + seconds

    @property
    def value(self) -> float | None:
        """The rate, once there are `least_s` seconds to tell it from."""
        return self.samples / self.seconds if self.seconds >= self.least_s else None


def picked(signal: SignalSpec, channels: tuple[str, ...]) -> tuple[SignalSpec, list[int]]:
    """Return the signal of some channels, in their order, and their rows; SignalMismatchError names what is missing."""
    if not channels:
        return signal, list(range(signal.n_chans))
    for name in channels:
        if name not in signal.ch_names:
            given = f"The source has no channel '{name}'.{did_you_mean(name, signal.ch_names)}"
            raise SignalMismatchError(given, allowed=one_of(signal.ch_names))
    rows = [signal.ch_names.index(name) for name in channels]
    parts = {
        part: tuple(getattr(signal, part)[i] for i in rows)
        for part in ("ch_types", "positions", "units")
        if getattr(signal, part)
    }
    return signal.replace(ch_names=channels, **parts), rows
