"""Real recordings in bins: what is counted and where the animal was, against the files themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from neural_foundation.core.store import read_json
from neural_foundation.datasets.ratgps_files import Windows, consecutive, table
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.bin import Bin
from neural_foundation.pipeline.table import STAGES
from neural_foundation.recordings import read
from neural_foundation.sampling.binned import BinnedSession

WHOLE = {"align": "none", "static": {}}


def folder(data_root: Path, name: str) -> Path:
    if not (data_root / name).is_dir():
        pytest.skip(f"no folder {name} under NEURAL_FOUNDATION_DATA")
    return data_root / name


def binned(tmp_path: Path, dataset: dict[str, Any], **fields: Any) -> dict[str, BinnedSession]:
    spec = STAGES.parse({"kind": "bin", "dataset": dataset, **WHOLE, **fields})
    assert isinstance(spec, Bin)
    made = {}
    for recording in spec.own_values():
        job = Job("bin", {"recording": recording}, 0, tmp_path / recording, {})
        spec.run(job)
        made[recording] = BinnedSession.read(job.folder)
    return made


class TestRats:
    def windows(self, root: Path) -> list[Windows]:
        found = [w for f in sorted(root.rglob("*feat.dat")) if (w := Windows.of(f)) is not None]
        assert found
        return found

    def test_overlapping_windows_are_worked_out_exactly(self, data_root: Path) -> None:
        """Each unit of each file rests in some step of each residue, so its counts follow; files of one rat agree."""
        held: dict[tuple[str, str], np.ndarray] = {}
        for windows in self.windows(folder(data_root, "ratgps")):
            counts, known = consecutive(windows.read()[0], windows.steps)
            assert known.all(), windows.counts.name
            first = held.setdefault((windows.rat, windows.task), counts)
            n = min(len(first), len(counts))
            assert abs(len(first) - len(counts)) <= 1
            np.testing.assert_array_equal(first[:n], counts[:n])

    def test_a_position_is_that_of_the_middle_of_its_window(self, data_root: Path) -> None:
        whole = {(w.rat, w.task, w.steps): w for w in self.windows(folder(data_root, "ratgps"))}
        pairs = [(w, whole[rat, task, 7]) for (rat, task, steps), w in whole.items() if steps == 1]
        assert pairs
        for short, long in pairs:
            near, far = table(short.position), table(long.position)
            assert (long.at_s - short.at_s) == pytest.approx(3 * short.step_s)
            np.testing.assert_array_equal(near[3 : 3 + len(far)], far)

    @pytest.mark.parametrize("task", ["2D", "1D"])
    def test_every_rat_is_binned(self, task: str, data_root: Path, tmp_path: Path) -> None:
        dataset = {"kind": "ratgps", "path": folder(data_root, "ratgps"), "task": task}
        made = binned(tmp_path, dataset, bin_s=0.2, dynamic={"position": {}}, min_rate_hz=0.0)
        assert len(made) >= 2
        for name, session in made.items():
            assert session.spec.subject == name.partition("-")[0]
            assert session.length[0] > 5000
            assert not np.isnan(session.values["position"]).any()
            assert session.values["spikes"].shape[1] >= 20
            if task == "2D":
                assert session.modalities[1].unit == "cm"
                assert (np.ptp(session.values["position"], axis=0) > 80).all()
                step = np.linalg.norm(np.diff(session.values["position"], axis=0), axis=1)
                assert np.median(step) < 5  # cm in 0.2 s: rows follow each other

    def test_bins_of_20_ms_add_up(self, data_root: Path, tmp_path: Path) -> None:
        root = folder(data_root, "ratgps")
        if not list(root.rglob("*_20ms.mat")):
            pytest.skip("no file of 20 ms")
        fields = {"dynamic": {"position": {}}, "min_rate_hz": 0.0}
        fine = binned(tmp_path / "fine", {"kind": "ratgps", "path": root, "counts": "20ms"}, bin_s=0.02, **fields)
        coarse = binned(tmp_path / "coarse", {"kind": "ratgps", "path": root}, bin_s=0.2, **fields)
        for name, session in fine.items():
            assert session.start_s[0] == pytest.approx(0.1)
            counts = np.asarray(session.values["spikes"])[5:]
            counts = counts[: len(counts) // 10 * 10].reshape(-1, 10, counts.shape[1]).sum(1)
            np.testing.assert_array_equal(counts, coarse[name].values["spikes"][1 : 1 + len(counts)])
            near = np.asarray(session.values["position"])[::10]  # 0.01 s after a position of the file, of every 0.2 s
            assert np.abs(near - coarse[name].values["position"][: len(near)]).max() < 1


class TestMacaques:
    def test_m1(self, data_root: Path, tmp_path: Path) -> None:
        root = folder(data_root, "spykesml")
        dataset = {"kind": "spykesml", "path": root / "m1_stevenson_2011.mat"}
        made = binned(tmp_path, dataset, bin_s=0.05, dynamic={"velocity": {}, "position": {}}, min_rate_hz=0.0)
        session, file = made["m1_stevenson_2011"], loadmat(root / "m1_stevenson_2011.mat")
        np.testing.assert_array_equal(session.values["spikes"], file["spikes"].T)
        np.testing.assert_allclose(session.values["velocity"], file["handVel"][:2].T, atol=1e-6)
        np.testing.assert_allclose(session.values["position"], file["handPos"][:2].T, atol=1e-6)
        assert session.start_s[0] == pytest.approx(float(file["time"].ravel()[0]))
        assert read_json(tmp_path / "m1_stevenson_2011" / "binned.json")["facts"]["units"]["of"] == 171

    def test_velocity_is_read_out_of_the_spikes(self, data_root: Path, tmp_path: Path) -> None:
        """A ridge on ten bins, blocked in time, as measured before: 0.84 and 0.73 of the variance."""
        root = folder(data_root, "spykesml")
        dataset = {"kind": "spykesml", "path": root / "m1_stevenson_2011.mat"}
        made = binned(tmp_path, dataset, bin_s=0.05, dynamic={"velocity": {}}, min_rate_hz=0.0)["m1_stevenson_2011"]
        counts, hand = (np.asarray(made.values[n], np.float64) for n in ("spikes", "velocity"))
        lags = np.concatenate([np.roll(counts, lag, axis=0) for lag in range(10)], axis=1)[10:]
        lags, hand = np.concatenate([lags, np.ones((len(lags), 1))], 1), hand[10:]
        cut = len(lags) * 4 // 5
        gram = lags[:cut].T @ lags[:cut] + 100 * np.eye(lags.shape[1])
        guess = lags[cut:] @ np.linalg.solve(gram, lags[:cut].T @ hand[:cut])
        r2 = 1 - ((guess - hand[cut:]) ** 2).sum(0) / ((hand[cut:] - hand[cut:].mean(0)) ** 2).sum(0)
        assert (r2 > [0.82, 0.70]).all()


def test_spike_times_of_a_layout(data_root: Path, tmp_path: Path) -> None:
    """Sorted units of the hippocampus, found by a layout that lies beside a copy of the file."""
    source = folder(data_root, "nelpy-hippocampus") / "linear-track" / "spikes.mat"
    data = tmp_path / "rat"
    data.mkdir()
    shutil.copyfile(source, data / "track.mat")
    layout = {"spikes": {"units": {"trains": "spikes.*.*.*.*.time"}}}
    (data / "layout.yaml").write_text(json.dumps(layout))
    made = binned(tmp_path / "out", {"kind": "recordings", "path": data}, dynamic={}, bin_s=0.1, min_rate_hz=0.1)
    session, told = made["track"], read_json(tmp_path / "out" / "track" / "binned.json")["facts"]
    assert session.spec.subject == "track"
    assert told["units"]["of"] - told["units"]["silent"] == 31
    assert told["units"]["kept"] == 23
    with read(data / "track.mat") as whole:
        train = whole.spikes["units"].train(session.spec.channels[0][0])
    edges = session.start_s[0] + 0.1 * np.arange(session.length[0] + 1)
    theirs = np.histogram(train, edges)[0]
    assert int(session.values["spikes"][:, 0].sum()) == pytest.approx(int(theirs.sum()), abs=1)
    assert (session.values["spikes"][:, 0] != theirs).mean() < 1e-3
