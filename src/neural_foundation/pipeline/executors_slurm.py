"""Items as SLURM jobs, through submitit; the output folder must be on a disk that the nodes share.

submitit tells a job what to do by a pickle in its folder, for the moment of the job only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtraError, SpecError
from ..core.store import remove, writing
from .executors import Call, Executor, JobError, Running, Said, SlurmSettings, attempt, with_log

JOBS = ".jobs"  # under a store's root: scripts and logs of jobs
END_S = 30.0  # that jobs have to end after they were cancelled


class SlurmExecutor(Executor):
    """One job an item. `cluster=local` makes them processes of this machine, to try things out."""

    poll_s = 0.5

    def __init__(self, settings: SlurmSettings) -> None:
        self.settings = settings
        self.running: list[_Item] = []

    def start(self, root: Path) -> None:
        try:
            import submitit
        except ImportError:
            raise MissingExtraError("submitit", "slurm") from None
        self.folder = (root / JOBS).resolve()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.submitit = submitit.AutoExecutor(folder=self.folder / "%j", cluster=self.settings.cluster)
        except RuntimeError:
            raise SpecError(
                "There is no SLURM here: 'srun' is not found",
                remedy="Run where jobs are submitted, or try it out with --slurm cluster=local",
            ) from None
        self.submitit.update_parameters(**parameters(self.settings))

    def submit(self, call: Call) -> Running:
        self.submitit.update_parameters(name=re.sub(r"[^\w.-]", "-", f"{call.root.name}-{call.task.name}"))
        item = _Item(call.task.name, self.submitit.submit(attempt, call))
        self.running.append(item)
        return item

    def wait(self, running: Sequence[Running]) -> None:
        time.sleep(self.poll_s)

    def reports(self) -> Iterable[Said]:
        for item in self.running:
            if item.changed():
                yield item.name, 0, 0, item.state

    def finish(self) -> None:
        self.running.clear()
        remove(self.folder / "%j")

    def stop(self) -> None:
        left = [item for item in self.running if not item.done()]
        for item in left:
            item.job.cancel(check=False)
        until = time.monotonic() + END_S
        while time.monotonic() < until and not all(item.done() for item in left):
            time.sleep(0.1)


def parameters(settings: SlurmSettings) -> dict[str, Any]:
    """Return submitit's names and units for settings."""
    given: dict[str, Any] = {
        "timeout_min": minutes(settings.time),
        "cpus_per_task": settings.cpus,
        "gpus_per_node": settings.gpus or None,
        **{f"slurm_{n}": getattr(settings, n) for n in ("partition", "account", "qos", "constraint")},
    }
    if settings.mem is not None:
        given["mem_gb"] = float(settings.mem.rstrip("GB"))
    return {name: value for name, value in given.items() if value is not None}


def minutes(time_text: str) -> int:
    """Return the whole minutes of D-HH:MM:SS, HH:MM:SS, HH:MM or minutes, rounded up."""
    days, dash, rest = time_text.rpartition("-")
    parts = [int(p) for p in rest.split(":")]
    if len(parts) == 1:
        return parts[0]
    hours, mins, seconds = (*parts, 0)[:3]
    return (int(days) * 24 if dash else 0) * 60 + hours * 60 + mins + (seconds > 0)


class _Item:
    """A job under way."""

    def __init__(self, name: str, job: Any) -> None:
        self.name, self.job, self.state = name, job, ""

    def done(self) -> bool:
        return bool(self.job.done())

    def changed(self) -> bool:
        """Return whether the job's state is another than when last asked."""
        state = f"job {self.job.job_id} {str(self.job.state).lower()}"
        state, self.state = self.state, state
        return state != self.state

    def result(self) -> None:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        log = self.job.paths.stderr
        try:
            error = self.job.result()
        except (FailedJobError, UncompletedJobError) as failure:
            raise JobError(
                f"Job {self.job.job_id} of '{self.name}' failed: {_reason(failure)}", remedy=f"Its log: {log}"
            ) from failure
        if error is not None:
            raise with_log(error, log)
        remove(self.job.paths.folder)  # nobody asks how it went well, and what it was told is pickled there


def _reason(failure: Exception) -> str:
    """Return the last line of the trace of a failure, or its state."""
    lines = [line for line in str(failure).splitlines() if line.strip() and not line.startswith("---")]
    traces = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)]
    return (traces or [line for line in lines if "state:" in line] or lines)[-1].strip()
