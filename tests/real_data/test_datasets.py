"""The real files are what the datasets say they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from neural_foundation.datasets import DATASETS, Dataset

FOLDERS = {"eegmat": ("eegmat",), "ssvep_exo": ("ssvep-exo",), "eegmmidb": ("eegmmidb", "eegmmidb-s001")}


def dataset(kind: str, root: Path, **fields: object) -> Dataset:
    path = next((root / name for name in FOLDERS[kind] if (root / name).is_dir()), None)
    if path is None:
        pytest.skip(f"no folder of {kind} under NEURAL_FOUNDATION_DATA")
    spec = DATASETS.parse({"kind": kind, "path": path, **fields})
    assert isinstance(spec, Dataset)
    return spec


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_facts_hold(kind: str, data_root: Path, tmp_path: Path) -> None:
    spec = dataset(kind, data_root)
    items = spec.items()
    assert len({i.id for i in items}) == len(items)
    assert spec.info.n_subjects is not None
    assert 1 <= len({i.subject for i in items}) <= spec.info.n_subjects
    for item in items:
        assert all(f.is_file() for f in spec.raw_files(item))
        with spec.open(item, tmp_path) as session:
            signal = session.signal
            assert signal.spec.sfreq == spec.info.sfreq
            assert signal.spec.ch_types.count("eeg") == spec.info.n_chans
            assert session.subject == item.subject
            assert len(session.trials) > 0
            assert set(session.trials.label) <= set(spec.classes())
            assert (session.trials.start_s >= signal.start_s).all()
            assert (session.trials.end_s <= signal.start_s + signal.duration_s + 1e-9).all()
            eeg = [p for p, t in zip(signal.spec.positions, signal.spec.ch_types, strict=True) if t == "eeg"]
            assert all(p is not None and 0.05 < np.linalg.norm(p) < 0.2 for p in eeg)
    assert not list(tmp_path.iterdir())


def test_eegmat_has_both_classes_of_each_subject(data_root: Path, tmp_path: Path) -> None:
    spec = dataset("eegmat", data_root)
    seen: dict[str, list[str]] = {}
    for item in spec.items():
        with spec.open(item, tmp_path) as session:
            seen.setdefault(item.subject, []).extend(session.trials.label)
    assert all(labels == ["rest", "task"] for labels in seen.values())


def test_ssvep_has_eight_trials_a_class_and_a_recording(data_root: Path, tmp_path: Path) -> None:
    spec = dataset("ssvep_exo", data_root, rest=True)
    for item in spec.items():
        with spec.open(item, tmp_path) as session:
            assert all(session.trials.label.count(name) == 8 for name in spec.classes())


def canonical_correlation(values: np.ndarray, hz: float, sfreq: float) -> float:
    """Return the largest correlation of the channels with two harmonics of a frequency (Lin 2006)."""
    time = np.arange(values.shape[1]) / sfreq
    waves = np.stack([f(2 * np.pi * h * hz * time) for h in (1, 2) for f in (np.sin, np.cos)])
    bases = [np.linalg.qr((x - x.mean(1, keepdims=True)).T)[0] for x in (values, waves)]
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)[0])


def test_the_codes_of_ssvep_are_the_flicker_that_was_looked_at(data_root: Path, tmp_path: Path) -> None:
    spec = dataset("ssvep_exo", data_root, subjects=["subject01"])
    right = total = 0
    for item in spec.items():
        with spec.open(item, tmp_path) as session:
            sfreq = session.signal.spec.sfreq
            band = butter(4, [5, 45], "bandpass", fs=sfreq, output="sos")
            values = sosfiltfilt(band, session.signal.read().astype(float))
            for start_s, end_s, label in session.trials:
                trial = values[:, round((start_s + 1) * sfreq) : round(end_s * sfreq)]
                scores = {name: canonical_correlation(trial, float(name), sfreq) for name in spec.classes()}
                right += max(scores, key=scores.__getitem__) == label
                total += 1
    assert total == 24 * len(spec.items())
    assert right / total > 0.75


def test_eegmmidb_has_fifteen_trials_a_run(data_root: Path, tmp_path: Path) -> None:
    spec = dataset("eegmmidb", data_root, subjects=["S001"])
    for item in spec.items():
        with spec.open(item, tmp_path) as session:
            assert len(session.trials) == 15
            assert {7, 8} == {session.trials.label.count(name) for name in spec.classes()}
            np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, 4.1, atol=0.15)
