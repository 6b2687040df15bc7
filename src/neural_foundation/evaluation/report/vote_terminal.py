"""Divergence from experts' votes as a table in the terminal, for the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .content import Provenance
from .markup import interval, number, percent
from .vote_content import VoteReport

if TYPE_CHECKING:
    from rich.table import Table


def vote_table(value: Mapping[str, Any]) -> Table:
    """Return a rich table of `ensemble.json`: one row a model, the deployed ensemble first."""
    from rich.table import Table
    from rich.text import Text

    report = VoteReport(title="", provenance=Provenance(command=""), value=value)
    scores = report.scores
    title = f"KL divergence from the experts, {scores['n_windows']} windows of {scores['n_patients']} held-out patients"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for name in ("KL", "95 % interval", "worst fold", "accuracy"):
        table.add_column(name, justify="right")
    for i, (group, name, entry) in enumerate(report.rows()):
        kl = entry["kl"]
        worst = max(v for v in kl["folds"] if v is not None)
        right = number(None) if entry is scores["references"].get("uniform") else percent(entry["accuracy"]["mean"])
        cells = [name, number(kl["mean"], 3), interval(kl["low"], kl["high"], 3), number(worst, 3), right]
        table.add_row(*[Text(c) for c in cells], style="bold" if i == 0 else "dim" if group == "references" else "")
    return table
