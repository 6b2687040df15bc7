"""What this server does otherwise than uvicorn: a time for the head of a request, cutting off, draining."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class Requests(H11Protocol):  # type: ignore[misc]
    """Cuts off who does not finish the head of a request in time: before it, nobody can be asked for a key.

    It is h11 wherever it runs, since httptools takes a head of any size.
    """

    _late: asyncio.TimerHandle | None = None

    @property
    def _head_s(self) -> float:
        return float(self.config.app.state.service.settings.limits.hello_s)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late = self.loop.call_later(self._head_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._in_time()
        elif self._late is None and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._late = self.loop.call_later(self._head_s, self.transport.abort)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._in_time()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Sockets(WebSocketsSansIOProtocol):  # type: ignore[misc]
    """Lets a route cut off at once a client that takes nothing, and cuts off who never asked for a socket."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"]["neural_foundation.abort"] = self.transport.abort

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_complete:
            self.transport.abort()  # what was sent is no request: there is no socket yet to close politely


class Server(uvicorn.Server):  # type: ignore[misc]
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()  # who comes again finds the next server, not this one
        await self.config.app.state.service.registry.drain()
        await super().shutdown(sockets)
