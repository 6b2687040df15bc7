"""Windows of spike trains, binned: counts (batch, n_units, n_bins), in one compiled pass over the events of a batch.

Events are kept as the recording has them, in time order (16 bytes a spike, in memory); a window is found by two
searches and its events are counted one by one. Bin k of a window is [start + k bin_s, start + (k + 1) bin_s).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, SpecError, one_of
from ..core.specs import digest
from ..recordings import Session, Spikes, read
from .montages import Turns
from .order import Balance, training_order
from .remote import Options, is_remote, open_remote
from .slots import empty
from .steps import Stepped

__all__ = ["SpikeBatch", "SpikeWindows", "binned"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Counts = NDArray[np.float32]


def binned(spikes: Spikes, start_s: Floats, n_bins: int, bin_s: float, out: Counts | None = None) -> Counts:
    """Return how many spikes each unit has in each bin of windows that begin at `start_s` (n,).

    Float32 (n, n_units, n_bins); `out` is overwritten where it is given. Windows may overlap, and leave the recording.
    A spike on an edge belongs to the later bin, edges as `signals.spikes` has them.
    """
    from .window_kernels import count_events

    start = np.ascontiguousarray(start_s, np.float64)
    counts = np.empty((len(start), spikes.n_units, n_bins), np.float32) if out is None else out
    if not bin_s > 0 or counts.dtype != np.float32 or counts.shape != (len(start), spikes.n_units, n_bins):
        given = f"Bins of {bin_s:g} s in {counts.dtype} of shape {counts.shape}"
        raise DataError(given, allowed=f"above 0 s, float32 ({len(start)}, {spikes.n_units}, {n_bins})")
    counts[:] = 0
    slack = bin_s / 1024  # rounding to ticks moves no time further; the kernel leaves out what lies in no bin
    first = np.searchsorted(spikes.times_s, start - slack, side="left")
    last = np.searchsorted(spikes.times_s, start + n_bins * bin_s + slack, side="left")
    count_events(spikes.times_s, spikes.unit, first, last, start, float(bin_s), counts)
    return counts


@dataclass(frozen=True)
class SpikeBatch:
    """One step. counts : (B, n_units, n_bins) float32. start_s : (B,) float64 on the recording's clock.

    subject : (B,) index into the subjects from 1. recording : (B,) index into the paths. units : which of
    `SpikeWindows.units` the rows of the counts are.
    """

    counts: Tensor
    start_s: Tensor
    subject: Tensor
    recording: Tensor
    units: int
    epoch: int
    step: int

    def __len__(self) -> int:
        return len(self.counts)

    def to(self, device: torch.device | str) -> SpikeBatch:
        """Return the batch on a device."""
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in _TENSORS})

    def pin_memory(self) -> SpikeBatch:
        """Return the batch in page-locked memory."""
        return replace(self, **{n: getattr(self, n).pin_memory() for n in _TENSORS})


_TENSORS = ("counts", "start_s", "subject", "recording")


class SpikeWindows(Stepped[SpikeBatch]):
    """Batches of binned windows of spike trains, drawn at random without replacement within an epoch.

    Parameters
    ----------
    paths : recordings with spikes, or addresses of sessions. window_s, bin_s : a window has window_s / bin_s bins.
    batch_size : windows a step and rank. hop_s : how far windows lie apart; a window where it is not given.
    name : which spikes of each session; the only ones where it is not given.
    balance : "subject" lets each subject come equally often. subjects, options : see `StreamingNeuralDataset`.

    Recordings of the same units (by id, in order) form one group; each batch is of one group, `units` has their ids.
    Windows lie within the session's signals, or between its first and last spike where it has no signal. What is
    promised of workers and ranks is what `RandomWindows` promises.

    Raises
    ------
    DataError : no spikes, or no recording as long as a window. SpecError : a window is not whole bins.
    RecordingError : as `read` raises it.
    """

    bundle: ClassVar[int] = 16

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        window_s: float,
        bin_s: float,
        batch_size: int = 16,
        hop_s: float | None = None,
        name: str | None = None,
        balance: Balance = "none",
        subjects: Sequence[str] | None = None,
        options: Options | None = None,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        super().__init__(seed=seed, rank=rank, world=world)
        self.bin_s, self.n_bins = bin_s, _bins(window_s, bin_s)
        held = [_spikes(path, name, options) for path in paths]
        self.spikes = [spikes for spikes, _, _ in held]
        found = [subject for _, subject, _ in held]
        starts = [_starts(span, window_s, hop_s or window_s) for _, _, span in held]
        if not sum(map(len, starts)):
            raise DataError(f"No recording has spikes over a window of {window_s:g} s", remedy="Give shorter windows")
        self.subjects = tuple(sorted(set(found)) if subjects is None else map(str, subjects))
        at = {who: i for i, who in enumerate(self.subjects, start=1)}
        self._subject = np.asarray([at.get(who, 0) for who in found], np.int64)
        kinds = [spikes.unit_ids for spikes, begin in zip(self.spikes, starts, strict=True) if len(begin)]
        self.units = tuple(dict.fromkeys(kinds))
        self._windows = [_joined(self.spikes, starts, ids) for ids in self.units]
        total = batch_size * self.world
        self._orders = [
            training_order(np.asarray(found)[file], np.zeros(len(file)), batch_size=total, seed=seed, balance=balance)
            for file, _ in self._windows
        ]
        if balance == "none":
            self._turns = Turns.by_size([order.steps_per_epoch for order in self._orders], seed)
        else:
            counts = [len({found[f] for f in file.tolist()}) for file, _ in self._windows]
            self._turns = Turns.by_subjects(counts, seed)
        self._largest = batch_size
        self._order = self._digest(total, balance)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many windows are drawn as there are."""
        return sum(order.steps_per_epoch for order in self._orders)

    @property
    def batch_bytes(self) -> int:
        """Bytes of the counts of the largest batch."""
        return 4 * self._largest * max(map(len, self.units)) * self.n_bins

    def at(self, epoch: int, step: int) -> SpikeBatch:
        """Return the batch of a step of an epoch."""
        which, before = self._turns.at(epoch * self.steps_per_epoch + step)
        file, start_s = self._windows[which]
        items = np.array_split(self._orders[which].indices(before), self.world)[self.rank]
        counts = empty((len(items), len(self.units[which]), self.n_bins), torch.float32)
        out, mine = counts.numpy(), file[items]
        for recording in np.unique(mine).tolist():
            rows = np.flatnonzero(mine == recording)
            if len(rows) == len(items):
                binned(self.spikes[recording], start_s[items], self.n_bins, self.bin_s, out)
            else:
                out[rows] = binned(self.spikes[recording], start_s[items[rows]], self.n_bins, self.bin_s)
        when, who, where = (torch.from_numpy(part) for part in (start_s[items], self._subject[mine], mine))
        return SpikeBatch(counts, when, who, where, which, epoch, step)

    def fingerprint(self) -> str:
        """Return a digest of all that decides the batches of all ranks beside epoch and step."""
        return self._order

    def _digest(self, total: int, balance: str) -> str:
        arrays = [part for windows in self._windows for part in windows]
        cut = [hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in arrays]
        events = [[len(s), s.n_units, float(s.times_s.sum())] for s in self.spikes]
        return digest([self.seed, total, balance, self.n_bins, self.bin_s, list(self.subjects), cut, events])


def _bins(window_s: float, bin_s: float) -> int:
    n = round(window_s / bin_s) if bin_s > 0 else 0
    if n < 1 or abs(n * bin_s - window_s) > 1e-6 * bin_s:
        raise SpecError(f"A window of {window_s:g} s has no whole number of bins of {bin_s:g} s", allowed="whole bins")
    return n


def _spikes(path: Path | str, name: str | None, options: Options | None) -> tuple[Spikes, str, tuple[float, float]]:
    """Return spikes, subject, and the time that they cover."""
    opened = open_remote(str(path), options=options) if is_remote(path) else read(Path(path))
    with opened as session:
        if not session.spikes or (name is None and len(session.spikes) > 1):
            allowed = f"name={one_of(session.spikes)}" if session.spikes else "recordings of sorted spikes"
            raise DataError(f"Session '{session.session_id}' has {len(session.spikes)} spikes", allowed=allowed)
        spikes = session.spikes[name if name is not None else next(iter(session.spikes))]
        return spikes, session.subject, _span(session, spikes)


def _span(session: Session, spikes: Spikes) -> tuple[float, float]:
    signals = list(session.signals.values())
    if signals:
        return min(s.start_s for s in signals), max(s.start_s + s.duration_s for s in signals)
    return (float(spikes.times_s[0]), float(spikes.times_s[-1])) if len(spikes) else (0.0, 0.0)


def _starts(span: tuple[float, float], window_s: float, hop_s: float) -> Floats:
    room = span[1] - span[0] - window_s + 1e-9
    n = int(room / hop_s) + 1 if room >= 0 else 0
    return np.asarray(span[0] + hop_s * np.arange(n), np.float64)


def _joined(spikes: Sequence[Spikes], starts: Sequence[Floats], ids: tuple[str, ...]) -> tuple[Indices, Floats]:
    """Return recording and start of all windows of the recordings of these units."""
    mine = [i for i, s in enumerate(spikes) if s.unit_ids == ids and len(starts[i])]
    return np.repeat(np.asarray(mine, np.int64), [len(starts[i]) for i in mine]), np.concatenate(
        [starts[i] for i in mine]
    )
