"""Figures of curves: learning, the latency histogram, calibration."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .content import Array, Calibration, Latency, LearningCurve, LearningCurves
from .markup import Html, budget, duration, el, join, number, percent, significant, time_unit
from .svg import (
    NARROW,
    Scale,
    both,
    curve,
    fit,
    held,
    label,
    line,
    mark,
    rect,
    span,
    spread,
    svg,
    text_width,
    thin,
    x_axis,
    y_axis,
)

_PANEL_HEIGHT = 236.0
_MOST_LABELS = 8


def learning_figure(curves: LearningCurves) -> Html:
    """Return the training loss and, where there is one, the validation value; a line per fold."""
    loss = [(c, np.asarray(c.step, float), np.asarray(c.loss, float)) for c in curves.curves]
    panels = [_panel(loss, curves.loss_label, chosen=False)]
    held_out = [
        (c, np.asarray(c.validation_step, float), np.asarray(c.validation, float))
        for c in curves.curves
        if c.validation is not None
    ]
    if held_out:
        panels.append(_panel(held_out, curves.validation_label, chosen=True))
    return el("div", *panels, class_="pair")


_Line = tuple[LearningCurve, Array, Array]


def _panel(lines: list[_Line], title: str, *, chosen: bool) -> Html:
    y = _value_scale(np.concatenate([v for _, _, v in lines]))
    named = _names_fit(lines, y)
    margin = 8 + (min(max(text_width(c.name, 11.5) for c, _, _ in lines), 70) if named else 0)
    last = max([float(s[-1]) for _, s, _ in lines if len(s)], default=1.0)
    first = min([float(s[0]) for _, s, _ in lines if len(s)], default=0.0)
    x = Scale(min(first, 0.0), max(last, first + 1), 46, NARROW - margin)
    drawn = [_one_curve(item, x, y, chosen=chosen) for item in lines]
    parts = [
        label(0, 14, title, class_="strong"),
        y_axis(y, x.start, x.end, partial(_short, y)),
        x_axis(x, y.start, y.end, "step", lambda v: f"{v:,.0f}", 4),
        *drawn,
        *(_fold_names(lines, x, y) if named else []),
    ]
    return svg(NARROW, _PANEL_HEIGHT, f"{title} over steps, one line for each of {len(lines)} fits.", *parts)


def _value_scale(values: Array) -> Scale:
    finite = values[np.isfinite(values)]
    steep = finite.size > 0 and finite.min() > 0 and finite.max() / finite.min() > 30
    low, high = (float(finite.min()) * 0.9, float(finite.max()) * 1.1) if steep else span(values)
    return Scale(low, high, _PANEL_HEIGHT - 42, 28, log=steep)


def _short(y: Scale, value: float) -> str:
    if y.log or y.high - y.low > 20 or abs(value) >= 1000:
        return significant(value, 2)
    return number(value, 1 if y.high - y.low > 1 else 2 if y.high - y.low > 0.1 else 3)


def _one_curve(item: _Line, x: Scale, y: Scale, *, chosen: bool) -> Html:
    c, steps, values = item
    steps_px, values_px = thin(steps, values, 240)
    path = curve([x(s) for s in steps_px], [y(v) if math.isfinite(v) else math.nan for v in values_px], "fold", c.name)
    if not chosen or c.chosen_step is None or not len(steps):
        return path
    at = int(np.argmin(np.abs(steps - c.chosen_step)))
    ring = mark(
        0, x(steps[at]), y(values[at]), "ring", f"{c.name}: kept at step {c.chosen_step}, {number(values[at], 3)}", 4.5
    )
    return Html(path + ring)


def _ends(lines: list[_Line], y: Scale) -> list[float]:
    return [y(float(v[-1])) if len(v) and math.isfinite(v[-1]) else y.start for _, _, v in lines]


def _names_fit(lines: list[_Line], y: Scale) -> bool:
    """Whether each line's name can stand at its end; names pushed far from their lines would mislead."""
    if not 1 < len(lines) <= _MOST_LABELS:
        return False
    ends = _ends(lines, y)
    return all(abs(a - b) < 7 for a, b in zip(ends, spread(ends, 12.5, y.end + 4, y.start - 2), strict=True))


def _fold_names(lines: list[_Line], x: Scale, y: Scale) -> list[Html]:
    places = spread(_ends(lines, y), 12.5, y.end + 4, y.start - 2)
    size = 11.5
    return [
        label(x.end + 6, p + 4, fit(c.name, NARROW - x.end - 6, size), class_="small", full=c.name)
        for (c, _, _), p in zip(lines, places, strict=True)
    ]


def quantiles(latency: Latency) -> dict[str, float]:
    """Return p50, p95 and p99 in seconds: steps that were measured, never between two."""
    values = np.asarray(latency.seconds, float)
    return {f"p{q}": float(np.quantile(values, q / 100, method="higher")) for q in (50, 95, 99)}


def latency_figure(latency: Latency) -> Html:
    """Return the histogram of step times with p50, p95, p99 marked; logarithmic where it spans a decade."""
    return both(partial(_latency, latency))


def _latency(latency: Latency, width: float) -> Html:
    values = np.asarray(latency.seconds, float)
    x = _latency_scale(latency, values, width)
    edges = np.geomspace(x.low, x.high, 61) if x.log else np.linspace(x.low, x.high, 61)
    counts, _ = np.histogram(values, edges)
    base, top = 200.0, 72.0
    height = (base - top) / max(int(counts.max()), 1)
    scale, unit = time_unit(float(np.median(values)))
    bars = [
        rect(
            x(edges[i]),
            base - n * height,
            x(edges[i + 1]) - x(edges[i]) - 0.6,
            n * height,
            "bar",
            f"{n:,} steps up to {duration(edges[i + 1])}",
        )
        for i, n in enumerate(counts)
        if n
    ]
    axis = x_axis(
        x,
        base,
        top,
        f"time of one step, {unit}{' (log scale)' if x.log else ''}",
        lambda v: significant(v / scale, 2),
        4 if width < 500 else 7,
    )
    title = f"Histogram of the time of {values.size:,} steps, with p50, p95 and p99."
    return svg(
        width,
        base + 44,
        title,
        axis,
        *bars,
        line(x.start, base, x.end, base, "base"),
        *_latency_marks(latency, x, base, width),
    )


def _latency_scale(latency: Latency, values: Array, width: float) -> Scale:
    low, high = float(values.min()), float(values.max())
    if latency.deadline_s is not None and latency.deadline_s < 20 * high:
        high = max(high, latency.deadline_s)
    if high / low > 8:
        return Scale(low / 1.1, high * 1.15, 8, width - 8, log=True)
    margin = max(0.05 * (high - low), 0.01 * high)
    return Scale(max(low - margin, 0.0), high + margin, 8, width - 8)


def _latency_marks(latency: Latency, x: Scale, base: float, width: float) -> list[Html]:
    points = quantiles(latency)
    parts = []
    for row, (name, value) in enumerate(points.items()):
        y = 64 - 20 * (len(points) - 1 - row)  # a stair: the labels never meet
        text = f"{name}  {duration(value)}"
        parts.append(line(x(value), y + 5, x(value), base, "mark"))
        flip = x(value) + 6 + text_width(text) > width
        parts.append(
            label(x(value) + (-4 if flip else 4), y + 4, text, anchor="end" if flip else "start", class_="strong halo")
        )
    if latency.deadline_s is not None and x.low < latency.deadline_s <= x.high:
        text = f"next step due {budget(latency.deadline_s)}"
        parts.append(line(x(latency.deadline_s), 100, x(latency.deadline_s), base, "chance"))
        parts.append(label(held(x(latency.deadline_s), text, 0, width), 95, text, anchor="middle", class_="tick halo"))
    return parts


def calibration_figure(calibration: Calibration) -> Html:
    """Return the reliability plot: share correct against confidence; the area of a dot is its number of trials.

    What it was before calibration is drawn hollow, where it is known.
    """
    x, y = Scale(0, 1, 46, NARROW - 12), Scale(0, 1, 304, 32)
    filled = [
        (x(p), y(c))
        for p, c, n in zip(calibration.confidence, calibration.correct, calibration.count, strict=True)
        if n
    ]
    parts = [
        y_axis(y, x.start, x.end, percent, 5),
        x_axis(x, y.start, y.end, "confidence of the decision", percent, 5),
        line(x(0), y(0), x(1), y(1), "chance"),
        label(x(0.2) + 8, y(0.2) + 12, "well calibrated", class_="tick halo"),
        label(0, 14, "decisions that were right", class_="strong"),
        *(_bins(calibration.before, x, y, 1, "open s1", "before: ", 5) if calibration.before else []),
        curve([a for a, _ in filled], [b for _, b in filled], "fold"),
        *_bins(calibration, x, y, 0, "main", "", 4 if calibration.before else 9.5),
    ]
    return el(
        "div",
        svg(NARROW, 346, "Reliability: share of right decisions against their confidence.", join(parts)),
        class_="single",
    )


def _bins(c: Calibration, x: Scale, y: Scale, shape: int, class_: str, what: str, size: float) -> list[Html]:
    most = max([*c.count, 1])
    return [
        mark(
            shape,
            x(p),
            y(right),
            class_,
            f"{what}confidence {percent(p)}, correct {percent(right)}, {n:,} trials",
            2.5 + (size - 2.5) * math.sqrt(n / most),
        )
        for p, right, n in zip(c.confidence, c.correct, c.count, strict=True)
        if n and math.isfinite(p + right)
    ]
