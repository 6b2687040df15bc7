"""Files that a layout maps: the layout as plain YAML, the arrays through numpy, csv, pyarrow and h5py."""

from __future__ import annotations

import csv as text
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from strict_content import Channel, Content, Unsure, need, volts

Get = Callable[[str], Any]
KNOWN = {"values", "axes", "sfreq", "unit", "ch_names", "ch_types"}


def content(path: Path, get: Get) -> Content:
    """Return the content of the arrays that get(path) gives, as the layout beside the file says."""
    layout = yaml.safe_load(path.with_name(path.name.rpartition(".")[0] + ".layout.yaml").read_text())
    if set(layout) - {"signals", "trials"} or len(layout["signals"]) != 1:
        raise Unsure("another layout")
    signal = next(iter(layout["signals"].values()))
    if set(signal) - KNOWN or not isinstance(signal["unit"], str) or not isinstance(signal["sfreq"], float | int):
        raise Unsure("another layout")
    if isinstance(signal["values"], list):
        values = np.stack([np.asarray(get(name), float).reshape(-1) for name in signal["values"]])
    else:
        values = np.asarray(get(signal["values"]), float)
        values = values.T if values.ndim == 2 and signal.get("axes") == "time channel" else np.atleast_2d(values)
    unit, factor = volts(signal["unit"])
    names = signal.get("ch_names")
    if not isinstance(names, list) or len(names) != len(values):
        raise Unsure("channels without names")
    need(not np.isinf(values).any(), "not finite")
    with np.errstate(over="ignore", invalid="ignore"):
        lines = [Channel(str(n), float(signal["sfreq"]), v * factor, unit) for n, v in zip(names, values, strict=True)]
    said = layout.get("trials")
    if said and (set(said) != {"start", "end", "label"} or None in said.values()):
        raise Unsure("other trials")
    return Content(lines, None if not said else trials(*(get(said[key]) for key in ("start", "end", "label"))))


def trials(start: Any, end: Any, label: Any) -> list[tuple[float, float, str]]:
    words = [w.decode() if isinstance(w, bytes) else str(w) for w in np.asarray(label, object).reshape(-1)]
    times = [np.asarray(t, float).reshape(-1).tolist() for t in (start, end)]
    return list(zip(*times, words, strict=True))


def npy(path: Path) -> Content:
    array = np.load(path, allow_pickle=False)
    need(array.dtype.kind in "iufb", "no numbers")
    return content(path, {"array": array}.__getitem__)


def csv(path: Path) -> Content:
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    need(raw.endswith(b"\n"), "the last line does not end")
    head, *rows = text.reader(raw.decode("utf-8").replace("\r\n", "\n").split("\n")[:-1], strict=True)
    need(all(len(row) == len(head) for row in rows) and len(set(head)) == len(head), "columns")
    columns = {
        name.strip(): [cell.strip() for cell in column]
        for name, column in zip(head, zip(*rows, strict=True), strict=True)
    }
    missing = ("", "nan", "na", "n/a", "null", "none")
    return content(path, lambda n: [float("nan") if c.lower() in missing else float(c) for c in columns[n]])


def parquet(path: Path) -> Content:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
    table.validate(full=True)
    return content(path, lambda name: table.column(name).to_numpy(zero_copy_only=False))


def hdf5(path: Path) -> Content:
    import h5py

    with h5py.File(path, "r") as file:
        return content(path, lambda name: file[name][()])


def mat73(path: Path) -> Content:
    """Axes are reversed, text is numbers, a cell array is references."""
    import h5py

    with h5py.File(path, "r") as file:

        def get(name: str) -> Any:
            found = file[name.replace(".", "/")]
            if found.dtype.kind == "O":
                return [file[ref][()].astype("<u2").tobytes().decode("utf-16-le") for ref in found[()].reshape(-1)]
            return np.zeros(tuple(found[()])) if found.attrs.get("MATLAB_empty") else found[()].T

        return content(path, get)
