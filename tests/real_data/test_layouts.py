"""Real files without an agreed form, each with its layout, against scipy.io and numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Session
from neural_foundation.recordings.layout import Layout
from neural_foundation.recordings.mat import Mat
from neural_foundation.recordings.tables import Csv, Npy


def one(root: Path, name: str) -> Path:
    if not (root / name).is_file():
        pytest.skip(f"{name} is not in NEURAL_FOUNDATION_DATA")
    return root / name


def opened(path: Path, layout: dict[str, Any]) -> Session:
    reader = {".mat": Mat, ".npy": Npy, ".csv": Csv}[path.suffix]
    return reader(layout=Layout.of(layout)).open(path)


# file, values, channels' axis in scipy's array, rate: the unit of these is not documented
LFPS = [
    ("case-studies/LFP-1.mat", "LFP", 0, 1000.0),
    ("case-studies/03_EEG-1.mat", "EEG", 1, 1000.0),
    ("case-studies/EEG-3.mat", "EEG", 1, 500.0),
    ("case-studies/EEG-4.mat", "EEG", 1, 2000.0),
    ("case-studies/04_ECoG-1.mat", "ECoG", 1, 500.0),
]


@pytest.mark.parametrize(("name", "values", "axis", "sfreq"), LFPS)
def test_one_channel_with_its_times(data_root: Path, name: str, values: str, axis: int, sfreq: float) -> None:
    path = one(data_root, name)
    layout = {"signals": {"lfp": {"values": values, "times": "t", "unit": "a.u.", "ch_types": "seeg"}}}
    theirs = loadmat(path)
    expected = np.moveaxis(theirs[values], axis, 0).astype(np.float32)
    with opened(path, layout) as session:
        assert (session.signal.spec.sfreq, session.signal.spec.units) == (sfreq, ("a.u.",))
        assert session.signal.start_s == theirs["t"][0, 0]
        assert np.array_equal(session.signal.read(), expected)
        assert np.array_equal(session.signal.read(77, 201), expected[:, 77:201])


def test_a_place_cell_and_the_position_of_the_animal(data_root: Path) -> None:
    path = one(data_root, "case-studies/spikes-1.mat")
    layout = {
        "signals": {"position": {"values": "X", "times": "t", "unit": "cm", "ch_types": "misc"}},
        "spikes": {"cell": {"times": "spiketimes"}},
    }
    theirs = loadmat(path)
    with opened(path, layout) as session:
        assert session.signal.spec.sfreq == 1000.0
        assert np.array_equal(session.signal.read()[0], theirs["X"].astype(np.float32)[:, 0])
        assert np.array_equal(session.spikes["cell"].times_s, theirs["spiketimes"][:, 0])
        cut = session.slice(10.0, 20.0)
        assert cut.signal.n_times == 10_000
        expected = theirs["spiketimes"][(theirs["spiketimes"] >= 10) & (theirs["spiketimes"] < 20)]
        assert np.array_equal(cut.spikes["cell"].times_s, expected)


def test_two_conditions_as_two_trains(data_root: Path) -> None:
    path = one(data_root, "case-studies/08_spikes-1.mat")
    theirs = loadmat(path)
    with opened(path, {"spikes": {"cell": {"trains": ["SpikesLow", "SpikesHigh"], "unit_ids": ["low", "high"]}}}) as s:
        assert np.array_equal(s.spikes["cell"].train("low"), np.sort(theirs["SpikesLow"][0]))
        assert np.array_equal(s.spikes["cell"].train("high"), np.sort(theirs["SpikesHigh"][0]))


def test_binned_spikes_and_kinematics(data_root: Path) -> None:
    path = one(data_root, "spykesml/m1_stevenson_2011.mat")
    common = {"axes": "channel time", "times": "time"}
    layout = {
        "signals": {
            "counts": {"values": "spikes", "unit": "spikes", **common},
            "velocity": {"values": "handVel", "unit": "", "ch_names": ["x", "y"], "columns": [0, 1], **common},
        },
        "series": {
            "position": {"times": "time", "values": "handPos", "axes": "channel time", "names": ["x", "y", "z"]}
        },
    }
    theirs = loadmat(path)
    with opened(path, layout) as session:
        counts, velocity = session["counts"], session["velocity"]
        assert (counts.spec.sfreq, counts.spec.n_chans, counts.n_times) == (20.0, 171, 15536)
        assert counts.start_s == theirs["time"][0, 0]
        assert np.array_equal(counts.read(), theirs["spikes"].astype(np.float32))
        assert np.array_equal(velocity.read(100, 200), theirs["handVel"][:2, 100:200].astype(np.float32))
        assert np.array_equal(session.series["position"].values, theirs["handPos"].T)
        assert session.slice(100.0, 200.0)["counts"].n_times == 2000


def test_counts_by_trial_and_their_targets(data_root: Path) -> None:
    path = one(data_root, "dad-monkeys/chewie_demo.mat")
    # the bin width is not in the file; 1 Hz makes a time the number of a bin
    layout = {
        "signals": {"counts": {"values": "Yte", "axes": "time channel", "sfreq": 1, "unit": "spikes"}},
    }
    theirs = loadmat(path)
    with opened(path, layout) as session:
        assert session.signal.spec.n_chans == 71
        assert np.array_equal(session.signal.read(5, 500), theirs["Yte"][5:500].T.astype(np.float32))


def test_rates_by_trial(data_root: Path) -> None:
    path = one(data_root, "centuri-reaching/Dataset1.mat")
    layout = {"signals": {"rates": {"values": "R", "axes": "channel time", "sfreq": 1, "unit": "Hz"}}}
    with opened(path, layout) as session:
        assert np.array_equal(session.signal.read(), loadmat(path)["R"].astype(np.float32))


def test_units_in_nested_cells(data_root: Path) -> None:
    path = one(data_root, "nelpy-hippocampus/linear-track/spikes.mat")
    theirs: list[np.ndarray] = []

    def walk(value: Any) -> None:
        if getattr(value, "dtype", None) is not None and value.dtype.names:
            theirs.append(value["time"][0, 0].reshape(-1))
        elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
            for inner in value.ravel(order="F"):
                walk(inner)

    walk(loadmat(path)["spikes"])
    with opened(path, {"spikes": {"units": {"trains": "spikes.*.*.*.*.time"}}}) as session:
        spikes = session.spikes["units"]
        assert (spikes.n_units, len(spikes)) == (len(theirs), 28_829)
        assert sum(len(t) > 0 for t in theirs) == 31
        for unit, times in zip(spikes.unit_ids, theirs, strict=True):
            assert np.array_equal(spikes.train(unit), np.sort(times))


@pytest.mark.parametrize("name", ["ca1", "ec3"])
def test_lfp_of_npy(data_root: Path, name: str) -> None:
    path = one(data_root, f"bycycle-lfp/{name}.npy")
    layout = {"signals": {"lfp": {"values": "array", "sfreq": 1250, "unit": "a.u.", "ch_names": [name]}}}
    theirs = np.load(path, mmap_mode="r", allow_pickle=False)
    with opened(path, layout) as session:
        assert session.signal.duration_s == 60.0
        assert np.array_equal(session.signal.read(), theirs[None].astype(np.float32))
        assert np.array_equal(session.signal.read(10, 20), theirs[None, 10:20].astype(np.float32))


def test_a_series_of_csv(data_root: Path) -> None:
    path = one(data_root, "tsb-ad/Datasets/TSB-AD-U/001_NAB_id_1_Facility_tr_1007_1st_2014.csv")
    theirs = np.loadtxt(path, delimiter=",", skiprows=1)
    layout = {"signals": {"data": {"columns": ["Data", "Label"], "sfreq": 1, "unit": "a.u."}}}
    with opened(path, layout) as session:
        assert np.array_equal(session.signal.read(), theirs.T.astype(np.float32))


def test_every_file_shows_a_layout_to_begin_with(data_root: Path) -> None:
    files = sorted([*data_root.glob("case-studies/*.mat"), *data_root.glob("spykesml/*.mat")])
    if not files:
        pytest.skip("neither case-studies nor spykesml is in NEURAL_FOUNDATION_DATA")
    for path in files:
        with pytest.raises(RecordingError, match="Save this as"):
            Mat().open(path)
