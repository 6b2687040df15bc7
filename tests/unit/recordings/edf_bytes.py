"""EDF files built byte by byte, so that every field can be made wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

ANNOTATIONS = "EDF Annotations"


def signal(label: str, n: int = 10, **changes: Any) -> dict[str, Any]:
    fields = {"label": label, "transducer": "", "unit": "uV", "p_min": "-100", "p_max": "100"}
    return fields | {"d_min": "-1000", "d_max": "1000", "prefilter": "", "n": n, "reserved": ""} | changes


def header(signals: list[dict[str, Any]], n_records: Any, record_s: Any, reserved: str, **changes: Any) -> bytes:
    fixed = {"version": "0", "patient": "SECRET NAME", "recording": "DR SECRET", "date": "01.01.01", "time": "00.00.00"}
    fixed |= {"size": 256 * (len(signals) + 1), "reserved": reserved, "n_records": n_records, "record_s": record_s}
    fixed |= {"n_signals": len(signals)} | changes
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    parts = [_field(v, w) for v, w in zip(fixed.values(), widths, strict=True)]
    for name, width in zip(signals[0], (16, 80, 8, 8, 8, 8, 8, 80, 8, 32), strict=True):
        parts += [_field(s[name], width) for s in signals]
    return b"".join(parts)


def _field(value: Any, width: int) -> bytes:
    return (value if isinstance(value, bytes) else str(value).encode()).ljust(width)


def samples(signals: list[dict[str, Any]], n_records: int, tals: list[bytes]) -> bytes:
    rng = np.random.default_rng(0)
    parts = []
    for record in range(n_records):
        for s in signals:
            if s["label"] == ANNOTATIONS:
                parts.append(tals[record].ljust(2 * s["n"], b"\0"))
            else:
                parts.append(rng.integers(-1000, 1001, s["n"]).astype("<i2").tobytes())
    return b"".join(parts)
