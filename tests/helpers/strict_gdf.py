"""GDF 2.10 to 2.20 (arXiv cs/0608052), the versions that the tests write; another one is Unsure."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from strict_content import Channel, Content, Unsure, need

from neural_foundation.recordings.channels import channel

TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8"}
POWERS = {0: 0, 17: -2, 18: -3, 19: -6, 20: -9, 21: -12, 16: -1, 1: 1, 2: 2, 3: 3, 4: 6, 5: 9, 6: 12, 7: 15, 8: 18}
POWERS |= {9: 21, 10: 24, 22: -15, 23: -18, 24: -21, 25: -24}


def content(path: Path) -> Content:
    raw = path.read_bytes()
    if raw[:8] != b"GDF 2.20":
        raise Unsure("another version")
    n, blocks = struct.unpack("<H", raw[252:254])[0], struct.unpack("<H", raw[184:186])[0]
    need(n >= 1 and blocks >= n + 1 and len(raw) >= 256 * blocks, "header")
    records = struct.unpack("<q", raw[236:244])[0]
    top, bottom = struct.unpack("<II", raw[244:252])
    need(bottom > 0 and top > 0 and (records > 0 or records == -1), "records")
    seconds = top / bottom

    def column(start: int, width: int, i: int) -> bytes:
        at = 256 + start * n + width * i
        return raw[at : at + width]

    rows = []
    for i in range(n):
        code = struct.unpack("<I", column(220, 4, i))[0]
        if code in (279, 535):
            raise Unsure("24 bit")
        need(code in TYPES, "sample type")
        rows.append((np.dtype(TYPES[code]), struct.unpack("<I", column(216, 4, i))[0]))
    size = sum(dtype.itemsize * count for dtype, count in rows)
    need(min(count for _, count in rows) > 0, "samples a record")
    if records == -1:
        need((len(raw) - 256 * blocks) % size == 0, "half a record")
        records = (len(raw) - 256 * blocks) // size
    body = raw[256 * blocks : 256 * blocks + records * size]
    need(len(body) == records * size, "truncated")
    table = np.frombuffer(body, np.uint8).reshape(records, size)
    found, at = [], 0
    for i, (dtype, count) in enumerate(rows):
        part = np.ascontiguousarray(table[:, at : at + dtype.itemsize * count]).view(dtype).reshape(-1).astype(float)
        at += dtype.itemsize * count
        low, high, first, last = (struct.unpack("<d", column(c, 8, i))[0] for c in (104, 112, 120, 128))
        need(first < last and low != high and np.isfinite([low, high, first, last]).all(), "range")
        unit = struct.unpack("<H", column(102, 2, i))[0]
        if unit & ~31 != 4256 or unit & 31 not in POWERS:
            raise Unsure(f"unit {unit}")
        values = (low + (part - first) * (high - low) / (last - first)) * 10.0 ** POWERS[unit & 31]
        slack = 1e-15 * max(abs(low), abs(high), abs(first * (high - low) / (last - first))) * 10.0 ** POWERS[unit & 31]
        label = column(0, 16, i).split(b"\0")[0].decode("ascii").strip()
        found.append(Channel(channel(label).name, count / seconds, values, slack=slack))
    names = [c.name for c in found]
    if len(set(names)) < len(names):
        raise Unsure("channels of one name are numbered")
    return Content(found, events(raw[256 * blocks + records * size :], max(c.sfreq for c in found)))


def events(raw: bytes, sfreq: float) -> list[tuple[float, float, str]]:
    if not raw:
        return []
    need(len(raw) >= 8 and raw[0] in (1, 3), "table of events")
    n, rate = int.from_bytes(raw[1:4], "little"), struct.unpack("<f", raw[4:8])[0] or sfreq
    need(len(raw) == 8 + n * (6 if raw[0] == 1 else 12), "events")
    places, kinds = struct.unpack_from(f"<{n}I", raw, 8), struct.unpack_from(f"<{n}H", raw, 8 + 4 * n)
    lasts = struct.unpack_from(f"<{n}I", raw, 8 + 8 * n) if raw[0] == 3 else (0,) * n
    need(all(places), "an event at sample 0")
    return [((p - 1) / rate, (p - 1 + d) / rate, str(k)) for p, k, d in zip(places, kinds, lasts, strict=True)]
