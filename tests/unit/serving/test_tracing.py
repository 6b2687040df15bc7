"""Traces: off without a word in the environment, and then free; on, spans of our own provider."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neural_foundation.serving import tracing
from neural_foundation.serving.logs import JsonLines
from neural_foundation.serving.tracing import NoTracer, Sampled, attached, shutdown, tracer, wanted


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import os

    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    tracing._configured.cache_clear()
    yield
    shutdown(0.5)


def spans(exporter: InMemorySpanExporter) -> list[Any]:
    return list(exporter.get_finished_spans())


def test_off_it_takes_every_call_of_a_tracer_and_keeps_nothing() -> None:
    off = tracer()
    assert isinstance(off, NoTracer)
    with off.start_as_current_span("reload", attributes={"task": "t"}) as span:
        span.set_attribute("a", 1)
        span.set_attributes({"a": 1})
        span.add_event("x")
        span.set_status("x")
        span.record_exception(ValueError("x"))
        assert not span.is_recording()
    with attached(off.start_span("connection")) as span:
        span.end()


def test_off_an_error_is_not_held_back() -> None:
    with pytest.raises(ZeroDivisionError), tracer().start_as_current_span("x"):
        _ = 1 / 0


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from neural_foundation.serving.tracing import tracer, Sampled\n"
        "with tracer().start_as_current_span('x'): pass\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""})
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_what_in_the_environment_turns_traces_on(environment: dict[str, str], on: bool) -> None:
    assert wanted(environment) is on


def test_spans_have_names_attributes_parents_and_errors() -> None:
    kept = InMemorySpanExporter()
    on = tracer(kept)
    connection = on.start_span("connection", attributes={"task": "sleep"})
    with attached(connection), on.start_as_current_span("snapshot") as span:
        span.set_attribute("bytes", 10)
    with pytest.raises(ValueError, match="broken"), on.start_as_current_span("reload"):
        raise ValueError("broken package")
    assert [s.name for s in spans(kept)] == ["snapshot", "reload"], "a connection is told of when it ends"
    connection.end()
    snapshot, reload, last = spans(kept)
    assert last.attributes == {"task": "sleep"}
    assert snapshot.parent.span_id == last.context.span_id
    assert snapshot.attributes == {"bytes": 10}
    assert not reload.status.is_ok
    assert reload.events[0].name == "exception"
    assert last.resource.attributes["service.name"] == "neural-foundation"


def test_the_process_wide_provider_is_left_alone() -> None:
    from opentelemetry import trace

    before = trace.get_tracer_provider()
    tracer(InMemorySpanExporter())
    assert trace.get_tracer_provider() is before


@pytest.mark.parametrize(("one_in", "spans_of_100"), [(0, 0), (1, 100), (7, 15), (50, 2)])
def test_one_block_in_n_has_a_span(one_in: int, spans_of_100: int) -> None:
    kept = InMemorySpanExporter()
    sampled = Sampled(tracer(kept), one_in)
    for n in range(100):
        with sampled.span("block", {"n_times": n}):
            pass
    assert len(spans(kept)) == spans_of_100
    assert [s.attributes["n_times"] for s in spans(kept)] == list(range(0, 100, one_in or 1))[:spans_of_100]


def test_a_line_of_log_leads_to_its_trace() -> None:
    stream, on = io.StringIO(), tracer(InMemorySpanExporter())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("test_tracing")
    log.addHandler(handler)
    try:
        with on.start_as_current_span("reload") as span:
            log.warning("package reloaded")
        log.warning("after it")
    finally:
        log.removeHandler(handler)
    inside, outside = (json.loads(line)["fields"] for line in stream.getvalue().splitlines())
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside


def test_a_collector_that_does_not_answer_holds_up_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # seconds; what is left behind ends with it
        with tracer().start_as_current_span("reload"):
            pass
        start = time.perf_counter()
        shutdown(0.3)
        assert time.perf_counter() - start < 1.5
    assert isinstance_of_the_sdk(tracer())


def isinstance_of_the_sdk(found: Any) -> bool:
    return type(found).__module__.startswith("opentelemetry.sdk")


def test_spans_arrive_at_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server
    import threading

    came: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with tracer().start_as_current_span("reload"):
            pass
        shutdown(5)
        server.shutdown()
    assert [path for path, _ in came] == ["/v1/traces"]
    assert b"reload" in came[0][1]


def test_asked_for_but_not_installed_it_says_so_once_and_serves_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert isinstance(tracer(), NoTracer)
    assert isinstance(tracer(), NoTracer)
    assert ["neural-foundation[traces]" in r.message for r in caplog.records] == [True]
