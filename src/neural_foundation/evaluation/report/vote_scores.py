"""Sections on scores beside experts' votes: divergence, accuracy, the best member, weights, calibration, agreement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .blocks import Drawn, confusion_section
from .content import Confusion, Estimate
from .figures import BAR, whisker
from .markup import Html, el, interval, join, number, percent, signed, table
from .svg import NARROW, Scale, curve, fit, label, line, mark, span, svg, text_width, x_axis, y_axis
from .trial_examples import key
from .vote_content import Entry, VoteReport, shown

_ROW, _TOP = 36.0, 30.0


@dataclass(frozen=True)
class Row:
    """One row of a panel: a name, an estimate with its words, and small dots (a fold each) behind it."""

    name: str
    estimate: Estimate
    text: str
    style: tuple[int, str]
    dots: Sequence[float | None] = ()
    strong: bool = False


def panel(title: str, axis: str, rows: Sequence[Row], x: Scale, form: Callable[[float], str], at: float | None) -> Html:
    """Return a dot plot of rows; `at` is where a dashed line stands."""
    bottom = _TOP + _ROW * len(rows)
    parts: list[Html] = [label(0, 14, title, class_="strong"), x_axis(x, bottom, _TOP - 4, axis, form, 5)]
    if at is not None and x.low <= at <= x.high:
        parts += [line(x(at), _TOP + i * _ROW + 18, x(at), _TOP + i * _ROW + 34, "chance") for i in range(len(rows))]
    for i, row in enumerate(rows):
        parts += _drawn(row, x, _TOP + i * _ROW)
    return svg(NARROW, bottom + 42, f"{title}: {len(rows)} rows; the numbers are in the table below.", *parts)


def _drawn(row: Row, x: Scale, top: float) -> list[Html]:
    weight, y = "strong" if row.strong else "", top + 26
    name = fit(row.name, NARROW - 1.1 * text_width(row.text) - 16)
    parts = [
        label(0, top + 14, name, class_=f"{weight} halo", full=row.name),
        label(NARROW, top + 14, row.text, anchor="end", class_=f"{weight} halo"),
        line(x.start, y, x.end, y, "row"),
    ]
    dots = [(k, v) for k, v in enumerate(row.dots) if v is not None and math.isfinite(v)]
    parts += [mark(0, x(v), y, "dot", f"fold {k}: {number(v, 3)}", 2.4) for k, v in dots]
    return [*parts, whisker(row.estimate, x, y, *row.style, f"{row.name}: {row.text}")]


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _style(group: str, at: int, strong: bool) -> tuple[int, str]:
    if strong:
        return (0, "main")
    if group == "references":
        return (BAR, "ceiling")
    return {"ensembles": (0, "open s2"), "members": (1, "open s1")}.get(group, (2, "open s3"))


def _estimate(entry: Entry) -> Estimate:
    return Estimate(entry["mean"], entry["low"], entry["high"])


def _score_rows(report: VoteReport, score: str, form: Callable[[float], str]) -> list[Row]:
    made = []
    for i, (group, name, entry) in enumerate(report.rows()):
        if score == "accuracy" and group == "references" and name == "all classes alike":
            continue  # it decides nothing
        e = _estimate(entry[score])
        text = f"{form(e.value)}  [{form(e.low)}, {form(e.high)}]"
        made.append(Row(name, e, text, _style(group, i, i == 0), entry[score]["folds"], i == 0))
    return made


def _scale(rows: Sequence[Row], *also: float, low: float | None = None, high: float | None = None) -> Scale:
    values = [v for r in rows for v in (r.estimate.low, r.estimate.value, r.estimate.high, *r.dots) if _known(v)]
    a, b = span([*[float(v) for v in values if v is not None], *also], pad=0.04)
    a, b = (a if low is None else max(a, low)), (b if high is None else min(b, high))
    return Scale(a, b, 6, NARROW - 6)


def scores_section(report: VoteReport) -> Drawn:
    """Return divergence and accuracy of all models, each fold a dot."""
    kl, right = _score_rows(report, "kl", number), _score_rows(report, "accuracy", percent)
    frequency = report.scores["references"]["class frequency"]["kl"]["mean"]
    panels = [
        panel("KL divergence from the experts", "nats; less is better", kl, _scale(kl, 0.0, low=0), number, frequency),
        panel("agreement with the consensus", "accuracy", right, _scale(right, low=0, high=1), percent, None),
    ]
    keys = _keys(report)
    return Drawn(
        "Every model and the ensemble", _reading(report), Html(keys + el("div", *panels, class_="pair")), _all(report)
    )


def _keys(report: VoteReport) -> Html:
    items = [("main", 0, "deployed ensemble"), ("open s2", 0, "other ensembles"), ("open s1", 1, "members")]
    items += [("open s3", 2, "baselines")] if report.scores["baselines"] else []
    items += [("ceiling", BAR, "what needs no model"), ("dot", 0, "one fold")]
    made = []
    for class_, shape, text in items:
        drawn = svg(14.0, 14.0, text, mark(shape, 7, 7, class_, text, 2.4 if class_ == "dot" else 5))
        made.append(el("li", drawn, f" {text}", class_="linekey"))
    return el("ul", *made, class_="key")


def _reading(report: VoteReport) -> str:
    scores = report.scores
    text = "The competition's divergence: the mean over windows of KL(experts' shares || model). Whiskers are 95 % "
    text += (
        f"intervals over {scores['n_patients']:,} patients; each dot is a fold. The dashed line is what knowing only "
    )
    text += "the classes' shares gives."
    truth = scores["references"].get("truth")
    if truth:
        text += f" Even the probabilities that the votes were drawn from diverge by {number(truth['kl']['mean'])}."
    if not report.value["votes"]:
        text += " These data have no votes: each label counts as one."
    return text


def _all(report: VoteReport) -> Html:
    rows = []
    for _, name, entry in report.rows():
        kl, right, d = entry["kl"], entry["accuracy"], entry["difference"]
        rows.append(
            [
                name,
                number(kl["mean"], 3),
                interval(kl["low"], kl["high"], 3),
                number(kl["sd_folds"], 3),
                number(entry["kl_by_vote"], 3),
                number(None) if entry is report.scores["references"]["uniform"] else percent(right["mean"], 1),
                number(entry["reliability"]["error"], 3),
                "" if d is None else f"{signed(d['mean'], 3)} [{interval(d['low'], d['high'], 3)}]",
                f"{entry['windows']:,}",
            ]
        )
    head = ["Model", "KL", "95 % interval", "SD of folds", "KL by vote", "Accuracy", "Calibration error"]
    head += [f"KL less that of {report.best}", "Windows"]
    caption = "By vote: windows weighted by their number of votes. Accuracy: the answer has the most votes."
    return table(head, rows, caption=caption)


def difference_section(report: VoteReport) -> Drawn:
    """Return what each model's divergence is beside that of the best member, paired over patients."""
    rows = []
    for i, (group, name, entry) in enumerate(report.rows()):
        if entry["difference"] is None or group == "references":
            continue
        e = _estimate(entry["difference"])
        text = f"{signed(e.value, 3)}  [{number(e.low, 3)}, {number(e.high, 3)}]"
        rows.append(Row(name, e, text, _style(group, i, i == 0), strong=i == 0))
    x = _scale(rows, 0.0)
    figure = panel(
        f"KL less that of {report.best}", "nats; left of the line is better", rows, x, partial(number, digits=2), 0.0
    )
    text = f"{report.best} is the best member on these very windows, which favours it. "
    if report.main["difference"]:
        e = _estimate(report.main["difference"])
        verdict = "better" if e.high < 0 else "worse" if e.low > 0 else "not told apart"
        reach = interval(e.low, e.high, 3)
        text += f"The deployed ensemble is {verdict}: {signed(e.value, 3)} nats, 95 % interval {reach}."
    return Drawn("Against the best member", text, el("div", figure, class_="single"))


def weights_section(report: VoteReport) -> Drawn:
    """Return weights and temperatures of the members, of each fold and of what is deployed."""
    value, names = report.value, list(report.value["members"])
    parts = [
        _weights(report, names, "weights", "weight in the mean", Scale(0, 1, 6, NARROW - 6), partial(number, digits=1)),
        _weights(report, names, "temperatures", "temperature", _warmth(report), partial(number, digits=2)),
    ]
    rows = []
    for where, entry in [*((f"Fold {f}", b) for f, b in value["by_fold"].items()), ("Deployed", value["final"])]:
        found = dict(
            zip(
                entry["members"],
                zip(entry["weights"], entry["temperatures"], entry["geometric"], strict=True),
                strict=True,
            )
        )
        for name in names:
            w, t, g = found.get(name, (None, None, None))
            rows.append([where, name, number(w, 3), number(t, 3), number(g, 3)])
    head = ["Learned without", "Member", "Weight", "Temperature", "Weight, geometric"]
    text = (
        "Each dot was learned without one fold, which it then judged; the filled mark is learned on all and deployed. "
    )
    text += "A temperature above 1 makes a member less sure."
    for left in value["left_out"]:
        text += f" Fold {left['fold']} goes without {left['member']}: {left['why']}."
    return Drawn(
        "What each member weighs", text, el("div", *parts, class_="pair"), table(head, rows, caption="By fold")
    )


def _weights(
    report: VoteReport, names: list[str], what: str, axis: str, x: Scale, form: Callable[[float], str]
) -> Html:
    final = dict(zip(report.value["final"]["members"], report.value["final"][what], strict=True))
    rows = []
    for name in names:
        v = final.get(name, math.nan)
        text = number(v) if math.isfinite(v) else "left out"
        rows.append(Row(name, Estimate(v, v, v), text, (0, "main"), _by_fold(report, name, what)))
    equal = 1 / len(names) if what == "weights" else 1.0
    return panel(axis, f"{axis}{', equal ones dashed' if what == 'weights' else ''}", rows, x, form, equal)


def _by_fold(report: VoteReport, name: str, what: str) -> list[float | None]:
    blends = report.value["by_fold"].values()
    return [dict(zip(b["members"], b[what], strict=True)).get(name) for b in blends]


def _warmth(report: VoteReport) -> Scale:
    found = [t for b in [*report.value["by_fold"].values(), report.value["final"]] for t in b["temperatures"]]
    return Scale(min(0.5, *found) * 0.9, max(2.0, *found) * 1.1, 6, NARROW - 6, log=True)


def confusion_of(report: VoteReport) -> Drawn:
    """Return the confusion of the deployed ensemble with the consensus."""
    made = Confusion(
        classes=tuple(report.classes), counts=report.main["confusion"], model=f"the {shown(report.method)}"
    )
    return confusion_section(made)


def calibration_section(report: VoteReport) -> Drawn:
    """Return how probabilities go with the experts' shares, of the ensemble and the best member."""
    x, y = Scale(0, 1, 46, NARROW - 12), Scale(0, 1, 304, 32)
    pairs = [(report.scores["members"][report.best], 1, "open s1"), (report.main, 0, "main")]
    parts = [
        y_axis(y, x.start, x.end, percent, 5),
        x_axis(x, y.start, y.end, "probability of a class", percent, 5),
        line(x(0), y(0), x(1), y(1), "chance"),
        label(0, 14, "experts who chose the class", class_="strong"),
    ]
    rows = []
    for entry, shape, class_ in pairs:
        r, most = entry["reliability"], max(entry["reliability"]["count"])
        name = shown(report.method) if shape == 0 else report.best
        if shape == 0:
            parts.append(curve([x(v) for v in r["probability"]], [y(v) for v in r["share"]], "fold"))
        for p, s, n in zip(r["probability"], r["share"], r["count"], strict=True):
            tip = f"{name}: {percent(p)} said, {percent(s)} of experts, {n:,} times"
            parts.append(mark(shape, x(p), y(s), class_, tip, 3.2 + 5 * math.sqrt(n / most)))
            rows.append([f"{name}, {percent(p)}", percent(s), f"{n:,}"])
    figure = el("div", svg(NARROW, 346, "Probability beside the share of experts.", *parts), class_="single")
    keys = _legend([("main", 0, shown(report.method)), ("open s1", 1, report.best)])
    errors = [
        f"{number(e['reliability']['error'], 3)} ({n})"
        for n, e in ((shown(report.method), report.main), (report.best, pairs[0][0]))
    ]
    text = (
        f"Mean absolute gap between probability and share over all classes: {' and '.join(errors)}. {_unsure(report)}"
    )
    head = ["Mean probability", "Experts who chose it", "Classes of windows"]
    return Drawn("Is a probability deserved?", text, Html(keys + figure), table(head, rows, caption="Bins of a tenth"))


def _legend(items: Sequence[tuple[str, int, str]]) -> Html:
    made = [el("li", svg(14.0, 14.0, t, mark(s, 7, 7, c, t, 5)), f" {t}", class_="linekey") for c, s, t in items]
    return el("ul", *made, class_="key")


def _unsure(report: VoteReport) -> str:
    found = report.scores.get("uncertainty", {}).get("disagreement")
    if not found or found["right"] is None or found["wrong"] is None:
        return ""
    text = f"The members disagree by {number(found['right'], 3)} nats where the ensemble is right and by "
    text += f"{number(found['wrong'], 3)} where it is wrong"
    entropy = report.scores["uncertainty"]["entropy"]["correlation"]
    return text + ("." if entropy is None else f"; its entropy goes with the experts' at r = {number(entropy)}.")


def agreement_section(report: VoteReport) -> Drawn | None:
    """Return agreement with the experts and divergence by how many voted; None where there are no votes."""
    bins = [i for i, b in enumerate(report.main["by_votes"]) if b["windows"]]
    if not report.value["votes"] or not bins:
        return None
    series: list[tuple[str, str, list[dict[str, Any]]]] = [
        (shown(report.method), "said", report.main["by_votes"]),
        (report.best, "second", report.scores["members"][report.best]["by_votes"]),
    ]
    words = "two experts of a window"
    panels = [
        _lines(
            report,
            bins,
            [(words, "happened", report.scores["experts"]), *series],
            "agreement",
            "chance that they agree",
            percent,
        ),
        _lines(report, bins, series, "kl", "KL divergence, nats", number),
    ]
    keys = key(*[(class_, name) for name, class_, _ in series], ("happened", words))
    rows = []
    for i in bins:
        main, best, pair = series[0][2][i], series[1][2][i], report.scores["experts"][i]
        pairs = number(None) if pair["agreement"] is None else percent(pair["agreement"])
        rows.append([_range(main), f"{main['windows']:,}", pairs, *[_cell(b) for b in (main, best)]])
    head = ["Votes", "Windows", "Two experts agree", f"{series[0][0]}: agreement, KL", f"{series[1][0]}: agreement, KL"]
    text = "How often a model's answer is that of an expert drawn from those who voted, beside how often two of them "
    text += "agree. Few votes make rough shares, which nobody can predict."
    return Drawn(
        "Agreement with the experts",
        text,
        Html(keys + el("div", *panels, class_="pair")),
        table(head, rows, caption="By number of votes"),
    )


def _cell(entry: dict[str, Any]) -> str:
    return number(None) if not entry["windows"] else f"{percent(entry['agreement'])}, {number(entry['kl'])}"


def _range(entry: dict[str, Any]) -> str:
    if entry["most"] is None:
        return f"{entry['least']} or more"
    return f"{entry['least']}" if entry["least"] == entry["most"] else f"{entry['least']} to {entry['most']}"


def _lines(
    report: VoteReport,
    bins: list[int],
    series: Sequence[tuple[str, str, list[dict[str, Any]]]],
    what: str,
    title: str,
    form: Callable[[float], str],
) -> Html:
    values = [b[i][what] for _, _, b in series for i in bins if b[i][what] is not None]
    low, high = (0.0, 1.0) if what == "agreement" else (0.0, max(values) * 1.1)
    y, left = Scale(low, high, 190, 28), 46.0
    step = (NARROW - left - 10) / len(bins)
    parts = [label(0, 14, title, class_="strong"), y_axis(y, left, NARROW - 6, form, 5)]
    for k, i in enumerate(bins):
        entry, at = report.main["by_votes"][i], left + (k + 0.5) * step
        most = entry["most"]
        name = f"{entry['least']}+" if most is None else f"{entry['least']}\N{EN DASH}{most}"
        parts.append(label(at, 207, name if most != entry["least"] else f"{most}", anchor="middle", class_="tick"))
        parts.append(label(at, 222, f"{entry['windows']:,}", anchor="middle", class_="small"))
    parts.append(label((left + NARROW) / 2, 241, "votes on a window, and windows", anchor="middle", class_="axis"))
    for name, class_, found in series:
        points = [(left + (k + 0.5) * step, found[i][what]) for k, i in enumerate(bins)]
        parts.append(curve([a for a, _ in points], [math.nan if v is None else y(v) for _, v in points], class_, name))
        dot = {"said": "main", "second": "electrode"}.get(class_, "dot")
        parts += [mark(0, a, y(v), dot, f"{name}: {form(v)}", 3.5) for a, v in points if v is not None]
    return svg(NARROW, 248, f"{title} by number of votes.", join(parts))
