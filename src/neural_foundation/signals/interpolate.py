"""Any montage onto one: what electrodes at given places would have shown."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError, did_you_mean, one_of
from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp
from .blocks import eeg_of
from .mix import Mix

STANDARD_1020 = (
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz"),
    *("C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2"),
)
FEWEST = 4
SAME = 1e-3  # of the head's radius: an electrode nearer than this, about 0.1 mm, is at the place


class Interpolate(SignalOp):
    """Replaces all channels by EEG channels at named places of the 10-05 system, interpolated by spherical splines.

    So recordings of different caps share one montage, and a batch may hold them side by side. Perrin et al. (1989,
    doi:10.1016/0013-4694(89)90180-6) as MNE's interpolation of bad channels has it: stiffness 4, 50 terms, ridge 1e-5,
    about the middle of a head in its own frame. One difference: an electrode that is at a place already keeps its own
    signal, which the ridge would smooth. Between few electrodes a spline guesses: what it gives there is not measured.
    EEG channels without a position are an error, since leaving them out would be silent; other types are left out.
    """

    kind: Literal["interpolate"] = "interpolate"
    to: tuple[str, ...] = Field(STANDARD_1020, min_length=1, description="names of the places; the 19 of 10-20 if none")

    @model_validator(mode="after")
    def _known(self) -> Interpolate:
        from ..recordings.montage import standard_1005

        places = standard_1005()
        if unknown := [n for n in self.to if n not in places]:
            raise ValueError(f"to: no place of the 10-05 system is named {one_of(unknown)}.{self._near(unknown[0])}")
        if len(set(self.to)) < len(self.to):
            raise ValueError("to names a place twice")
        return self

    @staticmethod
    def _near(name: str) -> str:
        from ..recordings.montage import standard_1005

        return did_you_mean(name, standard_1005())

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where EEG channels have no position, or are fewer than 4."""
        from ..recordings.montage import standard_1005
        from .spherical import on_sphere, spline_matrix

        eeg = eeg_of(signal)
        missing = [signal.ch_names[i] for i in eeg if not signal.positions or signal.positions[i] is None]
        if missing or len(eeg) < FEWEST:
            given = f"no position for {one_of(missing)}" if missing else f"{len(eeg)} EEG channels"
            raise SignalMismatchError(
                f"interpolate: {given}",
                allowed=f"{FEWEST} or more EEG channels, each with a position",
                remedy="Pick the channels that have one, or name electrodes as the 10-05 system does",
            )
        places = tuple(standard_1005()[n] for n in self.to)
        output = signal.replace(ch_names=self.to, ch_types=("eeg",) * len(self.to), positions=places, units=())
        source, target = on_sphere(signal, eeg), on_sphere(output, list(range(len(self.to))))
        same = np.linalg.norm(target[:, None] - source, axis=-1) < SAME
        matrix = np.zeros((len(self.to), signal.n_chans))
        matrix[:, eeg] = np.where(same.any(1, keepdims=True), same / np.maximum(same.sum(1, keepdims=True), 1), 0)
        apart = np.flatnonzero(~same.any(1))
        matrix[np.ix_(apart, np.array(eeg))] = spline_matrix(source, target)[apart]
        return Mix(signal, matrix, self._in_units(signal, eeg, output))

    def _in_units(self, signal: SignalSpec, eeg: list[int], output: SignalSpec) -> SignalSpec:
        """Return the output in the unit that all EEG channels share; SignalMismatchError where they share none."""
        units = {signal.units[i] for i in eeg} if signal.units else set()
        if len(units) > 1:
            raise SignalMismatchError(
                f"interpolate: the EEG channels are in {one_of(sorted(units))}", allowed="one unit", remedy="Scale them"
            )
        return output.replace(units=tuple(units) * len(self.to)) if units else output
