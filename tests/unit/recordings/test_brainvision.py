"""The BrainVision reader against MNE; and every way the three files can contradict each other."""

from __future__ import annotations

import random
import re
import time
import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from make_brainvision import LABEL, make_brainvision, write_brainvision

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, Session
from neural_foundation.recordings.brainvision import BrainVision

STORED = np.random.default_rng(0).integers(-3000, 3000, (3, 200))
NAMES = ("Fp1", "Cz", "VEOG")
MARKERS = ("New Segment,,1,1", "Stimulus,S  1,11,1", "Comment,a\\1b,51,20", "New Segment,,101,1", "Response,R 2,200,0")


def write(folder: Path, **options: Any) -> Path:
    options = {"stored": STORED, "names": NAMES, "sfreq": 100.0, "number": "INT_16", "resolution": 0.5, **options}
    options.setdefault("markers", MARKERS)
    return write_brainvision(folder, **options)


def open_(path: Path) -> Session:
    return BrainVision().open(path)


def by_mne(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.io.read_raw_brainvision(path, verbose="ERROR")


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_bytes()
    assert old.encode() in text
    path.write_bytes(text.replace(old.encode(), new.encode(), 1))
    return path


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("number", ["INT_16", "INT_32", "IEEE_FLOAT_32"])
def test_values_equal_those_of_mne(tmp_path: Path, number: str, vectorized: bool) -> None:
    path = write(tmp_path, number=number, vectorized=vectorized, common=["DataPoints=200"])
    with open_(path) as session:
        ours = session.signal.read()
        np.testing.assert_allclose(ours, by_mne(path).get_data(), rtol=1e-7, atol=0)
        np.testing.assert_allclose(ours, STORED * 0.5e-6, rtol=1e-7)
        for start, stop in ((0, 0), (7, 8), (13, 150), (199, 200)):
            assert np.array_equal(session.signal.read(start, stop), ours[:, start:stop])


def test_blocks_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_foundation.recordings.frames.BLOCK_BYTES", 100)
    for vectorized in (False, True):
        with open_(write(tmp_path, vectorized=vectorized)) as session:
            np.testing.assert_allclose(session.signal.read(3, 190), STORED[:, 3:190] * 0.5e-6, rtol=1e-7)


def test_big_endian(tmp_path: Path) -> None:
    with open_(write(tmp_path, big=True)) as session:
        np.testing.assert_allclose(session.signal.read(), STORED * 0.5e-6, rtol=1e-7)


def test_markers_equal_those_of_mne(tmp_path: Path) -> None:
    path = write(tmp_path)
    theirs = by_mne(path).annotations
    with open_(path) as session:
        assert session.trials.label == tuple(theirs.description)
        assert session.trials.label == ("Stimulus/S  1", "Comment/a,b", "New Segment/", "Response/R 2")
        np.testing.assert_allclose(session.trials.start_s, theirs.onset, atol=1e-9)
        np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, theirs.duration, atol=1e-9)
        assert session.signal.valid().all()


def test_a_first_marker_that_is_no_new_segment_is_kept(tmp_path: Path) -> None:
    with open_(write(tmp_path, markers=["Stimulus,S  1,1,1"])) as session:
        assert list(session.trials) == [(0.0, 0.01, "Stimulus/S  1")]


def test_no_marker_file_is_no_events(tmp_path: Path) -> None:
    with open_(edit(write(tmp_path), "MarkerFile=a.vmrk\n", "")) as session:
        assert len(session.trials) == 0


def test_units(tmp_path: Path) -> None:
    path = write(tmp_path, names=("Fp1", "Temp", "GSR", "Count"), stored=np.ones((4, 20), int), markers=())
    for number, unit in ((1, "mV"), (2, "C"), (3, "µS"), (4, "ARU")):
        name = ("Fp1", "Temp", "GSR", "Count")[number - 1]
        edit(path, f"Ch{number}={name},,0.5,µV", f"Ch{number}={name},,0.5,{unit}")
    with open_(path) as session:
        assert session.signal.spec.units == ("V", "degC", "S", "ARU")
        assert session.signal.spec.ch_types == ("eeg", "misc", "misc", "misc")
        np.testing.assert_allclose(session.signal.read(0, 1)[:, 0], [0.5e-3, 0.5, 0.5e-6, 0.5], rtol=1e-7)
        np.testing.assert_allclose(session.signal.read(), by_mne(path).get_data(), rtol=1e-7)


@pytest.mark.parametrize("line", ["Ch1=Fp1,,,", "Ch1=Fp1,,", "Ch1=Fp1,Ref,1,uV"])
def test_what_is_omitted_is_a_microvolt(tmp_path: Path, line: str) -> None:
    path = edit(write(tmp_path), "Ch1=Fp1,,0.5,µV", line)
    with open_(path) as session:
        np.testing.assert_allclose(session.signal.read()[0], STORED[0] * 1e-6, rtol=1e-7)
        assert session.signal.spec.units == ()


@pytest.mark.parametrize("codepage", ["UTF-8", "ANSI", "Latin-1", ""])
def test_codepages(tmp_path: Path, codepage: str) -> None:
    path = write(tmp_path, codepage=codepage, names=("Größe, 1", "Cz", "Fp2"), markers=("Comment,größer,5,0",))
    with open_(path) as session:
        assert session.signal.spec.ch_names == ("Größe, 1", "Cz", "Fp2")
        assert session.trials.label == ("Comment/größer",)
        np.testing.assert_allclose(session.signal.read(), STORED * 0.5e-6, rtol=1e-7)


def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path)
    for name in ("a.vhdr", "a.vmrk"):
        raw = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n"))
    with open_(path) as session:
        assert len(session.trials) == 4
    assert BrainVision().recognises(path.read_bytes()[:16], path.name)


def test_names_types_and_standard_positions(tmp_path: Path) -> None:
    with open_(write(tmp_path, names=("FP1", "EEG Cz", "VEOG"))) as session:
        spec = session.signal.spec
        assert (spec.ch_names, spec.ch_types) == (("Fp1", "Cz", "VEOG"), ("eeg", "eeg", "eog"))
        assert spec.positions[0] == (-0.030903, 0.114585, 0.027867)
        assert spec.positions[2] is None
        assert spec.sfreq == 100.0


def test_coordinates_equal_those_of_mne(tmp_path: Path) -> None:
    extra = ["[Coordinates]", "Ch1=1,-90,-72", "Ch2=95.5,10.5,30", "Ch3=0,0,0"]
    path = write(tmp_path, extra=extra)
    raw = by_mne(path)
    with open_(path) as session:
        ours = session.signal.spec.positions
    np.testing.assert_allclose(ours[:2], [raw.info["chs"][i]["loc"][:3] for i in (0, 1)], atol=1e-12)
    assert ours[2] is None
    assert ours[0] == pytest.approx((-0.02935661, 0.09035037, 0.0), abs=1e-8)


def test_placeholder_names_and_version_2(tmp_path: Path) -> None:
    path = edit(edit(write(tmp_path), "DataFile=a.eeg", "DataFile=$b.eeg"), "MarkerFile=a.vmrk", "MarkerFile=$b.vmrk")
    edit(path, "Version 1.0", "Version 2.0")
    edit(path, "[Binary Infos]", "[User Infos]\nProp1=string,x,y\n\n[Binary Infos]")
    with open_(path) as session:
        assert len(session.trials) == 4


def test_contract_maker_gives_back_what_it_was_given(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=128.0, ch_names=("Fp1", "EOG"), ch_types=("eeg", "eog"))
    values = (np.random.default_rng(1).normal(size=(2, 300)) * 1e-5).astype(np.float32)
    trials = Intervals.of([(0.25, 0.75, "left"), (1.5, 1.5, "blink")])
    with open_(make_brainvision(tmp_path, values, spec, trials)) as session:
        np.testing.assert_allclose(session.signal.read(), values, rtol=2**-22)
        assert [(a, b) for a, b, _ in session.trials] == [(a, b) for a, b, _ in trials]
        assert session.trials.label == tuple(LABEL.format(word) for word in trials.label)
        assert (session.subject, session.session_id) == ("a", "a")
        assert session.signal.spec.ch_types == spec.ch_types


CHANGES = [
    ("DataFile=a.eeg", "DataFile=b.eeg", "'b.eeg', which is not there; beside it lie 'a.eeg' and 'a.vmrk'"),
    ("DataFile=a.eeg", "DataFile=../a.eeg", "Allowed: the name of a file beside it"),
    ("DataFile=a.eeg", "DataFile=", "it gives no DataFile"),
    ("DataFile=a.eeg", "DataFile=a.vmrk", "a file of samples (.eeg or .dat)"),
    ("DataFile=a.eeg", "DataFile=a.vhdr", "which is not there"),
    ("MarkerFile=a.vmrk", "MarkerFile=b.vmrk", "its markers are said to be in 'b.vmrk'"),
    ("MarkerFile=a.vmrk", "MarkerFile=a.eeg", "'a.eeg'"),
    (
        "DataFormat=BINARY",
        "DataFormat=ASCII",
        "DataFormat is 'ASCII'. Allowed: 'BINARY'. Export the recording as binary",
    ),
    ("DataFormat=BINARY", "DataFormat=BINARY\nDataType=FREQUENCYDOMAIN", "in the time domain"),
    ("DataOrientation=MULTIPLEXED", "DataOrientation=DIAGONAL", "'MULTIPLEXED' or 'VECTORIZED'"),
    ("BinaryFormat=INT_16", "BinaryFormat=INT_64", "'INT_16', 'INT_32' or 'IEEE_FLOAT_32'"),
    ("NumberOfChannels=3", "NumberOfChannels=4", "[Channel Infos] has no Ch4"),
    ("NumberOfChannels=3", "NumberOfChannels=2", "an entry 'ch3'. Allowed: Ch1 to Ch2"),
    ("NumberOfChannels=3", "NumberOfChannels=2147483648", "NumberOfChannels is 2147483648. Allowed: 1 to 4096"),
    ("NumberOfChannels=3", "NumberOfChannels=x", "NumberOfChannels is 'x'. Allowed: a whole number"),
    ("SamplingInterval=10000.0", "SamplingInterval=0", "SamplingInterval is 0"),
    ("SamplingInterval=10000.0", "SamplingInterval=nan", "SamplingInterval is 'nan'"),
    ("SamplingInterval=10000.0\n", "", "it gives no SamplingInterval"),
    (
        "SamplingInterval=10000.0",
        "SamplingInterval=10000.0\nDataPoints=199",
        "200 samples a channel, but DataPoints is 199",
    ),
    ("BinaryFormat=INT_16", "BinaryFormat=INT_32\nX=1", "lies at sample 101, but 'a.eeg' has 100"),
    ("Ch2=Cz", "Ch2=Fp1", "several channels are named 'Fp1'"),
    ("Ch2=Cz", "Ch2=", "channel Ch2 has no name"),
    ("Ch2=Cz,,0.5", "Ch2=Cz,,0", "the resolution of channel 'Cz' is 0"),
    ("Ch2=Cz,,0.5", "Ch2=Cz,,0x5", "the resolution of channel 'Cz' is '0x5'"),
    ("Ch2=Cz", "Ch1=Cz", "gives 'Ch1' twice"),
    ("Ch2=Cz", "Cx2=Cz", "an entry 'cx2'"),
    ("Ch2=Cz,,0.5", "Ch2=Cz", "channel Ch2 has 2 fields. Allowed: name, reference, resolution and unit"),
    ("Codepage", "Cödepage", "line 5 of it is not key=value"),
    ("; a comment", "no comment", "line 2 of it stands before the first section"),
    ("[Channel Infos]", "[Coordinates]", "[Channel Infos] has no Ch1"),
    ("[Channel Infos]\n", "", "'ch1', stands in [binary infos]"),
    ("Ch2=Cz", "Ch2Cz", "is not key=value"),
    ("[Binary Infos]", "[Common Infos]", "the section [Common Infos] twice"),
    ("[Common Infos]", "[Common]", "it has no section [Common Infos]"),
    ("Header File", "Marker File", "open the .vhdr that names it"),
    ("Brain Vision", "Brian Vision", "does not start as a BrainVision header file does"),
    ("Version 1.0", "Version 3.0", "of version 3.0. Allowed: 1.0 or 2.0"),
    ("Codepage=UTF-8", "Codepage=KOI8", "the codepage of it is not known"),
    ("; a comment", "\x00", "holds bytes that are no text"),
]


@pytest.mark.parametrize(("old", "new", "said"), CHANGES)
def test_a_wrong_header_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = edit(write(tmp_path), old, new)
    with pytest.raises(RecordingError, match=re.escape(said)) as caught:
        open_(path)
    assert caught.value.path == path


MARKS = [
    ("DataFile=a.eeg", "DataFile=b.eeg", "says that it marks 'b.eeg', but the samples are in 'a.eeg'"),
    ("S  1,11,1", "S  1,201,1", "lies at sample 201, but 'a.eeg' has 200"),
    ("a\\1b,51,20", "a\\1b,51,200", "lies at sample 51 for 200 samples"),
    ("S  1,11,1", "S  1,0,1", "lies at 0, for 1 samples"),
    ("S  1,11,1", "S  1,1.5,1", "the position of marker 'Mk2' of 'a.vmrk' is '1.5'"),
    ("S  1,11,1", "S, 1,11,1,0,0", "has 8 fields"),
    ("S  1,11,1", "S  1,11", "has 4 fields"),
    ("Mk2=", "Mk3=", "gives 'Mk3' twice"),
    ("Mk2=", "M2=", "an entry 'm2' among its markers"),
    ("[Common Infos]", "[Marker Infos]\n[Common Infos]", "has the section [Marker Infos] twice"),
    ("[Marker Infos]\n", "", "'mk1', stands in [common infos]"),
    ("[Marker Infos]", "[Markers]", "'a.vmrk' has no section [Marker Infos]"),
    ("Marker File", "Header File", "'a.vmrk' does not start as a BrainVision marker file does"),
    ("Mk2=", "Mk2=\x01", "holds bytes that are no text"),
]


@pytest.mark.parametrize(("old", "new", "said"), MARKS)
def test_wrong_markers_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path)
    edit(tmp_path / "a.vmrk", old, new)
    with pytest.raises(RecordingError, match=re.escape(said)) as caught:
        open_(path)
    assert caught.value.path == path


def test_a_text_that_is_not_in_its_codepage_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace("µ".encode(), b"\xb5"))
    with pytest.raises(RecordingError, match="it is not in its codepage, UTF-8"):
        open_(path)


def test_the_comment_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x00 [Common Infos]\n")
    open_(path).close()


@pytest.mark.parametrize("change", [-1, 1, -5, 7])
def test_samples_must_be_whole(tmp_path: Path, change: int) -> None:
    path = write(tmp_path)
    raw = (tmp_path / "a.eeg").read_bytes()
    (tmp_path / "a.eeg").write_bytes(raw[:change] if change < 0 else raw + b"x" * change)
    with pytest.raises(RecordingError, match="not a whole number of samples of 3 channels with 2 bytes each"):
        open_(path)


def test_line_ending_damage_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    raw = np.full((3, 200), 0x0A41, "<i2").tobytes()
    for cut in (0, 2):  # also where the damaged size is a whole number of samples
        (tmp_path / "a.eeg").write_bytes(raw.replace(b"\n", b"\r\n")[: 1800 - cut])
        with pytest.raises(RecordingError, match=r"a line-ending conversion \(LF to CR LF\) damaged 'a.eeg'"):
            open_(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\r\n"))
    with pytest.raises(RecordingError, match="damaged it: its lines end with CR CR LF"):
        open_(path)


def test_a_sample_that_is_not_finite_is_named(tmp_path: Path) -> None:
    stored = STORED.astype(float)
    stored[1, 7] = np.nan
    with open_(write(tmp_path, stored=stored, number="IEEE_FLOAT_32")) as session:
        assert session.signal.read(8, 20).shape == (3, 12)
        with pytest.raises(RecordingError, match="sample 7 of channel 'Cz' is not finite"):
            session.signal.read(5, 10)


def test_empty_and_missing_samples(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "a.eeg").write_bytes(b"")
    with pytest.raises(RecordingError, match="the file of its samples, 'a.eeg', is empty"):
        open_(path)
    (tmp_path / "a.eeg").unlink()
    (tmp_path / "a.vmrk").unlink()
    with pytest.raises(RecordingError, match="no other file lies beside it"):
        open_(path)


@pytest.mark.parametrize("name", ["a.eeg", "a.vmrk", "a.dat"])
def test_another_part_names_the_header(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordingError, match="Open the .vhdr beside it"):
        open_(tmp_path / name)


def test_a_closed_session_reads_nothing(tmp_path: Path) -> None:
    session = open_(write(tmp_path))
    session.close()
    session.close()
    with pytest.raises(DataError, match="closed"):
        session.signal.read()


PIECES = [b"2147483648", b"-1", b"0", b"1e99", b"nan", b"\n", b"\r\n", b"\0", b",", b"=", b"[", b"a" * 300, b"\xff"]


def mutant(raw: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(len(raw))
    kind = choice.choice(["change", "cut", "piece", "number", "swap", "newlines"])
    if kind == "change":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind == "cut":
        return raw[:at]
    if kind == "piece":
        return raw[:at] + choice.choice(PIECES) + raw[at:]
    if kind == "newlines":
        return raw.replace(b"\n", b"\r\n")
    if kind == "number":
        numbers = list(re.finditer(rb"\d+", raw))
        found = choice.choice(numbers) if numbers else re.match(b"", raw)
        return raw[: found.start()] + choice.choice(PIECES) + raw[found.end() :]
    lines = raw.split(b"\n")
    a, b = choice.randrange(len(lines)), choice.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def use(path: Path) -> str:
    """Read all of a recording; 'opened', 'refused', or what is wrong."""
    try:
        with open_(path) as session:
            small = session.signal.read().size <= 4 * 200 and len(session.trials) <= len(MARKERS)
    except RecordingError as error:
        return "refused" if error.path == path else f"refused as {error.path}"
    return "opened" if small else "opened with too much"


def test_mutants(tmp_path: Path) -> None:
    """Damaged files open with no more samples than there are bytes, or are refused, within 2 s."""
    path = write(tmp_path)
    whole = {name: (tmp_path / name).read_bytes() for name in ("a.vhdr", "a.vmrk", "a.eeg")}
    choice, refused = random.Random(5), 0
    for number in range(300):
        name = choice.choice(["a.vhdr", "a.vhdr", "a.vmrk", "a.eeg"])
        (tmp_path / name).write_bytes(mutant(whole[name], choice))
        began = time.perf_counter()
        outcome = use(path)
        assert outcome in ("opened", "refused"), (number, outcome)
        assert time.perf_counter() - began < 2, number
        refused += outcome == "refused"
        (tmp_path / name).write_bytes(whole[name])
    assert refused > 150


def test_free_text_begins_after_a_line_of_its_own(tmp_path: Path) -> None:
    path = edit(write(tmp_path), "[Comment]", "[Comment] x")
    with pytest.raises(RecordingError, match="is not key=value|has an entry"):
        open_(path)
