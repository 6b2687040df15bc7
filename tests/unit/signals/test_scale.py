"""The constant gain."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.scale import Scale


def test_it_multiplies(eeg: SignalSpec, noise: np.ndarray) -> None:
    np.testing.assert_array_equal(run(Scale(gain=1e6).bind(eeg), noise).values, noise * np.float32(1e6))


def test_a_gain_must_be_a_number() -> None:
    with pytest.raises(SpecError, match="field 'gain' is missing"):
        SIGNALS.parse("scale")
    with pytest.raises(SpecError, match="finite number"):
        SIGNALS.parse({"kind": "scale", "gain": float("nan")})


def test_volts_times_a_million_are_microvolts(eeg: SignalSpec) -> None:
    assert Scale(gain=1e6).bind(eeg).output.units == ("uV",) * 5
    mixed = eeg.replace(units=("V", "V", "V", "degC", ""))
    assert Scale(gain=1e3).bind(mixed).output.units == ("mV", "mV", "mV", "degC", "")
    assert Scale(gain=1.02).bind(eeg).output == eeg
