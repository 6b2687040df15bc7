"""JWT: tokens of an identity provider, verified with its public key or a shared secret.

RFC 7519, with the advice of RFC 8725: the algorithms come from the settings and never from the token, a key serves the
algorithms of its own type alone (a public key is never taken for a shared secret), `alg: none` is not a choice, and
issuer, audience, end and subject must be there. The file of keys is read again when it changes, so that keys rotate.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..core.errors import MissingExtraError, SpecError, StoreError
from ..core.specs import Spec
from .keys import SCOPES, Watched, private

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
SHORTEST_SECRET = 32  # bytes; RFC 7518, 3.2: as long as the hash
LONGEST_SUBJECT = 256  # characters; a cut one could be another's
SHORTEST_RSA = 2048  # bits; RFC 7518, 3.3
_SOURCES = ("secret_env", "secret_file", "public_key", "jwks")


class JwtSettings(Spec):
    """Whose tokens are accepted. Exactly one of `secret_env`, `secret_file`, `public_key`, `jwks` is given."""

    algorithms: tuple[Algorithm, ...] = Field(min_length=1, description="HS256 alone, or any of the others")
    issuer: str = Field(min_length=1, description="`iss` of every token")
    audience: str = Field(min_length=1, description="what `aud` of every token names: this server")
    secret_env: str | None = Field(None, description="the environment variable with the secret of HS256")
    secret_file: Path | None = Field(None, description="the file with the secret of HS256, mode 0600")
    public_key: Path | None = Field(None, description="a public key, PEM")
    jwks: Path | None = Field(None, description="public keys, a JSON Web Key Set")
    leeway_s: float = Field(30.0, ge=0, le=300, description="how far the clocks may differ")

    @model_validator(mode="after")
    def _one_kind_of_key(self) -> JwtSettings:
        given = [n for n in _SOURCES if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(_SOURCES)}; {' and '.join(given) or 'none'} given")
        if "HS256" in self.algorithms and len(set(self.algorithms)) > 1:
            raise ValueError("HS256 has a shared secret and cannot stand beside algorithms with public keys")
        if ("HS256" in self.algorithms) != given[0].startswith("secret"):
            raise ValueError(f"'{given[0]}' does not serve {', '.join(self.algorithms)}")
        return self


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    name: str
    scopes: frozenset[str]
    expires_s: float


class Tokens:
    """Verifies tokens by one `JwtSettings`."""

    def __init__(self, settings: JwtSettings) -> None:
        """Read the keys; SpecError or StoreError where they do not serve, MissingExtraError without PyJWT."""
        _jwt()
        self._settings = settings
        self._keys = _keys_of(settings)

    def check(self, text: str) -> tuple[Claims | None, str]:
        """Return what a token says, and "", or None and why it is refused (for the server's log alone)."""
        jwt = _jwt()
        try:
            key = self._key_for(jwt.get_unverified_header(text))
            if key is None:
                return None, "no key for this token"
            return self._claims(jwt.decode(text, key, **self._rules())), ""
        except jwt.PyJWTError as error:
            return None, type(error).__name__
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # odd bytes, odd numbers
            return None, f"malformed token ({type(error).__name__})"

    def _rules(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "algorithms": list(settings.algorithms),
            "issuer": settings.issuer,
            "audience": settings.audience,
            "leeway": settings.leeway_s,
            "options": {"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        }

    def _key_for(self, header: Mapping[str, Any]) -> Any:
        """Return the key that a token names; the only one where it names none."""
        keys = self._keys.value() if isinstance(self._keys, Watched) else self._keys
        if not keys or header.get("alg") not in self._settings.algorithms:
            return None
        kid = header.get("kid")
        if None in keys:  # one key without a name: a secret or a PEM file
            return keys[None]
        return keys.get(kid) if isinstance(kid, str) else next(iter(keys.values())) if len(keys) == 1 else None

    def _claims(self, payload: Mapping[str, Any]) -> Claims:
        given = payload.get("scope", payload.get("scp", ""))
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        scopes = frozenset(w for w in words if isinstance(w, str)) & frozenset(SCOPES)
        ends = float(payload["exp"]) + self._settings.leeway_s
        name = str(payload["sub"])
        if not math.isfinite(ends) or not 0 < len(name) <= LONGEST_SUBJECT:
            raise ValueError("a claim is not usable")
        return Claims(name, scopes, ends)


def _jwt() -> Any:
    try:
        import jwt
    except ModuleNotFoundError:
        raise MissingExtraError("PyJWT", "serve") from None
    return jwt


def _keys_of(settings: JwtSettings) -> Watched[dict[str | None, Any]] | dict[str | None, Any]:
    """Return the keys by their name (`kid`), None for a key that has none."""
    algorithms = settings.algorithms
    if settings.secret_env is not None:
        return {None: _long_enough(os.environ.get(settings.secret_env, "").encode(), f"${settings.secret_env}")}
    if settings.secret_file is not None:
        return Watched(settings.secret_file, lambda path: {None: _secret(path)})
    if settings.public_key is not None:
        return Watched(settings.public_key, lambda path: {None: _public_key(path, algorithms)})
    assert settings.jwks is not None
    return Watched(settings.jwks, lambda path: _jwks(path, algorithms))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror})", remedy="Check the path and who may read it"
        ) from None


def _secret(path: Path) -> bytes:
    data = _bytes(path)
    private(path)
    return _long_enough(data.strip(), str(path))


def _long_enough(secret: bytes, where: str) -> bytes:
    if len(secret) < SHORTEST_SECRET:
        raise SpecError(
            f"The secret in {where} has {len(secret)} bytes",
            allowed=f"{SHORTEST_SECRET} or more, as many as its hash has (RFC 7518)",
            remedy="Make one with: openssl rand -base64 48",
        )
    return secret


def _public_key(path: Path, algorithms: tuple[str, ...]) -> Any:
    """Return the key of a PEM file; SpecError where it is private, or of a type that the algorithms do not use."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _bytes(path)
    if b"PRIVATE KEY" in data:
        raise SpecError(
            f"{path} holds a private key", allowed="a public key", remedy="A server only verifies: keep it away"
        )
    try:
        key = load_pem_public_key(data)
    except ValueError:
        raise SpecError(f"{path} is not a public key", allowed="PEM, '-----BEGIN PUBLIC KEY-----'") from None
    if set(algorithms) != {_algorithm_of(key)}:
        found = _algorithm_of(key) or "none of RS256, ES256, EdDSA"
        raise SpecError(f"{path} serves {found}; algorithms are {', '.join(algorithms)}", remedy="Make them agree")
    return key


def _algorithm_of(key: Any) -> str | None:
    """Return the one algorithm that a public key serves here; None for other curves and for short RSA keys."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SHORTEST_RSA:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return "ES256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else None


def _jwks(path: Path, algorithms: tuple[str, ...]) -> dict[str | None, Any]:
    """Return the signing keys of a JSON Web Key Set (RFC 7517) that serve the algorithms, by name.

    SpecError where the set holds a secret or private key, or none that serves; keys for other uses are left out.
    """
    jwt = _jwt()
    try:
        listed = json.loads(_bytes(path))["keys"]
        found = [dict(k) for k in listed if k.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{path} is not a JSON Web Key Set", allowed='{"keys": [...]}') from None
    if any(k.get("kty") == "oct" or "d" in k for k in found):
        raise SpecError(f"{path} holds a secret or private key", allowed="public keys", remedy="Take them out of it")
    keys: dict[str | None, Any] = {}
    for one in found:
        try:
            made = jwt.PyJWK.from_dict(one)
        except jwt.PyJWTError:
            continue  # a type that we do not use, which a provider may list
        if made.algorithm_name in algorithms and made.algorithm_name == _algorithm_of(made.key):
            if one.get("kid") in keys:
                raise SpecError(f"{path} holds two keys of one name ('kid')", remedy="Give each its own")
            keys[one.get("kid")] = made
    if not keys:
        raise SpecError(f"{path} holds no key for {', '.join(algorithms)}")
    if None in keys and len(keys) > 1:
        raise SpecError(f"{path} holds a key without a name ('kid') beside others", remedy="Give each its own")
    return keys
