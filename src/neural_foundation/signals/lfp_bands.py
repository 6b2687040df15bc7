"""Power or amplitude of several bands at once, streamed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .analytic import FilterBank, Resonators, band_taps
from .base import SignalOp, below_nyquist, whole_samples
from .features import Bands, check_bands, decibels, of_channels

LFP_BANDS: Bands = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 70.0),
    "high_gamma": (70.0, 150.0),
}
Gives = Literal["amplitude", "power", "log_power"]


class LfpBands(SignalOp):
    """Every band's amplitude or power in every channel; rows "<channel>:<band>", a column every_s.

    The filters are those of `phase`: the instantaneous amplitude |z| or power |z|^2, averaged over every_s; column k is
    the mean over the input samples [k hop, (k + 1) hop), valid where all of them are. 'log_power' is 10 log10 of the
    mean power, in dB against 1 V^2, no lower than -300. A wave of amplitude A has power A^2, twice its mean square.
    method 'fir' has the look-ahead of the lowest band, 1.65 s for one that begins at 1 Hz; 'resonator' has none.
    Unlike `band_powers` there is no window whose length all bands share.
    """

    kind: Literal["lfp_bands"] = "lfp_bands"
    bands: Bands = Field(LFP_BANDS, min_length=1, description="low and high edge in Hz, by name")
    gives: Gives = Field("power", description="amplitude in V, power in V^2, log_power in dB")
    every_s: float = Field(0.01, gt=0, description="average over this long: one column each")
    method: Literal["fir", "resonator"] = Field("fir", description="fir: with look-ahead; resonator: without")

    @property
    def keeps_topography(self) -> bool:
        return False

    @model_validator(mode="after")
    def _edges(self) -> LfpBands:
        check_bands(self.bands)
        if any(low <= 0 for low, _ in self.bands.values()):
            raise ValueError("a band begins at 0 Hz; it must begin above")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a band or every_s does not fit the sampling rate."""
        for name, (_, high) in self.bands.items():
            below_nyquist("lfp_bands", f"the upper edge of '{name}'", high, signal)
        hop = whole_samples("lfp_bands", "every_s", self.every_s, signal)
        unit = {"amplitude": "{}", "power": "{}^2", "log_power": "dB"}[self.gives]
        output = of_channels(signal, [(name, unit) for name in self.bands]).replace(sfreq=signal.sfreq / hop)
        mean = BlockMean(signal, len(self.bands), hop, self.gives)
        if self.method == "resonator":
            return CausalBands(signal, output, self, mean)
        return LinearBands(signal, output, self, mean)


class BlockMean:
    """Averages amplitudes or powers over whole blocks. State: of the open block its sums, length, validity."""

    def __init__(self, signal: SignalSpec, n_bands: int, hop: int, gives: Gives) -> None:
        from .analytic_kernels import block_means

        self._kernel, self.hop, self.gives = block_means, hop, gives
        self._shape = n_bands, signal.n_chans

    def fresh(self) -> State:
        return {"sums": np.zeros(self._shape), "filled": 0, "open_ok": True}

    def __call__(self, analytic: Array, valid: Array, state: State) -> Chunk:
        """Return the blocks that analytic (b, n_chans, n_times) completes; row = channel * n_bands + band."""
        n_bands, n_chans = self._shape
        filled, start = state["filled"], state["n_out"]
        n = (filled + len(valid)) // self.hop
        means = np.empty((n_chans, n_bands, n))
        self._kernel(analytic, self.hop, self.gives == "amplitude", state["sums"], filled, means)
        if self.gives == "log_power":
            means = decibels(means)
        good = np.concatenate([np.full(filled, state["open_ok"]), valid])
        state["filled"], state["n_out"] = len(good) - n * self.hop, start + n
        state["open_ok"] = bool(good[n * self.hop :].all())
        rows = means.reshape(n_chans * n_bands, n).astype(np.float32)
        return Chunk(rows, np.asarray(good[: n * self.hop].reshape(n, self.hop).all(1)), start)


class LinearBands(FilterBank):
    """The bound 'lfp_bands' of method 'fir'."""

    def __init__(self, signal: SignalSpec, output: SignalSpec, spec: LfpBands, mean: BlockMean) -> None:
        super().__init__(signal, output, [band_taps(*edges, signal.sfreq) for edges in spec.bands.values()])
        self._mean = mean

    def fresh(self) -> State:
        return super().fresh() | self._mean.fresh()

    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        return self._mean(analytic, valid, state)


class CausalBands(Resonators):
    """The bound 'lfp_bands' of method 'resonator'."""

    def __init__(self, signal: SignalSpec, output: SignalSpec, spec: LfpBands, mean: BlockMean) -> None:
        super().__init__(signal, output, list(spec.bands.values()))
        self._mean = mean

    def fresh(self) -> State:
        return super().fresh() | self._mean.fresh()

    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        return self._mean(analytic, valid, state)
