"""Small binned sessions with a known structure, made in memory.

A trial has a class `choice` and a smooth latent x(t). Speed follows x, spikes fire at exp(log rate + weight x + a step
of the choice in the trial's second half), so that each can be told from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neural_foundation.core.modalities import BinnedSessionSpec, ModalitySpec
from neural_foundation.core.seeds import generator
from neural_foundation.sampling.binned import BinnedSession, BinnedSet, Spans

BIN_S = 0.02
MODALITIES = (
    ModalitySpec(name="spikes", kind="counts"),
    ModalitySpec(name="wheel_speed", kind="continuous", unit="cm/s"),
    ModalitySpec(name="motion_energy", kind="continuous"),
    ModalitySpec(name="choice", kind="classes", classes=("left", "right")),
    ModalitySpec(name="block", kind="classes", classes=("low", "even", "high")),
)


def made_session(
    name: str = "a",
    seed: int = 0,
    units: int = 6,
    trials: int = 20,
    bins: int = 20,
    *,
    without: Sequence[str] = (),
    gaps: float = 0.0,
    unknown: float = 0.0,
    subject: str | None = None,
    lengths: Sequence[int] | None = None,
) -> BinnedSession:
    """Return a session of trials of `bins` bins (or of `lengths`).

    without : modalities it lacks. gaps : share of speed values that are NaN. unknown : share of choices that are -1.
    """
    rng = generator(seed, "made", name)
    length = np.asarray(lengths if lengths is not None else [bins] * trials, np.int64)
    first = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
    trial = np.repeat(np.arange(len(length)), length)
    place = np.concatenate([np.arange(n) / n for n in length])
    choice = rng.integers(0, 2, len(length))
    block = (np.arange(len(length)) * 3 // len(length)) % 3
    latent = np.sin(
        2 * np.pi * (rng.uniform(0.5, 1.5, len(length))[trial] * place + rng.uniform(0, 1, len(length))[trial])
    )
    late = (place >= 0.5) * (2 * choice[trial] - 1) + 0.3 * (block[trial] - 1)
    log_rate = rng.normal(-1.0, 0.3, units) + latent[:, None] * rng.normal(0, 0.9, units)
    log_rate += late[:, None] * rng.normal(0, 0.7, units)
    speed = 10 + 5 * latent + rng.normal(0, 0.5, len(latent))
    speed[rng.random(len(speed)) < gaps] = np.nan
    energy = np.stack([latent + late, 100 - 20 * latent], 1) + rng.normal(0, 0.2, (len(latent), 2))
    choice = np.where(rng.random(len(length)) < unknown, -1, choice)
    values = {
        "spikes": rng.poisson(np.exp(log_rate)).astype(np.uint16),
        "wheel_speed": speed[:, None].astype(np.float32),
        "motion_energy": energy.astype(np.float32),
        "choice": choice.astype(np.int16),
        "block": block.astype(np.int16),
    }
    channels = {
        "spikes": tuple(f"{name}-{i}" for i in range(units)),
        "wheel_speed": ("wheel_speed",),
        "motion_energy": ("left", "right"),
        "choice": ("choice",),
        "block": ("block",),
    }
    kept = [m.name for m in MODALITIES if m.name not in without]
    spec = BinnedSessionSpec(
        name=name,
        subject=subject or f"animal-{name}",
        channels=tuple(channels[m.name] if m.name in kept else () for m in MODALITIES),
        regions=tuple("CA1" if i % 2 else "VISp" for i in range(units)),
    )
    start_s = first * BIN_S + 0.5 * np.arange(len(length))
    return BinnedSession(spec, BIN_S, MODALITIES, {n: values[n] for n in kept}, first, length, start_s)


def all_spans(sessions: Sequence[BinnedSession]) -> Spans:
    """Return every trial of all sessions as a span."""
    parts = []
    for index, session in enumerate(sessions):
        n = np.arange(session.n_trials)
        parts.append(Spans(np.full(len(n), index, np.int64), n, session.first, session.length))
    return Spans.join(parts)


def made_set(
    sessions: Sequence[BinnedSession] | int = 2, n_bins: int = 20, hop: int | None = None, *, jitter: bool = False
) -> BinnedSet:
    """Return the windows of all trials of some sessions, or of that many made ones: 'a' of 4 units, 'b' of 5, ..."""
    if isinstance(sessions, int):
        sessions = [made_session("abcdefgh"[i], i, units=4 + i) for i in range(sessions)]
    return BinnedSet.cut(sessions, all_spans(sessions), n_bins, hop, jitter=jitter)


def written(session: BinnedSession, folder: Path) -> Path:
    """Write a session into a folder below `folder`, by its name, and return it."""
    session.write(folder / session.spec.name)
    return folder / session.spec.name
