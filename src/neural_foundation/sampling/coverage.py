"""What the training part of a fold knows of each behaviour: what it lacks cannot be learned, whatever the model.

A class of which training has no trial is never predicted, so every test trial of it is an error; a continuous channel
that is known in no training bin has no mean and no deviation to be standardised by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, one_of
from ..core.modalities import ModalitySpec
from .binned import BinnedSession
from .roles import Role, TrialFold

LEAST_CLASSES = 2
JUDGED: tuple[Role, ...] = ("test", "validation")
Lacking = dict[str, dict[str, list[str]]]  # by behaviour and role, the classes that training never saw
_REMEDY = "Set other folds, or hold_out: trial, or leave the behaviour out of `dynamic` and `static`"


def check_learnable(fold: TrialFold, session: BinnedSession) -> None:
    """Raise DataError where training knows nothing of a continuous channel, or fewer than two classes of a modality."""
    bins, part = fold.shows(session, "train"), f"the training part of fold '{fold.name}' of '{session.spec.name}'"
    for modality, channels in _held(session):
        if modality.kind == "continuous" and modality.role == "behaviour":
            known = np.isfinite(session.values[modality.name][: len(bins)][bins]).any(0)
            for channel in np.asarray(channels)[~known][:1].tolist():
                named = f"'{modality.name}'" if len(channels) == 1 else f"Channel '{channel}' of '{modality.name}'"
                raise DataError(f"{named} is known in no bin of {part}", remedy=_REMEDY)
        elif modality.kind == "classes":
            there = _classes(fold, session, modality, "train")
            if len(there) < LEAST_CLASSES:
                given = f"'{modality.name}' has {one_of(there) + ' alone' if there else 'no class'} in {part}"
                raise DataError(given, allowed="trials of two classes or more", remedy=_REMEDY)


def not_in_training(fold: TrialFold, session: BinnedSession) -> Lacking:
    """Return the classes that are tested, or chosen by, and that training never saw; {} where there are none."""
    made: Lacking = {}
    for modality, _ in _held(session):
        if modality.kind == "classes":
            learned = _classes(fold, session, modality, "train")
            for role in JUDGED:
                lacking = [word for word in _classes(fold, session, modality, role) if word not in learned]
                if lacking:
                    made.setdefault(modality.name, {})[role] = lacking
    return made


def said_of_lacking(lacking: Mapping[str, Mapping[str, list[str]]]) -> list[str]:
    """Return what `not_in_training` found, a sentence a class and role."""
    verbs = {"test": "tested", "validation": "in the validation part"}
    return [
        f"Class '{word}' of '{name}' is {verbs[role]}, but training never saw it"
        for name, by_role in lacking.items()
        for role, words in by_role.items()
        for word in words
    ]


def _held(session: BinnedSession) -> list[tuple[ModalitySpec, tuple[str, ...]]]:
    pairs = zip(session.modalities, session.spec.channels, strict=True)
    return [(m, channels) for m, channels in pairs if m.name in session.values]


def _classes(fold: TrialFold, session: BinnedSession, modality: ModalitySpec, role: Role) -> list[str]:
    """Return the classes that the trials of a role have, in the order of the modality."""
    codes: NDArray[Any] = np.asarray(session.values[modality.name])[fold.spans(session, 0, role).trial]
    return [modality.classes[k] for k in np.unique(codes[codes >= 0]).tolist()]
