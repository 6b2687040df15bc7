"""Decisions as lines of JSON, one a decision, written at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal, TextIO

from ...core.errors import StoreError
from ...core.specs import off_key
from ..decision import LiveDecision
from .base import OpenOutlet, Outlet


class Jsonl(Outlet):
    """A line a decision, into a file or standard output (`-`). An existing file is not overwritten.

    Fields: `token`, `sample`, `time_s`, `probability` (by class), `decision` (null: abstained), `valid`, `set`; of an
    ensemble also `entropy` and `disagreement`, nats. A line is handed to the system as soon as it is complete, so what
    reads along sees it, and a kill loses none.
    """

    kind: Literal["jsonl"] = "jsonl"
    argument: ClassVar[str] = "path"
    path: str = off_key("-", min_length=1, description="the file, - for standard output")
    append: bool = off_key(False, description="go on at the end of a file that is there")

    def open(self, classes: Sequence[str], rate: float) -> OpenJsonl:
        if self.path == "-":
            return OpenJsonl(sys.stdout, close=False)
        try:
            return OpenJsonl(Path(self.path).open("a" if self.append else "x", encoding="utf-8", buffering=1))
        except FileExistsError:
            raise StoreError(f"{self.path} exists", remedy="Give another name, or append=true") from None
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written ({error.strerror})") from None


class OpenJsonl(OpenOutlet):
    """Writes lines."""

    def __init__(self, file: TextIO, *, close: bool = True) -> None:
        self._file, self._owns = file, close

    def _put(self, decision: LiveDecision, stamp_s: float | None) -> None:
        try:
            self._file.write(f"{line(decision)}\n")
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StoreError(f"A decision cannot be written ({error.strerror})") from None

    def _close(self) -> None:
        if self._owns:
            self._file.close()


def line(decision: LiveDecision) -> str:
    """Return a decision as one line of JSON; a number that is not finite is null."""
    unsure = {"entropy": decision.entropy, "disagreement": decision.disagreement}
    fields = {
        "token": decision.token,
        "sample": decision.sample,
        "time_s": round(decision.time_s, 6),
        "probability": {c: p if isfinite(p) else None for c, p in decision.probability.items()},
        "decision": decision.decision,
        "valid": decision.valid,
        "set": list(decision.set),
        **{name: v if isfinite(v) else None for name, v in unsure.items() if v is not None},
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False)
