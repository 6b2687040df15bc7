"""What a session's behaviours are, and what makes each a value a bin (dynamic) or a class a trial (static)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ..core.errors import DataError, did_you_mean, one_of
from ..core.kinds import of
from ..core.modalities import Role
from ..core.specs import Spec
from ..recordings import Intervals, Series, Signal
from ..recordings.interval_table import facts_of
from ..signals.base import SignalOp
from ..signals.table import SIGNALS
from .binning import Floats, Grid, sampled_mean, track_of

LABEL = "label"  # a trial's own word, beside the columns of its table
NO_CLASS = -1


def _pairs(value: Any) -> Any:
    return tuple((str(k), v) for k, v in value.items()) if isinstance(value, dict) else value


def _named(value: Any) -> Any:
    """Return {name: source} as pairs of name and {source: ...}."""
    pairs = _pairs(value)
    if not isinstance(pairs, (list, tuple)):
        return pairs
    return tuple((p[0], {"source": p[1]} if isinstance(p[1], str) else p[1]) if len(p) == 2 else p for p in pairs)


def _words(value: Any) -> Any:
    """Return a list of classes as pairs of each word and itself."""
    if isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple)) for v in value):
        return tuple((str(v), v) for v in value)
    return _pairs(value)


class Dynamic(Spec):
    """A behaviour over time. `source`: a series or a signal of the session, by default named as the behaviour.

    mean : of what the samples say over the bin. change : of it over the bin, a second. speed : the length of that
    vector over all columns, one channel. Series, and signals with less than a sample a bin, are linear in between.
    """

    source: str = Field("", description="a series or signal of the session; '': the one named as the behaviour")
    columns: tuple[str, ...] = Field((), description="columns of the series or channels of the signal; (): all")
    measure: Literal["mean", "change", "speed"] = Field("mean", description="what of it is kept, a bin")
    sampled: Literal["clock", "change"] = Field(
        "clock", description="clock: three median intervals without a sample are a gap; change: it did not change"
    )
    signals: tuple[of(SIGNALS, SignalOp), ...] = Field((), description="a chain that a signal runs through before")  # type: ignore[valid-type]
    role: Role = Field(
        "behaviour", description="neural: of the brain, told from behaviour and used to tell it, as counts are"
    )

    @model_validator(mode="after")
    def _columns_once(self) -> Dynamic:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"a column is named twice: {one_of(self.columns)}")
        return self

    def picked(self, name: str, source: Series | Signal) -> list[int]:
        """Return the numbers of the columns; DataError where one is not there."""
        there = names_of(source)
        for column in self.columns:
            if column not in there:
                given = f"'{name}' asks for column '{column}', which it does not have.{did_you_mean(column, there)}"
                raise DataError(given, allowed=one_of(there))
        return [there.index(c) for c in self.columns] or list(range(len(there)))

    def channels(self, name: str, source: Series | Signal) -> tuple[str, ...]:
        """Return the names of the channels that come out."""
        picked = self.picked(name, source)
        there = names_of(source)
        return (name,) if self.measure == "speed" or len(there) == 1 else tuple(there[i] for i in picked)

    def unit(self, name: str, source: Series | Signal) -> str:
        """Return the unit of the channels, '' where they differ or are plain numbers."""
        units = {units_of(source)[i] for i in self.picked(name, source)}
        unit = units.pop() if len(units) == 1 else ""
        return unit if self.measure == "mean" or not unit else f"{unit}/s"

    def span_s(self, source: Series | Signal, bin_s: float) -> tuple[float, float]:
        """Return from when to when bins are known."""
        if not isinstance(source, Signal):
            return (float(source.times_s[0]), float(source.times_s[-1])) if len(source) else (0.0, 0.0)
        step_s = 1 / source.spec.sfreq
        end_s = source.start_s + source.n_times * step_s
        if self._averages(source, bin_s):  # its first bin begins after the sample before the first one
            return source.start_s - step_s * (1 - 1e-4), end_s
        return source.start_s, end_s - step_s

    def _averages(self, source: Series | Signal, bin_s: float) -> bool:
        """Return whether a bin holds samples to average, or is interpolated between some."""
        return self.measure == "mean" and isinstance(source, Signal) and source.spec.sfreq * bin_s >= 1 - 1e-6

    def values(self, name: str, source: Series | Signal, grid: Grid) -> Floats:
        """Return its values (N, n_channels) in the bins of a grid; NaN where it is not known."""
        picked = self.picked(name, source)
        if isinstance(source, Signal) and self._averages(source, grid.bin_s):
            return sampled_mean(source, picked, grid)
        track = track_of(source, picked, on_change=self.sampled == "change")
        if self.measure == "mean":
            return track.mean(grid.edges_s)
        change = track.change(grid.edges_s)
        return np.linalg.norm(change, axis=1, keepdims=True) if self.measure == "speed" else change


def _neural(value: Any) -> Any:
    """Return what is given with the role `neural`, unless it says another."""
    if isinstance(value, dict):
        return {"role": "neural", **value}
    if isinstance(value, Dynamic) and "role" not in value.model_fields_set:
        return value.model_copy(update={"role": "neural"})
    return value


class Static(Spec):
    """A class a trial: what a column of the trials says. `classes`: word -> what stands in the column.

    Sessions that are used together must have the same classes in the same order: name them. Those of one session alone
    are found in it where they are not given.
    """

    source: str = Field("", description="a column of the trials' facts, or 'label'; '': the one named as the behaviour")
    classes: Annotated[
        tuple[tuple[str, float | str], ...],
        BeforeValidator(_words),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": ["number", "string"]}}),
    ] = Field((), description="word -> value, or a list of values, in order; (): those there are, sorted")

    @model_validator(mode="after")
    def _told_apart(self) -> Static:
        for what, of_pairs in (("class", [w for w, _ in self.classes]), ("value", [v for _, v in self.classes])):
            if len({str(v) for v in of_pairs}) != len(of_pairs):
                raise ValueError(f"a {what} is named twice: {one_of(map(str, of_pairs))}")
        return self

    def codes(self, name: str, trials: Intervals) -> tuple[tuple[str, ...], NDArray[np.int16]]:
        """Return the classes and the class of each trial, NO_CLASS where its value is none of them.

        DataError where there is no such column.
        """
        column = _column(self.source or name, name, trials)
        pairs = self.classes or tuple((_word(v), v) for v in sorted({v for v in column if _is(v)}, key=_sorting))
        codes = np.full(len(column), NO_CLASS, np.int16)
        for code, (_, value) in enumerate(pairs):
            codes[[_same(entry, value) for entry in column]] = code
        return tuple(word for word, _ in pairs), codes


class _Mapping:
    """The JSON Schema of a mapping of names to a spec, or to the name of its source alone."""

    def __init__(self, spec: type[Spec]) -> None:
        self.spec = spec

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        from ..core.schema import inline

        return {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, inline(self.spec)]}}


# mappings in a recipe, kept as pairs: the order of the behaviours is part of the key, and a mapping's is not
Dynamics = Annotated[tuple[tuple[str, Dynamic], ...], BeforeValidator(_named), _Mapping(Dynamic)]
Statics = Annotated[tuple[tuple[str, Static], ...], BeforeValidator(_named), _Mapping(Static)]
# the role is said, not the default of a type of its own: so it is in the key of what is binned with it
Neural = Annotated[Dynamic, BeforeValidator(_neural)]


def names_of(source: Series | Signal) -> tuple[str, ...]:
    """Return the names of the columns of a series or the channels of a signal."""
    return source.names if isinstance(source, Series) else source.spec.ch_names


def units_of(source: Series | Signal) -> tuple[str, ...]:
    """Return the unit of each column or channel."""
    return source.units if isinstance(source, Series) else source.spec.units or ("V",) * source.spec.n_chans


def _column(source: str, name: str, trials: Intervals) -> Sequence[Any]:
    facts, _ = facts_of(trials)
    if source == LABEL and LABEL not in facts:
        return trials.label
    if source not in facts:
        given = f"The trials have no column '{source}' for '{name}'.{did_you_mean(source, facts)}"
        raise DataError(given, allowed=one_of([*facts, LABEL]), remedy="Correct `static`, or leave it out")
    return facts[source]


def _is(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value)) and value != ""


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _sorting(value: Any) -> tuple[bool, Any]:
    return (True, value) if isinstance(value, (int, float)) else (False, str(value))


def _same(entry: Any, value: float | str) -> bool:
    if isinstance(value, str) or isinstance(entry, str):
        return str(entry) == str(value)
    return isinstance(entry, (int, float)) and abs(float(entry) - value) <= 1e-6
