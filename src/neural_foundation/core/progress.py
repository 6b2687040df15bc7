"""Progress as a value: whoever does long work calls `progress(done, total, text)`; who shows it is not its concern."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, text: str) -> None:
    """Show nothing."""
