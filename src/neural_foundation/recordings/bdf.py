"""BDF and BDF+ (24 bit, BioSemi). The `Status` channel gives events: one wherever its 16-bit code rises."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from .edf import open_records
from .reader import Reader
from .session import Session


class Bdf(Reader):
    """BDF, BDF+C and BDF+D."""

    kind: Literal["bdf"] = "bdf"
    extensions: ClassVar[tuple[str, ...]] = (".bdf",)
    magic: ClassVar[tuple[bytes, ...]] = (b"\xffBIOSEMI",)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        return open_records(path, subject, width=3)
