"""The section on scores: one panel a score, every model beside baselines, chance and ceiling; and the table of all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .blocks import Drawn
from .content import Estimate
from .figures import BAR, whisker
from .markup import Html, el, interval, number, percent, signed, significant, table
from .svg import NARROW, Scale, fit, held, label, line, rect, span, svg, text_width, x_axis
from .trial_content import WAYS, TrialReport, headline, out_note, title_of, units_out

_ROW, _TOP = 36.0, 40.0
_LOWEST = -0.5  # of an R2: what is worse is drawn at the edge
Entry = Mapping[str, Any]


def section(report: TrialReport) -> Drawn | None:
    panels = [_panel(report, name) for name in headline(report.scores)]
    figure = Html(el("div", *panels, class_="pair") + _table(report, headline(report.scores)))
    return Drawn("Every model, both ways round", _reading(report), figure, _all_scores(report))


def rows_of(report: TrialReport, name: str) -> list[tuple[str, Entry]]:
    """Return (model, entry) of a score: the report's models first, then baselines, best first."""
    models = report.scores["models"]
    there = [(m, models[m]["metrics"][name]) for m in report.order if name in models[m]["metrics"]]
    sign = 1 if report.scores["metrics"][name]["better"] == "less" else -1
    mine = [r for r in there if models[r[0]]["role"] == "model"]
    return mine + sorted((r for r in there if r not in mine), key=lambda r: sign * r[1]["mean"])


def shown_name(report: TrialReport, model: str) -> str:
    """Return a model's name, with how it was tested where models of the page differ in that."""
    ways = {m["hold_out"] for m in report.scores["models"].values()}
    return model if len(ways) == 1 else f"{model} ({WAYS[report.scores['models'][model]['hold_out']]})"


def _estimate(entry: Entry) -> Estimate:
    low, high = entry["low"], entry["high"]
    return Estimate(entry["mean"], entry["mean"] if low is None else low, entry["mean"] if high is None else high)


def _panel(report: TrialReport, name: str) -> Html:
    rows = rows_of(report, name)
    tops = {h: e[name] for h, e in report.scores["ceiling"].items() if name in e}
    x = _scale(report, name, [_estimate(e) for _, e in rows] + [_estimate(e) for e in tops.values()], rows)
    bottom = _TOP + _ROW * (len(rows) + len(tops))
    parts: list[Html] = [label(0, 14, fit(title_of(report.scores, name), NARROW), class_="strong")]
    parts.append(x_axis(x, bottom, _TOP - 8, _better(report, name), partial(number, digits=_digits(x)), 5))
    parts += _chance(x, rows)
    baselines = 0
    for i, (model, entry) in enumerate(rows):
        own = report.scores["models"][model]["role"] == "model"
        style = (0, "main") if own else ((1, 2, 3, 0)[baselines % 4], f"open s{baselines % 3 + 1}")
        baselines += not own
        parts += _row(shown_name(report, model), entry, x, _TOP + i * _ROW, style, strong=model == report.main)
    for i, (way, entry) in enumerate(tops.items()):
        text = "truth known" + (f" ({WAYS[way]})" if len(tops) > 1 else "")
        parts += _row(text, entry, x, _TOP + (len(rows) + i) * _ROW, (BAR, "ceiling"), strong=False)
    return svg(NARROW, bottom + 42, f"{title_of(report.scores, name)} of {len(rows)} models.", *parts)


def _scale(report: TrialReport, name: str, estimates: list[Estimate], rows: list[tuple[str, Entry]]) -> Scale:
    facts = report.scores["metrics"][name]
    values = [v for e in estimates for v in (e.low, e.value, e.high)]
    values += [e["chance"][k] for _, e in rows if e["chance"] for k in ("mean", "level_95")]
    values += [0.0] if facts["score"] in ("bits_per_spike", "r2", "mean_error") else []
    if facts["score"] == "r2":
        values = [max(v, _LOWEST) for v in values]
    low, high = span(values, pad=0.06)
    return Scale(low, min(high, 1.0) if facts["score"] in ("r2", "balanced_accuracy") else high, 6, NARROW - 6)


def _digits(x: Scale) -> int:
    return 1 if x.high - x.low > 0.8 else 2


def _better(report: TrialReport, name: str) -> str:
    return "less is better" if report.scores["metrics"][name]["better"] == "less" else "more is better"


def _chance(x: Scale, rows: list[tuple[str, Entry]]) -> list[Html]:
    found = [(e["chance"]["mean"], e["chance"]["level_95"]) for _, e in rows if e["chance"]]
    if not found:
        return [line(x(0), _TOP - 8, x(0), _TOP + _ROW * len(rows), "base")] if x.low < 0 < x.high else []
    parts = []
    for i, (_, entry) in enumerate(rows):
        if entry["chance"]:
            mean, top = entry["chance"]["mean"], entry["chance"]["level_95"]
            y = _TOP + i * _ROW + 17
            parts.append(rect(x(mean), y, x(top) - x(mean), 14, "band", f"shuffled classes: 95 in 100 below {top:.2f}"))
            parts.append(line(x(mean), y, x(mean), y + 14, "chance"))
    text = f"chance {number(found[0][0])}"
    return [*parts, label(held(x(found[0][0]), text, 0, NARROW), _TOP - 12, text, anchor="middle", class_="tick")]


def _row(name: str, entry: Entry, x: Scale, y: float, style: tuple[int, str], *, strong: bool) -> list[Html]:
    text = number(entry["mean"], _digits(x) + 1)
    if entry["low"] is not None:
        text += f"  [{interval(entry['low'], entry['high'], _digits(x) + 1).replace(' to ', ', ')}]"
    weight = "strong halo" if strong else "halo"
    return [
        label(0, y + 12, fit(name, NARROW - text_width(text) - 10), class_=weight, full=name),
        label(NARROW, y + 12, text, anchor="end", class_=weight),
        whisker(_estimate(entry), x, y + 24, *style, f"{name}: {text}; {entry['interval']}"),
    ]


def _reading(report: TrialReport) -> str:
    entries = report.scores["models"][report.main]["metrics"]
    first = next(iter(entries.values()), None)
    if first is None:
        return ""
    text = f"Lines, those of {report.main}: {first['interval']}. The session is the unit: mean over folds and seeds, "
    text += "then over sessions. "
    text += "Bits per spike are against each unit's mean rate in the training part; against that of the test part "
    text += "itself they stand in the table."
    if any(e["chance"] for e in entries.values()):
        text += " Chance: classes shuffled among the session's tested trials; grey up to where 95 in 100 lie."
    if report.scores["ceiling"]:
        text += " Truth known: the rates that the spikes were drawn from, and the decoder that knows the tuning; in "
        text += "the table also without the slow drift of each unit, which nothing that a model sees tells."
    models = report.scores["models"]
    return text + "".join(_lost(report, m) for m in report.order if models[m]["role"] == "model")


def _lost(report: TrialReport, model: str) -> str:
    """Return a sentence that names each score in which a model is worse than the best baseline; '' for none."""
    made = report.scores["models"][model]
    worse = [
        f"{title_of(report.scores, n).replace(': ', ' ', 1)} ({d['against']}, by {significant(abs(d['mean']), 2)})"
        for n, e in made["metrics"].items()
        if (d := e["difference"]) and not report.scores["metrics"][n]["channel"] and _is_worse(report, n, d)
    ]
    if not worse:
        return ""
    return f" {model}, on {WAYS[made['hold_out']]}, is worse than the best baseline in: {'; '.join(worse)}."


def _is_worse(report: TrialReport, name: str, difference: Entry) -> bool:
    less = report.scores["metrics"][name]["better"] == "less"
    return bool(difference["mean"] > 0 if less else difference["mean"] < 0)


def _table(report: TrialReport, names: list[str]) -> Html:
    """Return models x headline scores; the ceiling last."""
    models = report.scores["models"]
    order = [m for m in report.order if models[m]["role"] == "model"]
    order += [m for m in report.order if m not in order]
    rows = [
        [
            m,
            WAYS[models[m]["hold_out"]],
            models[m]["role"],
            *[_cell(models[m]["metrics"].get(n)) for n in names],
        ]
        for m in order
    ]
    for key, words in (("ceiling", "truth known"), ("ceiling_without_drift", "truth known, no drift")):
        for way, entries in report.scores[key].items():
            rows.append([words, WAYS[way], "ceiling", *[_cell(entries.get(n)) for n in names]])
    head = ["Model", "Tested on", "Role", *[title_of(report.scores, n) for n in names]]
    note = out_note(e for m in models.values() for e in m["metrics"].values())
    caption = "Mean over sessions; standard deviation over seeds where there are several"
    return table(head, rows, caption=f"{caption}. {note}" if note else caption)


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return number(None)
    sd = entry["sd_seeds"]
    return number(entry["mean"], 3) + ("" if sd is None else f" ± {number(sd, 3)}") + units_out(entry)


def _all_scores(report: TrialReport) -> Html:
    rows = []
    for name in sorted(report.scores["metrics"]):
        for model, e in rows_of(report, name):
            d, top = e["difference"], e["ceiling"]
            rows.append(
                [
                    title_of(report.scores, name),
                    shown_name(report, model),
                    number(e["mean"], 3) + units_out(e),
                    "" if e["low"] is None else interval(e["low"], e["high"], 3),
                    "" if e["sd_sessions"] is None else number(e["sd_sessions"], 3),
                    number(e["chance"]["mean"], 3) if e["chance"] else "",
                    "" if d is None else f"{signed(d['mean'], 3)} to {d['against']}",
                    "" if top is None else number(top["mean"], 3),
                    "" if top is None or top["share"] is None else percent(top["share"]),
                ]
            )
    head = ["Score", "Model", "Mean", "Interval", "SD, sessions", "Chance", "Difference", "Ceiling", "Share of it"]
    caption = "All scores; the interval is what the figure says, the share is from the null (or chance) to the ceiling"
    return table(head, rows, caption=caption)
