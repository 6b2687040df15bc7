"""What is particular to FIF: triggers, skipped stretches, event files, warnings, units of MEG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import read, read_events_fif

VALUES = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32) * 1e-5


def raw_of(values: np.ndarray, types: list[str], **changes: Any) -> Any:
    names = [f"{kind.upper()}{i}" for i, kind in enumerate(types)]
    return mne.io.RawArray(values, mne.create_info(names, 100.0, types), verbose="ERROR", **changes)


def save(raw: Any, path: Path) -> Path:
    raw.save(path, verbose="ERROR")
    return path


def test_triggers_are_events_and_no_signal(tmp_path: Path) -> None:
    values = np.vstack([VALUES[:2], np.zeros((1, 400))])
    values[2, 50:60], values[2, 60:70], values[2, 200] = 3, 5, 1
    raw = raw_of(values, ["eeg", "eeg", "stim"], first_samp=100)
    with read(save(raw, tmp_path / "a_raw.fif")) as session:
        assert session.signal.spec.ch_names == ("EEG0", "EEG1")
        assert list(session.trials) == [(1.5, 1.5, "3"), (1.6, 1.6, "5"), (3.0, 3.0, "1")]
        assert session.signal.start_s == 1.0
    events = mne.find_events(raw, consecutive=True, shortest_event=1, verbose="ERROR")
    assert (events[:, 0] / 100).tolist() == [1.5, 1.6, 3.0]


def test_meg_keeps_its_unit_and_type(tmp_path: Path) -> None:
    with read(save(raw_of(VALUES * 1e-8, ["mag", "mag", "eeg"]), tmp_path / "a_raw.fif")) as session:
        assert session.signal.spec.ch_types == ("mag", "mag", "eeg")
        assert session.signal.spec.units == ("T", "T", "V")
        np.testing.assert_allclose(session.signal.read(), VALUES * 1e-8, rtol=1e-6)


def test_units_are_those_that_the_file_states(tmp_path: Path) -> None:
    with read(save(raw_of(VALUES, ["grad", "temperature", "misc"]), tmp_path / "a_raw.fif")) as session:
        assert session.signal.spec.units == ("T/m", "degC", "V")
    with read(save(raw_of(VALUES, ["eeg", "eog", "misc"]), tmp_path / "b_raw.fif")) as session:
        assert session.signal.spec.units == ()


def test_skipped_stretches_are_not_valid(tmp_path: Path) -> None:
    raw = raw_of(VALUES, ["eeg"] * 3)
    raw.set_annotations(mne.Annotations([1.0, 2.0], [0.5, 0.0], ["BAD_ACQ_SKIP", "x"]))
    with read(save(raw, tmp_path / "a_raw.fif")) as session:
        expected = np.ones(400, bool)
        expected[100:150] = False
        assert np.array_equal(session.signal.valid(), expected)
        assert np.array_equal(session.signal.valid(120, 200), expected[120:200])
        assert session.trials.label == ("BAD_ACQ_SKIP", "x")


def test_positions_are_those_of_the_file(tmp_path: Path) -> None:
    raw = raw_of(VALUES, ["eeg"] * 3)
    montage = mne.channels.make_dig_montage({"EEG0": (0.01, 0.02, 0.09), "EEG1": (0.05, 0.0, 0.07)}, coord_frame="head")
    raw.set_montage(montage, on_missing="ignore")
    with read(save(raw, tmp_path / "a_raw.fif")) as session:
        first, second, third = session.signal.spec.positions
    assert first == pytest.approx((0.01, 0.02, 0.09))
    assert second == pytest.approx((0.05, 0.0, 0.07))
    assert third is None


def test_events_file(tmp_path: Path) -> None:
    events = np.array([[10, 0, 1], [30, 1, 4]])
    mne.write_events(tmp_path / "a-eve.fif", events, verbose="ERROR")
    found = read_events_fif(tmp_path / "a-eve.fif")
    assert found.dtype == np.int64
    assert np.array_equal(found, events)


def test_events_file_without_events(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="MNE cannot read it"):
        read_events_fif(save(raw_of(VALUES, ["eeg"] * 3), tmp_path / "a_raw.fif"))


def test_an_events_file_is_no_recording(tmp_path: Path) -> None:
    mne.write_events(tmp_path / "a-eve.fif", np.array([[10, 0, 1]]), verbose="ERROR")
    with pytest.raises(RecordingError, match="MNE cannot read it"):
        read(tmp_path / "a-eve.fif")


def test_any_file_name_will_do(tmp_path: Path) -> None:
    save(raw_of(VALUES, ["eeg"] * 3), tmp_path / "a_raw.fif").rename(tmp_path / "monday.fif")
    with read(tmp_path / "monday.fif") as session:
        assert session.session_id == "monday"


def test_a_warning_of_mne_is_an_error_without_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(raw_of(VALUES, ["eeg"] * 3), tmp_path / "a_raw.fif")
    original = mne.io.read_raw_fif

    def warns(*args: Any, **kwargs: Any) -> Any:
        mne.utils.warn("repaired the record of Jane Doe", RuntimeWarning)
        return original(*args, **kwargs)

    monkeypatch.setattr(mne.io, "read_raw_fif", warns)
    with pytest.raises(RecordingError, match="MNE warns of its content") as caught:
        read(path)
    assert "Jane" not in str(caught.value)


def test_values_that_are_not_finite_are_an_error_when_read(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[1, 7] = np.nan
    with read(save(raw_of(values, ["eeg"] * 3), tmp_path / "a_raw.fif")) as session:
        assert session.signal.read(8, 20).shape == (3, 12)
        with pytest.raises(RecordingError, match="sample 7 is not finite"):
            session.signal.read()


def test_personal_fields_go_nowhere(tmp_path: Path) -> None:
    raw = raw_of(VALUES, ["eeg"] * 3)
    raw.info["subject_info"] = {"last_name": "Doe", "first_name": "Jane"}
    raw.info["description"] = "Jane Doe, ward 7"
    with read(save(raw, tmp_path / "a_raw.fif")) as session:
        assert "Doe" not in repr((session, session.signal, session.signal.spec, session.trials, session.subject))


def test_the_unpacked_copy_goes_with_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    save(raw_of(VALUES, ["eeg"] * 3), tmp_path / "a_raw.fif.gz")
    with read(tmp_path / "a_raw.fif.gz") as session:
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        np.testing.assert_allclose(session.signal.read(), VALUES, rtol=1e-6)
    assert list((tmp_path / "temporary").iterdir()) == []
