"""`data inspect` says what is in a file, and the other data verbs call what they stand for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from neural_foundation.cli import app
from neural_foundation.cli.data_inspect import say
from neural_foundation.cli.data_pipe import heard
from neural_foundation.cli.terminal import console
from neural_foundation.core.errors import SpecError, StoreError
from neural_foundation.core.progress import Progress
from neural_foundation.core.specs import SignalSpec
from neural_foundation.evaluation.inspection import inspect_session
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes, write_edf


def ask(*words: str) -> str:
    result = CliRunner().invoke(app, ["data", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(0, 1e-5, (4, 2000))
    values[1, 500:1500] = values[1, 500]
    spec = SignalSpec(sfreq=100, ch_names=("C3", "Cz", "C4", "EOG"), ch_types=("eeg", "eeg", "eeg", "eog"))
    trials = Intervals.of([(1.0, 3.0, "left"), (5.0, 8.0, "right"), (9.0, 11.0, "left")])
    write_edf(tmp_path / "anna.edf", values=values, spec=spec, subject="S", annotations=trials)
    return tmp_path / "anna.edf"


def test_a_recording_in_words(recording: Path) -> None:
    text = ask("inspect", str(recording))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Session 'anna' of subject 'anna', 20.0 s" in lines
    assert "eeg: 4 channels at 100 Hz, 20.0 s" in lines
    assert "3 eeg, 1 eog; in V; positions of 3; 100 % valid" in lines
    assert "C3, Cz, C4, EOG" in lines
    assert "Quality of eeg, from all of it" in lines
    assert "eeg: remarks on 1 of 4 channels: flat 1" in lines
    (cz,) = [line for line in lines if line.startswith("Cz eeg")]
    assert "µV 50.0 % 0 % 0 % - - flat" in cz
    assert "3 events: left, right" in lines
    assert "left 2 2.0 s 1.00 s 11.00 s" in lines


def test_what_is_piped_has_no_colours_and_loses_nothing(recording: Path) -> None:
    text = ask("inspect", str(recording))
    assert "\x1b" not in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 140


def test_a_picture_is_drawn(recording: Path, tmp_path: Path) -> None:
    assert f"Picture: {tmp_path / 'a.png'}" in ask("inspect", str(recording), "--picture", str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def closed(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a data verb whose standard output nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "neural_foundation", "data", *words]
    try:
        return subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)


def test_a_closed_pipe_keeps_the_picture_and_says_nothing(recording: Path, tmp_path: Path) -> None:
    done = closed("inspect", str(recording), "--picture", str(tmp_path / "a.png"))
    assert (done.returncode, done.stderr) == (141, b"")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit) as left, heard():  # what exits for another reason does so
        sys.exit(3)
    assert left.value.code == 3


@pytest.mark.parametrize("first", [False, True], ids=["in a table", "in a line"])
def test_a_pipe_that_is_closed_anywhere(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(typer.Exit) as left, heard():
            print("x", flush=True) if first else console().print("x")  # noqa: T201 - what is tested
        assert left.value.exit_code == 141


def test_a_picture_of_another_kind_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"'.jpg'. Allowed: .png"):
        ask("inspect", "no-such.edf", "--picture", "a.jpg")


def many() -> Session:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((100, 500))
    values[7] = 0
    signal = ArraySignal(values, SignalSpec(sfreq=100, ch_names=tuple(f"c{i}" for i in range(100))), start_s=2.5)
    rows = [(float(k), float(k), f"label{k}") for k in range(30)]
    spikes = Spikes.of({"u1": np.arange(0, 5, 0.1), "u2": np.arange(0, 5, 0.5)}, {"region": "ab"})
    series = Series(np.arange(5.0), np.array([[1, np.nan]] * 5), ("x", "y"), ("m", ""))
    return Session("rat", "r", {"lfp": signal}, Intervals.of(rows), spikes={"units": spikes}, series={"gaze": series},
                   intervals={"epochs": Intervals.of([(0, 5, "run")])})  # fmt: skip


@pytest.mark.parametrize("everything", [False, True])
def test_long_lists_are_cut_and_said_so(everything: bool, capsys: pytest.CaptureFixture[str]) -> None:
    say(inspect_session(many()), console(), everything)
    text = capsys.readouterr().out
    assert ("1 of 100 channels are listed, the first that have remarks; --all lists all" in text) != everything
    assert ("and 52 more" in text) != everything
    assert ("and 10 more" in text) != everything
    assert ("label29  " in text) == everything
    assert "c7 " in text


def test_a_narrow_terminal_cuts_no_figure(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.cli import terminal

    monkeypatch.setattr(terminal, "PIPED_WIDTH", 72)
    text = ask("inspect", str(recording))
    assert "…" not in text
    assert "50.0 %" in text
    assert "missing" in text


def test_every_modality_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    say(inspect_session(many()), console())
    text = capsys.readouterr().out
    assert "lfp: 100 channels at 100 Hz, 5.0 s from 2.5 s" in text
    assert "units: 2 units, 60 spikes, 6 Hz median rate" in text
    assert "known of each unit: region" in text
    assert "gaze: 5 rows at uneven times, one in 1 s (median)" in text
    assert "x (m), y" in text
    assert "50.0 % missing" in text
    assert "1 interval in 'epochs': run" in text


def test_list_names_every_dataset_with_its_licence() -> None:
    from neural_foundation.datasets.table import DATASETS

    text = ask("list")
    assert all(kind in text for kind in DATASETS)
    assert DATASETS.row("eegmat").load().info.licence in text  # type: ignore[attr-defined]


def test_convert_writes_what_it_read(recording: Path, tmp_path: Path) -> None:
    from neural_foundation.recordings import read

    assert f"Wrote {tmp_path / 'a.h5'}" in ask("convert", str(recording), str(tmp_path / "a.h5"), "--subject", "p1")
    with read(recording) as source, read(tmp_path / "a.h5") as made:
        np.testing.assert_array_equal(source.signal.read(), made.signal.read())
        assert made.subject == "p1"
    with pytest.raises(StoreError, match="overwrite"):
        ask("convert", str(recording), str(tmp_path / "a.h5"))
    ask("convert", str(recording), str(tmp_path / "a.h5"), "--overwrite")


@dataclass
class Found:
    name: str
    path: Path
    verified: tuple[str, ...]
    downloaded: tuple[str, ...]
    unverified: tuple[str, ...]
    note: str
    n_files: int


def test_fetch_passes_on_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.datasets import fetch

    asked: list[Any] = []

    def stand_in(
        name: str,
        folder: Path | None,
        *,
        subjects: Sequence[str] | None = None,
        eids: Sequence[str] | None = None,
        progress: Progress,
    ) -> Found:
        asked.append((name, folder, subjects, eids))
        progress(1, 2, "a.edf")
        return Found(name, tmp_path, ("a",), ("b", "c"), (), "", 3)

    monkeypatch.setattr(fetch, "fetch", stand_in)
    text = ask("fetch", "eegmat", "--output", str(tmp_path), "--subject", "01", "--subject", "02")
    assert f"eegmat: 2 downloaded, 1 were there and are as published. 3 files in {tmp_path}" in text
    ask("fetch", "ibl", "--eid", "a", "--eid", "b")
    assert asked == [("eegmat", tmp_path, ["01", "02"], None), ("ibl", None, None, ["a", "b"])]
