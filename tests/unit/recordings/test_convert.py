"""Any recording as ours or as EDF+: complete, checked, and never over another file unless asked."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import hostile_functions
import mne
import numpy as np
import pytest
import whole_sessions as made

from neural_foundation.core.errors import DataError, RecordingError, StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import (
    ArraySignal,
    Intervals,
    Session,
    quantisation_bound,
    read,
    write_edf,
    write_session,
)
from neural_foundation.recordings import convert as module
from neural_foundation.recordings.convert import convert, differences
from neural_foundation.recordings.hdf5_whole import write_whole_session
from neural_foundation.recordings.interval_table import IntervalTable

SPEC = SignalSpec(sfreq=100.0, ch_names=("Fp1", "Cz", "left"), ch_types=("eeg", "eeg", "eog"))
VALUES = (np.random.default_rng(0).normal(size=(3, 500)) * 1e-5).astype(np.float32)
TRIALS = Intervals.of([(0.5, 1.0, "left"), (1.5, 1.5, "größer")])


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    write_edf(tmp_path / "a.edf", values=VALUES, spec=SPEC, annotations=TRIALS, subject="s1")
    return tmp_path / "a.edf"


def whole(path: Path, **changes: Any) -> Path:
    write_whole_session(path, made.session(**changes))
    return path


def eeg(path: Path, signal: ArraySignal | None = None, trials: Any = TRIALS, **changes: Any) -> Path:
    signal = signal or ArraySignal(VALUES, SPEC)
    write_whole_session(path, Session("s", "p", {"eeg": signal}, trials, **changes))
    return path


def test_edf_to_ours_bit_for_bit(edf: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    target = convert(edf, tmp_path / "new" / "b.h5", progress=lambda *step: steps.append(step))
    with read(edf) as source, read(target) as copy:
        assert list(differences(source, copy)) == []
    assert steps == [(1500, 3000, "writing eeg"), (3000, 3000, "checking eeg")]
    assert [p.name for p in target.parent.iterdir()] == ["b.h5"]


def test_fif_to_ours_and_to_edf(tmp_path: Path) -> None:
    raw = mne.io.RawArray(
        VALUES, mne.create_info(list(SPEC.ch_names), 100.0, list(SPEC.ch_types)), first_samp=50, verbose="ERROR"
    )
    raw.set_annotations(mne.Annotations([0.5], [0.5], ["left"]))
    raw.save(tmp_path / "a_raw.fif", fmt="single", verbose="ERROR")
    with read(tmp_path / "a_raw.fif") as source:
        with read(convert(tmp_path / "a_raw.fif", tmp_path / "a.h5")) as copy:
            assert list(differences(source, copy)) == []
            assert copy.signal.start_s == 0.5
        with read(convert(tmp_path / "a_raw.fif", tmp_path / "a.edf", subject="x")) as copy:
            assert (np.abs(copy.signal.read() - VALUES) <= quantisation_bound(VALUES)).all()
            assert list(copy.trials) == [(0.5, 1.0, "left")]  # counted from the first sample


def test_a_whole_session_to_ours_and_its_subject(tmp_path: Path) -> None:
    source = whole(tmp_path / "a.h5")
    with read(convert(source, tmp_path / "b.h5")) as copy:
        assert list(differences(made.session(), copy)) == []
    assert (tmp_path / "b.h5").read_bytes() == source.read_bytes()
    with read(convert(source, tmp_path / "c.hdf5", subject="other")) as copy:
        assert copy.subject == copy["lfp"].spec.subject == "other"


def test_ours_to_edf_and_back(tmp_path: Path) -> None:
    convert(eeg(tmp_path / "a.h5"), tmp_path / "b.edf")
    with read(tmp_path / "b.edf") as copy:
        assert (np.abs(copy.signal.read() - VALUES) <= quantisation_bound(VALUES)).all()
        assert (copy.signal.spec.ch_names, copy.signal.spec.ch_types) == (SPEC.ch_names, SPEC.ch_types)
        assert copy.trials == TRIALS


def test_what_edf_cannot_hold_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        convert(whole(tmp_path / "a.h5"), tmp_path / "b.edf")
    message = str(caught.value)
    for part in ("spikes 'probe 0', 'session', 'silent'", "series 'gaze'", "intervals 'blocks'", "2 signals", "'go s'"):
        assert part in message
    assert "Convert it to .h5" in message
    assert "'spikes', 'series', 'intervals' or 'facts'" in message
    assert not (tmp_path / "b.edf").exists()


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (ArraySignal(VALUES, SPEC.replace(units=("V", "uV", "uV"))), "channels in 'uV'"),
        (ArraySignal(VALUES, SPEC, valid=np.arange(500) > 2), "3 samples that are not valid"),
        (ArraySignal(VALUES, SPEC.replace(positions=((0.0, 0.0, 0.1), None, None))), "the positions of 1 channels"),
        (ArraySignal(VALUES, SPEC.replace(sfreq=100.5)), "EDF cannot hold 100.5 Hz exactly"),
    ],
)
def test_signals_that_edf_cannot_hold(tmp_path: Path, signal: ArraySignal, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert(eeg(tmp_path / "a.h5", signal), tmp_path / "b.edf")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_what_is_named_may_be_dropped(tmp_path: Path) -> None:
    signal = ArraySignal(VALUES, SPEC.replace(positions=((0.0, 0.0, 0.1), None, None)))
    trials = IntervalTable([1.0], [2.0], ("a",), {"n": (1,)})
    source = eeg(tmp_path / "a.h5", signal, trials, spikes={"u": made.spikes()})
    with pytest.raises(DataError, match="the spikes 'u'; the facts 'n' of trials; the positions of 1 channels"):
        convert(source, tmp_path / "b.edf")
    with read(convert(source, tmp_path / "b.edf", drop=("spikes", "facts", "positions"))) as copy:
        assert list(copy.trials) == [(1.0, 2.0, "a")]
    with pytest.raises(DataError, match="Cannot drop 'units'. Allowed: 'positions', 'spikes'"):
        convert(source, tmp_path / "c.edf", drop=("units",))


def test_nothing_is_overwritten_unless_asked(edf: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.h5"
    target.write_bytes(b"mine")
    with pytest.raises(StoreError, match="b.h5 is there already. Choose another name, or pass overwrite=True"):
        convert(edf, target)
    assert target.read_bytes() == b"mine"
    with read(convert(edf, target, overwrite=True)) as copy:
        assert copy.signal.n_times == 500


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("b.bdf", DataError, "Cannot write '.bdf' files. Allowed: '.h5', '.hdf5' or '.edf'"),
        ("a.edf", StoreError, "a.edf is the recording itself"),
        ("folder.h5", StoreError, "is a folder. Name a file in it"),
    ],
)
def test_targets_that_are_refused(edf: Path, tmp_path: Path, target: str, error: type[Exception], message: str) -> None:
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(error, match=message):
        convert(edf, tmp_path / target, overwrite=True)


def test_a_source_that_cannot_be_read_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_bytes(b"0" * 300)
    (tmp_path / "b.h5").write_bytes(b"mine")
    with pytest.raises(RecordingError, match=r"a\.edf"):
        convert(tmp_path / "a.edf", tmp_path / "b.h5", overwrite=True)
    assert (tmp_path / "b.h5").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["b.h5", "b.edf"])
def test_a_copy_that_reads_back_otherwise_is_not_kept(
    edf: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ArraySignal(VALUES * np.float32(1.01), SPEC)

    def spoil_edf(path: Path, **given: Any) -> None:
        write_edf(path, **(given | {"values": wrong.values}))

    def spoil_hdf5(path: Path, session: Session, **given: Any) -> None:
        write_whole_session(path, Session(session.session_id, session.subject, {"eeg": wrong}, session.trials))

    monkeypatch.setattr(module, "write_edf", spoil_edf)
    monkeypatch.setattr(module, "write_whole_session", spoil_hdf5)
    with pytest.raises(StoreError, match="reads back otherwise than it was written: (its|the channels|samples)"):
        convert(eeg(tmp_path / "s.h5"), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_source_that_ends_its_reader_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SignalSpec(sfreq=100.0, ch_names=("Cz",))
    chunks = ArraySignal(np.zeros((1, 100), np.float32), spec).chunks(50)
    write_session(tmp_path / "a.h5", session_id="a", subject="a", spec=spec, chunks=chunks)
    isolated = importlib.import_module("neural_foundation.recordings.isolated")  # the module, not the function
    monkeypatch.setattr(isolated, "read_through", hostile_functions.segfault)
    with pytest.raises(RecordingError, match="reading it crashed"):
        convert(tmp_path / "a.h5", tmp_path / "b.edf")
    assert not (tmp_path / "b.edf").exists()
