"""bin: sessions as files hold them, in bins; what is left out is said, what cannot be is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.lineage import Output, pseudonyms
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.bin import CHAINS, Bin, Binned
from neural_foundation.pipeline.table import STAGES
from neural_foundation.recordings import ArraySignal, Series, Session, Spikes, write_whole_session
from neural_foundation.recordings.interval_table import IntervalTable
from neural_foundation.sampling.binned import BinnedSession

N = 12
ONSET = 3.0 + 4.0 * np.arange(N)
PARTS = dict[str, Any]


def parts(seed: int = 0) -> PARTS:
    """Return what a session of the task is made of: two probes, wheel, two cameras, an LFP, 12 trials."""
    rng = np.random.default_rng(seed)

    def train(rate: float) -> np.ndarray:
        return np.sort(rng.uniform(0, 60, int(60 * rate)))

    probes = {
        "probe00": Spikes.of(
            {"7": train(5), "9": train(0.2), "12": np.zeros(0)},
            {"region": ("CA1", "CA1", "LP"), "quality": (1.0, 1.0, 0.3)},
        ),
        "probe01": Spikes.of({"7": train(20), "8": train(3)}, {"region": ("PO", "LP"), "quality": (0.33, 1.0)}),
    }
    turn = np.arange(0, 60, 0.05)
    left, right = np.arange(0, 60, 1 / 60), np.arange(0, 60, 1 / 150)
    series = {
        "wheel": Series(turn, 0.5 * turn, ("position",), ("rad",)),
        "left_motion_energy": Series(left, 1 + np.sin(left), ("motion_energy",)),
        "right_motion_energy": Series(right, 5 + np.cos(right), ("motion_energy",)),
    }
    choice = np.where(np.arange(N) % 2 == 0, 1, -1)
    facts = {
        "stimOn_times": tuple(ONSET.tolist()),
        "choice": tuple(choice.tolist()),
        "probabilityLeft": (0.5,) * 4 + (0.2,) * 4 + (0.8,) * 4,
    }
    lfp = SignalSpec(sfreq=250, ch_names=("l1", "l2"), ch_types=("seeg", "seeg"))
    return {
        "signals": {"lfp": ArraySignal(rng.normal(size=(2, 15_000)) * 1e-4, lfp)},
        "spikes": probes,
        "series": series,
        "trials": IntervalTable(ONSET - 0.5, ONSET + 2, ("go",) * N, facts, ("stimOn_times",)),
    }


def written(folder: Path, made: PARTS | None = None, name: str = "mouse_day1") -> Path:
    made = made or parts()
    folder.mkdir(exist_ok=True)
    session = Session(name, "mouse", made["signals"], made["trials"], spikes=made["spikes"], series=made["series"])
    write_whole_session(folder / f"{name}.h5", session)
    return folder


def stage(path: Path, **fields: Any) -> Bin:
    made = STAGES.parse({"kind": "bin", "dataset": {"kind": "recordings", "path": path}, **fields})
    assert isinstance(made, Bin)
    return made


def outcome(spec: Bin, folder: Path) -> tuple[BinnedSession, dict[str, Any]]:
    (recording,) = spec.own_values()
    job = Job("bin", {"recording": recording}, 0, folder / "out", {})
    job.folder.mkdir(parents=True, exist_ok=True)
    spec.run(job)
    assert job.subjects == {"mouse"}
    assert not (job.folder / CHAINS).exists()
    return BinnedSession.read(job.folder), read_json(job.folder / "binned.json")["facts"]


def changed(folder: Path, change: Callable[[PARTS], object], **fields: Any) -> tuple[BinnedSession, dict[str, Any]]:
    """Return the outcome for a session of which something is changed."""
    made = parts()
    change(made)
    return outcome(stage(written(folder / "data", made), **fields), folder)


def facts(made: PARTS, **columns: tuple[Any, ...]) -> None:
    old = made["trials"]
    made["trials"] = IntervalTable(old.start_s, old.end_s, old.label, {**old.facts, **columns}, old.times)


class TestTheTask:
    @pytest.fixture
    def made(self, tmp_path: Path) -> tuple[BinnedSession, dict[str, Any]]:
        return outcome(stage(written(tmp_path / "data")), tmp_path)

    def test_shapes_and_names(self, made: tuple[BinnedSession, dict[str, Any]]) -> None:
        session, _ = made
        assert session.spec.name == "mouse_day1"
        names = ["spikes", "wheel_speed", "left_motion_energy", "right_motion_energy", "choice", "block"]
        assert [m.name for m in session.modalities] == names
        assert [m.kind for m in session.modalities] == ["counts", *["continuous"] * 3, *["classes"] * 2]
        assert session.modalities[1].unit == "rad/s"
        assert session.modalities[-1].classes == ("0.2", "0.5", "0.8")
        assert session.spec.channels[0] == ("probe00/7", "probe01/7", "probe01/8")
        assert session.spec.regions == ("CA1", "PO", "LP")
        assert session.values["spikes"].shape == (N * 100, 3)
        np.testing.assert_allclose(session.start_s, ONSET - 0.5)
        assert session.first.tolist() == list(range(0, N * 100, 100))
        assert set(session.length) == {100}

    def test_values_are_those_of_the_recording(self, made: tuple[BinnedSession, dict[str, Any]]) -> None:
        session, _ = made
        times = parts()["spikes"]["probe01"].train("8")
        edges = session.start_s[:, None] + 0.02 * np.arange(101)
        counts = np.concatenate([np.histogram(times, e)[0] for e in edges])
        np.testing.assert_array_equal(session.values["spikes"][:, 2], counts)
        np.testing.assert_allclose(session.values["wheel_speed"], 0.5, rtol=1e-5)
        assert session.values["choice"].tolist() == [0, 1] * 6
        assert session.values["block"].tolist() == [1] * 4 + [0] * 4 + [2] * 4

    def test_each_camera_keeps_its_own_values(self, made: tuple[BinnedSession, dict[str, Any]]) -> None:
        """The published code writes the right camera's energy over the left one's."""
        session, _ = made
        middle = (session.start_s[:, None] + 0.02 * (np.arange(100) + 0.5)).reshape(-1)
        left, right = (session.values[f"{side}_motion_energy"][:, 0] for side in ("left", "right"))
        np.testing.assert_allclose(left, 1 + np.sin(middle), atol=1e-3)
        np.testing.assert_allclose(right, 5 + np.cos(middle), atol=1e-3)

    def test_what_is_left_out_is_said(self, made: tuple[BinnedSession, dict[str, Any]]) -> None:
        _, told = made
        assert told["units"] == {"of": 5, "kept": 3, "silent": 1, "below_min_rate": 1}
        assert told["trials"] == {"of": N, "kept": N, "overlapping": 0}
        assert told["classes"]["block"] == {"0.2": 4, "0.5": 4, "0.8": 4, "": 0}
        assert told["said"].startswith("3 of 5 units (1 silent, 1 below min rate); 12 of 12 trials")
        assert told["dataset"]["title"] == "your recordings"


class TestUnits:
    def test_thresholds(self, tmp_path: Path) -> None:
        _, told = outcome(stage(written(tmp_path / "data"), min_rate_hz=0, max_rate_hz=10, min_quality=0.3), tmp_path)
        assert told["units"] == {
            "of": 5,
            "kept": 3,
            "quality": 0,
            "silent": 1,
            "below_min_rate": 0,
            "above_max_rate": 1,
        }
        made, told = outcome(stage(tmp_path / "data", min_quality=1.0), tmp_path)
        assert told["units"] == {"of": 5, "kept": 2, "quality": 2, "silent": 0, "below_min_rate": 1}
        assert made.spec.channels[0] == ("probe00/7", "probe01/8")

    def test_one_probe_keeps_its_ids(self, tmp_path: Path) -> None:
        made, _ = outcome(stage(written(tmp_path / "data"), spikes=["probe01"]), tmp_path)
        assert made.spec.channels[0] == ("7", "8")

    @pytest.mark.parametrize(
        ("fields", "change", "message"),
        [
            ({"min_rate_hz": 100}, None, "No unit of recording 'mouse_day1' is left of 5: 1 silent, 4 below min rate"),
            (
                {"min_quality": 1},
                lambda p: p.update(spikes={"a": Spikes.of({"u": ONSET})}),
                "units .* have no `quality`",
            ),
            ({"spikes": ["probe2"]}, None, "no spikes 'probe2'. Did you mean 'probe0"),
            ({"spikes": ["lfp"]}, None, "Signal 'lfp' .* is no signal of counts: it has units 'V'"),
            ({}, lambda p: p.update(spikes={}), "has no spikes, and no signal 'counts'. Allowed: 'lfp'"),
            (
                {},
                lambda p: p.update(spikes={"a": Spikes.of({"u": []})}),
                "'a' of recording 'mouse_day1' holds no spike",
            ),
        ],
    )
    def test_refusals(self, tmp_path: Path, fields: dict[str, Any], change: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            changed(tmp_path, change or (lambda p: None), **fields)


class TestTrials:
    def test_those_without_an_onset_or_outside_are_left_out(self, tmp_path: Path) -> None:
        onset = ONSET.tolist()
        onset[2], onset[11] = None, 59.9
        session, told = changed(tmp_path, lambda p: facts(p, stimOn_times=tuple(onset)))
        assert told["trials"] == {"of": N, "kept": N - 2, "no_onset": 1, "outside": 1, "overlapping": 0}
        assert session.values["choice"].tolist() == [0, 1, 1, 0, 1, 0, 1, 0, 1, 0]

    def test_overlap_is_said(self, tmp_path: Path) -> None:
        _, told = outcome(stage(written(tmp_path / "data"), length_s=5.0), tmp_path)
        assert told["trials"]["overlapping"] == N - 1

    def test_their_start_is_an_onset_too(self, tmp_path: Path) -> None:
        session, _ = outcome(stage(written(tmp_path / "data"), align="", start_s=0.1), tmp_path)
        np.testing.assert_allclose(session.start_s, ONSET - 0.4)

    @pytest.mark.parametrize(
        ("fields", "change", "message"),
        [
            ({}, lambda p: p.update(trials=IntervalTable()), "'mouse_day1' has no trials. Set `align: none`"),
            ({"align": "stimOn"}, None, "no column 'stimOn'. Did you mean 'stimOn_times'"),
            ({"start_s": 100}, None, "No trial of recording 'mouse_day1' is left: 12 outside"),
            ({}, lambda p: facts(p, choice=(1,) * N), "has no trial of 'choice' 'right'"),
            ({"on_missing": "allow"}, lambda p: facts(p, choice=(1,) * N), "has no trial of 'choice' 'right'"),
            ({}, lambda p: facts(p, probabilityLeft=(0.5,) * 6 + (0.2,) * 6), "has no trial of 'block' '0.8'"),
            ({"static": {"side": {}}}, None, "The trials have no column 'side' for 'side'"),
            ({"dynamic": {"pupil": {}}}, None, "has no series or signal 'pupil' for 'pupil'.*on_missing: allow"),
            ({"lfp": {"source": "field"}}, None, "has no series or signal 'field' for 'lfp'.*Correct `lfp`"),
            ({"dynamic": {"wheel": {"columns": ["x"]}}}, None, "'wheel' asks for column 'x'"),
        ],
    )
    def test_refusals(self, tmp_path: Path, fields: dict[str, Any], change: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            changed(tmp_path, change or (lambda p: None), **fields)

    def test_trials_without_a_class(self, tmp_path: Path) -> None:
        made = (1, -1, 0) * 4
        session, told = changed(tmp_path, lambda p: facts(p, choice=made))
        assert session.values["choice"].tolist() == [0, 1, -1] * 4
        assert told["classes"]["choice"] == {"left": 4, "right": 4, "": 4}
        session, told = outcome(stage(tmp_path / "data", on_no_class="drop_trial"), tmp_path)
        assert session.values["choice"].tolist() == [0, 1] * 4
        assert told["trials"] == {"of": N, "kept": 8, "no_class": 4, "overlapping": 0}
        np.testing.assert_allclose(session.start_s[:3], ONSET[[0, 1, 3]] - 0.5)

    def test_what_a_session_lacks_may_be_missing(self, tmp_path: Path) -> None:
        def lacking(made: PARTS) -> None:
            del made["series"]["right_motion_energy"]
            facts(made, probabilityLeft=(0.5,) * 6 + (0.2,) * 6)

        session, told = changed(tmp_path, lacking, on_missing="allow")
        assert told["absent"] == ["right_motion_energy"]
        assert session.spec.channels[3] == ()
        assert session.modalities[-1].classes == ("0.2", "0.5", "0.8")
        assert told["classes"]["block"]["0.8"] == 0


class TestGaps:
    @staticmethod
    def gap(made: PARTS) -> None:
        whole = made["series"]["left_motion_energy"]
        seen = (whole.times_s < 7.0) | (whole.times_s > 7.5)  # in the second trial
        made["series"]["left_motion_energy"] = Series(whole.times_s[seen], whole.values[seen], whole.names)

    def test_they_are_masked(self, tmp_path: Path) -> None:
        session, told = changed(tmp_path, self.gap)
        unknown = np.flatnonzero(np.isnan(session.values["left_motion_energy"][:, 0]))
        assert session.n_trials == N
        assert (unknown.min(), unknown.max()) == (124, 150)
        assert told["gaps"]["left_motion_energy"] == pytest.approx(27 / 1200)
        assert "left_motion_energy unknown in 2.2% of the bins" in told["said"]

    def test_or_their_trial_is_left_out(self, tmp_path: Path) -> None:
        session, told = changed(tmp_path, self.gap, on_gap="drop_trial")
        assert told["trials"]["gaps"] == 1
        assert not np.isnan(session.values["left_motion_energy"]).any()
        np.testing.assert_allclose(session.start_s, np.delete(ONSET, 1) - 0.5)

    def test_a_behaviour_that_is_never_known(self, tmp_path: Path) -> None:
        def gone(made: PARTS) -> None:
            made["series"]["wheel"] = Series(np.array([0.0, 1.0]), np.zeros(2), ("position",), ("rad",))

        with pytest.raises(DataError, match="'wheel_speed' of recording 'mouse_day1' is known in no bin"):
            changed(tmp_path, gone)


class TestSignals:
    def test_lfp_is_a_modality(self, tmp_path: Path) -> None:
        session, _ = outcome(stage(written(tmp_path / "data"), lfp={"source": "lfp"}), tmp_path)
        assert [m.name for m in session.modalities][:2] == ["spikes", "lfp"]
        assert session.spec.channels[1] == ("l1", "l2")
        whole = parts()["signals"]["lfp"].read()
        np.testing.assert_allclose(
            session.values["lfp"][:100], whole[:, 625:1125].reshape(2, 100, 5).mean(2).T, atol=1e-9
        )

    def test_through_a_chain(self, tmp_path: Path) -> None:
        ops = [{"kind": "pick", "channels": ["l2"]}, {"kind": "scale", "gain": 3.0}]
        plain, _ = outcome(stage(written(tmp_path / "data"), lfp={"source": "lfp", "columns": ["l2"]}), tmp_path / "a")
        made, _ = outcome(stage(tmp_path / "data", lfp={"source": "lfp", "signals": ops}), tmp_path / "b")
        assert (plain.spec.channels[1], made.spec.channels[1]) == (("l2",), ("lfp",))
        np.testing.assert_allclose(made.values["lfp"], 3 * plain.values["lfp"], atol=1e-9)

    def test_a_series_takes_no_chain(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="'wheel' is a series, which no chain takes"):
            changed(tmp_path, lambda p: None, dynamic={"wheel": {"signals": ["clip"]}})

    def test_counts_are_summed_from_where_their_bins_begin(self, tmp_path: Path) -> None:
        counts = np.random.default_rng(0).poisson(1.0, (2, 6000))

        def binned(made: PARTS) -> None:
            spec = SignalSpec(sfreq=100, ch_names=("u1", "u2"), units=("", ""))
            made["signals"] = {"counts": ArraySignal(counts, spec, start_s=0.003)}
            made["spikes"] = {}

        session, _ = changed(tmp_path, binned)
        np.testing.assert_allclose(session.start_s, ONSET - 0.497)
        np.testing.assert_array_equal(session.values["spikes"][:100], counts[:, 250:450].reshape(2, 100, 2).sum(2).T)
        with pytest.raises(DataError, match="bin_s=0.025 cannot be made of counts in bins of 0.01 s"):
            outcome(stage(tmp_path / "data", bin_s=0.025), tmp_path)


class TestWithoutTrials:
    def test_the_stretch_that_has_everything_is_one_trial(self, tmp_path: Path) -> None:
        spec = stage(written(tmp_path / "data"), align="none", static={}, bin_s=0.1)
        session, told = outcome(spec, tmp_path)
        made = parts()
        low = max(float(s.times_s[0]) for s in (*made["spikes"].values(), *made["series"].values()))
        high = min(float(s.times_s[-1]) for s in (*made["spikes"].values(), *made["series"].values()))
        assert session.n_trials == 1
        assert session.start_s[0] == pytest.approx(low)
        assert session.length[0] == int((high - low) / 0.1)
        assert not any(np.isnan(session.values[n]).any() for n in ("wheel_speed", "left_motion_energy"))
        assert told["trials"] == {"of": 1, "kept": 1, "overlapping": 0}

    def test_times_that_do_not_meet(self, tmp_path: Path) -> None:
        def apart(made: PARTS) -> None:
            times = np.arange(100, 110, 0.1)
            made["series"]["wheel"] = Series(times, times, ("position",))

        with pytest.raises(DataError, match="no time of recording 'mouse_day1' when it has everything: .*100 to"):
            changed(tmp_path, apart, align="none", static={}, dynamic={"wheel": {}})

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"align": "none"}, "there are no trials, so no classes"),
            ({"align": "none", "static": {}, "on_gap": "drop_trial"}, "there is no trial to drop"),
            ({"length_s": 0.03}, "length_s 0.03 is no whole number of bins of 0.02 s"),
            ({"max_rate_hz": 0.1}, "max_rate_hz 0.1 is below min_rate_hz 0.5"),
            ({"dynamic": {"choice": {}}}, "two modalities are named 'choice'"),
            ({"dynamic": {"spikes": {}}}, "two modalities are named 'spikes'"),
        ],
    )
    def test_settings_that_do_not_go_together(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            STAGES.parse({"kind": "bin", "dataset": "ibl", **fields})


def test_sessions_of_ibl(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    dataset = {"kind": "ibl", "path": miniatures.ibl(tmp_path / "ibl")}
    static = {
        "choice": {"classes": {"left": 1, "right": -1}},
        "block": {"source": "probabilityLeft", "classes": [0.5, 0.8]},
    }
    stages = {"bin": {"kind": "bin", "dataset": dataset, "static": static}}
    plan = make_plan(check({"name": "mice", "stages": stages}), tmp_path / "out")
    run(plan)
    outputs: list[Output] = [o for t in plan.tasks if (o := t.output()) is not None]
    data = Binned.of(outputs[::-1])
    assert [s.spec.name for s in data.sessions] == ["otherlab_OL-07_2021-03-02_002", "somelab_SL_001_2020-01-15_001"]
    assert data.subjects == ("OL-07", "SL_001")
    assert data.dataset["licence"] == "CC BY 4.0"
    assert data.folders == tuple(o.folder for o in data.outputs)
    assert outputs[0].manifest["subjects"] == pseudonyms(["OL-07"], tmp_path / "out")
    assert [len(s.spec.channels[0]) for s in data.sessions] == [4, 8]
    assert all(f["units"]["silent"] for f in data.facts)
    assert data.sessions[1].spec.channels[0][4] == "probe01/0"
    assert data.sessions[0].n_trials == 7  # one trial has no choice


def test_an_nwb_file(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    miniatures.nwb(tmp_path / "data" / "sub-Jenkins" / "sub-Jenkins_ses-1.nwb")
    spec = stage(tmp_path / "data")
    with spec.dataset.open(spec.dataset.items()[0], tmp_path) as session:
        (signal,) = session.signals
    made = stage(tmp_path / "data", align="none", static={}, bin_s=0.25, dynamic={"velocity": signal}, min_rate_hz=0)
    job = Job("bin", {"recording": made.own_values()[0]}, 0, tmp_path / "out", {})
    made.run(job)
    binned = BinnedSession.read(job.folder)
    assert binned.values["spikes"].shape[1] == 2
    assert not np.isnan(binned.values["velocity"]).any()
