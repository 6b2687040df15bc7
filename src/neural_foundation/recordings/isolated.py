"""Read a stranger's file in a process of its own: a crash, a hang or endless memory becomes one RecordingError.

`isolated` keeps one child process warm for the whole process and uses it again until it dies, so that asking for every
file of a folder costs one start. Messages are JSON over pipes, never pickle: a child that a file has taken over can
answer nonsense, but not run code here. Where Linux limits address space, `memory_mb` holds; elsewhere only the timeout.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import errors
from ..core.errors import DataError, NeuralFoundationError, RecordingError
from .isolated_child import encode, find
from .reader import file_size
from .session import Intervals, Session, Signal
from .table import read, uses_c_library

if TYPE_CHECKING:
    from .layout import Layout

TIMEOUT_S = 60.0
BYTES_PER_S = 2e6  # slower than any disk: what takes longer hangs
MEMORY_MB = 2048.0
START_S = 60.0
MAX_ANSWER = 1 << 26
MAX_CALLS = 1000  # then a new child starts: what C libraries leak does not add up
MAX_LABELS = 100
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FOUND_NOTHING_ELSE = "Do not use this file; convert it with the software that wrote it"


def isolated(
    function: Callable[..., Any],
    path: Path | str,
    *args: Any,
    timeout_s: float = TIMEOUT_S,
    memory_mb: float = MEMORY_MB,
) -> Any:
    """Return `function(path, *args)`, called in a child process.

    function : of a module that can be imported. args : JSON values or paths, as is what it returns. memory_mb : beyond
    what the child holds before. The package's own errors come through as they are. RecordingError where the child
    crashes, takes longer than `timeout_s`, needs more memory, raises another error or answers no JSON; the child is
    killed then, and the next call starts another. DataError where no child can be started, which is not the file's
    fault. Calls of several threads wait for each other.
    """
    asked = {
        "function": _name(function),
        "args": [encode(path), *map(encode, args)],
        "folder": _folder(),
        "timeout_s": timeout_s,
        "memory_mb": memory_mb,
    }
    with _LOCK:
        worker = _warm()
        try:
            answer = worker.ask(asked, time.monotonic() + timeout_s)
        except _Failed as failure:
            raise RecordingError(path, str(failure), remedy=_FOUND_NOTHING_ELSE) from None
        finally:
            if worker.dead or worker.calls >= MAX_CALLS:
                close()
    if "value" in answer:
        return answer["value"]
    raise _error(path, answer.get("error"))


def close() -> None:
    """End the warm child, if there is one. The next `isolated` starts another."""
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        worker.end()


def probe(
    path: Path | str, *, subject: str | None = None, timeout_s: float = TIMEOUT_S, memory_mb: float = MEMORY_MB
) -> dict[str, Any]:
    """Return what is in a recording, without its samples, found in a child process: `facts`.

    Raises RecordingError as `read` and `isolated` do.
    """
    found: dict[str, Any] = isolated(facts, Path(path), subject, timeout_s=timeout_s, memory_mb=memory_mb)
    return found


def facts(path: Path, subject: str | None = None) -> dict[str, Any]:
    """Return what is in a recording, as JSON: session_id, subject, signals, spikes, series, intervals, trials.

    signals : {name: {sfreq, n_times, start_s, duration_s, ch_names, ch_types, units, n_positions}}, the primary first.
    spikes : {name: {n_units, n_spikes}}. series : {name: {n_times, names, units}}. intervals : {name: see trials}.
    trials : {n, labels: {label: count}} of the most frequent 100 labels, n_labels.
    """
    with read(path, subject=subject) as session:
        return {
            "session_id": session.session_id,
            "subject": session.subject,
            "signals": {name: _signal(signal) for name, signal in session.signals.items()},
            **_events(session),
            "trials": _intervals(session.trials),
        }


def rehearse(
    path: Path | str, *, layout: Layout | Mapping[str, Any] | None = None, memory_mb: float = MEMORY_MB
) -> None:
    """Read a stranger's file to its end in a child process, where a library in C parses it; else do nothing.

    What a hostile file can do to HDF5 or Arrow, a crash, an endless loop, it does there. Readers without such a
    library need no rehearsal. The time allowed grows with the file. Raises RecordingError as `isolated` does.
    """
    from .layout import Layout

    path = Path(path)
    if uses_c_library(path):
        given = [] if layout is None else [Layout.of(layout).model_dump(mode="json")]
        timeout_s = TIMEOUT_S + file_size(path) / BYTES_PER_S
        isolated(read_through, path, *given, timeout_s=timeout_s, memory_mb=memory_mb)


def read_through(path: Path, layout: Mapping[str, Any] | None = None) -> int:
    """Read all that a recording holds, in blocks, and return the number of samples of its signals."""
    with read(path, layout=layout) as session:
        for held in (session.spikes, session.series, session.intervals):
            list(held.values())
        len(session.trials)
        return sum(chunk.values.size for signal in session.signals.values() for chunk in signal.chunks())


def _signal(signal: Signal) -> dict[str, Any]:
    spec = signal.spec
    return {
        "sfreq": spec.sfreq,
        "n_times": signal.n_times,
        "start_s": signal.start_s,
        "duration_s": signal.duration_s,
        "ch_names": list(spec.ch_names),
        "ch_types": list(spec.ch_types),
        "units": list(spec.units),
        "n_positions": sum(p is not None for p in spec.positions),
    }


def _events(session: Session) -> dict[str, Any]:
    spikes, series = session.spikes.items(), session.series.items()
    return {
        "spikes": {name: {"n_units": s.n_units, "n_spikes": len(s)} for name, s in spikes},
        "series": {name: {"n_times": len(s), "names": list(s.names), "units": list(s.units)} for name, s in series},
        "intervals": {name: _intervals(rows) for name, rows in session.intervals.items()},
    }


def _intervals(rows: Intervals) -> dict[str, Any]:
    counts = Counter(rows.label)
    return {"n": len(rows), "labels": dict(counts.most_common(MAX_LABELS)), "n_labels": len(counts)}


class _Failed(Exception):
    """The child gave no answer; the text says why."""


class _Worker:
    """A child process and the two pipes to it."""

    def __init__(self) -> None:
        asked, self._write = os.pipe()
        self._read, answered = os.pipe()
        command = [sys.executable, "-P", "-m", f"{__package__}.isolated_child", str(asked), str(answered)]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=(asked, answered),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what it starts itself is killed with it
            )
        except OSError:
            os.close(self._write)
            os.close(self._read)
            raise
        finally:
            os.close(asked)
            os.close(answered)
        os.set_blocking(self._write, False)
        self.calls, self.dead, self.owner = 0, False, os.getpid()

    def ask(self, asked: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Return the child's answer; _Failed where there is none until the deadline."""
        self.calls += 1
        self.dead = True  # until it has answered; also where an interruption leaves an answer on its way
        self._send(json.dumps(asked).encode(), deadline)
        answer = self.answer(deadline)
        self.dead = "last" in answer
        return answer

    def answer(self, deadline: float) -> dict[str, Any]:
        """Return the next message of the child."""
        size = int.from_bytes(self._receive(8, deadline), "big")
        if size > MAX_ANSWER:
            raise _Failed(f"what reading it gave takes {size} bytes, of at most {MAX_ANSWER}")
        try:
            answer = json.loads(self._receive(size, deadline))
        except (ValueError, RecursionError):
            raise _Failed("what reading it gave is no JSON") from None
        if not isinstance(answer, dict):
            raise _Failed("what reading it gave is no answer")
        return answer

    def _send(self, data: bytes, deadline: float) -> None:
        left = memoryview(len(data).to_bytes(8, "big") + data)
        while left:
            _wait(self._write, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._write, left) :]
            except BrokenPipeError:
                raise _Failed(self._why()) from None

    def _receive(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            _wait(self._read, select.POLLIN, deadline)
            part = os.read(self._read, min(size - len(parts), 1 << 20))
            if not part:
                raise _Failed(self._why())
            parts += part
        return bytes(parts)

    def _why(self) -> str:
        """Return how the child ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        code = self.process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            return f"reading it crashed the process that read it ({name})"
        return f"reading it ended the process that read it (exit status {code})"

    def end(self) -> None:
        """Kill the child and all it started, wait for it, close the pipes."""
        if self.owner != os.getpid():  # a fork of this process: the child is not ours to end
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        os.close(self._write)
        os.close(self._read)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()  # `select.select` takes no descriptor beyond 1023
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _Failed("reading it took too long, and was stopped")


_LOCK = threading.Lock()
_worker: _Worker | None = None
_of_parents: list[_Worker] = []  # kept, so that a fork does not touch them while it collects garbage


def _warm() -> _Worker:
    """Return the warm child, started where there is none that lives."""
    global _worker
    if _worker is not None and _worker.process.poll() is not None:
        close()
    if _worker is None:
        _worker = _started()
    return _worker


def _started() -> _Worker:
    remedy = "Close what holds memory or processes, and run again"
    try:
        worker = _Worker()
    except OSError as error:
        raise DataError(f"A process to read in cannot be started ({error.strerror})", remedy=remedy) from error
    try:
        worker.answer(time.monotonic() + START_S)
    except BaseException as error:
        worker.end()
        if isinstance(error, _Failed):
            raise DataError("A process to read in did not come up", remedy=remedy) from error
        raise
    return worker


def _forget() -> None:
    global _LOCK, _worker
    if _worker is not None:
        _of_parents.append(_worker)
    _LOCK, _worker = threading.Lock(), None


atexit.register(close)
os.register_at_fork(after_in_child=_forget)


def _environment() -> dict[str, str]:
    """Return the environment of a child: it imports from where we do, and computes in one thread."""
    folders = dict.fromkeys(os.path.abspath(folder) for folder in sys.path)
    return dict.fromkeys(_THREADS, "1") | os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


def _folder() -> str:
    with contextlib.suppress(FileNotFoundError):
        return os.getcwd()
    return ""


def _name(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module and module != "__main__" and name.isidentifier() and find(f"{module}:{name}") is function:
        return f"{module}:{name}"
    raise DataError(f"Cannot call {function!r} in another process", allowed="a function of a module, by its name")


def _error(path: Path | str, fields: Any) -> NeuralFoundationError:
    """Return the error that the child answered, as the class it was there."""
    fields = fields if isinstance(fields, dict) else {}
    given, allowed, remedy = (str(fields.get(name) or "") for name in ("given", "allowed", "remedy"))
    cls = getattr(errors, str(fields.get("class")), None)
    if not (isinstance(cls, type) and issubclass(cls, NeuralFoundationError)):
        return RecordingError(path, given or "reading it failed", remedy=_FOUND_NOTHING_ELSE)
    error = cls.__new__(cls)
    NeuralFoundationError.__init__(error, given, allowed=allowed, remedy=remedy)
    if isinstance(error, RecordingError):
        error.path = Path(fields.get("path") or path)
    return error
