"""NWB 2 (Neurodata Without Borders) in HDF5, as on DANDI; read through h5py alone.

Source: the NWB schema 2.0 to 2.11 (nwb-schema.readthedocs.io) and hdmf-common for its tables. Notable:
- Names: a thing is called by its last name where no other in the file has it ('LFP'), else by its whole path
  ('acquisition/ElectricalSeries', 'processing/ecephys/LFP/ElectricalSeries').
- Signals: series with a rate, and those of at least 16 timestamps that all lie within 0.1 sample of an even grid;
  all other series are uneven `series`, as are those whose continuity is 'instantaneous'. Those of electrodes come
  first, of these the ones of acquisition, of these the one with most channels.
- value = data * conversion * channel_conversion + offset; units of volts become volts, any other is kept by name. A
  sample with a value that is not finite is not valid.
- Channels: names from the first of the electrode columns channel_name, channel_label, ch_name, label, electrode_name,
  name that tells them apart, else the ids of the electrodes; `NwbSignal.electrodes` has the other columns (location,
  group_name ...). Positions: x, y, z as the schema means them (micrometres; posterior, inferior, right), turned to
  right, front, up in metres; their origin is the one the file means.
- Spikes: a Units table, with its columns of one value a unit as facts, and `region`, the locations of its electrodes
  (or of their group). Spikes are ordered in time. Observation intervals are intervals labelled by unit.
- Intervals: `trials`, and every other table with start_time and stop_time (epochs) or timestamp (events), annotations
  and interval series. The label is the column label, labels, condition, trial_type, type, name or annotation, else
  the first one of words, else the table's name. Tables are `IntervalTable`s: every other column is kept in `facts`
  (a ragged one as lists), those of numbers whose name ends in '_time' as `times`.
- Not held: arrays of more than two axes (images, spectra), waveforms, masks, tables without times. A series that is
  linked from several places is listed once.
- Nothing of the subject, the experimenter or the free text is read: subject and session are the file's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..core.errors import RecordingError
from .events import Series
from .hdf5_end import MAGIC
from .nwb_file import NwbFile
from .nwb_series import NwbSignal, held, marks, opened
from .nwb_tables import Electrodes, Table, electrodes, intervals_of, observed, open_table, spikes_of
from .reader import Reader, file_size, stem
from .session import Intervals, Session, Signal

MAX_DEPTH = 8
_PLACES = ("acquisition", "stimulus/presentation", "processing", "intervals", "events", "units")
_REQUIRED = ("acquisition", "general", "processing", "stimulus")  # by the schema, also where nothing is in them
_ZARR = (".zgroup", ".zmetadata", ".zattrs", "zarr.json")


@dataclass
class Found:
    """What a file holds, by whole path, in the order in which it was found."""

    nwb: NwbFile
    subject: str
    known: Electrodes | None
    series: dict[str, Signal | Callable[[], Series]] = field(default_factory=dict)
    marks: dict[str, Callable[[], Intervals]] = field(default_factory=dict)
    units: dict[str, Table] = field(default_factory=dict)
    times: dict[str, Table] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def walk(self, path: str, thing: Any, depth: int = 0) -> None:
        """Take a thing in, or what lies below it; a second way to the same thing adds nothing."""
        if not hasattr(thing, "keys") or depth > MAX_DEPTH or self._again(thing):
            return
        if held(self.nwb, thing):
            found = marks(self.nwb, thing)
            if found is not None:
                self.marks[path] = found
            else:
                self.series[path] = opened(self.nwb, thing, self.subject, self.known)
        elif self.nwb.attr(thing, "colnames") is not None:
            self._table(path, open_table(self.nwb, thing))
        else:
            for name, child in self.nwb.children(thing):
                self.walk(f"{path}/{name}", child, depth + 1)

    def _table(self, path: str, table: Table) -> None:
        if "spike_times" in table.names:
            self.units[path] = table
        elif {"start_time", "stop_time"} <= set(table.names) or "timestamp" in table.names:
            self.times[path] = table

    def _again(self, thing: Any) -> bool:
        import h5py

        address = h5py.h5o.get_info(thing.id).addr
        known = address in self.seen
        self.seen.add(address)
        return known

    def names(self) -> dict[str, str]:
        """Return whole path -> the name it is called by."""
        paths = [*self.series, *self.marks, *self.units, *self.times]
        count = Counter(path.rpartition("/")[2] for path in paths)
        return {p: p if count[p.rpartition("/")[2]] > 1 else p.rpartition("/")[2] for p in paths}


def _session(nwb: NwbFile, subject: str) -> Session:
    _check_version(nwb)
    for name in _REQUIRED:
        nwb.need(nwb.file, name)
    found = Found(nwb, subject, electrodes(nwb))
    for place in _PLACES:
        found.walk(place, nwb.get(nwb.file, place))
    names = found.names()
    intervals, trials = _intervals(found, names)
    return Session(
        stem(nwb.path),
        subject,
        _signals(found, names),
        trials,
        spikes={names[p]: spikes_of(t, found.known) for p, t in found.units.items()},
        series={names[p]: s for p, s in found.series.items() if not isinstance(s, Signal)},
        intervals=intervals,
        close=nwb.file.close,
    )


def _check_version(nwb: NwbFile) -> None:
    version = nwb.attr(nwb.file, "nwb_version")
    if version is None:
        if nwb.attr(nwb.file, "object") == "Data":
            nwb.fail("it is named NWB, but its content is HDF5, a session", remedy="Rename it to .h5")
        remedy = "Rename it to .h5, and say in a layout what is where"
        nwb.fail("this HDF5 file states no nwb_version: it is no NWB file", allowed="NWB 2", remedy=remedy)
    if not str(version).startswith("2."):
        remedy = "Convert it to NWB 2 with pynwb, or upgrade neural-foundation"
        nwb.fail(f"its NWB version is '{str(version)[:20]}'", allowed="2.0 to 2.11, or a later 2", remedy=remedy)


def _signals(found: Found, names: dict[str, str]) -> dict[str, Signal]:
    signals = [(path, s) for path, s in found.series.items() if isinstance(s, NwbSignal)]
    signals.sort(key=lambda s: (not s[1].electrodes, not s[0].startswith("acquisition/"), -s[1].spec.n_chans))
    return {names[path]: signal for path, signal in signals}


def _intervals(
    found: Found, names: dict[str, str]
) -> tuple[dict[str, Callable[[], Intervals]], Callable[[], Intervals] | None]:
    """Return the intervals by name, and the trials."""
    made: dict[str, Callable[[], Intervals]] = {names[path]: read for path, read in found.marks.items()}
    trials: Callable[[], Intervals] | None = None
    for path, table in found.times.items():
        if path == "intervals/trials":
            trials = intervals_of(table)
        else:
            made[names[path]] = intervals_of(table)
    for path, table in found.units.items():
        if "obs_intervals" in table.names:
            made[f"{names[path]}/obs_intervals"] = observed(table)
    return made, trials


class Nwb(Reader):
    """NWB 2 files in HDF5."""

    kind: Literal["nwb"] = "nwb"
    extensions: ClassVar[tuple[str, ...]] = (".nwb",)
    magic: ClassVar[tuple[bytes, ...]] = (MAGIC,)
    c_library: ClassVar[bool] = True

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        if path.is_dir() and any((path / name).exists() for name in _ZARR):
            remedy = "Export it to HDF5: pynwb.NWBHDF5IO('x.nwb', 'w').export(...) from hdmf_zarr.NWBZarrIO"
            raise RecordingError(path, "this is NWB in Zarr", allowed="NWB in HDF5, one file", remedy=remedy)
        nwb = NwbFile.open(path, file_size(path))
        try:
            with nwb.guarded():
                return _session(nwb, subject or stem(path))
        except BaseException:
            nwb.file.close()
            raise
