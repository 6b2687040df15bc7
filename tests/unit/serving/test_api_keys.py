"""API keys: made once, recognised by their hash, ended by time or by hand, in a file that nobody else reads."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import statistics
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import SpecError, StoreError
from neural_foundation.serving.keys import KEY, Keys, hash_of, new_key, read, revoke, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_has_the_form_that_is_promised_and_opens(path: Path) -> None:
    text, key = new_key(path, "lab", ["watch", "stream"])
    assert text.startswith(f"nf_{key.id}_")
    assert len(text) == len("nf_12345678_") + 43
    assert KEY.fullmatch(text)
    found, reason = Keys(path).check(text)
    assert (found, reason) == (key, "")
    assert key.scopes == ("stream", "watch")
    assert key.expires is None


def test_the_file_holds_no_secret_and_is_its_owners_alone(path: Path) -> None:
    text, key = new_key(path, "lab", ["stream"])
    secret = text.rpartition(f"{key.id}_")[2]
    content = path.read_text()
    assert secret not in content
    assert hashlib.sha256(secret.encode()).hexdigest() in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    value = json.loads(content)
    assert value["format_version"] == 1
    assert set(value["keys"][0]) == {"id", "name", "hash", "scopes", "created", "expires"}


def test_the_file_is_never_open_to_others_while_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "replace", lambda a, b: seen.append(stat.S_IMODE(os.stat(a).st_mode)))
    old = os.umask(0)
    try:
        new_key(path, "lab", ["stream"])
    finally:
        os.umask(old)
    assert seen == [0o600]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    new_key(path, "lab", ["stream"])
    path.chmod(mode)
    with pytest.raises(StoreError, match=rf"mode {mode:04o}.*chmod 600"):
        Keys(path)


def test_a_wrong_secret_an_unknown_id_and_what_is_no_key_open_nothing(path: Path) -> None:
    text, key = new_key(path, "lab", ["stream"])
    other, _ = new_key(path, "other", ["stream"])
    keys = Keys(path)
    mixed = f"nf_{key.id}_{other[-43:]}"
    last = text[:-1] + ("A" if text[-1] != "A" else "E")
    for wrong in (
        mixed,
        last,
        "nf_aaaaaaaa_" + text[-43:],
        text + "x",
        text[:-1],
        "",
        "nf_",
        text.upper(),
        f"{text}\n",
    ):
        assert keys.check(wrong)[0] is None, wrong


@settings(deadline=None, max_examples=25)
@given(wrong=st.text(max_size=80))
def test_no_text_but_the_key_opens_or_crashes(wrong: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("k") / "keys.json"
    new_key(path, "lab", ["stream"])
    assert Keys(path).check(wrong)[0] is None
    assert Keys(path).check(f"nf_{wrong}")[0] is None


def test_the_last_character_is_not_malleable(path: Path) -> None:
    """43 characters hold 258 bits: decoders take 4 texts for the same 32 bytes, and the text that was given is one."""
    text, _ = new_key(path, "lab", ["stream"])
    keys = Keys(path)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [c for c in alphabet if keys.check(text[:-1] + c)[0]] == [text[-1]]


def test_an_unknown_id_costs_what_a_wrong_secret_costs(path: Path) -> None:
    text, key = new_key(path, "lab", ["stream"])
    keys = Keys(path)

    def median_s(given: str) -> float:
        times = []
        for _ in range(400):
            start = time.perf_counter()
            keys.check(given)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    known, unknown = f"nf_{key.id}_{'A' * 43}", f"nf_zzzzzzzz_{'A' * 43}"
    ratios = [median_s(known) / median_s(unknown) for _ in range(5)]
    assert 0.5 < statistics.median(ratios) < 2


def test_a_key_ends_when_it_is_said_to(path: Path) -> None:
    text, key = new_key(path, "visitor", ["stream"], expires_days=0.5)
    assert key.expires is not None
    ends = key.expires.timestamp()
    assert ends - key.created.timestamp() == 43200
    keys = Keys(path)
    assert keys.check(text, ends - 1)[0] == key
    assert keys.check(text, ends) == (None, "expired key")
    assert keys.holds(key.id, ends - 1)
    assert not keys.holds(key.id, ends)


def test_a_key_that_is_revoked_opens_nothing_without_a_restart(path: Path) -> None:
    text, key = new_key(path, "lab", ["stream"])
    kept, _ = new_key(path, "kept", ["stream"])
    keys = Keys(path)
    assert keys.check(text)[0]
    assert revoke(path, key.id).name == "lab"
    assert keys.check(text) == (None, "unknown key")
    assert not keys.holds(key.id)
    assert keys.check(kept)[0]
    added, _ = new_key(path, "added", ["stream"])
    assert keys.check(added)[0]


def test_a_file_that_goes_bad_lets_nobody_in_until_it_is_good_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, _ = new_key(path, "lab", ["stream"])
    good, keys = path.read_bytes(), Keys(path)
    assert keys.check(text)[0]
    path.write_bytes(b"{")
    assert keys.check(text)[0] is None
    keys.check(text)
    assert len(caplog.records) == 1, "said once, not with each request"
    path.unlink()
    assert keys.check(text)[0] is None
    write_private(path, good)
    assert keys.check(text)[0]
    path.chmod(0o644)
    assert keys.check(text)[0] is None


def write_private(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


GOOD = '{"id":"abcdefgh","name":"n","hash":"' + "0" * 64 + '","scopes":["stream"],"created":"2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of keys"),
        (b"\xff\xfe", "not a file of keys"),
        (b"[]", "not a file of keys"),
        (b'{"format_version": 2, "keys": []}', "format_version 2. Allowed: up to 1"),
        (b'{"format_version": 1, "keys": [{"id": "a"}]}', "keys.0.name: Field required"),
        (f'{{"format_version":1,"keys":[{GOOD},{GOOD}]}}'.encode(), "two keys of one id"),
        (GOOD.replace("stream", "root").join(['{"keys":[', "]}"]).encode(), "keys.0.scopes.0: Input should be"),
        (GOOD.replace("00Z", "00").join(['{"keys":[', "]}"]).encode(), "keys.0.created"),
    ],
)
def test_what_is_no_file_of_keys_is_said_to_be_none(path: Path, content: bytes, message: str) -> None:
    write_private(path, content)
    with pytest.raises(StoreError, match=message):
        read(path)


def test_a_secret_in_the_wrong_place_of_the_file_is_not_shown(path: Path) -> None:
    secret = "S" * 43
    write_private(path, GOOD.replace("0" * 64, secret).join(['{"keys":[', "]}"]).encode())
    with pytest.raises(StoreError) as caught:
        read(path)
    assert secret not in str(caught.value)
    assert "keys.0.hash" in str(caught.value)


def test_a_missing_file_names_the_command(path: Path) -> None:
    with pytest.raises(StoreError, match="neural-foundation key new"):
        Keys(path)


@pytest.mark.parametrize(
    ("scopes", "days", "name", "message"),
    [
        ([], None, "lab", "no scope.*'stream', 'infer', 'watch' or 'admin'"),
        (["stream", "root"], None, "lab", "stream, root"),
        (["stream"], 0.0, "lab", "--expires-days is 0"),
        (["stream"], float("nan"), "lab", "--expires-days is nan"),
        (["stream"], None, "", "field 'name'"),
    ],
)
def test_what_a_key_cannot_be(path: Path, scopes: list[str], days: float | None, name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        new_key(path, name, scopes, days)
    assert not path.exists()


def test_keys_that_are_made_at_once_are_all_kept(path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda n=n: made.append(new_key(path, f"n{n}", ["infer"])[0])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = Keys(path)
    assert len(made) == 8
    assert all(keys.check(text)[0] for text in made)
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]


def test_revoking_what_is_not_there_does_not_repeat_what_was_typed(path: Path) -> None:
    text, _ = new_key(path, "lab", ["stream"])
    with pytest.raises(StoreError, match="no key with the id given") as caught:
        revoke(path, text)
    assert text not in str(caught.value)


def test_equal_keys_give_equal_bytes(path: Path) -> None:
    _, key = new_key(path, "lab", ["stream"])
    first = path.read_bytes()
    write(path, [key])
    assert path.read_bytes() == first
    assert read(path).keys == (key,)
    assert hash_of("x") != hash_of("y")


def test_a_name_is_one_keys_until_that_is_revoked(path: Path) -> None:
    """Who has a name owns its connections; a second key of it would see the first one's."""
    _, key = new_key(path, "lab", ["stream"], expires_days=1e-9)
    with pytest.raises(SpecError, match=f"The name 'lab' is that of the key {key.id}.*key revoke {key.id}"):
        new_key(path, "lab", ["watch"])
    assert read(path).keys == (key,)
    revoke(path, key.id)
    assert new_key(path, "lab", ["watch"])[1].name == "lab"
