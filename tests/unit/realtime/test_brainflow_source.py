"""Boards of BrainFlow as sources: the synthetic one for real, others by what they are described as."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import MissingExtraError, SignalMismatchError, SpecError, StreamError
from neural_foundation.core.stream import join
from neural_foundation.realtime.sources import brainflow as module
from neural_foundation.realtime.sources.brainflow import Brainflow

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def shim() -> Any:
    pytest.importorskip("brainflow", reason="the extra 'brainflow' is not installed")
    return module.board_shim()


class Board:
    """A board without hardware, that has what is put into `there`: columns (EEG 1, EEG 2, stamp)."""

    def __init__(self) -> None:
        self.there = np.zeros((3, 0))
        self.calls: list[str] = []

    def put(self, n: int, first_s: float, sfreq: float = 100.0) -> None:
        stamps = first_s + np.arange(n) / sfreq
        self.there = np.concatenate([self.there, np.stack([np.arange(n), -np.arange(n), stamps])], 1)

    def get_board_data_count(self) -> int:
        return self.there.shape[1]

    def get_board_data(self, n: int | None = None) -> np.ndarray:
        n = self.there.shape[1] if n is None else n
        given, self.there = self.there[:, :n], self.there[:, n:]
        return given

    def prepare_session(self) -> None:
        self.calls.append("prepare")

    def start_stream(self, n: int) -> None:
        self.calls.append(f"start {n}")

    def stop_stream(self) -> None:
        self.calls.append("stop")

    def release_session(self) -> None:
        self.calls.append("release")


class BoardError(Exception):
    """As BrainFlow's own."""


def made(spec: Brainflow, board: Board, **facts: Any) -> module.OpenBrainflow:
    """Open a source on a board that is no hardware."""
    described = {"eeg_channels": [0, 1], "eeg_names": "C3,C4", "timestamp_channel": 2, "sampling_rate": 100, **facts}

    def shim_of(id_: int, parameters: Any) -> Board:
        return board

    shim_of.get_board_descr = lambda id_: described  # type: ignore[attr-defined]
    shim = SimpleNamespace(BrainFlowError=BoardError, BoardShim=shim_of, BrainFlowInputParams=SimpleNamespace)
    return module.OpenBrainflow(spec, shim, 1)


def test_the_synthetic_board_gives_what_it_is_described_as(shim: Any) -> None:
    with Brainflow().open() as source:
        chunks = [c for c in (source.read(5.0) for _ in range(5)) if c is not None]
    got = join(chunks)
    assert source.signal.sfreq == 250
    assert source.signal.ch_names[:4] == ("Fz", "C3", "Cz", "C4")
    assert source.signal.n_chans == 16
    assert got.start == 0
    assert got.valid.all()
    assert got.values.dtype == np.float32
    assert 1e-7 < np.abs(got.values).max() < 1e-3  # volts
    with pytest.raises(StreamError, match="closed"):
        source.read()


def test_a_board_is_held_once_and_let_go(shim: Any) -> None:
    for _ in range(2):
        with Brainflow(channels=("C4", "C3"), block_s=0.04).open() as source:
            chunk = source.read(5.0)
        assert chunk is not None
        assert chunk.values.shape == (2, 10)


def test_microvolts_become_volts_and_blocks_are_waited_for() -> None:
    board = Board()
    with made(Brainflow(block_s=0.1), board) as source:
        assert source.read(0.01) is None
        board.put(25, 5.0)
        first = source.read(0.01)
        assert source.read(0.01) is not None
        assert source.read(0.01) is None  # five samples are no block
    assert first is not None
    np.testing.assert_allclose(first.values[0], 1e-6 * np.arange(10), rtol=1e-6)
    assert board.calls == ["prepare", "start 1000", "stop", "release"]


def test_what_is_missing_is_told_from_the_stamps() -> None:
    board = Board()
    with made(Brainflow(), board) as source:
        board.put(20, 5.0)
        source.read(0.01)
        source._timeline._here_s = -1e9
        board.put(20, 5.5)
        gap, rest = source.read(0.01), source.read(0.01)
    assert gap is not None
    assert rest is not None
    assert (gap.start, gap.n_times, gap.valid.any()) == (20, 30, False)
    assert (rest.start, rest.n_times) == (50, 20)
    assert (source.counts.gaps, source.counts.missing, source.counts.dropped) == (1, 30, 0)


def test_a_ring_that_ran_over_is_named() -> None:
    board = Board()
    with made(Brainflow(buffer_s=1), board) as source:
        board.put(20, 5.0)
        source.read(0.01)
        source._timeline._here_s = -1e9
        board.put(100, 6.0)
        source.read(0.01)
    assert source.counts.dropped == 80


def test_a_stall_of_the_radio_is_waited_out() -> None:
    board = Board()
    with made(Brainflow(), board) as source:
        board.put(20, 5.0)
        source.read(0.01)
        board.put(1, 5.7)
        held_back = board.get_board_data

        def later(n: int | None = None) -> np.ndarray:
            given = held_back(n)
            board.put(49 if given.shape[1] == 1 else 0, 5.7001, 1e5)
            return given

        board.get_board_data = later  # type: ignore[method-assign]
        chunk = source.read(0.01)
    assert chunk is not None
    assert chunk.n_times == 50
    assert source.counts.missing == 0


def test_a_board_without_names_gets_them_from_whoever_opens_it() -> None:
    with pytest.raises(SignalMismatchError, match="does not name the 2 EEG channels.*Give 'channels': 2 names"):
        made(Brainflow(), Board(), eeg_names="")
    with made(Brainflow(channels=("O1", "O2")), Board(), eeg_names="") as source:
        assert source.signal.ch_names == ("O1", "O2")


def test_a_board_without_eeg() -> None:
    with pytest.raises(SignalMismatchError, match="has no EEG channels"):
        made(Brainflow(), Board(), eeg_channels=[])


def test_a_board_that_cannot_be_started_is_let_go() -> None:
    board = Board()

    def fails(n: int) -> None:
        raise BoardError("no such port")

    board.start_stream = fails  # type: ignore[method-assign]
    with pytest.raises(StreamError, match="The board 'cyton' cannot be opened .no such port.*Check that it is on"):
        made(Brainflow(board="cyton"), board)
    assert board.calls == ["prepare", "release"]


def test_a_board_that_nobody_knows(shim: Any) -> None:
    with pytest.raises(SpecError, match="BrainFlow knows no board 'cyttton'. Did you mean 'cyton'?"):
        Brainflow(board="cyttton").open()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brainflow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'neural-foundation\[brainflow\]'"):
        Brainflow().open()
