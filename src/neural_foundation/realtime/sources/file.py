"""A recording as if it were live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...core.errors import DataError
from ...core.specs import off_key
from ...core.stream import Chunk
from .base import Names, Source, Trial, picked
from .paced import Paced, Speed

if TYPE_CHECKING:
    from ...recordings import Session


class File(Source):
    """Any recording that the readers open, in real time or as fast as it is read, once or over and over.

    Where it is repeated, its first sample follows on its last: there is a step in the signal, as at an electrode that
    is plugged in again.
    """

    kind: Literal["file"] = "file"
    argument: ClassVar[str] = "path"
    path: Path = off_key(..., description="the recording")
    speed: Speed = off_key(1.0, description='1 is real time; "max" as fast as it is read', union_mode="left_to_right")
    loop: bool = Field(False, description="begin again at the end")
    channels: Names = Field((), description="only these, in this order; default: all")

    def open(self) -> OpenFile:
        from ...recordings import read

        session = read(self.path)
        try:
            return OpenFile(self, session)
        except BaseException:
            session.close()
            raise


class OpenFile(Paced):
    """A recording that is being played."""

    def __init__(self, spec: File, session: Session) -> None:
        self._session, self._loop = session, spec.loop
        self._whole = session.signal
        if not self._whole.n_times:
            raise DataError(f"{spec.path} has no samples")
        signal, self._rows = picked(self._whole.spec, spec.channels)
        super().__init__(signal, speed=spec.speed, block_s=spec.block_s)
        self._trials = [self._trial(*row) for row in session.trials]

    def _trial(self, start_s: float, end_s: float, label: str) -> Trial:
        sfreq, zero = self.signal.sfreq, self._whole.start_s
        return Trial(round((start_s - zero) * sfreq), round((end_s - zero) * sfreq), label)

    def _take(self, at: int, n: int) -> Chunk | None:
        total = self._whole.n_times
        if at >= total and not self._loop:
            return None
        first = at % total
        stop = min(first + n, total)
        values = self._whole.read(first, stop)
        if len(self._rows) != len(values) or self._rows != sorted(self._rows):
            values = np.ascontiguousarray(values[self._rows])
        return Chunk(values, self._whole.valid(first, stop), at)

    def trials(self, start: int, stop: int) -> list[Trial]:
        return repeated(self._trials, self._whole.n_times if self._loop else None, start, stop)

    def _close(self) -> None:
        self._session.close()


def repeated(trials: list[Trial], period: int | None, start: int, stop: int) -> list[Trial]:
    """Return the trials that begin in [start, stop), where all of them come again every `period` samples."""
    first = start // period if period else 0
    last = (stop - 1) // period if period else 0
    shifted = (
        Trial(t.start + k * (period or 0), t.stop + k * (period or 0), t.label)
        for k in range(first, last + 1)
        for t in trials
    )
    return [t for t in shifted if start <= t.start < stop]
