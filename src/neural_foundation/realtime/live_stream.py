"""A decoder at work on one stream, gaps and all: samples and tokens go on counting where it has to begin anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import StreamError
from ..core.stream import Chunk, State
from .decision import LiveDecision
from .decoder import LiveDecoder

if TYPE_CHECKING:
    from ..export.ensemble_package import Unsure
    from ..models.confidence import Confidence

LAST_SAMPLE = 1 << 62


@dataclass(slots=True)
class Tokens:
    """What was decided: T tokens of K classes, from token `first` on.

    sample (T,) : raw samples up to each token's end. probability (K, T), calibrated where the package is. valid (T,).
    sets (K, T) and abstained (T,) : None without a confidence; no sets either once adaptation has changed what the
    probabilities were calibrated on. members (T, M, K) : what each member of an ensemble said; None for one model.
    entropy, disagreement (T,), nats : how unsure the members are together, and what of it they do not agree about.
    """

    first: int
    sample: NDArray[np.int64]
    probability: NDArray[Any]
    valid: NDArray[np.bool_]
    sets: NDArray[np.bool_] | None = None
    abstained: NDArray[np.bool_] | None = None
    members: NDArray[np.float64] | None = None
    entropy: NDArray[np.float64] | None = None
    disagreement: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.sample)

    def decisions(self, classes: tuple[str, ...], sfreq: float) -> list[LiveDecision]:
        """Return them one by one; `sfreq` is that of the raw samples."""
        # lists, not arrays: one call finds the numbers of all tokens, and little code is cold when a block wakes it
        n = len(self)
        told = zip(
            self.sample.tolist(),
            self.probability.T.tolist(),
            self.valid.tolist(),
            [()] * n if self.sets is None else self.sets.T.tolist(),
            [False] * n if self.abstained is None else self.abstained.tolist(),
            [None] * n if self.entropy is None else self.entropy.tolist(),
            [None] * n if self.disagreement is None else self.disagreement.tolist(),
            strict=True,
        )
        return [_decision(self.first + i, classes, sfreq, *one) for i, one in enumerate(told)]


def _decision(
    token: int,
    classes: tuple[str, ...],
    sfreq: float,
    sample: int,
    p: list[float],
    valid: bool,
    kept: Sequence[bool],
    abstained: bool,
    entropy: float | None,
    disagreement: float | None,
) -> LiveDecision:
    word = None if abstained else classes[p.index(max(p))]
    members = tuple([c for c, k in zip(classes, kept, strict=False) if k])
    said = dict(zip(classes, p, strict=True))
    return LiveDecision(token, sample, sample / sfreq, word, said, valid, members, entropy, disagreement)


class LiveStream:
    """One decoder, its state, and how far it has come.

    `bridge_s` : missing samples up to this are stepped over as not valid; after more the decoder begins anew.
    `confidence` : of the package, applied to each decision. `unsure` : of an ensemble, from what its members said
    (T, M, K) to how unsure they are; without it, decisions have no entropy and no disagreement.
    """

    def __init__(
        self,
        decoder: LiveDecoder,
        confidence: Confidence | None = None,
        *,
        bridge_s: float = 0.0,
        unsure: Callable[[NDArray[np.float64]], Unsure] | None = None,
    ) -> None:
        self.decoder, self.confidence, self._unsure = decoder, confidence, unsure
        self.state: State = decoder.start()
        self.n_samples = self.n_tokens = 0
        self.first_sample = self._first_token = 0  # where the decoder's own stream began
        self._onset = self._before = 0  # of the trial that runs, and of the one before: its last tokens may still come
        self._bridge = bridge_s * decoder.input.sfreq

    def take(self, chunk: Chunk) -> list[Tokens]:
        """Return the tokens that a chunk completes; `chunk.start` counts from the first sample of the stream.

        StreamError where it lies before what has come.
        """
        missing = chunk.start - self.n_samples
        if missing < 0 or chunk.start > LAST_SAMPLE:
            raise StreamError(
                f"A block starts at sample {chunk.start}", allowed=f"{self.n_samples}, or later after a gap"
            )
        out = self._over(missing) if missing else []
        return [*out, *self._step(chunk)]

    def _over(self, missing: int) -> list[Tokens]:
        if missing > self._bridge:
            self.state = self.decoder.anew(self.state)
            self.first_sample = self._onset = self._before = self.n_samples = self.n_samples + missing
            self._first_token = self.n_tokens
            return []
        values = np.zeros((self.decoder.input.n_chans, missing), np.float32)
        return self._step(Chunk(values, np.zeros(missing, np.bool_), self.n_samples))

    def _step(self, chunk: Chunk) -> list[Tokens]:
        own = Chunk(chunk.values, chunk.valid, chunk.start - self.first_sample)
        out, self.state = self.decoder.step(own, self.state)
        self.n_samples = chunk.start + chunk.n_times
        return self._decided(out)

    def flush(self) -> list[Tokens]:
        """Return the tokens that the look-ahead held back, at the end of the stream."""
        return self._decided(self.decoder.flush(self.state))

    def reset(self) -> None:
        """Start a trial at the next sample."""
        self.state = self.decoder.reset(self.state)
        self._before, self._onset = self._onset, self.n_samples

    def feedback(self, sample: int, right: int) -> None:
        """Let an adapting decoder learn that class `right` was right at a sample."""
        self.state = self.decoder.feedback(sample - self.first_sample, right, self.state)

    def _decided(self, out: Chunk) -> list[Tokens]:
        if not out.n_times:
            return []
        first, self.n_tokens = self.n_tokens, self._first_token + out.start + out.n_times
        sample = self.first_sample + self.decoder.last_samples(self.state, out.n_times)
        members = self.decoder.last_members(self.state, out.n_times)
        unsure = (None, None) if members is None or self._unsure is None else self._unsure(members)
        if self.confidence is None:
            return [Tokens(first, sample, out.values, out.valid, None, None, members, *unsure)]
        onset = np.where(sample > self._onset, self._onset, self._before)
        age_s = (sample - onset) / self.decoder.input.sfreq
        probability, sets, abstained = self.confidence.apply(out.values, age_s)
        promised = None if self.decoder.moved(self.state) else sets
        return [Tokens(first, sample, probability, out.valid, promised, abstained, members, *unsure)]

    @property
    def counts(self) -> list[int]:
        """How far it has come, beside its state, for `go_on`."""
        return [self.n_samples, self.n_tokens, self.first_sample, self._first_token, self._onset, self._before]

    def go_on(self, state: State, counts: list[int]) -> None:
        """Go on from a state and counts, of this process or another."""
        self.state = state
        self.n_samples, self.n_tokens, self.first_sample, self._first_token, self._onset, self._before = counts
