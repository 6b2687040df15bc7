"""Progress in the terminal: one bar over all items, one for each that runs; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Display:
    """Shows what a run reports.

    The time left for all counts each item as what others of its stage took, over as many as ran at once. Until every
    stage that is still to come has finished an item, there is no honest estimate and none is shown.
    """

    def __init__(self, names: list[str], title: str) -> None:
        self.names, self.title, self.finished = names, title, set[str]()
        self.live = sys.stderr.isatty()
        self.bars: dict[str, TaskID] = {}
        self.progress: Progress | None = None
        self.said = 0.0
        self.began: dict[str, float] = {}
        self.took: dict[str, list[float]] = {}
        self.at_once = 1

    def __enter__(self) -> Display:
        if self.live and self.names:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            columns = (
                TextColumn("{task.description:<34.34}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
            self.all = self.progress.add_task(self.title, total=len(self.names), left="")
        return self

    def report(self, task: str, done: int, total: int, text: str) -> None:
        """Take one report of a running item."""
        if task in self.finished:
            return  # a worker's last words may come after its end
        self.began.setdefault(task, time.monotonic())
        self.at_once = max(self.at_once, len(self.began) - len(self.finished))
        if text == "done":
            self._finish(task)
        elif self.progress is not None:
            bar = self.bars.get(task)
            if bar is None:
                bar = self.bars[task] = self.progress.add_task(f"  {task}", total=total or None, left="")
            left = _left((time.monotonic() - self.began[task]) / done * (total - done)) if 0 < done < total else ""
            description = f"  {task}: {text}"[:60]
            self.progress.update(bar, completed=done, total=total or None, description=description, left=left)
        elif time.monotonic() - self.said > 10 and total:
            self.said = time.monotonic()
            print(f"  {task}: {text} {done}/{total}", file=sys.stderr)  # noqa: T201 - the CLI's own voice

    def _finish(self, task: str) -> None:
        self.finished.add(task)
        self.took.setdefault(_stage(task), []).append(time.monotonic() - self.began[task])
        if self.progress is not None:
            if task in self.bars:
                self.progress.remove_task(self.bars.pop(task))
            self.progress.update(self.all, completed=len(self.finished), left=self._all_left())
        else:
            print(f"[{len(self.finished)}/{len(self.names)}] {task}", file=sys.stderr)  # noqa: T201

    def _all_left(self) -> str:
        waiting = [_stage(n) for n in self.names if n not in self.finished]
        if not waiting or any(stage not in self.took for stage in waiting):
            return ""
        return _left(sum(sum(self.took[s]) / len(self.took[s]) for s in waiting) / self.at_once)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()


def _stage(task: str) -> str:
    return task.partition("/")[0]


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
