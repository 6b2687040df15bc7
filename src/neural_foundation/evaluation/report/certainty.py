"""Figures and numbers of certainty: what silence buys, and how often the sets hold the true class, person by person."""

from __future__ import annotations

import numpy as np

from .content import Certainty
from .figures import swarm
from .markup import Html, el, interval, join, number, percent, table
from .svg import NARROW, Scale, curve, held, label, line, mark, span, svg, x_axis, y_axis


def certainty_figure(c: Certainty) -> Html:
    """Return two panels: accuracy against the share of windows that are decided, and the coverage of each person."""
    return el("div", _silence(c), _coverage(c), class_="pair")


def _silence(c: Certainty) -> Html:
    accuracy, answered = np.asarray(c.accuracy, float), np.asarray(c.answered, float)
    shown = answered >= min(0.1, float(answered[-1]))  # the first few decisions make a jagged start
    low = float(accuracy[shown].min())
    x, y = Scale(0, 1, 46, NARROW - 12), Scale(np.floor(low * 10 - 1e-9) / 10, 1.0, 204, 28)
    all_of_them = float(accuracy[-1])
    parts = [
        y_axis(y, x.start, x.end, percent, 5),
        x_axis(x, y.start, y.end, "share of windows that are decided", percent, 5),
        label(0, 14, "decisions that were right", class_="strong"),
        line(x.start, y(all_of_them), x.end, y(all_of_them), "chance"),
        curve([x(v) for v in answered[shown]], [y(v) for v in accuracy[shown]], "fold"),
    ]
    if c.given is not None:
        share, right = c.given
        text = f"its own rule: {percent(right)} of {percent(share)}"
        parts.append(mark(0, x(share), y(right), "main", text, 5.5))
        parts.append(label(x.end - 2, y.start - 8, text, anchor="end", class_="halo"))
    return svg(NARROW, 246, "Share of right decisions against the share of windows that are decided.", *parts)


def _coverage(c: Certainty) -> Html:
    low, high = span([*c.by_subject, c.wished, c.coverage.low], pad=0.05, least=0.02)
    x = Scale(low, min(high, 1.0), 12, NARROW - 12)
    offsets = swarm([x(v) for v in c.by_subject], 4.0)
    deepest = max(abs(o) for o in offsets)
    base = 44 + deepest
    bottom = base + deepest + 40
    dots = [
        mark(0, x(v), base + o, "dot", f"{name}: {percent(v)}", 3.6)
        for name, v, o in zip(c.subjects, c.by_subject, offsets, strict=True)
    ]
    e = c.coverage
    text = f"mean {percent(e.value)}, wished {percent(c.wished)}"
    parts = [
        label(0, 14, "sets that hold the true class, each person", class_="strong"),
        x_axis(x, bottom, 26, "coverage", percent, 5),
        line(x(c.wished), 26, x(c.wished), bottom, "chance"),
        *dots,
        line(x(e.low), bottom - 16, x(e.high), bottom - 16, "whisker main"),
        mark(0, x(e.value), bottom - 16, "main", text, 5.5),
        label(held(x(e.value), text, 0, NARROW), bottom - 25, text, anchor="middle", class_="halo"),
    ]
    return svg(NARROW, bottom + 44, "Coverage of each held-out person, with the mean and what was wished.", *parts)


def certainty_table(c: Certainty) -> Html:
    """Return coverage person by person, and beside it how certainty grows as a window goes on."""
    pairs = sorted(zip(c.subjects, c.by_subject, strict=True), key=lambda p: (-p[1], p[0]))
    rows = [[name, percent(v)] for name, v in pairs]
    rows.append(["Mean [95 % interval]", f"{percent(c.coverage.value)} [{interval(c.coverage.low, c.coverage.high)}]"])
    people = table(["Held out", "Sets that hold the true class"], rows, caption=f"Wished: {percent(c.wished)}")
    if not c.along:
        return people
    head = ["Seconds since it began", "Sets that hold the true class", "Decided", "Right of those", "Right of all"]
    along = [
        [
            f"up to {until:.1f}",
            percent(held),
            percent(said),
            number(None) if right is None else percent(right),
            percent(of_all),
        ]
        for until, held, said, right, of_all in c.along
    ]
    return join([people, table(head, along, caption="Decisions as a window goes on; the last row is its end")])
