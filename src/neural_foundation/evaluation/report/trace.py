"""The live decision over time, wrapped into strips like the paper of a recorder.

Two classes: one curve, up for the second class and down for the first, filled towards the one it favours. More:
one line a class. True trials are shaded in their class's colour, with the name where there is room.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .content import Array, DecisionTrace, Trial
from .markup import Html, coordinate, el, join, number, percent
from .svg import Scale, both, curve, held, label, line, rect, svg, text_width, thin

_COLOURS = 7
_STRIP, _GAP, _TOP = 74.0, 34.0, 16.0


def trace_figure(trace: DecisionTrace) -> Html:
    """Return the key and the strips."""
    return Html(_key(trace) + both(partial(_strips, trace)))


def _key(trace: DecisionTrace) -> Html:
    way = (" ↓", " ↑") if len(trace.classes) == 2 else ("",) * len(trace.classes)
    items = [
        el("li", el("span", class_=f"swatch k{_colour(trace, c)}", aria_hidden="true"), f" {c}{w}")
        for c, w in zip(trace.classes, way, strict=True)
    ]
    if trace.trials:
        items.append(el("li", el("span", class_="swatch truthkey", aria_hidden="true"), " true class"))
    if trace.threshold is not None:
        items.append(
            el("li", el("span", class_="swatch dashes", aria_hidden="true"), f" decided at {percent(trace.threshold)}")
        )
    if trace.resets_s:
        items.append(el("li", el("span", class_="swatch upright", aria_hidden="true"), " state reset"))
    if any(t.decided is not None and t.decided != t.label for t in trace.trials):
        items.append(el("li", el("span", "×", class_="wrong", aria_hidden="true"), " wrong decision"))
    return el("ul", *items, class_="key")


def _colour(trace: DecisionTrace, name: str) -> int:
    return trace.classes.index(name) % _COLOURS if name in trace.classes else _COLOURS


def strip_seconds(duration_s: float, most: int) -> float:
    """Return a round length at which `duration_s` fits into `most` strips."""
    rounds = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 86400)
    return float(next((r for r in rounds if r * most >= duration_s - 1e-9), math.ceil(duration_s / most)))


def excerpt(trace: DecisionTrace) -> tuple[float, float]:
    """Return (start, end) in seconds of what is drawn: all of a short trace, else from just before the first trial."""
    first, last = float(trace.time_s[0]), float(trace.time_s[-1])
    if last - first <= trace.excerpt_s:
        return first, last
    wanted = min((t.start_s for t in trace.trials), default=first) - 2.0
    start = min(max(math.floor(wanted), first), last - trace.excerpt_s)
    return start, start + trace.excerpt_s


def _strips(trace: DecisionTrace, width: float) -> Html:
    first, last = excerpt(trace)
    length = min(strip_seconds(last - first, 8 if width < 500 else 5), max(last - first, 1e-3))
    n = max(1, math.ceil((last - first) / length - 1e-6))
    strips = [_strip(trace, first + i * length, length, _TOP + i * (_STRIP + _GAP), width) for i in range(n)]
    classes = ", ".join(trace.classes)
    title = f"{trace.title}: probability of {classes} over {last - first:.0f} seconds; shading shows the true class."
    return svg(width, _TOP + n * (_STRIP + _GAP) + 14, title, *strips, _seconds_title(n, width))


def _seconds_title(n: int, width: float) -> Html:
    return label(width - 2, _TOP + n * (_STRIP + _GAP) + 10, "time in the recording, s", anchor="end", class_="axis")


def _strip(trace: DecisionTrace, start: float, length: float, top: float, width: float) -> Html:
    x, y = Scale(start, start + length, 2 if len(trace.classes) == 2 else 24, width - 2), Scale(0, 1, top + _STRIP, top)
    named = _all_named(trace, x)
    time = np.asarray(trace.time_s, float)
    inside = (time >= start) & (time <= min(start + length, excerpt(trace)[1]))
    values = np.asarray(trace.probability, float)[inside]
    parts = [
        *[_trial(trace, t, x, y, named) for t in trace.trials if t.end_s > start and t.start_s < start + length],
        *_levels(trace, x, y),
        _probability(trace, time[inside], values, x, y),
        *[_reset(r, x, y) for r in trace.resets_s if start <= r < start + length],
        *[_wrong(trace, t, x, y) for t in trace.trials if start < t.end_s <= start + length],
        *[
            label(held(x(t), f"{t:g}", 0, width), top + _STRIP + 15, f"{t:g}", anchor="middle", class_="tick")
            for t in _strip_ticks(x, width)
        ],
    ]
    return join(parts)


def _strip_ticks(x: Scale, width: float) -> list[float]:
    ticks = x.ticks(5 if width < 500 else 8)
    return [t for t in ticks if x(t) <= x.end - text_width(f"{t:g}") / 2]


def _trial(trace: DecisionTrace, t: Trial, x: Scale, y: Scale, named: bool) -> Html:
    left, right = x(t.start_s), x(t.end_s)
    colour = _colour(trace, t.label)
    title = f"true: {t.label}" + (f", decided: {t.decided}" if t.decided is not None else "")
    shade = rect(left, y.end, right - left, y.start - y.end, f"shade k{colour}", title)
    strip = rect(left, y.end - 5, right - left, 4, f"truth k{colour}", title)
    if not named or right - left < text_width(t.label, 11):  # cut off at the end of a strip
        return join([shade, strip])
    return join([shade, strip, label((left + right) / 2, y.end - 8, t.label, anchor="middle", class_="small")])


def _all_named(trace: DecisionTrace, x: Scale) -> bool:
    """Whether every trial has room for its name; a few names among many would look like a choice."""
    per_second = (x.end - x.start) / (x.high - x.low)
    return all((t.end_s - t.start_s) * per_second >= text_width(t.label, 11) + 4 for t in trace.trials)


def _levels(trace: DecisionTrace, x: Scale, y: Scale) -> list[Html]:
    levels = [line(x.start, y(p), x.end, y(p), "grid") for p in (0, 0.5, 1)]
    if trace.threshold is not None:
        marks = {trace.threshold, 1 - trace.threshold} if len(trace.classes) == 2 else {trace.threshold}
        levels += [line(x.start, y(p), x.end, y(p), "threshold") for p in sorted(marks)]
    if len(trace.classes) == 2:  # the key says which way is which
        return levels
    return levels + [label(20, y(p) + 4, number(p, 0), anchor="end", class_="small") for p in (0, 1)]


def _probability(trace: DecisionTrace, time: Array, values: Array, x: Scale, y: Scale) -> Html:
    most = int((x.end - x.start) * 1.2)
    if len(trace.classes) != 2:
        lines = []
        for k in range(len(trace.classes)):
            t, p = thin(time, values[:, k], most)
            lines.append(
                curve(
                    [x(v) for v in t],
                    [y(v) if math.isfinite(v) else math.nan for v in p],
                    f"probability k{k % _COLOURS}",
                )
            )
        return join(lines)
    t, p = thin(time, values[:, 1], most)
    px = np.array([x(v) for v in t])
    py = np.array([y(v) if math.isfinite(v) else math.nan for v in p])
    above, below = np.fmin(py, y(0.5)), np.fmax(py, y(0.5))
    above[np.isnan(py)] = below[np.isnan(py)] = math.nan
    filled = [_area(px, above, y(0.5), "area k1"), _area(px, below, y(0.5), "area k0")]
    return join([*filled, curve(px, py, "probability")])


def _area(px: Array, py: Array, base: float, class_: str) -> Html:
    """Return the area between a line and its base, one piece between gaps."""
    breaks = np.flatnonzero(np.isnan(py))
    pieces = []
    for part in np.split(np.arange(len(py)), breaks):
        part = part[~np.isnan(py[part])]
        if len(part) < 2 or np.allclose(py[part], base):
            continue
        points = "L".join(f"{coordinate(px[i])} {coordinate(py[i])}" for i in part)
        pieces.append(
            f"M{coordinate(px[part[0]])} {coordinate(base)}L{points}L{coordinate(px[part[-1]])} {coordinate(base)}Z"
        )
    return el("path", d="".join(pieces), class_=class_) if pieces else Html("")


def _reset(at_s: float, x: Scale, y: Scale) -> Html:
    return el(
        "line",
        el("title", f"state reset at {at_s:g} s"),
        x1=x(at_s),
        y1=y.end - 5,
        x2=x(at_s),
        y2=y.start + 3,
        class_="reset",
    )


def _wrong(trace: DecisionTrace, t: Trial, x: Scale, y: Scale) -> Html:
    if t.decided is None or t.decided == t.label:
        return Html("")
    where = y.end + 12 if len(trace.classes) == 2 and t.decided == trace.classes[0] else y.start - 5
    return label(
        x(t.end_s) - 3, where, "×", anchor="end", class_="wrong halo", full=f"true: {t.label}, decided: {t.decided}"
    )
