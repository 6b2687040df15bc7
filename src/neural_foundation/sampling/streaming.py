"""`StreamingNeuralDataset`: recordings as ordered windows, so that a network's state goes on from one to the next.

Shapes: B lanes (the batch), C channels, T samples a window. Row b of a batch follows row b of the batch before it, in
the same recording, unless `begin[b]`: then a recording starts there, and so must the state (`carried`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError, SignalMismatchError, SpecError
from ..core.specs import SignalSpec, digest
from .raw_samples import Values
from .remote import Options
from .shards import Lane, Stretch, runs, stretches
from .shards import lanes as dealt
from .slots import empty
from .steps import Stepped
from .store import Indices, Mask, Recording, WindowStore
from .windows import WindowSet

__all__ = ["StreamBatch", "StreamingNeuralDataset", "carried"]


@dataclass(frozen=True)
class StreamBatch:
    """One step of all lanes.

    signal : (B, C, T) float32. valid : (B, T) bool, which samples can be trusted. begin : (B,) bool, True where the
    lane starts a recording (or a stretch of one). active : (B,) bool, False where the lane has read all it has: its
    signal is 0 and its `valid` False until the epoch ends. subject : (B,) index into the subjects from 1, 0 unknown or
    idle. recording : (B,) index into the paths, -1 idle; start : (B,) first sample there.
    """

    signal: Tensor
    valid: Tensor
    begin: Tensor
    active: Tensor
    subject: Tensor
    recording: Tensor
    start: Tensor
    epoch: int
    step: int

    def __len__(self) -> int:
        return len(self.signal)

    def to(self, device: torch.device | str) -> StreamBatch:
        """Return the batch on a device."""
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in self._tensors()})

    def pin_memory(self) -> StreamBatch:
        """Return the batch in page-locked memory."""
        return replace(self, **{n: getattr(self, n).pin_memory() for n in self._tensors()})

    def _tensors(self) -> list[str]:
        return [f.name for f in fields(self) if isinstance(getattr(self, f.name), Tensor)]


class StreamingNeuralDataset(Stepped[StreamBatch]):
    """Recordings as batches of ordered windows, for training that carries state (truncated back-propagation).

    Each of `lanes` lanes a rank walks through recordings one after another. Recordings are dealt to the lanes of all
    ranks balanced by length, each exactly once an epoch; the last samples of a recording, fewer than a window, are left
    out. The order is a function of (seed, epoch).

    What is promised: the batches are the same with any number of workers. With any number of ranks of the same
    `lanes * world`, the batches of a step, put together by rank, are the same too. All ranks have the same number of
    steps.

    Parameters
    ----------
    paths : prepared sessions, other recordings, or addresses of sessions ("s3://..."), of one rate and one montage.
    window_s : seconds of a window; for a network, whole tokens. lanes : rows of a batch.
    stretch_s : long recordings are cut into stretches of this length, so that few of them fill many lanes; each begins
        anew. None leaves them whole.
    shuffle : whether the order changes by epoch; otherwise recordings come in the order of `paths`.
    cut : the stretches to read instead of all that the recordings hold, made of whole windows; see `of`.
    subjects : in the order of the network's subject index, from 1; those of the data by name where it is not given.
    signal : which signal of each session; the primary one where it is not given.
    options : settings of a remote store. seed, rank, world : see `Stepped`.

    Raises
    ------
    DataError : no recordings, or none as long as a window. SignalMismatchError : rates or channels differ.
    RecordingError : as `read` raises it.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        window_s: float,
        lanes: int = 16,
        stretch_s: float | None = None,
        cut: Sequence[Stretch] | None = None,
        shuffle: bool = True,
        subjects: Sequence[str] | None = None,
        signal: str | None = None,
        options: Options | None = None,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        super().__init__(seed=seed, rank=rank, world=world)
        self.store = WindowStore(paths, signal=signal, options=options)
        self.spec = same_spec(self.store.recordings)
        self.lanes, self.shuffle = lanes, shuffle
        self.n_times = samples_of("window_s", window_s, self.spec.sfreq)
        if lanes < 1:
            raise SpecError(f"lanes is {lanes}", allowed="1 or more")
        longest = longest_of(stretch_s, self.n_times, self.spec.sfreq)
        whole = stretches([r.n_times for r in self.store.recordings], self.n_times, longest)
        self.stretches = whole if cut is None else tuple(cut)
        if not self.stretches:
            raise DataError(f"No recording is as long as a window of {window_s:g} s", remedy="Give shorter windows")
        found = [r.subject for r in self.store.recordings]
        self.subjects = tuple(sorted(set(found)) if subjects is None else map(str, subjects))
        at = {name: i for i, name in enumerate(self.subjects, start=1)}
        self._subject = np.asarray([at.get(name, 0) for name in found], np.int64)
        self._valid = [_whole(r) for r in self.store.recordings]
        self._dealt: dict[int, tuple[Lane, ...]] = {}
        self._steps = max(int(lane.ends[-1]) for lane in self.order(0) if len(lane.ends))
        self._order = self._digest()

    @classmethod
    def of(
        cls,
        windows: WindowSet,
        *,
        lanes: int,
        stretch_s: float | None = None,
        shuffle: bool = True,
        subjects: Sequence[str] | None = None,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
    ) -> Self:
        """Return the stream of a set's windows (`continuous`, or a part of it), each exactly once an epoch.

        Windows that follow on each other without a gap are a stretch. Those left out as not valid, or of another part
        of a split, are gaps: the state begins anew after one. lanes : as many as there are stretches at most. The
        other arguments are those of the class.
        """
        length_s = windows.n_times / windows.spec.sfreq
        cut = runs(windows, longest_of(stretch_s, windows.n_times, windows.spec.sfreq))
        return cls(
            windows.paths,
            window_s=length_s,
            lanes=max(1, min(lanes, -(-len(cut) // (world or 1)))),
            cut=cut,
            shuffle=shuffle,
            subjects=subjects,
            seed=seed,
            rank=rank,
            world=world,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Steps until the longest lane of all ranks has ended."""
        return self._steps

    @property
    def batch_bytes(self) -> int:
        """Bytes of the signal of a batch."""
        return 4 * self.lanes * self.spec.n_chans * self.n_times

    def order(self, epoch: int) -> tuple[Lane, ...]:
        """Return what each lane of all ranks reads in an epoch."""
        if epoch not in self._dealt:
            sizes = [s.n_windows for s in self.stretches]
            for old in list(self._dealt)[:-1]:
                del self._dealt[old]
            self._dealt[epoch] = dealt(sizes, self.lanes * self.world, self.seed, epoch, shuffle=self.shuffle)
        return self._dealt[epoch]

    def at(self, epoch: int, step: int) -> StreamBatch:
        """Return the batch of a step of an epoch, wherever the data set stands."""
        mine = self.order(epoch)[self.rank * self.lanes : (self.rank + 1) * self.lanes]
        rows = [lane.at(step) for lane in mine]
        active = np.asarray([row is not None for row in rows])
        begin = np.asarray([row is not None and row[1] == 0 for row in rows])
        recording, start = np.full(self.lanes, -1, np.int64), np.zeros(self.lanes, np.int64)
        for lane, row in enumerate(rows):
            if row is not None:
                stretch = self.stretches[row[0]]
                recording[lane], start[lane] = stretch.recording, stretch.first + row[1] * self.n_times
        subject = np.where(active, self._subject[recording], 0)
        signal, valid = self._read(recording, start, active)
        return StreamBatch(
            signal=signal,
            valid=valid,
            begin=torch.from_numpy(begin),
            active=torch.from_numpy(active),
            subject=torch.from_numpy(subject),
            recording=torch.from_numpy(recording),
            start=torch.from_numpy(start),
            epoch=epoch,
            step=step,
        )

    def fingerprint(self) -> str:
        """Return a digest of all that decides the batches of all ranks beside epoch and step."""
        return self._order

    def _digest(self) -> str:
        read = [[r.session_id, r.subject, r.name, r.n_times] for r in self.store.recordings]
        cut = [[s.recording, s.first, s.n_windows] for s in self.stretches]
        return digest([self.seed, self.lanes * self.world, self.shuffle, self.n_times, read, cut])

    def _read(self, recording: Indices, start: Indices, active: Mask) -> tuple[Tensor, Tensor]:
        signal = empty((self.lanes, self.spec.n_chans, self.n_times), torch.float32)
        valid = torch.zeros(self.lanes, self.n_times, dtype=torch.bool)
        out, mask = signal.numpy(), valid.numpy()
        for lane in range(self.lanes):
            if not active[lane]:
                out[lane] = 0
            elif self._valid[recording[lane]]:
                mask[lane] = True
            else:
                mask[lane] = self.store.recordings[recording[lane]].valid(int(start[lane]), self.n_times)
        if active.all():
            self.store.load(recording, start, self.n_times, out)
        else:
            self._read_some(recording, start, np.flatnonzero(active), out)
        return signal, valid

    def _read_some(self, recording: Indices, start: Indices, rows: Indices, out: Values) -> None:
        for row in rows.tolist():
            one = slice(row, row + 1)
            self.store.load(recording[one], start[one], self.n_times, out[one])


def carried(state: Mapping[str, Tensor], fresh: Mapping[str, Tensor], begin: Tensor) -> dict[str, Tensor]:
    """Return the state for the next window: as it is, cut off from its gradients, but `fresh` where a lane begins.

    state, fresh : named tensors, B first (`network.start(B)`). begin : (B,) bool. Truncated back-propagation through
    time: gradients reach back to the start of a window, the state to the start of its recording.
    """
    taken = {}
    for name, value in state.items():
        where = begin.to(value.device).reshape(-1, *(1 for _ in value.shape[1:]))
        taken[name] = torch.where(where, fresh[name].to(value), value.detach())
    return taken


def same_spec(recordings: Sequence[Recording]) -> SignalSpec:
    """Return the rate and channels that all have; SignalMismatchError where they differ, DataError where none are."""
    if not recordings:
        raise DataError("There are no recordings to stream", remedy="Check the paths")
    spec = recordings[0].spec.replace(subject=None)
    for other in recordings[1:]:
        found = other.spec
        if (found.sfreq, found.ch_names, found.units) != (spec.sfreq, spec.ch_names, spec.units):
            raise SignalMismatchError(
                f"{Path(other.path).name} has {found.n_chans} channels at {found.sfreq:g} Hz, "
                f"the recordings before it {spec.n_chans} at {spec.sfreq:g} Hz, or other channel names or units",
                remedy="Prepare them with 'pick' and 'resample', or stream each montage on its own (`by_montage`)",
            )
    return spec


def samples_of(name: str, seconds: float, sfreq: float) -> int:
    """Return a whole number of samples; SpecError where there is not even one."""
    n = round(seconds * sfreq)
    if n < 1:
        raise SpecError(f"{name} is {seconds:g} s", allowed=f"at least a sample, {1 / sfreq:g} s")
    return n


def longest_of(stretch_s: float | None, n_times: int, sfreq: float) -> int | None:
    """Return how many windows of `n_times` samples a stretch has at most; SpecError where not even one."""
    longest = None if stretch_s is None else samples_of("stretch_s", stretch_s, sfreq) // n_times
    if longest == 0:
        raise SpecError(f"stretch_s is {stretch_s} s", allowed=f"at least a window, {n_times / sfreq:g} s")
    return longest


def _whole(recording: Recording) -> bool:
    runs = recording.runs
    return runs is not None and runs.tolist() == [[0, recording.n_times]]
