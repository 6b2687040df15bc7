"""A web server of this process that serves what a test says, and misbehaves as it says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """files : address (with its query) -> content. Each of the faults holds for one address.

    cut : bytes after which the connection is dropped, once. failing : how many times the answer is 503. says : the
    length that the server claims. endless : bytes sent without a length. moved : where the server sends on to.
    ranges : whether it can go on in the middle. asked : (address, Range) of every request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    says: dict[str, int | str] = field(default_factory=dict)
    endless: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    on_request: Callable[[str], None] | None = None

    def names(self) -> list[str]:
        """Return the addresses that were asked for, in order."""
        return [name for name, _ in self.asked]


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
    state = FileServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(state: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.on_request is not None:
                state.on_request(self.path)
            if state.failing.get(self.path, 0) > 0:
                state.failing[self.path] -= 1
                self.send_error(503)
            elif self.path in state.moved:
                self.send_response(302)
                self.send_header("Location", state.moved[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path in state.endless:
                self.send_response(200)
                self.end_headers()
                self._send(b"x" * state.endless[self.path])
            elif self.path not in state.files:
                self.send_error(404)
            else:
                self._content(state.files[self.path], wanted)

        def _content(self, content: bytes, wanted: str | None) -> None:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(state.says.get(self.path, len(body))))
            self.end_headers()
            self._send(body[: state.cut.pop(self.path, len(body))])

        def _send(self, body: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
