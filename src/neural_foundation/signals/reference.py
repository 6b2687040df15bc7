"""Re-referencing: common average, named channels, or bipolar pairs and montages."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import Position, SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp
from .blocks import eeg_of
from .montages import montage_channels, montage_pairs
from .pick import indices_of
from .rows import Rows, Step


class Reference(SignalOp):
    """Subtracts a reference from the EEG channels; other types pass unchanged.

    Either `to` the average of the EEG channels, `to` the average of the named channels (which stay in), or `pairs`
    (anode, cathode), which replace all channels by their differences 'anode-cathode', or a `montage` of pairs by name:
    'double_banana' (longitudinal, 18 pairs), 'transverse' (18) or 'tcp' (the 22 of the TUH EEG corpus, with ears). A
    montage finds T3 to T6 under their new names T7, T8, P7, P8 and the reverse; its output has the new names, so that
    recordings of both kinds agree. A signal that names no types is all EEG.
    """

    kind: Literal["reference"] = "reference"
    to: Literal["average"] | tuple[str, ...] = Field(
        "average", description="'average', or names of the reference channels"
    )
    over: Literal["all", "positioned"] = Field(
        "all", description="which EEG channels the average is over: all, or those with a position"
    )
    pairs: tuple[tuple[str, str], ...] = Field((), description="bipolar derivations (anode, cathode)")
    montage: Literal["double_banana", "transverse", "tcp"] | None = Field(
        None, description="bipolar derivations by name; an electrode that is missing is an error"
    )

    @property
    def keeps_topography(self) -> bool:
        return not (self.pairs or self.montage)

    @model_validator(mode="after")
    def _one_way(self) -> Reference:
        if self.pairs and self.montage:
            raise ValueError("give pairs or montage, not both")
        if self.montage and (self.to != "average" or self.over != "all"):
            raise ValueError("give montage, or to and over, not both")
        if self.pairs and (self.to != "average" or self.over != "all"):
            raise ValueError("give pairs, or to and over, not both")
        if not self.to:
            raise ValueError("to names no channel; give 'average' or names")
        if self.over != "all" and self.to != "average":
            raise ValueError("over belongs to to='average'")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where channels are missing or none is EEG."""
        if self.pairs:
            return Bipolar(signal, self.pairs)
        if self.montage:
            own, pairs = montage_channels(self.montage, signal), montage_pairs(self.montage)
            return Bipolar(signal, tuple((own[a], own[b]) for a, b in pairs), tuple(f"{a}-{b}" for a, b in pairs))
        eeg = eeg_of(signal)
        if not eeg:
            raise SignalMismatchError(
                f"reference: no channel is EEG, the types are {sorted(set(signal.ch_types))}",
                remedy="Correct the channel types, or leave reference out",
            )
        sources = (
            indices_of("reference", self.to, signal)
            if self.to != "average"
            else [i for i in eeg if self._counts(i, signal)]
        )
        if not sources:
            raise SignalMismatchError(
                "reference: no EEG channel has a position", allowed="over: all, or a signal with positions"
            )
        return subtract(signal, sources, eeg)

    def _counts(self, channel: int, signal: SignalSpec) -> bool:
        return self.over == "all" or bool(signal.positions and signal.positions[channel])


def subtract(signal: SignalSpec, sources: list[int], targets: list[int]) -> Rows:
    """Return the operation that subtracts the mean over `sources` from each of `targets`."""
    from .row_kernels import SUBTRACT

    masks = np.zeros((2, signal.n_chans))
    masks[0, sources], masks[1, targets] = 1, 1
    return Rows(signal, [Step(SUBTRACT, np.array([1 / len(sources), *masks.ravel()]))])


class Bipolar(Operation):
    """Differences of channel pairs, named 'anode-cathode' unless `names` says otherwise.

    A pair lies midway between its electrodes. SignalMismatchError where a pair has two units.
    """

    def __init__(self, signal: SignalSpec, pairs: tuple[tuple[str, str], ...], names: tuple[str, ...] = ()) -> None:
        self.anodes = indices_of("reference", tuple(a for a, _ in pairs), signal)
        self.cathodes = indices_of("reference", tuple(b for _, b in pairs), signal)
        names = names or tuple(f"{a}-{b}" for a, b in pairs)
        types = tuple(signal.ch_types[a] for a in self.anodes) if signal.ch_types else ()
        middles = tuple(_middle(signal, a, b) for a, b in zip(self.anodes, self.cathodes, strict=True))
        if len(set(names)) < len(names):
            raise SignalMismatchError("reference: a pair is given twice", allowed="each pair once")
        units = self._units(signal, names) if signal.units else ()
        facts = {"ch_names": names, "ch_types": types, "units": units}
        super().__init__(signal, signal.replace(**facts, positions=middles if signal.positions else ()))

    def _units(self, signal: SignalSpec, names: tuple[str, ...]) -> tuple[str, ...]:
        for name, a, b in zip(names, self.anodes, self.cathodes, strict=True):
            if signal.units[a] != signal.units[b]:
                raise SignalMismatchError(
                    f"reference: the channels of '{name}' are in '{signal.units[a]}' and '{signal.units[b]}'",
                    allowed="pairs of one unit",
                )
        return tuple(signal.units[a] for a in self.anodes)

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return Chunk(chunk.values[self.anodes] - chunk.values[self.cathodes], chunk.valid, chunk.start), state


def _middle(signal: SignalSpec, a: int, b: int) -> Position | None:
    first, second = (signal.positions[i] if signal.positions else None for i in (a, b))
    if first is None or second is None:
        return None
    x, y, z = (np.add(first, second) / 2).tolist()
    return x, y, z
