"""Simulated seizures: onsets, warnings and distractors are where the truth says, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.core.errors import SpecError
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.simulated.made import Made, known
from neural_foundation.datasets.simulated.seizures import SimulatedSeizures
from neural_foundation.datasets.simulated.seizures_signal import planned

SMALL = {"hours": 1.0, "seizures": 2, "preictal_min": 8.0}


def make(**fields: object) -> SimulatedSeizures:
    spec = DATASETS.parse({"kind": "simulated_seizures", **SMALL, **fields})
    assert isinstance(spec, SimulatedSeizures)
    return spec


@pytest.fixture(scope="module")
def made() -> Made:
    return make(without_warning=0.0, distractors=False).simulate("sim001")


def fast(made: Made, start_s: float, end_s: float, channel: int) -> float:
    hz, density = welch(made.values[channel, int(start_s * 100) : int(end_s * 100)], 100, nperseg=200)
    return float(density[(hz > 14) & (hz < 32)].mean())


def test_trials_tile_the_recording_around_the_onsets(made: Made) -> None:
    starts, ends, labels = zip(*made.trials, strict=True)
    assert starts[0] == 0
    assert ends[-1] == made.values.shape[1] / 100 == 3600
    assert starts[1:] == ends[:-1]
    onsets = [e for e, label in zip(ends, labels, strict=True) if label == "preictal"]
    assert onsets == made.known["onset_s"].tolist()
    assert all(e - s == 480 for s, e, label in made.trials if label == "preictal")
    assert labels.count("seizure") == 2


def test_a_seizure_towers_over_everything(made: Made) -> None:
    rms = {
        label: np.median([made.values[:, int(a * 100) : int(b * 100)].std() for a, b, x in made.trials if x == label])
        for label in ("baseline", "seizure")
    }
    assert rms["seizure"] > 2.5 * rms["baseline"]


def test_the_focus_announces_it_and_the_other_side_does_not(made: Made) -> None:
    focus, other = (5, 1) if str(made.known["focus"]) == "right" else (1, 5)
    rise = []
    for onset in made.known["onset_s"]:
        late, early = (onset - 120, onset - 5), (onset - 700, onset - 490)
        rise.append([fast(made, *late, c) / fast(made, *early, c) for c in (focus, other)])
    assert np.mean(rise, 0)[0] > 1.8
    assert 0.6 < np.mean(rise, 0)[1] < 1.5


def test_without_a_warning_there_is_none() -> None:
    silent = make(without_warning=1.0, distractors=False, warning=1.0).simulate("sim001")
    none = make(without_warning=0.0, distractors=False, warning=0.0).simulate("sim001")
    assert not silent.known["warns"]
    before = int(silent.known["onset_s"][0] * 100)
    np.testing.assert_array_equal(silent.values[:, :before], none.values[:, :before])


def test_what_misleads_is_there_and_keeps_away_from_seizures() -> None:
    spec = make(hours=6.0)
    build_ups = 0
    for k in range(1, 30):
        plan = planned(spec, f"sim{k:03d}")
        assert (np.diff(plan.onset) > 480 + 120).all()
        assert plan.onset[0] > 480
        build_ups += len(plan.build_up)
        for start, end in plan.build_up:
            assert all(end <= o - 600 or start >= o + 60 for o in plan.onset)
    assert build_ups > 20


def test_distractors_raise_what_a_muscle_raises() -> None:
    still, restless = make(distractors=False).simulate("sim002"), make().simulate("sim002")
    assert len(restless.known["restless_s"]) > 0
    start, end = restless.known["restless_s"][0]
    assert np.median([fast(restless, start, end, c) / fast(still, start, end, c) for c in range(8)]) > 1.3


def test_it_is_written_and_read_back(tmp_path: Path) -> None:
    spec = make(subjects=1)
    (item,) = spec.items()
    with spec.open(item, tmp_path) as session:
        assert session.signal.n_times == 360_000
        assert set(session.trials.label) == {"baseline", "preictal", "seizure", "postictal"}
        np.testing.assert_array_equal(spec.simulate("sim001").spec.ch_names, session.signal.spec.ch_names)
    assert known(tmp_path, "sim001")["onset_s"].shape == (2,)
    assert "assumed here" in spec.info.note


def test_seizures_need_room() -> None:
    with pytest.raises(SpecError, match="9 seizures need 162 minutes, hours gives 60"):
        make(seizures=9)
