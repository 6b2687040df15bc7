"""How irregular a signal is: sample, approximate and permutation entropy, on windows that slide."""

from __future__ import annotations

from math import factorial, log2
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import long_enough, of_channels, once
from .windowed import Windowed, WindowedOp

Measure = Literal["sample", "approximate", "permutation"]


class Entropy(WindowedOp):
    """One row a channel and measure, "C3:sample_entropy".

    sample : -ln(A / B), where B and A count the pairs of templates of m and m + 1 samples, both among the first n - m,
    that nowhere differ by more than `tolerance` standard deviations of the window (Richman & Moorman 2000, Am. J.
    Physiol. 278(6)), in nats. Where A is 0: the largest value they state, ln(n - m) + ln(n - m - 1) - ln 2.
    approximate : phi(m) - phi(m + 1) with self-matches (Pincus 1991, PNAS 88(6)), in nats. permutation : entropy of
    the order patterns of `order` samples `delay_s` apart, over its largest, log2(order!): 0 where the order never
    changes, 1 where all orders are as frequent (Bandt & Pompe 2002, Phys. Rev. Lett. 88(17)).

    Sample and approximate entropy take time in the square of the window; resample before long windows.
    """

    kind: Literal["entropy"] = "entropy"
    measures: tuple[Measure, ...] = Field(("sample",), min_length=1, description="which, in the order of the rows")
    m: int = Field(2, ge=1, le=10, description="sample, approximate: samples of a template")
    tolerance: float = Field(0.2, gt=0, description="sample, approximate: in standard deviations of the window")
    order: int = Field(3, ge=2, le=7, description="permutation: samples of a pattern")
    delay_s: float | None = Field(None, gt=0, description="permutation: between its samples; None: one sample")

    @field_validator("measures")
    @classmethod
    def _right(cls, measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
        once("measures", measures)
        return measures

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a window is too short for a pattern or for two templates."""
        return BoundEntropy(signal, self)


class BoundEntropy(Windowed):
    """Feature row = channel * n_measures + measure."""

    def __init__(self, signal: SignalSpec, spec: Entropy) -> None:
        from . import window_kernels

        super().__init__(signal, spec, of_channels(signal, [(f"{m}_entropy", "") for m in spec.measures]))
        self._delay = max(1, round((spec.delay_s or 0) * signal.sfreq))
        least = {"permutation": (spec.order - 1) * self._delay + 1}
        long_enough("entropy", self.window, max(least.get(m, spec.m + 3) for m in spec.measures), signal)
        self._spec, self._kernels = spec, window_kernels

    def features(self, windows: Array) -> Array:
        out = np.empty((len(self._spec.measures), *windows.shape[:2], 1))
        for made, measure in zip(out, self._spec.measures, strict=True):
            self._write(measure, windows, made)
        return np.moveaxis(out[..., 0], 0, -1).reshape(len(windows), -1)

    def _write(self, measure: Measure, windows: Array, out: Array) -> None:
        spec = self._spec
        if measure == "sample":
            self._kernels.sample_entropies(windows, spec.m, spec.tolerance, out)
        elif measure == "approximate":
            self._kernels.approximate_entropies(windows, spec.m, spec.tolerance, out)
        else:
            self._kernels.permutation_entropies(windows, spec.order, self._delay, out)
            out /= log2(factorial(spec.order))
