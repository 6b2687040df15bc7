"""What must hold before learning starts, and the messages where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError, SpecError, one_of
from ..core.modalities import BinnedSpec
from ..core.specs import TargetSpec
from ..models.base import ModelSpec

if TYPE_CHECKING:
    from .base import Learner, Objective
    from .gradient import Gradient


def same_family(model: ModelSpec, learner: Learner) -> None:
    """Raise SpecError where the learner cannot fit this family of models."""
    if model.family != learner.family:
        given = f"Model '{_kind(model)}' is fitted as {model.family}"
        kind = "gradient" if model.family == "network" else "estimator"
        raise SpecError(f"{given}, the learner fits {learner.family}s", remedy=f"Set learner: {{kind: {kind}}}")


def same_data(model: ModelSpec, learner: Learner, train: Any, validation: Any, signal: Any) -> None:
    """Raise SpecError where windows of a signal meet a model or objective of binned sessions, or the reverse."""
    binned = isinstance(signal, BinnedSpec)
    has = "windows of binned sessions" if binned else "windows of a signal"
    objective, sampler = getattr(learner, "objective", None), getattr(learner, "sampler", None)
    for what, spec in (("Model", model), ("Objective", objective)):
        if spec is not None and (spec.data == "binned") != binned:
            given = f"{what} '{_kind(spec)}' cannot learn from {has}"
            stage, other = ("fit", "fit_trials") if binned else ("fit_trials", "fit")
            remedy = f"Fit it with the stage '{stage}', or choose another {what.lower()} for '{other}'"
            raise SpecError(given, remedy=remedy)
    if not binned:
        return
    if sampler is not None and sampler.carries:
        raise SpecError(f"Sampler '{_kind(sampler)}' cannot walk through {has}", remedy="Set sampler: shuffled")
    if getattr(learner, "augment", None) is not None and learner.augment.active:  # type: ignore[attr-defined]
        raise SpecError(f"augment cannot change {has}", remedy="Leave augment out; fit_trials has 'jitter'")
    for windows in (train, validation):
        if windows is not None and windows.spec.sessions != signal.sessions:
            raise SpecError("The windows are of other sessions than the model is built on", allowed="the same ones")


def enough_for(learner: Gradient, n: int) -> None:
    """Raise SpecError where the smallest batch of n windows has fewer than the processes share."""
    if learner.processes == 1:
        return
    shares = learner.processes * learner.accumulate
    smallest = n // -(-n // learner.batch_size)
    if learner.balance == "none" and shares > smallest:
        given = f"processes {learner.processes} x accumulate {learner.accumulate} share batches of {smallest} windows"
        raise SpecError(given, allowed="one window or more each", remedy="Lower processes, or raise batch_size")


def known_target(objective: Objective, target: TargetSpec | None) -> None:
    """Raise SpecError where a supervised objective has no target, or one it does not understand."""
    if not objective.supervised:
        return
    kind = _kind(objective)
    if target is None:
        raise SpecError(f"Objective '{kind}' needs a target", remedy="Give the recipe classes, or use 'masked'")
    if target.task not in objective.tasks:
        raise SpecError(f"Objective '{kind}' cannot learn a {target.task} target", allowed=one_of(objective.tasks))


def streams(model: ModelSpec, network: Any, n_times: int) -> None:
    """Raise SpecError where a network's state cannot be carried from window to window of `n_times` samples."""
    kind = _kind(model)
    if not hasattr(network, "onward"):
        raise SpecError(f"Model '{kind}' has no state to carry on", remedy="Set sampler: shuffled")
    if model.context != "stream":
        given = f"Model '{kind}' begins anew at each trial (context '{model.context}'), the windows in order do not"
        raise SpecError(given, remedy="Set the model's context to 'stream', or sampler: shuffled")
    if n_times % network.hop:
        given = f"Windows have {n_times} samples, {n_times / network.hop:.2f} tokens of {network.hop}"
        raise SpecError(
            given, allowed="whole tokens", remedy="Give windows.length_s a whole number of the model's hops"
        )


def labelled_part(windows: Any, target: TargetSpec) -> Any:
    """Return the windows that have a target.

    Raises
    ------
    DataError : none has, all are of one class, or a class index is not among the target's classes.
    """
    labels = np.asarray(windows.target)
    if target.task != "classification":
        return windows
    kept = np.flatnonzero(labels >= 0)
    present = np.unique(labels[kept])
    if not len(kept):
        raise DataError(f"None of {len(windows)} training windows is labelled", remedy="Check the events and classes")
    if present[-1] >= target.n_outputs:
        raise DataError(f"A window has class index {present[-1]}", allowed=f"0 to {target.n_outputs - 1}")
    if len(present) < 2:
        raise DataError(
            f"All {len(kept)} training windows are of one class, '{target.classes[int(present[0])]}'",
            allowed=f"at least two of {one_of(target.classes)}",
            remedy="Check the split and the events",
        )
    return windows if len(kept) == len(windows) else windows.select(kept)


def _kind(spec: Any) -> str:
    return str(getattr(spec, "kind", type(spec).__name__))
