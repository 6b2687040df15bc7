"""The application: routes, and the service behind them that they share."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .. import __version__
from ..core.errors import NeuralFoundationError, PackageError
from . import page_route, tracing, v2, watch_route
from .api_page import add_api_page
from .auth import Access, AccessError
from .door import allowed
from .feed import Feed
from .metrics import Metrics
from .models import ServedModels
from .protocol import ProtocolError
from .registry import Registry
from .settings import ServeSettings
from .stream_route import stream

log = logging.getLogger(__name__)
STREAM = "/v1/stream"
DESCRIPTION = """Decisions from brain signals, live.

Streams go over the WebSocket `/v1/stream` (docs: protocol); whole pieces of signal over the Open Inference Protocol
under `/v2`. Research use; not a medical device.
"""


class Service:
    """What all routes of one server share."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.access = Access.of(settings.keys, settings.jwt)
        self.metrics, self.tracer = Metrics(), tracing.tracer()
        self.models = ServedModels(settings.packages, settings.device)
        for task in self.models.tasks:
            self.metrics.of_task(task)  # its series exist before the first event that they count
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="serving")
        self.registry = Registry(settings, self.models, self.pool)
        self.inference, self.watching = v2.Inference(self), 0
        own = settings.source not in ("", "ws")  # 'ws': streams come over the WebSocket, as they always can
        self.feed = Feed(self, settings.source, settings.outlets) if own else None

    @property
    def ready(self) -> bool:
        return not self.registry.draining

    def span(self, name: str, **facts: Any) -> AbstractContextManager[Any]:
        """Return a trace span; nothing where no traces are wanted."""
        span: AbstractContextManager[Any] = self.tracer.start_as_current_span(name, attributes=facts)
        return span

    async def keep_house(self) -> None:
        """Once a second: end what is idle, does not read, or whose credential ended; forget old states now and then."""
        for tick in range(1 << 62):
            due = time.perf_counter() + 1.0
            await asyncio.sleep(1.0)
            self.metrics.event_loop_delay_seconds.observe(time.perf_counter() - due)
            try:
                self._end_some()
                if tick % 30 == 0:
                    self._observe_rates()
                    await self._forget()
            except Exception:  # a fault in one round must not end the rounds
                log.exception("keeping house failed", extra={"event": "house"})

    async def _forget(self) -> None:
        sweep = self.registry.snapshots.sweep
        if self.registry.snapshots.durable:
            await asyncio.get_running_loop().run_in_executor(self.pool, sweep)
        else:
            sweep()

    def _observe_rates(self) -> None:
        for there in self.registry.open.values():
            declared = there.connection.signal.sfreq
            measured = there.connection.watch.lights()["rate"]["sfreq"]
            if measured is not None:
                self.metrics.rate_ratio.observe(measured / declared)

    def _end_some(self) -> None:
        idle_before = time.monotonic() - self.settings.limits.idle_s
        for there in list(self.registry.open.values()):
            if there.close is None or there.abort is None or there.ending is not None:
                continue
            if there.sending_s is not None and time.monotonic() - there.sending_s > self.settings.limits.send_s:
                there.slow = True
                there.abort()
            elif not self.access.holds(there.principal):
                there.ending = asyncio.create_task(there.close(1008, "access: the credential has ended"))
            elif there.heard_s < idle_before:
                there.ending = asyncio.create_task(there.close(1001, "idle: connect again and resume"))


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    gc.collect()
    gc.freeze()  # what the start left is not looked through again: a full collection of it takes 40 ms
    house = asyncio.create_task(service.keep_house())
    if service.feed is not None:
        service.feed.start(asyncio.get_running_loop())
    try:
        yield
    finally:
        house.cancel()
        gc.unfreeze()
        if service.feed is not None:
            await asyncio.to_thread(service.feed.stop)
        service.pool.shutdown(wait=True)
        tracing.shutdown()


def create_app(settings: ServeSettings) -> Streams:
    """Return the application; PackageError, StoreError or SpecError where the settings name what is not there."""
    told: dict[str, Any] = {"title": "neural-foundation", "version": __version__, "description": DESCRIPTION}
    app = FastAPI(lifespan=_life, docs_url=None, redoc_url=None, **told)
    service = app.state.service = Service(settings)
    app.add_exception_handler(AccessError, _no_access(service))
    app.add_exception_handler(ProtocolError, _not_so)
    app.add_exception_handler(PackageError, _not_taken)
    app.include_router(v2.routes(service))
    app.include_router(watch_route.routes(service))
    app.include_router(page_route.routes())
    _add_operations(app, service)
    add_api_page(app)
    return Streams(app)


class Streams:
    """The application with the route of streams before it: what FastAPI puts around a route costs 20 us a frame."""

    def __init__(self, app: FastAPI) -> None:
        self.app, self.state = app, app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == STREAM:
            await stream(WebSocket(scope, receive, send), self.state.service)
        else:
            await self.app(scope, receive, send)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/metrics", tags=["operations"], summary="Prometheus metrics")
    def metrics(request: Request) -> Response:
        allowed(request, service, "watch")
        body, kind = service.metrics.exposition()
        return Response(body, media_type=kind)

    @app.post("/v1/models/{task}/reload", tags=["operations"], summary="Open a task's package again")
    def reload(task: str, request: Request) -> dict[str, Any]:
        allowed(request, service, "admin")
        return _reload(service, task)


def _reload(service: Service, task: str) -> dict[str, Any]:
    try:
        with service.span("reload", task=task):
            changed = service.models.reload(task)
    except NeuralFoundationError:
        service.metrics.reloads.labels("failed").inc()
        raise
    service.metrics.reloads.labels("changed" if changed else "same").inc()
    return {"task": task, "changed": changed, "digest": service.models[task].digest}


def _no_access(service: Service) -> Any:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, AccessError)
        service.metrics.connections_refused.labels("access").inc()
        headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
        return JSONResponse({"error": str(error)}, error.status, headers)

    return answer


async def _not_taken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


async def _not_so(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProtocolError)
    status = {"task": 404, "full": 429, "size": 413, "draining": 503}.get(error.code, 400)
    headers = {"retry-after": "1"} if status in (429, 503) else {}
    return JSONResponse({"error": str(error)}, status, headers)
