"""The sources, one row a kind, and `parse_source`: a source in one word of a command line."""

from __future__ import annotations

from ...core.kinds import KindTable, Row
from .base import Source
from .text import parsed

_HERE = "neural_foundation.realtime.sources"

SOURCES = KindTable(
    "sources",
    {
        "file": Row(f"{_HERE}.file:File", "a recording, played in real time or as fast as it is read"),
        "simulated": Row(f"{_HERE}.simulated:Simulated", "a person of a simulated dataset, with true labels"),
        "lsl": Row(f"{_HERE}.lsl:Lsl", "a stream of the lab streaming layer (extra 'lsl')"),
        "brainflow": Row(f"{_HERE}.brainflow:Brainflow", "a board that BrainFlow knows (extra 'brainflow')"),
    },
)


def parse_source(text: str) -> Source:
    """Return the source that `KIND`, `KIND:WORD` or `KIND:WORD,field=value,...` describes.

    Examples: `simulated:sleep`, `file:a.edf,loop=true`, `lsl:Amp,unit=uV`, `brainflow:cyton,serial_port=/dev/ttyUSB0`.
    UnknownKindError for another kind, SpecError for what a kind does not take.
    """
    source = parsed(SOURCES, text)
    assert isinstance(source, Source)
    return source
