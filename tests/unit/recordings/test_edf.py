"""The EDF reader: what the header says, gaps, annotations, rates, units; and every way a header can be wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edf_bytes import signal

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.recordings import read

KEEP = [b"+0\x14\x14\0", b"+1\x14\x14\0", b"+2\x14\x14\0"]


def test_values_follow_the_line_of_the_header(edf: Any) -> None:
    path = edf([signal("Fp1"), signal("Cz", p_min="300", p_max="-100", unit="mV")])
    digital = np.frombuffer(path.read_bytes()[768:], "<i2").reshape(3, 2, 10).transpose(1, 0, 2).reshape(2, 30)
    with read(path) as session:
        values = session.signal.read()
    np.testing.assert_allclose(values[0], digital[0] * 0.1e-6, rtol=1e-6)
    np.testing.assert_allclose(values[1], (100 - digital[1] * 0.2) * 1e-3, rtol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1e-6), ("mV", 1e-3), ("V", 1), ("nV", 1e-9), (b"\xb5V", 1e-6)])
def test_units_become_volts(edf: Any, unit: Any, scale: float) -> None:
    with read(edf([signal("Fp1", unit=unit)])) as session:
        assert session.signal.read().max() <= 100 * scale
        assert session.signal.read().max() > 50 * scale


def test_a_channel_of_another_unit_is_misc_in_that_unit(edf: Any) -> None:
    with read(edf([signal("Fp1"), signal("Saturation", unit="%")])) as session:
        assert session.signal.spec.ch_types == ("eeg", "misc")
        assert session.signal.spec.units == ("V", "%")
        assert session.signal.read()[1].max() > 50


def test_eeg_of_another_unit_is_refused(edf: Any) -> None:
    with pytest.raises(RecordingError, match="unit of EEG channel 'Fp1' is 'degC'.*uV, mV, nV or V"):
        read(edf([signal("EEG Fp1", unit="degC")]))


def test_one_signal_a_rate_and_most_eeg_first(edf: Any) -> None:
    path = edf([signal("ECG", n=40), signal("Fp1"), signal("Cz"), signal("Resp", n=5)])
    with read(path) as session:
        assert {k: (s.spec.sfreq, s.spec.ch_names) for k, s in session.signals.items()} == {
            "eeg": (10.0, ("Fp1", "Cz")),
            "eeg_2": (40.0, ("ECG",)),
            "eeg_3": (5.0, ("Resp",)),
        }
        assert session.signal is session["eeg"]
        assert session["eeg_2"].n_times == 120
        with pytest.raises(DataError, match="'eeg', 'eeg_2' or 'eeg_3'"):
            session["ecg"]


def test_annotations(edf: Any) -> None:
    tals = [
        b"+0\x14\x14\0+0.5\x150.25\x14left\x14\0",
        b"+1\x14\x14a\x14b\x14\0+0.1\x14early\x14\0",
        "+2\x14\x14\0+3.5\x14Schluß\x14\0".encode(),
    ]
    with read(edf(tals=tals)) as session:
        assert list(session.trials) == [
            (0.1, 0.1, "early"),
            (0.5, 0.75, "left"),
            (1.0, 1.0, "a"),
            (1.0, 1.0, "b"),
            (3.5, 3.5, "Schluß"),
        ]


def test_first_onset_is_the_start(edf: Any) -> None:
    tals = [b"+0.25\x14\x14\0", b"+1.25\x14\x14\0+1.5\x14x\x14\0", b"+2.25\x14\x14\0"]
    with read(edf(tals=tals)) as session:
        assert session.signal.start_s == 0.25
        assert list(session.trials) == [(1.5, 1.5, "x")]


def test_gaps_are_not_valid(edf: Any) -> None:
    tals = [b"+0\x14\x14\0", b"+1.5\x14\x14\0", b"+2.5\x14\x14\0+4\x14x\x14\0"]
    with read(edf(tals=tals, reserved="EDF+D")) as gappy, read(edf(tals=KEEP, name="y.edf")) as whole:
        assert gappy.signal.n_times == 35
        expected = np.ones(35, bool)
        expected[10:15] = False
        assert np.array_equal(gappy.signal.valid(), expected)
        values = gappy.signal.read()
        assert np.array_equal(values[:, expected], whole.signal.read())
        assert not values[:, ~expected].any()
        for start, stop in ((8, 17), (11, 14), (12, 30), (15, 16)):
            assert np.array_equal(gappy.signal.read(start, stop), values[:, start:stop])
            assert np.array_equal(gappy.signal.valid(start, stop), expected[start:stop])


@pytest.mark.parametrize(
    ("onsets", "variant", "message"),
    [
        ((0, 1.55, 3), "EDF+D", "record 2 starts 0.5 samples off the grid"),
        ((0, 0.5, 2), "EDF+D", "record 2 starts before the one before it has ended"),
        ((0, 2, 1), "EDF+D", "record 3 starts at 1 s, not after the one before it"),
        ((0, 2, 1), "EDF+C", "record 3 starts at 1 s, not after the one before it"),
        ((0, 1, 5), "EDF+C", "record 3 does not follow on the one before it, yet the file says EDF.C"),
        ((0, 1, 10**7), "EDF+D", "gaps of up to 100 times what was recorded"),
        ((10**9, 10**9 + 1, 10**9 + 2), "EDF+C", "31 days"),
    ],
)
def test_impossible_times(edf: Any, onsets: tuple[float, ...], variant: str, message: str) -> None:
    tals = [f"+{t}\x14\x14\0".encode() for t in onsets]
    with pytest.raises(RecordingError, match=message):
        read(edf(tals=tals, reserved=variant))


@pytest.mark.parametrize(
    ("tal", "message"),
    [
        (b"", "record 2 has no time-keeping annotation"),
        (b"+1\x14x\x14\0", "record 2 has no time-keeping annotation"),
        (b"1\x14\x14\0", "byte 0 of the annotations in record 2"),
        (b"+1\x14\x14\0junk", "byte 5 of the annotations in record 2"),
        (b"+1\x14\x14\0+1\x14\xff\xfe\x14\0", "not UTF-8"),
        (b"+1\x14\x14\0+" + b"9" * 400 + b"\x14x\x14\0", "no finite time"),
    ],
)
def test_damaged_annotations(edf: Any, tal: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        read(edf(tals=[KEEP[0], tal, KEEP[2]]))


def test_edf_plus_without_annotations_is_refused(edf: Any) -> None:
    with pytest.raises(RecordingError, match="no annotation channel"):
        read(edf(reserved="EDF+C"))


FIXED = [
    ({"n_records": -1}, "never finished"),
    ({"n_records": 0}, "number of records is 0"),
    ({"n_records": "abc"}, "number of records is no number"),
    ({"n_records": 99999999}, "truncated"),
    ({"n_records": 2}, "40 bytes follow the last record"),
    ({"record_s": 0}, "record duration is 0 s"),
    ({"record_s": -1}, "record duration is -1 s"),
    ({"record_s": "1,5"}, "record duration is '1,5'"),
    ({"record_s": "nan"}, "no number"),
    ({"record_s": "1e999"}, "'1e999'"),
    ({"record_s": "1e-9"}, "up to 1e.07 Hz"),
    ({"n_signals": 0}, "number of signals is 0"),
    ({"n_signals": -2}, "number of signals is -2"),
    ({"n_signals": 9999}, "1 to 4096"),
    ({"n_signals": 3}, "header says it has 768 bytes"),
    ({"size": 512}, "header says it has 512 bytes"),
    ({"size": "7 68"}, "'7 68'"),
    ({"reserved": "EDF+X"}, "'EDF.C' or 'EDF.D'"),
]


@pytest.mark.parametrize(("changes", "message"), FIXED, ids=[str(c) for c, _ in FIXED])
def test_impossible_header(edf: Any, changes: dict[str, Any], message: str) -> None:
    path = edf()
    raw = bytearray(path.read_bytes())
    places = {
        "size": (184, 8),
        "reserved": (192, 44),
        "n_records": (236, 8),
        "record_s": (244, 8),
        "n_signals": (252, 4),
    }
    for name, value in changes.items():
        at, width = places[name]
        raw[at : at + width] = str(value).encode().ljust(width)
    path.write_bytes(raw)
    with pytest.raises(RecordingError, match=message) as caught:
        read(path)
    assert "SECRET" not in str(caught.value)


PER_SIGNAL = [
    ({"d_min": "1000"}, "digital range of signal 'Fp1' is 1000 to 1000"),
    ({"d_max": "40000"}, "-32768 to 32767"),
    ({"d_min": "1.5"}, "digital minimum of signal 'Fp1' is '1.5'"),
    ({"p_min": "100"}, "physical minimum and maximum of signal 'Fp1' are both 100"),
    ({"p_min": "inf"}, "physical minimum of signal 'Fp1' is no number"),
    ({"p_max": "1e300"}, "up to 1e.12"),
    ({"n": 0}, "samples a record of signal 'Fp1' is 0"),
    ({"n": -5}, "is -5"),
    ({"n": 99999999}, "truncated"),
    ({"label": ""}, "signal 1 has no label"),
    ({"label": b"Fp\xff"}, "label of signal 1 is not printable ASCII"),
    ({"label": "Cz"}, "several channels are named 'Cz'"),
    ({"label": "EEG CZ"}, "several channels are named 'Cz'"),
]


@pytest.mark.parametrize(("changes", "message"), PER_SIGNAL, ids=[str(c) for c, _ in PER_SIGNAL])
def test_impossible_signal(edf: Any, changes: dict[str, Any], message: str) -> None:
    written = edf([signal("Fp1"), signal("Cz")]).read_bytes()[768:]
    n = changes.pop("n", None)
    path = edf([signal("Fp1") | changes, signal("Cz")])
    raw = bytearray(path.read_bytes())
    if n is not None:
        at = 256 + 2 * (16 + 80 + 8 * 5 + 80)
        raw[at : at + 8] = str(n).encode().ljust(8)
    path.write_bytes(bytes(raw[:768]) + written)
    with pytest.raises(RecordingError, match=message):
        read(path)


@pytest.mark.parametrize("n", [0, 1, 100, 255])
def test_no_header(tmp_path: Path, n: int) -> None:
    (tmp_path / "x.edf").write_bytes(b"0       ".ljust(n)[:n])
    with pytest.raises(RecordingError, match="empty|inside its header|does not start"):
        read(tmp_path / "x.edf")


def test_line_ending_damage_is_named(edf: Any) -> None:
    path = edf()
    raw = path.read_bytes()
    sample = bytearray(raw)
    sample[800:804] = b"\n\0\n\0"
    path.write_bytes(bytes(sample).replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"line-ending conversion \(LF to CR LF\).*in binary mode.*gitattributes"):
        read(path)
    path.write_bytes(raw + b"\n\n")
    with pytest.raises(RecordingError, match="2 bytes follow the last record"):
        read(path)


def test_bytes_that_mean_nothing_change_nothing(edf: Any) -> None:
    path = edf(tals=KEEP)
    with read(path) as session:
        before, trials = session.signal.read(), session.trials
    raw = bytearray(path.read_bytes())
    raw[8:184] = bytes(range(80, 256))
    path.write_bytes(raw)
    with read(path) as session:
        assert np.array_equal(session.signal.read(), before)
        assert session.trials == trials


def test_personal_fields_go_nowhere(edf: Any) -> None:
    path = edf(tals=KEEP, patient="P12 F 02-MAY-1951 Doe_Jane")
    with read(path) as session:
        everything = repr((session, vars(session), vars(session.signal), session.signal.spec, session.trials))
    assert "Doe" not in everything
    assert "SECRET" not in everything


def test_a_file_cut_while_open_is_an_error(edf: Any) -> None:
    path = edf()
    with read(path) as session:
        with path.open("r+b") as file:
            file.truncate(800)
        with pytest.raises(RecordingError, match="became shorter while it was open"):
            session.signal.read()


def test_annotations_alone_have_no_signal(edf: Any) -> None:
    with read(edf([], tals=KEEP, record_s=0)) as session:
        assert session.signals == {}
        with pytest.raises(DataError, match=re.escape("Session 'x' has no signal")):
            _ = session.signal


def test_status_channel_gives_rising_codes(edf: Any) -> None:
    path = edf([signal("Fp1"), signal("Status", unit="", p_min="-1000", p_max="1000")])
    raw = bytearray(path.read_bytes())
    codes = np.zeros(30, "<i2")
    codes[[5, 6, 7, 9, 10, 20]] = [3, 3, 7, 2, 2, 1]  # the last two lie in other records
    for record in range(3):
        raw[768 + record * 40 + 20 : 768 + record * 40 + 40] = codes[record * 10 : record * 10 + 10].tobytes()
    path.write_bytes(raw)
    with read(path) as session:
        assert list(session.trials) == [(0.5, 0.5, "3"), (0.7, 0.7, "7"), (0.9, 0.9, "2"), (2.0, 2.0, "1")]
        assert session.signal.spec.ch_names == ("Fp1",)
