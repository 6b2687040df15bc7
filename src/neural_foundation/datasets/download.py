"""Bytes from a server: whole and with the right checksum under their final name, or not there at all.

The standard library's HTTP client, as neither pooch nor requests goes on with a half file. What was received is kept
in a hidden file beside the final name (`.NAME.<12 digits of the checksum>.part`), so the next call asks for the rest.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.store import rename, writing
from .sources import FetchError, Remote

TIMEOUT_S = 30.0
WAITS_S = (1.0, 5.0, 15.0)  # between tries
MAX_FILE = 1 << 42
_BLOCK = 1 << 18
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Told = Callable[[int, int | None], None]  # (bytes so far, of how many)


class _TryAgain(Exception):
    """The server did not answer, or stopped in the middle."""


_FAULTS = (
    *(_TryAgain, urllib.error.URLError, http.client.HTTPException),
    *(ssl.SSLError, TimeoutError, ConnectionError),
)


def get(url: str, most: int, *, by_hand: str = "") -> bytes:
    """Return what lies at `url`, at most `most` bytes; FetchError where that fails."""

    def once() -> bytes:
        with _open(url, 0) as answer:
            content = bytes(answer.read(most + 1))
            if len(content) > most:
                raise FetchError(url, f"the answer has more than {most} bytes", remedy=by_hand)
            said = _length(answer)
            if said is not None and said > len(content):
                raise _TryAgain(f"only {len(content)} of {said} bytes came")
            return content

    return bytes(_patiently(once, url, by_hand))


def download(remote: Remote, target: Path, *, by_hand: str = "", told: Told | None = None) -> None:
    """Write the file at `target`, going on where an earlier call stopped; FetchError where it is not to be had.

    A content of another size or checksum is removed, never put under the final name.
    """
    part = target.with_name(f".{target.name}.{remote.digest.partition(':')[2][:12]}.part")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists() and part.stat().st_size > 0
        _patiently(lambda: _append(remote, part, by_hand, told), remote.url, by_hand)
        if resumed and not matches(part, remote):
            part.unlink()  # the half that was there may be what is wrong
            _patiently(lambda: _append(remote, part, by_hand, told), remote.url, by_hand)
        _refuse_other(remote, part, by_hand)
        rename(part, target)


def matches(path: Path, remote: Remote) -> bool:
    """Return whether a file has the published size and checksum."""
    if remote.size is not None and path.stat().st_size != remote.size:
        return False
    return digest(path, remote.digest.partition(":")[0]) == remote.digest


def matches_unpacked(path: Path, remote: Remote) -> bool:
    """Return whether a gzipped file holds exactly the published one."""
    kind = remote.digest.partition(":")[0]
    size = remote.size if kind == "git-sha1" else None
    try:
        with gzip.open(path) as file:
            return _digest(file, kind, size) == remote.digest
    except (OSError, EOFError):
        return False


def digest(path: Path, kind: str) -> str:
    """Return 'sha256:...', or 'git-sha1:...' as git names a file's content."""
    with path.open("rb") as file:
        return _digest(file, kind, path.stat().st_size)


def _digest(file: Any, kind: str, size: int | None) -> str:
    # git hashes the word blob and the size before the content; no secret hangs on it
    if kind == "git-sha1":
        state = hashlib.sha1(b"blob %d\0" % (size or 0), usedforsecurity=False)
    else:
        state = hashlib.sha256()
    while block := file.read(_BLOCK):
        state.update(block)
    return f"{kind}:{state.hexdigest()}"


def _refuse_other(remote: Remote, part: Path, by_hand: str) -> None:
    size, found = part.stat().st_size, digest(part, remote.digest.partition(":")[0])
    if found == remote.digest and size == (size if remote.size is None else remote.size):
        return
    part.unlink()
    given = f"what came ({size} bytes, {found}) is not what was published"
    allowed = remote.digest if remote.size is None else f"{remote.size} bytes, {remote.digest}"
    raise FetchError(remote.url, given, allowed=allowed, remedy=f"Nothing was kept. {by_hand}")


def _append(remote: Remote, part: Path, by_hand: str, told: Told | None) -> None:
    """Add to the half file what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == remote.size:
        return
    if remote.size is not None and have > remote.size:
        part.unlink()
        have = 0
    try:
        with _open(remote.url, have) as answer:
            if have and not (answer.status == 206 and _starts_at(answer, have)):
                have = 0  # the server sends all of it again
            _receive(answer, remote, part, have, by_hand, told)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # nothing follows what we have: it is whole, or of another file, as its checksum will say


def _receive(answer: Any, remote: Remote, part: Path, have: int, by_hand: str, told: Told | None) -> None:
    said = _length(answer)
    total = None if said is None else have + said
    if None not in (total, remote.size) and total != remote.size:
        given = f"the server offers {total} bytes"
        raise FetchError(remote.url, given, allowed=f"{remote.size} as published", remedy=by_hand)
    most = remote.size if remote.size is not None else total if total is not None else MAX_FILE
    with part.open("ab" if have else "wb") as file:
        while block := answer.read(_BLOCK):
            have += len(block)
            if have > most:
                file.close()
                part.unlink()
                raise FetchError(remote.url, f"the server sends more than {most} bytes", remedy=by_hand)
            file.write(block)
            if told is not None:
                told(have, total)
    if total is not None and have < total:
        raise _TryAgain(f"only {have} of {total} bytes came")


def _length(answer: Any) -> int | None:
    """Return how many bytes the server says will follow; None where it says nothing of use."""
    said = (answer.headers.get("Content-Length") or "").strip()
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else None


def _starts_at(answer: Any, have: int) -> bool:
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have


def _patiently(once: Callable[[], Any], url: str, by_hand: str) -> Any:
    """Return what `once` gives, tried again where a server may have better luck the next time."""
    remedy = by_hand or "Check the network"
    why = ""
    for wait_s in (*WAITS_S, None):
        try:
            return once()
        except urllib.error.HTTPError as error:
            why = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code != 429:
                raise FetchError(url, why, remedy=remedy) from None
        except ValueError as error:  # an address or a header that is none
            raise FetchError(url, f"the server's answer makes no sense ({error})", remedy=remedy) from None
        except _FAULTS as error:
            why = f"no answer ({getattr(error, 'reason', None) or error or type(error).__name__})"
            if _hopeless(error):
                break
        if wait_s is not None:
            time.sleep(wait_s)
    raise FetchError(url, why, remedy=remedy, unreachable=True)


def _hopeless(error: BaseException) -> bool:
    """Return whether the name of the server is unknown: without a network, nobody wants to wait."""
    import socket

    return isinstance(getattr(error, "reason", None), socket.gaierror)


@contextlib.contextmanager
def _open(url: str, offset: int) -> Iterator[Any]:
    from .. import __version__

    if not _trusted(url):
        raise FetchError(url, "the address is not secure", allowed="https")
    request = urllib.request.Request(url, headers={"User-Agent": f"neural-foundation/{__version__}"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    with urllib.request.build_opener(_Redirect()).open(request, timeout=TIMEOUT_S) as answer:
        yield answer


def _trusted(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


class _Redirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        # a secure page must not send us to an insecure place, nor into this machine
        secure = urlsplit(req.full_url).scheme == "https"
        if not _trusted(newurl) or (secure and urlsplit(newurl).scheme != "https"):
            raise FetchError(req.full_url, f"the server sends us on to {newurl}", allowed="https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
