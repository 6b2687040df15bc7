"""The scores of encoding and decoding as tables in the terminal, for the end of a run: one a way of holding out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .markup import number
from .trial_content import WAYS, headline, out_note, units_out

if TYPE_CHECKING:
    from rich.table import Table

_SHORT = {"bits_per_spike": "bits per spike", "r2": "R2", "mean_error": "error", "balanced_accuracy": "accuracy"}


def trial_tables(scores: Mapping[str, Any]) -> list[Table]:
    """Return rich tables: a row a model, then chance and ceiling; a column a headline score, mean over sessions.

    Behind a mean stands its standard deviation over seeds, where there are several.
    """
    ways = dict.fromkeys(scores["models"][m]["hold_out"] for m in scores["order"])
    return [_table(scores, way) for way in ways]


def _table(scores: Mapping[str, Any], way: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    models = {m: scores["models"][m] for m in scores["order"] if scores["models"][m]["hold_out"] == way}
    names = [n for n in headline(scores) if any(n in made["metrics"] for made in models.values())]
    n = len(scores["sessions"])
    made = Table(title=f"Scores on {WAYS[way]}, {n} session{'s' * (n > 1)}", title_justify="left")
    note = out_note(m["metrics"][name] for m in models.values() for name in names if name in m["metrics"])
    if note:
        made.caption, made.caption_justify = note, "left"
    made.add_column("model", no_wrap=True)
    for name in names:
        made.add_column(_head(scores["metrics"][name]), justify="right")
    for model, entry in models.items():
        cells = [model, *[_cell(entry["metrics"].get(name)) for name in names]]
        made.add_row(*[Text(c) for c in cells], style="bold" if entry["role"] == "model" else "")
    for title, values in (("chance", _chance(models, names)), ("truth known", scores["ceiling"].get(way, {}))):
        if values:
            made.add_row(title, *[_cell(values.get(name)) for name in names], style="dim")
    return made


def _head(facts: Mapping[str, Any]) -> str:
    unit = f", {facts['unit']}" if facts["unit"] else ""
    return f"{str(facts['modality']).replace('_', ' ')} {_SHORT[facts['score']]}{unit}"


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    sd = entry.get("sd_seeds")
    return number(entry["mean"], 3) + ("" if sd is None else f" ± {number(sd, 3)}") + units_out(entry)


def _chance(models: Mapping[str, Any], names: list[str]) -> dict[str, Mapping[str, Any]]:
    """Return chance of the first model that has it; it differs little between models."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        for made in models.values():
            chance = made["metrics"].get(name, {}).get("chance")
            if chance:
                found.setdefault(name, chance)
    return found
