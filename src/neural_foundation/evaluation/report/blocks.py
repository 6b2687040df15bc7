"""The sections of the page, each made from one part of the content: its figure, its words and its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from neural_foundation.metrics import by_class

from . import alarms, certainty, curves, figures, reading, topomap, trace
from .content import (
    Alarms,
    Calibration,
    Certainty,
    Confusion,
    DecisionTrace,
    HeldOutScores,
    Latency,
    LearningCurves,
    PairedDifference,
    PretrainingGain,
    Provenance,
    ReportContent,
    ScalpMaps,
    TemporalCoherence,
)
from .markup import Html, duration, el, interval, number, percent, signed, significant, table


@dataclass(frozen=True)
class Drawn:
    """One section: what it says, its figure, and its numbers where the figure is not a table itself."""

    title: str
    reading: str
    figure: Html
    numbers: Html | None = None


@dataclass(frozen=True)
class Block:
    """A section in its place: its anchor, its name in the list of sections, and where it comes from."""

    name: str
    short: str
    drawn: Drawn
    provenance: Provenance


class _Part(Protocol):
    @property
    def provenance(self) -> Provenance | None: ...


P = TypeVar("P", bound=_Part)


def blocks(content: ReportContent) -> list[Block]:
    """Return the sections that have content, the answer first and the inner workings last."""
    by = f"By {content.scores.group}" if content.scores is not None else ""

    def made(part: P | None, name: str, short: str, draw: Callable[[P], Drawn]) -> list[Block]:
        return [] if part is None else [Block(name, short, draw(part), part.provenance or content.provenance)]

    found = [
        made(content.scores, "scores", by, _scores),
        made(content.difference, "difference", "Baseline", _difference),
        made(content.gain, "pretraining", "Pre-training", _gain),
        made(content.alarms, "alarms", "Alarms", _alarms),
        made(content.trace, "trace", "Live", _trace),
        made(content.latency, "latency", "Latency", _latency),
        made(content.scalp, "scalp", "Scalp", _scalp),
        made(content.confusion, "confusion", "Confusion", confusion_section),
        made(content.calibration, "calibration", "Calibration", _calibration),
        made(content.certainty, "certainty", "Certainty", _certainty),
        made(content.coherence, "coherence", "Steadiness", _coherence),
        *[made(c, f"learning-{i + 1}", f"{c.title} curves", learning_section) for i, c in enumerate(content.learning)],
    ]
    return [block for part in found for block in part]


def _scores(s: HeldOutScores) -> Drawn:
    title = f"Each held-out {s.group}, beside chance and baselines"
    return Drawn(title, reading.scores_reading(s), figures.scores_figure(s), _scores_table(s))


def _difference(d: PairedDifference) -> Drawn:
    figure = figures.difference_figure(d)
    return Drawn("Against the best baseline", reading.difference_reading(d), figure, _difference_table(d))


def _gain(g: PretrainingGain) -> Drawn:
    figure = Html(_gain_key() + figures.gain_figure(g))
    return Drawn("What pre-training adds", reading.gain_reading(g), figure, _gain_table(g))


def _alarms(a: Alarms) -> Drawn:
    return Drawn("Warnings and false alarms", alarms.alarms_reading(a), alarms.alarms_figure(a), alarms.alarms_table(a))


def _trace(t: DecisionTrace) -> Drawn:
    return Drawn("The decision, live", reading.trace_reading(t), trace.trace_figure(t), _trials_table(t))


def _latency(latency: Latency) -> Drawn:
    rows = [[name, duration(value)] for name, value in curves.quantiles(latency).items()]
    rows.append(["slowest", duration(float(np.max(latency.seconds)))])
    numbers = table(["Quantile", "Time"], rows, caption=f"{np.size(latency.seconds):,} steps")
    return Drawn("How fast a step is", reading.latency_reading(latency), curves.latency_figure(latency), numbers)


def _scalp(maps: ScalpMaps) -> Drawn:
    return Drawn("Where on the scalp", reading.scalp_reading(maps), topomap.scalp_figure(maps), _scalp_table(maps))


def confusion_section(c: Confusion) -> Drawn:
    """Return the section on what is taken for what."""
    return Drawn("What is taken for what", reading.confusion_reading(c), _confusion_table(c), _by_class_table(c))


def _calibration(cal: Calibration) -> Drawn:
    text = reading.calibration_reading(cal)
    return Drawn("Is its confidence deserved?", text, curves.calibration_figure(cal), _calibration_table(cal))


def _certainty(c: Certainty) -> Drawn:
    title = "What it leaves open, and what silence buys"
    return Drawn(title, reading.certainty_reading(c), certainty.certainty_figure(c), certainty.certainty_table(c))


def _coherence(tc: TemporalCoherence) -> Drawn:
    return Drawn("How steady the decision is", tc.definition, _coherence_facts(tc))


def learning_section(lc: LearningCurves) -> Drawn:
    """Return the section on the fits of one stage."""
    text = "One line per fit. A ring marks the checkpoint that was kept." if _kept(lc) else "One line per fit."
    return Drawn(f"{lc.title}: learning curves", text, curves.learning_figure(lc), _learning_table(lc))


def _kept(curves_: LearningCurves) -> bool:
    return any(c.chosen_step is not None and c.validation is not None for c in curves_.curves)


def _scores_table(s: HeldOutScores) -> Html:
    models = [m for m, _ in figures.styles(s)]
    head = [
        s.group.capitalize(),
        *(["Trials"] if s.n_trials else []),
        *[m.model for m in models],
        *(["Chance, upper limit"] if s.chance_by_subject else []),
    ]
    rows = []
    for i in figures.sorted_subjects(s):
        trials = [f"{s.n_trials[i]:,}"] if s.n_trials else []
        chance = [number(s.chance_by_subject[i].high)] if s.chance_by_subject else []
        rows.append([s.subjects[i], *trials, *[number(m.by_subject[i], 3) for m in models], *chance])
    total = [f"{sum(s.n_trials):,}"] if s.n_trials else []
    last = [number(s.chance.high)] if s.chance_by_subject else []
    rows.append(["Mean", *total, *[number(m.mean.value, 3) for m in models], *last])
    rows.append(
        [
            "95 % interval",
            *["" for _ in total],
            *[interval(m.mean.low, m.mean.high, 3) for m in models],
            *["" for _ in last],
        ]
    )
    shuffled = f"shuffled labels reach {interval(s.chance.low, s.chance.high)} on average"
    return table(head, rows, caption=f"{s.metric}; chance {number(s.chance.value)}, {shuffled}")


def _difference_table(d: PairedDifference) -> Html:
    pairs = sorted(zip(d.subjects, d.by_subject, strict=True), key=lambda p: (math.isnan(p[1]), -p[1], p[0]))
    rows = [[name, signed(v, 3)] for name, v in pairs]
    rows.append(
        [
            "Mean [95 % interval]",
            f"{signed(d.difference.value, 3)} [{interval(d.difference.low, d.difference.high, 3)}]",
        ]
    )
    return table(["Held out", f"{d.model} minus {d.baseline}"], rows, caption=f"{d.metric}; {d.method}")


def _gain_key() -> Html:
    swatches = [("hollow", " from scratch"), ("filled", " pre-trained")]
    return el(
        "ul", *[el("li", el("span", class_=f"swatch {c}", aria_hidden="true"), t) for c, t in swatches], class_="key"
    )


def _gain_table(g: PretrainingGain) -> Html:
    rows = []
    for b in g.budgets:
        three = [f"{number(e.value, 3)} [{interval(e.low, e.high, 3)}]" for e in (b.scratch, b.pretrained)]
        d = b.difference
        rows.append([b.label, *three, "" if d is None else f"{signed(d.value, 3)} [{interval(d.low, d.high, 3)}]"])
    return table(
        ["Labelled data", "From scratch", "Pre-trained", "Difference"], rows, caption=f"{g.metric} with 95 % intervals"
    )


def _trials_table(t: DecisionTrace) -> Html | None:
    if not t.trials:
        return None
    rows = [[f"{i.start_s:.2f}", f"{i.end_s:.2f}", i.label, i.decided or number(None)] for i in t.trials]
    return table(
        ["Start, s", "End, s", "True class", "Decided"], rows, caption=f"{len(rows):,} trials of the recording"
    )


def _scalp_table(maps: ScalpMaps) -> Html:
    columns = [(f"{m.title}, {maps.unit}", m.values) for m in maps.maps]
    columns += [(f"{m.title}, truth, {maps.reference_unit}", m.reference) for m in maps.maps if m.reference is not None]
    rows = [[name, *[significant(float(v[i]), 2) for _, v in columns]] for i, name in enumerate(maps.ch_names)]
    return table(["Channel", *[title for title, _ in columns]], rows, caption="Value of each map at each electrode")


def _confusion_table(c: Confusion) -> Html:
    counts = np.asarray(c.counts)
    totals = np.maximum(counts.sum(1), 1)
    rows = []
    for i, name in enumerate(c.classes):
        cells = [_confusion_cell(int(counts[i, j]), float(counts[i, j] / totals[i])) for j in range(len(c.classes))]
        rows.append(el("tr", el("th", name, scope="row"), *cells))
    head = el(
        "tr", el("th", "true ↓", el("br"), "decoded →", scope="col"), *[el("th", n, scope="col") for n in c.classes]
    )
    of = f" of {c.model}" if c.model else ""
    caption = el("caption", f"Decisions{of} on held-out data: share of each true class, and number of trials")
    width = f"min-width:{5.5 * (len(c.classes) + 1):g}rem"
    inner = el(
        "table",
        caption,
        el("thead", head),
        el("tbody", *rows),
        class_="confusion",
        style=width,
    )
    return el("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix")


def _by_class_table(c: Confusion) -> Html | None:
    if np.sum(c.counts) == 0:
        return None
    made = by_class(c.counts)
    trials = [f"{n:,}" for n in np.asarray(c.counts).sum(1).tolist()]
    rows = [
        [name, *[number(v) for v in values], n]
        for name, values, n in zip(c.classes, np.stack(made, 1).tolist(), trials, strict=True)
    ]
    return table(["Class", "Recall", "Precision", "F1", "Trials"], rows, caption="Each class by itself")


def _confusion_cell(n: int, share: float) -> Html:
    class_ = "strong" if share > 0.7 else None
    return el("td", el("b", percent(share)), f"{n:,}", class_=class_, style=f"--share:{round(100 * share)}")


def _calibration_table(cal: Calibration) -> Html:
    both = [("calibrated, ", cal), ("before, ", cal.before)] if cal.before else [("", cal)]
    rows = [
        [f"{name}{percent(p)}", percent(c), f"{n:,}"]
        for name, part in both
        for p, c, n in zip(part.confidence, part.correct, part.count, strict=True)
    ]
    return table(["Mean confidence", "Right", "Trials"], rows, caption="Reliability by bin of confidence")


def _coherence_facts(tc: TemporalCoherence) -> Html:
    facts = [
        ("temporal coherence", tc.value),
        *([(tc.reference_label, tc.reference)] if tc.reference is not None else []),
    ]
    items = [
        el("div", el("dt", name), el("dd", number(v)), class_=None if i else "first")
        for i, (name, v) in enumerate(facts)
    ]
    return el("dl", *items, class_="facts")


def _learning_table(lc: LearningCurves) -> Html:
    rows = []
    for c in lc.curves:
        last = number(float(c.loss[-1]), 4) if len(c.loss) else number(None)
        held_out = (
            number(float(c.validation[-1]), 4) if c.validation is not None and len(c.validation) else number(None)
        )
        kept = f"{c.chosen_step:,}" if c.chosen_step is not None else number(None)
        rows.append([c.name, f"{int(c.step[-1]):,}" if len(c.step) else "0", last, held_out, kept])
    head = ["Fit", "Steps", f"Last {lc.loss_label}", f"Last {lc.validation_label}", "Kept at step"]
    return table(head, rows, caption=f"{lc.title}: where each fit ended")
