"""The verb `key`: the key alone on standard output, once; everything else beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neural_foundation.cli import app
from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.serving.keys import KEY, Keys

RUNNER = CliRunner()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def ask(*words: str) -> str:
    result = RUNNER.invoke(app, ["key", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def make(file: Path, *words: str) -> str:
    return ask("new", *words, "--file", str(file)).strip()


def test_a_new_key_is_alone_on_standard_output_and_opens(file: Path) -> None:
    text = make(file, "lab", "--scope", "stream", "--scope", "infer")
    assert KEY.fullmatch(text), "KEY=$(neural-foundation key new ...) holds the key and nothing else"
    key, _ = Keys(file).check(text)
    assert key is not None
    assert (key.name, key.scopes) == ("lab", ("stream", "infer"))


def test_the_list_shows_who_may_what_until_when_and_no_secret(file: Path) -> None:
    assert ask("new", "lab", "--scope", "stream", "--file", str(file))
    text = make(file, "visitor", "--scope", "watch", "--expires-days", "2")
    value = json.loads(file.read_text())
    value["keys"][0]["expires"] = "2020-01-01T00:00:00Z"
    file.write_text(json.dumps(value))
    listed = ask("list", "--file", str(file))
    lab, visitor = listed.splitlines()
    assert "lab" in lab
    assert "ends 2020-01-01 00:00 (over)" in lab
    assert "visitor" in visitor
    assert "watch" in visitor
    assert text[12:] not in listed
    assert value["keys"][1]["hash"] not in listed


def test_a_revoked_key_is_gone(file: Path) -> None:
    text = make(file, "lab", "--scope", "stream")
    assert ask("revoke", text.split("_")[1], "--file", str(file)) == f"Revoked {text.split('_')[1]} (lab)\n"
    assert Keys(file).check(text)[0] is None
    assert "holds no keys" in ask("list", "--file", str(file))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new", "lab"], "no scope. Allowed: --scope 'stream'"),
        (["new", "lab", "--scope", "all"], "with all. Allowed"),
        (["new", "lab", "--scope", "stream", "--expires-days", "-1"], "--expires-days is -1"),
        (["list"], "is missing. Make a first key"),
        (["revoke", "abcdefgh"], "is missing"),
    ],
)
def test_mistakes(file: Path, words: list[str], message: str) -> None:
    with pytest.raises(NeuralFoundationError, match=message):
        ask(*words, "--file", str(file))
