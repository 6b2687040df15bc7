"""Progress as a value: whoever does long work calls `progress(done, total, text)`; who shows it is not its concern."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Progress = Callable[[int, int, str], None]
T = TypeVar("T")


def silent(done: int, total: int, text: str) -> None:
    """Show nothing."""


def track(items: Iterable[T], progress: Progress, text: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, reporting after each."""
    n = total if total is not None else len(items) if isinstance(items, Sized) else 0
    progress(0, n, text)
    for done, item in enumerate(items, 1):
        yield item
        progress(done, n, text)
