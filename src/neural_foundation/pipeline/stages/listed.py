"""The recordings of a dataset by id, listed once a plan, and once a process that works on its items."""

from __future__ import annotations

import os
from typing import Any

from ...core.errors import DataError
from ...datasets.base import DATA_FOLDER, Dataset, Item

MOST_LISTED = 8
_LISTED: dict[tuple[Any, ...], dict[str, Item]] = {}  # by dataset, the latest last


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
