"""Who hears of each epoch while a fit runs: a search, which stops what does badly. It never changes the fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

History = Sequence[dict[str, Any]]  # one row an epoch, all so far
Hear = Callable[[History], None]

_HEAR: ContextVar[Hear | None] = ContextVar("hear", default=None)


@contextmanager
def listening(hear: Hear) -> Iterator[None]:
    """Call `hear` with the history after each epoch of every fit in this thread; what it raises ends the fit."""
    token = _HEAR.set(hear)
    try:
        yield
    finally:
        _HEAR.reset(token)


def tell(history: History) -> None:
    """Tell whoever listens that an epoch has ended."""
    hear = _HEAR.get()
    if hear is not None:
        hear(history)
