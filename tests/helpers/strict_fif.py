"""FIF: MNE for what the tags say, and the samples of its buffers tag by tag, as float32 or 16-bit with calibration."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import mne
import numpy as np
from strict_content import Channel, Content, Unsure, need

BUFFER, SKIP = 300, 301
TYPES = {2: ">i2", 3: ">i4", 4: ">f4", 5: ">f8", 16: ">i2"}


def content(path: Path) -> Content:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    stored = buffers(path.read_bytes())
    cals = np.array([ch["cal"] * ch["range"] for ch in raw.info["chs"]])[:, None]
    values = raw.get_data()
    if stored is not None:
        mine = stored.reshape(-1, len(cals)).T.astype(float) * cals
        need(mine.shape == values.shape and np.allclose(mine, values, rtol=1e-6, atol=0), "MNE differs from the tags")
    start = raw.first_samp / raw.info["sfreq"]
    kept = [i for i, kind in enumerate(raw.get_channel_types()) if kind != "stim"]
    rows = [(float(a["onset"]), float(a["onset"] + a["duration"]), str(a["description"])) for a in raw.annotations]
    rate, facts = float(raw.info["sfreq"]), raw.info["chs"]
    found = [Channel(str(raw.ch_names[i]), rate, values[i], unit(facts[i]["unit"]), start) for i in kept]
    return Content(found, rows if len(kept) == len(cals) else None)


def unit(code: int) -> str:
    """Return the unit as MNE's own constants name it."""
    name = str(code).rpartition("FIFF_UNIT_")[2].strip(" )")
    known = {"NONE": "V", "V": "V", "T": "T", "T_M": "T/m", "CEL": "degC", "UNITLESS": ""}
    if name not in known:
        raise Unsure(f"unit {code}")
    return known[name]


def buffers(raw: bytes) -> np.ndarray | None:
    """Return the numbers of all data buffers; None where stretches are skipped, or none is there."""
    at, parts = 0, []
    while at < len(raw):
        kind, dtype, size, follows = struct.unpack(">iiii", raw[at : at + 16])
        if kind == SKIP:
            return None
        if kind == BUFFER:
            parts.append(np.frombuffer(raw[at + 16 : at + 16 + size], TYPES[dtype & 0xFFFF]))
        need(follows in (-1, 0, at + 16 + size), "a tag leads elsewhere")
        at += 16 + size
    return np.concatenate(parts) if parts else None
