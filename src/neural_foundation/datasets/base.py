"""What a dataset of recordings is: its facts, its items, and how one item is opened.

A dataset never changes a signal. It says which files belong to whom, what the labels in them mean, and in which
order the classes stand. An item is one recording; its subject is the group that splits and withdrawal go by.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..core.errors import DataError, RecordingError, did_you_mean, one_of
from ..core.specs import Spec, off_key
from .sources import Source

if TYPE_CHECKING:
    from ..recordings import Session

DATA_FOLDER = "NEURAL_FOUNDATION_DATA"


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a dataset.

    n_subjects : how many the published set has (a copy may hold fewer). sfreq, n_chans : what its files hold;
    None where that depends on the files or on the settings. note : what a user of it must know. files : how the files
    that it reads are named, below the folder of the dataset. group : what a `subject` of it is, in the singular.
    """

    title: str
    licence: str
    citation: str
    url: str = ""
    n_subjects: int | None = None
    sfreq: float | None = None
    n_chans: int | None = None
    note: str = ""
    files: str = ""
    group: str = "subject"


@dataclass(frozen=True)
class Item:
    """One recording of a dataset. `files`: the files whose bytes it is read from; none where it is generated."""

    id: str
    subject: str
    files: tuple[Path, ...] = ()


class Dataset(Spec):
    """Base of every dataset of recordings. `path` says where the files lie; it never enters a key."""

    kind: str
    path: Path | None = off_key(None, description="folder of the files; default: NEURAL_FOUNDATION_DATA/<its name>")
    info: ClassVar[DatasetInfo]

    @abstractmethod
    def items(self) -> list[Item]:
        """Return the recordings in a fixed order; DataError where there are none."""

    @abstractmethod
    def open(self, item: Item, folder: Path) -> Session:
        """Return the recording of `item`. A generated dataset writes its files into `folder` first."""

    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of a decoder's outputs."""

    def votes(self) -> tuple[str, ...]:
        """Return the facts of a trial that hold the experts' votes, in the order of `classes()`; () without votes."""
        return ()

    def raw_files(self, item: Item) -> tuple[Path, ...]:
        """Return the files whose bytes decide what `open(item)` gives; () for a generated dataset."""
        return item.files

    def own_files(self, item: Item) -> tuple[Path, ...]:
        """Return those of the item's files that are of no other recording, there or not."""
        return item.files

    def rows_digest(self, item: Item) -> str:
        """Return a digest of what a table of all recordings says of this one; '' where `raw_files` say it all.

        Such a table is none of the `own_files`: a correction of one row would make every recording another one.
        """
        return ""

    def left_out(self, item: Item) -> tuple[str, ...]:
        """Return what of a recording `open` leaves out since it is faulty, one sentence each."""
        return ()

    def reopen(self, item: Item, folder: Path) -> Session:
        """Return again what `open(item, folder)` gave, of a generated dataset its `<id>.edf`; nothing is written."""
        if self.raw_files(item):
            return self.open(item, folder)
        from ..recordings import read

        return read(folder / f"{item.id}.edf", subject=item.subject)


class Files(Dataset):
    """Base of the datasets that read files which somebody else wrote.

    folders : how its folder may be named under NEURAL_FOUNDATION_DATA, the first one where `data fetch` makes it.
    source : where the files are published; None where that is nowhere. published : names of the published files that
    this dataset reads, relative to its folder, the group `subject` being whose they are. shared : those of the files
    that are everybody's (a table of labels).
    """

    # who is there says nothing of any one recording: not part of its key
    subjects: tuple[str, ...] | None = off_key(
        None, min_length=1, description="only these subjects; default: all found"
    )
    exclude: tuple[str, ...] = off_key((), description="leave these subjects out")
    folders: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[Source | None] = None
    published: ClassVar[re.Pattern[str] | None] = None
    shared: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def found(self, root: Path) -> list[Item]:
        """Return every recording under `root`, in a fixed order."""

    def items(self) -> list[Item]:
        root = self.root()
        found = self.found(root)
        if not found:
            raise DataError(f"No recordings of {self.info.title} under {root}", remedy="Check `path`")
        return _restricted(found, self.subjects, self.exclude)

    def raw_files(self, item: Item) -> tuple[Path, ...]:
        for file in item.files:
            if not file.is_file():
                remedy = (
                    f"The recording '{item.id}' needs it: complete the copy, or leave its subject out with `exclude`"
                )
                raise RecordingError(file, "there is no such file", remedy=remedy)
        return self.own_files(item)

    def root(self) -> Path:
        """Return the folder of the files; DataError where it is unknown or missing."""
        if self.path is not None:
            if not self.path.exists():
                raise DataError(f"The path {self.path} does not exist", remedy="Check `path`")
            return self.path
        base = os.environ.get(DATA_FOLDER)
        for name in self.places() if base else ():
            if (candidate := Path(str(base)) / name).is_dir():
                return candidate
        raise DataError(_nowhere(self.info, base, self.places()), remedy=_where_to_get(self.info))

    def places(self) -> tuple[str, ...]:
        """Return the names its folder may have under the folder of all data."""
        return self.folders

    def origin(self) -> Source | None:
        """Return where the files are published; None where that is nowhere."""
        return self.source

    def subject_of(self, name: str) -> str | None:
        """Return whose a published file is; None where this dataset does not read it."""
        match = self.published.fullmatch(name) if self.published else None
        return match["subject"] if match else None


def _nowhere(info: DatasetInfo, base: str | None, folders: Sequence[str]) -> str:
    if base is None:
        return f"No `path` is given for {info.title}, and {DATA_FOLDER} is not set"
    return f"No `path` is given for {info.title}, and {DATA_FOLDER}={base} holds no folder {one_of(folders)}"


def _where_to_get(info: DatasetInfo) -> str:
    source = f"Download the data from {info.url}, then give" if info.url else "Give"
    return f"{source} `path`, or set {DATA_FOLDER} to the folder that holds it"


def _restricted(found: list[Item], subjects: tuple[str, ...] | None, exclude: tuple[str, ...]) -> list[Item]:
    known = sorted({item.subject for item in found})
    for name in (*(subjects or ()), *exclude):
        if name not in known:
            raise DataError(f"No subject '{name}'.{did_you_mean(name, known)}", allowed=one_of(known))
    kept = [i for i in found if (subjects is None or i.subject in subjects) and i.subject not in exclude]
    if not kept:
        raise DataError("`subjects` and `exclude` leave no recording", allowed=one_of(known))
    return kept
