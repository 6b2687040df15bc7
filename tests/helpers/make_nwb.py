"""NWB files written with h5py alone, after the NWB schema 2.11 and hdmf-common; no bytes of anyone's recording."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals

BOUND = 0.0  # the values are stored as float32 volts
TEXT = h5py.string_dtype()
_COMMON = ("VectorData", "VectorIndex", "DynamicTable", "DynamicTableRegion", "ElementIdentifiers")
_EVENTS = {"timestamp": "TimestampVectorData", "duration": "DurationVectorData"}


def start(path: Path, **kwargs: Any) -> h5py.File:
    """Return a new file with what every NWB file has, and personal fields that must go nowhere."""
    file = h5py.File(path, "w", **kwargs)
    file.attrs.update({"nwb_version": "2.11.0", "neurodata_type": "NWBFile", "namespace": "core"})
    for name in ("acquisition", "analysis", "processing", "stimulus/presentation", "general/subject"):
        file.create_group(name)
    now = "2020-01-01T00:00:00+00:00"
    file["session_start_time"], file["timestamps_reference_time"], file["identifier"] = now, now, "i"
    file["file_create_date"] = np.array([now], TEXT)
    typed(file["general/subject"], "Subject")
    file["general/experimenter"] = np.array(["SECRET Doe"], TEXT)
    file["general/subject/subject_id"] = "SECRET"
    file["general/subject/date_of_birth"] = "1951-05-02T00:00:00+00:00"
    file["session_description"] = "SECRET"
    return file


def typed(group: Any, kind: str, **attributes: Any) -> Any:
    """Give an object its neurodata type."""
    namespace = "hdmf-common" if kind in _COMMON else "core"
    said = {
        "neurodata_type": kind,
        "namespace": namespace,
        "description": "d",
        "object_id": str(uuid.uuid5(uuid.NAMESPACE_OID, group.name)),
    }
    group.attrs.update(said | attributes)
    return group


def table(parent: Any, name: str, kind: str, columns: Mapping[str, Any], ids: Sequence[int]) -> Any:
    """Write a DynamicTable; a column given as (values, ends) is ragged."""
    group = typed(parent.create_group(name), kind, colnames=np.array(list(columns), TEXT))
    typed(group.create_dataset("id", data=np.asarray(ids, np.int64)), "ElementIdentifiers")
    for column, given in columns.items():
        values, ends = given if isinstance(given, tuple) else (given, None)
        kind = "DynamicTableRegion" if column == "electrodes" else _EVENTS.get(column, "VectorData")
        made = typed(group.create_dataset(column, data=column_of(values)), kind)
        if column == "electrodes":
            made.attrs["table"] = parent.file["general/extracellular_ephys/electrodes"].ref
        if ends is not None:
            index = typed(group.create_dataset(f"{column}_index", data=np.asarray(ends, np.uint8)), "VectorIndex")
            index.attrs["target"] = made.ref
    return group


def column_of(values: Any) -> Any:
    """Return a column as h5py stores it."""
    if len(values) and isinstance(values[0], str):
        return np.array(list(values), TEXT)
    if len(values) and isinstance(values[0], h5py.Group):
        return np.array([v.ref for v in values], h5py.ref_dtype)
    return np.asarray(values)


def electrodes(file: h5py.File, names: Sequence[str], **columns: Any) -> Any:
    """Write one electrode group in CA1 and a table of electrodes with labels."""
    group = typed(file.create_group("general/extracellular_ephys/shank0"), "ElectrodeGroup", location="CA1")
    typed(file.create_group("general/devices/probe"), "Device")
    group["device"] = h5py.SoftLink("/general/devices/probe")
    n = len(names)
    held = {"location": ["CA1"] * n, "group": [group] * n, "group_name": ["shank0"] * n, "label": list(names)}
    return table(
        file["general/extracellular_ephys"], "electrodes", "ElectrodesTable", held | columns, range(10, 10 + n)
    )


def series(parent: Any, name: str, data: Any, kind: str = "TimeSeries", unit: str = "volts", **more: Any) -> Any:
    """Write a TimeSeries. rate (and starting_time) or timestamps; conversion, offset; rows of electrodes."""
    group = typed(parent.create_group(name), kind)
    stored = np.array(data, TEXT) if isinstance(data[0] if len(data) else 0, str) else np.asarray(data)
    group.create_dataset("data", data=stored, **more.pop("storage", {}))
    group["data"].attrs.update({"unit": unit, "conversion": 1.0, "offset": 0.0, "resolution": -1.0})
    group["data"].attrs.update({k: more.pop(k) for k in ("conversion", "offset", "continuity") if k in more})
    if "rate" in more:
        group.create_dataset("starting_time", data=float(more.pop("starting_time", 0.0)))
        group["starting_time"].attrs.update({"rate": more.pop("rate"), "unit": "seconds"})
    if "timestamps" in more:
        group.create_dataset("timestamps", data=np.asarray(more.pop("timestamps"), float))
        group["timestamps"].attrs.update({"interval": 1, "unit": "seconds"})
    if "rows" in more:
        region = typed(group.create_dataset("electrodes", data=np.asarray(more.pop("rows"))), "DynamicTableRegion")
        region.attrs["table"] = parent.file["general/extracellular_ephys/electrodes"].ref
    if "channel_conversion" in more:
        group.create_dataset("channel_conversion", data=np.asarray(more.pop("channel_conversion"), float))
        group["channel_conversion"].attrs["axis"] = 1
    assert not more, more
    return group


def trials_table(file: h5py.File, trials: Intervals, name: str = "trials", **columns: Any) -> Any:
    """Write trials as a TimeIntervals table, their labels in the column `label`."""
    times = {"start_time": trials.start_s, "stop_time": trials.end_s}
    parent = file.require_group("intervals")
    return table(parent, name, "TimeIntervals", times | {"label": list(trials.label)} | columns, range(len(trials)))


def make_nwb(folder: Path, values: np.ndarray, spec: SignalSpec, trials: Intervals) -> Path:
    """Write one ElectricalSeries `eeg` in float32 volts, and trials."""
    path = folder / "a.nwb"
    with start(path) as file:
        electrodes(file, spec.ch_names)
        rows = range(spec.n_chans)
        series(file["acquisition"], "eeg", values.T, "ElectricalSeries", rate=spec.sfreq, rows=rows)
        trials_table(file, trials)
    return path


def make_miniature(path: Path) -> Path:
    """Write a miniature of a session as DANDI has them: raw and LFP, units, behaviour, trials, epochs, events."""
    make = np.random.default_rng(5)
    with start(path) as file:
        xyz = {axis: np.arange(4) * 100.0 + i for i, axis in enumerate("xyz")}
        electrodes(file, ["c0", "c1", "c2", "c3"], **xyz, imp=[1.0, 2.0, 3.0, 4.0])
        raw = make.integers(-3000, 3000, (200, 4)).astype(np.int16)
        more = {"conversion": 1e-6, "offset": 1e-3, "channel_conversion": [1.0, 2.0, 0.5, 1.0]}
        held = {"rate": 1000.0, "starting_time": 0.5, "rows": [2, 0, 1, 3], **more}
        storage = {"chunks": (64, 4), "compression": "gzip"}
        series(file["acquisition"], "ElectricalSeries", raw, "ElectricalSeries", **held, storage=storage)
        ecephys = typed(file.create_group("processing/ecephys"), "ProcessingModule")
        lfp = typed(ecephys.create_group("LFP"), "LFP")
        times = 0.5 + np.arange(50) / 250.0
        lfp_data = make.normal(size=(50, 2)).astype(np.float32)
        series(lfp, "ElectricalSeries", lfp_data, "ElectricalSeries", timestamps=times, rows=[1, 3], conversion=1e-3)
        behavior = typed(file.create_group("processing/behavior"), "ProcessingModule")
        position = typed(behavior.create_group("Position"), "Position")
        moved = np.cumsum(make.uniform(0.01, 0.05, 40))
        series(
            position, "path", make.normal(size=(40, 2)), "SpatialSeries", "meters", timestamps=moved, conversion=0.01
        )
        speed = make.normal(size=100)
        speed[7] = np.nan
        series(behavior, "speed", speed, unit="m/s", rate=50.0)
        marks = {"timestamps": [0.1, 0.4, 0.6, 0.7]}
        series(behavior, "ripples", np.array([1, -1, 2, -2], np.int8), "IntervalSeries", "n/a", **marks)
        series(behavior, "notes", ["a", "b"], "AnnotationSeries", "n/a", timestamps=[0.2, 0.3])
        spikes = np.sort(make.uniform(0, 1, 9))
        unit_columns = {
            "quality": ["good", "mua", "good"],
            "spike_times": (np.concatenate([spikes[::2], spikes[1::2]]), [5, 5, 9]),
            "electrodes": ([0, 3, 2], [2, 2, 3]),
            "obs_intervals": ([[0, 1.0], [0, 0.5], [0.6, 1.0], [0, 1.0]], [1, 3, 4]),
            "snr": [3.5, np.nan, 1.0],
        }
        table(file, "units", "Units", unit_columns, [7, 8, 12])
        rows = Intervals.of([(0.5, 0.6, "left"), (0.7, 0.75, "right"), (0.8, 0.9, "left")])
        tags = (["x", "y", "z"], [2, 2, 3])
        trials_table(file, rows, correct=[True, False, True], go_time=[0.52, 0.71, np.nan], tags=tags)
        epochs = {"start_time": [0.0, 0.5], "stop_time": [0.5, 1.0], "sleep": ["rem", "wake"]}
        table(file["intervals"], "epochs", "TimeIntervals", epochs, [0, 1])
        events = {"timestamp": [0.3, 0.1], "duration": [np.nan, 0.05]}
        table(file.create_group("events"), "licks", "EventsTable", events, [0, 1])
    return path
