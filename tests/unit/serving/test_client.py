"""The client against a server that refuses, breaks off, hangs or talks nonsense: it goes on, or says why not."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from neural_foundation.core.errors import DataError
from neural_foundation.serving import client as client_module
from neural_foundation.serving import protocol
from neural_foundation.serving.client import Client, ServerError, connect, decode

BLOCK = np.ones((2, 10), np.float32)
EXAMPLE = Path(__file__).parents[3] / "examples" / "stream_to_a_server.py"
Handler = Callable[["Fake", Any], None]


class Fake:
    """A server with one decision for each block; `script` is what its connections do, the last one for all after it."""

    def __init__(self) -> None:
        self.script: list[Handler] = [answer]
        self.hellos: list[dict[str, Any]] = []
        self.frames: list[protocol.Frame] = []  # each once, in order
        self.sequence = self.n_tokens = self.connected = 0
        self.url = ""

    def restart(self) -> None:
        """Begin a stream anew, once nothing of the last one is under way: a client that failed leaves frames behind."""
        while self.connected:
            time.sleep(0.005)
        self.sequence = self.n_tokens = 0

    def welcome(self, socket: Any) -> None:
        told = {"type": "welcome", "resume": "name.secret", "next_sequence": self.sequence + 1, "classes": ["l", "r"]}
        told |= {"n_samples": 0, "n_tokens": 0, "signal": {"sfreq": 100, "ch_names": ["C3", "C4"]}}
        socket.send(orjson.dumps(told).decode())

    def take(self, socket: Any) -> bool:
        """Take a frame and answer; whether it was the last."""
        frame = protocol.unpack(socket.recv())
        last = frame.type == protocol.END
        if frame.sequence <= self.sequence:
            return False
        assert frame.sequence == self.sequence + 1, "a frame is missing"
        self.sequence = frame.sequence
        self.frames.append(frame)
        n = int(frame.type == protocol.SAMPLES)
        rows = np.zeros(n, protocol.row_type(2))
        first, self.n_tokens = self.n_tokens, self.n_tokens + n
        if n or last:
            socket.send(protocol.decisions(rows, sequence=frame.sequence, first=first, last=last))
        return last

    def __call__(self, socket: Any) -> None:
        self.connected += 1
        try:
            self.hellos.append(orjson.loads(socket.recv()))
            with suppress(ConnectionClosed):
                (self.script.pop(0) if len(self.script) > 1 else self.script[0])(self, socket)
        finally:
            self.connected -= 1


def answer(fake: Fake, socket: Any) -> None:
    fake.welcome(socket)
    while not fake.take(socket):
        pass
    socket.recv()  # until the client closes


def error(code: str, close: int, *, after: int | None = None) -> Handler:
    """Refuse with an error frame: in place of the welcome, or after so many frames."""

    def refuse(fake: Fake, socket: Any) -> None:
        if after is not None:
            fake.welcome(socket)
            for _ in range(after):
                fake.take(socket)
        socket.send(orjson.dumps({"type": "error", "code": code, "message": f"said {code}"}).decode())
        socket.close(close, code)

    return refuse


def close(code: int, *, after_s: float = 0.0) -> Handler:
    def welcomed(fake: Fake, socket: Any) -> None:
        fake.welcome(socket)
        time.sleep(after_s)
        socket.close(code, "")

    return welcomed


def silent(fake: Fake, socket: Any) -> None:
    for _ in socket:
        pass


def deaf(fake: Fake, socket: Any) -> None:
    fake.welcome(socket)
    silent(fake, socket)


def nonsense(fake: Fake, socket: Any) -> None:
    fake.welcome(socket)
    fake.take(socket)
    socket.send("{")
    silent(fake, socket)


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    with serve(made, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def delays() -> Iterator[float]:
        while True:
            yield 0.05

    monkeypatch.setattr("websockets.client.backoff", delays)


def within(seconds: float, call: Any) -> Any:
    async def timed() -> Any:
        async with asyncio.timeout(seconds):
            return await call

    return asyncio.run(timed())


def tokens(fake: Fake, n: int = 4, **options: Any) -> list[int]:
    return [d.token for d in decode(fake.url, [BLOCK] * n, **options)]


# Errors that pass


@pytest.mark.parametrize(("code", "number"), [("draining", 1012), ("failed", 1011), ("busy", 1013), ("full", 1013)])
def test_an_error_that_passes_interrupts_a_stream_and_a_resumption(fake: Fake, code: str, number: int) -> None:
    fake.script = [error(code, number, after=2), error(code, number), answer]
    assert tokens(fake) == [0, 1, 2, 3]
    assert [h["resume"] for h in fake.hellos] == ["", "name.secret", "name.secret"]
    assert fake.hellos[-1]["n_tokens"] == 2
    assert [f.start for f in fake.frames] == [0, 10, 20, 30, 0]


@pytest.mark.parametrize("code", ["draining", "failed", "busy", "full", "signal"])
def test_a_first_connection_that_is_refused_raises_at_once(fake: Fake, code: str) -> None:
    fake.script = [error(code, 1013)]
    with pytest.raises(ServerError, match=f"said {code}") as caught:
        tokens(fake)
    assert (caught.value.code, len(fake.hellos)) == (code, 1)


def test_a_first_connection_closed_without_a_word_raises_at_once(fake: Fake) -> None:
    fake.script = [lambda fake, socket: socket.close(1011)]
    with pytest.raises(ServerError, match="1011"):
        tokens(fake)
    assert len(fake.hellos) == 1


def test_an_error_of_the_client_ends_the_stream(fake: Fake) -> None:
    fake.script = [error("size", 1007, after=1)]
    with pytest.raises(ServerError, match="said size"):
        tokens(fake)
    assert len(fake.hellos) == 1


@pytest.mark.parametrize("handler", [close(1011), close(1000), error("failed", 1011, after=0)])
def test_a_server_that_welcomes_and_breaks_off_again_and_again_is_given_up(fake: Fake, handler: Handler) -> None:
    fake.script = [handler]
    began = time.monotonic()
    with pytest.raises(ServerError):
        tokens(fake, retry_s=0.4)
    assert 0.3 < time.monotonic() - began < 5
    assert 3 <= len(fake.hellos) <= 12, "neither hot nor without another try"


def test_a_connection_with_nothing_to_do_may_be_closed_for_ever(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "STEADY_S", 0.05)
    fake.script = [close(1001, after_s=0.1)] * 6 + [answer]

    async def idle() -> tuple[int, int]:
        async with connect(fake.url, retry_s=0.2) as client:
            while len(fake.hellos) < 7:
                await asyncio.sleep(0.02)
            await client.end()
            return len([d async for d in client.decisions()]), client.resumed

    assert within(10, idle()) == (0, 6)


def test_answers_before_the_welcome_are_left_out(fake: Fake) -> None:
    def early(fake: Fake, socket: Any) -> None:
        socket.send(protocol.pack(protocol.ACK, sequence=0))
        answer(fake, socket)

    fake.script = [early]
    assert tokens(fake) == [0, 1, 2, 3]


# What is no answer


def test_nonsense_never_looks_like_the_end(fake: Fake) -> None:
    fake.script = [nonsense]
    with pytest.raises(ServerError, match="JSONDecodeError") as caught:
        tokens(fake)
    assert caught.value.code == "client"


def test_a_welcome_without_its_fields_is_told(fake: Fake) -> None:
    fake.script = [lambda fake, socket: socket.send('{"type": "welcome"}')]
    with pytest.raises(ServerError, match="KeyError") as caught:
        tokens(fake)
    assert caught.value.code == "client"


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ServerError, match="InvalidURI"):
        decode("ftp://somewhere", [])


def test_no_welcome_in_time_is_told(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WELCOME_S", 0.1)
    fake.script = [silent]
    with pytest.raises(ServerError, match="sends no welcome within 0.1 s"):
        tokens(fake)


def test_no_welcome_after_a_break_is_tried_again(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WELCOME_S", 0.2)
    fake.script = [error("failed", 1011, after=1), silent, answer]
    assert tokens(fake) == [0, 1, 2, 3]


# Who sends fails


def failing() -> Iterator[np.ndarray]:
    yield BLOCK
    raise ZeroDivisionError("of the caller's")


def example() -> Any:
    spec = importlib.util.spec_from_file_location("stream_to_a_server", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("through", ["decode", "example"])
def test_what_fails_in_sending_reaches_the_caller(fake: Fake, through: str) -> None:
    def call(blocks: Any) -> Any:
        return decode(fake.url, blocks) if through == "decode" else within(10, example().decisions(fake.url, blocks))

    with pytest.raises(DataError, match=r"A block has shape \(3, 10\)"):
        call([BLOCK, np.zeros((3, 10))])
    fake.restart()
    with pytest.raises(ZeroDivisionError, match="of the caller's"):
        call(failing())
    fake.restart()
    assert [d.token for d in call([BLOCK] * 3)] == [0, 1, 2]


# Frames and their numbers


def test_a_cancelled_send_is_part_of_the_stream(fake: Fake) -> None:
    async def cancelled() -> list[int]:
        async with connect(fake.url) as client:
            async with client._turn:  # as if the socket took nothing
                sending = asyncio.create_task(client.send(BLOCK))
                await asyncio.sleep(0.01)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            assert (client.sequence, client.n_samples) == (1, 10)
            await client.send(BLOCK)
            await client.end()
            return [d.token async for d in client.decisions()]

    assert within(10, cancelled()) == [0, 1]
    assert [f.start for f in fake.frames] == [0, 10, 0]


def test_frames_put_at_once_after_a_wait_get_numbers_of_their_own(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "KEPT_BYTES", 50)
    monkeypatch.setattr(client_module, "KEPT_S", 0)

    async def crowded() -> list[int]:
        async with connect(fake.url) as client:
            await client.send(BLOCK)
            waiting = [asyncio.create_task(c) for c in (client.send(BLOCK), client.feedback(10, "r"), client.reset())]
            await asyncio.sleep(0.02)
            assert client.sequence == 1, "there is no room yet"
            while client.sequence < 4:
                client._forget(client.sequence)
                await asyncio.sleep(0.01)
            await asyncio.gather(*waiting)
            client._forget(4)
            await client.end()
            return [d.token async for d in client.decisions()]

    assert within(10, crowded()) == [0, 1]
    assert [(f.sequence, f.type, f.start) for f in fake.frames] == [
        (1, protocol.SAMPLES, 0),
        (2, protocol.SAMPLES, 10),
        (3, protocol.FEEDBACK, 10),
        (4, protocol.RESET, 20),
        (5, protocol.END, 0),
    ]


def test_a_send_that_finds_no_room_says_so(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEPT_BYTES", 50), ("KEPT_S", 0), ("NO_ACK_S", 0.1)):
        monkeypatch.setattr(client_module, name, value)
    fake.script = [deaf]
    with pytest.raises(ServerError, match="has saved nothing for 0.2 s") as caught:
        tokens(fake, retry_s=0.1)
    assert caught.value.code == "room"


def test_there_is_room_for_seconds_of_any_signal(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "KEPT_BYTES", 0)  # 4 s of 2 channels at 100 Hz are 3,200 bytes
    monkeypatch.setattr(client_module, "NO_ACK_S", 0.1)
    assert len(tokens(fake, n=20, retry_s=0)) == 20
    fake.restart()
    with pytest.raises(ServerError, match="has saved nothing"):
        tokens(fake, n=40, retry_s=0)


# The end


async def three_of(client: Client) -> list[int]:
    for _ in range(3):
        await client.send(BLOCK)
    await client.end()
    return [d.token async for d in client.decisions()]


def test_the_end_stays_the_end(fake: Fake) -> None:
    async def twice() -> list[list[int]]:
        async with connect(fake.url) as client:
            return [await three_of(client), [d.token async for d in client.decisions()]]

    assert within(5, twice()) == [[0, 1, 2], []]


def test_leaving_with_decisions_untaken_neither_hangs_nor_looks_complete(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "WAITING", 2)

    async def left() -> tuple[list[int], str]:
        async with connect(fake.url) as client:
            for _ in range(100):
                await client.send(BLOCK)
            while fake.n_tokens < 100:
                await asyncio.sleep(0.01)
        coming = client.decisions()
        found = [(await anext(coming)).token for _ in range(2)]
        with pytest.raises(ServerError, match="left before the stream had ended") as caught:
            await anext(coming)
        return found, caught.value.code

    assert within(5, left()) == ([0, 1], "client")


def test_who_takes_decisions_slowly_gets_all_of_them(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WAITING", 2)
    assert tokens(fake, n=30) == list(range(30))


def test_what_is_noted_is_bounded(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LATENCIES", 20)
    monkeypatch.setattr(client_module, "NOTICES", 3)

    def noticing(fake: Fake, socket: Any) -> None:
        fake.welcome(socket)
        for i in range(50):
            socket.send(orjson.dumps({"type": "notice", "n": i}).decode())
        while not fake.take(socket):
            pass
        socket.recv()

    fake.script = [noticing]

    async def many() -> Client:
        async with connect(fake.url) as client:
            for _ in range(97):
                await client.send(BLOCK)
            assert len(await three_of(client)) == 100
            return client

    client = within(10, many())
    assert 18 <= len(client.latencies_s) <= 20
    assert (np.array(client.latencies_s[-5:]) > 0).all()
    assert [n["n"] for n in client.notices] == [47, 48, 49]
