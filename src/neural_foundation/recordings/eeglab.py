"""EEGLAB continuous recordings: a .set, with the samples in it or in the .fdt beside it.

Source: the EEG structure as EEGLAB's documentation and `eeg_checkset` describe it; MATLAB 5.0 and 7.3 files, with one
variable EEG or its fields as variables. Values, events and positions are those that MNE gives, but for what is named.

Notable:
- Lazy: the .fdt (float32, frame by frame) and samples in a .set are read slice by slice. The .set is parsed by our
  own code (5.0) or h5py (7.3); ICA, history, epochs and all else are not read.
- All samples are taken to be microvolts, as EEGLAB states no unit.
- nbchan, pnts, trials, srate, xmin and xmax must agree with each other and with the size of the samples.
- Epoched files (trials > 1) are refused: epochs cut out of a recording do not follow on each other, so no filter may
  run across them. The continuous file they were cut from has their events.
- Events: the type as text (a whole number without '.0'), latencies counted from 1, lengths in samples (none: 0). The
  length of a 'boundary' is what was cut out there, as EEGLAB and MNE give it. An event without a finite latency, or
  outside the recording, is an error; MNE drops it.
- Positions: EEGLAB's axes (x to the nose, y to the left) turned to the head frame, also where `chaninfo.nosedir` names
  another nose, which MNE ignores. A unit sphere counts as 100 mm, as in MNE. Without any, those of the 10-05 system.
- Channel types: the file's `type`; where it gives none, the label's. MNE takes every unknown type for EEG; here it is
  misc.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import Position, SignalSpec
from .arrays import Array
from .channels import channel, positions, repeated
from .frames import FrameSignal, ScaledSignal, check_newlines, companion, glance_newlines
from .header_text import MAX_CHANNELS, MAX_HZ
from .mat_fields import V5, V73, Fields, Value, open_mat
from .reader import AGAIN, OpenFile, Reader, fail, file_size, stem
from .session import Intervals, Session, Signal

MICROVOLT = 1e-6
MAX_TIMES = 1 << 48
_ALWAYS = ("data", "nbchan", "pnts", "srate", "chanlocs", "event")
_RESAVE = "Load it in EEGLAB, run eeg_checkset, and save it again"
_TYPES = {"ref": "eeg", "heog": "eog", "veog": "eog", "ekg": "ecg"}
_TYPES |= {t: t for t in ("eeg", "eog", "ecg", "emg", "misc", "seeg", "ecog", "dbs")}
# nose along +X of the file: right is -Y, front is +X; and so on
_NOSE = {"+x": ((0, -1), (1, 0)), "-x": ((0, 1), (-1, 0)), "+y": ((1, 0), (0, 1)), "-y": ((-1, 0), (0, -1))}
_UNITS_M = ((0.25, 1.0), (2.5, 0.1), (25.0, 0.01), (np.inf, 0.001))  # mean radius below: metres a unit


class StoredSignal(ScaledSignal):
    """Samples in the .set itself."""

    def __init__(self, path: Path, spec: SignalSpec, n_times: int, array: Array) -> None:
        super().__init__(path, spec, n_times, np.full(spec.n_chans, MICROVOLT))
        self.array = array

    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        if self.n_times == 1:  # the one axis that is longer is not that of time
            return self.array.numbers().reshape(-1, 1)[:, start:stop]
        return self.array.block(1, start, stop).T


class Eeglab(Reader):
    """EEGLAB .set files of continuous recordings."""

    kind: Literal["eeglab"] = "eeglab"
    extensions: ClassVar[tuple[str, ...]] = (".set",)
    magic: ClassVar[tuple[bytes, ...]] = (V5, V73)
    c_library: ClassVar[bool] = True

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        if path.suffix.lower() in (".fdt", ".dat"):
            given = "these are the samples of an EEGLAB recording"
            raise RecordingError(path, given, allowed="its header", remedy="Open the .set beside it")
        variables = open_mat(path, file_size(path))
        try:
            return _session(path, _eeg(path, Fields(variables)), subject or stem(path), variables.close)
        except BaseException:
            variables.close()
            raise


def _eeg(path: Path, variables: Fields) -> Fields:
    """Return the fields of EEG: those of the variable, or the variables themselves."""
    if {"data", "nbchan", "srate"} <= set(variables.names):
        return _whole(path, variables)
    if "EEG" not in variables.names:
        given = f"it holds {one_of(variables.names[:8])}, which is no EEGLAB recording"
        fail(
            path,
            given,
            allowed="a variable EEG",
            remedy="Save one recording with pop_saveset, or name it .mat and say in a layout what is where",
        )
    found = variables.fields("EEG")
    if found is None:
        fail(path, "its variable EEG is not one struct", allowed="one recording a file", remedy=_RESAVE)
    return _whole(path, found)


def _whole(path: Path, eeg: Fields) -> Fields:
    """Return the fields, all of those that EEGLAB always writes; without one, events or names would be lost unsaid."""
    if missing := [name for name in _ALWAYS if name not in eeg.names]:
        fail(path, f"its EEG has no field '{missing[0]}'", allowed="also an empty one", remedy=_RESAVE)
    return eeg


def _session(path: Path, eeg: Fields, subject: str, release: Callable[[], object]) -> Session:
    n_chans, n_times = _count(path, eeg, "nbchan", MAX_CHANNELS), _count(path, eeg, "pnts", MAX_TIMES)
    trials = _count(path, eeg, "trials", MAX_TIMES) if _given(eeg.value("trials")) else 1
    if trials > 1:
        given = f"it holds {trials} epochs of {n_times} samples, not a continuous recording"
        fail(path, given, remedy="Open the continuous file that the epochs were cut from; its events mark the trials")
    sfreq = _sfreq(path, eeg, n_times)
    spec = _spec(path, eeg, n_chans, sfreq, subject)
    events = _events(path, eeg, sfreq, n_times)
    signal, file = _signal(path, eeg, spec, n_times)

    def close() -> None:
        release()
        if file is not None:
            file.close()

    return Session(stem(path), subject, {"eeg": signal}, events, close=close)


def _signal(path: Path, eeg: Fields, spec: SignalSpec, n_times: int) -> tuple[Signal, OpenFile | None]:
    stored = eeg.stored("data")
    if stored is not None:
        dims = stored.shape[:2] if stored.shape[2:] in ((), (1,)) else stored.shape
        if dims != (spec.n_chans, n_times):
            given = f"nbchan is {spec.n_chans} and pnts {n_times}, but its data are {_by(stored.shape)}"
            fail(path, given, remedy=_RESAVE)
        return StoredSignal(path, spec, n_times, stored), None
    name = eeg.value("data")
    if not isinstance(name, str) or not name:
        fail(path, "its field data is neither an array of numbers nor the name of a file", remedy=_RESAVE)
    if name.lower().endswith(".dat"):
        given = f"its samples are in '{name[:80]}', in the order of old EEGLAB versions"
        fail(path, given, allowed="a .fdt", remedy="Load it in EEGLAB and save it again")
    samples, size = companion(path, name, "samples")
    expected = 4 * spec.n_chans * n_times
    if size != expected:
        check_newlines(path, samples)
        off = f"{abs(size - expected)} bytes {'are missing' if size < expected else 'are too many'}"
        shape = f"{spec.n_chans} channels of {n_times} samples are {expected}"
        fail(path, f"'{name}' has {size} bytes, but {shape}: {off}", remedy=AGAIN)
    glance_newlines(path, samples)
    file = OpenFile(samples)
    gain = np.full(spec.n_chans, MICROVOLT)
    return FrameSignal(path, spec, n_times, gain, file=file, dtype="<f4"), file


def _sfreq(path: Path, eeg: Fields, n_times: int) -> float:
    sfreq = _number(path, "srate", eeg.value("srate"))
    if not 0 < sfreq <= MAX_HZ:
        fail(path, f"srate is {sfreq:g}", allowed=f"more than 0, up to {MAX_HZ:g} Hz", remedy=_RESAVE)
    times = {name: eeg.value(name) for name in ("xmin", "xmax")}
    if all(_given(v) for v in times.values()):
        first, last = (_number(path, name, v) for name, v in times.items())
        if not abs((last - first) * sfreq - (n_times - 1)) <= 0.5:
            given = f"pnts is {n_times} and srate {sfreq:g}, but xmin to xmax are {first:g} to {last:g} s"
            fail(path, given, remedy=_RESAVE)
    return sfreq


def _spec(path: Path, eeg: Fields, n_chans: int, sfreq: float, subject: str) -> SignalSpec:
    rows = eeg.value("chanlocs", ("labels", "type", "X", "Y", "Z"))
    if not _given(rows):
        names: tuple[str, ...] = tuple(f"ch{i + 1}" for i in range(n_chans))
        return SignalSpec(sfreq=sfreq, ch_names=names, ch_types=("eeg",) * n_chans, subject=subject)
    if not isinstance(rows, list) or len(rows) != n_chans:
        n = len(rows) if isinstance(rows, list) else "no"
        fail(path, f"nbchan is {n_chans}, but chanlocs has {n} entries", remedy=_RESAVE)
    found = [channel(_label(path, i, row.get("labels"))) for i, row in enumerate(rows)]
    names = tuple(c.name for c in found)
    types = tuple(_type(row.get("type"), c.type) for row, c in zip(rows, found, strict=True))
    if twice := repeated(names):
        fail(path, f"several channels are named {one_of(twice)}", remedy="Rename the channels in EEGLAB")
    at = _positions(path, rows, eeg)
    where = at if any(at) else positions(names, types)
    return SignalSpec(sfreq=sfreq, ch_names=names, ch_types=types, positions=where, subject=subject)


def _label(path: Path, index: int, value: Value) -> str:
    label = _word(value)
    if not label or not label.strip() or not label.isprintable():
        fail(path, f"the label of channel {index + 1} is {'no text' if label is None else repr(label[:40])}")
    return label


def _type(value: Value, by_label: str) -> str:
    said = (_word(value) or "").strip().lower()
    return _TYPES.get(said, "misc") if said else by_label


def _positions(path: Path, rows: list[dict[str, Any]], eeg: Fields) -> tuple[Position | None, ...]:
    chaninfo = eeg.value("chaninfo", ("nosedir",))
    nose = chaninfo[0].get("nosedir") if isinstance(chaninfo, list) and len(chaninfo) == 1 else None
    nose = nose.strip().lower() if isinstance(nose, str) and nose.strip() else "+x"
    if nose not in _NOSE:
        fail(path, f"chaninfo.nosedir is '{nose[:20]}'", allowed=one_of(_NOSE), remedy=_RESAVE)
    at = np.array([[_coordinate(row.get(axis)) for axis in "XYZ"] for row in rows])
    at[(at == 0).all(1)] = np.nan
    known = np.isfinite(at).all(1)
    if not known.any() or np.abs(at[known]).max() > 1e6:
        return (None,) * len(rows)
    radius = float(np.linalg.norm(at[known], axis=1).mean())
    at *= next(metres for below, metres in _UNITS_M if radius < below)
    right, front = _NOSE[nose]
    turned = np.stack([at[:, :2] @ right, at[:, :2] @ front, at[:, 2]], 1).tolist()
    return tuple((x, y, z) if k else None for (x, y, z), k in zip(turned, known.tolist(), strict=True))


def _coordinate(value: Value) -> float:
    is_one = isinstance(value, np.ndarray) and value.size == 1
    return float(np.asarray(value).reshape(-1)[0]) if is_one else float("nan")


def _events(path: Path, eeg: Fields, sfreq: float, n_times: int) -> Intervals:
    rows = eeg.value("event", ("type", "latency", "duration"))
    if not _given(rows):
        return Intervals()
    if not isinstance(rows, list):
        fail(path, "its field event is no struct", remedy=_RESAVE)
    return Intervals.of(_event(path, i + 1, row, sfreq, n_times) for i, row in enumerate(rows))


def _event(path: Path, number: int, row: dict[str, Any], sfreq: float, n_times: int) -> tuple[float, float, str]:
    label = _word(row.get("type"))
    if label is None:
        fail(path, f"the type of event {number} is neither text nor a number", remedy=_RESAVE)
    latency = _number(path, f"latency of event {number}", row.get("latency"))
    if not 0 <= latency <= n_times + 1:  # EEGLAB puts what lies between samples at halves, also at both ends
        given = f"event {number} lies at sample {latency:g}, but the recording has {n_times}"
        fail(path, given, remedy=f"{_RESAVE}, which removes events outside the recording")
    said = row.get("duration", "")
    length = _number(path, f"duration of event {number}", said) if said is None or _given(said) else 0.0
    if not 0 <= length <= MAX_TIMES:
        fail(path, f"event {number} has a duration of {length:g} samples", allowed="0 or more", remedy=_RESAVE)
    start = (latency - 1) / sfreq
    return start, start + length / sfreq, label


def _count(path: Path, eeg: Fields, name: str, most: int) -> int:
    value = _number(path, name, eeg.value(name))
    if not 1 <= value <= most or value != int(value):
        fail(path, f"{name} is {value:g}", allowed=f"a whole number from 1 to {most}", remedy=_RESAVE)
    return int(value)


def _number(path: Path, what: str, value: Value) -> float:
    if not isinstance(value, np.ndarray) or value.size != 1 or not np.isfinite(value).all():
        fail(path, f"the {what} is not one finite number", remedy=_RESAVE)
    return float(value.reshape(-1)[0])


def _given(value: Value) -> bool:
    """Return whether a field says anything: it is there, not empty, and not NaN."""
    if isinstance(value, np.ndarray):
        return value.size > 0 and not np.isnan(value).all()
    return value is not None and len(value) > 0


def _word(value: Value) -> str | None:
    """Return a text, or a number as text; '' where it is empty, None where it is neither."""
    if isinstance(value, str):
        return value
    if not isinstance(value, np.ndarray) or value.size > 1:
        return "" if isinstance(value, (list, tuple)) and not value else None
    number = float(value.reshape(-1)[0]) if value.size else float("nan")
    if value.size == 0:
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _by(dims: tuple[int, ...]) -> str:
    return " by ".join(map(str, dims))
