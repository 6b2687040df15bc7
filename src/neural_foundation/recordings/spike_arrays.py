"""Spike times and the unit of each, as NumPy arrays: NAME.npz, or NAME.spike_times.npy beside NAME.spike_clusters.npy.

Notable:
- In .npz: one of times, times_s, spike_times; one of units, unit, clusters, spike_clusters; sfreq (or sample_rate)
  where the times are samples; and unit_ids where some units have no spike. Other arrays are not read.
- Whole numbers are samples and need a rate: the file's, or the reader's own `sfreq`. Numbers with a fraction are
  seconds, and a rate beside them is a contradiction. Times rise.
- Nothing is unpickled. The pair is memory-mapped; the arrays of an .npz are read when they are asked for, and must
  have the checksums that it states.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import DataError, RecordingError, one_of
from .events import Spikes
from .header_text import MAX_HZ
from .npy import MAGIC, MAX_HEADER, Header, load, read_header, row
from .reader import AGAIN, Reader, file_size, stem
from .session import Session

MAX_RATIO = 1100  # deflate shrinks a thousandfold at most
MAX_RATIO_LARGE = 100  # what spikes in numbers do not reach, where they are many
_LARGE = 1 << 26
TIMES_END, UNITS_END = ".spike_times.npy", ".spike_clusters.npy"
_TIMES = ("times", "times_s", "spike_times")
_UNITS = ("units", "unit", "clusters", "spike_clusters")
_RATES = ("sfreq", "sample_rate")
_END = b"PK\x05\x06"
Read = Callable[[], NDArray[Any]]


class SpikeArrays(Reader):
    """Spike times and units as NumPy arrays. sfreq : samples per second, where the file states none."""

    kind: Literal["spike_arrays"] = "spike_arrays"
    extensions: ClassVar[tuple[str, ...]] = (".npz", TIMES_END)
    magic: ClassVar[tuple[bytes, ...]] = (b"PK\x03\x04", MAGIC)
    sfreq: float | None = Field(None, gt=0, le=MAX_HZ, description="samples per second of times that are samples")

    def recognises(self, head: bytes, name: str) -> bool:
        """Return whether a file of this name can hold spikes: any zip and any array start as these do."""
        return name.lower().endswith(self.extensions) and super().recognises(head, name)

    def takes(self, path: Path) -> bool:
        """Any program writes .npz files; a pair of spike arrays is meant."""
        return path.name.endswith(TIMES_END)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        pair = path.name.endswith(TIMES_END)
        name = path.name.removesuffix(TIMES_END) if pair else stem(path)
        read = _pair(path, self.sfreq) if pair else _Npz(path).spikes(self.sfreq)
        return Session(name, subject or name, {}, spikes={"units": read})


def _pair(path: Path, sfreq: float | None) -> Callable[[], Spikes]:
    other = path.with_name(path.name.removesuffix(TIMES_END) + UNITS_END)
    if not other.is_file():
        raise RecordingError(path, f"there is no {other.name} beside it", remedy="Copy both files into one folder")

    def mapped() -> tuple[NDArray[Any], NDArray[Any]]:
        times, units = row(path, load(path), "times"), row(other, load(other), "units")
        if len(times) != len(units):
            raise RecordingError(path, f"it has {len(times)} times for {len(units)} units", allowed="one each")
        return times, units

    first = mapped()
    rate = _rate(path, first[0].dtype, first[1].dtype, None, sfreq)
    # mapped again when asked for, so that a file that became shorter by then is an error
    return lambda: _spikes(path, *mapped(), None, rate)


def _rate(
    path: Path, dtype: np.dtype[Any], units: np.dtype[Any], stated: float | None, given: float | None
) -> float | None:
    """Return by what the times are divided, None for seconds; RecordingError where that is not clear."""
    if dtype.kind not in "iuf" or units.kind not in "iuU":
        allowed = "times in numbers; units in whole numbers or words"
        raise RecordingError(path, f"its times are {dtype}, its units {units}", allowed=allowed)
    if stated is not None and given is not None and stated != given:
        raise RecordingError(path, f"it says {stated:g} Hz, the reader {given:g} Hz", remedy="Give one of them")
    rate = given if stated is None else stated
    if dtype.kind == "f":
        if stated is not None:
            allowed = "whole numbers with a rate, or seconds without"
            raise RecordingError(path, f"its times have a fraction, yet it states {stated:g} Hz", allowed=allowed)
        return None
    if rate is None:
        remedy = "Give the reader its sfreq, or add an array 'sfreq' to the .npz, or store seconds"
        raise RecordingError(path, "its times are samples, and nothing states their rate", remedy=remedy)
    return rate


def _spikes(
    path: Path, times: NDArray[Any], units: NDArray[Any], ids: NDArray[Any] | None, rate: float | None
) -> Spikes:
    """Return the spikes; without ids, those of the units that fire, in order."""
    if rate and len(times) and max(abs(int(times.min())), abs(int(times.max()))) >= 1 << 53:
        raise RecordingError(path, "a sample number is too large", allowed="less than 2^53")
    found, unit = np.unique(units, return_inverse=True)
    if ids is not None:
        places = {word: i for i, word in enumerate(ids.tolist())}
        if missing := [word for word in found.tolist() if word not in places]:
            raise RecordingError(path, f"its unit_ids do not list unit '{missing[0]}'", allowed="every unit")
        unit = np.array([places[word] for word in found.tolist()], np.int64)[unit]
        found = ids
    try:
        seconds = np.asarray(times, np.float64) / rate if rate else np.asarray(times, np.float64)
        return Spikes(seconds, unit.reshape(-1), tuple(str(word) for word in found.tolist()))
    except RecordingError:
        raise
    except DataError as error:
        raise RecordingError(path, error.given, allowed=error.allowed, remedy="Sort it by time in its source") from None


class _Npz:
    """The arrays of an .npz: a zip file of .npy files, whose directory must be where its end says."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, file_size(path)
        self._check_end()
        self.members = self._members()

    def spikes(self, given: float | None) -> Callable[[], Spikes]:
        times, units = self._one(_TIMES), self._one(_UNITS)
        heads = {name: self._header(name) for name in (times, units)}
        lengths = [int(np.prod(heads[name].shape)) for name in (times, units)]
        if lengths[0] != lengths[1]:
            raise RecordingError(self.path, f"it has {lengths[0]} times and {lengths[1]} units", allowed="one each")
        stated = self._sfreq()
        rate = _rate(self.path, heads[times].dtype, heads[units].dtype, stated, given)
        if times == "times_s" and rate is not None:
            raise RecordingError(self.path, "its times_s are whole numbers", allowed="seconds, as floats")

        def read() -> Spikes:
            parts = [row(self.path, self._array(name), name) for name in (times, units)]
            ids = row(self.path, self._array("unit_ids"), "unit_ids") if "unit_ids" in self.members else None
            return _spikes(self.path, parts[0], parts[1], ids, rate)

        return read

    def _check_end(self) -> None:
        """The end record is the last 22 bytes; the directory lies right before it (PKWARE APPNOTE 4.3.16)."""
        with self.path.open("rb") as file:
            start = file.read(4)
            file.seek(max(0, self.size - 22))
            end = file.read(22)
        if start != b"PK\x03\x04" or len(end) < 22 or not end.startswith(_END) or end[20:] != b"\0\0":
            given = "it does not start and end as .npz files do: it is no .npz, truncated, or has bytes after its end"
            raise RecordingError(self.path, given, remedy=AGAIN)
        length, at = int.from_bytes(end[12:16], "little"), int.from_bytes(end[16:20], "little")
        if at != 0xFFFFFFFF and at + length + 22 != self.size:
            given = f"it has {self.size} bytes, but its end says {at + length + 22}"
            raise RecordingError(self.path, given, remedy=AGAIN)

    def _members(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._guarded(lambda file: file.infolist())
        names = [info.filename.removesuffix(".npy") for info in infos]
        if len(set(names)) != len(names):
            raise RecordingError(self.path, "two of its arrays have one name", remedy="Save it again")
        for info in infos:
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise RecordingError(self.path, f"'{info.filename}' is packed in a way that NumPy does not write")
            most = MAX_RATIO if info.file_size <= _LARGE else MAX_RATIO_LARGE
            if info.compress_size > self.size or info.file_size > most * max(info.compress_size, 1):
                given = f"'{info.filename}' claims {info.file_size} bytes from {info.compress_size}"
                raise RecordingError(self.path, given, remedy=AGAIN)
        return dict(zip(names, infos, strict=True))

    def _one(self, names: tuple[str, ...]) -> str:
        found = [name for name in names if name in self.members]
        if len(found) != 1:
            given = f"it holds {one_of(found) if found else one_of(sorted(self.members)[:12])}"
            raise RecordingError(self.path, given, allowed=f"just one of {one_of(names)}", remedy="Rename its arrays")
        return found[0]

    def _header(self, name: str) -> Header:
        info = self.members[name]
        said = read_header(self.path, self._read(name, MAX_HEADER), name)
        if said.at + said.n_bytes != info.file_size:
            given = f"'{name}' has {info.file_size} bytes, but its header describes {said.at + said.n_bytes}"
            raise RecordingError(self.path, given, remedy=AGAIN)
        return said

    def _array(self, name: str) -> NDArray[Any]:
        said = self._header(name)
        return said.array(self._read(name)[said.at :])

    def _sfreq(self) -> float | None:
        names = [name for name in _RATES if name in self.members]
        if not names:
            return None
        value = self._array(self._one(_RATES)).reshape(-1)
        if len(value) != 1 or value.dtype.kind not in "iuf" or not 0 < value[0] <= MAX_HZ:
            given = f"its {names[0]} is {str(value.tolist())[:40]}"
            raise RecordingError(self.path, given, allowed=f"one number, more than 0, up to {MAX_HZ:g}")
        return float(value[0])

    def _read(self, name: str, most: int = -1) -> bytes:
        def read(file: zipfile.ZipFile) -> bytes:
            with file.open(self.members[name]) as member:
                return member.read(most)

        held: bytes = self._guarded(read)
        return held

    def _guarded(self, use: Callable[[zipfile.ZipFile], Any]) -> Any:
        """Turn what the zip library raises for damaged bytes into RecordingError."""
        try:
            with zipfile.ZipFile(self.path) as file:
                return use(file)
        except Exception as error:  # noqa: BLE001 - zipfile and zlib raise a dozen types for damaged bytes
            given = f"the .npz file is damaged ({type(error).__name__})"
            raise RecordingError(self.path, given, remedy=AGAIN) from None
