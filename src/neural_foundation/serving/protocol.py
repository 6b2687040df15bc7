"""The wire protocol of live decoding, version 1: what goes over one WebSocket, byte for byte.

Shapes: C channels, n samples, K classes, T tokens. All numbers are little-endian.

A connection begins with two JSON text frames, `hello` (from the client) and `welcome`. Everything after them is
binary, a header of 24 bytes and a payload, but for `notice` and `error`, which are JSON for people.

    offset  type  header
    0       u8    version, 1
    1       u8    frame type
    2       u16   flags
    4       u32   count: samples (SAMPLES), class (FEEDBACK), tokens (DECISIONS)
    8       u64   sequence: 1, 2, 3, ... of what the client sends; an answer carries that of the frame it answers
    16      u64   start: first sample (SAMPLES), sample it speaks of (RESET, FEEDBACK), first token (DECISIONS)

    frame      type  payload
    SAMPLES    1     (C, n) values, float32 volts, or int16 of `step` volts; with flag VALID, n bytes 0 or 1 after them
    RESET      2     none: the model's trial starts at sample `start`
    FEEDBACK   3     none: the right class at sample `start` was `count`
    END        4     none: flush what the look-ahead holds back, then close
    DECISIONS  16    T rows of `row_type(K)`, with flag UNSURE those of an ensemble; flag LAST on the answer to END
    ACK        17    none: all up to `sequence` is kept; a client that resumes need not send it again
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import NeuralFoundationError
from ..realtime.decision import LiveDecision

FORMAT_VERSION = 1
SUBPROTOCOL = "neural-foundation.v1"
SAMPLES, RESET, FEEDBACK, END, DECISIONS, ACK = 1, 2, 3, 4, 16, 17
FROM_CLIENT = {SAMPLES: "SAMPLES", RESET: "RESET", FEEDBACK: "FEEDBACK", END: "END"}
VALID, LAST, UNSURE = 1, 2, 4  # flags
HEADER = struct.Struct("<BBHIQQ")
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "int16": np.dtype("<i2")}
MOST_CLASSES = 64  # the bits of a prediction set


class ProtocolError(NeuralFoundationError):
    """A frame or hello that is not what the protocol allows; `code` is a short word, `close` the WebSocket code."""

    def __init__(self, code: str, given: str, *, allowed: str = "", remedy: str = "", close: int = 1008) -> None:
        super().__init__(given, allowed=allowed, remedy=remedy)
        self.code, self.close = code, close


@dataclass(slots=True)
class Frame:
    """One binary frame; `payload` is a view of the bytes that came."""

    type: int
    flags: int
    count: int
    sequence: int
    start: int
    payload: memoryview


def pack(type_: int, *, sequence: int, start: int = 0, count: int = 0, flags: int = 0, payload: bytes = b"") -> bytes:
    """Return one frame as bytes."""
    return HEADER.pack(FORMAT_VERSION, type_, flags, count, sequence, start) + payload


def unpack(data: bytes) -> Frame:
    """Return the frame in `data`; ProtocolError where it is none of this version."""
    if len(data) < HEADER.size:
        raise ProtocolError("frame", f"A frame has {len(data)} bytes", allowed=f"at least {HEADER.size}", close=1007)
    version, type_, flags, count, sequence, start = HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise ProtocolError("version", f"A frame says version {version}", allowed=f"{FORMAT_VERSION}", close=1003)
    return Frame(type_, flags, count, sequence, start, memoryview(data)[HEADER.size :])


def samples(
    values: NDArray[Any],
    *,
    sequence: int,
    start: int,
    dtype: str = "float32",
    step: float = 1.0,
    valid: NDArray[np.bool_] | None = None,
) -> bytes:
    """Return a SAMPLES frame of values (C, n) in volts.

    As int16, values are rounded to whole `step`s and cut off at the ends of int16; what is not finite cannot be told
    in int16 and is marked as not valid.
    """
    if dtype == "int16":
        finite = np.isfinite(values)
        if not finite.all():
            valid = finite.all(0) if valid is None else valid & finite.all(0)
        scaled = np.rint(np.where(finite, values, 0.0) / step)
        values = np.clip(scaled, -32768, 32767)
    body = np.ascontiguousarray(values, DTYPES[dtype]).tobytes()
    flags = 0
    if valid is not None:
        body, flags = body + np.asarray(valid, np.uint8).tobytes(), VALID
    return pack(SAMPLES, sequence=sequence, start=start, count=values.shape[1], flags=flags, payload=body)


def read_samples(
    frame: Frame, n_chans: int, dtype: str, step: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return values (C, n) in volts and validity (n,), None where all are valid; ProtocolError for a wrong size."""
    kind, n = DTYPES[dtype], frame.count
    size = n_chans * n * kind.itemsize
    flagged = bool(frame.flags & VALID)
    if len(frame.payload) != size + flagged * n:
        raise ProtocolError(
            "size",
            f"A SAMPLES frame of {n} samples has {len(frame.payload)} bytes after its header",
            allowed=f"{size + flagged * n}: {n_chans} channels of {dtype}{' and validity' if flagged else ''}",
            close=1007,
        )
    values = np.frombuffer(frame.payload[:size], kind).reshape(n_chans, n)
    wide = values if kind.itemsize == 4 else values * np.float32(step)
    return wide, np.frombuffer(frame.payload[size:], np.uint8) == 1 if flagged else None


def row_type(n_classes: int, *, unsure: bool = False) -> np.dtype[Any]:
    """Return the type of one decision: `sample` input samples had come when it was made, `set` has one bit a class.

    unsure : of an ensemble, which also says the entropy of its members' mixture and their disagreement, in nats.
    """
    last = [("entropy", "<f4"), ("disagreement", "<f4")] if unsure else []
    return np.dtype(
        [
            ("sample", "<u8"),
            ("set", "<u8"),
            ("valid", "u1"),
            ("abstained", "u1"),
            ("reserved", "<u2"),
            ("probability", "<f4", (n_classes,)),
            *last,
        ]
    )


def decisions(rows: NDArray[Any], *, sequence: int, first: int, last: bool = False) -> bytes:
    """Return a DECISIONS frame of rows (T,) of `row_type`."""
    flags = (LAST if last else 0) | (UNSURE if "entropy" in (rows.dtype.names or ()) else 0)
    return pack(DECISIONS, sequence=sequence, start=first, count=len(rows), flags=flags, payload=rows.tobytes())


def read_decisions(frame: Frame, n_classes: int) -> NDArray[Any]:
    """Return the rows of a DECISIONS frame; ProtocolError for a wrong size."""
    kind = row_type(n_classes, unsure=bool(frame.flags & UNSURE))
    if len(frame.payload) != frame.count * kind.itemsize:
        raise ProtocolError(
            "size",
            f"A DECISIONS frame of {frame.count} tokens has {len(frame.payload)} bytes after its header",
            allowed=f"{frame.count * kind.itemsize}",
            close=1007,
        )
    return np.frombuffer(frame.payload, kind)


def decision(row: Any, token: int, classes: Sequence[str], sfreq: float) -> LiveDecision:
    """Return one row as a decision; `sfreq` is that of the samples it counts."""
    probability, sample = row["probability"], int(row["sample"])
    unsure = [float(row[name]) for name in ("entropy", "disagreement")] if "entropy" in row.dtype.names else []
    return LiveDecision(
        token,
        sample,
        sample / sfreq,
        None if row["abstained"] else classes[int(probability.argmax())],
        dict(zip(classes, probability.tolist(), strict=True)),
        bool(row["valid"]),
        names_of(int(row["set"]), classes),
        *unsure,
    )


def bits(sets: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return prediction sets (K, T) as one number a token."""
    weights = np.left_shift(np.uint64(1), np.arange(len(sets), dtype=np.uint64))
    total: NDArray[np.uint64] = (sets.T.astype(np.uint64) * weights).sum(1, dtype=np.uint64)
    return total


def names_of(bits_: int, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes in a prediction set."""
    return tuple(c for i, c in enumerate(classes) if bits_ >> i & 1)
