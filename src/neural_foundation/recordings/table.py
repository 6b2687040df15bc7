"""The readers, one row a format, and `read`: which of them opens a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.errors import RecordingError, one_of
from ..core.kinds import KindTable, Row
from .hdf5_end import newlines_of
from .reader import AGAIN, Reader, file_size
from .session import Session

if TYPE_CHECKING:
    from .layout import Layout

_HERE = "neural_foundation.recordings"

READERS = KindTable(
    "recordings",
    {
        "edf": Row(f"{_HERE}.edf:Edf", "EDF and EDF+, 16 bit"),
        "bdf": Row(f"{_HERE}.bdf:Bdf", "BDF and BDF+, 24 bit (BioSemi)"),
        "gdf": Row(f"{_HERE}.gdf:Gdf", "GDF 1.x and 2.x, any sample type, with its events"),
        "fif": Row(f"{_HERE}.fif:Fif", "FIF raw recordings (MNE), also gzipped"),
        "brainvision": Row(f"{_HERE}.brainvision:BrainVision", "BrainVision (.vhdr with .eeg and .vmrk)"),
        "eeglab": Row(f"{_HERE}.eeglab:Eeglab", "EEGLAB .set, continuous, MATLAB 5.0 and 7.3"),
        "nwb": Row(f"{_HERE}.nwb:Nwb", "NWB 2.x: signals, units, behaviour, trials"),
        "hdf5": Row(f"{_HERE}.hdf5:Hdf5", "our sessions, and those of temporaldata and torch_brain"),
        "phy": Row(f"{_HERE}.phy:Phy", "a folder of Kilosort or phy"),
        "spike_arrays": Row(f"{_HERE}.spike_arrays:SpikeArrays", "spike times and cluster ids as NumPy arrays"),
        "mapped_hdf5": Row(f"{_HERE}.mapped_hdf5:MappedHdf5", "HDF5 of any form, by a layout"),
        "mat": Row(f"{_HERE}.mat:Mat", "MAT-files of level 5 and version 7.3, by a layout"),
        "csv": Row(f"{_HERE}.tables:Csv", ".csv and .tsv tables, by a layout"),
        "parquet": Row(f"{_HERE}.tables:Parquet", "Parquet tables, by a layout (extra 'tables')"),
        "npy": Row(f"{_HERE}.tables:Npy", "one NumPy array, by a layout"),
    },
)

# endings that people try, and what they should open instead
_INSTEAD = {
    ".vmrk": "These are the markers of a BrainVision recording: open the .vhdr beside it",
    ".eeg": "These are the samples of a BrainVision recording: open the .vhdr beside it",
    ".dat": "These are the samples of a BrainVision or Kilosort recording: open the .vhdr, or the folder, beside it",
    ".fdt": "These are the samples of an EEGLAB recording: open the .set beside it",
    ".cnt": "There is no reader for CNT: convert it, e.g. mne.io.read_raw_cnt(...).export('x.edf')",
    ".spike_clusters.npy": "These are the clusters of spike times: open the .spike_times.npy beside it",
    ".zip": "Unpack it first",
    ".gz": "Unpack it first",
}


def read(
    path: Path | str,
    *,
    subject: str | None = None,
    layout: Layout | Mapping[str, Any] | None = None,
    isolated: bool = False,
) -> Session:
    """Return the lazy session of a recording, a file or a folder of sorted spikes.

    The reader is chosen by the extension and must agree with the first bytes. subject : the pseudonym to give; by
    default the file's own one (.h5) or its name without extension. layout : what is where, for formats without an
    agreed layout; by default `NAME.layout.yaml` or `layout.yaml` beside the file. isolated : where a library in C
    parses the file, read it to its end in a child process before it is opened here; for strangers' files. Raises
    RecordingError, with the way out, where the file is not what it says it is, and where it crashed or hung the child.
    """
    path = Path(path)
    _check_name(path)
    if isolated:
        from .isolated import rehearse

        rehearse(path, layout=layout)
    if path.is_dir():
        return _folder(path).open(path, subject=subject)
    chosen = _by_extension(path)
    if chosen is None or path.name.endswith(".spike_clusters.npy"):
        _refuse(path)
    file_size(path)
    _check_magic(path, chosen)
    return _described(path, chosen, layout).open(path, subject=subject)


def _check_name(path: Path) -> None:
    """The name goes into sessions and lists, which are text."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        shown = path.with_name(path.name.encode(errors="backslashreplace").decode())
        raise RecordingError(shown, "its name is not UTF-8", remedy="Rename it, e.g. with convmv -t utf8") from None


def _folder(path: Path) -> Reader:
    from .nwb import Nwb
    from .phy import Phy, is_phy

    if path.suffix.lower() in (".nwb", ".zarr"):
        return Nwb()  # which says what to do with NWB in Zarr
    if not is_phy(path):
        raise RecordingError(path, "this is a folder", allowed="one recording file, or a folder of Kilosort or phy")
    return Phy()


def _described(path: Path, chosen: Reader, layout: Layout | Mapping[str, Any] | None) -> Reader:
    """Return the reader with the layout that is given; HDF5 that is described, or no session, is read by a layout."""
    from .hdf5 import said_kind
    from .layout import Layout, find_layout
    from .mapped import MappedReader

    given = layout if layout is None or isinstance(layout, Layout) else Layout.of(layout)
    if chosen.kind == "hdf5" and (given or find_layout(path, None)[0] or said_kind(path) == ""):
        chosen = READERS.parse("mapped_hdf5")  # type: ignore[assignment]
    if isinstance(chosen, MappedReader):
        return chosen.model_copy(update={"layout": given})
    if given is not None:
        raise RecordingError(path, f"{chosen.kind.upper()} files say themselves what is where", remedy="Give no layout")
    return chosen


def readers() -> dict[str, Reader]:
    """Return every reader by its kind."""
    found = {kind: READERS.parse(kind) for kind in READERS}
    return {kind: reader for kind, reader in found.items() if isinstance(reader, Reader)}


def is_recording(path: Path) -> bool:
    """Return whether a search through a folder takes a file for a recording, by its name and what lies beside it."""
    chosen = _by_extension(path)
    return chosen is not None and chosen.takes(path)


def uses_c_library(path: Path) -> bool:
    """Return whether a library in C parses a file of this name."""
    chosen = _by_extension(path)
    return chosen is not None and chosen.c_library


def extensions() -> tuple[str, ...]:
    """Return all the extensions that have a reader."""
    return tuple(sorted({e for reader in readers().values() for e in reader.extensions}))


def _by_extension(path: Path) -> Reader | None:
    name = path.name.lower()
    matches = [(len(e), r) for r in readers().values() for e in r.extensions if name.endswith(e)]
    return max(matches, key=lambda m: m[0])[1] if matches else None  # the first in the table among equals


def _by_content(path: Path, head: bytes) -> list[Reader]:
    """Return the readers of what starts like this; of formats that share a container, the one that the file says."""
    from .hdf5 import said_kind
    from .hdf5_end import MAGIC

    found = [r for r in readers().values() if r.extensions and r.recognises(head, "")]
    said = said_kind(path) if head.startswith(MAGIC) else None
    found = [r for r in found if r.kind == said] or found
    return [r for i, r in enumerate(found) if r.extensions not in [f.extensions for f in found[:i]]]


def _content(found: list[Reader]) -> tuple[str, str]:
    """Return what a content may be, and the endings it should have."""
    return " or ".join(r.kind.upper() for r in found), " or ".join(r.extensions[0] for r in found)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _refuse(path: Path) -> NoReturn:
    suffix = next((e for e in _INSTEAD if path.name.lower().endswith(e)), path.suffix.lower())
    if path.name == "params.py":
        raise RecordingError(path, "this is a file of sorted spikes", remedy=f"Open the folder {path.parent}")
    if suffix in _INSTEAD:
        raise RecordingError(path, f"'{suffix}' files cannot be read here", remedy=_INSTEAD[suffix])
    file_size(path)
    given = f"no reader for the extension '{path.suffix}'" if path.suffix else "it has no extension"
    what, ending = _content(_by_content(path, _head(path)))
    remedy = f"Its content is {what}: rename it to {ending}" if what else ""
    raise RecordingError(path, given, allowed=one_of(extensions()), remedy=remedy or "Convert it")


def _check_magic(path: Path, chosen: Reader) -> None:
    head = _head(path)
    if not chosen.magic or chosen.recognises(head, path.name):
        return
    if damage := newlines_of(head):
        given = f"a line-ending conversion ({damage}) damaged it"
        raise RecordingError(path, given, remedy=AGAIN)
    what, ending = _content(_by_content(path, head))
    if not what:
        given = f"it does not start as {chosen.kind.upper()} files do"
        raise RecordingError(
            path, given, remedy="Copy it again from its source, or give it the extension of what it is"
        )
    given = f"it is named {chosen.kind.upper()}, but its content is {what}"
    raise RecordingError(path, given, remedy=f"Rename it to {ending}")
