"""All connections of a server: who may open one, who may go on with one, what is kept of one that broke."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from ..core.errors import NeuralFoundationError
from .auth import Principal
from .connection import Answer, Connection, opened
from .hello import Hello
from .models import ServedModels
from .protocol import ProtocolError
from .settings import ServeSettings
from .snapshots import Snapshots

log = logging.getLogger(__name__)
FULL, RESTART = 1013, 1012
OWN = "the server's own source"  # whose connections are nobody's in particular
DELAY_EDGES_S = np.geomspace(1e-5, 1.0, 51)  # of the histogram that a page shows


def owner_of(principal: Principal) -> str:
    """Return whose a principal's connections are; a key and a token of the same name are two."""
    return f"{principal.kind}:{principal.name}"


@dataclass(eq=False)
class Open:
    """A connection and the socket it has now. `delays` counts blocks by the time from arrival to answer."""

    connection: Connection
    principal: Principal
    since_s: float = field(default_factory=time.time)
    heard_s: float = field(default_factory=time.monotonic)
    close: Callable[[int, str], Awaitable[None]] | None = None
    abort: Callable[[], None] | None = None
    sending_s: float | None = None  # since when a frame is being sent
    slow: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    delays: Any = field(default_factory=lambda: np.zeros(len(DELAY_EDGES_S) + 1, np.int64))
    listeners: set[Callable[[Answer], None]] = field(default_factory=set)
    saved: int = 0  # sequence of the last saved state
    saved_at: int = 0  # its sample


class Registry:
    """The open connections by name, and the states of broken ones."""

    def __init__(self, settings: ServeSettings, models: ServedModels, pool: Executor) -> None:
        self.limits, self.models, self._pool = settings.limits, models, pool
        self._adapt, self._journal = settings.adapt, settings.journal
        self.snapshots = Snapshots(settings.state, settings.limits.resume_s)
        self.open: dict[str, Open] = {}
        self.draining = False
        self._opening = 0

    async def enter(self, hello: Hello, principal: Principal) -> Open:
        """Return a new connection, or the one that `hello.resume` names; ProtocolError where that may not be."""
        if self.draining:
            raise ProtocolError("draining", "The server is about to stop", remedy="Connect again", close=RESTART)
        if hello.adapt and not self._adapt:
            raise ProtocolError(
                "adapt", "This server lets no decoder adapt", remedy="Connect without 'adapt', or start it with --adapt"
            )
        if not hello.resume:
            return await self._new(hello, principal)
        return await self._again(hello, principal)

    async def _new(self, hello: Hello, principal: Principal) -> Open:
        if len(self.open) + self._opening >= self.limits.connections:
            raise self._full()
        model = self.models[hello.task]
        self._opening += 1
        try:
            made = await self._off_loop(Connection, model, hello, owner_of(principal), self.limits, self._journal)
        finally:
            self._opening -= 1
        return self._keep(Open(made, principal))

    def _full(self) -> ProtocolError:
        return ProtocolError(
            "full", f"{self.limits.connections} connections are open", remedy="Try again later", close=FULL
        )

    async def _again(self, hello: Hello, principal: Principal) -> Open:
        name, _, secret = hello.resume.partition(".")
        there = self.open.get(name)
        if there is not None:
            _prove(there.connection, secret, principal)
            await self._take_over(there)
        elif len(self.open) + self._opening >= self.limits.connections:
            raise self._full()
        data = self.snapshots.read(name)
        if data is None:
            raise _unknown()
        self._opening += 1
        try:
            made = await self._off_loop(self._restore, data, secret, principal)
        finally:
            self._opening -= 1
        made.secret = secret
        there = self._keep(Open(made, principal))
        there.saved, there.saved_at = made.sequence, made.n_samples
        return there

    async def _take_over(self, there: Open) -> None:
        """Close a connection whose client came again before its first socket was known to be dead."""
        if there.close is not None:
            await there.close(1008, "taken over: its client connected again")
        try:
            await asyncio.wait_for(there.left.wait(), self.limits.send_s)
        except TimeoutError:
            raise ProtocolError("busy", "The connection is still open", remedy="Try again", close=FULL) from None

    def _restore(self, data: bytes, secret: str, principal: Principal) -> Connection:
        saved, head = opened(data)
        model = self.models.of_digest(head["digest"])
        known = hmac.compare_digest(sha256(secret.encode()).hexdigest(), head["secret"])
        if not known or head["owner"] != owner_of(principal):
            raise _unknown()
        if model is None:
            raise ProtocolError(
                "model",
                "The package this connection was decoded with is no longer served",
                remedy="Start a new connection",
            )
        return Connection.restored(saved, head, model, self.limits, self._journal)

    def _keep(self, there: Open) -> Open:
        self.open[there.connection.name] = there
        return there

    async def _off_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run what takes milliseconds elsewhere, so that no other connection waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    def due(self, there: Open) -> bool:
        """Whether it is time to save a connection's state again."""
        connection = there.connection
        return connection.n_samples - there.saved_at >= self.limits.snapshot_s * connection.signal.sfreq

    async def save(self, there: Open) -> int:
        """Save a connection's state; return the sequence up to which nothing need be sent again."""
        connection = there.connection
        sequence, there.saved_at = connection.sequence, connection.n_samples
        data = connection.snapshot()
        if self.snapshots.durable:
            await self._off_loop(self.snapshots.write, connection.name, data)
        else:
            self.snapshots.write(connection.name, data)
        there.saved = sequence
        return sequence

    async def leave(self, there: Open, *, ended: bool) -> None:
        """Note that a connection's socket is gone; keep its state unless it came to its end."""
        name = there.connection.name
        try:
            if ended:
                self.snapshots.drop(name)
            elif self._worth_keeping(there):
                await self.save(there)
        except NeuralFoundationError as error:
            log.error("state lost: %s", error, extra={"event": "state_lost"})
        finally:
            there.connection.close()
            if self.open.get(name) is there:
                del self.open[name]
            there.left.set()

    def _worth_keeping(self, there: Open) -> bool:
        """Whether the state now says more than the saved one; after an END that nobody heard it says too much."""
        connection = there.connection
        news = connection.sequence > there.saved or not there.saved
        return news and not connection.finished and not connection.failed

    async def drain(self) -> None:
        """Take nobody any more, save all states, tell the clients to come again."""
        self.draining = True
        waiting = [there for there in self.open.values() if there.close is not None]
        closing = (there.close(RESTART, "draining: connect again and resume") for there in waiting if there.close)
        await asyncio.gather(*closing, return_exceptions=True)
        left = [asyncio.ensure_future(there.left.wait()) for there in list(self.open.values())]
        if left:
            await asyncio.wait(left, timeout=self.limits.drain_s)


def _prove(connection: Connection, secret: str, principal: Principal) -> None:
    right = hmac.compare_digest(sha256(secret.encode()).hexdigest(), connection.secret_hash)
    if not right or connection.owner != owner_of(principal):
        raise _unknown()


def _unknown() -> ProtocolError:
    return ProtocolError(
        "resume",
        "No connection of yours has this resume token, or its state is too old",
        remedy="Start a new connection",
    )
