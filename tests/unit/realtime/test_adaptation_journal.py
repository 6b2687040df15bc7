import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neural_foundation.core.errors import StoreError
from neural_foundation.realtime.adaptation_journal import FIRST, Journal, read_journal


def written(path: Path, n: int = 3) -> list[dict[str, object]]:
    with Journal(path, "abc") as journal:
        for i in range(n):
            journal.append("alignment", sample=100 * i, size=0.5)
    return read_journal(path)


def test_entries_are_chained(tmp_path: Path) -> None:
    entries = written(tmp_path / "deep" / "j.jsonl")
    assert [e["entry"] for e in entries] == [0, 1, 2]
    assert entries[0]["previous"] == FIRST
    assert [e["previous"] for e in entries[1:]] == [e["hash"] for e in entries[:-1]]
    assert {e["package"] for e in entries} == {"abc"}


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    written(tmp_path / "j")
    entries = written(tmp_path / "j")
    assert [e["entry"] for e in entries] == list(range(6))


@pytest.mark.parametrize("keep", [1, 20, 60])
def test_a_torn_last_line_is_passed_over_and_removed(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "j"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:keep])
    assert len(read_journal(path)) == 3
    with Journal(path, "abc") as journal:
        journal.append("readout", sample=900)
    entries = read_journal(path)
    assert [e["kind"] for e in entries[3:]] == ["recovered", "readout"]
    assert entries[3]["torn_bytes"] == keep


@pytest.mark.parametrize("how", ["changed", "removed", "swapped", "garbage", "not text"])
def test_damage_elsewhere_is_an_error(tmp_path: Path, how: str) -> None:
    path = tmp_path / "j"
    written(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "changed":
        lines[1] = lines[1].replace(b'"size":0.5', b'"size":0.6')
    elif how == "removed":
        del lines[1]
    elif how == "swapped":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[1] = b"[]\n" if how == "garbage" else b"\xff\xfe\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match="line 2: the entry is not as it was written"):
        read_journal(path)
    with pytest.raises(StoreError, match="start another journal"):
        Journal(path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(StoreError, match="Another process writes"):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").close()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is missing"):
        read_journal(tmp_path / "none")


def test_the_file_is_json_lines(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert all(json.loads(line)["kind"] == "alignment" for line in (tmp_path / "j").read_text().splitlines())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    with Journal(path, "abc") as journal:
        journal.append("alignment", sample=1)
        write = os.write
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda file, data: write(file, data[:20]))
            with pytest.raises(StoreError, match="Free some space"):
                journal.append("alignment", sample=2)
        journal.append("alignment", sample=3)
    assert [e["sample"] for e in read_journal(path)] == [1, 3]


WRITER = """
import sys
from neural_foundation.realtime.adaptation_journal import Journal
journal = Journal(sys.argv[1], "abc")
for i in range(10**9):
    journal.append("alignment", sample=i, size=0.5)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_a_journal_that_reads(tmp_path: Path) -> None:
    path = tmp_path / "j"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end and not (path.exists() and path.stat().st_size > 20_000):
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    n = len(read_journal(path))
    assert n > 10
    with Journal(path, "abc") as journal:
        journal.append("readout", sample=1)
    assert len(read_journal(path)) in (n + 1, n + 2)
