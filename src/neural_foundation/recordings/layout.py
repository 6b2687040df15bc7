"""A layout: what a file without an agreed form means. The one place where a user describes such a file.

    # a.layout.yaml beside a.mat, or layout.yaml for all the files of its folder
    signals:
      lfp: {values: data/lfp, axes: channel time, sfreq: 1250, unit: uV, ch_names: [CA1, CA3]}
    spikes:
      units: {times: spike_times, unit: cluster, time_unit: samples, sfreq: 30000}
    trials: {start: go, duration: length, label: direction}

A name on the right is a path in the file: `group/dataset` in HDF5, `variable.field` in a .mat file (also one of
version 7.3; elements of a cell or struct array by their number from 1, or `*` for all), a column's name in a table,
`array` in a .npy file. Seconds count on the file's own clock. Who the recording is of is never read from the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ..core.errors import RecordingError, SpecError, did_you_mean, one_of
from ..core.specs import Spec
from .reader import is_file, stem

Axes = Literal["time channel", "channel time"]
TimeUnit = Literal["s", "ms", "us", "samples"]
MAX_BYTES = 1 << 20


class Clocked(Spec):
    """How the times of a part count: seconds = (time - first_sample) * unit + start_s."""

    time_unit: TimeUnit = Field("s", description="what times and durations are counted in")
    sfreq: float | str | None = Field(None, description="samples a second where time_unit is samples; or a path")
    first_sample: Literal[0, 1] = Field(0, description="number of the first sample: 1 where MATLAB counted")
    start_s: float = Field(0.0, allow_inf_nan=False, description="added to the times, in seconds")

    @model_validator(mode="after")
    def _rate(self) -> Clocked:
        if (self.time_unit == "samples") != (self.sfreq is not None):
            raise ValueError("'sfreq' goes with 'time_unit: samples', and only with it")
        if self.first_sample and self.time_unit != "samples":
            raise ValueError("'first_sample' goes with 'time_unit: samples'")
        if isinstance(self.sfreq, float) and not 0 < self.sfreq < float("inf"):
            raise ValueError("'sfreq' must be more than 0")
        return self


class SignalLayout(Spec):
    """A regularly sampled signal: one array, or one vector a channel."""

    values: str | tuple[str, ...] = Field((), description="path of the samples, or one path a channel")
    columns: tuple[int | str, ...] = Field(
        (), description="channels to take: numbers from 0 of an array, or names of a table's columns"
    )
    axes: Axes | None = Field(None, description="needed where the array has two axes")
    sfreq: float | str | None = Field(None, description="samples a second, or the path of that number")
    times: str | None = Field(None, description="path of the time of each sample; must be even")
    time_unit: Literal["s", "ms", "us"] = Field("s", description="what `times` counts in")
    unit: str | tuple[str, ...] = Field(description="V, mV, uV, nV, or any other word; one, or one a channel")
    ch_names: tuple[str, ...] | str = Field((), description="names of the channels, or their path")
    ch_types: tuple[str, ...] | str = Field((), description="types of the channels, or one for all")
    start_s: float | str | None = Field(None, description="time of the first sample, or its path")

    @model_validator(mode="after")
    def _whole(self) -> SignalLayout:
        if not self.values and not any(isinstance(c, str) for c in self.columns):
            raise ValueError("'values' is missing: the path of the samples")
        if self.sfreq is None and self.times is None:
            raise ValueError("'sfreq' or 'times' is missing")
        if isinstance(self.sfreq, float) and not 0 < self.sfreq < float("inf"):
            raise ValueError("'sfreq' must be more than 0")
        if self.times is not None and self.start_s is not None:
            raise ValueError("'start_s' and 'times' both give the start: keep one")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """Return where the samples are."""
        named = tuple(c for c in self.columns if isinstance(c, str))
        return named or ((self.values,) if isinstance(self.values, str) else self.values)

    @property
    def picks(self) -> tuple[int, ...]:
        """Return the numbers of the channels to take; none: all."""
        return tuple(c for c in self.columns if isinstance(c, int))


class SpikesLayout(Clocked):
    """Spike trains: times with the unit of each, or one list of times a unit."""

    times: str | None = Field(None, description="path of all spike times")
    unit: str | None = Field(None, description="path of the unit of each of `times`; none: all are of one unit")
    trains: str | tuple[str, ...] = Field((), description="path of a list of arrays, or one path a unit")
    unit_ids: str | tuple[str, ...] = Field((), description="names of the units of `trains`, or their path")

    @model_validator(mode="after")
    def _one_form(self) -> SpikesLayout:
        if (self.times is None) == (not self.trains):
            raise ValueError("one of 'times' and 'trains' is needed")
        if self.trains and self.unit is not None:
            raise ValueError("'unit' goes with 'times'; name the units of 'trains' in 'unit_ids'")
        if self.times is not None and self.unit_ids:
            raise ValueError("'unit_ids' goes with 'trains'")
        return self


class SeriesLayout(Clocked):
    """Values at uneven times."""

    times: str = Field(description="path of the times")
    values: str | tuple[str, ...] = Field(description="path of the values, or one path a column")
    axes: Axes | None = Field(None, description="needed where the array has two axes")
    names: tuple[str, ...] = Field((), description="names of the columns")
    units: tuple[str, ...] = Field((), description="units of the columns")


class IntervalsLayout(Clocked):
    """Labelled stretches. Without `end` and `duration` they are events."""

    start: str = Field(description="path of the starts")
    end: str | None = Field(None, description="path of the ends")
    duration: str | None = Field(None, description="path of the durations")
    label: str | None = Field(None, description="path of the labels; none: the part's own name")

    @model_validator(mode="after")
    def _one_end(self) -> IntervalsLayout:
        if self.end is not None and self.duration is not None:
            raise ValueError("'end' and 'duration' both give the end: keep one")
        return self


class TableLayout(Spec):
    """How the text of a .csv or .tsv file is written."""

    delimiter: str | None = Field(None, min_length=1, max_length=1, description="none: ',' in .csv, a tab in .tsv")
    header: bool = Field(True, description="whether the first line names the columns; else they are c1, c2, ...")
    missing: tuple[str, ...] = Field(("", "NaN", "nan", "NA"), description="words for an unknown number")


class Layout(Spec):
    """What the arrays of a file are. `Layout.of` gives one with clear errors."""

    signals: dict[str, SignalLayout] = Field({}, description="the primary one first")
    spikes: dict[str, SpikesLayout] = Field({})
    series: dict[str, SeriesLayout] = Field({})
    trials: IntervalsLayout | None = Field(None)
    intervals: dict[str, IntervalsLayout] = Field({})
    table: TableLayout = Field(TableLayout())

    @model_validator(mode="after")
    def _some(self) -> Layout:
        if not (self.signals or self.spikes or self.series or self.trials or self.intervals):
            raise ValueError("it names nothing: give signals, spikes, series, trials or intervals")
        return self

    @classmethod
    def of(cls, value: Any, source: str = "layout") -> Layout:
        """Return the layout that a mapping describes; SpecError says what is wrong in it, and in whose words."""
        if isinstance(value, Layout):
            return value
        if not isinstance(value, Mapping):
            raise SpecError(f"{source} is {type(value).__name__}", allowed=f"a mapping with {one_of(cls.model_fields)}")
        if "subject" in value:
            remedy = "Leave it out, and pass `subject=` when opening: it is never read from a file"
            raise SpecError(f"{source} has a 'subject'", remedy=remedy)
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            findings = "; ".join(_finding(e) for e in error.errors())
            raise SpecError(f"{source}: {findings}", remedy="Correct the layout") from None


_PARTS: dict[str, type[Spec]] = {
    "signals": SignalLayout,
    "spikes": SpikesLayout,
    "series": SeriesLayout,
    "trials": IntervalsLayout,
    "intervals": IntervalsLayout,
    "table": TableLayout,
}


def _finding(e: Any) -> str:
    loc = [str(p) for p in e["loc"]]
    where = ".".join(loc)
    if e["type"] == "extra_forbidden":
        part = _PARTS.get(loc[0]) if len(loc) > 1 else None
        known = list((part or Layout).model_fields)
        return f"unknown field '{where}'.{did_you_mean(loc[-1], known)} Allowed: {one_of(known)}"
    if e["type"] == "missing":
        return f"'{where}' is missing"
    text = str(e["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(e["input"], (dict, Spec)) else f", not {e['input']!r}"
    return f"{where}: {text}{given}" if where else text


def has_layout(path: Path) -> bool:
    """Return whether a layout lies beside a recording."""
    return any(is_file(path.with_name(name)) for name in _beside(path))


def _beside(path: Path) -> tuple[str, str]:
    return f"{stem(path)}.layout.yaml", "layout.yaml"


def find_layout(path: Path, given: Layout | None) -> tuple[Layout | None, str]:
    """Return the layout of a recording and where it is from: the one given, `NAME.layout.yaml`, or `layout.yaml`.

    Raises RecordingError of the recording where the layout beside it is wrong.
    """
    if given is not None:
        return given, "the layout that was passed"
    for name in _beside(path):
        beside = path.with_name(name)
        if is_file(beside):
            try:
                return read_layout(beside), name
            except SpecError as error:
                allowed, remedy = error.allowed, error.remedy
                raise RecordingError(path, error.given, allowed=allowed, remedy=remedy) from None
    return None, f"{stem(path)}.layout.yaml"


def read_layout(path: Path | str) -> Layout:
    """Return the layout of a YAML 1.2 file; SpecError where it is none."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path.name} has more than {MAX_BYTES} bytes", remedy="Give a layout in YAML")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{path.name} is not text", remedy="Save it as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path.name} cannot be read ({error.strerror})", remedy="Check the path") from None
    return Layout.of(_parse(text, path.name), path.name)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (`no` is a word, `1e-3` a number); keys are words, none twice; no aliases, no tags."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", self.get_mark())
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            problem = f"key {key!r} is not a word: put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        if key in found:
            problem = f"key '{key}' is given twice: keep one of them"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with stricter scalars and keys
    except (yaml.YAMLError, ValueError) as error:
        words = " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")
        raise SpecError(f"{source} is not a layout in YAML: {words}", remedy="Mend the place named") from None
    except RecursionError:
        raise SpecError(f"{source} is nested too deeply", remedy="Flatten it") from None
