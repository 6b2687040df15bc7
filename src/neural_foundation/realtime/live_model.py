"""A package that is ready to decode many streams: opened once, its weights held once, a decoder for each stream."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import StreamError
from ..core.specs import SignalSpec
from ..core.stream import Chunk
from ..models.package import FACTS, GRAPH, WEIGHTS, Package
from .decoder import LiveDecoder, StreamDecoder, matching
from .engine import open_graph

MEGABYTE = 1 << 20


class LiveModel:
    """An opened package and what its decoders share.

    `step_s` : seconds that one token takes here. `digest` : SHA-256 of facts, weights and graph, hex: a saved state
    goes on only under the digest it was saved with.

    Raises
    ------
    PackageError : no package, or one that was not exported. StreamError : it decodes nothing, or cannot run live.
    """

    def __init__(self, package: Package) -> None:
        if package.facts.target is None:
            raise StreamError(
                f"Package '{package.facts.name}' decodes nothing: it was only pre-trained",
                remedy="Give the package of an adapted model",
            )
        self.package, self.facts = package, package.facts
        self.task = self.facts.task or self.facts.name
        self.classes = package.facts.target.classes
        self.whole_windows = self.facts.model.family == "estimator"
        self.digest = digest(package.folder)
        self._graph = None if self.whole_windows else open_graph(package.graph)
        first = self.decoder()
        self.hop_s, self.lookahead_s = 1 / first.output.sfreq, first.lookahead_s
        self.step_s = _step_s(first, self.hop_s)

    @classmethod
    def open(cls, folder: Path | str, *, device: str = "auto") -> LiveModel:
        """Open a package folder; `device` is 'auto', 'cpu' or 'cuda:n'."""
        return cls(Package.open(folder))

    def decoder(self, signal: SignalSpec | None = None, *, adapt: bool = False) -> LiveDecoder:
        """Return a decoder of raw samples, its output (n_classes, n_tokens) probabilities; one for each stream.

        The stream has the package's rate and channels, in its order; SignalMismatchError says what differs. Where they
        lie and of what type they are is the package's to say.
        """
        signal = matching(signal or self.facts.raw, self.facts.raw) and self.facts.raw
        if self.whole_windows:
            from .sliding import SlidingDecoder

            return SlidingDecoder(self.package, signal)
        return StreamDecoder(self.package, signal, session=self._graph)


def _step_s(decoder: LiveDecoder, hop_s: float) -> float:
    """Return the seconds of one decision, the quickest of three."""
    rate, hop = decoder.input.sfreq, max(1, round(hop_s * decoder.input.sfreq))
    first = max(hop, round(getattr(decoder, "window", 0) / decoder.hop * hop))  # of a whole window, where one is needed
    took, state, at = [], decoder.start(), 0
    for n in (first, hop, hop, hop):
        chunk = Chunk.of(np.random.default_rng(at).standard_normal((decoder.input.n_chans, n), np.float32) / rate, at)
        began = time.perf_counter()
        _, state = decoder.step(chunk, state)
        took.append(time.perf_counter() - began)
        at += n
    return min(took[1:])


def digest(folder: Path) -> str:
    """Return the SHA-256 of what decides what a package decodes, hex."""
    total: Any = hashlib.sha256()
    for name in (FACTS, WEIGHTS, GRAPH):
        if (folder / name).is_file():
            total.update(name.encode())
            with (folder / name).open("rb") as file:
                while part := file.read(MEGABYTE):
                    total.update(part)
    return str(total.hexdigest())
