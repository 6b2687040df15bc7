"""The real archives of segments are what `bonn` and `delhi` say of them, and what is in them can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.datasets.bonn_delhi import Bonn, Delhi, Segments
from neural_foundation.models.window_statistics import WindowStatistics

FOLDER = "bonn-delhi"


def dataset(kind: type[Segments], root: Path, **fields: object) -> Segments:
    if not any((root / FOLDER / name).is_file() for name in kind.archives):
        pytest.skip(f"no {kind.archives[0]} in {FOLDER} under NEURAL_FOUNDATION_DATA")
    return kind(path=root / FOLDER, **fields)


def segments(spec: Segments, every: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windows (n, 1, n_times) in volts, classes (n,) and parts (n,) of every so many of the segments."""
    values, target, part = [], [], []
    for item in spec.items()[::every]:
        with spec.open(item, Path("unused")) as session:
            values.append(session.signal.read())
            target.append(spec.classes().index(session.trials.label[0]))
            part.append(session.subject)
    return np.stack(values), np.array(target), np.array(part)


@pytest.mark.parametrize(("kind", "count", "n_times"), [(Bonn, 100, 4097), (Delhi, 50, 1024)])
def test_the_archive_is_as_published(kind: type[Segments], count: int, n_times: int, data_root: Path) -> None:
    spec = dataset(kind, data_root)
    items = spec.items()
    assert len(items) == count * len(spec.classes())
    assert len({i.id for i in items}) == len(items)
    assert len({i.subject for i in items}) == spec.parts
    values, target, part = segments(spec, every=count // 10)
    assert values.shape == (10 * len(spec.classes()), 1, n_times)
    assert (np.bincount(target) == 10).all()
    assert len(set(part)) == 10
    assert 10 < 1e6 * np.median(values.std(-1)) < 1000  # microvolts, of EEG


def test_seizures_of_bonn_are_larger_than_all_else(data_root: Path) -> None:
    values, target, _ = segments(dataset(Bonn, data_root, task="seizure_vs_rest"), every=5)
    spread = values.std(-1).squeeze()
    assert np.median(spread[target == 1]) > 3 * np.median(spread[target == 0])


def held_out_accuracy(values: np.ndarray, target: np.ndarray, part: np.ndarray, sfreq: float) -> float:
    """Return the accuracy of the seven statistics on each part in turn, learned from the others."""
    signal = SignalSpec(sfreq=sfreq, ch_names=("EEG",), ch_types=("eeg",))
    classes = tuple(f"class {k}" for k in range(target.max() + 1))
    right = 0
    for held_out in np.unique(part):
        test = part == held_out
        estimator = WindowStatistics().estimator(signal, TargetSpec(classes=classes))
        estimator.fit(values[~test], target[~test], part[~test])
        right += int((estimator.predict_proba(values[test]).argmax(1) == target[test]).sum())
    return right / len(target)


def test_seven_statistics_reach_what_was_measured_before(data_root: Path) -> None:
    """0.794 and 0.972 before, in ten folds of 500 segments: two standard errors are 0.036 and 0.015."""
    values, target, part = segments(dataset(Bonn, data_root))
    assert held_out_accuracy(values, target, part, 173.61) == pytest.approx(0.794, abs=0.036)
    pairs = np.unique(part, return_inverse=True)[1] // 2  # five folds will do where there is little doubt
    assert held_out_accuracy(values, (target == 4).astype(int), pairs, 173.61) > 0.957


def test_delhi_is_told_apart_far_above_chance(data_root: Path) -> None:
    values, target, part = segments(dataset(Delhi, data_root, parts=4))
    assert held_out_accuracy(values, target, part, 200.0) > 0.55  # chance is a third
