"""Items in processes of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..core.progress import Progress
from .executors import Call, Executor, Running, Said
from .making import execute, execute_once, limit_threads, shared


class Processes(Executor):
    """A pool of `workers` processes, started by spawn; each holds its compute to one thread."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.futures: dict[Running, Future[None]] = {}

    def start(self, root: Path) -> None:
        context = get_context("spawn")
        self.manager = context.Manager()
        self.channel = self.manager.Queue()
        self.pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_worker)

    def submit(self, call: Call) -> Running:
        return self.pool.submit(_remote, call, self.channel)

    def wait(self, running: Sequence[Running]) -> None:
        wait([r for r in running if isinstance(r, Future)], timeout=self.poll_s, return_when=FIRST_COMPLETED)

    def reports(self) -> Iterable[Said]:
        while not self.channel.empty():
            yield self.channel.get()

    def finish(self) -> None:
        self.pool.shutdown(wait=True)
        self.manager.shutdown()

    def stop(self) -> None:
        for process in list((self.pool._processes or {}).values()):
            process.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.manager.shutdown()


def _worker() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    limit_threads()


def _remote(call: Call, channel: Any) -> None:
    made_by = execute_once if shared(call.root) else execute
    made_by(call.task, call.root, call.device, call.command, spoken(call.task.name, channel.put))


def spoken(name: str, put: Callable[[Said], Any]) -> Progress:
    """Return a progress that `put`s (task, done, total, text), ten times a second at most."""
    last = 0.0

    def progress(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            put((name, done, total, text))

    return progress
