"""What a decision rests on, found by taking it away: channels and stretches made silent, one part after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
QUIET = 0.01  # what is left of an amplitude
FLOOR = 1e-7  # of a probability, before its logarithm is taken


def occlusion(
    predict: Callable[[NDArray[np.float32]], Array],
    signal: NDArray[np.float32],
    groups: Sequence[Sequence[int]],
    stretches: Sequence[tuple[int, int]],
    answer: int,
) -> NDArray[np.float64]:
    """Return how far log p(answer) falls without each part (n_groups, n_stretches); below 0, it rises.

    Arguments are those of `occluded`. No recording is so quiet, so that the fall is a hint and no measurement.
    """
    said, without = occluded(predict, signal, groups, stretches)
    log_p = [np.log(np.maximum(p[..., answer], FLOOR)) for p in (said, without)]
    return np.asarray(log_p[0] - log_p[1], np.float64)


def occluded(
    predict: Callable[[NDArray[np.float32]], Array],
    signal: NDArray[np.float32],
    groups: Sequence[Sequence[int]],
    stretches: Sequence[tuple[int, int]],
    *,
    batch: int = 64,
) -> tuple[Array, Array]:
    """Return the probabilities of a window (K,), and those without each of its parts (n_groups, n_stretches, K).

    predict : windows (n, n_chans, n_times) to probabilities (n, K). signal : one window. groups : channels that are
    taken away together; stretches : (first, last) samples of each. batch : windows that are in memory at once. After
    Zeiler and Fergus 2014; what is taken away is scaled to a hundredth, as some models refuse flat channels.

    DataError where there are no parts, or a stretch lies outside of the window.
    """
    n_times = signal.shape[1]
    if not groups or not stretches or any(not 0 <= a < b <= n_times for a, b in stretches):
        raise DataError(f"{len(groups)} groups and stretches {list(stretches)}", allowed=f"within 0 to {n_times}")
    parts = [(list(g), slice(*s)) for g in groups for s in stretches]
    made = []
    for at in range(0, 1 + len(parts), batch):
        windows = np.repeat(signal[None], min(batch, 1 + len(parts) - at), axis=0)
        for i in range(max(at, 1), at + len(windows)):  # the first of all is the window as it is
            group, stretch = parts[i - 1]
            windows[i - at][group, stretch] *= QUIET
        made.append(np.asarray(predict(windows)))
    p = np.concatenate(made)
    return p[0], p[1:].reshape(len(groups), len(stretches), -1)


def seconds(first: int, last: int, sfreq: float, *, most: int = 10) -> list[tuple[int, int]]:
    """Return a stretch of samples cut into parts of about a second, at most `most`."""
    n = int(np.clip(round((last - first) / sfreq), 1, most))
    edges = np.linspace(first, last, n + 1).round().astype(int).tolist()
    return list(zip(edges, edges[1:], strict=False))
