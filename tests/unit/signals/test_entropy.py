"""Entropies against plain loops as the papers write them, and closed forms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sliding import columns, windows_of

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.entropy import Entropy


def pairs_within(x: np.ndarray, m: int, n: int, r: float) -> int:
    """Return how many pairs of the first n templates of m samples lie within r."""
    return sum(max(abs(x[i + k] - x[j + k]) for k in range(m)) <= r for i in range(n) for j in range(i + 1, n))


def sample_entropy(x: np.ndarray, m: int, r: float) -> float:
    n = len(x) - m
    b, a = pairs_within(x, m, n, r), pairs_within(x, m + 1, n, r)
    return -np.log(a / b) if a else np.log(n) + np.log(n - 1) - np.log(2)


def phi(x: np.ndarray, m: int, r: float) -> float:
    n = len(x) - m + 1
    t = np.array([x[i : i + m] for i in range(n)])
    return float(np.mean([np.log(np.mean(np.abs(t - row).max(1) <= r)) for row in t]))


def permutation_entropy(x: np.ndarray, order: int, delay: int) -> float:
    seen = [tuple(np.argsort(x[t : t + order * delay : delay])) for t in range(len(x) - (order - 1) * delay)]
    counts = np.array([seen.count(p) for p in permutations(range(order))])
    p = counts[counts > 0] / len(seen)
    return float(-(p * np.log2(p)).sum() / np.log2(len(counts)))


@pytest.fixture
def smooth(noise: np.ndarray) -> np.ndarray:
    return np.cumsum(noise[:, :200] - noise.mean(), 1).astype(np.float32)


@pytest.mark.parametrize(("m", "tolerance"), [(2, 0.2), (1, 0.15), (3, 0.5)])
def test_sample_and_approximate_are_those_of_the_papers(
    eeg: SignalSpec, smooth: np.ndarray, m: int, tolerance: float
) -> None:
    at, windows = windows_of(smooth, 60, 50)
    spec = Entropy(measures=("sample", "approximate"), m=m, tolerance=tolerance, window_s=0.24, hop_s=0.2)
    want = [
        [
            (sample_entropy(x, m, tolerance * x.std()), phi(x, m, r) - phi(x, m + 1, r))
            for x in w
            for r in [tolerance * x.std()]
        ]
        for w in windows
    ]
    np.testing.assert_allclose(columns(run(spec.bind(eeg), smooth), 5, at), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("order", "delay"), [(3, 1), (5, 1), (2, 1), (4, 3)])
def test_permutation_is_that_of_the_paper(eeg: SignalSpec, smooth: np.ndarray, order: int, delay: int) -> None:
    at, windows = windows_of(smooth, 100, 25)
    spec = Entropy(measures=("permutation",), order=order, delay_s=delay / 250, window_s=0.4)
    want = [[permutation_entropy(x, order, delay) for x in w] for w in windows]
    np.testing.assert_allclose(columns(run(spec.bind(eeg), smooth), 5, at)[..., 0], want, rtol=1e-5, atol=1e-6)


def test_closed_forms() -> None:
    signal = SignalSpec(sfreq=1000, ch_names=("ramp", "white", "no match"))
    values = np.stack([np.arange(2000), generator(0, "white").standard_normal(2000), 2.0 ** np.arange(2000).clip(0, 0)])
    values[2] = np.arange(2000) % 2 * 1000  # alternates: always predictable
    spec = Entropy(measures=("sample", "approximate", "permutation"), window_s=2)
    ramp, white, alternating = run(spec.bind(signal), values.astype(np.float32)).values[:, -1].reshape(3, 3)
    assert ramp[2] == 0  # one order only
    assert white[2] == pytest.approx(1, abs=2e-3)
    # of white noise: -ln P(|x - y| <= r) with x - y normal of variance 2 (Richman & Moorman 2000)
    from scipy.stats import norm

    assert white[0] == pytest.approx(-np.log(2 * norm.cdf(0.2 / np.sqrt(2)) - 1), rel=0.03)
    assert alternating[0] == pytest.approx(0, abs=2e-3)
    assert alternating[1] == pytest.approx(0, abs=2e-3)


def test_without_a_match_the_largest_value_stands(eeg: SignalSpec) -> None:
    strange = np.repeat((2.0 ** np.arange(10))[None], 5, 0).astype(np.float32)  # every step another
    got = run(Entropy(window_s=0.04, hop_s=0.04, tolerance=1e-3).bind(eeg), strange)
    np.testing.assert_allclose(got.values[:, -1], np.log(8) + np.log(7) - np.log(2), rtol=1e-6)


def test_names_and_a_window_too_short(eeg: SignalSpec) -> None:
    assert Entropy(measures=("permutation",)).bind(eeg).output.ch_names[0] == "C3:permutation_entropy"
    with pytest.raises(SignalMismatchError, match="entropy: a window has 25 samples at 250 Hz.*at least 37"):
        Entropy(measures=("permutation",), order=7, delay_s=0.024, window_s=0.1).bind(eeg)
