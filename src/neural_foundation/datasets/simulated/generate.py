"""One subject's recording, from the plan of its trials to the values at the electrodes.

Shapes: values (n_chans, n_times) float32 in volts; dipole moments (2, n_times) in A m, left hemisphere first.
Each part draws from a generator named by (seed, subject, part).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.seeds import generator
from ...core.specs import SignalSpec
from . import noise
from .ground_truth import BIN_S, Truth
from .head import CH_NAMES, MONTAGES, standard_positions
from .person import Person, draw

if TYPE_CHECKING:
    from .motor_imagery import SimulatedMotorImagery

Float = NDArray[np.float64]
_RAMP_S = (0.25, 0.75)  # the power falls and comes back between these times after the cue and after the trial


@dataclass(frozen=True, eq=False)
class Recording:
    """One simulated recording before it is written: values (n_chans, n_times) in volts, float32."""

    values: NDArray[np.float32]
    spec: SignalSpec
    truth: Truth


def simulate(spec: SimulatedMotorImagery, subject: str) -> Recording:
    """Return the whole recording of one subject."""
    person = draw(spec.seed, subject, erd=spec.erd, snr=spec.snr, n_background=spec.background)
    plan = _plan(spec, subject)
    keep = np.array([CH_NAMES.index(n) for n in MONTAGES[spec.channels]])
    moments, power = _hand_sources(spec, subject, person, plan)
    values = (person.hands[keep].astype(np.float32)) @ moments
    _add_brain(values, spec, subject, person, keep)
    artefacts = _add_artefacts(values, spec, subject, person, keep)
    names = MONTAGES[spec.channels]
    positions = tuple((float(x), float(y), float(z)) for x, y, z in standard_positions(names))
    signal = SignalSpec(
        sfreq=spec.sfreq, ch_names=names, ch_types=("eeg",) * len(names), positions=positions, subject=subject
    )
    return Recording(values, signal, _truth(spec, person, plan, power, keep, artefacts))


@dataclass(frozen=True, eq=False)
class _Plan:
    """When each trial starts (samples), what it is (index of its class), how long the recording lasts."""

    onset: NDArray[np.int64]
    label: NDArray[np.int64]
    n_times: int


def _rng(spec: SimulatedMotorImagery, subject: str, part: str) -> np.random.Generator:
    return generator(spec.seed, "simulated_motor_imagery", subject, part)


def _plan(spec: SimulatedMotorImagery, subject: str) -> _Plan:
    rng = _rng(spec, subject, "plan")
    label = rng.permutation(np.arange(spec.trials) % 2)
    rests = spec.rest_s * (1 + 0.25 * rng.random(spec.trials))  # nobody can count the seconds to the next cue
    onset_s = np.cumsum(rests) + np.arange(spec.trials) * spec.trial_s
    seconds = int(np.ceil(onset_s[-1] + spec.trial_s + spec.rest_s))  # whole seconds: whole EDF records
    return _Plan(np.round(onset_s * spec.sfreq).astype(np.int64), label, seconds * spec.sfreq)


def _hand_sources(
    spec: SimulatedMotorImagery, subject: str, person: Person, plan: _Plan
) -> tuple[NDArray[np.float32], Float]:
    """Return the dipole moments (2, n_times) of the left and right hemisphere, A m, and their mu power."""
    rng = _rng(spec, subject, "hands")
    wander = noise.slow(rng, 2, plan.n_times, spec.sfreq, 0.1)
    kept = _kept_power(spec, person, plan, rng)
    moments = np.empty((2, plan.n_times), np.float32)
    power = np.empty((2, plan.n_times))
    for side in range(2):
        mu = noise.narrowband(rng, plan.n_times, spec.sfreq, person.mu_hz, 1.0)
        mu *= person.hand_moments[side] * np.sqrt(kept[side] * np.exp(0.3 * wander[side]))
        envelope = np.abs(mu)
        harmonic = (mu**2).real / np.maximum(envelope, 1e-30)
        moments[side] = mu.real + person.beta_ratio * harmonic
        power[side] = envelope**2 / 2
    return moments, power


def _kept_power(spec: SimulatedMotorImagery, person: Person, plan: _Plan, rng: np.random.Generator) -> Float:
    """Return the share of its power that each hemisphere keeps (2, n_times)."""
    n = int(np.ceil((spec.trial_s + _RAMP_S[1]) * spec.sfreq))
    time = np.arange(n) / spec.sfreq
    course = _ramp(time) * (1 - _ramp(time - spec.trial_s))
    kept = np.ones((2, plan.n_times))
    for start, label in zip(plan.onset, plan.label, strict=True):
        depth = min(person.erd * rng.lognormal(0.0, 0.25), 0.97)
        contra = 1 - int(label)  # the left hand (0) is moved by the right hemisphere (1)
        kept[contra, start : start + n] *= 1 - depth * course
        kept[1 - contra, start : start + n] *= 1 - depth * person.ipsilateral * course
    return kept


def _ramp(time_s: Float) -> Float:
    low, high = _RAMP_S
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip((time_s - low) / (high - low), 0.0, 1.0)))


def _add_brain(
    values: NDArray[np.float32], spec: SimulatedMotorImagery, subject: str, person: Person, keep: NDArray[np.int64]
) -> None:
    n_chans, n_times = values.shape
    freqs = np.maximum(noise.frequencies(n_times, spec.sfreq), 0.5)  # below 0.5 Hz the 1/f spectrum is flat
    rng = _rng(spec, subject, "background")
    for start in range(0, spec.background, 16):  # a few dipoles at a time bound the memory
        part = slice(start, start + 16)
        spectra = freqs ** (-person.exponents[part, None] / 2)
        courses = noise.coloured(rng, len(spectra), n_times, spectra)
        values += person.background[keep, part].astype(np.float32) @ courses
    rng = _rng(spec, subject, "alpha")
    alpha = np.stack([noise.narrowband(rng, n_times, spec.sfreq, person.alpha_hz, 0.8).real for _ in range(2)])
    values += (person.alpha[keep] @ alpha).astype(np.float32)
    values += np.float32(0.7e-6) * _rng(spec, subject, "sensors").standard_normal((n_chans, n_times), np.float32)


def _add_artefacts(
    values: NDArray[np.float32], spec: SimulatedMotorImagery, subject: str, person: Person, keep: NDArray[np.int64]
) -> dict[str, Float]:
    """Add blinks, muscles, line and drift to the values; return when the blinks and bursts were."""
    n_times = values.shape[1]
    blinks, muscle = np.zeros(0), np.zeros((0, 2))
    if spec.blinks:
        rng = _rng(spec, subject, "blinks")
        blinks = noise.poisson_times(rng, n_times / spec.sfreq, person.blinks_per_min, 1.0)
        heights = person.blink_volts * rng.lognormal(0.0, 0.15, len(blinks))
        course = noise.blink_course(blinks, heights, n_times, spec.sfreq)
        values += np.outer(person.eyes[keep], course).astype(np.float32)
    if spec.muscle:
        muscle = _add_muscle(values, spec, _rng(spec, subject, "muscle"), person, keep)
    _add_line_and_drift(values, spec, _rng(spec, subject, "line"), _rng(spec, subject, "drift"), keep)
    return {"blink_s": blinks, "muscle_s": muscle}


def _add_muscle(
    values: NDArray[np.float32],
    spec: SimulatedMotorImagery,
    rng: np.random.Generator,
    person: Person,
    keep: NDArray[np.int64],
) -> Float:
    """Add bursts of the left and right temporal muscles; return their (n, 2) starts and ends in seconds."""
    n_times = values.shape[1]
    spans = []
    for name in ("T7", "T8"):
        onsets = noise.poisson_times(rng, n_times / spec.sfreq, 1.5, 3.0)
        durations = rng.uniform(0.4, 1.5, len(onsets))
        course = noise.muscle_course(rng, onsets, durations, n_times, spec.sfreq)
        # muscles lie outside the skull: no dipole in the brain, but a patch of scalp about 4 cm wide
        offsets = person.head.electrodes - (person.head.electrode(name) + np.array([0.0, 0.015, 0.0]))
        patch = np.exp(-0.5 * (offsets**2).sum(1) / 0.03**2)
        patch = (patch - patch.mean()) / patch.max() * 18e-6 * rng.lognormal(0.0, 0.3)
        values += np.outer(patch[keep], course).astype(np.float32)
        spans.append(np.column_stack([onsets, onsets + durations]))
    both = np.concatenate(spans)
    return np.asarray(both[np.argsort(both[:, 0])])


def _add_line_and_drift(
    values: NDArray[np.float32],
    spec: SimulatedMotorImagery,
    line: np.random.Generator,
    drift: np.random.Generator,
    keep: NDArray[np.int64],
) -> None:
    n_times = values.shape[1]
    for harmonic, volts in ((1, 3e-6), (3, 0.6e-6)):
        hz = harmonic * (spec.line_hz or 0.0)
        gains = line.lognormal(0.0, 0.4, 64) * np.exp(1j * line.normal(0.0, 0.3, 64))
        if 0 < hz < spec.sfreq / 2:  # the amplifier's own low-pass takes the rest
            course = noise.line_course(line, n_times, spec.sfreq, hz) * volts
            for row, gain in zip(values, gains[keep], strict=True):
                row += (gain * course).real.astype(np.float32)
    for row in values:
        row += np.float32(6e-6) * noise.slow(drift, 1, n_times, spec.sfreq, 0.1)[0]


def _truth(
    spec: SimulatedMotorImagery,
    person: Person,
    plan: _Plan,
    power: Float,
    keep: NDArray[np.int64],
    artefacts: dict[str, Float],
) -> Truth:
    return Truth(
        ch_names=MONTAGES[spec.channels],
        positions=person.head.electrodes[keep],
        left_source=person.hands[keep, 0],
        right_source=person.hands[keep, 1],
        source_positions=person.hand_positions,
        source_orientations=person.hand_orientations,
        source_moments=person.hand_moments,
        mu_hz=person.mu_hz,
        beta_hz=person.beta_hz,
        erd=person.erd,
        onset_s=plan.onset / spec.sfreq,
        label=plan.label,
        power=_binned(power, plan.onset, spec),
        **artefacts,
    )


def _binned(power: Float, onset: NDArray[np.int64], spec: SimulatedMotorImagery) -> Float:
    """Return the mean power (n_trials, 2, n_bins) in bins of `BIN_S` from each cue."""
    edges = np.round(np.arange(int(round(spec.trial_s / BIN_S)) + 1) * BIN_S * spec.sfreq).astype(np.int64)
    total = np.concatenate([np.zeros((2, 1)), np.cumsum(power, 1)], 1)
    at = total[:, onset[:, None] + edges]
    return np.asarray((np.diff(at, axis=2) / np.diff(edges)).transpose(1, 0, 2))
