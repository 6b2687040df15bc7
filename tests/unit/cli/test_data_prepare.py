"""`data prepare` on small EDFs: bad files are put aside, the others are prepared; it goes on after anything."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_modalities import everything
from typer.testing import CliRunner, Result

from neural_foundation.cli import app
from neural_foundation.cli.folder import config_of, folder_plan, prepare_folder
from neural_foundation.core import store
from neural_foundation.core.errors import DataError, NeuralFoundationError, SpecError, StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.recordings import Intervals, read, write_edf, write_whole_session
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.chain import chain

SPEC = SignalSpec(sfreq=100, ch_names=("C3", "Cz", "EOG"), ch_types=("eeg", "eeg", "eog"))
CONFIG = """
signals:
  - {kind: pick, types: [eeg]}
  - {kind: bandpass, low_hz: 4, high_hz: 40}
windows: {length_s: 2.0}
"""


def edf(path: Path, seconds: float = 9, labels: tuple[str, ...] = ("left", "right"), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(0, 1e-5, (3, round(100 * seconds)))
    onset = 0.5 + 4.0 * np.arange(len(labels))
    write_edf(path, values=values, spec=SPEC, subject="S", annotations=Intervals(onset, onset + 3, labels))
    return path


def spoil(path: Path, how: int) -> None:
    """Make a file bad in one of several ways."""
    whole = path.read_bytes()
    content = (whole[:-777], b"", b"%PDF-1.7 a letter" * 100, whole + b"more", whole[:100], whole[:256] + whole[300:])
    path.write_bytes(content[how % len(content)])


def folder(root: Path, n: int, bad: int, seconds: float = 9) -> set[str]:
    """Fill a folder with n recordings of which `bad` are bad; return the names of the bad."""
    first = edf(root / "s00" / "r0000.edf", seconds).read_bytes()
    names = [f"s{i % 10:02d}/r{i:04d}.edf" for i in range(n)]
    for name in names[1:]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(first)
    chosen = sorted(random.Random(1).sample(names, bad))
    for how, name in enumerate(chosen):
        spoil(root / name, how)
    return set(chosen)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def prepare(source: Path, output: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["data", "prepare", "--input", str(source), "--output", str(output), *more])


def sessions(output: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in output.glob("prepare/*/session.h5")}


def test_good_files_are_prepared_and_bad_ones_put_aside_with_reasons(tmp_path: Path, config: Path) -> None:
    bad = folder(tmp_path / "in", 20, 3)
    done = prepare(tmp_path / "in", tmp_path / "out", "--config", str(config))
    assert done.exit_code == 3, done.output
    assert "17 of 20 files prepared, 3 quarantined" in done.output
    listed = read_json(tmp_path / "out" / "quarantine.json")["quarantined"]
    assert {row["file"] for row in listed} == bad
    assert all(row["reason"] and row["error"] == "RecordingError" for row in listed)
    assert not [row for row in listed if str(tmp_path) in row["reason"]], "a reason names no folder of this machine"
    for row in listed:
        assert row["file"] in done.output
    summary = read_json(tmp_path / "out" / "summary.json")
    assert summary["files"] == {"found": 20, "prepared": 17, "quarantined": 3}
    assert summary["hours"] == pytest.approx(17 * 9 / 3600, abs=1e-6)
    assert summary["windows"] == 17 * 4
    (shape,) = summary["shapes"]
    assert shape["raw"] == {"channels": 3, "sfreq": 100.0}
    assert shape["prepared"] == {"channels": 2, "sfreq": 100.0, "ch_names": ["C3", "Cz"]}
    assert sorted(r["session"] for r in summary["recordings"]) == sorted(
        f"prepare/{n}/session.h5" for n in sessions(tmp_path / "out")
    )
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_a_session_holds_the_chain_s_output_and_the_windows(tmp_path: Path, config: Path) -> None:
    source = edf(tmp_path / "in" / "anna.edf")
    assert prepare(tmp_path / "in", tmp_path / "out", "--config", str(config)).exit_code == 0
    (path,) = (tmp_path / "out").glob("prepare/*/session.h5")
    ops: Any = [SIGNALS.parse(op) for op in config_of(config)["signals"]]
    with read(source) as raw, read(path) as made:
        from neural_foundation.core.stream import run

        want = run(chain(ops, raw.signal.spec), raw.signal.read()).values
        np.testing.assert_allclose(made.signal.read(), want, rtol=0, atol=1e-11)
        assert (made.subject, made.session_id) == ("anna", "anna")
        assert made.trials == raw.trials
        windows = made.intervals["windows"]
        assert windows.start_s.tolist() == [0, 2, 4, 6]
        assert windows.end_s.tolist() == [2, 4, 6, 8]


def test_temporaldata_opens_the_windows(tmp_path: Path) -> None:
    from temporaldata import Data

    edf(tmp_path / "in" / "anna.edf")
    assert prepare(tmp_path / "in", tmp_path / "out").exit_code == 0
    (path,) = (tmp_path / "out").glob("prepare/*/session.h5")
    import h5py

    with h5py.File(path, "r") as file:
        found = Data.from_hdf5(file).windows
        assert found.start[:].tolist() == [0, 4]


def test_with_events_windows_lie_in_trials_and_carry_the_class(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf")
    edf(tmp_path / "in" / "ben.edf", labels=("left", "left"))
    text = (
        "dataset: {events: {left: left_hand, right: right_hand}}\nwindows: {start_s: 0.5, length_s: 1.0, hop_s: 1.0}\n"
    )
    (tmp_path / "c.yaml").write_text(text)
    done = prepare(tmp_path / "in", tmp_path / "out", "--config", str(tmp_path / "c.yaml"))
    assert done.exit_code == 3
    (row,) = read_json(tmp_path / "out" / "quarantine.json")["quarantined"]
    assert row["file"] == "ben.edf"
    assert "has no label 'right'" in row["reason"]
    (path,) = (tmp_path / "out").glob("prepare/*/session.h5")
    with read(path) as made:
        assert list(made.intervals["windows"]) == [
            (1.0, 2.0, "left_hand"),
            (2.0, 3.0, "left_hand"),
            (5.0, 6.0, "right_hand"),
            (6.0, 7.0, "right_hand"),
        ]


def test_a_second_run_makes_nothing_and_tries_bad_files_again(tmp_path: Path) -> None:
    bad = folder(tmp_path / "in", 5, 1)
    assert prepare(tmp_path / "in", tmp_path / "out").exit_code == 3
    before = sessions(tmp_path / "out")
    mtimes = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("prepare/*/session.h5")}
    again = prepare(tmp_path / "in", tmp_path / "out")
    assert again.exit_code == 3
    assert "4 of 5 files prepared (4 were ready), 1 quarantined" in again.output
    assert {p: p.stat().st_mtime_ns for p in mtimes} == mtimes
    edf(tmp_path / "in" / bad.pop())
    done = prepare(tmp_path / "in", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "5 of 5 files prepared (4 were ready), 0 quarantined" in done.output
    assert read_json(tmp_path / "out" / "quarantine.json")["quarantined"] == []
    assert before.items() <= sessions(tmp_path / "out").items()


@pytest.mark.slow
def test_in_parallel_the_bytes_are_the_same(tmp_path: Path, config: Path) -> None:
    folder(tmp_path / "in", 4, 1)
    for workers in ("1", "2"):
        done = prepare(tmp_path / "in", tmp_path / workers, "--config", str(config), "--workers", workers)
        assert done.exit_code == 3
    assert sessions(tmp_path / "1") == sessions(tmp_path / "2")
    for name in ("summary.json", "quarantine.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_second_rate_is_kept_as_it_is(tmp_path: Path, config: Path) -> None:
    import edfio

    values = np.random.default_rng(0).normal(0, 10, 1000)
    signals = [edfio.EdfSignal(values[: 10 * hz], hz, label=f"C{hz}", physical_dimension="uV") for hz in (100, 50)]
    (tmp_path / "in").mkdir()
    edfio.Edf(signals).write(tmp_path / "in" / "anna.edf")
    assert prepare(tmp_path / "in", tmp_path / "out", "--config", str(config)).exit_code == 0
    (row,) = read_json(tmp_path / "out" / "summary.json")["recordings"]
    assert row["left_out"] == []
    with read(tmp_path / "in" / "anna.edf") as raw, read(tmp_path / "out" / row["session"]) as made:
        np.testing.assert_array_equal(raw["eeg_2"].read(), made["eeg_2"].read())
        assert not np.array_equal(raw.signal.read(), made.signal.read())


def test_nothing_but_bad_files_is_an_error(tmp_path: Path) -> None:
    folder(tmp_path / "in", 2, 2)
    done = prepare(tmp_path / "in", tmp_path / "out")
    assert isinstance(done.exception, DataError)
    assert "None of 2 recordings could be prepared" in str(done.exception)
    assert len(read_json(tmp_path / "out" / "quarantine.json")["quarantined"]) == 2


def test_a_recording_shorter_than_a_window_is_prepared_and_said(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf", seconds=2, labels=())
    done = prepare(tmp_path / "in", tmp_path / "out")
    assert done.exit_code == 0
    assert "1 files hold no window" in done.output


def test_an_output_inside_the_input_is_no_input(tmp_path: Path) -> None:
    edf(tmp_path / "anna.edf")
    for _ in range(2):
        done = prepare(tmp_path, tmp_path / "out")
        assert "1 of 1 files prepared" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signal: []", r"holds 'signal'. Allowed: 'dataset', 'signals', 'windows', 'step', 'quality' or 'quarantine'"),
        ("- 1", "holds no mapping"),
        ("signals: [{kind: notsch}]", "Unknown kind 'notsch' for signals. Did you mean 'notch'?"),
        ("windows: {length: 2}", "unknown field 'length'. Did you mean 'length_s'?"),
        ("dataset: {kind: eegmat}", "fields of dataset 'recordings'"),
        ("dataset: {pattrn: x}", "unknown field 'pattrn'. Did you mean 'pattern'?"),
        ("dataset: {events: {left: a, right: a}}", "a decoder needs two classes"),
        ("quality: maybe", "The config's quality is 'maybe'. Allowed: true, false or {mains_hz: 60}"),
        ("quality: {mains: 60}", "unknown field 'mains'. Did you mean 'mains_hz'?"),
        ("quality: {mains_hz: 55}", "field 'mains_hz': Input should be 50 or 60"),
        ("stages: {}", "has 0 stages of kind 'prepare'"),
    ],
)
def test_mistakes_in_the_config_are_one_message(text: str, message: str, tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf")
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SpecError) as raised:
        folder_plan(tmp_path / "in", tmp_path / "out", tmp_path / "c.yaml")
    assert message in str(raised.value).replace("\\", "")
    assert not (tmp_path / "out").exists()


def test_a_recipe_lends_its_prepare_stage() -> None:
    assert set(config_of("motor-imagery")) == {"dataset", "signals", "windows"}


def test_a_folder_that_is_missing_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        folder_plan(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="No recordings under"):
        folder_plan(tmp_path / "in", tmp_path / "out")


@contextmanager
def read_only() -> Iterator[Path]:
    """A folder that this process may not write to, whoever runs the tests."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        place = Path(made) / "locked"
        place.mkdir(mode=0o555)
        if os.geteuid() == 0:  # root may write anywhere
            os.seteuid(65534)
        try:
            yield place
        finally:
            os.seteuid(os.getuid())


def test_an_output_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with read_only() as place:
        source = Path(tempfile.mkdtemp())
        try:
            edf(source / "anna.edf")
            done = prepare(source, place / "out")
            assert isinstance(done.exception, StoreError)
            assert "Cannot write" in str(done.exception)
            assert "Choose another folder with --output" in str(done.exception)
            assert not list(place.iterdir())
        finally:
            (source / "anna.edf").unlink()
            source.rmdir()


@pytest.mark.parametrize("nth", [1, 3, 6, 11])
def test_a_full_disk_is_one_error_and_leaves_no_half_file(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "in", 3, 1, seconds=3)
    replace, count = os.replace, 0

    def full(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count >= nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(store.os, "replace", full)
    done = prepare(tmp_path / "in", tmp_path / "out")
    assert isinstance(done.exception, StoreError), done.output
    assert "The disk is full. Free some space and run again" in str(done.exception)
    monkeypatch.undo()
    assert not list((tmp_path / "out").rglob(".*.tmp"))
    for made in (tmp_path / "out").glob("prepare/*"):
        assert made.suffix == ".partial" or (made / "manifest.json").exists()
    assert prepare(tmp_path / "in", tmp_path / "out").exit_code == 3
    fresh = prepare(tmp_path / "in", tmp_path / "new")
    assert fresh.exit_code == 3
    assert sessions(tmp_path / "out") == sessions(tmp_path / "new")


@pytest.mark.slow
def test_1000_files_with_37_bad_ones(tmp_path: Path, config: Path) -> None:
    bad = folder(tmp_path / "in", 1000, 37, seconds=3)
    done = prepare(tmp_path / "in", tmp_path / "out", "--config", str(config), "--workers", "2")
    assert done.exit_code == 3
    assert "963 of 1000 files prepared, 37 quarantined" in done.output
    assert {row["file"] for row in read_json(tmp_path / "out" / "quarantine.json")["quarantined"]} == bad
    assert len(sessions(tmp_path / "out")) == 963


KILLS = 5


def disturb(root: Path, config: Path, kills: int, seed: int) -> None:
    """Kill runs at random moments, a fresh folder whenever one gets to its end; each ends as an undisturbed one."""
    folder(root / "in", 12, 2)
    write_whole_session(root / "in" / "rat.h5", everything())
    began = time.monotonic()
    command = [sys.executable, "-m", "neural_foundation", "data", "prepare", "--input", str(root / "in")]
    command += ["--config", str(config), "--output"]
    assert subprocess.run([*command, str(root / "whole")], capture_output=True).returncode == 3
    length, moments, count, attempt = time.monotonic() - began, random.Random(seed), 0, 0
    while count < kills:
        output, attempt = root / str(attempt), attempt + 1
        while count < kills:
            process = subprocess.Popen(
                [*command, str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                assert process.wait(moments.uniform(0.3 * length, length)) == 3
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                count += 1
        assert subprocess.run([*command, str(output)], capture_output=True).returncode == 3
        assert sessions(output) == sessions(root / "whole")
        for name in ("summary.json", "quarantine.json"):
            assert (output / name).read_bytes() == (root / "whole" / name).read_bytes()
        assert not list(output.rglob("*.partial"))


@pytest.mark.slow
def test_kills_change_nothing(tmp_path: Path, config: Path) -> None:
    disturb(tmp_path, config, KILLS, 3)


@pytest.mark.stress
@pytest.mark.skipif("NEURAL_FOUNDATION_STRESS" not in os.environ, reason="all 50 kills run in `make stress`")
def test_50_kills(tmp_path: Path, config: Path) -> None:
    disturb(tmp_path, config, 50, 4)


def test_the_python_call_says_what_it_made(tmp_path: Path) -> None:
    folder(tmp_path / "in", 3, 1)
    report = prepare_folder(folder_plan(tmp_path / "in", tmp_path / "out"))
    assert (len(report.good), len(report.bad), report.made, report.fresh) == (2, 1, 2, 0)
    with pytest.raises(NeuralFoundationError):
        read(tmp_path / "in" / report.bad[0].file)
