"""Who comes in: credentials and web origins, checked before a socket is accepted or a request read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from .auth import AccessError, Principal, credential_of
from .protocol import SUBPROTOCOL
from .settings import LOOPBACK

if TYPE_CHECKING:
    from .app import Service


def allowed(connection: HTTPConnection, service: Service, scope: str) -> Principal:
    """Return who asks, if they may; AccessError (401, 403) else."""
    _same_origin(connection, service)
    query = connection.scope.get("query_string", b"").decode("latin-1")  # `connection.url` fails on an odd Host
    given = credential_of(connection.headers, connection.scope.get("subprotocols", ()), query)
    principal = service.access.principal(given)
    service.access.require(principal, scope)
    return principal


def _same_origin(connection: HTTPConnection, service: Service) -> None:
    """Refuse web pages of other origins, and names that only pretend to be this machine (DNS rebinding)."""
    host = connection.headers.get("host", "")
    if service.access.open and not service.settings.open_to_all and _name(f"//{host}") not in LOOPBACK:
        raise AccessError(403, f"The host '{host[:100]}' is not this machine", remedy="Use localhost, or keys")
    origin = connection.headers.get("origin")
    if origin is None or origin in service.settings.origins or (host and _place(origin) == host):
        return
    raise AccessError(
        403, f"Pages of the origin '{origin[:100]}' may not connect", remedy="Name it in the server's 'origins'"
    )


def _place(origin: str) -> str:
    """Return the host and port of an origin, '' where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def came_in(socket: WebSocket, service: Service, scope: str) -> Principal | None:
    """Accept a socket and return whose it is; None, and an answer of 401 or 403, for who may not."""
    try:
        principal = allowed(socket, service, scope)
    except AccessError as error:
        service.metrics.connections_refused.labels("access").inc()
        headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
        await socket.send_denial_response(JSONResponse({"error": str(error)}, error.status, headers))
        return None
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    return principal
