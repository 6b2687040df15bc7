"""Looking into a recording before it is used: what is in it, its quality at a glance, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .facts import Inspection, LabelFacts, SeriesFacts, SignalFacts, SpikeFacts, inspect_session
from .quality import Quality, quality

if TYPE_CHECKING:
    from neural_foundation.recordings import Session

__all__ = [
    "Inspection",
    "LabelFacts",
    "Quality",
    "SeriesFacts",
    "SignalFacts",
    "SpikeFacts",
    "check_picture",
    "draw",
    "inspect_session",
    "quality",
]


def draw(path: Path | str, session: Session, inspection: Inspection) -> None:
    """Write the picture of an inspected session as PNG, SVG or PDF, atomically; SpecError for another ending."""
    from .picture import draw as write

    write(path, session, inspection)


def check_picture(path: Path) -> None:
    """Raise SpecError unless a picture can be written under this name, before any work is done for it."""
    from .picture import check_picture as check

    check(path)
