"""HDF5 files that become shorter while they are open: an error, where HDF5 itself reads zeros."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import whole_sessions as made
from make_mapped import make_mapped_hdf5
from make_nwb import make_nwb

from neural_foundation.core.errors import RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, read, write_session, write_whole_session

SPEC = SignalSpec(sfreq=100.0, ch_names=("C3", "Cz"), ch_types=("eeg", "eeg"))
VALUES = (1e-5 * np.random.default_rng(0).standard_normal((2, 200_000))).astype(np.float32)


def ours(folder: Path, step: float | None = None) -> Path:
    path = folder / "a.h5"
    write_session(path, session_id="s", subject="p", spec=SPEC, chunks=[Chunk.of(VALUES)], step=step)
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "float32": ours,
    "int16": lambda folder: ours(folder, 1e-7),
    "nwb": lambda folder: make_nwb(folder, VALUES, SPEC, Intervals()),
    "mapped": lambda folder: make_mapped_hdf5(folder, VALUES, SPEC, Intervals()),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_samples_beyond_a_new_end_are_an_error(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    size = path.stat().st_size
    with read(path) as session:
        signal = next(s for s in session.signals.values() if s.n_times >= 1000)
        signal.read(0, 10)
        os.truncate(path, size // 2)
        with pytest.raises(RecordingError, match=f"it has {size // 2} bytes, and had {size} when it was opened"):
            signal.read(signal.n_times - 1000, signal.n_times)


def test_so_are_events(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_whole_session(path, made.session())
    with read(path) as session:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(RecordingError, match="Do not write to a recording that is being read"):
            _ = session.spikes["probe 0"]


def test_one_that_grows_is_read_on(tmp_path: Path) -> None:
    path = ours(tmp_path)
    with read(path) as session:
        with path.open("ab") as file:
            file.write(b"more")
        np.testing.assert_array_equal(session.signal.read(), VALUES)
