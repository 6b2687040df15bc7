"""Files from strangers: damaged bytes give a session that reads, or RecordingError; never anything else.

A mutant that opens must also read to its end, and cannot claim much more than its bytes hold.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, read, read_events_fif, write_edf, write_session

VALUES = (np.random.default_rng(0).normal(size=(2, 300)) * 1e-5).astype(np.float32)
SPEC = SignalSpec(sfreq=100.0, ch_names=("Fp1", "Cz"))
TRIALS = Intervals.of([(0.5, 1.0, "left"), (1.5, 1.5, "right")])
ADDITIONS = (b"\0", b"\n", b"\r\n", b"\x1a", b"\0" * 512, b"0" * 100)
N_MUTANTS, N_STRESS = 150, 4000


def make_edf(path: Path) -> None:
    write_edf(path, values=VALUES, spec=SPEC, annotations=TRIALS)


def make_bdf(path: Path) -> None:
    signals = [
        edfio.BdfSignal(v * 1e6, 100, label=n, physical_dimension="uV") for v, n in zip(VALUES, "AB", strict=True)
    ]
    edfio.Bdf(signals, annotations=[edfio.EdfAnnotation(0.5, 0.5, "left")]).write(path)


def make_fif(path: Path) -> None:
    raw = mne.io.RawArray(VALUES, mne.create_info(["Fp1", "Cz"], 100.0, "eeg"), verbose="ERROR")
    raw.set_annotations(mne.Annotations([0.5], [0.5], ["left"]))
    raw.save(path, verbose="ERROR")


def make_gz(path: Path) -> None:
    plain = path.with_name("plain_raw.fif")
    make_fif(plain)
    path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))


def make_hdf5(path: Path) -> None:
    chunks = ArraySignal(VALUES, SPEC).chunks(100)
    write_session(path, session_id="a", subject="a", spec=SPEC, chunks=chunks, trials=TRIALS)


MAKERS: dict[str, Callable[[Path], None]] = {
    "a.edf": make_edf,
    "a.bdf": make_bdf,
    "a_raw.fif": make_fif,
    "a_raw.fif.gz": make_gz,
    "a.h5": make_hdf5,
}


def mutant(raw: bytes, choice: random.Random) -> bytes:
    """Return the bytes with one kind of damage: bytes changed (mostly near the start), cut, added or inserted."""
    kind = choice.choice(["change", "change", "change", "number", "cut", "add", "insert", "remove"])
    head = choice.choice([256, 2048, len(raw)])
    at = choice.randrange(min(head, len(raw)))
    if kind == "change":
        return (
            raw[:at] + bytes(choice.randrange(256) for _ in range(choice.choice([1, 1, 4]))) + raw[at + 1 :][: len(raw)]
        )
    if kind == "number":
        new = choice.choice(
            [b"-1      ", b"99999999", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"0       ", b"1e99    "]
        )
        return raw[:at] + new + raw[at + len(new) :]
    if kind == "cut":
        return raw[:at]
    if kind == "add":
        return raw + choice.choice(ADDITIONS)
    return raw[:at] + choice.choice(ADDITIONS) + raw[at:] if kind == "insert" else raw[:at] + raw[at + 1 :]


def outcome(path: Path, use: Callable[[Path], object]) -> str:
    """Return 'opened' or 'refused'; any other exception, or a refusal that names another file, fails the test."""
    try:
        use(path)
    except RecordingError as error:
        return "refused" if error.path == path else f"refused as {error.path}"
    return "opened"


def consume(path: Path) -> int:
    """Read all of a file; return how many samples it gave."""
    with read(path) as session:
        n = 0
        for signal in session.signals.values():
            assert signal.n_times * signal.spec.n_chans < 1_000_000
            n += signal.read().size
            assert signal.valid().shape == (signal.n_times,)
        assert len(session.trials) < 100_000
    return n


def survey(path: Path, count: int, seed: int) -> None:
    """Read `count` mutants of a recording; each opens or is refused, and damage is mostly seen."""
    MAKERS[path.name](path)
    raw = path.read_bytes()
    assert consume(path) == 600
    choice, outcomes = random.Random(seed), []
    for number in range(count):
        path.write_bytes(mutant(raw, choice))
        try:
            outcomes.append(outcome(path, consume))
        except BaseException as error:
            error.add_note(f"mutant {number} of {path.name}, seed {seed}")
            raise
    assert set(outcomes) <= {"opened", "refused"}
    assert outcomes.count("refused") > len(outcomes) // 3


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_mutants(tmp_path: Path, name: str) -> None:
    survey(tmp_path / name, N_MUTANTS if "fif" not in name else N_MUTANTS // 3, seed=7)


@pytest.mark.stress
@pytest.mark.skipif("NEURAL_FOUNDATION_STRESS" not in os.environ, reason="100,000 mutants run in `make stress`")
@pytest.mark.parametrize("seed", range(100, 105))
@pytest.mark.parametrize("name", sorted(MAKERS))
def test_many_mutants(tmp_path: Path, name: str, seed: int) -> None:
    survey(tmp_path / name, N_STRESS, seed)


def test_mutants_of_events(tmp_path: Path) -> None:
    path = tmp_path / "a-eve.fif"
    mne.write_events(path, np.array([[10, 0, 1], [20, 0, 2]]), verbose="ERROR")
    raw = path.read_bytes()
    assert read_events_fif(path).tolist() == [[10, 0, 1], [20, 0, 2]]
    choice = random.Random(1)
    for _ in range(60):
        path.write_bytes(mutant(raw, choice))
        assert outcome(path, read_events_fif) in ("opened", "refused")


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_raw.fif.gz"
    path.write_bytes(gzip.compress(b"\0" * (80 << 20), 1))
    with pytest.raises(RecordingError, match="unpacks to more than 100 times its size"):
        read(path)
