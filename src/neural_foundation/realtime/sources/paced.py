"""Sources that make their samples themselves, at the pace of a clock or as fast as they are read."""

from __future__ import annotations

from abc import abstractmethod
from time import monotonic
from typing import Annotated, Literal

from pydantic import Field

from ...core.specs import SignalSpec
from ...core.stream import Chunk
from .base import OpenSource

Speed = Annotated[float, Field(gt=0)] | Literal["max"]
BLOCK_S = 0.02


class Paced(OpenSource):
    """A block is there when its last sample is due. Nothing is dropped: a late reader gets at once what is due.

    speed : 1 is real time, 2 is twice as fast, "max" does not wait at all.
    """

    def __init__(self, signal: SignalSpec, *, speed: Speed, block_s: float | None) -> None:
        super().__init__(signal)
        self.block = max(1, round((block_s or BLOCK_S) * signal.sfreq))
        self.speed = float("inf") if speed == "max" else float(speed)
        self._at = 0
        self._began_s: float | None = None

    def _read(self, timeout_s: float) -> Chunk | None:
        if self._began_s is None:
            self._began_s = monotonic()
        if not self._due(timeout_s):
            return None
        chunk = self._take(self._at, self.block)
        if chunk is None:
            self._end("it has no more samples")
            return None
        self._at += chunk.n_times
        return chunk

    def _due(self, timeout_s: float) -> bool:
        """Wait for the next block, `timeout_s` at most; whether it is due."""
        wait_s = self._stamp(self._at + self.block) - monotonic()
        if wait_s <= 0:
            return True
        self._closing.wait(min(wait_s, timeout_s))
        return wait_s <= timeout_s and not self._closing.is_set()

    def _stamp(self, sample: int) -> float:
        return (self._began_s or 0.0) + sample / (self.speed * self.signal.sfreq)

    @property
    def measured_sfreq(self) -> float | None:
        """Samples per second of the played time, as they were handed over; None at speed "max"."""
        if self._began_s is None or self.speed == float("inf"):
            return None
        seconds = self._came_s - self._began_s
        return self._at / (seconds * self.speed) if seconds >= 1.0 else None

    def stamp_of(self, sample: int) -> float:
        """Return when the sample was due; at speed "max", when the last one was read."""
        return self._came_s if self.speed == float("inf") else self._stamp(sample)

    @abstractmethod
    def _take(self, at: int, n: int) -> Chunk | None:
        """Return the samples [at, at + n), fewer at the end; None after it."""
