"""Whole sessions: what was written comes back in every modality, here and in temporaldata, cut or not."""

from __future__ import annotations

import logging
import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import temporaldata as td
import whole_sessions as made

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes, read, write_session
from neural_foundation.recordings.convert import differences
from neural_foundation.recordings.hdf5_whole import write_whole_session
from neural_foundation.recordings.hdf5_write import spooled


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "x.h5"
    write_whole_session(path, made.session())
    return path


def test_every_modality_comes_back(whole: Path) -> None:
    with read(whole) as opened:
        assert list(differences(made.session(), opened)) == []
        assert list(opened.signals) == ["wheel", "lfp"]
        assert opened.signals["lfp"].spec == made.signals()["lfp"].spec
        assert opened.signals["wheel"].spec.units == ("m/s", "")
        assert opened.trials == made.trials()
        assert opened.spikes["probe 0"].facts["note"] == (None, "ü", "b\n")
        assert opened.skipped == ()


def test_slices_of_ours_are_those_of_the_source(whole: Path) -> None:
    with read(whole) as opened:
        for cut in ((8.5, 12.25), (10.0, 10.0), (0.0, 99.0), (10.015, 13.001)):
            assert list(differences(made.session().slice(*cut), opened.slice(*cut))) == []


def test_differences_finds_each(whole: Path) -> None:
    changed = made.session(
        spikes={"probe 0": Spikes(), "session": made.spikes(), "silent": Spikes()},
        series={**made.series(), "licks": Series([9.0, 10.5], np.zeros((2, 0)), ())},
        intervals={**made.intervals(), "no rows": Intervals.of([(0, 1, "a")])},
    )
    changed.signals["lfp"].values[1, 500] = np.nextafter(changed.signals["lfp"].values[1, 500], 1)
    with read(whole) as opened:
        found = list(differences(changed, opened))
    assert found == [
        "samples 0 to 1000 of 'lfp'",
        "the spikes 'probe 0'",
        "the spikes 'session'",
        "the series 'licks'",
        "the intervals 'no rows'",
    ]


def test_equal_sessions_give_equal_bytes(whole: Path, tmp_path: Path) -> None:
    time.sleep(max(0.0, whole.stat().st_mtime + 1.1 - time.time()))  # HDF5 keeps times in whole seconds
    write_whole_session(tmp_path / "y.h5", made.session())
    assert (tmp_path / "y.h5").read_bytes() == whole.read_bytes()
    with read(whole) as opened:  # and so does what was read back
        write_whole_session(tmp_path / "z.h5", opened)
    assert (tmp_path / "z.h5").read_bytes() == whole.read_bytes()


def test_a_plain_session_has_the_bytes_of_write_session(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=64.0, ch_names=("Fp1", "Cz"), ch_types=("eeg", "eog"), positions=(None, (0.1, 0.0, 0.0)))
    signal = ArraySignal(np.ones((2, 100)), spec, valid=np.arange(100) > 3, start_s=2.0)
    trials = Intervals.of([(2.0, 2.5, "a")])
    write_whole_session(tmp_path / "a.h5", Session("s", "p", {"eeg": signal}, trials))
    write_session(
        tmp_path / "b.h5", session_id="s", subject="p", spec=spec, chunks=signal.chunks(7), trials=trials, start_s=2.0
    )
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    "spec",
    [
        SignalSpec(sfreq=64.0, ch_names=("Fp1",)),
        SignalSpec(sfreq=64.0, ch_names=("Fp1",), ch_types=("EEG",), positions=((0.0, 0.0, 0.0),)),
        SignalSpec(sfreq=1e-3, ch_names=("Fp1",), ch_types=("eeg",), positions=(None,), units=("uV",)),
    ],
)
def test_what_is_not_told_stays_untold(tmp_path: Path, spec: SignalSpec) -> None:
    write_whole_session(tmp_path / "a.h5", Session("s", "p", {"eeg": ArraySignal(np.ones((1, 5)), spec)}))
    with read(tmp_path / "a.h5") as opened:
        assert opened.signal.spec == spec.replace(subject="p")


def test_a_session_of_nothing(tmp_path: Path) -> None:
    write_whole_session(tmp_path / "a.h5", Session("s", "p", {}))
    with read(tmp_path / "a.h5") as opened:
        assert list(differences(Session("s", "p", {}), opened)) == []
    td.Data.load(tmp_path / "a.h5", lazy=False)


@pytest.mark.parametrize("lazy", [True, False])
def test_temporaldata_opens_all_of_it(whole: Path, lazy: bool) -> None:
    data, lfp, wheel = td.Data.load(whole, lazy=lazy), made.signals()["lfp"], made.signals()["wheel"]
    assert np.array_equal(data.lfp.signal, lfp.values.T, equal_nan=True)
    assert np.array_equal(data.wheel.signal, wheel.values.T)
    assert (data.lfp.sampling_rate, data.wheel.sampling_rate) == (100.0, 30.0)
    inner = lfp.mask | np.isin(np.arange(1000), [0, 1, 999])  # the ends of the array keep its clock
    assert np.array_equal(data.lfp.index_mask(), inner)
    assert data.lfp_channels.type.tolist() == ["seeg", "seeg", "misc"]
    assert data.wheel_channels.unit.tolist() == ["m/s", ""]
    spikes = made.spikes()
    assert np.array_equal(data.probe_0.timestamps, spikes.times_s)
    assert np.array_equal(data.probe_0.unit_index, spikes.unit)
    assert data.probe_0_units.id.tolist() == list(spikes.unit_ids)
    assert data.probe_0_units.region.tolist() == list(spikes.facts["region"])
    assert data.probe_0_units.waveform.shape == (3, 2)
    gaze = made.series()["gaze"]
    assert np.array_equal(data.gaze.pos, gaze.values[:, :2])
    assert np.array_equal(data.gaze.pupil_size, gaze.values[:, 2])
    assert data.licks.timestamps.tolist() == [9.0, 10.0]
    assert data.trials.go_s.tolist() == [10.2, 12.5, 13.5]
    assert data.trials.label.tolist() == ["left", "right", ""]
    assert data.blocks.label.tolist() == ["outer", "inner", "event"]
    assert data.unsorted.label.tolist() == ["a", "b", "c"]
    data.close()


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("cut", [(10.0, 12.5), (8.5, 13.0), (12.0, 30.0), (0.0, 5.0)])
def test_slices_in_temporaldata_are_ours(whole: Path, lazy: bool, cut: tuple[float, float]) -> None:
    start_s, stop_s = cut
    data = td.Data.load(whole, lazy=lazy)
    theirs, ours = data.slice(start_s, stop_s), made.session().slice(start_s, stop_s)
    wheel = ours["wheel"].read().T
    assert np.array_equal(theirs.wheel.signal, wheel)
    lfp = ours["lfp"]  # a gap at an end of the array is trimmed by neither
    assert np.array_equal(theirs.lfp.signal, lfp.read().T, equal_nan=True)
    spikes = ours.spikes["probe 0"]
    assert np.array_equal(theirs.probe_0.timestamps, spikes.times_s - start_s)
    assert np.array_equal(theirs.probe_0.unit_index, spikes.unit)
    gaze = ours.series["gaze"]
    assert np.array_equal(theirs.gaze.timestamps, gaze.times_s - start_s)
    assert np.array_equal(theirs.gaze.pos, gaze.values[:, :2])
    trials = ours.trials
    assert np.array_equal(theirs.trials.start, trials.start_s - start_s)
    assert np.array_equal(theirs.trials.go_s, np.array(trials.facts["go s"]) - start_s)
    assert theirs.trials.label.tolist() == list(trials.label)
    begun = [row for row in made.intervals()["blocks"] if start_s <= row[0] < stop_s]  # kept by their start
    assert theirs.blocks.label.tolist() == [row[2] for row in begun]
    np.testing.assert_array_equal(theirs.blocks.end, np.array([row[1] for row in begun]) - start_s)
    data.close()


def test_the_only_spikes_are_where_torch_brain_looks(tmp_path: Path) -> None:
    write_whole_session(tmp_path / "a.h5", Session("s", "p", {}, spikes={"probe": made.spikes()}))
    data = td.Data.load(tmp_path / "a.h5", lazy=False)
    assert data.spikes.unit_index.max() < len(data.units.id)
    with read(tmp_path / "a.h5") as opened:
        assert list(opened.spikes) == ["probe"]


def test_the_last_spike_at_a_whole_second_is_in_a_lazy_slice(tmp_path: Path) -> None:
    write_whole_session(tmp_path / "a.h5", Session("s", "p", {}, spikes={"x": Spikes.of({"u": [1.0, 2.5, 4.0]})}))
    with td.Data.load(tmp_path / "a.h5") as data:
        assert data.slice(2.0, 9.0).spikes.timestamps.tolist() == [0.5, 2.0]


def test_the_domain_is_where_signals_are_valid(whole: Path, tmp_path: Path) -> None:
    with h5py.File(whole) as file:  # wheel from 7.003 s on, for 400 / 30 s, and the lfp around its gap, to 19.99 s
        assert file["domain/start"][:].tolist() == pytest.approx([7.003])
        assert file["domain/end"][:].tolist() == pytest.approx([7.003 + 400 / 30])
    write_whole_session(tmp_path / "a.h5", made.session(spikes={}, series={}, intervals={}))
    only = Session("s", "p", {"lfp": made.signals()["lfp"]}, spikes={"a": made.spikes()})
    write_whole_session(tmp_path / "b.h5", only)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_allclose(file["domain/start"][:], [10.02, 13.03])
        np.testing.assert_allclose(file["domain/end"][:], [13.0, 19.99])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"spikes": {"a": Spikes((), (), ("u",), {"f": (object(),)})}},
            "Column 'f' cannot be stored.*Allowed: numbers",
        ),
        ({"series": {"a": Series([0.0, 1e9], np.zeros((2, 0)), ())}}, r"Times span 1e\+09 s. Allowed: up to 1e\+08 s"),
        ({"series": {"a": Series([0.0], np.zeros((1, 2)), ("x", "x"))}}, "'a' has two columns of one name"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_whole_session(tmp_path / "a.h5", made.session(**changes))
    assert list(tmp_path.iterdir()) == []


def test_a_valid_sample_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    spoilt = made.session()
    spoilt.signals["lfp"].values[0, 500] = np.inf
    with pytest.raises(DataError, match="Sample 500 is valid but not a finite float32"):
        write_whole_session(tmp_path / "a.h5", spoilt)
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_bounded(tmp_path: Path) -> None:
    class Long(ArraySignal):
        def _read(self, start: int, stop: int) -> Any:
            return np.zeros((16, stop - start), np.float32)

    spec = SignalSpec(sfreq=1000.0, ch_names=tuple(map(str, range(16))))
    signals = {name: Long(np.zeros((16, 1), np.float32), spec) for name in ("a", "b")}
    for signal in signals.values():
        signal.n_times, signal.mask = 1_000_000, np.ones(1_000_000, bool)
    steps: list[tuple[int, int, str]] = []
    tracemalloc.start()
    write_whole_session(tmp_path / "x.h5", Session("s", "p", signals), progress=lambda *step: steps.append(step))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x.h5").stat().st_size > 128_000_000
    assert peak < 60_000_000
    assert steps[-1] == (32_000_000, 32_000_000, "writing b")
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)


def test_events_are_read_when_they_are_asked_for_and_not_after_closing(whole: Path) -> None:
    opened = read(whole)
    assert len(opened.spikes["session"]) == 2
    opened.close()
    assert len(opened.spikes["session"]) == 2
    with pytest.raises(DataError, match="is closed. Read before closing it"):
        opened.spikes["probe 0"]


def test_temporaldata_says_nothing(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        td.Data.load(whole, lazy=False).slice(8.0, 12.0)
    assert caplog.records == []


def documented() -> dict[str, tuple[str, set[str], set[str]]]:
    """Return path -> (class, datasets, attributes), as the table of version 2 in docs/formats.md says."""
    page = (Path(__file__).parents[3] / "docs/formats.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `/") and line.count("|") == 5]
    found = {}
    for paths, kind, *cells in rows:
        words = [set(re.findall(r"`(\w+)`", cell)) for cell in cells]
        found |= {path: (kind.strip(), *words) for path in re.findall(r"`/([^`]*)`", paths)}
    return found


def test_the_layout_is_as_documented(whole: Path) -> None:
    table, facts = documented(), {"region", "depth_m", "good", "waveform", "note", "peaks", "x_slice", "n"}
    facts |= {"go_s", "contrast", "label_2", "pos", "pupil_size", "x"}
    general = {"object", "modality", "order", "name", "timekeys", "_unicode_keys"}
    signals = {
        n: f"<signal>{n.removeprefix(s)}" for s in ("lfp", "wheel") for n in (s, f"{s}_channels", f"{s}_validity")
    }
    spikes = {n: f"<spikes>{n[len(s) :]}" for s in ("probe_0", "session_2", "silent") for n in (s, f"{s}_units")}
    series = dict.fromkeys(("gaze", "licks", "none"), "<series>")
    spans = dict.fromkeys(("blocks", "unsorted", "trials_2", "no_rows"), "<intervals>")
    roles = {n: n for n in ("brainset", "session", "subject", "domain", "trials")} | signals | spikes | series | spans
    with h5py.File(whole) as file:
        assert set(file) == set(roles)
        assert set(file.attrs) == table[""][2] | {"object"}
        for name, group in file.items():
            kind, datasets, attributes = table[roles[name]]
            nested = name == "blocks"  # intervals in each other
            assert group.attrs["object"] == ("IrregularTimeSeries" if nested else kind), name
            held = {key for key in group if key not in facts | {"domain"}}
            assert held <= (datasets - {"start"} | {"timestamps", "timestamp_indices_1s"} if nested else datasets), name
            assert set(group.attrs) - general == attributes, name
            assert ("domain" in group) == ("TimeSeries" in group.attrs["object"]), name
    assert {role for role in table if role} == set(roles.values())


def test_a_stream_of_unknown_length_is_a_signal_while_it_is_needed(tmp_path: Path) -> None:
    lfp = made.signals()["lfp"]
    with spooled(tmp_path / "x.h5", lfp.spec, lfp.chunks(37), lfp.start_s) as signal:
        assert list(differences(Session("s", "p", {"lfp": lfp}), Session("s", "p", {"lfp": signal}))) == []
        for cut in ((0, 0), (299, 304), (301, 302), (998, 1000)):
            np.testing.assert_array_equal(signal.read(*cut), lfp.read(*cut))
            np.testing.assert_array_equal(signal.valid(*cut), lfp.valid(*cut))
        assert list(tmp_path.iterdir()) == []  # it has no name
    with pytest.raises(DataError, match="is closed"):
        signal.read()
