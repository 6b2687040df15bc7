"""Connectivity against scipy, plain formulas, and oscillators whose coupling is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as ss
from sliding import windows_of

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.connectivity import Connectivity, Measure

EVERY: tuple[Measure, ...] = ("coherence", "imaginary_coherence", "plv", "pli", "wpli")
BANDS = {"alpha": (8.0, 13.0), "beta": (13.0, 30.0)}


@pytest.fixture
def mixed(noise: np.ndarray) -> np.ndarray:
    """Channels that share a delayed part of the first."""
    delayed = np.roll(noise[0], 4)
    return (noise + np.arange(5)[:, None] * 0.5 * (delayed - 1e-3)).astype(np.float32)


def test_coherence_is_that_of_scipy(eeg: SignalSpec, mixed: np.ndarray) -> None:
    at, windows = windows_of(mixed, 500, 25)
    bound = Connectivity(bands=BANDS, window_s=2, segment_s=0.8).bind(eeg)
    got = run(bound, mixed)
    for row, (a, b) in ((0, (0, 1)), (9, (3, 4))):
        hz, want = ss.coherence(windows[:, a], windows[:, b], 250, nperseg=200)
        means = np.array([want[:, (hz >= low) & (hz < high)].mean(1) for low, high in BANDS.values()])
        np.testing.assert_allclose(got.values[2 * row : 2 * row + 2, at], means, rtol=1e-5)
    assert bound.output.ch_names[18:] == ("Pz-EOG:coherence_alpha", "Pz-EOG:coherence_beta")
    assert set(bound.output.units) == {""}


@pytest.mark.parametrize("method", ["welch", "multitaper"])
def test_each_is_its_formula(eeg: SignalSpec, mixed: np.ndarray, method: str) -> None:
    spec = Connectivity(measures=EVERY, bands=BANDS, pairs=(("C4", "C3"), ("Cz", "Pz")), method=method)  # type: ignore[arg-type]
    bound = spec.bind(eeg)
    got = run(bound, mixed)
    at, windows = windows_of(mixed, 1000, 25)
    estimator = spec.estimator(eeg)
    hz, w = estimator.hz[1:-1], estimator.weights[:, None]
    x = estimator.fourier(windows[-1:].astype(np.float32))[0][..., 1:-1]
    want = []
    for a, b in ((2, 0), (1, 3)):
        s = x[a] * x[b].conj()
        mean, saa, sbb = (np.sum(w * q, 0) for q in (s, abs(x[a]) ** 2, abs(x[b]) ** 2))
        values = [
            abs(mean) ** 2 / (saa * sbb),
            mean.imag / np.sqrt(saa * sbb),
            abs(np.sum(w * np.exp(1j * np.angle(s)), 0)),
            abs(np.sum(w * np.sign(s.imag), 0)),
            abs(np.sum(w * s.imag, 0)) / np.sum(w * abs(s.imag), 0),
        ]
        want += [v[(hz >= low) & (hz < high)].mean() for v in values for low, high in BANDS.values()]
    np.testing.assert_allclose(got.values[:, at[-1]], want, rtol=1e-5)


def pair(lag: float, noise: float = 0.05) -> dict[str, float]:
    """Return the measures at 10 Hz of two oscillators with a wandering phase, the second `lag` radians behind."""
    signal = SignalSpec(sfreq=250, ch_names=("a", "b"))
    rng = generator(3, "pair")
    phase = 2 * np.pi * 10 * np.arange(5000) / 250 + np.cumsum(rng.standard_normal(5000)) * 0.05
    values = np.cos([phase, phase - lag]) + noise * rng.standard_normal((2, 5000))
    spec = Connectivity(measures=EVERY, bands={"x": (9, 11)}, window_s=20, segment_s=1)
    got = run(spec.bind(signal), values.astype(np.float32))
    return dict(zip(EVERY, got.values[:, -1].tolist(), strict=True))


def test_coupling_with_a_lag_is_seen_by_all() -> None:
    got = pair(np.pi / 3)
    assert got["coherence"] > 0.98
    assert got["imaginary_coherence"] == pytest.approx(np.sin(np.pi / 3), abs=0.02)  # the first one leads
    assert pair(-np.pi / 3)["imaginary_coherence"] == pytest.approx(-np.sin(np.pi / 3), abs=0.02)
    assert min(got["plv"], got["pli"], got["wpli"]) > 0.97


def test_coupling_without_a_lag_is_seen_by_coherence_and_phase_locking_only() -> None:
    got = pair(0.0)
    assert min(got["coherence"], got["plv"]) > 0.98
    assert abs(got["imaginary_coherence"]) < 0.02
    assert got["pli"] < 0.4
    assert got["wpli"] < 0.5


def test_a_channel_and_its_copy_have_no_imaginary_part() -> None:
    signal = SignalSpec(sfreq=250, ch_names=("a", "b", "flat"))
    x = generator(0, "copy").standard_normal(2000)
    values = np.stack([x, 4 * x, np.ones(2000)]).astype(np.float32)
    got = run(Connectivity(measures=EVERY, bands={"x": (8, 13)}).bind(signal), values)
    np.testing.assert_allclose(got.values[:5, -1], [1, 0, 1, 0, 0], atol=1e-6)
    assert not got.values[5:].any()


def test_noise_alone_has_the_coherence_that_few_segments_leave() -> None:
    signal = SignalSpec(sfreq=250, ch_names=("a", "b"))
    values = generator(5, "alone").standard_normal((2, 60_000)).astype(np.float32)
    spec = Connectivity(
        measures=("coherence", "plv"), bands={"x": (5, 45)}, method="multitaper", bandwidth_hz=4, hop_s=4
    )
    bound = spec.bind(signal)
    got = run(bound, values)
    n = spec.estimator(signal).n_repeats
    coherence, locking = got.values[:, got.valid]
    assert coherence.mean() == pytest.approx(1 / n, rel=0.1)
    assert np.sqrt(np.pi / (4 * n)) == pytest.approx(locking.mean(), rel=0.1)


def test_what_cannot_be_paired_is_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SpecError, match="'C3' is paired with itself"):
        SIGNALS.parse({"kind": "connectivity", "pairs": [["C3", "C3"]]})
    with pytest.raises(SpecError, match="'C3-C4' is named twice"):
        SIGNALS.parse({"kind": "connectivity", "pairs": [["C3", "C4"], ["C3", "C4"]]})
    with pytest.raises(SignalMismatchError, match="connectivity: the signal has no channel 'c4'. Did you mean 'C4'"):
        Connectivity(pairs=(("C3", "c4"),)).bind(eeg)
    with pytest.raises(SignalMismatchError, match="connectivity: the signal has one channel"):
        Connectivity().bind(SignalSpec(sfreq=250, ch_names=("a",)))
    with pytest.raises(SignalMismatchError, match="a single segment, so all would be 1.*shorter segments"):
        Connectivity(segment_s=4).bind(eeg)


def test_an_imaginary_part_of_rounding_counts_as_none() -> None:
    from neural_foundation.signals import pair_kernels

    out, re = np.empty((1, 2)), np.ones((2, 3, 2))
    im = np.zeros_like(re)
    im[0, :, 0], im[0, :, 1] = 1e-13, 1e-6  # the second one is no rounding
    for kernel in (pair_kernels.pli, pair_kernels.wpli):
        kernel(re, im, np.full(3, 1 / 3), np.array([[0, 1]]), out)
        np.testing.assert_allclose(out, [[0, 1]])
