"""MAT-files of level 5 through scipy.io, and what EEGLAB says its structure means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import strict_mapped
from scipy.io import loadmat
from strict_content import Channel, Content, Unsure, need

from neural_foundation.recordings.channels import channel


def mapped(path: Path) -> Content:
    held = loadmat(path, mat_dtype=True)

    def get(name: str) -> Any:
        found: Any = held
        for word in name.split("."):
            found = found[word][0, 0] if isinstance(found, np.ndarray) else found[word]
        if found.dtype.kind == "O":
            return ["".join(cell.reshape(-1).tolist()) for cell in found.reshape(-1, order="F")]
        return found

    return strict_mapped.content(path, get)


def eeglab(path: Path) -> Content:
    held = loadmat(path, mat_dtype=True)
    if "EEG" not in held or held["EEG"].size != 1 or held["EEG"].dtype.names is None:
        raise Unsure("no variable EEG")
    eeg = held["EEG"][0, 0]
    n, pnts, rate = (one(eeg[key]) for key in ("nbchan", "pnts", "srate"))
    need(eeg["data"].shape == (n, pnts), "shape of the samples")
    places = eeg["chanlocs"].reshape(-1)
    need(len(places) == n, "chanlocs")
    names = [channel(word(row["labels"])).name for row in places]
    values = eeg["data"].astype(float) * 1e-6
    need(bool(np.isfinite(values).all()), "not finite")
    rows = []
    for event in eeg["event"].reshape(-1):
        start = (one(event["latency"]) - 1) / rate
        names_ = event.dtype.names or ()
        lasts = one(event["duration"]) if "duration" in names_ and event["duration"].size else 0.0
        rows.append((start, start + lasts / rate, word(event["type"])))
    return Content([Channel(name, rate, v) for name, v in zip(names, values, strict=True)], rows)


def one(array: Any) -> float:
    need(array.size == 1, "no single number")
    return float(array.reshape(-1)[0])


def word(array: Any) -> str:
    if array.dtype.kind == "U":
        return "\n".join(array.reshape(-1).tolist())
    if array.size == 0:
        return ""
    number = one(array)
    return str(int(number)) if number.is_integer() else repr(number)
