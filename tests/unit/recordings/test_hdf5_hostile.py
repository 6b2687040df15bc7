"""Damaged whole sessions and brainsets: they open and read, or are refused with one error; never anything else."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import temporaldata as td
import whole_sessions as made
from test_hdf5_brainsets import brainset, save
from test_hostile import mutant

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import read
from neural_foundation.recordings.hdf5 import Hdf5
from neural_foundation.recordings.hdf5_whole import write_whole_session

N_MUTANTS = 160


def consume(path: Path) -> str:
    """Read all of a file; return 'opened' or 'refused'."""
    try:
        with Hdf5().open(path) as session:
            for signal in session.signals.values():
                assert signal.n_times * signal.spec.n_chans < 1_000_000
                assert signal.read().shape == (signal.spec.n_chans, signal.n_times)
            for held in (session.spikes, session.series, session.intervals):
                assert all(len(thing) < 100_000 for thing in dict(held).values())
            assert len(session.trials) < 1000
    except RecordingError as error:
        return "refused" if error.path == path else f"refused as {error.path}"
    return "opened"


def make(kind: str, path: Path) -> None:
    if kind == "ours":
        write_whole_session(path, made.session())
    else:
        save(path, brainset())


@pytest.mark.parametrize("kind", ["ours", "brainset"])
def test_mutants(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.h5"
    make(kind, path)
    raw = path.read_bytes()
    assert consume(path) == "opened"
    choice, outcomes = random.Random(11), []
    for number in range(N_MUTANTS):
        path.write_bytes(mutant(raw, choice))
        began = time.process_time()
        try:
            outcomes.append(consume(path))
        except BaseException as error:
            error.add_note(f"mutant {number} of {kind}")
            raise
        assert time.process_time() - began < 2
    assert outcomes.count("refused") > N_MUTANTS // 3


@pytest.mark.parametrize("kind", ["ours", "brainset"])
@pytest.mark.parametrize("pair", [(b"\n", b"\r\n"), (b"\r\n", b"\n")])
def test_line_ending_damage(tmp_path: Path, kind: str, pair: tuple[bytes, bytes]) -> None:
    path = tmp_path / "a.h5"
    make(kind, path)
    path.write_bytes(path.read_bytes().replace(*pair))
    with pytest.raises(RecordingError):
        Hdf5().open(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make("ours", path)
    raw = path.read_bytes()
    for stop in range(1, len(raw), len(raw) // 40):
        path.write_bytes(raw[:stop])
        assert consume(path) == "refused"


def test_a_slice_that_temporaldata_saved_opens(tmp_path: Path) -> None:
    assert isinstance(brainset(), td.Data)
    save(tmp_path / "a.h5", brainset().slice(2.0, 4.0))
    assert consume(tmp_path / "a.h5") == "opened"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "x.h5"
    make("ours", path)
    return path


def damage(path: Path, to: Path, change: Any) -> Path:
    to.write_bytes(path.read_bytes())
    with h5py.File(to, "r+") as file:
        change(file)
    return to


def use(path: Path) -> None:
    with read(path) as opened:
        for held in (opened.spikes, opened.series, opened.intervals):
            assert len(dict(held)) == len(held)


def replace(name: str, array: Any) -> Any:
    def change(file: Any) -> None:
        del file[name]
        file[name] = array

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("lfp_channels"), "'lfp' has 3 channels, its table not"),
        (replace("lfp_channels/type", np.array([b"eeg"])), "'lfp' has 3 channels, its table not"),
        (lambda f: f.__delitem__("lfp_validity"), "the table 'lfp_validity' is missing"),
        (lambda f: f.__delitem__("probe_0_units"), "the units of 'probe_0' are missing"),
        (replace("probe_0/unit_index", np.zeros(3, int)), "'probe_0' has no array 'unit_index' of one number a row"),
        (lambda f: f["probe_0/unit_index"].__setitem__(0, 3), "Spikes name units .* to 3. Allowed: 0 to 2"),
        (lambda f: f["probe_0/timestamps"].__setitem__(5, 1.0), "Spike times fall back"),
        (lambda f: f["probe_0/timestamps"].__setitem__(5, np.nan), "Spike times are not all finite"),
        (lambda f: f["probe_0_units/id"].__setitem__(1, b"unit 0"), "Two units have the same id"),
        (replace("probe_0_units/region", np.array([b"a"])), "'region' has 1 entries"),
        (lambda f: f["probe_0_units/note"].__setitem__(0, b"{"), "damaged .JSONDecodeError"),
        (
            lambda f: f["gaze"].attrs.__setitem__("columns", np.array([b"a"])),
            "columns of 'gaze' are not those it names",
        ),
        (lambda f: f["gaze"].attrs.__setitem__("units", np.array([b"m"])), "columns of 'gaze' are not those it names"),
        (replace("gaze/pos", np.zeros((4, 2))), "'gaze' has no array 'pos' of one number a row"),
        (lambda f: f["gaze/timestamps"].__setitem__(0, 99.0), "Times of a series fall back"),
        (lambda f: f["unsorted/row"].__setitem__(0, 2), "the rows of 'unsorted' are not in any order"),
        (lambda f: f["blocks/end"].__setitem__(0, 0.0), "intervals 'blocks' are not one finite start"),
        (lambda f: f["blocks"].attrs.__setitem__("modality", "spikes"), "a IrregularTimeSeries, but says spikes"),
        (lambda f: f["blocks"].attrs.__setitem__("name", b"unsorted"), "two intervals named 'unsorted'"),
        (lambda f: f["lfp"].attrs.__setitem__("name", b"wheel"), "two signal named 'wheel'"),
        (lambda f: f.__setitem__("more", h5py.ExternalLink("/etc/passwd", "x")), "'more' lies in another place"),
        (lambda f: f.__setitem__("more", h5py.SoftLink("/lfp")), "'more' lies in another place"),
        (lambda f: f.__setitem__("session/again", f["session"]), "holds itself"),
        (lambda f: f["blocks"].attrs.__setitem__("name", b"\\x"), "cannot be decoded"),
    ],
)
def test_contradictions_are_refused(whole: Path, tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        use(damage(whole, tmp_path / "x.h5", change))
    assert caught.value.path == tmp_path / "x.h5"
