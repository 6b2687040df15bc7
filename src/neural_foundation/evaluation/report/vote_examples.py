"""Example pages: the labelled seconds channel by channel, the spectrogram of the window, experts beside the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neural_foundation.evaluation.chains import chains

from .blocks import Drawn
from .content import Array
from .heat import heat
from .markup import Html, el, join, percent, significant
from .svg import NARROW, WIDE, Scale, curve, fit, label, line, rect, svg, thin
from .vote_content import VoteExample, VoteReport, shown

STYLE = (
    ".eeg{fill:none;stroke:var(--ink);stroke-width:.8;stroke-linejoin:round}"
    ".eeg.left{stroke:var(--accent)}.eeg.right{stroke:var(--s1)}"
    ".untrusted{fill:var(--band)}.theirs{fill:var(--muted)}.ours{fill:var(--accent)}"
    ".span{fill:none;stroke:var(--ink);stroke-width:1.2}"
    ".example{margin:0 0 3rem}.example h3{margin:0 0 .3rem}.example .pair{margin-top:1rem}"
    ".example>p{font-size:.92rem;color:var(--muted)}"
    ".swatch.theirs{background:var(--muted)}.swatch.ours{background:var(--accent)}"
)
_LABELS, _ROW, _BETWEEN = 62.0, 23.0, 9.0  # px: of channel names, a channel, chains apart
_POINTS = 900  # of one channel
_LEAST_FALL = 0.01  # of a log probability, to be drawn


def section(report: VoteReport) -> Drawn | None:
    """Return the example windows; None where there are none."""
    if not report.examples:
        return None
    name = shown(report.method)
    keys = el(
        "ul",
        *[el("li", el("span", class_=f"swatch {c}", aria_hidden="true"), f" {t}") for c, t in _sides(name)],
        class_="key",
    )
    text = (
        "Windows of patients that no member and no weight had seen. Blue channels lie on the left, orange ones on the "
    )
    text += "right; negative is up. Spectrograms are of the whole window, the labelled stretch framed."
    if any(e.evidence is not None for e in report.examples):
        text += " Shading: without this second of this chain, made silent, the named model is less sure of its answer; "
        text += "the darkest part of each picture is its largest fall."
    return Drawn("Examples", text, join([keys, *[_example(e, report.classes) for e in report.examples]]))


def _sides(name: str) -> tuple[tuple[str, str], ...]:
    return ("theirs", "experts"), ("ours", f"ensemble, {name}")


def _example(e: VoteExample, classes: Sequence[str]) -> Html:
    pair = [p for p in (_spectrograms(e), _shares(e, classes)) if p is not None]
    reading = f"{e.reading} {_evidence_words(e)}".rstrip()
    parts = [el("h3", e.title), el("p", reading), _traces(e), el("div", *pair, class_="pair")]
    return el("div", *parts, class_="example")


def round_scale(values: Array) -> float:
    """Return a round amplitude that most channels stay within: 1, 2 or 5 times a power of ten."""
    size = np.abs(values[np.isfinite(values).all(1)] if np.isfinite(values).all(1).any() else np.nan_to_num(values))
    typical = float(np.quantile(np.quantile(size, 0.97, axis=1), 0.8)) if size.size else 0.0
    if typical <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(typical))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= typical)


def _traces(e: VoteExample) -> Html:
    seconds = e.values.shape[1] / e.sfreq
    x, scale, top = Scale(0, seconds, _LABELS, WIDE - 8), round_scale(e.values), 26.0
    groups = chains(e.ch_names)
    bottom = top + _ROW * len(e.ch_names) + _BETWEEN * (len(groups) - 1) + 6
    every = 1 if seconds <= 20 else 5 if seconds <= 100 else 30
    parts: list[Html] = []
    for second in range(0, int(seconds) + 1, every):
        parts.append(line(x(second), top - 8, x(second), bottom, "grid"))
        parts.append(label(x(second), bottom + 15, f"{second} s", anchor="middle", class_="tick"))
    parts += [rect(x(a), top - 8, x(b) - x(a), bottom - top + 8, "untrusted", "not valid") for a, b in _gaps(e)]
    y = top
    for k, group in enumerate(groups):
        if e.evidence is not None and (full := _full(e)) > 0:
            height = _ROW * len(group)
            parts.append(heat(e.evidence[k : k + 1], full, x.start, y, x.end - x.start, height))
        for i in group:
            middle = y + _ROW / 2
            parts.append(label(_LABELS - 8, middle + 4, fit(e.ch_names[i], _LABELS - 10), anchor="end", class_="tick"))
            parts.append(_channel(e, i, x, middle, scale))
            y += _ROW
        y += _BETWEEN
    name = f"{significant(scale * 1e6 if e.unit == 'V' else scale, 1)} {'µV' if e.unit == 'V' else e.unit}".rstrip()
    parts.append(line(x.end, 4, x.end, 4 + _ROW / 2, "mark"))
    parts.append(label(x.end - 6, 14, f"scale {name}", anchor="end", class_="tick"))
    return svg(WIDE, bottom + 22, f"{len(e.ch_names)} channels of {seconds:g} s.", *parts)


def _full(e: VoteExample) -> float:
    """Return the value at which shading would hide the traces; 0 where nothing falls that is worth to be drawn."""
    largest = float(np.max(e.evidence)) if e.evidence is not None else 0.0
    return 2.5 * largest if largest >= _LEAST_FALL else 0.0


def _evidence_words(e: VoteExample) -> str:
    if e.evidence is None:
        return ""
    if not _full(e):
        return f"{e.evidence_of}: no part alone changes that by 1 in 100."
    times = significant(math.exp(float(np.max(e.evidence))), 3)
    return f"{e.evidence_of}: the darkest part makes that {times} times as likely."


def _channel(e: VoteExample, i: int, x: Scale, middle: float, scale: float) -> Html:
    time, v = thin(np.arange(e.values.shape[1]) / e.sfreq, np.where(e.valid, e.values[i], np.nan), _POINTS)
    y = middle + np.clip(v / scale, -2.5, 2.5) * _ROW / 2  # pixels grow downwards: negative is up
    return curve([x(t) for t in time], list(y), f"eeg {side(e.ch_names[i])}".strip(), e.ch_names[i])


def side(name: str) -> str:
    """Return "left", "right" or "" of a channel by its electrodes' numbers: odd ones lie on the left."""
    digits = {int(n[-1]) % 2 for n in name.split("-") if n[-1:].isdigit()}
    return {frozenset({1}): "left", frozenset({0}): "right"}.get(frozenset(digits), "")


def _gaps(e: VoteExample) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~e.valid).astype(int), [0]])))
    return [(a / e.sfreq, b / e.sfreq) for a, b in edges.reshape(-1, 2).tolist()]


def _spectrograms(e: VoteExample) -> Html | None:
    if not e.spectrograms:
        return None
    strip, gap, top, left = 34.0, 18.0, 18.0, 34.0
    x, every = Scale(0, e.window_s, left, NARROW - 4), np.concatenate([s.ravel() for s in e.spectrograms.values()])
    known = every[np.isfinite(every)] if np.isfinite(every).any() else np.zeros(1)
    low, high = (float(np.quantile(known, q)) for q in (0.05, 0.995))
    parts: list[Html] = []
    for k, (name, power) in enumerate(e.spectrograms.items()):
        y = top + k * (strip + gap)
        parts.append(label(left, y - 4, fit(name, NARROW - left), class_="tick"))
        parts.append(heat(power[::-1] - low, high - low, left, y, x.end - left, strip))
        parts.append(label(left - 5, y + 9, f"{e.high_hz:g} Hz", anchor="end", class_="small"))
        parts.append(rect(x(e.labelled_s[0]), y, x(e.labelled_s[1]) - x(e.labelled_s[0]), strip, "span"))
    bottom = top + len(e.spectrograms) * (strip + gap) - gap
    for tick in x.ticks(5):
        parts.append(label(min(x(tick), NARROW - 12), bottom + 15, f"{tick:g} s", anchor="middle", class_="tick"))
    return svg(NARROW, bottom + 20, f"Spectrograms of {e.window_s:g} s.", *parts)


def _shares(e: VoteExample, classes: Sequence[str]) -> Html:
    total = float(e.votes.sum())
    experts = e.votes / total if total else np.zeros(len(classes))
    said = next(iter(e.said.values()))
    left, row = 70.0, 34.0
    x = Scale(0, 1, left, NARROW - 44)
    parts: list[Html] = []
    for k, name in enumerate(classes):
        y = 4 + k * row
        parts.append(label(left - 8, y + 17, fit(name, left - 8), anchor="end", full=name))
        for values, class_, down, who in ((experts, "theirs", 0.0, "experts"), (said, "ours", 12.0, "ensemble")):
            v = float(values[k])
            parts.append(rect(left, y + down, max(x(v) - left, 0.8), 10.0, class_, f"{who}: {percent(v)} {name}"))
            parts.append(label(x(v) + 5, y + down + 9.5, percent(v), class_="small"))
    return svg(NARROW, 4 + row * len(classes), "Shares of the experts and of the ensemble, by class.", *parts)
