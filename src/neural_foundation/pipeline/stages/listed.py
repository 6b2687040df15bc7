"""Stages with one item a recording of a dataset: listed once a plan, and once a process that works on its items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import DataError
from ...core.kinds import of
from ...datasets.base import DATA_FOLDER, Dataset, Item
from ...datasets.table import DATASETS
from ..stage import Item as StageItem
from ..stage import Stage

MOST_LISTED = 8
_LISTED: dict[tuple[Any, ...], dict[str, Item]] = {}  # by dataset, the latest last


class OfRecordings(Stage):
    """Base of stages that make one thing of each recording of a dataset."""

    dataset: of(DATASETS, Dataset)  # type: ignore[valid-type]

    own_axis: ClassVar[str] = "recording"

    def own_values(self) -> list[str]:
        return list(listed(self.dataset, anew=True))

    def raw_files(self, item: StageItem) -> Sequence[Path]:
        return list(self.dataset.raw_files(self.recording(item)))

    def rows_digest(self, item: StageItem) -> str:
        return str(self.dataset.rows_digest(self.recording(item)))

    def recording(self, item: StageItem) -> Item:
        """Return the recording of an item."""
        return one(self.dataset, item["recording"])

    def facts_of(self, recording: Item) -> dict[str, Any]:
        """Return what every such stage writes down of a recording."""
        return {
            "recording": recording.id,
            "subject": recording.subject,
            "dataset": {"kind": self.dataset.kind, **asdict(self.dataset.info)},
        }


def listed(dataset: Dataset, *, anew: bool = False) -> dict[str, Item]:
    """Return the recordings by id: as last listed in this process, unless `anew`; DataError where there are none."""
    # a stage is copied and sent to other processes item by item, so it cannot hold what it has listed
    key = type(dataset), dataset.model_dump_json(serialize_as_any=True), os.environ.get(DATA_FOLDER)
    if anew or key not in _LISTED:
        items = dataset.items()
        if not items:
            raise DataError(f"Dataset '{dataset.kind}' has no recordings", remedy="Check its path")
        _LISTED.pop(key, None)
        _LISTED[key] = {i.id: i for i in items}
        for old in list(_LISTED)[:-MOST_LISTED]:
            del _LISTED[old]
    return _LISTED[key]


def one(dataset: Dataset, name: str) -> Item:
    """Return a recording by its id."""
    known = listed(dataset)
    return known[name] if name in known else listed(dataset, anew=True)[name]
