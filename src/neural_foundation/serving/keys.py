"""API keys: who may do what, in one small file that only the server's user can read.

A key is `nf_<id>_<secret>`: the id names it in lists and logs, the secret is 32 random bytes in base64url. The file
holds the SHA-256 of the secret. A slow hash (bcrypt, Argon2) protects what people choose and can be guessed; 256 random
bits cannot be, so one SHA-256 is enough, and a check costs microseconds. The file is read again when it changes: a key
that is revoked opens nothing from then on, without a restart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from pydantic import AwareDatetime, Field, ValidationError

from ..core.errors import NeuralFoundationError, SpecError, StoreError, one_of
from ..core.kinds import spec_error
from ..core.specs import Spec
from ..core.store import atomic

log = logging.getLogger(__name__)

Scope = Literal["stream", "infer", "watch", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
FORMAT_VERSION = 1
KEY = re.compile(r"nf_([a-z0-9]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODY = "0" * 64  # what an unknown id is compared with, so that it costs what a known one costs
T = TypeVar("T")


class Key(Spec):
    """One key as the file holds it: everything but its secret."""

    id: str = Field(pattern=r"^[a-z0-9]{8}$")
    name: str = Field(min_length=1, max_length=100, description="who or what has it; shown in lists and logs")
    hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the secret, hexadecimal")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None = None

    def expired(self, now_s: float) -> bool:
        return self.expires is not None and now_s >= self.expires.timestamp()


class KeyFile(Spec):
    """The content of `keys.json`."""

    format_version: Literal[1] = 1
    keys: tuple[Key, ...] = ()


class Watched(Generic[T]):
    """What a file holds, parsed again when the file changes. While it is missing or damaged it holds nothing."""

    def __init__(self, path: Path, parse: Callable[[Path], T]) -> None:
        """Read it; raises what `parse` raises."""
        self._path, self._parse = path, parse
        self._mark = self._seen()
        self._value: T | None = parse(path)

    def value(self) -> T | None:
        """Return what the file holds now, None where it cannot be read; that is logged once a change."""
        mark = self._seen()
        if mark != self._mark:
            self._mark, self._value = mark, None
            try:
                self._value = self._parse(self._path)
            except NeuralFoundationError as error:
                log.error("a file of credentials cannot be read: nobody gets in by it", extra={"reason": str(error)})
        return self._value

    def _seen(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode


class Keys:
    """The keys of one file, as a running server asks for them."""

    def __init__(self, path: Path) -> None:
        """Read the file; StoreError where it is missing, damaged, or open to others."""
        self._file = Watched(path, _by_id)

    def check(self, text: str, now_s: float | None = None) -> tuple[Key | None, str]:
        """Return the key that `text` is, and "", or None and why not (for the server's log alone)."""
        match = KEY.fullmatch(text)
        id_, secret = match.groups() if match else ("", text)
        key = (self._file.value() or {}).get(id_)
        right = hmac.compare_digest(hash_of(secret), key.hash if key else _NOBODY)
        if key is None or not right:
            return None, "unknown key"
        if key.expired(time.time() if now_s is None else now_s):
            return None, "expired key"
        return key, ""

    def holds(self, id_: str, now_s: float | None = None) -> bool:
        """Whether the key of this id is in the file and has not expired: for connections that are open."""
        key = (self._file.value() or {}).get(id_)
        return key is not None and not key.expired(time.time() if now_s is None else now_s)


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a secret's text, hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _by_id(path: Path) -> dict[str, Key]:
    return {k.id: k for k in read(path).keys}


def read(path: Path) -> KeyFile:
    """Return what a file of keys holds; StoreError where it is missing, damaged, newer, or open to others."""
    path = Path(path)
    try:
        private(path)
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(
            f"{path} is missing", remedy="Make a first key: neural-foundation key new NAME --scope stream"
        ) from None
    except (ValueError, OSError) as error:
        raise StoreError(f"{path} is not a file of keys ({type(error).__name__})", remedy=_REMEDY) from None
    version = value.get("format_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StoreError(f"{path} has format_version {version}", allowed=f"up to {FORMAT_VERSION}", remedy="Upgrade")
    try:
        found = KeyFile.model_validate(value)
    except ValidationError as error:
        raise StoreError(f"{path} is not a file of keys: {_findings(error)}", remedy=_REMEDY) from None
    if len({k.id for k in found.keys}) < len(found.keys):
        raise StoreError(f"{path} holds two keys of one id", remedy=_REMEDY)
    return found


def _findings(error: ValidationError) -> str:
    """Say where a file is wrong and how, but not what is there: a secret could have been put in a wrong place."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


_REMEDY = "Put back a copy, or remove it and make new keys"


def private(path: Path) -> None:
    """Raise StoreError where others than its owner can read or write a file."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise StoreError(
            f"{path} can be read or written by others than its owner (mode {mode:04o})",
            allowed="mode 0600 or 0400",
            remedy=f"Run: chmod 600 {path}",
        )


def write(path: Path, keys: Sequence[Key]) -> None:
    """Write a file of keys: whole or absent, mode 0600 from its first byte, of the owner that it had."""
    text = json.dumps(KeyFile(keys=tuple(keys)).model_dump(mode="json"), indent=1) + "\n"
    with atomic(path) as temporary:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        if path.exists():  # root may add a key to the file of the service's user, who must still read it
            os.chown(temporary, path.stat().st_uid, path.stat().st_gid)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time change the files of a folder; nothing is left in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def new_key(path: Path, name: str, scopes: Sequence[str], expires_days: float | None = None) -> tuple[str, Key]:
    """Add a key to the file, which is made where it is missing; return its text, which is nowhere else, and its entry.

    Raises SpecError for a scope or name that is not allowed or in use (who has a name owns the connections of it),
    StoreError where the file cannot be used.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        given = ", ".join(scopes) or "no scope"
        raise SpecError(f"A key was asked for with {given}", allowed=f"--scope {one_of(SCOPES)}, one or more")
    if expires_days is not None and not 0 < expires_days < 36500:
        raise SpecError(f"--expires-days is {expires_days:g}", allowed="more than 0, less than 36500")
    secret, now = secrets.token_urlsafe(32), datetime.now(UTC).replace(microsecond=0)
    with _alone(Path(path)):
        old = read(path).keys if path.exists() else ()
        _unused(name, old)
        entry = {
            "id": _free_id({k.id for k in old}),
            "name": name,
            "hash": hash_of(secret),
            "scopes": tuple(s for s in SCOPES if s in scopes),
            "created": now,
            "expires": None if expires_days is None else now + timedelta(days=expires_days),
        }
        try:
            key = Key.model_validate(entry)
        except ValidationError as error:
            raise spec_error("key", error, Key) from None
        write(path, [*old, key])
    return f"nf_{key.id}_{secret}", key


def _unused(name: str, keys: Sequence[Key]) -> None:
    other = next((k for k in keys if k.name == name), None)
    if other is not None:
        raise SpecError(
            f"The name '{name}' is that of the key {other.id}, and its connections would be shared",
            remedy=f"Give another name, or first run: neural-foundation key revoke {other.id}",
        )


def _free_id(taken: set[str]) -> str:
    while (id_ := "".join(secrets.choice(_ALPHABET) for _ in range(8))) in taken:
        pass
    return id_


def revoke(path: Path, id_: str) -> Key:
    """Remove a key by its id; StoreError where there is none of it."""
    with _alone(path):
        old = read(path).keys
        gone = [k for k in old if k.id == id_]
        if not gone:
            raise StoreError(f"{path} holds no key with the id given", remedy="See: neural-foundation key list")
        write(path, [k for k in old if k.id != id_])
    return gone[0]
