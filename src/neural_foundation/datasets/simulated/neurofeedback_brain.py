"""A simulated brain that is stepped, and that learns from the feedback it is given.

Shapes: values (8, n) float32, volts. A hop is the piece of signal between two pieces of feedback.

Alpha has amplitude a exp(skill + x) while the person tries and a exp(x) at rest; x is a fluctuation of its own (an
Ornstein-Uhlenbeck process). Learning is reward times what the brain had just done by chance (the REINFORCE rule,
Williams 1992, Mach Learn 8:229): after feedback f in [0, 1],

    skill += rate (f - expected f) trace(x) (1 - |skill| / most),

where the expected f is a running mean and the trace remembers x for some seconds. Feedback that follows the person's
own alpha is, on average, right about x, and the skill grows. Feedback of somebody else (sham) is as often wrong as
right, and the skill wanders about where it was. A person who does not respond has rate 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.seeds import generator
from ...core.specs import SignalSpec
from ...recordings.montage import standard_1005
from .made import Made, lognormal

if TYPE_CHECKING:
    from .neurofeedback import SimulatedNeurofeedback

Values = NDArray[np.float32]
CHANNELS = ("Fz", "C3", "C4", "P3", "Pz", "P4", "O1", "O2")
HOP_S = 0.25
MOST = 0.6  # skill, about 5 dB
_WEIGHTS = np.array([0.2, 0.3, 0.3, 0.7, 0.9, 0.7, 1.0, 1.0])
_FLUCTUATION_S, _SPREAD = 4.0, 0.35  # of x
_TRACE_S, _EXPECTED_S = 3.0, 30.0
_RATE = 0.014  # of somebody who responds, a hop
_WIDTH_HZ = 0.8
_SLOW_S = (0.004, 0.02, 0.1, 0.5)  # time constants whose sum falls about as 1/f


def signal_spec(sfreq: float, subject: str | None = None) -> SignalSpec:
    """Return what the brain's signal is."""
    table = standard_1005()
    return SignalSpec(
        sfreq=sfreq,
        ch_names=CHANNELS,
        ch_types=("eeg",) * len(CHANNELS),
        positions=tuple(table[n] for n in CHANNELS),
        subject=subject,
    )


@dataclass(frozen=True)
class Person:
    """Who somebody is: what no session changes. Amplitudes in volts, rms; `rate` is 0 where nothing is learnt."""

    alpha_hz: float
    alpha: float
    background: float
    rate: float
    blinks_per_min: float

    @property
    def responds(self) -> bool:
        return self.rate > 0


def person(seed: int, name: str, *, responders: float = 0.7) -> Person:
    """Return the person of this name."""
    rng = generator(seed, "simulated_neurofeedback", name, "person")
    return Person(
        alpha_hz=float(np.clip(rng.normal(10.0, 0.8), 8.5, 11.5)),
        alpha=9e-6 * lognormal(rng, 0.35),
        background=10e-6 * lognormal(rng, 0.2),
        blinks_per_min=float(rng.uniform(4.0, 12.0)),
        rate=_RATE * lognormal(rng, 0.3) if rng.random() < responders else 0.0,
    )


class Brain:
    """One session of a person. Stepped hop by hop; `skill` is what it has learnt so far, `amplitude` alpha's now."""

    def __init__(self, who: Person, seed: int, session: str, *, sfreq: float = 100.0, skill: float = 0.0) -> None:
        self.who, self.sfreq, self.skill = who, sfreq, skill
        self._rng = generator(seed, "simulated_neurofeedback", session, "session")
        self._x = self._rng.normal(0.0, _SPREAD)
        self._trace, self._expected = 0.0, 0.5
        self.amplitude = who.alpha * np.exp(self._x)
        decay = np.exp(-2 * np.pi * _WIDTH_HZ / sfreq)
        self._turn = decay * np.exp(2j * np.pi * who.alpha_hz / sfreq)
        self._drive = np.sqrt(2 * (1 - decay**2))
        self._alpha = self._rng.standard_normal() + 1j * self._rng.standard_normal()
        self._keep = np.exp(-1 / (sfreq * np.array(_SLOW_S)))
        self._slow = self._rng.standard_normal((len(_SLOW_S), len(CHANNELS)))
        self._blink: NDArray[np.float64] = np.zeros(0)

    def step(self, seconds: float, *, trying: bool, feedback: float | None = None) -> Values:
        """Return the next piece of signal; `feedback` in [0, 1] is what was shown about the one before.

        Without feedback nothing is learnt.
        """
        if feedback is not None and trying:
            self._learn(feedback)
        n = round(seconds * self.sfreq)
        keep = np.exp(-seconds / _FLUCTUATION_S)
        self._x = keep * self._x + np.sqrt(1 - keep**2) * self._rng.normal(0.0, _SPREAD)
        before, level = self.amplitude, np.clip(self._x + (self.skill if trying else 0.0), -2.0, 2.5)
        self.amplitude = float(self.who.alpha * np.exp(level))
        self._trace += (1 - np.exp(-seconds / _TRACE_S)) * (self._x / _SPREAD - self._trace)
        course = np.linspace(before, self.amplitude, n) * self._rhythm(n)
        values = _WEIGHTS[:, None] * course + self.who.background * self._background(n)
        values[0] += self._blinks(n)
        return np.asarray(values, np.float32)

    def _learn(self, feedback: float) -> None:
        surprise = feedback - self._expected
        self._expected += HOP_S / _EXPECTED_S * surprise
        room = 1 - abs(self.skill) / MOST
        self.skill = float(np.clip(self.skill + self.who.rate * surprise * self._trace * room, -MOST, MOST))

    def _rhythm(self, n: int) -> NDArray[np.float64]:
        """Return a narrow-band course of unit variance that goes on from the last one."""
        from scipy.signal import lfilter

        noise = self._drive * (self._rng.standard_normal(n) + 1j * self._rng.standard_normal(n)) / np.sqrt(2)
        made, _ = lfilter([1.0], [1.0, -self._turn], noise, zi=np.array([self._turn * self._alpha]))
        self._alpha = complex(made[-1])
        return np.asarray(made.real)

    def _background(self, n: int) -> NDArray[np.float64]:
        from scipy.signal import lfilter

        total = 0.15 * self._rng.standard_normal((len(CHANNELS), n))
        for k, keep in enumerate(self._keep):
            noise = np.sqrt(1 - keep**2) * self._rng.standard_normal((len(CHANNELS), n))
            made, _ = lfilter([1.0], [1.0, -keep], noise, axis=1, zi=keep * self._slow[k][:, None])
            self._slow[k] = made[:, -1]
            total += made / 2
        return np.asarray(total)

    def _blinks(self, n: int) -> NDArray[np.float64]:
        if self._rng.random() < self.who.blinks_per_min / 60 * n / self.sfreq:
            t = np.arange(int(0.6 * self.sfreq)) / self.sfreq
            self._blink = 80e-6 * lognormal(self._rng, 0.2) * (t / 0.1) ** 2 * np.exp(2 * (1 - t / 0.1))
        now = np.zeros(n)
        now[: len(self._blink)] = self._blink[:n]
        self._blink = self._blink[n:]
        return now


def calibration(spec: SimulatedNeurofeedback, subject: str) -> Made:
    """Return one recording of calibration: a rest first, then rest and up in turn."""
    who = person(spec.seed, subject, responders=spec.responders)
    rng = spec.rng(subject, "skill")
    skill = spec.skill * lognormal(rng, 0.3) if who.responds else 0.0
    brain = Brain(who, spec.seed, f"{subject} calibration", sfreq=spec.sfreq, skill=skill)
    parts, trials, amplitude, hops = [brain.step(2.0, trying=False)], [], [], round(spec.block_s / HOP_S)
    for k in range(spec.blocks):
        trying, start = k % 2 == 1, 2.0 + k * (hops * HOP_S + 2.0)
        trials.append((start, start + hops * HOP_S, "up" if trying else "rest"))
        levels = []
        for _ in range(hops):
            parts.append(brain.step(HOP_S, trying=trying))
            levels.append(brain.amplitude)
        amplitude.append(float(np.mean(levels)))
        parts.append(brain.step(2.0, trying=False))
    known = {
        "responder": np.array(who.responds),
        "skill": np.array(skill),
        "alpha_hz": np.array(who.alpha_hz),
        "amplitude": np.array(amplitude),
    }
    return Made(np.concatenate(parts, 1), signal_spec(spec.sfreq, subject), tuple(trials), known)
