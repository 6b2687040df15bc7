"""Filter designs in bandpass and bandstop, against scipy; and the keys of what was there before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, digest, identity
from neural_foundation.core.stream import INFINITE, run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.bandpass import Bandpass
from neural_foundation.signals.bandstop import Bandstop

FS = 250.0
SCIPY: dict[str, dict[str, Any]] = {
    "butter": {"ftype": "butter"},
    "cheby1": {"ftype": "cheby1", "rp": 0.5},
    "cheby2": {"ftype": "cheby2", "rs": 40},
    "ellip": {"ftype": "ellip", "rp": 0.5, "rs": 40},
}


def scipys(design: str, order: int, edges: Any, kind: str) -> np.ndarray:
    if design == "bessel":
        return np.asarray(ss.bessel(order, edges, kind, fs=FS, output="sos", norm="mag"))
    return np.asarray(ss.iirfilter(order, edges, btype=kind, fs=FS, output="sos", **SCIPY[design]))


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.sqrt(np.mean(want**2)))


@pytest.mark.parametrize("design", [*SCIPY, "bessel"])
@pytest.mark.parametrize(
    ("fields", "edges", "btype"),
    [
        ({"low_hz": 4, "high_hz": 40}, [4, 40], "bandpass"),
        ({"high_hz": 40}, 40, "lowpass"),
        ({"low_hz": 4}, 4, "highpass"),
    ],
)
def test_bandpass_is_scipys_filter(
    eeg: SignalSpec, noise: np.ndarray, design: Any, fields: dict[str, Any], edges: Any, btype: str
) -> None:
    got = run(Bandpass(**fields, order=3, design=design, settle=False).bind(eeg), noise).values
    assert relative(got, ss.sosfilt(scipys(design, 3, edges, btype), noise.astype(float))) < 2e-6


@pytest.mark.parametrize("design", [*SCIPY, "bessel"])
def test_bandstop_is_scipys_filter(eeg: SignalSpec, noise: np.ndarray, design: Any) -> None:
    sos = scipys(design, 4, [45, 60], "bandstop")
    got = run(Bandstop(low_hz=45, high_hz=60, design=design, settle=False).bind(eeg), noise).values
    assert relative(got, ss.sosfilt(sos, noise.astype(float))) < 2e-6


def test_bandstop_zero_phase_is_sosfiltfilt(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Bandstop(low_hz=45, high_hz=60, method="zero_phase").bind(eeg)
    sos = ss.butter(4, [45, 60], "bandstop", fs=FS, output="sos")
    assert op.lookahead_s == INFINITE
    assert relative(run(op, noise).values, ss.sosfiltfilt(sos, noise.astype(float), padlen=27)) < 1e-6


def test_zero_phase_takes_the_design(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Bandpass(high_hz=40, design="cheby2", stop_db=60, method="zero_phase").bind(eeg)
    sos = ss.cheby2(4, 60, 40, "lowpass", fs=FS, output="sos")
    assert relative(run(op, noise).values, ss.sosfiltfilt(sos, noise.astype(float), padlen=15)) < 1e-6


@pytest.mark.parametrize(
    ("design", "gain_db"), [("butter", -3.01), ("bessel", -3.01), ("cheby1", -0.5), ("ellip", -0.5), ("cheby2", -40)]
)
def test_the_gain_at_an_edge_is_as_stated(eeg: SignalSpec, design: Any, gain_db: float) -> None:
    op = Bandpass(low_hz=8, high_hz=30, design=design).bind(eeg)
    _, response = ss.sosfreqz(op.sos, [8, 30], fs=FS)  # type: ignore[attr-defined]
    np.testing.assert_allclose(20 * np.log10(np.abs(response)), gain_db, atol=0.01)


def test_an_offset_is_no_step_at_the_start(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(Bandstop(low_hz=20, high_hz=30).bind(eeg), noise).values
    assert np.abs(got - 1e-3).max() < 1e-4


def test_fields_at_their_defaults_are_not_in_the_key() -> None:
    before = {"kind": "bandpass", "low_hz": 1.0, "high_hz": 40.0}
    assert identity(Bandpass(low_hz=1, high_hz=40)) == before
    assert identity(Bandpass(low_hz=1, high_hz=40, design="butter", ripple_db=0.5, stop_db=40.0)) == before
    assert digest(identity(Bandpass(low_hz=1, high_hz=40))) == "ae15cf43b45a89ad"
    assert identity(Bandpass(low_hz=1, high_hz=40, design="ellip")) == {**before, "design": "ellip"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "bandpass", "high_hz": 40, "ripple_db": 1}, "ripple_db belongs to the designs cheby1 and ellip"),
        ({"kind": "bandpass", "high_hz": 40, "design": "cheby1", "stop_db": 60}, "stop_db belongs to the designs"),
        (
            {"kind": "bandpass", "high_hz": 40, "design": "ellip", "method": "fir"},
            "belongs to the methods iir and zero",
        ),
        ({"kind": "bandpass", "high_hz": 40, "design": "ellip", "ripple_db": 50}, "ripple_db=50 must be below"),
        ({"kind": "bandpass", "high_hz": 40, "design": "butterworth"}, "design"),
        ({"kind": "bandstop", "low_hz": 60, "high_hz": 50}, "low_hz=60 must be below high_hz=50"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse(fields)


def test_an_edge_at_nyquist_is_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"bandstop: high_hz=125 is not below"):
        Bandstop(low_hz=100, high_hz=125).bind(eeg)
