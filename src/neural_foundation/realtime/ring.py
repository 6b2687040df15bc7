"""A ring buffer of samples: what arrives in any pieces leaves in pieces of one length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ring:
    """Collects (n_chans, any) pieces into `values` (n_chans, size), the buffer of whoever uses the blocks."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.size, self.filled, self.n_valid = values.shape[1], 0, 0

    def push(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> Iterator[float]:
        """Take samples; yield, each time the block is full, the share of it that was valid.

        The block is `self.values`; use it before asking for the next.
        """
        at, n = 0, values.shape[1]
        while at < n:
            take = min(self.size - self.filled, n - at)
            self.values[:, self.filled : self.filled + take] = values[:, at : at + take]
            self.n_valid += int(np.count_nonzero(valid[at : at + take]))
            self.filled += take
            at += take
            if self.filled == self.size:
                share = self.n_valid / self.size
                self.filled = self.n_valid = 0
                yield share

    def clear(self) -> None:
        """Forget a block that is not full."""
        self.filled = self.n_valid = 0
