import errno
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import StoreError
from neural_foundation.core.store import (
    atomic,
    load_arrays,
    lock,
    read_json,
    rename,
    save_arrays,
    sha256,
    write_bytes,
    write_json,
    writing,
)


def half_written(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError):
        half_written(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "--output")]
)
def test_refusals_of_the_disk_say_what_to_do(tmp_path: Path, code: int, advice: str) -> None:
    with pytest.raises(StoreError, match=advice), writing(tmp_path / "x"):
        raise OSError(code, "refused")


def test_other_os_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), writing(tmp_path):
        raise IsADirectoryError(errno.EISDIR, "is a folder")


def test_arrays_come_back_and_their_bytes_repeat(tmp_path: Path) -> None:
    arrays = {"x": np.arange(4.0), "names": np.array(["S01", "S02"])}
    save_arrays(tmp_path / "a.npz", arrays)
    save_arrays(tmp_path / "b.npz", dict(reversed(arrays.items())))
    assert sha256(tmp_path / "a.npz") == sha256(tmp_path / "b.npz")
    back = load_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(back["x"], arrays["x"])
    assert back["names"].tolist() == ["S01", "S02"]


def test_arrays_hold_no_pickles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        save_arrays(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)})
    np.savez(tmp_path / "evil.npz", x=np.array([{}], dtype=object))
    with pytest.raises(StoreError, match="is not an array file"):
        load_arrays(tmp_path / "evil.npz")


def test_damaged_json_names_the_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1})
    assert read_json(tmp_path / "a.json") == {"b": 1}
    (tmp_path / "a.json").write_text('{"b":')
    with pytest.raises(StoreError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(StoreError, match=r"c\.json is missing"):
        read_json(tmp_path / "c.json")


def _try_lock(folder: Path, queue: "multiprocessing.Queue[str]") -> None:
    try:
        with lock(folder):
            queue.put("held")
    except StoreError as error:
        queue.put(str(error))


def test_one_lock_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with lock(tmp_path):
        process = context.Process(target=_try_lock, args=(tmp_path, queue))
        process.start()
        assert "Another run is writing" in queue.get(timeout=30)
        process.join()
    with lock(tmp_path):
        pass


def test_rename_replaces_a_damaged_folder(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_text("whole")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "b").write_text("damaged")
    rename(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["a"]
