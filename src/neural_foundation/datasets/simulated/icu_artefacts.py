"""What is recorded beside the brain: eyes, muscle, heart, mains, and electrodes that pop, move, lie flat or are lost.

Shapes: values (19, n) microvolts at the scalp electrodes, changed in place; n samples at `HZ`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import noise
from .icu_brain import SCALP
from .icu_plan import Plan
from .made import lognormal, placed

if TYPE_CHECKING:
    from .icu import SimulatedHMS

Float = NDArray[np.float64]
Values = NDArray[np.float32]
Rng = np.random.Generator
HZ = 200.0
MAINS_HZ = 60.0
_AT = {name: k for k, name in enumerate(SCALP)}


def add_artefacts(values: Values, spec: SimulatedHMS, plan: Plan) -> None:
    """Add what this EEG has of each kind of artefact; how many there are goes by the setting `artefacts`."""
    for name, (share, add) in _KINDS.items():
        rng = spec.rng("eeg", plan.eeg, "artefact", name)
        if rng.random() < min(share * spec.artefacts, 1.0):
            add(values, rng)


def heart(spec: SimulatedHMS, plan: Plan) -> Values:
    """Return the EKG channel (n,), microvolts: beats of P, QRS and T, breath and noise."""
    rng, n = spec.rng("eeg", plan.eeg, "heart"), round(plan.length_s * HZ)
    period = 60.0 / rng.uniform(55.0, 120.0)
    beats = np.cumsum(period * (1 + 0.03 * rng.normal(size=int(plan.length_s / period * 1.3) + 4))) - period
    t = np.arange(-0.3, 0.5, 1 / HZ)
    waves = ((0.12, -0.17, 0.025), (-0.12, -0.03, 0.01), (1.0, 0.0, 0.012), (-0.25, 0.03, 0.012), (0.28, 0.25, 0.05))
    shape = sum((a * np.exp(-0.5 * ((t - at) / width) ** 2) for a, at, width in waves), np.zeros(len(t)))
    made = placed(beats[beats > 0], [shape] * int((beats > 0).sum()), n, HZ) * np.float32(600 * lognormal(rng, 0.4))
    return np.asarray(made + 40 * noise.slow(rng, 1, n, HZ, 0.3)[0] + 8 * _white(rng, n), np.float32)


def add_heart(values: Values, beats: Values, spec: SimulatedHMS, plan: Plan) -> None:
    """Let some of the heart be seen in the EEG, more on the left, in some EEGs."""
    rng = spec.rng("eeg", plan.eeg, "artefact", "heart")
    if rng.random() < min(0.2 * spec.artefacts, 1.0):
        tilt = np.linspace(1.0, -0.6, len(SCALP)) * rng.uniform(0.01, 0.035)
        values += np.outer(tilt, beats).astype(np.float32)


def lose_samples(values: Values, spec: SimulatedHMS, plan: Plan) -> None:
    """Put NaN where the samples of an EEG are missing: of all channels (values (20, n)), or of one."""
    rng = spec.rng("eeg", plan.eeg, "missing")
    if rng.random() >= spec.nan_share:
        return
    length = min(round(rng.uniform(0.5, 8.0) * HZ), values.shape[1] // 3)
    start = int(rng.integers(0, values.shape[1] - length))
    rows = slice(None) if rng.random() < 0.7 else slice(row := int(rng.integers(len(SCALP))), row + 1)
    values[rows, start : start + length] = np.nan


def _white(rng: Rng, n: int) -> Values:
    return rng.standard_normal(n, np.float32)


def _blinks(values: Values, rng: Rng) -> None:
    n = values.shape[1]
    onsets = noise.poisson_times(rng, n / HZ, rng.uniform(6.0, 40.0), 0.7)
    eyes = noise.blink_course(onsets, 75.0 * rng.lognormal(0.0, 0.3, len(onsets)), n, HZ)
    for name, share in {"Fp1": 1.0, "Fp2": 1.0, "F7": 0.45, "F8": 0.45, "F3": 0.35, "F4": 0.35, "Fz": 0.3}.items():
        values[_AT[name]] += np.float32(share * lognormal(rng, 0.1)) * eyes


def _muscle(values: Values, rng: Rng) -> None:
    n = values.shape[1]
    for side in (("T3", "F7", "T5", "Fp1"), ("T4", "F8", "T6", "Fp2")):
        onsets = noise.poisson_times(rng, n / HZ, rng.uniform(2.0, 8.0), 1.0)
        lengths = rng.uniform(0.5, 6.0, len(onsets))
        size = rng.uniform(6.0, 22.0)
        for name, share in zip(side, (1.0, 0.7, 0.5, 0.35), strict=True):
            values[_AT[name]] += np.float32(size * share) * noise.muscle_course(rng, onsets, lengths, n, HZ)


def _pops(values: Values, rng: Rng) -> None:
    n, row = values.shape[1], int(rng.integers(len(SCALP)))
    onsets = noise.poisson_times(rng, n / HZ, rng.uniform(4.0, 30.0), 0.5)
    fall = np.exp(-np.arange(round(1.5 * HZ)) / HZ / rng.uniform(0.1, 0.4))
    sizes = rng.uniform(50.0, 200.0) * rng.lognormal(0.0, 0.4, len(onsets)) * rng.choice([-1.0, 1.0])
    values[row] += placed(onsets, [size * fall for size in sizes], n, HZ)


def _movement(values: Values, rng: Rng) -> None:
    n = values.shape[1]
    onsets = noise.poisson_times(rng, n / HZ, 2.0, 5.0)
    hulls = [np.hanning(round(rng.uniform(2.0, 6.0) * HZ)) for _ in onsets]
    there = placed(onsets, hulls, n, HZ)
    sway = noise.slow(rng, 3, n, HZ, rng.uniform(0.6, 1.6))
    values += (rng.normal(0.0, 25.0, (len(SCALP), 3)).astype(np.float32) @ sway) * there


def _mains(values: Values, rng: Rng) -> None:
    line = noise.line_course(rng, values.shape[1], HZ, MAINS_HZ)
    gains = rng.uniform(1.5, 10.0) * rng.lognormal(0.0, 0.6, len(SCALP)) * np.exp(1j * rng.normal(0.0, 0.4, len(SCALP)))
    for row, gain in zip(values, gains, strict=True):
        row += (gain * line).real.astype(np.float32)


def _flat(values: Values, rng: Rng) -> None:
    row, n = int(rng.integers(len(SCALP))), values.shape[1]
    start = int(rng.integers(0, n)) if rng.random() < 0.5 else 0
    values[row, start:] = 0.3 * _white(rng, n - start)


def _drift(values: Values, rng: Rng) -> None:
    values += np.float32(rng.uniform(4.0, 18.0)) * noise.slow(rng, len(SCALP), values.shape[1], HZ, 0.15)


_KINDS: dict[str, tuple[float, Callable[[Values, Rng], None]]] = {
    "blinks": (0.35, _blinks),
    "muscle": (0.35, _muscle),
    "movement": (0.12, _movement),
    "drift": (0.4, _drift),
    "pops": (0.15, _pops),
    "flat": (0.06, _flat),
    "mains": (0.6, _mains),
}
