"""The decoding ceiling: what somebody who knows how a simulated session is made makes of the spikes of a trial.

Shapes: T bins, C units, H hypotheses, R coefficients, F features.

The trial is unknown in its turn, its block, its reaction time, its drive and vigour, and four Gaussian processes.
  - Turn, block and reaction time (a grid of 40 ms) are hypotheses, each with its prior.
  - Given a hypothesis all else is Gaussian: xi ~ N(0, I). The processes are Karhunen-Loeve sums (their exact
    covariance, the eigenvalues that hold 99.9 % of it), so that what comes before the bins, and after, counts too.
  - The MAP of xi is found by Fisher scoring of the Poisson likelihood with halved steps; Laplace's approximation
    gives the hypothesis its evidence, and the covariance under which speed and whisking are averaged.
  - All is averaged over the hypotheses by their posterior.

Approximations: Laplace's (Fisher information for the curvature; speed's kink is rounded in the tuning); a rate is
constant over a bin, at its centre; the drive, one of nine values, is a Gaussian of its mean and variance given turn
and block, and does not bear on the reaction time's prior, which is that of all contrasts; the
blocks are told apart last, and only hypotheses survive whose evidence is near the best, first after one Newton step
from the prior mean, then at the MAP. It knows each unit's drift, which a network
must infer; it uses the trial alone, not those before it. Where units are few the posterior is far from Gaussian, and
a better decoder exists; it is the ceiling in so far as these hold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .sessions_brain import AROUSED, LEAD_S, LENGTH_S, OWN
from .sessions_task import (
    BLOCKS,
    CONTRASTS,
    DEAD_S,
    PRIORS,
    REACTION_SD,
    VIGOUR_SD,
    Animal,
    Floats,
    busy,
    flash,
    movement,
    ramp,
    restless,
    seen,
    sigmoid,
    speed,
    whisk,
)

STEP_S = 0.04
_NEAR = 6.0  # nats of evidence
_MOST = 6  # reaction times kept a turn
_STEPS = 12
_HIGHEST = 50.0  # log rate of a step that went too far
_MOVED = [0, 1, 2, 3, 5]  # the features that xi moves
_NODES, _SHARES = np.polynomial.hermite_e.hermegauss(7)


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The posterior of a trial: means of speed (T,), in units, and whisking (2, T); joint (turn, block) shares.

    Turns are -1, 1; blocks in the order of `PRIORS`.
    """

    speed: Floats
    whisking: Floats
    joint: Floats


@dataclass(frozen=True, eq=False)
class Basis:
    """Columns of xi: of each process its values (T, R), zero elsewhere; vigour and drive come last."""

    wheel: Floats
    arousal: Floats
    left: Floats
    right: Floats

    @classmethod
    def at(cls, t: Floats, grid: Floats) -> Basis:
        """Return the processes' Karhunen-Loeve functions of `grid` at times t."""
        parts = [_karhunen_loeve(t, grid, length) for length in LENGTH_S.values()]
        ends = np.cumsum([p.shape[1] for p in parts])
        wide = np.zeros((len(parts), len(t), int(ends[-1]) + 2))
        for k, (part, end) in enumerate(zip(parts, ends, strict=True)):
            wide[k, :, end - part.shape[1] : end] = part
        return cls(*wide)


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """H of them: turn, onset of the movement since the stimulus, block, prior mean and sd of the drive; log prior."""

    turn: Floats
    onset_s: Floats
    block: Floats
    drive: Floats
    drive_sd: Floats
    log_prior: Floats

    def __len__(self) -> int:
        return len(self.turn)

    def at(self, which: NDArray[np.int64]) -> Hypotheses:
        """Return some of them."""
        return Hypotheses(*(getattr(self, f.name)[which] for f in fields(self)))


def _karhunen_loeve(t: Floats, grid: Floats, length_s: float) -> Floats:
    def covariance(a: Floats, b: Floats) -> Floats:
        c: Floats = np.exp(-0.5 * ((a[:, None] - b) / length_s) ** 2)
        return c

    values, vectors = np.linalg.eigh(covariance(grid, grid))
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), 0.999)) + 1
    basis: Floats = covariance(t, grid) @ vectors[:, :kept] / np.sqrt(values[:kept])
    return basis


class Decoder:
    """Decodes trials whose bins lie alike around the stimulus.

    weights (C, F), base (C,) : log rates in Hz. t (T,) : centres of the bins since the stimulus. bin_s : their width.
    """

    def __init__(self, animal: Animal, weights: Floats, base: Floats, t: Floats, bin_s: float) -> None:
        self.animal, self.weights, self.t = animal, weights, t
        self.base = base + np.log(bin_s)
        reach = max(abs(lead) for lead in LEAD_S.values())
        grid = np.arange(t[0] - reach - 0.02, t[-1] + reach + 0.04, 0.02)
        self.ahead, self.behind, self.now = (Basis.at(t + lead, grid) for lead in (*LEAD_S.values(), 0.0))
        self.moved = weights[:, _MOVED]
        self.outer = (self.moved[:, :, None] * self.moved[:, None, :]).reshape(len(weights), -1)
        self.joint = _turn_and_block(animal)
        self.first = self._first()
        xi = np.zeros((len(self.first), self.n))
        features, slope = self._features(self.first, xi)
        self._start, self._slope = features, slope
        rate = np.exp(self.base + features @ weights.T)
        self._inverse = np.linalg.inv(self._information(rate, slope))
        self._half_log_det = -0.5 * np.linalg.slogdet(self._inverse)[1]

    @property
    def n(self) -> int:
        """Coefficients."""
        return int(self.now.wheel.shape[1])

    def decode(self, counts: Floats, drift: Floats) -> Behaviour:
        """Return the posterior of a trial, from counts (T, C) and the units' log drift (C,)."""
        base = self.base + drift
        likely, xi = self._likely(counts, base)
        xi, evidence, _ = self._laplace(likely, xi, counts, base)
        kept = _near_best(likely, evidence)
        hypotheses = self._with_blocks(likely, kept)
        xi, evidence, covariance = self._laplace(hypotheses, np.repeat(xi[kept], len(PRIORS), axis=0), counts, base)
        share = np.exp(evidence - evidence.max())
        share /= share.sum()
        joint = np.zeros((2, len(PRIORS)))
        np.add.at(joint, ((hypotheses.turn > 0).astype(int), np.searchsorted(-BLOCKS, -hypotheses.block)), share)
        fast, whisking = self._behaviour(hypotheses, xi, covariance)
        return Behaviour(share @ fast, np.einsum("h,hkt->kt", share, whisking), joint)

    def _first(self) -> Hypotheses:
        """Return every turn and reaction time, the blocks taken together."""
        onset = np.arange(DEAD_S + STEP_S / 2, DEAD_S + 2.3 * self.animal.reaction_s * 1.6 + STEP_S, STEP_S)
        median = self.animal.reaction(CONTRASTS)
        z = (np.log(onset - DEAD_S)[:, None] - np.log(median)) / REACTION_SD
        density = (np.exp(-0.5 * z**2) * (np.abs(z) <= 2.2)).mean(1) / (onset - DEAD_S) + 1e-12
        turns = np.repeat([-1.0, 1.0], len(onset))
        of_turn = self.joint.share.sum(1)
        prior = np.log(np.tile(density / density.sum(), 2) * np.repeat(of_turn, len(onset)))
        weight = self.joint.share / of_turn[:, None]
        mean = (weight * self.joint.mean).sum(1)
        var = (weight * (self.joint.sd**2 + self.joint.mean**2)).sum(1) - mean**2
        n = len(onset)
        block = np.repeat((weight * BLOCKS).sum(1), n)
        return Hypotheses(turns, np.tile(onset, 2), block, np.repeat(mean, n), np.repeat(np.sqrt(var), n), prior)

    def _likely(self, counts: Floats, base: Floats) -> tuple[Hypotheses, Floats]:
        """Return the hypotheses that are near the best after one step, and where it led."""
        rate = np.exp(base + self._start @ self.weights.T)
        slope = ((counts - rate) @ self.moved).reshape(len(rate), 1, -1) @ self._slope.reshape(len(rate), -1, self.n)
        step = (self._inverse @ slope[:, 0, :, None])[:, :, 0]
        sizes = np.array([1.0, 0.5, 0.0])
        values = np.stack([self._log_joint(self.first, size * step, counts, base) for size in sizes])
        step = sizes[values.argmax(0)][:, None] * step
        evidence = values.max(0) - self._half_log_det + self.first.log_prior
        kept = _near_best(self.first, evidence)
        return self.first.at(kept), step[kept]

    def _with_blocks(self, likely: Hypotheses, kept: NDArray[np.int64]) -> Hypotheses:
        """Return some hypotheses with every block, the blocks of one after the other."""
        kept = np.repeat(kept, len(PRIORS))
        turn = (likely.turn[kept] > 0).astype(int)
        block = np.tile(np.arange(len(PRIORS)), len(kept) // len(PRIORS))
        share = self.joint.share[turn, block] / self.joint.share.sum(1)[turn]
        return replace(
            likely.at(kept),
            block=BLOCKS[block],
            drive=self.joint.mean[turn, block],
            drive_sd=self.joint.sd[turn, block],
            log_prior=likely.log_prior[kept] + np.log(share),
        )

    def _laplace(
        self, hypotheses: Hypotheses, xi: Floats, counts: Floats, base: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return the MAP (H, R) from a start, the log evidence with the prior (H,), and the covariance (H, R, R)."""
        value = self._log_joint(hypotheses, xi, counts, base)
        for _ in range(_STEPS):
            features, slope = self._features(hypotheses, xi)
            rate = np.exp(base + features @ self.weights.T)
            flat = slope.reshape(len(xi), -1, self.n)
            gradient = (((counts - rate) @ self.moved).reshape(len(xi), 1, -1) @ flat)[:, 0] - xi
            information = self._information(rate, slope)
            step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
            size = np.ones(len(xi))
            for _ in range(5):
                tried = self._log_joint(hypotheses, xi + size[:, None] * step, counts, base)
                if (tried >= value - 1e-9).all():
                    break
                size = np.where(tried >= value - 1e-9, size, size / 2)
            better = tried >= value
            xi = np.where(better[:, None], xi + size[:, None] * step, xi)
            gained = np.where(better, tried - value, 0.0)
            value = np.where(better, tried, value)
            if gained.max() < 1e-3:
                break
        evidence = value - 0.5 * np.linalg.slogdet(information)[1] + hypotheses.log_prior
        covariance = np.asarray(np.linalg.inv(information), np.float64)
        return xi, np.asarray(evidence), covariance

    def _log_joint(self, hypotheses: Hypotheses, xi: Floats, counts: Floats, base: Floats) -> Floats:
        features, _ = self._features(hypotheses, xi, slopes=False)
        log_rate = np.minimum(base + features @ self.weights.T, _HIGHEST)
        fit: Floats = np.einsum("tc,htc->h", counts, log_rate) - np.exp(log_rate).sum((1, 2)) - 0.5 * (xi**2).sum(1)
        return fit

    def _information(self, rate: Floats, slope: Floats) -> Floats:
        """Return the Fisher information of xi with its prior's, (H, R, R)."""
        h, t, f, r = slope.shape
        weighted = (rate @ self.outer).reshape(h, t, f, f) @ slope
        information: Floats = slope.reshape(h, t * f, r).transpose(0, 2, 1) @ weighted.reshape(h, t * f, r)
        return information + np.eye(r)

    def _velocity(self, basis: Basis, lead_s: float, of: Hypotheses, xi: Floats) -> tuple[Floats, Floats]:
        """Return the velocity (H, T) and its slope (H, T, R)."""
        since = self.t + lead_s - of.onset_s[:, None]
        answer, around = of.turn[:, None] * movement(since), restless(since)
        slope = around[:, :, None] * basis.wheel
        slope[:, :, -2] = VIGOUR_SD * answer
        value: Floats = answer + (slope @ xi[:, :, None])[:, :, 0]
        return value, slope

    def _states(self, basis: Basis, lead_s: float, of: Hypotheses, xi: Floats) -> tuple[Floats, Floats]:
        """Return the states of both cameras (2, H, T), and their slope (2, T, R), one for all hypotheses."""
        driven = busy(self.t + lead_s - of.onset_s[:, None])
        animal = self.animal
        slope = AROUSED * basis.arousal + OWN * np.stack([basis.left, basis.right])
        gain = animal.busy[:, None] + animal.lean[:, None] * of.turn
        value: Floats = animal.rest[:, None, None] + gain[:, :, None] * driven + (slope @ xi.T).transpose(0, 2, 1)
        return value, slope

    def _features(self, of: Hypotheses, xi: Floats, *, slopes: bool = True) -> tuple[Floats, Floats]:
        """Return the features (H, T, F), and the slopes (H, T, 5, R) of those that xi moves."""
        v, v_slope = self._velocity(self.ahead, LEAD_S["wheel"], of, xi)
        u, u_slope = self._states(self.behind, LEAD_S["whiskers"], of, xi)
        shown = np.broadcast_to(flash(self.t), v.shape)
        drive = of.drive + of.drive_sd * xi[:, -1]
        ramps = of.turn[:, None] * ramp(self.t - of.onset_s[:, None])
        block = np.broadcast_to(of.block[:, None], v.shape)
        features = np.stack([speed(v), v, *whisk(u), ramps, drive[:, None] * shown, shown, block], axis=-1)
        if not slopes:
            return features, np.zeros(0)
        slope = np.zeros((*v.shape, len(_MOVED), self.n))
        slope[:, :, 0] = (v / np.sqrt(v**2 + 0.01))[:, :, None] * v_slope
        slope[:, :, 1] = v_slope
        slope[:, :, 2:4] = (sigmoid(2 * u)[..., None] * u_slope[:, None]).transpose(1, 2, 0, 3)
        slope[:, :, 4, -1] = of.drive_sd[:, None] * shown
        return features, slope

    def _behaviour(self, of: Hypotheses, xi: Floats, covariance: Floats) -> tuple[Floats, Floats]:
        """Return the posterior means of |velocity| (H, T) and whisking (H, 2, T) under each hypothesis."""
        v, v_slope = self._velocity(self.now, 0.0, of, xi)
        v_sd = np.sqrt(((v_slope @ covariance) * v_slope).sum(-1))
        u, u_slope = self._states(self.now, 0.0, of, xi)
        u_sd = np.sqrt(((u_slope[:, None] @ covariance) * u_slope[:, None]).sum(-1))
        shares = _SHARES / _SHARES.sum()
        fast = sum(w * np.abs(v + x * v_sd) for x, w in zip(_NODES, shares, strict=True))
        whisking = sum(w * whisk(u + x * u_sd) for x, w in zip(_NODES, shares, strict=True))
        return np.asarray(fast), np.asarray(whisking).transpose(1, 0, 2)


@dataclass(frozen=True, eq=False)
class TurnAndBlock:
    """Prior shares (turn, block), and mean and sd of the drive given both."""

    share: Floats
    mean: Floats
    sd: Floats


def _turn_and_block(animal: Animal) -> TurnAndBlock:
    """Return the prior by summing over sides and contrasts; blocks are equally common."""
    side = np.array([-1.0, 1.0])
    drive = side[:, None] * seen(CONTRASTS)
    stimulus = np.stack([PRIORS, 1 - PRIORS])[:, None] / len(CONTRASTS) * np.ones((2, len(CONTRASTS), 1))
    right = animal.right(drive[:, :, None], BLOCKS)
    weight = np.stack([stimulus * (1 - right), stimulus * right]) / len(PRIORS)  # turn, side, contrast, block
    share = weight.sum((1, 2))
    mean = (weight * drive[None, :, :, None]).sum((1, 2)) / share
    square = (weight * drive[None, :, :, None] ** 2).sum((1, 2)) / share
    return TurnAndBlock(share, mean, np.sqrt(square - mean**2))


def _near_best(of: Hypotheses, evidence: Floats) -> NDArray[np.int64]:
    """Return which hypotheses are near the best of all, the best of each turn at least."""
    kept = []
    for turn in (-1.0, 1.0):
        mine = np.flatnonzero(of.turn == turn)
        order = mine[np.argsort(-evidence[mine], kind="stable")][:_MOST]
        kept.append(order[(evidence[order] > evidence.max() - _NEAR) | (order == order[0])])
    return np.concatenate(kept)
