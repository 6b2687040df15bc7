"""Independent components, fitted offline on training recordings and removed by one fixed matrix; causal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import DataError
from ..core.specs import SignalSpec, off_key
from ..core.stream import Array, Chunk, Transducer
from .artefacts import frontal
from .base import SignalOp
from .blocks import eeg_of
from .mix import Mix
from .pick import indices_of

FIT_HZ, EYES_HZ = (1.0, 40.0), (1.0, 8.0)
DIGITS, STEPS = 9, 500


class Ica(SignalOp):
    """x -> matrix x on the named channels; other channels pass unchanged. `fit_ica` makes it.

    The matrix lies in the recipe itself, not in a file beside it: a fitted matrix changes results, so it must be part
    of the key, and 64 channels are 4096 numbers. What was fitted on whom is for `note`, which is not.
    """

    kind: Literal["ica"] = "ica"
    channels: tuple[str, ...] = Field(description="the channels of the matrix, in its order")
    matrix: tuple[tuple[float, ...], ...] = Field(description="one row a channel: 1 - mixing x unmixing of what goes")
    note: str = off_key("", description="on what it was fitted, and what it removes")

    @model_validator(mode="after")
    def _square(self) -> Ica:
        n = len(self.channels)
        if n == 0 or len(self.matrix) != n or any(len(row) != n for row in self.matrix):
            raise ValueError(f"matrix must have {n} rows of {n} numbers, one for each channel")
        if not np.isfinite(self.matrix).all():
            raise ValueError("matrix holds numbers that are not finite")
        return self

    @property
    def keeps_topography(self) -> bool:
        return False

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a channel is missing."""
        rows, matrix = indices_of("ica", self.channels, signal), np.eye(signal.n_chans)
        matrix[np.ix_(np.array(rows), np.array(rows))] = self.matrix
        return Mix(signal, matrix, signal)


@dataclass(frozen=True)
class Component:
    """One component: its largest correlation with an eye channel, excess kurtosis, whether it goes, and its map."""

    eye: float
    kurtosis: float
    removed: bool
    map: tuple[float, ...]


def fit_ica(
    chunks: Iterable[Chunk],
    signal: SignalSpec,
    *,
    components: int | None = None,
    eye_correlation: float = 0.7,
    most_kurtosis: float = 30.0,
    remove: Sequence[int] | None = None,
    max_s: float = 600.0,
    seed: int = 0,
) -> tuple[Ica, tuple[Component, ...]]:
    """Fit FastICA (Hyvarinen 1999, doi:10.1109/72.761722; scikit-learn's) on training signal; return spec and report.

    chunks : training recordings, from one or several people, values (n_chans, n_times); invalid samples are left out,
    and of more than `max_s` seconds only the first. Each chunk is filtered by itself, 1 to 40 Hz, zero phase: give
    whole recordings or long pieces. components : how many; None: as many as hold all but 1e-6 of the variance.

    Removed is what `remove` numbers, or else each component whose correlation with an EOG channel from 1 to 8 Hz is at
    least `eye_correlation` (without EOG: with the mean of the frontal channels, and its excess kurtosis above 1, as
    blinks have), or whose excess kurtosis is above `most_kurtosis` (pops of one electrode).

    Where FastICA does not converge, as with sources near to normal noise, the spec's note says so.

    DataError with fewer than 2 EEG channels, or with less than 20 n_chans^2 valid samples.
    """
    rows = eeg_of(signal)
    if len(rows) < 2:
        raise DataError(f"ICA needs 2 EEG channels or more, not {len(rows)}", remedy="Correct the channel types")
    wide, eyes = _training(chunks, signal, rows, max_s)
    if wide.shape[1] < 20 * len(rows) ** 2:
        raise DataError(
            f"{wide.shape[1]} valid samples are too few to fit {len(rows)} components",
            allowed=f"{20 * len(rows) ** 2} or more",
            remedy="Give more recordings, or fewer channels",
        )
    unmixing, mixing, converged = _fastica(wide, components, seed)
    found = _described(unmixing @ wide, eyes, _eyes_are_eog(signal), mixing, eye_correlation, most_kurtosis, remove)
    gone = np.array([c.removed for c in found])
    matrix = np.eye(len(rows)) - mixing[:, gone] @ unmixing[gone]
    rounded = tuple(tuple(float(f"{v:.{DIGITS}g}") for v in row) for row in matrix)
    note = f"FastICA on {wide.shape[1] / signal.sfreq:.0f} s, {int(gone.sum())} of {len(found)} components removed"
    if not converged:
        note += f"; not converged in {STEPS} steps, so components near to normal noise are arbitrary"
    return Ica(channels=tuple(signal.ch_names[i] for i in rows), matrix=rounded, note=note), found


def _eyes_are_eog(signal: SignalSpec) -> bool:
    return "eog" in signal.ch_types


def _training(chunks: Iterable[Chunk], signal: SignalSpec, rows: list[int], max_s: float) -> tuple[Array, Array]:
    """Return the filtered EEG (n, n_times) and eye channels (n_eyes, n_times), valid samples only."""
    from scipy.signal import butter, sosfiltfilt

    def band(x: Array, edges: tuple[float, float]) -> Array:
        top = min(edges[1], 0.45 * signal.sfreq)
        return np.asarray(sosfiltfilt(butter(2, (edges[0], top), "bandpass", fs=signal.sfreq, output="sos"), x))

    wide, eyes, left = [], [], int(max_s * signal.sfreq)
    for chunk in chunks:
        if left <= 0:
            break
        if chunk.n_times < signal.sfreq:
            continue  # too short to filter
        x = np.nan_to_num(chunk.values.astype(np.float64))
        at = np.flatnonzero(chunk.valid & np.isfinite(chunk.values).all(0))[:left]
        left -= len(at)
        wide.append(band(x[rows], FIT_HZ)[:, at])
        eyes.append(_eye_channels(band(x, EYES_HZ)[:, at], signal, rows))
    if not wide:
        return np.zeros((len(rows), 0)), np.zeros((0, 0))
    return np.concatenate(wide, 1), np.concatenate(eyes, 1)


def _eye_channels(x: Array, signal: SignalSpec, rows: list[int]) -> Array:
    """Return the EOG channels, or the mean of the frontal ones, or nothing."""
    if _eyes_are_eog(signal):
        return x[eeg_of(signal, "eog")]
    front = np.array(rows)[frontal(signal, rows)]
    return x[front].mean(0, keepdims=True) if len(front) else x[:0]


def _fastica(wide: Array, components: int | None, seed: int) -> tuple[Array, Array, bool]:
    """Return unmixing (k, n), mixing (n, k), and whether it converged."""
    import warnings

    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    values = np.linalg.eigvalsh(np.cov(wide))
    rank = int((values > 1e-6 * values.max()).sum())
    if components is not None and not 1 <= components <= rank:
        raise DataError(f"components={components} of signals of rank {rank}", allowed=f"1 to {rank}")
    scale = float(np.sqrt(values.mean()))
    model = FastICA(components or rank, whiten="unit-variance", random_state=seed, max_iter=STEPS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the spec's note tells
        model.fit(wide.T / scale)
    return np.asarray(model.components_) / scale, np.asarray(model.mixing_) * scale, int(model.n_iter_) < STEPS


def _described(
    sources: Array,
    eyes: Array,
    eog: bool,
    mixing: Array,
    eye_correlation: float,
    most_kurtosis: float,
    remove: Sequence[int] | None,
) -> tuple[Component, ...]:
    """Return what each source is, and whether it goes."""
    if remove is not None and not set(remove) <= set(range(len(sources))):
        raise DataError(f"remove={list(remove)} names no component", allowed=f"0 to {len(sources) - 1}")
    found = []
    for k, source in enumerate(sources):
        z = (source - source.mean()) / source.std()
        kurtosis = float((z**4).mean() - 3)
        eye = max((abs(float(np.corrcoef(source, e)[0, 1])) for e in eyes), default=0.0)
        blink = eye >= eye_correlation and (eog or kurtosis > 1)
        gone = k in remove if remove is not None else blink or kurtosis > most_kurtosis
        found.append(Component(eye, kurtosis, gone, tuple(float(v) for v in mixing[:, k])))
    return tuple(found)
