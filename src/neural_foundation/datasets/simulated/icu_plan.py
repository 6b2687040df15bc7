"""What a simulated patient has, and what each of the EEGs shows: numbers only, no signal.

A pattern has a strength (factor on what experts need to see it) and three coordinates: `sharp` (above 0 discharges,
below 0 waves), `lateral` (above 0 one side, below 0 both) and `evolve` (above 0 a seizure). Times are seconds on the
EEG's own clock. `presence` is the course of a pattern's amplitude; the votes and the signal both go by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..hms_table import CLASSES, EEG_S

if TYPE_CHECKING:
    from .icu import SimulatedHMS

Float = NDArray[np.float64]
Rng = np.random.Generator
SEIZURE, LPD, GPD, LRDA, GRDA, OTHER = range(len(CLASSES))
LABELLED_S = 10.0
REGIONS = ("F3", "F7", "C3", "T7", "P3", "P7", "O1")
_SHARES = (0.24, 0.175, 0.185, 0.18, 0.19, 0.03)  # of what is meant; what is too weak to see becomes Other
_SAME = 0.6  # share of a patient's EEGs that show what most of them do
_FIRST_PATIENT, _FIRST_EEG, _FIRST_SPECTROGRAM = 10_000, 100_000_000, 200_000_000
_AMPLITUDE = 1.95  # median strength of a pattern at snr 1; experts need 1


@dataclass(frozen=True)
class Patient:
    """One patient's habits.

    family : index of the class that most of the EEGs show. right, region : where, named on the left. rate_hz : of
    periodic and rhythmic patterns. fast_hz : of seizures. strength, sharp : added to an EEG's log strength and `sharp`.
    """

    number: int
    family: int
    right: bool
    region: str
    rate_hz: float
    fast_hz: float
    strength: float
    sharp: float


@dataclass(frozen=True, eq=False)
class Plan:
    """One EEG.

    offsets : starts of its 50 s windows (n_rows,). meant : index of the class it was made for; experts may see another.
    onset_s, end_s : of the pattern, perhaps outside the EEG. waxing : frequencies and phases (2, 4) of its slow waxing
    and waning. bursts : whether the background is one of bursts and suppression.
    """

    patient: Patient
    eeg: int
    spectrogram: int
    length_s: float
    offsets: Float
    meant: int
    strength: float
    sharp: float
    lateral: float
    evolve: float
    rate_hz: float
    fast_hz: float
    right: bool
    region: str
    onset_s: float
    end_s: float
    waxing: Float
    bursts: bool

    @property
    def label_ids(self) -> list[int]:
        return [self.eeg * 100 + k for k in range(len(self.offsets))]


def patient_id(number: int) -> int:
    """Return the id of a patient in the files."""
    return _FIRST_PATIENT + number


def eeg_ids(spec: SimulatedHMS, number: int) -> list[int]:
    """Return the ids of a patient's EEGs."""
    n = int(spec.rng("patient", number, "eegs").integers(1, spec.eegs + 1))
    return [_FIRST_EEG + 10 * number + k for k in range(n)]


def patient(spec: SimulatedHMS, number: int) -> Patient:
    """Return one patient's habits."""
    rng = spec.rng("patient", number, "habits")
    return Patient(
        number=number,
        family=int(rng.choice(len(CLASSES), p=_SHARES)),
        right=bool(rng.random() < 0.5),
        region=str(rng.choice(REGIONS)),
        rate_hz=float(np.clip(1.5 * rng.lognormal(0.0, 0.3), 0.6, 2.8)),
        fast_hz=float(np.clip(3.6 * rng.lognormal(0.0, 0.25), 2.2, 6.5)),
        strength=float(rng.normal(0.0, 0.2)),
        sharp=float(rng.normal(0.0, 0.2)),
    )


def plan(spec: SimulatedHMS, eeg: int) -> Plan:
    """Return what one EEG shows, and where its windows lie."""
    number, _ = divmod(eeg - _FIRST_EEG, 10)
    who, rng = patient(spec, number), spec.rng("eeg", eeg, "plan")
    gaps = 2.0 * rng.integers(1, 5, int(rng.integers(1, spec.rows + 1)) - 1)
    offsets = np.concatenate([[0.0], np.cumsum(gaps)])
    length_s = EEG_S + float(offsets[-1])
    meant = who.family if rng.random() < _SAME else int(rng.choice(len(CLASSES), p=_SHARES))
    away = np.clip(rng.normal(1.0, 0.45, 3), -0.3, 2.0)  # how clearly it is of its class, in each direction
    sharp, lateral, evolve = away * _signs(rng, meant)
    onset_s, end_s = _stretch(rng, meant, length_s)
    weak = 0.3 if meant == OTHER else 1.0
    return Plan(
        patient=who,
        eeg=eeg,
        spectrogram=eeg - _FIRST_EEG + _FIRST_SPECTROGRAM,
        length_s=length_s,
        offsets=offsets,
        meant=meant,
        strength=float(weak * _AMPLITUDE * spec.snr * np.exp(rng.normal(who.strength, 0.4))),
        sharp=float(sharp + who.sharp),
        lateral=float(lateral),
        evolve=float(evolve),
        rate_hz=float(np.clip(who.rate_hz * rng.lognormal(0.0, 0.12), 0.5, 3.0)),
        fast_hz=float(who.fast_hz * rng.lognormal(0.0, 0.12)),
        right=who.right if rng.random() < 0.8 else not who.right,
        region=who.region if rng.random() < 0.7 else str(rng.choice(REGIONS)),
        onset_s=onset_s,
        end_s=end_s,
        waxing=np.stack([rng.uniform(0.01, 0.08, 4), rng.uniform(0.0, 2 * np.pi, 4)]),
        bursts=bool(rng.random() < (0.3 if meant == OTHER else 0.06)),
    )


def _signs(rng: Rng, meant: int) -> Float:
    """Return on which side of `sharp`, `lateral` and `evolve` a class lies; left to chance where it does not say."""
    sharp, lateral = rng.choice([-1.0, 1.0], 2)
    if meant in (LPD, GPD):
        sharp = 1.0
    if meant in (LRDA, GRDA):
        sharp = -1.0
    if meant in (LPD, LRDA):
        lateral = 1.0
    if meant in (GPD, GRDA):
        lateral = -1.0
    if meant == SEIZURE:
        lateral = 1.0 if rng.random() < 0.7 else -1.0
    return np.array([sharp, lateral, 1.0 if meant == SEIZURE else -1.0])


def _stretch(rng: Rng, meant: int, length_s: float) -> tuple[float, float]:
    """Return when the pattern begins and ends; most of the patterns are there all the time, a seizure passes."""
    middle = length_s / 2
    if meant == SEIZURE:
        onset = middle - rng.uniform(3.0, 40.0)
        return float(onset), float(max(onset + rng.uniform(30.0, 90.0), middle + rng.uniform(-4.0, 10.0)))
    if rng.random() < 0.3:
        length = rng.uniform(8.0, 35.0)
        onset = middle + rng.uniform(-0.75, 0.25) * length
        return float(onset), float(onset + length)
    return -1e4, 1e4


def presence(plan: Plan, times_s: Float) -> Float:
    """Return the amplitude of a pattern over time (n,), 1 on average while it is there."""
    hz, phase = plan.waxing
    waxing = np.exp(0.13 * np.sin(2 * np.pi * hz[:, None] * times_s + phase[:, None]).sum(0))
    ramp = np.clip(np.minimum(times_s - plan.onset_s, plan.end_s - times_s) / 1.5 + 0.5, 0.0, 1.0)
    grown = soft(plan.evolve) * (0.5 + 0.9 * np.clip(progress(plan, times_s) / 0.6, 0.0, 1.0))
    return np.asarray(waxing * ramp * (1 - soft(plan.evolve) + grown))


def progress(plan: Plan, times_s: Float) -> Float:
    """Return how far the pattern has come (n,), from 0 at its onset to 1 at its end."""
    if plan.onset_s < -1e3:  # without end: what evolution there is repeats itself over minutes
        return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * times_s / 120.0 + plan.waxing[1, 0]))
    return np.clip((times_s - plan.onset_s) / (plan.end_s - plan.onset_s), 0.0, 1.0)


def soft(coordinate: float) -> float:
    """Return a coordinate as a share in (0, 1): how far the signal goes in that direction."""
    return float(1 / (1 + np.exp(-3.0 * coordinate)))


def seen(plan: Plan) -> Float:
    """Return how strong the pattern is in the labelled 10 s of each window (n_rows,), in what experts need."""
    inside = np.arange(0.05, LABELLED_S, 0.1)
    starts = plan.offsets + (EEG_S - LABELLED_S) / 2
    return plan.strength * np.array([presence(plan, start + inside).mean() for start in starts])
