"""Nobody gets in without a key, with an ended or foreign token, or into another's connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from live_server import get, post
from small_package import signal
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect as open_socket

from neural_foundation.models.package import Package
from neural_foundation.serving import protocol
from neural_foundation.serving.client import ServerError, connect, decode
from neural_foundation.serving.jwt_tokens import JwtSettings
from neural_foundation.serving.keys import new_key, revoke
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Served, ServeSettings

BLOCKS = [signal(400)[:, i : i + 20] for i in range(0, 400, 20)]
SECRET = "a shared secret of at least thirty-two bytes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    every = {"lab": ["stream", "infer"], "clinic": ["stream"], "looker": ["watch"], "boss": ["admin", "watch"]}
    return {name: new_key(folder / "keys.json", name, scopes)[0] for name, scopes in every.items()}


@pytest.fixture(scope="module")
def url(exported_package: Package, folder: Path, keys: dict[str, str]) -> Iterator[str]:
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    settings = ServeSettings(
        packages=(Served(folder=exported_package.folder),),
        port=0,
        keys=folder / "keys.json",
        jwt=JwtSettings(algorithms=("HS256",), issuer="clinic", audience="decoder", secret_file=secret, leeway_s=0),
    )
    with served(settings) as address:
        yield address


def token(secret: str = SECRET, **changes: Any) -> str:
    claims = {"iss": "clinic", "aud": "decoder", "sub": "ward", "scope": "stream infer", "exp": time.time() + 60}
    return jwt.encode({n: v for n, v in (claims | changes).items() if v is not None}, secret, "HS256")


def refused(url: str, key: str | None, scope: str = "/v1/stream", **more: Any) -> int:
    """Return the status with which a socket is refused; 0 where it is let in."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with open_socket(url.replace("http", "ws") + scope, additional_headers=headers, **more):
            return 0
    except InvalidStatus as error:
        return error.response.status_code
    except InvalidMessage:  # no answer at all: what was sent is no request
        return 400


def test_a_key_and_a_token_come_in(url: str, keys: dict[str, str]) -> None:
    for key in (keys["lab"], token()):
        assert len(decode(url, BLOCKS, key=key)) == 40
        assert get(f"{url}/v2/models/hands", key)[0] == 200


BAD = {
    "nothing": None,
    "nonsense": "hello",
    "unknown key": "nf_AAAAAAAA_" + "A" * 43,
    "ended": token(exp=time.time() - 5),
    "endless": token(exp=None),
    "foreign issuer": token(iss="elsewhere"),
    "foreign audience": token(aud="billing"),
    "wrong secret": token("another secret of at least thirty-two bytes!"),
    "no algorithm": jwt.encode({"iss": "clinic", "aud": "decoder", "sub": "x", "exp": time.time() + 60}, "", "none"),
    "long": "x" * 9000,
}


@pytest.mark.parametrize("name", BAD)
def test_who_has_no_good_credential_does_not_come_in(url: str, name: str) -> None:
    assert refused(url, BAD[name]) == (400 if name == "long" else 401)
    status, answer = post(f"{url}/v2/models/hands/infer", {"inputs": []}, BAD[name] or "")
    assert status == 401 or (name == "long" and status in (400, 401, 431))
    if status == 401 and BAD[name]:
        assert BAD[name] not in str(answer)


def test_a_changed_secret_of_a_known_key_does_not_come_in(url: str, keys: dict[str, str]) -> None:
    last = "A" if keys["lab"][-1] != "A" else "B"
    assert refused(url, keys["lab"][:-1] + last) == 401


@pytest.mark.parametrize(
    ("who", "path", "wanted"),
    [
        ("clinic", "/v2/models/hands", 403),
        ("looker", "/v2/models/hands", 403),
        ("looker", "/metrics", 200),
        ("lab", "/metrics", 403),
        ("lab", "/v2/health/ready", 200),
    ],
)
def test_a_scope_opens_its_own_doors_alone(url: str, keys: dict[str, str], who: str, path: str, wanted: int) -> None:
    assert get(url + path, keys[who])[0] == wanted


def test_only_an_administrator_reloads(url: str, keys: dict[str, str]) -> None:
    assert post(f"{url}/v1/models/hands/reload", {}, keys["lab"])[0] == 403
    assert post(f"{url}/v1/models/hands/reload", {}, keys["boss"])[0] == 200
    assert refused(url, keys["looker"]) == 403


def test_a_browser_sends_its_key_as_a_subprotocol_and_never_in_the_address(url: str, keys: dict[str, str]) -> None:
    socket = url.replace("http", "ws") + "/v1/stream"
    with open_socket(socket, subprotocols=[protocol.SUBPROTOCOL, f"bearer.{keys['lab']}"]) as opened:
        assert opened.subprotocol == protocol.SUBPROTOCOL
        opened.send('{"type": "hello"}')
        assert orjson.loads(opened.recv())["type"] == "welcome"
    assert refused(url, None, f"/v1/stream?key={keys['lab']}") == 401


def test_pages_of_other_origins_do_not_connect(url: str, keys: dict[str, str]) -> None:
    assert refused(url, keys["lab"], origin="https://evil.example") == 403
    assert refused(url, keys["lab"], origin=url) == 0


def test_an_open_server_serves_its_own_machine_alone(exported_package: Package) -> None:
    with served(ServeSettings(packages=(Served(folder=exported_package.folder),), port=0)) as url:
        assert get(f"{url}/v2")[0] == 200
        assert get(f"{url}/v2", Host="rebound.example")[0] == 403
        assert refused(url, None, origin="https://evil.example") == 403


@contextmanager
def begun(url: str, key: str) -> Iterator[str]:
    """Yield the resume token of a stream that runs."""
    with open_socket(
        url.replace("http", "ws") + "/v1/stream", additional_headers={"Authorization": f"Bearer {key}"}
    ) as socket:
        socket.send('{"type": "hello"}')
        welcome = orjson.loads(socket.recv())
        socket.send(protocol.samples(BLOCKS[0], sequence=1, start=0))
        socket.recv()
        yield welcome["resume"]


async def _resume(url: str, key: str, resume: str) -> int:
    async with connect(url, key=key, resume=resume) as client:
        return client.n_samples


def test_nobody_gets_into_anothers_connection(url: str, keys: dict[str, str]) -> None:
    with begun(url, keys["lab"]) as resume:
        with pytest.raises(ServerError, match="No connection of yours"):
            asyncio.run(_resume(url, keys["clinic"], resume))
        with pytest.raises(ServerError, match="No connection of yours"):
            asyncio.run(_resume(url, keys["lab"], resume.split(".")[0] + ".guess"))
        assert asyncio.run(_resume(url, keys["lab"], resume)) == 20, "its own client takes it over"


def until_closed(socket: Any) -> None:
    while True:
        socket.recv(timeout=10)


def test_a_connection_ends_with_its_credential(url: str, folder: Path) -> None:
    text, _ = new_key(folder / "keys.json", "temp", ["stream"])
    id_ = text.split("_")[1]
    with begun(url, text) as _resumed:
        assert refused(url, text) == 0
        revoke(folder / "keys.json", id_)
        for _ in range(50):
            if refused(url, text) == 401:
                break
            time.sleep(0.1)
        else:
            pytest.fail("a revoked key still opens")
    headers = {"Authorization": f"Bearer {token(exp=time.time() + 2)}"}
    with open_socket(url.replace("http", "ws") + "/v1/stream", additional_headers=headers) as socket:
        socket.send('{"type": "hello"}')
        with pytest.raises(ConnectionClosed) as caught:
            until_closed(socket)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "access: the credential has ended")


def test_no_secret_is_in_an_answer_or_a_snapshot(url: str, keys: dict[str, str]) -> None:
    with begun(url, keys["lab"]):
        text = str(get(f"{url}/metrics", keys["looker"])[1])
    assert not any(k.split("_", 2)[2] in text for k in keys.values())
