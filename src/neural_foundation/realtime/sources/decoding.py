"""A source decoded here, without a server: chunks in, decisions out, to outlets if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from ...core.stream import Chunk
from ..decision import LiveDecision
from ..live_stream import LiveStream, Tokens

if TYPE_CHECKING:
    from ..live_model import LiveModel
    from ..outlets.base import OpenOutlet
    from .base import OpenSource


class Decoding:
    """Decodes one source. Where chunks do not follow on each other, it begins anew; samples and tokens go on counting.

    step_s : how long the decoder took for the last chunk, seconds.
    """

    def __init__(self, model: LiveModel, source: OpenSource) -> None:
        self.model, self.classes = model, model.classes
        self.stream = LiveStream(model.decoder(source.signal), model.facts.confidence, unsure=model.unsure)
        self.step_s = 0.0

    def take(self, chunk: Chunk) -> list[LiveDecision]:
        """Return the decisions on the tokens that a chunk completes."""
        began = perf_counter()
        tokens = self.stream.take(chunk)
        self.step_s = perf_counter() - began
        return self._decisions(tokens)

    def flush(self) -> list[LiveDecision]:
        """Return the decisions that the look-ahead held back when the stream ended."""
        return self._decisions(self.stream.flush())

    def reset(self) -> None:
        """Start a trial at the next sample."""
        self.stream.reset()

    def _decisions(self, tokens: list[Tokens]) -> list[LiveDecision]:
        sfreq = self.stream.decoder.input.sfreq
        return [decision for part in tokens for decision in part.decisions(self.classes, sfreq)]


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
