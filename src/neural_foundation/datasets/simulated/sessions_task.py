"""The task of the simulated sessions: what an animal is, how its trials run, and what follows an event.

Times in seconds. A trial: a quiet wait, the stimulus, a movement after a reaction time, the end of it, a pause.
  stimulus: its side by the block's prior, its contrast one of five; what is seen is the drive s = side c / (c + 0.15).
  choice: P(turn = +1) = lapse + (1 - 2 lapse) sigmoid(6 s + block prior + bias). turn = +1 (counter-clockwise) is the
    choice of the right side, IBL's -1; the block is (0.5 - probabilityLeft) / 0.3, in {-1, 0, 1}.
  reaction time: 0.12 s + a log-normal one, slower where the contrast is low; cut at 2 standard deviations.

The functions below are of time since the stimulus or since the movement's onset, and of any shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .sessions import SimulatedSessions

Floats = NDArray[np.float64]
CONTRASTS = np.array([0.0, 0.0625, 0.125, 0.25, 1.0])
PRIORS = np.array([0.2, 0.5, 0.8])  # of the left side
BLOCKS = np.round((0.5 - PRIORS) / 0.3)
REACTION_SD = 0.4  # of its logarithm
DEAD_S = 0.12  # no reaction is faster
VIGOUR_SD = 0.25
SPEED = 3.0  # rad/s, the unit of velocity below
CAMERAS = ("left", "right")


@dataclass(frozen=True, eq=False)
class Animal:
    """What sessions of one animal share. Of the two cameras: (2,) each.

    reaction_s : median of the reaction time beyond DEAD_S at full contrast. bias, lapse : of choices. rest : whisking
    without cause. busy, lean : what movement adds, and what it adds more where the wheel turns to that side. gain,
    offset : of the motion energy. noise : of a frame, as a share of the gain.
    """

    reaction_s: float
    bias: float
    lapse: float
    rest: Floats
    busy: Floats
    lean: Floats
    gain: Floats
    offset: Floats
    noise: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Animal:
        """Return a new animal."""
        gain = np.array([4.0, 9.0]) * rng.lognormal(0.0, 0.3, 2)
        return cls(
            reaction_s=0.17 * float(rng.lognormal(0.0, 0.15)),
            bias=float(rng.normal(0.0, 0.3)),
            lapse=float(rng.uniform(0.01, 0.06)),
            rest=rng.normal(-0.5, 0.1, 2),
            busy=rng.normal(0.8, 0.1, 2),
            lean=np.array([-0.3, 0.3]) * rng.lognormal(0.0, 0.2, 2),
            gain=gain,
            offset=0.5 * gain,
            noise=np.array([0.05, 0.08]),
        )

    def right(self, drive: Floats, block: Floats) -> Floats:
        """Return the probability of turn = +1."""
        chance: Floats = self.lapse + (1 - 2 * self.lapse) * sigmoid(6.0 * drive + block + self.bias)
        return chance

    def reaction(self, contrast: Floats) -> Floats:
        """Return the median of the reaction time beyond DEAD_S."""
        slower: Floats = self.reaction_s * (1.6 - 0.6 * seen(contrast) / seen(np.array(1.0)))
        return slower


@dataclass(frozen=True, eq=False)
class Course:
    """The trials of a session, (n,) each. Times on the session's clock; turn, drive and block as above.

    side : -1 left, 1 right. vigour : factor on the movement's velocity. correct : whether the choice was right.
    """

    start_s: Floats
    end_s: Floats
    stimulus_s: Floats
    movement_s: Floats
    response_s: Floats
    side: Floats
    contrast: Floats
    drive: Floats
    block: Floats
    turn: Floats
    vigour: Floats
    correct: NDArray[np.bool_]

    @classmethod
    def draw(cls, animal: Animal, spec: SimulatedSessions, rng: np.random.Generator) -> Course:
        """Return the trials of a new session, one after the other from time 0 on."""
        n = spec.trials
        prior = _blocks(n, spec.block_trials, rng)
        block = BLOCKS[np.searchsorted(PRIORS, prior)]
        side = np.where(rng.random(n) < prior, -1.0, 1.0)
        contrast = rng.choice(CONTRASTS, n)
        drive = side * seen(contrast)
        turn = np.where(rng.random(n) < animal.right(drive, block), 1.0, -1.0)
        beyond = animal.reaction(contrast) * np.exp(REACTION_SD * np.clip(rng.standard_normal(n), -2, 2))
        wait, duration, pause = rng.uniform(0.6, 0.8, n), rng.uniform(0.2, 0.35, n), rng.uniform(0.3, 0.6, n)
        correct = turn == side
        after = DEAD_S + beyond + duration + np.where(correct, 1.0, 1.5) + pause
        whole = wait + np.maximum(after, 1.7)
        start = np.concatenate([[0.0], np.cumsum(whole)[:-1]])
        stimulus = start + wait
        movement = stimulus + DEAD_S + beyond
        vigour = 1 + VIGOUR_SD * rng.standard_normal(n)
        response = movement + duration
        return cls(
            start, start + whole, stimulus, movement, response, side, contrast, drive, block, turn, vigour, correct
        )

    def facts(self) -> dict[str, list[Any]]:
        """Return the columns of IBL's trial table, and `contrast`, negative on the left."""
        left = self.side < 0
        columns = {
            "stimOn_times": self.stimulus_s,
            "goCue_times": self.stimulus_s,
            "firstMovement_times": self.movement_s,
            "response_times": self.response_s,
            "feedback_times": self.response_s,
            "choice": -self.turn.astype(int),
            "probabilityLeft": np.round(0.5 - 0.3 * self.block, 6),
            "contrastLeft": np.where(left, self.contrast, np.nan),
            "contrastRight": np.where(left, np.nan, self.contrast),
            "contrast": self.side * self.contrast + 0.0,
            "feedbackType": np.where(self.correct, 1, -1),
        }
        return {name: column.tolist() for name, column in columns.items()}


def _blocks(n: int, mean: int, rng: np.random.Generator) -> Floats:
    """Return the prior of each trial: blocks in rounds of all three, shuffled; blocks in a row differ.

    The first is even. No block is longer than 0.35 n, so that every session has all three.
    """
    mean = max(1, min(mean, n // 4))
    priors: list[float] = []
    order = [0.5, *rng.permutation(PRIORS[PRIORS != 0.5]).tolist()]
    while len(priors) < n:
        for prior in order:
            priors += [prior] * int(rng.integers(max(1, round(0.6 * mean)), int(1.4 * mean) + 1))
        order = rng.permutation(PRIORS).tolist()
        if order[0] == priors[-1]:
            order.reverse()
    return np.asarray(priors[:n])


def seen(contrast: Floats) -> Floats:
    """Return how strongly a contrast is seen."""
    strength: Floats = contrast / (contrast + 0.15)
    return strength


def sigmoid(x: Floats) -> Floats:
    """Return the logistic function."""
    y: Floats = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return y


def movement(since: Floats) -> Floats:
    """Return the velocity of the movement that answers the stimulus; 1 at its peak, 0.12 s after its onset."""
    y: Floats = np.exp(-0.5 * ((since - 0.12) / 0.07) ** 2)
    return y


def restless(since: Floats) -> Floats:
    """Return the sd of other velocities: little before the movement, more for a second after."""
    y: Floats = 0.03 + 0.3 * sigmoid((since + 0.02) / 0.03) * sigmoid((0.9 - since) / 0.08)
    return y


def busy(since: Floats) -> Floats:
    """Return how far movement drives the whiskers, from just before its onset on."""
    y: Floats = sigmoid((since + 0.08) / 0.05) * sigmoid((0.7 - since) / 0.12)
    return y


def ramp(since: Floats) -> Floats:
    """Return what rises to a movement, and falls after its onset."""
    y: Floats = np.where(since < 0, np.exp(np.minimum(since, 0) / 0.12), np.exp(-0.5 * (since / 0.15) ** 2))
    return y


def flash(since: Floats) -> Floats:
    """Return the response to a stimulus: after 40 ms, 1 at 110 ms, gone after half a second."""
    x = np.maximum(since - 0.04, 0) / 0.07
    y: Floats = x * np.exp(1 - x)
    return y


def whisk(u: Floats) -> Floats:
    """Return the motion energy of a state: 0 far below, straight far above."""
    y: Floats = np.logaddexp(0, 2 * u) / 2
    return y


def speed(velocity: Floats) -> Floats:
    """Return |velocity|, rounded off at 0.1."""
    y: Floats = np.sqrt(velocity**2 + 0.01) - 0.1
    return y
