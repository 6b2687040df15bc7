"""Recipes are YAML 1.2 data: `1e-3` is a number, `no` a word, a repeated key an error, and there are no tags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import SpecError


class _Loader(yaml.SafeLoader):
    pass


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 8 if text.startswith("0o") else 16) if text.startswith(("0o", "0x")) else int(text)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise SpecError(f"Key {key!r} at {_place(key_node)} is not a word", remedy="Put it in quotes")
        if key in found:
            raise SpecError(f"Key '{key}' at {_place(key_node)} is given twice", remedy="Keep one of them")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def parse(text: str, source: str = "recipe") -> Any:
    """Return the value of a YAML 1.2 text; SpecError with the line where it is not one."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with stricter scalars and keys
    except yaml.YAMLError as error:
        raise SpecError(
            f"{source} is not YAML: {' '.join(str(error).split())}", remedy="Mend the place named"
        ) from None
    except RecursionError:
        raise SpecError(f"{source} is nested too deeply", remedy="Flatten it") from None
    except SpecError as error:
        raise SpecError(f"{source}: {error.given}", allowed=error.allowed, remedy=error.remedy) from None


def parse_file(path: Path) -> Any:
    """Return the value of a YAML file."""
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not text", remedy="Give a recipe in YAML (UTF-8)") from None
