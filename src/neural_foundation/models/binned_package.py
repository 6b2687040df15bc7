"""A model of binned sessions on disk: a folder with weights and everything needed to predict with them.

    package.json        what it is: model, sessions with their channels, how it was trained
    model.safetensors   its weights or learned arrays; no code, no pickle
    card.md             for people

Sessions are matched by name, never by place: a package of ten sessions predicts windows of any of them.

Shapes: n windows of a session, T bins, C channels, K classes, b rows of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import PackageError, SignalMismatchError, did_you_mean, one_of
from ..core.kinds import of
from ..core.modalities import BinnedSpec, ModalitySpec
from ..core.specs import Spec
from ..core.store import write_bytes, write_json
from ..sampling.roles import TrialFold
from .base import ModelSpec
from .packed import CARD, FACTS, FORMAT_VERSION, as_tensors, load_weights, read_arrays, read_facts, write_arrays
from .predicted import Predicted, known_hidden
from .table import MODELS

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.binned import BinnedBatch, BinnedSet
    from .binned_estimator import BinnedEstimator

_FOREIGN = {
    "signal": ("a signal, not of binned sessions", "Open it with Package, evaluate it with 'evaluate'"),
}
FINE_TUNE = "Fine-tune on it: 'fit_trials' with the package as inputs.start"


class BinnedFacts(Spec):
    """What `package.json` holds.

    binned : the sessions it knows, their channels, bins and modalities, as it was trained on them. subjects : who they
    are of. fold : which part of them it learned from; None: all. trained : how (learner, seed), for the card.
    """

    format_version: int = FORMAT_VERSION
    model: of(MODELS, ModelSpec)  # type: ignore[valid-type]
    binned: BinnedSpec
    subjects: tuple[str, ...] = ()
    name: str = "model"
    fold: TrialFold | None = None
    trained: dict[str, Any] = Field(default_factory=dict)


class BinnedPackage:
    """An opened package of binned sessions; weights are read when first asked for."""

    def __init__(self, folder: Path, facts: BinnedFacts) -> None:
        self.folder, self.facts = folder, facts

    @classmethod
    def open(cls, folder: Path | str) -> BinnedPackage:
        """Open a package folder; PackageError says what is missing or wrong with it."""
        folder = Path(folder)
        return cls(folder, read_facts(folder, BinnedFacts, stage="'fit_trials'", foreign=_FOREIGN))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the learned arrays by name."""
        return read_arrays(self.folder)

    def weights(self) -> dict[str, Tensor]:
        """Return the learned arrays as tensors."""
        return as_tensors(self.arrays())

    def network(self) -> Any:
        """Return the network with its weights, in eval mode; PackageError where they do not fit."""
        facts = self.facts
        if facts.model.family != "network":
            raise PackageError(f"{self.folder} holds an estimator, '{_kind(facts)}'", allowed="a network")
        network = facts.model.build(facts.binned, None, subjects=len(facts.subjects))
        load_weights(network, self.folder)
        return network.eval()

    def estimator(self) -> BinnedEstimator:
        """Return the fitted estimator; PackageError where the package holds a network."""
        if self.facts.model.family != "estimator":
            raise PackageError(f"{self.folder} holds a network, '{_kind(self.facts)}'", allowed="an estimator")
        unfitted: BinnedEstimator = self.facts.model.binned_estimator(self.facts.binned)
        unfitted.load(self.arrays())
        return unfitted

    def predict(self, windows: BinnedSet, hidden: Sequence[str], *, batch: int = 32, device: str = "cpu") -> Predicted:
        """Return what the model says of modalities that it does not see, from the others.

        hidden : their names; see `predicted.hidden_for`.

        Raises
        ------
        SpecError : no such modality. SignalMismatchError : a session the package does not know, or knows with other
        units, bins or classes.
        """
        fitting(self.facts.binned, windows.spec)
        hidden = known_hidden(hidden, self.facts.binned)
        if self.facts.model.family == "estimator":
            return self.estimator().predict(windows, hidden)
        return predict(self.network().to(device), self.facts.binned, windows, hidden, batch=batch, device=device)


def predict(
    network: Any,
    known: BinnedSpec,
    windows: BinnedSet,
    hidden: Sequence[str],
    *,
    batch: int = 32,
    device: str = "cpu",
) -> Predicted:
    """Return a network's predictions of hidden modalities, in the channels' units.

    known : what the network was built on; its sessions are found there by name.
    """
    import torch

    place = [[s.name for s in known.sessions].index(s.name) for s in windows.spec.sessions]
    source = windows.source((), 0)
    made: list[dict[str, list[NDArray[np.float32]]]] = [{} for _ in windows.spec.sessions]
    order = np.argsort(windows.session, kind="stable")
    with torch.inference_mode():
        for at in range(0, len(order), batch):
            rows = source.batch(order[at : at + batch], seed=0).to(device)
            moved = replace(rows, groups=tuple(replace(g, session=place[g.session]) for g in rows.groups))
            outputs = network(moved, all_of(moved, known, hidden))
            for group, output in zip(rows.groups, outputs, strict=True):
                for name in hidden:
                    if name in output:
                        value = _in_units(network, place[group.session], known.modality(name), output[name])
                        made[group.session].setdefault(name, []).append(value.cpu().numpy())
    return Predicted(tuple({n: np.concatenate(v) for n, v in one.items()} for one in made))


def all_of(batch: BinnedBatch, spec: BinnedSpec, hidden: Sequence[str]) -> dict[str, Tensor]:
    """Return the masks (B, T), or (B, 1) of classes, that hide modalities wholly."""
    import torch

    n_bins = bins_of(batch, spec)
    device = next(iter(batch.groups[0].values.values())).device
    sizes = {name: 1 if spec.modality(name).kind == "classes" else n_bins for name in hidden}
    return {name: torch.ones(len(batch), size, dtype=torch.bool, device=device) for name, size in sizes.items()}


def bins_of(batch: BinnedBatch, spec: BinnedSpec) -> int:
    """Return how many bins a batch's windows have; 1 where it holds classes alone."""
    dynamic = set(spec.of_kind("counts", "continuous"))
    return next((int(v.shape[1]) for g in batch.groups for n, v in g.values.items() if n in dynamic), 1)


def _in_units(network: Any, session: int, modality: ModalitySpec, value: Tensor) -> Tensor:
    import torch

    value = value.float()
    if modality.kind == "counts":
        return value.exp()
    if modality.kind == "classes":
        return torch.softmax(value, -1)
    restored: Tensor = network.restore(session, modality.name, value)
    return restored


def fitting(known: BinnedSpec, given: BinnedSpec, *, new: bool = False) -> None:
    """Raise SignalMismatchError unless all sessions given are known, with the same units, bins and classes.

    new : a session may be one that is not known.
    """
    if given.bin_s != known.bin_s:
        raise SignalMismatchError(
            f"The windows have bins of {given.bin_s:g} s, the package of {known.bin_s:g} s",
            allowed=f"{known.bin_s:g} s",
            remedy="Bin the sessions as the package's were, or train on these",
        )
    if other := known.differing(given):
        theirs, ours = ({m.name: m for m in spec.modalities} for spec in (given, known))
        raise SignalMismatchError(
            f"The windows' modalities differ from the package's: {_differing(other[0], theirs, ours)}",
            allowed=one_of(ours),
            remedy="Bin the sessions as the package's were, or train on these",
        )
    names = {s.name for s in known.sessions}
    for session in given.sessions:
        if session.name in names or not new:
            _same_session(known, given, session.name)


def _same_session(known: BinnedSpec, given: BinnedSpec, name: str) -> None:
    names = [s.name for s in known.sessions]
    if name not in names:
        given_text = f"The package does not know session '{name}'.{did_you_mean(name, names)}"
        raise SignalMismatchError(given_text, allowed=_some(names), remedy=FINE_TUNE)
    here, there = [s.name for s in given.sessions].index(name), names.index(name)
    for modality in known.names:
        mine, theirs = known.channels(there, modality), given.channels(here, modality)
        if mine != theirs:
            first = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
            where = "" if first is None else f"; number {first + 1} is '{theirs[first]}', not '{mine[first]}'"
            raise SignalMismatchError(
                f"Session '{name}' has {len(theirs)} channels of '{modality}', the package knows it with "
                f"{len(mine)}{where}",
                allowed="the same units in the same order",
                remedy=f"Bin it as it was, or give the session another name. {FINE_TUNE}",
            )


def _differing(name: str, theirs: Mapping[str, ModalitySpec], ours: Mapping[str, ModalitySpec]) -> str:
    def told(m: ModalitySpec | None) -> str:
        if m is None:
            return "not there"
        return m.kind + (f" in '{m.unit}'" if m.unit else "") + (f" {', '.join(m.classes)}" if m.classes else "")

    return f"'{name}' is {told(theirs.get(name))}, the package's {told(ours.get(name))}"


def save_binned(folder: Path, facts: BinnedFacts, arrays: Mapping[str, NDArray[Any]]) -> BinnedPackage:
    """Write a package: weights, facts and card."""
    n_numbers = write_arrays(folder, arrays)
    write_json(folder / FACTS, facts.model_dump(mode="json", serialize_as_any=True))
    write_bytes(folder / CARD, binned_card(facts, n_numbers).encode())
    return BinnedPackage(folder, facts)


def binned_card(facts: BinnedFacts, n_numbers: int) -> str:
    """Return the model card: what it predicts, from what, what it was trained on, and its limits."""
    spec = facts.binned
    counts = [len(spec.channels(i, n)) for i in range(len(spec.sessions)) for n in spec.of_kind("counts")]
    rows = [
        ("Model", f"{_kind(facts)}, {n_numbers:,} learned numbers"),
        ("Modalities", ", ".join(f"{m.name} ({m.kind})" for m in spec.modalities)),
        ("Windows", f"{spec.n_bins} bins of {spec.bin_s:g} s"),
        ("Sessions", _some([s.name for s in spec.sessions])),
        ("Units", f"{sum(counts)} in all"),
        ("Trained on", f"{len(spec.sessions)} sessions of {len(facts.subjects)} subjects"),
        ("Held out", _told(facts.fold)),
        *((k.replace("_", " ").capitalize(), str(v)) for k, v in sorted(facts.trained.items())),
    ]
    lines = "\n".join(f"| {k} | {v} |" for k, v in rows)
    limits = (
        "Research use. Not a medical device. It predicts the units of the sessions named here, in this order, in bins "
        "of this length; another session needs fine-tuning first. How well it predicts differs from unit to unit and "
        "from session to session; see the report."
    )
    return f"# {facts.name}\n\n| | |\n|---|---|\n{lines}\n\n{limits}\n"


def _told(fold: TrialFold | None) -> str:
    if fold is None:
        return "nothing"
    if fold.hold_out == "trial":
        return f"{fold.test:.0%} of trials at random (neighbours in time may be in training)"
    return f"block {fold.block + 1} of {fold.folds} in time, {fold.gap_s:g} s on both sides left out"


def _some(names: Sequence[str], most: int = 8) -> str:
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    )


def _kind(facts: BinnedFacts) -> str:
    return str(getattr(facts.model, "kind", type(facts.model).__name__))
