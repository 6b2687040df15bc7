"""The scores as a table in the terminal, for the end of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .content import HeldOutScores, ModelScores
from .markup import interval, number

if TYPE_CHECKING:
    from rich.table import Table


def terminal_table(scores: HeldOutScores) -> Table:
    """Return a rich table: one row per model, the report's own first, then by mean. Names are shown as they are."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{scores.metric}, {len(scores.subjects)} held-out {scores.group}s", title_justify="left")
    table.add_column("model")
    for name in ("mean", "95 % interval", "chance", f"worst to best {scores.group}"):
        table.add_column(name, justify="right")
    for m in _rows(scores):
        style = "bold" if m is scores.main else "dim" if m.role == "ceiling" else ""
        cells = [m.model, number(m.mean.value), interval(m.mean.low, m.mean.high), _chance(scores), _reach(m)]
        table.add_row(*[Text(c) for c in cells], style=style)
    return table


def _rows(scores: HeldOutScores) -> list[ModelScores]:
    others = [m for m in scores.models if m is not scores.main]
    return [scores.main, *sorted(others, key=lambda m: -m.mean.value if math.isfinite(m.mean.value) else math.inf)]


def _chance(scores: HeldOutScores) -> str:
    return f"{number(scores.chance.value)} ({interval(scores.chance.low, scores.chance.high)})"


def _reach(m: ModelScores) -> str:
    finite = [v for v in m.by_subject if math.isfinite(v)]
    return interval(min(finite), max(finite)) if finite else number(None)
