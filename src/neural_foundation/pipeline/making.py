"""Making one item: in its working folder, renamed when whole, with its manifest; one compute thread a process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import StoreError
from ..core.lineage import Output, pseudonyms, write_manifest
from ..core.progress import Progress, silent
from ..core.store import remove, rename, writing
from .plan import Task
from .stage import Job, item_name

LOCKS = ".locks"  # under a store's root: one file an item that may be made by several processes


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


def shared(root: Path) -> bool:
    """Return whether items of a store are, or were, made by processes that may outlive who started them."""
    return (root / LOCKS).exists()


def execute_once(task: Task, root: Path, device: str = "auto", command: str = "", progress: Progress = silent) -> bool:
    """Make one item unless another process does so first; return whether it was made here.

    For processes that outlive who started them, or share items: a job of a run that was killed, trials of a search.
    """
    path = root / LOCKS / task.key
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if task.output() is not None:
            return False
        execute(task, root, device, command, progress)
    return True


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


def limit_threads() -> None:
    """Hold this whole process, and the libraries it will load, to one thread."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
