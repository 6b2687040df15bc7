from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, PackageError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.models.reference import (
    REFERENCE,
    load_reference,
    mean_covariance,
    save_reference,
    write_reference,
)
from neural_foundation.recordings import Intervals, write_session

SPEC = SignalSpec(sfreq=100, ch_names=("a", "b", "c"))


def session(path: Path, subject: str, values: np.ndarray, valid: np.ndarray | None = None) -> Path:
    ok = np.ones(values.shape[1], bool) if valid is None else valid
    none = Intervals(np.zeros(0), np.zeros(0), ())
    write_session(path, session_id=path.stem, subject=subject, spec=SPEC, chunks=[Chunk(values, ok)], trials=none)
    return path


def noise(n: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    mixing = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.2], [0.3, 0.0, 2.0]])
    return (scale * mixing @ np.random.default_rng(seed).standard_normal((3, n))).astype(np.float32)


def test_the_mean_over_people_is_written_and_read(tmp_path: Path) -> None:
    quiet, loud = noise(2500), noise(1300, scale=10, seed=1)
    files = [session(tmp_path / "a.h5", "S1", quiet), session(tmp_path / "b.h5", "S2", loud)]
    write_reference(tmp_path, files)
    got = load_reference(tmp_path, 3)
    each = [x.astype(np.float64) @ x.T.astype(np.float64) / x.shape[1] for x in (quiet, loud)]
    shape = np.mean([c / np.trace(c) for c in each], 0)
    assert got is not None
    np.testing.assert_allclose(got / np.trace(got), shape, rtol=1e-6)
    np.testing.assert_allclose(np.trace(got), np.mean([np.trace(c) for c in each]), rtol=1e-6)


def test_invalid_samples_are_left_out(tmp_path: Path) -> None:
    values, valid = noise(1000), np.ones(1000, bool)
    clean = values.copy()
    values[:, 200:300], valid[200:300] = 1e6, False
    write_reference(tmp_path, [session(tmp_path / "a.h5", "S1", values, valid)])
    x = np.delete(clean, np.arange(200, 300), 1).astype(np.float64)
    np.testing.assert_allclose(load_reference(tmp_path, 3), x @ x.T / 900, rtol=1e-6)
    short = session(tmp_path / "b.h5", "S2", noise(90))
    write_reference(tmp_path, [tmp_path / "a.h5", short])  # one with less than a second is left out
    np.testing.assert_allclose(load_reference(tmp_path, 3), x @ x.T / 900, rtol=1e-6)
    with pytest.raises(DataError, match="No recordings to make a reference of"):
        write_reference(tmp_path, [short])


def test_two_recordings_of_one_person_are_one_person() -> None:
    a, b, c = np.eye(2), np.diag([3.0, 1.0]), np.diag([1.0, 5.0])
    matrix, people = mean_covariance([("S1", a), ("S1", b), ("S2", c)])
    assert people == 2
    s1 = (a + b) / 2
    np.testing.assert_allclose(matrix / np.trace(matrix), (s1 / 6 * 2 + c / 6) / 2)
    with pytest.raises(DataError, match="No recordings to make a reference of"):
        mean_covariance([])


def test_a_package_without_one_has_none(tmp_path: Path) -> None:
    assert load_reference(tmp_path, 3) is None


@pytest.mark.parametrize("matrix", [np.eye(2), np.full((3, 3), np.nan), np.zeros((3, 3)), np.triu(np.ones((3, 3)))])
def test_a_matrix_that_is_no_reference_is_refused(tmp_path: Path, matrix: np.ndarray) -> None:
    save_reference(tmp_path, matrix)
    with pytest.raises(PackageError, match="no covariance of this signal"):
        load_reference(tmp_path, 3)


def test_a_damaged_file_is_refused_and_bytes_repeat(tmp_path: Path) -> None:
    save_reference(tmp_path, np.eye(3), people=4)
    first = (tmp_path / REFERENCE).read_bytes()
    save_reference(tmp_path, np.eye(3), people=4)
    assert (tmp_path / REFERENCE).read_bytes() == first
    (tmp_path / REFERENCE).write_bytes(first[:20])
    with pytest.raises(PackageError, match="cannot be read"):
        load_reference(tmp_path, 3)
