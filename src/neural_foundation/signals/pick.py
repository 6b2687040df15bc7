"""Keeping some of the channels, by name or by type."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError, did_you_mean, one_of
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp


class Pick(SignalOp):
    """Keeps the named channels, or those of the given types; a missing one is an error, never skipped."""

    kind: Literal["pick"] = "pick"
    channels: tuple[str, ...] = Field((), description="names to keep")
    types: tuple[str, ...] = Field((), description="types to keep: eeg, eog, ecg, emg, misc")
    order: Literal["given", "recording"] = Field("given", description="order of the named channels in the output")

    @model_validator(mode="after")
    def _one_way(self) -> Pick:
        if bool(self.channels) == bool(self.types):
            raise ValueError("give channels or types, one of the two")
        if len(set(self.channels)) < len(self.channels):
            raise ValueError("a channel is named twice")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError for a name or type that the signal has not."""
        chosen = indices_of("pick", self.channels, signal) if self.channels else self._of_types(signal)
        return Select(signal, sorted(chosen) if self.order == "recording" else chosen)

    def _of_types(self, signal: SignalSpec) -> list[int]:
        have = signal.ch_types or ("eeg",) * signal.n_chans
        for wanted in self.types:
            if wanted not in have:
                raise SignalMismatchError(f"pick: no channel is of type '{wanted}'", allowed=one_of(sorted(set(have))))
        return [i for i, t in enumerate(have) if t in self.types]


class Select(Operation):
    """Rows of the signal, in a given order."""

    selects = True

    def __init__(self, signal: SignalSpec, chosen: list[int]) -> None:
        self.chosen = chosen
        kept = {
            f: tuple(getattr(signal, f)[i] for i in chosen)
            for f in ("ch_names", "ch_types", "positions", "units")
            if getattr(signal, f)
        }
        super().__init__(signal, signal.replace(**kept))

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return Chunk(chunk.values[self.chosen], chunk.valid, chunk.start), state


def indices_of(kind: str, names: tuple[str, ...], signal: SignalSpec) -> list[int]:
    """Return the rows of the named channels; SignalMismatchError names the missing ones and the nearest known."""
    at = {name: i for i, name in enumerate(signal.ch_names)}
    missing = [n for n in names if n not in at]
    if missing:
        near = {n.lower(): n for n in signal.ch_names}
        hint = (
            f" Did you mean '{near[missing[0].lower()]}'?"
            if missing[0].lower() in near
            else did_you_mean(missing[0], at)
        )
        known = one_of(signal.ch_names[:20]) + (", ..." if signal.n_chans > 20 else "")
        raise SignalMismatchError(f"{kind}: the signal has no channel {one_of(missing)}.{hint}", allowed=known)
    return [at[n] for n in names]
