"""Writes EEGLAB recordings: MATLAB 5.0 through scipy, MATLAB 7.3 through h5py as MATLAB lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals

BOUND = 1e-3 * 2.0**-23  # float32 microvolts, of values below 1 mV
_NO_NUMBERS = np.zeros((0, 0))


def eeg_of(data: Any, sfreq: float, chanlocs: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> dict:
    """Return the fields of EEG for data (n_chans, n_times) in microvolts; structs as lists of dicts."""
    n_chans, n_times = data.shape
    return {
        "setname": "x",
        "nbchan": float(n_chans),
        "trials": 1.0,
        "pnts": float(n_times),
        "srate": float(sfreq),
        "xmin": 0.0,
        "xmax": (n_times - 1) / sfreq,
        "data": np.asarray(data, np.float32),
        "icaweights": _NO_NUMBERS,
        "chanlocs": list(chanlocs),
        "chaninfo": [{"nosedir": "+X", "plotrad": _NO_NUMBERS}],
        "event": list(events),
        "history": "EEG = pop_loadset('x.set');",
    }


def save_v5(path: Path, eeg: Mapping[str, Any], *, compressed: bool = False, top: bool = False) -> Path:
    """Write a MATLAB 5.0 file with the variable EEG, or with its fields as variables (`top`)."""
    import scipy.io

    fields = {name: _v5(value) for name, value in eeg.items()}
    variables = fields if top else {"EEG": fields}
    with path.open("wb") as file:
        scipy.io.savemat(file, variables, do_compression=compressed)
    return path


def save_v73(path: Path, eeg: Mapping[str, Any], *, top: bool = False, compressed: bool = False) -> Path:
    """Write a MATLAB 7.3 file: HDF5 behind a user block of 512 bytes."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        group = file if top else file.create_group("EEG")
        if not top:
            group.attrs["MATLAB_class"] = np.bytes_("struct")
        for name, value in eeg.items():
            _v73(file, group, name, value, "gzip" if compressed and name == "data" else None)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as file:
        file.write(head)
    return path


def make_eeglab(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write values (n_chans, n_times) in volts and trials, as a .set with its samples in it."""
    rate = spec.sfreq
    places = [{"labels": n, "type": t.upper()} for n, t in zip(spec.ch_names, spec.ch_types, strict=True)]
    events = [{"type": text, "latency": a * rate + 1, "duration": (b - a) * rate} for a, b, text in trials]
    return save_v5(folder / "a.set", eeg_of(values.astype(float) * 1e6, rate, places, events))


def _v5(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    names = list(value[0]) if value else ["type", "latency"]
    rows = np.zeros((1, len(value)), dtype=[(name, object) for name in names])
    for i, row in enumerate(value):
        for name in names:
            rows[0, i][name] = row[name]
    return rows


def _v73(file: Any, group: Any, name: str, value: Any, compression: str | None = None) -> Any:
    import h5py

    if isinstance(value, list) and len(value) == 1:
        made = group.create_group(name)
        for key, part in value[0].items():
            _v73(file, made, key, part)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
    elif isinstance(value, list) and value:
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
        held = file.require_group("#refs#")
        for key in value[0]:
            parts = [_v73(file, held, f"{len(held):x}", row[key]) for row in value]
            made.create_dataset(key, data=np.array([[p.ref] for p in parts], h5py.ref_dtype))
    else:
        made = _v73_array(group, name, value, compression)
    return made


def _v73_array(group: Any, name: str, value: Any, compression: str | None) -> Any:
    text = isinstance(value, str)
    codes = np.frombuffer(value.encode("utf-16-le"), "<u2").reshape(1, -1) if text else np.atleast_2d(value)
    empty = isinstance(value, list) or codes.size == 0
    data = np.zeros(2, np.uint64) if empty else codes.T
    made = group.create_dataset(name, data=data, compression=compression)
    kind = (
        "struct" if isinstance(value, list) else "char" if text else {"f4": "single"}.get(codes.dtype.str[1:], "double")
    )
    made.attrs["MATLAB_class"] = np.bytes_(kind)
    if empty:
        made.attrs["MATLAB_empty"] = np.uint8(1)
    return made
