"""The arrays and tables of a session of IBL, checked against each other. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError, one_of
from ..recordings.events import Series, Spikes
from ..recordings.interval_table import IntervalTable
from ..recordings.npy import load, row
from .alf import CLUSTERS, SPIKES, TRIAL, TRIALS, Chosen

CHOICES = {1: "left", -1: "right", 0: "none"}  # the wheel clockwise, which brings a stimulus on the left to the middle
MICROMETRE = 1e-6
_NEEDED = ("stimOn_times", "choice", "probabilityLeft", "feedbackType", "contrastLeft", "contrastRight")
_EDGES = ("intervals_0", "intervals_1")
_AGAIN = "Fetch the session again"
Columns = dict[str, NDArray[np.float64]]


def read_trials(home: Path, at: Chosen) -> tuple[IntervalTable, IntervalTable]:
    """Return the trials with a choice, and those without; RecordingError where the table contradicts itself."""
    file, columns = _table(home, at)
    if missing := [name for name in (*_EDGES, *_NEEDED) if name not in columns]:
        raise RecordingError(file, f"the trials have no {one_of(missing)}", remedy=_AGAIN)
    _check_trials(file, columns)
    left, right = columns["contrastLeft"], columns["contrastRight"]
    signed = np.where(np.isnan(left) & np.isnan(right), np.nan, np.nan_to_num(right) - np.nan_to_num(left))
    facts: dict[str, tuple[Any, ...]] = {n: tuple(c.tolist()) for n, c in columns.items() if n not in _EDGES}
    facts |= {n: tuple(int(v) for v in columns[n]) for n in ("choice", "feedbackType")}
    facts["contrast"] = tuple(signed.tolist())
    times = tuple(name for name in facts if name.endswith("_times"))
    labels = tuple(CHOICES[c] for c in facts["choice"])
    whole = IntervalTable(columns[_EDGES[0]], columns[_EDGES[1]], labels, facts, times)
    return whole.only("left", "right"), whole.only("none")


def _table(home: Path, at: Chosen) -> tuple[Path, Columns]:
    """Return the columns of the trial table, or of the files of single columns."""
    if ("", TRIALS) in at:
        file = home / at["", TRIALS]
        return file, _parquet(file)
    columns: Columns = {}
    for (probe, name), path in at.items():
        match = TRIAL.fullmatch(name)
        if probe or match is None:
            continue
        file = home / path
        values = load(file)
        if match[1] == "intervals":
            if values.ndim != 2 or values.shape[1] != 2:
                raise RecordingError(file, f"it has shape {values.shape}", allowed="(n_trials, 2)", remedy=_AGAIN)
            columns |= {edge: np.asarray(values[:, k], np.float64) for k, edge in enumerate(_EDGES)}
        else:
            columns[match[1]] = np.asarray(row(file, values, match[1]), np.float64)
    if not columns:
        raise RecordingError(home / "alf", f"there is no {TRIALS}, and no file of a column of it", remedy=_AGAIN)
    return home / "alf", columns


def _parquet(file: Path) -> Columns:
    """Return the columns of numbers of a Parquet table."""
    from ..recordings.arrays import Array
    from ..recordings.parquet_rows import ParquetRows

    rows = ParquetRows(file)
    try:
        arrays = {name: rows.get(name) for name in rows.names()}
        return {n: a.numbers() for n, a in arrays.items() if isinstance(a, Array) and a.kind == "number"}
    finally:
        rows.close()


def _check_trials(file: Path, columns: Columns) -> None:
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        given = ", ".join(f"{len(c)} {name}" for name, c in columns.items())
        raise RecordingError(file, f"the trials have {given}", allowed="one entry a trial in each", remedy=_AGAIN)
    start, end = (columns[edge] for edge in _EDGES)
    if not (np.isfinite(start).all() and (np.diff(start) >= 0).all() and (end >= start).all()):
        raise RecordingError(file, "its intervals are not in order", allowed="rising, each ending after it starts")
    for name, allowed in (("choice", (-1, 0, 1)), ("feedbackType", (-1, 0, 1))):
        if not np.isin(columns[name], allowed).all():
            strange = columns[name][~np.isin(columns[name], allowed)][0]
            raise RecordingError(file, f"a {name} is {strange:g}", allowed="-1, 0 or 1", remedy=_AGAIN)
    prior = columns["probabilityLeft"]
    if not ((prior >= 0) & (prior <= 1)).all():
        raise RecordingError(file, "a probabilityLeft is no probability", allowed="0 to 1", remedy=_AGAIN)


def read_series(times: Path, values: Path, column: str, unit: str) -> Series:
    """Return one column at its own times; RecordingError where the files differ in length or times fall back."""
    t, v = row(times, load(times), "times"), row(values, load(values), "values")
    if len(t) != len(v):
        given = f"it has {len(v)} values, {times.name} {len(t)} times"
        raise RecordingError(values, given, allowed="one time a value", remedy="Leave this series out, or fetch again")
    try:
        return Series(np.array(t, np.float64), np.array(v, np.float64), (column,), (unit,))
    except DataError as error:
        raise RecordingError(times, error.given, allowed=error.allowed, remedy=_AGAIN) from None


def read_spikes(home: Path, at: Chosen, probe: str) -> Spikes:
    """Return the spikes of all clusters of a probe, with what the files say of each cluster."""
    files = {name: home / path for (p, name), path in at.items() if p == probe}
    times, clusters = (row(files[n], load(files[n]), n) for n in (SPIKES, CLUSTERS))
    if len(times) != len(clusters) or clusters.dtype.kind not in "iu":
        given = f"it has {len(clusters)} clusters ({clusters.dtype}) for {len(times)} spikes"
        raise RecordingError(files[CLUSTERS], given, allowed="one whole number a spike", remedy=_AGAIN)
    facts = _facts(files)
    n_units = max([len(column) for column in facts.values()], default=0)
    n_units = n_units or (int(clusters.max()) + 1 if len(clusters) else 0)
    if uneven := [name for name, column in facts.items() if len(column) != n_units]:
        given = f"the probe has {n_units} clusters, but {len(facts[uneven[0]])} of {uneven[0]}"
        raise RecordingError(files[CLUSTERS], given, allowed="one each", remedy=_AGAIN)
    if len(clusters) and not 0 <= int(clusters.min()) <= int(clusters.max()) < n_units:
        given = f"its clusters are {int(clusters.min())} to {int(clusters.max())}"
        raise RecordingError(files[CLUSTERS], given, allowed=f"0 to {n_units - 1}", remedy=_AGAIN)
    try:
        ids = tuple(map(str, range(n_units)))
        return Spikes(np.array(times, np.float64), np.array(clusters, np.int64), ids, facts)
    except DataError as error:
        raise RecordingError(files[SPIKES], error.given, allowed=error.allowed, remedy=_AGAIN) from None


def _facts(files: Mapping[str, Path]) -> dict[str, tuple[Any, ...]]:
    facts: dict[str, tuple[Any, ...]] = {}
    channels = _numbers(files, "clusters.channels.npy")
    if channels is not None:
        facts["channel"] = tuple(int(c) for c in channels)
        facts |= _regions(files, channels)
    facts |= _of_clusters(files)
    if (depth := _numbers(files, "clusters.depths.npy")) is not None:
        facts["depth_m"] = tuple((np.asarray(depth, np.float64) * MICROMETRE).tolist())
    if (file := files.get("clusters.metrics.pqt")) is not None:
        facts["quality"] = _quality(file, max([len(c) for c in facts.values()], default=0))
    if (file := files.get("clusters.uuids.csv")) is not None:
        lines = file.read_text(encoding="utf-8", errors="replace").split()
        facts["uuid"] = tuple(lines[1:])  # the first is the name of the column
    return facts


def _numbers(files: Mapping[str, Path], name: str) -> NDArray[Any] | None:
    return row(files[name], load(files[name]), name) if name in files else None


def _regions(files: Mapping[str, Path], channels: NDArray[Any]) -> dict[str, tuple[Any, ...]]:
    """Return the region of each cluster: that of its channel."""
    facts: dict[str, tuple[Any, ...]] = {}
    for fact, word in (("region_id", "Ids"), ("region", "Acronyms")):
        name = next((n for n in files if n.startswith(f"channels.brainLocation{word}")), None)
        if name is None:
            continue
        values = row(files[name], load(files[name]), name)
        if len(channels) and not 0 <= int(channels.min()) <= int(channels.max()) < len(values):
            given = f"it has {len(values)} channels, but a cluster lies on channel {int(channels.max())}"
            raise RecordingError(files[name], given, remedy=_AGAIN)
        facts[fact] = tuple(values[channels.astype(np.int64)].tolist())
    return facts


def _of_clusters(files: Mapping[str, Path]) -> dict[str, tuple[Any, ...]]:
    """Return the regions that the files give for the clusters themselves."""
    facts: dict[str, tuple[Any, ...]] = {}
    for fact, word in (("region_id", "Ids"), ("region", "Acronyms")):
        name = next((n for n in files if n.startswith(f"clusters.brainLocation{word}")), None)
        if name is not None:
            facts[fact] = tuple(row(files[name], load(files[name]), name).tolist())
    return facts


def _quality(file: Path, n_units: int) -> tuple[float, ...]:
    """Return IBL's label of each cluster, NaN where the table has no row of it."""
    columns = _parquet(file)
    if "label" not in columns or "cluster_id" not in columns:
        raise RecordingError(file, "it has no columns 'cluster_id' and 'label'", remedy=_AGAIN)
    ids = columns["cluster_id"]
    n_units = n_units or len(ids)
    if not (np.isin(ids, np.arange(n_units)).all() and len(np.unique(ids)) == len(ids)):
        raise RecordingError(file, "its cluster_ids are not those of the probe", allowed=f"0 to {n_units - 1}, once")
    quality = np.full(n_units, np.nan)
    quality[ids.astype(np.int64)] = columns["label"]
    return tuple(quality.tolist())
