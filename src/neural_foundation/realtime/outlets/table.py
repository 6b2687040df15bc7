"""The outlets, one row a kind, and `parse_outlet`: an outlet in one word of a command line."""

from __future__ import annotations

from ...core.kinds import KindTable, Row
from ..sources.text import parsed
from .base import Outlet

_HERE = "neural_foundation.realtime.outlets"

OUTLETS = KindTable(
    "outlets",
    {
        "lsl": Row(f"{_HERE}.lsl:Lsl", "streams of the lab streaming layer (extra 'lsl')"),
        "jsonl": Row(f"{_HERE}.jsonl:Jsonl", "lines of JSON, into a file or standard output"),
    },
)


def parse_outlet(text: str) -> Outlet:
    """Return the outlet that `KIND`, `KIND:WORD` or `KIND:WORD,field=value,...` describes, e.g. `jsonl:-`, `lsl:BCI`.

    UnknownKindError for another kind, SpecError for what a kind does not take.
    """
    outlet = parsed(OUTLETS, text)
    assert isinstance(outlet, Outlet)
    return outlet
