"""Files without an agreed layout, and the layout beside each: .mat of both versions, .h5, .csv, .parquet, .npy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals

BOUND = {"mat": 0.0, "mat73": 0.0, "mapped_hdf5": 0.0, "csv": 0.0, "parquet": 0.0, "npy": 0.0}  # float32 stays float32


def layout_of(spec: SignalSpec, values: Any, axes: str | None, **trials: str) -> dict[str, Any]:
    """Return the layout of a signal `eeg` of this spec, and of its trials."""
    signal = {"values": values, "axes": axes, "sfreq": spec.sfreq, "unit": "V", "ch_names": list(spec.ch_names)}
    signal |= {"ch_types": list(spec.ch_types)}
    layout: dict[str, Any] = {"signals": {"eeg": {k: v for k, v in signal.items() if v is not None}}}
    return {**layout, "trials": trials} if trials else layout


def write_layout(path: Path, layout: dict[str, Any]) -> None:
    path.with_name(path.name.rpartition(".")[0] + ".layout.yaml").write_text(yaml.safe_dump(layout, sort_keys=False))


_TRIALS = {"start": "trials.start", "end": "trials.end", "label": "trials.label"}


def make_mat(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write level 5, compressed, through scipy."""
    from scipy.io import savemat

    label = np.array(trials.label, dtype=object)
    held = {"start": trials.start_s, "end": trials.end_s, "label": label}
    savemat(folder / "a.mat", {"data": {"eeg": values}, "trials": held}, do_compression=True)
    write_layout(folder / "a.mat", layout_of(spec, "data.eeg", "channel time", **_TRIALS))
    return folder / "a.mat"


def write_mat73(path: Path, fill: Callable[[Any], None]) -> None:
    """Write version 7.3 as MATLAB does: HDF5 after a block of 512 bytes; `fill(file)` adds the variables."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\x02IM")


def put73(group: Any, name: str, value: Any) -> Any:
    """Add a number array, a text or a list (cell row) to a group as MATLAB does: axes reversed, a class beside it."""
    import h5py

    if isinstance(value, str):
        made = group.create_dataset(name, data=np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None])
        made.attrs["MATLAB_class"] = np.bytes_("char")
    elif isinstance(value, list):
        held = group.file.require_group("#refs#")
        refs = [put73(held, f"r{len(held)}", v).ref for v in value]
        made = group.create_dataset(name, data=np.array(refs, dtype=h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
        made.attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        array = np.atleast_2d(value)
        made = group.create_dataset(name, data=array.T)
        names = {"f8": "double", "f4": "single", "u1": "uint8", "i4": "int32", "b1": "logical"}
        made.attrs["MATLAB_class"] = np.bytes_(names[array.dtype.str[1:]])
    return made


def make_mat73(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    def fill(file: Any) -> None:
        put73(file.create_group("data"), "eeg", values)
        group = file.create_group("trials")
        for name, value in (("start", trials.start_s), ("end", trials.end_s), ("label", list(trials.label))):
            put73(group, name, value)

    write_mat73(folder / "a.mat", fill)
    write_layout(folder / "a.mat", layout_of(spec, "data.eeg", "channel time", **_TRIALS))
    return folder / "a.mat"


def make_mapped_hdf5(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file["rec/eeg"] = values.T
        file["rec/trials/start"], file["rec/trials/end"] = trials.start_s, trials.end_s
        file["rec/trials/label"] = list(trials.label)
    paths = {key: f"rec/trials/{key}" for key in ("start", "end", "label")}
    write_layout(folder / "a.h5", layout_of(spec, "rec/eeg", "time channel", **paths))
    return folder / "a.h5"


def make_csv(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write a table as RFC 4180 says (CR LF); its rows are samples, so trials do not fit in it."""
    rows = [",".join(spec.ch_names), *(",".join(f"{x!r}" for x in row) for row in values.T.astype(float).tolist())]
    (folder / "a.csv").write_bytes("".join(f"{row}\r\n" for row in rows).encode())
    write_layout(folder / "a.csv", layout_of(spec, list(spec.ch_names), None))
    return folder / "a.csv"


def make_parquet(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write row groups of 100 samples; as in a .csv, no trials."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(dict(zip(spec.ch_names, values, strict=True)))
    pyarrow.parquet.write_table(table, folder / "a.parquet", row_group_size=100, write_page_checksum=True)
    write_layout(folder / "a.parquet", layout_of(spec, list(spec.ch_names), None))
    return folder / "a.parquet"


def make_npy(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    np.save(folder / "a.npy", values)
    write_layout(folder / "a.npy", layout_of(spec, "array", "channel time"))
    return folder / "a.npy"
