"""A child process reads: whatever happens to it is one error, and the next call works."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_functions as hostile
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, MissingExtraError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, read, write_session
from neural_foundation.recordings.isolated import facts, probe, read_through, rehearse

isolated = importlib.import_module("neural_foundation.recordings.isolated")  # the module, not the function
run = isolated.isolated
FILE = Path("a.edf")
TRIALS = Intervals.of([(0.5, 1.0, "left"), (1.5, 1.5, "right"), (2.0, 2.5, "left")])


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    isolated.close()
    assert isolated._worker is None


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    spec = SignalSpec(sfreq=100.0, ch_names=("Fp1", "Cz"), ch_types=("eeg", "eeg"))
    chunks = ArraySignal(np.zeros((2, 300)), spec).chunks(100)
    write_session(tmp_path / "a.h5", session_id="a", subject="p1", spec=spec, chunks=chunks, trials=TRIALS)
    return tmp_path / "a.h5"


def gone(pid: int) -> bool:
    """Return whether a process has ended; one that waits for its parent counts as ended."""
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_call_gives_what_the_function_gives() -> None:
    assert run(hostile.name, FILE, 1, "two", None, [3.5]) == ["a.edf", True, 1, "two", None, [3.5]]
    assert run(hostile.noisy, FILE) == "quiet"
    assert len(run(hostile.large, FILE, 3 << 20)) == 3 << 20


def test_the_child_is_another_process_and_stays_warm() -> None:
    first = run(hostile.process, FILE)
    assert first != os.getpid()
    began = time.perf_counter()
    assert {run(hostile.process, FILE) for _ in range(20)} == {first}
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (hostile.segfault, r"reading it crashed the process that read it \(SIGSEGV\)"),
        (hostile.leave, r"reading it ended the process that read it \(exit status 3\)"),
        (hostile.sleep, "reading it took too long, and was stopped"),
        (hostile.allocate, "reading it takes more than 200 MB of memory"),
        (hostile.chatter, "what reading it gave takes 18446744073709551615 bytes, of at most"),
    ],
)
def test_what_ends_the_child_is_one_error_and_the_next_call_works(
    tmp_path: Path, function: Callable[..., Any], match: str
) -> None:
    path, pid = tmp_path / "a.edf", run(hostile.process, FILE)
    with pytest.raises(RecordingError, match=f"a.edf: {match}.* Do not use this file") as caught:
        run(function, path, timeout_s=1.0 if function is hostile.sleep else 20, memory_mb=200)
    assert caught.value.path == path
    assert run(hostile.process, FILE) != pid
    assert gone(pid)
    if function is hostile.sleep:  # what the child started is killed with it
        assert gone(int(path.read_text()))


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (hostile.fail, "reading it failed with ValueError: chunk 7 is odd"),
        (hostile.recurse, "reading it failed with RecursionError"),
        (hostile.no_json, "what reading it gave is no JSON"),
        (hostile.not_a_number, "what reading it gave is no JSON"),
    ],
)
def test_what_the_child_survives_is_one_error(function: Callable[..., Any], match: str) -> None:
    pid = run(hostile.process, FILE)
    with pytest.raises(RecordingError, match=f"a.edf: {match}"):
        run(function, FILE)
    assert run(hostile.process, FILE) == pid


def test_the_errors_of_the_package_come_through_as_they_are() -> None:
    with pytest.raises(RecordingError, match=r"^a\.edf: it is odd\. Allowed: even ones\. Try another\.$") as caught:
        run(hostile.refuse, FILE)
    assert caught.value.path == FILE
    with pytest.raises(DataError, match=r"^no events\.$") as plain:
        run(hostile.unable, FILE)
    assert type(plain.value) is DataError
    with pytest.raises(MissingExtraError, match="pip install"):
        run(hostile.missing, FILE)


def test_a_child_is_replaced_after_many_calls_and_when_it_died() -> None:
    first = run(hostile.process, FILE)
    assert isolated._worker is not None
    isolated._worker.calls = isolated.MAX_CALLS - 1
    assert run(hostile.process, FILE) == first
    second = run(hostile.process, FILE)
    assert second != first
    assert gone(first)
    os.kill(second, 9)
    assert gone(second)
    assert run(hostile.process, FILE) not in (first, second)


def test_a_child_that_cannot_start_is_not_the_fault_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated.close()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="A process to read in did not come up") as caught:
        run(hostile.process, FILE)
    assert not isinstance(caught.value, RecordingError)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DataError, match="A process to read in cannot be started"):
        run(hostile.process, FILE)


def test_a_path_counts_from_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert run(hostile.content, "f") == name


def test_only_functions_of_modules_can_be_called() -> None:
    def inner(path: Path) -> None: ...

    for function in (lambda path: 1, inner, "".join):
        with pytest.raises(DataError, match="a function of a module, by its name"):
            run(function, FILE)


def test_threads_wait_for_each_other() -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(run(hostile.name, FILE, n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row[2] for row in found) == list(range(8))


def test_no_child_outlives_its_parent_and_a_fork_has_its_own() -> None:
    code = (
        "import os, hostile_functions as h\n"
        "from neural_foundation.recordings.isolated import isolated\n"
        "print(isolated(h.process, 'a'), flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(isolated(h.process, 'a'), flush=True)\n"
        "    os._exit(0)\n"  # as if killed: nothing is cleaned up
        "os.wait()\n"
        "print(isolated(h.process, 'a'), flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    first, of_fork, again = map(int, done.stdout.split())
    assert first == again != of_fork
    assert gone(first)
    assert gone(of_fork)


def test_probe_gives_the_facts_of_a_recording(recording: Path) -> None:
    found = probe(recording)
    assert json.loads(json.dumps(found)) == found == facts(recording)
    assert found["signals"] == {
        "eeg": {
            "sfreq": 100.0,
            "n_times": 300,
            "start_s": 0.0,
            "duration_s": 3.0,
            "ch_names": ["Fp1", "Cz"],
            "ch_types": ["eeg", "eeg"],
            "units": [],
            "n_positions": 0,
        }
    }
    assert found["trials"] == {"n": 3, "labels": {"left": 2, "right": 1}, "n_labels": 2}
    assert (found["session_id"], found["subject"]) == ("a", "p1")
    assert (found["spikes"], found["series"], found["intervals"]) == ({}, {}, {})
    assert probe(str(recording), subject="s7")["subject"] == "s7"


def test_probe_says_what_read_says(recording: Path, tmp_path: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:-100])
    for path in (recording, tmp_path / "none.edf", tmp_path / "a.vmrk"):
        with pytest.raises(RecordingError) as caught:
            probe(path)
        with pytest.raises(RecordingError) as here:
            facts(path)
        assert (str(caught.value), caught.value.path) == (str(here.value), path)


def test_a_rehearsal_reads_what_a_library_in_c_parses(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=100.0, ch_names=("Cz",))
    chunks = ArraySignal(np.zeros((1, 500), np.float32), spec).chunks(100)
    write_session(tmp_path / "a.h5", session_id="a", subject="a", spec=spec, chunks=chunks)
    rehearse(tmp_path / "a.h5")
    assert run(read_through, tmp_path / "a.h5") == 500
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-100])
    with pytest.raises(RecordingError, match="truncated"):
        rehearse(tmp_path / "b.h5")
    rehearse(tmp_path / "no_such.edf")  # our own parser needs none


@pytest.mark.parametrize(("function", "match"), [(hostile.segfault, "crashed"), (hostile.sleep, "took too long")])
def test_an_isolated_read_is_refused_where_it_ends_the_child(
    recording: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], match: str
) -> None:
    monkeypatch.setattr(isolated, "read_through", function)
    monkeypatch.setattr(isolated, "TIMEOUT_S", 1.0)
    with pytest.raises(RecordingError, match=f"reading it .*{match}"):
        read(recording, isolated=True)


def strings(path: Path) -> Path:
    """Write an HDF5 file whose words lie in a heap that claims an object of no size: HDF5 walks it for ever.

    Files of this size are refused before HDF5 sees their heaps; larger ones are not looked through.
    """
    import h5py

    with h5py.File(path, "w") as file:
        file["x"], file["go"] = np.arange(20.0), [0.0, 1.0]
        file["words"] = ["left", "right"]
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 24 : heap + 32] = bytes(8)
    raw[heap + 16 : heap + 18] = bytes(2)
    path.write_bytes(raw)
    return path


def test_an_isolated_read_survives_a_file_that_hangs_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = strings(tmp_path / "a.h5")
    signals = {"s": {"values": "x", "sfreq": 10, "unit": "V"}}
    layout = {"signals": signals, "trials": {"start": "go", "label": "words"}}
    with pytest.raises(RecordingError, match="a heap of texts"):
        read(path, layout=layout, isolated=True)
    with path.open("r+b") as file:  # as large as one that is not looked through, its end where its header says
        file.seek(40)
        end = int.from_bytes(file.read(8), "little") + (1 << 23)
        file.truncate(end)
        file.seek(40)
        file.write(end.to_bytes(8, "little"))
    monkeypatch.setattr(isolated, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(isolated, "BYTES_PER_S", 1e9)
    with pytest.raises(RecordingError, match="a.h5: reading it took too long, and was stopped"):
        read(path, layout=layout, isolated=True)


def test_an_isolated_read_gives_what_a_read_gives(recording: Path, tmp_path: Path) -> None:
    with read(recording) as plain, read(recording, isolated=True) as safe:
        assert np.array_equal(plain.signal.read(), safe.signal.read())
        assert plain.trials == safe.trials
    np.save(tmp_path / "a.npy", np.arange(20.0))
    np.savez(tmp_path / "b.npz", x=1)
    layout = {"signals": {"s": {"values": "array", "sfreq": 10, "unit": "V"}}}
    with read(tmp_path / "a.npy", layout=layout, isolated=True) as session:
        assert session.signal.n_times == 20
    for path in (tmp_path / "none.h5", tmp_path / "b.npz"):
        with pytest.raises(RecordingError) as here:
            read(path)
        with pytest.raises(RecordingError) as caught:
            read(path, isolated=True)
        assert str(caught.value) == str(here.value)
