from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_prepared import numbers, prepared, spec_of, spiking, stored_anew

from neural_foundation.core.errors import MissingExtraError, RecordingError
from neural_foundation.recordings import read
from neural_foundation.sampling.remote import is_remote, open_remote
from neural_foundation.sampling.spike_windows import SpikeWindows
from neural_foundation.sampling.store import WindowStore
from neural_foundation.sampling.streaming import StreamingNeuralDataset

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def put(fs: Any, path: Path) -> str:
    fs.pipe(f"/{path.name}", path.read_bytes())
    return f"memory://{path.name}"


def test_addresses_are_told_from_paths() -> None:
    assert is_remote("s3://bucket/a.h5")
    assert is_remote("simplecache::https://host/a.h5")
    assert not is_remote("folder/a.h5")
    assert not is_remote(Path("s3://bucket/a.h5"))


def test_a_remote_session_is_what_the_file_is(tmp_path: Path, memory: Any) -> None:
    path = prepared(tmp_path / "a.h5", 500)
    with read(path) as here, open_remote(put(memory, path)) as there:
        assert (there.session_id, there.subject, there.trials) == (here.session_id, here.subject, here.trials)
        assert there.signal.spec == here.signal.spec
        np.testing.assert_array_equal(there.signal.read(100, 200), here.signal.read(100, 200))


@pytest.mark.parametrize("chunks", [None, (64, 2)])
@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_windows_of_remote_files(tmp_path: Path, memory: Any, scheme: str, chunks: tuple[int, int] | None) -> None:
    urls = []
    for i in range(2):
        path = prepared(tmp_path / f"{i}.h5", 500, recording=i)
        if chunks is not None:
            stored_anew(path, numbers(i, 2, 500).T, chunks=chunks)
        urls.append(put(memory, path) if scheme == "memory" else f"file://{path}")
    store = WindowStore(urls)
    got = store.load(np.array([1, 0, 1]), np.array([3, 200, 390]), 101)
    for row, (i, start) in enumerate(((1, 3), (0, 200), (1, 390))):
        np.testing.assert_array_equal(got[row], numbers(i, 2, 500)[:, start : start + 101])
    store.close()


def test_only_what_is_asked_for_is_fetched(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put(memory, prepared(tmp_path / "a.h5", 100_000, spec=spec_of(8)))
    store = WindowStore([url])
    asked: list[int] = []
    cat = type(memory).cat_ranges

    def counted(self: Any, paths: Any, starts: Any, ends: Any, **others: Any) -> Any:
        asked.extend(b - a for a, b in zip(starts, ends, strict=True))
        return cat(self, paths, starts, ends, **others)

    monkeypatch.setattr(type(memory), "cat_ranges", counted)
    store.load(np.zeros(3, int), np.array([5, 70_000, 9]), 100)
    assert asked == [100 * 8 * 4] * 3


def test_streaming_from_addresses_gives_what_files_give(tmp_path: Path, memory: Any) -> None:
    paths = [prepared(tmp_path / f"{i}.h5", 300 + 100 * i, recording=i, subject=f"s{i}") for i in range(3)]
    here = StreamingNeuralDataset(paths, window_s=1.0, lanes=2)
    there = StreamingNeuralDataset([put(memory, path) for path in paths], window_s=1.0, lanes=2)
    for a, b in zip(here, there, strict=True):
        assert (a.signal == b.signal).all()
        assert a.recording.tolist() == b.recording.tolist()
    there.load_state_dict(here.state_dict())


def test_spikes_from_an_address(tmp_path: Path, memory: Any) -> None:
    path = spiking(tmp_path / "a.h5", 0)
    here, there = (SpikeWindows([p], window_s=1.0, bin_s=0.5) for p in (path, put(memory, path)))
    assert all((a.counts == b.counts).all() for a, b in zip(here, there, strict=True))


def test_what_is_wrong_with_an_address_is_one_error(tmp_path: Path, memory: Any) -> None:
    with pytest.raises(RecordingError, match="there is no such file. Check the address"):
        open_remote("memory://nobody.h5")
    memory.pipe("/folder/notes.txt", b"notes " * 100)
    with pytest.raises(RecordingError, match="this is a folder"):
        open_remote("memory://folder")
    with pytest.raises(RecordingError, match="it does not start as HDF5 files do"):
        open_remote("memory://folder/notes.txt")
    with pytest.raises(RecordingError, match="its store gives ValueError: Protocol not known"):
        open_remote("nowhere://a.h5")
    whole = prepared(tmp_path / "a.h5", 500).read_bytes()
    memory.pipe("/cut.h5", whole[:5000])
    with pytest.raises(RecordingError, match="it is truncated"):
        open_remote("memory://cut.h5")


def test_without_fsspec_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(
        MissingExtraError, match=r"'fsspec' is not installed. Run: pip install 'neural-foundation\[remote"
    ):
        open_remote("memory://a.h5")


def test_a_remote_file_that_changed_is_an_error(tmp_path: Path, memory: Any) -> None:
    url = put(memory, prepared(tmp_path / "a.h5", 500))
    store = WindowStore([url])
    memory.pipe("/a.h5", prepared(tmp_path / "a.h5", 400).read_bytes())
    with pytest.raises(RecordingError, match="it changed since it was opened"):
        store.load(np.zeros(1, int), np.zeros(1, int), 100)


def test_a_remote_sample_that_is_not_finite_yet_valid_is_an_error(tmp_path: Path, memory: Any) -> None:
    values = numbers(0, 2, 500)
    values[0, 7] = np.inf
    store = WindowStore([put(memory, stored_anew(prepared(tmp_path / "a.h5", 500), values.T))])
    with pytest.raises(RecordingError, match="sample 7 is not finite, yet valid"):
        store.load(np.zeros(1, int), np.zeros(1, int), 100)
