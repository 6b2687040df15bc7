"""MAT-files against scipy.io: numbers, words, structs, cells, spike trains; the same from version 7.3."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import make_mapped as make
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Session
from neural_foundation.recordings.arrays import find_array
from neural_foundation.recordings.layout import Layout
from neural_foundation.recordings.mat import Mat
from neural_foundation.recordings.mat5 import Mat5
from neural_foundation.recordings.reader import OpenFile

RNG = np.random.default_rng(5)
LFP = RNG.normal(size=(3, 200))


def cells(*values: Any) -> np.ndarray:
    made = np.empty((1, len(values)), dtype=object)
    made[0, :] = values
    return made


def opened(path: Path, layout: dict[str, Any]) -> Session:
    return Mat(layout=Layout.of(layout)).open(path)


def saved(folder: Path, variables: dict[str, Any], **options: Any) -> Path:
    savemat(folder / "a.mat", variables, **options)
    return folder / "a.mat"


def root_of(path: Path) -> Mat5:
    return Mat5(path, OpenFile(path), path.stat().st_size)


def signal(values: str = "x", **changes: Any) -> dict[str, Any]:
    return {"signals": {"lfp": {"values": values, "sfreq": 100, "unit": "uV", "axes": "channel time", **changes}}}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_numbers_equal_those_of_scipy(tmp_path: Path, dtype: str, compressed: bool) -> None:
    values = (RNG.normal(size=(4, 7)) * 100).astype("i8").astype(dtype)
    path = saved(tmp_path, {"x": values, "cube": np.arange(24.0).reshape(2, 3, 4)}, do_compression=compressed)
    theirs = loadmat(path, mat_dtype=True)
    for name in ("x", "cube"):
        array = find_array(root_of(path), name)
        assert array.shape == theirs[name].shape
        assert np.array_equal(array.numbers(), theirs[name])
    whole = values.astype("f8")
    array = find_array(root_of(path), "x")
    assert np.array_equal(array.block(1, 2, 5), whole[:, 2:5].T)
    assert np.array_equal(array.block(0, 1, 3), whole[1:3])


def test_a_double_that_is_stored_small_is_a_double(tmp_path: Path) -> None:
    # as MATLAB writes whole doubles; scipy does not, so the element is made by hand
    values = np.arange(8, dtype=np.uint8)
    body = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1, 8) + struct.pack("<HHs3x", 1, 1, b"x")
    body += struct.pack("<II", 2, 8) + values.tobytes()
    matrix = struct.pack("<II", 14, len(body)) + body
    packed = zlib.compress(matrix)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    for name, element in (("plain", matrix), ("packed", struct.pack("<II", 15, len(packed)) + packed)):
        path = tmp_path / f"{name}.mat"
        path.write_bytes(head + element)
        ours = find_array(root_of(path), "x").numbers()
        assert ours.dtype == np.float64
        assert np.array_equal(ours, loadmat(path, mat_dtype=True)["x"])


def test_other_byte_order(tmp_path: Path) -> None:
    body = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 1, 3) + struct.pack(">HHs3x", 1, 1, b"x")
    body += struct.pack(">II", 9, 24) + np.array([1.5, -2, 3], ">f8").tobytes()
    path = tmp_path / "b.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\0MI" + struct.pack(">II", 14, len(body)) + body)
    assert find_array(root_of(path), "x").numbers().tolist() == loadmat(path)["x"].tolist() == [[1.5, -2.0, 3.0]]


@pytest.mark.parametrize("compressed", [False, True])
def test_words_structs_and_cells(tmp_path: Path, compressed: bool) -> None:
    held = {"word": "Größe", "names": cells("C3", "C4"), "rows": np.array(["ab ", "c"]), "empty": np.zeros((0, 0))}
    held |= {"deep": {"er": {"x": 3.5}}, "mixed": cells("w", np.arange(3.0), cells(1.0, "v"))}
    units = np.array([(np.arange(2.0), "a"), (np.arange(3.0), "b")], dtype=[("times", object), ("name", object)])
    path = saved(tmp_path, {"s": held, "units": units}, do_compression=compressed)
    root = root_of(path)
    assert find_array(root, "s.word", "text").words() == ["Größe"]
    assert find_array(root, "s.names", "text").words() == ["C3", "C4"]
    assert find_array(root, "s.rows", "text").words() == ["ab", "c"]
    assert find_array(root, "s.empty").size == 0
    assert find_array(root, "s.deep.er.x").numbers().tolist() == [[3.5]]
    assert find_array(root, "s.mixed.2").numbers().tolist() == [[0, 1, 2]]
    assert find_array(root, "s.mixed.3.2", "text").words() == ["v"]
    assert find_array(root, "units.2.times").size == 3
    assert {a.name for a in root.arrays()} >= {"s.word", "s.mixed.3.1", "units.1.name", "units.2.times"}


def test_complex_and_sparse_are_there_but_no_signals(tmp_path: Path) -> None:
    from scipy.sparse import csc_array

    path = saved(tmp_path, {"z": np.array([1 + 2j, 3]), "s": csc_array(np.eye(3)), "x": LFP})
    for name in ("z", "s"):
        with pytest.raises(RecordingError, match=f"'{name}' .* neither numbers nor text.*Allowed: an array of numbers"):
            opened(path, signal(name))


def test_signal_facts_from_the_file(tmp_path: Path) -> None:
    held = {"x": LFP, "fs": 500, "labels": cells("CA1", "CA3", "EC"), "t0": 2.5}
    path = saved(tmp_path, {"d": held})
    layout = signal(
        "d.x", sfreq="d.fs", ch_names="d.labels", ch_types="seeg", start_s="d.t0", unit=["mV", "uV", "a.u."]
    )
    with opened(path, layout) as session:
        spec = session.signal.spec
        assert (spec.sfreq, spec.ch_names, spec.units) == (500.0, ("CA1", "CA3", "EC"), ("V", "V", "a.u."))
        assert spec.ch_types == ("seeg",) * 3
        assert session.signal.start_s == 2.5
        expected = (LFP * [[1e-3], [1e-6], [1.0]]).astype(np.float32)
        assert np.array_equal(session.signal.read(), expected)
    with opened(path, signal("d.x", columns=[2, 0], ch_names=["EC", "CA1"])) as session:
        assert np.array_equal(session.signal.read(), (LFP[[2, 0]] * 1e-6).astype(np.float32))


def test_vectors_as_channels(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": LFP[0], "b": LFP[1][:, None], "t": 5 + np.arange(200) / 256})
    with opened(path, signal(["a", "b"], sfreq=None, times="t")) as session:
        assert session.signal.spec.ch_names == ("a", "b")
        assert (session.signal.spec.sfreq, session.signal.start_s) == (256.0, 5.0)
        assert np.array_equal(session.signal.read(3, 9), (LFP[:2, 3:9] * 1e-6).astype(np.float32))


def test_nan_is_not_valid_and_infinity_an_error(tmp_path: Path) -> None:
    values = LFP.copy()
    values[1, 7] = np.nan
    with opened(saved(tmp_path, {"x": values}), signal()) as session:
        assert np.flatnonzero(~session.signal.valid()).tolist() == [7]
        assert session.signal.valid(5, 9).tolist() == [True, True, False, True]
        assert np.isnan(session.signal.read(7, 8)[1]).all()
    values[2, 9] = np.inf
    with opened(saved(tmp_path, {"x": values}), signal()) as session:
        assert session.signal.read(0, 9).shape == (3, 9)
        with pytest.raises(RecordingError, match="sample 9 of 'x' is not finite"):
            session.signal.read()


def make_spikes(folder: Path, version: str) -> Path:
    trains = [np.array([0.5, 0.1]), np.array([0.3]), np.zeros(0)]
    times, unit = np.array([30.0, 10.0, 20.0]), np.array([7, 2, 7], "i4")
    if version == "5":
        return saved(folder, {"trains": cells(*trains), "times": times, "unit": unit, "ids": cells("a", "b", "c")})

    def fill(file: Any) -> None:
        # MATLAB stores an empty array as its shape
        put = [make.put73(file, n, v) for n, v in (("times", times), ("unit", unit), ("trains", trains[:2]))]
        refs = list(put[-1][:, 0])
        empty = file["#refs#"].create_dataset("none", data=np.array([0, 0], "u8"))
        empty.attrs["MATLAB_class"], empty.attrs["MATLAB_empty"] = np.bytes_("double"), np.uint8(1)
        del file["trains"]
        file.create_dataset("trains", data=np.array([*refs, empty.ref], dtype=put[-1].dtype)[:, None])
        make.put73(file, "ids", ["a", "b", "c"])

    make.write_mat73(folder / "a.mat", fill)
    return folder / "a.mat"


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_spikes(tmp_path: Path, version: str) -> None:
    path = make_spikes(tmp_path, version)
    layout = {
        "spikes": {
            "cells": {"trains": "trains", "unit_ids": "ids"},
            "sorted": {"times": "times", "unit": "unit", "time_unit": "samples", "sfreq": 10, "first_sample": 1},
            "all": {"times": "times", "time_unit": "ms", "start_s": 1},
            "some": {"trains": ["trains.2", "times"]},
        }
    }
    with opened(path, layout) as session:
        assert session.signals == {}
        trains = session.spikes["cells"]
        assert (trains.unit_ids, trains.times_s.tolist()) == (("a", "b", "c"), [0.1, 0.3, 0.5])
        assert trains.unit.tolist() == [0, 1, 0]
        assert session.spikes["sorted"].unit_ids == ("2", "7")
        assert session.spikes["sorted"].times_s.tolist() == [0.9, 1.9, 2.9]
        assert session.spikes["sorted"].train("7").tolist() == [1.9, 2.9]
        assert session.spikes["all"].times_s.tolist() == [1.01, 1.02, 1.03]
        assert session.spikes["some"].unit_ids == ("trains.2", "times")


def test_series_and_intervals(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        {"t": [0.0, 0.1, 0.5], "xy": np.arange(6.0).reshape(3, 2), "go": [3, 1], "took": [0.5, 0.25], "dir": [2, 1]},
    )
    layout = {
        "series": {"hand": {"times": "t", "values": "xy", "axes": "time channel", "units": ["m", "m"]}},
        "trials": {"start": "go", "duration": "took", "label": "dir"},
        "intervals": {"go": {"start": "go"}},
    }
    with opened(path, layout) as session:
        hand = session.series["hand"]
        assert (hand.names, hand.units, hand.values.tolist()) == (
            ("xy_1", "xy_2"),
            ("m", "m"),
            [[0, 1], [2, 3], [4, 5]],
        )
        assert list(session.trials) == [(1.0, 1.25, "1"), (3.0, 3.5, "2")]
        assert list(session.intervals["go"]) == [(1.0, 1.0, "go"), (3.0, 3.0, "go")]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (signal("LPF"), "signals.lfp: there is no 'LPF'; there is 'LFP', 'd'.* Did you mean 'LFP'"),
        (signal("d"), "'d' is no array, but a group; 'd' holds 'x'"),
        (signal("d.y"), "there is no 'd.y'; 'd' holds 'x'"),
        (signal("LFP.x"), "there is no 'LFP.x'; 'LFP' is an array"),
        (signal("w"), "'w' .* text. Allowed: an array of numbers"),
        (signal("cube"), "'cube' .2, 3, 4. numbers has 3 axes. Allowed: 1 or 2"),
        (signal("LFP", axes=None), "'LFP' .3, 200. numbers has two axes. Allowed: axes"),
        (signal("wide", axes="time channel"), "5000 channels. Allowed: 1 to 4096. Swap the words of axes"),
        (signal("LFP", ch_names=["a", "b"]), "ch_names has 2 entries for 3 channels"),
        (signal("LFP", ch_names=["a", "a", "b"]), "several channels are named 'a'"),
        (signal("LFP", unit=["V"]), "unit has 1 entries for 3 channels"),
        (signal("LFP", columns=[3]), "columns 3 of 'LFP'.*numbers from 0 to 2"),
        (signal("LFP", sfreq="LFP"), "'LFP' .* is no single number"),
        (signal("LFP", sfreq="zero"), "the rate is 0.0 Hz"),
        (signal("LFP", sfreq=None, times="t"), "'t' .1, 5. numbers for 200 samples. Allowed: one time a sample"),
        (signal("t", sfreq=100, times="t"), "its times go from 0 to 4 s, but 5 samples at 100 Hz do not"),
        (signal(["t", "LFP"]), "'LFP' .* is not one column"),
        (signal(["t", "zero"]), "differ in length"),
        (signal("none"), "is empty"),
        ({"trials": {"start": "t", "end": "zero"}}, "lengths differ: 'start' has 5, 'end' has 1"),
        ({"spikes": {"u": {"trains": "c"}}}, "'c.2' .* text. Allowed: a vector of times"),
        ({"spikes": {"u": {"trains": "q.*"}}}, "there is no 'q.*'"),
        ({"spikes": {"u": {"trains": ["t"], "unit_ids": ["a", "b"]}}}, "2 unit_ids for 1 trains"),
        ({"series": {"p": {"times": "t", "values": "zero"}}}, "'zero' .* for 5 times"),
        ({"series": {"p": {"times": "t", "values": "t", "names": ["a", "b"]}}}, "names has 2 entries for 1 columns"),
    ],
)
def test_what_contradicts_the_file(tmp_path: Path, layout: dict[str, Any], message: str) -> None:
    variables = {"LFP": LFP, "d": {"x": 1.0}, "w": "word", "cube": np.zeros((2, 3, 4)), "wide": np.zeros((2, 5000))}
    variables |= {"t": np.arange(5.0), "zero": 0.0, "c": cells(1.0, "b"), "none": np.zeros((0, 3))}
    path = saved(tmp_path, variables)
    with pytest.raises(RecordingError, match=f"^{path}: the layout that was passed, .*{message}"):
        opened(path, layout)


def test_uneven_times_are_an_error_where_they_are_read(tmp_path: Path) -> None:
    times = np.arange(300) / 100
    times[200:] += 0.01
    path = saved(tmp_path, {"x": RNG.normal(size=300), "t": times})
    with pytest.raises(RecordingError, match="times go from 0 to 3 s, but 300 samples at 100 Hz"):
        opened(path, signal(times="t"))
    times[:] = np.arange(300) / 100
    times[200:220] += 0.006
    path = saved(tmp_path, {"x": RNG.normal(size=300), "t": times})
    with opened(path, signal(times="t")) as session:
        assert session.signal.read(0, 200).shape == (1, 200)
        with pytest.raises(RecordingError, match="time 200 of 't' is 2.006 s, not even at 100 Hz.*'series'"):
            session.signal.read(190, 210)


def test_spikes_that_are_not_finite_name_their_part(tmp_path: Path) -> None:
    path = saved(tmp_path, {"t": [0.5, np.nan]})
    session = opened(path, {"spikes": {"u": {"times": "t"}}})
    with session, pytest.raises(RecordingError, match="spikes.u: Spike times are not all finite"):
        assert session.spikes["u"]


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_without_a_layout_the_error_shows_one_to_begin_with(tmp_path: Path, version: str) -> None:
    if version == "5":
        path = saved(tmp_path, {"lfp": LFP, "t": np.arange(200) / 100, "Fs": 100.0})
    else:
        path = tmp_path / "a.mat"

        def fill(file: Any) -> None:
            for name, value in (("lfp", LFP), ("t", np.arange(200) / 100), ("Fs", 100.0)):
                make.put73(file, name, np.asarray(value))

        make.write_mat73(path, fill)
    with pytest.raises(RecordingError, match="no agreed layout, and there is no 'a.layout.yaml' beside it") as caught:
        Mat().open(path)
    text = str(caught.value).partition("complete it:\n\n")[2]
    assert "#   'lfp' (3, 200) numbers" in text
    (tmp_path / "a.layout.yaml").write_text(text)
    with pytest.raises(RecordingError, match="a.layout.yaml: signals.lfp.unit"):
        Mat().open(path)
    (tmp_path / "a.layout.yaml").write_text(text.replace("unit:", "unit: mV"))
    with Mat().open(path) as session:
        assert session.signal.spec.sfreq == 100.0
        assert np.array_equal(session.signal.read(), (LFP * 1e-3).astype(np.float32))


def test_files_that_are_no_mat_files(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"x": LFP}, format="4")
    with pytest.raises(RecordingError, match="level 5 or version 7.3.*save -v7"):
        Mat().open(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x02IM" + b"\0" * 16)
    with pytest.raises(RecordingError, match="neither its byte order nor version 1"):
        Mat().open(tmp_path / "b.mat")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    packed = zlib.compress(struct.pack("<II", 14, 1 << 31) + b"\0" * 1000)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(RecordingError, match="holds an element of type 14, 2147483648 bytes long"):
        Mat().open(tmp_path / "a.mat")


def test_a_changed_byte_of_a_compressed_variable_is_seen(tmp_path: Path) -> None:
    path = saved(tmp_path, {"x": LFP}, do_compression=True)
    raw = bytearray(path.read_bytes())
    for at in range(200, len(raw), 97):
        changed = raw.copy()
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(RecordingError, match="compressed variable"), opened(path, signal()) as session:
            session.signal.read()


def test_a_changed_byte_of_a_small_compressed_struct_is_seen(tmp_path: Path) -> None:
    path = saved(tmp_path, {"t": {"start": [1.0, 2.0], "word": "left"}}, do_compression=True)
    raw = path.read_bytes()
    layout = {"trials": {"start": "t.start"}}
    assert len(opened(path, layout).trials) == 2
    for at in range(len(raw) - 4, len(raw)):  # its checksum
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(RecordingError, match="compressed variable is damaged"):
            opened(path, layout)
