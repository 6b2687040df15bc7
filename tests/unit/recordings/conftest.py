"""A builder of EDF files in which every field can be made wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edf_bytes import ANNOTATIONS, header, samples, signal


@pytest.fixture
def edf(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an EDF of 3 records of 1 s; pass what should differ."""

    def build(
        signals: list[dict[str, Any]] | None = None,
        *,
        tals: list[bytes] | None = None,
        reserved: str | None = None,
        n_records: int = 3,
        record_s: Any = 1,
        tail: bytes = b"",
        name: str = "x.edf",
        **changes: Any,
    ) -> Path:
        signals = [signal("Fp1"), signal("Cz")] if signals is None else list(signals)
        if tals is not None:
            signals.append(signal(ANNOTATIONS, max(map(len, tals)) // 2 + 1, p_min="-1", p_max="1"))
        plus = "EDF+C" if tals is not None else ""
        head = header(signals, n_records, record_s, plus if reserved is None else reserved, **changes)
        path = tmp_path / name
        path.write_bytes(head + samples(signals, n_records, tals or []) + tail)
        return path

    return build
