"""The verb `stream` through a running server: what comes back is what is decoded here, and a closed loop closes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_package

from neural_foundation.models.package import Package
from neural_foundation.recordings import Intervals, write_session

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore"}


def command(*words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "neural_foundation", *words)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def server(exported_package: Package) -> Iterator[str]:
    """The address of a server of the small package."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "neural_foundation", "serve", str(exported_package.folder), "--port", str(port)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        for _ in range(600):
            assert process.poll() is None, process.stderr and process.stderr.read()[-3000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sent") / "anna.h5"
    from neural_foundation.core.stream import Chunk

    chunks = [Chunk.of(small_package.signal(2000))]
    write_session(path, session_id="a", subject="anna", spec=small_package.RAW, chunks=chunks, trials=Intervals())
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_the_server_decides_what_is_decided_here(
    server: str, exported_package: Package, recording: Path, tmp_path: Path
) -> None:
    shared = ["--source", f"file:{recording}", "--speed", "max", "--json"]
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    command("stream", "--package", str(exported_package.folder), *shared, "--out", f"jsonl:{here}")
    told = json.loads(command("stream", "--url", server, *shared, "--out", f"jsonl:{there}").stdout)
    assert (told["lost"], told["reordered"], told["decisions"]) == (0, 0, 200)
    first, second = lines(here), lines(there)
    assert [d["sample"] for d in first] == [d["sample"] for d in second]
    assert [d["decision"] for d in first] == [d["decision"] for d in second]
    p, q = (np.array([list(d["probability"].values()) for d in part]) for part in (first, second))  # type: ignore[attr-defined]
    np.testing.assert_allclose(p, q, atol=1e-6)  # over the wire they are float32


def test_many_connections_get_all_of_it(server: str, recording: Path) -> None:
    words = ["--url", server, "--source", f"file:{recording}", "--speed", "4", "--connections", "5", "--json"]
    told = json.loads(command("stream", *words).stdout)
    assert (told["lost"], told["reordered"], told["decisions"]) == (0, 0, 1000)
    assert len(told["latency_ms"]) == 4
