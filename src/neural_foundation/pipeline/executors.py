"""Where items are made: one small interface, `submit(call) -> running`, for processes, Ray and SLURM.

An executor keeps no queue: it is handed what can be made now, in the order of the plan, and says when it is done.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import Field, ValidationError

from ..core.errors import NeuralFoundationError, SpecError, did_you_mean, one_of
from ..core.kinds import spec_error
from ..core.progress import Progress, silent
from ..core.specs import Spec
from .making import execute_once, limit_threads
from .plan import Task
from .yaml12 import parse

S = TypeVar("S", bound=Spec)
Said = tuple[str, int, int, str]  # task, done, total, text


class JobError(NeuralFoundationError):
    """An item's job ended without its output, by a fault that is none of the user's, or from outside."""


@dataclass(frozen=True)
class Call:
    """One item to make: what an executor is handed."""

    task: Task
    root: Path
    device: str
    command: str
    folder: str = field(default_factory=os.getcwd)  # that relative paths are relative to


class Running(Protocol):
    """An item that was handed over."""

    def done(self) -> bool:
        """Return whether it has ended, well or not."""

    def result(self) -> None:
        """Return when its output is there; raise the error it ended with."""


class Executor(ABC):
    """Makes items somewhere. Used inside `opened`, by one run at a time."""

    poll_s: ClassVar[float] = 0.2

    @contextmanager
    def opened(self, root: Path) -> Iterator[None]:
        """Start what it needs; at the end hand it back. On an error or Ctrl-C nothing goes on in the background."""
        self.start(root)
        try:
            yield
        except BaseException:
            self.stop()
            raise
        else:
            self.finish()

    @abstractmethod
    def start(self, root: Path) -> None:
        """Get ready; MissingExtraError or SpecError where that cannot be."""

    @abstractmethod
    def submit(self, call: Call) -> Running:
        """Hand over an item whose inputs are finished."""

    @abstractmethod
    def wait(self, running: Sequence[Running]) -> None:
        """Return when one has ended, at the latest after `poll_s`."""

    def reports(self) -> Iterable[Said]:
        """Return what running items have said since the last time."""
        return ()

    @abstractmethod
    def finish(self) -> None:
        """Hand back what `start` took; nothing is running."""

    @abstractmethod
    def stop(self) -> None:
        """End all that is running, at once: it is made again, or goes on, in the next run."""


def attempt(call: Call, progress: Progress = silent) -> NeuralFoundationError | None:
    """Make an item in a process of its own; return the user's error, if it is one, as a value.

    Errors that are no value come back in the words of whoever ran the job, without their type.
    """
    limit_threads()
    os.chdir(call.folder)
    try:
        execute_once(call.task, call.root, call.device, call.command, progress)
    except NeuralFoundationError as error:
        return error
    return None


def with_log(error: NeuralFoundationError, log: Path | str) -> NeuralFoundationError:
    """Return an error whose remedy names the log of its job."""
    error.remedy = f"{error.remedy.rstrip('.')}. Its job's log: {log}" if error.remedy else f"Its job's log: {log}"
    return error


class RaySettings(Spec):
    """Of `--executor ray`."""

    address: str = Field("", description="of a Ray cluster; empty: RAY_ADDRESS, or one started on this machine")
    cpus: float = Field(1, gt=0, description="of an item")
    gpus: float = Field(0, ge=0, description="of an item")


class SlurmSettings(Spec):
    """Of `--executor slurm`: what sbatch is asked for, for each item."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: str = Field(
        "4:00:00", pattern=r"^(\d+|(\d+-)?\d+:\d\d(:\d\d)?)$", description="D-HH:MM:SS, HH:MM:SS, minutes"
    )
    mem: str | None = Field(None, pattern=r"^\d+(\.\d+)?(GB|G)?$", description="gigabytes, e.g. 16 or 16GB")
    cpus: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    cluster: str = Field("slurm", pattern="^(slurm|local|debug)$", description="local: processes here, to try it out")


def make(name: str, workers: int = 1, ray: Sequence[str] = (), slurm: Sequence[str] = ()) -> Executor | None:
    """Return the executor of a name, its settings given as `key=value`; None where the runner needs none.

    Raises SpecError: unknown name or setting, settings of another executor.
    """
    for other, given in {"ray": ray, "slurm": slurm}.items():
        if given and name != other:
            raise SpecError(f"--{other} is given, but the executor is '{name}'", remedy=f"Add --executor {other}")
    if name not in _MAKERS:
        raise SpecError(f"There is no executor '{name}'.{did_you_mean(name, _MAKERS)}", allowed=one_of(_MAKERS))
    return _MAKERS[name](workers, {"ray": ray, "slurm": slurm}.get(name, ()))


def _local(workers: int, given: Sequence[str]) -> Executor | None:
    from .executors_local import Processes

    return Processes(workers) if workers > 1 else None


def _ray(workers: int, given: Sequence[str]) -> Executor:
    from .executors_ray import RayExecutor

    return RayExecutor(settings(RaySettings, "--ray", given), workers)


def _slurm(workers: int, given: Sequence[str]) -> Executor:
    from .executors_slurm import SlurmExecutor

    return SlurmExecutor(settings(SlurmSettings, "--slurm", given))


_MAKERS: dict[str, Callable[[int, Sequence[str]], Executor | None]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def settings(cls: type[S], option: str, given: Sequence[str]) -> S:
    """Return settings given as `key=value`; SpecError names the wrong one."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"{option} {text} is not understood", allowed=f"KEY=VALUE with {one_of(cls.model_fields)}")
        wanted = cls.model_fields[key].annotation if key in cls.model_fields else str
        found[key] = parse(value, f"{option} {key}") if wanted in (int, float) else value
    try:
        return cls.model_validate(found)
    except ValidationError as error:
        raise spec_error(option, error, cls) from None
