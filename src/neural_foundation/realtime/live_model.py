"""A package that is ready to decode many streams: opened once, its weights held once, a decoder for each stream."""

from __future__ import annotations

import hashlib
import time
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.device import check_name, resolve
from ..core.errors import SpecError, StreamError
from ..core.specs import SignalSpec
from ..core.stream import Chunk
from ..export.ensemble_package import ENSEMBLE, EnsemblePackage, Predict, open_package
from ..models.package import GRAPH, WINDOW_GRAPH, Package
from ..models.packed import FACTS, WEIGHTS
from ..models.reference import REFERENCE
from .decoder import LiveDecoder, StreamDecoder, matching
from .engine import open_graph, providers

MEGABYTE = 1 << 20
GPU_FROM = 20_000_000  # learned numbers above which 'auto' takes a GPU: 80 MB to read a token, 8 ms at 10 GB/s


class LiveModel:
    """An opened package and what its decoders share.

    `device` : where it decodes, 'cpu' or 'cuda:n'. `step_s` : seconds that one token takes there. `digest` : SHA-256 of
    facts, weights, graph and reference, hex: a saved state goes on only under the digest it was saved with, on any
    device. `members` : the names of an ensemble's; () for one model. `unsure` : of an ensemble, from what members said
    to how unsure they are together, for `LiveStream`; None for one model.

    Raises
    ------
    PackageError : no package, or, for the CPU, one that was not exported. StreamError : it decodes nothing, or cannot
    run live. SpecError : a device that is not there, or that the model cannot use.
    """

    def __init__(
        self, package: Package, *, device: str = "cpu", dtype: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        if package.facts.target is None:
            raise StreamError(
                f"Package '{package.facts.name}' decodes nothing: it was only pre-trained",
                remedy="Give the package of an adapted model",
            )
        self.package, self.facts = package, package.facts
        self.task = self.facts.task or self.facts.name
        self.classes = package.facts.target.classes
        self.members = package.facts.ensemble if isinstance(package, EnsemblePackage) else ()
        self.unsure = package.unsure if isinstance(package, EnsemblePackage) else None
        self.whole_windows = package.whole_windows
        self.digest = digest(package.folder)
        self.device = chosen(package, device)
        self._graph = None if self.whole_windows else _session(package, self.device, dtype)
        self._predict: Any = None  # what the decoders of whole windows share
        first = self.decoder()
        self.hop_s, self.lookahead_s, self.past_s = 1 / first.output.sfreq, first.lookahead_s, first.past_s
        self.step_s = _step_s(first, self.hop_s)

    @classmethod
    def open(
        cls, folder: Path | str, *, device: str = "auto", dtype: Literal["float32", "bfloat16"] = "float32"
    ) -> LiveModel:
        """Open the folder of a package, or of an ensemble of packages.

        device : 'cpu', 'cuda', 'cuda:n', or 'auto': a GPU where there is one and the model has more than
            `GPU_FROM` learned numbers, else the CPU. dtype : of most weights on a GPU; the CPU's are float32.
        """
        return cls(open_package(folder), device=device, dtype=dtype)

    @property
    def predict(self) -> Predict:
        """What gives the probabilities (n, K) of cleaned windows (n, C, T), for all decoders; of whole windows alone.

        StreamError of a model that goes along a stream.
        """
        if self._predict is None:
            raise StreamError(f"'{self.task}' goes along a stream", allowed="a model that decides on whole windows")
        made: Predict = self._predict
        return made

    def decoder(self, signal: SignalSpec | None = None) -> LiveDecoder:
        """Return a decoder of raw samples, its output (n_classes, n_tokens) probabilities; one for each stream.

        The stream has the package's rate and channels, in its order; SignalMismatchError says what differs. Where they
        lie and of what type they are is the package's to say.
        """
        signal = matching(signal or self.facts.raw, self.facts.raw) and self.facts.raw
        if self.whole_windows:
            from .sliding import SlidingDecoder, predictor

            self._predict = self._predict or predictor(self.package, self.device)
            return SlidingDecoder(self.package, signal, predict=self._predict)
        return StreamDecoder(self.package, signal, session=self._graph)


def chosen(package: Package, device: str) -> str:
    """Return the device that a model decodes on, 'cpu' or 'cuda:n'; SpecError where what was asked for cannot be had.

    torch is not imported unless a GPU may be used.
    """
    check_name(device)
    if device == "auto":
        return resolve("auto") if not package.whole_windows and learned_numbers(package) > GPU_FROM else "cpu"
    if device == "cpu" or not package.whole_windows:
        return resolve(device)
    if not _window_graphs(package):
        raise SpecError(f"Device '{device}': {package.facts.model.kind} runs on the CPU", allowed="'auto' or 'cpu'")
    providers(device)
    return f"cuda:{int(device.partition(':')[2] or 0)}"


def _window_graphs(package: Package) -> bool:
    members = package.members if isinstance(package, EnsemblePackage) else [[package]]
    return any((p.folder / WINDOW_GRAPH).is_file() for packages in members for p in packages)


def learned_numbers(package: Package) -> int:
    """Return how many numbers a package's weights hold; only the file's header is read."""
    from safetensors import safe_open

    with safe_open(package.folder / WEIGHTS, "numpy") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no dict


def _session(package: Package, device: str, dtype: Literal["float32", "bfloat16"]) -> Any:
    """Return what the engines of all decoders share: an opened graph, or a step recorded on the device."""
    if device == "cpu":
        return open_graph(package.graph)
    from .graph_engine import record_step

    return record_step(package, device, dtype)


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
    for name in (FACTS, WEIGHTS, GRAPH, WINDOW_GRAPH, REFERENCE, ENSEMBLE):  # the last holds its members' digests
        if (folder / name).is_file():
            total.update(name.encode())
            with (folder / name).open("rb") as file:
                while part := file.read(MEGABYTE):
                    total.update(part)
    return str(total.hexdigest())
