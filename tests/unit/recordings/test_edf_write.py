"""EDF+ written through edfio: exact lengths, a stated error, the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, quantisation_bound, read, write_edf


def spec_of(n: int = 1, sfreq: float = 100.0) -> SignalSpec:
    return SignalSpec(sfreq=sfreq, ch_names=tuple(f"X{i}" for i in range(n)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-9, 1.0), st.floats(-1.0, 1.0))
def test_round_trip_within_the_bound(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float, mean: float
) -> None:
    path = tmp_path_factory.mktemp("edf") / "x.edf"
    values = np.random.default_rng(seed).normal(size=(2, 200)) * scale + mean
    write_edf(path, values=values, spec=spec_of(2))
    with read(path) as session:
        assert (np.abs(session.signal.read() - values) <= quantisation_bound(values)).all()


def test_constant_and_zero_channels(tmp_path: Path) -> None:
    values = np.array([[0.0] * 100, [1e-5] * 100])
    write_edf(tmp_path / "x.edf", values=values, spec=spec_of(2))
    with read(tmp_path / "x.edf") as session:
        assert (np.abs(session.signal.read() - values) <= quantisation_bound(values)).all()


@pytest.mark.parametrize(
    ("sfreq", "n_times"), [(100, 250), (250, 1000), (256, 640), (512, 64), (160, 1), (128, 128 * 3 + 32)]
)
def test_every_length_that_is_accepted_is_kept(tmp_path: Path, sfreq: int, n_times: int) -> None:
    values = np.random.default_rng(0).normal(size=(1, n_times)) * 1e-5
    if (sfreq, n_times) == (160, 1):
        with pytest.raises(DataError, match="No EDF record of 20 ms or more divides 1 samples"):
            write_edf(tmp_path / "x.edf", values=values, spec=spec_of(1, sfreq))
        return
    write_edf(tmp_path / "x.edf", values=values, spec=spec_of(1, sfreq))
    with read(tmp_path / "x.edf") as session:
        assert (session.signal.n_times, session.signal.spec.sfreq) == (n_times, sfreq)


def test_annotations_names_and_types_come_back(tmp_path: Path) -> None:
    rows = Intervals.of([(0.1, 0.4, "a"), (1 / 3, 2 / 3, "größer"), (1.25, 1.25, "b"), (7.5, 9.5, "after the end")])
    spec = SignalSpec(sfreq=50.0, ch_names=("Fp1", "LEOG", "ref"), ch_types=("eeg", "eog", "misc"))
    write_edf(tmp_path / "x.edf", values=np.zeros((3, 100)), spec=spec, annotations=rows, subject="s01")
    with read(tmp_path / "x.edf") as session:
        assert (session.signal.spec.ch_names, session.signal.spec.ch_types) == (spec.ch_names, spec.ch_types)
        assert session.trials.label == rows.label
        np.testing.assert_allclose(session.trials.start_s, rows.start_s, atol=1e-9)
        np.testing.assert_allclose(session.trials.end_s, rows.end_s, atol=1e-9)


def test_the_same_bytes_and_no_date(tmp_path: Path) -> None:
    for name in ("a.edf", "b.edf"):
        write_edf(tmp_path / name, values=np.ones((1, 100)), spec=spec_of(), subject="s01")
    raw = (tmp_path / "a.edf").read_bytes()
    assert raw == (tmp_path / "b.edf").read_bytes()
    assert raw[8:88].decode().strip() == "s01 X X X"
    assert raw[88:168].decode().strip() == "Startdate X X X X"
    assert raw[168:184] == b"01.01.8500.00.00"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros((2, 100))}, r"Values have shape \(2, 100\)"),
        ({"values": np.zeros((1, 0))}, "n_times 1 or more"),
        ({"values": np.full((1, 100), np.nan)}, "Channel 'X0' has values that are not finite"),
        ({"values": np.full((1, 100), 30.0)}, "Channel 'X0' reaches 30 V.*Give the values in volts"),
        ({"spec": spec_of(1, 99.5)}, "99.5 Hz exactly.*Resample"),
        ({"annotations": Intervals.of([(-1, 0, "x")])}, "starts at -1.0 s"),
        ({"annotations": Intervals.of([(1, 2, "")])}, "cannot hold the annotation ''"),
        ({"annotations": Intervals.of([(1, 2, "a\x14b")])}, "without control characters"),
        ({"spec": SignalSpec(sfreq=100.0, ch_names=("a name beyond all",))}, "16 printable ASCII"),
        ({"spec": SignalSpec(sfreq=100.0, ch_names=("µ",))}, "16 printable ASCII"),
        ({"spec": SignalSpec(sfreq=100.0, ch_names=("FP1",))}, "cannot hold channel 'FP1' of type eeg.*Rename"),
        ({"subject": "Jane Doe"}, "no space"),
    ],
)
def test_what_edf_cannot_hold(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    arguments = {"values": np.zeros((1, 100)), "spec": spec_of(), "annotations": Intervals(), "subject": "s"} | changes
    with pytest.raises(DataError, match=message):
        write_edf(tmp_path / "x.edf", **arguments)
    assert list(tmp_path.iterdir()) == []
