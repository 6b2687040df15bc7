"""Kind tables: one a room, from a word in a recipe to the class behind it, loaded when first asked for.

A row is one line in the room's own table. A third party adds rows by an entry point in the group
`neural_foundation.kinds` (named `room/kind`, pointing at the class), a notebook by `@register("room")`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializeAsAny, ValidationError
from pydantic_core import CoreSchema

from .errors import SpecError, UnknownKindError, did_you_mean, one_of
from .specs import Spec

ENTRY_POINTS = "neural_foundation.kinds"
Law = Literal["stream", "window", "none"]
C = TypeVar("C", bound=Spec)


@dataclass(frozen=True)
class Row:
    """Where a kind lives (`module:Class`), which form of the chunk law binds it, and one line for people."""

    target: str | type[Spec]
    summary: str
    law: Law = "none"

    def load(self) -> type[Spec]:
        if isinstance(self.target, str):
            module, _, name = self.target.partition(":")
            loaded: type[Spec] = getattr(import_module(module), name)
            return loaded
        return self.target


@dataclass
class KindTable:
    """The kinds of one room. `room` is also the prefix of third parties' entry points."""

    room: str
    rows: dict[str, Row] = field(default_factory=dict)
    _scanned: bool = False

    def __post_init__(self) -> None:
        TABLES[self.room] = self

    def __iter__(self) -> Iterator[str]:
        self._scan()
        return iter(sorted(self.rows))

    def row(self, kind: str) -> Row:
        """Return the row of `kind`; UnknownKindError names the nearest and all known."""
        self._scan()
        if kind not in self.rows:
            hint = did_you_mean(kind, self.rows)
            raise UnknownKindError(f"Unknown kind '{kind}' for {self.room}.{hint}", allowed=one_of(sorted(self.rows)))
        return self.rows[kind]

    def parse(self, value: Any) -> Spec:
        """Return the spec that a recipe's mapping (or a bare kind name) describes."""
        if isinstance(value, Spec):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
            raise SpecError(
                f"{self.room}: {value!r} names no kind",
                allowed="a mapping with 'kind', e.g. {kind: ...}",
                remedy=f"Kinds: {one_of(self)}",
            )
        cls = self.row(value["kind"]).load()
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            raise spec_error(f"{self.room} '{value['kind']}'", error, cls) from None

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for point in metadata.entry_points(group=ENTRY_POINTS):
            room, _, kind = point.name.partition("/")
            if room == self.room:
                self.rows.setdefault(kind, Row(point.value, f"from {point.dist.name if point.dist else 'a plugin'}"))


TABLES: dict[str, KindTable] = {}
MOST_FINDINGS = 3  # that one message names
# room of kinds -> the package whose `table` module holds them
HOMES = {
    "recordings": "recordings",
    "signals": "signals",
    "datasets": "datasets",
    "metrics": "metrics",
    "models": "models",
    "learners": "learning",
    "objectives": "learning",
    "samplers": "learning",
    "trackers": "learning",
    "stages": "pipeline",
    "sources": "realtime.sources",
    "outlets": "realtime.outlets",
}


def register(room: str, *, law: Law = "none") -> Callable[[type[C]], type[C]]:
    """Decorate a spec class so that `room` knows its kind in this process (notebooks, tests)."""

    def add(cls: type[C]) -> type[C]:
        kind = cls.model_fields["kind"].default
        table_of(room).rows[kind] = Row(cls, (cls.__doc__ or "").strip().partition("\n")[0], law)
        return cls

    return add


def table_of(room: str) -> KindTable:
    """Return a room's table, its module imported if need be; SpecError for a room that does not exist."""
    if room not in TABLES and room in HOMES:
        import_module(f"neural_foundation.{HOMES[room]}.table")
    if room not in TABLES:
        raise SpecError(f"There is no room '{room}'.{did_you_mean(room, HOMES)}", allowed=one_of(sorted(HOMES)))
    return TABLES[room]


class _KindSchema:
    """The JSON Schema of a field that takes any kind of a table: one alternative a kind."""

    def __init__(self, table: KindTable) -> None:
        self.table = table

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        from .schema import any_kind

        return any_kind(self.table)


def of(table: KindTable, base: type[Spec] = Spec) -> Any:
    """Return the field type `any kind of this table`, for use in a spec."""
    return Annotated[SerializeAsAny[base], BeforeValidator(table.parse), _KindSchema(table)]  # type: ignore[valid-type,misc]


def spec_error(what: str, error: ValidationError, cls: type[Spec]) -> SpecError:
    """Return pydantic's findings as one message in our words, with did-you-mean for unknown fields."""
    findings = [_finding(e, cls) for e in error.errors()]
    more = [f"and {len(findings) - MOST_FINDINGS} more"] if len(findings) > MOST_FINDINGS else []
    return SpecError(f"{what}: {'; '.join([*findings[:MOST_FINDINGS], *more])}")


def _finding(e: Any, cls: type[Spec]) -> str:
    where = ".".join(str(p) for p in e["loc"])
    if e["type"] == "extra_forbidden":
        known = [n for n in cls.model_fields if n != "kind"]
        return f"unknown field '{where}'.{did_you_mean(where, known)} Allowed: {one_of(known)}"
    if e["type"] == "missing":
        return f"field '{where}' is missing"
    told = not isinstance(e["input"], (dict, Spec)) and e["type"] != "secret"
    given = f", but got {e['input']!r}" if told else ""
    said = e["msg"].removeprefix("Value error, ")
    return f"field '{where}': {said}{given}" if where else said
