"""Reads all that a recording holds, for a child process: what a stranger's file must not be able to break."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import read


def outcome(path: Path) -> list[Any]:
    """Return ["opened" or "refused", seconds of CPU time]; another exception comes through, or ends the child."""
    began = process_time()
    try:
        consume(path)
    except RecordingError:
        return ["refused", process_time() - began]
    return ["opened", process_time() - began]


def consume(path: Path) -> None:
    with read(path) as session:
        for signal in session.signals.values():
            assert signal.n_times * signal.spec.n_chans < 1_000_000
            signal.read()
            assert signal.valid().shape == (signal.n_times,)
        held = [*session.spikes.values(), *session.series.values(), *session.intervals.values(), session.trials]
        assert sum(map(len, held)) < 1_000_000
