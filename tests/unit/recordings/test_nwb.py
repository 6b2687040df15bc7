"""The NWB reader: what each part of a file becomes, and every way a part can contradict another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from make_nwb import BOUND, TEXT, electrodes, make_miniature, make_nwb, series, start, table, trials_table, typed

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, Session
from neural_foundation.recordings.interval_table import IntervalTable
from neural_foundation.recordings.nwb import Nwb

SECRETS = ("SECRET", "Doe", "1951")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_miniature(tmp_path_factory.mktemp("nwb") / "mini.nwb")


@pytest.fixture
def session(mini: Path) -> Any:
    with Nwb().open(mini) as opened:
        yield opened


def changed(mini: Path, folder: Path, change: Callable[[h5py.File], object]) -> Path:
    """Return a copy of the miniature after `change(file)`."""
    path = folder / "changed.nwb"
    path.write_bytes(mini.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replaced(file: h5py.File, name: str, data: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = data
    file[name].attrs.update(attributes)


def consume(path: Path) -> None:
    """Read all that a file holds."""
    with Nwb().open(path) as session:
        everything(session)


def everything(session: Session) -> list[Any]:
    signals = [(s.read(), s.valid()) for s in session.signals.values()]
    named = (session.spikes, session.series, session.intervals)
    return [signals, session.trials, *(list(m.values()) for m in named)]


def test_names_are_short_where_they_are_alone(session: Session) -> None:
    both = ["acquisition/ElectricalSeries", "processing/ecephys/LFP/ElectricalSeries"]
    assert list(session.signals) == [*both, "speed"]
    assert list(session.series) == ["path"]
    assert list(session.spikes) == ["units"]
    assert sorted(session.intervals) == ["epochs", "licks", "notes", "ripples", "units/obs_intervals"]
    assert (session.session_id, session.subject, session.signal.spec.subject) == ("mini", "mini", "mini")


def test_values_are_volts_by_conversion_and_offset(mini: Path, session: Session) -> None:
    with h5py.File(mini) as file:
        raw = file["acquisition/ElectricalSeries/data"][()].astype(float)
    expected = raw * 1e-6 * [1.0, 2.0, 0.5, 1.0] + 1e-3
    signal = session.signal
    assert np.array_equal(signal.read(), expected.T.astype(np.float32))
    assert np.array_equal(signal.read(63, 130), signal.read()[:, 63:130])
    assert (signal.spec.sfreq, signal.start_s, signal.n_times, signal.spec.units) == (1000.0, 0.5, 200, ())


def test_electrodes_name_and_place_the_channels(session: Session) -> None:
    spec = session.signal.spec
    assert spec.ch_names == ("c2", "c0", "c1", "c3")
    # the schema's axes are posterior, inferior, right, in micrometres; ours are right, front, up, in metres
    assert spec.positions[0] == pytest.approx((202e-6, -200e-6, -201e-6))
    assert session.signal.electrodes["location"] == ("CA1",) * 4
    assert session.signal.electrodes["imp"] == (3.0, 1.0, 2.0, 4.0)
    assert session["processing/ecephys/LFP/ElectricalSeries"].spec.ch_names == ("c1", "c3")


def test_even_timestamps_are_a_signal(mini: Path, session: Session) -> None:
    lfp = session["processing/ecephys/LFP/ElectricalSeries"]
    assert (lfp.spec.sfreq, lfp.start_s, lfp.n_times) == (250.0, 0.5, 50)
    with h5py.File(mini) as file:
        stored = file["processing/ecephys/LFP/ElectricalSeries/data"][()]
    assert np.array_equal(lfp.read(), (stored.T.astype(float) * 1e-3).astype(np.float32))


@pytest.mark.parametrize(("off", "even"), [(0.09, True), (0.11, False)])
def test_even_means_a_tenth_of_a_sample(tmp_path: Path, off: float, even: bool) -> None:
    times = 3.0 + np.arange(1000) / 30.0
    times[500] += off / 30.0
    with start(tmp_path / "t.nwb") as file:
        series(file["acquisition"], "x", np.arange(1000), unit="m", timestamps=times)
    with Nwb().open(tmp_path / "t.nwb") as session:
        assert (list(session.signals), list(session.series)) == ((["x"], []) if even else ([], ["x"]))
        if even:
            assert (session.signal.spec.sfreq, session.signal.start_s) == (30.0, 3.0)
        else:
            assert np.array_equal(session.series["x"].times_s, times)


@pytest.mark.parametrize(
    ("n", "continuity", "even"), [(15, "step", False), (16, "step", True), (50, "instantaneous", 0)]
)
def test_events_are_no_signal(tmp_path: Path, n: int, continuity: str, even: bool) -> None:
    with start(tmp_path / "t.nwb") as file:
        series(file["acquisition"], "x", np.arange(n), timestamps=np.arange(n) / 8, continuity=continuity)
    with Nwb().open(tmp_path / "t.nwb") as session:
        assert ("x" in session.signals) == even


def test_behaviour_keeps_its_units(mini: Path, session: Session) -> None:
    path = session.series["path"]
    assert (path.names, path.units) == (("x", "y"), ("meters", "meters"))
    with h5py.File(mini) as file:
        stored = file["processing/behavior/Position/path"]
        assert np.array_equal(path.values, stored["data"][()] * 0.01)
        assert np.array_equal(path.times_s, stored["timestamps"][()])
    speed = session["speed"]
    assert (speed.spec.units, speed.spec.ch_names, speed.spec.ch_types) == (("m/s",), ("speed",), ("misc",))


def test_a_sample_that_is_not_finite_is_not_valid(session: Session) -> None:
    speed = session["speed"]
    assert np.flatnonzero(~speed.valid()).tolist() == [7]
    assert np.isnan(speed.read()[0, 7])
    assert speed.valid(5, 9).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("unit", "scale", "named"),
    [("volts", 1.0, ()), ("V", 1.0, ()), ("mV", 1e-3, ()), ("microvolts", 1e-6, ()), ("a.u.", 1.0, ("a.u.",))],
)
def test_units_of_volts_become_volts(tmp_path: Path, unit: str, scale: float, named: tuple[str, ...]) -> None:
    with start(tmp_path / "u.nwb") as file:
        series(file["acquisition"], "x", np.arange(20.0), unit=unit, rate=10.0, conversion=2.0, offset=1.0)
    with Nwb().open(tmp_path / "u.nwb") as session:
        np.testing.assert_allclose(session.signal.read()[0], (np.arange(20) * 2 + 1) * scale, rtol=1e-6)
        assert session.signal.spec.units == named


def test_units_are_spikes_with_facts(mini: Path, session: Session) -> None:
    spikes = session.spikes["units"]
    with h5py.File(mini) as file:
        stored = file["units/spike_times"][()]
    assert spikes.unit_ids == ("7", "8", "12")
    assert np.array_equal(spikes.train("7"), np.sort(stored[:5]))
    assert len(spikes.train("8")) == 0
    assert np.array_equal(spikes.train("12"), np.sort(stored[5:]))
    assert spikes.facts["quality"] == ("good", "mua", "good")
    assert spikes.facts["region"] == ("CA1", "", "CA1")
    assert spikes.facts["snr"][0] == 3.5
    assert set(spikes.facts) == {"quality", "region", "snr"}
    observed = list(session.intervals["units/obs_intervals"])
    assert observed == [(0.0, 1.0, "7"), (0.0, 0.5, "8"), (0.0, 1.0, "12"), (0.6, 1.0, "8")]


def test_the_region_of_a_group_stands_in(tmp_path: Path) -> None:
    with start(tmp_path / "g.nwb") as file:
        electrodes(file, ["a"])
        group = file["general/extracellular_ephys/shank0"]
        columns = {"spike_times": ([0.1, 0.2], [1, 2]), "electrode_group": [group, group]}
        table(file, "units", "Units", columns, [0, 1])
    with Nwb().open(tmp_path / "g.nwb") as session:
        assert session.spikes["units"].facts == {"electrode_group": ("shank0", "shank0"), "region": ("CA1", "CA1")}


def test_trials_keep_all_their_columns(session: Session) -> None:
    trials = session.trials
    assert isinstance(trials, IntervalTable)
    assert list(trials) == [(0.5, 0.6, "left"), (0.7, 0.75, "right"), (0.8, 0.9, "left")]
    assert trials.facts["correct"] == (True, False, True)
    assert trials.facts["tags"] == (["x", "y"], [], ["z"])
    assert trials.times == ("go_time",)
    assert trials.only("right").facts["go_time"] == (0.71,)


def test_other_tables_and_marks_are_intervals(session: Session) -> None:
    assert list(session.intervals["epochs"]) == [(0.0, 0.5, "rem"), (0.5, 1.0, "wake")]
    assert list(session.intervals["licks"]) == [(0.1, 0.1 + 0.05, "licks"), (0.3, 0.3, "licks")]
    assert list(session.intervals["ripples"]) == [(0.1, 0.4, "1"), (0.6, 0.7, "2")]
    assert list(session.intervals["notes"]) == [(0.2, 0.2, "a"), (0.3, 0.3, "b")]


def test_a_session_is_cut_as_one(session: Session) -> None:
    part = session.slice(0.6, 0.65)
    assert part.signal.n_times == 50
    assert np.array_equal(part.signal.read(), session.signal.read(100, 150))
    assert list(part.intervals["ripples"]) == [(0.6, 0.7, "2")]
    inside = session.series["path"].times_s
    assert len(part.series["path"]) == ((inside >= 0.6) & (inside < 0.65)).sum()


def test_personal_fields_go_nowhere(session: Session) -> None:
    held = repr([vars(session), everything(session), [vars(s) for s in session.signals.values()]])
    assert not any(secret in held for secret in SECRETS)


def test_a_closed_session_says_so(mini: Path) -> None:
    session = Nwb().open(mini)
    session.close()
    session.close()
    for use in (lambda: session.signal.read(), lambda: session.trials, lambda: session.spikes["units"]):
        with pytest.raises(DataError, match="closed"):
            use()


def test_the_contract_file(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=128.0, ch_names=("Fp1", "EOG"), ch_types=("eeg", "eog"))
    values = (np.random.default_rng(0).normal(size=(2, 64)) * 1e-5).astype(np.float32)
    trials = Intervals.of([(0.1, 0.2, "left"), (0.3, 0.3, "blink")])
    with Nwb().open(make_nwb(tmp_path, values, spec, trials), subject="p1") as session:
        assert (np.abs(session.signal.read() - values) <= BOUND).all()
        assert session.signal.spec == spec.replace(subject="p1", positions=(None, None))
        assert list(session.trials) == list(trials)
        assert list(session.signals) == ["eeg"]


def test_links_inside_the_file_are_followed_once(mini: Path, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["processing/behavior/again"] = h5py.SoftLink("/acquisition/ElectricalSeries")
        file["processing/behavior/up"] = h5py.SoftLink("/processing")
        file["processing/behavior/self"] = file["processing/behavior"]
        del file["processing/behavior/Position/path/timestamps"]
        file["processing/behavior/Position/path/timestamps"] = h5py.SoftLink("/scratch/clock")
        file["scratch/clock"] = np.linspace(0, 1, 40) ** 2

    with Nwb().open(changed(mini, tmp_path, change)) as session:
        assert len(session.signals) == 3
        assert np.array_equal(session.series["path"].times_s, np.linspace(0, 1, 40) ** 2)


def test_links_that_go_in_circles_end(mini: Path, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["processing/a"], file["processing/b"] = h5py.SoftLink("/processing/b"), h5py.SoftLink("a")

    with pytest.raises(RecordingError, match="goes in circles"):
        Nwb().open(changed(mini, tmp_path, change))


@pytest.mark.parametrize("through", ["", "/door"])
def test_a_link_into_another_file_is_refused(mini: Path, tmp_path: Path, through: str) -> None:
    def change(file: h5py.File) -> None:
        place = "scratch/door" if through else "acquisition/raw"
        file[place] = h5py.ExternalLink(str(tmp_path / "other.nwb"), "/acquisition")
        if through:
            file["acquisition/raw"] = h5py.SoftLink("/scratch/door/ElectricalSeries")

    (tmp_path / "other.nwb").write_bytes(mini.read_bytes())
    with pytest.raises(RecordingError, match="link into another file, which is not followed"):
        Nwb().open(changed(mini, tmp_path, change))


def test_samples_in_another_file_are_refused(mini: Path, tmp_path: Path) -> None:
    def external(file: h5py.File) -> None:
        del file["processing/behavior/speed/data"]
        files = [(str(tmp_path / "secret.bin"), 0, 800)]
        file.create_dataset("processing/behavior/speed/data", (100,), float, external=files)

    def virtual(file: h5py.File) -> None:
        del file["processing/behavior/speed/data"]
        layout = h5py.VirtualLayout((100,), float)
        layout[:] = h5py.VirtualSource(str(tmp_path / "o.h5"), "x", (100,))
        file.create_virtual_dataset("processing/behavior/speed/data", layout)

    for change in (external, virtual):
        with pytest.raises(RecordingError, match="lies in another file, which is not opened"):
            Nwb().open(changed(mini, tmp_path, change))


def test_images_and_what_has_no_place_are_passed_over(mini: Path, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        images = series(file["acquisition"], "movie", np.zeros((0, 0, 0)), "ImageSeries", rate=30.0)
        images["external_file"] = np.array(["../movie.avi"], TEXT)
        series(file["acquisition"], "waves", np.zeros((3, 2, 4)), "SpikeEventSeries", timestamps=[1, 2, 3])
        table(file["processing/behavior"], "cells", "DynamicTable", {"area": ["a"]}, [0])

    with Nwb().open(changed(mini, tmp_path, change)) as session:
        assert not {"movie", "waves", "cells"} & {*session.signals, *session.series, *session.intervals}


def attribute(name: str, key: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file[name].attrs.__setitem__(key, value)


def data(name: str, values: Any) -> Callable[[h5py.File], None]:
    return lambda file: replaced(file, name, values)


def gone(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


RAW, SPEED, PATH = "acquisition/ElectricalSeries", "processing/behavior/speed", "processing/behavior/Position/path"
TABLE = "general/extracellular_ephys/electrodes"
WRONG: list[tuple[str, Callable[[h5py.File], None], str]] = [
    ("no version", lambda f: f.attrs.__delitem__("nwb_version"), "no nwb_version: it is no NWB file"),
    ("version 1", lambda f: f.attrs.__setitem__("nwb_version", "NWB-1.0.6"), "NWB version is 'NWB-1.0.6'.*2.0 to"),
    ("no rate", lambda f: f[f"{RAW}/starting_time"].attrs.__delitem__("rate"), "the rate of .* is no number"),
    ("rate 0", attribute(f"{RAW}/starting_time", "rate", 0.0), "rate of '/acquisition/ElectricalSeries' is 0 Hz"),
    ("rate < 0", attribute(f"{SPEED}/starting_time", "rate", -5.0), "is -5 Hz.*more than 0"),
    ("rate nan", attribute(f"{SPEED}/starting_time", "rate", np.nan), "is no number"),
    ("rate text", attribute(f"{SPEED}/starting_time", "rate", "fast"), "is no number"),
    ("start nan", data(f"{SPEED}/starting_time", np.nan), "starting_time of .* is no number|rate of"),
    (
        "two clocks",
        lambda f: f.__setitem__(f"{SPEED}/timestamps", np.arange(100.0)),
        "both timestamps and a starting_time",
    ),
    ("no clock", gone(f"{RAW}/starting_time"), "neither timestamps nor a starting_time"),
    ("short clock", data(f"{PATH}/timestamps", np.arange(39.0)), r"holds float64 \(39,\), for 40 samples"),
    ("clock back", data(f"{PATH}/timestamps", np.arange(40.0)[::-1]), "Times of a series fall back"),
    ("clock nan", data(f"{PATH}/timestamps", np.full(40, np.nan)), "not all finite"),
    ("conversion", attribute(f"{RAW}/data", "conversion", np.nan), "conversion of .* is no number"),
    ("two offsets", attribute(f"{RAW}/data", "offset", np.zeros(2)), "offset of .* is no number"),
    ("factors", data(f"{RAW}/channel_conversion", np.ones(3)), "3 factors for 4 channels"),
    ("factor nan", data(f"{RAW}/channel_conversion", np.full(4, np.nan)), "4 factors for 4 channels.*finite"),
    ("axis", attribute(f"{RAW}/channel_conversion", "axis", 0), "axis 1"),
    ("few electrodes", data(f"{RAW}/electrodes", np.arange(3)), "4 channels and 3 electrodes.*swapped"),
    ("swapped", data(f"{RAW}/data", np.zeros((4, 200), np.int16)), "200 channels and 4 electrodes"),
    ("row 9", data(f"{RAW}/electrodes", np.array([0, 1, 2, 9])), "rows 0 to 9 of a table of 4.*0 to 3"),
    ("row -1", data(f"{RAW}/electrodes", np.array([0, 1, 2, -1])), "rows -1 to 2"),
    ("row twice", data(f"{RAW}/electrodes", np.array([0, 1, 2, 2])), "several channels of .* are named '12'"),
    ("no region", gone(f"{RAW}/electrodes"), "names no electrodes"),
    ("no table", gone(TABLE), "the file has no table of them|damaged"),
    ("other table", lambda f: f[f"{RAW}/electrodes"].attrs.__setitem__("table", f["units"].ref), "point at 'units'"),
    ("text data", data(f"{SPEED}/data", np.array(["a"], TEXT)), "allowed|Allowed: numbers, time first"),
    ("no data", gone(f"{SPEED}/data"), "'/processing/behavior/speed' has no data"),
    ("too large", data(f"{SPEED}/data", np.full(100, 1e60)), "near sample 0 is too large for 32 bits"),
    ("no ids", gone("units/id"), "'/units' has no 'id'"),
    ("no column", gone("units/quality"), "'/units' has no 'quality'"),
    ("short column", data("units/quality", np.array(["a"], TEXT)), r"'/units/quality' has shape \(1,\), its table 3"),
    ("no index", gone("units/spike_times_index"), r"has shape \(9,\), its table 3 rows"),
    ("index short", data("units/spike_times_index", np.array([5, 9])), "allowed|Allowed: 3 whole numbers"),
    ("index back", data("units/spike_times_index", np.array([5, 4, 9])), "falls back at row 1"),
    ("index far", data("units/spike_times_index", np.array([5, 5, 10])), "reaches 10, but 'spike_times' has 9"),
    ("index < 0", data("units/spike_times_index", np.array([-1, 5, 9])), "falls back at row 0"),
    ("index early", data("units/spike_times_index", np.array([5, 5, 8])), "ends at 8, but 'spike_times' has 9"),
    ("index float", data("units/spike_times_index", np.array([5.0, 5, 9])), "holds float64"),
    ("index 2^63", data("units/spike_times_index", np.array([5, 5, 2**63], np.uint64)), "reaches 9223372036854775808"),
    ("spike nan", data("units/spike_times", np.full(9, np.nan)), "Spike times are not all finite"),
    ("two ids", data("units/id", np.array([1, 1, 2])), "Two units have the same id"),
    ("obs shape", data("units/obs_intervals", np.zeros((4, 3))), r"\(n, 2\) seconds"),
    ("obs back", data("units/obs_intervals", np.array([[1, 0.0]] * 4)), "before its start"),
    ("stop nan", data("intervals/trials/stop_time", np.full(3, np.nan)), "not finite"),
    ("stop early", data("intervals/trials/stop_time", np.zeros(3)), "before its start"),
    ("stop short", data("intervals/trials/stop_time", np.zeros(2)), r"shape \(2,\), its table 3 rows"),
    ("marks", data("processing/behavior/ripples/data", np.array([1, 1, -1, -1])), "marks 1 at 0.4 s"),
    ("mark open", data("processing/behavior/ripples/data", np.array([1, -1, 2, 1])), "never ends"),
    (
        "dangling",
        lambda f: f.__setitem__("acquisition/x", h5py.SoftLink("/no/where")),
        "'/no/where', which is not there",
    ),
    ("not UTF-8", data("intervals/trials/label", np.array([b"\xff", b"a", b"b"])), "no UTF-8"),
]


@pytest.mark.parametrize(("change", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_contradiction_is_an_error(mini: Path, tmp_path: Path, change: Any, message: str) -> None:
    path = changed(mini, tmp_path, change)
    with pytest.raises(RecordingError, match=message) as caught:
        consume(path)
    assert caught.value.path == path
    assert "damaged" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_what_was_never_written_is_an_error(tmp_path: Path) -> None:
    with start(tmp_path / "c.nwb") as file:
        group = series(file["acquisition"], "x", np.arange(4.0), rate=10.0)
        del group["data"]
        group.create_dataset("data", (100, 2), float, chunks=(10, 2))[:50] = 1.0
        group["data"].attrs["unit"] = "volts"
    with pytest.raises(RecordingError, match="5 of the 10 chunks of '/acquisition/x/data' were written"):
        Nwb().open(tmp_path / "c.nwb")


@pytest.mark.parametrize("shape", [(2**40, 2), (2**31,), (1, 2**31)])
def test_a_hostile_size_is_not_allocated(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with start(tmp_path / "s.nwb") as file:
        group = series(file["acquisition"], "x", np.arange(4.0), rate=10.0)
        del group["data"]
        group.create_dataset("data", shape, np.int8, chunks=True, compression="gzip")[(0,) * len(shape)] = 1
        group["data"].attrs["unit"] = "volts"
    begun = time.monotonic()
    with pytest.raises(RecordingError, match="claims|chunks|columns"):
        consume(tmp_path / "s.nwb")
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("name", ["acquisition", "general", "processing", "stimulus"])
def test_what_the_schema_requires_must_be_there(mini: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "d.nwb"
    path.write_bytes(mini.read_bytes())
    with h5py.File(path, "r+") as file:
        file.move(name, f"{name}_")
    with pytest.raises(RecordingError, match=f"'/' has no '{name}'. Allowed: what the NWB schema requires"):
        Nwb().open(path)


def test_a_name_that_its_group_lists_and_does_not_find_is_damage(mini: Path, tmp_path: Path) -> None:
    raw, path = mini.read_bytes(), tmp_path / "d.nwb"
    at = raw.index(b"acquisition\0")  # in the heap of names: the index looks for it elsewhere then
    path.write_bytes(raw[:at] + b"z" + raw[at + 1 :])
    with pytest.raises(RecordingError):
        Nwb().open(path)


def test_a_file_that_is_no_nwb(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        Nwb().open(tmp_path / "none.nwb")
    with h5py.File(tmp_path / "t.nwb", "w") as file:
        file.attrs["object"] = "Data"
    with pytest.raises(RecordingError, match="named NWB, but its content is HDF5, a session. Rename it to .h5"):
        Nwb().open(tmp_path / "t.nwb")
    (tmp_path / "z.nwb").mkdir()
    with pytest.raises(RecordingError, match="this is a folder"):
        Nwb().open(tmp_path / "z.nwb")
    (tmp_path / "z.nwb" / ".zgroup").write_text("{}")
    with pytest.raises(RecordingError, match="this is NWB in Zarr.*Export it to HDF5"):
        Nwb().open(tmp_path / "z.nwb")


def test_damage_is_named(mini: Path, tmp_path: Path) -> None:
    raw, path = mini.read_bytes(), tmp_path / "d.nwb"
    for damaged, message in (
        (raw[:-1], "it is truncated"),
        (raw + b"\0" * 9, "9 bytes follow its end"),
        (raw.replace(b"\n", b"\r\n"), r"line-ending conversion \(LF to CR LF\)"),
        (raw.replace(b"\r\n", b"\n"), r"line-ending conversion \(CR LF to LF\)"),
        (raw[:20], "not whole"),
        (b"text", "does not start as HDF5"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(RecordingError, match=message):
            Nwb().open(path)


def test_a_label_is_a_named_or_the_first_column_of_words(tmp_path: Path) -> None:
    rows = Intervals.of([(0, 1, "a"), (1, 2, "b")])
    with start(tmp_path / "l.nwb") as file:
        for name, extra in (("one", {"condition": ["x", "y"]}), ("two", {"odour": ["p", "q"], "n": [1, 2]})):
            del trials_table(file, rows, name, **extra)["label"]
            keep = [c for c in file[f"intervals/{name}"].attrs["colnames"] if c != "label"]
            file[f"intervals/{name}"].attrs["colnames"] = np.array(keep, TEXT)
        typed(table(file["intervals"], "three", "TimeIntervals", {"start_time": [2.0], "stop_time": [3.0]}, [0]), "X")
    with Nwb().open(tmp_path / "l.nwb") as session:
        labels = {name: session.intervals[name].label for name in session.intervals}
    assert labels == {"one": ("x", "y"), "two": ("p", "q"), "three": ("three",)}


NUMBERS = (b"\xff" * 4, b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\0" * 4, b"\r\n")


def mutant(raw: bytes, choice: random.Random) -> bytes:
    at, kind = choice.randrange(len(raw)), choice.choice(["byte", "byte", "number", "swap", "cut", "add"])
    if kind == "byte":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind == "number":
        new = choice.choice(NUMBERS)
        return raw[:at] + new + raw[at + len(new) :]
    if kind == "swap":
        return raw[:at] + raw[at + 8 : at + 16] + raw[at : at + 8] + raw[at + 16 :]
    return raw[:at] if kind == "cut" else raw + raw[: choice.choice([1, 8, 512])]


def outcome(path: Path) -> str:
    """Return 'opened' or 'refused'; any other exception, or a refusal that names another file, fails the test."""
    begun = time.monotonic()
    try:
        consume(path)
    except RecordingError as error:
        return "refused" if error.path == path else f"refused as {error.path}"
    finally:
        assert time.monotonic() - begun < 2
    return "opened"


def test_a_hostile_word_is_not_allocated(mini: Path, tmp_path: Path) -> None:
    with h5py.File(mini) as file:
        at = file["units/quality"].id.get_offset()
    raw, path = mini.read_bytes(), tmp_path / "w.nwb"
    path.write_bytes(raw[: at + 3] + b"\x7f" + raw[at + 4 :])
    with pytest.raises(RecordingError, match="the words of '/units/quality' claim 2130706"):
        consume(path)


def test_a_heap_that_never_ends_is_refused(mini: Path, tmp_path: Path) -> None:
    raw, path = mini.read_bytes(), tmp_path / "h.nwb"
    at = raw.index(b"GCOL\1\0\0\0") + 16
    path.write_bytes(raw[:at] + bytes(16) + raw[at + 16 :])
    with pytest.raises(RecordingError, match="damaged .a heap of texts"):
        Nwb().open(path)


def make_small(path: Path) -> bytes:
    """Return a smaller session than the miniature: signal, timestamps, units, trials."""
    with start(path) as file:
        electrodes(file, ["a", "b"])
        series(file["acquisition"], "eeg", np.ones((30, 2), np.int16), "ElectricalSeries", rate=10.0, rows=[0, 1])
        series(file["acquisition"], "x", np.ones(20), unit="m", timestamps=np.arange(20) ** 2)
        table(file, "units", "Units", {"spike_times": ([0.1, 0.2, 0.3], [1, 3])}, [0, 1])
        trials_table(file, Intervals.of([(0, 1, "a"), (1, 2, "b")]))
    return path.read_bytes()


def test_mutants(tmp_path: Path) -> None:
    choice, path = random.Random(11), tmp_path / "m.nwb"
    raw = make_small(path)
    outcomes = []
    for number in range(200):
        path.write_bytes(mutant(raw, choice))
        try:
            outcomes.append(outcome(path))
        except BaseException as error:
            error.add_note(f"mutant {number}")
            raise
    assert set(outcomes) == {"opened", "refused"}
    assert outcomes.count("refused") > 60
