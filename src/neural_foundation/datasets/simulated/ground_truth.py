"""What the simulated sources really did, and the best accuracy they allow.

The ceiling is the accuracy of one threshold on the lateralisation index of the true sources,
log P_right - log P_left, where P is the mean mu power of a hemisphere's source over the decoding window, relative to
that source's own power at rest: left-hand imagery lowers P_right, right-hand imagery lowers P_left. The threshold is
a logistic regression on that one number.
`Ceiling.across` learns it on all other subjects (leave one subject out) and is what a decoder of unseen subjects is
held against; `Ceiling.within` learns it on other trials of the same subject (5 blocks in time).

It is the ceiling of decoders of band power. The index is all but sufficient (the harmonic follows mu exactly, and
other sources carry no class), yet a decoder that weighs the moments within the window may come out a little above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.store import load_arrays, save_arrays

Float = NDArray[np.float64]
CLASSES = ("left_hand", "right_hand")
BIN_S = 0.1


@dataclass(frozen=True, eq=False)
class Truth:
    """The known truth of one recording.

    ch_names, positions : the electrodes, and where they really were (n_chans, 3), metres. left_source, right_source :
    (n_chans,) topographies of the mu source of each hemisphere, volts per ampere metre. source_positions,
    source_orientations : (2, 3), left and right. source_moments : (2,) root mean square at rest, A m. onset_s, label :
    (n_trials,), the label an index into `CLASSES`. power : (n_trials, 2, n_bins) mu power of the left and right
    source in bins of 0.1 s from the cue, (A m)^2. erd : the subject's share of power lost. blink_s : (n,) onsets.
    muscle_s : (n, 2) starts and ends.
    """

    ch_names: tuple[str, ...]
    positions: Float
    left_source: Float
    right_source: Float
    source_positions: Float
    source_orientations: Float
    source_moments: Float
    mu_hz: float
    beta_hz: float
    erd: float
    onset_s: Float
    label: NDArray[np.int64]
    power: Float
    blink_s: Float
    muscle_s: Float

    def lateralisation(self, start_s: float = 0.5, length_s: float = 3.0) -> Float:
        """Return log P_right - log P_left of each trial (n_trials,), over a window counted from the cue.

        P is relative to the source's power at rest. DataError where the window does not lie in the trial.
        """
        first, last = int(round(start_s / BIN_S)), int(round((start_s + length_s) / BIN_S))
        n_bins = self.power.shape[2]
        if not 0 <= first < last <= n_bins:
            raise DataError(
                f"A window of {length_s:g} s from {start_s:g} s does not lie in the trial",
                allowed=f"0 to {n_bins * BIN_S:g} s, at least {BIN_S:g} s long",
            )
        log_power = np.log(self.power[:, :, first:last].mean(2) / self.source_moments**2)
        return np.asarray(log_power[:, 1] - log_power[:, 0])


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Accuracies (n_subjects,) of the decoder of the true sources; `across` is nan where there is one subject."""

    across: Float
    within: Float

    @property
    def accuracy(self) -> float:
        """The ceiling: the mean over left-out subjects."""
        return float(self.across.mean())


def save_truth(folder: Path, subject: str, truth: Truth) -> None:
    """Write `<subject>-truth.npz` into `folder`."""
    save_arrays(_file(folder, subject), {f.name: getattr(truth, f.name) for f in fields(truth)})


def truth(folder: Path | str, subject: str) -> Truth:
    """Return the truth that opening the subject wrote into `folder`; StoreError where it is missing."""
    arrays = load_arrays(_file(Path(folder), subject))
    scalars = {n: float(arrays[n]) for n in ("mu_hz", "beta_hz", "erd")}
    return Truth(**{**arrays, **scalars, "ch_names": tuple(str(n) for n in arrays["ch_names"])})


def ceiling(truths: Sequence[Truth], *, start_s: float = 0.5, length_s: float = 3.0) -> Ceiling:
    """Return the accuracy of the decoder of the true sources, across and within subjects."""
    index = [t.lateralisation(start_s, length_s) for t in truths]
    label = [t.label for t in truths]
    across = np.full(len(truths), np.nan)
    for k in range(len(truths)):
        others = [j for j in range(len(truths)) if j != k]
        if others:
            x, y = np.concatenate([index[j] for j in others]), np.concatenate([label[j] for j in others])
            across[k] = _accuracy(_logistic(x, y), index[k], label[k])
    return Ceiling(across, np.array([_within(x, y) for x, y in zip(index, label, strict=True)]))


def _within(x: Float, y: NDArray[np.int64], n_blocks: int = 5) -> float:
    right = 0.0
    for test in np.array_split(np.arange(len(x)), min(n_blocks, len(x))):
        train = np.setdiff1d(np.arange(len(x)), test)
        right += _accuracy(_logistic(x[train], y[train]), x[test], y[test]) * len(test)
    return right / len(x)


def _logistic(x: Float, y: NDArray[np.int64], penalty: float = 1e-2) -> tuple[float, float]:
    """Return slope and offset of a logistic regression on one number, by Newton steps; the slope is penalised."""
    design = np.column_stack([x, np.ones(len(x))])
    ridge = np.diag([penalty, 1e-6]) * len(x)
    w = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -30, 30)))
        gradient = design.T @ (p - y) + ridge @ w
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + ridge, gradient)
        w = w - step
        if np.abs(step).max() < 1e-9:
            break
    return float(w[0]), float(w[1])


def _accuracy(model: tuple[float, float], x: Float, y: NDArray[np.int64]) -> float:
    return float(((model[0] * x + model[1] > 0) == (y == 1)).mean())


def _file(folder: Path, subject: str) -> Path:
    return folder / f"{subject}-truth.npz"
