"""Where the samples of a recording lie as plain bytes, so that windows are read without the HDF5 library.

A contiguous array of an HDF5 session is one stretch of its file: float32, or int16 with a gain for each channel
(`volts = samples * gain`, `gain` a float64 column of the channels' table). Bytes are read with `pread` into a block
that stays in the cache and are turned from there. A memory map of the file is no faster, counts as resident memory,
and ends the process where the file becomes shorter.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from ..recordings import Signal
from ..recordings.hdf5_signals import SeriesSignal
from ..recordings.hdf5_tree import guarded

Values = NDArray[np.float32]
Gain = NDArray[np.float64]
Stamp = tuple[int, ...]

BLOCK_BYTES = 1 << 19
_PLAIN = ("<f4", "<i2")


@dataclass(frozen=True, eq=False)
class Place:
    """Samples (n_times, n_chans) of one type from byte `offset` on; `gain` (n_chans,) for int16."""

    dtype: str
    offset: int
    n_chans: int
    gain: Gain | None = None

    @property
    def row_bytes(self) -> int:
        return int(self.dtype[-1]) * self.n_chans

    def span(self, start: int, n_times: int) -> tuple[int, int]:
        """Return first byte and number of bytes of some samples."""
        return self.offset + start * self.row_bytes, n_times * self.row_bytes


def place_of(signal: Signal) -> Place | None:
    """Return where a signal's samples lie; None where only its reader can give them (chunked, compressed, EDF ...)."""
    if not isinstance(signal, SeriesSignal) or sys.byteorder != "little":
        return None
    with guarded(signal.path):
        samples: Any = signal.samples
        if samples.chunks is not None or samples.dtype.str not in _PLAIN:
            return None
        offset = samples.id.get_offset()
    if offset is None or not signal.n_times:
        return None
    return Place(samples.dtype.str, int(offset), signal.spec.n_chans, gain_of(signal))


def gain_of(signal: SeriesSignal) -> Gain | None:
    """Return the gain (n_chans,) of int16 samples, checked by their reader; None where samples are what they are."""
    return signal.gain


class RawFile:
    """A file whose plain samples are read at any place; RecordingError where it is not as it was any more."""

    def __init__(self, path: Path, place: Place, stamp: Stamp) -> None:
        self.path, self.place, self._stamp = path, place, stamp
        try:
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise RecordingError(path, f"it cannot be opened ({error.strerror})", remedy="Check the path") from None
        self._close = weakref.finalize(self, os.close, self._fd)
        rows = max(2, BLOCK_BYTES // place.row_bytes)
        self._block = np.empty((rows - rows % 2, place.n_chans), place.dtype)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._close()

    def read_into(self, start: int, out: Values) -> bool:
        """Write samples from `start` on to `out` (n_chans, n_times); return whether all are finite."""
        if stamp_of(os.fstat(self._fd)) != self._stamp:
            raise changed(self.path)
        finite, n_times, rows = True, out.shape[1], len(self._block)
        for at in range(0, n_times, rows):
            block = self._block[: min(rows, n_times - at)]
            offset, n_bytes = self.place.span(start + at, len(block))
            self._fill(block.data.cast("B"), offset, n_bytes)
            finite &= turned(block, self.place.gain, out[:, at : at + len(block)])
        return finite

    def _fill(self, into: memoryview, offset: int, n_bytes: int) -> None:
        done = 0
        while done < n_bytes:  # a network's file system may give a part
            n = os.preadv(self._fd, [into[done:]], offset + done)
            if n == 0:
                raise changed(self.path)
            done += n


def turned(block: NDArray[Any], gain: Gain | None, out: Values) -> bool:
    """Write a block (n, n_chans) of stored samples to `out` (n_chans, n); return whether all are finite."""
    from ..recordings import int16_kernels
    from . import window_kernels as k

    paired = block.shape[1] % 2 == 0 and block.ctypes.data % 8 == 0
    if block.dtype.kind == "i":
        gain = np.ones(block.shape[1]) if gain is None else gain
        run: Callable[..., None] = int16_kernels.scale_pairs if paired else int16_kernels.scale
        run(block.view(np.uint32) if paired else block, gain, out)
        return True
    if paired and len(block) % 2 == 0 and out.ctypes.data % 8 == 0 and out.strides[0] % 8 == 0:
        words = block.view(np.uint64)
        k.turn_pairs(words, out.view(np.uint64))
        return bool(k.all_finite(words.reshape(-1)))
    k.turn(block, out)
    return bool(np.isfinite(block).all())


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells a file from another or a later one."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def changed(path: Path | str) -> RecordingError:
    """Return the error for a file that was rewritten while windows were read from it."""
    given = "it changed since it was opened"
    return RecordingError(path, given, remedy="Do not write to a recording that is being read")
