"""Binned sessions live, one session of a package: spike counts (and LFP) in, behaviour and probabilities out.

Shapes: C units (and channels of LFP), n bins of a chunk, K outputs, T bins of a window, W bins a causal model sees.

All behaviour is hidden, as in an evaluation of decoding. Outputs are channels named `modality/channel`, in the
modality's unit, and `modality/class`, a probability. Both forms are transducers (see core.stream): a stream may be cut
anywhere, and its state saved and moved.

- A causal model gives one column a bin, at once, from the W bins up to it.
- Any other sees a window whole. Windows slide as in `sliding`: the first output comes with the first full window, the
  next ones every `hop` bins. An output is about one bin of its window, its `place`: 'last' has no look-ahead, 'middle'
  has half a window of it. A model with `bin_embedding` knows which bin of a trial it is at: for that one, `reset` at a
  trial's onset, so that windows lie as they did in training.

A bin that is not valid, and a unit's count that is not finite, is not known: the unit is taken to be at its mean in
training. The column of a bin of which half or more of the units are not known is not valid; a window needs more than
half of its bins, or gives a column of zeros that is not valid.

The graph that 'export_trials' wrote is run by ONNX Runtime on one thread; without it, torch runs the network.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..core.errors import PackageError, SpecError, StreamError
from ..core.kinds import spec_error
from ..core.store import read_json
from ..core.stream import Chunk, State, Transducer
from ..export.binned_facts import (
    COUNTS,
    EXPORT,
    PREDICTIONS,
    BinnedExport,
    Place,
    chosen_session,
    decoded,
    hop_of,
    input_spec,
    output_spec,
    place_in,
)
from ..models.binned_package import BinnedPackage
from .decoder import NONE
from .engine import StepEngine
from .sliding import WindowRing, enough

Floats = NDArray[np.float32]


class Engine(Protocol):
    """What runs a step: fill `signal` (n, C), call `step()`, read the outputs (n, K) before the next call."""

    signal: Floats

    def step(self) -> Floats: ...
    def state(self) -> dict[str, NDArray[Any]]: ...
    def restore(self, state: dict[str, NDArray[Any]]) -> None: ...
    @property
    def live(self) -> dict[str, NDArray[Any]]: ...


class BinnedEngine(StepEngine):
    """Runs the graph of `export.binned_graph`, of a step or of a window, on bound buffers."""

    given: ClassVar[str] = COUNTS
    made: ClassVar[str] = PREDICTIONS

    def step(self) -> Floats:
        super().step()
        return self.rows


class TorchEngine:
    """Runs the network of an opened package in torch, on the CPU."""

    def __init__(self, package: BinnedPackage, session: int) -> None:
        import torch

        from ..export.binned_graph import StepDecoding, WindowDecoding

        network: Any = package.network()
        self._torch = torch
        self._step: Any = (StepDecoding if network.spec.causal else WindowDecoding)(network, session)
        self._names: list[str] = self._step.names
        self._state = self._step.start()
        bins = 1 if network.spec.causal else network.signal.n_bins
        self.signal: Floats = np.zeros((bins, sum(self._step.sizes)), np.float32)

    def step(self) -> Floats:
        with self._torch.inference_mode():
            given = self._torch.from_numpy(self.signal[None])
            if not self._names:
                window: Floats = self._step(given)[0].numpy()
                return window
            made, *self._state = self._step(given, self._state)
            rows: Floats = made[0].numpy()
            return rows

    def state(self) -> dict[str, NDArray[Any]]:
        return {n: a.copy() for n, a in self.live.items()}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        self._state = [self._torch.from_numpy(np.array(state[n])) for n in self._names]

    @property
    def live(self) -> dict[str, NDArray[Any]]:
        return {n: t.numpy() for n, t in zip(self._names, self._state, strict=True)}


class BinnedDecoder(Transducer):
    """Decodes a live stream of counts of one session; `open` returns one.

    `input` : as `signals.spikes.counts_spec` says it, and so what `SpikeBinner.output` is where it counts the units
    `input.ch_names` in bins of the package. `parts` : the rows of the output that each modality has. `hop` : bins from
    one column to the next. A decoder is used from one thread at a time; states of several streams may take turns.
    """

    def __init__(self, package: BinnedPackage, session: int, engine: Engine, *, hop: int = 1) -> None:
        binned = package.facts.binned
        self.package, self.session = package, binned.sessions[session].name
        self.input, self.output = input_spec(binned, session), output_spec(binned, session, hop)
        self.hop, self.engine = hop, engine
        self._n_units = sum(len(binned.channels(session, n)) for n in binned.of_kind("counts"))
        self.parts: dict[str, slice] = {}
        at = 0
        for name in decoded(binned, session):
            n = len(binned.modality(name).classes) or len(binned.channels(session, name))
            self.parts[name], at = slice(at, at + n), at + n
        engine.step()  # so that nothing is allocated or compiled for the first time while live
        engine.restore({n: np.zeros_like(a) for n, a in engine.state().items()})

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        session: str | None = None,
        graph: bool | None = None,
        place: Place | None = None,
        hop: int | None = None,
    ) -> BinnedDecoder:
        """Open a package folder.

        Parameters
        ----------
        session : whose units are heard; None: the exported one, or the only one.
        graph : whether ONNX Runtime runs the exported graph, or torch the network; None: the graph where there is one
            of that session.
        place, hop : of a model that sees windows whole; None: as exported, else 'last' and a tenth of a window.

        Raises
        ------
        PackageError : no package, of another model, or without the graph that was asked for. SpecError : no such
        session, or nothing to decode in it; `place` or `hop` of a causal model.
        """
        package = BinnedPackage.open(folder)
        binned, model = package.facts.binned, package.facts.model
        check_decodes(package)
        export = export_of(package.folder)
        number = chosen_session(binned, session or (export.session if export else None))
        same = export is not None and export.session == binned.sessions[number].name
        if graph and not same:
            given = f"{package.folder} holds no graph of session '{binned.sessions[number].name}'"
            raise PackageError(given, remedy="Run the stage 'export_trials' for it, or leave 'graph' out")
        use = same if graph is None else graph
        engine: Engine
        if use and export is not None:
            engine = BinnedEngine(package.folder / export.graph)
        else:
            engine = TorchEngine(package, number)
        if model.causal:
            if place is not None or hop is not None:
                raise SpecError("A causal model decodes each bin as it comes", remedy="Leave out 'place' and 'hop'")
            return StepDecoder(package, number, engine)
        place = place or (export.place if export else "last")
        hop = export.hop if hop is None and export else hop
        return WindowDecoder(package, number, engine, place=place, hop=hop_of(binned.n_bins, hop))

    @abstractmethod
    def reset(self, state: State) -> State:
        """Return a state for which a trial begins with the next bin: nothing before it is heard any more."""

    @abstractmethod
    def last_bins(self, state: State, n: int) -> NDArray[np.int64]:
        """Return which bin, counted from the stream's first, each of the last n columns of the latest step is about."""

    def _heard(self, chunk: Chunk) -> tuple[Floats, NDArray[np.bool_]]:
        """Return counts (C, n), NaN where not known, and which bins are known of more than half of the units."""
        if chunk.values.shape[0] != self.input.n_chans:
            raise StreamError(
                f"A chunk has {chunk.values.shape[0]} channels",
                allowed=f"{self.input.n_chans}, those of session '{self.session}'",
                remedy="Give the units (and LFP) in input.ch_names, in that order",
            )
        known = np.isfinite(chunk.values) & chunk.valid
        if bool(np.any(chunk.values[: self._n_units][known[: self._n_units]] < 0)):
            raise StreamError("A count is below 0", remedy="Send events a bin, neither smoothed nor standardised")
        counts = np.where(known, chunk.values, np.float32(np.nan)).astype(np.float32, copy=False)
        return counts, 2 * np.count_nonzero(known[: self._n_units], axis=0) > self._n_units


class StepDecoder(BinnedDecoder):
    """Of a causal model. State: `model`, what the network keeps of the past, and `n_out`, bins so far."""

    _owner: State | None = None

    def start(self) -> State:
        return {"model": {n: np.zeros_like(a) for n, a in self.engine.state().items()}, "n_out": 0}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return what is decoded in each bin of counts (C, n): (K, n) float32."""
        counts, valid = self._heard(chunk)
        self._take(state)
        out = np.empty((self.output.n_chans, counts.shape[1]), np.float32)
        for i in range(counts.shape[1]):
            self.engine.signal[0] = counts[:, i]
            out[:, i] = self.engine.step()[0]
        first = state["n_out"]
        state["model"], state["n_out"] = self.engine.live, first + counts.shape[1]
        return Chunk(out, valid, first), state

    def reset(self, state: State) -> State:
        state["model"] = {n: np.zeros_like(a) for n, a in state["model"].items()}
        if state is self._owner:
            self._owner = None
        return state

    def last_bins(self, state: State, n: int) -> NDArray[np.int64]:
        return np.arange(state["n_out"] - n, state["n_out"], dtype=np.int64)

    def _take(self, state: State) -> None:
        """Put a state into the engine, unless it lives there; another that does is left copies of its own."""
        if state is self._owner:
            return
        if self._owner is not None:
            self._owner["model"] = self.engine.state()
        self.engine.restore(state["model"])
        self._owner = state


class WindowDecoder(BinnedDecoder):
    """Of a model that sees windows whole. State: the last window's `ring`, bins `n_in`, columns `n_out` and `bins`."""

    def __init__(self, package: BinnedPackage, session: int, engine: Engine, *, place: Place, hop: int) -> None:
        super().__init__(package, session, engine, hop=hop)
        self.window = package.facts.binned.n_bins
        self.place = place_in(self.window, place)
        self.lookahead_s = (self.window - 1 - self.place) * package.facts.binned.bin_s
        self._ring = WindowRing(self.input.n_chans, self.window, hop)

    def start(self) -> State:
        return {"ring": self._ring.start(), "n_in": 0, "n_out": 0, "bins": NONE}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return what is decoded at the place of each window that ends in counts (C, n): (K, m) float32."""
        counts, valid = self._heard(chunk)
        columns, said, bins = [], [], []
        for end, window, known in self._ring.windows(counts, valid, state["ring"]):
            said.append(enough(known))
            columns.append(self._decide(window) if said[-1] else np.zeros(self.output.n_chans, np.float32))
            bins.append(state["n_in"] + end - self.window + self.place)
        first = state["n_out"]
        state["n_in"], state["n_out"] = state["n_in"] + counts.shape[1], first + len(columns)
        state["bins"] = np.array(bins, np.int64)
        values = np.stack(columns, 1) if columns else np.zeros((self.output.n_chans, 0), np.float32)
        return Chunk(values, np.array(said, np.bool_), first), state

    def reset(self, state: State) -> State:
        state["ring"]["n"] = 0
        return state

    def last_bins(self, state: State, n: int) -> NDArray[np.int64]:
        bins: NDArray[np.int64] = state["bins"][len(state["bins"]) - n :]
        return bins

    def _decide(self, window: Floats) -> Floats:
        np.copyto(self.engine.signal, window.T)
        column: Floats = self.engine.step()[self.place].copy()
        return column


def check_decodes(package: BinnedPackage) -> None:
    """Raise PackageError unless a package holds a model that decodes live."""
    kind = str(getattr(package.facts.model, "kind", ""))
    if kind != "neds":
        raise PackageError(
            f"{package.folder} holds a '{kind}', which does not decode live",
            allowed="a 'neds'",
            remedy="Give the package of such a model; this one is evaluated with 'evaluate_trials'",
        )


def export_of(folder: Path) -> BinnedExport | None:
    """Return what was exported with a package; None where nothing was. PackageError where it cannot be read."""
    if not (folder / EXPORT).is_file():
        return None
    try:
        export = BinnedExport.model_validate(read_json(folder / EXPORT))
    except ValidationError as error:
        raise PackageError(str(spec_error(str(folder / EXPORT), error, BinnedExport))) from None
    if not (folder / export.graph).is_file():
        raise PackageError(f"{folder} holds no {export.graph}", remedy="Run the stage 'export_trials' again")
    return export
