"""Where samples belong by their time stamps: gaps, stalls, jumps of the clock, the measured rate.

Stamps come with jitter, many at once, and from a clock of their own, so one late stamp says little. Three things are
looked at together:

- a step between two stamps of more than `gap_s` beyond one period is a gap, unless the samples that were held back
  came right after it (a stall): then their number fits the stamps again, and nothing is missing;
- a gap cannot be longer than the time that passed here since samples last came: a step that is, is a jump of the
  clock, and nothing is missing;
- a step back of more than `gap_s` is a jump of the clock.

A missing stretch shorter than `gap_s` cannot be told from jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Rate

SLACK_S = 0.25  # by which samples may have been delayed on their way


@dataclass(frozen=True)
class Place:
    """`missing` samples belong before sample `at` of those that came; `jumps` of the clock among them."""

    at: int = 0
    missing: int = 0
    jumps: int = 0


NOTHING = Place()


class Timeline:
    """Follows the stamps of one stream of `sfreq` samples per second."""

    def __init__(self, sfreq: float, gap_s: float) -> None:
        self.sfreq, self.gap_s, self.rate = sfreq, gap_s, Rate()
        self._stamp: float | None = None  # of the last sample
        self._here_s = float("-inf")  # when it came
        self._n = 0  # samples so far, the missing ones among them

    @property
    def measured(self) -> float:
        """The rate as measured, or as declared before that."""
        return self.rate.value or self.sfreq

    def suspects(self, stamps: Sequence[float]) -> bool:
        """Whether fewer samples came than their stamps tell: then it is worth waiting for what was held back."""
        if not stamps:
            return False
        if self._stamp is not None:
            return stamps[-1] - self._stamp - len(stamps) / self.measured > self.gap_s
        return stamps[-1] - stamps[0] - (len(stamps) - 1) / self.measured > self.gap_s

    def place(self, stamps: Sequence[float], now_s: float) -> Place:
        """Take the stamps, one or more, of the samples that came at `now_s`; return what is missing among them."""
        n, last = len(stamps), self._stamp
        if last is not None and abs(stamps[-1] - last - n / self.measured) <= self.gap_s:
            place = NOTHING  # as many as there should be: the usual case, and the quick one
            self.rate.saw(n, stamps[-1] - last)
        else:
            place = self._looked_at(np.asarray(stamps, np.float64), now_s)
        self._stamp, self._here_s = stamps[-1], now_s
        self._n += n + place.missing
        return place

    def _looked_at(self, stamps: NDArray[np.float64], now_s: float) -> Place:
        periods = self._periods(stamps)
        steps = periods - 1 / self.measured
        place = self._placed(steps, float(periods.sum()), now_s)
        known = 1 if self._stamp is None else 0  # the first period was only assumed
        usual = periods[known:][np.abs(steps[known:]) <= self.gap_s]
        self.rate.saw(len(usual), float(usual.sum()))
        return place

    def stamp_of(self, sample: int) -> float:
        """Return the stamp of a sample, by the last one that is known."""
        if self._stamp is None:
            return float("nan")
        return self._stamp + (sample - (self._n - 1)) / self.measured

    def _periods(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds from each stamp's forerunner to it; the very first sample has taken one period."""
        before = stamps[0] - 1 / self.measured if self._stamp is None else self._stamp
        return np.diff(stamps, prepend=before)

    def _placed(self, steps: NDArray[np.float64], seconds: float, now_s: float) -> Place:
        """Return what is missing. steps : of each stamp beyond one period. seconds : from the last stamp to now's."""
        at, jumps, n = int(steps.argmax()), int((steps < -self.gap_s).sum()), len(steps)
        if steps[at] <= self.gap_s:
            return Place(jumps=jumps)
        missing = round(min(float(steps[at]) * self.measured, seconds * self.measured - n))
        if missing <= self.gap_s * self.measured:
            return Place(jumps=jumps)  # late, not lost
        possible = (now_s - self._here_s + SLACK_S) * self.measured - n
        if missing > possible + self.gap_s * self.measured:
            return Place(jumps=jumps + 1)
        return Place(at, missing, jumps)
