"""Sessions in HDF5: ours, and those that temporaldata (torch_brain's brainsets) wrote.

What becomes what: RegularTimeSeries a signal (hdf5_signals.py), IrregularTimeSeries spikes or a series, Interval
intervals (hdf5_events.py), `trials` the trials. A name is temporaldata's own path: what lies in a Data `behaviour` is
`behaviour.wheel`. `eeg` is the first signal, else the one with the most channels, those of type eeg before others.

What is skipped, without a word at the time: every `domain` (validity says it), attributes (dates, species, ...: a
session has no field for them, and they may be personal), and what is in `Hdf5Session.skipped`: arrays outside of
tables, tables that describe no signal and no spikes, columns that are neither numbers nor text, columns of spikes
(waveforms) and of signals with more than two dimensions, and objects of classes that temporaldata 0.1 has not.

Sizes are checked against the file before anything is allocated. Our files carry checksums of all but the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..core.errors import RecordingError
from .hdf5_end import MAGIC, check_end
from .hdf5_events import intervals_of, series_of, spikes_of, unit_tables
from .hdf5_layout import FORMAT_VERSION
from .hdf5_signals import SeriesSignal, channel_tables, signals_of
from .hdf5_tree import AGAIN, MAX_RATIO, Node, Tree, guarded, object_of
from .reader import Reader, file_size, stem
from .session import Intervals, Session

__all__ = ["MAX_RATIO", "Hdf5", "Hdf5Session", "guarded"]


class Hdf5Session(Session):
    """A session of an HDF5 file.

    skipped : the paths in it that a session has no field for, as temporaldata says them.
    """

    skipped: tuple[str, ...] = ()


class Hdf5(Reader):
    """Our sessions, and those of temporaldata and torch_brain."""

    kind: Literal["hdf5"] = "hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    magic: ClassVar[tuple[bytes, ...]] = (MAGIC,)
    c_library: ClassVar[bool] = True

    def open(self, path: Path, *, subject: str | None = None) -> Hdf5Session:
        import h5py

        size = file_size(path)
        check_end(path, size)
        with guarded(path):
            file = h5py.File(path, "r")
        return session_of(path, file, size, subject)


def session_of(
    path: Path, file: Any, size: int, subject: str | None = None, *, close: Callable[[], None] | None = None
) -> Hdf5Session:
    """Return the session of an open h5py file of `size` bytes; `path` is its name in errors.

    Closing it, or a failure here, calls `close`; that of the file where none is given.
    """
    close = close or file.close
    try:
        with guarded(path):
            return _session(Tree(path, file, size, _version(path, file)), subject, close)
    except BaseException:
        close()
        raise


def said_kind(path: Path) -> str | None:
    """Return the reader's kind that an HDF5 file says it is for, '' where it says none, None where it cannot say."""
    import h5py

    try:
        check_end(path, file_size(path))
        with guarded(path), h5py.File(path, "r") as file:
            return "nwb" if "nwb_version" in file.attrs else "hdf5" if object_of(file) else ""
    except RecordingError:
        return None


def _version(path: Path, file: Any) -> int:
    """Return the format_version of a session of ours, 0 of a stranger's."""
    if "nwb_version" in file.attrs:
        raise RecordingError(path, "it is named HDF5, but its content is NWB", remedy="Rename it to .nwb")
    if object_of(file) != "Data":
        allowed = "a session that neural_foundation or temporaldata wrote"
        raise RecordingError(
            path, "this HDF5 file holds no session", allowed=allowed, remedy="Convert it with write_session"
        )
    version = file.attrs.get("format_version", 0)
    known = isinstance(version, (int, np.integer))
    if "format_version" in file.attrs and (not known or version < 1):
        raise RecordingError(path, f"its format_version is {version!r}", allowed=f"1 to {FORMAT_VERSION}", remedy=AGAIN)
    if version > FORMAT_VERSION:
        given = f"its format_version {version} is newer than this program knows"
        raise RecordingError(path, given, allowed=f"1 to {FORMAT_VERSION}", remedy="Upgrade neural-foundation")
    return int(version)


def _session(tree: Tree, subject: str | None, close: Callable[[], None]) -> Hdf5Session:
    who = subject or _id(tree, "subject") or stem(tree.path)
    found = _Found(tree, who)
    for node in tree.nodes():
        found.take(node)
    made = Hdf5Session(
        _id(tree, "session") or stem(tree.path),
        who,
        found.ordered_signals(),
        found.trials,
        spikes=found.ordered("spikes"),
        series=found.ordered("series"),
        intervals=found.ordered("intervals"),
        close=close,
    )
    made.skipped = found.skipped()
    return made


def _id(tree: Tree, name: str) -> str | None:
    found = tree.file[name].attrs.get("id") if name in tree.file else None
    if found is not None and not isinstance(found, (str, bytes)):
        raise RecordingError(tree.path, f"the id of its {name} is no text", remedy=AGAIN)
    return found.decode() if isinstance(found, bytes) else found


_READERS: dict[str, Callable[[Tree, Node], tuple[Callable[[], Any], list[str]]]] = {
    "spikes": spikes_of,
    "series": series_of,
    "intervals": intervals_of,
    "trials": intervals_of,
}


class _Found:
    """What of a file goes where, gathered object by object."""

    def __init__(self, tree: Tree, subject: str) -> None:
        self.tree, self.subject = tree, subject
        self.signals: dict[str, SeriesSignal] = {}
        self.trials: Intervals | None = None
        self._events: dict[str, dict[str, Callable[[], Any]]] = {"spikes": {}, "series": {}, "intervals": {}}
        self._order: dict[tuple[str, str], int] = {}
        self._tables: set[str] = set()  # the paths that describe something else
        self._skipped: list[str] = []

    def take(self, node: Node) -> None:
        """Put one object of the file where it belongs."""
        if node.key == "domain":
            return
        modality = self._modality(node)
        if modality == "signal":
            self._take_signals(node)
        elif modality in ("spikes", "series", "intervals", "trials"):
            self._take_events(node, modality)
        else:
            self._skipped.append(node.path)

    def _modality(self, node: Node) -> str:
        arrays = self.tree.datasets(node.group) if hasattr(node.group, "keys") else {}
        uneven = "spikes" if "unit_index" in arrays else "series"
        spans = "trials" if node.path == "trials" else "intervals"
        usual = {"RegularTimeSeries": "signal", "IrregularTimeSeries": uneven, "Interval": spans}.get(node.kind, "")
        told = str(node.group.attrs.get("modality", usual)) if self.tree.own else usual
        # intervals that lie in each other are kept as an IrregularTimeSeries
        if told != usual and (node.kind, told) not in (
            ("IrregularTimeSeries", spans),
            ("IrregularTimeSeries", "series"),
        ):
            raise RecordingError(self.tree.path, f"'{node.path}' is a {node.kind}, but says {told}", remedy=AGAIN)
        return told

    def _take_signals(self, node: Node) -> None:
        prefix = node.path.removesuffix(node.key)
        self._tables |= {prefix + key for key in (*channel_tables(self.tree, node), f"{node.key}_validity")} | {
            "channels"
        }
        for name, signal in signals_of(self.tree, node, self.subject):
            self._place(self.signals, "signal", name, signal, node)
        more = [
            k for k, a in self.tree.datasets(node.group).items() if a.dtype.kind not in "fiub" or a.ndim not in (1, 2)
        ]
        self._skipped += [f"{node.path}.{key}" for key in more]

    def _take_events(self, node: Node, modality: str) -> None:
        reader = _READERS[modality]
        load, skipped = reader(self.tree, node)
        self._skipped += [f"{node.path}.{key}" for key in skipped]
        if modality == "spikes":
            prefix = node.path.removesuffix(node.key)
            self._tables |= {prefix + key for key in unit_tables(self.tree, node)} | {"units"}
        if modality == "trials":
            self.trials = load()
        else:
            self._place(self._events[modality], modality, self.tree.name(node.group, node.path), load, node)

    def _place(self, held: dict[str, Any], modality: str, name: str, thing: Any, node: Node) -> None:
        if name in held:
            raise RecordingError(self.tree.path, f"it has two {modality} named '{name}'", remedy=AGAIN)
        held[name] = thing
        self._order[modality, name] = int(node.group.attrs.get("order", 0)) if self.tree.own else 0

    def ordered(self, modality: str) -> dict[str, Callable[[], Any]]:
        """Return the events of one modality, ours in the order they had, others by name."""
        held = self._events[modality]
        return {name: held[name] for name in sorted(held, key=lambda name: self._order[modality, name])}

    def ordered_signals(self) -> dict[str, SeriesSignal]:
        """Return the signals, the primary one first."""
        if self.tree.own > 1 and self.signals:
            return dict(sorted(self.signals.items(), key=lambda item: self._order["signal", item[0]]))
        return dict(sorted(self.signals.items(), key=_rank))

    def skipped(self) -> tuple[str, ...]:
        """Return the paths of what is nowhere in the session."""
        return tuple(path for path in self._skipped if path not in self._tables)


def _rank(item: tuple[str, SeriesSignal]) -> tuple[bool, bool, int]:
    name, signal = item
    return name != "eeg", "eeg" not in signal.spec.ch_types, -signal.spec.n_chans
