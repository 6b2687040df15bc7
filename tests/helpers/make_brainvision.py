"""Writes BrainVision recordings, for the tests of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals

LABEL = "Comment/{}"  # the reader joins a marker's type and description
BOUND = 1e-3 * 2.0**-23  # float32 microvolts, of values below 1 mV
DTYPES = {"INT_16": "<i2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}


def write_brainvision(
    folder: Path,
    stored: np.ndarray,
    names: Sequence[str],
    sfreq: float,
    *,
    number: str = "IEEE_FLOAT_32",
    vectorized: bool = False,
    resolution: float = 1.0,
    unit: str = "µV",
    markers: Sequence[str] = (),
    common: Sequence[str] = (),
    extra: Sequence[str] = (),
    codepage: str = "UTF-8",
    big: bool = False,
) -> Path:
    """Write a.vhdr, a.eeg and a.vmrk of stored numbers (n_chans, n_times); markers: 'type,text,position,size'."""
    said = [f"Codepage={codepage}"] if codepage else []
    lines = ["Brain Vision Data Exchange Header File Version 1.0", "; a comment", "", "[Common Infos]", *said]
    lines += ["DataFile=a.eeg", "MarkerFile=a.vmrk", "DataFormat=BINARY"]
    lines += [f"DataOrientation={'VECTORIZED' if vectorized else 'MULTIPLEXED'}", f"NumberOfChannels={len(names)}"]
    lines += [f"SamplingInterval={1e6 / sfreq!r}", *common, "", "[Binary Infos]", f"BinaryFormat={number}"]
    lines += ["UseBigEndianOrder=YES"] if big else []
    escaped = [name.replace(",", "\\1") for name in names]
    lines += ["", "[Channel Infos]", *(f"Ch{i}={n},,{resolution!r},{unit}" for i, n in enumerate(escaped, 1)), *extra]
    text = "\n".join([*lines, "", "[Comment]", "free text [x] = y", ""])
    encoding = "latin-1" if codepage in ("", "ANSI", "Latin-1") else "utf-8"
    (folder / "a.vhdr").write_bytes(text.encode(encoding))
    dtype = np.dtype(DTYPES[number]).newbyteorder(">" if big else "<")
    (folder / "a.eeg").write_bytes(np.asarray(stored).astype(dtype).tobytes("C" if vectorized else "F"))
    lines = ["Brain Vision Data Exchange Marker File, Version 1.0", "", "[Common Infos]", *said, "DataFile=a.eeg", ""]
    rows = (f"Mk{i}={marker},0" for i, marker in enumerate(markers, 1))
    (folder / "a.vmrk").write_bytes("\n".join([*lines, "[Marker Infos]", *rows, ""]).encode(encoding))
    return folder / "a.vhdr"


def make_brainvision(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write values (n_chans, n_times) in volts and trials as float32 microvolts; labels come back as LABEL."""
    rate = spec.sfreq
    markers = ["New Segment,,1,1"]
    markers += [f"Comment,{text},{round(a * rate) + 1},{round((b - a) * rate)}" for a, b, text in trials]
    return write_brainvision(folder, values.astype(float) * 1e6, spec.ch_names, rate, markers=markers)
