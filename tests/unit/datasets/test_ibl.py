"""ibl: sessions as ONE caches them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import miniatures
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import identity
from neural_foundation.datasets.alf import choose, revisions
from neural_foundation.datasets.ibl import IBL
from neural_foundation.recordings import Session
from neural_foundation.recordings.interval_table import IntervalTable

pytest.importorskip("pyarrow")
FIRST, SECOND = (f"{path}/alf" for path in miniatures.IBL_SESSIONS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.ibl(tmp_path)


def opened(root: Path, number: int = 1, **fields: object) -> Session:
    spec = IBL.model_validate({"path": root, **fields})
    return spec.open(spec.items()[number], root)


def test_an_item_is_a_session_of_a_mouse(root: Path) -> None:
    assert [(i.id, i.subject) for i in IBL(path=root).items()] == [
        ("otherlab_OL-07_2021-03-02_002", "OL-07"),
        ("somelab_SL_001_2020-01-15_001", "SL_001"),
    ]


def test_spikes_are_one_stream_a_probe_with_what_is_known_of_each_cluster(root: Path) -> None:
    with opened(root) as session:
        assert list(session.spikes) == ["probe00", "probe01"]
        spikes = session.spikes["probe00"]
        folder = root / FIRST / "probe00" / "pykilosort"
        np.testing.assert_array_equal(spikes.times_s, np.load(folder / "spikes.times.npy"))
        np.testing.assert_array_equal(spikes.unit, np.load(folder / "spikes.clusters.npy"))
        assert spikes.n_units == 5  # the silent one counts
        assert spikes.facts["region"] == ("VISa", "CA1", "CA1", "DG", "LP")
        assert spikes.facts["channel"] == (0, 2, 2, 5, 7)
        assert spikes.facts["depth_m"] == pytest.approx((20e-6, 60e-6, 65e-6, 120e-6, 160e-6))
        assert spikes.facts["quality"][:2] == (1.0, 0.33)
        assert math.isnan(spikes.facts["quality"][2])


def test_behaviour_stays_on_its_own_times(root: Path) -> None:
    with opened(root) as session:
        assert list(session.series) == ["wheel", "left_motion_energy", "right_motion_energy"]
        assert session.series["wheel"].units == ("rad",)
        left, right = (session.series[f"{side}_motion_energy"] for side in ("left", "right"))
        assert (len(left), len(right)) == (3600, 9000)
        stored = np.load(root / FIRST / "rightCamera.ROIMotionEnergy.npy")
        np.testing.assert_array_equal(right.values[:, 0], stored)


@pytest.mark.parametrize("number", [0, 1], ids=["files of columns", "table"])
def test_trials_hold_the_whole_table(root: Path, number: int) -> None:
    with opened(root, number) as session:
        trials = session.trials
        assert isinstance(trials, IntervalTable)
        assert trials.label == ("left", "right", "left", "left", "right", "left", "right")
        assert trials.start_s.tolist() == [2.0, 8.0, 14.0, 26.0, 32.0, 38.0, 44.0]
        assert trials.facts["stimOn_times"][:2] == (2.5, 8.5)
        assert trials.facts["choice"][:2] == (1, -1)
        assert trials.facts["probabilityLeft"] == (0.5, 0.5, 0.5, 0.8, 0.8, 0.8, 0.8)
        assert trials.facts["contrast"][:2] == (-0.25, 1.0)
        assert set(trials.times) == {"stimOn_times", "feedback_times"}
        assert session.intervals["no_choice"].start_s.tolist() == [20.0]
        assert session.slice(0.0, 12.0).trials.label == ("left", "right")


def test_the_newest_revision_is_taken_and_named(root: Path) -> None:
    spec = IBL(path=root)
    item = spec.items()[0]
    assert spec.revisions(item)["probe00/spikes.times.npy"] == "2024-05-06"
    assert spec.revisions(spec.items()[1]) == {}
    newer = root / SECOND / "#2025-01-01#"
    newer.mkdir()
    np.save(newer / "_ibl_wheel.position.npy", np.arange(400.0))
    with opened(root, 0) as session:
        assert session.series["wheel"].values[-1, 0] == 399.0
    assert spec.revisions(spec.items()[0])["_ibl_wheel.position.npy"] == "2025-01-01"
    with opened(root, 0, revision="2024-12-31") as session:
        assert session.series["wheel"].values[-1, 0] != 399.0


@pytest.mark.parametrize(
    ("paths", "fields", "chosen"),
    [
        (["", "pykilosort/", "iblsorter/"], {}, ["iblsorter/"]),
        (["", "pykilosort/"], {}, ["pykilosort/"]),
        (["", "ks2/"], {}, [""]),
        (["", "ks2/"], {"sorter": "ks2"}, ["ks2/"]),
        (["ks2/"], {}, []),
        (["#a#/", "#b#/"], {}, ["#b#/"]),
        (["#a#/", "#b#/"], {"revision": "a"}, ["#a#/"]),
        (["", "#b#/"], {"revision": "a"}, [""]),
        (["#b#/"], {"revision": "a"}, []),
    ],
)
def test_one_sorting_and_one_revision_are_chosen(paths: list[str], fields: dict[str, str], chosen: list[str]) -> None:
    found = choose((f"alf/probe00/{p}spikes.times.npy" for p in paths), **fields)
    assert list(found.values()) == [f"alf/probe00/{p}spikes.times.npy" for p in chosen]
    assert set(revisions(found).values()) == {p[1:-2] for p in chosen if "#" in p}


def test_what_is_not_named_as_published_is_not_read() -> None:
    names = ["alf/probe00/spikes.times.npy", "alf/probe00/spikes.amps.npy", "alf/probe00/x/y/spikes.times.npy"]
    names += ["alf/_ibl_passive.npy", "raw_video_data/leftCamera.ROIMotionEnergy.npy", "alf/#a/spikes.times.npy"]
    assert list(choose(names).values()) == names[:1]
    assert choose(["alf/_ibl_wheel.position.npy"]) == {}  # behaviour alone is no recording


def test_a_session_without_cameras_has_no_such_series(root: Path) -> None:
    for path in (root / FIRST).glob("*eftCamera*"):
        path.unlink()
    with opened(root) as session:
        assert list(session.series) == ["wheel", "right_motion_energy"]


def broken(root: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    path = root / SECOND / name
    np.save(path, change(np.load(path)))
    return path


PROBE = "probe00/pykilosort/#2024-05-06#/"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("_ibl_trials.choice.npy", lambda x: x[:-1], "alf: the trials have 7 choice, 8 contrastLeft"),
        ("_ibl_trials.choice.npy", lambda x: x * 2, "a choice is 2. Allowed: -1, 0 or 1"),
        ("_ibl_trials.probabilityLeft.npy", lambda x: x + 1, "a probabilityLeft is no probability"),
        ("_ibl_trials.intervals.npy", lambda x: x[:, 0], r"it has shape \(8,\). Allowed: \(n_trials, 2\)"),
        ("_ibl_trials.intervals.npy", lambda x: x[::-1], "its intervals are not in order"),
        ("_ibl_wheel.position.npy", lambda x: x[:-1], "it has 399 values, _ibl_wheel.timestamps.npy 400 times"),
        ("_ibl_wheel.timestamps.npy", lambda x: x[::-1], "Times of a series fall back"),
        ("_ibl_leftCamera.times.npy", lambda x: x * np.nan, "are not all finite"),
        (PROBE + "spikes.clusters.npy", lambda x: x[:-1], "it has 299 clusters"),
        (PROBE + "spikes.clusters.npy", lambda x: x + 9, "its clusters are 9 to 12. Allowed: 0 to 4"),
        (PROBE + "spikes.times.npy", lambda x: x[::-1], "Spike times fall back"),
        (PROBE + "clusters.depths.npy", lambda x: x[:-1], "5 clusters, but 4 of depth_m"),
        (PROBE + "clusters.channels.npy", lambda x: x + 5, "8 channels, but a cluster lies on channel 12"),
    ],
)
def test_files_that_contradict_each_other_are_errors(
    root: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    broken(root, name, change)

    def read() -> None:
        with opened(root, 0) as session:
            for held in (session.spikes, session.series):
                for part in held:
                    held[part]

    with pytest.raises(RecordingError, match=message):
        read()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (PROBE + "spikes.clusters.npy", "there is no spikes.clusters.npy of its sorting"),
        ("_ibl_wheel.position.npy", "there is no _ibl_wheel.position.npy beside it"),
        ("_ibl_leftCamera.times.npy", "there is no _ibl_leftCamera.times.npy beside it"),
        ("_ibl_trials.stimOn_times.npy", "the trials have no 'stimOn_times'"),
        ("_ibl_trials.intervals.npy", "the trials have no 'intervals_0' or 'intervals_1'"),
    ],
)
def test_a_file_that_is_missing_is_named(root: Path, name: str, message: str) -> None:
    (root / SECOND / name).unlink()
    with pytest.raises(RecordingError, match=message):
        opened(root, 0)


def test_no_trials_at_all_are_an_error(root: Path) -> None:
    (root / FIRST / "_ibl_trials.table.pqt").unlink()
    with pytest.raises(RecordingError, match=r"alf: there is no _ibl_trials.table.pqt, and no file of a column"):
        opened(root)


def test_pickled_objects_are_refused(root: Path) -> None:
    np.save(root / FIRST / "_ibl_wheel.position.npy", np.array([{}], dtype=object), allow_pickle=True)
    with opened(root) as session, pytest.raises(RecordingError, match="numbers .* or fixed text"):
        session.series["wheel"]


def test_sessions_are_chosen_by_their_ids(root: Path) -> None:
    eid = "0b1c2d3e-0000-4000-8000-000000000001"
    with pytest.raises(DataError, match=f"Session {eid} was not fetched into .* data fetch ibl:{eid}"):
        IBL(path=root, eids=(eid,)).items()
    entry = {"path": miniatures.IBL_SESSIONS[0], "files": ["alf/probe00/pykilosort/spikes.times.npy"]}
    (root / "sessions.json").write_text(json.dumps({eid: entry}))
    assert [i.subject for i in IBL(path=root, eids=(eid,)).items()] == ["SL_001"]
    (root / "sessions.json").write_text(json.dumps({eid: {**entry, "path": "../x/Subjects/y/2020-01-01/001"}}))
    with pytest.raises(DataError, match="it names a file|no list of sessions"):
        IBL(path=root, eids=(eid,)).items()


def test_ids_may_stand_in_a_file_whose_content_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ("754b74d5-7a06-4004-ae0c-72a10b6ed2e6", "781b35fd-e1f0-4d14-b2bb-95b7263082bb")
    file = tmp_path / "lists" / "train.txt"
    file.parent.mkdir()
    file.write_text("\n".join(ids) + "\n")
    listed = IBL.model_validate({"eids": str(file)})
    assert listed.eids == ids
    assert identity(listed) == identity(IBL(eids=ids))
    monkeypatch.setenv("NEURAL_FOUNDATION_DATA", str(tmp_path))
    assert IBL.model_validate({"eids": "lists/train.txt"}) == listed
    with pytest.raises(DataError, match="There is no list of sessions .*none.txt. Allowed: ids, or a file"):
        IBL.model_validate({"eids": "none.txt"})
    file.write_text("no id\n")
    with pytest.raises(DataError, match="'no id' is no id of a session"):
        IBL.model_validate({"eids": str(file)})
