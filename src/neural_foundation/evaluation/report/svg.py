"""The few drawing tools that the figures share: scales, ticks, marks, text that fits.

All lengths are CSS pixels. Colours and line widths live in the style sheet, as classes, so one drawing serves light,
dark and print. A figure that needs two layouts is drawn twice, for a phone and for a page, and CSS shows one.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .content import Array
from .markup import Html, coordinate, el

NARROW, WIDE = 340.0, 720.0
FONT = 12.5  # as in the style sheet


@dataclass(frozen=True)
class Scale:
    """A line from data to pixels, or a logarithmic one."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of `value`, held within the axis."""
        low, high, v = (
            (math.log(x) for x in (self.low, self.high, max(value, 1e-300)))
            if self.log
            else (self.low, self.high, value)
        )
        share = (v - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values within the axis, about so many."""
        return _log_ticks(self.low, self.high, about) if self.log else _ticks(self.low, self.high, about)


def _ticks(low: float, high: float, about: int) -> list[float]:
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    for steps in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [m * 10.0**p for p in powers for m in steps if low <= m * 10.0**p <= high * (1 + 1e-9)]
        if len(found) <= about + 2:
            break
    return found[:: max(1, math.ceil(len(found) / (about + 2)))] or [low, high]


def span(values: Sequence[float] | Array, *, pad: float = 0.05, least: float = 1e-9) -> tuple[float, float]:
    """Return (low, high) around the finite values, padded; never empty."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = max((high - low) * pad, least, abs(high) * 1e-6)
    return low - margin, high + margin


def text_width(text: str, size: float = FONT) -> float:
    """Return about how wide a text is set in a system sans; East Asian letters count as square."""
    return (
        sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.34 if c in "ijl.,;:' |!()[]" else 0.57 for c in text)
        * size
    )


def fit(text: str, width: float, size: float = FONT) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width`."""
    text = str(text)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def label(x: float, y: float, text: str, *, anchor: str = "start", class_: str = "", full: str | None = None) -> Html:
    """Return a text; `full` is what the pointer reads where the text was cut."""
    title = el("title", full) if full is not None and full != text else None
    return el("text", title, text, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_ or None)


def held(x: float, text: str, low: float, high: float, size: float = FONT) -> float:
    """Return the middle x at which a centred text stays within [low, high]."""
    half = text_width(text, size) / 2
    return min(max(x, low + half), max(high - half, low + half))


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str | None = None) -> Html:
    tip = [el("title", title)] if title else []
    return el("rect", *tip, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=class_)


def mark(shape: int, x: float, y: float, class_: str, title: str, r: float = 5.0) -> Html:
    """Return a point mark: 0 circle, 1 square, 2 diamond, 3 triangle, 4 upright bar (shapes repeat after 3)."""
    tip = el("title", title)
    if shape == 4:
        return el("rect", tip, x=x - 1.25, y=y - r - 1, width=2.5, height=2 * r + 2, class_=class_)
    if shape == 0:
        return el("circle", tip, cx=x, cy=y, r=r, class_=class_)
    corners = {
        1: [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        2: [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
        3: [(0, -1.1), (1.1, 0.85), (-1.1, 0.85)],
    }[shape]
    points = " ".join(f"{coordinate(x + r * dx)},{coordinate(y + r * dy)}" for dx, dy in corners)
    return el("polygon", tip, points=points, class_=class_)


def curve(x: Sequence[float] | Array, y: Sequence[float] | Array, class_: str, title: str | None = None) -> Html:
    """Return a line through pixel points, broken where y is not finite."""
    pieces, pen = [], "M"
    for a, b in zip(x, y, strict=True):
        if not math.isfinite(b):
            pen = "M"
            continue
        pieces.append(f"{pen}{coordinate(float(a))} {coordinate(float(b))}")
        pen = "L"
    tip = [el("title", title)] if title else []
    return el("path", *tip, d="".join(pieces), class_=class_)


def thin(x: Array, y: Array, most: int) -> tuple[Array, Array]:
    """Return at most about `most` points that keep each stretch's extremes, so no peak is lost."""
    n = len(x)
    if n <= most:
        return x, y
    keep: set[int] = {0, n - 1}
    for part in np.array_split(np.arange(n), max(most // 2, 1)):
        values = y[part]
        if np.isnan(values).all():
            keep.add(int(part[0]))
        else:
            keep |= {int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])}
    index = np.array(sorted(keep))
    return x[index], y[index]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return label positions moved apart to `gap`, in the same order, as near as a sweep gets them."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [0.0] * len(positions)
    last = -math.inf
    for i in order:
        last = placed[i] = max(positions[i], last + gap, low)
    last = math.inf
    for i in reversed(order):
        last = placed[i] = min(placed[i], last - gap, high)
    return placed


def svg(width: float, height: float, description: str, *parts: object) -> Html:
    """Return a drawing that a screen reader reads as one picture."""
    box = f"0 0 {coordinate(width)} {coordinate(height)}"
    return el("svg", *parts, viewBox=box, width=width, height=height, role="img", aria_label=description)


def both(draw: Callable[[float], Html]) -> Html:
    """Return a figure drawn for a phone and for a page; the style sheet shows one of them."""
    narrow = el("div", draw(NARROW), class_="narrow")
    return Html(narrow + el("div", draw(WIDE), class_="wide"))


def x_axis(x: Scale, y: float, top: float, title: str, form: Callable[[float], str], about: int = 5) -> Html:
    """Return ticks with light grid lines from `top` to `y`, their labels, and the title below."""
    parts = []
    for tick in x.ticks(about):
        parts.append(line(x(tick), top, x(tick), y, "grid"))
        parts.append(
            label(held(x(tick), form(tick), 0, x.end + 10), y + 17, form(tick), anchor="middle", class_="tick")
        )
    parts.append(label((x.start + x.end) / 2, y + 35, title, anchor="middle", class_="axis"))
    return Html("".join(parts))


def y_axis(y: Scale, left: float, right: float, form: Callable[[float], str], about: int = 4) -> Html:
    """Return ticks with light grid lines from `left` to `right` and their labels."""
    parts = []
    for tick in y.ticks(about):
        parts.append(line(left, y(tick), right, y(tick), "grid"))
        parts.append(label(left - 7, y(tick) + 4, form(tick), anchor="end", class_="tick"))
    return Html("".join(parts))
