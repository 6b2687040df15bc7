"""What a model says of hidden modalities of binned windows: the form that every predictor gives and every score takes.

Shapes: n windows of one session, T bins, C channels of a modality in that session, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecError, did_you_mean, one_of
from ..core.modalities import BinnedSpec

ENCODING = "encoding"  # neural activity from behaviour
DECODING = "decoding"  # behaviour from neural activity
DIRECTIONS = (ENCODING, DECODING)


@dataclass(frozen=True)
class Predicted:
    """Predictions of the hidden modalities, one mapping a session, in the order of `windows.spec.sessions`.

    sessions : by modality: counts are rates, events a bin (n, T, C); continuous in the channels' units (n, T, C);
    classes are probabilities (n, K). Rows are the windows of that session, in their order in the set. What a model
    cannot predict is absent; a session without windows has no entry of any modality, or arrays of no rows.
    """

    sessions: tuple[Mapping[str, NDArray[np.float32]], ...]


def hidden_for(direction: str, spec: BinnedSpec) -> tuple[str, ...]:
    """Return the modalities that a direction hides; SpecError for an unknown one, or where none is left to see."""
    if direction not in DIRECTIONS:
        given = f"There is no direction '{direction}'.{did_you_mean(direction, DIRECTIONS)}"
        raise SpecError(given, allowed=one_of(DIRECTIONS))
    neural, behaviour = spec.of_role("neural"), spec.of_role("behaviour")
    hidden, seen = (neural, behaviour) if direction == ENCODING else (behaviour, neural)
    if not hidden or not seen:
        given = f"'{direction}' needs neural activity and behaviour; there are only {one_of(spec.names)}"
        raise SpecError(given, remedy="Bin a modality more")
    return hidden


def known_hidden(hidden: Sequence[str], spec: BinnedSpec) -> tuple[str, ...]:
    """Return the names, checked; SpecError for an unknown one."""
    return tuple(spec.modality(name).name for name in hidden)
