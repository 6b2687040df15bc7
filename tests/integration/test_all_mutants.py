"""Damaged files of every reader of the table, read in a process of their own: content, or one RecordingError.

No crash, no hang over 2 s, no memory blow-up, no other exception. Where a library in C parses the file (HDF5, Arrow), a
crash or a hang of that library is contained: it ends the child, and is one RecordingError too. CI runs a sample with a
fixed seed, `make stress` a thousand a format.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import make_brainvision
import make_eeglab
import make_gdf
import make_mapped
import make_nwb
import make_spikes
import numpy as np
import pytest
from reading_whole import outcome

from neural_foundation.core.errors import RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import READERS, ArraySignal, Intervals, Spikes, write_edf, write_session
from neural_foundation.recordings.isolated import isolated
from neural_foundation.recordings.table import uses_c_library

SPEC = SignalSpec(sfreq=128.0, ch_names=("Fp1", "Cz"), ch_types=("eeg", "eeg"))
VALUES = (np.random.default_rng(0).normal(size=(2, 256)) * 1e-5).astype(np.float32)
TRIALS = Intervals.of([(0.25, 0.75, "left"), (1.0, 1.5, "right"), (1.75, 1.75, "blink")])
SPIKES = Spikes.of({"1": [0.1, 0.5, 1.25], "4": [0.2, 0.75]}, {"group": ("good", "mua"), "KSLabel": ("good", "mua")})
NUMBERS = (b"-1      ", b"99999999", b"1e99    ", b"nan     ", struct.pack("<I", 1 << 31), struct.pack(">I", 1 << 31))
NUMBERS += (b"\xff" * 8, struct.pack("<f", np.nan), struct.pack("<d", np.inf), b"\0" * 8)
N_MUTANTS, N_STRESS, LIMIT_S, MEMORY_MB = 25, 1000, 2.0, 1024


def edf(folder: Path) -> Path:
    write_edf(folder / "a.edf", values=VALUES, spec=SPEC, annotations=TRIALS)
    return folder / "a.edf"


def bdf(folder: Path) -> Path:
    import edfio

    signals = [
        edfio.BdfSignal(v * 1e6, 128, label=n, physical_dimension="uV") for v, n in zip(VALUES, "AB", strict=True)
    ]
    edfio.Bdf(signals, annotations=[edfio.EdfAnnotation(0.5, 0.5, "left")]).write(folder / "a.bdf")
    return folder / "a.bdf"


def fif(folder: Path) -> Path:
    import mne

    raw = mne.io.RawArray(VALUES, mne.create_info(["Fp1", "Cz"], 128.0, "eeg"), verbose="ERROR")
    raw.save(folder / "a_raw.fif", verbose="ERROR")
    return folder / "a_raw.fif"


def hdf5(folder: Path) -> Path:
    chunks = ArraySignal(VALUES, SPEC).chunks(100)
    write_session(folder / "a.h5", session_id="a", subject="a", spec=SPEC, chunks=chunks, trials=TRIALS)
    return folder / "a.h5"


def of(make: Callable[..., Path]) -> Callable[[Path], Path]:
    return lambda folder: make(folder, VALUES, SPEC, TRIALS)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "edf": edf,
    "bdf": bdf,
    "fif": fif,
    "hdf5": hdf5,
    "gdf": of(make_gdf.make_gdf),
    "brainvision": of(make_brainvision.make_brainvision),
    "eeglab": of(make_eeglab.make_eeglab),
    "nwb": of(make_nwb.make_nwb),
    "phy": lambda folder: make_spikes.make_phy(folder, SPIKES),
    "spike_arrays": lambda folder: make_spikes.make_npz(folder, SPIKES),
    **{kind: of(getattr(make_mapped, f"make_{kind}")) for kind in make_mapped.BOUND},
}


def mutant(raw: bytes, choice: random.Random) -> bytes:
    """Return the bytes with one kind of damage, mostly near the start."""
    if not raw:
        return b"\0"
    at = choice.randrange(min(choice.choice([256, 2048, len(raw)]), len(raw)))
    other = choice.randrange(len(raw))
    number = choice.choice(NUMBERS)
    made = {
        "byte": lambda: raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :],
        "number": lambda: raw[:at] + number + raw[at + len(number) :],
        "cut": lambda: raw[:at],
        "add": lambda: raw + choice.choice([b"\0", b"\r\n", b"\0" * 512, raw[:100]]),
        "insert": lambda: raw[:at] + number + raw[at:],
        "remove": lambda: raw[:at] + raw[at + choice.choice([1, 8]) :],
        "swap": lambda: _swapped(raw, min(at, other), max(at, other)),
        "ends": lambda: raw.replace(b"\n", b"\r\n"),
    }
    return made[choice.choice(["byte", "byte", "byte", *made])]()


def _swapped(raw: bytes, a: int, b: int) -> bytes:
    size = min(8, b - a)
    return raw[:a] + raw[b : b + size] + raw[a + size : b] + raw[a : a + size] + raw[b + size :]


def survey(kind: str, folder: Path, count: int, seed: int) -> None:
    path = MAKERS[kind](folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    choice, found = random.Random(f"{kind} {seed}"), []
    for number in range(count):
        file = choice.choice(files)
        raw = file.read_bytes()
        file.write_bytes(mutant(raw, choice))
        try:
            what, seconds = isolated(outcome, path, timeout_s=5, memory_mb=MEMORY_MB)
        except Exception as error:
            error.add_note(f"mutant {number} of {kind}, in {file.name}")
            if not (uses_c_library(path) and isinstance(error, RecordingError)):
                raise
            what, seconds = "contained", 0.0
        found.append(what)
        assert seconds < LIMIT_S, f"mutant {number} of {kind}, in {file.name}, took {seconds:.1f} s"
        file.write_bytes(raw)
    assert isolated(outcome, path)[0] == "opened"
    assert found.count("refused") > len(found) // 10
    assert found.count("contained") <= len(found) // 100


def test_every_reader_is_here() -> None:
    assert set(READERS) <= set(MAKERS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_mutants(kind: str, tmp_path: Path) -> None:
    survey(kind, tmp_path, N_MUTANTS, seed=11)


@pytest.mark.stress
@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("NEURAL_FOUNDATION_STRESS"), reason="1,000 mutants a format run in `make stress`"
)
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_thousand_mutants(kind: str, tmp_path: Path) -> None:
    survey(kind, tmp_path, N_STRESS, seed=12)
