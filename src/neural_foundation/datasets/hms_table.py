"""`train.csv` of the HMS competition: whose each file is, and what the experts said of each window; strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of

CLASSES = ("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other")
VOTES = tuple(f"{name.lower()}_vote" for name in CLASSES)
IDS = ("eeg_id", "eeg_sub_id", "spectrogram_id", "spectrogram_sub_id", "label_id", "patient_id")
OFFSETS = ("eeg_label_offset_seconds", "spectrogram_label_offset_seconds")
COLUMNS = (*IDS, *OFFSETS, *VOTES)
CONSENSUS = "expert_consensus"
EEG_S, SPECTROGRAM_S = 50.0, 600.0
_FIX = "Correct the row in its source, or leave the patient out with `exclude`"


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of the table.

    values (n_rows, n_columns) in the order of COLUMNS. consensus : n_rows words. rows_of : EEG -> its rows, by offset.
    recordings : EEG -> (patient, spectrogram), in the order of the ids.
    """

    values: NDArray[np.float64]
    consensus: tuple[str, ...]
    rows_of: Mapping[int, tuple[int, ...]]
    recordings: Mapping[int, tuple[int, int]]

    @property
    def eeg(self) -> NDArray[np.int64]:
        return self.values[:, 0].astype(np.int64)

    @cached_property
    def patients(self) -> dict[int, int]:
        return {eeg: patient for eeg, (patient, _) in self.recordings.items()}

    @cached_property
    def patients_of_spectrograms(self) -> dict[int, int]:
        return {spectrogram: patient for patient, spectrogram in self.recordings.values()}

    def column(self, name: str, rows: Sequence[int]) -> NDArray[np.float64]:
        """Return some rows of a column."""
        return self.values[list(rows), COLUMNS.index(name)]


def table(path: Path) -> Table:
    """Return the rows of a table, parsed once for each state of the file; RecordingError where it is not as published.

    That no file is of two patients is checked here; the offsets and votes of a recording when it is opened.
    """
    from ..recordings.reader import file_size

    size = file_size(path)
    return _parsed(path, size, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed(path: Path, size: int, changed_ns: int) -> Table:
    from ..recordings.csv_rows import CsvRows
    from ..recordings.layout import TableLayout

    rows = CsvRows(path, TableLayout())
    try:
        if missing := [name for name in (*COLUMNS, CONSENSUS) if name not in rows.columns]:
            given = f"it has no column {one_of(missing)}"
            raise RecordingError(path, given, allowed=", ".join((*COLUMNS, CONSENSUS)), remedy="Get it again")
        arrays: list[Any] = [rows.get(name) for name in COLUMNS]
        values = np.asarray(rows.stack(arrays).block(0, 0, rows.n_rows), np.float64).reshape(-1, len(COLUMNS))
        consensus: Any = rows.get(CONSENSUS)
        words = tuple(consensus.words())
    finally:
        rows.bytes.close()
    _check_ids(values, path)
    return Table(values, words, _grouped(values), _recordings(values, path))


def _check_ids(values: NDArray[np.float64], path: Path) -> None:
    ids = values[:, : len(IDS)]
    bad = ~(np.isfinite(ids) & (ids >= 0) & (ids == np.floor(ids)) & (ids < 2.0**53))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        given = f"line {row + 2}: {COLUMNS[column]} is {ids[row, column]:g}"
        raise RecordingError(path, given, allowed="a whole number", remedy="Get it again")
    labels = ids[:, IDS.index("label_id")]
    if len(np.unique(labels)) != len(labels):
        found, counts = np.unique(labels, return_counts=True)
        given = f"label_id {int(found[counts > 1][0])} stands in several rows"
        raise RecordingError(path, given, allowed="one row a label_id", remedy="Get it again")


def _grouped(values: NDArray[np.float64]) -> dict[int, tuple[int, ...]]:
    order = np.lexsort((values[:, COLUMNS.index(OFFSETS[0])], values[:, 0]))
    ids, first = np.unique(values[order, 0], return_index=True)
    parts = np.split(order, first[1:]) if len(ids) else []
    return {int(eeg): tuple(part.tolist()) for eeg, part in zip(ids, parts, strict=True)}


def _recordings(values: NDArray[np.float64], path: Path) -> dict[int, tuple[int, int]]:
    patient, spectrogram = values[:, IDS.index("patient_id")], values[:, IDS.index("spectrogram_id")]
    _one_each(values[:, 0], patient, "EEG", "patients", path)
    _one_each(values[:, 0], spectrogram, "EEG", "spectrograms", path)
    _one_each(spectrogram, patient, "spectrogram", "patients", path)
    ids, first = np.unique(values[:, 0], return_index=True)
    return {int(e): (int(patient[i]), int(spectrogram[i])) for e, i in zip(ids, first, strict=True)}


def _one_each(key: NDArray[np.float64], value: NDArray[np.float64], what: str, of: str, path: Path) -> None:
    ids, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    other = value != value[first][inverse.reshape(-1)] if len(ids) else np.zeros(0, bool)
    if other.any():
        row = int(np.argmax(other))
        given = f"line {row + 2}: {what} {int(key[row])} is of several {of}"
        raise RecordingError(path, given, allowed="one", remedy="Get it again")


def faulty(rows: Table, at: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with each faulty one of some rows, in a sentence that names its line."""
    problems = {i: _problem(rows.values[i], rows.consensus[i]) for i in at}
    return {i: f"line {i + 2} of the table: {p[0]}" for i, p in problems.items() if p}


def thinned(rows: Table, at: Sequence[int], least_s: float) -> list[int]:
    """Return those of some rows of an EEG, by offset, that lie `least_s` or more after the one taken before."""
    taken, last = list[int](), float("-inf")
    for i, offset in zip(at, rows.column(OFFSETS[0], at).tolist(), strict=True):
        if offset - last >= least_s - 1e-6:
            taken.append(i)
            last = offset
    return taken


def check_rows(rows: Table, at: Sequence[int], path: Path) -> None:
    """Hold the votes of a recording against its consensus, and check its offsets; RecordingError names the line."""
    for i in at:
        problem = _problem(rows.values[i], rows.consensus[i])
        if problem:
            raise RecordingError(path, f"line {i + 2}: {problem[0]}", allowed=problem[1], remedy=_FIX)


def _problem(row: NDArray[np.float64], consensus: str) -> tuple[str, str] | None:
    """Return what is wrong with a row, and what would be right."""
    if consensus not in CLASSES:
        return f"the consensus is '{consensus}'", one_of(CLASSES)
    offsets = row[len(IDS) : len(IDS) + len(OFFSETS)]
    if not (np.isfinite(offsets).all() and (offsets >= 0).all()):
        return f"its offsets are {offsets[0]:g} and {offsets[1]:g} s", "0 or more"
    votes = row[-len(VOTES) :]
    if not (np.isfinite(votes).all() and (votes >= 0).all() and (votes == np.floor(votes)).all()):
        return f"its votes are {', '.join(f'{v:g}' for v in votes)}", "whole numbers, 0 or more"
    if votes.sum() == 0:
        return f"nobody voted, yet the consensus is {consensus}", "1 vote or more"
    most = [name for name, v in zip(CLASSES, votes, strict=True) if v == votes.max()]
    if consensus not in most:
        return f"the consensus is {consensus}, but most votes are for {one_of(most)}", "the class with most votes"
    return None


def facts(rows: Table, at: Sequence[int]) -> dict[str, tuple[Any, ...]]:
    """Return the columns of some rows: ids and votes as whole numbers, offsets as seconds on their own clocks."""
    whole = {name: tuple(int(v) for v in rows.column(name, at)) for name in (*IDS, *VOTES)}
    return {**whole, **{name: tuple(rows.column(name, at).tolist()) for name in OFFSETS}}
