"""What one connection adds to the server's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .connection import Answer, Connection
from .metrics import Metrics

OUTCOMES = {"alignment": "applied", "readout": "applied", "rollback": "rolled_back"}


class Counting:
    """Counts for one connection; `block` is on the steady path."""

    def __init__(self, metrics: Metrics, connection: Connection) -> None:
        self._metrics, self._task = metrics, metrics.of_task(connection.model.task)
        self._name, self._sfreq = connection.model.task, connection.signal.sfreq

    def opened(self, *, resumed: bool) -> None:
        self._task.connections.inc()
        if resumed:
            self._metrics.resumes.labels("resumed").inc()

    def closed(self, why: str) -> None:
        self._task.connections.dec()
        self._metrics.connections_closed.labels(why).inc()

    def block(self, n_bytes: int, answer: Answer, step_s: float, delay_s: float) -> None:
        """Count a frame: its bytes, what was decided on it, how long that took and until it was sent."""
        self._metrics.bytes_received.inc(n_bytes)
        self._metrics.bytes_sent.inc(sum(len(f) for f in answer.frames))
        if answer.values is not None:
            self._task.block(answer.values.shape[1], self._sfreq)
            self._task.step_seconds.observe(step_s)
            self._task.block_delay_seconds.observe(delay_s)
        if answer.rows is not None and len(answer.rows):
            invalid, abstained = (
                int(np.count_nonzero(x)) for x in (answer.rows["valid"] == 0, answer.rows["abstained"])
            )
            self._task.decided(len(answer.rows), invalid, abstained)
        for alarm in answer.alarms:
            self._metrics.drift_alarms.labels(self._name, alarm.kind).inc()
        for update in answer.updates:
            if update in OUTCOMES:
                self._metrics.adaptation_updates.labels(self._name, OUTCOMES[update]).inc()
        if answer.feedback is not None:
            self._metrics.feedback.labels(self._name, "correct" if answer.feedback else "wrong").inc()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Time the saving of a state."""
        began = time.perf_counter()
        yield
        self._metrics.snapshot_seconds.observe(time.perf_counter() - began)
