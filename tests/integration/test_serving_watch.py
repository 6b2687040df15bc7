"""What a page is told: traces and decisions of a stream as it runs; and a source that the server reads by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from live_server import get
from small_package import RAW, signal
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_socket

from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.models.package import Package
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.recordings import Intervals, write_edf
from neural_foundation.serving import protocol
from neural_foundation.serving.auth import LOCAL
from neural_foundation.serving.connection import Connection
from neural_foundation.serving.hello import Hello
from neural_foundation.serving.keys import new_key, revoke
from neural_foundation.serving.registry import Open
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings
from neural_foundation.serving.watch_route import TRACES, Watcher

VALUES = signal(1000)


def settings_of(package: Package, **more: Any) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=package.folder),), port=0, **more)


def at(url: str, path: str) -> str:
    return url.replace("http", "ws") + path


def begun(socket: Any) -> str:
    socket.send('{"type": "hello"}')
    return str(orjson.loads(socket.recv())["connection"])


def send(socket: Any, sequence: int, start: int, n: int = 100) -> None:
    socket.send(protocol.samples(VALUES[:, start : start + n], sequence=sequence, start=start))


def told(page: Any, n_samples: int) -> tuple[np.ndarray, list[dict[str, Any]], dict[str, Any]]:
    """Return the traces, decisions and last state until so many samples were shown and decided on."""
    traces, decisions, state = np.zeros((3, 0), np.float32), [], {}
    while traces.shape[1] < n_samples or len(decisions) < n_samples // 10:
        message = page.recv(timeout=10)
        if isinstance(message, str):
            state = orjson.loads(message)
            decisions += state.get("decisions", [])
            continue
        frame = protocol.unpack(message)
        assert (frame.type, frame.start) == (TRACES, traces.shape[1])
        part = np.frombuffer(frame.payload, "<f4").reshape(3, frame.count)
        traces = np.concatenate([traces, part], 1)
    return traces, decisions, state


def test_a_page_sees_the_stream_as_it_came_and_each_decision(exported_package: Package) -> None:
    with served(settings_of(exported_package)) as url, open_socket(at(url, "/v1/stream")) as stream:
        name = begun(stream)
        (listed,) = get(f"{url}/v1/connections")[1]
        assert (listed["connection"], listed["task"], listed["source"]) == (name, "hands", False)
        with open_socket(at(url, f"/v1/watch/{name}")) as page:
            start = orjson.loads(page.recv())
            assert (start["type"], start["classes"], start["ch_names"]) == (
                "start",
                ["left", "right"],
                list(RAW.ch_names),
            )
            for i in range(2):
                send(stream, i + 1, 100 * i)
            traces, decisions, state = told(page, 200)
            np.testing.assert_array_equal(traces, VALUES[:, :200])
            assert [d["time_s"] for d in decisions] == pytest.approx(np.arange(0.1, 2.05, 0.1))
            assert sum(state["delays"]["counts"]) == 2
            assert set(state["lights"]) == {"input", "output", "quality", "rate"}
            stream.close()
            with pytest.raises(ConnectionClosed) as caught:
                until_closed(page)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000


def test_what_a_slow_page_misses_is_counted(exported_package: Package) -> None:
    there = Open(Connection(LiveModel.open(exported_package.folder), Hello(), "x", Limits()), LOCAL)
    watcher = Watcher(there)
    for i in range(10):
        frame = protocol.samples(VALUES[:, 100 * i : 100 * i + 100], sequence=i + 1, start=100 * i)
        watcher.take(there.connection.take(protocol.unpack(frame), float(i)))
    (shown,) = [protocol.unpack(f) for f in watcher.traces()]
    assert (shown.start, shown.count, shown.sequence) == (800, 200, 800)
    assert len(watcher.state()["decisions"]) == 100, "decisions are never left out"


def until_closed(socket: Any) -> None:
    while True:
        socket.recv(timeout=10)


def test_a_page_sees_its_own_connections_alone(exported_package: Package, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    mine, yours, boss = (
        new_key(keys, name, scopes)[0]
        for name, scopes in (("a", ["stream", "watch"]), ("b", ["watch"]), ("c", ["watch", "admin"]))
    )
    with (
        served(settings_of(exported_package, keys=keys)) as url,
        open_socket(at(url, "/v1/stream"), additional_headers={"Authorization": f"Bearer {mine}"}) as stream,
    ):
        name = begun(stream)
        seen = {key: [c["connection"] for c in get(f"{url}/v1/connections", key)[1]] for key in (mine, yours, boss)}
        assert seen == {mine: [name], yours: [], boss: [name]}
        with open_socket(at(url, f"/v1/watch/{name}"), additional_headers={"Authorization": f"Bearer {yours}"}) as page:
            assert orjson.loads(page.recv())["code"] == "connection"


def test_a_page_sees_nothing_once_its_key_is_revoked(exported_package: Package, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    text, _ = new_key(keys, "a", ["stream", "watch"])
    header = {"Authorization": f"Bearer {text}"}
    with (
        served(settings_of(exported_package, keys=keys)) as url,
        open_socket(at(url, "/v1/stream"), additional_headers=header) as stream,
        open_socket(at(url, f"/v1/watch/{begun(stream)}"), additional_headers=header) as page,
    ):
        page.recv()
        revoke(keys, text.split("_")[1])
        with pytest.raises(ConnectionClosed) as caught:
            until_closed(page)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.reason in ("access: the credential has ended", "the stream has ended")


def test_more_pages_than_allowed_are_refused(exported_package: Package) -> None:
    limits = Limits(watchers=1)
    with (
        served(settings_of(exported_package, limits=limits)) as url,
        open_socket(at(url, "/v1/stream")) as stream,
    ):
        watch = at(url, f"/v1/watch/{begun(stream)}")
        with open_socket(watch) as one, open_socket(watch) as two:
            assert orjson.loads(one.recv())["type"] == "start"
            assert orjson.loads(two.recv())["code"] == "full"


def test_a_page_hears_of_models(exported_package: Package) -> None:
    with served(settings_of(exported_package)) as url:
        (model,) = get(f"{url}/v1/models")[1]
    assert model["task"] == "hands"
    assert "Research use" in model["card"]


def recording(folder: Path, ch_names: tuple[str, ...] = RAW.ch_names) -> Path:
    path = folder / "one.edf"
    spec = RAW.replace(ch_names=ch_names)
    none = Intervals(np.zeros(0), np.zeros(0), ())
    write_edf(path, values=VALUES, spec=spec, annotations=none, subject="x")
    return path


def test_the_server_decodes_a_source_by_itself(exported_package: Package, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    source = f"file:{recording(tmp_path)},speed=max"
    with served(settings_of(exported_package, source=source, outlets=(f"jsonl:{out}",))) as url:
        for _ in range(100):
            lines = out.read_text().splitlines() if out.exists() else []
            if len(lines) == 100:
                break
            time.sleep(0.1)
        assert get(f"{url}/v2/health/ready")[0] == 200
    assert [orjson.loads(line)["token"] for line in lines] == list(range(100))


def test_a_source_that_does_not_fit_stops_the_start(exported_package: Package, tmp_path: Path) -> None:
    path = recording(tmp_path, ("C3", "Cz", "Oz"))
    for source, wanted in ((f"file:{path}", "missing: C4"), (f"file:{tmp_path}/none.edf", "none.edf")):
        with pytest.raises(NeuralFoundationError, match=wanted), served(settings_of(exported_package, source=source)):
            pytest.fail("it started")
