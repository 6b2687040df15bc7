"""Running a plan: fresh items are skipped, the others made in their working folders and renamed when whole.

`kill -9` at any moment leaves finished items finished; a working folder (`*.partial`) is picked up by the stage
itself, so that a long fit goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..core.errors import Interrupted, StoreError
from ..core.lineage import Output, pseudonyms, write_manifest
from ..core.progress import Progress, silent
from ..core.store import lock, remove, rename, writing
from .plan import Plan, Task
from .stage import Job, item_name

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
) -> Ran:
    """Make what is not fresh, of one stage (and what it needs) or of all; return what was made.

    Raises the error of the first item that failed; what was finished stays. Ctrl-C raises Interrupted.
    """
    tasks = plan.tasks if stage is None else plan.up_to(stage)
    began, ran = time.monotonic(), Ran()
    with lock(plan.root):
        pseudonyms((), plan.root)  # makes the key, before workers read it
        todo = _select(tasks, ran)
        try:
            _in_process(todo, plan.root, device, command, report, ran) if workers == 1 else _in_parallel(
                todo, plan.root, device, command, report, ran, workers
            )
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
    with one_thread():
        for task in todo:
            execute(task, root, device, command, partial(report, task.name))
            ran.made.append(task.name)
            report(task.name, 1, 1, "done")


def _in_parallel(
    todo: list[Task], root: Path, device: str, command: str, report: Reporter, ran: Ran, workers: int
) -> None:
    by_name = {t.name: t for t in todo}
    graph = TopologicalSorter({t.name: [n.name for n in t.needs() if n.name in by_name] for t in todo})
    graph.prepare()
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context, initializer=_worker) as pool:
        channel = manager.Queue()
        running: dict[Future[None], str] = {}
        try:
            while graph.is_active():
                for name in graph.get_ready():
                    running[pool.submit(_remote, by_name[name], root, device, command, channel)] = name
                for future in wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    future.result()
                    graph.done(name)
                    ran.made.append(name)
                    report(name, 1, 1, "done")
                _drain(channel, report)
        except BaseException:
            _stop(pool)
            raise


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers at once: what they had not finished is made again, or goes on, in the next run."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _drain(channel: Any, report: Reporter) -> None:
    while not channel.empty():
        report(*channel.get())


def _worker() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _limit_threads()


def _remote(task: Task, root: Path, device: str, command: str, channel: Any) -> None:
    last = 0.0

    def progress(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            channel.put((task.name, done, total, text))

    execute(task, root, device, command, progress)


def execute(task: Task, root: Path, device: str = "auto", command: str = "", progress: Progress = silent) -> None:
    """Make one item whose inputs are all finished."""
    inputs = {port: [_finished(t) for t in tasks] for port, tasks in task.inputs.items()}
    with writing(task.working):
        if not task.spec.resumes:
            remove(task.working)
        task.working.mkdir(parents=True, exist_ok=True)
        for half in task.working.rglob(".*.tmp"):  # what a kill left of an atomic write is no output
            half.unlink()
    job = Job(task.stage, task.item, task.seed, task.working, inputs, device, progress, command, task.key)
    began = time.time()
    with writing(task.working):
        task.spec.run(job)
        write_manifest(task.working, _facts(task, job, root, inputs, began), job.measured)
        rename(task.working, task.folder)


def _finished(task: Task) -> Output:
    output = task.output()
    if output is None:
        raise StoreError(f"The output of '{task.name}' is gone", remedy="Run again; it will be made anew")
    output.verify()
    return output


def _facts(task: Task, job: Job, root: Path, inputs: dict[str, list[Output]], began: float) -> dict[str, Any]:
    return {
        "key": task.key,
        "stage": task.stage,
        "item": item_name(task.item),
        "kind": task.spec.kind,
        "facts": task.facts,
        "inputs": {
            port: [{"stage": o.stage, "item": o.item, "key": o.key} for o in outputs]
            for port, outputs in inputs.items()
        },
        "subjects": _seen(job, root, inputs),
        "privacy": {"epsilon_spent": None},
        "run": {"command": job.command, "began_unix_s": round(began, 3), "seconds": round(time.time() - began, 3)},
    }


def _seen(job: Job, root: Path, inputs: dict[str, list[Output]]) -> list[str]:
    """Return the pseudonyms of whom the item saw: those its stage named, or all of its inputs'."""
    if job.subjects:
        return pseudonyms(job.subjects, root)
    return sorted({s for outputs in inputs.values() for o in outputs for s in o.manifest["subjects"]})


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold all compute to one thread: the same bytes on any machine size, and better tails."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _limit_threads() -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
