"""A stream of the lab streaming layer (LSL)."""

from __future__ import annotations

from math import ceil
from time import monotonic
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...core.errors import SignalMismatchError, StreamError, one_of
from ...core.specs import SignalSpec, off_key
from ...core.stream import Chunk
from .base import Names, Source, picked
from .liblsl import pylsl, volts_per
from .stamped import SETTLE_S, Stamped

OTHERS_S = 1.0  # how long to look for a second stream of the same name
AT_ONCE_S = 1.0  # the most that is handed over at once where no block is asked for


class Lsl(Source):
    """A stream that is found on the network by its name, type or source id.

    Names, types and units of the channels are those of the stream's own description; microvolts become volts. Stamps
    are on this machine's clock (the library's correction). They are not dejittered: that would smear the gaps which
    they are there to tell.
    """

    kind: Literal["lsl"] = "lsl"
    argument: ClassVar[str] = "name"
    name: str = Field("", description="the stream's name")
    type: str = Field("", description='its content type, such as "EEG"')
    source_id: str = Field(
        "", description="the id of its device; tells apart streams of one name, found a second sooner"
    )
    unit: str = Field("", description='of channels whose unit is not known, such as "uV"; default: refuse them')
    channels: Names = Field(
        (), description="only these, in this order; the names of all, where the stream says none; default: all"
    )
    timeout_s: float = off_key(5.0, gt=0, le=600, description="how long to look for it")
    buffer_s: float = off_key(10.0, ge=1, le=600, description="what is kept for a reader that is late; the oldest goes")
    gap_s: float = Field(0.1, gt=0, description="a step of the stamps beyond this is a gap")
    max_gap_s: float = Field(2.0, ge=0, le=60, description="gaps up to this come as invalid samples; else a new start")

    @model_validator(mode="after")
    def _says_which(self) -> Lsl:
        if not (self.name or self.type or self.source_id):
            raise ValueError("which stream? give 'name', 'type' or 'source_id'; in one word, lsl:NAME")
        if any("'" in word and '"' in word for word in (self.name, self.type, self.source_id)):
            raise ValueError("a name with both kinds of quotation marks cannot be asked for")
        if self.unit and volts_per(self.unit) is None:
            raise ValueError(f"'{self.unit}' is no unit of voltage; V, mV, uV and nV are")
        return self

    @property
    def said(self) -> str:
        """What it was asked for by, for messages."""
        return self.name or self.source_id or self.type

    def open(self) -> OpenLsl:
        library = pylsl()
        return OpenLsl(self, library, _resolved(self, library))


class OpenLsl(Stamped):
    """A stream that is being received; the library's own thread fills a bounded queue."""

    def __init__(self, spec: Lsl, library: Any, info: Any) -> None:
        self._spec, self._lost = spec, library.util.LostError
        dtype, seconds = _dtype(library, info), ceil(spec.buffer_s)
        self._inlet = library.StreamInlet(info, max_buflen=seconds, processing_flags=library.proc_clocksync)
        signal, self._rows, gains = _described(spec, _connected(self._inlet, spec, library), info)
        clock = library.local_clock() - monotonic()
        super().__init__(signal, gap_s=spec.gap_s, max_gap_s=spec.max_gap_s, clock=clock)
        self._gains = None if (gains == 1).all() else gains
        self._capacity = round(seconds * signal.sfreq)
        self._block = max(1, round((spec.block_s or 0) * signal.sfreq))
        self._most = self._block if spec.block_s else max(self._block, round(AT_ONCE_S * signal.sfreq))
        self._buffer = np.zeros((self._most + round(signal.sfreq), info.channel_count()), dtype)

    def _read(self, timeout_s: float) -> Chunk | None:
        try:
            return super()._read(timeout_s)
        except self._lost:
            self._end(f"the LSL stream '{self._spec.said}' is gone, without an id to find it by")
            return None

    def _take(self, timeout_s: float) -> None:
        full = self._inlet.samples_available() >= self._capacity
        stamps = self._pull(timeout_s, 0, self._block)
        if len(stamps) == self._block < self._most:
            stamps += self._pull(0.0, self._block, self._most)
        if self._timeline.suspects(stamps):
            stamps += self._pull(SETTLE_S, len(stamps), len(self._buffer))
        if stamps:
            self._arrived(self._values(len(stamps)), stamps, full=full)

    def _pull(self, timeout_s: float, first: int, stop: int) -> list[float]:
        """Receive into rows [first, stop) of the buffer, waiting until they are full; return the stamps that came."""
        _, stamps = self._inlet.pull_chunk(timeout_s, max_samples=stop - first, dest_obj=self._buffer[first:stop])
        return list(stamps)

    def _values(self, n: int) -> NDArray[np.float32]:
        """Return the first `n` samples of the buffer in volts, (n_chans, n)."""
        taken = self._buffer[:n] if self._rows is None else self._buffer[:n, self._rows]
        values = np.array(taken.T, np.float32, order="C")
        return values if self._gains is None else np.multiply(values, self._gains, out=values)

    def _close(self) -> None:
        self._inlet.close_stream()


def _resolved(spec: Lsl, library: Any) -> Any:
    """Return the one stream that is meant; StreamError where there is none, or more than one."""
    wanted = {n: getattr(spec, n) for n in ("name", "type", "source_id") if getattr(spec, n)}
    query = " and ".join(f"{n}={_quoted(v)}" for n, v in wanted.items())
    found = library.resolve_bypred(query, 1, spec.timeout_s)
    what = ", ".join(f"{n} '{v}'" for n, v in wanted.items())
    if not found:
        there = ", ".join(sorted({f"'{i.name()}' ({i.type()})" for i in library.resolve_streams(0.5)}))
        raise StreamError(
            f"No LSL stream with {what} came up within {spec.timeout_s:g} s",
            allowed=there or "(there is no stream at all)",
            remedy="Start the stream, or check its name and the network",
        )
    if not spec.source_id:
        found = list({i.uid(): i for i in (*found, *library.resolve_bypred(query, 2, OTHERS_S))}.values())
    if len(found) > 1:
        ids = one_of(sorted(i.source_id() for i in found))
        raise StreamError(f"{len(found)} LSL streams have {what}", remedy=f"Give source_id: {ids}")
    return found[0]


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _dtype(library: Any, info: Any) -> np.dtype[Any]:
    """Return what its samples are; StreamError for words, and for a stream without a rate."""
    known = {"float32": np.float32, "double64": np.float64, "int8": np.int8, "int16": np.int16, "int32": np.int32}
    formats = {getattr(library, f"cf_{n}"): np.dtype(t) for n, t in {**known, "int64": np.int64}.items()}
    if info.channel_format() not in formats:
        raise StreamError(f"The LSL stream '{info.name()}' carries words", allowed="a stream of numbers")
    if not info.nominal_srate() > 0:
        raise StreamError(f"The LSL stream '{info.name()}' has no regular rate", allowed="a stream of a fixed rate")
    return formats[info.channel_format()]


def _connected(inlet: Any, spec: Lsl, library: Any) -> Any:
    """Connect, have the clocks compared once, and return the whole description."""
    try:
        whole = inlet.info(spec.timeout_s)
        inlet.open_stream(spec.timeout_s)
        inlet.time_correction(spec.timeout_s)
    except (library.util.TimeoutError, library.util.LostError) as error:
        raise StreamError(
            f"The LSL stream '{spec.said}' was found but does not answer ({type(error).__name__})",
            remedy="Check the firewall: LSL needs ports 16572 to 16604 of TCP and UDP",
        ) from None
    return whole


def _described(spec: Lsl, whole: Any, info: Any) -> tuple[SignalSpec, list[int] | None, NDArray[np.float32]]:
    """Return the signal, the rows of the stream that it takes (None: all), and the volts (n, 1) of their units."""
    from ...recordings.channels import TYPES, channel, positions

    n = info.channel_count()
    labels = _labels(spec, whole, n)
    seen = [channel(label) for label in labels]
    said = [(t or "").lower() for t in whole.get_channel_types() or [""] * n]
    types = tuple(t if t in TYPES else c.type for t, c in zip(said, seen, strict=True))
    names = tuple(c.name for c in seen)
    if len(set(names)) != len(names):
        names = tuple(labels)
    signal = SignalSpec(sfreq=info.nominal_srate(), ch_names=names, ch_types=types, positions=positions(names, types))
    signal, rows = picked(signal, spec.channels)
    gains = _gains(spec, signal, rows, whole.get_channel_units() or [""] * n)
    return signal, None if rows == list(range(n)) else rows, gains


def _labels(spec: Lsl, whole: Any, n: int) -> list[str]:
    labels = [str(label or "").strip() for label in whole.get_channel_labels() or []]
    if len(labels) == n and all(labels) and len(set(labels)) == n:
        return labels
    if len(spec.channels) == n:
        return list(spec.channels)
    raise SignalMismatchError(
        f"The LSL stream '{whole.name()}' does not name its {n} channels, each by a name of its own",
        remedy=f"Give 'channels': {n} names in the order of the stream",
    )


def _gains(spec: Lsl, signal: SignalSpec, rows: list[int], units: list[str | None]) -> NDArray[np.float32]:
    given = {name: units[row] or "" for name, row in zip(signal.ch_names, rows, strict=True)}
    volts = {name: volts_per(unit) for name, unit in given.items()}
    unknown = [name for name, gain in volts.items() if gain is None]
    if unknown and not spec.unit:
        named = ", ".join(f"{name} ('{given[name]}')" if given[name] else name for name in unknown[:12])
        raise SignalMismatchError(
            f"The LSL stream '{spec.said}' has channels without a unit of voltage: {named}",
            allowed="volts, millivolts, microvolts or nanovolts",
            remedy="Give 'unit', such as unit=uV, or leave them out with 'channels'",
        )
    whole = [gain if gain is not None else volts_per(spec.unit) for gain in volts.values()]
    return np.array(whole, np.float32)[:, None]
