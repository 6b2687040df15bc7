"""A server: uvicorn around the application, with its states saved before it stops."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from ..core.errors import MissingExtraError, SpecError, StoreError
from .settings import ServeSettings

BACKLOG = 2048
UNREAD = 128 << 10  # bytes that the kernel holds for a client that does not read; it would grow to megabytes


def configured(settings: ServeSettings) -> Any:
    """Return a uvicorn server of these settings.

    MissingExtraError without the extra 'serve'; SpecError where the certificate and its key do not serve.
    """
    try:
        import uvicorn

        from .sockets import Requests, Server, Sockets
    except ImportError:
        raise MissingExtraError("uvicorn", "serve") from None
    from .app import create_app

    check_tls(settings)

    app, limits = create_app(settings), settings.limits
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Requests,
        ws=Sockets,
        ws_max_size=limits.frame_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(limits.hello_s),
        timeout_graceful_shutdown=1,  # all has been saved and closed before
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return Server(config)


def check_tls(settings: ServeSettings) -> None:
    """Raise SpecError where the certificate and its key cannot be read or are not of each other."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=lambda: b"")  # asks nobody
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise SpecError(
            f"TLS cannot be served with {settings.tls_certificate} and {settings.tls_key} ({why})",
            allowed="a certificate chain and its own key, PEM, without a password",
            remedy="Check both paths, and who may read them",
        ) from None


def address(settings: ServeSettings, opened: socket.socket) -> str:
    """Return the address of a server that listens, as one types it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_key else 'http'}://{host}:{opened.getsockname()[1]}"


def listening(settings: ServeSettings) -> socket.socket:
    """Return the socket a server listens on; StoreError where the port is taken or not ours to take."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # named as TCP, so that asyncio sets TCP_NODELAY: else an answer waits 40 ms for the peer's delayed acknowledgement
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)  # accepted sockets inherit it
    try:
        made.bind((settings.host, settings.port))
    except OSError as error:
        made.close()
        raise StoreError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror})",
            remedy="Give another --port, or stop what uses this one",
        ) from None
    return made


@contextmanager
def served(settings: ServeSettings) -> Iterator[str]:
    """Serve from a thread of this process while the block lasts; yield the address. For tests and notebooks."""
    with closing(listening(settings)) as made:
        server = configured(settings)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[made])), daemon=True)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(0.01)
            yield address(settings, made)
        finally:
            server.should_exit = True
            thread.join()
