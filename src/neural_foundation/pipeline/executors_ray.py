"""Items as Ray tasks: on this machine, or on a cluster that shares the output folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtraError
from .executors import Call, Executor, JobError, RaySettings, Running, Said, attempt, with_log
from .executors_local import spoken

QUIET = {
    "RAY_DEDUP_LOGS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
OBJECTS_BYTES = 100 * 2**20  # of memory that Ray holds back for objects; what passes through it here is small


def library() -> Any:
    """Return Ray; MissingExtraError where it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def begin(address: str, cpus: float) -> bool:
    """Connect to a cluster, or start one of `cpus` on this machine; return False where one was connected already."""
    ray = library()
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address:
        ray.init(address=address, **quiet)
    else:
        here = {"num_cpus": max(1, round(cpus)), "object_store_memory": OBJECTS_BYTES, "include_dashboard": False}
        ray.init(address="local", **here, **quiet)
    return True


def logs() -> Path:
    """Return the folder where Ray keeps the output of its workers."""
    ray = library()
    return Path(ray._private.worker.global_worker.node.get_logs_dir_path())


class RayExecutor(Executor):
    """One Ray task an item, with the CPUs and GPUs of the settings."""

    def __init__(self, settings: RaySettings, workers: int) -> None:
        self.settings, self.workers = settings, workers
        self.running: list[_Item] = []

    def start(self, root: Path) -> None:
        ray = library()
        self.mine = begin(self.settings.address, self.workers * self.settings.cpus)
        from ray.util.queue import Queue

        self.channel = Queue(actor_options={"num_cpus": 0})
        self.logs = logs()
        self.remote = ray.remote(num_cpus=self.settings.cpus, num_gpus=self.settings.gpus, max_retries=0)(_remote)

    def submit(self, call: Call) -> Running:
        item = _Item(call.task.name, self.remote.remote(call, self.channel), self.logs)
        self.running.append(item)
        return item

    def wait(self, running: Sequence[Running]) -> None:
        refs = [r.ref for r in running if isinstance(r, _Item)]
        library().wait(refs, num_returns=1, timeout=self.poll_s)

    def reports(self) -> Iterable[Said]:
        return list(self.channel.get_nowait_batch(self.channel.qsize()))

    def finish(self) -> None:
        self.channel.shutdown(force=True)
        if self.mine:
            library().shutdown()

    def stop(self) -> None:
        ray = library()
        for item in self.running:
            ray.cancel(item.ref, force=True)
        self.finish()


class _Item:
    """A Ray task under way."""

    def __init__(self, name: str, ref: Any, log: Path) -> None:
        self.name, self.ref, self.log = name, ref, log

    def done(self) -> bool:
        return bool(library().wait([self.ref], timeout=0)[0])

    def result(self) -> None:
        ray = library()
        try:
            error = ray.get(self.ref)
        except ray.exceptions.RayError as failure:
            said = str(failure).strip().splitlines()[-1]
            raise JobError(
                f"The Ray task of '{self.name}' failed: {said}", remedy=f"Its log is in {self.log}"
            ) from failure
        if error is not None:
            raise with_log(error, self.log)


def _remote(call: Call, channel: Any) -> Any:
    return attempt(call, spoken(call.task.name, channel.put))
