"""The signals of an HDF5 session: each RegularTimeSeries, read piece by piece.

- The samples are the array `signal` (or `raw`, `data`, `value`, `values`), time first; its channels are the rows of
  `<series>_channels`, or of `channels`: `id`, `type`, `position`, `unit`. Of a stranger's series without such a table
  the channels are ch1, ch2, ... of type eeg, in volts, as a brainset states no unit.
- Every other array of numbers is a signal too: named like the series where it is alone in it, else `series.array`.
  Its channels are those of the array, `pos[0]`, `pos[1]`, of type misc and without a unit. So are whole numbers.
- Validity: `<series>_validity` of ours, else the domain of the series. A valid sample that is not finite is an error,
  and so is a whole number that float32 cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import Position, SignalSpec
from .channels import TYPES, positions, repeated
from .hdf5_end import check_whole
from .hdf5_int16 import Gain, gains_of, scaled
from .hdf5_tables import indexed
from .hdf5_tree import AGAIN, Node, Tree, beyond, guarded, object_of
from .header_text import MAX_CHANNELS
from .session import Mask, Signal, Values

SAMPLES = ("signal", "raw", "data", "value", "values")
EXACT = 1 << 24  # whole numbers up to here are float32 too


class SeriesSignal(Signal):
    """One RegularTimeSeries.

    samples : HDF5 array (n_times, n_chans). runs : (n_runs, 2) valid sample indices. gain : (n_chans,) of int16
    samples of ours, else None.
    """

    def __init__(
        self,
        tree: Tree,
        spec: SignalSpec,
        samples: Any,
        runs: NDArray[np.int64],
        start_s: float,
        gain: Gain | None = None,
    ) -> None:
        self.path, self.samples, self.runs, self.gain = tree.path, samples, runs, gain
        super().__init__(spec, int(samples.shape[0]), start_s)

    def _read(self, start: int, stop: int) -> Values:
        with guarded(self.path):
            block = np.asarray(self.samples[start:stop]).reshape(stop - start, self.spec.n_chans)
            check_whole(self.path, self.samples)
            self._check_exact(block)
        if self.gain is not None:
            return scaled(block, self.gain)  # finite, as the gains are checked
        with np.errstate(over="ignore"):
            values = block.T.astype(np.float32, order="C")
        finite = np.isfinite(values).all(0)
        if not finite.all() and (~finite & self._valid(start, stop)).any():
            at = start + int(np.argmax(~finite & self._valid(start, stop)))
            raise RecordingError(self.path, f"sample {at} is not finite, yet valid", remedy=AGAIN)
        return values

    def _check_exact(self, block: NDArray[Any]) -> None:
        if block.dtype.itemsize > 2 and beyond(block, EXACT):
            given = f"it has samples beyond {EXACT}, which float32 cannot hold exactly"
            raise RecordingError(self.path, given, remedy="Scale them, and store them as floating-point numbers")

    def _valid(self, start: int, stop: int) -> Mask:
        valid = np.zeros(stop - start, dtype=bool)
        begin = int(np.searchsorted(self.runs[:, 1], start, side="right"))
        end = int(np.searchsorted(self.runs[:, 0], stop, side="left"))
        for low, high in self.runs[begin:end].tolist():
            valid[max(low - start, 0) : max(high - start, 0)] = True
        return valid


def signals_of(tree: Tree, node: Node, subject: str) -> Iterator[tuple[str, SeriesSignal]]:
    """Yield the signals of one RegularTimeSeries, by name."""
    arrays = {key: a for key, a in tree.datasets(node.group).items() if a.dtype.kind in "fiub" and a.ndim in (1, 2)}
    known = next((key for key in SAMPLES if key in arrays), None)
    if not arrays or (tree.own and known is None):
        allowed = f"an array {one_of(SAMPLES)}, time first"
        raise RecordingError(tree.path, f"'{node.path}' has no array of samples", allowed=allowed)
    sfreq = float(node.group.attrs["sampling_rate"])
    if not (np.isfinite(sfreq) and sfreq > 0):
        given = f"the sampling rate of '{node.path}' is {sfreq:g}"
        raise RecordingError(tree.path, given, allowed="more than 0", remedy=AGAIN)
    start, end = (tree.array(node.group["domain"][key]).astype(float) for key in ("start", "end"))
    domain = np.stack([start, end], 1)
    for key, samples in arrays.items():
        n_chans = _check(tree, node, samples, domain, sfreq)
        spec = _described(tree, node, samples, n_chans) if key == known else _unnamed(key, samples)
        runs = _runs(tree, node, domain, sfreq, int(samples.shape[0]))
        whole = SignalSpec(sfreq=sfreq, subject=subject, **spec)
        name = tree.name(node.group, node.path) if key == known or len(arrays) == 1 else f"{node.path}.{key}"
        yield name, SeriesSignal(tree, whole, samples, runs, float(start[0]), _gain(tree, node, samples, n_chans))


def _gain(tree: Tree, node: Node, samples: Any, n_chans: int) -> Gain | None:
    """Return the gains of int16 samples of ours; a stranger's whole numbers are what they are."""
    if not tree.own or samples.dtype.kind == "f":
        return None
    table = node.parent.get(channel_tables(tree, node)[0])
    return gains_of(tree.path, table.get("gain") if object_of(table) == "ArrayDict" else None, n_chans)


def _check(tree: Tree, node: Node, samples: Any, domain: NDArray[np.float64], sfreq: float) -> int:
    """Return how many channels the samples have; RecordingError where array and domain do not agree."""
    tree.check(samples)
    n_times, n_chans = samples.shape[0], samples.shape[1] if samples.ndim == 2 else 1
    if not 1 <= n_chans <= MAX_CHANNELS:
        raise RecordingError(tree.path, f"'{node.path}' has {n_chans} channels", allowed=f"1 to {MAX_CHANNELS}")
    finite = len(domain) > 0 and bool(np.isfinite(domain).all())
    if not finite or abs((domain[-1, 1] - domain[0, 0]) * sfreq - n_times) > 0.5:
        given = f"the domain of '{node.path}' does not span its {n_times} samples"
        raise RecordingError(tree.path, given, remedy=AGAIN)
    return int(n_chans)


def _runs(tree: Tree, node: Node, domain: NDArray[np.float64], sfreq: float, n_times: int) -> NDArray[np.int64]:
    """Return the valid runs, rising and apart, in samples."""
    name = f"{node.key}_validity"
    if object_of(node.parent.get(name)) == "ArrayDict":
        stored = node.parent[name]
        runs = np.stack([tree.array(stored[key]).astype(np.int64) for key in ("start", "stop")], 1)
    elif tree.own:
        raise RecordingError(tree.path, f"the table '{name}' is missing", remedy=AGAIN)
    else:
        runs = np.rint((domain - domain[0, 0]) * sfreq).astype(np.int64)
    flat = runs.reshape(-1)
    if len(flat) and (flat[0] < 0 or flat[-1] > n_times or (np.diff(flat) < 0).any()):
        given = f"the valid stretches of '{node.path}' overlap or leave the signal"
        raise RecordingError(tree.path, given, remedy=AGAIN)
    return runs


def channel_tables(tree: Tree, node: Node) -> tuple[str, ...]:
    """Return where beside a series its channels may be described, the first that is there counts."""
    if tree.own:
        return ("channels",) if node.key == "eeg" else (f"{node.key}_channels",)
    return (f"{node.key}_channels", "channels")


def _described(tree: Tree, node: Node, samples: Any, n_chans: int) -> dict[str, Any]:
    """Return the facts of channels as their table tells them; without one, what a brainset leaves unsaid."""
    places = [node.parent[key] for key in channel_tables(tree, node) if key in node.parent]
    table: Any = next(
        (p for p in [*places, None if tree.own else tree.file.get("channels")] if object_of(p) == "ArrayDict"), {}
    )
    columns = {key: column for key, column in tree.datasets(table).items() if key in ("id", "type", "position", "unit")}
    fitting = {key: column for key, column in columns.items() if column.ndim and column.shape[0] == n_chans}
    if tree.own and ("id" not in fitting or len(fitting) < len(columns)):
        raise RecordingError(tree.path, f"'{node.path}' has {n_chans} channels, its table not", remedy=AGAIN)
    names = tree.words(fitting["id"]) if "id" in fitting else [f"ch{i + 1}" for i in range(n_chans)]
    if twice := repeated(names):
        raise RecordingError(tree.path, f"several channels are named {one_of(twice)}", remedy="Rename the channels")
    types = tree.words(fitting["type"]) if "type" in fitting else [] if tree.own else ["eeg"] * n_chans
    if not tree.own:
        types = [t.lower() if t.lower() in TYPES else t for t in types]
    units = tree.words(fitting["unit"]) if "unit" in fitting else [] if samples.dtype.kind == "f" else [""] * n_chans
    at = _positions(tree.array(fitting["position"])) if "position" in fitting else ()
    at = at or (() if tree.own else positions(names, types))
    return {"ch_names": tuple(names), "ch_types": tuple(types), "positions": at, "units": tuple(units)}


def _unnamed(key: str, samples: Any) -> dict[str, Any]:
    """Return the facts of the channels of an array that is no recording of a table: numbers without a unit."""
    names = tuple(indexed(key, index) for index in np.ndindex(samples.shape[1:]))
    return {"ch_names": names, "ch_types": ("misc",) * len(names), "units": ("",) * len(names)}


def _positions(rows: NDArray[Any]) -> tuple[Position | None, ...]:
    known = [tuple(float(x) for x in row) if np.isfinite(row).all() else None for row in rows.reshape(-1, 3)]
    return tuple(known)  # type: ignore[arg-type]
