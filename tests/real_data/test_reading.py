"""The readers on recordings of other people's machines, sample by sample against MNE."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import read, read_events_fif, survey, write_session

FILES = [
    "format-samples/test.edf",
    "format-samples/test.bdf",
    "format-samples/test_ctf_comp_raw.fif",
    "eegmat/Subject00_1.edf",
    "eegmat/Subject07_2.edf",
    "eegmmidb-s001/S001R04.edf",
    "ssvep-exo/subject02/record-[[]2012.07.19-17.41.14]_raw.fif",
    "ssvep-exo/subject01/record-[[]2012.07.06-19.06.14]_raw.fif.gz",
]


def one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        pytest.skip(f"{pattern} is not in NEURAL_FOUNDATION_DATA")
    return found[0]


def by_mne(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.io.read_raw(path, verbose="ERROR")


@pytest.mark.parametrize("pattern", FILES)
def test_values_equal_those_of_mne(data_root: Path, pattern: str) -> None:
    path = one(data_root, pattern)
    raw = by_mne(path)
    picks = [i for i, kind in enumerate(raw.get_channel_types()) if kind != "stim"]
    with read(path) as session:
        ours = session.signal.read()
        assert session.signal.spec.sfreq == raw.info["sfreq"]
        assert session.signal.n_times == raw.n_times
    theirs = raw.get_data(picks)
    assert (np.abs(ours - theirs) <= 1e-6 * np.abs(theirs) + 1e-12).all()


@pytest.mark.parametrize("pattern", FILES)
def test_annotations_equal_those_of_mne(data_root: Path, pattern: str) -> None:
    path = one(data_root, pattern)
    theirs = by_mne(path).annotations
    with read(path) as session:
        ours = [row for row in session.trials if row[2] in set(theirs.description)]
    assert [row[2] for row in ours] == list(theirs.description)
    np.testing.assert_allclose([row[0] for row in ours], theirs.onset, atol=1e-6)
    np.testing.assert_allclose([row[1] - row[0] for row in ours], theirs.duration, atol=1e-6)


@pytest.mark.parametrize("name", ["test.edf", "test.bdf"])
def test_status_events_equal_those_of_mne(data_root: Path, name: str) -> None:
    path = one(data_root, f"format-samples/{name}")
    raw = by_mne(path)
    events = mne.find_events(raw, consecutive="increasing", shortest_event=1, verbose="ERROR")
    with read(path) as session:
        ours = [(row[0], row[2]) for row in session.trials if row[2].isdigit()]
    assert ours == [(event[0] / raw.info["sfreq"], str(event[2])) for event in events.tolist()]


def test_two_rates_are_two_signals(data_root: Path) -> None:
    path = one(data_root, "format-samples/test_uneven_samp.edf")
    with read(path) as session:
        rates = {name: (signal.spec.sfreq, signal.n_times) for name, signal in session.signals.items()}
        first = session.signal.read()
    assert rates == {"eeg": (100.0, 11000), "eeg_2": (12.8, 1408)}
    raw = by_mne(path)
    np.testing.assert_allclose(first[0], raw.get_data([0])[0], rtol=1e-6, atol=1e-9)


def test_names_types_and_positions(data_root: Path) -> None:
    with read(one(data_root, "eegmat/Subject00_1.edf")) as session:
        spec = session.signal.spec
        assert spec.ch_names[:3] == ("Fp1", "Fp2", "F3")
        assert dict(zip(spec.ch_names, spec.ch_types, strict=True))["A2-A1"] == "misc"
        assert dict(zip(spec.ch_names, spec.ch_types, strict=True))["ECG"] == "ecg"
        assert sum(position is not None for position in spec.positions) == 19
    with read(one(data_root, "eegmmidb-s001/S001R04.edf")) as session:
        assert set(session.signal.spec.ch_types) == {"eeg"}
        assert None not in session.signal.spec.positions
        assert {"FCz", "CPz", "Iz", "T10"} <= set(session.signal.spec.ch_names)
        assert session.trials.label.count("T0") == 15
    with read(one(data_root, "format-samples/test.edf")) as session:
        assert set(session.signal.spec.positions) == {None}  # BioSemi's names are no 10-05 names


def test_events_of_ssvep(data_root: Path) -> None:
    path = one(data_root, "ssvep-exo/subject02/*-eve.fif")
    events = read_events_fif(path)
    assert np.array_equal(events, mne.read_events(path, verbose="ERROR"))
    assert len(events) == 32
    assert set(events[:, 2]) == {1, 2, 3, 4}


def test_line_ending_damage_is_named(data_root: Path, tmp_path: Path) -> None:
    raw = one(data_root, "eegmmidb-s001/S001R04.edf").read_bytes()
    (tmp_path / "x.edf").write_bytes(raw.replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"line-ending conversion \(LF to CR LF\) damaged it"):
        read(tmp_path / "x.edf")


def test_every_file_of_two_sets_opens(data_root: Path) -> None:
    files = sorted([*data_root.glob("eegmat/*.edf"), *data_root.glob("eegmmidb-s001/*.edf")])
    if not files:
        pytest.skip("neither eegmat nor eegmmidb-s001 is in NEURAL_FOUNDATION_DATA")
    assert survey(files).bad == ()


def test_through_our_store(data_root: Path, tmp_path: Path) -> None:
    with read(one(data_root, "eegmmidb-s001/S001R04.edf")) as source:
        signal = source.signal
        chunks = signal.chunks(5000)
        write_session(
            tmp_path / "x.h5", session_id="r04", subject="s001", spec=signal.spec, chunks=chunks, trials=source.trials
        )
        with read(tmp_path / "x.h5") as stored:
            assert np.array_equal(stored.signal.read(), signal.read())
            assert stored.trials == source.trials
