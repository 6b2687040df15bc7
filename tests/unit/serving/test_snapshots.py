import os
import stat
from pathlib import Path

import pytest

from neural_foundation.core.errors import StoreError
from neural_foundation.serving.snapshots import Snapshots

NAME = "abcdefgh1234"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("durable", [False, True])
def test_a_state_is_kept_replaced_and_dropped(durable: bool, tmp_path: Path) -> None:
    kept = Snapshots(tmp_path / "states" if durable else None, 60)
    assert kept.durable == durable
    kept.write(NAME, b"one")
    kept.write(NAME, b"two")
    assert kept.read(NAME) == b"two"
    kept.drop(NAME)
    assert kept.read(NAME) is None
    kept.drop(NAME)


def test_a_state_in_memory_is_forgotten_when_it_is_old() -> None:
    clock = Clock()
    kept = Snapshots(None, 60, clock=clock)
    kept.write(NAME, b"one")
    clock.now += 61
    assert kept.read(NAME) is None
    assert kept.sweep() == 1


def test_a_state_in_a_folder_survives_its_process_and_is_forgotten_when_it_is_old(tmp_path: Path) -> None:
    Snapshots(tmp_path, 60).write(NAME, b"one")
    assert Snapshots(tmp_path, 60).read(NAME) == b"one"
    os.utime(tmp_path / f"{NAME}.state", (1000, 1000))
    later = Snapshots(tmp_path, 1e12)
    assert later.read(NAME) == b"one"
    assert Snapshots(tmp_path, 60).read(NAME) is None
    assert not list(tmp_path.iterdir())


def test_a_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    Snapshots(tmp_path / "s", 60).write(NAME, b"brain")
    assert stat.S_IMODE((tmp_path / "s" / f"{NAME}.state").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "short", "x" * 33, "abcdefgh\n"])
def test_a_name_that_is_none_reads_nothing(name: str, tmp_path: Path) -> None:
    assert Snapshots(tmp_path, 60).read(name) is None


def test_a_folder_that_cannot_be_made_or_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Snapshots(tmp_path / "file" / "states", 60)
    kept = Snapshots(tmp_path / "gone", 60)
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreError, match="The state of a connection cannot be written"):
        kept.write(NAME, b"x")
