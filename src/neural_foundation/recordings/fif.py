"""FIF raw recordings (`*_raw.fif`, `*_raw.fif.gz`) through MNE, and event files (`*-eve.fif`).

Notable:
- Before MNE sees a byte, the chain of tags is walked: every size must lie within the file, and the file must end
  where its tags end. So no hostile size is allocated.
- Whatever MNE raises becomes RecordingError. A warning of MNE means that it repaired or guessed: that is an error
  too, but for the one about file names. Its words are not quoted, as they may hold personal fields.
- `start_s` is the time of the first sample on the clock of the events (`first_samp / sfreq`), so an event file's
  sample number / sfreq is a time of the session.
- All channels but the trigger ones are in one signal, in the SI unit that the file states for each: V, T and T/m for
  MEG; volts where it states none. Annotations, and codes that rise on trigger channels, are the trials. Stretches
  annotated BAD_ACQ_SKIP are not valid.
- A gzipped file is unpacked into a temporary file that is removed when the session is closed.
"""

from __future__ import annotations

import contextlib
import gzip
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import Position, SignalSpec
from .channels import repeated
from .fif_tags import FILE_ID, check_tags
from .reader import AGAIN, Reader, file_size, naming_newlines, stem
from .session import Intervals, Mask, Session, Signal, Values
from .tal import Row

MAX_RATIO = 100  # how much larger a gzipped file may get
_MIN_UNPACKED = 1 << 26
_GZIP = b"\x1f\x8b"
_UNITS = {-1: "V", 0: "", 1: "m", 3: "s", 4: "A", 5: "K", 7: "rad", 101: "Hz", 102: "N", 103: "Pa", 106: "C", 107: "V"}
_UNITS |= {109: "ohm", 110: "S", 112: "T", 114: "degC", 201: "T/m", 202: "Am", 210: "px"}  # FIFF's codes; -1: none


class FifSignal(Signal):
    """The channels `picks` of an MNE raw; `gaps` (n, 2): samples not recorded; `held`: keeps an unpacked copy."""

    def __init__(
        self, path: Path, raw: Any, picks: list[int], spec: SignalSpec, gaps: NDArray[np.int64], held: object
    ) -> None:
        self.path, self.raw, self.picks, self.gaps, self.held = path, raw, picks, gaps, held
        super().__init__(spec, int(raw.n_times), raw.first_samp / spec.sfreq)

    def _read(self, start: int, stop: int) -> Values:
        if start == stop:
            return np.zeros((self.spec.n_chans, 0), np.float32)
        with guarded(self.path), np.errstate(over="ignore"):
            values = np.asarray(self.raw[self.picks, start:stop][0], dtype=np.float32)
        finite = np.isfinite(values).all(0)
        if (~finite & self._valid(start, stop)).any():
            at = start + int(np.argmax(~finite))
            raise RecordingError(self.path, f"sample {at} is not finite", remedy="Correct or cut it in the source")
        return values

    def _valid(self, start: int, stop: int) -> Mask:
        valid = np.ones(stop - start, dtype=bool)
        for low, high in self.gaps.tolist():
            valid[max(low - start, 0) : max(high - start, 0)] = False
        return valid


class Fif(Reader):
    """FIF raw recordings, also gzipped."""

    kind: Literal["fif"] = "fif"
    extensions: ClassVar[tuple[str, ...]] = (".fif", ".fif.gz")
    magic: ClassVar[tuple[bytes, ...]] = (FILE_ID,)

    def recognises(self, head: bytes, name: str) -> bool:
        return head.startswith(_GZIP if name.lower().endswith(".gz") else FILE_ID)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        file_size(path)
        held = contextlib.ExitStack()
        try:
            with naming_newlines(path, 2):
                plain = held.enter_context(_unpacked(path))
                check_tags(path, plain)
            raw = _raw(path, plain)
            held.callback(raw.close)
            return _session(path, raw, subject or stem(path), held)
        except BaseException:
            held.close()
            raise


def read_events_fif(path: Path | str) -> NDArray[np.int64]:
    """Return the events of a `*-eve.fif` file: (n_events, 3), sample number, code before, code.

    Sample numbers count on the recording's clock: `sample / sfreq` is a time of the session that `read` gives.
    RecordingError where the file holds no events.
    """
    path = Path(path)
    file_size(path)
    with _unpacked(path) as plain:
        check_tags(path, plain)
        with guarded(path):
            import mne

            events = np.asarray(mne.read_events(plain, verbose="WARNING"), dtype=np.int64)
    if events.ndim != 2 or (np.diff(events[:, 0]) < 0).any():
        raise RecordingError(path, "its events go back in time", remedy="Sort them in the source")
    return events


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what MNE raises, or warns of, into RecordingError; its words are left out, as they may be personal."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*does not conform to MNE naming conventions")
        for harmless in (DeprecationWarning, FutureWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", harmless)
        try:
            yield
        except RecordingError:
            raise
        except Warning as warning:
            remedy = "See the warning of mne.io.read_raw_fif, and save the file again with MNE"
            raise RecordingError(path, f"MNE warns of its content ({type(warning).__name__})", remedy=remedy) from None
        except Exception as error:  # noqa: BLE001 - MNE raises any type for damaged bytes
            raise RecordingError(path, f"MNE cannot read it ({type(error).__name__})", remedy=AGAIN) from None


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Yield the file itself, or a temporary unpacked copy of a gzipped one."""
    if not path.name.lower().endswith(".gz"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="neural-foundation-") as folder:
        plain = Path(folder) / "unpacked_raw.fif"
        _unpack(path, plain)
        yield plain


def _unpack(path: Path, plain: Path) -> None:
    most = max(MAX_RATIO * path.stat().st_size, _MIN_UNPACKED)
    n = 0
    try:
        with gzip.open(path) as packed, plain.open("wb") as out:
            while block := packed.read(1 << 20):
                n += out.write(block)
                if n > most:
                    given = f"it unpacks to more than {MAX_RATIO} times its size"
                    raise RecordingError(path, given, remedy="Unpack it yourself if you trust it")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        given = f"the gzip file is truncated or damaged ({type(error).__name__})"
        raise RecordingError(path, given, remedy=AGAIN) from None


def _raw(path: Path, plain: Path) -> Any:
    with guarded(path):
        import mne

        raw = mne.io.read_raw_fif(plain, preload=False, verbose="WARNING")
    # skipped stretches take no bytes, so a damaged count of them could claim any length
    if len(raw.ch_names) * raw.n_times > MAX_RATIO * plain.stat().st_size:
        raise RecordingError(path, f"it claims {raw.n_times} samples, far more than it holds", remedy=AGAIN)
    return raw


def _session(path: Path, raw: Any, subject: str, held: contextlib.ExitStack) -> Session:
    with guarded(path):
        types = raw.get_channel_types()
        triggers = [i for i, t in enumerate(types) if t == "stim"]
        picks = [i for i, t in enumerate(types) if t != "stim"]
        spec = _spec(path, raw, picks, types, subject) if picks else None
        rows = _annotations(raw)
    skipped = [row for row in rows if row[2].upper().startswith("BAD_ACQ_SKIP")]
    gaps = np.array([[round(t * raw.info["sfreq"]) - raw.first_samp for t in row[:2]] for row in skipped], np.int64)
    signals = {"eeg": FifSignal(path, raw, picks, spec, gaps.reshape(-1, 2), held)} if spec else {}

    def trials() -> Intervals:
        return Intervals.of(rows + [row for i in triggers for row in _trigger_rows(path, raw, i)])

    return Session(stem(path), subject, signals, trials if triggers else trials(), close=held.close)


def _spec(path: Path, raw: Any, picks: list[int], types: list[str], subject: str) -> SignalSpec:
    names = [str(raw.ch_names[i]) for i in picks]
    if twice := repeated(names):
        raise RecordingError(path, f"several channels are named {one_of(twice)}", remedy="Rename the channels")
    at = tuple(_position(raw.info["chs"][i]) for i in picks)
    units = tuple(_unit(raw.info["chs"][i]) for i in picks)
    return SignalSpec(
        sfreq=float(raw.info["sfreq"]),
        ch_names=tuple(names),
        ch_types=tuple(types[i] for i in picks),
        positions=at,
        units=() if set(units) == {"V"} else units,
        subject=subject,
    )


def _unit(ch: Any) -> str:
    code = int(ch["unit"])
    return _UNITS.get(code, f"FIFF unit {code}")


def _position(ch: Any) -> Position | None:
    x, y, z = (float(v) for v in ch["loc"][:3])
    known = int(ch["coord_frame"]) == 4 and np.isfinite([x, y, z]).all() and any((x, y, z))  # 4: the head frame
    return (x, y, z) if known else None


def _annotations(raw: Any) -> list[Row]:
    """Return the annotations; once in a raw, MNE counts their onsets on the clock that `first_samp` counts on."""
    found = raw.annotations
    ends = found.onset + found.duration
    return list(zip(found.onset.tolist(), ends.tolist(), map(str, found.description), strict=True))


def _trigger_rows(path: Path, raw: Any, pick: int) -> list[Row]:
    """Return an event wherever the code on a trigger channel rises; its label is the new code."""
    rows: list[Row] = []
    last: float | None = None
    sfreq = float(raw.info["sfreq"])
    for at in range(0, raw.n_times, 1 << 18):
        with guarded(path):
            codes = np.rint(raw[pick, at : at + (1 << 18)][0][0])
        before = np.concatenate([codes[:1] if last is None else [last], codes[:-1]])
        for i in np.flatnonzero(codes > before).tolist():
            time_s = (raw.first_samp + at + i) / sfreq
            rows.append((time_s, time_s, str(int(codes[i]))))
        last = float(codes[-1])
    return rows
