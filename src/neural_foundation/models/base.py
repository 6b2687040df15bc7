"""What every model is: a frozen spec that, given what only the data knows, makes a network or an estimator.

Shapes: signal (n, n_chans, n_times) in volts; target (n,) class indices; probability (n, n_classes).

The two families differ in who fits them. A network is a torch module that `learning` trains by gradients; it streams
and is exported. An estimator fits itself, once, from arrays; what it learned is a flat dict of numeric numpy arrays,
so that it is saved without pickle and predicts the same bytes wherever these arrays are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from neural_foundation.core.errors import DataError, PackageError, SignalMismatchError, SpecError, one_of
from neural_foundation.core.specs import SignalSpec, Spec, TargetSpec

if TYPE_CHECKING:
    from torch import nn

    from neural_foundation.core.modalities import BinnedSpec

    from .binned_estimator import BinnedEstimator

Array = NDArray[Any]
ABSENT = 1e-3  # probability of a class that no training window had, where an estimator goes on without it


class ModelSpec(Spec):
    """Base of every model's description.

    `family` says which of the two makers a subclass gives: `build` (network) or `estimator` (estimator).
    `data` says what it is made for: windows of a `signal`, or windows of `binned` sessions, whose `build` is given a
    BinnedSpec for the signal, and whose estimator comes from `binned_estimator`.
    `context` says what state a decision may rest on, in training, evaluation and live alike: `trial` starts at a
    trial's onset, `stream` is carried from the start of the recording. An estimator sees one window: `trial`.
    """

    family: ClassVar[Literal["network", "estimator"]]
    data: ClassVar[Literal["signal", "binned"]] = "signal"
    context: Literal["trial", "stream"] = Field("trial", description="where the state of a decision starts")

    @model_validator(mode="after")
    def _estimators_see_windows(self) -> Self:
        if self.family == "estimator" and self.context == "stream":
            raise ValueError("an estimator decides on one window; leave context at 'trial'")
        return self

    def build(self, signal: Any, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0) -> nn.Module:
        """Return the untrained network, its weights a function of `seed`; SpecError unless `family` is network.

        signal : a SignalSpec, or a BinnedSpec where `data` is binned.
        """
        raise SpecError(
            f"Model '{self._name}' is an estimator and has no network to build",
            remedy="Fit it with learner: {kind: estimator}",
        )

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> Estimator:
        """Return the unfitted estimator; SpecError unless `family` is estimator."""
        raise SpecError(
            f"Model '{self._name}' is a network and cannot fit itself",
            remedy="Fit it with learner: {kind: gradient}",
        )

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> BinnedEstimator:
        """Return the unfitted estimator for binned sessions; SpecError unless the model is a baseline for those."""
        raise SpecError(
            f"Model '{self._name}' is no estimator for binned sessions",
            remedy="Choose one that is, such as 'ridge' or 'poisson_glm'",
        )

    @property
    def _name(self) -> str:
        return str(getattr(self, "kind", type(self).__name__))


class Estimator(ABC):
    """A classifier bound to one signal and one target, that fits itself from arrays.

    Subclasses give `_fit`, `_probability` and set `_learned`, all that `fit` learned, as numeric arrays.
    The checks of what comes in are here, once.

    takes_votes : it learns from the votes of several experts on each window, where there are any.
    fills_absent : without votes too it takes training windows that lack a class; that class is given `ABSENT`.
    reads : how many windows `fit_from` reads at once; 0: all. For those that keep less than a window (`_reduced`).
    seed : of what is drawn while fitting; a learner gives that of the run.
    """

    takes_votes: ClassVar[bool] = False
    fills_absent: ClassVar[bool] = False
    reads: ClassVar[int] = 0
    seed: int = 0

    def __init__(self, signal: SignalSpec, target: TargetSpec) -> None:
        if target.task != "classification" or target.n_outputs < 2:
            raise SpecError(
                f"{type(self).__name__} cannot decode a {target.task} target with {target.n_outputs} output(s)",
                allowed="classification with two or more classes",
            )
        self.signal, self.target = signal, target
        self._learned: dict[str, Array] = {}

    @property
    def n_classes(self) -> int:
        return self.target.n_outputs

    def fit(self, signal: Array, target: Array, subject: Array, votes: Array | None = None) -> Estimator:
        """Learn from windows and return self.

        Parameters
        ----------
        signal : (n, n_chans, n_times) volts. target : (n,) class indices. subject : (n,) pseudonyms, which group
            the windows for inner cross-validation and for recentering. votes : (n, n_classes) how many experts chose
            each class, in place of `target`; for estimators that take votes. A window without votes counts for
            nothing; a class without votes is given the probability `ABSENT`.

        Raises
        ------
        SignalMismatchError : other channels than the estimator was made for.
        DataError : no windows, lengths that differ, values that are not finite, classes without a window, votes that
            are negative, all zero, or for an estimator that takes none.
        """
        return self._learn(self._reduced(self._checked(signal)), target, subject, votes)

    def fit_from(
        self, load: Callable[[NDArray[np.int64]], Array], target: Array, subject: Array, votes: Array | None = None
    ) -> Estimator:
        """Learn from windows that `load(indices)` reads, and return self; as `fit` of all of them.

        Where `reads` is set, only so many are in memory at once.
        """
        n, size = len(target), self.reads or max(1, len(target))
        starts = range(0, max(1, n), size)
        parts = [self._reduced(self._checked(load(np.arange(at, min(at + size, n))))) for at in starts]
        return self._learn(parts[0] if len(parts) == 1 else np.concatenate(parts), target, subject, votes)

    def _learn(self, signal: Array, target: Array, subject: Array, votes: Array | None) -> Estimator:
        target, subject = np.asarray(target), np.asarray(subject)
        if not len(signal) == len(target) == len(subject):
            raise DataError(f"{len(signal)} windows, {len(target)} targets and {len(subject)} subjects do not match")
        if votes is not None:
            self._fit_votes(signal, self._checked_votes(votes, len(signal)), subject.astype(str))
            return self
        missing = [name for i, name in enumerate(self.target.classes) if not np.any(target == i)]
        if missing and not self.fills_absent:
            raise DataError(
                f"No training window has class {one_of(missing)}",
                remedy="Choose folds or classes so that each class is in the training part",
            )
        self._fit(signal, target.astype(np.int64), subject.astype(str))
        return self

    def _checked_votes(self, votes: Array, n: int) -> NDArray[np.float64]:
        votes = np.asarray(votes, np.float64)
        if not self.takes_votes:
            raise DataError(f"{type(self).__name__} does not learn from votes", remedy="Leave the votes out")
        if votes.shape != (n, self.n_classes):
            given = f"Votes have shape {votes.shape} for {n} windows of {self.n_classes} classes"
            raise DataError(given, allowed=f"({n}, {self.n_classes}), counts in the order of the classes")
        if not np.isfinite(votes).all() or (votes < 0).any():
            raise DataError("Votes hold numbers that are negative or not finite", allowed="counts, 0 or more")
        if not votes.any():
            raise DataError("No training window has a vote", remedy="Check the dataset's table of votes")
        return votes

    def predict_proba(self, signal: Array) -> NDArray[np.float64]:
        """Return the probability (n, n_classes) of each class for windows (n, n_chans, n_times)."""
        if not self._learned:
            raise DataError(f"{type(self).__name__} is not fitted", remedy="Call fit(...) or load(state) first")
        return self._probability(self._checked(signal))

    def state(self) -> dict[str, Array]:
        """Return copies of all learned arrays: numeric, no objects, enough to predict the same elsewhere."""
        return {name: np.array(value) for name, value in self._learned.items()}

    def load(self, state: Mapping[str, Array]) -> Estimator:
        """Take what `state()` gave and return self; PackageError where arrays are missing or unknown."""
        expected = set(self._expected())
        if set(state) != expected:
            raise PackageError(
                f"The state of {type(self).__name__} holds {one_of(sorted(state))}", allowed=one_of(sorted(expected))
            )
        self._learned = {name: np.array(value) for name, value in state.items()}
        return self

    def _reduced(self, signal: Array) -> Array:
        """Return what of checked windows fitting needs, (n, ...): that is what `_fit` is given as `signal`."""
        return signal

    @abstractmethod
    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        """Set `_learned` from checked arrays."""

    def _fit_votes(self, signal: Array, votes: Array, subject: Array) -> None:
        """Set `_learned` from checked arrays and votes (n, n_classes), not all zero; for those that take votes."""
        raise NotImplementedError

    @abstractmethod
    def _probability(self, signal: Array) -> NDArray[np.float64]:
        """Return probabilities for checked windows from `_learned` alone."""

    @abstractmethod
    def _expected(self) -> tuple[str, ...]:
        """Return the names of the arrays in `_learned`."""

    def _checked(self, signal: Array) -> Array:
        signal = np.asarray(signal)
        if signal.ndim != 3 or signal.shape[1] != self.signal.n_chans:
            raise SignalMismatchError(
                f"Windows have shape {signal.shape}", allowed=f"(n, {self.signal.n_chans}, n_times), one row a channel"
            )
        if len(signal) == 0 or signal.shape[2] == 0:
            raise DataError(f"No samples: windows have shape {signal.shape}")
        if not np.isfinite(signal).all():
            raise DataError(
                "Windows hold values that are not finite", remedy="Leave out windows marked invalid before fitting"
            )
        return signal
