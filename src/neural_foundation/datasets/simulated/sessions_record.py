"""What is recorded of a simulated session: spike times, wheel and cameras at their own times, and the LFP.

Wheel: an encoder that reports its position, in steps of 2 pi / 4096, where it changed; times jitter by 3 ms. Cameras:
frames at 60 Hz (left) and 150 Hz (right), whose clocks jitter by a tenth of a frame; a frame's value is
offset + gain (whisking + noise), no less than 0. LFP, volts, 250 Hz: theta (6-9 Hz) that grows with speed, beta
(15-30 Hz) that shrinks with it, gamma (50-90 Hz) that grows with whisking, each with a weight of its own in each
channel, and a 1/f background.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...core.specs import SignalSpec
from .sessions_brain import GRID_S, Made, rates
from .sessions_task import CAMERAS, SPEED, Floats, speed

if TYPE_CHECKING:
    from ...recordings import Series, Session, Signal, Spikes

FRAMES_HZ = {"left": 60.0, "right": 150.0}
LFP_HZ = 250.0
_STEP = 2 * np.pi / 4096
_JITTER = 0.3  # of a sample of the grid


def recorded(made: Made, session_id: str, subject: str) -> Session:
    """Return what is recorded of a session; the spikes, the series and the trials are made when first asked for."""
    from ...recordings import Session
    from ...recordings.interval_table import IntervalTable

    course, names = made.course, [f"probe{p:02d}" for p in range(made.spec.probes)]
    facts = {name: tuple(column) for name, column in course.facts().items()}
    labels = tuple("left" if turn < 0 else "right" for turn in course.turn)
    times = tuple(name for name in facts if name.endswith("_times"))
    cameras: dict[str, Callable[[], Series]] = {
        f"{name}_motion_energy": partial(motion_energy, made, k) for k, name in enumerate(CAMERAS)
    }
    return Session(
        session_id,
        subject,
        {"lfp": lfp(made)} if made.spec.lfp else {},
        IntervalTable(course.start_s, course.end_s, labels, facts, times),
        spikes={name: partial(spikes, made, p) for p, name in enumerate(names)},
        series={"wheel": partial(wheel, made), **cameras},
    )


def spikes(made: Made, probe: int) -> Spikes:
    """Return the spikes of a probe: of each unit a Poisson number, their times by the inverse of its rate's integral.

    What a unit fires is drawn for it alone, so that a probe may be read without the others.
    """
    from ...recordings import Spikes

    edges = np.arange(made.features.shape[1] + 1) * GRID_S
    trains: dict[str, Floats] = {}
    mine = np.arange(probe, len(made.units.base), made.spec.probes)
    rng = made.spec.rng("session", made.number, f"spikes{probe}")
    for which, rate in rates(made.units.of(mine), made.features):
        expected = np.concatenate([np.zeros((len(rate), 1)), np.cumsum(rate, axis=1)], axis=1) * GRID_S
        for offset, row in enumerate(expected):
            at = np.sort(rng.uniform(0.0, row[-1], rng.poisson(row[-1])))
            trains[str(which.start + offset)] = np.interp(at, row, edges)
    regions = made.spec.regions
    facts = {
        "region": [regions[r] for r in made.units.region[mine]],
        "depth_m": (np.arange(len(mine)) * 20e-6).tolist(),
        "quality": made.units.quality[mine].tolist(),
    }
    return Spikes.of(trains, facts)


def wheel(made: Made) -> Series:
    """Return the wheel's position, rad, counter-clockwise positive, at the times when it changed."""
    from ...recordings import Series

    n = len(made.velocity)
    travelled = SPEED * GRID_S * np.concatenate([[0.0], np.cumsum((made.velocity[1:] + made.velocity[:-1]) / 2)])
    times = (np.arange(n) + _jitter(made, "wheel", n)) * GRID_S
    times[[0, -1]] = 0.0, (n - 1) * GRID_S
    position = np.rint(np.interp(times, np.arange(n) * GRID_S, travelled) / _STEP) * _STEP
    changed = np.concatenate([[True], np.diff(position) != 0, [True]])
    kept = changed[:-1] | changed[1:]  # the last sample before a change too: between the others it stood still
    return Series(times[kept], position[kept], ("position",), ("rad",))


def motion_energy(made: Made, camera: int) -> Series:
    """Return the motion energy around the whisker pad as one camera sees it."""
    from ...recordings import Series

    name, animal = CAMERAS[camera], made.animal
    hz, span = FRAMES_HZ[name], (made.whisking.shape[1] - 1) * GRID_S
    n = int(span * hz) + 1
    times = (np.arange(n) + _jitter(made, name, n) / 3) / hz
    rng = made.spec.rng("session", made.number, f"{name} noise")
    seen = np.interp(times, np.arange(made.whisking.shape[1]) * GRID_S, made.whisking[camera])
    noisy = seen + animal.noise[camera] * rng.standard_normal(n)
    return Series(times, np.maximum(animal.offset[camera] + animal.gain[camera] * noisy, 0.0), ("motion_energy",))


def lfp(made: Made) -> Signal:
    """Return the field potential, (n_chans, n_times)."""
    from ...recordings import ArraySignal

    channels, grid = made.spec.lfp, np.arange(len(made.velocity)) * GRID_S
    n = int(grid[-1] * LFP_HZ)
    rng = made.spec.rng("session", made.number, "lfp")
    moving = np.interp(np.arange(n) / LFP_HZ, grid, speed(made.velocity))
    whisking = np.interp(np.arange(n) / LFP_HZ, grid, made.whisking.mean(0))
    sources = np.stack(
        [
            np.exp(0.8 * moving) * _band(rng, n, 6.0, 9.0),
            np.exp(-0.8 * moving) * _band(rng, n, 15.0, 30.0),
            np.exp(0.6 * whisking) * _band(rng, n, 50.0, 90.0),
        ]
    )
    mixing = np.array([60e-6, 30e-6, 15e-6]) * rng.lognormal(0.0, 0.4, (channels, 3))
    values = np.empty((channels, n), np.float32)
    for row, weights in zip(values, mixing, strict=True):
        row[:] = weights @ sources + 40e-6 * _band(rng, n, 0.5, 100.0, pink=True)
    names = tuple(f"lfp{k:03d}" for k in range(channels))
    return ArraySignal(values, SignalSpec(sfreq=LFP_HZ, ch_names=names, ch_types=("seeg",) * channels))


def _band(rng: np.random.Generator, n: int, low_hz: float, high_hz: float, *, pink: bool = False) -> Floats:
    """Return noise (n,) of sd about 1 between two frequencies, flat or of power 1/f."""
    hz = np.fft.rfftfreq(n, 1 / LFP_HZ)
    gain = np.where((hz >= low_hz) & (hz <= high_hz), 1.0, 0.0)
    if pink:
        gain[1:] /= np.sqrt(hz[1:])
    noise: Floats = np.fft.irfft(gain * np.fft.rfft(rng.standard_normal(n)), n) / np.sqrt((gain**2).mean())
    return noise


def _jitter(made: Made, name: str, n: int) -> Floats:
    return made.spec.rng("session", made.number, f"{name} clock").uniform(-_JITTER, _JITTER, n)
