"""The section on what a deployed ensemble costs: latency and size of each member's forms, and of a whole decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .blocks import Drawn
from .content import Estimate
from .markup import Html, count, duration, el, number, size, table
from .svg import NARROW, Scale
from .vote_content import VoteReport
from .vote_scores import Row, panel

FORMS = {
    "onnx": "ONNX",
    "int8": "ONNX, 8 bits",
    "features": "features",
    "step": "step of a stream",
    "arrays": "no graph",
}


def section(report: VoteReport) -> Drawn | None:
    """Return latency and size of each exported model; None where nothing was exported."""
    found = report.deployed
    if found is None:
        return None
    rows = [*found["rows"], {"member": "all", "form": "as served", **found["decision"]}]
    panels = [
        _panel("one window, one thread", "median and 95th percentile", rows, "median_ms", "p95_ms", _ms),
        _panel("size", "of one package", rows, "n_bytes", "n_bytes", size),
    ]
    whole = found["decision"]
    text = f"A decision on {found['window_s']:g} s takes {_ms(whole['median_ms'])} in the median, by "
    text += f"{count(whole['packages'], 'package')}, as served. A row is of one package of its member."
    refused = [(n, g) for n, gates in found["int8"].items() for g in gates if not g["passes"]]
    text += "".join(f" {n}, {g['package']}: 8 bits not kept, {g['why']}." for n, g in refused)
    head = ["Member", "Packages", "Form", "Size", "Median", "p95", "KL before", "KL in 8 bits", "Kept"]
    numbers = table(head, [_cells(row) for row in rows], caption="What each form costs")
    return Drawn("What is deployed", text, el("div", *panels, class_="pair"), numbers)


def _panel(
    title: str, axis: str, rows: list[dict[str, Any]], low: str, high: str, form: Callable[[float], str]
) -> Html:
    shown = [row for row in rows if row[low] is not None]
    values = [v for row in shown for v in (row[low], row[high])]
    x = Scale(min(values) / 1.5, max(values) * 1.5, 6, NARROW - 6, log=True)
    drawn = []
    for row in shown:
        whole = row["form"] == "as served"
        estimate = Estimate(row[low], row[low], row[high])
        style = (0, "main") if whole else (1, "open s1")
        drawn.append(Row(_name(row), estimate, form(row[low]), style, strong=whole))
    return panel(title, axis, drawn, x, lambda v: form(v) if math.log10(v) % 1 == 0 else "", None)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['member']}, {FORMS.get(row['form'], row['form'])}"


def _cells(row: Mapping[str, Any]) -> list[str]:
    kept = f"{row['kept']} of {row['packages']}" if "kept" in row else ""
    kl = ["" if row.get(k) is None else number(row[k], 4) for k in ("kl", "kl_int8")]
    forms: list[tuple[Callable[[float], str], str]] = [(size, "n_bytes"), (_ms, "median_ms"), (_ms, "p95_ms")]
    costs = ["" if row[k] is None else form(row[k]) for form, k in forms]
    return [row["member"], str(row["packages"]), FORMS.get(row["form"], row["form"]), *costs, *kl, kept]


def _ms(value: float) -> str:
    return duration(value / 1e3)
