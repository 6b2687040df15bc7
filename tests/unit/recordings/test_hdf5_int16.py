"""Samples kept as int16: what comes back, what does not fit, and files that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import temporaldata as td
import whole_sessions as made

from neural_foundation.core.errors import DataError, RecordingError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import read, write_session, write_whole_session
from neural_foundation.recordings.hdf5_int16 import scaled, stored

SPEC = SignalSpec(sfreq=100.0, ch_names=("C3", "Cz", "C4"))
STEP = 1e-7


def written(path: Path, values: np.ndarray, valid: np.ndarray | None = None, **settings: Any) -> Path:
    valid = np.ones(values.shape[1], bool) if valid is None else valid
    cuts = [Chunk(values[:, a : a + 37], valid[a : a + 37], a) for a in range(0, values.shape[1], 37)]
    write_session(path, session_id="s", subject="p", spec=SPEC, chunks=cuts, **{"step": STEP, **settings})
    return path


@pytest.fixture
def values() -> np.ndarray:
    return (1e-5 * np.random.default_rng(0).standard_normal((3, 500))).astype(np.float32)


def test_each_sample_comes_back_as_the_nearest_step(tmp_path: Path, values: np.ndarray) -> None:
    path = written(tmp_path / "a.h5", values)
    want = (np.rint(values.astype(float) / STEP) * STEP).astype(np.float32)
    with read(path) as session:
        np.testing.assert_array_equal(session.signal.read(), want)
        np.testing.assert_array_equal(session.signal.read(33, 201), want[:, 33:201])
    assert np.abs(want - values).max() <= STEP / 2 * (1 + 1e-6)
    with h5py.File(path) as file:
        assert file.attrs["format_version"] == 3
        assert file["eeg/signal"].dtype == np.int16
        assert file["eeg/signal"].chunks is None


def test_it_halves_the_file_and_equal_input_gives_equal_bytes(tmp_path: Path, values: np.ndarray) -> None:
    long = np.tile(values, (1, 100))
    small, again, whole = (written(tmp_path / f"{s}.h5", long, step=s) for s in (STEP, STEP * 1.0, None))
    assert small.read_bytes() == again.read_bytes()
    assert whole.stat().st_size - small.stat().st_size == pytest.approx(2 * long.size, rel=0.01)


def test_temporaldata_opens_it(tmp_path: Path, values: np.ndarray) -> None:
    with h5py.File(written(tmp_path / "a.h5", values)) as file:
        data = td.Data.from_hdf5(file)
        volts = data.eeg.signal * data.channels.gain
        np.testing.assert_allclose(volts.T, values, atol=0.51 * STEP)


def test_what_does_not_fit_is_refused_by_sample_and_channel(tmp_path: Path, values: np.ndarray) -> None:
    values[1, 123] = 4e-3
    with pytest.raises(DataError, match=r"Sample 123 of 'Cz' is 0\.004. Allowed: up to 32767 steps of 1e-07.*0\.00328"):
        written(tmp_path / "a.h5", values)
    assert not list(tmp_path.iterdir())
    valid = np.ones(500, bool)
    valid[123:130], values[0, 124] = False, np.nan
    with read(written(tmp_path / "a.h5", values, valid)) as session:
        got = session.signal.read()
        np.testing.assert_array_equal(session.signal.valid(), valid)
    assert got[1, 123] == np.float32(32767 * STEP)
    assert got[0, 124] == 0


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf])
def test_a_step_is_a_number_above_0(tmp_path: Path, values: np.ndarray, step: float) -> None:
    with pytest.raises(SpecError, match="The step of int16 samples is"):
        written(tmp_path / "a.h5", values, step=step)


def test_of_a_whole_session_the_primary_signal_is_kept_so(tmp_path: Path) -> None:
    source = made.session()
    write_whole_session(tmp_path / "a.h5", source, step=1e-3)
    with read(tmp_path / "a.h5") as opened:
        first, second = opened.signals.values()
        np.testing.assert_allclose(first.read(), source.signals["wheel"].read(), atol=0.501e-3)
        np.testing.assert_array_equal(second.read(), source.signals["lfp"].read())
        assert opened.trials == source.trials


@pytest.mark.parametrize(
    "gain", [None, np.zeros(3), np.full(3, np.nan), np.full(2, 1e-7), np.full(3, 1e35), -np.ones(3)]
)
def test_gains_that_cannot_be_used(tmp_path: Path, values: np.ndarray, gain: np.ndarray | None) -> None:
    path = written(tmp_path / "a.h5", values)
    with h5py.File(path, "r+") as file:
        del file["channels/gain"]
        if gain is not None:
            file["channels/gain"] = gain
    with pytest.raises(RecordingError, match="gain|channels"):
        read(path)


@pytest.mark.parametrize("n_chans", [1, 2, 3, 64])
@pytest.mark.parametrize("n_times", [0, 1, 31, 33, 200])
def test_the_compiled_passes_give_what_numpy_gives(n_chans: int, n_times: int) -> None:
    make = np.random.default_rng(n_chans)
    rows = make.integers(-32768, 32768, (n_times, n_chans)).astype(np.int16)
    gain = make.uniform(1e-9, 1e-3, n_chans)
    want = (rows * gain).T.astype(np.float32)
    for given in (rows, np.asfortranarray(rows), np.repeat(rows, 2, 0)[::2]):
        got = scaled(given, gain)
        np.testing.assert_array_equal(got, want)
        assert got.flags.carray
    spec = SignalSpec(sfreq=1.0, ch_names=tuple(f"c{i}" for i in range(n_chans)))
    values = make.integers(-65535, 65536, (n_chans, n_times)).astype(np.float32) / 4  # ties, and both ends
    for like in (values, values.astype(float), np.asfortranarray(values)):
        got = stored(Chunk.of(like), spec, 0.5)
        np.testing.assert_array_equal(got, np.rint(values.T.astype(float) / 0.5).astype(np.int16))
        assert got.flags.carray
