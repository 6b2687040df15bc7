"""One simulated night, from its hypnogram to the values at the electrodes.

Shapes: stage (n_steps,) in steps of 10 s; courses (n_times,); values (6, n_times) float32, volts. Amplitudes are root
mean squares in microvolts unless they are said to be peaks. The five columns of a table are W, N1, N2, N3, R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.specs import SignalSpec
from ...recordings.montage import standard_1005
from . import noise
from .made import Made, lognormal, placed
from .sleep import STAGES

if TYPE_CHECKING:
    from .sleep import SimulatedSleep

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rng = np.random.Generator
STEP_S, EPOCH_S = 10.0, 30.0
CHANNELS = ("F4", "C4", "O2", "LOC", "ROC", "chin")
TYPES = ("eeg", "eeg", "eeg", "eog", "eog", "emg")
_W, _N1, _N2, _N3, _R = range(5)

# name: (low Hz, high Hz), rms in each stage, weight on F4, C4, O2
_RHYTHMS: dict[str, tuple[tuple[float, float], tuple[float, ...], tuple[float, ...]]] = {
    "slow": ((0.5, 2.0), (4.0, 5.0, 11.0, 30.0, 5.5), (1.0, 0.8, 0.5)),
    "theta": ((4.0, 7.0), (5.0, 7.5, 7.0, 6.5, 7.5), (0.8, 1.0, 0.6)),
    "alpha": ((8.0, 12.0), (9.0, 4.0, 2.5, 2.0, 3.2), (0.3, 0.5, 1.0)),
    "beta": ((16.0, 30.0), (4.6, 3.6, 2.4, 1.9, 3.4), (1.0, 0.9, 0.7)),
}
_TONE = (10.0, 7.5, 6.0, 5.0, 3.6)  # chin
_ROLLING = (9.0, 25.0, 5.0, 4.0, 7.0)  # slow eye movements
_PER_MIN = {
    "spindle": (0.0, 0.2, 4.0, 1.2, 0.0),
    "k_complex": (0.0, 0.0, 1.6, 0.6, 0.0),
    "saccade": (5.0, 1.0, 0.2, 0.1, 4.5),
    "blink": (5.0, 0.4, 0.0, 0.0, 0.2),
    "arousal": (0.4, 0.25, 0.15, 0.04, 0.12),
    "twitch": (0.0, 0.0, 0.0, 0.0, 2.0),
}


def night(spec: SimulatedSleep, subject: str) -> Made:
    """Return the whole night of one subject."""
    rng = spec.rng(subject, "person")
    stage = hypnogram(spec, spec.rng(subject, "hypnogram"))
    n_times = round(len(stage) * STEP_S * spec.sfreq)
    times = {name: _events(spec.rng(subject, name), stage, rates) for name, rates in _PER_MIN.items()}
    microvolts = np.zeros((len(CHANNELS), n_times), np.float32)
    _add_rhythms(microvolts, spec, subject, stage, rng)
    _add_events(microvolts, spec, subject, times, rng)
    _add_eyes(microvolts, spec, subject, stage, times, rng)
    _add_muscle(microvolts, spec, subject, stage, times, rng)
    table = standard_1005()
    signal = SignalSpec(
        sfreq=spec.sfreq,
        ch_names=CHANNELS,
        ch_types=TYPES,
        positions=tuple(table[n] if t == "eeg" else None for n, t in zip(CHANNELS, TYPES, strict=True)),
        subject=subject,
    )
    known: dict[str, Any] = {f"{n}_s": times[n] for n in ("spindle", "k_complex", "arousal")}
    return Made(microvolts * np.float32(1e-6), signal, _epochs(stage), {"stage": stage, **known})


def hypnogram(spec: SimulatedSleep, rng: Rng) -> NDArray[np.int64]:
    """Return the stage in steps of 10 s: a Markov chain whose rates follow the cycle, and the pressure of sleep."""
    n = max(round(spec.hours * 3600 / EPOCH_S), 1) * round(EPOCH_S / STEP_S)
    pace = 90.0 / spec.cycle_min
    stage = np.zeros(n, np.int64)
    for k in range(1, n):
        minutes = k * STEP_S / 60
        leave = _rates(minutes * pace)[stage[k - 1]] * pace * STEP_S / 60
        u = rng.random()
        edges = np.cumsum(leave)
        stage[k] = int(np.searchsorted(edges, u, side="right")) if u < edges[-1] else stage[k - 1]
    return stage


def _rates(minutes: float) -> Float:
    """Return the rates per minute (5, 5), from row to column, so many minutes into the night."""
    at = (minutes / 90.0) % 1.0
    pressure = np.exp(-minutes / 150.0)
    deep, dreams = float(0.12 < at < 0.65), float(at > 0.7)
    rates = np.zeros((5, 5))
    rates[_W, _N1] = 0.15
    rates[_N1, [_W, _N2, _R]] = 0.08, 0.3, 0.05 * dreams
    rates[_N2, [_W, _N1, _N3, _R]] = 0.025, 0.03, (0.04 + 0.15 * pressure) * deep, 0.22 * dreams
    rates[_N3, [_W, _N2]] = 0.01, 0.06 + 0.3 * (1 - deep)
    rates[_R, [_W, _N1, _N2]] = 0.03, 0.03, 0.01 + 0.3 * (1 - dreams)
    return rates


def _epochs(stage: NDArray[np.int64]) -> tuple[tuple[float, float, str], ...]:
    """Return each epoch under the stage that it holds most of, the middle one where it holds three."""
    rows = stage.reshape(-1, round(EPOCH_S / STEP_S))
    counts = np.stack([(rows == k).sum(1) for k in range(5)], 1)
    most = np.where(counts.max(1) > 1, counts.argmax(1), rows[:, 1])
    return tuple((i * EPOCH_S, (i + 1) * EPOCH_S, STAGES[k]) for i, k in enumerate(most.tolist()))


def _events(rng: Rng, stage: NDArray[np.int64], per_min: tuple[float, ...]) -> Float:
    """Return the onsets in seconds of events that come at the rate of their stage."""
    counts = rng.poisson(np.asarray(per_min)[stage] * STEP_S / 60)
    steps = np.repeat(np.arange(len(stage)), counts)
    return np.sort((steps + rng.random(len(steps))) * STEP_S)


def _course(spec: SimulatedSleep, rng: Rng, stage: NDArray[np.int64], table: tuple[float, ...], wander: float) -> Float:
    """Return an amplitude (n_times,): the stage's own, smoothed over some seconds, waxing and waning."""
    steps = np.log(np.asarray(table))[stage]
    n = len(stage)
    n_times = round(n * STEP_S * spec.sfreq)
    fine = np.linspace(0, n, n * 5, endpoint=False)  # 2 s apart; changes take about 4 s
    level = np.convolve(np.pad(np.repeat(steps, 5), 1, mode="edge"), np.full(3, 1 / 3), "valid")
    level += wander * noise.slow(rng, 1, len(fine), 0.5, 0.02)[0]
    at = np.arange(n_times) / (STEP_S * spec.sfreq)
    return np.asarray(np.exp(np.interp(at, fine + 0.1, level)))


def _band(rng: Rng, n_times: int, sfreq: float, low_hz: float, high_hz: float) -> Float32:
    freqs = noise.frequencies(n_times, sfreq)
    middle, width = (low_hz + high_hz) / 2, (high_hz - low_hz) / 2
    return np.asarray(noise.coloured(rng, 1, n_times, np.exp(-0.5 * ((freqs - middle) / width) ** 2))[0])


def _column(*weights: float) -> Float32:
    return np.array(weights, np.float32)[:, None]


def _add_rhythms(
    microvolts: Float32, spec: SimulatedSleep, subject: str, stage: NDArray[np.int64], person: Rng
) -> None:
    n_times = microvolts.shape[1]
    for name, ((low, high), table, weights) in _RHYTHMS.items():
        rng = spec.rng(subject, name)
        gain = lognormal(person, 0.6 if name == "alpha" else 0.25)
        shift = person.normal(0.0, 0.05 * (low + high) / 2)
        course = _band(rng, n_times, spec.sfreq, max(low + shift, 0.1), high + shift)
        course = course * (gain * _course(spec, rng, stage, table, spec.wander)).astype(np.float32)
        microvolts[:3] += _column(*weights) * course
        if name == "slow":
            microvolts[3:5] += np.float32(0.5) * course  # the eyes' electrodes see the frontal lobes
    freqs = np.maximum(noise.frequencies(n_times, spec.sfreq), 0.5)
    rng, exponent = spec.rng(subject, "background"), person.normal(1.2, 0.15)
    for row in microvolts[:5]:
        row += np.float32(7.0 * lognormal(person, 0.15)) * noise.coloured(rng, 1, n_times, freqs ** (-exponent / 2))[0]


def _add_events(microvolts: Float32, spec: SimulatedSleep, subject: str, times: dict[str, Float], person: Rng) -> None:
    n_times, rng = microvolts.shape[1], spec.rng(subject, "shapes")
    hz, peak = person.normal(13.2, 0.6), 24.0 * lognormal(person, 0.3)
    spindles = []
    for _ in times["spindle"]:
        t = np.arange(int(rng.uniform(0.6, 1.6) * spec.sfreq)) / spec.sfreq
        wave = np.sin(2 * np.pi * rng.normal(hz, 0.4) * t + rng.uniform(0, 6.3))
        spindles.append(peak * lognormal(rng, 0.3) * np.hanning(len(t)) * wave)
    t = np.arange(int(1.2 * spec.sfreq)) / spec.sfreq
    k_shape = -np.exp(-(((t - 0.25) / 0.1) ** 2)) + 0.7 * np.exp(-(((t - 0.65) / 0.2) ** 2))
    k_complexes = [100.0 * lognormal(rng, 0.25) * k_shape for _ in times["k_complex"]]
    for name, shapes, weights in (
        ("spindle", spindles, (0.7, 1.0, 0.4)),
        ("k_complex", k_complexes, (1.0, 0.8, 0.4)),
    ):
        course = placed(times[name], shapes, n_times, spec.sfreq)
        microvolts[:3] += _column(*weights) * course


def _add_eyes(
    microvolts: Float32,
    spec: SimulatedSleep,
    subject: str,
    stage: NDArray[np.int64],
    times: dict[str, Float],
    person: Rng,
) -> None:
    n_times, rng, gain = microvolts.shape[1], spec.rng(subject, "eyes"), lognormal(person, 0.3)
    t = np.arange(int(1.5 * spec.sfreq)) / spec.sfreq
    shape = np.minimum(t / 0.04, 1.0) * np.exp(-t / 0.5)
    sizes = 70.0 * rng.lognormal(0.0, 0.4, len(times["saccade"])) * rng.choice([-1.0, 1.0], len(times["saccade"]))
    eyes = placed(times["saccade"], [s * shape for s in sizes], n_times, spec.sfreq)
    rolling = _course(spec, rng, stage, _ROLLING, spec.wander)
    eyes = eyes + (rolling * _band(rng, n_times, spec.sfreq, 0.2, 0.5)).astype(np.float32)
    microvolts[3] += np.float32(gain) * eyes
    microvolts[4] -= np.float32(gain) * eyes
    heights = 90.0 * gain * rng.lognormal(0.0, 0.2, len(times["blink"]))
    blinks = noise.blink_course(times["blink"], heights, n_times, spec.sfreq)
    microvolts[[3, 4, 0]] += _column(1.0, 1.0, 0.4) * blinks


def _add_muscle(
    microvolts: Float32,
    spec: SimulatedSleep,
    subject: str,
    stage: NDArray[np.int64],
    times: dict[str, Float],
    person: Rng,
) -> None:
    n_times, rng, gain = microvolts.shape[1], spec.rng(subject, "muscle"), lognormal(person, 0.35)
    tone = gain * _course(spec, rng, stage, _TONE, 1.2 * spec.wander)
    microvolts[5] += (tone * _band(rng, n_times, spec.sfreq, 15.0, 45.0)).astype(np.float32)
    twitch = noise.muscle_course(rng, times["twitch"], np.full(len(times["twitch"]), 0.3), n_times, spec.sfreq)
    microvolts[5] += np.float32(20.0 * gain) * twitch
    length = rng.uniform(3.0, 10.0, len(times["arousal"]))
    moving = noise.muscle_course(rng, times["arousal"], length, n_times, spec.sfreq)
    sways = placed(
        times["arousal"],
        [60.0 * lognormal(rng, 0.4) * np.hanning(int(d * spec.sfreq)) for d in length],
        n_times,
        spec.sfreq,
    )
    microvolts += _column(12.0, 10.0, 8.0, 20.0, 20.0, 60.0) * moving
    microvolts[:5] += sways * _column(1.0, 0.6, 0.8, -1.0, 0.9)
