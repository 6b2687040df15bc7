from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.patterns import mean_map, power_patterns, subject_patterns, window_covariances
from neural_foundation.metrics import topography_correlation

SFREQ = 100.0


def topographies(overlap: float, n_chans: int = 16) -> np.ndarray:
    """Two smooth maps on a line of channels, their cosine near `overlap`."""
    at = np.linspace(0, 1, n_chans)
    distance = np.sqrt(-4 * 0.15**2 * np.log(overlap))
    maps = np.stack([np.exp(-((at - 0.5 - side * distance / 2) ** 2) / (2 * 0.15**2)) for side in (-1, 1)])
    return maps / np.linalg.norm(maps, axis=1, keepdims=True)


def simulate(maps: np.ndarray, seed: int = 0, n: int = 200, n_times: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Windows in which two 10 Hz sources change power on their own, under background sources and sensor noise."""
    rng = np.random.default_rng(seed)
    log_power = rng.normal(scale=0.5, size=(n, 2))
    phase = rng.uniform(0, 2 * np.pi, (n, 2, 1))
    wave = np.sin(2 * np.pi * 10 * np.arange(n_times) / SFREQ + phase) * np.exp(log_power / 2)[..., None]
    mixing = rng.normal(size=(maps.shape[1], 6)) / 4
    background = mixing @ rng.normal(size=(n, 6, n_times))
    noise = 0.2 * rng.normal(size=(n, maps.shape[1], n_times))
    return maps.T @ wave * 2 + background + noise, log_power


@pytest.mark.parametrize("overlap", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("band", [None, (8.0, 12.0)])
def test_known_sources_are_found(overlap, band):
    maps = topographies(overlap)
    assert maps[0] @ maps[1] == pytest.approx(overlap, abs=0.05)
    signal, log_power = simulate(maps)
    decision = 2 * log_power[:, 0] - 2 * log_power[:, 1] + np.random.default_rng(1).normal(size=len(log_power))
    found = power_patterns(window_covariances(signal, SFREQ, band), decision)
    assert topography_correlation(found.positive[0], maps[0]) >= 0.95
    assert topography_correlation(found.negative[0], maps[1]) >= 0.95
    assert found.positive_strength[0] > 0 > found.negative_strength[0]


def test_plain_eigenvectors_would_not_do():
    """The reason for the generalised problem: with overlapping sources plain eigenvectors of C_d mix them."""
    maps = topographies(0.8)
    signal, log_power = simulate(maps)
    covariance = window_covariances(signal, SFREQ)
    centred = (log_power[:, 0] - log_power[:, 1]) - (log_power[:, 0] - log_power[:, 1]).mean()
    plain = np.linalg.eigh(np.einsum("n,nij->ij", centred, covariance))[1][:, -1]
    assert topography_correlation(plain, maps[0]) < 0.9


def test_average_reference_is_no_obstacle():
    maps = topographies(0.5)
    signal, log_power = simulate(maps)
    signal = signal - signal.mean(1, keepdims=True)
    found = power_patterns(window_covariances(signal, SFREQ), log_power[:, 0])
    assert topography_correlation(found.positive[0], maps[0]) >= 0.95


def test_subjects_are_aligned_in_sign_and_averaged():
    maps = topographies(0.5)
    parts = [simulate(maps, seed, n=80) for seed in range(4)]
    covariance = np.concatenate([window_covariances(s * (i + 1), SFREQ) for i, (s, _) in enumerate(parts)])
    log_power = np.concatenate([p for _, p in parts])
    found = subject_patterns(covariance, log_power[:, 0] - log_power[:, 1], np.repeat(np.arange(4), 80))
    assert topography_correlation(found.positive[0], maps[0]) >= 0.95
    assert topography_correlation(found.negative[0], maps[1]) >= 0.95
    assert np.linalg.norm(found.positive[0]) == pytest.approx(1)


def test_subjects_about_whom_the_decision_never_changes_are_left_out_by_name():
    signal, log_power = simulate(topographies(0.5), 0, n=80)
    covariance, decision = window_covariances(signal, SFREQ), log_power[:, 0] - log_power[:, 1]
    alone = subject_patterns(covariance, decision, np.repeat("a", 80))
    both = subject_patterns(np.tile(covariance, (2, 1, 1)), np.r_[decision, np.ones(80)], np.repeat(["a", "b"], 80))
    assert (alone.silent, both.silent) == ((), ("b",))
    np.testing.assert_array_equal(both.positive, alone.positive)
    with pytest.raises(DataError, match="constant in every subject. Use a decoder that was trained"):
        subject_patterns(covariance, np.ones(80), np.repeat(["a", "b"], 40))


def test_mean_map_forgets_signs():
    a = np.array([3.0, -1.0, 0.5])
    np.testing.assert_allclose(mean_map(np.stack([a, -2 * a, a])), a / np.linalg.norm(a))


def test_refusals():
    covariance = np.tile(np.eye(4), (10, 1, 1))
    with pytest.raises(DataError, match="constant"):
        power_patterns(covariance, np.ones(10))
    with pytest.raises(DataError, match="do not match"):
        power_patterns(covariance, np.arange(9.0))
    with pytest.raises(DataError, match="4 independent channels cannot show 3 sources"):
        power_patterns(covariance, np.arange(10.0), n_sources=3)
    with pytest.raises(DataError, match="zero"):
        power_patterns(np.zeros((10, 4, 4)), np.arange(10.0))
