"""`fit`: the one door to learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.modalities import BinnedSpec
from ..core.progress import Progress, silent
from ..core.specs import SignalSpec, TargetSpec
from ..models.base import ModelSpec
from .base import Fitted, Learner, Task
from .checks import same_data, same_family

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.binned import BinnedSet
    from ..sampling.windows import WindowSet

__all__ = ["Fitted", "fit"]


def fit(
    model: ModelSpec,
    learner: Learner,
    train: WindowSet | BinnedSet,
    validation: WindowSet | BinnedSet | None = None,
    *,
    signal: SignalSpec | BinnedSpec,
    target: TargetSpec | None,
    subjects: Sequence[str],
    folder: Path,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> Fitted:
    """Fit a model to windows.

    Parameters
    ----------
    train, validation : windows to learn from, and to choose the best epoch by (may be absent).
    signal, target : what the data is and what is decoded (None for pre-training, and for binned sessions).
    subjects : the training subjects in the order of the network's subject index, which counts from 1.
    folder : where `checkpoints/` lies. A call with the same arguments goes on from there and ends in the same bytes
        as one that was never cut off; remove it with `discard_checkpoints` once the result is saved.
    start : weights of a pre-trained network; front end and backbone are taken, head and subject tables are new. Of
        binned sessions, all that is of a session is taken by its name, and new where it is not known.
    device : cpu, cuda or cuda:n. progress : called with (done, total, text), at most once a step.

    Raises
    ------
    SpecError, DataError, PackageError, StoreError : see the learner. KeyboardInterrupt : after Ctrl-C, with the
    checkpoint of the last finished step on disk.
    """
    same_family(model, learner)
    same_data(model, learner, train, validation, signal)
    task = Task(
        model=model,
        train=train,
        validation=validation if validation is not None and len(validation) else None,
        signal=signal,
        target=target,
        subjects=tuple(map(str, subjects)),
        folder=Path(folder),
        seed=seed,
        start=start,
        device=device,
        progress=progress,
    )
    return learner.fit(task)


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a fit whose result is saved."""
    from ..core.store import remove

    remove(Path(folder) / "checkpoints")
