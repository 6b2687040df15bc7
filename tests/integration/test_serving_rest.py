"""What comes over plain HTTP: requests for inference beside streams, odd headers, slow clients, the API's page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from live_server import get, post
from small_package import signal
from websockets.sync.client import connect as open_socket

from neural_foundation.core.errors import DataError, PackageError
from neural_foundation.models.package import Package
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.serving import protocol, v2
from neural_foundation.serving.api_page import STYLE, add_api_page
from neural_foundation.serving.app import create_app
from neural_foundation.serving.protocol import ProtocolError
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings

INFER = "/v2/models/hands/infer"


def settings_of(package: Package, **limits: Any) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=package.folder),), port=0, limits=Limits(**limits))


@pytest.fixture(scope="module")
def url(exported_package: Package) -> Iterator[str]:
    with served(settings_of(exported_package, hello_s=0.3, pieces=2, samples=1000)) as address:
        yield address


@pytest.fixture(scope="module")
def model(exported_package: Package) -> LiveModel:
    return LiveModel.open(exported_package.folder)


def tensor(values: np.ndarray, **changes: Any) -> dict[str, Any]:
    given = {"name": "signal", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [given | changes]}


PIECE = signal(100)[None]


# ---- inference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ([3, 3, 10], "3 pieces of 10 samples. Allowed: 2 pieces, 1000 samples together"),
        ([2, 3, 501], "2 pieces of 501 samples"),
        ([1, 3, 2**62], "Allowed: 2 pieces"),
        ([1, 3, 10**30], "shape [1, 3, 1e+30]. Allowed: [pieces, 3, samples]"),
    ],
)
def test_more_signal_than_a_request_may_hold_is_refused(url: str, shape: list[int], wanted: str) -> None:
    body = b'{"inputs": [{"name": "signal", "datatype": "FP32", "shape": %a, "data": [1.0]}]}' % shape
    status, answer = post(url + INFER, body)
    assert status == 400
    assert wanted in answer["error"]


@pytest.mark.parametrize("data", [[1e300] * 300, [[[1.0]]], "abc", {"a": 1}, [[1.0], [1.0, 2.0]], [10**30]])
def test_what_are_no_volts_is_refused(url: str, data: Any) -> None:
    body = json.dumps(tensor(PIECE, data=data)).encode()
    status, answer = post(url + INFER, body)
    assert (status, "'data'" in answer["error"]) == (400, True)


def test_nested_and_flat_data_are_the_same_signal(url: str) -> None:
    flat, nested = (post(url + INFER, tensor(PIECE, data=d)) for d in (PIECE.ravel().tolist(), PIECE.tolist()))
    assert flat[0] == 200
    assert flat == nested


class Waiting:
    """A request whose body does not come until it is told to, and that says whether it was asked for."""

    def __init__(self, data: bytes, *, length: int | None = None) -> None:
        self.headers = {} if length is None else {"content-length": str(length)}
        self.data, self.asked, self.come = data, False, asyncio.Event()

    async def stream(self) -> Any:
        self.asked = True
        await self.come.wait()
        yield self.data


def service_of(package: Package, **limits: Any) -> Any:
    return create_app(settings_of(package, **limits)).state.service


def counted(service: Any, status: int) -> float:
    return float(service.metrics.infer_requests.labels("hands", status)._value.get())


def test_who_is_one_too_many_is_refused_before_the_body_is_read(exported_package: Package) -> None:
    async def check() -> None:
        service, data = service_of(exported_package, infer=1), orjson.dumps(tensor(PIECE))
        model = service.models["hands"]
        waiting = [Waiting(data) for _ in range(5)]
        asked = [asyncio.create_task(v2._answer(service, model, cast(Any, w))) for w in waiting]
        await asyncio.sleep(0.05)
        late = Waiting(data)
        answer = await v2._answer(service, model, cast(Any, late))
        assert (answer.status_code, answer.headers["retry-after"], late.asked) == (429, "1", False)
        for one in waiting:
            one.come.set()
        assert [a.status_code for a in await asyncio.gather(*asked)] == [200] * 5
        late.come.set()
        assert (await v2._answer(service, model, cast(Any, late))).status_code == 200, "places are given back"
        assert (counted(service, 429), counted(service, 200)) == (1, 6)

    asyncio.run(check())


def test_a_size_is_refused_unread_and_a_body_that_does_not_come_is_not_waited_for(exported_package: Package) -> None:
    async def check() -> None:
        service = service_of(exported_package, body_bytes=2000, body_s=0.1)
        model = service.models["hands"]
        large = Waiting(b"", length=2001)
        assert (await v2._answer(service, model, cast(Any, large))).status_code == 413
        assert not large.asked
        growing = Waiting(b" " * 2001)
        growing.come.set()
        assert (await v2._answer(service, model, cast(Any, growing))).status_code == 413
        assert (await v2._answer(service, model, cast(Any, Waiting(b"")))).status_code == 408
        assert (counted(service, 413), counted(service, 408), counted(service, 400)) == (2, 1, 0)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("error", "status"), [(DataError("odd"), 400), (PackageError("gone"), 500), (ZeroDivisionError("secret"), 500)]
)
def test_a_fault_of_ours_is_counted_as_ours(
    exported_package: Package, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*given: Any) -> Any:
        raise error

    monkeypatch.setattr(v2, "infer", fail)
    service = service_of(exported_package)
    request = Waiting(orjson.dumps(tensor(PIECE)))

    async def check() -> Any:
        request.come.set()
        return await v2._answer(service, service.models["hands"], cast(Any, request))

    answer = asyncio.run(check())
    assert answer.status_code == status
    assert b"secret" not in answer.body
    assert counted(service, status) == 1


def test_parsing_and_writing_are_off_the_event_loop(exported_package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, str] = {}

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            threads[name] = threading.current_thread().name
            return real(*given, **more)

        return call

    kept = SimpleNamespace(
        loads=noted("parse", orjson.loads),
        dumps=noted("write", orjson.dumps),
        JSONDecodeError=orjson.JSONDecodeError,
        OPT_SERIALIZE_NUMPY=orjson.OPT_SERIALIZE_NUMPY,
    )
    monkeypatch.setattr(v2, "orjson", kept)
    service, data = service_of(exported_package), orjson.dumps(tensor(PIECE))
    asyncio.run(service.inference(service.models["hands"], data))
    assert set(threads) == {"parse", "write"}
    assert threads["parse"] == threads["write"] != threading.main_thread().name


def test_the_answers_numbers_are_numbers(model: LiveModel) -> None:
    answer = orjson.loads(v2.answered(model, orjson.dumps(tensor(PIECE)), Limits()))
    found = {o["name"]: o["data"] for o in answer["outputs"]}
    assert [type(found[n][0]) for n in ("probability", "valid", "sample", "label")] == [float, bool, int, str]
    with pytest.raises(ProtocolError, match="'outputs' is not a list"):
        v2.answered(model, orjson.dumps(tensor(PIECE) | {"outputs": "label"}), Limits())


# ---- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://[x", "http://[::1", "null", "//", "\u00fc"])
def test_an_odd_origin_is_a_foreign_one(url: str, origin: str) -> None:
    answer = httpx.get(f"{url}/v2", headers={"Origin": origin.encode("latin-1")})
    assert answer.status_code == 403
    with open_socket(url.replace("http", "ws") + "/v1/stream", origin=cast(Any, url)) as there:
        there.send('{"type": "hello"}')
        assert orjson.loads(there.recv())["type"] == "welcome", "a page of its own comes in"


@pytest.mark.parametrize("host", ["[x", "evil.example", "", "localhost:99999999"])
def test_an_odd_host_is_no_fault_of_the_server(url: str, host: str) -> None:
    assert httpx.get(f"{url}/v2", headers={"Host": host}).status_code in (200, 400, 403)


def test_no_origin_equals_no_host(url: str) -> None:
    assert said(url, b"GET /v2 HTTP/1.0\r\nOrigin: null\r\n\r\n").startswith(b"HTTP/1.1 403")


# ---- slow clients ---------------------------------------------------------------------------------------------------


def raw(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def said(url: str, request: bytes) -> bytes:
    with raw(url) as there:
        there.sendall(request)
        return there.recv(4096)


def answered(there: socket.socket) -> bytes:
    """Return the head and the JSON of one answer."""
    got = b""
    while not got.endswith(b"}"):
        part = there.recv(1 << 16)
        assert part, "cut off"
        got += part
    return got


def until_cut(there: socket.socket, drip: bytes = b"") -> float:
    """Return how long the server keeps a connection open, while `drip` is sent on it again and again."""
    began = time.monotonic()
    there.settimeout(0.05)
    while time.monotonic() - began < 4:
        try:
            if drip:
                there.sendall(drip)
            if not there.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("begun", "drip"),
    [(b"", b""), (b"GET /v2", b""), (b"GET /v2 HTTP/1.1\r\n", b""), (b"GET /v2 HTTP/1.1\r\nX: ", b"a")],
)
def test_a_request_that_is_never_finished_is_cut_off(url: str, begun: bytes, drip: bytes) -> None:
    with raw(url) as there:
        there.sendall(begun)
        assert 0.2 < until_cut(there, drip) < 2


@pytest.mark.parametrize(("drip", "longest"), [(b"", 3), (b"a", 2)])
def test_a_connection_that_was_used_is_not_kept_for_ever(url: str, drip: bytes, longest: float) -> None:
    with raw(url) as there:
        there.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answered(there).startswith(b"HTTP/1.1 200")
        assert until_cut(there, drip) < longest


def test_who_asks_in_time_is_not_cut_off(url: str) -> None:
    """Neither a connection with pauses between its requests nor a socket, nor a body that takes longer."""
    with raw(url) as there:
        for _ in range(3):
            there.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answered(there).startswith(b"HTTP/1.1 200")
            time.sleep(0.4)
        data = orjson.dumps(tensor(PIECE))
        length = f"Content-Length: {len(data)}"
        there.sendall(f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        time.sleep(0.5)
        there.sendall(data)
        assert answered(there).startswith(b"HTTP/1.1 200")
    with open_socket(url.replace("http", "ws") + "/v1/stream") as there:
        there.send('{"type": "hello"}')
        there.recv()
        time.sleep(0.5)
        there.send(protocol.samples(signal(20), sequence=1, start=0))
        assert protocol.unpack(cast(bytes, there.recv())).type == protocol.DECISIONS


# ---- the page of the API --------------------------------------------------------------------------------------------


def page_of(app: FastAPI) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get("/docs")

    return asyncio.run(ask())


def test_the_page_of_the_api_lists_it_all_and_loads_nothing(exported_package: Package) -> None:
    app = FastAPI(title="a <b>", description="One.\n\nTwo & three.", docs_url=None, redoc_url=None)
    app.include_router(v2.routes(service_of(exported_package)))
    add_api_page(app)
    answer = page_of(app)
    assert answer.status_code == 200
    assert "<script" not in answer.text.lower()
    assert not re.search(r"(?:src|href)=\"(?!/)", answer.text), "nothing from elsewhere"
    assert "<h1>a &lt;b&gt; " in answer.text
    assert "<p>Two &amp; three.</p>" in answer.text
    for route in ("POST /v2/models/{name}/infer", "GET /v2/health/ready"):
        assert f"<dt><code>{route}</code></dt>" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode() in policy
    assert "script" not in policy


def test_a_server_has_this_page_and_no_other(url: str) -> None:
    text = httpx.get(f"{url}/docs").text
    assert "<script" not in text
    assert "GET /metrics" in text
    assert get(f"{url}/openapi.json")[0] == 200
    assert get(f"{url}/redoc")[0] == 404
