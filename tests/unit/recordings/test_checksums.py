"""A manifest of checksums: coreutils reads it, and every kind of change is found."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from neural_foundation.core.errors import RecordingError, StoreError
from neural_foundation.recordings import checksums
from neural_foundation.recordings.checksums import MANIFEST, Finding, check_checksums, write_checksums

NAMES = ("a.edf", "sub/b.vhdr", "sub/deep/c.eeg", "sub-01.txt", ".hidden", "größe.bin", "a\nb\\c\rd.edf", " spaced ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(random.Random(number).randbytes(100 * number))
    return root


def test_a_fresh_manifest_finds_nothing(folder: Path) -> None:
    path = write_checksums(folder)
    assert path == folder / MANIFEST
    assert check_checksums(folder) == []
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(NAMES)
    plain = [line for line in lines if not line.startswith(b"\\")]
    assert plain[2] == hashlib.sha256((folder / "a.edf").read_bytes()).hexdigest().encode() + b"  a.edf"


def test_order_and_bytes_are_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    first = write_checksums(folder).read_bytes()
    assert write_checksums(folder).read_bytes() == first
    shutil.copytree(folder, tmp_path / "copy")
    assert write_checksums(tmp_path / "copy").read_bytes() == first
    names = [line[66:] for line in first.split(b"\n") if line and not line.startswith(b"\\")]
    assert names == sorted(names)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils' sha256sum is not installed")
def test_coreutils_reads_ours_and_we_read_theirs(folder: Path) -> None:
    write_checksums(folder)
    subprocess.run(["sha256sum", "--check", "--strict", "--status", MANIFEST], cwd=folder, check=True)
    (folder / MANIFEST).unlink()
    listed = subprocess.run(["sha256sum", "--", *NAMES], cwd=folder, capture_output=True, check=True).stdout
    (folder / MANIFEST).write_bytes(listed)
    assert check_checksums(folder) == []
    (folder / MANIFEST).write_bytes(listed.replace(b"  a.edf", b" *./a.edf"))
    assert check_checksums(folder) == []


def test_a_changed_byte_in_any_file_is_found(folder: Path) -> None:
    write_checksums(folder)
    choice = random.Random(0)
    for name in NAMES[1:]:
        raw = (folder / name).read_bytes()
        at = choice.randrange(len(raw))
        (folder / name).write_bytes(raw[:at] + bytes([raw[at] ^ 1 << choice.randrange(8)]) + raw[at + 1 :])
        assert check_checksums(folder) == [Finding(name, "changed")]
        (folder / name).write_bytes(raw)
    assert check_checksums(folder) == []


def test_every_changed_byte_of_the_manifest_is_found(folder: Path) -> None:
    raw = write_checksums(folder).read_bytes()
    choice = random.Random(1)
    for _ in range(200):
        at = choice.randrange(len(raw))
        (folder / MANIFEST).write_bytes(raw[:at] + bytes([raw[at] ^ 1 << choice.randrange(8)]) + raw[at + 1 :])
        try:
            found = bool(check_checksums(folder))
        except RecordingError as error:
            found = error.path == folder / MANIFEST
        assert found


def test_missing_and_unlisted_files(folder: Path) -> None:
    write_checksums(folder)
    (folder / "a.edf").rename(folder / "z.edf")
    (folder / "sub/b.vhdr").write_bytes(b"short")
    (folder / ".lock").touch()
    assert check_checksums(folder) == [
        Finding("a.edf", "missing"),
        Finding("sub/b.vhdr", "changed"),
        Finding("z.edf", "unlisted"),
    ]


def test_a_link_counts_as_its_file(folder: Path) -> None:
    (folder / "link.edf").symlink_to("sub/b.vhdr")
    write_checksums(folder)
    assert check_checksums(folder) == []
    (folder / "link.edf").unlink()
    (folder / "link.edf").symlink_to("sub/deep/c.eeg")
    assert check_checksums(folder) == [Finding("link.edf", "changed")]


@pytest.mark.parametrize(
    ("target", "match"), [("sub", "link leads to a folder"), ("nowhere", "link leads nowhere"), (None, "no file that")]
)
def test_what_has_no_content_is_refused(folder: Path, target: str | None, match: str) -> None:
    os.mkfifo(folder / "x") if target is None else (folder / "x").symlink_to(target)
    with pytest.raises(RecordingError, match=match) as caught:
        write_checksums(folder)
    assert caught.value.path == folder / "x"
    assert not (folder / MANIFEST).exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("xyz  a\n", "line 1 is no entry. Allowed: 64 hexadecimal digits"),
        (f"{'0' * 64}  a", "its last line has no end, so it is cut off"),
        (f"{'0' * 64}  a\r\n{'1' * 64}  b\r\n", r"line-ending conversion \(LF to CR LF\) damaged it"),
        (f"{'0' * 64}  a\n{'0' * 64}  a\n", "line 2 lists 'a' again"),
        (f"{'0' * 64}  /etc/passwd\n", "line 1 lists '/etc/passwd'. Allowed: a path inside its folder"),
        (f"{'0' * 64}  a/../../b\n", "Allowed: a path inside its folder"),
        (f"\\{'0' * 64}  a\\x\n", "line 1 has an unknown escape"),
        (f"\\{'0' * 64}  a\\\n", "line 1 has an unknown escape"),
    ],
)
def test_a_damaged_manifest_is_one_error(folder: Path, text: str, match: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode())
    with pytest.raises(RecordingError, match=match):
        check_checksums(folder)


def test_no_manifest_no_folder_no_files(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no manifest of checksums.*write_checksums\(folder\)"):
        check_checksums(tmp_path)
    with pytest.raises(RecordingError, match="there are no files to list"):
        write_checksums(tmp_path)
    with pytest.raises(RecordingError, match="this is not a folder"):
        write_checksums(tmp_path / "none")


def test_progress_counts_bytes_and_memory_is_bounded(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(12 << 20))
    seen: list[tuple[int, int, str]] = []
    tracemalloc.start()
    write_checksums(tmp_path, progress=lambda *step: seen.append(step))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[0] == (0, 24 << 20, "a")
    assert seen[-1] == (24 << 20, 24 << 20, "b")
    assert len(seen) == 2 * 13


def test_a_file_that_changes_while_it_is_read(folder: Path) -> None:
    def grow(done: int, total: int, name: str) -> None:
        if name == "a.edf":
            with (folder / name).open("ab") as file:
                file.write(b"more")

    with pytest.raises(RecordingError, match="it had 0 bytes, and more when it was read"):
        write_checksums(folder, progress=grow)
    assert not (folder / MANIFEST).exists()


def test_an_interrupted_write_leaves_the_old_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_checksums(folder).read_bytes()
    (folder / "a.edf").write_bytes(b"new")

    def full(path: Path, data: bytes) -> None:
        raise StoreError(f"Cannot write {path} (No space left on device)")

    monkeypatch.setattr(checksums, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        write_checksums(folder)
    assert (folder / MANIFEST).read_bytes() == old
    assert sorted(p.name for p in folder.glob(".*")) == [".hidden"]
