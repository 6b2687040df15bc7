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
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
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

AGAIN = {1000, 1001, 1006, 1011, 1012, 1013}  # closed, before the end, for a reason that passes
PASSING = {"draining", "busy", "failed", "full"}  # errors that pass, for a stream that has begun
KEPT_BYTES = 64 << 20  # of frames not yet saved by the server; then `send` waits
KEPT_S = 4.0  # and never less than so many seconds of signal: the server saves once in a while only
NO_ACK_S = 30.0  # `send` waits for room so long, and `retry_s` more
WELCOME_S = 10.0  # from hello to welcome
CLOSE_S = 3.0  # for the server's goodbye
STEADY_S = 5.0  # a connection that had nothing to do for so long has not failed
WAITING = 100_000  # decisions not yet taken; then reading waits, and the server cuts off who waits too long
LATENCIES, NOTICES = 100_000, 1000  # the last ones are kept


class ServerError(NeuralFoundationError):
    """The server refused or ended a connection; `code` is its short word for why."""

    def __init__(self, code: str, given: str, **words: str) -> None:
        super().__init__(given, **words)
        self.code = code


class Client:
    """One stream; made by `connect`.

    `welcome` is what the server said of itself: task, classes, hop_s, lookahead_s, limits. `latencies_s` holds, for
    the last frames that were answered (up to 100,000), the seconds from sending to answer; `notices` the last 1,000
    notices. `resumed` counts how often the stream went on after a break.
    """

    def __init__(self, url: str, hello: dict[str, Any], key: str | None, retry_s: float) -> None:
        self.url = url.rstrip("/").replace("http", "ws", 1) if url.startswith("http") else url.rstrip("/")
        self._hello, self._key, self._retry_s = hello, key, retry_s
        self.welcome: dict[str, Any] = {}
        self.sequence = self.n_samples = self.n_tokens = self.resumed = 0
        self.latencies_s: list[float] = []
        self.notices: list[dict[str, Any]] = []
        self.ended = self._complete = False  # nothing more comes; the last answer has come
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = self._saved = self._written = 0  # bytes; the last sequence saved there, and handed over
        self._sent_at: dict[int, float] = {}
        self._decisions: deque[LiveDecision] = deque()
        self._socket: Any = None
        self._turn = asyncio.Lock()  # of who writes to the socket
        self._failed: NeuralFoundationError | None = None
        self._welcomed, self._room = asyncio.Event(), asyncio.Event()
        self._news, self._space = asyncio.Event(), asyncio.Event()  # a decision to take, or the end; room for one
        self._lost_at: float | None = None  # the first break since it last went on
        self._delays: Iterator[float] | None = None

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
        dtype, step = self._hello["dtype"], self._hello["step"] or 1.0

        def packed(sequence: int, at: int) -> bytes:
            first = at if start is None else start
            return protocol.samples(values, sequence=sequence, start=first, dtype=dtype, step=step, valid=valid)

        return await self._put(packed, n_times=values.shape[1], start=start)

    async def reset(self) -> None:
        """Start a trial of the model at the next sample."""
        await self._put(lambda sequence, at: protocol.pack(protocol.RESET, sequence=sequence, start=at))

    async def feedback(self, sample: int, right: str) -> None:
        """Say which class was right at a sample; DataError where it is none of the classes."""
        if right not in self.classes:
            raise DataError(f"No class '{right}'", allowed=one_of(self.classes))
        count = self.classes.index(right)
        await self._put(
            lambda sequence, at: protocol.pack(protocol.FEEDBACK, sequence=sequence, start=sample, count=count)
        )

    async def end(self) -> None:
        """Say that no more comes; `decisions()` ends after what the look-ahead held back."""
        await self._put(lambda sequence, at: protocol.pack(protocol.END, sequence=sequence))

    async def decisions(self) -> AsyncIterator[LiveDecision]:
        """Yield decisions as they come, until the stream has ended; ServerError where it broke off before its end."""
        while True:
            while not self._decisions and not self.ended:
                self._news.clear()
                await self._news.wait()
            if not self._decisions:
                self._check()
                return
            decision = self._decisions.popleft()
            self._space.set()
            yield decision

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    async def _put(self, pack: Callable[[int, int], bytes], *, n_times: int = 0, start: int | None = None) -> int:
        """Number a frame, keep it, hand it over; return its number.

        pack : from its number and the stream's next sample to its bytes, called when there is room, so that frames
        put at the same time get numbers of their own. Once numbered it is part of the stream, also where the caller
        is cancelled while it is handed over.
        """
        await self._has_room()
        sequence = self.sequence + 1
        frame = pack(sequence, self.n_samples)
        self.sequence = sequence
        self.n_samples = (self.n_samples if start is None else start) + n_times
        self._kept[sequence] = frame
        self._kept_bytes += len(frame)
        if self._socket is not None:
            await self._hand_over(self._socket, self._turn)
        return sequence

    async def _has_room(self) -> None:
        most_s = NO_ACK_S + self._retry_s
        while self._kept_bytes > self._most_bytes and not self.ended:
            self._room.clear()
            try:
                async with asyncio.timeout(most_s):
                    await self._room.wait()
            except TimeoutError:
                raise ServerError(
                    "room",
                    f"The server has saved nothing for {most_s:g} s; {self._kept_bytes} bytes wait for it",
                    remedy="Take the decisions while you send, or let the server save more often (snapshot_s)",
                ) from None
        self._check()
        if self.ended:
            raise StreamError("The stream has ended", remedy="Open another connection")

    @property
    def _most_bytes(self) -> float:
        signal, dtype = self.welcome["signal"], protocol.DTYPES[self._hello["dtype"]]
        return max(KEPT_BYTES, KEPT_S * self.sfreq * len(signal["ch_names"]) * dtype.itemsize)

    async def _hand_over(self, socket: Any, turn: asyncio.Lock) -> None:
        """Write all that was put and not yet written, in order; a frame that comes twice is left out by the server."""
        from websockets.exceptions import ConnectionClosed

        async with turn:
            while socket is self._socket and self._written < self.sequence:
                sequence = self._written + 1
                frame = self._kept.get(sequence)
                if frame is not None:  # else it is saved already
                    self._sent_at[sequence] = time.perf_counter()
                    try:
                        await socket.send(frame)
                    except ConnectionClosed:  # the reading side connects again, and sends what is kept
                        return
                if socket is self._socket:
                    self._written = sequence

    async def run(self) -> None:
        """Keep a socket open and read from it until the stream ends; `connect` does so in the background."""
        try:
            await self._run()
        except NeuralFoundationError as error:
            self._failed = error
        except asyncio.CancelledError:
            if not self._complete:
                self._failed = ServerError("client", "The connection was left before the stream had ended")
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream is not complete
            self._failed = ServerError("client", f"The client failed ({type(error).__name__}: {error})")
            self._failed.__cause__ = error
        finally:
            self.ended, self._socket = True, None
            for event in (self._welcomed, self._room, self._news):
                event.set()

    async def _run(self) -> None:
        from websockets.asyncio.client import connect as open_socket

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        sockets = open_socket(
            f"{self.url}/v1/stream",
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers=headers,
            compression=None,
            max_size=None,
            close_timeout=CLOSE_S,
            process_exception=self._passes,
        )
        stream: Any = aiter(sockets)
        async with aclosing(stream) as opened:
            async for socket in opened:
                before, began = (self._saved, self.n_tokens), time.monotonic()
                error = await self._attended(socket)
                self._socket = None
                if error is None:
                    return
                idle = not self._kept and time.monotonic() - began > STEADY_S
                if idle or (self._saved, self.n_tokens) != before:
                    self._lost_at = None
                await self._wait_a_little(error)

    async def _attended(self, socket: Any) -> ServerError | None:
        """Serve a socket; return None where the stream has ended, or the error if it passes."""
        from websockets.exceptions import ConnectionClosed

        try:
            if await self._served(socket):
                return None
        except ConnectionClosed:
            pass
        except ServerError as error:
            if not self._welcomed.is_set() or error.code not in PASSING:
                raise
            return error
        code, reason = socket.close_code or 1006, socket.close_reason or ""
        closed = ServerError(reason.split(":")[0] or str(code), f"The server closed the connection ({reason or code})")
        if not self._welcomed.is_set() or code not in AGAIN:
            raise closed
        return closed

    async def _wait_a_little(self, error: ServerError) -> None:
        """Return when it is time to connect again: at once where the stream went on since the last break."""
        from websockets.client import backoff

        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at, self._delays = now, backoff()
            return
        left_s = self._retry_s - (now - self._lost_at)
        if left_s <= 0 or self._delays is None:
            raise error
        await asyncio.sleep(min(next(self._delays), left_s))

    def _passes(self, error: Exception) -> Exception | None:
        """Whether to try again after a failure to connect (None), or what to raise."""
        from websockets.exceptions import InvalidStatus

        if isinstance(error, InvalidStatus) and error.response.status_code < 500:
            status = error.response.status_code
            said = bytes(error.response.body or b"").decode(errors="replace")[:500]
            return ServerError(
                "access" if status in (401, 403) else str(status), f"The server answers {status}: {said}"
            )
        if self._lost_at is None or time.monotonic() - self._lost_at > self._retry_s:
            return ServerError(
                "unreachable",
                f"{self.url} cannot be reached ({error})",
                remedy="Start the server, or give the right address",
            )
        return None

    async def _served(self, socket: Any) -> bool:
        """Greet, send again what is missing, read until the end (True)."""
        await self._greet(socket)
        self._socket, self._turn = socket, asyncio.Lock()
        missing = asyncio.create_task(self._hand_over(socket, self._turn))  # while answers are read
        try:
            async for message in socket:
                if await self._read(message):
                    return True
        finally:
            missing.cancel()
            await asyncio.gather(missing, _close(socket), return_exceptions=True)
        return False

    async def _greet(self, socket: Any) -> None:
        again = self._welcomed.is_set()
        if again:
            self._hello["n_tokens"] = self.n_tokens
        self.welcome = welcome = await self._welcome(socket)
        self._hello["resume"] = welcome["resume"]
        self._written = welcome["next_sequence"] - 1
        self._forget(self._written)
        if not again:  # perhaps resumed by a token: go on where the server is
            self.sequence, self.n_samples, self.n_tokens = self._written, welcome["n_samples"], welcome["n_tokens"]
        self.resumed += again
        self._welcomed.set()

    async def _welcome(self, socket: Any) -> dict[str, Any]:
        """Say hello; return the welcome. ServerError where the server refuses, or says nothing in time."""
        try:
            async with asyncio.timeout(WELCOME_S):
                await socket.send(orjson.dumps(self._hello).decode())
                while True:
                    message = await socket.recv()
                    if isinstance(message, str) and (told := self._told(message))["type"] == "welcome":
                        return told
        except TimeoutError:
            raise ServerError(
                "busy",
                f"{self.url} sends no welcome within {WELCOME_S:g} s",
                remedy="Give the address of a decoding server, or try again later",
            ) from None

    def _told(self, message: str | bytes) -> dict[str, Any]:
        """Return a JSON frame's content; ServerError where it is an error."""
        told: dict[str, Any] = orjson.loads(message)
        if told.get("type") == "error":
            raise ServerError(told["code"], told["message"])
        return told

    async def _read(self, message: str | bytes) -> bool:
        """Take one frame of the server's; return whether it was the last."""
        if isinstance(message, str):
            _note(self.notices, self._told(message), NOTICES)
            return False
        frame = protocol.unpack(message)
        if frame.type == protocol.ACK:
            self._forget(frame.sequence)
            return False
        now = time.perf_counter()
        sent = self._sent_at.pop(frame.sequence, None)
        if sent is not None:
            _note(self.latencies_s, now - sent, LATENCIES)
        for i, row in enumerate(protocol.read_decisions(frame, len(self.classes))):
            await self._decide(frame.start + i, row)
        self._complete = bool(frame.flags & protocol.LAST)
        return self._complete

    async def _decide(self, token: int, row: Any) -> None:
        if token < self.n_tokens:
            return  # decided again after a break
        while len(self._decisions) >= WAITING:
            self._space.clear()
            await self._space.wait()
        self.n_tokens = token + 1
        self._decisions.append(protocol.decision(row, token, self.classes, self.sfreq))
        self._news.set()

    def _forget(self, sequence: int) -> None:
        """Let go of frames whose effect the server has saved."""
        while self._kept and next(iter(self._kept)) <= sequence:
            gone, frame = self._kept.popitem(last=False)
            self._kept_bytes -= len(frame)
            self._sent_at.pop(gone, None)
        self._saved = max(self._saved, sequence)
        self._room.set()


async def _close(socket: Any) -> None:
    """Close, which says that the last answer has come; what still comes is let go, else the goodbye is not heard."""
    closing = asyncio.create_task(socket.close())
    try:
        async for _ in socket:
            pass
    finally:
        await closing


def _note(noted: list[Any], what: Any, most: int) -> None:
    """Append; of more than `most`, let go of the oldest tenth."""
    noted.append(what)
    if len(noted) > most:
        del noted[: max(1, most // 10)]


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
    after a break, how long to try to connect again and to go on. At the first time, what fails is raised at once.

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
        async with connect(url, **options) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(_send_all(client, chunks))
            return [d async for d in client.decisions()]

    try:
        return asyncio.run(all_of())
    except BaseExceptionGroup as failed:  # the first is why; what else failed, failed of it
        raise failed.exceptions[0] from None


async def _send_all(client: Client, chunks: Iterable[NDArray[Any]]) -> None:
    for chunk in chunks:
        await client.send(chunk)
    await client.end()
