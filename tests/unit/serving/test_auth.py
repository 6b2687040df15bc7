"""Who gets in: keys and tokens, where they are carried, and every way in which they are refused."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neural_foundation.core.errors import SpecError, StoreError
from neural_foundation.serving.auth import LONGEST, Access, AccessError, Principal, credential_of
from neural_foundation.serving.jwt_tokens import JwtSettings
from neural_foundation.serving.keys import new_key, revoke

SECRET = "s" * 48
RSA = rsa.generate_private_key(65537, 2048)
EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
WHO = {"issuer": "https://id.example.org", "audience": "decoder"}


def pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    return data


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": WHO["issuer"], "aud": WHO["audience"], "sub": "ward-7", "iat": now, "exp": now + 600}
    return {k: v for k, v in (good | {"scope": "stream watch"} | changes).items() if v is not None}


def encode(key: Any, algorithm: str, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


def raw(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    """Return a token as an attacker writes it, by hand."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setenv("DECODER_SECRET", SECRET)
    return Access.of(None, JwtSettings(algorithms=("HS256",), secret_env="DECODER_SECRET", **WHO))


def with_public(tmp_path: Path, algorithm: str) -> Access:
    path = tmp_path / "public.pem"
    path.write_bytes(pem(PRIVATE[algorithm]))
    return Access.of(None, JwtSettings(algorithms=(algorithm,), public_key=path, **WHO))


def refused(access: Access, credential: str | None) -> str:
    with pytest.raises(AccessError) as caught:
        access.principal(credential)
    assert caught.value.status == 401
    assert len(credential or "") < 9 or credential not in str(caught.value)
    return str(caught.value)


# ---- keys -----------------------------------------------------------------------------------------------------------


def test_without_settings_everybody_is_local_and_may_do_all() -> None:
    access = Access.of(None, None)
    assert access.open
    assert access.principal(None) == Principal("local", frozenset({"stream", "infer", "watch", "admin"}), "open")
    assert access.holds(access.principal("anything"))


def test_a_key_gives_its_name_scopes_and_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text, key = new_key(path, "lab", ["stream", "infer"], expires_days=1)
    access = Access.of(path, None)
    who = access.principal(text)
    assert key.expires is not None
    assert not access.open
    assert (who.name, who.kind, who.scopes) == ("lab", "key", {"stream", "infer"})
    assert who.expires_s == key.expires.timestamp()


def test_a_scope_that_is_lacked_is_403_and_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text, _ = new_key(path, "lab", ["admin"])
    access = Access.of(path, None)
    who = access.principal(text)
    access.require(who, "admin")
    with pytest.raises(AccessError, match="scope 'stream'") as caught:
        access.require(who, "stream")
    assert caught.value.status == 403


def test_who_is_in_is_out_once_the_key_is_revoked_or_over(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text, key = new_key(path, "lab", ["stream"])
    access = Access.of(path, None)
    who = access.principal(text)
    assert access.holds(who)
    revoke(path, key.id)
    assert not access.holds(who)
    assert not access.holds(Principal("x", frozenset(), "jwt", time.time() - 1))
    assert access.holds(Principal("x", frozenset(), "jwt", time.time() + 60))


def test_all_refusals_say_the_same(tmp_path: Path, shared: Access) -> None:
    path = tmp_path / "keys.json"
    text, key = new_key(path, "lab", ["stream"], expires_days=1e-9)
    access = Access.of(path, JwtSettings(algorithms=("HS256",), secret_env="DECODER_SECRET", **WHO))
    wrong = [text, f"nf_{key.id}_{'A' * 43}", "nf_zzzzzzzz_" + "A" * 43, "junk", "a.b.c", "x" * (LONGEST + 1)]
    wrong += [encode(SECRET, "HS256", exp=1), encode("o" * 48, "HS256"), encode(SECRET, "HS256", aud="other")]
    assert len({refused(access, w) for w in wrong}) == 1
    assert "No credential" in refused(access, None)
    assert "No credential" in refused(access, "")


def test_the_reason_is_in_the_log_and_the_credential_is_not(shared: Access, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    token = encode(SECRET, "HS256", exp=1)
    refused(shared, token)
    assert [r.__dict__["reason"] for r in caplog.records] == ["ExpiredSignatureError"]
    assert token not in str([r.__dict__ for r in caplog.records])


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.builds(lambda a, b: f"{a}.{b}.", st.text(max_size=20), st.text(max_size=20)))
def test_no_text_crashes_the_door(text: str, shared: Access) -> None:
    refused(shared, text)


# ---- where a credential is carried ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "subprotocols", "found"),
    [
        ({}, [], None),
        ({"Authorization": "Bearer abc"}, [], "abc"),
        ({"authorization": "bearer  abc "}, [], "abc"),
        ({}, ["neural-foundation.v1", "bearer.a.b.c"], "a.b.c"),
        ({}, ["neural-foundation.v1"], None),
        ({"X-Api-Key": "abc"}, [], None),
    ],
)
def test_where_a_credential_is_found(headers: dict[str, str], subprotocols: list[str], found: str | None) -> None:
    assert credential_of(headers, subprotocols) == found


@pytest.mark.parametrize(
    ("headers", "subprotocols", "query", "message"),
    [
        ({"Authorization": "Basic dXNlcjpwdw=="}, [], "", "no Bearer credential"),
        ({"Authorization": "Bearer"}, [], "", "no Bearer credential"),
        ({"Authorization": ""}, [], "", "no Bearer credential"),
        ({"Authorization": "Bearer a"}, ["bearer.a"], "", "more than one"),
        ({}, ["bearer.a", "bearer.b"], "", "more than one"),
        ({}, [], "token=abc", "The address carries a credential.*subprotocol"),
        ({"Authorization": "Bearer a"}, [], "x=1&Access_Token=abc", "The address carries a credential"),
        ({}, [], "key", "The address carries a credential"),
    ],
)
def test_where_a_credential_may_not_be(
    headers: dict[str, str], subprotocols: list[str], query: str, message: str
) -> None:
    with pytest.raises(AccessError, match=message) as caught:
        credential_of(headers, subprotocols, query)
    assert caught.value.status == 401
    assert "abc" not in str(caught.value)
    assert "dXNl" not in str(caught.value)


def test_other_words_in_an_address_are_none_of_ours() -> None:
    assert credential_of({}, (), "task=motor&monkey=1&passkey_count=2") is None


# ---- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(PRIVATE))
def test_a_token_of_the_provider_gets_in(tmp_path: Path, algorithm: str) -> None:
    access = with_public(tmp_path, algorithm)
    who = access.principal(encode(PRIVATE[algorithm], algorithm))
    assert (who.name, who.kind, who.scopes) == ("ward-7", "jwt", {"stream", "watch"})
    assert who.expires_s == pytest.approx(time.time() + 630, abs=5), "its end and the leeway"


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ({"scope": "stream"}, {"stream"}),
        ({"scope": None, "scp": ["infer", "admin", 3]}, {"infer", "admin"}),
        ({"scope": None, "scp": "watch infer"}, {"watch", "infer"}),
        ({"scope": None}, set()),
        ({"scope": "openid root STREAM"}, set()),
        ({"scope": {"stream": True}}, set()),
    ],
)
def test_scopes_of_a_token(shared: Access, given: dict[str, Any], scopes: set[str]) -> None:
    assert shared.principal(encode(SECRET, "HS256", **given)).scopes == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": True},
        {"nbf": 2**40},
        {"iat": 2**40},
        {"iss": "https://evil.example.org"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another"]},
        {"sub": None},
        {"sub": ""},
        {"sub": "s" * 257},
    ],
    ids=str,
)
def test_a_token_whose_claims_are_not_right_is_refused(shared: Access, changes: dict[str, Any]) -> None:
    refused(shared, encode(SECRET, "HS256", **changes))


def test_a_subject_is_taken_whole(shared: Access) -> None:
    """Who a token is from owns its connections: two that begin alike are two."""
    one, other = (shared.principal(encode(SECRET, "HS256", sub="s" * 255 + end)) for end in "ab")
    assert one.name == "s" * 255 + "a"
    assert one.name != other.name


def test_clocks_may_differ_by_the_leeway_and_no_more(shared: Access) -> None:
    shared.principal(encode(SECRET, "HS256", exp=int(time.time()) - 20))
    refused(shared, encode(SECRET, "HS256", exp=int(time.time()) - 40))


def test_a_token_without_signature_is_refused(shared: Access, tmp_path: Path) -> None:
    signed = encode(SECRET, "HS256")
    head, body, _ = signed.split(".")
    for access in (shared, with_public(tmp_path, "RS256")):
        for name in ("none", "None", "NONE", "nOnE", "", None, ["HS256"], 5):
            refused(access, raw({"alg": name, "typ": "JWT"}, claims()))
        for text in (
            f"{head}.{body}.",
            f"{head}.{body}",
            f"{head}..{body}",
            raw({}, claims()),
            raw({"alg": "HS256"}, 3),
        ):
            refused(access, text)


@pytest.mark.parametrize("algorithm", sorted(PRIVATE))
def test_a_public_key_is_no_shared_secret(tmp_path: Path, algorithm: str) -> None:
    """The known attack: sign with HMAC, with the public key, which anybody has, as the secret."""
    import hashlib
    import hmac

    access, public = with_public(tmp_path, algorithm), pem(PRIVATE[algorithm])
    for secret in (public, public.strip(), public.replace(b"\n", b"\r\n")):
        unsigned = raw({"alg": "HS256", "typ": "JWT"}, claims()).rpartition(".")[0]
        mac = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
        refused(access, f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_a_token_of_another_key_or_algorithm_is_refused(tmp_path: Path, shared: Access) -> None:
    access = with_public(tmp_path, "RS256")
    refused(access, encode(rsa.generate_private_key(65537, 2048), "RS256"))
    refused(access, encode(RSA, "RS512"))
    refused(access, encode(RSA, "PS256"))
    refused(access, encode(EC, "ES256"))
    refused(shared, encode("o" * 48, "HS256"))
    refused(shared, encode("s" * 64, "HS512"))
    refused(shared, encode(RSA, "RS256"))


def test_headers_that_point_elsewhere_are_not_followed(tmp_path: Path) -> None:
    """`jku`, `x5u` and `jwk` would have the server take the attacker's key from the attacker's token."""
    access, own = with_public(tmp_path, "RS256"), rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
    refused(access, encode(own, "RS256", {"jwk": jwk, "jku": "http://127.0.0.1:9/", "kid": "../../dev/null"}))
    refused(access, encode(RSA, "RS256", {"crit": ["x"], "x": 1}))


def test_a_token_that_was_changed_is_refused(shared: Access) -> None:
    head, body, mac = encode(SECRET, "HS256").split(".")
    more = base64.urlsafe_b64encode(json.dumps(claims(scope="admin")).encode()).rstrip(b"=").decode()
    refused(shared, f"{head}.{more}.{mac}")
    refused(shared, f"{head}.{body}.{mac[:-2]}")


# ---- key sets -------------------------------------------------------------------------------------------------------


def jwk_of(key: Any, **more: Any) -> dict[str, Any]:
    makers: dict[type, Callable[..., str]] = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm.to_jwk,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm.to_jwk,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm.to_jwk,
    }
    maker = next(m for kind, m in makers.items() if isinstance(key, kind))
    return {**json.loads(maker(key.public_key())), **more}


def key_set(path: Path, *keys: Any) -> JwtSettings:
    path.write_text(json.dumps({"keys": list(keys)}))
    return JwtSettings(algorithms=("RS256", "ES256", "EdDSA"), jwks=path, **WHO)


def test_a_key_set_serves_each_key_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    encryption = jwk_of(rsa.generate_private_key(65537, 2048), kid="e", use="enc")
    access = Access.of(
        None, key_set(path, jwk_of(RSA, kid="r"), jwk_of(EC, kid="c"), jwk_of(ED, kid="d"), encryption, {"kty": "new"})
    )
    for kid, algorithm in (("r", "RS256"), ("c", "ES256"), ("d", "EdDSA")):
        assert access.principal(encode(PRIVATE[algorithm], algorithm, {"kid": kid})).name == "ward-7"
    refused(access, encode(RSA, "RS256", {"kid": "c"}))
    refused(access, encode(RSA, "RS256", {"kid": "unknown"}))
    refused(access, encode(RSA, "RS256"))
    head = {"alg": "RS256", "kid": ["r"]}
    refused(access, raw(head, claims(), b"x" * 256))


def test_keys_rotate_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    access = Access.of(None, key_set(path, jwk_of(RSA, kid="old")))
    old, new = encode(RSA, "RS256", {"kid": "old"}), encode(EC, "ES256", {"kid": "new"})
    access.principal(old)
    refused(access, new)
    key_set(path, jwk_of(EC, kid="new"))
    access.principal(new)
    refused(access, old)
    path.write_text("{}")
    refused(access, new)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([{"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "x"}], "secret or private"),
        ([json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA))], "secret or private"),
        ([], "holds no key for"),
        ([jwk_of(ec.generate_private_key(ec.SECP384R1()))], "holds no key for"),
        ([jwk_of(RSA, kid="x"), jwk_of(EC, kid="x")], "two keys of one name"),
        ([jwk_of(RSA), jwk_of(EC, kid="x")], "without a name"),
        ([5], "not a JSON Web Key Set"),
    ],
)
def test_key_sets_that_are_refused(tmp_path: Path, keys: list[Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Access.of(None, key_set(tmp_path / "jwks.json", *keys))


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithms": ("HS256",)}, "none given"),
        ({"algorithms": ("HS256",), "secret_env": "A", "jwks": "b"}, "secret_env and jwks given"),
        ({"algorithms": ("HS256", "RS256"), "secret_env": "A"}, "cannot stand beside"),
        ({"algorithms": ("HS256",), "public_key": "k.pem"}, "'public_key' does not serve HS256"),
        ({"algorithms": ("RS256",), "secret_env": "A"}, "'secret_env' does not serve RS256"),
        ({"algorithms": ("none",), "secret_env": "A"}, "Input should be 'HS256'"),
        ({"algorithms": (), "secret_env": "A"}, "at least 1"),
        ({"algorithms": ("RS256",), "jwks": "a", "issuer": ""}, "issuer"),
        ({"algorithms": ("HS256",), "secret": SECRET}, "secret"),
    ],
)
def test_settings_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JwtSettings(**{**WHO, **fields})


def test_a_short_or_missing_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECODER_SECRET", "s" * 31)
    with pytest.raises(SpecError, match=r"\$DECODER_SECRET has 31 bytes. Allowed: 32") as caught:
        Access.of(None, JwtSettings(algorithms=("HS256",), secret_env="DECODER_SECRET", **WHO))
    assert "sss" not in str(caught.value)
    monkeypatch.delenv("DECODER_SECRET")
    with pytest.raises(SpecError, match="has 0 bytes"):
        Access.of(None, JwtSettings(algorithms=("HS256",), secret_env="DECODER_SECRET", **WHO))


def test_a_secret_in_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    wanted = JwtSettings(algorithms=("HS256",), secret_file=path, **WHO)
    assert Access.of(None, wanted).principal(encode(SECRET, "HS256")).name == "ward-7"
    path.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        Access.of(None, wanted)


@pytest.mark.parametrize(
    ("data", "algorithm", "message"),
    [
        (b"hello", "RS256", "is not a public key"),
        (pem(EC), "RS256", "serves ES256; algorithms are RS256"),
        (pem(rsa.generate_private_key(65537, 1024)), "RS256", "serves none of"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "ES256", "serves none of"),
        (
            EC.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()),
            "ES256",
            "holds a private key",
        ),
    ],
)
def test_public_keys_that_are_refused(tmp_path: Path, data: bytes, algorithm: str, message: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=message):
        Access.of(None, JwtSettings(algorithms=(algorithm,), public_key=path, **WHO))
    with pytest.raises(StoreError, match="cannot be read"):
        Access.of(None, JwtSettings(algorithms=(algorithm,), public_key=tmp_path / "none", **WHO))
