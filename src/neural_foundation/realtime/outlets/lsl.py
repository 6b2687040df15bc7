"""Decisions as streams of the lab streaming layer (LSL)."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..decision import LiveDecision
from ..sources.liblsl import pylsl
from .base import OpenOutlet, Outlet

KEPT_S = 60.0  # decisions that are kept for a receiver that is slow; the oldest go
HUNDREDS = 100  # the library counts in these where a stream has no rate


class Lsl(Outlet):
    """Two streams without a fixed rate, a sample of each for every decision.

    `NAME` (type "Probability"): a channel a class, and the channel `valid` (1 or 0). `NAME-decision` (type "Markers"):
    the class as a word, the empty word where the decoder abstained or the token was not valid. Both are stamped with
    the time of the last sample that the decision belongs to, on the clock of LSL.
    """

    kind: Literal["lsl"] = "lsl"
    argument: ClassVar[str] = "name"
    name: str = Field(min_length=1, description="the name of the streams")

    def open(self, classes: Sequence[str], rate: float) -> OpenLslOutlet:
        return OpenLslOutlet(self.name, tuple(classes), rate)


class OpenLslOutlet(OpenOutlet):
    """Two LSL outlets, found again under the same ids by those who received them before a restart."""

    def __init__(self, name: str, classes: tuple[str, ...], rate: float) -> None:
        library = pylsl()
        kept = max(1, round(rate * KEPT_S / HUNDREDS))
        self._classes, self._clock = classes, library.local_clock() - monotonic()
        labels = [*classes, "valid"]
        numbers = library.StreamInfo(
            name, "Probability", len(labels), library.IRREGULAR_RATE, library.cf_float32, f"neural-foundation:{name}"
        )
        _label(numbers, labels, ["probability"] * len(classes) + ["validity"])
        word = f"{name}-decision"
        words = library.StreamInfo(
            word, "Markers", 1, library.IRREGULAR_RATE, library.cf_string, f"neural-foundation:{word}"
        )
        _label(words, ["decision"], ["marker"])
        self._numbers: Any = library.StreamOutlet(numbers, max_buffered=kept)
        self._words: Any = library.StreamOutlet(words, max_buffered=kept)

    def _put(self, decision: LiveDecision, stamp_s: float | None) -> None:
        stamp = 0.0 if stamp_s is None else stamp_s + self._clock  # 0: now
        row = [decision.probability[c] for c in self._classes]
        self._numbers.push_sample([*row, float(decision.valid)], stamp)
        self._words.push_sample([decision.decision or "" if decision.valid else ""], stamp)

    def _close(self) -> None:
        self._numbers = self._words = None  # the library closes what nobody holds


def _label(info: Any, labels: list[str], types: list[str]) -> None:
    """Put channel labels into a description, where every receiver looks for them."""
    channels = info.desc().append_child("channels")
    for label, type_ in zip(labels, types, strict=True):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("type", type_)
