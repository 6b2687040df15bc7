"""A running server: the same decisions as offline, through breaks and restarts; who may not come in does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import live_server
import numpy as np
import orjson
import pytest
from live_server import ServerProcess, get, post
from small_package import RAW, signal
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_socket

from neural_foundation.core.errors import DataError
from neural_foundation.core.stream import run
from neural_foundation.models.package import Package
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.serving import protocol
from neural_foundation.serving.client import Client, ServerError, connect, decode
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings

VALUES = signal(3000)
BLOCKS = [VALUES[:, i : i + 20] for i in range(0, 3000, 20)]


def settings_of(package: Package, **more: Any) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=package.folder),), port=0, **more)


@pytest.fixture(scope="module")
def url(exported_package: Package) -> Iterator[str]:
    with served(settings_of(exported_package, limits=Limits(connections=8))) as address:
        yield address


@pytest.fixture(scope="module")
def wanted(exported_package: Package) -> np.ndarray:
    return run(LiveModel.open(exported_package.folder).decoder(), VALUES).values


def probabilities(decisions: list[Any]) -> np.ndarray:
    assert [d.token for d in decisions] == list(range(len(decisions))), "a token is missing, doubled or out of order"
    return np.array([list(d.probability.values()) for d in decisions]).T


def test_decisions_through_the_socket_are_those_offline(url: str, wanted: np.ndarray) -> None:
    for blocks in (BLOCKS, [VALUES[:, i : i + 7] for i in range(0, 3000, 7)]):
        found = decode(url, blocks, task="hands")
        np.testing.assert_allclose(probabilities(found), wanted, atol=1e-6)
        assert [d.sample for d in found] == list(range(10, 3001, 10))


def test_many_streams_at_a_time_do_not_mix(url: str, wanted: np.ndarray, exported_package: Package) -> None:
    other = run(LiveModel.open(exported_package.folder).decoder(), -VALUES[::-1]).values

    async def one(flip: bool) -> np.ndarray:
        async with connect(url) as client:

            async def send() -> None:
                for b in BLOCKS:
                    await client.send(-b[::-1] if flip else b)
                    await asyncio.sleep(0)
                await client.end()

            sending = asyncio.create_task(send())
            found = [d async for d in client.decisions()]
            await sending
            return probabilities(found)

    async def all_of() -> list[np.ndarray]:
        return await asyncio.gather(*(one(bool(i % 2)) for i in range(6)))

    for i, found in enumerate(asyncio.run(all_of())):
        np.testing.assert_allclose(found, other if i % 2 else wanted, atol=1e-6)


def stream(client: Client, blocks: list[np.ndarray], *, pause_s: float = 0.0) -> Any:
    async def send() -> None:
        for b in blocks:
            await client.send(b)
            await asyncio.sleep(pause_s)
        await client.end()

    return asyncio.create_task(send())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restart_loses_and_doubles_nothing(
    how: str, exported_package: Package, tmp_path: Path, wanted: np.ndarray
) -> None:
    """kill -9 (or SIGTERM) while a stream runs, start again on the same folder: all decisions, once, the same."""
    options = ["--state", str(tmp_path / "states")]
    first = ServerProcess(exported_package.folder, *options)
    restarted: list[ServerProcess] = []

    async def through_a_restart() -> tuple[list[Any], int]:
        async with connect(first.url, task="hands", retry_s=60) as client:
            sending, found = stream(client, BLOCKS, pause_s=0.01), []
            async for decision in client.decisions():
                found.append(decision)
                if len(found) == 120 and not restarted:
                    await asyncio.to_thread(again)
            await sending
            return found, client.resumed

    def again() -> None:
        if how == "kill":
            first.kill()
        else:
            code, took_s = first.stop()
            assert code in (0, -15)
            assert took_s < 5
        restarted.append(ServerProcess(exported_package.folder, *options, port=first.port))

    with first:
        try:
            found, resumed = asyncio.run(through_a_restart())
        finally:
            for server in restarted:
                server.kill()
                server.__exit__()
    assert resumed >= 1
    np.testing.assert_allclose(probabilities(found), wanted, atol=1e-6)


def test_a_client_that_vanishes_goes_on_where_it_was(url: str, wanted: np.ndarray) -> None:
    async def broken() -> list[Any]:
        async with connect(url) as client:
            sending, found = stream(client, BLOCKS, pause_s=0.001), []
            async for decision in client.decisions():
                found.append(decision)
                if decision.token in (40, 150) and client._socket is not None:
                    client._socket.transport.abort()  # as if the network were gone
            await sending
            assert client.resumed >= 2
            return found

    np.testing.assert_allclose(probabilities(asyncio.run(broken())), wanted, atol=1e-6)


def test_another_process_goes_on_with_a_resume_token(url: str, wanted: np.ndarray) -> None:
    async def begin() -> tuple[list[Any], str]:
        async with connect(url, answer="block") as client:
            for b in BLOCKS[:75]:
                await client.send(b)
            found: list[Any] = []
            async for decision in client.decisions():
                found.append(decision)
                if len(found) == 150:
                    break
            return found, client.welcome["resume"]

    async def go_on(token: str) -> list[Any]:
        async with connect(url, resume=token) as client:
            assert (client.n_samples, client.n_tokens) == (1500, 150)
            sending = stream(client, BLOCKS[75:])
            found = [d async for d in client.decisions()]
            await sending
            return found

    first, token = asyncio.run(begin())
    np.testing.assert_allclose(probabilities([*first, *asyncio.run(go_on(token))]), wanted, atol=1e-6)


@contextmanager
def raw(url: str, **hello: Any) -> Iterator[Any]:
    with open_socket(url.replace("http", "ws") + "/v1/stream", compression=None) as socket:
        socket.send(orjson.dumps({"type": "hello", "format_version": 1, **hello}).decode())
        yield socket


def _until_closed(socket: Any, kept: list[Any]) -> None:
    while True:
        kept.append(socket.recv(timeout=10))


def closed(socket: Any) -> tuple[dict[str, Any], int]:
    """Return the error that the server told and the code it closed with."""
    kept: list[Any] = []
    with pytest.raises(ConnectionClosed) as caught:
        _until_closed(socket, kept)
    assert caught.value.rcvd is not None
    texts = [orjson.loads(m) for m in kept if isinstance(m, str)]
    return texts[-1] if texts else {}, caught.value.rcvd.code


GARBAGE = [
    (b"", 1007),
    (b"\x01", 1007),
    (b"\x07" + bytes(30), 1003),
    (protocol.pack(99, sequence=1), 1008),
    (protocol.pack(protocol.SAMPLES, sequence=1, count=4), 1007),
    (protocol.pack(protocol.SAMPLES, sequence=2, count=1, payload=bytes(12)), 1008),
    ("text", 1003),
]


@pytest.mark.parametrize(("data", "code"), GARBAGE, ids=range(len(GARBAGE)))
def test_a_malformed_frame_is_refused_with_a_reason(url: str, data: Any, code: int) -> None:
    with raw(url) as socket:
        socket.recv()
        socket.send(data)
        told, found = closed(socket)
    assert (told["type"], found) == ("error", code)
    assert told["message"]


@pytest.mark.parametrize(
    ("hello", "wanted", "code"),
    [
        ({"task": "hand"}, "No task 'hand'. Did you mean 'hands'", 1008),
        ({"signal": {"sfreq": 250, "ch_names": list(RAW.ch_names)}}, "The signal has 250 Hz", 1008),
        ({"signal": {"sfreq": 100, "ch_names": ["C3", "Cz"]}}, "missing: C4", 1008),
        ({"dtype": "int16"}, "int16 samples need 'step'", 1008),
        ({"format_version": 9}, "hello says format_version 9", 1003),
        ({"resume": "x" * 12 + ".y"}, "No connection of yours has this resume token", 1008),
        ({"adapt": True}, "lets no decoder adapt", 1008),
    ],
)
def test_a_hello_that_cannot_be_served_is_refused_with_a_reason(
    url: str, hello: dict[str, Any], wanted: str, code: int
) -> None:
    with raw(url, **hello) as socket:
        told, found = closed(socket)
    assert wanted in told["message"]
    assert found == code


def test_an_oversized_frame_is_refused_and_others_go_on(exported_package: Package) -> None:
    with served(settings_of(exported_package, limits=Limits(frame_bytes=4096))) as url, raw(url) as good:
        good.recv()
        with raw(url) as bad:
            bad.recv()
            bad.send(bytes(5000))
            assert closed(bad)[1] == 1009
        good.send(protocol.samples(BLOCKS[0], sequence=1, start=0))
        frames = [protocol.unpack(good.recv(timeout=10))]
        while frames[-1].type != protocol.DECISIONS:
            frames.append(protocol.unpack(good.recv(timeout=10)))
        assert frames[-1].count == 2


def test_who_says_no_hello_is_closed(exported_package: Package) -> None:
    with served(settings_of(exported_package, limits=Limits(hello_s=0.2))) as url:
        with open_socket(url.replace("http", "ws") + "/v1/stream") as socket:
            told, code = closed(socket)
        assert (told["code"], code) == ("hello", 1008)


def test_a_full_server_says_so_and_takes_the_next_when_one_left(exported_package: Package) -> None:
    with served(settings_of(exported_package, limits=Limits(connections=2))) as url:
        with raw(url) as one, raw(url) as two:
            one.recv(), two.recv()
            with raw(url) as three:
                told, code = closed(three)
            assert (told["code"], code) == ("full", 1013)
        for _ in range(50):
            with raw(url) as again:
                if orjson.loads(again.recv())["type"] == "welcome":
                    break
        else:
            pytest.fail("nobody was let in after two had left")


def test_a_thousand_garbage_frames_block_nobody(url: str, wanted: np.ndarray) -> None:
    stop = threading.Event()

    def throw() -> None:
        rng = np.random.default_rng(0)
        while not stop.is_set():
            with raw(url) as socket:
                for _ in range(10):
                    try:
                        socket.send(bytes(rng.integers(0, 256, int(rng.integers(0, 3000)), np.uint8)))
                    except ConnectionClosed:
                        break

    thread = threading.Thread(target=throw)
    thread.start()
    try:
        for _ in range(3):
            np.testing.assert_allclose(probabilities(decode(url, BLOCKS)), wanted, atol=1e-6)
    finally:
        stop.set()
        thread.join()


def test_health_metadata_and_metrics(url: str) -> None:
    assert get(f"{url}/v2/health/live") == (200, {"live": True})
    assert get(f"{url}/v2/health/ready") == (200, {"ready": True})
    assert get(f"{url}/v2")[1]["name"] == "neural-foundation"
    status, model = get(f"{url}/v2/models/hands")
    assert status == 200
    assert model["inputs"] == [{"name": "signal", "datatype": "FP32", "shape": [-1, 3, -1]}]
    assert model["parameters"]["ch_names"] == ["C3", "Cz", "C4"]
    assert get(f"{url}/v2/models/hands/versions/{model['versions'][0]}/ready")[1]["ready"]
    assert get(f"{url}/v2/models/feet")[0] == 404
    assert get(f"{url}/v2/models/hands/versions/nope")[0] == 404
    status, text = get(f"{url}/metrics")
    assert status == 200
    assert "neural_foundation_blocks_total" in text


def tensor(values: np.ndarray, **changes: Any) -> dict[str, Any]:
    given = {"name": "signal", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [given | changes]}


def test_inference_equals_the_stream(url: str, wanted: np.ndarray) -> None:
    body = tensor(np.stack([VALUES, VALUES * 0.5])) | {"id": "seven"}
    status, answer = post(f"{url}/v2/models/hands/infer", body)
    assert (status, answer["id"], answer["model_name"]) == (200, "seven", "hands")
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}
    np.testing.assert_allclose(outputs["probability"][0].T, wanted, atol=1e-5)
    assert outputs["sample"].tolist() == list(range(10, 3001, 10))
    assert outputs["label"][0] == ("left", "right")[int(wanted[:, -1].argmax())]
    asked = post(f"{url}/v2/models/hands/infer", body | {"outputs": [{"name": "label"}]})[1]["outputs"]
    assert [o["name"] for o in asked] == ["label"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"{", "The body is not JSON"),
        ([], "The body has no list 'inputs'"),
        ({"inputs": []}, "0 inputs"),
        (tensor(VALUES[None], datatype="FP16"), "datatype 'FP16'"),
        (tensor(VALUES[None], shape=[1, 2, 4500]), "shape [1, 2, 4500]. Allowed: [pieces, 3, samples]"),
        (tensor(VALUES[None], data=[1.0, 2.0]), "not as many numbers"),
        (tensor(VALUES[None], data="abc"), "not as many numbers"),
        (tensor(VALUES[None]) | {"outputs": [{"name": "mood"}]}, "No output 'mood'"),
    ],
)
def test_a_wrong_request_is_one_clear_error(url: str, body: Any, wanted: str) -> None:
    status, answer = post(f"{url}/v2/models/hands/infer", body)
    assert status == 400
    assert wanted in answer["error"]


def test_a_large_body_is_refused(exported_package: Package) -> None:
    with served(settings_of(exported_package, limits=Limits(body_bytes=2000))) as url:
        assert post(f"{url}/v2/models/hands/infer", b"[" + b" " * 3000)[0] == 413


def test_a_client_says_what_is_wrong(url: str) -> None:
    async def wrong_shape() -> None:
        async with connect(url) as client:
            await client.send(np.zeros((2, 10)))

    async def wrong_class() -> None:
        async with connect(url) as client:
            await client.feedback(0, "up")

    with pytest.raises(DataError, match=r"A block has shape \(2, 10\). Allowed: \(3, n_times\)"):
        asyncio.run(wrong_shape())
    with pytest.raises(DataError, match="No class 'up'. Allowed: 'left' or 'right'"):
        asyncio.run(wrong_class())
    with pytest.raises(ServerError, match="No task 'feet'"):
        decode(url, BLOCKS, task="feet")
    with pytest.raises(ServerError, match="cannot be reached"):
        decode(f"http://127.0.0.1:{live_server.free_port()}", BLOCKS)
