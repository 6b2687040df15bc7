"""The GDF reader: every sample type, both headers, events, units, positions, and every way a file can be wrong."""

from __future__ import annotations

import os
import random
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from make_gdf import BOUND, CODES, INT24, LABELS, UINT24, Gdf, gdf_bytes, make_gdf, table

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, gdf
from neural_foundation.recordings.gdf import Gdf as Reader

SAMPLES = np.random.default_rng(0).integers(-900, 900, size=(4, 40))
N_MUTANTS = 300 if "NEURAL_FOUNDATION_STRESS" not in os.environ else 4000


def two(**more: Any) -> list[Gdf]:
    return [Gdf("Fp1", SAMPLES[0], **more), Gdf("Cz", SAMPLES[1], **more)]


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(channels: list[Gdf], **more: Any) -> Path:
        path = tmp_path / "a.gdf"
        path.write_bytes(gdf_bytes(channels, n_records=4, **more))
        return path

    return write


def by_mne(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.io.read_raw_gdf(path, verbose="ERROR")


def refused(path: Path, match: str) -> None:
    with pytest.raises(RecordingError, match=match) as caught:
        Reader().open(path)
    assert caught.value.path == path


@pytest.mark.parametrize("version", ["1.25", "1.99", "2.20"])
@pytest.mark.parametrize("code", sorted(CODES))
def test_every_sample_type_equals_mne(written: Any, version: str, code: int) -> None:
    unsigned, small = code in (2, 4, 6, 8), code in (1, 2)
    samples = np.abs(SAMPLES) if unsigned else SAMPLES
    samples = samples % 100 if small else samples
    digital = (0, 255) if unsigned else (-128, 127)
    channels = [Gdf(n, s, code, 4275, (-50, 70), digital) for n, s in zip(("Fp1", "Cz"), samples, strict=False)]
    path = written(channels, version=version, record_s=(1, 2), events=table([], version=version))
    with Reader().open(path) as session:
        ours = session.signal.read()
        assert session.signal.spec.sfreq == 20.0
    np.testing.assert_allclose(ours, by_mne(path).get_data(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("code", "low"), [(INT24, -(1 << 23)), (UINT24, 0)])
def test_24_bit_samples(written: Any, code: int, low: int) -> None:
    samples = np.linspace(low, low + (1 << 24) - 1, 40).astype(np.int64)
    channel = Gdf("Fp1", samples, code, 4275, (0, 1 << 24), (low, low + (1 << 24)))
    with Reader().open(written([channel])) as session:
        np.testing.assert_allclose(session.signal.read()[0], (samples - low) * 1e-6, rtol=1e-6)


def test_types_may_be_mixed(written: Any) -> None:
    channels = [Gdf("Fp1", SAMPLES[0], 3), Gdf("Cz", SAMPLES[1] * 0.5, 17), Gdf("O2", SAMPLES[2], INT24)]
    with Reader().open(written(channels)) as session:
        expected = SAMPLES[:3] * np.array([[1], [0.5], [1]]) * 1e-7
        np.testing.assert_allclose(session.signal.read(), expected, rtol=1e-6)


def test_one_signal_a_rate_and_most_eeg_first(written: Any) -> None:
    channels = [Gdf("Resp", SAMPLES[0, :8], unit=512), Gdf("Fp1", SAMPLES[1]), Gdf("Cz", SAMPLES[2])]
    with Reader().open(written(channels)) as session:
        found = {n: (s.spec.sfreq, s.n_times, s.spec.ch_names) for n, s in session.signals.items()}
        assert found == {"eeg": (10.0, 40, ("Fp1", "Cz")), "eeg_2": (2.0, 8, ("Resp",))}
        assert session["eeg_2"].spec.units == ("",)
        np.testing.assert_allclose(session["eeg_2"].read()[0], SAMPLES[0, :8] * 0.1, rtol=1e-6)


@pytest.mark.parametrize("block", [None, 16])
def test_slices_equal_the_whole(written: Any, monkeypatch: pytest.MonkeyPatch, block: int | None) -> None:
    if block:  # every record is long then, and read in parts
        monkeypatch.setattr(gdf, "BLOCK_BYTES", block)
    with Reader().open(written([*two(), Gdf("Resp", SAMPLES[2, :8])])) as session:
        whole = session.signal.read()
        np.testing.assert_allclose(whole, SAMPLES[:2] * 1e-7, rtol=1e-6)
        for start, stop in ((0, 0), (0, 1), (9, 11), (7, 33), (39, 40), (40, 40), (10, 20)):
            assert np.array_equal(session.signal.read(start, stop), whole[:, start:stop])
            assert session.signal.valid(start, stop).tolist() == [True] * (stop - start)
        assert np.array_equal(session.signal.valid(), np.ones(40, bool))
        with pytest.raises(DataError, match="0 <= start <= stop <= 40"):
            session.signal.read(0, 41)


@pytest.mark.parametrize(
    ("version", "unit", "scale"),
    [("1.25", "uV\0 abc", 1e-6), ("1.25", "\xb5V", 1e-6), ("1.25", "mV", 1e-3), ("1.25", "V", 1), ("1.25", "nV", 1e-9)]
    + [("2.20", 4256, 1), ("2.20", 4274, 1e-3), ("2.20", 4275, 1e-6), ("2.20", 4276, 1e-9), ("2.20", 4259, 1e3)],
)
def test_units_become_volts(written: Any, version: str, unit: Any, scale: float) -> None:
    with Reader().open(written(two(unit=unit), version=version)) as session:
        np.testing.assert_allclose(session.signal.read(), SAMPLES[:2] * 0.1 * scale, rtol=1e-6)
        assert session.signal.spec.units == ()


@pytest.mark.parametrize(
    ("code", "unit"), [(544, "%"), (6048, "degC"), (3872, "mmHg"), (2816 + 18, "mm/s"), (0, ""), (4992, "code 4992")]
)
def test_a_channel_of_another_unit_is_misc_in_that_unit(written: Any, code: int, unit: str) -> None:
    with Reader().open(written([*two(), Gdf("Saturation", SAMPLES[2], unit=code)])) as session:
        assert session.signal.spec.ch_types == ("eeg", "eeg", "misc")
        assert session.signal.spec.units == ("V", "V", unit)
        np.testing.assert_allclose(session.signal.read()[2], SAMPLES[2] * 0.1, rtol=1e-6)


def test_eeg_of_another_unit_is_refused(written: Any) -> None:
    refused(written(two(unit=6048)), "unit of EEG channel 'Fp1' is 'degC'. Allowed: volts")
    refused(written(two(unit=4256 + 12)), "decimal factor 12 does not exist")


@pytest.mark.parametrize("version", ["1.25", "1.92", "2.20"])
def test_events_without_durations_end_where_they_start(written: Any, version: str) -> None:
    path = written(two(), version=version, events=table([(21, 770), (1, 769), (40, 32766)], version=version))
    with Reader().open(path) as session:
        assert list(session.trials) == [(0.0, 0.0, "769"), (2.0, 2.0, "770"), (3.9, 3.9, "32766")]
    if version == "1.92":  # MNE fails on the table of events of this version
        return
    theirs = by_mne(path).annotations
    assert [(round(o, 6), d) for o, d in zip(theirs.onset, theirs.description, strict=True)] == [
        (0.0, "769"),
        (2.0, "770"),
        (3.9, "32766"),
    ]


def test_events_with_durations(written: Any) -> None:
    path = written(two(), events=table([(11, 769, 0, 5), (16, 33, 2, 0), (21, 770, 0, 20)], mode=3))
    with Reader().open(path) as session:
        assert list(session.trials) == [(1.0, 1.5, "769"), (1.5, 1.5, "33"), (2.0, 4.0, "770")]
    np.testing.assert_allclose(by_mne(path).annotations.duration, [0.5, 0.1, 2.0])  # a sample where there is none


@pytest.mark.parametrize(("version", "sfreq"), [("1.25", 1000), ("2.20", 512.5)])
def test_the_table_may_have_a_rate_of_its_own(written: Any, version: str, sfreq: float) -> None:
    path = written(two(), version=version, events=table([(1001, 769, 0, 205)], mode=3, sfreq=sfreq, version=version))
    with Reader().open(path) as session:
        assert list(session.trials) == [(1000 / sfreq, 1205 / sfreq, "769")]


def test_events_without_a_rate_need_one_that_all_channels_divide(written: Any) -> None:
    third = Gdf("Resp", SAMPLES[2, :12])
    with Reader().open(written([*two(), Gdf("Resp", SAMPLES[2, :20])], events=table([(11, 1)]))) as session:
        assert session.trials.start_s.tolist() == [1.0]
    refused(written([*two(), third], events=table([(11, 1)])), "names no rate")
    with Reader().open(written([*two(), third], events=table([(11, 1)], sfreq=30))) as session:
        assert session.trials.start_s.tolist() == [10 / 30]


def test_no_table_and_an_empty_table(written: Any) -> None:
    for events in (b"", table([]), table([], mode=3)):
        with Reader().open(written(two(), events=events)) as session:
            assert len(session.trials) == 0


def test_record_durations(written: Any) -> None:
    for version, record_s in (("1.25", (1, 256)), ("2.20", (1, 256)), ("2.51", (1, 256)), ("2.10", (3, 2))):
        with Reader().open(written(two(), version=version, record_s=record_s)) as session:
            assert session.signal.spec.sfreq == 10 * record_s[1] / record_s[0]


def test_equal_labels_are_numbered_as_mne_does(written: Any) -> None:
    labels = ("EEG-Fz", "EEG", "EEG", "EOG-left")
    path = written([Gdf(label, row) for label, row in zip(labels, SAMPLES, strict=True)])
    with Reader().open(path) as session:
        assert session.signal.spec.ch_names == ("Fz", "EEG-0", "EEG-1", "EOG-left")
        assert session.signal.spec.ch_types == ("eeg", "eeg", "eeg", "eog")
    assert by_mne(path).ch_names == ["EEG-Fz", "EEG-0", "EEG-1", "EOG-left"]
    refused(written([Gdf("EEG", SAMPLES[0]), Gdf("EEG", SAMPLES[0]), Gdf("EEG-1", SAMPLES[1])]), "named 'EEG-1'")


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_positions_of_the_file(written: Any, scale: float) -> None:
    places = {"Fp1": (-0.029, 0.110, 0.030), "Cz": (0.001, 0.020, 0.139), "mine": (0.05, 0.05, 0.09)}
    scaled = {n: tuple(x * scale for x in p) for n, p in places.items()}
    channels = [Gdf(n, row, xyz=p) for (n, p), row in zip(scaled.items(), SAMPLES, strict=False)]
    with Reader().open(written(channels)) as session:
        np.testing.assert_allclose(np.array(session.signal.spec.positions), list(places.values()), rtol=1e-6)


@pytest.mark.parametrize("xyz", [(0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.14, 0.0, 0.0), (np.nan, 0.0, 0.1)])
def test_positions_of_unknown_measure_are_those_of_the_names(written: Any, xyz: Any) -> None:
    with Reader().open(written([Gdf("Cz", SAMPLES[0], xyz=xyz)])) as session:
        assert session.signal.spec.positions == ((-0.001374, 0.027617, 0.140199),)


def test_unknown_samples_are_not_valid(written: Any) -> None:
    fp1, cz = SAMPLES[0].copy(), SAMPLES[1].copy()
    fp1[3:6], cz[4:9] = -1000, 1000  # both at 4 and 5
    with Reader().open(written([Gdf("Fp1", fp1), Gdf("Cz", cz)])) as session:
        assert np.flatnonzero(~session.signal.valid()).tolist() == [4, 5]
        np.testing.assert_allclose(session.signal.read(3, 9)[1], np.r_[SAMPLES[1, 3], [1000] * 5] * 1e-7, rtol=1e-6)
    floats = np.where(np.arange(40) == 7, np.nan, SAMPLES[2] * 1.0)
    floats[9], floats[11] = np.inf, 1e300
    with Reader().open(written([Gdf("Fp1", fp1), Gdf("Cz", floats, 17)])) as session:
        assert np.flatnonzero(~session.signal.valid()).tolist() == [3, 4, 5, 7, 9, 11]
        assert np.isnan(session.signal.read()[1, 7])


def test_records_of_unknown_number_are_counted(written: Any) -> None:
    with Reader().open(written(two(), said=-1)) as session:
        np.testing.assert_allclose(session.signal.read(), SAMPLES[:2] * 1e-7, rtol=1e-6)
    refused(written(two(), said=-1, events=b"\0" * 9), "records is -1, and 9 bytes follow its 4 whole records")


def test_tagged_entries_of_the_header_are_passed_over(written: Any) -> None:
    entry = b"\x03" + (300).to_bytes(3, "little") + b"maker".ljust(300, b"\0")
    with Reader().open(written(two(), tags=entry)) as session:
        np.testing.assert_allclose(session.signal.read(), SAMPLES[:2] * 1e-7, rtol=1e-6)
    refused(written(two(), tags=b"\x03" + (900).to_bytes(3, "little")), "ends 648 bytes behind the header")


def test_personal_fields_are_not_passed_on(written: Any) -> None:
    with Reader().open(written(two())) as session:
        assert (session.session_id, session.subject, session.signal.spec.subject) == ("a", "a", "a")
        assert "Person" not in repr(vars(session)) + repr(session.signal.spec)
    with Reader().open(written(two()), subject="s7") as session:
        assert session.subject == session.signal.spec.subject == "s7"


def patched(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


# two channels: where the columns of the header of version 2.20 are
N, TYPE, PMIN, PMAX, DMIN, DMAX = (256 + 2 * at for at in (216, 220, 104, 112, 120, 128))
WRONG = {
    "no version": (0, b"GDF 3.00", "does not name a version of GDF"),
    "drafts": (0, b"GDF 1.90", "does not name a version of GDF"),
    "no channels": (252, b"\0\0", "the number of channels is 0. Allowed: 1 to 4096"),
    "too many channels": (252, b"\xff\xff", "the number of channels is 65535"),
    "header size": (184, b"\2", "the header says it has 512 bytes. Allowed: 768 or more for 2 channels"),
    "header behind the end": (184, b"\xff\xff", "it ends after 948 bytes, inside its header of 16776960"),
    "records": (236, struct.pack("<q", 1 << 31), "it is truncated"),
    "most records": (236, struct.pack("<q", (1 << 63) - 1), "it is truncated"),
    "no records": (236, bytes(8), "the number of records is 0. Allowed: 1 or more"),
    "negative records": (236, struct.pack("<q", -2), "the number of records is -2"),
    "no duration": (244, bytes(4), "the record duration is 0 s"),
    "duration over none": (248, bytes(4), "the record duration is 0 s"),
    "too fast": (244, struct.pack("<II", 1, 1 << 31), "up to 1e\\+07 Hz"),
    "label": (256, b"\n", "the label of channel 1 is not printable ASCII"),
    "no label": (256, b" " * 16, "channel 1 has no label"),
    "type": (TYPE, b"\x12", "the sample type of channel 'Fp1' is 18"),
    "samples": (N, bytes(4), "samples a record of channel 'Fp1' is 0.*sampled unevenly"),
    "most samples": (N, b"\xff\xff\xff\x7f", "samples of 'Fp1' in 1 s are too many"),
    "physical nan": (PMIN, struct.pack("<d", np.nan), "the physical range of channel 'Fp1' is nan to 100"),
    "physical huge": (PMAX, struct.pack("<d", 1e300), "the physical range of channel 'Fp1' is -100 to 1e\\+300"),
    "physical equal": (PMAX, struct.pack("<d", -100), "are both -100"),
    "digital equal": (DMAX, struct.pack("<d", -1000), "the digital range of channel 'Fp1' is -1000 to -1000"),
    "digital falls": (DMIN, struct.pack("<d", 2000), "the digital range of channel 'Fp1' is 2000 to 1000"),
    "digital beyond": (DMAX, struct.pack("<d", 1e5), "a rising range in -32768 to 32768"),
    "digital inf": (DMAX, struct.pack("<d", np.inf), "the digital range of channel 'Fp1' is -1000 to inf"),
    "digital no scale": (DMIN, struct.pack("<dddd", 0, -1000, 5e-324, 1000), "gives its values no scale"),
    "mode": (928, b"\2", "the mode of its table of events is 2. Allowed: 1 or 3"),
    "number of events": (929, b"\xff\xff\xff", "has 20 bytes, but 16777215 events of mode 1 take 100663298"),
    "rate of events": (932, struct.pack("<f", np.nan), "the rate of its table of events is nan Hz"),
    "position 0": (936, bytes(4), "event 1 is at sample 0, but they count from 1"),
    "position off": (936, b"\0\0\0\x80", "event 1 is at 2.14748e\\+08 s of a recording of 4 s"),
    "truncated": (947, None, "has 19 bytes, but 2 events of mode 1 take 20"),
    "part of a table": (931, None, "3 bytes follow the last record"),
    "part of a record": (927, None, "it has 927 bytes, but its header describes 928: it is truncated, 1 bytes"),
    "in the header": (700, None, "it ends after 700 bytes, inside its header of 768"),
    "in the first block": (100, None, "it ends after 100 bytes, inside its header"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(written: Any, name: str) -> None:
    at, new, match = WRONG[name]
    path = written(two(), events=table([(11, 769), (21, 770)]))
    raw = path.read_bytes()
    assert len(raw) == 948
    path.write_bytes(raw[:at] if new is None else patched(raw, at, new))
    refused(path, match)


def test_contradictions_of_version_1(written: Any) -> None:
    path = written(two(), version="1.25")
    raw = path.read_bytes()
    path.write_bytes(patched(raw, 184, (1024).to_bytes(8, "little")))
    refused(path, "says it has 1024 bytes. Allowed: 768 for 2 channels")
    path.write_bytes(raw + b"\0" * 33)
    refused(path, "mode of its table of events is 0")


@pytest.mark.parametrize(
    ("event", "match"),
    [((11, 1, 3, 0), "of channel 3. Allowed: 0 .all. to 2"), ((11, 1, 0, 1 << 31), "event 1 lasts 2.14748e\\+08 s")],
)
def test_events_of_mode_3_agree_with_the_header(written: Any, event: Any, match: str) -> None:
    refused(written(two(), events=table([event], mode=3)), match)


def test_line_ending_damage_is_named(written: Any) -> None:
    path = written(two(), events=table([(11, 769)]))
    raw = path.read_bytes()
    assert b"\n" in raw
    path.write_bytes(raw.replace(b"\n", b"\r\n"))
    refused(path, r"a line-ending conversion \(LF to CR LF\) damaged it.*in binary mode")


def test_the_content_of_the_contract(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=128.0, ch_names=("Fp1", "EOG"), ch_types=("eeg", "eog"))
    values = (np.random.default_rng(3).normal(size=(2, 640)) * 1e-5).astype(np.float32)
    trials = Intervals.of([(0.25, 0.75, "left"), (3.125, 3.125, "blink")])
    with Reader().open(make_gdf(tmp_path, values, spec, trials)) as session:
        assert np.abs(session.signal.read() - values).max() <= BOUND
        assert (session.signal.spec.ch_names, session.signal.spec.ch_types) == (spec.ch_names, spec.ch_types)
        assert list(session.trials) == [(start, end, LABELS[label]) for start, end, label in trials]
    with pytest.raises(DataError, match="closed"):
        session.signal.read()


def mutant(raw: bytes, choice: random.Random) -> bytes:
    """Return the bytes with one kind of damage."""
    kind = choice.choice(["flip", "flip", "number", "number", "cut", "add", "insert", "remove", "swap", "lines"])
    at = choice.randrange(choice.choice([256, 768, len(raw)]))
    if kind == "flip":
        return patched(raw, at, bytes([raw[at] ^ 1 << choice.randrange(8)]))
    if kind == "number":
        new = choice.choice([b"\xff" * 8, b"\0\0\0\x80", b"\xff\xff\xff\x7f", bytes(8), struct.pack("<d", np.nan)])
        return patched(raw, at, new)[: len(raw)]
    if kind == "cut":
        return raw[:at]
    if kind == "add":
        return raw + choice.choice([b"\0", b"\n", b"\0" * 33, b"\1" + bytes(7)])
    if kind == "insert":
        return raw[:at] + b"\0" + raw[at:]
    if kind == "remove":
        return raw[:at] + raw[at + 1 :]
    if kind == "swap":
        return patched(patched(raw, at & ~7, raw[184:192]), 184, raw[at & ~7 :][:8])[: len(raw)]
    return raw.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_mutants(tmp_path: Path, version: str) -> None:
    events = table([(11, 769, 0, 5), (21, 770, 1, 10)], mode=3, version=version)
    floats = Gdf("Resp", SAMPLES[2, :8] * 0.1, 17, 512)
    raw = gdf_bytes([*two(), floats], n_records=4, version=version, events=events)
    choice, outcomes, path = random.Random(5), [], tmp_path / "a.gdf"
    for number in range(N_MUTANTS):
        path.write_bytes(mutant(raw, choice))
        began = time.monotonic()
        try:
            with Reader().open(path) as session:
                for signal in session.signals.values():
                    assert signal.n_times * signal.spec.n_chans < 1_000_000
                    assert signal.read().shape == (signal.spec.n_chans, signal.n_times)
                    assert signal.valid().shape == (signal.n_times,)
                assert len(session.trials) < 1000
            outcomes.append("opened")
        except RecordingError as error:
            outcomes.append("refused" if error.path == path else f"refused as {error.path}")
        except BaseException as error:
            error.add_note(f"mutant {number}")
            raise
        assert time.monotonic() - began < 2
    assert outcomes.count("refused") > len(outcomes) // 3
    assert set(outcomes) == {"opened", "refused"}
