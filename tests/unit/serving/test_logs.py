"""Logs: one line a record, in a form that machines read, and no credential in any of them."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.serving.logs import GONE, LONGEST, configure, redact

SECRET = "Zm9v_YmFy-QmF6cXV4MDEyMzQ1Njc4OWFiY2RlZmdoaWo"[:43]
KEY = f"nf_abcd1234_{SECRET}"
TOKEN = jwt.encode({"sub": "ward-7", "exp": 2**31}, "s" * 48, "HS256")
SPACED = jwt.utils.base64url_encode(b'{ "alg": "none" }').decode() + ".eyJzdWIiOiJhIn0." + SECRET
OPAQUE = "dGhpcyBpcyBvcGFxdWU.x~y+z/=="


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logs go here; what pytest and others had set up is put back."""
    root, names = logging.getLogger(), ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    before = root.handlers[:], root.level
    kept = {n: (logging.getLogger(n).handlers[:], logging.getLogger(n).propagate) for n in names}
    yield io.StringIO()
    root.handlers[:], root.level = before
    for name, (handlers, propagate) in kept.items():
        logging.getLogger(name).handlers[:] = handlers
        logging.getLogger(name).propagate = propagate


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_of_time_level_logger_event_and_fields(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    logging.getLogger("room.part").info("connection closed", extra={"task": "sleep", "seconds": 1.5, "ok": True})
    logging.getLogger("room.part").debug("not this one")
    (line,) = lines(stream)
    assert list(line) == ["time", "level", "logger", "event", "fields"]
    assert (line["level"], line["logger"], line["event"]) == ("info", "room.part", "connection closed")
    assert line["fields"] == {"task": "sleep", "seconds": 1.5, "ok": True}
    assert line["time"].endswith("Z")
    assert abs(time.time() - time.mktime(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S"))) < 86400


def test_what_json_cannot_hold_becomes_text(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    extra = {"ratio": float("nan"), "most": float("inf"), "what": {1: {2}}, "who": object, "text": "é\u2028\x00\n"}
    logging.getLogger("x").info("odd %s", "things", extra=extra)
    (line,) = lines(stream)
    assert line["event"] == "odd things"
    assert line["fields"]["ratio"] == "nan"
    assert line["fields"]["what"] == {"1": [2]}
    assert line["fields"]["text"] == "é\u2028\x00\n"


def test_a_traceback_is_part_of_the_line(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    try:
        raise ValueError(f"no such key: {KEY}")
    except ValueError:
        logging.getLogger("x").exception("request failed")
    (line,) = lines(stream)
    assert "ValueError: no such key: nf_abcd1234_" in line["error"]
    assert SECRET not in stream.getvalue()


def test_a_message_that_varies_can_name_its_event(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    logging.getLogger("x").error("state lost: %s", "disk full", extra={"event": "state_lost"})
    (line,) = lines(stream)
    assert (line["event"], line["fields"]) == ("state_lost", {"message": "state lost: disk full"})


def test_text_is_for_people(stream: io.StringIO) -> None:
    configure("text", "warning", stream)
    logging.getLogger("x").warning("connection closed", extra={"reason": "too slow", "seconds": 2})
    logging.getLogger("x").info("not this one")
    assert stream.getvalue().endswith('WARNING x: connection closed reason="too slow" seconds=2\n')


def test_a_stranger_cannot_write_a_line_of_ours(stream: io.StringIO) -> None:
    configure("text", "INFO", stream)
    logging.getLogger("x").info("hello from %s", "me\n2026-01-01 ERROR x: all is lost\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    configure("json", "INFO", stream)
    logging.getLogger("x").info("hello", extra={"who": 'a"}\n{"level":"error'})
    assert len(stream.getvalue().splitlines()) == 2


# ---- credentials ----------------------------------------------------------------------------------------------------

CARRIERS = {
    "key": KEY,
    "key in words": f"the key {KEY}, as given",
    "key in an address": f"GET /v1/stream?token={KEY}&x=1",
    "header of a key": f"Authorization: Bearer {KEY}",
    "header of a token": f"authorization: bearer {TOKEN}",
    "header of what is unknown": f"Authorization: Bearer {OPAQUE}",
    "header with a tab": f"Bearer\t{OPAQUE}",
    "header in an address": f"/x?a=Bearer%20{SECRET}&b=Bearer+{SECRET}",
    "bytes": str([(b"authorization", f"Bearer {OPAQUE}".encode())]),
    "subprotocol": f"Sec-WebSocket-Protocol: neural-foundation.v1, bearer.{TOKEN}",
    "subprotocol of a key": f"bearer.{KEY}",
    "subprotocol of what is unknown": f"bearer.{OPAQUE}",
    "token": TOKEN,
    "token after a line break": f"line\n{TOKEN}",
    "token as part of a word": f"jwt-{TOKEN} access_token={TOKEN}",
    "token with a space inside": SPACED,
    "token cut off": TOKEN[: len(TOKEN) // 2],
    "key after a line break": f"line\n{KEY}",
    "key with something after it": f"{KEY}.{SECRET}",
    "welcome": json.dumps({"connection": "rTN6TrF4ywQq", "resume": f"rTN6TrF4ywQq.{SECRET}", "task": "t"}),
    "hello in words": f"resume={SECRET} resume: '{SECRET}'",
    "two": f"{KEY} {KEY} {TOKEN}",
    "private key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END PRIVATE KEY-----",
}
PARTS = [SECRET, OPAQUE.rstrip("="), *TOKEN.split("."), TOKEN[: len(TOKEN) // 2]]


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=list(CARRIERS))
def test_no_credential_is_written_wherever_it_stands(stream: io.StringIO, form: Any, carrier: str) -> None:
    configure(form, "DEBUG", stream)
    log = logging.getLogger("x")
    log.info(carrier)
    log.info("said %s", carrier)
    log.info("said %r", carrier)
    log.info("said %(a)s", {"a": carrier})
    log.info("event", extra={"said": carrier, "headers": {"x": [carrier]}, carrier: 1})
    log.info("event", stack_info=False, exc_info=ValueError(carrier))
    written = stream.getvalue()
    assert GONE in written
    assert not [part for part in PARTS if part in written]
    if form == "json":
        assert len(lines(stream)) == 6, "what is left is still JSON"


@pytest.mark.parametrize("name", ["authorization", "Token", "secret", "password", "credential", "resume"])
def test_a_field_that_is_named_as_one_is_not_shown(stream: io.StringIO, name: str) -> None:
    configure("json", "INFO", stream)
    logging.getLogger("x").info("event", extra={name: "opaque words", "headers": {name: "opaque words"}})
    assert "opaque" not in stream.getvalue()


def test_which_key_it_was_is_told() -> None:
    assert redact(f"key {KEY} refused") == f"key nf_abcd1234_{GONE} refused"
    assert redact(f"Bearer {KEY}") == f"Bearer nf_abcd1234_{GONE}"
    assert redact("nothing to hide: keyed by 'nf', bearer, eye, e.g. 1.5.2") == (
        "nothing to hide: keyed by 'nf', bearer, eye, e.g. 1.5.2"
    )


@settings(deadline=None, max_examples=100)
@given(before=st.text(max_size=10), after=st.text(max_size=10), carrier=st.sampled_from([KEY, TOKEN, SPACED]))
def test_nothing_around_a_credential_lets_it_through(before: str, after: str, carrier: str) -> None:
    for text in (f"{before}{carrier}{after}", json.dumps({"x": before + carrier + after})):
        assert not [p for p in (SECRET, *TOKEN.split(".")) if p in redact(text)]


@pytest.mark.parametrize("text", ["ey", "eyA", "eyJ", "bearer", "bearer+", "nf_", "-----BEGIN ", "e.", "%20", "nf_a_"])
def test_no_text_takes_long_to_clean(text: str) -> None:
    start = time.perf_counter()
    redact(text * (1 << 17 // len(text)) if len(text) < 2 else text * (131072 // len(text)))
    assert time.perf_counter() - start < 1


# ---- uvicorn --------------------------------------------------------------------------------------------------------


def access(address: str, status: int = 200) -> None:
    """Log a request as uvicorn does."""
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5000", "GET", address, "1.1", status)


def test_a_request_is_one_event_without_its_query(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    access(f"/v1/connections?token=opaque&key={KEY}", 401)
    (line,) = lines(stream)
    assert line["event"] == "request"
    assert line["fields"] == {"client": "127.0.0.1:5000", "method": "GET", "path": "/v1/connections", "status": 401}


def test_probes_that_went_well_leave_no_line(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        access(path)
        access(path, 503)
    assert [line["fields"]["status"] for line in lines(stream)] == [503, 503, 503]


def test_uvicorns_own_handlers_are_taken_over(stream: io.StringIO) -> None:
    old = io.StringIO()
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler(old))
    logging.getLogger("uvicorn.access").propagate = False
    configure("json", "INFO", stream)
    access(f"/{KEY}")
    assert old.getvalue() == ""
    assert lines(stream)[0]["fields"]["path"] == f"/nf_abcd1234_{GONE}"


def test_uvicorn_itself_serves_without_a_secret_in_its_log(stream: io.StringIO) -> None:
    """A real server, asked with credentials in every place, at the level at which it says most."""
    import asyncio
    import socket

    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            logging.getLogger("app").debug("scope %s", scope["headers"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "neural-foundation.v1"})
            await send({"type": "websocket.close", "code": 1000})

    async def ask() -> None:
        import httpx
        from websockets.asyncio.client import connect

        config = uvicorn.Config(app, log_config=None, log_level="trace", lifespan="off", ws="websockets-sansio")
        server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        serving = asyncio.create_task(server.serve([listening]))
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port}/x?token={KEY}", headers={"Authorization": f"Bearer {OPAQUE}"})
        protocols: Any = ["neural-foundation.v1", f"bearer.{TOKEN}"]
        async with connect(
            f"ws://127.0.0.1:{port}/v1/stream?k={KEY}&resumed_from=x", subprotocols=protocols
        ) as socket_:
            await socket_.wait_closed()
        server.should_exit = True
        await serving

    configure("json", "DEBUG", stream)
    asyncio.run(ask())
    written = stream.getvalue()
    assert '"path":"/x"' in written
    sockets = [line["fields"] for line in lines(stream) if line["event"] == "socket"]
    assert [(s["path"], s["status"]) for s in sockets] == [("/v1/stream", "accepted")]
    said = [line for line in written.splitlines() if '"level":"info","logger":"uvicorn.error"' in line]
    assert "resumed_from" not in "".join(said), "what follows the ? of an address is not written"
    assert not [part for part in PARTS if part in written]
    assert lines(stream)


def test_long_texts_are_cut(stream: io.StringIO) -> None:
    configure("json", "INFO", stream)
    access("/" + "a" * 60000)
    assert len(stream.getvalue()) < LONGEST + 400
