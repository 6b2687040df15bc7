"""The fields that the features of spectra share: how the spectrum of a window is estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from .windowed import WindowedOp

if TYPE_CHECKING:
    from .estimates import Estimator


class SpectralOp(WindowedOp):
    """Base of the specs of features of a window's spectrum.

    welch : Hann segments, each centred, half overlapping, averaged (Welch 1967, IEEE Trans. Audio Electroacoust.
    15(2); as scipy.signal.welch). periodogram : the window as one such segment. multitaper : the centred window under
    Slepian tapers, weighted by their concentration, those below 0.9 left out (Thomson 1982, Proc. IEEE 70(9); as
    mne.time_frequency.psd_array_multitaper).
    """

    segment_share: ClassVar[float] = 0.5  # of a window, where segment_s is not given

    window_s: float = Field(2.0, gt=0, description="length of a window")
    method: Literal["welch", "multitaper", "periodogram"] = Field("welch", description="estimate of the spectrum")
    segment_s: float | None = Field(None, gt=0, description="welch: length of a segment; None: half a window")
    bandwidth_hz: float | None = Field(
        None, gt=0, description="multitaper: full width of the smoothing; None: 8 / window_s"
    )

    @model_validator(mode="after")
    def _fits(self) -> Any:
        if self.segment_s is not None and self.method != "welch":
            raise ValueError(f"segment_s belongs to method 'welch', but method is '{self.method}'")
        if self.bandwidth_hz is not None and self.method != "multitaper":
            raise ValueError(f"bandwidth_hz belongs to method 'multitaper', but method is '{self.method}'")
        if self.segment_s is not None and self.segment_s > self.window_s:
            raise ValueError(f"segment_s={self.segment_s:g} is longer than window_s={self.window_s:g}")
        if self.bandwidth_hz is not None and self.bandwidth_hz * self.window_s < 1:
            raise ValueError(f"bandwidth_hz={self.bandwidth_hz:g} is finer than 1 / window_s={1 / self.window_s:g}")
        return self

    def estimator(self, signal: SignalSpec) -> Estimator:
        """Return what estimates the spectra of this signal's windows."""
        from . import estimates

        n, fs = self.samples(signal)[0], signal.sfreq
        if self.method == "multitaper":
            return estimates.multitaper(n, fs, self.bandwidth_hz)
        whole = self.method == "periodogram"
        segment = n if whole else min(n, round((self.segment_s or self.window_s * self.segment_share) * fs))
        return estimates.welch(n, fs, max(1, segment))
