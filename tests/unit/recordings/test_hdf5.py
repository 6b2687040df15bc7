"""Our sessions open in temporaldata, and what temporaldata wrote opens here."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import temporaldata as td

from neural_foundation.core.errors import DataError, RecordingError, StoreError, StreamError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import ArraySignal, Intervals, read, write_session
from neural_foundation.recordings.interval_table import IntervalTable

SPEC = SignalSpec(
    sfreq=64.0, ch_names=("Fp1", "Cz", "Ä\\x"), ch_types=("eeg", "eeg", "misc"), positions=((0.1, 0.2, 0.3), None, None)
)
VALUES = np.random.default_rng(0).normal(size=(3, 320)).astype(np.float32)
TRIALS = Intervals.of([(10.5, 11.0, "left"), (12.0, 12.0, "größer\n"), (13.0, 14.0, "")])


def write(path: Path, valid: Any = None, **changes: Any) -> Path:
    chunks = ArraySignal(VALUES, SPEC, valid=valid).chunks(100)
    given = {"session_id": "s", "subject": "p", "spec": SPEC, "chunks": chunks, "trials": TRIALS, "start_s": 10.0}
    write_session(path, **(given | changes))
    return path


@pytest.mark.parametrize("lazy", [True, False])
def test_temporaldata_opens_ours(tmp_path: Path, lazy: bool) -> None:
    spec = SPEC.replace(ch_names=("Fp1", "Cz", "ref"))
    trials = Intervals.of([(10.5, 11.0, "left"), (12.0, 12.5, "right")])
    data = td.Data.load(write(tmp_path / "x.h5", spec=spec, trials=trials), lazy=lazy)
    assert np.array_equal(data.eeg.signal[:], VALUES.T)
    assert data.eeg.sampling_rate == 64.0
    assert data.eeg.domain.start.tolist() == [10.0]
    assert data.eeg.domain.end.tolist() == [15.0]
    assert data.channels.id.tolist() == ["Fp1", "Cz", "ref"]
    assert data.channels.type.tolist() == ["eeg", "eeg", "misc"]
    assert data.trials.start.tolist() == [10.5, 12.0]
    assert data.trials.end.tolist() == [11.0, 12.5]
    assert data.trials.label.tolist() == ["left", "right"]
    assert (data.session.id, data.subject.id) == ("s", "p")
    cut = data.slice(11.0, 12.0)
    assert np.array_equal(cut.eeg.signal[:], VALUES.T[64:128])
    data.close()


def test_gaps_are_gaps_in_temporaldata(tmp_path: Path) -> None:
    valid = np.ones(320, bool)
    valid[[0, 1, 100, 101, 319]] = False
    data = td.Data.load(write(tmp_path / "x.h5", valid), lazy=False)
    inner = valid.copy()
    inner[[0, 1, 319]] = True  # the ends of the array keep its clock; /domain tells the truth
    assert np.array_equal(data.eeg.index_mask(), inner)
    np.testing.assert_allclose(data.eeg.timestamps, 10 + np.arange(320) / 64)
    np.testing.assert_allclose(data.domain.start, 10 + np.array([2, 102]) / 64)
    np.testing.assert_allclose(data.domain.end, 10 + np.array([100, 319]) / 64)
    with read(tmp_path / "x.h5") as session:
        assert np.array_equal(session.signal.valid(), valid)


@pytest.mark.parametrize("gzip", [False, True])
def test_what_temporaldata_wrote_opens_here(tmp_path: Path, gzip: bool) -> None:
    times = np.delete(np.arange(200) / 50.0, slice(60, 80)) + 3.0
    raw = np.random.default_rng(1).normal(size=(180, 2))
    data = td.Data(
        eeg=td.RegularTimeSeries.from_gappy_timeseries(times, sampling_rate=50.0, signal=raw),
        channels=td.ArrayDict(id=np.array(["Fz", "Oz"]), type=np.array(["EEG", "EEG"])),
        trials=td.Interval(start=np.array([3.0, 4.0]), end=np.array([3.5, 4.5]), label=np.array(["a", "b"])),
        subject=td.Data(id="s01", domain=td.Interval(0.0, 1.0)),
        session=td.Data(id="day1", domain=td.Interval(0.0, 1.0)),
        domain="auto",
    )
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data.to_hdf5(file)
        if gzip:
            kept = file["eeg/signal"][:]
            del file["eeg/signal"]
            file["eeg"].create_dataset("signal", data=kept, compression="gzip")
    with read(tmp_path / "x.h5") as session:
        signal = session.signal
        expected = np.ones(200, bool)
        expected[60:80] = False
        assert np.array_equal(signal.valid(), expected)
        assert np.array_equal(signal.read()[:, expected], raw.T.astype(np.float32))
        assert np.array_equal(signal.valid(55, 90), expected[55:90])
        assert (signal.spec.sfreq, signal.spec.ch_names, signal.spec.ch_types) == (50.0, ("Fz", "Oz"), ("eeg", "eeg"))
        assert signal.spec.positions[0] is not None
        assert signal.start_s == 3.0
        assert session.trials == Intervals.of([(3.0, 3.5, "a"), (4.0, 4.5, "b")])
        assert (session.session_id, session.subject, signal.spec.subject) == ("day1", "s01", "s01")


def test_a_brainset_without_channels_or_trials(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        td.Data(lfp=td.RegularTimeSeries(sampling_rate=10.0, raw=np.zeros(30)), domain="auto").to_hdf5(file)
    with read(tmp_path / "x.h5") as session:
        assert list(session.signals) == ["lfp"]
        assert session.signal.read().shape == (1, 30)
        assert session.signal.spec.ch_names == ("ch1",)
        assert len(session.trials) == 0


def test_every_fact_comes_back(tmp_path: Path) -> None:
    with read(write(tmp_path / "x.h5")) as session:
        assert session.signal.spec == SPEC.replace(subject="p")
        assert session.trials == TRIALS
        assert session.signal.start_s == 10.0


def test_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5").read_bytes()
    time.sleep(1.1)  # HDF5 keeps times in whole seconds
    assert write(tmp_path / "b.h5").read_bytes() == first
    chunks = ArraySignal(VALUES, SPEC).chunks(7)
    assert write(tmp_path / "c.h5", chunks=chunks).read_bytes() == first


@pytest.mark.skipif(not h5py.version.hdf5_version.startswith("2."), reason="these bytes were written by HDF5 2")
@pytest.mark.parametrize(
    ("gaps", "digest"),
    [
        ([], "48a54ff818acc77071eda42b183d52353ffafae3b8ce34971836d414d48a0124"),
        ([0, 1, 100, 101, 319], "a6ffc50e5e58bb7b827d23625abfa5921c34cf7ea0fb8e9eb3dc4f72280feb79"),
    ],
)
def test_the_bytes_of_released_sessions_stay(tmp_path: Path, gaps: list[int], digest: str) -> None:
    values = np.arange(960, dtype=np.float32).reshape(3, 320) / np.float32(7)
    valid = ~np.isin(np.arange(320), gaps)
    written = write(tmp_path / "x.h5", chunks=ArraySignal(values, SPEC, valid=valid).chunks(100))
    assert hashlib.sha256(written.read_bytes()).hexdigest() == digest


@pytest.mark.skipif(not h5py.version.hdf5_version.startswith("2."), reason="these bytes were written by HDF5 2")
def test_the_bytes_of_a_bare_session_stay(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=250.0, ch_names=("a",))
    write_session(tmp_path / "x.h5", session_id="s", subject="p", spec=spec, chunks=[])
    digest = "4b3ed079441c6f35ec5422f44b4a6c420ac69cb1365a8022819108ff5cce680c"
    assert hashlib.sha256((tmp_path / "x.h5").read_bytes()).hexdigest() == digest


def test_units_and_facts_of_trials_are_kept(tmp_path: Path) -> None:
    spec = SPEC.replace(units=("V", "V", "m/s"))
    trials = IntervalTable([10.5, 11.0], [11.0, 12.0], ("a", "b"), {"go_s": (10.6, 11.7), "choice": (1, -1)}, ("go_s",))
    with read(write(tmp_path / "x.h5", spec=spec, trials=trials)) as session:
        assert session.signal.spec == spec.replace(subject="p")
        assert session.trials == trials
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["format_version"] == 2  # so that no older program takes m/s for volts


def test_samples_are_contiguous_float32(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "x.h5")) as file:
        samples = file["eeg/signal"]
        assert (samples.chunks, samples.dtype, samples.shape) == (None, np.float32, (320, 3))


def test_no_samples_at_all(tmp_path: Path) -> None:
    with read(write(tmp_path / "x.h5", chunks=[])) as session:
        assert session.signal.read().shape == (3, 0)
        assert session.signal.valid().shape == (0,)


def test_nothing_valid(tmp_path: Path) -> None:
    with read(write(tmp_path / "x.h5", np.zeros(320, bool))) as session:
        assert not session.signal.valid().any()
        assert np.array_equal(session.signal.read(), VALUES)


def test_invalid_samples_may_be_nan_but_valid_ones_may_not(tmp_path: Path) -> None:
    values, valid = VALUES.copy(), np.ones(320, bool)
    values[1, 50], valid[50] = np.nan, False
    with read(write(tmp_path / "x.h5", chunks=[Chunk(values, valid, 0)])) as session:
        assert np.isnan(session.signal.read()[1, 50])
    with pytest.raises(DataError, match="Sample 50 is valid but not a finite float32"):
        write(tmp_path / "y.h5", chunks=[Chunk.of(values)])
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([Chunk.of(VALUES[:, :5], 0), Chunk.of(VALUES[:, 6:9], 6)], "starts at sample 6. Allowed: 5"),
        ([Chunk.of(VALUES[:2])], r"values \(2, 320\)"),
        ([Chunk(VALUES, np.ones(3, bool), 0)], r"validity \(3,\)"),
    ],
)
def test_chunks_that_do_not_fit(tmp_path: Path, chunks: list[Chunk], message: str) -> None:
    with pytest.raises(StreamError, match=message):
        write(tmp_path / "x.h5", chunks=chunks)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_may_start_late(tmp_path: Path) -> None:
    chunks = [Chunk.of(VALUES[:, :5], 40), Chunk.of(VALUES[:, 5:9], 45)]
    with read(write(tmp_path / "x.h5", chunks=chunks)) as session:
        assert np.array_equal(session.signal.read(), VALUES[:, :9])


def damage(path: Path, change: Any) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.__setitem__("format_version", 4), "format_version 4 is newer.*Upgrade neural-foundation"),
        (lambda f: f.attrs.__setitem__("format_version", 0), "format_version is .*0"),
        (lambda f: f.attrs.__setitem__("format_version", "x"), "format_version is 'x'"),
        (lambda f: f.attrs.__setitem__("object", "Spikes"), "holds no session"),
        (lambda f: f["eeg"].attrs.__setitem__("sampling_rate", -1.0), "sampling rate of 'eeg' is -1"),
        (lambda f: f["eeg"].__delitem__("signal"), "no array of samples"),
        (lambda f: f["eeg/domain/end"].__setitem__(0, 99.0), "does not span its 320 samples"),
        (lambda f: f["eeg_validity/stop"].__setitem__(0, 999), "leave the signal"),
        (lambda f: f["channels/id"].__setitem__(1, b"Fp1"), "several channels are named 'Fp1'"),
        (lambda f: f["trials/end"].__setitem__(0, np.nan), "one finite start, end and label"),
        (lambda f: f["session"].attrs.__setitem__("id", 3), "id of its session is no text"),
        (lambda f: f["eeg"].__delitem__("domain"), "damaged"),
    ],
)
def test_damaged_content(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        read(damage(write(tmp_path / "x.h5"), change))


def test_a_claim_beyond_the_file_is_refused(tmp_path: Path) -> None:
    def enlarge(file: Any) -> None:
        del file["eeg/signal"]
        file["eeg"].create_dataset("signal", shape=(1 << 40, 3), dtype="f4", chunks=(1000, 3))
        file["eeg/domain/end"][0] = 10 + (1 << 40) / 64

    with pytest.raises(RecordingError, match="claims 13194139533312"):
        read(damage(write(tmp_path / "x.h5"), enlarge))


def test_samples_in_another_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.raw").write_bytes(VALUES.T.tobytes())

    def move(file: Any) -> None:
        del file["eeg/signal"]
        file["eeg"].create_dataset("signal", shape=(320, 3), dtype="f4", external=str(tmp_path / "outside.raw"))

    with pytest.raises(RecordingError, match="lies in another file|claims"):
        read(damage(write(tmp_path / "x.h5"), move))


def test_a_folder_that_cannot_be_written_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(StoreError, match="disk is full"):
        write(tmp_path / "x.h5")


def test_memory_stays_bounded(tmp_path: Path) -> None:
    import tracemalloc

    spec = SignalSpec(sfreq=1000.0, ch_names=tuple(map(str, range(16))))
    block = np.zeros((16, 20_000), np.float32)
    chunks = (Chunk.of(block, i * 20_000) for i in range(50))  # 64 MB in all
    tracemalloc.start()
    write(tmp_path / "x.h5", spec=spec, chunks=chunks, trials=Intervals())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x.h5").stat().st_size > 64_000_000
    assert peak < 40_000_000
