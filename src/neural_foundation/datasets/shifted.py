"""A signal on another clock."""

from __future__ import annotations

from ..recordings.session import Mask, Signal, Values


class ShiftedSignal(Signal):
    """Another signal, as lazy as that one, `shift_s` later on the clock of its new session."""

    def __init__(self, whole: Signal, shift_s: float) -> None:
        super().__init__(whole.spec, whole.n_times, whole.start_s + shift_s)
        self._whole = whole

    def _read(self, start: int, stop: int) -> Values:
        return self._whole.read(start, stop)

    def _valid(self, start: int, stop: int) -> Mask:
        return self._whole.valid(start, stop)
