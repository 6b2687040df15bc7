"""`PlasticityAdapter`: a stream of signal and a stream of feedback in, decisions of an adapting decoder out.

adapter = PlasticityAdapter("package/")
for decision in adapter.continuous_adaptation(neural_stream=chunks, feedback_stream=outcomes):
    ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, SignalMismatchError, did_you_mean, one_of
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State
from ..models.package import Package
from .adaptation import Adaptation, AdaptingDecoder
from .adaptation_journal import Journal
from .decision import LiveDecision
from .live_model import LiveModel
from .live_stream import LiveStream, Tokens

Neural = NDArray[Any] | Chunk
Feedback = tuple[int | float, int | str] | None


class PlasticityAdapter:
    """Adapts a model to whom it decodes, while it decodes. The package on disk stays as it is.

    Parameters
    ----------
    model : a package folder, an opened package, a `LiveModel`, or whatever has a `package`.
    settings : how it adapts; a dict is read as one. reference : the covariance to steer back to, from `snapshot()`.
    journal : file of the lineage journal; None keeps none. signal : what the stream is, the package's by default.
    bridge_s : missing samples between two chunks are stepped over up to this, as not valid; after more the
        decoder begins anew, and keeps what it learned.

    One adapter holds one stream; `state` can be saved (`core.stream.save_state`), put back, and gone on from.

    Raises
    ------
    PackageError, SignalMismatchError, StreamError : as `LiveModel` and `AdaptingDecoder` do. StoreError : another
    process writes the journal.
    """

    def __init__(
        self,
        model: Any,
        *,
        settings: Adaptation | dict[str, Any] | None = None,
        reference: NDArray[np.float64] | None = None,
        journal: Path | str | None = None,
        signal: SignalSpec | None = None,
        bridge_s: float = 1.0,
    ) -> None:
        self.model = _opened(model)
        chosen = Adaptation.model_validate(settings or {}) if not isinstance(settings, Adaptation) else settings
        self.decoder = AdaptingDecoder(self.model, signal, settings=chosen, reference=reference)
        self.classes = self.model.classes
        confidence, unsure = self.model.facts.confidence, self.model.unsure
        self.stream = LiveStream(self.decoder, confidence, bridge_s=bridge_s, unsure=unsure)
        if journal is not None:
            self.decoder.journal = Journal(journal, self.model.digest)
            self.decoder.journal.append("begin", sample=0, settings=chosen.model_dump(mode="json"))

    def continuous_adaptation(
        self,
        *,
        neural_stream: Iterable[Neural] | AsyncIterable[Neural],
        feedback_stream: Iterable[Feedback] | AsyncIterable[Feedback] | None = None,
    ) -> Adapting:
        """Return an iterator of decisions, for `for` and for `async for`.

        neural_stream : chunks (n_chans, n_times) or instants (n_chans,) in volts. feedback_stream : pairs of when (a
        raw sample as an int, or seconds as a float) and which class (its index or name), in the order they become
        known; None for "nothing new". None instead of a stream: unsupervised only.

        A plain feedback stream is asked before each chunk, until it says None or speaks of what comes after the chunk;
        an asynchronous one is read as it comes. With `for`, both streams must be plain.
        """
        return Adapting(self, neural_stream, feedback_stream)

    @property
    def state(self) -> State:
        """The decoder's state, and under `counts` how far the stream has come."""
        return {**self.stream.state, "counts": np.array(self.stream.counts, np.int64)}

    @state.setter
    def state(self, state: State) -> None:
        own = {name: value for name, value in state.items() if name != "counts"}
        self.stream.go_on(own, state["counts"].tolist())

    def step(self, values: Neural) -> list[LiveDecision]:
        """Return the decisions on the tokens that a chunk completes; StreamError for a `Chunk` of what has passed."""
        return self._decisions(self.stream.take(self._chunk(values)))

    def feedback(self, when: float, right: int | str) -> None:
        """Say which class was right at a raw sample (int) or a time in seconds (float)."""
        self.stream.feedback(self.sample(when), self._class(right))

    def reset(self) -> None:
        """Start a trial at the next sample."""
        self.stream.reset()

    def snapshot(self) -> NDArray[np.float64]:
        """Return the mean covariance of the cleaned signal so far: another day's `reference`."""
        return self.decoder.snapshot(self.stream.state)

    def flush(self) -> list[LiveDecision]:
        """Return the decisions that the look-ahead held back when the stream ended."""
        return self._decisions(self.stream.flush())

    def close(self) -> None:
        """Close the journal, if there is one."""
        if self.decoder.journal is not None:
            self.decoder.journal.close()

    def sample(self, when: float) -> int:
        """Return a raw sample from a sample (int) or seconds (float)."""
        if isinstance(when, int | np.integer):
            return int(when)
        return round(float(when) * self.decoder.input.sfreq)

    def _class(self, right: int | str) -> int:
        if not isinstance(right, str):
            return int(right)
        if right not in self.classes:
            raise DataError(
                f"Feedback of class '{right}'.{did_you_mean(right, self.classes)}", allowed=one_of(self.classes)
            )
        return self.classes.index(right)

    def _chunk(self, values: Neural) -> Chunk:
        if isinstance(values, Chunk):
            return values
        array = np.asarray(values, np.float32)
        array = array[:, None] if array.ndim == 1 else array
        n = self.decoder.input.n_chans
        if array.ndim != 2 or array.shape[0] != n:
            raise SignalMismatchError(f"A sample has shape {np.shape(values)}", allowed=f"({n},) or ({n}, n_times)")
        return Chunk.of(array, self.stream.n_samples)

    def _decisions(self, tokens: list[Tokens]) -> list[LiveDecision]:
        return [d for some in tokens for d in some.decisions(self.classes, self.decoder.input.sfreq)]


class Adapting:
    """Decisions of an adapter over two streams, for `for` or `async for`; goes through the streams once."""

    def __init__(self, adapter: PlasticityAdapter, neural: Any, feedback: Any) -> None:
        self._adapter, self._neural, self._feedback = adapter, neural, feedback
        self._next: Feedback = None

    def __iter__(self) -> Iterator[LiveDecision]:
        for stream in (self._neural, self._feedback):
            if isinstance(stream, AsyncIterable):
                raise DataError("An asynchronous stream cannot be read by 'for'", remedy="Use 'async for'")
        outcomes = iter(self._feedback or ())
        for values in self._neural:
            self._take(outcomes, values)
            yield from self._adapter.step(values)
        yield from self._adapter.flush()

    async def __aiter__(self) -> AsyncIterator[LiveDecision]:
        live = isinstance(self._feedback, AsyncIterable)
        outcomes = iter(() if live else self._feedback or ())
        listener = asyncio.create_task(self._listen(self._feedback)) if live else None
        try:
            async for values in _each(self._neural):
                self._take(outcomes, values)
                for decision in self._adapter.step(values):
                    yield decision
                await asyncio.sleep(0)  # whoever else waits, feedback first, has its turn
                if listener is not None and listener.done():
                    listener.result()
            for decision in self._adapter.flush():
                yield decision
        finally:
            if listener is not None:
                listener.cancel()

    def _take(self, outcomes: Iterator[Feedback], values: Neural) -> None:
        """Hand on the outcomes up to the end of the coming chunk."""
        chunk = self._adapter._chunk(values)
        end = chunk.start + chunk.n_times
        while True:
            if self._next is None:
                self._next = next(outcomes, None)
            if self._next is None or self._adapter.sample(self._next[0]) > end:
                return
            self._adapter.feedback(*self._next)
            self._next = None

    async def _listen(self, feedback: AsyncIterable[Feedback]) -> None:
        async for outcome in feedback:
            if outcome is not None:
                self._adapter.feedback(*outcome)


async def _each(stream: Any) -> AsyncIterator[Neural]:
    if isinstance(stream, AsyncIterable):
        async for values in stream:
            yield values
    else:
        for values in stream:
            yield values


def _opened(model: Any) -> LiveModel:
    """Return the live model of a folder, a package, or what holds one."""
    if isinstance(model, LiveModel):
        return model
    if isinstance(model, str | Path):
        return LiveModel.open(model)
    package = getattr(model, "package", model)
    if not isinstance(package, Package):
        raise DataError(
            f"A {type(model).__name__} is no model to adapt",
            allowed="a package folder, a NeuralFoundationModel, a LiveModel",
        )
    return LiveModel(package)
