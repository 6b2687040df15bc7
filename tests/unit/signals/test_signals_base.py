"""The guard at an operation's entrance, and what a spec module may import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, StreamError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.signals import SIGNALS, SignalOp
from neural_foundation.signals.scale import Scale


def test_non_finite_samples_become_the_last_finite_one(eeg: SignalSpec) -> None:
    values = np.tile(np.arange(8, dtype=np.float32), (5, 1))
    values[1, 3:5], values[2, 0], values[3, 6] = np.nan, -np.inf, np.inf
    out, _ = (op := Scale(gain=1).bind(eeg)).step(Chunk.of(values), op.start())
    assert out.values[1].tolist() == [0, 1, 2, 2, 2, 5, 6, 7]
    assert out.values[2, 0] == 0
    assert out.values[3].tolist() == [0, 1, 2, 3, 4, 5, 5, 7]
    assert out.valid.tolist() == [False, True, True, False, False, True, False, True]


def test_the_last_finite_value_is_carried_to_the_next_chunk(eeg: SignalSpec) -> None:
    op = Scale(gain=2).bind(eeg)
    _, state = op.step(Chunk.of(np.full((5, 3), 4, np.float32)), op.start())
    out, _ = op.step(Chunk.of(np.full((5, 2), np.nan, np.float32), 3), state)
    assert (out.values == 8).all()
    assert not out.valid.any()


def test_chunks_of_another_shape_are_refused(eeg: SignalSpec) -> None:
    op = Scale(gain=1).bind(eeg)
    with pytest.raises(SignalMismatchError, match=r"shape \(4, 3\) came to 5 channels"):
        op.step(Chunk.of(np.zeros((4, 3), np.float32)), op.start())
    with pytest.raises(StreamError, match=r"3 samples has \(2,\) validity"):
        op.step(Chunk(np.zeros((5, 3), np.float32), np.ones(2, bool)), op.start())


def test_any_real_dtype_and_layout_is_taken(eeg: SignalSpec) -> None:
    op, values = Scale(gain=1).bind(eeg), np.arange(20.0).reshape(4, 5).T
    out, _ = op.step(Chunk.of(values), op.start())
    assert out.values.dtype == np.float32
    np.testing.assert_array_equal(out.values, values)


def test_every_row_loads_and_says_its_kind() -> None:
    for kind in SIGNALS:
        cls = SIGNALS.row(kind).load()
        assert issubclass(cls, SignalOp)
        assert cls.model_fields["kind"].default == kind
        assert all(field.description for name, field in cls.model_fields.items() if name != "kind")


def test_parsing_a_recipe_imports_nothing_heavy() -> None:
    code = """
import sys
from neural_foundation.signals import SIGNALS
for kind in SIGNALS:
    SIGNALS.row(kind).load()
heavy = {"numba", "scipy.signal", "scipy", "mne", "torch", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
