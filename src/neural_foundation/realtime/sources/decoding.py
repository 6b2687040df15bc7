"""A source decoded here, without a server: chunks in, decisions out, to outlets if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from ...core.stream import Chunk
from ..decision import LiveDecision

if TYPE_CHECKING:
    from ..live_model import LiveModel
    from ..outlets.base import OpenOutlet
    from .base import OpenSource


class Decoding:
    """Decodes one stream. Where chunks do not follow on each other, it begins anew; samples and tokens go on counting.

    step_s : how long the decoder took for the last chunk, seconds.
    """

    def __init__(self, model: LiveModel, source: OpenSource) -> None:
        self.model = model
        self.decoder = model.decoder(source.signal)
        self.classes = model.classes
        self.state = self.decoder.start()
        self.step_s = 0.0
        self._expected = self._first_sample = self._first_token = self._tokens = 0

    def take(self, chunk: Chunk) -> list[LiveDecision]:
        """Return the decisions on the tokens that a chunk completes."""
        if chunk.start != self._expected:
            self.state = self.decoder.start()
            self._first_sample, self._first_token = chunk.start, self._tokens
        self._expected = chunk.start + chunk.n_times
        began = perf_counter()
        own = Chunk(chunk.values, chunk.valid, chunk.start - self._first_sample)
        out, self.state = self.decoder.step(own, self.state)
        self.step_s = perf_counter() - began
        return self._decided(out) if out.n_times else []

    def flush(self) -> list[LiveDecision]:
        """Return the decisions that the look-ahead held back when the stream ended."""
        out = self.decoder.flush(self.state)
        return self._decided(out) if out.n_times else []

    def reset(self) -> None:
        """Start a trial at the next sample."""
        self.state = self.decoder.reset(self.state)

    def _decided(self, out: Chunk) -> list[LiveDecision]:
        probability, sets, silent = out.values, None, None
        confidence = self.model.facts.confidence
        if confidence is not None:
            probability, sets, silent = confidence.apply(probability)
        first, sfreq, made = self._first_token + out.start, self.decoder.input.sfreq, []
        samples = self.decoder.last_samples(self.state, out.n_times).tolist()
        for i, (p, valid) in enumerate(zip(probability.T.tolist(), out.valid.tolist(), strict=True)):
            sample = self._first_sample + samples[i]
            word = None if silent is not None and silent[i] else self.classes[p.index(max(p))]
            kept = () if sets is None else tuple(c for c, s in zip(self.classes, sets[:, i], strict=True) if s)
            named = dict(zip(self.classes, p, strict=True))
            made.append(LiveDecision(first + i, sample, sample / sfreq, word, named, valid, kept))
        self._tokens = first + out.n_times
        return made


def decode(
    model: LiveModel, source: OpenSource, outlets: Sequence[OpenOutlet] = (), *, stall_s: float = 10.0
) -> Iterator[LiveDecision]:
    """Yield the decisions on a source until it ends, each put into the outlets first.

    A source that gives nothing for `stall_s` is not waited for any longer.
    """
    decoding = Decoding(model, source)
    while not source.ended and source.stalled_s < stall_s:
        chunk = source.read(min(1.0, stall_s))
        if chunk is not None:
            yield from hand_out(decoding.take(chunk), source, outlets)
    yield from hand_out(decoding.flush(), source, outlets)


def hand_out(decisions: list[LiveDecision], source: OpenSource, outlets: Sequence[OpenOutlet]) -> list[LiveDecision]:
    """Put decisions into outlets, with the time of the last sample that each belongs to; return them."""
    for decision in decisions if outlets else ():
        stamp_s = source.stamp_of(decision.sample - 1)
        for outlet in outlets:
            outlet.put(decision, stamp_s)
    return decisions
