"""Samples kept as int16: whole multiples of a step, half the bytes of float32.

A sample becomes the nearest multiple of `step` (half a step off at most), stored as int16 beside the steps of its
channels, column `gain` of their table. It comes back as float32(gain * sample).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError, SpecError
from ..core.specs import SignalSpec
from ..core.stream import Chunk

LARGEST = 32767
LITTLE = sys.byteorder == "little"
LARGEST_GAIN = float(np.finfo(np.float32).max) / (LARGEST + 1)

Gain = NDArray[np.float64]
Stored = NDArray[np.int16] | NDArray[np.float32]


def check_step(step: float | None) -> None:
    """Raise SpecError unless a step is None or a number that int16 samples can have."""
    if step is not None and not 0 < step <= LARGEST_GAIN:
        raise SpecError(f"The step of int16 samples is {step}", allowed=f"above 0, up to {LARGEST_GAIN:.3g}")


def stored(chunk: Chunk, spec: SignalSpec, step: float | None) -> Stored:
    """Return a chunk's samples (n_times, n_chans) as they are written, float32 without a step.

    DataError where a valid sample lies beyond the range of int16. What is not valid is cut off at the range's ends, and
    is 0 where it is not a number.
    """
    if step is None:
        return np.ascontiguousarray(chunk.values.T, dtype="<f4")
    if chunk.values.dtype == np.float32 and chunk.values.flags.carray and LITTLE:
        from .int16_kernels import quantise

        rows = np.empty(chunk.values.shape[::-1], np.int16)
        if quantise(chunk.values, step, rows):
            return rows
    return _cut_off(chunk, spec, step)


def _cut_off(chunk: Chunk, spec: SignalSpec, step: float) -> Stored:
    steps = np.rint(np.asarray(chunk.values.T, np.float64) / step)
    beyond = (np.abs(steps) > LARGEST) & chunk.valid[:, None]
    if beyond.any():
        at, channel = np.argwhere(beyond)[0]
        raise DataError(
            f"Sample {chunk.start + at} of '{spec.ch_names[channel]}' is {chunk.values[channel, at]:.3g}",
            allowed=f"up to {LARGEST} steps of {step:g}, which is {LARGEST * step:.3g}",
            remedy="Give a larger step, or keep float32",
        )
    return np.nan_to_num(steps, nan=0.0).clip(-LARGEST, LARGEST).astype("<i2", order="C")


def scaled(rows: NDArray[Any], gain: Gain) -> NDArray[np.float32]:
    """Return int16 samples (n_times, n_chans) in volts, float32 (n_chans, n_times): float32(gain * sample)."""
    if not (LITTLE and rows.dtype == np.int16 and rows.flags.carray):
        return np.ascontiguousarray((rows * gain).T.astype(np.float32))
    from .int16_kernels import scale, scale_pairs

    values = np.empty(rows.shape[::-1], np.float32)
    if rows.shape[1] % 2 == 0 and rows.ctypes.data % 4 == 0:
        scale_pairs(rows.view(np.uint32), gain, values)
    else:
        scale(rows, gain, values)
    return values


def gains_of(path: Any, column: Any, n_chans: int) -> Gain:
    """Return the gains (n_chans,) from their column; RecordingError where they are not one usable number a channel."""
    gain = np.zeros(1)
    if column is not None and column.dtype.kind == "f" and column.shape == (n_chans,):
        gain = np.asarray(column[()], np.float64)
    if not (np.isfinite(gain).all() and (gain > 0).all() and (gain <= LARGEST_GAIN).all()):
        allowed = "one finite number above 0 for each channel"
        remedy = "Copy or make the file again"
        raise RecordingError(path, "the gains of its int16 samples cannot be used", allowed=allowed, remedy=remedy)
    return gain
