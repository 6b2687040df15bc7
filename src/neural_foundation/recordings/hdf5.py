"""Sessions in HDF5: ours, and those that temporaldata (torch_brain's brainsets) wrote.

Notable:
- Each RegularTimeSeries is a signal, `eeg` or the one with most channels first. Its samples are the array `signal`,
  or else its only floating-point array, time first; a brainset's values are taken to be volts, as it states no unit.
- Channels: `channels` (or `<series>_channels`) where it has one row a channel, its `id`, `type`, `position`; else
  they are named ch1, ch2, ... in order, and are of type eeg.
- Validity: `<series>_validity` of ours, else the domain of the series. A valid sample that is not finite is an error.
- Sizes are checked against the file before anything is allocated. Our files carry checksums of all but the samples.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import Position, SignalSpec
from .channels import TYPES, positions, repeated
from .edf_header import MAX_CHANNELS
from .hdf5_write import FORMAT_VERSION
from .reader import Reader, file_size, stem
from .session import Intervals, Mask, Session, Signal, Values

MAX_RATIO = 1000  # a compressed array may be this much larger than the file
_AGAIN = "Copy it again from its source, or prepare it again"
_SAMPLES = ("signal", "raw", "data", "value", "values")


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what h5py raises for a damaged file into RecordingError."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises a dozen types for damaged bytes
        raise RecordingError(path, f"the HDF5 file is damaged ({type(error).__name__})", remedy=_AGAIN) from None


class SeriesSignal(Signal):
    """One RegularTimeSeries. `samples`: HDF5 array (n_times, n_chans); `runs` (n_runs, 2): valid sample indices."""

    def __init__(self, path: Path, spec: SignalSpec, samples: Any, runs: NDArray[np.int64], start_s: float) -> None:
        self.path, self.samples, self.runs = path, samples, runs
        super().__init__(spec, int(samples.shape[0]), start_s)

    def _read(self, start: int, stop: int) -> Values:
        with guarded(self.path):
            block = np.asarray(self.samples[start:stop]).reshape(stop - start, self.spec.n_chans)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(block.T.astype(np.float32))
        finite = np.isfinite(values).all(0)
        if not finite.all() and (~finite & self._valid(start, stop)).any():
            at = start + int(np.argmax(~finite & self._valid(start, stop)))
            raise RecordingError(self.path, f"sample {at} is not finite, yet valid", remedy=_AGAIN)
        return values

    def _valid(self, start: int, stop: int) -> Mask:
        valid = np.zeros(stop - start, dtype=bool)
        begin = int(np.searchsorted(self.runs[:, 1], start, side="right"))
        end = int(np.searchsorted(self.runs[:, 0], stop, side="left"))
        for low, high in self.runs[begin:end].tolist():
            valid[max(low - start, 0) : max(high - start, 0)] = True
        return valid


class Hdf5(Reader):
    """Our sessions, and those of temporaldata and torch_brain."""

    kind: Literal["hdf5"] = "hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    magic: ClassVar[tuple[bytes, ...]] = (b"\x89HDF\r\n\x1a\n",)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        import h5py

        size = file_size(path)
        _check_end(path, size)
        with guarded(path):
            file = h5py.File(path, "r")
        try:
            with guarded(path):
                return _session(path, file, size, subject)
        except BaseException:
            file.close()
            raise


def _check_end(path: Path, size: int) -> None:
    """Hold the size of the file against the one in its superblock (HDF5 file format 3.0, section II.A)."""
    with path.open("rb") as file:
        head = file.read(64)
    at = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8] if len(head) == 64 else -1)
    if at is None:
        raise RecordingError(
            path, f"its HDF5 header is not whole or of an unknown version ({size} bytes)", remedy=_AGAIN
        )
    end = int.from_bytes(head[at : at + 8], "little")
    if end != size:
        what = "it is truncated" if size < end else f"{size - end} bytes follow its end"
        raise RecordingError(path, f"it has {size} bytes, but its header says {end}: {what}", remedy=_AGAIN)


def _session(path: Path, file: Any, size: int, subject: str | None) -> Session:
    _check_version(path, file)
    own = "format_version" in file.attrs
    decode = _escaped if own else _plain
    who = subject or _id(path, file, "subject") or stem(path)
    series = {name: g for name, g in file.items() if _object(g) == "RegularTimeSeries"}
    signals = [(name, _signal(path, file, name, size, who, decode)) for name in series]
    signals.sort(key=lambda item: (item[0] != "eeg", -item[1].spec.n_chans))
    trials = _trials(path, file["trials"], size, decode) if "trials" in file else Intervals()
    return Session(_id(path, file, "session") or stem(path), who, dict(signals), trials, close=file.close)


def _check_version(path: Path, file: Any) -> None:
    if _object(file) != "Data":
        allowed = "a session that neural_foundation or temporaldata wrote"
        raise RecordingError(
            path, "this HDF5 file holds no session", allowed=allowed, remedy="Convert it with write_session"
        )
    version = file.attrs.get("format_version", FORMAT_VERSION)
    if not isinstance(version, (int, np.integer)) or version < 1:
        raise RecordingError(
            path, f"its format_version is {version!r}", allowed=f"1 to {FORMAT_VERSION}", remedy=_AGAIN
        )
    if version > FORMAT_VERSION:
        given = f"its format_version {version} is newer than this program knows"
        raise RecordingError(path, given, allowed=f"1 to {FORMAT_VERSION}", remedy="Upgrade neural-foundation")


def _object(group: Any) -> str:
    found = group.attrs.get("object", "") if hasattr(group, "keys") else ""
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _id(path: Path, file: Any, name: str) -> str | None:
    found = file[name].attrs.get("id") if name in file else None
    if found is not None and not isinstance(found, (str, bytes)):
        raise RecordingError(path, f"the id of its {name} is no text", remedy=_AGAIN)
    return found.decode() if isinstance(found, bytes) else found


def _signal(path: Path, file: Any, name: str, size: int, subject: str, decode: Callable[[bytes], str]) -> SeriesSignal:
    series = file[name]
    samples = _samples(path, name, series, size)
    sfreq = float(series.attrs["sampling_rate"])
    n_chans = samples.shape[1] if samples.ndim == 2 else 1
    if not (np.isfinite(sfreq) and sfreq > 0):
        raise RecordingError(path, f"the sampling rate of '{name}' is {sfreq:g}", allowed="more than 0", remedy=_AGAIN)
    start, end = (_array(path, series["domain"][key], size).astype(float) for key in ("start", "end"))
    n_times = samples.shape[0]
    if len(start) == 0 or abs((end[-1] - start[0]) * sfreq - n_times) > 0.5:
        raise RecordingError(path, f"the domain of '{name}' does not span its {n_times} samples", remedy=_AGAIN)
    runs = _runs(path, file, name, size, np.stack([start, end], 1), sfreq, n_times)
    spec = _spec(path, file, name, size, n_chans, sfreq, subject, decode)
    return SeriesSignal(path, spec, samples, runs, float(start[0]))


def _samples(path: Path, name: str, series: Any, size: int) -> Any:
    arrays = {k: v for k, v in series.items() if hasattr(v, "dtype") and v.dtype.kind == "f" and v.ndim in (1, 2)}
    known = [k for k in _SAMPLES if k in arrays] or (list(arrays) if len(arrays) == 1 else [])
    if not known:
        allowed = f"an array {one_of(_SAMPLES)}, time first"
        raise RecordingError(path, f"'{name}' has no array of samples that is alone in it", allowed=allowed)
    samples = arrays[known[0]]
    _check_size(path, samples, size)
    if samples.ndim == 2 and not 1 <= samples.shape[1] <= MAX_CHANNELS:
        raise RecordingError(path, f"'{name}' has {samples.shape[1]} channels", allowed=f"1 to {MAX_CHANNELS}")
    return samples


def _check_size(path: Path, array: Any, size: int) -> None:
    claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
    most = size * (1 if array.chunks is None else MAX_RATIO)
    if claimed and (stored == 0 or stored > size or claimed > most):
        given = f"it has {size} bytes, but its array '{array.name}' claims {claimed}"
        raise RecordingError(path, given, remedy=f"It is truncated. {_AGAIN}")
    if array.external or array.is_virtual:
        raise RecordingError(path, f"its array '{array.name}' lies in another file", allowed="whole files")


def _array(path: Path, array: Any, size: int) -> NDArray[Any]:
    _check_size(path, array, size)
    return np.asarray(array[()])


def _runs(
    path: Path, file: Any, name: str, size: int, domain: NDArray[np.float64], sfreq: float, n_times: int
) -> NDArray[np.int64]:
    """Return the valid runs, rising and apart, in samples."""
    if f"{name}_validity" in file:
        stored = file[f"{name}_validity"]
        runs = np.stack([_array(path, stored[key], size).astype(np.int64) for key in ("start", "stop")], 1)
    else:
        runs = np.rint((domain - domain[0, 0]) * sfreq).astype(np.int64)
    flat = runs.reshape(-1)
    if len(flat) and (flat[0] < 0 or flat[-1] > n_times or (np.diff(flat) < 0).any()):
        raise RecordingError(path, f"the valid stretches of '{name}' overlap or leave the signal", remedy=_AGAIN)
    return runs


def _spec(
    path: Path,
    file: Any,
    name: str,
    size: int,
    n_chans: int,
    sfreq: float,
    subject: str,
    decode: Callable[[bytes], str],
) -> SignalSpec:
    table: Any = next((file[k] for k in (f"{name}_channels", "channels") if k in file), {})
    columns = {k: _array(path, table[k], size) for k in ("id", "type", "position") if k in table}
    columns = {k: column for k, column in columns.items() if len(column) == n_chans}
    default = [f"ch{i + 1}" for i in range(n_chans)]
    names = _words(path, columns["id"], decode) if "id" in columns else default
    types = _words(path, columns["type"], decode) if "type" in columns else ["eeg"] * n_chans
    types = [t.lower() if t.lower() in TYPES else t for t in types]
    if twice := repeated(names):
        raise RecordingError(path, f"several channels are named {one_of(twice)}", remedy="Rename the channels")
    at = _positions(columns["position"]) if "position" in columns else positions(names, types)
    return SignalSpec(sfreq=sfreq, ch_names=tuple(names), ch_types=tuple(types), positions=at, subject=subject)


def _positions(rows: NDArray[Any]) -> tuple[Position | None, ...]:
    known = [tuple(float(x) for x in row) if np.isfinite(row).all() else None for row in rows.reshape(-1, 3)]
    return tuple(known)  # type: ignore[arg-type]


def _trials(path: Path, group: Any, size: int, decode: Callable[[bytes], str]) -> Intervals:
    start, end = (_array(path, group[key], size).astype(float) for key in ("start", "end"))
    key = next((k for k in ("label", "labels", "name", "id") if k in group and group[k].ndim == 1), None)
    labels = _words(path, _array(path, group[key], size), decode) if key else ["trial"] * len(start)
    if not len(start) == len(end) == len(labels) or not np.isfinite([start, end]).all() or (end < start).any():
        raise RecordingError(path, "its trials are not one finite start, end and label each", remedy=_AGAIN)
    return Intervals(start, end, tuple(labels))


def _words(path: Path, column: NDArray[Any], decode: Callable[[bytes], str]) -> list[str]:
    if column.dtype.kind in "iufb":
        return [str(x) for x in column.tolist()]
    try:
        return [decode(x) if isinstance(x, bytes) else str(x) for x in column.tolist()]
    except UnicodeDecodeError:
        raise RecordingError(path, "a text in it cannot be decoded", remedy=_AGAIN) from None


def _escaped(word: bytes) -> str:
    return word.decode("unicode_escape")


def _plain(word: bytes) -> str:
    return word.decode()
