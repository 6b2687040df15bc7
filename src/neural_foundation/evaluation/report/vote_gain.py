"""The section on what pre-training gains where labels are few: pre-trained models beside the same ones from scratch."""

from __future__ import annotations

from typing import Any

from .blocks import Drawn
from .content import Estimate
from .markup import count, el, interval, number, signed, table
from .svg import NARROW, Scale, span
from .vote_content import VoteReport
from .vote_scores import Row, panel


def section(report: VoteReport) -> Drawn | None:
    """Return divergences of both, patient by patient paired; None where they were not compared."""
    if report.gain is None:
        return None
    models, baselines = report.gain["kl"]["models"], report.gain["baselines"]
    rows = [_row(name, entry, name in baselines) for name, entry in models.items()]
    low, high = span([v for r in rows for v in (r.estimate.low, r.estimate.high)], pad=0.1)
    x = Scale(max(low, 0.0), high, 6, NARROW - 6)
    figure = panel("KL divergence from the experts", "nats; less is better", rows, x, number, None)
    text = " ".join(_said(name, entry) for name, entry in models.items() if entry.get("difference"))
    if nothing := [name for name, e in models.items() if e["patients"]["mean"] >= e["uniform"]["patients"]]:
        text += f" {' and '.join(nothing)} learned nothing: to call all classes alike is as near to the experts."
    head = ["Model", "Labelled patients", "KL", "95 % interval", "SD of seeds", "Uniform", "KL less that from scratch"]
    numbers = table(head, [_cells(name, e) for name, e in models.items()], caption="Few labels")
    return Drawn("What pre-training gains with few labels", text, el("div", figure, class_="single"), numbers)


def _row(name: str, entry: dict[str, Any], scratch: bool) -> Row:
    e = Estimate(entry["patients"]["mean"], entry["patients"]["low"], entry["patients"]["high"])
    text = f"{number(e.value)}  [{interval(e.low, e.high)}]"
    return Row(name, e, text, (2, "open s3") if scratch else (0, "main"), strong=not scratch)


def _said(name: str, entry: dict[str, Any]) -> str:
    d = entry["difference"]
    verdict = "helps" if d["high"] < 0 else "does harm" if d["low"] > 0 else "makes no difference that can be told"
    text = f"With the labels of {_people(entry)} a fold, pre-training {verdict}: {name} diverges by "
    return text + f"{signed(d['mean'], 3)} nats [{interval(d['low'], d['high'], 3)}] beside {d['against']}."


def _people(entry: dict[str, Any]) -> str:
    low, high = entry["people"]
    return count(high, "patient") if low == high else f"{low} to {high} patients"


def _cells(name: str, entry: dict[str, Any]) -> list[str]:
    kl, d = entry["patients"], entry.get("difference")
    less = f"{signed(d['mean'], 3)} [{interval(d['low'], d['high'], 3)}]" if d else ""
    spread = number(entry["sd_seeds"], 3)
    uniform = number(entry["uniform"]["patients"], 3)
    return [name, _people(entry), number(kl["mean"], 3), interval(kl["low"], kl["high"], 3), spread, uniform, less]
