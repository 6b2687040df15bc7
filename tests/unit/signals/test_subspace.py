"""Artefact subspace reconstruction: on a mixture whose clean part is known."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.subspace import Subspace, reconstruction, usual

RATE, N = 200, 200 * 20
AT = slice(12 * RATE, 14 * RATE)


@pytest.fixture
def eight() -> SignalSpec:
    return SignalSpec(sfreq=RATE, ch_names=tuple(f"E{i}" for i in range(8)), ch_types=("eeg",) * 7 + ("eog",))


@pytest.fixture
def mixture() -> np.ndarray:
    """Four sources and a little noise on eight channels (8, N)."""
    rng = generator(0, "mixture")
    x = rng.standard_normal((8, 4)) @ rng.standard_normal((4, N)) + 0.1 * rng.standard_normal((8, N))
    return (1e-5 * x).astype(np.float32)


def test_usual_signal_passes_unchanged(eight: SignalSpec, mixture: np.ndarray) -> None:
    for wait in (True, False):
        np.testing.assert_array_equal(run(Subspace(wait=wait).bind(eight), mixture).values, mixture)


@pytest.mark.parametrize(("wait", "left"), [(True, 0.25), (False, 0.5)])
def test_a_large_component_is_rebuilt(eight: SignalSpec, mixture: np.ndarray, wait: bool, left: float) -> None:
    rng = generator(1, "artefact")
    artefact = np.zeros((8, N))
    artefact[:7, AT] = np.outer(rng.standard_normal(7), 50e-5 * rng.standard_normal(2 * RATE))
    out = run(Subspace(wait=wait).bind(eight), (mixture + artefact).astype(np.float32)).values
    late = slice(AT.start + RATE // 2, AT.stop)
    error = (out - mixture)[:7]
    assert error[:, late].std() < 0.05 * artefact[:7, late].std()
    assert error[:, AT].std() < left * artefact[:7, AT].std()
    np.testing.assert_array_equal(out[:, : AT.start - RATE // 2], mixture[:, : AT.start - RATE // 2])
    np.testing.assert_array_equal(out[7], mixture[7])  # not EEG
    np.testing.assert_allclose(out[:, AT.stop + RATE :], mixture[:, AT.stop + RATE :], atol=1e-9)


def test_reconstruction_is_the_formula(mixture: np.ndarray) -> None:
    x = mixture[:7].astype(np.float64).reshape(7, -1, 100).transpose(1, 0, 2)
    root, limits = usual(x @ x.transpose(0, 2, 1) / 100, 5.0)
    np.testing.assert_allclose(root @ root, np.median(x @ x.transpose(0, 2, 1) / 100, 0), rtol=1e-6, atol=1e-18)
    direction = np.linalg.qr(generator(2, "d").standard_normal((7, 7)))[0][:, 0]
    now = root @ root + 1e-6 * np.outer(direction, direction)
    matrix = reconstruction(now, root, limits, 0.66)
    _, vectors = np.linalg.eigh(now)
    keep = np.arange(7) < 6
    want = root @ np.linalg.pinv(np.diag(keep.astype(float)) @ vectors.T @ root) @ vectors.T
    np.testing.assert_allclose(matrix, want, atol=1e-9)
    assert np.abs(matrix @ vectors[:, -1]).max() < 1e-6
    np.testing.assert_array_equal(reconstruction(root @ root, root, limits, 0.66), np.eye(7))


@pytest.mark.parametrize(("most", "kept"), [(0.5, 3), (0.1, 6), (0.99, 1)])
def test_at_most_a_share_goes(most: float, kept: int) -> None:
    matrix = reconstruction(1e3 * np.eye(6), np.eye(6), np.eye(6), most)
    assert np.linalg.matrix_rank(matrix) == kept


def test_too_few_channels(eight: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"2 EEG channels span too few .* Allowed: 4 or more"):
        Subspace().bind(eight.replace(ch_types=("eeg", "eeg") + ("eog",) * 6))
