"""The page of the signal operations lists every kind, once, with what is true of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from neural_foundation.signals import SIGNALS

PAGE = Path(__file__).parents[3] / "docs/signals.md"


def rows() -> list[list[str]]:
    """Return the cells of the one table of the page, without its two head lines."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["kind", "what it does", "look-ahead", "live?", "checked against"]
    return cells[2:]


def kind_of(row: list[str]) -> str:
    found = re.match(r"`(\w+)`", row[0])
    assert found, row
    return found[1]


def test_every_kind_is_in_the_table_in_order() -> None:
    kinds = [kind_of(row) for row in rows()]
    assert list(dict.fromkeys(kinds)) == sorted(SIGNALS)
    assert kinds == sorted(kinds)


def test_every_row_is_whole_and_no_row_comes_twice() -> None:
    assert all(len(row) == 5 and all(row) for row in rows())
    assert len({row[0] for row in rows()}) == len(rows())


def test_what_does_not_run_live_is_marked() -> None:
    refused = {row[0] for row in rows() if row[3] == "no"}
    assert {row[3] for row in rows()} == {"yes", "no"}
    methods = {kind: SIGNALS.row(kind).load().model_fields.get("method") for kind in SIGNALS}
    whole = {k for k, field in methods.items() if field and "zero_phase" in get_args(field.annotation)}
    assert refused == {f"`{kind}`, `zero_phase`" for kind in whole}
