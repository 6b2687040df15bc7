"""A package: a trained model with all that belongs to it, as plain data.

    package.json        what it is: model, the chain before it, signals before and after the chain, target, windows
    model.safetensors   its weights or learned arrays; no code, no pickle
    step.onnx           the exported step graph, once exported
    window.onnx         instead of it, the graph of a network that decides on whole windows
    reference.safetensors  the training people's mean covariance, where there is one
    card.md             for people

The chain travels with the weights, so that a model cannot be fed raw data by mistake; a package from a stranger can
name kinds of the tables, nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ..core.errors import PackageError
from ..core.kinds import of, spec_error
from ..core.specs import SignalSpec, Spec, TargetSpec
from ..core.store import atomic, write_bytes, write_json
from ..sampling.windows import Windows
from ..signals.base import SignalOp
from ..signals.table import SIGNALS
from .base import Estimator, ModelSpec
from .confidence import Confidence
from .packed import CARD, FACTS, FORMAT_VERSION, WEIGHTS, load_weights, read_arrays, read_facts, write_arrays
from .reference import REFERENCE
from .table import MODELS

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.windows import WindowSet
    from .network import Network, State

GRAPH = "step.onnx"
WINDOW_GRAPH = "window.onnx"
_FOREIGN = {
    "binned": (
        "binned sessions, not of a signal",
        "Open it with BinnedPackage, evaluate it with 'evaluate_trials'",
    ),
    "ensemble": ("several models, an ensemble", "Open it with EnsemblePackage, or serve it"),
}


class Facts(Spec):
    """What `package.json` holds.

    raw : the signal before the chain. signal : after it, as the model sees it. subjects : those it was trained on,
    in the order of its subject table. task : the name a decoder is asked for by. trained : how (learner, seed, scores),
    for the card. confidence : calibrated on people held out, where a `calibrate` stage did so. span_s : where its
    windows are a part of those that were prepared, which part, in seconds after the onset.
    """

    format_version: int = FORMAT_VERSION
    model: of(MODELS, ModelSpec)  # type: ignore[valid-type]
    chain: tuple[of(SIGNALS, SignalOp), ...] = ()  # type: ignore[valid-type]
    raw: SignalSpec
    signal: SignalSpec
    target: TargetSpec | None = None
    windows: Windows
    subjects: tuple[str, ...] = ()
    name: str = "model"
    task: str = ""
    trained: dict[str, Any] = Field(default_factory=dict)
    confidence: Confidence | None = None
    span_s: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _confidence_fits(self) -> Facts:
        if self.confidence is not None:
            classes = self.target.classes if self.target is not None else ()
            given = len(self.confidence.thresholds)
            if not classes or given not in (1, len(classes)):
                raise ValueError(f"the confidence has {given} thresholds for {len(classes)} classes")
        return self

    def dumped(self) -> dict[str, Any]:
        """Return the JSON value of `package.json`; fields that are not set are left out, as before there were any."""
        unset = {name for name in ("confidence", "span_s") if getattr(self, name) is None}
        return self.model_dump(mode="json", serialize_as_any=True, exclude=unset)


class Package:
    """An opened package; weights are read when first asked for."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.folder, self.facts = folder, facts

    @classmethod
    def open(cls, folder: Path | str) -> Package:
        """Open a package folder; PackageError says what is missing or wrong with it."""
        folder = Path(folder)
        return cls(folder, read_facts(folder, Facts, stage="'fit' or 'export'", foreign=_FOREIGN))

    @property
    def whole_windows(self) -> bool:
        """Whether the model decides on a whole window at once: an estimator, or a network of the law 'window'."""
        model = self.facts.model
        return model.family == "estimator" or (model.kind in MODELS.rows and MODELS.row(model.kind).law == "window")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the learned arrays by name."""
        return read_arrays(self.folder)

    def network(self) -> Network:
        """Return the network with its weights, ready to decode; PackageError where they do not fit."""
        facts = self.facts
        network: Network = facts.model.build(facts.signal, facts.target, subjects=len(facts.subjects))
        load_weights(network, self.folder)
        return network.eval()

    def estimator(self) -> Estimator:
        """Return the fitted estimator."""
        if self.facts.target is None:
            raise PackageError(f"{self.folder} has no target")
        unfitted: Estimator = self.facts.model.estimator(self.facts.signal, self.facts.target)
        return unfitted.load(self.arrays())

    def predict_proba(self, signal: NDArray[np.float32], *, batch: int = 64) -> NDArray[np.float64]:
        """Return probabilities (n, n_classes) for windows (n, n_chans, n_times) that went through the chain.

        Each window is taken alone, as a person's first; `decide` knows what came before.
        """
        if self.facts.model.family == "estimator":
            return self.estimator().predict_proba(signal)
        import torch

        return self._decide(self.network(), lambda items: torch.from_numpy(signal[items]), len(signal), {}, batch)[:, 0]

    def decide(self, windows: WindowSet, *, batch: int = 64) -> NDArray[np.float64]:
        """Return probabilities (n, n_classes) for windows, each after what its recording held before it.

        Where the model learned from a part of such windows, it is given that part.
        batch : windows that are in memory at once.
        """
        windows = self.seen_of(windows)
        if self.facts.model.family == "estimator":
            estimator, n = self.estimator(), len(windows)
            parts = [np.arange(at, min(at + batch, n)) for at in range(0, max(n, 1), batch)]
            return np.concatenate([estimator.predict_proba(windows.load(items)) for items in parts])
        return self._decide_on(self.network(), windows, batch)[:, 0]

    def decide_along(self, windows: WindowSet, *, batch: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what a network would say live as each window goes on: probabilities (n, n_tokens, n_classes), and the
        seconds from the window's start to the end of each token, (n_tokens,). The last token is what `decide` gives.
        """
        if self.whole_windows:
            raise PackageError(f"{self.folder} decides on whole windows", allowed="a network that streams")
        network, windows = self.network(), self.seen_of(windows)
        made = self._decide_on(network, windows, batch, first=0)
        return made, (1 + np.arange(made.shape[1])) * network.hop / self.facts.signal.sfreq

    def seen_of(self, windows: WindowSet) -> WindowSet:
        """Return the part of windows that the model sees: all, unless it learned from a part of them."""
        return windows.within(self.facts.windows) if self.facts.span_s else windows

    def _decide_on(self, network: Network, windows: WindowSet, batch: int, first: int = -1) -> NDArray[np.float64]:
        import torch

        from .people import people

        def load(items: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(windows.load(items))

        begin = people(network, load, windows.file, windows.start, windows.n_times)
        return self._decide(network, load, len(windows), begin, batch, first)

    def _decide(
        self,
        network: Network,
        load: Callable[[NDArray[np.int64]], Tensor],
        n: int,
        begin: State,
        batch: int,
        first: int = -1,
    ) -> NDArray[np.float64]:
        """Return probabilities (n, n_tokens, n_classes) from token `first` on; of the last one by default."""
        import torch

        from .people import rows

        out = []
        with torch.inference_mode():
            for at in range(0, n, batch):
                items = np.arange(at, min(at + batch, n))
                logits = network(load(items), begin=rows(begin, items)).logits
                assert logits is not None
                out.append(torch.softmax(logits[:, first:].double(), -1).numpy())
        return np.concatenate(out)

    @property
    def graph(self) -> Path:
        """The exported step graph; PackageError where the package was not exported."""
        if not (self.folder / GRAPH).is_file():
            raise PackageError(f"{self.folder} holds no {GRAPH}", remedy="Run the recipe's 'export' stage")
        return self.folder / GRAPH


def save(folder: Path, facts: Facts, arrays: Mapping[str, NDArray[Any]]) -> Package:
    """Write a package: weights, facts and card."""
    _describe(folder, facts, write_arrays(folder, arrays))
    return Package(folder, facts)


def with_confidence(package: Package, folder: Path, confidence: Confidence, *, name: str = "") -> Package:
    """Write the package into `folder` once more with a confidence: weights and step graph byte for byte the same.

    name : another name for it; SpecError where the confidence has a threshold for other classes.
    """
    changes = {"confidence": confidence, **({"name": name} if name else {})}
    try:
        facts = Facts.model_validate({**{n: getattr(package.facts, n) for n in Facts.model_fields}, **changes})
    except ValidationError as error:
        raise spec_error("confidence", error, Facts) from None
    for file in (WEIGHTS, GRAPH, WINDOW_GRAPH, REFERENCE):
        if (package.folder / file).is_file():
            with atomic(folder / file) as temporary:
                shutil.copyfile(package.folder / file, temporary)
    _describe(folder, facts, sum(a.size for a in package.arrays().values()))
    return Package(folder, facts)


def _describe(folder: Path, facts: Facts, n_numbers: int) -> None:
    write_json(folder / FACTS, facts.dumped())
    write_bytes(folder / CARD, card(facts, n_numbers).encode())


def card(facts: Facts, n_numbers: int) -> str:
    """Return the model card."""
    target = (
        "no task yet (pre-trained)" if facts.target is None else " / ".join(facts.target.classes or facts.target.names)
    )
    rows = [
        ("Decodes", target),
        ("Model", f"{facts.model.kind}, {n_numbers:,} learned numbers, context: {facts.model.context}"),
        ("Expects", f"{facts.raw.n_chans} channels at {facts.raw.sfreq:g} Hz, raw; the chain is part of the package"),
        ("Chain", " -> ".join(op.kind for op in facts.chain) or "none"),
        ("Window", f"{facts.windows.length_s:g} s from {facts.windows.start_s:g} s after onset"),
        ("Trained on", f"{len(facts.subjects)} subjects"),
        *([] if facts.confidence is None else [("Confidence", _confidence(facts.confidence))]),
        *((k.replace("_", " ").capitalize(), str(v)) for k, v in sorted(facts.trained.items())),
    ]
    lines = "\n".join(f"| {k} | {v} |" for k, v in rows)
    limits = (
        "Research use. Not a medical device. "
        "Accuracy on people outside the training set differs from person to person; see the report."
    )
    return f"# {facts.name}\n\n| | |\n|---|---|\n{lines}\n\n{limits}\n"


def _confidence(c: Confidence) -> str:
    silent = {
        "set": "silent unless exactly one class is left",
        "risk": f"silent under {c.least:.2f}",
        "never": "never silent",
    }
    return (
        f"temperature {c.temperature:.2f}; sets of classes ({c.score}) meant to hold the true one in "
        f"{1 - c.alpha:.0%} of {'windows' if c.unit == 'window' else 'people'}; {silent[c.abstain]}; "
        f"{f'{len(c.earlier)} moments before the end of a window each on its own; ' if c.earlier else ''}"
        f"calibrated on {c.people} people ({c.windows} windows) it did not learn from"
    )


def channel_list(names: Sequence[str]) -> str:
    """Return channel names for a message, the middle left out where there are many."""
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:6])}, ... {', '.join(names[-3:])}"
