"""Recordings that cannot serve are put in quarantine, named with the reason; the others go on."""

from __future__ import annotations

import csv
import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.cli import app
from neural_foundation.core.errors import DataError, RecordingError, StoreError
from neural_foundation.core.store import read_json
from neural_foundation.datasets.simulated.icu import SimulatedHMS
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.prepare import Prepared
from neural_foundation.pipeline.stages.quarantine import in_quarantine, quarantined

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

WRITTEN = SimulatedHMS(patients=6, eegs=1, rows=2, spectrogram=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hms")
    WRITTEN.write(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "hms"))


def eegs(folder: Path) -> list[Path]:
    return sorted((folder / "train_eegs").glob("*.parquet"))


def plan(folder: Path, root: Path, *, quarantine: bool = True) -> Plan:
    recipe: dict[str, Any] = {
        "name": "hospital",
        "stages": {
            "prepare": {
                "kind": "prepare",
                "dataset": {"kind": "hms", "path": str(folder), "spectrogram": False},
                "windows": {"start_s": -20, "length_s": 50, "past_s": 20, "least_valid": 0.6, "trial_valid": 0.9},
                "quarantine": quarantine,
            },
            "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0},
        },
    }
    return make_plan(check(apply(recipe, {})), root)


def made(folder: Path, root: Path) -> tuple[Plan, Prepared]:
    done = plan(folder, root)
    run(done)
    return done, Prepared.of([o for t in done.of_stage("prepare") if (o := t.output()) is not None])


def without_votes(folder: Path, eeg: str) -> None:
    path = folder / "train.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["eeg_id"] == eeg:
            row.update({name: "0" for name in row if name.endswith("_vote")})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def without_channel(path: Path, name: str) -> None:
    pq.write_table(pq.read_table(path).drop_columns([name]), path)


def test_what_cannot_serve_is_named_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    missing, channel, *good = eegs(folder)
    silent = good.pop()
    missing.unlink()
    without_channel(channel, "Cz")
    without_votes(folder, silent.stem)
    done, data = made(folder, tmp_path / "run")
    reasons = {b["recording"]: b["reason"] for b in data.quarantined}
    assert set(reasons) == {p.stem for p in (missing, channel, silent)}
    assert "no such file" in reasons[missing.stem]
    assert "it has no column 'Cz'" in reasons[channel.stem]
    assert "nobody voted" in reasons[silent.stem]
    assert not any(str(folder) in r for r in reasons.values()), "the same on any machine"
    assert {f["recording"] for f in data.facts} == {p.stem for p in good}
    split = done.of_stage("split")[0].output()
    assert split is not None
    known = {s for fold in read_json(split.path("split.json")) for role in ("train", "test") for s in fold[role]}
    assert known == set(data.subjects)
    assert f"3 recordings are in quarantine and left out: {data.quarantined[0]['recording']}" in data.caveats[-1]


def blank(path: Path, seconds: tuple[float, float], channels: tuple[str, ...] = ()) -> None:
    """Lose the samples of a stretch, in some channels or in all."""
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy().copy() for name in table.column_names}
    for name in channels or table.column_names:
        columns[name][round(seconds[0] * 200) : round(seconds[1] * 200)] = np.nan
    pq.write_table(pa.table(columns), path)


def test_a_channel_without_numbers_serves_for_nothing(folder: Path, tmp_path: Path) -> None:
    dead, heart, *_ = eegs(folder)
    blank(dead, (0, 1e6), ("F7",))
    blank(heart, (0, 1e6), ("EKG",))
    _, data = made(folder, tmp_path / "run")
    ((name, reason),) = [(b["recording"], b["reason"]) for b in data.quarantined]
    assert name == dead.stem
    assert f"labelled trials of '{dead.stem}' has a window" in reason
    assert heart.stem in {f["recording"] for f in data.facts}, "the chain does not need the EKG"


def rows_of(folder: Path, eeg: str) -> list[dict[str, str]]:
    with (folder / "train.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["eeg_id"] == eeg]


def test_what_the_experts_judged_counts_most(folder: Path, tmp_path: Path) -> None:
    _, whole = made(folder, tmp_path / "before")
    first, second = [f["recording"] for f in whole.facts if len(rows_of(folder, f["recording"])) > 1][:2]
    blank(folder / "train_eegs" / f"{first}.parquet", (20.0, 21.9))  # of the ten seconds of the first row alone
    blank(folder / "train_eegs" / f"{second}.parquet", (0.0, 15.0))  # of what came before
    _, data = made(folder, tmp_path / "after")
    missing = {f["recording"]: f.get("without_window", 0) for f in data.facts}
    before = {f["recording"]: f.get("without_window", 0) for f in whole.facts}
    assert missing[first] == before[first] + 1
    assert missing[second] == before[second]
    assert f"{sum(missing.values())} labelled trial" in data.caveats[-1]
    assert f"{first} ({missing[first]})" in data.caveats[-1]


def test_one_corrected_row_makes_one_recording_anew(folder: Path, tmp_path: Path) -> None:
    done, _ = made(folder, tmp_path / "run")
    keys = {t.item["recording"]: t.key for t in done.of_stage("prepare")}
    other = eegs(folder)[0].stem
    without_votes(folder, other)
    again = {t.item["recording"]: t.key for t in plan(folder, tmp_path / "run").of_stage("prepare")}
    assert [name for name in keys if again[name] != keys[name]] == [other]


def test_a_file_that_came_back_is_prepared(folder: Path, tmp_path: Path) -> None:
    broken = eegs(folder)[0]
    kept = broken.read_bytes()
    broken.write_bytes(kept[: len(kept) // 2])
    _, data = made(folder, tmp_path / "run")
    assert [b["recording"] for b in data.quarantined] == [broken.stem]
    broken.write_bytes(kept)
    done, data = made(folder, tmp_path / "run")
    assert not data.quarantined
    assert all(t.output() is not None for t in done.tasks)


def brainvision(folder: Path) -> list[Path]:
    """Write four recordings of a header, samples and markers each; return the files of samples."""
    made = []
    for k in range(4):
        stem = folder / f"s{k}_a"
        header = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]", "DataFile=$b.eeg"]
        header += ["MarkerFile=$b.vmrk", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED", "NumberOfChannels=1"]
        header += [
            "SamplingInterval=10000",
            "[Binary Infos]",
            "BinaryFormat=INT_16",
            "[Channel Infos]",
            "Ch1=Cz,,0.1,uV",
        ]
        folder.mkdir(exist_ok=True)
        stem.with_suffix(".vhdr").write_text("\n".join(header) + "\n")
        markers = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]", "DataFile=$b.eeg"]
        markers += ["[Marker Infos]", "Mk1=Stimulus,go,101,200,0", "Mk2=Stimulus,rest,501,200,0"]
        stem.with_suffix(".vmrk").write_text("\n".join(markers) + "\n")
        made.append(stem.with_suffix(".eeg"))
        made[-1].write_bytes(bytes(2 * 1000))
    return made


def own(folder: Path, root: Path, **split: Any) -> Plan:
    dataset = {"kind": "recordings", "path": str(folder), "events": {"Stimulus/go": "go", "Stimulus/rest": "rest"}}
    stages: dict[str, Any] = {
        "prepare": {"kind": "prepare", "dataset": dataset, "windows": {"length_s": 1.0}, "quarantine": True},
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0, **split},
    }
    return make_plan(check(apply({"name": "own", "stages": stages}, {})), root)


def test_what_lies_beside_a_file_decides_too(tmp_path: Path) -> None:
    samples = brainvision(tmp_path / "data")[3]
    kept = samples.read_bytes()
    samples.unlink()
    first = own(tmp_path / "data", tmp_path / "run")
    run(first)
    assert [b["recording"] for b in bad_of(first)] == ["s3_a"]
    samples.write_bytes(kept)
    second = own(tmp_path / "data", tmp_path / "run")
    assert len(run(second).made) == 2, "the recording, and the split that knows of it"
    assert not bad_of(second)


def bad_of(done: Plan) -> tuple[dict[str, str], ...]:
    return quarantined([o for t in done.of_stage("prepare") if (o := t.output()) is not None])


def test_who_is_to_be_held_out_and_lies_in_quarantine_is_said(tmp_path: Path) -> None:
    brainvision(tmp_path / "data")[3].unlink()
    with pytest.raises(DataError, match=r"subjects names 's3', but 1 recording is in quarantine and left out: s3_a"):
        run(own(tmp_path / "data", tmp_path / "run", subjects=["s3"]))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_a_machine_that_fails_for_a_moment_is_no_bad_recording(
    error: Exception, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.ParquetFile", fails)
        with pytest.raises(RecordingError, match="the Parquet file is damaged"):
            run(plan(folder, tmp_path / "run"))
    _, data = made(folder, tmp_path / "run")
    assert not data.quarantined


def test_what_a_single_recording_was_asked_for_is_said(folder: Path, tmp_path: Path) -> None:
    broken = eegs(folder)[0]
    broken.unlink()
    done, _ = made(folder, tmp_path / "run")
    alone = [o for t in done.of_stage("prepare") if (o := t.output()) is not None and broken.stem in o.item]
    with pytest.raises(DataError, match=f"1 recording is in quarantine and left out: {broken.stem}.*exclude"):
        Prepared.of(alone)


def test_several_processes_put_aside_the_same(folder: Path, tmp_path: Path) -> None:
    eegs(folder)[0].unlink()
    one, two = plan(folder, tmp_path / "one"), plan(folder, tmp_path / "two")
    run(one)
    run(two, workers=2)
    assert bad_of(one) == bad_of(two) != ()


def test_without_quarantine_the_first_stops_the_run(folder: Path, tmp_path: Path) -> None:
    broken = eegs(folder)[2]
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(RecordingError, match=broken.stem):
        run(plan(folder, tmp_path / "run", quarantine=False))
    broken.unlink()
    with pytest.raises(RecordingError, match="there is no such file"):
        plan(folder, tmp_path / "run", quarantine=False)


def test_a_full_disk_is_no_bad_recording(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("neural_foundation.pipeline.stages.prepare.save_arrays", full)
        with pytest.raises(StoreError, match="No space left on device"):
            run(plan(folder, tmp_path / "run"))
    _, data = made(folder, tmp_path / "run")
    assert not data.quarantined
    assert len(data.facts) == 6


def test_most_in_quarantine_is_an_error(folder: Path, tmp_path: Path) -> None:
    for path in eegs(folder)[:4]:
        path.unlink()
    with pytest.raises(DataError, match=r"4 of 6 recordings cannot be used.*no such file.*(?s:.)*copy is complete"):
        run(plan(folder, tmp_path / "run"))


def test_status_and_the_end_of_a_run_say_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = eegs(folder)[0]
    broken.unlink()
    recipe = tmp_path / "hospital.yaml"
    recipe.write_text(
        f"name: hospital\nstages:\n  prepare:\n    kind: prepare\n    quarantine: true\n"
        f"    dataset: {{kind: hms, path: '{folder}', spectrogram: false}}\n"
    )
    monkeypatch.chdir(tmp_path)
    app(["run", str(recipe)], standalone_mode=False)
    assert f"1 recording is in quarantine and left out: {broken.stem}" in capsys.readouterr().out
    app(["status", str(recipe)], standalone_mode=False)
    assert "6/6   fresh  (1 in quarantine)" in capsys.readouterr().out


def test_many_are_counted() -> None:
    bad = [{"recording": str(k), "reason": "broken.\nGet it again"} for k in range(11)]
    said = in_quarantine(bad)
    assert said.startswith("11 recordings are in quarantine and left out: 0 (broken.); 1")
    assert said.endswith("7 (broken.); and 3 more.")
