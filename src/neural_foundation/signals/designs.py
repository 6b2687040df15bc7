"""IIR filters by name, as second-order sections."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.stream import Array

Design = Literal["butter", "cheby1", "cheby2", "ellip", "bessel"]
RIPPLE_DB, STOP_DB = 0.5, 40.0


def check_design(design: Design, ripple_db: float, stop_db: float) -> None:
    """Raise ValueError where a ripple or an attenuation is given to a design that has none, or they contradict."""
    if ripple_db != RIPPLE_DB and design not in ("cheby1", "ellip"):
        raise ValueError(f"ripple_db belongs to the designs cheby1 and ellip, but design is '{design}'")
    if stop_db != STOP_DB and design not in ("cheby2", "ellip"):
        raise ValueError(f"stop_db belongs to the designs cheby2 and ellip, but design is '{design}'")
    if design == "ellip" and ripple_db >= stop_db:
        raise ValueError(f"ripple_db={ripple_db:g} must be below stop_db={stop_db:g}")


def sections(
    design: Design,
    order: int,
    edges: float | list[float],
    kind: str,
    sfreq: float,
    *,
    ripple_db: float = RIPPLE_DB,
    stop_db: float = STOP_DB,
) -> Array:
    """Return sections (n, 6) as `scipy.signal.iirfilter` gives them; kind: lowpass, highpass, bandpass, bandstop.

    At an edge the gain is -3 dB (butter, bessel), -ripple_db (cheby1, ellip) or -stop_db (cheby2).
    """
    from scipy import signal as ss

    if design == "butter":
        sos = ss.butter(order, edges, kind, fs=sfreq, output="sos")
    elif design == "cheby1":
        sos = ss.cheby1(order, ripple_db, edges, kind, fs=sfreq, output="sos")
    elif design == "cheby2":
        sos = ss.cheby2(order, stop_db, edges, kind, fs=sfreq, output="sos")
    elif design == "ellip":
        sos = ss.ellip(order, ripple_db, stop_db, edges, kind, fs=sfreq, output="sos")
    else:
        sos = ss.bessel(order, edges, kind, fs=sfreq, output="sos", norm="mag")
    return np.asarray(sos)
