"""A server in a process of its own, as its users start it; and a thread that serves, for what needs no process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class ServerProcess:
    """`neural-foundation serve ...`; `stop()` sends SIGTERM and returns the exit code and how long it took."""

    def __init__(self, package: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "neural_foundation.cli", "serve", str(package), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.process.stderr.read().decode()}")  # type: ignore[union-attr]
            try:
                if get(f"{self.url}/v2/health/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the server did not start in a minute")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> tuple[int, float]:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        return code, time.monotonic() - began

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()
        if self.process.stderr is not None:
            self.process.stderr.close()


def get(url: str, key: str = "", **headers: str) -> tuple[int, Any]:
    return ask(urllib.request.Request(url), key, headers)


def post(url: str, body: Any = None, key: str = "", **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return ask(urllib.request.Request(url, data=data, method="POST"), key, headers)


def ask(request: urllib.request.Request, key: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Return the status and the content, parsed where it is JSON."""
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status, data = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, data = error.code, error.read()
    try:
        return status, orjson.loads(data)
    except orjson.JSONDecodeError:
        return status, data.decode()
