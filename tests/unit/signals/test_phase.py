"""Phase, amplitude and bands against scipy's Hilbert transform and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.analytic import band_taps
from neural_foundation.signals.lfp_bands import LFP_BANDS, LfpBands
from neural_foundation.signals.phase import Phase

FS = 1000.0
LFP = SignalSpec(sfreq=FS, ch_names=("a", "b"))
T = np.arange(8000) / FS
MIDDLE = slice(3000, 5000)


def wave(hz: float, amplitude: float = 2e-5, phase: float = 0.7) -> np.ndarray:
    row = amplitude * np.cos(2 * np.pi * hz * T + phase)
    return np.stack([row, -row]).astype(np.float32)


def between(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest angle between phases."""
    return float(np.abs(np.angle(np.exp(1j * (a - b)))).max())


@pytest.mark.parametrize("hz", [8.2, 10, 12.8])
def test_a_wave_inside_the_band_has_its_phase_and_amplitude(hz: float) -> None:
    got = run(
        Phase(low_hz=8, high_hz=13, gives=("phase", "amplitude", "power", "cos", "sin")).bind(LFP), wave(hz)
    ).values
    want = (2 * np.pi * hz * T + 0.7)[MIDDLE]
    assert between(got[0, MIDDLE], want) < 0.01
    assert between(got[5, MIDDLE], want + np.pi) < 0.01
    np.testing.assert_allclose(got[1, MIDDLE], 2e-5, rtol=0.01)
    np.testing.assert_allclose(got[2, MIDDLE], 4e-10, rtol=0.02)
    np.testing.assert_allclose(got[3, MIDDLE], np.cos(want), atol=0.01)
    np.testing.assert_allclose(got[4, MIDDLE], np.sin(want), atol=0.01)


def test_rows_are_named_channel_by_channel_with_units() -> None:
    out = Phase(low_hz=8, high_hz=13).bind(LFP).output
    assert out.ch_names == ("a:phase", "a:amplitude", "b:phase", "b:amplitude")
    assert out.units == ("rad", "V", "rad", "V")


def test_fir_is_a_zero_phase_filter_and_scipys_hilbert() -> None:
    x = generator(0, "lfp").standard_normal((2, 8000)).astype(np.float32) * 1e-5 + np.float32(1e-3)
    op = Phase(low_hz=8, high_hz=13).bind(LFP)
    got = run(op, x).values
    taps = band_taps(8, 13, FS)
    half = len(taps) // 2
    padded = np.pad(x.astype(float), ((0, 0), (half, half)), mode="edge")
    analytic = ss.hilbert(np.stack([np.convolve(row, taps.real, "valid") for row in padded]), axis=1)
    strong = np.abs(analytic[0, MIDDLE]) > 1e-7
    assert between(got[0, MIDDLE][strong], np.angle(analytic[0, MIDDLE][strong])) < 0.05
    np.testing.assert_allclose(got[1, MIDDLE], np.abs(analytic[0, MIDDLE]), atol=0.01 * np.abs(analytic).max())
    assert op.lookahead_s == pytest.approx(half / FS)


@pytest.mark.parametrize("block", [1, 7, 300, 8000])
def test_fir_is_a_plain_convolution_however_it_is_cut(block: int) -> None:
    x = generator(1, "lfp").standard_normal((2, 1500)).astype(np.float32)
    spec = SignalSpec(sfreq=100, ch_names=("a", "b"))
    taps = band_taps(8, 13, 100)
    half = len(taps) // 2
    padded = np.pad(x.astype(float), ((0, 0), (half, half)), mode="edge")
    want = np.abs(np.stack([np.convolve(row, taps, "valid") for row in padded]))
    got = run(Phase(low_hz=8, high_hz=13, gives=("amplitude",)).bind(spec), x, block=block)
    np.testing.assert_allclose(got.values, want, atol=1e-6)


def test_an_offset_has_no_amplitude_and_silence_no_phase() -> None:
    op = Phase(low_hz=8, high_hz=13, gives=("amplitude", "phase")).bind(LFP)
    assert np.abs(run(op, np.full((2, 3000), 0.01, np.float32)).values[0]).max() < 1e-12
    assert not run(op, np.zeros((2, 3000), np.float32)).values.any()


def test_a_stream_shorter_than_the_look_ahead_comes_out_whole() -> None:
    op = Phase(low_hz=8, high_hz=13).bind(LFP)
    got = run(op, wave(10)[:, :50])
    assert (got.start, got.n_times) == (0, 50)
    assert run(op, wave(10)[:, :0]).n_times == 0


def test_the_resonator_waits_for_nothing_and_has_the_true_phase_at_the_middle() -> None:
    op = Phase(low_hz=8, high_hz=12, method="resonator").bind(LFP)
    out, _ = op.step(Chunk.of(wave(10)), op.start())
    assert (op.lookahead_s, out.n_times) == (0, 8000)
    assert between(out.values[0, MIDDLE], (2 * np.pi * 10 * T + 0.7)[MIDDLE]) < 0.03
    np.testing.assert_allclose(out.values[1, MIDDLE], 2e-5, rtol=0.02)


def test_the_resonator_loses_3_db_at_the_edges() -> None:
    op = Phase(low_hz=90, high_hz=110, method="resonator", gives=("power",)).bind(LFP)
    for hz in (90, 110):
        got = run(op, wave(hz)).values[0, MIDDLE].mean() / 4e-10
        assert 10 * np.log10(got) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("method", ["fir", "resonator"])
def test_bands_tell_waves_apart(method: Any) -> None:
    op = LfpBands(method=method, every_s=0.1).bind(LFP)
    got = run(op, wave(20) + wave(100, amplitude=1e-5)).values
    assert op.output.sfreq == pytest.approx(10)
    assert op.output.ch_names[:2] == ("a:delta", "a:theta")
    assert op.output.units == ("V^2",) * 12
    power = dict(zip(LFP_BANDS, got[:6, 30:50].mean(1), strict=True))
    tolerance = 0.02 if method == "fir" else 0.4  # the skirts of a resonator are wide
    assert power["beta"] == pytest.approx(4e-10, rel=tolerance)
    assert power["high_gamma"] == pytest.approx(1e-10, rel=tolerance)
    assert max(power["delta"], power["theta"]) < 0.02 * power["beta"]


def test_a_column_is_the_mean_over_its_hop() -> None:
    x = generator(2, "lfp").standard_normal((2, 3000)).astype(np.float32)
    fine = run(Phase(low_hz=30, high_hz=70, gives=("power", "amplitude")).bind(LFP), x).values
    bands = {"g": (30.0, 70.0)}
    for row, gives in enumerate(("power", "amplitude")):
        got = run(LfpBands(bands=bands, gives=gives, every_s=0.02).bind(LFP), x).values  # type: ignore[arg-type]
        np.testing.assert_allclose(got[0], fine[row].astype(float).reshape(-1, 20).mean(1), rtol=1e-5)
    power = run(LfpBands(bands=bands, every_s=0.02).bind(LFP), x).values
    decibels = run(LfpBands(bands=bands, gives="log_power", every_s=0.02).bind(LFP), x).values
    np.testing.assert_allclose(decibels, 10 * np.log10(power), atol=1e-4)


def test_a_column_is_valid_where_its_samples_are() -> None:
    valid = np.ones(8000, bool)
    valid[4000:4001] = False
    op = LfpBands(every_s=0.1).bind(LFP)
    first, state = op.step(Chunk(wave(20), valid), op.start())
    got = np.concatenate([first.valid, op.flush(state).valid])
    np.testing.assert_array_equal(np.flatnonzero(~got), [40])


def test_wrong_settings_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="phase: high_hz=125 is not below half"):
        Phase(low_hz=8, high_hz=125).bind(eeg)
    with pytest.raises(SignalMismatchError, match="upper edge of 'high_gamma'=150 is not below"):
        LfpBands().bind(eeg)
    with pytest.raises(SignalMismatchError, match=r"every_s=0.0055 is 5.5 samples .* Allowed: a whole number"):
        LfpBands(every_s=0.0055).bind(LFP)
    with pytest.raises(SpecError, match="'phase' is named twice"):
        SIGNALS.parse({"kind": "phase", "low_hz": 8, "high_hz": 13, "gives": ["phase", "phase"]})
    with pytest.raises(SpecError, match="low_hz=13 must be below high_hz=8"):
        SIGNALS.parse({"kind": "phase", "low_hz": 13, "high_hz": 8})
    with pytest.raises(SpecError, match="begins at 0 Hz"):
        SIGNALS.parse({"kind": "lfp_bands", "bands": {"slow": [0, 4]}})


@pytest.mark.parametrize(("low", "high", "hz"), [(440, 490, 470), (300, 495, 480), (460, 480, 470)])
def test_near_half_the_rate_the_mirror_image_is_kept_out(low: float, high: float, hz: float) -> None:
    got = run(Phase(low_hz=low, high_hz=high).bind(LFP), wave(hz)).values
    assert between(got[0, MIDDLE], (2 * np.pi * hz * T + 0.7)[MIDDLE]) < 0.01
    np.testing.assert_allclose(got[1, MIDDLE], 2e-5, rtol=0.01)
