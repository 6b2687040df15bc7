"""JSON Schema of specs, for completion in editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kinds import KindTable
    from .specs import Spec


def inline(cls: type[Spec]) -> dict[str, Any]:
    """Return the schema of one spec with its `$defs` folded in, so that schemas can be nested freely."""
    schema = cls.model_json_schema()
    defs = schema.pop("$defs", {})
    folded: dict[str, Any] = _fold(schema, defs)
    if "kind" in folded.get("properties", {}):
        folded["required"] = sorted({*folded.get("required", []), "kind"})
    return folded


def any_kind(table: KindTable) -> dict[str, Any]:
    """Return the schema of a field that takes any kind of `table`: its mapping, or the bare name."""
    return {"anyOf": [{"enum": list(table)}, *(inline(table.row(kind).load()) for kind in table)]}


def _fold(node: Any, defs: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _fold(defs[node["$ref"].rpartition("/")[2]], defs)
        return {k: _fold(v, defs) for k, v in node.items() if k != "in_key"}
    if isinstance(node, list):
        return [_fold(v, defs) for v in node]
    return node
