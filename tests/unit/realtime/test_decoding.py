"""A source decoded in this process gives what the decoder gives, whatever the source does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_package

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.models.confidence import Confidence
from neural_foundation.models.package import Package, with_confidence
from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.realtime.outlets.base import OpenOutlet
from neural_foundation.realtime.sources.base import OpenSource
from neural_foundation.realtime.sources.decoding import Decoding, decode

SIGNAL = small_package.signal(400)


class Played(OpenSource):
    """Gives the chunks it was made of; sample i was taken at 100 + i / sfreq."""

    def __init__(self, chunks: list[Chunk | None], signal: SignalSpec = small_package.RAW) -> None:
        super().__init__(signal)
        self._chunks = list(chunks)

    def _read(self, timeout_s: float) -> Chunk | None:
        if not self._chunks:
            self._end("done")
            return None
        return self._chunks.pop(0)

    @property
    def measured_sfreq(self) -> float | None:
        return None

    def stamp_of(self, sample: int) -> float:
        return 100 + sample / self.signal.sfreq


class Kept(OpenOutlet):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[tuple[LiveDecision, float | None]] = []

    def _put(self, decision: LiveDecision, stamp_s: float | None) -> None:
        self.got.append((decision, stamp_s))

    def _close(self) -> None: ...


@pytest.fixture(scope="module")
def model(exported_package: Package) -> LiveModel:
    return LiveModel(exported_package)


def pieces(values: np.ndarray, n: int, start: int = 0) -> list[Chunk | None]:
    return [Chunk.of(values[:, a : a + n], start + a) for a in range(0, values.shape[1], n)]


@pytest.mark.parametrize("block", [3, 10, 171])
def test_decisions_are_those_of_the_decoder_in_order(model: LiveModel, block: int) -> None:
    found = list(decode(model, Played(pieces(SIGNAL, block))))
    want = run(model.decoder(), SIGNAL).values
    assert [d.token for d in found] == list(range(want.shape[1]))
    np.testing.assert_allclose([list(d.probability.values()) for d in found], want.T, atol=1e-9)
    assert [d.decision for d in found] == [model.classes[i] for i in want.argmax(0)]
    assert [d.sample for d in found] == [10 * (k + 1) for k in range(want.shape[1])]
    assert found[3].time_s == pytest.approx(0.4)


def test_outlets_get_the_time_of_each_decision_s_last_sample(model: LiveModel) -> None:
    kept = Kept()
    list(decode(model, Played([None, *pieces(SIGNAL[:, :50], 25)]), [kept]))
    assert [d.token for d, _ in kept.got] == [0, 1, 2, 3, 4]
    assert [s for _, s in kept.got] == pytest.approx([100 + (10 * k - 1) / 100 for k in range(1, 6)])


def test_after_a_jump_the_decoder_begins_anew_and_the_counting_goes_on(model: LiveModel) -> None:
    later = small_package.signal(100, seed=7)
    source = Played([*pieces(SIGNAL[:, :105], 35), *pieces(later, 50, start=1000)])
    found = list(decode(model, source))
    want = run(model.decoder(), later).values
    assert [d.token for d in found] == list(range(20))
    assert [d.sample for d in found[9:12]] == [100, 1010, 1020]
    np.testing.assert_allclose([list(d.probability.values()) for d in found[10:]], want.T, atol=1e-9)


def test_missing_samples_make_decisions_that_are_not_valid(model: LiveModel) -> None:
    valid = np.ones(100, bool)
    valid[32:38] = False
    found = list(decode(model, Played([Chunk(SIGNAL[:, :100].copy(), valid, 0)])))
    assert [d.token for d in found if not d.valid] == [3]


def test_a_reset_starts_a_trial(model: LiveModel) -> None:
    source = Played([])
    decoding = Decoding(model, source)
    decoding.take(Chunk.of(SIGNAL[:, :55], 0))
    decoding.reset()
    assert [d.sample for d in decoding.take(Chunk.of(SIGNAL[:, 55:80], 55))] == [65, 75]


def test_a_calibrated_package_is_silent_and_gives_sets(exported_package: Package, tmp_path: Path) -> None:
    sure = Confidence(temperature=4.0, thresholds=(0.6,), abstain="set")
    model = LiveModel(with_confidence(exported_package, tmp_path / "sure", sure))
    raw = run(model.decoder(), SIGNAL).values
    probability, sets, silent = sure.apply(raw)
    found = list(decode(model, Played(pieces(SIGNAL, 40))))
    np.testing.assert_allclose([list(d.probability.values()) for d in found], probability.T, atol=1e-9)
    assert [d.decision is None for d in found] == silent.tolist()
    assert 0 < sum(d.decision is None for d in found) < len(found)
    assert [len(d.set) for d in found] == sets.sum(0).tolist()


def test_a_source_that_gives_nothing_is_not_waited_for_forever(model: LiveModel) -> None:
    class Stalled(Played):
        def _read(self, timeout_s: float) -> Chunk | None:
            return None

    assert list(decode(model, Stalled([]), stall_s=0.02)) == []
