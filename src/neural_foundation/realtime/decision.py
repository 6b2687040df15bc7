"""One decision of a live decoder, as clients and outlets see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveDecision:
    """The decision of one token.

    token : 0, 1, 2, ... sample : samples of the raw stream up to the token's end; time_s : the same in seconds.
    decision : the likeliest class, None where the decoder abstained. set : the classes of the prediction set; empty
    where the package has none. valid : whether more than half of the token's samples were. entropy, disagreement : of
    an ensemble, how unsure its members are together, and what of it they do not agree about, in nats; None of a model.
    """

    token: int
    sample: int
    time_s: float
    decision: str | None
    probability: dict[str, float]
    valid: bool = True
    set: tuple[str, ...] = ()
    entropy: float | None = None
    disagreement: float | None = None
