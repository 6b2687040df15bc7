"""Baselines on binned sessions: each is fitted for each session by itself, from all of its windows at once.

Shapes: n windows of one session, T bins, C channels of a modality, K classes. What a session taught is a dict of
numeric arrays, so that it is saved without pickle; the state of all is one dict, its keys `session/array`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError, PackageError, SignalMismatchError, SpecError, one_of
from neural_foundation.core.modalities import BinnedSpec, told_modality
from neural_foundation.core.specs import SignalSpec, TargetSpec

from .base import Estimator, ModelSpec

if TYPE_CHECKING:
    from neural_foundation.sampling.binned import BinnedSet

    from .predicted import Predicted

Array = NDArray[Any]
INNER_SHARE = 0.2  # of the training windows, the last ones, for choosing where no validation part is given


class BinnedModel(ModelSpec):
    """Base of the descriptions of baselines on binned sessions."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    data: ClassVar[Literal["signal", "binned"]] = "binned"

    @abstractmethod
    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> BinnedEstimator:
        """Return the unfitted estimator for these sessions; a function of `seed` where it draws at random."""

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> Estimator:
        """Raise SpecError: it learns from binned sessions, not from windows of a signal."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise SpecError(
            f"Model '{self._name}' learns from binned sessions, not from windows of a signal",
            remedy="Fit it with the stage 'fit_trials'",
        )


@dataclass(frozen=True)
class Windows:
    """The windows of one session, or the part of them that a model may see.

    n : how many. values : by modality, counts float32 and continuous float32 (n, T, C), NaN where not known; classes
    int64 (n,), -1 where not known. at : (n,) how many bins of its trial lie before a window.
    """

    at: NDArray[np.int64]
    values: Mapping[str, Array]

    @property
    def n(self) -> int:
        return len(self.at)

    @property
    def aligned(self) -> bool:
        """Whether a bin of the window is the same time of every trial."""
        return bool((self.at == self.at[0]).all())

    def rows(self, which: Array) -> Windows:
        """Return the windows at some indices."""
        return Windows(self.at[which], {name: v[which] for name, v in self.values.items()})

    def join(self, names: Sequence[str]) -> Array:
        """Return modalities (n, T, C) as one, their channels one after the other."""
        return np.concatenate([self.values[n] for n in names], axis=-1)


class BinnedEstimator(ABC):
    """A model of binned sessions that fits itself, each session separately.

    A subclass gives `_fit` and `_predict`, on the windows of one session. It never sees what is hidden, and leaves out
    what it cannot predict from what is left. The checks of what comes in are here, once.
    """

    def __init__(self, spec: BinnedSpec) -> None:
        self.spec = spec
        self._learned: dict[str, dict[str, Array]] = {}

    def fit(self, train: BinnedSet, validation: BinnedSet | None = None) -> Self:
        """Learn from the training windows and return self.

        validation : what a penalty or the length of training is chosen on; not learned from, unless the model has a
        field `refit` that says so. Where a session has none, the last fifth of its training windows takes that role.

        Raises
        ------
        SignalMismatchError : a session that is not of the spec, or with other channels, bins or classes.
        DataError : a session without training windows.
        """
        parts = self._by_session(train)
        chosen_on = {} if validation is None else self._by_session(validation)
        self._learned = {}
        for index, session in enumerate(self.spec.sessions):
            mine = parts.get(index)
            if mine is None:
                raise DataError(f"Session '{session.name}' has no training windows", remedy="Check the split")
            apart = chosen_on.get(index)
            mine, apart = _last_apart(mine, session.name) if apart is None else (mine, apart)
            self._learned[session.name] = self._fit(index, mine, apart)
        return self

    def predict(self, windows: BinnedSet, hidden: Sequence[str]) -> Predicted:
        """Return what the model makes of hidden modalities, given the others.

        Aligned with the sessions of `windows`: rates of counts in events a bin (n, T, C), continuous values in the
        channels' units (n, T, C), probabilities of classes (n, K), all float32. Rows are the windows of a session in
        their order. What the model cannot predict is left out.

        Raises
        ------
        DataError : not fitted. SignalMismatchError : as in `fit`. SpecError : no modality of that name.
        """
        from .predicted import Predicted

        if not self._learned:
            raise DataError(f"{type(self).__name__} is not fitted", remedy="Call fit(...) or load(state) first")
        for name in hidden:
            self.spec.modality(name)
        parts = self._by_session(windows, without=tuple(hidden))
        made = []
        for session in windows.spec.sessions:
            index = self._index(session.name)
            seen = parts.get(index)
            made.append({} if seen is None else self._predicted(index, seen, tuple(hidden)))
        return Predicted(tuple(made))

    def state(self) -> dict[str, Array]:
        """Return copies of all learned arrays, by `session/array`: numeric, enough to predict the same elsewhere."""
        return {f"{s}/{name}": np.array(v) for s, learned in self._learned.items() for name, v in learned.items()}

    def load(self, state: Mapping[str, Array]) -> Self:
        """Take what `state()` gave and return self; PackageError where it is not of these sessions or not numeric."""
        learned: dict[str, dict[str, Array]] = {s.name: {} for s in self.spec.sessions}
        for key, value in state.items():
            session, _, name = key.rpartition("/")
            array = np.array(value)
            if session not in learned or array.dtype.kind not in "fiub":
                raise PackageError(
                    f"The state of {type(self).__name__} holds '{key}' of type {array.dtype}",
                    allowed=f"numbers of {one_of(learned)}",
                )
            learned[session][name] = array
        for index, mine in enumerate(learned.values()):
            self._check_state(index, mine)
        self._learned = learned
        return self

    @abstractmethod
    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        """Return what one session teaches, as numeric arrays; no name holds a slash."""

    @abstractmethod
    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        """Return predictions of hidden modalities from `seen`, which lacks them."""

    @abstractmethod
    def _expected(self, session: int) -> set[str]:
        """Return the names of the arrays that `_fit` gives for a session."""

    def _check_state(self, session: int, learned: Mapping[str, Array]) -> None:
        expected = self._expected(session)
        if set(learned) != expected:
            raise PackageError(
                f"The state of {type(self).__name__} for session '{self.spec.sessions[session].name}' holds "
                f"{one_of(sorted(learned)) or 'nothing'}",
                allowed=one_of(sorted(expected)) or "nothing",
            )

    def _predicted(self, index: int, seen: Windows, hidden: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        made = self._predict(index, self._learned[self.spec.sessions[index].name], seen, hidden)
        return {name: np.asarray(v, np.float32) for name, v in made.items()}

    def _index(self, name: str) -> int:
        names = [s.name for s in self.spec.sessions]
        if name not in names:
            raise SignalMismatchError(
                f"Session '{name}' is not one that this model was fitted on",
                allowed=one_of(names),
                remedy="Fit the model on it",
            )
        return names.index(name)

    def _by_session(self, windows: BinnedSet, without: tuple[str, ...] = ()) -> dict[int, Windows]:
        """Return the windows of each session that has any, by the session's index in our own spec."""
        self._check(windows.spec)
        made = {}
        for theirs in np.unique(windows.session).tolist():
            held = [n for n in windows.sessions[theirs].values if n not in without]
            values = {name: self._values(windows, theirs, name) for name in held}
            mine = windows.session == theirs
            at = windows.first[mine] - windows.sessions[theirs].first[windows.trial[mine]]
            made[self._index(windows.spec.sessions[theirs].name)] = Windows(at, values)
        return made

    def _values(self, windows: BinnedSet, session: int, name: str) -> Array:
        classes = self.spec.modality(name).kind == "classes"
        return windows.values(session, name).astype(np.int64 if classes else np.float32)

    def _check(self, other: BinnedSpec) -> None:
        same_order = other.names == self.spec.names and not self.spec.differing(other)
        for what, same in (("bin_s", False), ("n_bins", False), ("modalities", same_order)):
            given, ours = getattr(other, what), getattr(self.spec, what)
            if given != ours and not same:
                raise SignalMismatchError(f"The windows have {what} {_told(given)}", allowed=_told(ours))
        for session in other.sessions:
            ours = self.spec.sessions[self._index(session.name)]
            if session.channels != ours.channels:
                raise SignalMismatchError(
                    f"Session '{session.name}' has other channels than when the model was fitted "
                    f"({_counted(session.channels)})",
                    allowed=f"the same, in the same order ({_counted(ours.channels)})",
                )

    def _has(self, session: int, *kinds: Any) -> tuple[str, ...]:
        """Return the names of the modalities of some kinds that a session has."""
        return tuple(n for n in self.spec.of_kind(*kinds) if self.spec.channels(session, n))

    def _neural(self, session: int) -> tuple[str, ...]:
        """Return what a decoder sees of a session: its counts, and what else is neural."""
        return tuple(n for n in self.spec.of_role("neural") if self.spec.channels(session, n))

    def _moving(self, session: int) -> tuple[str, ...]:
        """Return the continuous behaviours of a session."""
        return tuple(n for n in self.spec.of_role("behaviour", "continuous") if self.spec.channels(session, n))


def _last_apart(windows: Windows, name: str) -> tuple[Windows, Windows]:
    if windows.n < 2:
        raise DataError(f"Session '{name}' has {windows.n} training window", allowed="2 or more")
    kept = min(windows.n - 1, round((1 - INNER_SHARE) * windows.n))
    return windows.rows(np.arange(kept)), windows.rows(np.arange(kept, windows.n))


def _told(value: Any) -> str:
    if not isinstance(value, tuple):
        return f"{value:g}"
    return one_of([told_modality(m) for m in value])


def _counted(channels: tuple[tuple[str, ...], ...]) -> str:
    return ", ".join(str(len(c)) for c in channels) + " by modality"
