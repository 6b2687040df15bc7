"""spykesml: .mat files of counts and a hand, either way round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest
from scipy.io import savemat

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.store import read_json
from neural_foundation.datasets.spykesml import SpykesML
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.table import STAGES
from neural_foundation.recordings import Session
from neural_foundation.sampling.binned import BinnedSession


def opened(path: Path, **fields: Any) -> Session:
    spec = SpykesML(path=path, **fields)
    (item,) = spec.items()
    return spec.open(item, path)


def matlab(folder: Path, **arrays: Any) -> Path:
    rng = np.random.default_rng(0)
    held = {"spikes": rng.poisson(1.0, (5, 40)).astype(np.uint8), "vel": rng.normal(size=(2, 40))}
    savemat(folder / "made.mat", {k: v for k, v in (held | arrays).items() if v is not None}, do_compression=True)
    return folder / "made.mat"


def test_a_session_a_file(tmp_path: Path) -> None:
    miniatures.spykesml(tmp_path)
    items = SpykesML(path=tmp_path).items()
    assert [(i.id, i.subject) for i in items] == [(n, n) for n in ("m1_stevenson_2011", "s1_data")]
    (tmp_path / "hipp_mizuseki_2009.mat").write_bytes(b"")
    assert SpykesML(path=tmp_path).items() == items
    assert len(SpykesML(path=tmp_path, exclude=("s1_data",)).items()) == 1


def test_the_layout_of_m1(tmp_path: Path) -> None:
    made = miniatures.spykesml_arrays()
    miniatures.spykesml(tmp_path)
    with opened(tmp_path / "data" / "m1_stevenson_2011.mat") as session:
        assert list(session.signals) == ["counts", "velocity", "position"]
        counts, velocity = session["counts"], session["velocity"]
        np.testing.assert_array_equal(counts.read(), made["spikes"])
        np.testing.assert_allclose(velocity.read(), made["hand"], rtol=1e-6)  # the third row is zero
        assert velocity.spec.ch_names == ("x", "y")
        assert counts.spec.sfreq == velocity.spec.sfreq == 20.0
        assert counts.start_s == velocity.start_s == pytest.approx(12.591)
        assert counts.spec.units == ("",) * len(made["spikes"])


def test_the_layout_of_s1(tmp_path: Path) -> None:
    made = miniatures.spykesml_arrays()
    miniatures.spykesml(tmp_path)
    file = tmp_path / "data" / "s1_data.mat"
    with opened(file) as session:
        np.testing.assert_array_equal(session["counts"].read(), made["spikes"])
        np.testing.assert_allclose(session["position"].read(), 2 * made["hand"], rtol=1e-6)
        assert session["counts"].spec.sfreq == 20.0
    with opened(file, bin_s=0.1) as session:
        assert session["counts"].spec.sfreq == 10.0


def test_a_hand_in_space_keeps_its_third_axis(tmp_path: Path) -> None:
    hand = np.random.default_rng(1).normal(size=(3, 40))
    with opened(matlab(tmp_path, vel=hand)) as session:
        assert session["velocity"].spec.ch_names == ("x", "y", "z")


def test_a_gap_of_the_hand_is_not_known_in_its_bins(tmp_path: Path) -> None:
    hand = np.random.default_rng(1).normal(size=(3, 40))
    hand[2] = 0.0
    hand[:, 10:13] = np.nan
    with opened(matlab(tmp_path, vel=hand)) as session:
        assert session["velocity"].spec.ch_names == ("x", "y")  # zero wherever it is known
    stage: Any = STAGES.parse(
        {
            "kind": "bin",
            "dataset": {"kind": "spykesml", "path": str(tmp_path)},
            "bin_s": 0.05,
            "align": "none",
            "min_rate_hz": 0.0,
            "dynamic": {"velocity": "velocity"},
            "static": {},
        }
    )
    stage.run(Job("bin", {"recording": "made"}, 0, tmp_path / "out", {}))
    made = BinnedSession.read(tmp_path / "out").values["velocity"]
    assert np.flatnonzero(np.isnan(made).any(1)).tolist() == [10, 11, 12]
    np.testing.assert_allclose(made[13:], hand[:2, 13:].T, rtol=1e-6)
    facts = read_json(tmp_path / "out" / "binned.json")["facts"]
    assert facts["gaps"] == {"velocity": 3 / 40}
    assert "velocity unknown in 7.5% of the bins" in facts["said"]


def test_the_longest_shared_axis_is_time(tmp_path: Path) -> None:
    spikes = np.random.default_rng(0).poisson(1.0, (40, 30))
    with opened(matlab(tmp_path, spikes=spikes)) as session:
        np.testing.assert_array_equal(session["counts"].read(), spikes.T)


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({"spikes": None}, {}, "it holds 'vel'. Allowed: a matrix 'spikes'"),
        ({"vel": None}, {}, "it holds 'spikes'"),
        ({"vel": np.zeros((2, 41))}, {}, "no axis of its arrays is time: 'spikes' 5 x 40, 'vel' 2 x 41"),
        ({"vel": np.full((2, 40), np.inf)}, {}, "'vel' holds infinite values. Allowed: numbers, and NaN where"),
        ({"vel": np.ones((4, 40))}, {}, "'vel' has 4 axes"),
        ({"vel": "words"}, {}, "'vel' is no matrix of numbers"),
        ({"spikes": np.full((5, 40), 0.5)}, {}, "'spikes' are no counts"),
        ({"spikes": np.full((5, 40), -1.0)}, {}, "'spikes' are no counts"),
        ({"time": np.arange(39.0)}, {}, "it has 40 bins, but 39 times"),
        ({"time": np.r_[np.arange(39.0), 60]}, {}, "the steps of its 'time' are not even"),
        ({"time": np.arange(40.0)[::-1]}, {}, "the steps of its 'time' are not even"),
        ({"time": np.arange(40.0) / 10}, {"bin_s": 0.05}, "bins are 0.1 s long, not bin_s=0.05"),
    ],
)
def test_refusals(arrays: dict[str, Any], fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=message):
        opened(matlab(tmp_path, **arrays), **fields)


def test_a_file_that_was_cut(tmp_path: Path) -> None:
    file = matlab(tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RecordingError, match="made.mat"):
        opened(file)
    file.write_bytes(b"no MAT-file at all")
    with pytest.raises(RecordingError, match="does not start as MAT-files"):
        opened(file)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No recordings of spykesML"):
        SpykesML(path=tmp_path).items()
