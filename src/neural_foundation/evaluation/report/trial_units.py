"""The sections on units and regions: bits per spike of each unit, beside the best baseline's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from .blocks import Drawn
from .content import Array
from .markup import Html, count, el, number, percent, table
from .svg import NARROW, Scale, both, curve, fit, label, line, mark, svg, x_axis, y_axis
from .trial_content import TrialReport
from .trial_examples import encoder

_HEIGHT = 300.0
_MOST = 4000  # dots of a scatter


def units_of(report: TrialReport, model: str) -> tuple[Array, Array]:
    """Return bits per spike of all units of all sessions, and each one's region, in the order of the sessions."""
    values: list[Array] = []
    where: list[str] = []
    for name in report.scores["sessions"]:
        found = report.predictions.get(model, {}).get(f"units/bits_per_spike/{name}")
        if found is not None:
            values.append(np.asarray(found, float))
            where += report.scores["unit_regions"].get(name) or [""] * len(found)
    return (np.concatenate(values) if values else np.zeros(0)), np.asarray(where)


def section(report: TrialReport) -> Drawn | None:
    mine, where = units_of(report, encoder(report))
    if not np.isfinite(mine).any():
        return None
    best = report.best_baseline(encoder(report))
    theirs = units_of(report, best)[0] if best else None
    panels = [_sorted(report, mine, theirs)]
    if theirs is not None and best is not None and len(theirs) == len(mine):
        panels.append(_scatter(encoder(report), best, mine, theirs))
    figure = el("div", *panels, class_="pair")
    return Drawn("Each unit", _reading(report, mine, theirs), figure, _table(mine, where))


def _limits(*values: Array) -> tuple[float, float]:
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    low, high = np.quantile(finite, (0.01, 0.995))
    return float(min(low, 0) - 0.05 * (high - low) - 1e-6), float(max(high, 0) + 0.05 * (high - low) + 1e-6)


def _sorted(report: TrialReport, mine: Array, theirs: Array | None) -> Html:
    shown = [("fold", mine)] + ([("second", theirs)] if theirs is not None else [])
    low, high = _limits(*[v for _, v in shown])
    n = max(int(np.isfinite(v).sum()) for _, v in shown)
    x, y = Scale(0, max(n - 1, 1), 46, NARROW - 8), Scale(low, high, _HEIGHT - 44, 30)
    parts = [
        label(0, 14, "bits per spike, units sorted", class_="strong"),
        y_axis(y, x.start, x.end, partial(number, digits=_digits(y)), 5),
        x_axis(x, y.start, y.end, "unit", lambda v: f"{v:,.0f}", 4),
        line(x.start, y(0), x.end, y(0), "base"),
    ]
    for class_, values in reversed(shown):
        ordered = np.sort(values[np.isfinite(values)])[::-1]
        name = encoder(report) if class_ == "fold" else str(report.best_baseline(encoder(report)))
        parts.append(curve([x(i) for i in range(len(ordered))], [y(v) for v in ordered], class_, name))
    text = f"Bits per spike of {count(n, 'unit')}, sorted; dashed is the best baseline."
    return svg(NARROW, _HEIGHT, text, *parts)


def _digits(y: Scale) -> int:
    return 1 if y.high - y.low > 0.8 else 2


def _scatter(model: str, best: str, mine: Array, theirs: Array) -> Html:
    known = np.isfinite(mine) & np.isfinite(theirs)
    low, high = _limits(mine, theirs)
    x, y = Scale(low, high, 46, NARROW - 8), Scale(low, high, _HEIGHT - 44, 30)
    step = max(1, int(known.sum()) // _MOST)
    dots = [
        mark(0, x(a), y(b), "dot", f"{best} {number(a)}, {model} {number(b)}", 2.4)
        for a, b in zip(theirs[known][::step], mine[known][::step], strict=True)
    ]
    parts = [
        label(0, 14, fit(f"{model}, against {best}", NARROW), class_="strong"),
        y_axis(y, x.start, x.end, partial(number, digits=_digits(y)), 5),
        x_axis(x, y.start, y.end, fit(f"{best}, bits per spike", NARROW - 60), partial(number, digits=_digits(x)), 5),
        line(x(low), y(low), x(high), y(high), "chance"),
        *dots,
    ]
    return svg(NARROW, _HEIGHT, f"Each unit's bits per spike, {model} against {best}.", *parts)


def _reading(report: TrialReport, mine: Array, theirs: Array | None) -> str:
    known = np.isfinite(mine)
    above = float((mine[known] > 0).mean())
    text = f"{count(int(known.sum()), 'unit')} with spikes in the test; {percent(above)} above 0, their mean rate in "
    text += f"the training part. Median {number(float(np.median(mine[known])))} bits per spike."
    if (~known).any():
        text += f" {count(int((~known).sum()), 'unit')} without a spike in one of the two parts are left out."
    if theirs is not None and len(theirs) == len(mine):
        shared = known & np.isfinite(theirs)
        better = int((mine[shared] > theirs[shared]).sum())
        text += f" Better than {report.best_baseline(encoder(report))} (dashed) on {better} of {int(shared.sum())}."
    return text + " A unit's value is the mean over folds and seeds."


def _table(mine: Array, where: Array) -> Html:
    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    groups = [("all units", mine)] + [(r or "unknown", mine[where == r]) for r in _names(where)]
    rows = []
    for name, values in groups:
        known = values[np.isfinite(values)]
        if known.size:
            rows.append([name, f"{known.size:,}", *[number(v, 3) for v in np.quantile(known, shares).tolist()]])
    head = ["Region", "Units", "Least", "10 %", "25 %", "Median", "75 %", "90 %", "Most"]
    return table(head, rows, caption="Bits per spike of units against their training mean: quantiles")


def _names(where: Array) -> list[str]:
    return sorted({str(w) for w in where}) if any(where) else []


def regions_section(report: TrialReport) -> Drawn | None:
    mine, where = units_of(report, encoder(report))
    names = _names(where)
    if len(names) < 2 or not np.isfinite(mine).any():
        return None
    pooled = report.scores["models"][encoder(report)]["regions"]
    figure = both(partial(_regions, mine, where, names, pooled))
    text = "A dot a unit; the box holds the middle half, its line is the median. The disc is the region's pooled "
    text += "bits per spike, mean over sessions, in which a unit weighs by its spikes."
    return Drawn("Each region", text, figure, _regions_table(report, names))


def _regions(
    mine: Array, where: Array, names: Sequence[str], pooled: Mapping[str, Mapping[str, float]], width: float
) -> Html:
    row = 30.0
    low, high = _limits(mine)
    left = 96.0
    x = Scale(low, high, left, width - 10)
    bottom = 24 + row * len(names)
    parts = [
        x_axis(
            x,
            bottom,
            20,
            "bits per spike, against the training mean",
            partial(number, digits=_digits(x)),
            4 if width < 500 else 8,
        )
    ]
    parts.append(line(x(0), 20, x(0), bottom, "base"))
    for i, name in enumerate(names):
        values = np.sort(mine[(where == name) & np.isfinite(mine)])
        y = 24 + (i + 0.5) * row
        parts.append(label(left - 10, y + 4, fit(f"{name or 'unknown'} ({len(values)})", left - 10), anchor="end"))
        if not len(values):
            continue
        shift = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.62 * row  # spreads dots evenly, the same each time
        step = max(1, len(values) // 400)
        parts += [
            mark(0, x(v), y + d, "dot", f"{name}: {number(v)}", 1.8)
            for v, d in zip(values[::step], shift[::step], strict=True)
        ]
        a, b, c = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        parts.append(
            el("rect", x=x(a), y=y - 9, width=max(x(c) - x(a), 1.0), height=18.0, rx=2.0, class_="frame strongframe")
        )
        parts.append(line(x(b), y - 9, x(b), y + 9, "zero"))
        value = pooled.get(name or "unknown")
        if value is not None:
            parts.append(mark(0, x(value["mean"]), y, "main", f"{name} pooled: {number(value['mean'], 3)}", 5))
    return svg(width, bottom + 42, "Bits per spike of units by region.", *parts)


def _regions_table(report: TrialReport, names: Sequence[str]) -> Html:
    models = [m for m in report.order if report.scores["models"][m]["regions"]]
    pooled = [report.scores["models"][m]["regions"] for m in models]
    shown = [name or "unknown" for name in names]
    rows = [[name, *[number((p.get(name) or {}).get("mean"), 3) for p in pooled]] for name in shown]
    return table(["Region", *models], rows, caption="Pooled bits per spike by region, mean over sessions")
