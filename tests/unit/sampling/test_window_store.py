from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_prepared import numbers, prepared, several, spec_of, stored_anew

from neural_foundation.core.errors import DataError, RecordingError, SignalMismatchError
from neural_foundation.recordings import read
from neural_foundation.sampling.raw_samples import BLOCK_BYTES, RawFile, place_of, turned
from neural_foundation.sampling.store import WindowStore, known
from neural_foundation.sampling.windows import continuous

ZERO = np.zeros(1, np.int64)


def one(store: WindowStore, start: int, n_times: int) -> np.ndarray:
    return store.load(ZERO, ZERO + start, n_times)[0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 70),
    n_chans=st.integers(1, 19),
    at=st.integers(0, 3),
    kind=st.sampled_from(["<f4", "<i2"]),
    seed=st.integers(0, 99),
)
def test_any_block_is_turned_as_numpy_does(n: int, n_chans: int, at: int, kind: str, seed: int) -> None:
    make = np.random.default_rng(seed)
    gain = make.uniform(-1e-6, 1e-6, n_chans) if kind == "<i2" else None
    whole = (
        make.integers(-32768, 32768, (n, n_chans)) if gain is not None else make.standard_normal((n, n_chans))
    ).astype(kind)
    out = np.full((n_chans, n + 4), 7, np.float32)
    assert turned(whole, gain, out[:, at : at + n])
    want = whole.astype(np.float64) * gain if gain is not None else whole
    np.testing.assert_array_equal(out[:, at : at + n], want.T.astype(np.float32))
    assert (out[:, :at] == 7).all()
    assert (out[:, at + n :] == 7).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(6, 4), (7, 4), (6, 3)])
def test_a_value_that_is_not_finite_is_seen_wherever_it_is(value: float, shape: tuple[int, int]) -> None:
    largest = np.full(shape, np.finfo(np.float32).max, np.float32)
    out = np.empty(shape[::-1], np.float32)
    assert turned(largest, None, out)
    for at in np.ndindex(shape):
        block = largest.copy()
        block[at] = value
        assert not turned(block, None, out), at


def test_windows_are_those_that_the_session_gives(tmp_path: Path) -> None:
    spec = spec_of(6)
    rows = 3 * BLOCK_BYTES // (4 * spec.n_chans)
    path = prepared(tmp_path / "a.h5", rows + 11, spec=spec)
    store = WindowStore([path])
    assert store.recordings[0].place is not None
    with read(path) as session:
        for start, n in ((0, rows + 11), (5, 100), (4, 101), (rows, 11), (7, rows - 1), (3, 0)):
            np.testing.assert_array_equal(one(store, start, n), session.signal.read(start, start + n))


def test_rows_come_in_the_order_asked_from_more_files_than_are_held_open(tmp_path: Path) -> None:
    paths = several(tmp_path, (200, 300, 250))
    store = WindowStore(paths, most_open=1)
    file, start = np.array([2, 0, 1, 0, 2]), np.array([7, 3, 250, 180, 0])
    got = store.load(file, start, 20)
    for row, (f, s) in enumerate(zip(file, start, strict=True)):
        np.testing.assert_array_equal(got[row], numbers(int(f), 2, 300)[:, s : s + 20])
    store.close()
    np.testing.assert_array_equal(store.load(file, start, 20), got)


def test_int16_samples_times_their_gain(tmp_path: Path) -> None:
    values = 1e-3 * np.random.default_rng(0).standard_normal((3, 500)).astype(np.float32)
    path = prepared(tmp_path / "a.h5", 500, spec=spec_of(3), values=values, step=1e-6)
    store = WindowStore([path])
    assert store.recordings[0].place is not None
    with read(path) as session:
        np.testing.assert_array_equal(one(store, 33, 400), session.signal.read(33, 433))
    np.testing.assert_allclose(one(store, 0, 500), values, atol=0.51e-6)


@pytest.mark.parametrize("how", [{}, {"chunks": (64, 3), "compression": 4}])
@pytest.mark.parametrize("n_chans", [3, 4])
def test_each_channel_has_its_gain(tmp_path: Path, how: dict[str, object], n_chans: int) -> None:
    make = np.random.default_rng(0)
    samples, gain = make.integers(-32768, 32768, (500, n_chans)).astype("<i2"), make.uniform(1e-7, 1, n_chans)
    empty = np.zeros((n_chans, 500), np.float32)
    path = prepared(tmp_path / "a.h5", 500, spec=spec_of(n_chans), values=empty, step=1.0)
    store = WindowStore([stored_anew(path, samples, gain, **how)])
    assert (store.recordings[0].place is None) is bool(how)
    np.testing.assert_array_equal(one(store, 33, 401), (samples * gain).T.astype(np.float32)[:, 33:434])


def test_gains_that_cannot_be_used_are_the_readers_error(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a.h5", 500, values=np.zeros((2, 500), np.float32), step=1.0)
    stored_anew(path, np.ones((500, 2), "<i2"), np.array([1.0, np.nan]))
    with pytest.raises(RecordingError, match="the gains of its int16 samples cannot be used"):
        WindowStore([path])


def test_a_strangers_whole_numbers_are_what_they_are(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a.h5", 500, values=np.zeros((2, 500), np.float32), step=0.5)
    stored_anew(path, np.full((500, 2), 4, "<i2"))
    np.testing.assert_array_equal(one(WindowStore([path]), 0, 500), np.full((2, 500), 2.0))
    with h5py.File(path, "r+") as file:
        del file.attrs["format_version"]
    store = WindowStore([path])
    assert store.recordings[0].place is not None
    np.testing.assert_array_equal(one(store, 0, 500), np.full((2, 500), 4.0))


@pytest.mark.parametrize("how", [{"chunks": (64, 2)}, {"chunks": (64, 2), "compression": "gzip"}])
def test_chunked_float_samples_come_through_their_reader(tmp_path: Path, how: dict[str, object]) -> None:
    values = numbers(3, 2, 500)
    path = stored_anew(prepared(tmp_path / "a.h5", 500), values.T, **how)
    store = WindowStore([path])
    assert store.recordings[0].place is None
    np.testing.assert_array_equal(one(store, 60, 300), values[:, 60:360])


def test_other_types_come_through_their_reader(tmp_path: Path) -> None:
    values = numbers(0, 2, 500)
    path = stored_anew(prepared(tmp_path / "a.h5", 500), values.T.astype("<f8"))
    with read(path) as session:
        assert place_of(session.signal) is None
    np.testing.assert_array_equal(one(WindowStore([path]), 0, 500), values)


def test_a_sample_that_is_not_finite_yet_valid_is_the_readers_error(tmp_path: Path) -> None:
    values = numbers(0, 2, 500)
    values[1, 123] = np.nan
    path = stored_anew(prepared(tmp_path / "a.h5", 500), values.T)
    with read(path) as session, pytest.raises(RecordingError) as readers:
        session.signal.read(100, 200)
    with pytest.raises(RecordingError) as ours:
        one(WindowStore([path]), 100, 100)
    assert str(ours.value) == str(readers.value)
    one(WindowStore([path]), 124, 100)


def test_where_it_is_not_valid_it_may_be_anything(tmp_path: Path) -> None:
    valid = np.ones(500, bool)
    valid[120:130] = valid[300:] = False
    values = numbers(0, 2, 500)
    values[1, 123] = np.nan
    store = WindowStore([prepared(tmp_path / "a.h5", 500, values=values, valid=valid)])
    np.testing.assert_array_equal(one(store, 100, 100), values[:, 100:200])
    np.testing.assert_array_equal(store.valid(ZERO, ZERO + 100, 300)[0], valid[100:400])


def test_samples_outside_the_recording_are_an_error(tmp_path: Path) -> None:
    store = WindowStore([prepared(tmp_path / "a.h5", 500)])
    for start, n in ((-1, 10), (491, 10)):
        with pytest.raises(DataError, match=rf"cannot read samples {start} to {start + n}. Allowed: 0 <= start"):
            one(store, start, n)


def test_where_windows_are_written_to_has_to_fit(tmp_path: Path) -> None:
    store = WindowStore([prepared(tmp_path / "a.h5", 500)])
    for out in (np.empty((1, 2, 9), np.float32), np.empty((1, 2, 10)), np.empty((2, 2, 10), np.float32)):
        with pytest.raises(DataError, match=r"Allowed: float32 \(1, n_chans, 10\)"):
            store.load(ZERO, ZERO, 10, out)  # type: ignore[arg-type]


def test_a_file_system_may_give_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, whole = WindowStore([prepared(tmp_path / "a.h5", 500)]), os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, parts, at: whole(fd, [parts[0][:100]], at))
    np.testing.assert_array_equal(one(store, 3, 200), numbers(0, 2, 500)[:, 3:203])


def test_recordings_of_other_channel_counts_are_an_error(tmp_path: Path) -> None:
    store = WindowStore([prepared(tmp_path / "a.h5", 500), prepared(tmp_path / "b.h5", 500, spec=spec_of(3))])
    with pytest.raises(SignalMismatchError, match=r"b.h5 has 3 channels. Allowed: 2, as"):
        store.load(np.array([0, 1]), np.array([0, 0]), 10)


@pytest.mark.parametrize("chunks", [None, (64, 2)])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, chunks: tuple[int, int] | None) -> None:
    path = prepared(tmp_path / "a.h5", 500)
    if chunks is not None:
        stored_anew(path, numbers(0, 2, 500).T, chunks=chunks)
    store = WindowStore([path])
    if chunks is None:
        one(store, 0, 10)
    os.truncate(path, path.stat().st_size - 2000)
    with pytest.raises(RecordingError, match="it changed since it was opened. Do not write to a recording"):
        one(store, 0, 10)


def test_a_file_shorter_than_its_stamp_says_does_not_end_the_process(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a.h5", 500)
    place = known(path).place
    assert place is not None
    os.truncate(path, place.offset + 100)
    status = path.stat()
    raw = RawFile(path, place, (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev))
    with pytest.raises(RecordingError, match="it changed"):
        raw.read_into(0, np.empty((2, 100), np.float32))
    raw.close()
    raw.close()


def test_a_window_set_sees_that_a_file_was_prepared_again(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a.h5", 500)
    windows = continuous([path], 1.0, 1.0)
    np.testing.assert_array_equal(windows.load([2])[0], numbers(0, 2, 500)[:, 200:300])
    prepared(path, 500, recording=4)
    np.testing.assert_array_equal(windows.load([2])[0], numbers(4, 2, 500)[:, 200:300])
    path.unlink()
    with pytest.raises(RecordingError, match="there is no such file"):
        windows.load([2])


def test_facts_are_read_once(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a.h5", 500)
    assert known(path) is known(path)
    facts = known(path)
    assert (facts.session_id, facts.subject, facts.n_times, facts.name) == ("a", "s1", 500, "eeg")
