"""What goes wrong with people's own files: one message each, that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.recordings import Intervals, write_edf

SPEC = SignalSpec(sfreq=100, ch_names=("C3", "Cz", "C4"), ch_types=("eeg",) * 3)


def edf(path: Path, *, labels: tuple[str, ...] = ("left", "right", "left", "right"), spec: SignalSpec = SPEC) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).normal(0, 1e-5, (spec.n_chans, round(20 * spec.sfreq)))
    onset = 1.0 + 4.5 * np.arange(len(labels))
    write_edf(path, values=values, spec=spec, subject="S", annotations=Intervals(onset, onset + 4, labels))
    return path


def go(folder: Path, stage: str | None = None, **dataset: object) -> None:
    recipe = {
        "name": "mine",
        "stages": {
            "prepare": {
                "kind": "prepare",
                "dataset": {
                    "kind": "recordings",
                    "path": str(folder / "data"),
                    "events": {"left": "left_hand", "right": "right_hand"},
                    **dataset,
                },
                "signals": [{"kind": "bandpass", "low_hz": 4, "high_hz": 40}],
                "windows": {"length_s": 3.0},
            },
            "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.0},
            "bands": {
                "kind": "fit",
                "for_each": "split",
                "inputs": {"data": "prepare"},
                "model": {"kind": "band_power", "c": 1.0},
                "learner": {"kind": "estimator"},
            },
        },
    }
    run(make_plan(check(recipe), folder / "out"), stage=stage)


def test_own_files_run(tmp_path: Path) -> None:
    for subject in ("a", "b"):
        edf(tmp_path / "data" / subject / "run1.edf")
    go(tmp_path)
    assert len(list((tmp_path / "out" / "bands").glob("*/model.safetensors"))) == 2


def truncated(path: Path) -> None:
    path.write_bytes(edf(path).read_bytes()[:-777])


def not_an_edf(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"%PDF-1.7 this is a letter" * 100)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NeuralFoundationError, match=r"The path .*data does not exist. Check `path`"):
        go(tmp_path)


def test_not_an_edf(tmp_path: Path) -> None:
    not_an_edf(tmp_path / "data" / "a" / "run1.edf")
    with pytest.raises(NeuralFoundationError, match=r"run1\.edf.*(not an? EDF|EDF)"):
        go(tmp_path)


def test_truncated_edf(tmp_path: Path) -> None:
    truncated(tmp_path / "data" / "a" / "run1.edf")
    with pytest.raises(NeuralFoundationError, match=r"run1\.edf.*(truncated|bytes)"):
        go(tmp_path)


def test_no_events(tmp_path: Path) -> None:
    edf(tmp_path / "data" / "a" / "run1.edf", labels=())
    with pytest.raises(NeuralFoundationError, match=r"run1\.edf.*no (events|labels)"):
        go(tmp_path)


def test_one_class_only(tmp_path: Path) -> None:
    edf(tmp_path / "data" / "a" / "run1.edf", labels=("left", "left"))
    with pytest.raises(NeuralFoundationError, match=r"run1\.edf.*right"):
        go(tmp_path)


def test_other_channels_and_rates_among_the_files(tmp_path: Path) -> None:
    edf(tmp_path / "data" / "a" / "run1.edf")
    edf(tmp_path / "data" / "b" / "run1.edf", spec=SPEC.replace(sfreq=200))
    with pytest.raises(NeuralFoundationError, match="Add the signals 'pick' and 'resample' to the recipe"):
        go(tmp_path)


def test_fewer_subjects_than_folds(tmp_path: Path) -> None:
    edf(tmp_path / "data" / "a" / "run1.edf")
    with pytest.raises(NeuralFoundationError, match="1 subjects cannot make 2 folds"):
        go(tmp_path, "split")
