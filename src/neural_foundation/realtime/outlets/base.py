"""Where decisions go: an outlet is a spec that opens into something that takes one decision after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar

from ...core.errors import StreamError
from ...core.specs import Spec
from ..decision import LiveDecision


class Outlet(Spec):
    """Base of every outlet. `argument` : the field that the word after the colon in `KIND:WORD` gives."""

    kind: str
    argument: ClassVar[str] = ""

    @abstractmethod
    def open(self, classes: Sequence[str], rate: float) -> OpenOutlet:
        """Return the open outlet for decisions on `classes`, at most `rate` of them a second."""


class OpenOutlet(ABC):
    """An open outlet; close it, or use it as a context manager."""

    closed = False

    def put(self, decision: LiveDecision, stamp_s: float | None = None) -> None:
        """Send one decision. StreamError once it is closed.

        stamp_s : when the last sample that it belongs to was taken, seconds on this machine's monotonic clock.
        """
        if self.closed:
            raise StreamError("The outlet is closed", remedy="Open it again")
        self._put(decision, stamp_s)

    def close(self) -> None:
        """Release it; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._close()

    @abstractmethod
    def _put(self, decision: LiveDecision, stamp_s: float | None) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    def __enter__(self) -> OpenOutlet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
