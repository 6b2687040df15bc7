"""Windows that slide, cut by a plain loop: what the features are held against."""

from __future__ import annotations

import numpy as np

from neural_foundation.core.stream import Chunk


def windows_of(values: np.ndarray, window: int, hop: int) -> tuple[list[int], np.ndarray]:
    """Return the columns k whose window [.., (k + 1) hop) lies in the stream, and the windows (n, n_chans, window)."""
    ends = [(k, (k + 1) * hop) for k in range(values.shape[1] // hop)]
    whole = [(k, end) for k, end in ends if end >= window]
    return [k for k, _ in whole], np.array([values[:, end - window : end] for _, end in whole], np.float64)


def columns(got: Chunk, n_chans: int, columns: list[int]) -> np.ndarray:
    """Return (n, n_chans, n_features) of an output's columns, which must be the valid ones."""
    np.testing.assert_array_equal(np.flatnonzero(got.valid), columns)
    return got.values[:, columns].T.reshape(len(columns), n_chans, -1)
