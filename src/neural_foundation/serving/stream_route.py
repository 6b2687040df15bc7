"""The WebSocket `/v1/stream`: hello, then samples in and decisions out until one side ends it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..core.errors import NeuralFoundationError, StoreError
from . import protocol
from .connection import Answer
from .counting import Counting
from .door import came_in
from .hello import Hello, parse_hello
from .protocol import ProtocolError
from .registry import DELAY_EDGES_S, Open

if TYPE_CHECKING:
    from .app import Service

log = logging.getLogger(__name__)
INLINE_S = 2e-3  # a frame that takes longer runs off the event loop
TURN_S = 1e-3  # a client that sends as fast as it can gives way to the others after so long


async def stream(socket: WebSocket, service: Service) -> None:
    """Serve one socket from the first frame to the last."""
    principal = await came_in(socket, service, "stream")
    if principal is None:
        return
    try:
        hello = await _hello(socket, service)
        there = await service.registry.enter(hello, principal)
    except ProtocolError as error:
        service.metrics.connections_refused.labels(error.code).inc()
        await refuse(socket, error)
        return
    except WebSocketDisconnect:
        return
    except NeuralFoundationError as error:
        service.metrics.connections_refused.labels("mismatch").inc()
        await refuse(socket, ProtocolError("signal", str(error)))
        return
    await Serving(socket, service, there, hello).run()


async def _hello(socket: WebSocket, service: Service) -> Hello:
    try:
        async with asyncio.timeout(service.settings.limits.hello_s):
            message = await socket.receive()
    except TimeoutError:
        raise ProtocolError("hello", "No hello came in time") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    if message.get("text") is None:
        raise ProtocolError("hello", "The first frame is binary", allowed="hello, a JSON text frame", close=1003)
    return parse_hello(message["text"])


async def refuse(socket: WebSocket, error: ProtocolError) -> None:
    """Say what is wrong, then close; a client that is gone already is no error."""
    told = {"type": "error", "code": error.code, "message": str(error)[:2000]}
    try:
        async with asyncio.timeout(1.0):
            await socket.send_text(orjson.dumps(told).decode())
            await socket.close(error.close, f"{error.code}: {error.given}".encode()[:120].decode(errors="ignore"))
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        pass


class Serving:
    """One socket and its connection."""

    def __init__(self, socket: WebSocket, service: Service, there: Open, hello: Hello) -> None:
        self.socket, self.service, self.there, self.hello = socket, service, there, hello
        self.connection = there.connection
        model, sfreq = self.connection.model, self.connection.signal.sfreq
        self._sample_s = model.step_s / (model.hop_s * sfreq)  # that a sample of signal takes to decode
        self._bridge = round(max(service.settings.limits.gap_s, service.settings.limits.block_s) * sfreq)
        self.counts = Counting(service.metrics, self.connection)
        self.limits = service.settings.limits
        there.close, there.abort = self.close, self._abort
        self.send, self.receive = socket._send, socket._receive  # bare: what starlette adds costs 10 us a frame

    async def run(self) -> None:
        """Serve until the stream ends, the client goes, or it does what it may not."""
        ended, why = False, "gone"
        self.counts.opened(resumed=bool(self.hello.resume))
        try:
            with self.service.span("connection", task=self.connection.model.task):
                await self._send(self.connection.welcome())
                await self._tell_again()
                ended = await self._loop()
                why = "ended" if ended else why
        except ProtocolError as error:
            why = error.code
            self.service.metrics.frames_refused.labels(error.code).inc()
            await refuse(self.socket, error)
        except WebSocketDisconnect as error:
            why = "slow" if self.there.slow else "gone"
            log.debug("socket gone: %s", error)
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this connection, none other
            why = "failed"
            log.exception("connection failed", extra={"event": "connection_failed"})
            await refuse(self.socket, ProtocolError("failed", f"The server failed: {type(error).__name__}", close=1011))
        finally:
            await self.service.registry.leave(self.there, ended=ended)
            self.counts.closed(why)

    async def _tell_again(self) -> None:
        if self.hello.n_tokens is not None:
            frame = self.connection.told_again(self.hello.n_tokens)
            if frame is not None:
                await self._send(frame)

    async def _loop(self) -> bool:
        """Take frames until the END was answered (True) or the client is gone (False)."""
        receive, turn = self.receive, time.perf_counter()
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return False
            data = message.get("bytes")
            if data is None:
                raise ProtocolError("frame", "A text frame after hello", allowed="binary frames", close=1003)
            began = time.perf_counter()
            answer = await self._take(data, began)
            stepped = time.perf_counter()
            for frame in answer.frames:
                await self._send(frame)
            self._count(len(data), answer, stepped - began, time.perf_counter() - began)
            if answer.ended:
                return await self._goodbye()
            if self.service.registry.due(self.there):
                await self._save()
            if time.perf_counter() - turn > TURN_S:
                await asyncio.sleep(0)
                turn = time.perf_counter()

    async def _goodbye(self) -> bool:
        """Return whether the client has its last answer: it closes when it has; else it may come again and ask anew."""
        try:
            async with asyncio.timeout(self.limits.send_s):
                while (message := await self.receive())["type"] != "websocket.disconnect":
                    pass
        except TimeoutError:
            await self.close(1001, "no goodbye: resume to hear the last answer again")
            return False
        return bool(message.get("code") == 1000)

    async def _take(self, data: bytes, now_s: float) -> Answer:
        frame = protocol.unpack(data)
        if frame.type == protocol.END and not self.connection.finished:
            await self._keep()
        if self._quick(frame):
            return self.connection.take(frame, now_s)
        async with self.there.lock:  # nobody saves a state that is half a step ahead
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.service.pool, self.connection.take, frame, now_s)

    def _quick(self, frame: protocol.Frame) -> bool:
        """Whether a frame, and the gap before it, is decoded so soon that others can wait for it."""
        if frame.type not in (protocol.SAMPLES, protocol.END):
            return True
        gap = min(max(frame.start - self.connection.n_samples, 0), self._bridge)
        return (min(frame.count, self._bridge) + gap) * self._sample_s < INLINE_S

    async def _send(self, frame: bytes | str) -> None:
        """Send a frame. Who takes none for long is cut off by the service: a timeout for each frame costs 20 us."""
        self.there.sending_s = time.monotonic()
        try:
            await self._hand_over(frame)
        finally:
            self.there.sending_s = None

    async def _hand_over(self, frame: bytes | str) -> None:
        try:
            await self.send({"type": "websocket.send", "bytes" if isinstance(frame, bytes) else "text": frame})
        except (OSError, RuntimeError) as error:  # gone, or closed meanwhile: by `close`, or for an unanswered ping
            raise WebSocketDisconnect(1006, str(error)) from None

    async def _save(self) -> None:
        with self.counts.snapshot():
            kept = await self._keep()
        if kept is not None:
            await self._send(protocol.pack(protocol.ACK, sequence=kept))

    async def _keep(self) -> int | None:
        """Save the state; None, and the stream goes on, where that fails: the client keeps what is not saved."""
        try:
            return await self.service.registry.save(self.there)
        except StoreError as error:
            log.error("state not saved: %s", error, extra={"event": "state_not_saved"})
            return None

    def _count(self, n_bytes: int, answer: Answer, step_s: float, delay_s: float) -> None:
        there = self.there
        there.heard_s = time.monotonic()
        there.delays[np.searchsorted(DELAY_EDGES_S, delay_s)] += answer.values is not None
        self.counts.block(n_bytes, answer, step_s, delay_s)
        for listener in there.listeners:
            listener(answer)

    async def close(self, code: int, reason: str) -> None:
        """Save the state, say so, and close, within `send_s`; for whoever ends it from outside."""
        try:
            async with asyncio.timeout(self.limits.send_s):
                kept = await self._keep()
                if kept is not None:
                    await self._hand_over(protocol.pack(protocol.ACK, sequence=kept))
                await self.socket.close(code, reason)
        except TimeoutError:
            self.there.slow = True
            self._abort()
        except (RuntimeError, WebSocketDisconnect) as error:
            log.debug("closing a socket that is gone: %s", error)

    def _abort(self) -> None:
        abort: Callable[[], Any] | None = self.socket.scope["extensions"].get("neural_foundation.abort")
        if abort is not None:
            abort()
