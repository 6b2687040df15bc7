"""What a page sees: the connections there are, and one of them as it runs.

The WebSocket `/v1/watch/{connection}` tells first a JSON `start`; then, 20 times a second, a binary frame of traces (a
header as in `protocol`, type TRACES, `count` samples from sample `start`, `sequence` samples left out so far because
the page was too slow; (C, n) float32 as they came) and, 4 times a second, a JSON `state`: decisions since the last one,
lights of the watch, counts, and how long blocks took.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..models.packed import CARD
from ..realtime.live_model import LiveModel
from . import protocol
from .auth import Principal
from .connection import Answer
from .door import allowed, came_in
from .protocol import ProtocolError
from .registry import DELAY_EDGES_S, OWN, Open, owner_of
from .stream_route import refuse

if TYPE_CHECKING:
    from .app import Service

TRACES = 32
TRACES_S, STATE_EVERY = 0.05, 5
HOLDS_EVERY = 20  # a credential that has ended shows nothing after a second
KEPT_S = 2.0  # of signal that wait for a slow page; older ones are left out, and counted


def may_see(principal: Principal, there: Open) -> bool:
    """Whether somebody may look at a connection: at their own, the server's own, or all as an administrator."""
    return "admin" in principal.scopes or there.connection.owner in (owner_of(principal), OWN)


def routes(service: Service) -> APIRouter:
    """Return the routes that a page uses."""
    router = APIRouter(prefix="/v1", tags=["watching"])

    @router.get("/connections", summary="Connections that you may look at")
    async def connections(request: Request) -> list[dict[str, Any]]:
        principal = allowed(request, service, "watch")
        return [facts_of(t) for t in service.registry.open.values() if may_see(principal, t)]

    @router.get("/models", summary="The models that are served")
    async def models(request: Request) -> list[dict[str, Any]]:
        allowed(request, service, "watch")
        return [model_facts(service.models[t]) for t in service.models.tasks]

    @router.websocket("/watch/{name}")
    async def watch(socket: WebSocket, name: str) -> None:
        principal = await came_in(socket, service, "watch")
        if principal is not None:
            await _watch(socket, service, principal, name)

    return router


def facts_of(there: Open) -> dict[str, Any]:
    """Return what a list shows of a connection."""
    connection = there.connection
    return {
        "connection": connection.name,
        "task": connection.model.task,
        "since_s": round(time.time() - there.since_s, 1),
        "signal_s": connection.n_samples / connection.signal.sfreq,
        "decisions": connection.n_tokens,
        "source": connection.owner == OWN,
        "lights": {kind: light["light"] for kind, light in connection.watch.lights().items()},
    }


def model_facts(model: LiveModel) -> dict[str, Any]:
    """Return what a page says of a model."""
    card = model.package.folder / CARD
    return {
        "task": model.task,
        "classes": model.classes,
        "digest": model.digest[:12],
        "sfreq": model.facts.raw.sfreq,
        "ch_names": model.facts.raw.ch_names,
        "hop_s": model.hop_s,
        "lookahead_s": model.lookahead_s,
        **({"past_s": model.past_s} if model.past_s else {}),
        "card": card.read_text() if card.is_file() else "",
    }


class Watcher:
    """Collects what one page has not yet seen; `take` is called for each answer, on the event loop."""

    def __init__(self, there: Open) -> None:
        self.there, self.dropped = there, 0
        self._sfreq = there.connection.signal.sfreq
        self._values: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._waiting = 0
        self._rows: list[NDArray[Any]] = []

    def take(self, answer: Answer) -> None:
        """Note what came of one frame."""
        if answer.values is not None:
            n = answer.values.shape[1]
            self._values.append((self.there.connection.n_samples - n, answer.values))
            self._waiting += n
            while self._waiting > KEPT_S * self._sfreq and len(self._values) > 1:
                _, old = self._values.popleft()
                self._waiting, self.dropped = self._waiting - old.shape[1], self.dropped + old.shape[1]
        if answer.rows is not None and len(answer.rows):
            self._rows.append(answer.rows)

    def traces(self) -> list[bytes]:
        """Return frames of the samples since the last call, one for each stretch without a gap."""
        frames: list[bytes] = []
        while self._values:
            start, part = self._values.popleft()
            parts = [part]
            end = start + part.shape[1]
            while self._values and self._values[0][0] == end:
                parts.append(self._values.popleft()[1])
                end += parts[-1].shape[1]
            payload = np.concatenate(parts, 1).astype("<f4").tobytes()
            frames.append(protocol.pack(TRACES, sequence=self.dropped, start=start, count=end - start, payload=payload))
        self._waiting = 0
        return frames

    def state(self) -> dict[str, Any]:
        """Return decisions since the last call, lights, counts and delays."""
        rows, self._rows = self._rows, []
        connection = self.there.connection
        return {
            "type": "state",
            "signal_s": connection.n_samples / self._sfreq,
            "tokens": connection.n_tokens,
            "decisions": [_told(row, self._sfreq) for part in rows for row in part],
            "lights": connection.watch.lights(),
            "delays": {"edges_s": DELAY_EDGES_S, "counts": self.there.delays},
            "dropped": self.dropped,
        }


def _told(row: Any, sfreq: float) -> dict[str, Any]:
    return {
        "time_s": int(row["sample"]) / sfreq,
        "probability": row["probability"].tolist(),
        "valid": bool(row["valid"]),
        "abstained": bool(row["abstained"]),
        "set": int(row["set"]),
        **{name: float(row[name]) for name in ("entropy", "disagreement") if name in row.dtype.names},
    }


async def _watch(socket: WebSocket, service: Service, principal: Principal, name: str) -> None:
    there = service.registry.open.get(name)
    if there is None or not may_see(principal, there):
        await refuse(socket, ProtocolError("connection", "No connection of this name that you may look at"))
        return
    if service.watching >= service.settings.limits.watchers:
        await refuse(socket, ProtocolError("full", f"{service.watching} pages watch already", close=1013))
        return
    watcher = Watcher(there)
    service.watching += 1
    there.listeners.add(watcher.take)
    try:
        await _show(socket, service, watcher, principal)
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        pass
    finally:
        there.listeners.discard(watcher.take)
        service.watching -= 1


async def _show(socket: WebSocket, service: Service, watcher: Watcher, principal: Principal) -> None:
    """Send traces and states until the page or the connection goes."""
    there, gone = watcher.there, asyncio.create_task(_gone(socket))
    start = {"type": "start", "connection": there.connection.name, **model_facts(there.connection.model)}
    try:
        await _say(socket, start)
        for tick in range(1 << 62):
            over = there.left.is_set() or there.connection.name not in service.registry.open
            async with asyncio.timeout(service.settings.limits.send_s):
                for frame in watcher.traces():
                    await socket.send_bytes(frame)
                if tick % STATE_EVERY == 0 or over:
                    await _say(socket, watcher.state())
            if over:
                await socket.close(1000, "the stream has ended")
            if tick % HOLDS_EVERY == 0 and not service.access.holds(principal):
                await socket.close(1008, "access: the credential has ended")
                return
            if over or gone.done():
                return
            await asyncio.sleep(TRACES_S)
    finally:
        gone.cancel()


async def _gone(socket: WebSocket) -> None:
    """Return when the page has left; what it says is not listened to."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _say(socket: WebSocket, told: dict[str, Any]) -> None:
    await socket.send_text(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY).decode())
