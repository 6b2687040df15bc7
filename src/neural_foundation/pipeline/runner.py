"""Running a plan: fresh items are skipped, the others made in their working folders and renamed when whole.

`kill -9` at any moment leaves finished items finished; a working folder (`*.partial`) is picked up by the stage
itself, so that a long fit goes on from its last checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from ..core.errors import Interrupted
from ..core.lineage import pseudonyms
from ..core.store import lock
from .executors import Call, Executor, Running
from .making import execute, execute_once, one_thread, shared
from .plan import Plan, Task

Reporter = Callable[[str, int, int, str], None]  # task, done, total, text


def ignore(task: str, done: int, total: int, text: str) -> None:
    """Report to nobody."""


@dataclass
class Ran:
    """What a run did."""

    made: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(
    plan: Plan,
    *,
    stage: str | None = None,
    workers: int = 1,
    device: str = "auto",
    command: str = "",
    report: Reporter = ignore,
    executor: Executor | None = None,
) -> Ran:
    """Make what is not fresh, of one stage or group (and what it needs) or of all; return what was made.

    One item after the other in this process; with `workers`, in processes of this machine; with an `executor`
    (`executors.make`), where it says.

    Raises the error of the first item that failed; what was finished stays. Ctrl-C raises Interrupted.
    """
    tasks = plan.tasks if stage is None else plan.up_to(stage)
    with lock(plan.root):
        return make(tasks, plan.root, workers, device, command, report, executor)


def make(
    tasks: Sequence[Task],
    root: Path,
    workers: int = 1,
    device: str = "auto",
    command: str = "",
    report: Reporter = ignore,
    executor: Executor | None = None,
) -> Ran:
    """Make what is not fresh of some tasks, as `run` does. The caller holds the lock of `root`."""
    began, ran = time.monotonic(), Ran()
    pseudonyms((), root)  # makes the key, before workers read it
    todo = _select(tasks, ran)
    try:
        if todo and (executor is not None or workers > 1):
            _by_executor(todo, root, device, command, report, ran, executor or _processes(workers))
        else:
            _in_process(todo, root, device, command, report, ran)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted; {len(ran.made)} of {len(todo)} items were finished and are kept",
            remedy="Run the same command to go on",
        ) from None
    ran.seconds = time.monotonic() - began
    return ran


def _select(tasks: Sequence[Task], ran: Ran) -> list[Task]:
    todo = []
    for task in tasks:
        if task.output() is not None:
            ran.fresh.append(task.name)
        else:
            todo.append(task)
    return todo


def _in_process(todo: list[Task], root: Path, device: str, command: str, report: Reporter, ran: Ran) -> None:
    made_by = execute_once if shared(root) else execute
    with one_thread():
        for task in todo:
            made_by(task, root, device, command, partial(report, task.name))
            ran.made.append(task.name)
            report(task.name, 1, 1, "done")


def _processes(workers: int) -> Executor:
    from .executors_local import Processes

    return Processes(workers)


def _by_executor(
    todo: list[Task], root: Path, device: str, command: str, report: Reporter, ran: Ran, executor: Executor
) -> None:
    """Hand each item over when its inputs are made, in the order of the plan."""
    by_name = {t.name: t for t in todo}
    graph = TopologicalSorter({t.name: [n.name for n in t.needs() if n.name in by_name] for t in todo})
    graph.prepare()
    with executor.opened(root):
        running: dict[str, Running] = {}
        while graph.is_active():
            for name in graph.get_ready():
                running[name] = executor.submit(Call(by_name[name], root, device, command))
            executor.wait(list(running.values()))
            for name in [n for n, r in running.items() if r.done()]:
                running.pop(name).result()
                graph.done(name)
                ran.made.append(name)
                report(name, 1, 1, "done")
            for said in executor.reports():
                report(*said)
