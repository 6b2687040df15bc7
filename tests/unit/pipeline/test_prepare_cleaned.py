"""What a chain makes of a recording is the same, however it is cut on its way through."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.progress import silent
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join, run
from neural_foundation.pipeline.stages import prepare
from neural_foundation.recordings import ArraySignal
from neural_foundation.signals.chain import Chain, chain
from neural_foundation.signals.table import SIGNALS

SPEC = SignalSpec(sfreq=100.0, ch_names=("C3", "Cz", "C4"))
OPS = [{"kind": "bandpass", "low_hz": 1.0, "high_hz": 30.0}, {"kind": "resample", "sfreq": 50.0}, {"kind": "reference"}]


class Counted(Chain):
    """A chain that keeps how many values it was given at once."""

    def step(self, chunk: Chunk, state: dict) -> tuple[Chunk, dict]:  # type: ignore[type-arg]
        sizes.append(chunk.values.size)
        return super().step(chunk, state)


sizes: list[int] = []


@pytest.mark.parametrize("piece", [1, 50, 700, 1 << 17])
def test_pieces_change_nothing(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal((3, 2345)).astype(np.float32)
    valid = np.random.default_rng(1).random(2345) > 0.1
    bound = chain([SIGNALS.parse(op) for op in OPS], SPEC)  # type: ignore[misc]
    monkeypatch.setattr(bound, "__class__", Counted)
    monkeypatch.setattr(prepare, "PIECE_VALUES", piece)
    sizes.clear()
    told: list[int] = []
    got = join(prepare.cleaned(bound, ArraySignal(values, SPEC, valid=valid), lambda n, *_: told.append(n), "x"))
    assert max(sizes) <= max(piece, 3)
    assert sum(sizes) == values.size
    assert told == [1000, 2000, 2345]
    np.testing.assert_array_equal(got.values, run(bound, values).values)
    assert (got.start, got.n_times) == (0, 1173)
    assert not got.valid.all()


def test_a_recording_without_samples_gives_none() -> None:
    bound = chain([SIGNALS.parse(op) for op in OPS], SPEC)  # type: ignore[misc]
    assert list(prepare.cleaned(bound, ArraySignal(np.zeros((3, 0)), SPEC), silent, "x")) == []
