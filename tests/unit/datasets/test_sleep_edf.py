"""sleep_edf: hypnograms as epochs of 30 s beside the recording of the night."""

from __future__ import annotations

from pathlib import Path

import miniatures
import pytest

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.datasets.sleep_edf import SleepEDF

NIGHT = ["W"] * 4 + ["N1"] * 2 + ["N2"] * 3 + ["N3"] * 3 + [""] + ["REM"] * 2 + ["W"] * 3


def epochs(spec: SleepEDF, index: int = 0) -> list[tuple[float, float, str]]:
    with spec.open(spec.items()[index], Path()) as session:
        return list(session.trials)


def test_a_night_is_its_stages_in_epochs_of_thirty_seconds(tmp_path: Path) -> None:
    spec = SleepEDF(path=miniatures.sleep_edf(tmp_path))
    assert [(i.id, i.subject) for i in spec.items()] == [("SC4001", "SC400"), ("SC4002", "SC400"), ("SC4011", "SC401")]
    assert spec.classes() == ("W", "N1", "N2", "N3", "REM")
    wanted = [(30.0 * i, 30.0 * (i + 1), stage) for i, stage in enumerate(NIGHT) if stage]
    assert epochs(spec) == wanted


def test_each_rate_is_a_signal_and_the_eeg_is_the_first(tmp_path: Path) -> None:
    spec = SleepEDF(path=miniatures.sleep_edf(tmp_path, ["SC4001"]))
    with spec.open(spec.items()[0], tmp_path) as session:
        assert session.signal.spec.ch_names == ("Fpz-Cz", "Pz-Oz", "horizontal")
        assert session.signal.spec.ch_types == ("eeg", "eeg", "eog")
        assert [s.spec.sfreq for s in session.signals.values()] == [100.0, 1.0]


@pytest.mark.parametrize(("wake_s", "before", "after"), [(0.0, 0, 0), (30.0, 1, 1), (60.0, 2, 2), (None, 4, 3)])
def test_wake_is_kept_around_the_sleep_as_asked(tmp_path: Path, wake_s: float | None, before: int, after: int) -> None:
    spec = SleepEDF(path=miniatures.sleep_edf(tmp_path, ["SC4001"]), wake_s=wake_s)
    stages = [stage for _, _, stage in epochs(spec)]
    assert stages[: stages.index("N1")] == ["W"] * before
    assert stages[::-1][: stages[::-1].index("REM")] == ["W"] * after


def test_an_epoch_that_the_recording_does_not_hold_is_none(tmp_path: Path) -> None:
    spec = SleepEDF(path=miniatures.sleep_edf(tmp_path, ["SC4001"], tail=6))
    assert [stage for _, _, stage in epochs(spec)] == [stage for stage in NIGHT[:-2] if stage]


def test_a_night_needs_one_hypnogram(tmp_path: Path) -> None:
    root = miniatures.sleep_edf(tmp_path, ["SC4001"])
    scored = root / "sleep-cassette" / "SC4001EC-Hypnogram.edf"
    scored.with_name("SC4001EH-Hypnogram.edf").write_bytes(scored.read_bytes())
    with pytest.raises(RecordingError, match=r"2 hypnograms lie beside it. Allowed: one SC4001\.\.-Hypnogram.edf"):
        SleepEDF(path=root).items()
    scored.unlink()
    scored.with_name("SC4001EH-Hypnogram.edf").unlink()
    with pytest.raises(RecordingError, match="0 hypnograms"):
        SleepEDF(path=root).items()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([(4, "Sleep stage W"), (2, "Sleep stage 5")], "'Sleep stage 5' at 120 s is no sleep stage. Allowed: Sleep st"),
        ([(1.5, "Sleep stage 1")], "'Sleep stage 1' at 0 s lasts 45 s. Allowed: a whole number of epochs of 30 s"),
        ([(8, "Sleep stage W")], "scores no sleep. Leave this night out"),
    ],
)
def test_a_hypnogram_that_cannot_be_used_is_named(
    tmp_path: Path, stages: list[tuple[float, str]], message: str
) -> None:
    root = miniatures.sleep_edf(tmp_path, ["SC4001"])
    miniatures.hypnogram(root / "sleep-cassette" / "SC4001EC-Hypnogram.edf", stages)
    with pytest.raises(DataError, match=message):
        epochs(SleepEDF(path=root))
