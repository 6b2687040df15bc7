"""The page at `/`: static files of the package, served with a policy that lets nothing else in.

The files are read once and named one by one, so a path never reaches the disk. They hold no data: who looks at a stream
needs a key, the page itself does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
START = "index.html"


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, their media type, a tag that changes with them."""

    body: bytes
    media_type: str
    tag: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers it is sent with; the document is never kept, the rest is asked for again each time."""
        kept = "no-store" if self.media_type == TYPES[".html"] else "no-cache"
        return {**HEADERS, "cache-control": kept, "etag": self.tag}


@cache
def assets() -> dict[str, Asset]:
    """Return the page's files by name."""
    found = {}
    for file in files(__package__).joinpath("page").iterdir():
        kind = TYPES.get(PurePosixPath(file.name).suffix)
        if kind is not None:
            body = file.read_bytes()
            found[file.name] = Asset(body, kind, f'"{sha256(body).hexdigest()[:16]}"')
    return found


def routes() -> APIRouter:
    """Return the routes of the page: `/` and `/page/...`; they ask for no key."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", _served(START), methods=["GET", "HEAD"], response_class=Response)
    for name in assets():
        if name != START:
            router.add_api_route(f"/page/{name}", _served(name), methods=["GET", "HEAD"], response_class=Response)
    return router


def _served(name: str) -> Callable[[Request], Response]:
    asset = assets()[name]

    def served(request: Request) -> Response:
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if asset.tag in known:
            return Response(status_code=304, headers=asset.headers)
        return Response(asset.body, media_type=asset.media_type, headers=asset.headers)

    return served
