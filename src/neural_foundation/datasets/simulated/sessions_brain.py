"""What a simulated session is made of: latent behaviour, tuned units, Poisson spikes, wheel, cameras and LFP.

Shapes: n samples of a grid of 10 ms, C units, F features. Velocity is in units of 3 rad/s.

Latents z are Gaussian processes over the whole session, of covariance exp(-d^2 / 2 l^2): wheel (l = 0.1 s), arousal
(0.5 s), left and right (0.15 s). With r the time since the movement's onset and the trial's turn (-1, 1):
  velocity v = turn vigour movement(r) + restless(r) z_wheel
  whisker state of camera k: u_k = rest_k + (busy_k + lean_k turn) busy(r) + 0.5 z_arousal + 0.5 z_k
  features: speed(v), v (both 60 ms ahead of the spikes), whisk(u_left), whisk(u_right) (20 ms behind them),
    turn ramp(r), drive flash(s), flash(s) (s since the stimulus), block
  log rate of unit c = base_c + drift_c(t) + weights_c . features; the rate is constant over a sample of the grid.
base_c gives the unit, without drift, the mean rate over the session that was drawn for it (log-normal). The drift is
linear between knots about a minute apart, each normal.

Weights: a unit is of one of eight types, by the shares of its region, has the type's weights times a log-normal
factor, negative for one unit in four, and a little of everything. Types and shares are those of the seed, for all
sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .sessions_task import Animal, Course, Floats, busy, flash, movement, ramp, restless, speed, whisk

if TYPE_CHECKING:
    from .sessions import SimulatedSessions

GRID_S = 0.01
LENGTH_S = {"wheel": 0.1, "arousal": 0.5, "left": 0.15, "right": 0.15}
AROUSED, OWN = 0.5, 0.5
LEAD_S = {"wheel": 0.06, "whiskers": -0.02}  # when behaviour is, after the spikes that follow it
FEATURES = ("speed", "velocity", "left_whisk", "right_whisk", "ramp", "stimulus", "onset", "block")
N_BEHAVIOUR = 4  # of the features, the first ones
_PAD = 10  # samples of the grid that latents reach beyond it
_KNOT_S = 60.0
_CHUNK = 32  # units at once

# type: how common, and its weights on the features
_TYPES = {
    "moving": (0.15, (1.5, 0.0, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0)),
    "turning": (0.10, (0.8, 0.4, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0)),
    "whisking_left": (0.15, (0.1, 0.0, 1.4, 0.1, 0.0, 0.0, 0.0, 0.0)),
    "whisking_right": (0.15, (0.1, 0.0, 0.1, 1.2, 0.0, 0.0, 0.0, 0.0)),
    "deciding": (0.12, (0.7, 0.1, 0.0, 0.0, 0.35, 0.0, 0.0, 0.05)),
    "seeing": (0.12, (0.0, 0.0, 0.0, 0.0, 0.0, 0.7, 1.4, 0.0)),
    "expecting": (0.11, (0.0, 0.0, 0.3, 0.3, 0.05, 0.0, 0.4, 0.2)),
    "unmoved": (0.10, (0.0,) * 8),
}
_LITTLE = np.array([0.1, 0.03, 0.1, 0.1, 0.03, 0.08, 0.1, 0.02])


@dataclass(frozen=True, eq=False)
class Units:
    """Tuning of C units: weights (C, F), base (C,), drift (C, n_knots), region (C,) by index, quality (C,)."""

    weights: Floats
    base: Floats
    drift: Floats
    region: NDArray[np.int64]
    quality: Floats

    def of(self, which: NDArray[np.int64]) -> Units:
        """Return some of them."""
        return Units(*(getattr(self, f.name)[which] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Made:
    """One session, with all that is known of it.

    features (F, n): what drives the units at each sample of the grid. velocity (n + 1,), whisking (2, n + 1): at the
    edges of its samples.
    """

    spec: SimulatedSessions
    number: int
    animal: Animal
    course: Course
    units: Units
    features: Floats
    velocity: Floats
    whisking: Floats


def simulate(spec: SimulatedSessions, number: int, animal: int) -> Made:
    """Return a session, a function of the seed, its number and the other fields; never of other sessions."""
    who = Animal.draw(spec.rng("animal", animal, "behaviour"))
    course = Course.draw(who, spec, spec.rng("session", number, "trials"))
    n = int(np.ceil((course.end_s[-1] + 1.0) / GRID_S))
    rng = spec.rng("session", number, "latents")
    latents = np.stack([smooth(rng, n + 1 + 2 * _PAD, length) for length in LENGTH_S.values()])
    centres = (np.arange(n, dtype=np.float64) + 0.5) * GRID_S
    features = features_at(who, course, latents, centres)
    edges = np.arange(n + 1, dtype=np.float64) * GRID_S
    turned, seen = velocity(course, latents, edges), whisking(who, course, latents, edges)
    return Made(spec, number, who, course, tuned(spec, number, features), features, turned, seen)


def smooth(rng: np.random.Generator, n: int, length_s: float) -> Floats:
    """Return n samples of a Gaussian process of sd 1 and covariance exp(-d^2 / 2 length_s^2)."""
    reach = int(np.ceil(3 * length_s / GRID_S))
    kernel = np.exp(-((np.arange(-reach, reach + 1) * GRID_S / length_s) ** 2))
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(rng.standard_normal(n + 2 * reach), kernel, mode="valid")


def velocity(course: Course, latents: Floats, t: Floats) -> Floats:
    """Return the wheel's velocity at times t."""
    trial = _trial(course, t)
    since = t - course.movement_s[trial]
    answer = course.turn[trial] * course.vigour[trial] * movement(since)
    return answer + restless(since) * _at(latents[0], t)


def whisking(animal: Animal, course: Course, latents: Floats, t: Floats) -> Floats:
    """Return the motion energy of both cameras at times t, (2, len(t)), without gain, offset and noise."""
    trial = _trial(course, t)
    driven = busy(t - course.movement_s[trial])
    arousal = AROUSED * _at(latents[1], t)
    states = [
        animal.rest[k] + (animal.busy[k] + animal.lean[k] * course.turn[trial]) * driven + arousal + OWN * _at(z, t)
        for k, z in enumerate(latents[2:])
    ]
    return whisk(np.stack(states))


def features_at(animal: Animal, course: Course, latents: Floats, t: Floats) -> Floats:
    """Return what drives units at times t, (F, len(t))."""
    trial = _trial(course, t)
    ahead = velocity(course, latents, t + LEAD_S["wheel"])
    shown = flash(t - course.stimulus_s[trial])
    return np.stack(
        [
            speed(ahead),
            ahead,
            *whisking(animal, course, latents, t + LEAD_S["whiskers"]),
            course.turn[trial] * ramp(t - course.movement_s[trial]),
            course.drive[trial] * shown,
            shown,
            course.block[trial],
        ]
    )


def _trial(course: Course, t: Floats) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(course.start_s, t, side="right") - 1, 0, len(course.start_s) - 1)


def _at(latent: Floats, t: Floats) -> Floats:
    value: Floats = np.interp(t, (np.arange(len(latent)) - _PAD) * GRID_S, latent)
    return value


def tuned(spec: SimulatedSessions, number: int, features: Floats) -> Units:
    """Return the units of a session."""
    rng = spec.rng("session", number, "units")
    low, high = (round(spec.units * (1 + sign * spec.spread)) for sign in (-1, 1))
    n = int(rng.integers(max(2, low), high + 1))
    along = np.arange(n) // spec.probes  # dealt out to the probes in turn, each from top to bottom
    region = along * len(spec.regions) // (along[-1] + 1)
    weights = spec.tuning * _weights(spec, region, rng)
    mean_hz = spec.rate_hz * rng.lognormal(0.0, 0.8, n)
    drive = np.concatenate([np.exp(weights[a : a + _CHUNK] @ features).mean(1) for a in range(0, n, _CHUNK)])
    knots = 2 + int(features.shape[1] * GRID_S / _KNOT_S)
    drift = spec.drift * rng.standard_normal((n, knots))
    quality = np.where(rng.random(n) < 0.85, 1.0, 2 / 3)
    return Units(weights, np.log(mean_hz / drive), drift, region, quality)


def _weights(spec: SimulatedSessions, region: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    common = np.array([share for share, _ in _TYPES.values()])
    prototypes = np.array([weights for _, weights in _TYPES.values()])
    shares = np.stack([spec.rng("region", name, "types").dirichlet(10 * common) for name in spec.regions])
    n = len(region)
    kind = (rng.random(n)[:, None] > np.cumsum(shares, axis=1)[region, :-1]).sum(axis=1)
    strength = np.where(rng.random(n) < 0.25, -1, 1) * rng.lognormal(0.0, 0.3, n)
    weights: Floats = strength[:, None] * prototypes[kind] + _LITTLE * rng.standard_normal((n, len(FEATURES)))
    return np.clip(weights, -1.8, 1.8)


def log_drift(drift: Floats, n: int) -> Floats:
    """Return the log drift (C, n) on the grid: linear between knots (C, n_knots) that span it evenly."""
    at = (np.arange(n) + 0.5) / n * (drift.shape[1] - 1)
    before = at.astype(np.int64)
    share = at - before
    after = np.minimum(before + 1, drift.shape[1] - 1)
    value: Floats = drift[:, before] * (1 - share) + drift[:, after] * share
    return value


def rates(units: Units, features: Floats, *, drift: bool = True) -> Iterator[tuple[slice, Floats]]:
    """Yield (which units, their rates (units, n) in Hz on the grid); without drift, at its mean over the session."""
    for first in range(0, len(units.base), _CHUNK):
        part = slice(first, first + _CHUNK)
        slow = log_drift(units.drift[part], features.shape[1])
        if not drift:
            slow = np.log(np.exp(slow).mean(1, keepdims=True))
        yield part, np.exp(units.weights[part] @ features + units.base[part, None] + slow)
