"""Windows in time order, the network's state carried on from each to the next of the same recording.

Truncated back-propagation through time (Williams & Peng 1990): gradients reach back to the start of a window, the state
to the start of its recording, or to the last gap. So what is trained is what runs live: one stream.

Deliberate difference: the state that goes on is that of the window as it was recorded, heard without dropout. What an
objective hides from the network, or an augmentation changes, ends with its window. It costs a second forward pass.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..base import Drawn, Feed, Sampler


class Ordered(Sampler):
    """Each row of a batch walks through recordings, window by window; each window comes once an epoch.

    `batch_size` is the most rows there are: at most one for each stretch of windows without a gap. `balance` has no
    part in it. The model's context must be 'stream'.
    """

    kind: Literal["ordered"] = "ordered"
    carries: ClassVar[bool] = True

    stretch_s: float | None = Field(
        None, gt=0, description="longer recordings are cut into stretches that each begin anew, so as to fill a batch"
    )

    def bind(self, drawn: Drawn) -> Feed:
        """Return the batches; SpecError where `stretch_s` is shorter than a window, DataError where none follow."""
        from .walk import Walk

        return Walk(drawn, self.stretch_s)
