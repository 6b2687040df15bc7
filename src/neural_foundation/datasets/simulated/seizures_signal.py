"""One simulated recording with seizures, from its plan to the values at the electrodes.

Shapes: courses (n_times,); values (8, n_times) float32, volts; spans (n, 2) starts and ends in seconds. Amplitudes in
microvolts, root mean squares unless they are said to be peaks. `focal` (n_times,) runs from 0 to 1 up to an onset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.specs import SignalSpec
from ...recordings.montage import standard_1005
from . import noise
from .made import Made, lognormal, placed

if TYPE_CHECKING:
    from .seizures import SimulatedSeizures

Float = NDArray[np.float64]
Values = NDArray[np.float32]
Rng = np.random.Generator
CHANNELS = ("F7", "T7", "P7", "O1", "F8", "T8", "P8", "O2")
POSTICTAL_S = 300.0
_FOCUS = np.array([0.7, 1.0, 0.6, 0.25, 0.08, 0.1, 0.08, 0.05])  # of a left focus; a right one is its mirror image
_BACK = np.array([0.2, 0.4, 0.8, 1.0, 0.2, 0.4, 0.8, 1.0])


@dataclass(frozen=True, eq=False)
class Plan:
    """When what happens, in seconds. warns : whether this person's seizures announce themselves."""

    seconds: int
    onset: Float
    end: Float
    asleep: Float
    restless: Float
    build_up: Float
    warns: bool
    right: bool


def recording(spec: SimulatedSeizures, subject: str) -> Made:
    """Return the whole recording of one subject."""
    plan = planned(spec, subject)
    person = spec.rng(subject, "person")
    n_times = plan.seconds * spec.sfreq
    focus = np.roll(_FOCUS, 4) if plan.right else _FOCUS
    asleep = _level(plan.asleep, n_times, spec.sfreq, ramp_s=60.0)
    focal = _build_up(spec, plan, n_times)
    microvolts = np.zeros((len(CHANNELS), n_times), np.float32)
    _add_background(microvolts, spec, subject, person, asleep, focus, focal)
    _add_spikes(microvolts, spec, subject, focus, focal)
    _add_seizures(microvolts, spec, subject, plan, focus)
    if spec.distractors:
        _add_movement(microvolts, spec, subject, plan)
    table = standard_1005()
    signal = SignalSpec(
        sfreq=spec.sfreq,
        ch_names=CHANNELS,
        ch_types=("eeg",) * len(CHANNELS),
        positions=tuple(table[n] for n in CHANNELS),
        subject=subject,
    )
    known = {
        "onset_s": plan.onset,
        "end_s": plan.end,
        "focus": np.array("right" if plan.right else "left"),
        "warns": np.array(plan.warns),
        "asleep_s": plan.asleep,
        "restless_s": plan.restless,
        "build_up_s": plan.build_up,
    }
    return Made(microvolts * np.float32(1e-6), signal, _trials(spec, plan), known)


def planned(spec: SimulatedSeizures, subject: str) -> Plan:
    """Return the plan of one subject: seizures with their own stretch before and after, the rest left to chance."""
    rng = spec.rng(subject, "plan")
    seconds = round(spec.hours * 3600)
    before, length = spec.preictal_min * 60 + 120.0, rng.uniform(50.0, 90.0, spec.seizures)
    blocks = before + length + POSTICTAL_S
    free = rng.dirichlet(np.full(spec.seizures + 1, 3.0)) * max(seconds - blocks.sum(), 0.0)
    onset = np.round(np.cumsum(free[:-1]) + np.cumsum(blocks) - blocks + before)
    restless = _spans(rng, seconds, per_hour=1.5, low_s=120.0, high_s=360.0) if spec.distractors else np.zeros((0, 2))
    build_up = _spans(rng, seconds, per_hour=0.4, low_s=240.0, high_s=480.0) if spec.distractors else np.zeros((0, 2))
    alone = np.array([not _near(a, b, onset, before) for a, b in build_up], np.bool_)
    return Plan(
        seconds=seconds,
        onset=onset,
        end=np.round(onset + length),
        asleep=_spans(rng, seconds, per_hour=0.7, low_s=900.0, high_s=2400.0),
        restless=restless,
        build_up=build_up[alone],
        warns=bool(rng.random() >= spec.without_warning),
        right=bool(rng.random() < 0.5),
    )


def _spans(rng: Rng, seconds: float, *, per_hour: float, low_s: float, high_s: float) -> Float:
    """Return stretches (n, 2) that do not overlap."""
    rows, at = [], 0.0
    while (at := at + rng.exponential(3600 / per_hour)) < seconds:
        end = min(at + rng.uniform(low_s, high_s), seconds)
        rows.append((at, end))
        at = end
    return np.array(rows).reshape(-1, 2)


def _near(start: float, end: float, onset: Float, before_s: float) -> bool:
    return bool(((start < onset + 60 + POSTICTAL_S) & (end > onset - before_s)).any())


def _trials(spec: SimulatedSeizures, plan: Plan) -> tuple[tuple[float, float, str], ...]:
    rows, at = [], 0.0
    for onset, end in zip(plan.onset.tolist(), plan.end.tolist(), strict=True):
        start = onset - spec.preictal_min * 60
        rows += [(at, start, "baseline"), (start, onset, "preictal"), (onset, end, "seizure")]
        at = min(end + POSTICTAL_S, float(plan.seconds))
        rows.append((end, at, "postictal"))
    rows.append((at, float(plan.seconds), "baseline"))
    return tuple((a, b, label) for a, b, label in rows if b > a)


def _level(spans: Float, n_times: int, sfreq: float, *, ramp_s: float) -> Float:
    """Return a course that is 1 within the spans and goes there and back over `ramp_s`."""
    n = n_times // round(sfreq) + 1
    inside = np.zeros(n)
    for start, end in spans:
        inside[int(start) : int(end)] = 1.0
    width = max(int(ramp_s), 1)
    smooth = np.convolve(np.pad(inside, (width, 0), mode="edge"), np.full(width + 1, 1 / (width + 1)), "valid")
    return np.asarray(np.interp(np.arange(n_times) / sfreq, np.arange(n), smooth))


def _build_up(spec: SimulatedSeizures, plan: Plan, n_times: int) -> Float:
    """Return how far the focus has changed: up to 1 at an onset, up to a half where it ends in nothing."""
    seconds = np.arange(plan.seconds + 1, dtype=np.float64)
    made = np.zeros(len(seconds))
    for onset in plan.onset if plan.warns else ():
        risen = np.clip(1 - (onset - seconds) / (spec.preictal_min * 60), 0, 1)
        made = np.maximum(made, np.where(seconds <= onset, np.sqrt(risen), 0.0))
    for start, end in plan.build_up:
        made = np.maximum(made, 0.5 * np.clip(1 - np.abs((seconds - start) / (end - start) * 2 - 1), 0, 1))
    return np.asarray(spec.warning * np.interp(np.arange(n_times) / spec.sfreq, seconds, made))


def _band(rng: Rng, n: int, n_times: int, sfreq: float, low_hz: float, high_hz: float) -> Values:
    freqs = noise.frequencies(n_times, sfreq)
    return noise.coloured(
        rng, n, n_times, np.exp(-0.5 * ((freqs - (low_hz + high_hz) / 2) / ((high_hz - low_hz) / 2)) ** 2)
    )


def _waxing(rng: Rng, n_times: int, sfreq: float, spread: float) -> Float:
    """Return a slow factor about 1 (n_times,)."""
    slow = noise.slow(rng, 1, n_times // round(sfreq) + 2, 1.0, 0.01)[0]
    return np.asarray(np.exp(spread * np.interp(np.arange(n_times) / sfreq, np.arange(len(slow)), slow)))


def _add_background(
    microvolts: Values,
    spec: SimulatedSeizures,
    subject: str,
    person: Rng,
    asleep: Float,
    focus: Float,
    focal: Float,
) -> None:
    n_chans, n_times = microvolts.shape
    sfreq, rng = spec.sfreq, spec.rng(subject, "background")
    freqs = np.maximum(noise.frequencies(n_times, sfreq), 0.5)
    exponent, gain = person.normal(1.3, 0.15), 9.0 * lognormal(person, 0.2)
    for row in microvolts:
        row += np.float32(gain * lognormal(person, 0.1)) * noise.coloured(rng, 1, n_times, freqs ** (-exponent / 2))[0]
    rhythms = {  # low, high, awake, asleep, weights, spread between people
        "alpha": (8.0, 12.0, 10.0, 2.5, _BACK, 0.5),
        "theta": (4.0, 7.0, 4.0, 8.0, np.ones(n_chans), 0.25),
        "delta": (0.7, 3.0, 4.0, 18.0, np.full(n_chans, 0.8), 0.25),
    }
    for low, high, awake, in_sleep, weights, spread in rhythms.values():
        level = lognormal(person, spread) * (awake + (in_sleep - awake) * asleep) * _waxing(rng, n_times, sfreq, 0.3)
        course = _band(rng, 1, n_times, sfreq, low, high)[0] * level.astype(np.float32)
        microvolts += weights.astype(np.float32)[:, None] * course
    spindles = spec.rng(subject, "spindles")
    onsets = noise.poisson_times(spindles, n_times / sfreq, 4.0, 2.0)
    onsets = onsets[asleep[(onsets * sfreq).astype(int)] > 0.7]
    microvolts += np.float32(0.8) * placed(onsets, [_spindle(spindles, sfreq) for _ in onsets], n_times, sfreq)
    fast = 3.0 * lognormal(person, 0.25) * _waxing(rng, n_times, sfreq, 0.3)
    for row, weight in zip(microvolts, focus, strict=True):
        course = _band(rng, 1, n_times, sfreq, 14.0, 32.0)[0]
        row *= (1 - 0.15 * weight * np.minimum(focal, 2.0)).astype(np.float32)
        row += (fast * (1 + 0.9 * weight * focal)).astype(np.float32) * course


def _spindle(rng: Rng, sfreq: float) -> Float:
    t = np.arange(int(rng.uniform(0.6, 1.4) * sfreq)) / sfreq
    return np.asarray(20.0 * lognormal(rng, 0.3) * np.hanning(len(t)) * np.sin(2 * np.pi * 13.0 * t))


def _add_spikes(microvolts: Values, spec: SimulatedSeizures, subject: str, focus: Float, focal: Float) -> None:
    """Add spikes with their slow wave: a few at any time, many while the focus builds up."""
    n_times, rng = microvolts.shape[1], spec.rng(subject, "spikes")
    per_min = 0.6 + 7.0 * focal[:: spec.sfreq]
    counts = rng.poisson(per_min / 60)
    onsets = np.repeat(np.arange(len(counts)), counts) + rng.random(counts.sum())
    t = np.arange(int(0.6 * spec.sfreq)) / spec.sfreq
    shape = np.exp(-(((t - 0.08) / 0.025) ** 2)) - 0.45 * np.exp(-(((t - 0.28) / 0.09) ** 2))
    course = placed(onsets, [60.0 * lognormal(rng, 0.3) * shape for _ in onsets], n_times, spec.sfreq)
    microvolts -= focus.astype(np.float32)[:, None] * course


def _add_seizures(microvolts: Values, spec: SimulatedSeizures, subject: str, plan: Plan, focus: Float) -> None:
    rng = spec.rng(subject, "seizures")
    for onset, end in zip(plan.onset, plan.end, strict=True):
        n, at = round((end - onset) * spec.sfreq), round(onset * spec.sfreq)
        share = np.arange(n) / n
        phase = 2 * np.pi * np.cumsum(6.5 - 4.0 * share) / spec.sfreq
        wave = (np.sin(phase) + 0.4 * np.sin(2 * phase)) * 110.0 * np.minimum(share / 0.25, 1.0)
        spread = focus[:, None] + (1 - focus[:, None]) * np.clip((share - 0.3) / 0.3, 0, 1)
        microvolts[:, at : at + n] += (spread * wave * lognormal(rng, 0.15)).astype(np.float32)
        microvolts[:, at : at + n] += _band(rng, len(focus), n, spec.sfreq, 20.0, 45.0) * np.float32(15.0)
        after = slice(at + n, min(at + n + round(POSTICTAL_S * spec.sfreq), microvolts.shape[1]))
        fading = np.exp(-np.arange(after.stop - after.start) / (120.0 * spec.sfreq))
        if len(fading):
            slowing = _band(rng, 1, len(fading), spec.sfreq, 0.7, 3.0)[0]
            microvolts[:, after] += (45.0 * fading * slowing).astype(np.float32)


def _add_movement(microvolts: Values, spec: SimulatedSeizures, subject: str, plan: Plan) -> None:
    """Add movement and muscle, dense where the person is restless, and pops of single electrodes."""
    n_chans, n_times = microvolts.shape
    rng, seconds = spec.rng(subject, "movement"), float(plan.seconds)
    everywhere = noise.poisson_times(rng, seconds, 0.3, 5.0)
    dense = noise.poisson_times(rng, seconds, 6.0, 2.0)
    level = _level(plan.restless, n_times, spec.sfreq, ramp_s=10.0)
    onsets = np.sort(np.concatenate([everywhere, dense[level[(dense * spec.sfreq).astype(int)] > 0.5]]))
    length = rng.uniform(1.0, 6.0, len(onsets))
    muscle = noise.muscle_course(rng, onsets, length, n_times, spec.sfreq)
    sways = [rng.normal(0, 60.0) * np.hanning(max(int(d * spec.sfreq), 3)) for d in length]
    microvolts += rng.uniform(0.3, 1.0, (n_chans, 1)).astype(np.float32) * np.float32(18.0) * muscle
    microvolts += rng.uniform(-1, 1, (n_chans, 1)).astype(np.float32) * placed(onsets, sways, n_times, spec.sfreq)
    t = np.arange(2 * spec.sfreq) / spec.sfreq
    for row in microvolts:
        pops = noise.poisson_times(rng, seconds, 0.1, 5.0)
        row += placed(pops, [rng.normal(0, 120.0) * np.exp(-t / 0.4) for _ in pops], n_times, spec.sfreq)
