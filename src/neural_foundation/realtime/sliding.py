"""Models that decide on a whole window, live: raw samples in, the class probabilities of the latest window out.

Shapes: chunk (n_chans, any length) raw, volts; output (n_classes, n_tokens), one column a hop. The package's own chain
comes first; a ring holds the last window of what it gives. A decision belongs to the END of its window: the first one
falls on the last sample of the first full window, the next ones every hop after it. The model is asked for each
window alone, so a decision is that of an evaluation on the same window.

A window of which too little was valid (`as_trained`), or on which the model cannot decide (an electrode gone flat),
says nothing: every class is given the same probability, and the column is not valid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, SpecError, StreamError
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State
from ..export.ensemble_package import EnsemblePackage, JoinedPredict
from ..models.package import WINDOW_GRAPH, Package
from ..signals.chain import chain
from .decoder import NONE, LiveDecoder, due, matching

if TYPE_CHECKING:
    from ..sampling.windows import Windows

HOPS_A_WINDOW = 10
Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]
Said = tuple[NDArray[np.float64], NDArray[np.float64]]  # of a window: the decision (K,), and what members say (M, K)


class SlidingDecoder(LiveDecoder):
    """Decode a live stream with a model of windows.

    Parameters
    ----------
    package : a package with a task, or an ensemble of such; no step graph is needed, the graph of windows is taken
        where there is one.
    signal : what the stream is; must have the package's rate and channels (other orders are a mismatch).
    hop_s : seconds from one decision to the next, rounded to samples; None: as the windows of its training lay, or a
        tenth of a window where a trial had one window.
    resets_s : seconds from the first sample at which a window starts anew (onset of a trial): the next decision is at
        the end of the first full window after it. `reset()` does the same from the next sample on.
    predict : what `predictor` gave for the package, to share its weights with other decoders.

    `decision_s` is how many seconds one decision took here. `mix` is that of `StreamDecoder`.

    Raises
    ------
    SignalMismatchError : another rate or other channels. StreamError : nothing to decode, or a chain that cannot run
    live. SpecError : a hop of less than a sample.
    """

    def __init__(
        self,
        package: Package,
        signal: SignalSpec | None = None,
        *,
        hop_s: float | None = None,
        resets_s: Sequence[float] = (),
        predict: Predict | None = None,
    ) -> None:
        facts = package.facts
        if facts.target is None:
            raise StreamError(
                f"Package '{facts.name}' decodes nothing: it was only pre-trained",
                remedy="Give the package of an adapted model",
            )
        self.input = matching(signal or facts.raw, facts.raw)
        self.chain = chain(facts.chain, self.input, live=True)
        sfreq = self.chain.output.sfreq
        self.window = round(facts.windows.length_s * sfreq)
        self.hop = _hop(hop_s, facts.windows.hop_s, facts.windows.length_s, sfreq)
        self.classes = facts.target.classes
        self.output = SignalSpec(sfreq=sfreq / self.hop, ch_names=self.classes)
        self.lookahead_s = self.chain.lookahead_s
        self.past_s = facts.windows.past_s
        self.resets = sorted({round(t * sfreq) for t in resets_s})
        self.mix: NDArray[np.float64] | None = None
        self._windows = facts.windows
        self._ring = WindowRing(self.chain.output.n_chans, self.window, self.hop)
        self._predict = predict or predictor(package)
        self._warm_up()

    def _warm_up(self) -> None:
        """Decide twice on noise, so that nothing is read or compiled for the first time while live."""
        noise = np.random.default_rng(0).standard_normal((1, self.chain.output.n_chans, self.window), np.float32)
        self._predict(noise)
        began = time.perf_counter()
        self._predict(noise)
        self.decision_s = time.perf_counter() - began
        self.step(Chunk.of(np.zeros((self.input.n_chans, self.hop), np.float32)), self.start())

    def start(self) -> State:
        counts = {"n_out": 0, "n_clean": 0, "n_raw": 0, "ends": NONE, "resets": NONE}
        members = {"members": self._nothing()[None, :0]} if isinstance(self._predict, JoinedPredict) else {}
        return {"chain": self.chain.start(), "ring": self._ring.start(), **counts, **members}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return the probabilities of the windows that `chunk` completes, (n_classes, n_tokens)."""
        clean, state["chain"] = self.chain.step(chunk, state["chain"])
        state["n_raw"] += chunk.n_times
        return self._tokens(clean, state), state

    def flush(self, state: State) -> Chunk:
        """Return the decisions that the chain's look-ahead still held back when the stream ended."""
        return self._tokens(self.chain.flush(state["chain"]), state)

    def reset(self, state: State, at: int | None = None) -> State:
        """Return a state whose window starts at the next raw sample; the chain goes on."""
        at = round(state["n_raw"] * self.chain.output.sfreq / self.input.sfreq) if at is None else at
        if at > state["n_clean"]:
            state["resets"] = np.append(state["resets"], at)
        else:
            state["ring"]["n"] = 0
        return state

    def last_samples(self, state: State, n: int) -> NDArray[np.int64]:
        """Return the raw sample after which each of the last `n` decisions of the latest step fell."""
        ends = state["ends"][len(state["ends"]) - n :]
        return np.asarray(np.rint(ends * (self.input.sfreq / self.chain.output.sfreq)), np.int64)

    def last_members(self, state: State, n: int) -> NDArray[np.float64] | None:
        each: NDArray[np.float64] | None = state.get("members")
        return None if each is None else each[len(each) - n :]

    def token_ends(self, n_clean: int) -> NDArray[np.int64]:
        """Return the sample of the cleaned stream after which each decision on `n_clean` samples falls."""
        edges = [0, *(r for r in self.resets if 0 < r < n_clean), n_clean]
        return np.concatenate([np.arange(a + self.window, b + 1, self.hop) for a, b in pairwise(edges)]).astype(
            np.int64
        )

    def _tokens(self, clean: Chunk, state: State) -> Chunk:
        columns, valid, ends, members = [], [], [], []
        for end, said in self._decisions(clean, state):
            probability, each = (self._nothing()[0], self._nothing()) if said is None else said
            ends.append(end)
            valid.append(said is not None)
            columns.append(probability)
            members.append(each)
        if "members" in state:
            state["members"] = np.array(members).reshape(len(members), *self._nothing().shape)
        first = state["n_out"]
        state["n_out"] = first + len(columns)
        state["n_clean"] += clean.n_times
        state["ends"] = np.array(ends, np.int64)
        values = np.array(columns).T if columns else np.zeros((len(self.classes), 0))
        return Chunk(values, np.array(valid, np.bool_), first)

    def _nothing(self) -> NDArray[np.float64]:
        """Return what members (at least one) say of a window that says nothing, (M, K)."""
        m = self._predict.n_members if isinstance(self._predict, JoinedPredict) else 1
        return np.full((m, len(self.classes)), 1 / len(self.classes))

    def _decisions(self, clean: Chunk, state: State) -> Iterator[tuple[int, Said | None]]:
        """Yield where each window that ends in the chunk ends, and its decision; None where it says nothing."""
        at, n = state["n_clean"], clean.n_times
        values = clean.values if self.mix is None else (self.mix @ clean.values).astype(np.float32)
        starts = [m - at for m in due(self.resets, state, at + n) if at <= m]
        for end, window, valid in self._ring.windows(values, clean.valid, state["ring"], starts):
            yield at + end, self._decide(window, valid)

    def _decide(self, window: NDArray[np.float32], valid: NDArray[np.bool_]) -> Said | None:
        trusted = as_trained(window, valid, self._windows, self.chain.output.sfreq)
        if trusted is None:
            return None
        window = trusted
        try:
            if isinstance(self._predict, JoinedPredict):
                each = self._predict.each(window[None])
                return self._predict.package.joined(each)[0], each[0]
            made = np.asarray(self._predict(window[None]), np.float64)
            return made[0], made
        except DataError:
            return None


class WindowRing:
    """The last `window` samples of a stream, and when they are to be looked at: at the end of the first full window,
    and every `hop` after it. What changes is in the ring state that `start` makes."""

    def __init__(self, n_chans: int, window: int, hop: int) -> None:
        self.n_chans, self.window, self.hop = n_chans, window, hop

    def start(self) -> State:
        """Return an empty ring. n : samples since the start or the last reset; put it to 0 to begin a new window."""
        values = np.zeros((self.n_chans, self.window), np.float32)
        return {"values": values, "valid": np.zeros(self.window, np.bool_), "n": 0}

    def windows(
        self, values: NDArray[Any], valid: NDArray[np.bool_], ring: State, starts: Sequence[int] = ()
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each window that ends in new samples (n_chans, n): where it ends, its values and its validity.

        starts : samples, counted as the new ones are, at which a window begins anew.
        """
        for i, (a, b) in enumerate(pairwise([0, *starts, values.shape[1]])):
            if i > 0:
                ring["n"] = 0
            while a < b:
                take = min(b - a, self._until(ring["n"]))
                self._push(ring, values[:, a : a + take], valid[a : a + take])
                a += take
                if self._due(ring["n"]):
                    first = ring["n"] % self.window
                    yield a, np.roll(ring["values"], -first, 1), np.roll(ring["valid"], -first)

    def _until(self, n: int) -> int:
        """Return how many samples, at least one, are missing to the next window where `n` are in."""
        return self.window - n if n < self.window else self.hop - (n - self.window) % self.hop

    def _due(self, n: int) -> bool:
        return n >= self.window and (n - self.window) % self.hop == 0

    def _push(self, ring: State, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Put at most a hop, or what is missing to a first window, over the oldest samples."""
        at, kept = ring["n"] + max(values.shape[1] - self.window, 0), min(values.shape[1], self.window)
        place = (at + np.arange(kept)) % self.window
        ring["values"][:, place] = values[:, -kept:]
        ring["valid"][place] = valid[-kept:]
        ring["n"] += values.shape[1]


def as_trained(
    window: NDArray[np.float32], valid: NDArray[np.bool_], windows: Windows, sfreq: float
) -> NDArray[np.float32] | None:
    """Return a window (n_chans, n) as a model of such `windows` takes it; None where too little of it is valid.

    Where training took windows with samples that are not valid, the same rule holds, and these are zero; else more
    than half must be valid.
    """
    if windows.least_valid == 1:
        return window if enough(valid) else None
    return np.where(valid, window, np.float32(0)) if windows.trusts(valid, windows.in_trial(sfreq)) else None


def enough(valid: NDArray[np.bool_]) -> bool:
    """Return whether more than half of a window can be trusted, where training says nothing of such windows."""
    return 2 * int(np.count_nonzero(valid)) > len(valid)


def _hop(given_s: float | None, trained_s: float | None, window_s: float, sfreq: float) -> int:
    hop_s = given_s if given_s is not None else trained_s or window_s / HOPS_A_WINDOW
    if round(hop_s * sfreq) < 1:
        raise SpecError(f"hop_s is {hop_s:g}", allowed=f"{1 / sfreq:g} s (one sample) or more")
    return round(hop_s * sfreq)


def predictor(package: Package, device: str = "cpu") -> Predict:
    """Return what gives the probabilities (n, n_classes) of windows (n, n_chans, n_times), the weights read once.

    A network that was exported as a graph of windows runs as that, on one thread and without torch, or on a GPU. What
    has no graph runs on the CPU. Of an ensemble, a JoinedPredict.
    """
    if isinstance(package, EnsemblePackage):
        return JoinedPredict(package, partial(predictor, device=device))
    if package.facts.model.family == "estimator":
        return package.estimator().predict_proba
    if (package.folder / WINDOW_GRAPH).is_file():
        return _of_graph(package, device)
    import torch

    network = package.network()

    def predict(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.inference_mode():
            logits = network(torch.from_numpy(windows)).logits
            assert logits is not None
            last = logits[:, -1] if logits.ndim == 3 else logits
            return np.asarray(torch.softmax(last.double(), -1).numpy())

    return predict


def _of_graph(package: Package, device: str) -> Predict:
    from .engine import open_graph

    session = open_graph(package.folder / WINDOW_GRAPH, device=device)

    def predict(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        (probability,) = session.run(["probability"], {"signal": windows})
        return np.asarray(probability, np.float64)

    return predict
