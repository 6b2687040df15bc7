"""Lightning as a guest: what it prints, warns about or sets for the whole process is put back when it leaves."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch


@contextlib.contextmanager
def guest(device: torch.device) -> Iterator[None]:
    """Keep logs, warnings, torch's random state and its determinism settings as they were."""
    import lightning.pytorch  # noqa: F401 - first: its import sets the levels of its loggers

    with _silent(), _deterministic(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextlib.contextmanager
def gentle_interrupt(ask: Callable[[], None]) -> Iterator[None]:
    """Turn the first Ctrl-C into `ask()`, so that a step is finished first; a second one interrupts at once.

    Does nothing outside the main thread, or where someone else handles the signal.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if mine else None

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ask()

    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, handle)
        yield
    finally:
        if mine and before is not None:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    settings: Any = torch.utils.deterministic
    # cuBLAS reads this once, when its handle is made
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill, bench = settings.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = False  # only finds bugs, and costs time
        torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = bench
