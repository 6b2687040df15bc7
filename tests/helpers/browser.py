"""A headless Chromium, driven over its DevTools protocol: no library but a WebSocket.

Set NEURAL_FOUNDATION_SCREENSHOTS to a folder to keep the pictures that tests take.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-port=0"
PATIENCE_S = 30.0
SHAPES = {"desktop": (1440, 900), "tablet": (1024, 768), "upright": (768, 1024), "phone": (390, 844)}


class Tab:
    """One tab of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.n = socket, 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        self.n += 1
        self.socket.send(orjson.dumps({"id": self.n, "method": method, "params": params}).decode())
        while True:
            message = orjson.loads(self.socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self.n:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def eval(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, name: str) -> str:
        return str(self.eval(f"document.getElementById('{name}').textContent"))

    def until(self, script: str) -> Any:
        """Return what a script gives once that is something."""
        for _ in range(round(PATIENCE_S / 0.1)):
            if found := self.eval(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"never: {script}; the page says {self.eval('document.body.innerText')}")

    def go(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def look(self, shape: str, scheme: str) -> None:
        """Take the size of a device, and light or dark."""
        width, height = SHAPES[shape]
        phone = shape != "desktop"
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if shape == "phone" else 1, "mobile": phone}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, name: str) -> None:
        folder = os.environ.get("NEURAL_FOUNDATION_SCREENSHOTS")
        if folder:
            data = self.ask("Page.captureScreenshot", format="png")["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))

    def complaints(self, *, of_network: bool = True) -> list[dict[str, Any]]:
        """Return errors, warnings and breaches of the content policy so far."""
        self.eval("1")  # what was said before it has come by now
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown" or params.get("type") in ("error", "warning", "assert"):
                found.append(params)
            entry = params.get("entry", {})
            if entry.get("level") in ("error", "warning") and (of_network or entry["source"] != "network"):
                found.append(entry)
        return found


@contextmanager
def running(home: Path) -> Iterator[str | None]:
    """Run a browser; yield the address of its DevTools, None where it does not start."""
    environment = os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={home / 'profile'}", "about:blank"]
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        port = home / "profile" / "DevToolsActivePort"
        for _ in range(round(PATIENCE_S / 0.1)):
            if process.poll() is not None or (port.exists() and port.read_text().count("\n")):
                break
            time.sleep(0.1)
        try:
            yield f"127.0.0.1:{port.read_text().splitlines()[0]}" if port.exists() else None
        finally:
            process.terminate()


@contextmanager
def tab(browser: str, shape: str = "desktop", scheme: str = "dark") -> Iterator[Tab]:
    request = urllib.request.Request(f"http://{browser}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        target = orjson.loads(answer.read())
    with open_socket(target["webSocketDebuggerUrl"], max_size=None) as socket:
        made = Tab(socket)
        made.look(shape, scheme)
        yield made
        made.ask("Page.close")
