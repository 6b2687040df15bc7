"""Progress in the terminal: one bar over all items, one for each that runs; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Display:
    """Shows what a run reports. The overall estimate counts items by what others of their stage took."""

    def __init__(self, names: list[str], title: str) -> None:
        self.names, self.title, self.finished = names, title, set[str]()
        self.live = sys.stderr.isatty()
        self.bars: dict[str, TaskID] = {}
        self.progress: Progress | None = None
        self.said = 0.0

    def __enter__(self) -> Display:
        if self.live and self.names:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = (
                TextColumn("{task.description:<34.34}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
            self.all = self.progress.add_task(self.title, total=len(self.names))
        return self

    def report(self, task: str, done: int, total: int, text: str) -> None:
        """Take one report of a running item."""
        if task in self.finished:
            return  # a worker's last words may come after its end
        if text == "done":
            self._finish(task)
        elif self.progress is not None:
            bar = self.bars.get(task)
            if bar is None:
                bar = self.bars[task] = self.progress.add_task(f"  {task}", total=total or None)
            self.progress.update(bar, completed=done, total=total or None, description=f"  {task}: {text}"[:60])
        elif time.monotonic() - self.said > 10 and total:
            self.said = time.monotonic()
            print(f"  {task}: {text} {done}/{total}", file=sys.stderr)  # noqa: T201 - the CLI's own voice

    def _finish(self, task: str) -> None:
        self.finished.add(task)
        if self.progress is not None:
            if task in self.bars:
                self.progress.remove_task(self.bars.pop(task))
            self.progress.update(self.all, completed=len(self.finished))
        else:
            print(f"[{len(self.finished)}/{len(self.names)}] {task}", file=sys.stderr)  # noqa: T201

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()
