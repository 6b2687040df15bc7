"""Sessions of this package and NWB files, through h5py alone, for the content that the tests write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from strict_content import Channel, Content, Unsure, need, volts


def session(path: Path) -> Content:
    with h5py.File(path, "r") as file:
        if "eeg" not in file or "channels" not in file or "eeg_validity" not in file or "trials" not in file:
            raise Unsure("groups of other names")
        if [file[name].attrs.get("object") for name in ("eeg", "trials")] != ["RegularTimeSeries", "Interval"]:
            raise Unsure("groups of other classes")
        eeg, rate = file["eeg"], float(file["eeg"].attrs["sampling_rate"])
        values = eeg["signal"][()].astype(float)
        valid = np.zeros(len(values), bool)
        for a, b in zip(file["eeg_validity/start"][()], file["eeg_validity/stop"][()], strict=True):
            valid[a:b] = True
        values[~valid] = np.nan
        start = float(eeg["domain/start"][0])
        need(abs((float(eeg["domain/end"][-1]) - start) * rate - len(values)) <= 0.5, "domain")
        names = [word.decode("unicode_escape") for word in file["channels/id"][()]]
        units = [w.decode() for w in file["channels/unit"][()]] if "unit" in file["channels"] else ["V"] * len(names)
        found = [Channel(n, rate, v, u, start) for n, v, u in zip(names, values.T, units, strict=True)]
        return Content(found, rows(file["trials"], "start", "end", "unicode_escape"))


def nwb(path: Path) -> Content:
    with h5py.File(path, "r") as file:
        if list(file["acquisition"]) != ["eeg"] or "data" not in file["acquisition/eeg"]:
            raise Unsure("a series of another name")
        eeg = file["acquisition/eeg"]
        if eeg.attrs["neurodata_type"] != "ElectricalSeries" or "starting_time" not in eeg:
            raise Unsure("a series of another kind")
        data = eeg["data"]
        gain, offset = float(data.attrs.get("conversion", 1)), float(data.attrs.get("offset", 0))
        unit, factor = volts({"volts": "V", "volt": "V"}.get(str(data.attrs["unit"]), str(data.attrs["unit"])))
        if unit != "V":
            raise Unsure(f"unit {unit}")
        values = (data[()].astype(float) * gain + offset) * factor
        values[~np.isfinite(values).all(1)] = np.nan
        table = file["general/extracellular_ephys/electrodes"]
        named = next((c for c in ("channel_name", "label", "electrode_name", "name") if c in table), None)
        if named != "label" or "electrodes" not in eeg or "label" not in list(table.attrs["colnames"]):
            raise Unsure("channels are named elsewhere")
        label = [word.decode() if isinstance(word, bytes) else str(word) for word in table["label"][()]]
        names = [label[i] for i in eeg["electrodes"][()]]
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            names = [str(table["id"][i]) for i in eeg["electrodes"][()]]  # labels that do not tell them apart
        rate, start = float(eeg["starting_time"].attrs["rate"]), float(eeg["starting_time"][()])
        trials = None
        if "intervals/trials/label" in file and "label" in list(file["intervals/trials"].attrs["colnames"]):
            trials = rows(file["intervals/trials"], "start_time", "stop_time", "utf-8")
        return Content([Channel(n, rate, v, "V", start) for n, v in zip(names, values.T, strict=True)], trials)


def rows(group: Any, start: str, end: str, codec: str) -> list[tuple[float, float, str]]:
    words = [w.decode(codec) if isinstance(w, bytes) else str(w) for w in group["label"][()]]
    found = list(zip(group[start][()].tolist(), group[end][()].tolist(), words, strict=True))
    need(all(np.isfinite(row[:2]).all() and row[1] >= row[0] for row in found), "times of trials")
    return found
