"""The stepping decoder: raw samples in, decisions out, by the package's own chain and exported graph.

It is a transducer (the chunk law holds through the exported graph): its output is a stream of class probabilities
(n_classes, n_tokens), one a token; `valid` is False where more than half of a token's samples were not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SignalMismatchError, StreamError
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from ..models.package import Package, channel_list
from ..signals.chain import chain
from .engine import engine_of
from .ring import Ring

NONE = np.zeros(0, np.int64)
TRIAL = {"trial_n": 0, "trial_valid": True}  # samples since its onset, and whether its window is valid so far


def due(planned: Sequence[int], state: State, before: int) -> list[int]:
    """Return the cleaned samples up to `before` at which a trial starts, in order; those that were asked for are taken
    off the state."""
    asked = state["resets"]
    if not len(asked):
        return [m for m in planned if m < before] if planned else []
    state["resets"] = asked[asked >= before]
    return sorted({*(m for m in planned if m < before), *asked[asked < before].tolist()})


class LiveDecoder(Transducer):
    """What every decoder of a live stream offers beside the transducer it is.

    Its output (n_classes, n_tokens) holds probabilities, one column a token; `hop` is a token's length in samples of
    the cleaned signal. `past_s` : what a decision is about ended so many seconds before it, look-ahead aside.
    """

    classes: tuple[str, ...]
    hop: int
    past_s: float = 0.0

    @abstractmethod
    def reset(self, state: State, at: int | None = None) -> State:
        """Return a state whose model starts a trial at the next raw sample; the chain goes on.

        Where the chain looks ahead, the trial starts when that sample comes out of it. `at` : the sample of the cleaned
        stream instead.
        """

    @abstractmethod
    def last_samples(self, state: State, n: int) -> NDArray[np.int64]:
        """Return the raw sample after which each of the last `n` tokens of the latest step ended, look-ahead aside."""

    def anew(self, state: State) -> State:
        """Return the state to begin with after a gap too long to bridge; what a decoder has learned it keeps."""
        return self.start()

    def last_members(self, state: State, n: int) -> NDArray[np.float64] | None:
        """Return what each member of an ensemble said of the last `n` tokens of the latest step, (n, n_members,
        n_classes); None for a single model."""
        return None

    def moved(self, state: State) -> bool:
        """Whether the probabilities are no longer those that a confidence was calibrated on."""
        return False

    def feedback(self, sample: int, right: int, state: State) -> State:
        """Learn that class `right` was the right one at a sample; StreamError for a decoder that does not learn."""
        raise StreamError("This decoder does not learn from feedback", remedy="Ask for one that adapts")


class StreamDecoder(LiveDecoder):
    """Decode a live stream.

    Parameters
    ----------
    package : an exported package with a task.
    signal : what the stream is; must have the package's rate and channels (other orders are a mismatch).
    resets_s : seconds from the first sample at which the model's state starts anew (onset of a trial), for a model
        with context 'trial'. `reset()` does the same from the next sample on.
    session : the package's opened graph, or its recorded step, where several streams share it.

    `mix`, float64 (n_chans, n_chans), is applied to the cleaned signal by who adapts it; None until then.

    Raises
    ------
    SignalMismatchError : another rate or other channels. StreamError : a chain that cannot run live.
    """

    def __init__(
        self,
        package: Package,
        signal: SignalSpec | None = None,
        *,
        resets_s: Sequence[float] = (),
        session: Any = None,
    ) -> None:
        facts = package.facts
        if facts.target is None:
            raise StreamError(
                f"Package '{facts.name}' decodes nothing: it was only pre-trained",
                remedy="Give the package of an adapted model",
            )
        self.input = matching(signal or facts.raw, facts.raw)
        self.chain = chain(facts.chain, self.input, live=True)
        self.engine = engine_of(package, session)
        self.classes = facts.target.classes
        self.hop = self.engine.hop
        rate = self.chain.output.sfreq / self.hop
        self.output = SignalSpec(sfreq=rate, ch_names=self.classes)
        self.lookahead_s = self.chain.lookahead_s
        self.resets = sorted({round(t * self.chain.output.sfreq) for t in resets_s})
        self._window = round(facts.windows.length_s * self.chain.output.sfreq)
        self._ring = Ring(self.engine.signal)
        self._owner: State | None = None
        self.mix: NDArray[np.float64] | None = None
        self._warm_up()

    def _warm_up(self) -> None:
        """Take one step on zeros, so that nothing is compiled or allocated for the first time while live."""
        n = int(np.ceil(self.hop * self.input.sfreq / self.chain.output.sfreq))
        self.step(Chunk.of(np.zeros((self.input.n_chans, n), np.float32)), self.start())

    def start(self) -> State:
        ring = {"values": np.zeros_like(self._ring.values), "filled": 0, "n_valid": 0}
        model = {n: np.zeros_like(a) for n, a in self.engine.state().items()}
        counts = {"n_out": 0, "n_clean": 0, "n_raw": 0, "ends": NONE, "resets": NONE}
        return {"chain": self.chain.start(), "ring": ring, "model": model, **counts, **TRIAL}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return the probabilities of the tokens that `chunk` completes, (n_classes, n_tokens)."""
        clean, state["chain"] = self.chain.step(chunk, state["chain"])
        state["n_raw"] += chunk.n_times
        return self._tokens(clean, state)

    def flush(self, state: State) -> Chunk:
        """Return the tokens that the chain's look-ahead still held back when the stream ended."""
        return self._tokens(self.chain.flush(state["chain"]), state)[0]

    def _tokens(self, clean: Chunk, state: State) -> tuple[Chunk, State]:
        self._take(state)
        if self.mix is not None:
            clean = Chunk((self.mix @ clean.values).astype(np.float32), clean.valid, clean.start)
        rows: list[list[float]] = []
        valid: list[bool] = []
        ends: list[int] = []
        for start, values, ok in self._between_resets(clean, state):
            end = start - self._ring.filled
            for share in self._ring.push(values, ok):
                rows.append(softmax(self.engine.step()))
                valid.append(share > 0.5)
                ends.append(end := end + self.hop)
        first = state["n_out"]
        state["n_out"] = first + len(rows)
        state["n_clean"] += clean.n_times
        state["ends"] = np.array(ends, np.int64)
        probability = np.array(rows).T if rows else np.zeros((len(self.classes), 0))
        return Chunk(probability, np.array(valid, bool), first), self._give(state)

    def _between_resets(self, clean: Chunk, state: State) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
        """Yield start, samples and validity of the chunk's parts, cut where the model's state starts anew."""
        at, n = state["n_clean"], clean.values.shape[1]
        edges = [0, *(m - at for m in due(self.resets, state, at + n) if at <= m), n]
        for i, (a, b) in enumerate(pairwise(edges)):
            if i > 0:
                self._next_trial(state)
            self._watch(clean.valid[a:b], state)
            yield at + a, clean.values[:, a:b], clean.valid[a:b]

    def _watch(self, valid: NDArray[np.bool_], state: State) -> None:
        """Note whether the window of this trial is valid throughout, as a window of an evaluation must be."""
        left = self._window - state["trial_n"]
        state["trial_n"] += len(valid)
        if left > 0 and state["trial_valid"]:
            state["trial_valid"] = bool(valid[:left].all())

    def _next_trial(self, state: State) -> None:
        self._ring.clear()
        self.engine.next_trial(keep=state["trial_valid"])
        state.update(TRIAL)

    def reset(self, state: State, at: int | None = None) -> State:
        """Return a state whose model starts a trial at the next raw sample; the person's mean goes on, too."""
        at = round(state["n_raw"] * self.chain.output.sfreq / self.input.sfreq) if at is None else at
        if at > state["n_clean"]:
            state["resets"] = np.append(state["resets"], at)
            return state
        self._take(state)
        self._next_trial(state)
        return self._give(state)

    def token_ends(self, n_clean: int) -> NDArray[np.int64]:
        """Return the sample of the cleaned stream after which each token of a stream of `n_clean` samples ends."""
        edges = [0, *(r for r in self.resets if 0 < r < n_clean), n_clean]
        return np.concatenate([np.arange(a + self.hop, b + 1, self.hop) for a, b in pairwise(edges)]).astype(np.int64)

    def last_samples(self, state: State, n: int) -> NDArray[np.int64]:
        ends = state["ends"][len(state["ends"]) - n :]
        return np.asarray(np.rint(ends * (self.input.sfreq / self.chain.output.sfreq)), np.int64)

    def _take(self, state: State) -> None:
        """Put a state into the bound buffers, unless it lives there already.

        While it lives there, its arrays ARE the buffers, so a step copies nothing; another stream's state that takes
        its place first leaves it copies of its own.
        """
        if state is self._owner:
            return
        if self._owner is not None:
            self._owner["ring"]["values"] = self._ring.values.copy()
            self._owner["model"] = self.engine.state()
        np.copyto(self._ring.values, state["ring"]["values"])
        self._ring.filled, self._ring.n_valid = state["ring"]["filled"], state["ring"]["n_valid"]
        self.engine.restore(state["model"])
        self._owner = state

    def _give(self, state: State) -> State:
        state["ring"] = {"values": self._ring.values, "filled": self._ring.filled, "n_valid": self._ring.n_valid}
        state["model"] = self.engine.live
        return state


def matching(given: SignalSpec, wanted: SignalSpec) -> SignalSpec:
    """Return `given` if it is what a package expects; SignalMismatchError says what differs."""
    if given.sfreq != wanted.sfreq:
        raise SignalMismatchError(
            f"The signal has {given.sfreq:g} Hz",
            allowed=f"{wanted.sfreq:g} Hz, as the model was trained on",
            remedy="Resample it, e.g. with the signal 'resample'",
        )
    missing = [n for n in wanted.ch_names if n not in given.ch_names]
    if missing:
        raise SignalMismatchError(
            f"The signal has {given.n_chans} channels; "
            f"{len(missing)} that the model expects are missing: {channel_list(missing)}",
            allowed=channel_list(wanted.ch_names),
            remedy="Record them, or fit a model on the channels you have (signal 'pick')",
        )
    if given.ch_names != wanted.ch_names:
        raise SignalMismatchError(
            "The signal has other channels than the model, or the same in another order",
            allowed=channel_list(wanted.ch_names),
            remedy="Pick and order them with the signal 'pick'",
        )
    return given


def softmax(logits: NDArray[Any]) -> list[float]:
    """Return probabilities of logits (n_classes,); for the few classes of a decoder, floats are quicker than arrays."""
    values = logits.tolist()
    top = max(values)
    shifted = [exp(v - top) for v in values]
    total = sum(shifted)
    return [e / total for e in shifted]
