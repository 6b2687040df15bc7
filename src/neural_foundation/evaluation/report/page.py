"""The page: one HTML file that needs nothing else.

It has no script, and its content policy allows the inline style and nothing else: a report cannot load, run or send
what its names contain. Equal content gives equal bytes; there is no date on the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import curves, figures, reading, topomap, trace
from .content import (
    Calibration,
    Confusion,
    DataSource,
    HeldOutScores,
    LearningCurves,
    PairedDifference,
    PretrainingGain,
    Provenance,
    ReportContent,
    ScalpMaps,
    TemporalCoherence,
)
from .markup import Html, count, duration, el, interval, join, number, percent, signed, significant, table
from .style import style_sheet


@dataclass(frozen=True)
class Block:
    """One section: a figure, what it says, its numbers and where they come from."""

    name: str
    short: str
    title: str
    reading: str
    figure: Html
    numbers: Html | None
    provenance: Provenance


def page(content: ReportContent) -> str:
    """Return the whole document."""
    blocks = list(_blocks(content))
    sections = [_section(b) for b in blocks]
    body = el("main", _header(content, blocks), *sections, _reproduce(content, blocks), _footer(content))
    skip = el("a", "Skip to the content", href="#content", class_="back")
    document = el("html", _head(content), el("body", skip, body), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _head(content: ReportContent) -> Html:
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="neural-foundation"),
        el("title", content.title),
        el("style", Html(style_sheet())),
    )


def _header(content: ReportContent, blocks: list[Block]) -> Html:
    sentence = reading.verdict(content)
    parts = [el("h1", content.title), el("p", sentence, class_="verdict") if sentence else None, _facts(content)]
    if content.caveats:
        notes = el("ul", *[el("li", c) for c in content.caveats])
        parts.append(el("div", el("h2", "Read with care"), notes, class_="caveats"))
    links = [el("li", el("a", b.short, href=f"#{b.name}")) for b in blocks]
    links.append(el("li", el("a", "Reproduce", href="#reproduce")))
    parts.append(el("nav", el("ul", *links), aria_label="Sections"))
    return el("header", *parts, id="content")


def _facts(content: ReportContent) -> Html | None:
    facts: list[tuple[str, str]] = []
    if content.scores is not None:
        s = content.scores
        facts.append(
            (f"{s.metric}, mean of {count(len(s.subjects), 'held-out ' + s.group)}", number(s.main.mean.value))
        )
        facts.append(("chance", number(s.chance.value)))
        if s.best_baseline is not None:
            facts.append((f"best baseline, {s.best_baseline.model}", number(s.best_baseline.mean.value)))
    if content.latency is not None:
        facts.append(("a live step at p99", duration(curves.quantiles(content.latency)["p99"])))
    if content.coherence is not None and not facts:
        facts.append(("temporal coherence", number(content.coherence.value)))
    items = [
        el("div", el("dt", name), el("dd", value), class_=None if i else "first")
        for i, (name, value) in enumerate(facts)
    ]
    return el("dl", *items, class_="facts") if items else None


def _section(block: Block) -> Html:
    parts = [
        el("h2", block.title, id=f"{block.name}-title"),
        el("figure", block.figure, aria_labelledby=f"{block.name}-title"),
        el("p", block.reading, class_="reading") if block.reading else None,
        el("details", el("summary", "The numbers as a table"), block.numbers) if block.numbers else None,
        el("details", el("summary", "Where this comes from"), _provenance(block.provenance)),
    ]
    return el("section", *parts, id=block.name, class_="block")


def _blocks(content: ReportContent) -> Iterator[Block]:
    """Yield the sections that have content, the answer first and the inner workings last."""
    default = content.provenance
    if (s := content.scores) is not None:
        title = f"Each held-out {s.group}, beside chance and baselines"
        yield Block(
            "scores",
            f"By {s.group}",
            title,
            reading.scores_reading(s),
            figures.scores_figure(s),
            _scores_table(s),
            s.provenance or default,
        )
    if (d := content.difference) is not None:
        numbers = _difference_table(d)
        yield Block(
            "difference",
            "Baseline",
            "Against the best baseline",
            reading.difference_reading(d),
            figures.difference_figure(d),
            numbers,
            d.provenance or default,
        )
    if (g := content.gain) is not None:
        figure = Html(_gain_key() + figures.gain_figure(g))
        yield Block(
            "pretraining",
            "Pre-training",
            "What pre-training adds",
            reading.gain_reading(g),
            figure,
            _gain_table(g),
            g.provenance or default,
        )
    if (t := content.trace) is not None:
        yield Block(
            "trace",
            "Live",
            "The decision, live",
            reading.trace_reading(t),
            trace.trace_figure(t),
            None,
            t.provenance or default,
        )
    if (latency := content.latency) is not None:
        q = curves.quantiles(latency)
        numbers = table(
            ["Quantile", "Time"],
            [[name, duration(v)] for name, v in q.items()],
            caption=f"{np.size(latency.seconds):,} steps",
        )
        text = reading.latency_reading(latency)
        yield Block(
            "latency",
            "Latency",
            "How fast a step is",
            text,
            curves.latency_figure(latency),
            numbers,
            latency.provenance or default,
        )
    yield from _inner_blocks(content)


def _inner_blocks(content: ReportContent) -> Iterator[Block]:
    default = content.provenance
    if (maps := content.scalp) is not None:
        yield Block(
            "scalp",
            "Scalp",
            "Where on the scalp",
            reading.scalp_reading(maps),
            topomap.scalp_figure(maps),
            _scalp_table(maps),
            maps.provenance or default,
        )
    if (c := content.confusion) is not None:
        yield Block(
            "confusion",
            "Confusion",
            "What is taken for what",
            reading.confusion_reading(c),
            _confusion(c),
            None,
            c.provenance or default,
        )
    if (cal := content.calibration) is not None:
        text = "" if cal.error is None else f"Expected calibration error {number(cal.error, 3)}."
        figure = curves.calibration_figure(cal)
        yield Block(
            "calibration",
            "Calibration",
            "Is its confidence deserved?",
            text,
            figure,
            _calibration_table(cal),
            cal.provenance or default,
        )
    if (tc := content.coherence) is not None:
        yield Block(
            "coherence",
            "Steadiness",
            "How steady the decision is",
            tc.definition,
            _coherence(tc),
            None,
            tc.provenance or default,
        )
    for i, lc in enumerate(content.learning):
        text = "One line per fit. A ring marks the checkpoint that was kept." if _kept(lc) else "One line per fit."
        numbers = _learning_table(lc)
        yield Block(
            f"learning-{i + 1}",
            f"{lc.title} curves",
            f"{lc.title}: learning curves",
            text,
            curves.learning_figure(lc),
            numbers,
            lc.provenance or default,
        )


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
    note = f"{s.metric}; chance {number(s.chance.value)}, shuffled labels reach {interval(s.chance.low, s.chance.high)} on average"
    return table(head, rows, caption=note)


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


def _scalp_table(maps: ScalpMaps) -> Html:
    columns = [(f"{m.title}, {maps.unit}", m.values) for m in maps.maps]
    columns += [(f"{m.title}, truth, {maps.reference_unit}", m.reference) for m in maps.maps if m.reference is not None]
    rows = [[name, *[significant(float(v[i]), 2) for _, v in columns]] for i, name in enumerate(maps.ch_names)]
    return table(["Channel", *[title for title, _ in columns]], rows, caption="Value of each map at each electrode")


def _confusion(c: Confusion) -> Html:
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


def _confusion_cell(n: int, share: float) -> Html:
    class_ = "strong" if share > 0.7 else None
    return el("td", el("b", percent(share)), f"{n:,}", class_=class_, style=f"--share:{round(100 * share)}")


def _calibration_table(cal: Calibration) -> Html:
    rows = [[percent(p), percent(c), f"{n:,}"] for p, c, n in zip(cal.confidence, cal.correct, cal.count, strict=True)]
    return table(["Mean confidence", "Right", "Trials"], rows, caption="Reliability by bin of confidence")


def _coherence(tc: TemporalCoherence) -> Html:
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


def _provenance(p: Provenance) -> Html:
    rows = [
        ("Command", _command(p.command)),
        ("Seed", _seed(p)),
        ("Stage", p.stage),
        ("Stage key", el("code", p.stage_key) if p.stage_key else ""),
        ("Data", join([_source(d) for d in p.data], "; ")),
        ("Versions", _versions(p)),
    ]
    return el("dl", *[Html(el("dt", name) + el("dd", value)) for name, value in rows if value])


def _versions(p: Provenance) -> str:
    return ", ".join(f"{name} {p.versions[name]}" for name in sorted(p.versions))


def _source(d: DataSource) -> Html:
    name: object = (
        el("a", d.title, href=d.url, rel="noreferrer noopener")
        if d.url.startswith(("https://", "http://"))
        else d.title
    )
    n = "" if d.n_subjects is None else f", {count(d.n_subjects, 'subject')}"
    return join([name, n, f", {d.licence}" if d.licence else "", f". {d.citation}" if d.citation else ""])


def _reproduce(content: ReportContent, blocks: list[Block]) -> Html:
    sources = [content.provenance, *[b.provenance for b in blocks]]
    commands = list(dict.fromkeys(p.command for p in sources))
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for b in blocks:
        p = b.provenance
        which = "above" if len(commands) == 1 else f"# {commands.index(p.command) + 1}"
        together.setdefault((p.stage, p.stage_key, _seed(p), which), []).append(b.short)
    rows = [
        [", ".join(names), stage, el("code", key), seed, which] for (stage, key, seed, which), names in together.items()
    ]
    head = ["Figures", "Stage", "Key", "Seed", "Command"]
    numbered = [el("pre", f"# {i + 1}\n" if len(commands) > 1 else None, _command(c)) for i, c in enumerate(commands)]
    data = list(dict.fromkeys(d for p in sources for d in p.data))
    parts = [
        el("h2", "How to reproduce", id="reproduce-title"),
        *numbered,
        table(head, rows, caption="Every figure, the stage it was made from and its key", stack=True) if rows else None,
        *([el("h3", "Data"), el("ul", *[el("li", _source(d)) for d in data])] if data else []),
        *([el("h3", "Versions"), el("p", _versions(content.provenance))] if content.provenance.versions else []),
    ]
    return el("section", *parts, id="reproduce")


def _seed(p: Provenance) -> str:
    return number(None) if p.seed is None else str(p.seed)


def _command(command: str) -> Html:
    """Return a command whose words stay whole where a line wraps: a bare "--" would mislead."""
    return el("code", join([el("span", word) for word in command.split(" ")], " "))


def _footer(content: ReportContent) -> Html:
    version = content.provenance.versions.get("neural-foundation")
    name = f"neural-foundation {version}" if version else "neural-foundation"
    return el("footer", el("p", f"Written by {name}. This file loads nothing and sends nothing."))
