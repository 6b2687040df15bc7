"""A folder that Kilosort, SpikeInterface or phy left: params.py, spike_times.npy and what belongs to it.

Source: the files as phy documents them (phy.readthedocs.io, "sorting user guide"; Kilosort 2 to 4 write the same).
Notable:
- params.py is Python to phy. Here it is data: every statement must be `name = literal`; nothing is run.
- Spikes: spike_times.npy (sample numbers, rising) over sample_rate, of the units of spike_clusters.npy, or of
  spike_templates.npy where nobody curated. A unit is a cluster id; those of cluster_info.tsv without a spike count too.
- Facts: each column of cluster_info.tsv and cluster_*.tsv ('' or NaN where a cluster has no row). `depth` is in
  micrometres and becomes `depth_m`; where there is none, it is that of the cluster's channel (`ch`), from
  channel_map.npy and channel_positions.npy. A column of its own file wins over its rounded copy in cluster_info.tsv.
- Contradictions are errors: lengths, the n_spikes of cluster_info.tsv, clusters it does not know, two groups or
  KSLabels for one cluster, channels outside n_channels_dat.
- The raw data that params.py names is not opened: its samples have no unit there, and a path may lead anywhere.
"""

from __future__ import annotations

import ast
import csv
import math
import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .events import Spikes
from .header_text import MAX_HZ
from .npy import load, row
from .reader import Reader, file_size
from .session import Session

MAX_TEXT = 1 << 24
MICROMETRE = 1e-6
_TEXTS = ("group", "KSLabel")
_IDS = ("cluster_id", "id")
Facts = dict[str, dict[int, Any]]
Ints = NDArray[np.int64]


class Phy(Reader):
    """Folders of Kilosort and phy."""

    kind: Literal["phy"] = "phy"
    extensions: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        folder = folder_of(path)
        params = read_params(folder / "params.py")
        sfreq = _number(folder / "params.py", params, "sample_rate", MAX_HZ)
        _arrays(folder)
        facts = _tables(folder)
        _check_channels(folder, params)
        name = folder.resolve().name
        # mapped again when asked for, so that a file that became shorter by then is an error
        return Session(name, subject or name, {}, spikes={"units": lambda: _spikes(folder, sfreq, facts)})


def is_phy(path: Path) -> bool:
    """Return whether a folder, or one of the files in it, is of this kind."""
    folder = path if path.is_dir() else path.parent
    return (folder / "params.py").is_file() and (folder / "spike_times.npy").is_file()


def folder_of(path: Path) -> Path:
    """Return the folder of sorted spikes; RecordingError where it is none."""
    if not path.is_dir():
        remedy = f"Open the folder {path.parent}" if is_phy(path) else "Check the path"
        raise RecordingError(path, "this is no folder", allowed="the folder that Kilosort or phy wrote", remedy=remedy)
    missing = [name for name in ("params.py", "spike_times.npy") if not (path / name).is_file()]
    if missing:
        given = f"this folder has no {' and no '.join(missing)}"
        raise RecordingError(path, given, allowed="the folder that Kilosort or phy wrote", remedy="Check the path")
    return path


def read_params(path: Path) -> dict[str, Any]:
    """Return the settings of a params.py. It is parsed and never run; RecordingError for all but `name = literal`."""
    text = _text(path, 1 << 16)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in the path of a Windows machine
            body = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise RecordingError(path, "it is no list of settings", allowed="lines `name = literal`") from None
    params: dict[str, Any] = {}
    for line in body:
        name = line.targets[0] if isinstance(line, ast.Assign) and len(line.targets) == 1 else None
        try:
            if not isinstance(line, ast.Assign) or not isinstance(name, ast.Name):
                raise ValueError
            value = ast.literal_eval(line.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            given = f"line {line.lineno} is no setting, and nothing in it is run"
            raise RecordingError(
                path, given, allowed="lines `name = literal`", remedy="Write the value itself"
            ) from None
        if name.id in params:
            raise RecordingError(path, f"'{name.id}' is set twice", remedy="Keep one of them")
        params[name.id] = value
    return params


def _number(path: Path, params: dict[str, Any], name: str, most: float) -> float:
    if name not in params:
        raise RecordingError(path, f"it does not set '{name}'", allowed="a number", remedy=f"Add a line {name} = ...")
    value = params[name]
    if type(value) not in (int, float) or not 0 < value <= most:
        raise RecordingError(path, f"{name} is {str(value)[:40]}", allowed=f"more than 0, up to {most:g}")
    return float(value)


def _text(path: Path, most: int = MAX_TEXT) -> str:
    size = file_size(path)
    if size > most:
        raise RecordingError(path, f"it has {size} bytes", allowed=f"up to {most}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecordingError(path, "it is no UTF-8 text", remedy="Copy it again from its source") from None


def _arrays(folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the sample number and the cluster of each spike, memory-mapped."""
    found = {}
    for name in ("spike_times", "spike_clusters", "spike_templates"):
        path = folder / f"{name}.npy"
        if path.is_file():
            found[name] = row(path, load(path), name)
            if found[name].dtype.kind not in "iu":
                raise RecordingError(path, f"the {name} are {found[name].dtype}", allowed="whole numbers")
    times = found.pop("spike_times")
    if not found:
        given = "this folder has neither spike_clusters.npy nor spike_templates.npy"
        raise RecordingError(folder, given, remedy="Copy the whole folder")
    for name, values in found.items():
        if len(values) != len(times):
            given = f"{name}.npy has {len(values)} entries, spike_times.npy {len(times)}"
            raise RecordingError(folder, given, allowed="one a spike", remedy="Copy both from one sorting")
    return times, next(iter(found.values()))


def _spikes(folder: Path, sfreq: float, facts: tuple[Facts, Facts]) -> Spikes:
    times, clusters = _arrays(folder)
    info, own = facts
    _check_samples(folder, times, clusters)
    present, unit, counts = np.unique(np.asarray(clusters, np.int64), return_inverse=True, return_counts=True)
    spikes = dict(zip(present.tolist(), counts.tolist(), strict=True))
    known = set().union(*info.values()) if info else set()
    _check_clusters(folder, spikes, info, known)
    ids = sorted(known | set(spikes))
    at = np.searchsorted(ids, present)
    columns = {name: _column(folder, name, ids, info, own) for name in dict.fromkeys([*info, *own])}
    return Spikes(
        np.asarray(times, np.float64) / sfreq,
        at[unit.reshape(-1)],
        tuple(map(str, ids)),
        _with_depth(folder, columns, len(ids)),
    )


def _check_samples(folder: Path, times: NDArray[Any], clusters: NDArray[Any]) -> None:
    if len(times) and (int(times.max()) >= 1 << 53 or int(times.min()) < 0 or (times[1:] < times[:-1]).any()):
        given = "its sample numbers are not in order" if int(times.max()) < 1 << 53 else "a sample number is too large"
        raise RecordingError(folder / "spike_times.npy", given, allowed="sample numbers from 0, rising")
    if len(clusters) and not 0 <= int(clusters.min()) <= int(clusters.max()) < 1 << 31:
        given = f"its clusters are {int(clusters.min())} to {int(clusters.max())}"
        raise RecordingError(folder, given, allowed="0 to 2147483647")


def _check_clusters(folder: Path, spikes: dict[int, int], info: Facts, known: set[int]) -> None:
    path = folder / "cluster_info.tsv"
    if info and (strange := sorted(set(spikes) - known)):
        given = f"it does not list cluster {strange[0]}, which has {spikes[strange[0]]} spikes"
        raise RecordingError(path, given, remedy="Save the sorting in phy again")
    for cluster, said in info.get("n_spikes", {}).items():
        if said != spikes.get(cluster, 0):
            given = f"it says that cluster {cluster} has {said} spikes, but there are {spikes.get(cluster, 0)}"
            raise RecordingError(path, given, remedy="Save the sorting in phy again")


def _tables(folder: Path) -> tuple[Facts, Facts]:
    """Return column -> cluster -> value of cluster_info.tsv, and of the other cluster files."""
    info: Facts = {}
    own: Facts = {}
    for path in sorted([*folder.glob("cluster_*.tsv"), *folder.glob("cluster_*.csv")]):
        is_info = path.stem == "cluster_info"
        for name, column in _table(path).items():
            into = info if is_info else own
            _merge(path, into.setdefault(name, {}), name, column)
    return info, own


def _merge(path: Path, into: dict[int, Any], name: str, column: dict[int, Any]) -> None:
    # Kilosort 4 leaves its labels twice: cluster_group.tsv is a copy of cluster_KSLabel.tsv until phy rewrites it
    for cluster, value in column.items():
        if into.setdefault(cluster, value) != value:
            given = f"the {name} of cluster {cluster} is '{value}', and '{into[cluster]}' in another file"
            raise RecordingError(path, given, remedy="Save the sorting in phy again")


def _table(path: Path) -> Facts:
    """Return column -> cluster -> value of one table: tabs between columns, a first line of names."""
    lines = _text(path).splitlines()
    try:
        rows = [line for line in csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",") if line]
    except (csv.Error, IndexError):
        raise RecordingError(path, "it is no table", allowed="columns with tabs between them") from None
    names = [n.strip() for n in rows[0]] if rows else []
    key = next((names.index(n) for n in _IDS if n in names), None)
    if key is None or len(set(names)) != len(names) or "" in names:
        given = f"its first line is {str(names)[:80]}"
        raise RecordingError(path, given, allowed="cluster_id and the names of columns, none twice")
    columns: Facts = {n: {} for n in names if n not in _IDS}
    seen: set[int] = set()
    for number, line in enumerate(rows[1:], start=2):
        text = line[key].strip() if len(line) == len(names) else ""
        if not (text.isascii() and text.isdecimal() and len(text) < 11) or int(text) in seen:
            given = f"row {number} is not one new cluster with {len(names)} entries"
            raise RecordingError(path, given, allowed="one row a cluster", remedy="Save the sorting in phy again")
        seen.add(int(text))
        for name, entry in zip(names, line, strict=True):
            if name in columns:
                columns[name][int(text)] = _value(name, entry.strip())
    return columns


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _column(folder: Path, name: str, ids: list[int], info: Facts, own: Facts) -> tuple[Any, ...]:
    """Return one column, an entry a unit; '' or NaN where a cluster has none."""
    first, second = own.get(name, {}), info.get(name, {})
    for cluster in sorted(set(first) & set(second)) if name in _TEXTS else ():
        if first[cluster] and second[cluster] and first[cluster] != second[cluster]:
            given = f"the {name} of cluster {cluster} is '{second[cluster]}' in cluster_info.tsv"
            remedy = "Save the sorting in phy again"
            raise RecordingError(folder, f"{given}, and '{first[cluster]}' in its own file", remedy=remedy)
    both = {**second, **{c: v for c, v in first.items() if v != ""}}
    values = [both.get(i, "") for i in ids]
    numbers = [v for v in values if v != ""]
    if name in _TEXTS or not numbers or any(isinstance(v, str) for v in numbers):
        return tuple(map(str, values))
    return tuple(math.nan if v == "" else v for v in values)


def _with_depth(folder: Path, columns: dict[str, tuple[Any, ...]], n_units: int) -> dict[str, tuple[Any, ...]]:
    """Return the columns with `depth_m` in place of `depth`, or from where the channel of each unit lies."""
    columns = dict(columns)
    depth = columns.pop("depth", None)
    if depth is None and "ch" in columns:
        places = _places(folder)
        depth = tuple(places.get(ch, math.nan) for ch in columns["ch"]) if places else None
    if depth is None:
        return columns
    if any(isinstance(d, str) for d in depth):
        raise RecordingError(folder / "cluster_info.tsv", "a depth is no number", allowed="micrometres")
    return {**columns, "depth_m": tuple(float(d) * MICROMETRE for d in depth)}


def _places(folder: Path) -> dict[Any, float]:
    """Return channel -> how far along the probe it lies, in micrometres; empty where the folder does not say."""
    paths = folder / "channel_map.npy", folder / "channel_positions.npy"
    if not all(path.is_file() for path in paths):
        return {}
    channels, at = row(paths[0], load(paths[0]), "channels"), load(paths[1])
    return dict(zip(channels.tolist(), at[:, 1].tolist(), strict=True))


def _check_channels(folder: Path, params: dict[str, Any]) -> None:
    """Hold channel_map.npy against channel_positions.npy and the channels that params.py states."""
    path, at = folder / "channel_map.npy", folder / "channel_positions.npy"
    n_channels = (
        _number(folder / "params.py", params, "n_channels_dat", 1 << 20) if "n_channels_dat" in params else None
    )
    if not path.is_file():
        return
    channels = row(path, load(path), "channels")
    if channels.dtype.kind not in "iu" or len(np.unique(channels)) != len(channels):
        raise RecordingError(path, "its channels are not whole numbers, each once", allowed="one number a channel")
    if n_channels and len(channels) and not 0 <= int(channels.min()) <= int(channels.max()) < n_channels:
        given = f"it names channels {int(channels.min())} to {int(channels.max())}"
        raise RecordingError(path, given, allowed=f"0 to {n_channels - 1:g}, as params.py has n_channels_dat")
    if at.is_file():
        places = load(at)
        if places.ndim != 2 or places.shape[1] < 2 or len(places) != len(channels) or places.dtype.kind not in "iuf":
            given = f"it has shape {places.shape} for {len(channels)} channels"
            raise RecordingError(at, given, allowed=f"({len(channels)}, 2)")
