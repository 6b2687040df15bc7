"""`catalogue`: the facts of every dataset, for `data list`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError
from .base import Dataset, DatasetInfo, Files
from .table import DATASETS


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    name : the kind. summary : one line. info : licence, citation, size, traps. needs : what must be done by hand before
    the files can be had (an account, rules to accept); '' for nothing. fetchable : whether `fetch` knows it. here : its
    folder where one is there, else None.
    """

    name: str
    summary: str
    info: DatasetInfo
    needs: str
    fetchable: bool
    here: Path | None


def catalogue(folder: Path | None = None) -> list[Entry]:
    """Return every dataset, by name. folder : what holds all datasets; default NEURAL_FOUNDATION_DATA."""
    return [_entry(kind, folder) for kind in DATASETS]


def _entry(kind: str, folder: Path | None) -> Entry:
    row = DATASETS.row(kind)
    cls = row.load()
    assert issubclass(cls, Dataset)
    if not issubclass(cls, Files) or not cls.folders:
        return Entry(kind, row.summary, cls.info, "", False, None)
    needs = cls.source.needs if cls.source is not None else ""
    return Entry(kind, row.summary, cls.info, needs, True, _here(cls, folder))


def _here(cls: type[Files], folder: Path | None) -> Path | None:
    from .fetch import base_folder

    try:
        base = base_folder(folder)
    except DataError:
        return None
    return next((p for name in cls.folders if (p := base / name).is_dir()), None)
