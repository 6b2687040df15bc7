"""HDF5 of any form: paths, words, ragged trains, laziness, and what lies outside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Session
from neural_foundation.recordings.layout import Layout
from neural_foundation.recordings.mapped_hdf5 import MappedHdf5

LFP = np.random.default_rng(1).normal(size=(500, 4)).astype("f4")


def opened(path: Path, layout: dict[str, Any]) -> Session:
    return MappedHdf5(layout=Layout.of(layout)).open(path)


def signal(values: str, **changes: Any) -> dict[str, Any]:
    return {"signals": {"lfp": {"values": values, "sfreq": 100, "unit": "mV", "axes": "time channel", **changes}}}


def test_a_chunked_array_of_integers(tmp_path: Path) -> None:
    raw = np.random.default_rng(2).integers(-2000, 2000, size=(500, 4)).astype("i2")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("probe/raw", data=raw, chunks=(100, 2), compression="gzip")
        file["probe/raw"].attrs["note"] = "not read"
        file["probe/names"] = ["A", "B", "C", "D"]
        file["rate"] = 1250.0
    with opened(tmp_path / "x.h5", signal("/probe/raw", ch_names="probe/names", sfreq="rate")) as session:
        assert session.signal.spec.ch_names == ("A", "B", "C", "D")
        assert session.signal.spec.sfreq == 1250.0
        assert np.array_equal(session.signal.read(90, 310), (raw[90:310].T * 1e-3).astype(np.float32))
        assert session.signal.valid().all()


def test_only_the_samples_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["lfp"] = LFP
    asked: list[Any] = []
    real = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, at, **k: asked.append(at) or real(self, at, **k))
    with opened(tmp_path / "x.h5", signal("lfp", columns=[1])) as session:
        assert asked == []
        assert np.array_equal(session.signal.read(7, 9), (LFP[7:9, 1:2].T.astype(float) * 1e-3).astype(np.float32))
    assert asked == [(slice(7, 9), slice(None))]


def test_trains_of_a_group_of_ragged_rows_and_of_stars(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["units/u2"], file["units/u1"] = [0.3], [0.2, 0.1]
        ragged = file.create_dataset("ragged", (2,), dtype=h5py.vlen_dtype("f8"))
        ragged[0], ragged[1] = [0.5, 0.6], [0.4]
        for name, times in (("a", [1.0]), ("b", [2.0])):
            file[f"deep/{name}/times"] = times
        file["start"], file["label"] = [1.0, 2.0], np.array([b"x", b"y"])
    layout = {
        "spikes": {"group": {"trains": "units"}, "ragged": {"trains": "ragged"}, "deep": {"trains": "deep/*/times"}}
    }
    layout["trials"] = {"start": "start", "label": "label"}
    with opened(tmp_path / "x.h5", layout) as session:
        assert session.spikes["group"].unit_ids == ("u1", "u2")
        assert session.spikes["group"].times_s.tolist() == [0.1, 0.2, 0.3]
        assert session.spikes["ragged"].train("0").tolist() == [0.5, 0.6]
        assert session.spikes["deep"].unit_ids == ("a", "b")
        assert session.trials.label == ("x", "y")


def test_what_lies_outside_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["lfp"] = LFP
    virtual = h5py.VirtualLayout((500, 4), "f4")
    virtual[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "lfp", (500, 4))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "lfp")
        file.create_virtual_dataset("virtual", virtual)
        file.create_dataset("raw", (500, 4), "f4", external=[(str(tmp_path / "raw.bin"), 0, 8000)])
    for name in ("link", "virtual", "raw"):
        with pytest.raises(RecordingError, match="lies in another file. Allowed: whole files"):
            opened(tmp_path / "x.h5", signal(name))


def test_a_claim_without_bytes_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("lfp", (1 << 31, 4), "f4", chunks=(1024, 4))
    with pytest.raises(RecordingError, match="claims 34359738368"):
        opened(tmp_path / "x.h5", signal("lfp"))


def test_errors_name_what_there_is(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["rec/lfp"], file["rec/again"] = LFP, h5py.SoftLink("/rec")
        file["text"] = "word"
        file["cube"] = np.zeros((2, 3, 4))
    cases = {"rec": "'rec' is no array, but a group", "rec/lpf": "Did you mean 'lfp'"}
    cases |= {"text": "'text' .* text. Allowed: an array of numbers", "cube": "has 3 axes"}
    for name, message in cases.items():
        with pytest.raises(RecordingError, match=message):
            opened(tmp_path / "x.h5", signal(name))
    with pytest.raises(RecordingError, match="no agreed layout") as caught:
        MappedHdf5().open(tmp_path / "x.h5")  # a group within itself does not hang it
    assert "values: rec/lfp  # (500, 4)" in str(caught.value)
