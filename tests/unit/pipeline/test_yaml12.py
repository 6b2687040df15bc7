from pathlib import Path

import pytest

from neural_foundation.core.errors import SpecError
from neural_foundation.pipeline.yaml12 import parse, parse_file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        (".5", 0.5),
        ("-2", -2),
        ("1_000", "1_000"),
        ("[1, a]", [1, "a"]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


def test_repeated_key_is_an_error_with_its_place() -> None:
    with pytest.raises(SpecError, match="Key 'a' at line 2, column 1 is given twice"):
        parse("a: 1\na: 2")


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [ls]", "!custom 1", "a: [1", "\t- x: {"])
def test_tags_and_broken_text_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is not YAML"):
        parse(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SpecError, match="nested too deeply"):
        parse("[" * 5000)


def test_keys_are_words() -> None:
    with pytest.raises(SpecError, match="Key 1 at line 1, column 1 is not a word"):
        parse("1: a")


def test_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not text"):
        parse_file(tmp_path / "a.yaml")
