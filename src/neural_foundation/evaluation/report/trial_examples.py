"""Sections that show predictions beside what happened: behaviour, classes, the population, rasters, encoding maps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from .blocks import Drawn
from .content import Array
from .heat import heat
from .markup import Html, el, join, percent, significant
from .svg import NARROW, Scale, both, curve, fit, label, line, rect, span, svg, thin
from .trial_content import TrialReport

STYLE = (
    ".single-wide svg{width:100%}.strongframe{stroke:var(--ink)}.linekey svg{display:inline-block;vertical-align:.05em}"
    ".said{fill:none;stroke:var(--accent);stroke-width:1.7}"
    ".second{fill:none;stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 3}"
    ".happened{fill:none;stroke:var(--ink);stroke-width:1.1;stroke-opacity:.75}"
)
_SESSIONS = 2  # of which examples are drawn
_CHANNELS = 2  # of one modality that are drawn
_COLUMNS = 300  # of a bar for each trial; with more trials only some are drawn
_HALF, _GAP = 158.0, 24.0  # of a pair of images


def key(*items: tuple[str, str]) -> Html:
    """Return a key of (class of a line, text)."""
    made = [
        el("li", svg(22.0, 10.0, text, line(0, 5, 22, 5, class_)), f" {text}", class_="linekey")
        for class_, text in items
    ]
    return el("ul", *made, class_="key")


def behaviour_section(report: TrialReport) -> Drawn | None:
    model = report.speaker(*[f"values/{m['name']}" for m in report.behaviours() if m["name"] != "position"])
    if model is None:
        return None
    figures = [_behaviour(report, model, session, name) for session, name in report.shown() if session < _SESSIONS]
    kept = [f for f in figures if f]
    if not kept:
        return None
    text = f"Decoded from neural activity alone by {model}, on tested trials chosen by their place in the session. "
    text += "A gap in the black line is behaviour that was not measured."
    return Drawn("Behaviour, true and decoded", text, join([_truth_key(), *kept]))


def _truth_key() -> Html:
    return key(("happened", "true"), ("said", "predicted"))


def _behaviour(report: TrialReport, model: str, session: int, name: str) -> Html | None:
    rows: list[tuple[str, Array, Array]] = []
    for m in report.behaviours():
        name_in = f"values/{m['name']}"
        true, said = report.true(session, name_in), report.said(session, name_in, model)
        if true is None or said is None or m["name"] == "position":
            continue
        for c in range(min(true.shape[2], _CHANNELS)):
            unit = f", {m['unit']}" if m["unit"] else ""
            which = f" {c + 1}" if true.shape[2] > 1 else ""
            rows.append((f"{m['name'].replace('_', ' ')}{which}{unit}", true[:, :, c], said[:, :, c]))
    if not rows:
        return None
    starts = report.true(session, "start_s")
    assert starts is not None
    caption = el("p", el("strong", name), class_="small")
    return Html(caption + both(partial(_traces, rows, float(report.scores["bin_s"]), np.asarray(starts))))


def _traces(rows: list[tuple[str, Array, Array]], bin_s: float, starts: Array, width: float) -> Html:
    n, length = rows[0][1].shape
    most = (4 if width > 500 else 2) if length <= 150 else (2 if width > 500 else 1)
    columns, height, top = min(n, most), 74.0, 20.0
    step = (width - 40) / columns
    parts = []
    for r, (name, true, said) in enumerate(rows):
        base = top + r * (height + 26)
        low, high = span(np.concatenate([true[:columns].ravel(), said[:columns].ravel()]))
        y = Scale(low, high, base + height, base + 6)
        parts.append(label(0, base, fit(name, width), class_="strong"))
        parts += [label(34, y(v) + 4, significant(v, 2), anchor="end", class_="tick") for v in y.ticks(2)[:3]]
        for k in range(columns):
            x = Scale(0, length * bin_s, 40 + k * step, 40 + (k + 1) * step - 10)
            parts.append(line(x.start, y.start, x.end, y.start, "row"))
            parts += [_trace(v[k], bin_s, x, y, c) for v, c in ((true, "happened"), (said, "said"))]
    bottom = top + len(rows) * (height + 26) - 8
    for k in range(columns):
        text = f"{length * bin_s:g} s from {starts[k]:,.1f} s"
        parts.append(label(40 + k * step, bottom + 10, fit(text, step), class_="tick"))
    return svg(width, bottom + 18, "Behaviour of example trials, true and predicted.", *parts)


def _trace(values: Array, bin_s: float, x: Scale, y: Scale, class_: str) -> Html:
    time, v = thin((np.arange(len(values)) + 0.5) * bin_s, np.asarray(values, float), 400)
    return curve([x(t) for t in time], [y(a) if np.isfinite(a) else np.nan for a in v], class_)


def classes_section(report: TrialReport) -> Drawn | None:
    parts = []
    model = report.speaker("classes/")
    for session, name in report.shown() if model else ():
        for m in report.kinds("classes") if session < _SESSIONS else []:
            what = f"classes/{m['name']}"
            true, said = report.true(session, what), report.said(session, what, model or "")
            if true is not None and said is not None and (np.asarray(true) >= 0).any():
                parts.append(both(partial(_columns, f"{m['name'].replace('_', ' ')}, {name}", m, true, said)))
    if not parts:
        return None
    text = "A column a tested trial, sorted by its true class (the strip on top): the probabilities that "
    text += f"{model} gives the classes, one on top of the other. All of one colour would be certain."
    return Drawn("Classes of a trial", text, join(parts))


def _columns(title: str, modality: Mapping[str, Any], true: Array, said: Array, width: float) -> Html:
    classes = list(modality["classes"])
    known = np.flatnonzero(np.asarray(true) >= 0)
    order = known[np.lexsort((-said[known, np.maximum(true[known], 0)], true[known]))]
    order = order[:: max(1, -(-len(order) // _COLUMNS))]
    step = (width - 2) / len(order)
    right = float((said[known].argmax(1) == true[known]).mean())
    parts: list[Html] = [label(0, 14, fit(f"{title}: {percent(right)} right", width), class_="strong")]
    x = 0.0
    for k, name in enumerate(classes):
        n = int((true[order] == k).sum())
        if n:
            parts.append(rect(x, 22, n * step - 1, 8, f"k{k % 7}", f"true: {name}, {n} trials"))
            parts.append(label(x, 46, fit(name, n * step), class_="tick"))
        x += n * step
    for i, trial in enumerate(order):
        at = 54.0
        for k, name in enumerate(classes):
            p = float(said[trial, k])
            parts.append(rect(i * step, at, step * 0.86, p * 90, f"k{k % 7}", f"{name} {percent(p)}"))
            at += p * 90
    return svg(width, 150, f"Class probabilities of {len(order)} tested trials, {title}.", *parts)


def unit_order(report: TrialReport, session: int, counts: str) -> Array:
    """Return the units of a session by the time of their highest mean response, those without one by their rate."""
    values = report.true(session, f"values/{counts}")
    assert values is not None
    means = _psths(report, session, counts)
    if not means:
        return np.argsort(-values.mean((0, 1)), kind="stable")
    return np.argsort(_smooth(np.nanmean(next(iter(means.values()))[0], 0)).argmax(0), kind="stable")


def _smooth(values: Array) -> Array:
    """Return values (T, C) under a running mean of 5 bins."""
    padded = np.pad(np.nan_to_num(values), ((2, 2), (0, 0)), mode="edge")
    return np.asarray(np.mean([padded[i : i + len(values)] for i in range(5)], 0))


def _psths(report: TrialReport, session: int, counts: str) -> dict[str, tuple[Array, Array]]:
    """Return (true, predicted) mean responses (K, T, C) by modality of classes, known classes only."""
    found = {}
    for static in [*[m["name"] for m in report.kinds("classes")], ""]:
        name = f"psth/{counts}/{static}"
        true, said = report.true(session, name), report.said(session, name, encoder(report))
        if true is not None and said is not None and np.isfinite(true).any():
            found[static] = (true, said)
    return found


def encoder(report: TrialReport) -> str:
    """Return the model whose rates are shown."""
    return report.speaker(f"values/{_counts_name(report)}") or report.main


def _counts_name(report: TrialReport) -> str:
    return next((str(m["name"]) for m in report.kinds("counts")), "")


def image_pair(
    title: str, true: Array, said: Array, full: tuple[float, float], height: float, x_title: str, y_title: str
) -> Html:
    """Return two images side by side, (h, w) each: what happened and what was predicted; full: the darkest value."""
    top = 40.0
    parts = [label(0, 14, fit(title, NARROW), class_="strong", full=title)]
    for at, words, values, most in ((0.0, "true", true, full[0]), (_HALF + _GAP, "predicted", said, full[1])):
        scale = f", full at {significant(most, 2)}" if most != 1 else ""
        parts.append(label(at, 33, words + scale, class_="tick"))
        parts.append(heat(values, most, at, top, _HALF, height))
    parts.append(label(0, top + height + 15, fit(x_title, NARROW), class_="tick"))
    if y_title:
        parts.append(label(NARROW, 14, y_title, anchor="end", class_="tick"))
    return svg(NARROW, top + height + 20, f"{title}: true and predicted.", *parts)


def population_section(report: TrialReport) -> Drawn | None:
    name = _counts_name(report)
    panels = []
    for session, who in report.shown():
        true, said = report.true(session, f"values/{name}"), report.said(session, f"values/{name}", encoder(report))
        if true is None or said is None or session >= _SESSIONS:
            continue
        order, starts = unit_order(report, session, name), report.true(session, "start_s")
        assert starts is not None
        height = float(np.clip(2 * true.shape[2], 110, 330))
        full = max(1.0, float(np.quantile(true, 0.995))), max(1e-3, float(np.quantile(said, 0.99)))
        for k in range(min(2, len(true))):
            span_s = true.shape[1] * report.scores["bin_s"]
            text = f"{span_s:g} s from {starts[k]:,.1f} s"
            units = f"{true.shape[2]} units"
            panels.append(image_pair(who, true[k][:, order].T, said[k][:, order].T, full, height, text, units))
    if not panels:
        return None
    text = "A row a unit, sorted by the time of its highest mean response; events a bin. Counts are few and whole, "
    text += "rates are small, so the two have scales of their own."
    return Drawn("The population, counts and predicted rates", text, el("div", *panels, class_="pair"))


def raster_section(report: TrialReport) -> Drawn | None:
    panels = []
    for session, who in report.shown():
        true, said, units = (
            report.true(session, "raster"),
            report.said(session, "raster", encoder(report)),
            report.true(session, "rastered"),
        )
        if true is None or said is None or units is None or session >= 1:
            continue
        order = _trial_order(report, session, len(true))
        names = report.scores["unit_names"].get(who) or [str(u) for u in range(int(max(units)) + 1)]
        for k, unit in enumerate(units.tolist()):
            full = max(1.0, float(np.quantile(true[..., k], 0.995))), max(1e-3, float(said[..., k].max()))
            text = f"{len(true)} tested trials, {true.shape[1] * report.scores['bin_s']:g} s each"
            height = float(np.clip(3 * len(true), 90, 240))
            panels.append(
                image_pair(f"unit {names[unit]}", true[order][..., k], said[order][..., k], full, height, text, "")
            )
    if not panels:
        return None
    first = next((m["name"] for m in report.kinds("classes")), "")
    text = "The units with most spikes; a row a tested trial" + (f", sorted by {first}." if first else ".")
    text += " The predicted rate of a trial is from all else alone, by "
    text += f"{encoder(report)}."
    return Drawn("Rasters, counts and predicted rates", text, el("div", *panels, class_="pair"))


def _trial_order(report: TrialReport, session: int, n: int) -> Array:
    for m in report.kinds("classes"):
        true = report.true(session, f"classes/{m['name']}")
        if true is not None and len(true) == n:
            return np.argsort(true, kind="stable")
    return np.arange(n)


def maps_section(report: TrialReport) -> Drawn | None:
    name, panels = _counts_name(report), []
    for session, who in report.shown():
        if session >= 1 or report.true(session, f"values/{name}") is None:
            continue
        order = unit_order(report, session, name)
        for static, (true, said) in _psths(report, session, name).items():
            classes = next((m["classes"] for m in report.kinds("classes") if m["name"] == static), ["all trials"])
            most = np.maximum(np.nanmax(np.stack([_smooth(v) for v in true]), (0, 1)), 1e-6)
            for k, word in enumerate(classes):
                if np.isfinite(true[k]).any():
                    now, then = ((_smooth(v[k]) / most)[:, order].T for v in (true, said))
                    height = float(np.clip(2 * len(order), 110, 330))
                    text = f"{true.shape[1] * report.scores['bin_s']:g} s of a trial, {who}"
                    title = f"{static.replace('_', ' ')}: {word}" if static else str(word)
                    panels.append(image_pair(title, now, then, (1.0, 1.0), height, text, f"{len(order)} units"))
    if not panels:
        return None
    text = "The mean response of each unit over the tested trials of a class, as a share of the unit's own highest, "
    text += "and the mean of the rates that were predicted for these trials. Units are in one order throughout."
    return Drawn("Encoding maps", text, el("div", *panels, class_="pair"))
