"""The brain of a simulated patient at the 19 scalp electrodes: a background, and a pattern upon it.

Shapes: values (19, n) in microvolts; topographies (19,) or (19, n_sources), at most 1 where they are of patterns. Any
stretch of an EEG at any rate comes from one function, so that its surroundings can be had at a lower rate. Sources
lie under the 64 electrodes of `head`; T3, T4, T5 and T6 are T7, T8, P7 and P8 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..hms import CHANNELS
from . import noise
from .head import CH_NAMES, Head, leadfield, standard_head, unit
from .icu_patterns import course
from .icu_plan import Patient, Plan, presence, progress, soft
from .made import lognormal

if TYPE_CHECKING:
    from .icu import SimulatedHMS

Float = NDArray[np.float64]
Values = NDArray[np.float32]
Rng = np.random.Generator
SCALP = CHANNELS[:-1]
LEFT = np.array([name[-1] in "13579" for name in SCALP])
RIGHT = np.array([name[-1] in "2468" for name in SCALP])
_TODAY = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_ROWS = [CH_NAMES.index(_TODAY.get(name, name)) for name in SCALP]
_DEPTH, _N_SOURCES = 0.78, 24
_PATTERN_SIZE = 4.1  # of a pattern that experts just see, in root mean squares of the background
_TOP_HZ = 25.0


@dataclass(frozen=True, eq=False)
class Person:
    """What of a patient's background is the same in all EEGs; root mean squares in microvolts."""

    gain: float
    exponents: Float
    sources: Float
    alpha: Float
    alpha_hz: float
    slow: Float
    slow_hz: float
    fast: Float


@lru_cache(maxsize=1)
def field() -> Float:
    """Return what a dipole along x, y or z under each of the 64 electrodes puts on the scalp (19, 64, 3)."""
    head = standard_head()
    points = np.repeat(_under(head), 3, 0)
    whole = leadfield(head, points, np.tile(np.eye(3), (len(CH_NAMES), 1)))
    kept = whole[_ROWS].reshape(len(SCALP), len(CH_NAMES), 3)
    return np.asarray(kept / np.abs(kept).max())


def _under(head: Head) -> Float:
    return head.inside(head.electrodes, _DEPTH)


def patch(region: str, right: bool, width_m: float) -> Float:
    """Return the topography (19,) of radial sources around a place, with 1 where it is largest."""
    head, name = standard_head(), _mirrored(region) if right else region
    points = _under(head)
    away = ((points - points[CH_NAMES.index(name)]) ** 2).sum(1)
    weight = np.exp(-0.5 * away / width_m**2)
    made = np.einsum("csk,sk,s->c", field(), unit(points - head.centre), weight)
    return np.asarray(made / np.abs(made).max())


def _mirrored(name: str) -> str:
    return name[:-1] + str(int(name[-1]) + 1)


@lru_cache(maxsize=8)
def _person(spec: SimulatedHMS, number: int) -> Person:
    rng = spec.rng("patient", number, "background")
    gain = 8.5 * lognormal(rng, 0.25)
    at = rng.choice(len(CH_NAMES), _N_SOURCES, replace=False)
    along = unit(rng.normal(size=(_N_SOURCES, 3)))
    sources = np.einsum("csk,sk->cs", field()[:, at], along) * rng.lognormal(0.0, 0.3, _N_SOURCES)
    sides = (patch("O1", False, 0.03), patch("O1", True, 0.03))
    alpha = np.stack(sides, 1) * 5.0 * lognormal(rng, 0.7) * rng.lognormal(0.0, 0.25, 2)
    places = rng.choice(["F3", "F7", "C3", "T7", "P3"], 4)
    lesion = rng.choice([0.0, 1.0], p=[0.6, 0.4]) * rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)
    slow = np.stack([patch(str(p), k % 2 == 1, 0.04) for k, p in enumerate(places)], 1)
    sizes = 7.0 * lognormal(rng, 0.5) * rng.lognormal(0.0, 0.2, 4) * np.exp(0.6 * lesion * np.array([-1, 1, -1, 1]))
    return Person(
        gain=gain,
        exponents=rng.normal(rng.normal(1.5, 0.2), 0.15, _N_SOURCES),
        sources=sources * gain / np.sqrt((sources**2).sum(1).mean()),
        alpha=alpha,
        alpha_hz=float(np.clip(rng.normal(8.8, 1.0), 6.5, 11.5)),
        slow=slow * sizes,
        slow_hz=float(np.clip(rng.normal(1.7, 0.5), 0.8, 3.0)),
        fast=np.stack([patch("F3", False, 0.05), patch("F3", True, 0.05)], 1) * 2.0 * lognormal(rng, 0.6),
    )


def person(spec: SimulatedHMS, patient: Patient) -> Person:
    """Return the background of a patient."""
    return _person(spec, patient.number)


def brain(spec: SimulatedHMS, plan: Plan, times_s: Float, sfreq: float, part: str) -> Values:
    """Return what the brain puts on the scalp (19, n) at `times_s`, drawn from the generators of that part."""
    who = person(spec, plan.patient)
    values = _background(who, spec.rng("eeg", plan.eeg, part, "background"), len(times_s), sfreq)
    if plan.bursts:
        values *= bursts(spec.rng("eeg", plan.eeg, part, "bursts"), len(times_s), sfreq)
    values += _pattern(spec, who, plan, times_s, sfreq, part)
    return values


def _background(who: Person, rng: Rng, n: int, sfreq: float) -> Values:
    freqs = noise.frequencies(n, sfreq)
    usual = rng.lognormal(0.0, 0.2, 4)
    pink = np.maximum(freqs, 0.5) ** (-who.exponents[:, None] / 2)
    values = _mixed(who.sources * usual[0], _level(pink, freqs) * noise.coloured(rng, _N_SOURCES, n, pink))
    slow = noise.coloured(rng, 4, n, np.exp(-0.5 * ((freqs - who.slow_hz) / 0.9) ** 2))
    values += _mixed(who.slow * usual[1] / np.sqrt(2), slow)
    alpha = noise.coloured(rng, 2, n, np.exp(-0.5 * ((freqs - who.alpha_hz) / 0.8) ** 2))
    values += _mixed(who.alpha * usual[2], alpha)
    if sfreq > 2 * _TOP_HZ:
        fast = noise.coloured(rng, 2, n, np.exp(-0.5 * ((freqs - 19.0) / 3.5) ** 2))
        values += _mixed(who.fast * usual[3], fast)
        values += np.float32(0.8) * noise.coloured(rng, len(SCALP), n, np.ones(len(freqs)))
    return values


def _mixed(topographies: Float, courses: Values) -> Values:
    return np.asarray(topographies.astype(np.float32) @ courses)


def _level(spectrum: Float, freqs: Float) -> Values:
    """Return factors (n, 1) that give the part below 25 Hz unit variance, at whatever rate."""
    power = spectrum**2
    return np.asarray(np.sqrt(power.sum(1) / power[:, freqs <= _TOP_HZ].sum(1))[:, None], np.float32)


def bursts(rng: Rng, n: int, sfreq: float) -> Values:
    """Return the amplitude (n,) of a background of bursts and suppression."""
    lengths = np.stack([rng.uniform(0.6, 3.0, 1 + int(n / sfreq)), rng.uniform(1.0, 5.0, 1 + int(n / sfreq))], 1)
    edges = np.cumsum(lengths.ravel())
    on = np.searchsorted(edges, np.arange(n) / sfreq, side="right") % 2 == 0
    width = max(round(0.2 * sfreq), 1)
    smooth = np.convolve(np.pad(on.astype(np.float64), width, mode="edge"), np.full(width, 1 / width), "same")
    return np.asarray(0.25 + 1.25 * smooth[width:-width], np.float32)


def _pattern(spec: SimulatedHMS, who: Person, plan: Plan, times_s: Float, sfreq: float, part: str) -> Values:
    """Return the pattern (19, n): its course on its own side, on the other, and where a seizure has spread to."""
    height = presence(plan, times_s) * plan.strength * _PATTERN_SIZE * _scale(who)
    wave = height * course(plan, times_s, sfreq, spec.rng("eeg", plan.eeg, part, "pattern"))
    both = 1 - soft(0.8 * plan.lateral)
    width = 0.025 + 0.03 * both
    own, other = patch(plan.region, plan.right, width), patch(plan.region, not plan.right, width)
    spread = 0.8 * soft(plan.evolve) * progress(plan, times_s)
    wide = 0.7 * patch("C3", plan.right, 0.05) + 0.5 * patch("C3", not plan.right, 0.05)
    near = (own + both * other) * (1 - 0.3 * both)
    return _mixed(np.stack([near, wide + 0.2 * own], 1), np.stack([(1 - spread) * wave, spread * wave]).astype("f4"))


def _scale(who: Person) -> float:
    """Return the root mean square of a patient's background, in microvolts."""
    power = (who.sources**2).sum(1) + (who.slow**2).sum(1) / 2 + (who.alpha**2).sum(1)
    return float(np.sqrt(power.mean()))
