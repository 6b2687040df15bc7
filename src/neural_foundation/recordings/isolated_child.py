"""The other end of `isolated`: a process that calls functions it is asked for, one after the other.

Started as `python -P -m neural_foundation.recordings.isolated_child READ WRITE` with two pipes. A message is 8 bytes of
length, big-endian, and JSON. Asked: {"function": "module:name", "args": [...], "folder", "memory_mb", "timeout_s"}.
Answered: {"value": ...} or {"error": {"class", "given", "allowed", "remedy", "path"}}, with "last" where it then ends;
once, before anything is asked, {"value": "ready"}. It ends when the pipe does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ..core.errors import NeuralFoundationError, RecordingError

GRACE_S = 5.0  # whoever asks kills at the timeout; the alarm is for when nobody is left to do it
_PATH = "__path__"


def encode(value: Any) -> Any:
    """Return an argument as JSON; a path keeps its type."""
    return {_PATH: str(value)} if isinstance(value, Path) else value


def decode(value: Any) -> Any:
    """Return the argument that `encode` made JSON of."""
    return Path(value[_PATH]) if isinstance(value, dict) and _PATH in value else value


def find(name: str) -> Any:
    """Return the function 'module:name'."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if asked["folder"]:
            os.chdir(asked["folder"])
        function, args = find(asked["function"]), [decode(a) for a in asked["args"]]
        _limit(asked["memory_mb"])
        signal.setitimer(signal.ITIMER_REAL, asked["timeout_s"] + GRACE_S)
        return {"value": function(*args)}
    except NeuralFoundationError as error:
        return {"error": _fields(error)}
    except MemoryError:
        return _other(f"reading it takes more than {asked['memory_mb']:g} MB of memory") | {"last": True}
    except Exception as error:  # noqa: BLE001  whatever a stranger's file raises must reach who asked as one error
        return _other(f"reading it failed with {type(error).__name__}: {str(error)[:500]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _limit(None)


def _fields(error: NeuralFoundationError) -> dict[str, Any]:
    path = str(error.path) if isinstance(error, RecordingError) else None
    fields = {"class": type(error).__name__, "given": error.given, "allowed": error.allowed, "remedy": error.remedy}
    return fields | {"path": path}


def _other(given: str) -> dict[str, Any]:
    return {"error": {"class": None, "given": given, "allowed": "", "remedy": "", "path": None}}


def _limit(memory_mb: float | None) -> None:
    """Allow this process `memory_mb` beyond what it holds now, where the platform can; None lifts the limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = hard
        if memory_mb is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            soft = pages * resource.getpagesize() + int(memory_mb * 2**20)
            soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _message(answer: dict[str, Any]) -> bytes:
    try:
        data = json.dumps(answer, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        data = json.dumps(_other(f"what reading it gave is no JSON ({error})")).encode()
    return len(data).to_bytes(8, "big") + data


def _serve(read: int, write: int) -> None:
    with os.fdopen(read, "rb") as incoming, os.fdopen(write, "wb", buffering=0) as outgoing:
        answer: dict[str, Any] = {"value": "ready"}
        _send(outgoing.fileno(), _message(answer))
        while "last" not in answer and (head := incoming.read(8)):
            answer = _answer(json.loads(incoming.read(int.from_bytes(head, "big"))))
            _send(outgoing.fileno(), _message(answer))


def _send(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


if __name__ == "__main__":
    # the alarm ends the process from outside Python, also where a C library never returns to it
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked, who then ends this process
    _serve(int(sys.argv[1]), int(sys.argv[2]))
