"""Windows cut from prepared (already cleaned, continuous) recordings.

Shapes: n windows, C channels, T samples. A window is read when asked for; only its address is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ..core.errors import DataError, SignalMismatchError, SpecError, one_of
from ..core.specs import SignalSpec, Spec
from ..core.store import load_arrays
from ..recordings import Session, Signal, read

if TYPE_CHECKING:
    from .batches import Source

Indices = NDArray[np.int64]
Labels = NDArray[np.str_]
_TOLERANCE_S = 1e-6
BLOCK = 1 << 20  # samples whose validity is looked at together


class Windows(Spec):
    """How windows lie in a trial: the first `start_s` after its onset, then every `hop_s` while they fit.

    A window around a trial begins before it (`start_s` below 0) and ends after it (`past_s`).
    """

    start_s: float = 0.0
    length_s: float = Field(4.0, gt=0)
    hop_s: float | None = Field(None, gt=0, description="one window a trial when absent")
    past_s: float = Field(0.0, ge=0, description="a window may end so much later than its trial")
    least_valid: float = Field(
        1.0, gt=0, le=1, description="share of a window's samples that must be valid; below 1 the others are zero"
    )
    trial_valid: float | None = Field(
        None, gt=0, le=1, description="share that must be valid of those samples of a window that lie in its trial"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later fields at their defaults: files are as they were before there were these."""
        fields, later = type(self).model_fields, ("past_s", "least_valid", "trial_valid")
        return {n: v for n, v in dump(self).items() if n not in later or getattr(self, n) != fields[n].default}

    @property
    def end_s(self) -> float:
        """Seconds after a trial's onset at which its first window ends."""
        return self.start_s + self.length_s

    def starts(self, onset_s: float, end_s: float) -> list[float]:
        """Return the start of each window of a trial, in seconds; none where the first does not fit."""
        first = onset_s + self.start_s
        room = end_s + self.past_s - first - self.length_s + _TOLERANCE_S
        if room < 0:
            return []
        return [first] if self.hop_s is None else [first + k * self.hop_s for k in range(int(room / self.hop_s) + 1)]

    def trusts(self, valid: NDArray[np.bool_], own: slice) -> bool:
        """Return whether enough samples (n,) of a window are valid, and of those of its trial, which `own` says."""
        enough = _valid_enough(valid, self.least_valid)
        return enough and (self.trial_valid is None or _valid_enough(valid[own], self.trial_valid))

    def in_trial(self, sfreq: float) -> slice:
        """Return the samples of a window that lie in its trial, however short a trial may be."""
        first, last = max(0.0, -self.start_s), max(0.0, self.length_s - self.past_s)
        return slice(round(first * sfreq), round(last * sfreq))

    def spanning(self, start_s: float, end_s: float) -> Windows:
        """Return the windows that have, of each of these, what lies between two times after the trial's onset.

        SpecError unless they are times of this window, in order.
        """
        if not self._holds(start_s, end_s):
            given = f"Windows from {self.start_s:g} to {self.end_s:g} s do not hold {start_s:g} to {end_s:g} s"
            raise SpecError(given, allowed="a start and a later end within the window, in seconds after the onset")
        past_s = max(0.0, self.past_s - (self.end_s - end_s))
        return self.model_copy(update={"start_s": start_s, "length_s": end_s - start_s, "past_s": past_s})

    def samples(self, part: Windows, sfreq: float) -> slice:
        """Return where in one of these windows the samples of a `part` of it lie; SpecError where it is no part."""
        self.spanning(part.start_s, part.end_s)
        n = round(part.length_s * sfreq)
        first = min(round((part.start_s - self.start_s) * sfreq), round(self.length_s * sfreq) - n)
        return slice(first, first + n)

    def has_part(self, part: Windows) -> bool:
        """Return whether others are a part of these and differ in nothing else."""
        place = {name: getattr(self, name) for name in ("start_s", "length_s", "past_s")}
        return self._holds(part.start_s, part.end_s) and part.model_copy(update=place) == self

    def _holds(self, start_s: float, end_s: float) -> bool:
        return self.start_s - _TOLERANCE_S <= start_s < end_s <= self.end_s + _TOLERANCE_S


@dataclass(frozen=True)
class WindowSet:
    """Addresses of n windows of equal length, with what is known of each.

    target : class index, -1 where unlabelled. trial : running number of the trial in its session.
    start : first sample in the recording; file : index into `paths`.
    votes : (n, K) how many experts chose each class, None where there are none. zero_invalid : whether samples that
    cannot be trusted are zero in what `load` gives; else they are what the file holds. cut : how they lie in trials,
    None where they were not cut from trials.
    """

    spec: SignalSpec
    n_times: int
    paths: tuple[Path, ...]
    file: Indices
    start: Indices
    target: Indices
    trial: Indices
    subject: Labels
    session: Labels
    votes: NDArray[np.float32] | None = None
    zero_invalid: bool = False
    cut: Windows | None = None

    def __len__(self) -> int:
        return len(self.start)

    def select(self, which: NDArray[np.bool_] | Indices | Sequence[int]) -> WindowSet:
        """Return the windows at some indices, or where a mask is True."""
        which = np.asarray(which)
        names = ("file", "start", "target", "trial", "subject", "session")
        votes = None if self.votes is None else self.votes[which]
        return replace(self, votes=votes, **{n: getattr(self, n)[which] for n in names})

    def of_subjects(self, subjects: Sequence[str]) -> WindowSet:
        """Return the windows of some subjects."""
        return self.select(np.isin(self.subject, list(subjects)))

    def samples(self, part: Windows) -> slice:
        """Return where in each window a part of it lies; SpecError where it does not. All, if not cut from trials."""
        return slice(0, self.n_times) if self.cut is None else self.cut.samples(part, self.spec.sfreq)

    def within(self, part: Windows) -> WindowSet:
        """Return that part of each window; raises what `samples` raises."""
        at = self.samples(part)
        return replace(self, start=self.start + at.start, n_times=at.stop - at.start, cut=self.cut and part)

    def source(self, subjects: Sequence[str], memory_bytes: int) -> Source:
        """Return what reads batches, of these training subjects; signals that fit into `memory_bytes` are kept."""
        from .batches import Source

        return Source(self, subjects, memory_bytes=memory_bytes)

    def load(self, indices: Indices | Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return signals, float32 (n, n_chans, n_times); a file is checked whole when it is first read, or changed."""
        indices = np.arange(len(self)) if indices is None else np.asarray(indices)
        out = np.empty((len(indices), self.spec.n_chans, self.n_times), np.float32)
        from .store import WindowStore

        used, file = np.unique(self.file[indices], return_inverse=True)
        store = WindowStore([self.paths[i] for i in used])
        try:
            store.load(file, self.start[indices], self.n_times, out)
            if self.zero_invalid:
                for window, valid in zip(out, store.valid(file, self.start[indices], self.n_times), strict=True):
                    window[:, ~valid] = 0
            return out
        finally:
            store.close()


def labelled(
    paths: Sequence[Path],
    windows: Windows,
    classes: Sequence[str],
    *,
    one_class: Literal["raise", "allow"] = "raise",
    votes: Sequence[Path] | None = None,
) -> WindowSet:
    """Return the windows of all trials whose label is one of `classes`; DataError where that leaves too little.

    one_class : whether windows of a single class are too little (to learn or to score) or enough (to replay).
    votes : one file a recording, whose array `votes` (n_trials, K) has the votes for each of the K classes.
    """
    rows, spec = [], None
    for file, path in enumerate(paths):
        with read(path) as session:
            spec = _same(spec, session.signal.spec, path)
            rows += _trial_rows(file, session, windows, list(classes))
    if spec is None or not rows:
        raise DataError(
            "No window fits any trial",
            allowed=f"trials labelled {one_of(classes)}, at least {_needed(windows)} s long",
            remedy="Check windows.start_s and windows.length_s against the trials",
        )
    present = {classes[r[2]] for r in rows}
    if len(present) < 2 and one_class == "raise":
        raise DataError(
            f"All windows are of one class, '{present.pop()}'",
            allowed=f"at least two of {one_of(classes)}",
            remedy="Check the dataset's events",
        )
    made = replace(_window_set(spec, windows, paths, rows), cut=windows)
    return made if votes is None else replace(made, votes=_votes(votes, made, len(classes)))


def continuous(paths: Sequence[Path], length_s: float, hop_s: float, *, least_valid: float = 1.0) -> WindowSet:
    """Return unlabelled windows over whole recordings, every `hop_s`; those with an invalid sample are left out.

    least_valid : share of a window's samples that must be valid; below 1, the others are zero in what is loaded.
    DataError where no window is left.
    """
    rows, spec, fits = [], None, 0
    for file, path in enumerate(paths):
        with read(path) as session:
            signal = session.signal
            spec = _same(spec, signal.spec, path)
            n, hop = round(length_s * spec.sfreq), max(1, round(hop_s * spec.sfreq))
            starts = np.arange(0, signal.n_times - n + 1, hop)
            fits += len(starts)
            who = session.subject, session.session_id
            rows += [(file, s, -1, -1, *who) for s in starts[_trusted(signal, starts, n, least_valid)].tolist()]
    if spec is None or not fits:
        raise DataError(f"No recording is as long as a window of {length_s} s", remedy="Give shorter windows")
    if not rows:
        given = f"Each of the {fits} windows of {length_s} s holds a sample that is not valid"
        if least_valid < 1:
            given = f"Less than {least_valid:.0%} of each of the {fits} windows of {length_s} s is valid"
        raise DataError(given, remedy="Give shorter windows, or look at the recordings with 'data inspect'")
    return _window_set(spec, Windows(length_s=length_s, least_valid=least_valid), paths, rows)


def _trusted(signal: Signal, starts: Indices, n_times: int, least_valid: float) -> NDArray[np.bool_]:
    """Return which windows are valid enough, (n,); the validity of about a million samples is read at a time."""
    good = np.zeros(len(starts), np.bool_)
    many = max(1, BLOCK // max(1, int(starts[1] - starts[0]) if len(starts) > 1 else 1))
    for at in range(0, len(starts), many):
        some = starts[at : at + many]
        bad = np.concatenate([[0], np.cumsum(~signal.valid(int(some[0]), int(some[-1]) + n_times))])
        wrong = bad[some - some[0] + n_times] - bad[some - some[0]]
        good[at : at + many] = wrong <= _most_invalid(least_valid, n_times)
    return good


def _valid_enough(valid: NDArray[np.bool_], least: float) -> bool:
    """Return whether no more samples are invalid than there may be."""
    return int(np.count_nonzero(~valid)) <= _most_invalid(least, len(valid))


def _most_invalid(least_valid: float, n_times: int) -> int:
    return int((1 - least_valid) * n_times + 1e-6)


def apart(start: Indices, n_times: int) -> Indices:
    """Return the indices of windows that do not overlap: a stream can start anew only after a window has ended."""
    kept: list[int] = []
    for i in np.argsort(start, kind="stable"):
        if not kept or start[i] >= start[kept[-1]] + n_times:
            kept.append(int(i))
    return np.array(kept, np.int64)


def served(session: Session, windows: Windows, classes: Sequence[str]) -> tuple[int, int]:
    """Return how many trials of a recording are of one of `classes`, and how many of these have a window."""
    rows = _trial_rows(0, session, windows, list(classes))
    return sum(label in classes for label in session.trials.label), len({r[3] for r in rows})


Row = tuple[int, int, int, int, str, str]


def _trial_rows(file: int, session: Session, windows: Windows, classes: list[str]) -> list[Row]:
    signal, trials = session.signal, session.trials
    n = round(windows.length_s * signal.spec.sfreq)
    rows = []
    for trial, (onset, end, label) in enumerate(zip(trials.start_s, trials.end_s, trials.label, strict=True)):
        if label not in classes:
            continue
        for start_s in windows.starts(float(onset), float(end)):
            first = round((start_s - signal.start_s) * signal.spec.sfreq)
            if not 0 <= first <= signal.n_times - n:
                continue
            edges = [round((t - signal.start_s) * signal.spec.sfreq) - first for t in (float(onset), float(end))]
            if windows.trusts(signal.valid(first, first + n), slice(*np.clip(edges, 0, n).tolist())):
                rows.append((file, first, classes.index(label), trial, session.subject, session.session_id))
    return rows


def _same(known: SignalSpec | None, found: SignalSpec, path: Path) -> SignalSpec:
    found = found.replace(subject=None)
    if known is not None and (known.sfreq, known.ch_names) != (found.sfreq, found.ch_names):
        raise SignalMismatchError(
            f"{path.name} has {found.n_chans} channels at {found.sfreq:g} Hz, "
            f"the recordings before it {known.n_chans} at {known.sfreq:g} Hz, or other channel names",
            remedy="Add the signals 'pick' and 'resample' to the recipe",
        )
    return known or found


def _needed(windows: Windows) -> float:
    return windows.start_s + windows.length_s - windows.past_s


def _votes(files: Sequence[Path], windows: WindowSet, n_classes: int) -> NDArray[np.float32]:
    """Return the votes of each window (n, K), those of its trial."""
    if len(files) != len(windows.paths):
        raise DataError(f"There are {len(files)} files of votes", allowed=f"one for each of {len(windows.paths)}")
    votes = np.zeros((len(windows), n_classes), np.float32)
    for file in np.unique(windows.file).tolist():
        mine = windows.file == file
        found = np.asarray(load_arrays(files[file]).get("votes", np.zeros(0)))
        if found.ndim != 2 or found.shape[1] != n_classes or len(found) <= windows.trial[mine].max():
            given = f"{files[file]} holds votes of shape {found.shape}"
            raise DataError(given, allowed=f"(n_trials, {n_classes})", remedy="Run the stage that writes it again")
        votes[mine] = found[windows.trial[mine]]
    return votes


def _window_set(spec: SignalSpec, windows: Windows, paths: Sequence[Path], rows: list[Row]) -> WindowSet:
    file, start, target, trial, subject, session = zip(*rows, strict=True)
    integers = [np.asarray(v, np.int64) for v in (file, start, target, trial)]
    return WindowSet(
        spec,
        round(windows.length_s * spec.sfreq),
        tuple(paths),
        integers[0],
        integers[1],
        integers[2],
        integers[3],
        np.asarray(subject),
        np.asarray(session),
        zero_invalid=windows.least_valid < 1,
    )
