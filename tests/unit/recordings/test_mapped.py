"""Every format without an agreed form, through its layout: the same content, slices, errors; and damaged files."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import make_mapped as make
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, Session
from neural_foundation.recordings.mapped import MappedReader
from neural_foundation.recordings.mapped_hdf5 import MappedHdf5
from neural_foundation.recordings.mat import Mat
from neural_foundation.recordings.tables import Csv, Npy, Parquet

SPEC = SignalSpec(sfreq=128.0, ch_names=("Fp1", "Cz", "O2", "EOG"), ch_types=("eeg", "eeg", "eeg", "eog"))
VALUES = (np.random.default_rng(3).normal(size=(4, 640)) * [[2e-5], [1e-5], [3e-5], [1e-4]]).astype(np.float32)
TRIALS = Intervals.of([(0.25, 0.75, "left"), (1.5, 2.0, "right"), (3.125, 3.125, "blink")])
Make = Callable[[Path, np.ndarray, SignalSpec, Intervals], Path]
KINDS: dict[str, tuple[Make, MappedReader]] = {
    "mat": (make.make_mat, Mat()),
    "mat73": (make.make_mat73, Mat()),
    "mapped_hdf5": (make.make_mapped_hdf5, MappedHdf5()),
    "csv": (make.make_csv, Csv()),
    "parquet": (make.make_parquet, Parquet()),
    "npy": (make.make_npy, Npy()),
}
WITH_TRIALS = ("mat", "mat73", "mapped_hdf5")
# numbers that stay plausible after one byte changed: no checksum is in the file that could show it
UNCHECKED = ("mat73", "mapped_hdf5", "csv", "npy")


@pytest.fixture(scope="module", params=sorted(KINDS))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    pytest.importorskip("pyarrow" if request.param == "parquet" else "numpy")
    return request.param, KINDS[request.param][0](tmp_path_factory.mktemp(request.param), VALUES, SPEC, TRIALS)


def opened(sample: tuple[str, Path], path: Path | None = None) -> Session:
    return KINDS[sample[0]][1].open(path or sample[1])


def copied(sample: tuple[str, Path], folder: Path, raw: bytes) -> Path:
    beside = sample[1].with_name("a.layout.yaml")
    (folder / beside.name).write_bytes(beside.read_bytes())
    (folder / sample[1].name).write_bytes(raw)
    return folder / sample[1].name


def test_content(sample: tuple[str, Path]) -> None:
    with opened(sample) as session:
        assert session.session_id == session.subject == "a"
        spec = session.signal.spec
        assert (spec.sfreq, spec.ch_names, spec.ch_types, spec.units) == (128.0, SPEC.ch_names, SPEC.ch_types, ())
        assert spec.positions[1] is not None
        assert session.signal.read().dtype == np.float32
        assert np.array_equal(session.signal.read(), VALUES)
        assert session.signal.valid().all()
        assert session.trials == (TRIALS if sample[0] in WITH_TRIALS else Intervals())


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (99, 301), (5, 640), (639, 640), (640, 640)])
def test_a_slice_equals_the_whole(sample: tuple[str, Path], start: int, stop: int) -> None:
    with opened(sample) as session:
        assert np.array_equal(session.signal.read(start, stop), VALUES[:, start:stop])
        assert session.signal.valid(start, stop).tolist() == [True] * (stop - start)


def test_a_closed_session_says_so(sample: tuple[str, Path]) -> None:
    session = opened(sample)
    session.close()
    session.close()
    with pytest.raises(DataError, match="closed"):
        session.signal.read()
    if sample[0] in ("mat73", "mapped_hdf5"):  # an unpacked variable of level 5 lies in memory
        with pytest.raises(DataError, match="closed"):
            assert session.trials


@pytest.mark.parametrize("cut", [1, 10, 300, -1, -100])
def test_a_truncated_file_is_refused(sample: tuple[str, Path], tmp_path: Path, cut: int) -> None:
    path = copied(sample, tmp_path, sample[1].read_bytes()[:cut])
    with pytest.raises(RecordingError) as caught, opened(sample, path) as session:
        session.signal.read()
    assert caught.value.path == path


def test_bytes_after_the_end_are_refused(sample: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        opened(sample, copied(sample, tmp_path, sample[1].read_bytes() + b"\0" * 33))


def test_line_ending_damage_is_named(sample: tuple[str, Path], tmp_path: Path) -> None:
    raw = sample[1].read_bytes()
    path = copied(sample, tmp_path, raw.replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"line-ending conversion \(LF to CR LF\) damaged it"):
        opened(sample, path)


def test_another_content_is_refused(sample: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        opened(sample, copied(sample, tmp_path, b"\x93\0hello, this is no recording at all" * 40))


def consume(session: Session) -> None:
    for signal in session.signals.values():
        assert signal.n_times * signal.spec.n_chans < 3_000_000
        assert signal.read().shape == (signal.spec.n_chans, signal.n_times)
        assert signal.valid().shape == (signal.n_times,)
    assert len(session.trials) < 100_000


def mutant(raw: bytes, choice: random.Random) -> bytes:
    """Return the bytes with one kind of damage, mostly near the start or the end."""
    at = choice.choice([choice.randrange(min(700, len(raw))), choice.randrange(len(raw)), -choice.randrange(1, 600)])
    at %= len(raw)
    kind = choice.choice(["change", "change", "number", "cut", "add", "insert", "remove", "swap"])
    if kind == "change":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind == "number":
        new = choice.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8, b"1e999", b"99999999"])
        return raw[:at] + new + raw[at + len(new) :]
    if kind == "cut":
        return raw[:at]
    if kind == "add":
        return raw + choice.choice([b"\0", b"\n", b"\r\n", b"\0" * 512])
    if kind == "insert":
        return raw[:at] + choice.choice([b"\0", b"\r", b"\n", b"\0" * 8]) + raw[at:]
    return raw[:at] + raw[at + 1 :] if kind == "remove" else raw[:at] + raw[at + 8 : at + 16] + raw[at + 8 :]


def outcome(sample: tuple[str, Path], path: Path) -> bool:
    """Return whether the file was refused; a refusal names the file."""
    try:
        with opened(sample, path) as session:
            consume(session)
    except RecordingError as error:
        return error.path == path
    return False


@pytest.mark.parametrize("seed", [11])
def test_mutants(sample: tuple[str, Path], tmp_path: Path, seed: int) -> None:
    raw, choice, refused = sample[1].read_bytes(), random.Random(seed), 0
    count = int(os.environ.get("NEURAL_FOUNDATION_MUTANTS", "60"))
    for number in range(count):
        path = copied(sample, tmp_path, mutant(raw, choice))
        began = time.perf_counter()
        try:
            refused += outcome(sample, path)
        except BaseException as error:
            error.add_note(f"mutant {number} of {sample[0]}, seed {seed}")
            raise
        assert time.perf_counter() - began < 2
    assert refused > count // (5 if sample[0] in UNCHECKED else 2)
