"""Images of many cells: one colour from nothing to full, as a small PNG inside the page.

A drawing of thirty thousand rectangles is megabytes; the same cells as an image are kilobytes. The paper shows through
where a cell is empty, so that one image serves light and dark.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from .content import Array
from .markup import Html, el

LEVELS = 32
_BLUE = (0, 114, 178)  # the accent of the style sheet, which lightens it in the dark
STYLE = (
    ".heat{image-rendering:pixelated}.frame{fill:none;stroke:var(--rule);stroke-width:1}"
    "@media screen and (prefers-color-scheme:dark){.heat{filter:brightness(1.75)}}"
)


def png(levels: Array) -> bytes:
    """Return a PNG of levels (h, w), 0 empty to LEVELS - 1 full; one colour, more opaque with each level."""
    rows = np.asarray(levels, np.uint8)
    height, width = rows.shape
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # each row begins with its filter
    alpha = bytes(round(255 * i / (LEVELS - 1)) for i in range(LEVELS))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", bytes(_BLUE) * LEVELS), (b"tRNS", alpha), (b"IDAT", zlib.compress(raw, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*p) for p in (*parts, (b"IEND", b"")))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def levels(values: Array, full: float) -> Array:
    """Return values (h, w) as levels; `full` and above are full, 0, below and unknown are empty."""
    share = np.clip(np.nan_to_num(np.asarray(values, float)) / (full if full > 0 else 1.0), 0, 1)
    return np.asarray(np.round(share * (LEVELS - 1)), np.uint8)


def heat(values: Array, full: float, x: float, y: float, width: float, height: float) -> Html:
    """Return values (h, w), their first row on top, as an image in a drawing, with a frame."""
    made = base64.b64encode(png(levels(values, full))).decode()
    frame = el("rect", x=x, y=y, width=width, height=height, class_="frame")
    image = el(
        "image",
        href=f"data:image/png;base64,{made}",
        x=x,
        y=y,
        width=width,
        height=height,
        preserveAspectRatio="none",
        class_="heat",
    )
    return Html(image + frame)
