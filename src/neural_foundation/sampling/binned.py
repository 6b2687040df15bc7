"""Binned sessions on disk, windows of them, and batches.

Shapes: n windows, B windows of a batch, T bins of a window, C channels of a modality in one session. Values in the
channels' units; counts are events a bin. A value of a continuous modality that is not known is NaN, a class -1.

A session's time axis is that of its trials, one after the other: a trial's bins begin at its onset, so that they lie
on no common grid. A recording without trials is one long trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, SignalMismatchError, StoreError, one_of
from ..core.modalities import BinnedSessionSpec, BinnedSpec, ModalitySpec, told_modality
from ..core.seeds import generator
from ..core.store import atomic, read_json, write_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Indices = NDArray[np.int64]
FACTS = "binned.json"
TRIALS = ("first", "length", "start_s")  # arrays of the trials beside those of the modalities
FORMAT_VERSION = 1
_TYPES = {"counts": np.uint16, "continuous": np.float32, "classes": np.int16}


@dataclass(frozen=True, eq=False)
class BinnedSession:
    """One session, binned; its arrays may lie on disk.

    values : by modality, counts uint16 and continuous float32 (n_bins_in_all, C), classes int16 (n_trials,); a
    modality that the session lacks is absent. first, length : (n_trials,) a trial's first bin and how many it has.
    start_s : (n_trials,) float64, when the trial's first bin begins on the recording's clock.
    """

    spec: BinnedSessionSpec
    bin_s: float
    modalities: tuple[ModalitySpec, ...]
    values: Mapping[str, NDArray[Any]]
    first: Indices
    length: Indices
    start_s: NDArray[np.float64]

    @property
    def n_trials(self) -> int:
        return len(self.first)

    def write(self, folder: Path, facts: Mapping[str, Any] | None = None) -> None:
        """Write arrays and facts; `facts` are further ones for people (what was left out, and why)."""
        head = {
            "format_version": FORMAT_VERSION,
            "bin_s": self.bin_s,
            "modalities": [m.model_dump(mode="json") for m in self.modalities],
            "session": self.spec.model_dump(mode="json"),
            "facts": dict(facts or {}),
        }
        arrays = {name: np.asarray(v, _TYPES[self._kind(name)]) for name, v in self.values.items()}
        for name, array in {**arrays, "first": self.first, "length": self.length, "start_s": self.start_s}.items():
            with atomic(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        write_json(folder / FACTS, head)

    @classmethod
    def read(cls, folder: Path) -> BinnedSession:
        """Return what `write` wrote, its arrays mapped; StoreError where something is missing or of another version."""
        head = read_json(folder / FACTS)
        if head.get("format_version") != FORMAT_VERSION:
            given = f"{folder / FACTS} has format_version {head.get('format_version')}"
            raise StoreError(given, allowed=str(FORMAT_VERSION), remedy="Run the recipe's 'bin' stage again")
        spec = BinnedSessionSpec.model_validate(head["session"])
        modalities = tuple(ModalitySpec.model_validate(m) for m in head["modalities"])
        there = [m.name for m, channels in zip(modalities, spec.channels, strict=True) if channels]
        arrays = {name: _mapped(folder / f"{name}.npy") for name in (*there, *TRIALS)}
        first, length, start_s = (np.array(arrays.pop(name)) for name in TRIALS)
        return cls(spec, float(head["bin_s"]), modalities, arrays, first, length, start_s)

    def _kind(self, name: str) -> str:
        return next(m.kind for m in self.modalities if m.name == name)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error})", remedy="Run the recipe's 'bin' stage again") from None
    return array


def spec_of(sessions: Sequence[BinnedSession], n_bins: int) -> BinnedSpec:
    """Return the facts of sessions that are used together; SignalMismatchError where bins or modalities differ."""
    if not sessions:
        raise DataError("There are no binned sessions", remedy="Check the 'bin' stage")
    head, units = sessions[0], _units(sessions)
    for other in sessions:
        if (other.bin_s, _kinds(other)) != (head.bin_s, _kinds(head)):
            given = f"Session '{other.spec.name}' has bins of {other.bin_s:g} s and {_told(other)}"
            allowed = f"{head.bin_s:g} s and {_told(head)}, as session '{head.spec.name}'"
            raise SignalMismatchError(given, allowed=allowed, remedy="Bin all of them in the same way")
    modalities = tuple(m.model_copy(update={"unit": units.get(m.name, "")}) for m in head.modalities)
    return BinnedSpec(bin_s=head.bin_s, n_bins=n_bins, modalities=modalities, sessions=tuple(s.spec for s in sessions))


def _kinds(session: BinnedSession) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(m.name, m.kind, m.role, m.classes) for m in session.modalities]


def _units(sessions: Sequence[BinnedSession]) -> dict[str, str]:
    """Return the unit of each modality; SignalMismatchError where two sessions that have it differ."""
    units: dict[str, str] = {}
    for session in sessions:
        for modality in session.modalities:
            if modality.name in session.values and units.setdefault(modality.name, modality.unit) != modality.unit:
                given = f"'{modality.name}' is in '{modality.unit}' in session '{session.spec.name}'"
                raise SignalMismatchError(
                    given, allowed=f"'{units[modality.name]}', as before", remedy="Convert one of them"
                )
    return units


def _told(session: BinnedSession) -> str:
    return one_of([told_modality(m) for m in session.modalities])


@dataclass(frozen=True, eq=False)
class Spans:
    """Stretches of bins that windows may be cut from, (n,) each: session by index, trial, first bin, number of bins."""

    session: Indices
    trial: Indices
    first: Indices
    length: Indices

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def join(cls, parts: Sequence[Spans]) -> Spans:
        """Return several spans as one."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("session", "trial", "first", "length")))


@dataclass(frozen=True, eq=False)
class BinnedSet:
    """Addresses of n windows of `spec.n_bins` bins, in the role of `WindowSet` for whatever learns from sessions.

    session : (n,) index into `sessions`. trial : (n,) number of the trial in its session. first : (n,) first bin in
    the session. slack : (n,) how many bins later the window may begin when it is drawn for training.
    """

    spec: BinnedSpec
    sessions: tuple[BinnedSession, ...]
    session: Indices
    trial: Indices
    first: Indices
    slack: Indices

    @classmethod
    def cut(
        cls,
        sessions: Sequence[BinnedSession],
        spans: Spans,
        n_bins: int,
        hop: int | None = None,
        *,
        jitter: bool = False,
        role: str = "",
    ) -> BinnedSet:
        """Return the windows of `n_bins` that fit into spans, every `hop` bins (n_bins where it is not given).

        The last window of a span ends where the span ends. jitter : when drawn for training, a window may begin up to
        a hop later, as far as its span goes. role : of the spans in a split, for messages. DataError where no span is
        as long as a window.
        """
        rows = [
            (s, t, at, min((hop or n_bins) - 1, last - at) if jitter else 0)
            for s, t, first, length in zip(spans.session, spans.trial, spans.first, spans.length, strict=True)
            for last in (first + length - n_bins,)
            for at in _begins(int(first), int(last), hop or n_bins)
        ]
        if not rows:
            raise _too_long(sessions, spans, n_bins, role)
        columns = np.asarray(rows, np.int64).T
        return cls(spec_of(sessions, n_bins), tuple(sessions), *columns)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def subject(self) -> NDArray[np.str_]:
        """Who each window is of, (n,)."""
        return np.asarray([s.subject for s in self.spec.sessions])[self.session]

    @property
    def target(self) -> Indices:
        """(n,) -1: a window has no single class."""
        return np.full(len(self), -1, np.int64)

    def select(self, which: NDArray[np.bool_] | Indices | Sequence[int]) -> BinnedSet:
        """Return the windows at some indices, or where a mask is True."""
        which = np.asarray(which)
        return replace(self, **{n: getattr(self, n)[which] for n in ("session", "trial", "first", "slack")})

    def values(self, session: int, name: str, items: Indices | None = None, shift: Indices | int = 0) -> NDArray[Any]:
        """Return a modality of windows of one session: (n, T, C), or (n,) of classes.

        items : which windows, all of them of that session; all of that session in their order where it is not given.
        shift : bins later, each.
        """
        items = np.flatnonzero(self.session == session) if items is None else np.asarray(items)
        held = self.sessions[session].values[name]
        if self.spec.modality(name).kind == "classes":
            return np.asarray(held)[self.trial[items]]
        at = self.first[items] + shift
        return np.asarray(held[at[:, None] + np.arange(self.spec.n_bins)])

    def source(self, subjects: Sequence[str], memory_bytes: int) -> BinnedSource:
        """Return what reads batches; arrays that fit into `memory_bytes` are kept in memory."""
        return BinnedSource(self, memory_bytes=memory_bytes)


def _too_long(sessions: Sequence[BinnedSession], spans: Spans, n_bins: int, role: str) -> DataError:
    """Return the error of windows that fit nowhere: where the longest stretch is, and how long."""
    part = f" of role '{role}'" if role else ""
    if not len(spans):
        return DataError(f"No window of {n_bins} bins fits: there is no stretch{part}", remedy="Check the split")
    at = int(np.argmax(spans.length))
    session, longest = sessions[int(spans.session[at])], int(spans.length[at])
    given = f"No window of {n_bins} bins ({n_bins * session.bin_s:g} s) fits: the longest stretch{part}"
    given += f", in session '{session.spec.name}', has {longest} ({longest * session.bin_s:g} s)"
    return DataError(given, remedy=f"Set n_bins to {longest} or less, or split into longer stretches")


def _begins(first: int, last: int, hop: int) -> list[int]:
    if last < first:
        return []
    begins = list(range(first, last + 1, hop))
    return begins if begins[-1] == last else [*begins, last]


@dataclass(frozen=True)
class Group:
    """The windows of a batch that are of one session; they are rows `first_row` and on.

    values : by modality, those that the session has: counts and continuous float32 (b, T, C), classes int64 (b,).
    first : (b,) the first bin of each in the session.
    """

    session: int
    first_row: int
    values: Mapping[str, Tensor]
    first: Indices

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def to(self, device: torch.device | str) -> Group:
        """Return the group on a device."""
        return replace(self, values={n: v.to(device, non_blocking=True) for n, v in self.values.items()})


@dataclass(frozen=True)
class BinnedBatch:
    """What one step sees: groups in the order of their sessions. items : (B,) which windows, in the order of the rows.

    (seed, epoch, step, item) decide every random choice; validation has step -1.
    """

    groups: tuple[Group, ...]
    items: Indices
    seed: int
    epoch: int = 0
    step: int = -1
    begin: None = None
    arrays: ClassVar[tuple[str, ...]] = ("items",)

    def __len__(self) -> int:
        return len(self.items)

    def draws(self, purpose: str) -> list[np.random.Generator]:
        """Return one generator a window, a function of (seed, purpose, epoch, step, item)."""
        return [generator(self.seed, purpose, self.epoch, self.step, int(item)) for item in self.items]

    def to(self, device: torch.device | str) -> BinnedBatch:
        """Return the batch on a device."""
        return replace(self, groups=tuple(g.to(device) for g in self.groups))


class BinnedSource:
    """Reads batches of a `BinnedSet`."""

    def __init__(self, windows: BinnedSet, *, memory_bytes: int = 2**31) -> None:
        size = sum(v.nbytes for s in windows.sessions for v in s.values.values())
        if size <= memory_bytes:
            sessions = [replace(s, values={n: np.array(v) for n, v in s.values.items()}) for s in windows.sessions]
            windows = replace(windows, sessions=tuple(sessions))
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def first(self, n: int) -> Indices:
        """Return the first n windows' indices, fewer where there are fewer."""
        return np.arange(min(n, len(self)))

    def batch(
        self, items: Indices, *, seed: int, epoch: int = 0, step: int = -1, population: bool = False
    ) -> BinnedBatch:
        """Return a batch on the CPU; in a training step (0 and on) windows begin later by up to their slack."""
        windows = self.windows
        items = np.asarray(items, np.int64)[np.argsort(windows.session[items], kind="stable")]
        shift = np.zeros(len(items), np.int64)
        if step >= 0 and windows.slack[items].any():
            room = windows.slack[items] + 1
            shift = np.asarray(
                [generator(seed, "jitter", epoch, step, int(i)).integers(r) for i, r in zip(items, room, strict=True)]
            )
        groups, row = [], 0
        for session in np.unique(windows.session[items]).tolist():
            mine = windows.session[items] == session
            values = self._values(session, items[mine], shift[mine])
            groups.append(Group(session, row, values, windows.first[items[mine]] + shift[mine]))
            row += int(mine.sum())
        return BinnedBatch(tuple(groups), items, seed, epoch, step)

    def _values(self, session: int, items: Indices, shift: Indices) -> dict[str, Tensor]:
        import torch

        types = {"counts": np.float32, "continuous": np.float32, "classes": np.int64}
        made = {}
        for name in self.windows.sessions[session].values:
            values = self.windows.values(session, name, items, shift)
            wanted = types[self.windows.spec.modality(name).kind]
            made[name] = torch.from_numpy(np.ascontiguousarray(values, wanted)).clone()
        return made
