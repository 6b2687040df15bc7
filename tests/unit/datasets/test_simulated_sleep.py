"""Simulated nights: what is promised of each stage holds, and the hypnogram is a plausible one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.base import Item
from neural_foundation.datasets.simulated.made import Made, known
from neural_foundation.datasets.simulated.sleep import STAGES, SimulatedSleep
from neural_foundation.datasets.simulated.sleep_signal import hypnogram
from neural_foundation.recordings import quantisation_bound


@pytest.fixture(scope="module")
def night() -> Made:
    return SimulatedSleep(subjects=1, hours=2.0, cycle_min=40).simulate("sim001")


def of_stage(made: Made, stage: str, channel: str) -> np.ndarray:
    row = made.values[made.spec.ch_names.index(channel)]
    return np.stack([row[int(a * 100) : int(b * 100)] for a, b, label in made.trials if label == stage])


def power(made: Made, stage: str, channel: str, low: float, high: float) -> float:
    hz, density = welch(of_stage(made, stage, channel), 100, nperseg=400)
    return float(np.median(density[:, (hz >= low) & (hz <= high)].mean(1)))


def test_a_night_is_epochs_of_known_stages(night: Made) -> None:
    assert night.values.shape == (6, 2 * 3600 * 100)
    assert night.spec.ch_types == ("eeg", "eeg", "eeg", "eog", "eog", "emg")
    assert len(night.trials) == 240
    assert {label for *_, label in night.trials} == set(STAGES)
    assert len(night.known["stage"]) == 720
    agree = [STAGES[night.known["stage"][3 * i + 1]] == label for i, (*_, label) in enumerate(night.trials)]
    assert np.mean(agree) > 0.9


def test_each_stage_has_its_sign(night: Made) -> None:
    slow = {s: power(night, s, "F4", 0.5, 2) for s in STAGES}
    assert slow["N3"] > 3 * slow["N2"] > 3 * max(slow["W"], slow["R"])
    assert power(night, "W", "O2", 8, 12) > 1.5 * power(night, "N2", "O2", 8, 12)
    tone = {s: power(night, s, "chin", 20, 40) for s in STAGES}
    assert tone["W"] > tone["N2"] > tone["R"]
    spindles = np.bincount(night.known["stage"][(night.known["spindle_s"] / 10).astype(int)], minlength=5)
    assert spindles[2] > 0.7 * spindles.sum()
    left, right = (of_stage(night, "R", n).ravel() for n in ("LOC", "ROC"))
    assert np.corrcoef(left, right)[0, 1] < 0.2, "eyes that move are seen with opposite signs"


def test_nights_go_from_deep_to_dreams() -> None:
    spec = SimulatedSleep(subjects=30, hours=6.0)
    stages = np.stack([hypnogram(spec, spec.rng(f"sim{k:03d}", "hypnogram")) for k in range(30)])
    share = np.stack([(stages == k).mean() for k in range(5)])
    assert share.min() > 0.04
    assert share.argmax() == 2, "most of a night is N2"
    first, last = stages[:, :720], stages[:, -720:]
    assert (first == 3).mean() > (last == 3).mean()
    assert (first == 4).mean() < (last == 4).mean()
    runs = (np.diff(stages) != 0).sum(1)
    assert 20 < runs.mean() < 200


def test_equal_settings_give_equal_bytes_and_people_differ() -> None:
    spec = SimulatedSleep(subjects=2, hours=0.25)
    first, again = spec.simulate("sim001"), SimulatedSleep(subjects=9, hours=0.25).simulate("sim001")
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, spec.simulate("sim002").values)
    assert not np.array_equal(first.values, SimulatedSleep(hours=0.25, seed=1).simulate("sim001").values)


def test_it_is_written_and_read_back(tmp_path: Path) -> None:
    spec = DATASETS.parse({"kind": "simulated_sleep", "subjects": 2, "hours": 0.25})
    (item, _) = spec.items()
    made = spec.simulate(item.subject)
    with spec.open(item, tmp_path) as session:
        assert session.signal.spec.ch_names == made.spec.ch_names
        assert session.signal.spec.ch_types == made.spec.ch_types
        bound = quantisation_bound(made.values)
        assert (np.abs(session.signal.read() - made.values) <= bound).all()
        assert list(session.trials) == list(made.trials)
    np.testing.assert_array_equal(known(tmp_path, item.subject)["stage"], made.known["stage"])
    assert "imulated" in spec.info.title
    assert "not how it does on people" in spec.info.note


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a simulated dataset has no path"):
        DATASETS.parse({"kind": "simulated_sleep", "path": "x"})
    with pytest.raises(DataError, match="Did you mean 'sim001'"):
        SimulatedSleep(subjects=1).open(Item("sim01", "sim01"), tmp_path)
