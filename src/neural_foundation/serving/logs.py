"""Logs of a server: one line a record, as JSON or text, in which no credential is ever written.

Code logs with the standard library: `log.info("connection closed", extra={"task": task, "reason": reason})`. The
message is the event, a constant text; what varies goes into `extra`. Every line passes `redact` as the last thing
before it is written, so that a credential in a message, argument, field, address or traceback stays out of it.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

GONE = "[redacted]"
_SPACE = r"(?:\s|\\+[tnr]|%20|\+)+"
_RULES = (
    # nf_<id>_<secret>: the id is no secret and says which key it was
    (re.compile(r"nf_([a-z0-9]{1,16})_[A-Za-z0-9_.~+/=-]+", re.ASCII), rf"nf_\1_{GONE}"),
    # a JWT, whole or cut: base64url that begins as a JSON object does. No rule can be made to backtrack at length
    (re.compile(r"e(?:y[A-DI-L]|w[0ko])[A-Za-z0-9_-]{8}[A-Za-z0-9_.~+/=-]*", re.ASCII), GONE),
    # header `Authorization: Bearer ...`, subprotocol `bearer....`; a space may be escaped, in JSON or in an address
    (re.compile(rf"(bearer)({_SPACE}|\.)(?!nf_\w+_\[red)[A-Za-z0-9._~+/=%-]+", re.I), rf"\1\2{GONE}"),
    # the token that opens a connection again, in a welcome or hello that somebody logs
    (re.compile(r"(resume[\\\"'\s:=]{1,8})[A-Za-z0-9_.-]{16,}", re.ASCII), rf"\1{GONE}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"]*"), GONE),
)
_SECRETS = ("authorization", "credential", "password", "resume", "secret", "token")  # fields that are never shown
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_BREAKS = {c: f"\\u{c:04x}" for c in (0x7F, 0x85, 0x2028, 0x2029)}  # some readers end a line at them
LONGEST = 4000  # characters of one text: a stranger's address can have 64,000
_PROBES = ("/v2/health/", "/metrics")


def redact(text: str) -> str:
    """Return a text without the credentials in it: keys, tokens, and whatever follows the word Bearer."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


class Redacted(logging.Formatter):
    """The parts that both forms of a line share; `format` is the last thing before a line is written."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(self.line(record))

    def line(self, record: logging.LogRecord) -> str:
        """Return the line of a record, not yet redacted."""
        raise NotImplementedError

    def error(self, record: logging.LogRecord) -> str:
        """Return the traceback of a record, or nothing."""
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        return "\n".join(parts + ([record.stack_info] if record.stack_info else []))


class JsonLines(Redacted):
    """One JSON object a line: time (UTC), level, logger, event, fields, and error where there was one."""

    def line(self, record: logging.LogRecord) -> str:
        event, fields = content(record)
        value: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            "fields": fields | _span(),
        }
        value = _plain(value)
        if error := self.error(record):
            value["error"] = error
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.translate(_BREAKS)


class TextLines(Redacted):
    """One line for people: time, level, logger, event, fields as name=value; a traceback follows on its own lines."""

    def line(self, record: logging.LogRecord) -> str:
        event, fields = content(record)
        said = "".join(f" {name}={json.dumps(value)}" for name, value in _plain(fields).items())
        error = self.error(record)
        head = f"{_time(record)} {record.levelname:<7} {record.name}: {event}"
        return _one_line(head + said) + (f"\n{error}" if error else "")


def content(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Return the event of a record and its fields; a request or socket is one event, its address without the query."""
    if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, address, _, status = record.args
        path = str(address).partition("?")[0]
        return "request", {"client": client, "method": method, "path": path, "status": status}
    if record.name == "uvicorn.error" and "WebSocket %s" in str(record.msg) and isinstance(record.args, tuple):
        client, address, *status = record.args
        path, said = str(address).partition("?")[0], str(status[0]) if status else str(record.msg).rpartition(" ")[2]
        return "socket", {"client": client, "path": path, "status": said.strip("[]")}
    fields = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
    said = record.getMessage()[:LONGEST]
    event = fields.pop("event", None)  # `extra={"event": ...}` names the event of a message whose text varies
    return (str(event), fields | {"message": said}) if event else (said, fields)


def not_a_probe(record: logging.LogRecord) -> bool:
    """Whether a record is worth a line: health probes and scrapes that went well come every few seconds."""
    if record.name != "uvicorn.access" or not isinstance(record.args, tuple) or len(record.args) != 5:
        return True
    return not (str(record.args[2]).startswith(_PROBES) and record.args[4] == 200)


def configure(format: Literal["json", "text"] = "text", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs of this process to one stream (standard error), in one form; what was configured before is undone.

    uvicorn must be started with `log_config=None`, or it takes its own loggers back.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    handler.addFilter(not_a_probe)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    """Keep a stranger's line breaks and terminal codes from looking like lines of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold; what is none of its own becomes text."""
    if isinstance(value, Mapping):
        return {str(k): GONE if str(k).lower() in _SECRETS else _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)[:LONGEST]


def _span() -> dict[str, str]:
    """Return the ids of the span that is open here, where traces are on: a line then leads to its trace."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    found = trace.get_current_span().get_span_context()
    return {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"} if found.is_valid else {}
