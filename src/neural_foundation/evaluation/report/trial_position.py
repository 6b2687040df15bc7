"""Sections on position: the path as it was and as decoded, its error over time, and maps of units' rates."""

from __future__ import annotations

import numpy as np

from .blocks import Drawn
from .content import Array
from .markup import Html, el, join, number
from .svg import NARROW, Scale, curve, fit, label, line, span, svg, thin, x_axis, y_axis
from .trial_content import TrialReport
from .trial_examples import encoder, image_pair, key

_SIDE = 300.0


def section(report: TrialReport) -> Drawn | None:
    modality = next((m for m in report.kinds("continuous") if m["name"] == "position"), None)
    if modality is None:
        return None
    panels = []
    model = report.speaker("values/position") or report.main
    for session, who in report.shown():
        true, said = report.true(session, "values/position"), report.said(session, "values/position", model)
        starts = report.true(session, "start_s")
        if true is None or said is None or starts is None or true.shape[2] != 2 or session >= 2:
            continue
        for k in range(1 if session else min(2, len(true))):
            span_s = true.shape[1] * report.scores["bin_s"]
            title = f"{who}, {span_s:g} s from {starts[k]:,.0f} s"
            panels.append(_path(title, true[k], said[k], modality["unit"]))
            panels.append(_error(title, true[k], said[k], modality["unit"], report.scores["bin_s"]))
    if not panels:
        return None
    return Drawn(
        "Where it was, and where it was decoded",
        _reading(report, model, str(modality["unit"])),
        join([key(("happened", "true"), ("said", "decoded")), el("div", *panels, class_="pair")]),
    )


def _reading(report: TrialReport, model: str, unit: str) -> str:
    metrics = report.scores["models"][model]["metrics"]
    mean, median = (metrics.get(f"decoding.position.{s}") for s in ("mean_error", "median_error"))
    if mean is None or median is None:
        return ""
    text = f"Decoded by {model}. Distance between both: "
    text += f"mean {number(mean['mean'], 1)} {unit}, median {number(median['mean'], 1)} {unit}; "
    return text + f"the mean position of the training part is {number(mean['null'], 1)} {unit} away in the mean."


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _path(title: str, true: Array, said: Array, unit: str) -> Html:
    ends = [span(np.concatenate([true[:, d], said[:, d]])) for d in (0, 1)]
    wide = max(high - low for low, high in ends)
    (low_x, _), (low_y, _) = ends
    x, y = Scale(low_x, low_x + wide, 46, 46 + _SIDE - 30), Scale(low_y, low_y + wide, _SIDE, 30)
    parts = [
        label(0, 14, fit(title, NARROW), class_="strong"),
        y_axis(y, x.start, x.end, _plain, 4),
        x_axis(x, y.start, y.end, f"position, {unit}" if unit else "position", _plain, 4),
    ]
    for values, class_ in ((true, "happened"), (said, "said")):
        down = [y(v) if np.isfinite(v) else np.nan for v in values[:, 1]]
        parts.append(curve([x(v) if np.isfinite(v) else 0.0 for v in values[:, 0]], down, class_))
    return svg(NARROW, _SIDE + 42, f"Path in the plane, true and decoded, {title}.", *parts)


def _error(title: str, true: Array, said: Array, unit: str, bin_s: float) -> Html:
    error = np.sqrt(((true - said) ** 2).sum(1))
    time, shown = thin((np.arange(len(error)) + 0.5) * bin_s, error, 300)
    x, y = Scale(0, len(error) * bin_s, 46, NARROW - 8), Scale(0, span(error)[1], _SIDE, 30)
    mean = float(np.nanmean(error)) if np.isfinite(error).any() else float("nan")
    parts = [
        label(0, 14, f"error{', ' + unit if unit else ''} (mean {number(mean, 1)} here)", class_="strong"),
        y_axis(y, x.start, x.end, _plain, 5),
        x_axis(x, y.start, y.end, "seconds", _plain, 5),
        curve([x(t) for t in time], [y(v) if np.isfinite(v) else np.nan for v in shown], "said"),
        *([line(x.start, y(mean), x.end, y(mean), "chance")] if np.isfinite(mean) else []),
    ]
    return svg(NARROW, _SIDE + 42, f"Distance between true and decoded position over time, {title}.", *parts)


def maps_section(report: TrialReport) -> Drawn | None:
    panels = []
    for session, who in report.shown():
        true, said, units = (
            report.true(session, "map"),
            report.said(session, "map", encoder(report)),
            report.true(session, "mapped"),
        )
        if true is None or said is None or units is None or session >= 2:
            continue
        names = report.scores["unit_names"].get(who) or []
        for k, unit in enumerate(units.tolist()):
            full = float(max(np.nanquantile(true[..., k], 0.98), 1e-3))
            title = f"unit {names[unit] if unit < len(names) else unit}, {who}"
            images = (true[::-1, :, k], said[::-1, :, k])  # y upwards
            panels.append(image_pair(title, *images, (full, full), 158.0, "events a bin, by position", ""))
    if not panels:
        return None
    text = "Mean events a bin by where the animal was in the test part, and the mean of the rates predicted there. The "
    text += "units whose counts tell most of the position are shown; empty cells were never visited."
    return Drawn("Rate maps, true and predicted", text, el("div", *panels, class_="pair"))
