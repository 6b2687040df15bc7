"""The page's files: what is sent, with which headers; that it needs nothing from elsewhere and no unsafe means."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from neural_foundation.serving import page_route

FILES = page_route.assets()
SCRIPTS = {name: a.body.decode() for name, a in FILES.items() if name.endswith(".js")}


async def asked(path: str, method: str = "GET", **headers: str) -> Response:
    app = FastAPI()
    app.include_router(page_route.routes())
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


def get(path: str, method: str = "GET", **headers: str) -> Response:
    return asyncio.run(asked(path, method, **headers))


def test_the_document_is_sent_without_a_key_and_never_kept() -> None:
    answer = get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "Research use. Not a medical device." in answer.text


@pytest.mark.parametrize("name", sorted(set(FILES) - {page_route.START}))
def test_each_file_is_sent_as_what_it_is(name: str) -> None:
    answer = get(f"/page/{name}")
    assert (answer.status_code, answer.content) == (200, FILES[name].body)
    assert answer.headers["content-type"] == page_route.TYPES[Path(name).suffix]
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/style.css"])
def test_the_policy_lets_nothing_else_in(path: str) -> None:
    answer = get(path)
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_a_browser_has_is_not_sent_again() -> None:
    tag = get("/page/main.js").headers["etag"]
    again = get("/page/main.js", **{"if-none-match": f'W/{tag}, "other"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"]
    assert get("/page/main.js", **{"if-none-match": '"other"'}).status_code == 200


def test_a_head_has_no_body() -> None:
    answer = get("/", "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/page/", "/page/none.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/index.html"]
)
def test_there_is_nothing_else(path: str) -> None:
    assert get(f"/page/{path}").status_code == 404


def test_each_import_and_link_is_one_of_the_files() -> None:
    named = {m for text in SCRIPTS.values() for m in re.findall(r"^import [^;]*\"\./([^\"]+)\";", text, re.MULTILINE)}
    document = FILES[page_route.START].body.decode()
    named |= set(re.findall(r"(?:src|href)=\"/page/([^\"]+)\"", document))
    assert named == set(FILES) - {page_route.START}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_comes_from_elsewhere_or_becomes_markup(name: str) -> None:
    text = FILES[name].body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]+/|url\(|@import", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", text)
    assert not re.search(r"<[^>]* (style|on\w+)=", text), "the policy lets no inline style or handler"
    assert not re.search(r"\b(window|globalThis)\b", text), "no globals"


def test_each_element_that_a_script_names_is_there() -> None:
    document = FILES[page_route.START].body.decode()
    there = re.findall(r"id=\"([\w-]+)\"", document)
    assert len(there) == len(set(there))
    named = {m for text in SCRIPTS.values() for m in re.findall(r"byId\(\"([\w-]+)\"\)", text)}
    assert named <= set(there), named - set(there)


def test_the_files_are_part_of_the_package() -> None:
    told = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert "serving/page/*" in told["tool"]["setuptools"]["package-data"]["neural_foundation"]


def channel(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def luminance(colour: str) -> float:
    red, green, blue = (channel(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_and_lines_can_be_told_from_their_ground(scheme: int) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for graphics."""
    blocks = re.findall(r":root \{(.*?)\}", FILES["style.css"].body.decode(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ink in ("ink", "muted", "ok", "warn", "alarm", "trace-a", "trace-b"):
        for ground in ("paper", "raised", "plot"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for line in ("accent", "mark-missing", "mark-skipped", "mark-invalid", *(f"k{i}" for i in range(8))):
        assert contrast(colours[line], colours["plot"]) >= 3, line
