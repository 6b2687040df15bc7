from collections.abc import Iterator
from typing import Literal

import pytest
from pydantic import Field, model_validator

from neural_foundation.core.errors import SpecError, UnknownKindError
from neural_foundation.core.kinds import TABLES, KindTable, of, register
from neural_foundation.core.schema import inline
from neural_foundation.core.specs import Spec, digest, identity, off_key


@pytest.fixture
def table() -> Iterator[KindTable]:
    made = KindTable("gadgets")
    yield made
    del TABLES["gadgets"]


class Gadget(Spec):
    """Base."""

    kind: str


def _fan(table: KindTable) -> type[Gadget]:
    @register("gadgets", law="stream")
    class Fan(Gadget):
        """A fan."""

        kind: Literal["fan"] = "fan"
        speed_hz: float = Field(1.0, gt=0)
        device: str = off_key("cpu")

    return Fan


def test_registered_kind_is_parsed_by_name_and_by_mapping(table: KindTable) -> None:
    fan = _fan(table)
    assert table.parse("fan") == fan()
    assert table.parse({"kind": "fan", "speed_hz": 3}) == fan(speed_hz=3)
    assert (table.row("fan").law, table.row("fan").summary) == ("stream", "A fan.")


def test_unknown_kind_names_the_nearest(table: KindTable) -> None:
    _fan(table)
    with pytest.raises(UnknownKindError, match=r"Unknown kind 'fam' for gadgets. Did you mean 'fan'\? Allowed: 'fan'."):
        table.parse("fam")


def test_unknown_field_names_the_nearest_and_all(table: KindTable) -> None:
    _fan(table)
    with pytest.raises(
        SpecError,
        match=r"gadgets 'fan': unknown field 'sped_hz'. Did you mean 'speed_hz'\? Allowed: 'speed_hz' or 'device'",
    ):
        table.parse({"kind": "fan", "sped_hz": 2})


def test_wrong_value_says_what_was_given(table: KindTable) -> None:
    _fan(table)
    with pytest.raises(SpecError, match=r"field 'speed_hz': Input should be greater than 0, but got -1"):
        table.parse({"kind": "fan", "speed_hz": -1})


@pytest.mark.parametrize("value", [3, {"speed_hz": 1}, {"kind": 7}, None])
def test_what_names_no_kind_is_refused(table: KindTable, value: object) -> None:
    _fan(table)
    with pytest.raises(SpecError, match="names no kind"):
        table.parse(value)


def test_what_a_kind_says_itself_comes_as_it_is(table: KindTable) -> None:
    @register(table.room)
    class Pair(Gadget):
        kind: Literal["pair"] = "pair"  # type: ignore[assignment]

        @model_validator(mode="after")
        def _never(self) -> "Pair":
            raise ValueError("which one? give 'left'")

    with pytest.raises(SpecError) as caught:
        table.parse("pair")
    assert str(caught.value) == f"{table.room} 'pair': which one? give 'left'."


def test_identity_keeps_fields_of_the_subclass_and_leaves_out_defaults_and_devices(table: KindTable) -> None:
    fan = _fan(table)

    class Room(Spec):
        gadget: of(table, Gadget)  # type: ignore[valid-type]

    room = Room(gadget={"kind": "fan", "speed_hz": 2, "device": "cuda:0"})
    assert identity(room) == {"gadget": {"kind": "fan", "speed_hz": 2.0}}
    assert identity(Room(gadget=fan())) == {"gadget": {"kind": "fan"}}
    assert room.model_dump() == {"gadget": {"kind": "fan", "speed_hz": 2.0, "device": "cuda:0"}}


def test_digest_depends_on_content_not_order() -> None:
    assert digest({"a": 1, "b": [1.5]}) == digest({"b": [1.5], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_schema_lists_each_kind(table: KindTable) -> None:
    _fan(table)

    class Room(Spec):
        gadget: of(table, Gadget)  # type: ignore[valid-type]

    alternatives = inline(Room)["properties"]["gadget"]["anyOf"]
    assert alternatives[0] == {"enum": ["fan"]}
    assert alternatives[1]["properties"]["kind"] == {
        "const": "fan",
        "default": "fan",
        "title": "Kind",
        "type": "string",
    }


def test_many_findings_are_counted_not_all_named(table: KindTable) -> None:
    @register("gadgets")
    class Shelf(Gadget):
        """A shelf."""

        kind: Literal["shelf"] = "shelf"
        names: tuple[str, ...] = ()

    with pytest.raises(SpecError, match=r"names\.0.*names\.2.*but got 2; and 37 more"):
        table.parse({"kind": "shelf", "names": list(range(40))})
