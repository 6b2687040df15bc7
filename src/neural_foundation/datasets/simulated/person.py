"""One simulated subject: the anatomy and physiology that stay the same over all trials.

Shapes: topographies (64,) on `head.CH_NAMES`, in volts per ampere metre. Everything is drawn from generators named by
(seed, subject, part), so a subject never depends on how many others there are.

Where the numbers come from: mu 8-12 Hz over the hand areas with a harmonic near 20 Hz and a contralateral
desynchronisation of roughly half the power (Pfurtscheller and Lopes da Silva 1999, Clin Neurophysiol 110:1842);
14 blinks a minute; scalp EEG of 10-30 uV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.seeds import generator
from .head import Head, leadfield, own_head, unit

Float = NDArray[np.float64]
_HAND_DEPTH, _ALPHA_DEPTH, _EYE_DEPTH = 0.78, 0.75, 0.87  # the brain ends at 0.90 of the scalp radius


@dataclass(frozen=True, eq=False)
class Person:
    """What is fixed about a subject.

    hands : (64, 2) topographies of the left- and right-hemisphere mu source. hand_positions, hand_orientations :
    (2, 3). hand_moments : (2,) root mean square at rest, A m. erd : share of the contralateral power that an imagined
    movement takes away. ipsilateral : that share on the other side, relative to `erd`. alpha : (64, 2), volts.
    background : (64, n), volts. exponents : (n,) of the background's 1/f power. eyes : (64,), 1 V at its peak.
    """

    head: Head
    mu_hz: float
    beta_hz: float
    beta_ratio: float
    alpha_hz: float
    erd: float
    ipsilateral: float
    hand_positions: Float
    hand_orientations: Float
    hand_moments: Float
    hands: Float
    alpha: Float
    background: Float
    exponents: Float
    eyes: Float
    blinks_per_min: float
    blink_volts: float


def draw(seed: int, subject: str, *, erd: float, snr: float, n_background: int) -> Person:
    """Return the subject of that name; `erd` and `snr` are the means over subjects."""
    rng = generator(seed, "simulated_motor_imagery", subject, "person")
    head = own_head(rng)
    hand_at, hand_along = _hands(rng, head)
    alpha_at, alpha_along = _near(rng, head, ("O1", "O2"), _ALPHA_DEPTH, tilt_deg=20.0)
    eye_at, eye_along = _eyes(head)
    cortex = generator(seed, "simulated_motor_imagery", subject, "cortex")
    many_at, many_along = _cortex(cortex, head, n_background)
    field = leadfield(
        head,
        np.concatenate([hand_at, alpha_at, eye_at, many_at]),
        np.concatenate([hand_along, alpha_along, eye_along, many_along]),
    )
    hands, alpha, eyes, many = field[:, :2], field[:, 2:4], field[:, 4:6].sum(1), field[:, 6:]
    mu_volts = 7e-6 * snr * rng.lognormal(0.0, 0.25) * rng.lognormal(0.0, 0.12, 2)
    mu_hz = float(np.clip(rng.normal(10.2, 0.9), 8.0, 12.0))
    return Person(
        head=head,
        mu_hz=mu_hz,
        beta_hz=2 * mu_hz,
        beta_ratio=float(rng.uniform(0.25, 0.45)),
        alpha_hz=float(np.clip(rng.normal(mu_hz, 0.6), 7.5, 12.5)),
        erd=_around(rng, erd),
        ipsilateral=float(rng.uniform(0.05, 0.3)),
        hand_positions=hand_at,
        hand_orientations=hand_along,
        hand_moments=mu_volts / np.abs(hands).max(0),
        hands=hands,
        alpha=alpha / np.abs(alpha).max(0) * 8e-6 * rng.lognormal(0.0, 0.4),
        background=_scaled(many * cortex.lognormal(0.0, 0.3, n_background), 14e-6 * rng.lognormal(0.0, 0.2)),
        exponents=cortex.normal(1.3, 0.2, n_background),
        eyes=eyes / eyes.max(),
        blinks_per_min=float(rng.uniform(12.0, 15.0)),
        blink_volts=float(100e-6 * rng.lognormal(0.0, 0.2)),
    )


def _hands(rng: np.random.Generator, head: Head) -> tuple[Float, Float]:
    return _near(rng, head, ("C3", "C4"), _HAND_DEPTH, tilt_deg=30.0)


def _near(
    rng: np.random.Generator, head: Head, names: tuple[str, ...], depth: float, tilt_deg: float
) -> tuple[Float, Float]:
    """Return dipoles some millimetres beside the points under the named electrodes, tilted from the radius."""
    under = head.inside(np.array([head.electrode(n) for n in names]), depth)
    offsets = under + rng.normal(0.0, 0.005, under.shape) - head.centre
    # a shifted dipole must not leave the brain shell
    positions = head.centre + offsets * np.minimum(1, 0.86 * head.radius / np.linalg.norm(offsets, axis=1))[:, None]
    outward = unit(positions - head.centre)
    sideways = unit(np.cross(outward, rng.normal(size=outward.shape)))
    tilt = np.deg2rad(rng.normal(tilt_deg, 10.0, (len(names), 1)))
    return positions, unit(np.cos(tilt) * outward + np.sin(tilt) * sideways)


def _eyes(head: Head) -> tuple[Float, Float]:
    # the cornea is positive: closing the lid makes the forehead positive
    towards = np.array([head.electrode(n) for n in ("Fp1", "Fp2")]) - [0.0, 0.0, 0.025]
    positions = head.inside(towards, _EYE_DEPTH)
    return positions, unit(positions - head.centre + np.array([0.0, 0.0, 0.03]))


def _cortex(rng: np.random.Generator, head: Head, n: int) -> tuple[Float, Float]:
    directions = unit(rng.normal(size=(n, 3)))
    directions[:, 2] = np.where(directions[:, 2] < -0.35, -directions[:, 2], directions[:, 2])
    depths = rng.uniform(0.6, 0.86, (n, 1)) * head.radius
    return head.centre + depths * directions, unit(rng.normal(size=(n, 3)))


def _scaled(fields: Float, rms_volts: float) -> Float:
    # unit-variance independent sources add in power
    return np.asarray(fields * rms_volts / np.sqrt((fields**2).sum(1).mean()))


def _around(rng: np.random.Generator, share: float) -> float:
    """Return a share in (0, 1) spread about the given one on the logit scale; 0 stays 0."""
    z = rng.normal(0.0, 0.5)
    return 0.0 if share == 0 else float(1 / (1 + np.exp(-(np.log(share / (1 - share)) + z))))
