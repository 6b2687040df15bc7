"""The course of a pattern over time: sharp discharges, rhythmic waves, what lies between, and how seizures evolve.

A phase runs at the pattern's rate and jitters from cycle to cycle. Where it passes a whole number stands a discharge
of a shape that does not depend on the rate; between, the phase makes a wave. `sharp` mixes the two. The rate of what
evolves rises, then falls below where it began.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .icu_plan import Plan, progress, soft

Float = NDArray[np.float64]


def course(plan: Plan, times_s: Float, sfreq: float, rng: np.random.Generator) -> Float:
    """Return a pattern (n,) of about unit size; its peaks reach 2 to 3."""
    sharp, evolve = soft(plan.sharp), soft(plan.evolve)
    phase = _phase(rng, rate_hz(plan, times_s), sfreq, jitter=0.05 + 0.06 * sharp)
    tilt, harmonic = rng.uniform(-0.8, 0.8), rng.uniform(0.1, 0.35)
    wave = np.sin(2 * np.pi * phase) + harmonic * np.sin(4 * np.pi * phase + tilt)
    shape = discharge(rng, sfreq, narrow=1 - 0.35 * evolve)
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    train = np.zeros(len(times_s))
    train[at] = rng.lognormal(0.0, 0.22, len(at))
    spikes = np.convolve(train, shape, "same")
    return np.asarray(2.8 * sharp * spikes + 1.35 * (1 - sharp) * wave)


def rate_hz(plan: Plan, times_s: Float) -> Float:
    """Return how many cycles a second a pattern makes over time (n,)."""
    evolve, done = soft(plan.evolve), progress(plan, times_s)
    middle = np.exp((1 - evolve) * np.log(plan.rate_hz) + evolve * np.log(plan.fast_hz))
    rise = np.interp(done, [0.0, 0.35, 1.0], [0.0, 0.45, -0.6])
    return np.asarray(middle * np.exp(evolve * rise))


def _phase(rng: np.random.Generator, hz: Float, sfreq: float, *, jitter: float) -> Float:
    """Return the phase in cycles (n,): the integral of the rate, each cycle a little early or late."""
    steady = rng.random() + np.cumsum(hz) / sfreq
    knots = np.arange(int(steady[-1]) + 3)
    return np.asarray(steady + np.interp(steady, knots, jitter * rng.normal(size=len(knots))))


def discharge(rng: np.random.Generator, sfreq: float, *, narrow: float) -> Float:
    """Return one discharge with a peak near 1: biphasic or triphasic, each patient's EEG its own; mean 0."""
    t = np.arange(-round(0.4 * sfreq), round(0.4 * sfreq) + 1) / sfreq
    width, after = narrow * rng.uniform(0.022, 0.05), narrow * rng.uniform(0.06, 0.12)
    before = rng.uniform(0.0, 0.5)
    shape = (
        np.exp(-0.5 * (t / width) ** 2)
        - before * np.exp(-0.5 * ((t + 2.4 * width) / (1.3 * width)) ** 2)
        - rng.uniform(0.3, 0.7) * np.exp(-0.5 * ((t - 2.2 * after) / after) ** 2)
    )
    return np.asarray((shape - shape.mean()) * rng.choice([-1.0, 1.0]))
