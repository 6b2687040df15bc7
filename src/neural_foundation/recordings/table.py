"""The readers, one row a format, and `read`: which of them opens a file."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from ..core.errors import RecordingError, one_of
from ..core.kinds import KindTable, Row
from .reader import Reader, file_size
from .session import Session

READERS = KindTable(
    "recordings",
    {
        "edf": Row("neural_foundation.recordings.edf:Edf", "EDF and EDF+, 16 bit"),
        "bdf": Row("neural_foundation.recordings.bdf:Bdf", "BDF and BDF+, 24 bit (BioSemi)"),
        "fif": Row("neural_foundation.recordings.fif:Fif", "FIF raw recordings (MNE), also gzipped"),
        "hdf5": Row(
            "neural_foundation.recordings.hdf5:Hdf5", "our sessions, and those of temporaldata and torch_brain"
        ),
    },
)

# endings that people try, and what they should open instead
_INSTEAD = {
    ".vmrk": "These are the markers of a BrainVision recording: convert the .vhdr beside it",
    ".eeg": "These are the samples of a BrainVision recording: convert the .vhdr beside it",
    ".vhdr": "There is no reader for BrainVision: convert it, e.g. mne.io.read_raw_brainvision(...).export('x.edf')",
    ".fdt": "These are the samples of an EEGLAB recording: convert the .set beside it",
    ".set": "There is no reader for EEGLAB: convert it, e.g. mne.io.read_raw_eeglab(...).export('x.edf')",
    ".gdf": "There is no reader for GDF: convert it, e.g. mne.io.read_raw_gdf(...).export('x.edf')",
    ".cnt": "There is no reader for CNT: convert it, e.g. mne.io.read_raw_cnt(...).export('x.edf')",
    ".nwb": "There is no reader for NWB: convert it to .h5 with temporaldata",
    ".mat": "A .mat file has no agreed layout: load it and use write_session",
    ".csv": "A .csv file has no agreed layout: load it and use write_session",
    ".npy": "An array has no rate or channels: load it and use write_session",
    ".zip": "Unpack it first",
    ".gz": "Unpack it first",
}
_NEWLINES = {b"\x89HDF\r\r\n": "LF to CR LF", b"\x89HDF\r\n\x1a\r\n": "LF to CR LF", b"\x89HDF\n": "CR LF to LF"}


def read(path: Path | str, *, subject: str | None = None) -> Session:
    """Return the lazy session of a recording: .edf, .bdf, .fif, .fif.gz, .h5.

    The reader is chosen by the file's extension and must agree with its first bytes. `subject` is the pseudonym to
    give; by default the file's own one (.h5) or its name without extension. Raises RecordingError, with the way out,
    where the file is not what it says it is.
    """
    path = Path(path)
    chosen = _by_extension(path)
    if chosen is None:
        _refuse(path)
    file_size(path)
    _check_magic(path, chosen)
    return chosen.open(path, subject=subject)


def readers() -> dict[str, Reader]:
    """Return every reader by its kind."""
    found = {kind: READERS.parse(kind) for kind in READERS}
    return {kind: reader for kind, reader in found.items() if isinstance(reader, Reader)}


def extensions() -> tuple[str, ...]:
    """Return all the extensions that have a reader."""
    return tuple(sorted(e for reader in readers().values() for e in reader.extensions))


def _by_extension(path: Path) -> Reader | None:
    name = path.name.lower()
    matches = [(len(e), r) for r in readers().values() for e in r.extensions if name.endswith(e)]
    return max(matches, key=lambda m: m[0])[1] if matches else None


def _by_content(head: bytes) -> Reader | None:
    return next((r for r in readers().values() if r.recognises(head, "")), None)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _refuse(path: Path) -> NoReturn:
    suffix = path.suffix.lower()
    if suffix in _INSTEAD:
        raise RecordingError(path, f"'{suffix}' files cannot be read here", remedy=_INSTEAD[suffix])
    file_size(path)
    given = f"no reader for the extension '{path.suffix}'" if path.suffix else "it has no extension"
    content = _by_content(_head(path))
    remedy = f"Its content is {content.kind.upper()}: rename it to {content.extensions[0]}" if content else ""
    raise RecordingError(path, given, allowed=one_of(extensions()), remedy=remedy or "Convert it")


def _check_magic(path: Path, chosen: Reader) -> None:
    head = _head(path)
    if not chosen.magic or chosen.recognises(head, path.name):
        return
    damage = next((d for m, d in _NEWLINES.items() if head.startswith(m)), None)
    if damage:
        given = f"a line-ending conversion ({damage}) damaged it"
        raise RecordingError(path, given, remedy="Copy it again from its source, in binary mode")
    content = _by_content(head)
    if content is None or content.kind == chosen.kind:
        given = f"it does not start as {chosen.kind.upper()} files do"
        raise RecordingError(
            path, given, remedy="Copy it again from its source, or give it the extension of what it is"
        )
    remedy = f"Rename it to {content.extensions[0]}"
    raise RecordingError(
        path, f"it is named {chosen.kind.upper()}, but its content is {content.kind.upper()}", remedy=remedy
    )
