"""Figures of scores: one row per held-out subject, paired differences, what pre-training adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .content import Estimate, HeldOutScores, ModelScores, PairedDifference, PretrainingGain, TrainingBudget
from .markup import Html, estimate, interval, join, number, signed
from .svg import Scale, both, fit, held, label, line, mark, rect, span, svg, text_width, x_axis

BAR = 4  # the mark of a ceiling
_GAP = 34.0  # between the means and the subjects
_NAMED_ROW = 12.0  # rows lower than this have no room for every name


def scores_figure(scores: HeldOutScores) -> Html:
    """Return the dot plot: means with intervals on top, then every subject, best first, beside chance."""
    return both(partial(_scores, scores))


@dataclass(frozen=True)
class _Plot:
    """Where the two blocks of rows lie: means from `top`, a row every `step`; subjects from `middle`."""

    narrow: bool
    top: float
    step: float
    middle: float

    def mean_y(self, row: int) -> float:
        return self.top + (row + (0.72 if self.narrow else 0.5)) * self.step


def _plot(scores: HeldOutScores, width: float) -> _Plot:
    narrow = width < 500
    step = 38.0 if narrow else 28.0
    return _Plot(narrow, 30.0, step, 30.0 + step * len(scores.models) + _GAP)


def _scores(scores: HeldOutScores, width: float) -> Html:
    plot = _plot(scores, width)
    x = _score_scale(scores, width, _left(scores, width), 34 if plot.narrow else 140)
    row = subject_row_height(len(scores.subjects))
    bottom = plot.middle + row * len(scores.subjects) + 4
    some = "" if row >= _NAMED_ROW else " (every fifth is named)"
    parts = [
        x_axis(x, bottom, plot.middle if plot.narrow else plot.top, scores.metric, partial(number, digits=1)),
        _chance_bands(scores, x, plot.middle, bottom, row),
        *_chance_lines(scores, x, plot, bottom),
        _chance_label(scores.chance, x, width),
        *[_mean_row(m, style, x, plot.mean_y(i), width) for i, (m, style) in enumerate(styles(scores))],
        label(0, plot.middle - 12, f"Each {scores.group}, best first{some}", class_="strong"),
        *_subject_rows(scores, x, plot.middle, row, width),
    ]
    title = f"Dot plot of {scores.metric} per {scores.group} and model; the numbers are in the table below."
    return svg(width, bottom + 44, title, *parts)


def styles(scores: HeldOutScores) -> list[tuple[ModelScores, tuple[int, str]]]:
    """Return each model with its (mark, class): the main one a filled disc, baselines hollow, ceilings a bar."""
    found, baselines = [], 0
    for m in [scores.main, *[m for m in scores.models if m is not scores.main]]:
        if m is scores.main:
            found.append((m, (0, "main")))
        elif m.role == "ceiling":
            found.append((m, (BAR, "ceiling")))
        else:
            found.append((m, ((1, 2, 3, 0)[baselines % 4], f"open s{baselines % 3 + 1}")))
            baselines += 1
    return found


def sorted_subjects(scores: HeldOutScores) -> list[int]:
    """Return the order of subjects by the main model's score, best first, undefined last."""
    values = [-math.inf if math.isnan(v) else v for v in scores.main.by_subject]
    return sorted(range(len(values)), key=lambda i: (-values[i], scores.subjects[i]))


def subject_row_height(n: int) -> float:
    """Return the height of a subject's row: a hundred subjects still fit a page."""
    return 22.0 if n <= 30 else 15.0 if n <= 60 else 9.0


def _left(scores: HeldOutScores, width: float) -> float:
    names = [text_width(s) for s in scores.subjects]
    if width < 500:
        return min(max(names) + 12, 0.3 * width)
    return min(max([*names, *[text_width(m.model) for m in scores.models]]) + 16, 0.32 * width)


def _score_scale(scores: HeldOutScores, width: float, left: float, right: float) -> Scale:
    values = [v for m in scores.models for v in (*m.by_subject, m.mean.low, m.mean.high)]
    values += [scores.chance.low, scores.chance.high]
    low, high = span(values, pad=0.04)
    high = 1.0 if 0.8 < high < 1.06 and max((v for v in values if math.isfinite(v)), default=0) <= 1 else high
    return Scale(math.floor(low * 10 + 1e-9) / 10, high, left, width - right)


def _chance_lines(scores: HeldOutScores, x: Scale, plot: _Plot, bottom: float) -> list[Html]:
    """Return chance and its band; on a phone only beside the marks, so that no name is written on them."""
    c, at = scores.chance, x(scores.chance.value)
    rows = [(plot.top, plot.middle - _GAP - plot.top)]
    if plot.narrow:
        rows = [(plot.top + (i + 0.5) * plot.step, 0.44 * plot.step) for i in range(len(scores.models))]
    parts = [rect(x(c.low), y, x(c.high) - x(c.low), height, "band") for y, height in rows]
    parts += [line(at, y, at, y + height, "chance") for y, height in rows]
    return [*parts, line(at, plot.middle, at, bottom, "chance")]


def _chance_bands(scores: HeldOutScores, x: Scale, middle: float, bottom: float, step: float) -> Html:
    c = scores.chance
    bands = []
    for row, i in enumerate(sorted_subjects(scores) if scores.chance_by_subject else []):
        e = (scores.chance_by_subject or ())[i]
        bands.append(rect(x(e.low), middle + row * step, x(e.high) - x(e.low), step, "band"))
    if not scores.chance_by_subject:
        bands.append(rect(x(c.low), middle, x(c.high) - x(c.low), bottom - middle, "band"))
    return join(bands)


def _chance_label(chance: Estimate, x: Scale, width: float) -> Html:
    text = f"chance {number(chance.value)}"
    return label(held(x(chance.value), text, 0, width), 18, text, anchor="middle", class_="tick")


def _mean_row(m: ModelScores, style: tuple[int, str], x: Scale, y: float, width: float) -> Html:
    text = estimate(m.mean.value, m.mean.low, m.mean.high)
    weight = "strong" if style[1] == "main" else ""
    if width < 500:
        name = fit(m.model, width - text_width(text) - 10)
        words = [
            label(0, y - 14, name, class_=weight, full=m.model),
            label(width, y - 14, text, anchor="end", class_=f"{weight} halo"),
        ]
    else:
        name = fit(m.model, x.start - 14)
        words = [
            label(x.start - 14, y + 4, name, anchor="end", class_=weight, full=m.model),
            label(x.end + 16, y + 4, text, class_=weight),
        ]
    return join([*words, whisker(m.mean, x, y, style[0], style[1], f"{m.model}: {text}")])


def whisker(e: Estimate, x: Scale, y: float, shape: int, class_: str, title: str) -> Html:
    """Return an interval with its mark; nothing where the value is undefined."""
    if not math.isfinite(e.value):
        return Html("")
    bar = line(x(e.low), y, x(e.high), y, f"whisker {class_}") if math.isfinite(e.low + e.high) else Html("")
    return Html(bar + mark(shape, x(e.value), y, class_, title, 5.5))


def _subject_rows(scores: HeldOutScores, x: Scale, top: float, step: float, width: float) -> list[Html]:
    rows = []
    every = 1 if step >= _NAMED_ROW else 5  # in a dense plot every fifth name stands for its neighbours
    for row, i in enumerate(sorted_subjects(scores)):
        y = top + (row + 0.5) * step
        name = scores.subjects[i]
        rows.append(line(x.start, y, x.end, y, "row"))
        if row % every == 0:
            rows.append(label(x.start - 12, y + 4, fit(name, x.start - 12), anchor="end", class_="tick", full=name))
            rows.append(
                label(x.end + (8 if width < 500 else 16), y + 4, number(scores.main.by_subject[i]), class_="tick")
            )
        rows += _subject_marks(scores, i, x, y, min(4.5, 0.36 * step))
    return rows


def _subject_marks(scores: HeldOutScores, i: int, x: Scale, y: float, r: float) -> list[Html]:
    marks = []
    for m, (shape, class_) in reversed(styles(scores)):  # the main model is drawn last, on top
        value = m.by_subject[i]
        if math.isfinite(value):
            marks.append(mark(shape, x(value), y, class_, f"{scores.subjects[i]}, {m.model}: {number(value)}", r))
    return marks


def difference_figure(difference: PairedDifference) -> Html:
    """Return each subject's difference as a dot, and the mean with its interval below, around zero."""
    return both(partial(_difference, difference))


def _difference(d: PairedDifference, width: float) -> Html:
    low, high = span(
        [*d.by_subject, d.difference.value, d.difference.low, d.difference.high, 0.0], pad=0.08, least=0.005
    )
    x = Scale(low, high, 12, width - 12)
    offsets = swarm([x(v) for v in d.by_subject], 5.0)
    deepest = max((abs(o) for o in offsets), default=0.0)
    base = 34 + deepest + 10
    dots = [
        mark(0, x(v), base + o, "dot", f"{name}: {signed(v)}", 4.5)
        for name, v, o in zip(d.subjects, d.by_subject, offsets, strict=True)
        if math.isfinite(v)
    ]
    y = base + deepest + (30 if d.by_subject else 6)
    text = f"mean {signed(d.difference.value)}"
    digits = 2 if high - low > 0.05 else 3
    parts = [
        x_axis(x, y + 22, 26, f"difference in {d.metric}", partial(signed, digits=digits), 5 if width < 500 else 8),
        line(x(0), 26, x(0), y + 22, "zero"),
        _sides(d, x(0), width),
        *dots,
        whisker(d.difference, x, y, 0, "main", f"{text} [{interval(d.difference.low, d.difference.high)}]"),
        label(held(x(d.difference.value), text, 0, width), y - 11, text, anchor="middle", class_="strong halo"),
    ]
    title = f"Difference of {d.model} and {d.baseline} per subject, with the mean and its 95 % interval."
    return svg(width, y + 66, title, *parts)


def _sides(d: PairedDifference, zero: float, width: float) -> Html:
    """Return what either side of zero means, in the longest words that fit."""
    wordings = [
        (f"← {d.baseline} better", f"{d.model} better →"),
        (f"← {d.baseline}", f"{d.model} →"),
        ("← worse", "better →"),
    ]
    room = [
        (left, right)
        for left, right in wordings
        if text_width(left) < zero - 8 and text_width(right) < width - zero - 8
    ]
    if room:
        left, right = room[0]
        return join([label(zero - 8, 17, left, anchor="end", class_="tick"), label(zero + 8, 17, right, class_="tick")])
    # all on one side: the side with room says what it means
    if zero > width / 2:
        return label(zero - 8, 17, "← worse", anchor="end", class_="tick")
    return label(zero + 8, 17, "better →", class_="tick")


def swarm(positions: Sequence[float], r: float) -> list[float]:
    """Return the vertical offset of each dot so that none covers another; deterministic."""
    placed: list[tuple[float, float]] = []
    offsets = [0.0] * len(positions)
    levels = [0.0] + [s * k * 1.0 for k in np.arange(2, 60 * r) for s in (-1, 1)]
    for i in sorted(range(len(positions)), key=lambda j: (math.isnan(positions[j]), positions[j])):
        if math.isnan(positions[i]):
            continue
        near = [(px, py) for px, py in placed if abs(px - positions[i]) < 2 * r]
        free = (o for o in levels if all((px - positions[i]) ** 2 + (py - o) ** 2 >= (2 * r) ** 2 for px, py in near))
        offsets[i] = float(next(free, 0.0))
        placed.append((positions[i], offsets[i]))
    return offsets


def gain_figure(gain: PretrainingGain) -> Html:
    """Return, per amount of data, from scratch (hollow) above pre-trained (filled), and their difference."""
    return both(partial(_gain, gain))


def _gain(gain: PretrainingGain, width: float) -> Html:
    narrow = width < 500
    values = [v for b in gain.budgets for e in (b.scratch, b.pretrained) for v in (e.low, e.high, e.value)]
    low, high = span([*values, *([gain.chance] if gain.chance is not None else [])], pad=0.06)
    names = max((text_width(b.label) for b in gain.budgets), default=0)
    x = Scale(low, high, 10 if narrow else min(names + 16, 0.32 * width), width - (10 if narrow else 160))
    top, step = 28.0, 64.0 if narrow else 46.0
    bottom = top + step * len(gain.budgets)
    parts = [x_axis(x, bottom, top, gain.metric, number if high - low < 0.5 else partial(number, digits=1))]
    if gain.chance is not None:
        text = f"chance {number(gain.chance)}"
        at = x(gain.chance)
        rows = [top + (i + 0.66) * step for i in range(len(gain.budgets))]  # on a phone beside the marks only
        ends = [(y - 16, y + 16) for y in rows] if narrow else [(top, bottom)]
        parts += [line(at, a, at, b, "chance") for a, b in ends]
        parts.append(label(held(x(gain.chance), text, 0, width), 17, text, anchor="middle", class_="tick"))
    parts += [_budget(b, x, top + (i + (0.66 if narrow else 0.5)) * step, width) for i, b in enumerate(gain.budgets)]
    return svg(width, bottom + 44, f"{gain.metric} from scratch and pre-trained by amount of data.", *parts)


def _budget(b: TrainingBudget, x: Scale, y: float, width: float) -> Html:
    d = b.difference
    text = "" if d is None else ("+" if d.value > 0 else "") + estimate(d.value, d.low, d.high)
    if width < 500:
        words = [
            label(0, y - 22, fit(b.label, 150), full=b.label, class_="halo"),
            label(width, y - 22, text, anchor="end", class_="strong halo"),
        ]
    else:
        name = fit(b.label, x.start - 14)
        words = [
            label(x.start - 14, y + 4, name, anchor="end", full=b.label),
            label(x.end + 16, y + 4, text, class_="strong"),
        ]
    scratch = whisker(b.scratch, x, y - 7, 1, "open s1", f"{b.label}, from scratch: {number(b.scratch.value)}")
    return join(
        [
            *words,
            scratch,
            whisker(b.pretrained, x, y + 7, 0, "main", f"{b.label}, pre-trained: {number(b.pretrained.value)}"),
        ]
    )
