"""`data quality` says of a recording what was put into it, once, in words, as JSON and as a picture."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from neural_foundation.cli import app
from neural_foundation.cli.data_quality import rows
from neural_foundation.cli.data_quality_picture import MOST_CHANNELS, draw, shown, timeline
from neural_foundation.cli.folder_quality import Watched, judged, overall, report_of, unfit
from neural_foundation.core.errors import RecordingError, SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.recordings import ArraySignal, Intervals, Session, Signal, write_edf
from neural_foundation.signals.quality import ChannelQuality, Quality

RATE, SECONDS = 200, 40
NAMES = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
SPEC = SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * 6)


def waves() -> Any:
    """A common wave and noise of each channel, 10 microvolts (6, n): C3 flat, hum in O1, two blinks."""
    n = RATE * SECONDS
    spectrum = np.fft.rfft(generator(0, "quality").standard_normal((7, n)))
    made = np.fft.irfft(spectrum / np.sqrt(1 + np.fft.rfftfreq(n, 1 / RATE) / 2), n)
    values = 1e-5 * (made[1:] + made[0]) / made.std()
    values[4] += 1e-5 * np.sin(2 * np.pi * 60 * np.arange(n) / RATE)
    values[2, 10 * RATE : 20 * RATE] = values[2, 10 * RATE]
    for start in (25 * RATE, 30 * RATE):
        values[:2, start : start + 60] += 2e-4 * np.hanning(60)
    return values


def session(values: Any = None, **changes: Any) -> Session:
    values = waves() if values is None else values
    return Session("day1", "anna", {"eeg": ArraySignal(values, SPEC.replace(**changes))})


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("in") / "anna.edf"
    write_edf(path, values=waves(), spec=SPEC, annotations=Intervals(), subject="S")
    return path


@pytest.fixture(scope="module")
def found() -> Quality:
    return judged(session(), 60)


def asked(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", "quality", *map(str, words)])


def test_a_recording_in_one_table(recording: Path) -> None:
    done = asked(recording, "--mains-hz", "60")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "Session 'anna', eeg: 6 EEG channels at 200 Hz, 40.0 s" in lines
    assert "valid samples 100 %" in lines
    (bad,) = [line for line in lines if line.startswith("bad channels")]
    assert "C3" in bad
    assert any(line.startswith("C3 flat 2") for line in lines), lines
    assert any(line.startswith("line noise, 60 Hz worst O1 +") and ", median " in line for line in lines)
    (blink,) = [line for line in lines if line.startswith("blink")]
    assert blink.startswith("blink 2, 3.0 a minute")
    assert "muscle none" in lines
    assert "drift cannot be told of less than a minute or so of valid signal" in lines
    assert "\x1b" not in done.output
    assert max(map(len, lines)) <= 140


def test_the_wrong_mains_is_hinted_at(recording: Path) -> None:
    text = asked(recording).output
    assert "line noise, 50 Hz" in text
    assert "if that is the mains, say --mains-hz 60" in " ".join(text.split())


def test_json_is_the_same_every_time_and_holds_all(recording: Path, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        assert f"Written to {tmp_path / name}" in asked(recording, "--json", tmp_path / name).output
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    said = read_json(tmp_path / "a.json")
    assert (said["session_id"], said["signal"], said["mains_hz"]) == ("anna", "eeg", 50)
    assert [c["name"] for c in said["channels"]] == list(NAMES)
    assert said["bad_channels"]["C3"] == ["flat"]
    assert said["artefacts"]["blink"] == 2
    assert 35 < said["usable_s"] < 40


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ch_types": ("emg",) * 6}, r"anna.edf: no channel of the primary signal is EEG, the types are: emg"),
        ({"sfreq": 50}, r"anna.edf: 'eeg' has 50 Hz, which is too slow. Allowed: 75 Hz or more"),
    ],
)
def test_what_is_no_eeg_is_one_message(spec: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "anna.edf"
    write_edf(path, values=waves(), spec=SPEC.replace(**spec), annotations=Intervals(), subject="S")
    done = asked(path, "--json", tmp_path / "a.json")
    assert isinstance(done.exception, SignalMismatchError)
    assert message in str(done.exception)
    assert not (tmp_path / "a.json").exists()


def test_sessions_that_cannot_be_judged() -> None:
    assert "no regular signal" in str(unfit(Session("a", "b", {})))
    assert "holds no samples" in str(unfit(session(np.zeros((6, 0)))))
    assert unfit(session()) is None


def test_a_bad_file_and_a_wrong_option(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_text("These are notes. " * 50)
    assert isinstance(asked(tmp_path / "a.edf").exception, RecordingError)
    assert asked(tmp_path / "a.edf", "--mains-hz", "55").exit_code == 2
    assert isinstance(asked(tmp_path / "a.edf", "--picture", "a.jpg").exception, SpecError)


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_the_recording_is_never_written_over(option: str, recording: Path, tmp_path: Path) -> None:
    before = recording.read_bytes()
    (tmp_path / "a.png").symlink_to(recording)
    error = asked(recording, option, tmp_path / "a.png").exception
    assert isinstance(error, SpecError)
    assert "is the recording itself" in str(error)
    assert recording.read_bytes() == before


def test_a_closed_pipe_keeps_what_was_written(recording: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "neural_foundation", "data", "quality", str(recording)]
    try:
        done = subprocess.run([*command, "--json", str(tmp_path / "a.json")], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, b"Error" in done.stderr, b"Traceback" in done.stderr) == (141, False, False)
    assert read_json(tmp_path / "a.json")["session_id"] == "anna"


def test_missing_values_are_not_usable() -> None:
    values = waves()
    values[0, 5 * RATE : 9 * RATE] = np.nan
    said = judged(session(values), 50)
    assert said.valid_s == SECONDS - 4
    assert said.usable_s <= SECONDS - 4
    nothing = judged(session(np.full((6, 2000), np.inf)), 50)
    assert (nothing.valid_s, nothing.usable_s) == (0, 0)


def test_pieces_and_progress_change_nothing(found: Quality) -> None:
    from neural_foundation.signals.quality import quality

    told: list[tuple[int, int, str]] = []
    assert judged(session(), 60, lambda *said: told.append(said), "judging") == found
    assert told == [(10 * k * RATE, SECONDS * RATE, "judging") for k in range(1, 5)]
    assert quality(session(), mains_hz=60) == found


def long_one(**changes: Any) -> Quality:
    channels = tuple(ChannelQuality(f"c{i}", {"50": None, "60": None}, {"flat": 60.0}) for i in range(80))
    given: dict[str, Any] = {
        "session_id": "day1", "duration_s": 600.0, "valid_s": 300.0, "usable_s": 60.0, "usable": 0.1,
        "channels": channels, "artefacts": {"muscle": 30}, "artefact_s": {"muscle": 90.0}, "drift_score": 1.2,
        "drift_alarms_s": tuple(range(60, 500, 60)),
    }  # fmt: skip
    return Quality(**given | changes)


def test_what_deserves_a_look_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    from neural_foundation.cli.data_quality import say
    from neural_foundation.cli.terminal import console

    told = {what: (words, odd) for what, words, odd in rows(long_one(), "50")}
    assert {what for what, (_, odd) in told.items() if not odd} == {"line noise, 50 Hz"}
    assert told["muscle"][0] == "30, 3.0 a minute, 90.0 s in all"
    assert told["drift"][0].startswith("8 alarms, at 60.0 s, 2 min 00 s")
    assert told["drift"][0].endswith("...")
    assert told["line noise, 50 Hz"][0].startswith("cannot be told")
    quiet = long_one(usable=1.0, valid_s=600.0, channels=(), artefact_s={"muscle": 3.0}, drift_alarms_s=())
    assert not any(odd for _, _, odd in rows(quiet, "50"))
    say(long_one(), session(), "50", console())
    assert "64 of 80 bad channels are listed; --json has all" in capsys.readouterr().out


def test_a_picture_is_drawn_and_the_same_every_time(recording: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert f"Picture: {tmp_path / name}" in asked(recording, "--picture", tmp_path / name).output
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_timeline_adds_up_to_the_quality(found: Quality) -> None:
    made = session()
    made.signal.start_s = 7.0
    made.signal.mask[: 2 * RATE + 11] = False  # type: ignore[attr-defined]
    told, when = judged(made, 60), timeline(made, 60)
    lengths = np.minimum(when.bin_s, SECONDS - when.bin_s * np.arange(len(when.usable)))
    assert (when.usable * lengths).sum() == pytest.approx(told.usable_s)
    np.testing.assert_allclose((when.artefacts * lengths).sum(1), list(told.artefact_s.values()))
    assert when.start_s == 7
    flat = (when.bad[0, 2] * lengths).sum()
    assert flat == pytest.approx(told.channels[2].bad_s["flat"])
    assert told != found


def test_a_picture_of_what_cannot_be_told_and_of_many_channels(tmp_path: Path) -> None:
    names = tuple(f"c{i}" for i in range(80))
    spec = SignalSpec(sfreq=75, ch_names=names, ch_types=("eeg",) * 80)
    many = Session("day1", "anna", {"eeg": ArraySignal(np.zeros((80, 150)), spec)})
    said = judged(many, 50)
    assert len(shown(said)) == MOST_CHANNELS
    draw(tmp_path / "a.svg", said, timeline(many, 50), "50")
    assert (tmp_path / "a.svg").stat().st_size > 1000


class Endless(Signal):
    """As long as is asked for, made as it is read."""

    def _read(self, start: int, stop: int) -> Any:
        return generator(0, start).standard_normal((self.spec.n_chans, stop - start)).astype(np.float32)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_foundation.cli.data_quality_picture.BINS", 50)

    def peak(seconds: int) -> int:
        endless = Session("a", "b", {"eeg": Endless(SPEC.replace(sfreq=100.0), seconds * 100)})
        tracemalloc.start()
        judged(endless, 50)
        timeline(endless, 50)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(20)  # what is imported and compiled once
    assert peak(120) < 1.2 * peak(60)
    assert next(iter(Watched(Endless(SPEC, 10**9)).chunks(10**8))).n_times == 10 * RATE


def test_what_a_config_may_say() -> None:
    assert report_of(False) is None
    wanted = [report_of(True), report_of({}), report_of({"mains_hz": 60})]
    assert [w.mains_hz for w in wanted if w] == [50, 50, 60]
    with pytest.raises(SpecError, match=r"true, false or \{mains_hz: 60\}"):
        report_of("yes")


def test_a_folder_names_the_worst() -> None:
    def one(usable: float, *bad: str) -> dict[str, Any]:
        named = {name: ["flat"] for name in bad}
        return {"hours": 1.0, "usable_hours": usable, "usable": usable, "bad_channels": named}

    files = [(f"{k}.edf", one(0.1 * k)) for k in range(1, 8)] + [("ok.edf", one(0.95)), ("c.edf", one(0.99, "C3"))]
    told = overall([*files, ("x.h5", {"not_judged": "slow"}), ("y.h5", {"not_judged": "slow"}), ("z.h5", None)])
    assert told is not None
    assert [row["file"] for row in told["worst"]] == [f"{k}.edf" for k in range(1, 6)]
    assert (told["files"], told["named"], told["with_bad_channels"]) == (9, 8, 1)
    assert told["usable_hours"] == pytest.approx(2.8 + 0.95 + 0.99)
    assert told["not_judged"] == [{"reason": "slow", "files": 2}]
    assert overall([("z.h5", None)]) is None
