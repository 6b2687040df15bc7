"""Seeds: every random choice is a function of the recipe's seed and of what it is for; no global state."""

from __future__ import annotations

import numpy as np

from .specs import digest


def derive(seed: int, *names: str | int) -> int:
    """Return the 31-bit seed of one use, e.g. `derive(seed, stage, item)`."""
    return int(digest([seed, *names])[:8], 16) & 0x7FFFFFFF


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a numpy generator for one use."""
    return np.random.default_rng(derive(seed, *names))
