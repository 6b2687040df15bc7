"""Spike times and units as NumPy arrays: samples or seconds, and every way they can be unclear."""

from __future__ import annotations

import mmap
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_spikes import SFREQ, clusters_of, make_npz, make_pair, samples_of, spikes_of

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Spikes
from neural_foundation.recordings.spike_arrays import SpikeArrays

WANTED = spikes_of()
SAMPLES, CLUSTERS = samples_of(WANTED), clusters_of(WANTED)


def opened(path: Path, **fields: Any) -> Spikes:
    with SpikeArrays(**fields).open(path) as session:
        return session.spikes["units"]


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def test_npz(tmp_path: Path) -> None:
    spikes = opened(make_npz(tmp_path, WANTED))
    assert np.array_equal(spikes.times_s, WANTED.times_s)
    assert np.array_equal(spikes.unit, WANTED.unit)
    assert spikes.unit_ids == ("3", "5", "11")


def test_pair(tmp_path: Path) -> None:
    path = make_pair(tmp_path, WANTED)
    spikes = opened(path)
    assert np.array_equal(spikes.times_s, WANTED.times_s)
    assert spikes.unit_ids == ("3", "11")
    assert np.array_equal(spikes.train("11"), WANTED.train("11"))
    held: Any = spikes.times_s
    while isinstance(held, np.ndarray):
        held = held.base
    assert isinstance(held, mmap.mmap)
    with SpikeArrays().open(path) as session:
        assert (session.session_id, session.subject) == ("a", "a")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_words_name_units(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "w.npz", spike_times=[0.5, 1.0, 1.5], clusters=["b", "a", "b"], other=np.zeros((3, 3)))
    spikes = opened(tmp_path / "w.npz")
    assert spikes.unit_ids == ("a", "b")
    assert spikes.train("b").tolist() == [0.5, 1.5]


def test_the_reader_may_know_the_rate(tmp_path: Path) -> None:
    path = npz(tmp_path, times=SAMPLES, units=CLUSTERS)
    assert np.array_equal(opened(path, sfreq=SFREQ).times_s, WANTED.times_s)
    np.save(tmp_path / "b.spike_times.npy", SAMPLES[:, None])
    np.save(tmp_path / "b.spike_clusters.npy", CLUSTERS)
    assert np.array_equal(opened(tmp_path / "b.spike_times.npy", sfreq=SFREQ).times_s, WANTED.times_s)


T, U = SAMPLES, CLUSTERS
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"times": T}, "it holds 'times'.*just one of 'units', 'unit', 'clusters' or 'spike_clusters'"),
    ({"times": T, "spike_times": T, "units": U}, "it holds 'times' or 'spike_times'.*just one of"),
    ({"times": T, "units": U}, "its times are samples, and nothing states their rate"),
    ({"times": T / 9, "units": U, "sfreq": 9.0}, "have a fraction, yet it states 9 Hz"),
    ({"times_s": T, "units": U, "sfreq": 9.0}, "times_s are whole numbers"),
    ({"times": T, "units": U[:-1], "sfreq": 9.0}, "200 times and 199 units"),
    ({"times": T, "units": U, "sfreq": 0.0}, "its sfreq is .0.0.*more than 0"),
    ({"times": T, "units": U, "sfreq": np.nan}, "its sfreq is .nan."),
    ({"times": T, "units": U, "sfreq": [1.0, 2.0]}, "its sfreq is .1.0, 2.0"),
    ({"times": T, "units": U, "sfreq": 1.0, "sample_rate": 1.0}, "just one of 'sfreq' or 'sample_rate'"),
    ({"times": T[::-1], "units": U, "sfreq": 9.0}, "fall back.*Sort it by time"),
    ({"times": np.full(200, np.nan), "units": U}, "not all finite"),
    ({"times": np.full(200, 2**60), "units": U, "sfreq": 9.0}, "sample number is too large"),
    ({"times": T, "units": U / 2, "sfreq": 9.0}, "its units float64.*whole numbers or words"),
    ({"times": np.array(["a"] * 200), "units": U}, "its times are <U1"),
    ({"times": T.reshape(2, 100), "units": U, "sfreq": 9.0}, r"shape \(2, 100\)"),
    ({"times": T, "units": U, "sfreq": 9.0, "unit_ids": [3]}, "unit_ids do not list unit '11'"),
    ({"times": T, "units": U, "sfreq": 9.0, "unit_ids": [3, 3, 11]}, "Two units have the same id"),
    ({"times": np.array([None] * 200), "units": U}, "the array of 'times' in it is of type '.O'.*never objects"),
    ({"times": np.zeros(200, "f8,i4"), "units": U}, "not that of an array of numbers or fixed text"),
]


@pytest.mark.parametrize(("arrays", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_unclear_is_an_error(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        opened(npz(tmp_path, **arrays))


def test_only_its_own_names_are_recognised(tmp_path: Path) -> None:
    head = make_npz(tmp_path, WANTED).read_bytes()[:16]
    assert SpikeArrays().recognises(head, "a.npz")
    assert not SpikeArrays().recognises(head, "a.zip")
    assert not SpikeArrays().recognises(b"text", "a.npz")


def test_two_rates_that_differ(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="says 30000 Hz, the reader 20000 Hz"):
        opened(make_npz(tmp_path, WANTED), sfreq=20000.0)


def test_a_pair_needs_both(tmp_path: Path) -> None:
    path = make_pair(tmp_path, WANTED)
    np.save(tmp_path / "a.spike_clusters.npy", CLUSTERS[:5])
    with pytest.raises(RecordingError, match="200 times for 5 units"):
        opened(path)
    (tmp_path / "a.spike_clusters.npy").unlink()
    with pytest.raises(RecordingError, match=r"no a.spike_clusters.npy beside it"):
        opened(path)
    np.save(path, SAMPLES)
    np.save(tmp_path / "a.spike_clusters.npy", CLUSTERS)
    with pytest.raises(RecordingError, match="nothing states their rate"):
        opened(path)


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = make_npz(tmp_path, WANTED)
    raw = path.read_bytes()
    for damaged, message in (
        (raw[:-1], "truncated, or has bytes after its end"),
        (raw + b"\0", "bytes after its end"),
        (b"PK\x03\x04" + raw, "but its end says"),
        (raw[:200] + bytes([raw[200] ^ 1]) + raw[201:], r"damaged \(BadZipFile\)"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(RecordingError, match=message):
            opened(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("times.npy", b"")
        file.writestr("units.npy", b"")
    raw = path.read_bytes()
    at = raw.index(b"PK\x01\x02") + 24
    path.write_bytes(raw[:at] + b"\xff\xff\xff\x7f" + raw[at + 4 :])
    with pytest.raises(RecordingError, match="'times.npy' claims 2147483647 bytes from 0"):
        opened(path)


def test_a_bomb_that_keeps_its_word_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    np.savez_compressed(path, times_s=np.zeros(9_000_000), units=np.zeros(9_000_000, np.uint8))
    with pytest.raises(RecordingError, match=r"'times_s.npy' claims 72000128 bytes from \d+"):
        opened(path)
    np.savez_compressed(path, times_s=np.zeros(100_000), units=np.zeros(100_000, np.int64))
    assert len(opened(path)) == 100_000


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (200, 2)])
def test_a_hostile_size_is_not_allocated(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = make_pair(tmp_path, WANTED)
    head = repr({"descr": "<f8", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(1600))
    with pytest.raises(RecordingError, match="header describes"):
        opened(path)


def mutant(raw: bytes, choice: random.Random) -> bytes:
    at, kind = choice.randrange(len(raw)), choice.choice(["byte", "byte", "number", "insert", "cut", "add"])
    new = choice.choice([b"\xff\xff\xff\x7f", b"\0\0", b"\r\n", b"9" * 12, b"("])
    if kind == "byte":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind in ("number", "insert"):
        return raw[:at] + new + raw[at + (len(new) if kind == "number" else 0) :]
    return raw[:at] if kind == "cut" else raw + new


@pytest.mark.parametrize("make", [make_npz, make_pair])
def test_mutants(tmp_path: Path, make: Callable[[Path, Spikes], Path]) -> None:
    small = Spikes(WANTED.times_s[:20], WANTED.unit[:20], WANTED.unit_ids)
    path, choice, outcomes = make(tmp_path, small), random.Random(5), []
    raw = path.read_bytes()
    for number in range(300):
        path.write_bytes(mutant(raw, choice))
        begun = time.monotonic()
        try:
            spikes = opened(path)
            # an .npz has checksums, so what opens is what was written
            outcomes.append(make is make_pair or np.array_equal(spikes.times_s, small.times_s))
        except RecordingError as error:
            outcomes.append(error.path == path)
        except BaseException as error:
            error.add_note(f"mutant {number}")
            raise
        assert time.monotonic() - begun < 2
    assert all(outcomes)
