"""`data prepare` says what each recording is worth as it was recorded, and which deserve a look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_spikes import make_phy, spikes_of
from typer.testing import CliRunner, Result

from neural_foundation.cli import app
from neural_foundation.cli.folder_quality import as_json, judged
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.recordings import Intervals, read, write_edf

RATE, SECONDS = 100, 12
SPEC = SignalSpec(sfreq=RATE, ch_names=("C3", "C4", "O1", "O2", "EOG"), ch_types=("eeg",) * 4 + ("eog",))
CHAIN = "signals: [{kind: pick, channels: [C4]}, {kind: resample, sfreq: 50}]\n"


def edf(path: Path, *, flat: bool = False, **changes: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    values = generator(3, path.name).standard_normal((5, RATE * SECONDS)) + generator(4).standard_normal(RATE * SECONDS)
    if flat:
        values[0, 3 * RATE :] = 0
    write_edf(path, values=1e-5 * values, spec=SPEC.replace(**changes), subject="S", annotations=Intervals())
    return path


def prepare(root: Path, config: str = "", output: str = "out", *more: str) -> Result:
    (root / "c.yaml").write_text(config)
    words = ["--input", str(root / "in"), "--output", str(root / output), "--config", str(root / "c.yaml"), *more]
    done = CliRunner().invoke(app, ["data", "prepare", *words])
    assert done.exit_code == 0, done.output
    return done


def written(root: Path, output: str = "out") -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in (root / output).glob("prepare/*/quality.json")}


def test_each_recording_has_the_quality_of_its_raw_signal(tmp_path: Path) -> None:
    good, bad = edf(tmp_path / "in" / "anna.edf"), edf(tmp_path / "in" / "ben.edf", flat=True)
    done = prepare(tmp_path, CHAIN)
    summary = read_json(tmp_path / "out" / "summary.json")
    for path, row in zip((good, bad), summary["recordings"], strict=True):
        told = read_json((tmp_path / "out" / row["session"]).with_name("quality.json"))
        with read(path) as session:  # the chain leaves one channel, at half the rate
            assert told == as_json(judged(session, 50), session, 50)
        assert [c["name"] for c in told["channels"]] == ["C3", "C4", "O1", "O2"]
        assert row["quality"]["usable"] == told["usable"]
        assert row["quality"]["bad_channels"] == told["bad_channels"]
    assert told["bad_channels"] == {"C3": ["flat"]}
    folder = summary["quality"]
    assert (folder["files"], folder["with_bad_channels"], folder["not_judged"]) == (2, 1, [])
    assert folder["hours"] == pytest.approx(2 * SECONDS / 3600, abs=2e-6)
    assert [(w["file"], w["bad_channels"]) for w in folder["worst"]] == [("ben.edf", {"C3": ["flat"]})]
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert any(line.startswith("ben.edf ") and line.endswith("% C3 (flat)") for line in lines)
    assert "0.01 of 0.01 hours as recorded are usable, 1 of 2 recordings have bad channels" in lines


def test_the_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf", flat=True)
    edf(tmp_path / "in" / "ben.edf")
    prepare(tmp_path)
    prepare(tmp_path, "", "again")
    assert len(written(tmp_path)) == 2
    assert written(tmp_path) == written(tmp_path, "again")
    assert (tmp_path / "out" / "summary.json").read_bytes() == (tmp_path / "again" / "summary.json").read_bytes()
    before = (tmp_path / "out" / "summary.json").read_bytes()
    assert "2 were ready" in prepare(tmp_path).output
    assert (tmp_path / "out" / "summary.json").read_bytes() == before


@pytest.mark.slow
def test_in_parallel_the_quality_is_the_same(tmp_path: Path) -> None:
    for k in range(4):
        edf(tmp_path / "in" / f"{k}.edf", flat=k == 2)
    prepare(tmp_path)
    prepare(tmp_path, "", "two", "--workers", "2")
    assert written(tmp_path) == written(tmp_path, "two")


def test_what_cannot_be_judged_says_why(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "emg.edf", ch_types=("emg",) * 5)
    edf(tmp_path / "in" / "slow.edf", sfreq=50)
    make_phy(tmp_path / "in", spikes_of())
    done = prepare(tmp_path)
    assert written(tmp_path) == {}
    summary = read_json(tmp_path / "out" / "summary.json")
    reasons = {row["file"]: row["quality"]["not_judged"] for row in summary["recordings"]}
    assert reasons == {
        "emg.edf": "No channel of the primary signal is EEG, the types are: emg",
        "slow.edf": "'eeg' has 50 Hz, which is too slow. Allowed: 75 Hz or more",
        "sorted": "It has no regular signal",
    }
    assert summary["quality"]["files"] == 0
    assert "1 files without a report of quality: It has no regular signal" in done.output
    assert "are usable" not in done.output


def test_without_quality_there_is_none(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf")
    done = prepare(tmp_path, "quality: false")
    assert written(tmp_path) == {}
    assert read_json(tmp_path / "out" / "summary.json")["quality"] is None
    assert "usable" not in done.output


def test_the_mains_is_that_of_the_config(tmp_path: Path) -> None:
    edf(tmp_path / "in" / "anna.edf")
    prepare(tmp_path, "quality: {mains_hz: 60}")
    (path,) = (tmp_path / "out").glob("prepare/*/quality.json")
    assert read_json(path)["mains_hz"] == 60
    listed = read_json(path.with_name("manifest.json"))
    assert "quality.json" in str(listed["outputs"])


def test_a_short_and_flat_recording_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "in" / "anna.edf"
    path.parent.mkdir()
    spec = SignalSpec(sfreq=100, ch_names=("C3",), ch_types=("eeg",))
    write_edf(path, values=np.zeros((1, 100)), spec=spec, subject="S", annotations=Intervals())
    done = prepare(tmp_path)
    assert "1 of 1 files prepared" in done.output
    assert len(written(tmp_path)) == 1
