"""The page of the REST interface at `/docs`: plain HTML of `/openapi.json`, without a script.

FastAPI's own page loads scripts from elsewhere, and would run them where the live page keeps a key.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response

from .page_route import HEADERS

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
dt { margin-top: .8rem; }
dd { margin: 0 0 0 1.5rem; }
code { font-family: ui-monospace, monospace; }
"""
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
METHODS = ("get", "post", "put", "patch", "delete", "head")


def add_api_page(app: FastAPI) -> None:
    """Add `/docs` to an application made with `docs_url=None`; it asks for no key and holds no data."""

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        headers = {**HEADERS, "content-security-policy": POLICY, "cache-control": "no-cache"}
        return Response(page(app.openapi()), media_type="text/html; charset=utf-8", headers=headers)


def page(api: dict[str, Any]) -> str:
    """Return an OpenAPI description as one page of HTML; all of its text is escaped."""
    title = escape(f"{api['info']['title']} {api['info']['version']}")
    said = "".join(f"<p>{escape(p)}</p>\n" for p in api["info"].get("description", "").split("\n\n") if p.strip())
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}: API</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="/page/favicon.svg" type="image/svg+xml">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<h1>{title}</h1>\n{said}<p>For programs: <a href="/openapi.json">openapi.json</a>. Live: <a href="/">the '
        f"page</a>.</p>\n{_routes(api)}</body>\n</html>\n"
    )


def _routes(api: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for path, item in api.get("paths", {}).items():
        for method in (m for m in METHODS if m in item):
            group = (item[method].get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_route(path, method, item[method]))
    return "".join(f"<h2>{escape(g)}</h2>\n<dl>\n{''.join(rows)}</dl>\n" for g, rows in groups.items())


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    said = ". ".join(s.strip().rstrip(".") for s in (route.get("summary", ""), route.get("description", "")) if s)
    return f"<dt><code>{method.upper()} {escape(path)}</code></dt>\n<dd>{escape(said)}</dd>\n"
