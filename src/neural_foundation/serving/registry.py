"""All connections of a server: who may open one, who may go on with one, what is kept of one that broke."""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from ..core.errors import NeuralFoundationError
from ..realtime.live_model import LiveModel
from .auth import Principal
from .connection import Answer, Connection, opened
from .hello import Hello
from .models import ServedModels
from .protocol import ProtocolError
from .settings import ServeSettings
from .snapshots import Snapshots

log = logging.getLogger(__name__)
FULL, RESTART = 1013, 1012
STATES = 4  # states that are kept, for each connection that may be open
SELDOM_S = 0.2  # between saves, however fast the signal comes
LAST_S = 0.5  # for connections that were cut off to be done with
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
    close: Callable[[int, str], Coroutine[Any, Any, None]] | None = None
    abort: Callable[[], None] | None = None
    sending_s: float | None = None  # since when a frame is being sent
    slow: bool = False
    ending: asyncio.Task[None] | None = None  # the service is closing it
    left: asyncio.Event = field(default_factory=asyncio.Event)
    delays: Any = field(default_factory=lambda: np.zeros(len(DELAY_EDGES_S) + 1, np.int64))
    listeners: set[Callable[[Answer], None]] = field(default_factory=set)
    saved: int = 0  # sequence of the last saved state
    saved_at: int = 0  # its sample
    saved_s: float = 0.0  # when it was saved
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # around saving, and around a step off the loop


class Registry:
    """The open connections by name, and the states of broken ones."""

    def __init__(self, settings: ServeSettings, models: ServedModels, pool: Executor) -> None:
        self.limits, self.models, self._pool = settings.limits, models, pool
        self._adapt, self._journal = settings.adapt, settings.journal
        limits = settings.limits
        self.snapshots = Snapshots(settings.state, limits.resume_s, most=STATES * limits.connections)
        self.open: dict[str, Open] = {}
        self.draining = False
        self._opening = 0
        self._resuming: set[str] = set()

    async def enter(self, hello: Hello, principal: Principal) -> Open:
        """Return a new connection, or the one that `hello.resume` names; ProtocolError where that may not be."""
        self._still_serving()
        if hello.adapt and not self._adapt:
            raise ProtocolError(
                "adapt", "This server lets no decoder adapt", remedy="Connect without 'adapt', or start it with --adapt"
            )
        there = await (self._again(hello, principal) if hello.resume else self._new(hello, principal))
        self._still_serving()
        self.open[there.connection.name] = there
        return there

    def _still_serving(self) -> None:
        if self.draining:
            raise ProtocolError("draining", "The server is about to stop", remedy="Connect again", close=RESTART)

    async def _new(self, hello: Hello, principal: Principal) -> Open:
        self._has_room()
        model = self.models[hello.task]
        owner = owner_of(principal)
        made = await self._made(Connection, model, hello, owner, self.limits, self._journal)
        # streams that began together are not saved together
        ahead = round(random.random() * self.limits.snapshot_s * made.signal.sfreq)
        return Open(made, principal, saved_at=-ahead)

    def _has_room(self) -> None:
        clients = sum(there.close is not None for there in self.open.values())
        if clients + self._opening >= self.limits.connections:
            raise ProtocolError(
                "full", f"{self.limits.connections} connections are open", remedy="Try again later", close=FULL
            )

    async def _made(self, call: Callable[..., Connection], *args: Any) -> Connection:
        self._opening += 1
        try:
            made: Connection = await self._off_loop(call, *args)
            return made
        finally:
            self._opening -= 1

    async def _again(self, hello: Hello, principal: Principal) -> Open:
        name, _, secret = hello.resume.partition(".")
        if name in self._resuming:
            raise ProtocolError("busy", "The connection is being resumed already", remedy="Try again", close=FULL)
        self._resuming.add(name)
        try:
            return await self._resumed(name, secret, principal)
        finally:
            self._resuming.discard(name)

    async def _resumed(self, name: str, secret: str, principal: Principal) -> Open:
        there = self.open.get(name)
        if there is not None:
            _prove(there.connection, secret, principal)
            await self._take_over(there)
        self._has_room()
        data = self.snapshots.read(name)
        if data is None:
            raise _unknown()
        made = await self._made(self._restore, data, secret, principal)
        made.secret = secret
        return Open(made, principal, saved=made.sequence, saved_at=made.n_samples)

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
        model = self._model_of(head["digest"])
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

    def _model_of(self, digest: str) -> LiveModel | None:
        running = (there.connection.model for there in list(self.open.values()))
        return self.models.of_digest(digest) or next((m for m in running if m.digest == digest), None)

    async def _off_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run what takes milliseconds elsewhere, so that no other connection waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    def due(self, there: Open) -> bool:
        """Whether it is time to save a connection's state again: by its signal, and not too often by the clock."""
        connection = there.connection
        heard = connection.n_samples - there.saved_at
        if heard < self.limits.snapshot_s * connection.signal.sfreq:
            return False
        return time.monotonic() - there.saved_s >= min(SELDOM_S, self.limits.snapshot_s)

    async def save(self, there: Open) -> int:
        """Save a connection's state; return the sequence up to which nothing need be sent again.

        One save at a time, so that the last one written is the newest. What a fault of ours, or an END that nobody
        heard, made of a connection is not saved.
        """
        connection = there.connection
        async with there.lock:
            if connection.finished or connection.failed:
                return there.saved
            sequence, there.saved_at, there.saved_s = connection.sequence, connection.n_samples, time.monotonic()
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
                async with there.lock:
                    self.snapshots.drop(name)
            elif there.connection.sequence > there.saved or not there.saved:
                await self.save(there)
        except NeuralFoundationError as error:
            log.error("state lost: %s", error, extra={"event": "state_lost"})
        finally:
            there.connection.close()
            if self.open.get(name) is there:
                del self.open[name]
            there.left.set()

    async def drain(self) -> None:
        """Take nobody any more, save all states, tell the clients to come again."""
        self.draining = True
        until = time.monotonic() + self.limits.drain_s
        clients = [there for there in self.open.values() if there.close is not None]
        if not clients:
            return
        closing = [asyncio.ensure_future(_close(there)) for there in clients]
        await asyncio.wait(closing, timeout=max(0.0, until - time.monotonic()))
        for task, there in zip(closing, clients, strict=True):
            task.cancel()
            if not there.left.is_set() and there.abort is not None:
                there.abort()
        left = [asyncio.ensure_future(there.left.wait()) for there in clients]
        _, late = await asyncio.wait(left, timeout=LAST_S)
        for waiting in late:
            waiting.cancel()


async def _close(there: Open) -> None:
    if there.close is not None:
        await there.close(RESTART, "draining: connect again and resume")
        await there.left.wait()


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
