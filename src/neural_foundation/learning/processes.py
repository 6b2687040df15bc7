"""Several processes that train one network: each computes its share of every step's batch (Lightning's DDP).

Process 0 is the caller; it starts the others, which build the same network from the same task and seeds, so that no
weights are sent. What a step adds up over processes is the sum over its windows, so the result is that of one process
with `accumulate` times as many parts, but for the rounding of sums taken in another order.

Limits. All processes are on one machine. They are started by `spawn`: a script that fits must do so under
`if __name__ == "__main__"`. Process 0 alone writes checkpoints, logs and progress. A process that dies ends the run; on
GPUs the others may notice only at NCCL's time limit.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.errors import NeuralFoundationError, SpecError
from ..core.progress import silent
from .base import Task

if TYPE_CHECKING:
    from .gradient import Gradient

END_S = 30.0  # that the others have to end after process 0
READY_S = 600.0  # that they have to read their data


@dataclass(frozen=True)
class Ranks:
    """Which process this is, of how many; `port` is where process 0 listens."""

    rank: int = 0
    world: int = 1
    port: int = 0

    @property
    def many(self) -> bool:
        return self.world > 1

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this process; SpecError where there are fewer GPUs than processes."""
        if not self.many or device.type == "cpu":
            return device
        if device.index not in (None, 0) or self.world > torch.cuda.device_count():
            given = f"processes is {self.world}, device '{device}', and there are {torch.cuda.device_count()} GPU(s)"
            raise SpecError(given, allowed="device 'cuda' and a GPU for each process")
        return torch.device("cuda", self.rank)

    def summed(self, numbers: list[float], device: torch.device) -> list[float]:
        """Return the sums of some numbers over all processes; every process must ask."""
        held = torch.tensor(numbers, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(held)
        return [float(v) for v in held.tolist()]

    def gathered(self, mine: list[Any]) -> list[Any]:
        """Return what process k has of entries k, k + world, ... put back in order; every process must ask."""
        if not self.many:
            return mine
        held: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(held, mine)
        longest = max(map(len, held))
        return [part[i] for i in range(longest) for part in held if i < len(part)]

    def settings(self, device: torch.device) -> dict[str, Any]:
        """Return Lightning's arguments on where to run."""
        from lightning.pytorch.plugins.environments import LightningEnvironment

        if not self.many:
            devices: Any = [device.index or 0] if device.type == "cuda" else 1
            # a job under SLURM is one process here too
            return {"devices": devices, "plugins": [LightningEnvironment()]}
        from lightning.pytorch.strategies import DDPStrategy

        strategy = DDPStrategy(
            # a session, or a part that only some windows use, may be missing from a share
            find_unused_parameters=True,
            process_group_backend="nccl" if device.type == "cuda" else "gloo",
            cluster_environment=_environment(self),
        )
        return {"devices": self.world, "strategy": strategy}

    @contextmanager
    def joined(self, learner: Gradient, task: Task) -> Iterator[None]:
        """Run the other processes beside this one, if it is the first of several."""
        if not self.many:
            yield
            return
        others = [_Other(learner, task, replace(self, rank=rank)) for rank in range(1, self.world) if self.rank == 0]
        before = dict(os.environ)
        try:
            for other in others:
                other.wait_until_ready()
            yield
            for other in others:
                other.process.join(END_S)
        except Exception:
            for other in others:
                other.raise_its_error()
            raise
        finally:
            for other in others:
                other.end()
            with suppress(Exception):
                torch.distributed.destroy_process_group()
            os.environ.clear()  # Lightning names its address there
            os.environ.update(before)


def first_of(world: int) -> Ranks:
    """Return the first of so many processes, on a free port."""
    if world == 1:
        return Ranks()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Ranks(0, world, int(free.getsockname()[1]))


class _Other:
    """A process beside this one, and the line on which it says that it is ready, or what went wrong."""

    def __init__(self, learner: Gradient, task: Task, ranks: Ranks) -> None:
        context = get_context("spawn")
        self.ranks = ranks
        self.line, theirs = context.Pipe(duplex=False)
        ForkingPickler.register(np.memmap, _mapped_again)
        given = learner, replace(task, progress=silent), ranks, torch.get_num_threads(), os.getpid(), theirs
        self.process = context.Process(target=_other, args=given, daemon=True)
        self.process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        if not self.line.poll(READY_S):
            raise NeuralFoundationError(f"Process {self.ranks.rank} was not ready after {READY_S:g} s")
        self.raise_its_error()

    def raise_its_error(self) -> None:
        """Raise what the process says went wrong, or that it died; nothing where it works."""
        try:
            said = self.line.recv() if self.line.poll(1.0) else None
        except EOFError:
            self.process.join(1.0)
            raise NeuralFoundationError(
                f"Process {self.ranks.rank} of {self.ranks.world} ended with exit code {self.process.exitcode}",
                remedy="Run again, it goes on from its checkpoint; if memory was short, lower batch_size or processes",
            ) from None
        if isinstance(said, BaseException):
            raise said

    def end(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self.line.close()


def _other(learner: Gradient, task: Task, ranks: Ranks, threads: int, parent: int, line: Connection) -> None:
    """What another process does, from its start to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides what Ctrl-C means
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(threads)
    from .training import train_as

    try:
        train_as(learner, task, ranks, ready=lambda: line.send("ready"))
    except KeyboardInterrupt:
        pass  # the first process was asked to stop, and said so to all
    except Exception as error:  # noqa: BLE001 - said by the first process
        with suppress(Exception):
            line.send(error if isinstance(error, NeuralFoundationError) else RuntimeError(f"{error!r}"))


def _end_with(parent: int) -> None:
    """End this process when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _mapped_again(array: np.memmap[Any, Any]) -> tuple[Any, ...]:
    """Send an array that lies on disk as its address, not its values."""
    if isinstance(array.base, mmap.mmap) and array.filename is not None and array.flags.c_contiguous:
        return _map, (str(Path(array.filename).resolve()), str(array.dtype), array.offset, array.shape)
    return np.array, (np.asarray(array),)


def _map(path: str, dtype: str, offset: int, shape: tuple[int, ...]) -> Any:
    return np.memmap(path, np.dtype(dtype), "r", offset, shape)


def _environment(ranks: Ranks) -> Any:
    from lightning.pytorch.plugins.environments import LightningEnvironment

    class Beside(LightningEnvironment):  # type: ignore[misc]
        """Processes of one machine that were started by us."""

        main_address = "127.0.0.1"
        main_port = ranks.port
        creates_processes_externally = True

        def world_size(self) -> int:
            return ranks.world

        def global_rank(self) -> int:
            return ranks.rank

        def local_rank(self) -> int:
            return ranks.rank

        def node_rank(self) -> int:
            return 0

        def set_world_size(self, size: int) -> None:
            pass

        def set_global_rank(self, rank: int) -> None:
            pass

    return Beside()
