"""GDF files for tests, written field by field from the format's specification: both headers, every sample type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals

CODES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8"}
INT24, UINT24 = 279, 535
BOUND = 0.0  # `make_gdf` writes the values as float32 volts
LABELS = {"left": "769", "right": "770", "blink": "1"}  # what the contract's words are in a file of numbers


@dataclass(frozen=True)
class Gdf:
    """One channel: its samples (n_records * n,) as stored, and what its part of the header says."""

    label: str
    samples: Any
    code: int = 3
    unit: str | int = 4275  # uV, as text in version 1
    physical: tuple[float, float] = (-100.0, 100.0)
    digital: tuple[float, float] = (-1000, 1000)
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)


def stored(samples: Any, code: int) -> np.ndarray:
    """Return samples as bytes (n, width)."""
    samples = np.asarray(samples)
    if code in (INT24, UINT24):
        return samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
    return np.ascontiguousarray(samples.astype(CODES.get(code, "<i2"))).view(np.uint8).reshape(len(samples), -1)


def padded(text: str, width: int) -> bytes:
    return text.encode("latin-1").ljust(width)


def table(
    events: Sequence[tuple[int, ...]], *, mode: int = 1, sfreq: float = 0.0, version: str = "2.20", said: int = -1
) -> bytes:
    """Return the table of events (position, type[, channel, duration])."""
    n = len(events) if said < 0 else said
    columns = list(zip(*events, strict=True)) if events else [()] * 4
    parts = [np.array(columns[0], "<u4").tobytes(), np.array(columns[1], "<u2").tobytes()]
    if mode == 3:
        parts += [np.array(columns[2], "<u2").tobytes(), np.array(columns[3], "<u4").tobytes()]
    if float(version) < 1.94:
        head = bytes([mode]) + int(sfreq).to_bytes(3, "little") + n.to_bytes(4, "little")
    else:
        head = bytes([mode]) + n.to_bytes(3, "little") + np.array(sfreq, "<f4").tobytes()
    return head + b"".join(parts)


def gdf_bytes(
    channels: Sequence[Gdf],
    *,
    n_records: int,
    record_s: tuple[int, int] = (1, 1),
    version: str = "2.20",
    events: bytes = b"",
    said: int | None = None,
    tags: bytes = b"",
) -> bytes:
    """Return a file. record_s : as a fraction. said : the number of records the header gives, if another."""
    new, count = float(version) > 1.9, len(channels)
    tags = tags.ljust(-(-len(tags) // 256) * 256, b"\0")
    head = bytearray(b"\0" * 256)
    head[:8] = f"GDF {version}".encode()
    head[8:16] = b"X Person"
    blocks = count + 1 + len(tags) // 256
    head[184:192] = blocks.to_bytes(2, "little") + bytes(6) if new else (256 * blocks).to_bytes(8, "little")
    head[236:244] = (n_records if said is None else said).to_bytes(8, "little", signed=True)
    head[244:252] = np.array(record_s, "<u4").tobytes()
    if float(version) >= 2.21:
        head[244:252] = np.array(record_s[0] / record_s[1], "<f8").tobytes()
    head[252:256] = count.to_bytes(4, "little")
    rows = [stored(c.samples, c.code).reshape(n_records, -1) for c in channels]
    n = [len(np.asarray(c.samples)) // n_records for c in channels]
    columns = [
        [padded(c.label, 16) for c in channels],
        [bytes(80) for _ in channels],
        [_unit(c, new) for c in channels],
        [np.array(c.physical[0], "<f8").tobytes() for c in channels],
        [np.array(c.physical[1], "<f8").tobytes() for c in channels],
        [np.array(c.digital[0], "<f8" if new else "<i8").tobytes() for c in channels],
        [np.array(c.digital[1], "<f8" if new else "<i8").tobytes() for c in channels],
        [bytes(80) for _ in channels],
        [k.to_bytes(4, "little") for k in n],
        [c.code.to_bytes(4, "little") for c in channels],
        [np.array(c.xyz, "<f4").tobytes() for c in channels],
        [bytes(20) for _ in channels],
    ]
    if new:  # two columns of one row each
        columns[2:3] = [[u[:6] for u in columns[2]], [u[6:] for u in columns[2]]]
    text = b"".join(b"".join(column) for column in columns)
    return bytes(head) + text + tags + np.concatenate(rows, axis=1).tobytes() + events


def _unit(channel: Gdf, new: bool) -> bytes:
    if new:
        return bytes(6) + int(channel.unit).to_bytes(2, "little")
    return padded(channel.unit if isinstance(channel.unit, str) else "uV", 8)


def make_gdf(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write the content of the readers' contract as GDF 2.20, in float32 volts; the labels become `LABELS`."""
    channels = [Gdf(name, row, 16, 4256, (-1, 1), (-1, 1)) for name, row in zip(spec.ch_names, values, strict=True)]
    sfreq = int(spec.sfreq)
    rows = [
        (round(start * sfreq) + 1, int(LABELS[label]), 0, round((end - start) * sfreq)) for start, end, label in trials
    ]
    events = table(rows, mode=3, sfreq=sfreq)
    raw = gdf_bytes(channels, n_records=values.shape[1] // sfreq, record_s=(1, 1), events=events)
    (folder / "a.gdf").write_bytes(raw)
    return folder / "a.gdf"
