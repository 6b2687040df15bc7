"""Access: which credential a request carries, whose it is, and what they may do.

A credential is an API key (`keys.py`) or a JWT (`jwt_tokens.py`). It comes in the header `Authorization: Bearer ...`,
or from a browser, whose WebSockets cannot set headers, as the subprotocol `bearer.<credential>`; never in an address,
which ends up in logs and histories. What is refused is refused in the same words whatever was wrong with it; the reason
goes to the server's log, without the credential.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from ..core.errors import NeuralFoundationError
from .jwt_tokens import JwtSettings, Tokens
from .keys import SCOPES, Keys

log = logging.getLogger(__name__)

LONGEST = 8192  # characters of a credential: longer ones are refused unread
IN_SUBPROTOCOL = "bearer."
_IN_ADDRESS = frozenset({"access_token", "api_key", "apikey", "auth", "authorization", "bearer", "jwt", "key", "token"})
_HOW = "Send 'Authorization: Bearer KEY', or from a browser the WebSocket subprotocol 'bearer.KEY'"


class AccessError(NeuralFoundationError):
    """Somebody may not do this; `status` is 401 (nobody we know) or 403 (known, but not allowed to)."""

    def __init__(self, status: int, given: str, *, allowed: str = "", remedy: str = "") -> None:
        super().__init__(given, allowed=allowed, remedy=remedy)
        self.status = status


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request is from. `expires_s`: Unix time when the credential ends, and with it every connection of it."""

    name: str
    scopes: frozenset[str]
    kind: Literal["key", "jwt", "open"]
    expires_s: float | None = None
    key_id: str | None = None


LOCAL = Principal("local", frozenset(SCOPES), "open")


class Access:
    """Who may do what on one server."""

    def __init__(self, keys: Keys | None, tokens: Tokens | None) -> None:
        self._keys, self._tokens = keys, tokens

    @classmethod
    def of(cls, keys: Path | None, jwt: JwtSettings | None) -> Access:
        """Return the access that the settings describe; StoreError or SpecError where a file of theirs is not right."""
        return cls(Keys(keys) if keys else None, Tokens(jwt) if jwt else None)

    @property
    def open(self) -> bool:
        """Nothing is configured: everybody is 'local' and may do everything. Only for a loopback address."""
        return self._keys is None and self._tokens is None

    def principal(self, credential: str | None) -> Principal:
        """Return whose credential this is; AccessError 401 where it is none that this server accepts."""
        if self.open:
            return LOCAL
        if not credential:
            raise AccessError(401, "No credential was given", remedy=_HOW)
        if len(credential) > LONGEST:
            raise _refused("too long")
        if credential.startswith("nf_"):
            return self._of_key(credential)
        return self._of_token(credential)

    def require(self, principal: Principal, scope: str) -> None:
        """Raise AccessError 403 where a principal lacks a scope."""
        if scope not in principal.scopes:
            log.info("scope refused", extra={"principal": principal.name, "scope": scope})
            raise AccessError(403, f"This credential lacks the scope '{scope}'", remedy="Ask for a key that has it")

    def holds(self, principal: Principal) -> bool:
        """Whether a principal's credential is still good: not ended, and if it is a key, not revoked."""
        if principal.expires_s is not None and time.time() >= principal.expires_s:
            return False
        if principal.kind == "key":
            return self._keys is not None and self._keys.holds(principal.key_id or "")
        return True

    def _of_key(self, text: str) -> Principal:
        if self._keys is None:
            raise _refused("no keys are configured")
        key, reason = self._keys.check(text)
        if key is None:
            raise _refused(reason)
        ends = key.expires.timestamp() if key.expires else None
        return Principal(key.name, frozenset(key.scopes), "key", ends, key.id)

    def _of_token(self, text: str) -> Principal:
        if self._tokens is None:
            raise _refused("no tokens are configured")
        claims, reason = self._tokens.check(text)
        if claims is None:
            raise _refused(reason)
        return Principal(claims.name, claims.scopes, "jwt", claims.expires_s)


def _refused(reason: str) -> AccessError:
    log.info("credential refused", extra={"reason": reason})
    return AccessError(401, "The credential is not accepted", remedy="Use one that was made for this server")


def credential_of(headers: Mapping[str, str], subprotocols: Sequence[str] = (), query: str = "") -> str | None:
    """Return the credential that a request carries, None where it carries none.

    AccessError 401 where it is in the address (`query`, what follows the `?`), in two places, or not a Bearer one.
    """
    if _IN_ADDRESS & {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}:
        raise AccessError(401, "The address carries a credential, and addresses end up in logs", remedy=_HOW)
    found = [_bearer(value) for name, value in headers.items() if name.lower() == "authorization"]
    found += [p[len(IN_SUBPROTOCOL) :] for p in subprotocols if p.startswith(IN_SUBPROTOCOL)]
    if len(found) > 1:
        raise AccessError(401, "The request carries more than one credential", allowed="one", remedy=_HOW)
    return found[0] if found else None


def _bearer(value: str) -> str:
    scheme, _, credential = value.strip().partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise AccessError(401, "The header 'Authorization' carries no Bearer credential", remedy=_HOW)
    return credential.strip()
