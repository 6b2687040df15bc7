"""Sections on what the scores rest on: which trials had which role, and what was left out of the data."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .blocks import Drawn
from .content import Array
from .markup import Html, el, join, table
from .svg import Scale, both, fit, label, rect, svg, x_axis
from .trial_content import WAYS, TrialReport

STYLE = ".role0{fill:var(--k7);fill-opacity:.55}.role1{fill:var(--k4)}.role2{fill:var(--accent)}"
STYLE += ".swatch.role0{background:var(--k7);opacity:.55}.swatch.role1{background:var(--k4)}"
STYLE += ".swatch.role2{background:var(--accent)}"
ROLES = ("learned from", "chosen on", "tested")
_MOST_FOLDS = 10
_ROW = 20.0


def section(report: TrialReport) -> Drawn | None:
    rows = []
    for session, who in report.shown():
        for way, folds in report.scores["splits"].items():
            for fold in sorted(folds, key=lambda f: (len(f), f))[:_MOST_FOLDS]:
                stretches = report.truth.get(f"{way}/roles/{fold}/{session}")
                if stretches is not None:
                    rows.append((who, way, fold, stretches))
    if not rows:
        return None
    items = [el("li", el("span", class_=f"swatch role{i}", aria_hidden="true"), f" {r}") for i, r in enumerate(ROLES)]
    figures = [
        both(partial(_strips, who, [r for r in rows if r[0] == who])) for who in dict.fromkeys(r[0] for r in rows)
    ]
    return Drawn("Which part had which role", _reading(report), join([el("ul", *items, class_="key"), *figures]))


def _strips(who: str, rows: list[tuple[str, str, str, Array]], width: float) -> Html:
    start, end = min(float(r[3][:, 0].min()) for r in rows), max(float(r[3][:, 1].max()) for r in rows)
    x = Scale(start, max(end, start + 1e-3), 130 if width > 500 else 84, width - 6)
    parts = [label(0, 14, fit(who, width), class_="strong")]
    for i, (_, way, fold, stretches) in enumerate(rows):
        y = 24 + i * _ROW
        parts.append(label(0, y + 12, fit(f"{WAYS[way]}, {fold}", x.start - 6), class_="tick"))
        for low, high, role in _merged(stretches):
            tip = f"{ROLES[role]}: {low:,.1f} to {high:,.1f} s"
            parts.append(rect(x(low), y, max(x(high) - x(low), 0.6), _ROW - 5, f"role{role}", tip))
    bottom = 24 + len(rows) * _ROW
    axis = x_axis(x, bottom, 22, "time in the recording, s", lambda v: f"{v:,.0f}", 4 if width < 500 else 7)
    return svg(width, bottom + 42, f"Roles of the trials of {who} over time, one strip a fold.", axis, *parts)


def _merged(stretches: Array) -> list[tuple[float, float, int]]:
    """Return stretches in time order; what follows in the same role, with less than a trial between, is one."""
    made: list[tuple[float, float, int]] = []
    typical = float(np.median(stretches[:, 1] - stretches[:, 0]))
    for low, high, role in stretches[np.argsort(stretches[:, 0], kind="stable")].tolist():
        if made and made[-1][2] == int(role) and low - made[-1][1] < typical:
            made[-1] = (made[-1][0], max(high, made[-1][1]), int(role))
        else:
            made.append((low, high, int(role)))
    return made


def _reading(report: TrialReport) -> str:
    told = []
    for way, folds in report.scores["splits"].items():
        any_fold = next(iter(folds.values()))
        if way == "block":
            gap = any_fold["gap_s"]
            text = f"{len(folds)} of {any_fold['folds']} blocks of time tested, each by a fit of its own"
            told.append(text + (f"; {gap:g} s beside the tested block have no role" if gap else ""))
        else:
            told.append(f"{len(folds)} draw{'s' * (len(folds) > 1)} of {any_fold['test']:.0%} of the trials at random")
    return f"{'; '.join(told)}."


def data_section(report: TrialReport) -> Drawn:
    """Return what each session holds, and what was left out of it and why."""
    rows = []
    for name, facts in report.sessions.items():
        there = report.scores["sessions"].get(name, {})
        rows.append([name, facts.get("subject", ""), _sum(there.get("units")), there.get("trials", ""), _said(facts)])
    head = ["Session", "Subject", "Units", "Trials", "Kept, and why the others were not"]
    figure = table(head, rows, caption="What is scored of each session", stack=True)
    return Drawn("The data, and what was left out", "", figure)


def _sum(units: Any) -> str:
    return f"{sum(units.values()):,}" if units else ""


def _said(facts: Any) -> str:
    return str(facts.get("said", "")) or "nothing is said of it"
