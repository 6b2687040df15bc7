"""The EEGLAB reader against MNE and scipy, in MATLAB 5.0 and 7.3; and every way its fields can contradict."""

from __future__ import annotations

import random
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import mne
import numpy as np
import pytest
import scipy.io
from make_eeglab import BOUND, eeg_of, make_eeglab, save_v5, save_v73

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, Session
from neural_foundation.recordings.eeglab import Eeglab
from neural_foundation.recordings.mat_fields import Fields, open_mat

DATA = (np.random.default_rng(0).normal(size=(3, 250)) * 20).astype(np.float32)
NOTHING = np.zeros((0, 0))
PLACES: list[dict[str, Any]] = [
    {"labels": "FP1", "type": "", "X": 0.8, "Y": 0.3, "Z": -0.1},
    {"labels": "Cz", "type": "EEG", "X": 0.0, "Y": 0.0, "Z": 1.0},
    {"labels": "EOG1", "type": NOTHING, "X": NOTHING, "Y": NOTHING, "Z": NOTHING},
]
EVENTS: list[dict[str, Any]] = [
    {"type": "S  1", "latency": 11.0, "duration": 5.0},
    {"type": "boundary", "latency": 100.5, "duration": 300.0},
    {"type": 7.0, "latency": 250.0, "duration": NOTHING},
]


def eeg(**changes: Any) -> dict[str, Any]:
    return {**eeg_of(DATA, 125.0, PLACES, EVENTS), **changes}


def external(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return an EEG whose samples lie in a.fdt."""
    (folder / "a.fdt").write_bytes(DATA.astype("<f4").tobytes("F"))
    return eeg(data="a.fdt", datfile="a.fdt", **changes)


SAVERS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {
    "v5": save_v5,
    "v5 compressed": lambda path, e: save_v5(path, e, compressed=True),
    "v5 top": lambda path, e: save_v5(path, e, top=True),
    "v5 compressed top": lambda path, e: save_v5(path, e, top=True, compressed=True),
    "v7.3": save_v73,
    "v7.3 compressed": lambda path, e: save_v73(path, e, compressed=True),
    "v7.3 top": lambda path, e: save_v73(path, e, top=True),
}
each_saver = pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)


def open_(path: Path) -> Session:
    return Eeglab().open(path)


def by_mne(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.io.read_raw_eeglab(path, verbose="ERROR")


@each_saver
@pytest.mark.parametrize("embedded", [True, False])
def test_content(tmp_path: Path, save: Callable[..., Path], embedded: bool) -> None:
    path = save(tmp_path / "a.set", eeg() if embedded else external(tmp_path))
    with open_(path) as session:
        spec, ours = session.signal.spec, session.signal.read()
        np.testing.assert_allclose(ours, DATA * 1e-6, rtol=1e-6)
        for start, stop in ((0, 0), (7, 8), (13, 150), (249, 250)):
            assert np.array_equal(session.signal.read(start, stop), ours[:, start:stop])
        assert (spec.sfreq, session.signal.n_times, session.subject) == (125.0, 250, "a")
        assert (spec.ch_names, spec.ch_types) == (("Fp1", "Cz", "EOG1"), ("eeg", "eeg", "eog"))
        assert session.trials.label == ("S  1", "boundary", "7")
        np.testing.assert_allclose(session.trials.start_s, [10 / 125, 99.5 / 125, 249 / 125])
        np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, [5 / 125, 300 / 125, 0], atol=1e-12)
        assert spec.positions[2] is None
        np.testing.assert_allclose(spec.positions[:2], [(-0.03, 0.08, -0.01), (0.0, 0.0, 0.1)], atol=1e-12)


@pytest.mark.parametrize("embedded", [True, False])
def test_content_equals_that_of_mne(tmp_path: Path, embedded: bool) -> None:
    events = [{**e, "duration": 3.0} for e in EVENTS[:2]]
    places = [*PLACES[:2], {**PLACES[2], "X": 0.7, "Y": 0.3, "Z": -0.6}]
    changes = {"event": events, "chanlocs": places}
    path = save_v5(tmp_path / "a.set", eeg(**changes) if embedded else external(tmp_path, **changes))
    raw = by_mne(path)
    with open_(path) as session:
        np.testing.assert_allclose(session.signal.read(), raw.get_data(), rtol=1e-6)
        assert session.trials.label == tuple(raw.annotations.description)
        np.testing.assert_allclose(session.trials.start_s, raw.annotations.onset, atol=1e-6)
        np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, raw.annotations.duration, atol=1e-6)
        places = [ch["loc"][:3] for ch in raw.info["chs"]]
        np.testing.assert_allclose(session.signal.spec.positions, places, atol=1e-12)


def test_contract_maker_gives_back_what_it_was_given(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=128.0, ch_names=("Fp1", "EOG"), ch_types=("eeg", "eog"))
    values = (np.random.default_rng(1).normal(size=(2, 300)) * 1e-5).astype(np.float32)
    trials = Intervals.of([(0.25, 0.75, "left"), (1.5, 1.5, "blink")])
    with open_(make_eeglab(tmp_path, values, spec, trials)) as session:
        assert np.abs(session.signal.read().astype(float) - values).max() <= BOUND
        assert session.trials == trials
        assert session.signal.spec.ch_types == spec.ch_types


@pytest.mark.parametrize("dtype", ["f8", "i2", "u1"])
def test_samples_of_other_types(tmp_path: Path, dtype: str) -> None:
    data = np.arange(750).reshape(3, 250).astype(dtype)
    for save in (save_v5, save_v73):
        with open_(save(tmp_path / "a.set", eeg(data=data))) as session:
            np.testing.assert_allclose(session.signal.read(3, 200), data[:, 3:200] * 1e-6, rtol=1e-6)


def test_big_endian_files(tmp_path: Path) -> None:
    """Byte-swap what scipy wrote: tags, and numbers by their type."""
    raw = save_v5(tmp_path / "a.set", eeg()).read_bytes()
    (tmp_path / "b.set").write_bytes(raw[:124] + b"\x01\x00MI" + swapped(raw, 128, len(raw)))
    with open_(tmp_path / "a.set") as a, open_(tmp_path / "b.set") as b:
        assert np.array_equal(a.signal.read(), b.signal.read())
        assert a.trials == b.trials
        assert a.signal.spec.replace(subject="b") == b.signal.spec


def swapped(raw: bytes, at: int, end: int) -> bytes:
    widths = {3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 17: "H"}
    out = b""
    while at < end:
        word, n = struct.unpack("<II", raw[at : at + 8])
        small = word >> 16
        kind, n, start = (word & 0xFFFF, small, at + 4) if small else (word, n, at + 8)
        after = at + 8 if small else start + -(-n // 8) * 8
        if kind == 14:
            body = swapped(raw, start, start + n)
        else:
            code = widths.get(kind, "B")
            count = n // struct.calcsize(code)
            body = struct.pack(f">{count}{code}", *struct.unpack(f"<{count}{code}", raw[start : start + n]))
        out += (struct.pack(">I", word) if small else struct.pack(">II", word, n)) + body
        out += bytes(after - start - n)
        at = after
    return out


def test_v5_values_equal_those_of_scipy(tmp_path: Path) -> None:
    values = {"t": "grüße λ", "n": np.arange(6.0).reshape(2, 3), "e": "", "z": np.zeros((0, 3)), "i": np.int16([[-5]])}
    values["b"] = np.array([[True, False]])
    path = tmp_path / "a.mat"
    for compressed in (False, True):
        scipy.io.savemat(path, {**values, "c": np.array([["x", 2.0]], dtype=object), "w": np.array(["ab", "cd"])},
                         do_compression=compressed)  # fmt: skip
        variables = open_mat(path, path.stat().st_size)
        fields = Fields(variables)
        theirs = scipy.io.loadmat(path)
        for name in "nzib":
            np.testing.assert_array_equal(fields.value(name), theirs[name].astype(float))
        assert (fields.value("t"), fields.value("e"), fields.value("w")) == ("grüße λ", "", "ab\ncd")
        assert fields.value("c") == ("x", np.array([[2.0]]))
        assert fields.value("nosuch") is None
        variables.close()


@pytest.mark.parametrize(
    ("nose", "expected"),
    [("+X", (-0.3, 0.8)), ("+Y", (0.8, 0.3)), ("-x", (0.3, -0.8)), ("-Y", (-0.8, -0.3)), ("", (-0.3, 0.8))],
)
def test_the_nose(tmp_path: Path, nose: str, expected: tuple[float, float]) -> None:
    with open_(save_v5(tmp_path / "a.set", eeg(chaninfo=[{"nosedir": nose}]))) as session:
        assert session.signal.spec.positions[0] == pytest.approx((expected[0] / 10, expected[1] / 10, -0.01))


@pytest.mark.parametrize("unit", [1.0, 0.1, 10.0, 85.0])
def test_units_of_positions_are_found_as_mne_finds_them(tmp_path: Path, unit: float) -> None:
    places = [{**p, **{axis: p[axis] * unit for axis in "XYZ"}} for p in PLACES[:2]]
    path = save_v5(tmp_path / "a.set", eeg(nbchan=2.0, data=DATA[:2], chanlocs=places))
    theirs = [ch["loc"][:3] for ch in by_mne(path).info["chs"]]
    with open_(path) as session:
        np.testing.assert_allclose(session.signal.spec.positions, theirs, atol=1e-12)


def test_without_positions_the_standard_ones(tmp_path: Path) -> None:
    places = [{"labels": p["labels"]} for p in PLACES]
    with open_(save_v5(tmp_path / "a.set", eeg(chanlocs=places))) as session:
        assert session.signal.spec.positions[0] == (-0.030903, 0.114585, 0.027867)


def test_types(tmp_path: Path) -> None:
    places = [{**p, "type": t} for p, t in zip(PLACES, ("REF", "GSR", "EKG"), strict=True)]
    with open_(save_v5(tmp_path / "a.set", eeg(chanlocs=places))) as session:
        assert session.signal.spec.ch_types == ("eeg", "misc", "ecg")


@each_saver
def test_no_locations_and_no_events(tmp_path: Path, save: Callable[..., Path]) -> None:
    for nothing in ([], NOTHING):
        with open_(save(tmp_path / "a.set", eeg(chanlocs=nothing, event=nothing))) as session:
            assert session.signal.spec.ch_names == ("ch1", "ch2", "ch3")
            assert len(session.trials) == 0


@each_saver
def test_one_channel_and_one_event(tmp_path: Path, save: Callable[..., Path]) -> None:
    path = save(tmp_path / "a.set", eeg(nbchan=1.0, data=DATA[:1], chanlocs=PLACES[:1], event=EVENTS[:1]))
    with open_(path) as session:
        np.testing.assert_allclose(session.signal.read(), DATA[:1] * 1e-6, rtol=1e-6)
        assert session.trials.label == ("S  1",)


def with_event(**changes: Any) -> list[dict[str, Any]]:
    return [*EVENTS[:2], {**EVENTS[2], **changes}]


def with_place(**changes: Any) -> list[dict[str, Any]]:
    return [PLACES[0], {**PLACES[1], **changes}, PLACES[2]]


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"trials": 2.0}, "it holds 2 epochs of 250 samples, not a continuous recording. Open the continuous file"),
    ({"nbchan": 4.0, "chanlocs": NOTHING}, "nbchan is 4 and pnts 250, but its data are 3 by 250"),
    ({"pnts": 251.0, "xmax": 2.0}, "nbchan is 3 and pnts 251, but its data are 3 by 250"),
    ({"pnts": 2.0**31, "xmax": NOTHING}, "nbchan is 3 and pnts 2147483648"),
    ({"nbchan": 0.0}, "nbchan is 0. Allowed: a whole number from 1 to 4096"),
    ({"nbchan": 3.5}, "nbchan is 3.5"),
    ({"nbchan": "three"}, "the nbchan is not one finite number"),
    ({"srate": 0.0}, "srate is 0"),
    ({"srate": np.nan}, "the srate is not one finite number"),
    ({"srate": np.array([100.0, 200.0])}, "the srate is not one finite number"),
    ({"srate": 250.0}, "pnts is 250 and srate 250, but xmin to xmax are 0 to 1.992 s"),
    ({"chanlocs": PLACES[:2]}, "nbchan is 3, but chanlocs has 2 entries"),
    ({"chanlocs": "x"}, "nbchan is 3, but chanlocs has no entries"),
    ({"chanlocs": with_place(labels="Fp1")}, "several channels are named 'Fp1'"),
    ({"chanlocs": with_place(labels="")}, "the label of channel 2 is ''"),
    ({"chaninfo": [{"nosedir": "up"}]}, "chaninfo.nosedir is 'up'. Allowed: '+x', '-x', '+y' or '-y'"),
    ({"event": with_event(latency=252.0)}, "event 3 lies at sample 252, but the recording has 250"),
    ({"event": with_event(latency=-1.0)}, "event 3 lies at sample -1"),
    ({"event": with_event(latency=np.nan)}, "the latency of event 3 is not one finite number"),
    ({"event": with_event(latency=NOTHING)}, "the latency of event 3 is not one finite number"),
    ({"event": with_event(duration=-2.0)}, "event 3 has a duration of -2 samples"),
    ({"event": with_event(type=np.array([1.0, 2.0]))}, "the type of event 3 is neither text nor a number"),
    ({"event": np.ones((2, 2))}, "its field event is no struct"),
    ({"data": "b.fdt"}, "its samples are said to be in 'b.fdt', which is not there"),
    ({"data": "../a.fdt"}, "Allowed: the name of a file beside it"),
    ({"data": "old.dat"}, "in the order of old EEGLAB versions"),
    ({"data": NOTHING}, "its field data is neither an array of numbers nor the name of a file"),
    ({"data": "a.set"}, "which is not there"),
]


@pytest.mark.parametrize(("changes", "said"), CHANGES, ids=[said[:30] for _, said in CHANGES])
@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_a_contradiction_is_refused(
    tmp_path: Path, save: Callable[..., Path], changes: dict[str, Any], said: str
) -> None:
    path = save(tmp_path / "a.set", eeg(**changes))
    with pytest.raises(RecordingError, match=re.escape(said)) as caught:
        open_(path)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["chanlocs", "event", "pnts"])
@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_a_field_that_eeglab_always_writes_must_be_there(tmp_path: Path, save: Callable[..., Path], name: str) -> None:
    fields = {key: value for key, value in eeg().items() if key != name}
    with pytest.raises(RecordingError, match=f"its EEG has no field '{name}'. Allowed: also an empty one"):
        open_(save(tmp_path / "a.set", fields))


def test_complex_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="its field 'data' holds complex numbers"):
        open_(save_v5(tmp_path / "a.set", eeg(data=DATA + 1j)))
    with pytest.raises(RecordingError, match="its field 'data' holds complex numbers. Allowed: real numbers"):
        open_(save_v73(tmp_path / "a.set", eeg(data=DATA + 1j)))


@pytest.mark.parametrize("change", [-4, 4, -1, 12])
def test_the_fdt_must_have_its_size(tmp_path: Path, change: int) -> None:
    path = save_v5(tmp_path / "a.set", external(tmp_path))
    raw = (tmp_path / "a.fdt").read_bytes()
    (tmp_path / "a.fdt").write_bytes(raw[:change] if change < 0 else raw + b"x" * change)
    missing = "are missing" if change < 0 else "are too many"
    with pytest.raises(RecordingError, match=f"3 channels of 250 samples are 3000: {abs(change)} bytes {missing}"):
        open_(path)


def test_line_ending_damage_is_named(tmp_path: Path) -> None:
    path = save_v5(tmp_path / "a.set", external(tmp_path))
    (tmp_path / "a.fdt").write_bytes((b"\n\0\0\0" * 750).replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"\(LF to CR LF\) damaged 'a.fdt'"):
        open_(path)
    for save in (save_v5, save_v73):
        path = save(tmp_path / "a.set", eeg(comments="line\n" * 9))
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        with pytest.raises(RecordingError, match=r"a line-ending conversion \(LF to CR LF\) damaged it"):
            open_(path)


@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_no_recording_in_it(tmp_path: Path, save: Callable[..., Path]) -> None:
    path = save(tmp_path / "a.set", {"ALLEEG": 1.0}, top=True)
    with pytest.raises(RecordingError, match="it holds 'ALLEEG', which is no EEGLAB recording"):
        open_(path)
    path = save(tmp_path / "a.set", {"EEG": 1.0}, top=True)
    with pytest.raises(RecordingError, match="its variable EEG is not one struct"):
        open_(path)
    path.write_bytes(b"MATLAB 4.2 or so, which is not read")
    with pytest.raises(RecordingError, match="does not start as MAT-files of level 5 or version 7.3 do"):
        open_(path)


@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_a_sample_that_is_not_finite_is_named(tmp_path: Path, save: Callable[..., Path]) -> None:
    data = DATA.copy()
    data[2, 9] = np.inf
    with open_(save(tmp_path / "a.set", eeg(data=data))) as session:
        assert session.signal.read(10, 20).shape == (3, 10)
        with pytest.raises(RecordingError, match="sample 9 of channel 'EOG1' is not finite"):
            session.signal.read()


def test_the_samples_name_the_header(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="Open the .set beside it"):
        open_(tmp_path / "a.fdt")


def test_a_link_out_of_the_file_is_not_followed(tmp_path: Path) -> None:
    path = save_v73(tmp_path / "a.set", eeg())
    with h5py.File(path, "r+") as file:
        del file["EEG/srate"]
        file["EEG/srate"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(RecordingError, match="its 'EEG.srate' is a link to elsewhere"):
        open_(path)


def test_damage_in_fields_that_are_not_read_is_seen(tmp_path: Path) -> None:
    path = save_v5(tmp_path / "a.set", eeg())
    raw = path.read_bytes()
    at = raw.index(struct.pack("<IIII", 4, 0, 5, 8))  # the class of the first text, the name of the set
    for new, said in ((0, "is of class 0"), (99, "is of class 99")):
        path.write_bytes(raw[:at] + struct.pack("<I", new) + raw[at + 4 :])
        with pytest.raises(RecordingError, match=said):
            open_(path)
    path.write_bytes(raw[: at + 16] + struct.pack("<i", 2) + raw[at + 20 :])
    with pytest.raises(RecordingError, match=r"has 1 characters, but the shape \(2, 1\)"):
        open_(path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_foundation.recordings.mat5_elements.MIN_UNPACKED", 1 << 18)
    path = tmp_path / "a.set"
    body = struct.pack("<II", 14, (8 << 20) - 8) + struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1, 9)
    body += struct.pack("<II", 1, 4) + b"data" + bytes(4)
    packed = zlib.compress(body + bytes((8 << 20) - len(body)), 1)
    save_v5(path, {"nbchan": 1.0, "srate": 1.0, "pnts": 9.0}, top=True)
    path.write_bytes(path.read_bytes() + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(RecordingError, match="unpack to more than 100 times their size"):
        open_(path)


def test_a_closed_session_reads_nothing(tmp_path: Path) -> None:
    for saved in SAVERS.values():
        session = open_(saved(tmp_path / "a.set", eeg()))
        session.close()
        session.close()
        with pytest.raises(DataError, match="closed"):
            session.signal.read()


NUMBERS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0", b"\x01\0\0\0", b"\0\0\xf8\x7f"]


def mutant(raw: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(choice.choice([len(raw), min(len(raw), 2048)]))
    kind = choice.choice(["change", "change", "number", "number", "cut", "add", "insert", "remove", "newlines"])
    if kind == "change":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind == "number":
        at -= at % 4
        return raw[:at] + choice.choice(NUMBERS) + raw[at + 4 :]
    if kind == "cut":
        return raw[:at]
    if kind == "add":
        return raw + choice.choice(NUMBERS) * choice.choice([1, 8])
    if kind == "newlines":
        return raw.replace(b"\n", b"\r\n")
    return raw[:at] + choice.choice(NUMBERS) + raw[at:] if kind == "insert" else raw[:at] + raw[at + 1 :]


def use(path: Path) -> str:
    """Read all of a recording; 'opened', 'refused', or what is wrong."""
    try:
        with open_(path) as session:
            small = session.signal.read().size <= 4 * 750 and len(session.trials) < 100
    except RecordingError as error:
        return "refused" if error.path == path else f"refused as {error.path}"
    return "opened" if small else "opened with too much"


@pytest.mark.parametrize(("saved", "count"), [("v5", 120), ("v5 compressed", 60), ("v5 top", 60), ("v7.3", 60)])
def test_mutants(tmp_path: Path, saved: str, count: int) -> None:
    path = SAVERS[saved](tmp_path / "a.set", external(tmp_path) if saved == "v5 top" else eeg())
    raw, choice, refused = path.read_bytes(), random.Random(4), 0
    for number in range(count):
        path.write_bytes(mutant(raw, choice))
        began = time.perf_counter()
        outcome = use(path)
        assert outcome in ("opened", "refused"), (number, outcome)
        assert time.perf_counter() - began < 2, number
        refused += outcome == "refused"
    assert refused > count // 3
