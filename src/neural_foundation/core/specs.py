"""Specs: frozen descriptions of components and of data, from which keys are made.

A `Spec` is a pydantic model that cannot be changed and refuses unknown fields. `identity(spec)` is the part of it
that changes results: its kind and the fields that differ from their defaults, without those marked `off_key()`
(device, workers, paths). `digest(...)` turns any such JSON value into a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

_OFF_KEY: JsonDict = {"in_key": False}


class Spec(BaseModel):
    """Base of every description: frozen, unknown fields refused, defaults validated."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, ser_json_inf_nan="constants")


def off_key(default: Any, **kwargs: Any) -> Any:
    """Return a field that never enters a key: where or how fast a thing runs, not what it gives."""
    return Field(default, json_schema_extra=_OFF_KEY, **kwargs)


def _in_key(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("in_key") is False)


def identity(value: Any) -> Any:
    """Return the JSON value of what in `value` changes results.

    Walks the fields of the value's own class, so the fields of a subclass are kept where a field is typed by its
    base (pydantic's own dump drops them).
    """
    if isinstance(value, Spec):
        fields = type(value).model_fields
        named = {n: getattr(value, n) for n, f in fields.items() if _in_key(f)}
        return {
            n: identity(v)
            for n, v in named.items()
            if n == "kind" or v != fields[n].get_default(call_default_factory=True)
        }
    if isinstance(value, Mapping):
        return {str(k): identity(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(v) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a spec field of type {type(value).__name__} has no JSON identity")


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


Position = tuple[float, float, float]


class SignalSpec(Spec):
    """What only the data knows about a signal; handed to every `bind` and `build`.

    sfreq : samples per second. ch_names, ch_types : one per channel (types as in MNE: eeg, eog, ecg, emg, misc).
    positions : electrode positions in metres, head frame; None where unknown. subject : pseudonym of who it is.
    units : one per channel where some are not volts ("m/s", "degC", "" for a number); empty: all are volts.
    """

    sfreq: float = Field(gt=0)
    ch_names: tuple[str, ...]
    ch_types: tuple[str, ...] = ()
    positions: tuple[Position | None, ...] = ()
    subject: str | None = None
    units: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_per_channel(self) -> SignalSpec:
        for name in ("ch_types", "positions", "units"):
            if getattr(self, name) and len(getattr(self, name)) != len(self.ch_names):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {len(self.ch_names)} channels")
        if len(set(self.ch_names)) != len(self.ch_names):
            raise ValueError("channel names repeat")
        return self

    @property
    def n_chans(self) -> int:
        return len(self.ch_names)

    def replace(self, **changes: Any) -> SignalSpec:
        """Return a copy with some facts changed, validated again."""
        return SignalSpec(**{**self.model_dump(), **changes})


class TargetSpec(Spec):
    """What is decoded. `classes` in the order of the outputs; for regression, `names` of the outputs."""

    task: Literal["classification", "regression"] = "classification"
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.classes) if self.task == "classification" else len(self.names)
