"""Files that temporaldata itself wrote, in the layouts of brainsets, open here with equal content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import temporaldata as td

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Intervals, read
from neural_foundation.recordings.convert import differences
from neural_foundation.recordings.hdf5_whole import write_whole_session
from neural_foundation.recordings.interval_table import IntervalTable

RNG = np.random.default_rng(5)
TIMES = np.sort(RNG.uniform(1.0, 9.0, 200))
UNIT = RNG.integers(0, 3, 200)
POS = RNG.normal(size=(50, 2))
SPEED = RNG.normal(size=50)
WHEEL = RNG.normal(size=800)


def spikes(**more: Any) -> td.IrregularTimeSeries:
    return td.IrregularTimeSeries(timestamps=TIMES, unit_index=UNIT, domain=td.Interval(0.0, 10.0), **more)


def units(**more: Any) -> td.ArrayDict:
    return td.ArrayDict(id=np.array(["g/u0", "g/u1", "g/u2"]), brain_region=np.array(["M1", "M1", "PMd"]), **more)


def cursor() -> td.IrregularTimeSeries:
    times = np.linspace(1.0, 9.0, 50)
    return td.IrregularTimeSeries(timestamps=times, pos=POS, speed=SPEED, domain="auto")


def trials() -> td.Interval:
    return td.Interval(
        start=np.array([1.0, 3.0, 5.0]),
        end=np.array([2.0, 4.0, 6.0]),
        go_cue_time=np.array([1.5, 3.5, 5.5]),
        target_id=np.array([2, -1, 7]),
        result=np.array(["R", "A", "R"]),
        is_valid=np.array([True, False, True]),
        timekeys=["start", "end", "go_cue_time"],
    )


def brainset(**more: Any) -> td.Data:
    nested = td.Data(
        wheel=td.RegularTimeSeries(sampling_rate=100.0, domain_start=1.0, speed=WHEEL),
        arm=td.RegularTimeSeries(sampling_rate=10.0, pos=np.ones((80, 3)), n=np.arange(80)),
        domain=td.Interval(0.0, 10.0),
    )
    return td.Data(
        brainset=td.Data(id="made_up_2024", derived_version="1.0.0"),
        subject=td.Data(id="monkey", species="MACACA", age=3.5, sex="MALE"),
        session=td.Data(id="monkey_day1", recording_date="2013-08-19"),
        device=td.Data(id="array", recording_tech="UTAH"),
        spikes=spikes(waveforms=np.zeros((200, 48))),
        units=units(depth=np.array([0.1, np.nan, 0.3]), waveform_mean=np.zeros((3, 4)), traces=np.zeros((3, 40, 50))),
        trials=trials(),
        movement_phases=td.Data(hold=td.Interval(np.array([1.0]), np.array([1.5])), domain=td.Interval(0.0, 10.0)),
        cursor=cursor(),
        licks=td.IrregularTimeSeries(timestamps=np.array([2.0, 4.0]), domain="auto"),
        behavior=nested,
        train_domain=td.Interval(0.0, 6.0),
        images=np.zeros((2, 4)),
        electrodes=td.ArrayDict(impedance=np.ones(96)),
        domain=td.Interval(0.0, 10.0),
        **more,
    )


def save(path: Path, data: td.Data) -> Path:
    with h5py.File(path, "w") as file:
        data.to_hdf5(file)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("brainset") / "x.h5", brainset())


def test_spikes_and_units(path: Path) -> None:
    with read(path) as session:
        found = session.spikes["spikes"]
        assert np.array_equal(found.times_s, TIMES)
        assert np.array_equal(found.unit, UNIT)
        assert found.unit_ids == ("g/u0", "g/u1", "g/u2")
        assert found.facts["brain_region"] == ("M1", "M1", "PMd")
        assert found.facts["waveform_mean"] == ([0.0] * 4,) * 3
        assert (session.session_id, session.subject) == ("monkey_day1", "monkey")


def test_trials_keep_their_columns(path: Path) -> None:
    facts = {
        "go_cue_time": (1.5, 3.5, 5.5),
        "target_id": (2, -1, 7),
        "result": ("R", "A", "R"),
        "is_valid": (True, False, True),
    }
    expected = IntervalTable([1.0, 3.0, 5.0], [2.0, 4.0, 6.0], ("trial",) * 3, facts, ("go_cue_time",))
    with read(path) as session:
        assert session.trials == expected


def test_uneven_behaviour(path: Path) -> None:
    with read(path) as session:
        found = session.series["cursor"]
        assert found.names == ("pos[0]", "pos[1]", "speed")
        assert np.array_equal(found.values, np.c_[POS, SPEED])
        assert found.units == ("", "", "")
        assert session.series["licks"].values.shape == (2, 0)
        assert session.series["licks"].times_s.tolist() == [2.0, 4.0]


def test_nested_groups_have_dotted_names(path: Path) -> None:
    with read(path) as session:
        wheel = session["behavior.wheel"]
        assert np.array_equal(wheel.read()[0], WHEEL.astype(np.float32))
        assert (wheel.start_s, wheel.spec.sfreq) == (1.0, 100.0)
        assert (wheel.spec.ch_names, wheel.spec.ch_types, wheel.spec.units) == (("speed",), ("misc",), ("",))
        assert session["behavior.arm.pos"].spec.ch_names == ("pos[0]", "pos[1]", "pos[2]")
        assert session["behavior.arm.n"].read().tolist() == [list(range(80))]
        assert session.intervals["movement_phases.hold"] == Intervals.of([(1.0, 1.5, "hold")])
        assert session.intervals["train_domain"] == Intervals.of([(0.0, 6.0, "train_domain")])


def test_what_is_skipped_is_named(path: Path) -> None:
    with read(path) as session:
        assert session.skipped == ("electrodes", "images", "spikes.waveforms", "spikes.units.traces")


def test_through_our_layout_it_stays_the_same_here_and_there(path: Path, tmp_path: Path) -> None:
    with read(path) as session:
        write_whole_session(tmp_path / "y.h5", session)
        with read(tmp_path / "y.h5") as copy:
            assert list(differences(session, copy)) == []
    theirs, ours = td.Data.load(path, lazy=False), td.Data.load(tmp_path / "y.h5", lazy=False)
    for cut in ((0.0, 10.0), (3.2, 5.2)):
        a, b = theirs.slice(*cut), ours.slice(*cut)
        for one, other in ((a.spikes, b.spikes), (a.cursor, b.cursor), (a.trials, b.trials), (a.units, b.units)):
            for key in set(one.keys()) - {"waveforms", "traces"}:
                np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
        np.testing.assert_allclose(a.behavior.wheel.speed, b.behavior_wheel.signal[:, 0], rtol=1e-7)


@pytest.mark.parametrize("ids", ["unit_id", None, "alone"])
def test_units_without_an_id(tmp_path: Path, ids: str | None) -> None:
    table = {} if ids == "alone" else {"units": td.ArrayDict(**{ids or "count": np.array([10, 20, 30])})}
    with read(save(tmp_path / "x.h5", td.Data(spikes=spikes(), domain="auto", **table))) as session:
        assert session.spikes["spikes"].unit_ids == (("10", "20", "30") if ids == "unit_id" else ("0", "1", "2"))


def test_eeg_with_sleep_stages(tmp_path: Path) -> None:
    data = td.Data(
        eeg=td.RegularTimeSeries(sampling_rate=100.0, signal=np.ones((300, 2)), quality=np.zeros(300, np.int8)),
        channels=td.ArrayDict(id=np.array(["Fpz-Cz", "EOG"]), type=np.array(["EEG", "EOG"])),
        stages=td.Interval(
            np.array([0.0, 1.0]), np.array([1.0, 3.0]), names=np.array(["W", "N1"]), id=np.array([0, 1])
        ),
        domain="auto",
    )
    with read(save(tmp_path / "x.h5", data)) as session:
        assert list(session.signals) == ["eeg", "eeg.quality"]
        assert session.signal.spec.ch_types == ("eeg", "eog")
        assert session["eeg.quality"].spec.units == ("",)
        stages = session.intervals["stages"]
        assert stages.label == ("W", "N1")
        assert stages.facts == {"id": (0, 1)}
        assert session.skipped == ()


def test_gaps_of_whole_numbers_are_gaps(tmp_path: Path) -> None:
    times = np.delete(np.arange(100) / 10, slice(20, 30))
    made = td.RegularTimeSeries.from_gappy_timeseries(times, sampling_rate=10.0, count=np.arange(90))
    with read(save(tmp_path / "x.h5", td.Data(bins=made, domain="auto"))) as session:
        signal = session["bins"]
        assert np.flatnonzero(~signal.valid()).tolist() == list(range(20, 30))
        assert signal.read()[0, signal.valid()].tolist() == list(range(90))


def test_whole_numbers_that_would_change_are_refused(tmp_path: Path) -> None:
    clock = td.RegularTimeSeries(sampling_rate=1.0, ticks=np.array([1, 2**24 + 1, 3]))
    series = td.IrregularTimeSeries(timestamps=np.array([0.0]), ns=np.array([2**53 + 1]), domain="auto")
    with read(save(tmp_path / "x.h5", td.Data(clock=clock, frames=series, domain="auto"))) as session:
        assert session["clock"].read(0, 1).tolist() == [[1.0]]
        with pytest.raises(RecordingError, match="beyond 16777216, which float32"):
            session["clock"].read()
        with pytest.raises(RecordingError, match="beyond 9007199254740992, which float64"):
            session.series["frames"]


@pytest.mark.parametrize(
    ("index", "message"), [([0, -1], "units -1 to 0"), ([0, 2**40], r"units 0 to 1099511627776. Allowed: 0 to 1048575")]
)
def test_a_unit_that_cannot_be(tmp_path: Path, index: list[int], message: str) -> None:
    made = td.IrregularTimeSeries(timestamps=np.array([0.0, 1.0]), unit_index=np.array(index), domain="auto")
    with (
        read(save(tmp_path / "x.h5", td.Data(spikes=made, domain="auto"))) as session,
        pytest.raises(RecordingError, match=message),
    ):
        session.spikes["spikes"]


def test_text_of_free_length(tmp_path: Path) -> None:
    with h5py.File(save(tmp_path / "x.h5", td.Data(spikes=spikes(), units=units(), domain="auto")), "r+") as file:
        del file["units/id"]
        file["units"].create_dataset("id", data=["ä", "b\\n", ""], dtype=h5py.string_dtype())
    with read(tmp_path / "x.h5") as session:
        assert session.spikes["spikes"].unit_ids == ("ä", "b\\n", "")


def test_compressed_zeros_do_not_fill_the_memory(tmp_path: Path) -> None:
    with h5py.File(save(tmp_path / "x.h5", td.Data(spikes=spikes(), units=units(), domain="auto")), "r+") as file:
        for name, dtype in (("timestamps", "f8"), ("unit_index", "i8")):
            del file[f"spikes/{name}"]
            file["spikes"].create_dataset(
                name, data=np.zeros(3_000_000, dtype), chunks=(3_000_000,), compression="gzip", compression_opts=9
            )
    with (
        read(tmp_path / "x.h5") as session,
        pytest.raises(RecordingError, match="claims 24000000. It is truncated"),
    ):
        session.spikes["spikes"]
