"""Your own recordings: a folder of files that a reader knows, with labels inside."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from ..core.errors import DataError, RecordingError, one_of
from .base import DatasetInfo, Files, Item
from .labels import classified, with_trials

if TYPE_CHECKING:
    from ..recordings import Session


def _pairs(value: Any) -> Any:
    return tuple((str(k), v) for k, v in value.items()) if isinstance(value, dict) else value


# A mapping in a recipe. Kept as pairs, because the order of the classes is part of the key and a mapping's is not.
Events = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_pairs),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 2}),
]
# MNE's own files beside a raw recording
_MAX_ID = 180  # bytes; a stage, a key and an ending go beside it
_NO_RAW = ("-eve", "_eve", "-epo", "_epo", "-ave", "_ave", "-cov", "_cov", "-fwd", "_fwd", "-ica", "_ica", "-trans")


class Recordings(Files):
    """Your own recordings under `path` (a folder, or one file).

    The subject of a file is what `subject` finds in its path relative to `path`, written with '/' (the group named
    `subject`, else the first group, else the whole match). Without `subject` it is the name of the top folder where
    the file lies in a subfolder, else the part of the file's name before the first '_' or '-'.

    Without `events` the trials stay as the file has them, and there are no classes: for learning without labels, and
    for the stage `bin`, which takes the columns of the trials as they are.
    """

    kind: Literal["recordings"] = "recordings"
    pattern: str | None = Field(
        None, min_length=1, description="glob under `path`, e.g. '**/*_run1.edf'; default: every file with a reader"
    )
    subject: str | None = Field(None, min_length=1, description="regular expression that finds the subject in a path")
    events: Events = Field((), description="label in the files -> class; the classes stand in this order")
    trial_s: float | None = Field(None, gt=0, description="length of a trial where its label has no duration, seconds")
    on_missing: Literal["raise", "allow"] = Field("raise", description="when a recording has no trial of some class")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="your recordings", licence="yours", citation="yours", note="Whatever lies under `path`."
    )

    @field_validator("events")
    @classmethod
    def _two_classes(cls, events: Events) -> Events:
        return two_classes(events) if events else events

    @field_validator("subject")
    @classmethod
    def _compiles(cls, subject: str | None) -> str | None:
        try:
            re.compile(subject or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return subject

    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.events))

    def raw_files(self, item: Item) -> tuple[Path, ...]:
        from ..recordings.beside import parts

        return tuple(part for file in super().raw_files(item) for part in parts(file))

    def root(self) -> Path:
        if self.path is None:
            raise DataError("Dataset 'recordings' has no `path`", remedy="Give the folder of your recordings as `path`")
        return super().root()

    def found(self, root: Path) -> list[Item]:
        base = root if root.is_dir() else root.parent
        files = recording_files(root, self.pattern)
        if not files:
            given = f"No recordings under {root}" + (f" match '{self.pattern}'" if self.pattern else "")
            raise DataError(given, allowed=f"files named {one_of(_extensions())}", remedy="Check `path` and `pattern`")
        items = [Item(_id(f.relative_to(base)), self._subject(f.relative_to(base)), (f,)) for f in files]
        _check_ids(items)
        return items

    def open(self, item: Item, folder: Path) -> Session:
        """Return the recording with the trials of `events`; DataError where its labels are not there."""
        from ..recordings import read

        (file,) = item.files
        session = read(file, subject=item.subject)
        try:
            trials = session.trials
            if self.events:
                partly = self.on_missing == "allow"
                trials = classified(trials, dict(self.events), trial_s=self.trial_s, where=str(file), partly=partly)
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)

    def _subject(self, relative: Path) -> str:
        if self.subject is None:
            whole = len(relative.parts) > 1
            return _text(relative.parts[0] if whole else re.split("[_-]", _stem(relative.name))[0])
        match = re.search(self.subject, relative.as_posix())
        if match is None:
            raise DataError(f"`subject` ({self.subject!r}) finds nothing in '{relative.as_posix()}'", remedy=_HOW)
        name = match["subject"] if "subject" in match.groupdict() else match[1] if match.re.groups else match[0]
        if not name:
            raise DataError(f"`subject` ({self.subject!r}) finds no name in '{relative.as_posix()}'", remedy=_HOW)
        return _text(str(name))


def _text(name: str) -> str:
    """Return a name as UTF-8, with escapes for what in it is none."""
    return name.encode(errors="backslashreplace").decode()


_HOW = "Change the expression, or narrow the files with `pattern`"


def two_classes(events: Events) -> Events:
    """Return the events; ValueError where a label is named twice, or there are fewer than two classes."""
    labels = [label for label, _ in events]
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise ValueError(f"label {one_of(sorted(repeated))} is named twice")
    if len({name for _, name in events}) < 2:
        raise ValueError("a decoder needs two classes or more; name labels of at least two")
    return events


def recording_files(root: Path, pattern: str | None) -> list[Path]:
    """Return the recordings under a folder in the order of their names; hidden files are left out."""
    if root.is_file():
        return [root]
    try:
        paths = sorted(p for p in root.glob(pattern or "**/*") if p.is_file())
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"`pattern` ({pattern!r}) is not a glob under `path` ({error})") from None
    seen = [p for p in paths if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    if pattern is not None:
        return seen
    from ..recordings.table import is_recording

    return [p for p in seen if is_recording(p) and not _stem(p.name).endswith(_NO_RAW)]


def _extensions() -> tuple[str, ...]:
    from ..recordings.table import extensions

    return extensions()


def _stem(name: str) -> str:
    return name.removesuffix(".gz").rpartition(".")[0] or name


def _id(relative: Path) -> str:
    # an id names folders and files, so it has no slash, is UTF-8, and leaves room in a name of 255 bytes
    name = "-".join([*relative.parts[:-1], _stem(relative.name)])
    short = name.encode(errors="backslashreplace")
    if len(short) > _MAX_ID:
        tail = hashlib.sha256(short).hexdigest()[:16]
        return f"{short[: _MAX_ID - 17].decode(errors='ignore')}-{tail}"
    return short.decode()


def _check_ids(items: list[Item]) -> None:
    first: dict[str, Item] = {}
    for item in items:
        if (other := first.setdefault(item.id, item)) is not item:
            raise RecordingError(
                item.files[0], f"it and {other.files[0]} would both be named '{item.id}'", remedy="Choose by `pattern`"
            )
