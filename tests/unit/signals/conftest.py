"""Signals that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec


@pytest.fixture
def eeg() -> SignalSpec:
    """Four EEG channels and an EOG at 250 Hz; the EOG has no position."""
    return SignalSpec(
        sfreq=250.0,
        ch_names=("C3", "Cz", "C4", "Pz", "EOG"),
        ch_types=("eeg", "eeg", "eeg", "eeg", "eog"),
        positions=((-0.06, 0.0, 0.06), (0.0, 0.0, 0.09), (0.06, 0.0, 0.06), (0.0, -0.06, 0.06), None),
    )


@pytest.fixture
def noise() -> np.ndarray:
    """White noise (5, 2000) of 10 microvolts on an offset of 1 millivolt."""
    return (generator(0, "noise").standard_normal((5, 2000)) * 1e-5 + 1e-3).astype(np.float32)
