"""Which operations a scalp map may be drawn after, and whose signals what they give still are."""

from __future__ import annotations

from typing import Any

import pytest

from neural_foundation.core.specs import SignalSpec
from neural_foundation.signals import SIGNALS


@pytest.mark.parametrize("spec", [{"kind": "bad_channels", "repair": "zero"}, {"kind": "subspace"}, {"kind": "align"}])
def test_what_mixes_or_silences_channels_changes_the_map(spec: dict[str, Any]) -> None:
    op: Any = SIGNALS.parse(spec)
    assert not op.keeps_topography


@pytest.mark.parametrize(
    "spec",
    [{"kind": "artefacts", "output": "flags"}, {"kind": "bad_channels", "output": "reasons"}, {"kind": "drift"}],
)
def test_what_is_said_of_a_signal_is_of_the_same_person(spec: dict[str, Any], eeg: SignalSpec) -> None:
    op: Any = SIGNALS.parse(spec)
    output = op.bind(eeg.replace(subject="anna")).output
    assert output.subject == "anna"
    assert set(output.ch_types) == {"misc"}
    assert set(output.units) == {""}
