"""Images of the report: what is drawn is what was given, in a file that other programs read."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np

from neural_foundation.evaluation.report.heat import LEVELS, heat, levels, png


def decoded(data: bytes) -> tuple[np.ndarray, dict[bytes, bytes]]:
    """Return the palette indices of a PNG without filters, and its chunks; fails on a wrong checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(name + body),)
        chunks[name], at = body, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], chunks


def test_an_image_holds_its_levels() -> None:
    given = np.arange(12, dtype=np.uint8).reshape(3, 4)
    made, chunks = decoded(png(given))
    assert np.array_equal(made, given)
    assert len(chunks[b"tRNS"]) * 3 == len(chunks[b"PLTE"]) == 3 * LEVELS
    assert chunks[b"tRNS"][0] == 0
    assert chunks[b"tRNS"][-1] == 255
    assert chunks[b"IEND"] == b""


def test_levels_run_from_nothing_to_full() -> None:
    values = np.array([[0.0, 1.0, 2.0, 9.0, -1.0, np.nan]])
    assert levels(values, 2.0).tolist() == [[0, round((LEVELS - 1) / 2), LEVELS - 1, LEVELS - 1, 0, 0]]
    assert levels(np.ones((1, 1)), 0.0).tolist() == [[LEVELS - 1]]


def test_the_first_row_is_on_top() -> None:
    text = heat(np.array([[1.0, 0.0], [0.0, 0.0]]), 1.0, 0, 0, 10, 10)
    found = re.search(r"base64,([A-Za-z0-9+/=]+)", text)
    assert found is not None
    made, _ = decoded(base64.b64decode(found[1]))
    assert made.tolist() == [[LEVELS - 1, 0], [0, 0]]
