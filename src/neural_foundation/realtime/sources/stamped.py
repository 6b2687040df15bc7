"""Sources whose samples come with time stamps: what is missing is told from them."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from ...core.specs import SignalSpec
from ...core.stream import Chunk
from .base import OpenSource
from .timeline import NOTHING, Timeline

SETTLE_S = 0.05  # what a source that stalled gets to deliver what it held back, before a gap is declared


class Stamped(OpenSource):
    """Lines up what came with what did not. `clock` : what the source's clock is ahead of this machine's, seconds."""

    def __init__(self, signal: SignalSpec, *, gap_s: float, max_gap_s: float, clock: float) -> None:
        super().__init__(signal)
        self._timeline, self._clock = Timeline(signal.sfreq, gap_s), clock
        self._longest = max_gap_s * signal.sfreq
        self._waiting: deque[Chunk] = deque()
        self._last = np.zeros((signal.n_chans, 1), np.float32)  # what came last, of which the last column is held
        self._valid = np.ones(0, np.bool_)
        self._next = 0

    @property
    def measured_sfreq(self) -> float | None:
        return self._timeline.rate.value

    def stamp_of(self, sample: int) -> float:
        return self._timeline.stamp_of(sample) - self._clock

    def _read(self, timeout_s: float) -> Chunk | None:
        if not self._waiting:
            self._take(timeout_s)
        return self._waiting.popleft() if self._waiting else None

    @abstractmethod
    def _take(self, timeout_s: float) -> None:
        """Receive samples within `timeout_s`, if any come, and hand them to `_arrived`."""

    def _arrived(self, values: NDArray[np.float32], stamps: Sequence[float], *, full: bool) -> None:
        """Take samples (n_chans, n) with their n stamps. full : the buffer was, so the oldest may have been lost."""
        place = self._timeline.place(stamps, monotonic())
        if place is NOTHING:
            self._line_up(values)
            return
        self.counts.jumps += place.jumps
        if place.missing:
            self._line_up(values[:, : place.at])
            self._skip(place.missing, full)
        self._line_up(values[:, place.at :])

    def _line_up(self, values: NDArray[np.float32], valid: bool = True) -> None:
        n = values.shape[1]
        if n:
            if len(self._valid) != n:
                self._valid = np.ones(n, np.bool_)
                self._valid.flags.writeable = False  # one for many chunks
            self._waiting.append(Chunk(values, self._valid if valid else np.zeros(n, np.bool_), self._next))
            self._last, self._next = values, self._next + n

    def _skip(self, missing: int, full: bool) -> None:
        """Mark missing samples, which hold the last value, or jump over them where they are too many."""
        self.counts.gaps += 1
        self.counts.missing += missing
        self.counts.dropped += missing if full else 0
        if missing <= self._longest:
            self._line_up(np.repeat(self._last[:, -1:], missing, 1), valid=False)
        else:
            self.counts.restarts += 1
            self._next += missing
