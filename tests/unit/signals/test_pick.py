"""Picking channels."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.pick import Pick


def test_by_name_in_the_given_order(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Pick(channels=("Pz", "C3")).bind(eeg)
    np.testing.assert_array_equal(run(op, noise).values, noise[[3, 0]])
    assert op.output.ch_names == ("Pz", "C3")
    assert op.output.positions == (eeg.positions[3], eeg.positions[0])


def test_by_name_in_the_recordings_order(eeg: SignalSpec) -> None:
    assert Pick(channels=("Pz", "C3"), order="recording").bind(eeg).output.ch_names == ("C3", "Pz")


def test_by_type(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Pick(types=("eog",)).bind(eeg)
    np.testing.assert_array_equal(run(op, noise).values, noise[4:])
    assert op.output.ch_types == ("eog",)
    untyped = eeg.replace(ch_types=(), positions=())
    assert Pick(types=("eeg",)).bind(untyped).output == untyped


def test_missing_channels_and_types_are_named(eeg: SignalSpec) -> None:
    with pytest.raises(
        SignalMismatchError, match=r"no channel 'c3' or 'Oz'\. Did you mean 'C3'\?.*Allowed: 'C3', 'Cz'"
    ):
        Pick(channels=("c3", "Cz", "Oz")).bind(eeg)
    with pytest.raises(SignalMismatchError, match="no channel is of type 'emg'. Allowed: 'eeg' or 'eog'"):
        Pick(types=("emg",)).bind(eeg)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give channels or types"),
        ({"channels": ["Cz"], "types": ["eeg"]}, "give channels or types"),
        ({"channels": ["Cz", "Cz"]}, "named twice"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse({"kind": "pick", **fields})
