"""A client of a decoding server: sends signal, gets decisions, and goes on by itself where a connection breaks.

    async with connect("ws://localhost:8080", task="motor_imagery") as client:
        await client.send(block)                      # (n_chans, n_times), volts
        async for decision in client.decisions(): ...

Every frame that was sent is kept until the server says that its effect is saved. After a break (the network, a server
that restarts) the client connects again, says where it was, and sends what is missing; each token comes once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..core.errors import DataError, MissingExtraError, NeuralFoundationError, StreamError, one_of
from ..core.specs import SignalSpec
from ..realtime.decision import LiveDecision
from . import protocol
from .protocol import SUBPROTOCOL

AGAIN = {1001, 1006, 1011, 1012}  # closed for a reason that passes
KEPT_BYTES = 64 << 20  # of frames not yet saved by the server; then `send` waits
WAITING = 100_000  # decisions not yet taken; then reading waits, and the server cuts off who waits too long


class ServerError(NeuralFoundationError):
    """The server refused or ended a connection; `code` is its short word for why."""

    def __init__(self, code: str, given: str, **words: str) -> None:
        super().__init__(given, **words)
        self.code = code


class Client:
    """One stream; made by `connect`.

    `welcome` is what the server said of itself: task, classes, hop_s, lookahead_s, limits. `latencies_s` holds, for
    each frame that was answered, the seconds from its sending to its answer. `resumed` counts the breaks.
    """

    def __init__(self, url: str, hello: dict[str, Any], key: str | None, retry_s: float) -> None:
        self.url = url.rstrip("/").replace("http", "ws", 1) if url.startswith("http") else url.rstrip("/")
        self._hello, self._key, self._retry_s = hello, key, retry_s
        self.welcome: dict[str, Any] = {}
        self.sequence = self.n_samples = self.n_tokens = self.resumed = 0
        self.latencies_s: list[float] = []
        self.ended = False
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._sent_at: dict[int, float] = {}
        self._decisions: asyncio.Queue[LiveDecision | None] = asyncio.Queue(WAITING)
        self._socket: Any = None
        self._failed: NeuralFoundationError | None = None
        self._welcomed, self._room = asyncio.Event(), asyncio.Event()
        self._done = asyncio.Event()
        self.notices: list[dict[str, Any]] = []

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.welcome["classes"])

    @property
    def sfreq(self) -> float:
        return float(self.welcome["signal"]["sfreq"])

    async def send(
        self, values: NDArray[Any], *, valid: NDArray[np.bool_] | None = None, start: int | None = None
    ) -> int:
        """Send a block (n_chans, n_times) in volts; return its sequence number.

        valid : (n_times,) where some samples cannot be trusted. start : its first sample, where samples are missing
        before it. DataError for another shape; ServerError where the server has ended the connection.
        """
        values = np.asarray(values)
        n_chans = len(self.welcome["signal"]["ch_names"])
        if values.ndim != 2 or len(values) != n_chans:
            raise DataError(f"A block has shape {values.shape}", allowed=f"({n_chans}, n_times)")
        start = self.n_samples if start is None else start
        frame = protocol.samples(
            values,
            sequence=self.sequence + 1,
            start=start,
            dtype=self._hello["dtype"],
            step=self._hello["step"] or 1.0,
            valid=valid,
        )
        await self._put(frame)
        self.n_samples = start + values.shape[1]
        return self.sequence

    async def reset(self) -> None:
        """Start a trial of the model at the next sample."""
        await self._put(protocol.pack(protocol.RESET, sequence=self.sequence + 1, start=self.n_samples))

    async def feedback(self, sample: int, right: str) -> None:
        """Say which class was right at a sample; DataError where it is none of the classes."""
        if right not in self.classes:
            raise DataError(f"No class '{right}'", allowed=one_of(self.classes))
        count = self.classes.index(right)
        await self._put(protocol.pack(protocol.FEEDBACK, sequence=self.sequence + 1, start=sample, count=count))

    async def end(self) -> None:
        """Say that no more comes; `decisions()` ends after what the look-ahead held back."""
        await self._put(protocol.pack(protocol.END, sequence=self.sequence + 1))

    async def decisions(self) -> AsyncIterator[LiveDecision]:
        """Yield decisions as they come, until the stream has ended; ServerError where the server ended it."""
        while True:
            decision = await self._decisions.get()
            if decision is None:
                self._check()
                return
            yield decision

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    async def _put(self, frame: bytes) -> None:
        while self._kept_bytes > KEPT_BYTES and self._failed is None:
            self._room.clear()
            await self._room.wait()
        self._check()
        if self.ended:
            raise StreamError("The stream has ended", remedy="Open another connection")
        self.sequence += 1
        self._kept[self.sequence] = frame
        self._kept_bytes += len(frame)
        socket = self._socket
        if socket is not None:
            await self._hand_over(socket, self.sequence, frame)

    async def _hand_over(self, socket: Any, sequence: int, frame: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        self._sent_at[sequence] = time.perf_counter()
        try:
            await socket.send(frame)
        except ConnectionClosed:  # the reading side connects again, and sends what is kept
            return

    async def run(self) -> None:
        """Keep a socket open and read from it until the stream ends; `connect` does so in the background."""
        try:
            await self._run()
        except NeuralFoundationError as error:
            self._failed = error
        finally:
            self.ended = True
            self._welcomed.set()
            self._room.set()
            await self._decisions.put(None)

    async def _run(self) -> None:
        from websockets.asyncio.client import connect as open_socket
        from websockets.exceptions import ConnectionClosed

        lost_at = time.monotonic()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        sockets = open_socket(
            f"{self.url}/v1/stream",
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers=headers,
            compression=None,
            max_size=None,
            process_exception=lambda error: self._passes(error, lost_at),
        )
        stream: Any = aiter(sockets)
        async with aclosing(stream) as opened:
            async for socket in opened:
                try:
                    if await self._served(socket):
                        return
                except ConnectionClosed:
                    pass
                self._socket = None
                code, reason = socket.close_code or 1006, socket.close_reason or ""
                if code not in AGAIN and not (code == 1000 and not self.ended):
                    raise ServerError(
                        reason.split(":")[0] or str(code), f"The server closed the connection ({reason or code})"
                    )
                if self._welcomed.is_set():
                    self.resumed += 1
                lost_at = time.monotonic()

    def _passes(self, error: Exception, lost_at: float) -> Exception | None:
        """Whether to try again after a failure to connect (None), or what to raise."""
        from websockets.exceptions import InvalidStatus

        if isinstance(error, InvalidStatus) and error.response.status_code < 500:
            status = error.response.status_code
            said = bytes(error.response.body or b"").decode(errors="replace")[:500]
            return ServerError(
                "access" if status in (401, 403) else str(status), f"The server answers {status}: {said}"
            )
        if not self._welcomed.is_set() or time.monotonic() - lost_at > self._retry_s:
            return ServerError(
                "unreachable",
                f"{self.url} cannot be reached ({error})",
                remedy="Start the server, or give the right address",
            )
        return None

    async def _served(self, socket: Any) -> bool:
        """Greet, send again what is missing, read until the end (True)."""
        if self._welcomed.is_set():
            self._hello["n_tokens"] = self.n_tokens
        await socket.send(orjson.dumps(self._hello).decode())
        self.welcome = self._told(await socket.recv())
        self._hello["resume"] = self.welcome["resume"]
        self._forget(self.welcome["next_sequence"] - 1)
        if not self._kept and not self._welcomed.is_set():  # resumed by a token: go on where the server is
            self.sequence = self.welcome["next_sequence"] - 1
            self.n_samples, self.n_tokens = self.welcome["n_samples"], self.welcome["n_tokens"]
        await self._catch_up(socket)
        self._socket = socket
        self._welcomed.set()
        async for message in socket:
            if await self._read(message):
                await socket.close()  # says to the server that the last answer has come
                return True
        return False

    async def _catch_up(self, socket: Any) -> None:
        """Send what is kept, what is put in meanwhile too."""
        sent = 0
        while self._kept and sent < next(reversed(self._kept)):
            sent = max(sent + 1, next(iter(self._kept)))
            await self._hand_over(socket, sent, self._kept[sent])

    def _told(self, message: str | bytes) -> dict[str, Any]:
        """Return a JSON frame's content; ServerError where it is an error."""
        told: dict[str, Any] = orjson.loads(message)
        if told.get("type") == "error":
            raise ServerError(told["code"], told["message"])
        return told

    async def _read(self, message: str | bytes) -> bool:
        """Take one frame of the server's; return whether it was the last."""
        if isinstance(message, str):
            self.notices.append(self._told(message))
            return False
        frame = protocol.unpack(message)
        if frame.type == protocol.ACK:
            self._forget(frame.sequence)
            return False
        now = time.perf_counter()
        sent = self._sent_at.pop(frame.sequence, None)
        if sent is not None:
            self.latencies_s.append(now - sent)
        for i, row in enumerate(protocol.read_decisions(frame, len(self.classes))):
            await self._decide(frame.start + i, row)
        return bool(frame.flags & protocol.LAST)

    async def _decide(self, token: int, row: Any) -> None:
        if token < self.n_tokens:
            return  # decided again after a break
        self.n_tokens = token + 1
        await self._decisions.put(protocol.decision(row, token, self.classes, self.sfreq))

    def _forget(self, sequence: int) -> None:
        """Let go of frames whose effect the server has saved."""
        while self._kept and next(iter(self._kept)) <= sequence:
            gone, frame = self._kept.popitem(last=False)
            self._kept_bytes -= len(frame)
            self._sent_at.pop(gone, None)
        self._room.set()


@asynccontextmanager
async def connect(
    url: str,
    *,
    task: str = "",
    signal: SignalSpec | None = None,
    key: str | None = None,
    dtype: str = "float32",
    step: float = 0.0,
    answer: str = "token",
    adapt: bool = False,
    resume: str = "",
    retry_s: float = 30.0,
) -> AsyncIterator[Client]:
    """Open a stream to a server, e.g. "ws://localhost:8080" (or http, https, wss).

    signal : what will be sent; None sends what the model expects. dtype 'int16' sends whole `step`s of volts. answer :
    'token' or 'block', what each answer is for. resume : the token of an earlier connection to go on with. retry_s :
    after a break, how long to try to connect again.

    Raises
    ------
    ServerError : cannot be reached, refused (no key, full, another signal). MissingExtraError : without extra 'serve'.
    """
    try:
        import websockets  # noqa: F401
    except ImportError:
        raise MissingExtraError("websockets", "serve") from None
    told = signal.model_dump(mode="json", include={"sfreq", "ch_names"}) if signal else None
    hello = {"type": "hello", "format_version": protocol.FORMAT_VERSION, "task": task, "signal": told}
    hello |= {"dtype": dtype, "step": step, "answer": answer, "adapt": adapt, "resume": resume}
    client = Client(url, hello, key, retry_s)
    running = asyncio.create_task(client.run())
    try:
        await client._welcomed.wait()
        client._check()
        yield client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def decode(url: str, chunks: Iterable[NDArray[Any]], **options: Any) -> list[LiveDecision]:
    """Return the decisions on blocks (n_chans, n_times) sent as fast as the server takes them; blocks until the end.

    options : those of `connect`.
    """

    async def all_of() -> list[LiveDecision]:
        async with connect(url, **options) as client:
            sending = asyncio.create_task(_send_all(client, chunks))
            found = [d async for d in client.decisions()]
            await sending
            return found

    return asyncio.run(all_of())


async def _send_all(client: Client, chunks: Iterable[NDArray[Any]]) -> None:
    for chunk in chunks:
        await client.send(chunk)
    await client.end()
