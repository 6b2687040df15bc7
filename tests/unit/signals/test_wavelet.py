"""Morlet wavelets against MNE and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.features import frequencies_of, unfold
from neural_foundation.signals.wavelet import Wavelet, morlet

HZ = (8.0, 13.0, 30.5)


@pytest.mark.parametrize("n_cycles", [7.0, 5.0, (4.0, 6.0, 12.0)])
def test_the_wavelet_is_that_of_mne(n_cycles: Any) -> None:
    from mne.time_frequency import morlet as theirs

    every = np.broadcast_to(n_cycles, 3)
    for hz, n, want in zip(HZ, every, theirs(250, HZ, n_cycles, zero_mean=True), strict=True):
        np.testing.assert_allclose(morlet(hz, n, 250), want, atol=1e-12)


@pytest.mark.parametrize(("hop", "n_cycles"), [(25, 7.0), (4, (4.0, 6.0, 12.0)), (1, 5.0)])
def test_power_and_phase_are_those_of_mne(eeg: SignalSpec, noise: np.ndarray, hop: int, n_cycles: Any) -> None:
    from mne.time_frequency import tfr_array_morlet

    x = (noise - 1e-3).astype(np.float32)
    y = tfr_array_morlet(
        x[None].astype(np.float64),
        250,
        np.array(HZ),
        n_cycles=np.array(n_cycles)[()],
        output="complex",
        zero_mean=True,
        verbose="error",
    )[0]
    for output, want in (("power", np.abs(y) ** 2 / 250), ("phase", np.angle(y))):
        bound = Wavelet(frequencies=HZ, n_cycles=n_cycles, hop_s=hop / 250, output=output).bind(eeg)  # type: ignore[arg-type]
        got = run(bound, x)
        made, at = unfold(got.values, bound.output)[..., got.valid], np.flatnonzero(got.valid) * hop + hop // 2
        apart = made - want[..., at]
        if output == "phase":
            apart = np.angle(np.exp(1j * apart))
        assert np.abs(apart).max() < 1e-3 * (1 if output == "phase" else want.max())
        assert len(at) > 1000 / hop


def test_a_sine_has_its_amplitude_and_phase(eeg: SignalSpec) -> None:
    t = np.arange(2500) / 250
    sine = (1e-3 + 3e-5 * np.cos(2 * np.pi * 13 * t + 0.4) * np.ones((5, 1))).astype(np.float32)
    for output, want in (("amplitude", 3e-5), ("phase", None)):
        got = run(Wavelet(frequencies=(13,), output=output, hop_s=0.02).bind(eeg), sine)  # type: ignore[arg-type]
        at = np.flatnonzero(got.valid)
        phase = 2 * np.pi * 13 * (at * 5 + 2) / 250 + 0.4
        if want is None:
            np.testing.assert_allclose(np.angle(np.exp(1j * (got.values[2, at] - phase))), 0, atol=1e-4)
        else:
            np.testing.assert_allclose(got.values[:, at], want, rtol=1e-3)


def test_white_noise_has_its_density(eeg: SignalSpec) -> None:
    white = generator(0, "white").standard_normal((5, 50_000)).astype(np.float32)
    got = run(Wavelet(frequencies=(10, 20, 40)).bind(eeg), white)
    np.testing.assert_allclose(got.values[:, got.valid].mean(1), 2 / 250, rtol=0.12)


def test_look_ahead_names_and_validity(eeg: SignalSpec, noise: np.ndarray) -> None:
    bound = Wavelet(frequencies=(10, 40), n_cycles=7).bind(eeg)
    half = int(np.ceil(5 * 7 / (2 * np.pi * 10) * 250)) - 1
    assert bound.lookahead_s == pytest.approx((half - 12) / 250, abs=1.01 / 250)
    assert bound.output.ch_names[:3] == ("C3:10Hz", "C3:40Hz", "Cz:10Hz")
    np.testing.assert_array_equal(frequencies_of(bound.output), [10, 40])
    assert set(bound.output.units) == {"V^2/Hz"}
    got = run(bound, noise)
    middles = np.arange(80) * 25 + 12
    np.testing.assert_array_equal(got.valid, (middles >= half) & (middles < 2000 - half))


def test_a_hop_longer_than_the_wavelet_is_still_centred(eeg: SignalSpec) -> None:
    spike = np.zeros((5, 1000), np.float32)
    spike[:, 250 + 125] = 1
    got = run(Wavelet(frequencies=(100,), n_cycles=3, hop_s=1, output="phase").bind(eeg), spike)
    np.testing.assert_allclose(got.values[0], [0, 0, 0, 0], atol=1e-6)
    power = run(Wavelet(frequencies=(100,), n_cycles=3, hop_s=1).bind(eeg), spike)
    np.testing.assert_array_equal(power.values[0] > 1e-4, [False, True, False, False])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frequencies": [10, 0]}, "frequencies must be above 0, each given once"),
        ({"frequencies": [10, 10]}, "frequencies must be above 0, each given once"),
        ({"frequencies": [10, 20], "n_cycles": [3]}, r"one or as many as frequencies \(2\)"),
        ({}, "field 'frequencies' is missing"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse({"kind": "wavelet", **fields})


def test_signals_that_do_not_fit_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="highest frequency=130 is not below half"):
        Wavelet(frequencies=(10, 130)).bind(eeg)
    with pytest.raises(SignalMismatchError, match="wavelet: hop_s=0.001 is 0.25 samples"):
        Wavelet(frequencies=(10,), hop_s=0.001).bind(eeg)


@pytest.mark.parametrize("n_cycles", [2.0, 3.0, 7.0])
def test_a_sine_has_its_amplitude_however_few_the_cycles(eeg: SignalSpec, n_cycles: float) -> None:
    at = 2 * np.pi * 10.3 * np.arange(5000) / 250
    x = np.tile(2e-5 * np.cos(at), (5, 1)).astype(np.float32)
    got = run(Wavelet(frequencies=(10.3,), n_cycles=n_cycles, output="amplitude").bind(eeg), x)
    assert got.values[0, got.valid].mean() == pytest.approx(2e-5, rel=2e-3)
