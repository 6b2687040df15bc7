"""Traces: OpenTelemetry spans of what takes long enough to ask about: a connection, an inference, a reload, a snapshot.

Off unless the environment names where spans go (`OTEL_EXPORTER_OTLP_ENDPOINT`, or the SDK's own
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_TRACES_EXPORTER`); while off, nothing of OpenTelemetry is imported. Blocks
are too many for a span each: `Sampled` takes one in N. An attribute, as a label of a metric, names no person, no key.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "neural_foundation"


class NoSpan:
    """A span that keeps nothing: what `NoTracer` gives."""

    def is_recording(self) -> bool:
        return False

    def set_attribute(self, key: str, value: Any) -> None:
        """Forget it."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Forget them."""

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Forget it."""

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        """Forget it."""

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Forget it."""

    def end(self, end_time: int | None = None) -> None:
        """Nothing to end."""

    def __enter__(self) -> NoSpan:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class NoTracer:
    """Stands in for an OpenTelemetry tracer where traces are off."""

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> NoSpan:
        return _NO_SPAN

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> NoSpan:
        return _NO_SPAN


_NO_SPAN, _NO_TRACER = NoSpan(), NoTracer()


def tracer(exporter: Any = None) -> Any:
    """Return an OpenTelemetry tracer, or a `NoTracer` where traces are off or the SDK is not installed.

    exporter : where spans go at once, for tests; by default in batches to where the environment says.
    """
    provider = _provider(exporter) if exporter is not None else _configured()
    return provider.get_tracer(_NAME) if provider is not None else _NO_TRACER


def wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for traces."""
    given = os.environ if environment is None else environment
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    chosen = given.get("OTEL_TRACES_EXPORTER", "").lower()
    return chosen != "none" and (chosen != "" or any(given.get(n) for n in _ENDPOINTS))


class Sampled:
    """Spans for one in `one_in` of many short things; none where it is 0."""

    def __init__(self, tracer: Any, one_in: int) -> None:
        self._tracer, self._one_in, self._count = tracer, one_in, 0

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> Any:
        """Return a context manager: a span for the first of every `one_in` calls, otherwise nothing."""
        if not self._one_in:
            return _NO_SPAN
        now, self._count = self._count, (self._count + 1) % self._one_in
        return _NO_SPAN if now else self._tracer.start_as_current_span(name, attributes=attributes)


def shutdown(timeout_s: float = 1.0) -> None:
    """Send what is left, for `timeout_s` at most: a collector that does not answer holds up no shutdown."""
    provider = _configured() if _configured.cache_info().currsize else None
    if provider is not None:
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(timeout_s)
    _configured.cache_clear()


@functools.cache
def _configured() -> Any:
    """Return the provider that the environment describes, made once, or None."""
    if not wanted():
        return None
    try:
        return _provider(_exporter(), batch=True)
    except ModuleNotFoundError as error:
        log.warning(
            "traces are asked for but not installed: pip install 'neural-foundation[traces]'",
            extra={"missing": error.name},
        )
        return None


def _exporter() -> Any:
    if os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _provider(exporter: Any, batch: bool = False) -> Any:
    """Return a provider of our own: OpenTelemetry's process-wide one is left to whoever embeds the server."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    from .. import __version__

    facts = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "neural-foundation", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter) if batch else SimpleSpanProcessor(exporter))
    return provider


@contextlib.contextmanager
def attached(span: Any) -> Iterator[Any]:
    """Make a span that was begun with `start_span` the current one for a while; it is not ended."""
    if isinstance(span, NoSpan):
        yield span
        return
    from opentelemetry import trace

    with trace.use_span(span, end_on_exit=False):
        yield span
