"""What is usual for each channel: filters that settle at once, and running medians of features of blocks.

Shapes: blocks (n_chans, b * block); features (b, n_features, n_chans) float64, positive.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.stream import Array, State

PRIOR = 10  # blocks that the median over all channels counts for
EARLY = 30  # blocks during which the medians are renewed at every block


class Banks:
    """IIR filters beside each other, float64, in the steady state of the first valid sample when they begin."""

    def __init__(self, n_chans: int, filters: dict[str, Array]) -> None:
        from scipy.signal import sosfilt, sosfilt_zi

        self._n_chans, self._sosfilt = n_chans, sosfilt
        self._sos = {name: np.asarray(sos, np.float64) for name, sos in filters.items()}
        self._zi = {name: sosfilt_zi(sos)[:, None, :] for name, sos in self._sos.items()}

    def fresh(self) -> State:
        """Return the state of filters that have heard nothing."""
        z = {name: np.zeros((len(sos), self._n_chans, 2)) for name, sos in self._sos.items()}
        return {"z": z, "begun": False}

    def __call__(self, values: Array, valid: Array, state: State) -> dict[str, Array]:
        """Return each filter's output (n_chans, n_times) float64; 0 until the first valid sample."""
        x = values.astype(np.float64)
        if not state["begun"]:
            if not valid.any():
                return {name: np.zeros_like(x) for name in self._sos}
            begin = int(np.argmax(valid))
            x[:, :begin] = x[:, begin : begin + 1]
            state["z"] = {name: zi * x[:, 0][None, :, None] for name, zi in self._zi.items()}
            state["begun"] = True
        out = {}
        for name, sos in self._sos.items():
            out[name], state["z"][name] = self._sosfilt(sos, x, zi=state["z"][name])
        return out


class Usual:
    """Running median of features over the last blocks, per channel, drawn at first towards that of all channels.

    log u = (n log own + 10 log pooled) / (n + 10), own: the channel's median over the n blocks remembered, pooled: the
    median over all blocks and channels. Only valid blocks are remembered. The medians are renewed at every block at
    first, later every `every` blocks; what the current block says is part of it.
    """

    def __init__(self, n_features: int, n_chans: int, memory: int, every: int = 10) -> None:
        self._shape, self._every = (max(memory, PRIOR), n_features, n_chans), every

    def fresh(self) -> State:
        """Return the state before the first block."""
        return {"ring": np.zeros(self._shape), "n": 0, "log": np.zeros(self._shape[1:])}

    def update(self, features: Array, state: State) -> Array:
        """Take one block's features (n_features, n_chans) in; return what is usual, same shape."""
        ring, n = state["ring"], state["n"]
        ring[n % len(ring)] = features
        state["n"] = n + 1
        if n < EARLY or n % self._every == 0:
            state["log"] = self._medians(ring[: n + 1])
        usual: Array = np.exp(state["log"])
        return usual

    @staticmethod
    def _medians(ring: Array) -> Array:
        logs = np.log(np.maximum(ring, 1e-300))
        pooled = np.median(logs.transpose(1, 0, 2).reshape(logs.shape[1], -1), 1, keepdims=True)
        n = len(logs)
        mixed: Array = (n * np.median(logs, 0) + PRIOR * pooled) / (n + PRIOR)
        return mixed


def stuck(values: Array, before: Array) -> Array:
    """Return which samples (n_chans, n_times) equal all of the r samples ahead of them; `before` (n_chans, r)."""
    same: Array = np.diff(np.concatenate([before, values], 1), axis=1) == 0
    found: Array = np.all(sliding_window_view(same, before.shape[1], axis=1), -1)
    return found
