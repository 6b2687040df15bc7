"""Metrics: what a server counts and times, for Prometheus.

Names follow the conventions of Prometheus: base units, `_total` for counters, `_info` for facts. A label says which
task, reason, outcome, kind or status; never which person, connection or key. Children of labels are looked up once
(`Metrics.of_task`), so that counting a block costs about a microsecond.

A histogram's `le` is an upper bound: the share of blocks within a bucket bound is exact, a quantile between two bounds
is interpolated by Prometheus.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import MissingExtraError

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.metrics_core import Metric
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector
except ModuleNotFoundError:
    raise MissingExtraError("prometheus-client", "serve") from None

PREFIX = "neural_foundation"
LATENCY_S = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RATIO = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.25, 2.0)
MOST_LABELS = 64  # sets of label values that one metric takes; what comes after them is counted as 'other'
OTHER = "other"
# series that exist from the start, at zero: `increase` does not see the first event of one that begins with it
_EXPECTED = (
    ("connections_refused", "access"),
    ("connections_refused", "full"),
    ("connections_refused", "draining"),
    ("resumes", "resumed"),
    ("reloads", "changed"),
    ("reloads", "same"),
    ("reloads", "failed"),
)
_EXPECTED_OF_TASK = (
    ("drift_alarms", "input"),
    ("drift_alarms", "output"),
    ("drift_alarms", "quality"),
    ("drift_alarms", "rate"),
    ("feedback", "correct"),
    ("feedback", "wrong"),
    ("adaptation_updates", "applied"),
    ("adaptation_updates", "rolled_back"),
)


class _Count(Counter):
    """A counter that a stranger's words cannot grow without end: past `MOST_LABELS` sets of labels, all is 'other'."""

    def labels(self, *values: Any, **named: Any) -> Any:
        given = tuple(str(named[n]) for n in self._labelnames) if named else tuple(map(str, values))
        if len(self._metrics) >= MOST_LABELS and given not in self._metrics:
            given = (OTHER,) * len(self._labelnames)
        return super().labels(*given)


@dataclass(frozen=True, slots=True)
class TaskMetrics:
    """The metrics of one task, with its label bound; `block` and `decided` are what the steady path calls."""

    connections: Any
    blocks: Any
    samples: Any
    signal_seconds: Any
    decisions: Any
    invalid_decisions: Any
    abstentions: Any
    step_seconds: Any
    block_delay_seconds: Any
    infer_seconds: Any

    def block(self, n_times: int, sfreq: float) -> None:
        """Count one block of samples that was received."""
        self.blocks.inc()
        self.samples.inc(n_times)
        self.signal_seconds.inc(n_times / sfreq)

    def decided(self, decisions: int, invalid: int = 0, abstained: int = 0) -> None:
        """Count decisions that were sent: how many, how many of them invalid, how many abstained."""
        self.decisions.inc(decisions)
        if invalid:
            self.invalid_decisions.inc(invalid)
        if abstained:
            self.abstentions.inc(abstained)


class Metrics:
    """All metrics of one server, in a registry of their own: no process-wide state."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._tasks: dict[str, TaskMetrics] = {}
        self._lock = threading.Lock()
        self._streams()
        self._connections()
        self._learning()
        self._requests()
        for name, value in _EXPECTED:
            getattr(self, name).labels(value)

    def of_task(self, task: str) -> TaskMetrics:
        """Return the metrics of a task that is served; its series exist, at zero, from now on."""
        with self._lock:
            if task not in self._tasks:
                fields = {n: getattr(self, n).labels(task=task) for n in TaskMetrics.__dataclass_fields__}
                self._tasks[task] = TaskMetrics(**fields)
                for name, value in _EXPECTED_OF_TASK:
                    getattr(self, name).labels(task, value)
            return self._tasks[task]

    def exposition(self) -> tuple[bytes, str]:
        """Return the text that Prometheus scrapes and its content type."""
        return generate_latest(_WithoutCreated(self.registry)), CONTENT_TYPE_LATEST

    def _streams(self) -> None:
        self.connections = self._gauge("connections", "Connections that are open.", "task")
        self.blocks = self._count("blocks", "Blocks of samples received.", "task")
        self.samples = self._count("samples", "Samples received; one is a value of every channel.", "task")
        self.signal_seconds = self._count("signal_seconds", "Seconds of signal received.", "task")
        self.decisions = self._count("decisions", "Decisions made, one a token.", "task")
        self.invalid_decisions = self._count("invalid_decisions", "Decisions on too little valid signal.", "task")
        self.abstentions = self._count("abstentions", "Decisions that named no class for lack of confidence.", "task")
        self.step_seconds = self._histogram("step_seconds", "Time of the decoder on one block.", "task")
        self.block_delay_seconds = self._histogram(
            "block_delay_seconds", "Time from a block's arrival until its answer was sent.", "task"
        )
        self.rate_ratio = self._histogram(
            "rate_ratio", "Sampling rate that was measured, as a part of the declared one.", buckets=RATIO
        )

    def _connections(self) -> None:
        self.connections_refused = self._count("connections_refused", "Connections refused at the door.", "reason")
        self.connections_closed = self._count("connections_closed", "Connections that ended.", "reason")
        self.frames_refused = self._count("frames_refused", "Frames that the protocol does not allow.", "reason")
        self.bytes_received = self._count("received_bytes", "Bytes of frames received.")
        self.bytes_sent = self._count("sent_bytes", "Bytes of frames sent.")
        self.resumes = self._count("resumes", "Connections that asked to go on with an earlier one.", "outcome")
        self.snapshot_seconds = self._histogram("snapshot_seconds", "Time to keep the state of one connection.")

    def _learning(self) -> None:
        self.drift_alarms = self._count("drift_alarms", "Alarms that input or output drifted.", "task", "kind")
        self.feedback = self._count("feedback", "Decisions whose right class was told.", "task", "outcome")
        self.adaptation_updates = self._count("adaptation_updates", "Updates of adapting decoders.", "task", "outcome")
        self.reloads = self._count("reloads", "Packages loaded again.", "outcome")

    def _requests(self) -> None:
        self.infer_requests = self._count("infer_requests", "Requests for inference.", "task", "status")
        self.infer_seconds = self._histogram("infer_seconds", "Time of one request for inference.", "task")
        self.event_loop_delay_seconds = self._histogram(
            "event_loop_delay_seconds", "How much later than asked the event loop ran: what a block waits for others."
        )
        self.build_info = Info("build", "Versions of what runs.", namespace=PREFIX, registry=self.registry)
        self.build_info.info(_versions())

    def _count(self, name: str, text: str, *labels: str) -> Counter:
        return _Count(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = LATENCY_S) -> Histogram:
        return Histogram(name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets)


class _WithoutCreated(Collector):
    """What a registry collects without the time at which each series began, which doubles the series for no gain."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    from .. import __version__

    found = {"version": __version__, "python": platform.python_version()}
    for library in ("torch", "onnxruntime", "fastapi", "uvicorn"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
