"""A full disk, and one that may not be written: one clear error, and no half file under a final name."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny_disk
from make_modalities import everything

from neural_foundation.core import store
from neural_foundation.core.errors import StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import write_edf, write_session, write_whole_session
from neural_foundation.recordings.convert import convert
from neural_foundation.recordings.hdf5_new import new_file

FULL = "The disk is full. Free some space and run again; nothing finished is lost."


@cache
def own_disks() -> str:
    """Return why this machine lets no test mount a disk of its own; '' where it does."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "there is no unshare"
    tried = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return "" if subprocess.run(tried, capture_output=True).returncode == 0 else "no namespaces here"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["convert_hdf5", "convert_edf", "prepare", "prepare_chain"])
def test_a_disk_of_any_size_that_is_too_small(what: str, tmp_path: Path) -> None:
    if why := own_disks():
        pytest.skip(why)
    command = ["unshare", "-rm", sys.executable, str(Path(tiny_disk.__file__)), str(tmp_path), what]
    path = os.pathsep.join([str(Path(tiny_disk.__file__).parent), *sys.path])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr  # also: HDF5 did not crash while the process ended
    rows = json.loads(done.stdout)
    assert len(rows) > 20
    for kib, said, left in rows[:-2]:
        assert said.startswith("Cannot write "), (kib, said)
        assert said.endswith(f"(No space left on device). {FULL}"), (kib, said)
        assert said.count("Cannot write") == 1
        assert ".tmp" not in said
        assert [name for name in left if ".partial" not in name and "manifest.json" not in name] == [], (kib, left)
    for _, said, left in rows[-2:]:
        assert said == ""
        assert any(name.endswith((".h5", ".edf")) for name in left)


def test_a_disk_that_fills_while_a_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = h5py.File.close

    def fails(self: Any) -> None:
        close(self)
        raise RuntimeError("Can't decrement id ref count (unable to extend file properly, errno = 28, error = '...')")

    monkeypatch.setattr(h5py.File, "close", fails)
    with pytest.raises(OSError, match="No space left on device") as caught, new_file(tmp_path / "a.h5", 0):
        pass
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    with pytest.raises(OSError, match="Permission denied"), new_file(tmp_path / "b.h5", 0):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(RuntimeError, match="no reason"), new_file(tmp_path / "c.h5", 0):
        raise RuntimeError("no reason")


def test_numbers_are_written_at_once_not_when_an_array_is_closed(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.h5", 0) as file:
        file.create_dataset("x", data=np.full(100, 7.25))
        assert np.full(100, 7.25).tobytes() in (tmp_path / "a.h5").read_bytes()


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that this process may not write to, whoever runs the tests; `open`, beside it, may be written."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        place, free = Path(made) / "locked", Path(made) / "open"
        place.mkdir(mode=0o555)
        free.mkdir()
        free.chmod(0o777)
        if os.geteuid() == 0:  # root may write anywhere
            os.seteuid(65534)
        try:
            yield place
        finally:
            os.seteuid(os.getuid())


def edf(folder: Path) -> Path:
    values = np.random.default_rng(0).normal(0, 1e-5, (1, 500))
    write_edf(folder / "a.edf", values=values, spec=SignalSpec(sfreq=100, ch_names=("Cz",)), subject="x")
    return folder / "a.edf"


def half_an_edf(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:300])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)


def no_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, "replace", replace)


@pytest.mark.parametrize(
    ("name", "fill"), [("b.edf", half_an_edf), ("b.edf", no_rename), ("b.h5", no_rename), ("new/b.h5", no_rename)]
)
def test_a_copy_on_a_full_disk(
    name: str, fill: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = edf(tmp_path)
    fill(monkeypatch)
    with pytest.raises(StoreError) as caught:
        convert(source, tmp_path / name)
    assert str(caught.value) == f"Cannot write {tmp_path / name} (No space left on device). {FULL}"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.edf"]


def test_a_copy_that_was_cut_short_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = edf(tmp_path)

    def cut(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:1000])

    monkeypatch.setattr(Path, "write_bytes", cut)
    with pytest.raises(StoreError, match=r"b\.edf reads back otherwise than it was written: .* truncated") as caught:
        convert(source, tmp_path / "b.edf")
    assert ".tmp" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.edf"]


def test_a_full_disk_keeps_the_copy_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = edf(tmp_path)
    convert(source, tmp_path / "b.h5")
    before = (tmp_path / "b.h5").read_bytes()
    no_rename(monkeypatch)
    with pytest.raises(StoreError, match="The disk is full"):
        convert(source, tmp_path / "b.h5", subject="other", overwrite=True)
    assert (tmp_path / "b.h5").read_bytes() == before


@pytest.mark.parametrize("name", ["b.h5", "b.edf"])
def test_a_folder_that_may_not_be_written(name: str, locked: Path) -> None:
    with pytest.raises(StoreError, match=rf"Cannot write .*{name} \(Permission denied\). You may not write there"):
        convert(edf(locked.parent / "open"), locked / name)
    assert list(locked.iterdir()) == []


def test_the_writers_say_the_same(locked: Path) -> None:
    signal = everything().signal
    with pytest.raises(StoreError, match="Permission denied"):
        write_session(locked / "a.h5", session_id="s", subject="p", spec=signal.spec, chunks=signal.chunks())
    with pytest.raises(StoreError, match="Permission denied"):
        write_whole_session(locked / "a.h5", everything())
    assert list(locked.iterdir()) == []
