"""What a reader does to a process when a file is bad: functions for a child process to call."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from neural_foundation.core.errors import DataError, MissingExtraError, RecordingError


def name(path: Path, *more: Any) -> list[Any]:
    return [path.name, isinstance(path, Path), *more]


def content(path: str) -> str:
    return Path(path).read_text()


def process(path: Path) -> int:
    return os.getpid()


def segfault(path: Path) -> str:
    return repr(ctypes.string_at(0))


def leave(path: Path) -> None:
    os._exit(3)


def sleep(path: Path) -> None:
    """Start another process, then hold the interpreter's lock for ever, as a C library in a loop does."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    path.write_text(str(child.pid))
    ctypes.PyDLL(None).pause()


def allocate(path: Path) -> None:
    held = []
    while True:
        held.append(b"x" * (16 << 20))


def recurse(path: Path) -> Any:
    return recurse(path)


def fail(path: Path) -> None:
    raise ValueError("chunk 7 is odd")


def refuse(path: Path) -> None:
    raise RecordingError(path, "it is odd", allowed="even ones", remedy="Try another")


def unable(path: Path) -> None:
    raise DataError("no events")


def missing(path: Path) -> None:
    raise MissingExtraError("pyarrow", "tables")


def no_json(path: Path) -> Any:
    return {1, 2}


def not_a_number(path: Path) -> float:
    return float("nan")


def noisy(path: Path) -> str:
    print("to stdout", flush=True)  # noqa: T201
    os.write(2, b"to stderr")
    return "quiet"


def chatter(path: Path) -> None:
    """Answer what is no message, on every pipe there is."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 8)
        except OSError:
            continue
    time.sleep(60)


def large(path: Path, n: int) -> str:
    return "x" * n
