"""BrainVision: a header (.vhdr) that names the samples (.eeg or .dat) and the markers (.vmrk) beside it.

Source: Brain Products, BrainVision Core Data Format, versions 1.0 and 2.0. Values, events and positions are those
that MNE gives, but for what is named here.

Notable:
- Lazy: opening reads the two text files; the size of the samples is held against the header. MULTIPLEXED and
  VECTORIZED; INT_16, INT_32 and IEEE_FLOAT_32, of either byte order.
- Units: V, mV, uV, nV to volts, uS to S; any other unit makes a channel 'misc', its values left in that unit, which
  the signal's spec names. No unit means microvolts, as the format says.
- Channel types come from the labels, as in every reader; MNE calls nearly all of them EEG.
- Positions: those of [Coordinates]; without such a section, those of the 10-05 system by name (MNE: none).
- Events: 'type/description', with the marker's length. The first marker is left out where it is a New Segment, as
  it only holds the date; every later one says that the recording was paused there. It is an event: as the format
  does not give the length of the pause, the samples on both sides lie next to each other.
- Renamed files are not guessed at: a file that is not there is an error, and so is a .vmrk of other samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ..core.errors import RecordingError, one_of
from ..core.specs import SignalSpec
from .brainvision_header import ChannelInfo, Header, Marker, fail, read_header, read_markers
from .channels import VOLTS, Channel, channel, positions, repeated
from .frames import FrameSignal, check_newlines, companion, glance_newlines
from .reader import AGAIN, OpenFile, Reader, file_size, stem
from .session import Intervals, Session

# unit of the file: unit of the spec, and how many of it one is
_UNITS = {"µS": ("S", 1e-6), "μS": ("S", 1e-6), "uS": ("S", 1e-6), "C": ("degC", 1.0), "°C": ("degC", 1.0)}
_UNITS["n/a"] = ("", 1.0)
_NOT_HEADERS = (".eeg", ".dat", ".vmrk", ".avg", ".seg")


class BrainVision(Reader):
    """BrainVision recordings, opened by their .vhdr."""

    kind: Literal["brainvision"] = "brainvision"
    extensions: ClassVar[tuple[str, ...]] = (".vhdr",)
    magic: ClassVar[tuple[bytes, ...]] = (b"Brain Vision", b"BrainVision", b"\xef\xbb\xbfBrain")

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        if path.suffix.lower() in _NOT_HEADERS:
            given = "this is one part of a BrainVision recording"
            raise RecordingError(path, given, allowed="its header", remedy="Open the .vhdr beside it")
        file_size(path)
        header = read_header(path)
        samples, size = companion(path, header.data_file, "samples")
        if samples.suffix.lower() in (".vhdr", ".vmrk"):
            fail(path, f"its samples are said to be in '{samples.name}'", allowed="a file of samples (.eeg or .dat)")
        n_times = _n_times(path, header, samples, size)
        trials = _trials(path, header, n_times)
        spec, gain = _spec(path, header, subject or stem(path))
        file = OpenFile(samples)
        signal = FrameSignal(path, spec, n_times, gain, file=file, dtype=header.dtype, vectorized=header.vectorized)
        return Session(stem(path), spec.subject or "", {"eeg": signal}, trials, close=file.close)


def _n_times(path: Path, header: Header, samples: Path, size: int) -> int:
    n_chans, width = len(header.channels), np.dtype(header.dtype).itemsize
    n_times, rest = divmod(size, n_chans * width)
    if rest or header.n_times not in (None, n_times):
        check_newlines(path, samples)
    said = f"'{samples.name}' has {size} bytes"
    if rest:
        given = f"{said}, not a whole number of samples of {n_chans} channels with {width} bytes each"
        fail(path, given, remedy=AGAIN)
    if header.n_times not in (None, n_times):
        fail(path, f"{said}, {n_times} samples a channel, but DataPoints is {header.n_times}", remedy=AGAIN)
    glance_newlines(path, samples)
    return n_times


def _trials(path: Path, header: Header, n_times: int) -> Intervals:
    if not header.marker_file:
        return Intervals()
    file, _ = companion(path, header.marker_file, "markers")
    named, markers = read_markers(path, file)
    if named and named != header.data_file:
        given = f"'{file.name}' says that it marks '{named[:80]}', but the samples are in '{header.data_file}'"
        fail(path, given, remedy=f"Correct DataFile in '{file.name}' if the files were renamed")
    for marker in markers:
        _check_within(path, header, marker, n_times)
    if markers and markers[0].type == "New Segment":
        markers = markers[1:]
    rate = header.sfreq
    return Intervals.of((m.start / rate, (m.start + m.n_times) / rate, f"{m.type}/{m.text}") for m in markers)


def _check_within(path: Path, header: Header, marker: Marker, n_times: int) -> None:
    if marker.start + max(marker.n_times, 1) > n_times:
        at = f"at sample {marker.start + 1}" + (f" for {marker.n_times} samples" if marker.n_times > 1 else "")
        given = f"a marker of '{header.marker_file}' lies {at}, but '{header.data_file}' has {n_times}"
        fail(path, given, remedy="One of the two is truncated, or of another recording: copy both again")


def _spec(path: Path, header: Header, subject: str) -> tuple[SignalSpec, list[float]]:
    """Return the spec, and the gain of each channel: from stored numbers to its unit."""
    channels = [_channel(info) for info in header.channels]
    names, types = tuple(c.name for c in channels), tuple(c.type for c in channels)
    if twice := repeated(names):
        fail(path, f"several channels are named {one_of(twice)}", remedy="Rename the channels in the header")
    units, factors = zip(*(_unit(info.unit) for info in header.channels), strict=True)
    spec = SignalSpec(
        sfreq=header.sfreq,
        ch_names=names,
        ch_types=types,
        positions=header.position or positions(names, types),
        subject=subject,
        units=units if set(units) != {"V"} else (),
    )
    return spec, [info.resolution * factor for info, factor in zip(header.channels, factors, strict=True)]


def _channel(info: ChannelInfo) -> Channel:
    found = channel(info.name)
    return found if info.unit.lower() in VOLTS else Channel(found.name, "misc", False)


def _unit(unit: str) -> tuple[str, float]:
    if unit.lower() in VOLTS:
        return "V", VOLTS[unit.lower()]
    return _UNITS.get(unit, (unit, 1.0))
