"""The spectrogram of a simulated EEG and of the minutes around it: four chains, 100 bands, a row every 2 s.

Each region is the mean power of its four bipolar channels, in square microvolts per Hz, of 5.12 s under a Hann window
about the middle of the row: at 200 Hz these are bins 3 to 102 of 1024, the published frequencies. Nothing above 20 Hz
is kept, so all is made at 50 Hz: the EEG itself filtered down, what lies around it by the same brain.

Deliberate differences from the published ones: a Hann window where these are multitaper, no filter before, artefacts
only within the EEG.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..hms import CHANNELS, EEG_HZ, N_BANDS, REGIONS, STEP_S
from ..hms_table import EEG_S, SPECTROGRAM_S
from .icu_brain import brain
from .icu_plan import Plan

if TYPE_CHECKING:
    from .icu import SimulatedHMS

CHAINS = {
    "LL": ("Fp1", "F7", "T3", "T5", "O1"),
    "RL": ("Fp2", "F8", "T4", "T6", "O2"),
    "LP": ("Fp1", "F3", "C3", "P3", "O1"),
    "RP": ("Fp2", "F4", "C4", "P4", "O2"),
}
HZ = 50.0
N_FFT = 256
FIRST_BIN = 3
AROUND_S = (SPECTROGRAM_S - EEG_S) / 2  # on either side of an EEG
_FADE_S = 1.0


def band_names() -> list[str]:
    """Return the 100 frequencies as the published columns have them: 0.59, 0.78, ... 4.1, ... 19.92."""
    exact = [Decimal(k) * Decimal(HZ) / N_FFT for k in range(FIRST_BIN, FIRST_BIN + N_BANDS)]
    return [f"{float(hz.quantize(Decimal('0.01'), ROUND_HALF_UP)):g}" for hz in exact]


def spectrogram_columns(spec: SimulatedHMS, plan: Plan, eeg: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return `time` and the 400 columns of an EEG (20, n) at 200 Hz; NaN in rows whose 2 s hold missing samples."""
    whole = _around(spec, plan, np.nan_to_num(eeg))
    rows = round((plan.length_s + 2 * AROUND_S) / STEP_S)
    power = np.concatenate([chain_power(whole, chain, rows) for chain in CHAINS.values()])
    power[:, _missing(eeg, rows)] = np.nan
    names = [f"{region}_{band}" for region in REGIONS for band in band_names()]
    time = (np.arange(rows) * int(STEP_S) + 1).astype(np.int64)
    return {"time": time, **dict(zip(names, power, strict=True))}


def chain_power(scalp: NDArray[np.float32], chain: tuple[str, ...], rows: int) -> NDArray[np.float32]:
    """Return the mean power (100, rows) of a chain of electrodes in a scalp EEG (19, n) at 50 Hz."""
    at = [CHANNELS.index(name) for name in chain]
    pairs = scalp[at[:-1]] - scalp[at[1:]]
    step = round(STEP_S * HZ)
    first = N_FFT // 2 - step // 2  # so much is put before, for the first row to have its middle at 1 s
    padded = np.pad(pairs, ((0, 0), (first, N_FFT)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, : rows * step : step]
    taper = np.hanning(N_FFT).astype(np.float32)
    spectrum = np.fft.rfft(windows * taper, axis=2)[..., FIRST_BIN : FIRST_BIN + N_BANDS]
    density = 2 * np.abs(spectrum) ** 2 / (HZ * float((taper**2).sum()))
    return np.asarray(density.mean(0).T, np.float32)


def _around(spec: SimulatedHMS, plan: Plan, eeg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scalp EEG (19, n) at 50 Hz from 275 s before the EEG to 275 s after it."""
    from scipy.signal import resample_poly

    own = np.asarray(resample_poly(eeg[:-1], 1, round(EEG_HZ / HZ), axis=1, padtype="line"), np.float32)
    n = round((plan.length_s + 2 * AROUND_S) * HZ)
    whole = brain(spec, plan, np.arange(n) / HZ - AROUND_S, HZ, "around")
    start = round(AROUND_S * HZ)
    fade = np.clip(np.arange(own.shape[1]) / (_FADE_S * HZ), 0.0, 1.0)
    weight = np.minimum(fade, fade[::-1]).astype(np.float32)
    part = whole[:, start : start + own.shape[1]]
    part += weight * (own - part)
    return whole


def _missing(eeg: NDArray[np.float32], rows: int) -> NDArray[np.bool_]:
    """Return which rows (rows,) hold missing samples of the EEG in their own 2 s."""
    step = round(STEP_S * EEG_HZ)
    lost = np.isnan(eeg[:-1]).any(0)
    at = (np.flatnonzero(lost) + round(AROUND_S * EEG_HZ)) // step
    made = np.zeros(rows, np.bool_)
    made[at[at < rows]] = True
    return made
