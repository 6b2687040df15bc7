"""The kinds of signal operations a recipe's `signals:` list can name."""

from __future__ import annotations

from ..core.kinds import KindTable, Row

_HERE = "neural_foundation.signals"

SIGNALS = KindTable(
    "signals",
    {
        "align": Row(f"{_HERE}.align:Align", "running Euclidean alignment: whitens the channels", law="stream"),
        "bandpass": Row(f"{_HERE}.bandpass:Bandpass", "band-, high- or low-pass filter", law="stream"),
        "clip": Row(f"{_HERE}.clip:Clip", "clips artefacts at a multiple of the running scale", law="stream"),
        "normalise": Row(f"{_HERE}.normalise:Normalise", "running mean 0 and variance 1", law="stream"),
        "notch": Row(f"{_HERE}.notch:Notch", "removes the mains frequency and its harmonics", law="stream"),
        "pick": Row(f"{_HERE}.pick:Pick", "keeps channels by name or type", law="stream"),
        "reference": Row(f"{_HERE}.reference:Reference", "average, named or bipolar reference", law="stream"),
        "resample": Row(f"{_HERE}.resample:Resample", "another sampling rate, by a polyphase FIR filter", law="stream"),
        "scale": Row(f"{_HERE}.scale:Scale", "multiplies by a constant", law="stream"),
    },
)
