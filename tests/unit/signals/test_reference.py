"""References against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.reference import Reference


def test_the_average_is_over_eeg_alone(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(Reference().bind(eeg), noise).values
    np.testing.assert_allclose(got[:4], noise[:4] - noise[:4].astype(float).mean(0), atol=1e-9)
    np.testing.assert_array_equal(got[4], noise[4])


def test_a_signal_without_types_is_all_eeg(noise: np.ndarray) -> None:
    got = run(Reference().bind(SignalSpec(sfreq=250, ch_names=("a", "b", "c", "d", "e"))), noise).values
    np.testing.assert_allclose(got.mean(0), 0, atol=1e-9)


def test_named_channels(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(Reference(to=("Cz", "Pz")).bind(eeg), noise).values
    np.testing.assert_allclose(got[:4], noise[:4] - noise[[1, 3]].astype(float).mean(0), atol=1e-9)


def test_the_average_over_positioned_channels(eeg: SignalSpec, noise: np.ndarray) -> None:
    some = eeg.replace(positions=(eeg.positions[0], eeg.positions[1], None, None, None))
    got = run(Reference(over="positioned").bind(some), noise).values
    np.testing.assert_allclose(got[:4], noise[:4] - noise[:2].astype(float).mean(0), atol=1e-9)


def test_bipolar_pairs(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Reference(pairs=(("C3", "Cz"), ("EOG", "Cz"))).bind(eeg)
    np.testing.assert_array_equal(run(op, noise).values, noise[[0, 4]] - noise[[1, 1]])
    assert op.output.ch_names == ("C3-Cz", "EOG-Cz")
    assert op.output.ch_types == ("eeg", "eog")
    assert op.output.positions[0] == pytest.approx((-0.03, 0.0, 0.075))
    assert op.output.positions[1] is None


def test_what_the_signal_lacks_is_named(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="reference: the signal has no channel 'CZ'. Did you mean 'Cz'"):
        Reference(to=("CZ",)).bind(eeg)
    with pytest.raises(SignalMismatchError, match="no channel is EEG, the types are .'misc'."):
        Reference().bind(eeg.replace(ch_types=("misc",) * 5))
    with pytest.raises(SignalMismatchError, match="no EEG channel has a position"):
        Reference(over="positioned").bind(eeg.replace(positions=()))
    with pytest.raises(SignalMismatchError, match="a pair is given twice"):
        Reference(pairs=(("C3", "Cz"), ("C3", "Cz"))).bind(eeg)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"to": ["Cz"], "pairs": [["C3", "Cz"]]}, "give pairs, or to and over"),
        ({"to": []}, "to names no channel"),
        ({"to": ["Cz"], "over": "positioned"}, "over belongs to to='average'"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse({"kind": "reference", **fields})
