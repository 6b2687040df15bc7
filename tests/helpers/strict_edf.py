"""EDF, EDF+ and BDF, parsed from Kemp et al. 1992, Kemp and Olivan 2003, and BioSemi's page; slow and plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from strict_content import Channel, Content, Row, Unsure, need, volts

from neural_foundation.recordings.channels import channel

WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


def edf(path: Path) -> Content:
    return content(path.read_bytes(), 2)


def bdf(path: Path) -> Content:
    return content(path.read_bytes(), 3)


def content(raw: bytes, width: int) -> Content:
    need(raw[:8] == (b"0       " if width == 2 else b"\xffBIOSEMI"), "version")
    count = number(raw[252:256])
    need(count == int(count) and count >= 1 and number(raw[184:192]) == 256 * (count + 1), "header size")
    n, records, seconds = int(count), number(raw[236:244]), number(raw[244:252])
    need(records == int(records) and records >= 1 and seconds >= 0, "records")
    columns, at = [], 256
    for size in WIDTHS:
        columns.append([raw[at + i * size : at + (i + 1) * size] for i in range(n)])
        at += size * n
    samples = [int(number(word)) for word in columns[8]]
    need(min(samples) > 0 and len(raw) == at + int(records) * width * sum(samples), "size of the file")
    rows = np.frombuffer(raw[at:], np.uint8).reshape(int(records), -1)
    plus = raw[192:197].decode("latin-1")
    labels = [text(word) for word in columns[0]]
    is_text = [label in ("EDF Annotations", "BDF Annotations") for label in labels]
    need(any(is_text) or plus[3:4] != "+", "EDF+ without annotations")
    starts = width * np.concatenate([[0], np.cumsum(samples)])
    parts = [rows[:, starts[i] : starts[i + 1]] for i in range(n)]
    notes = [
        annotations([part[r].tobytes() for part, t in zip(parts, is_text, strict=True) if t])
        for r in range(int(records))
    ]
    timed = plus in ("EDF+C", "EDF+D", "BDF+C", "BDF+D")
    onsets = [note[0] if timed else r * seconds for r, note in enumerate(notes)]
    found = []
    for i in range(n):
        if is_text[i]:
            continue
        if labels[i].lower() == "status":
            raise Unsure("a status channel")
        unit, factor = volts(micro(columns[2][i]))
        low, high, first, last = (number(columns[c][i]) for c in (3, 4, 5, 6))
        need(first < last and low != high and float(first).is_integer() and float(last).is_integer(), "range")
        gain = (high - low) / (last - first)
        slack = 1e-15 * max(abs(low), abs(high), abs(first * gain)) * factor
        values = ((integers(parts[i], width) - first) * gain + low) * factor
        rate = samples[i] / seconds
        found.append(Channel(channel(labels[i]).name, rate, placed(values, onsets, rate), unit, onsets[0], slack))
    names = [c.name for c in found]
    need(len(set(names)) == len(names), "names")
    events: list[Row] = [row for note in notes for row in note[1]]
    return Content(found, events)


def text(raw: bytes) -> str:
    need(all(32 <= byte < 127 for byte in raw), "not ASCII")
    return raw.decode("ascii").strip()


def micro(raw: bytes) -> str:
    for sign in (b"\xc2\xb5", b"\xce\xbc", b"\xb5"):
        if raw.startswith(sign):
            return "u" + text(raw[len(sign) :])
    return text(raw)


def number(raw: bytes) -> float:
    word = text(raw)
    need(bool(word) and set(word) <= set("0123456789+-.eE"), f"no number {word!r}")
    return float(word)


def integers(part: np.ndarray, width: int) -> np.ndarray:
    """Return little-endian two's complement integers of 2 or 3 bytes, record by record."""
    three = np.ascontiguousarray(part).reshape(len(part), -1, width).astype(np.int64)
    value = sum(three[:, :, k] << 8 * k for k in range(width))
    return np.asarray(np.where(value >= 1 << 8 * width - 1, value - (1 << 8 * width), value), dtype=float)


def placed(values: np.ndarray, onsets: list[float], rate: float) -> np.ndarray:
    """Return the samples of the records at their places, NaN between them."""
    at = [round((onset - onsets[0]) * rate) for onset in onsets]
    need(all(b - a >= values.shape[1] for a, b in zip(at, at[1:], strict=False)), "records overlap")
    line = np.full(at[-1] + values.shape[1], np.nan)
    for place, row in zip(at, values, strict=True):
        line[place : place + len(row)] = row
    return line


def annotations(parts: list[bytes]) -> tuple[float, list[Row]]:
    """Return the onset of a record, and its annotations, of the bytes of each of its annotation channels."""
    onset, rows = 0.0, []
    for i, part in enumerate(parts):
        lists = [piece for piece in part.rstrip(b"\0").split(b"\0") if part.rstrip(b"\0")]
        for k, tal in enumerate(lists):
            head, *words = tal.split(b"\x14")
            need(bool(words) and words.pop() == b"", "a TAL does not end")
            start, _, length = head.partition(b"\x15")
            need(start[:1] in (b"+", b"-"), "an onset has no sign")
            a, b = number(start), number(length) if length else 0.0
            if i == k == 0:
                need(bool(words) and words[0] == b"", "no time-keeping TAL")
                onset = a
            rows += [(a, a + b, word.decode("utf-8")) for word in words if word]
        need(i > 0 or bool(lists), "no time-keeping TAL")
    return onset, rows
