"""Write EDF+ through edfio: 16 bit, a stated error, no personal fields, equal input gives equal bytes."""

from __future__ import annotations

import io
import warnings
from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.specs import SignalSpec
from ..core.store import atomic
from .channels import label_of
from .session import Intervals, Values

MAX_VOLTS = 9.0  # +-9,000,000 uV is what the 8 characters of the header hold
MIN_RANGE_UV = 0.01
_MIN_RECORD_S = Fraction(1, 50)


def quantisation_bound(values: Any) -> Values:
    """Return the largest error of each channel after a round trip through `write_edf`, in volts, (n_chans, 1).

    Half of a 16-bit step of the channel's own range (at least 0.01 uV; its ends are rounded outward to the header's
    8 characters, which adds at most 2e-5 of their size), and the rounding to float32.
    """
    low, high = _range_uv(np.asarray(values, dtype=np.float64) * 1e6)
    largest = np.maximum(np.abs(low), np.abs(high))
    bound = (high - low + 4e-5 * largest) / 65535 / 2 + largest * 2**-23
    return np.asarray(bound * 1e-6, dtype=np.float32)[:, None]


def write_edf(
    path: Path | str, *, values: Any, spec: SignalSpec, annotations: Intervals | None = None, subject: str = "X"
) -> None:
    """Write an EDF+ file (continuous) that `read` gives back.

    values : (n_chans, n_times) in volts. Channel names and types come back as in `spec`; positions are those of the
    names. The start date is not stored (`X`), the patient's fields are `X` but for the code, which is `subject`.
    Records last 1 s, or the longest shorter time of which the recording is a whole number, so any length is kept
    exactly. Raises DataError where that is impossible (a rate that is no whole number, a recording that no record of
    20 ms or more divides), for values that are not finite or beyond 9 V, for a label EDF cannot hold, and for
    annotations that lie before the recording or have no text.
    """
    import edfio

    data = np.asarray(values, dtype=np.float64) * 1e6
    if data.ndim != 2 or len(data) != spec.n_chans or data.shape[1] == 0:
        raise DataError(f"Values have shape {data.shape}", allowed=f"({spec.n_chans}, n_times), n_times 1 or more")
    _check_values(data, spec)
    record_s = _record_s(spec.sfreq, data.shape[1])
    low, high = _range_uv(data)
    signals = [
        edfio.EdfSignal(data[i], spec.sfreq, label=label, physical_dimension="uV", physical_range=(low[i], high[i]))
        for i, label in enumerate(_labels(spec))
    ]
    rows = [edfio.EdfAnnotation(*row) for row in _rows(annotations or Intervals())]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edf = edfio.Edf(
            signals, patient=edfio.Patient(code=_code(subject)), data_record_duration=float(record_s), annotations=rows
        )
    content = io.BytesIO()
    edf.write(content)  # edfio's own way to a file may cut it short in silence where the disk is full
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _check_values(data: Any, spec: SignalSpec) -> None:
    for row, name in zip(data, spec.ch_names, strict=True):
        if not np.isfinite(row).all():
            raise DataError(f"Channel '{name}' has values that are not finite", allowed="finite volts")
        if np.abs(row).max() > MAX_VOLTS * 1e6:
            given = f"Channel '{name}' reaches {np.abs(row).max() / 1e6:.3g} V"
            raise DataError(given, allowed=f"up to {MAX_VOLTS:g} V", remedy="Give the values in volts")


def _range_uv(data: Any) -> tuple[Any, Any]:
    """Return the physical range of each channel, at least MIN_RANGE_UV wide."""
    low, high = data.min(1), data.max(1)
    pad = np.maximum(MIN_RANGE_UV - (high - low), 0) / 2
    return low - pad, high + pad


def _record_s(sfreq: float, n_times: int) -> Fraction:
    """Return the longest record, 20 ms to 1 s, that holds whole samples, divides the recording and can be written."""
    if sfreq != int(sfreq):
        remedy = "Resample to a whole number of Hz, or keep the recording as .h5"
        raise DataError(f"EDF cannot hold {sfreq:g} Hz exactly", allowed="a whole number of Hz", remedy=remedy)
    rate = int(sfreq)
    common = gcd(rate, n_times)
    for n in range(common, 0, -1):
        record_s = Fraction(n, rate)
        exact = len(str(float(record_s))) <= 8 and Fraction(str(float(record_s))) == record_s
        if common % n == 0 and exact and record_s >= _MIN_RECORD_S:
            return record_s
    given = f"No EDF record of 20 ms or more divides {n_times} samples at {rate} Hz"
    raise DataError(given, remedy=f"Cut the recording to {n_times - n_times % rate} samples (whole seconds)")


def _labels(spec: SignalSpec) -> list[str]:
    labels = []
    for name, kind in zip(spec.ch_names, spec.ch_types or ("eeg",) * spec.n_chans, strict=True):
        label = label_of(name, kind)
        if label is None or len(label) > 16 or not (label.isascii() and label.isprintable()):
            allowed = "16 printable ASCII characters with the type, type eeg, eog, ecg, emg or misc"
            raise DataError(f"EDF cannot hold channel '{name}' of type {kind}", allowed=allowed, remedy="Rename it")
        labels.append(label)
    return labels


def _rows(annotations: Intervals) -> list[tuple[float, float | None, str]]:
    for start_s, _, text in annotations:
        if not text or any(ord(c) < 32 for c in text):
            raise DataError(f"EDF cannot hold the annotation {text!r}", allowed="a text without control characters")
        if start_s < 0:
            raise DataError(f"Annotation '{text}' starts at {start_s} s", allowed="0 or later")
    return [(start_s, end_s - start_s or None, text) for start_s, end_s, text in annotations]


def _code(subject: str) -> str:
    if not subject or not subject.isascii() or not subject.isprintable() or " " in subject or len(subject) > 60:
        raise DataError(
            f"EDF cannot hold the subject {subject!r}", allowed="up to 60 printable ASCII characters, no space"
        )
    return subject
