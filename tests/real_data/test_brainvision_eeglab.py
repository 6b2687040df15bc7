"""BrainVision and EEGLAB recordings of other people's machines, against MNE."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Session, write_session
from neural_foundation.recordings.brainvision import BrainVision
from neural_foundation.recordings.eeglab import Eeglab
from neural_foundation.recordings.reader import Reader

READERS: dict[str, Reader] = {"test.vhdr": BrainVision(), "eeglab_data.set": Eeglab()}
each_file = pytest.mark.parametrize("name", READERS)


def sample(root: Path, name: str) -> Path:
    path = root / "format-samples" / name
    if not path.is_file():
        pytest.skip(f"format-samples/{name} is not in NEURAL_FOUNDATION_DATA")
    return path


def opened(root: Path, name: str) -> tuple[Session, Any]:
    """Return our session, and MNE's raw."""
    path = sample(root, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw(path, verbose="ERROR")
    return READERS[name].open(path), raw


@each_file
def test_values_equal_those_of_mne(data_root: Path, name: str) -> None:
    session, raw = opened(data_root, name)
    with session:
        ours, theirs = session.signal.read(), raw.get_data()
        assert (session.signal.spec.sfreq, session.signal.n_times) == (raw.info["sfreq"], raw.n_times)
        assert (np.abs(ours - theirs) <= 2**-23 * np.abs(theirs)).all()
        assert [n.lower() for n in session.signal.spec.ch_names] == [n.lower() for n in raw.ch_names]
        for start, stop in ((0, 1), (100, 5000), (raw.n_times - 1, raw.n_times)):
            assert np.array_equal(session.signal.read(start, stop), ours[:, start:stop])


@each_file
def test_events_equal_those_of_mne(data_root: Path, name: str) -> None:
    session, raw = opened(data_root, name)
    with session:
        assert session.trials.label == tuple(raw.annotations.description)
        np.testing.assert_allclose(session.trials.start_s, raw.annotations.onset, atol=1e-6)
        lengths = session.trials.end_s - session.trials.start_s
        np.testing.assert_allclose(lengths, raw.annotations.duration, atol=1e-6)


def test_units_and_types_of_brainvision(data_root: Path) -> None:
    session, raw = opened(data_root, "test.vhdr")
    with session:
        spec = session.signal.spec
        units = dict(zip(spec.ch_names, spec.units, strict=True))
        odd = {"CP5": "BS", "CP6": "S", "HL": "ARU", "HR": "S", "Vb": "S", "ReRef": "degC"}
        assert {n: u for n, u in units.items() if u != "V"} == odd
        assert list(spec.ch_types) == raw.get_channel_types()


def test_positions_of_eeglab_equal_those_of_mne(data_root: Path) -> None:
    session, raw = opened(data_root, "eeglab_data.set")
    with session:
        spec = session.signal.spec
        np.testing.assert_allclose(spec.positions, [ch["loc"][:3] for ch in raw.info["chs"]], atol=1e-9)
        assert {n for n, t in zip(spec.ch_names, spec.ch_types, strict=True) if t == "eog"} == {"EOG1", "EOG2"}


@each_file
def test_through_our_store(data_root: Path, tmp_path: Path, name: str) -> None:
    from neural_foundation.recordings import read

    session, _ = opened(data_root, name)
    with session:
        signal, path = session.signal, tmp_path / "x.h5"
        write_session(
            path,
            session_id="x",
            subject="x",
            spec=signal.spec.replace(subject="x"),
            chunks=signal.chunks(5000),
            trials=session.trials,
        )
        with read(path) as stored:
            assert np.array_equal(stored.signal.read(), signal.read())
            assert stored.trials == session.trials


@each_file
def test_renamed_and_damaged_copies_are_refused(data_root: Path, tmp_path: Path, name: str) -> None:
    path = sample(data_root, name)
    for part in path.parent.glob(f"{path.stem}.*"):
        if part.suffix in (".vhdr", ".vmrk", ".eeg", ".set", ".fdt"):
            shutil.copyfile(part, tmp_path / part.name)
    copy, samples = tmp_path / name, tmp_path / f"{path.stem}.{'eeg' if name.endswith('vhdr') else 'fdt'}"
    READERS[name].open(copy).close()
    raw = samples.read_bytes()
    samples.write_bytes(raw.replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match="a line-ending conversion"):
        READERS[name].open(copy)
    samples.write_bytes(raw[:-1])
    with pytest.raises(RecordingError, match=f"'{samples.name}' has {len(raw) - 1} bytes"):
        READERS[name].open(copy)
    samples.rename(tmp_path / f"renamed{samples.suffix}")
    with pytest.raises(RecordingError, match=f"'{samples.name}', which is not there; beside it lie"):
        READERS[name].open(copy)
