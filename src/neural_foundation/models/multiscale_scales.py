"""Which time scales a rate can carry, and the resonators that each starts with."""

from __future__ import annotations

from ..core.errors import SpecError
from .layers.resonators import Scale, spaced
from .multiscale import Multiscale


def usable_scales(spec: Multiscale, sfreq: float, hop: int) -> tuple[list[Scale], tuple[str, ...]]:
    """Return the scales that a rate can carry, and the names of those left out (under two samples long)."""
    kept, left = [], []
    for length, count in zip(spec.scales_s, spec.resonators, strict=True):
        scale = Scale(length, _centres(spec, length, count, sfreq), _sub_steps(length, hop / sfreq, hop))
        if length * sfreq < 2:
            left.append(scale.name)
        else:
            kept.append(scale)
    if not kept:
        raise SpecError(
            f"At {sfreq:g} Hz none of the scales {', '.join(left)} is two samples long",
            remedy="Give longer scales_s or a higher rate",
        )
    return kept, tuple(left)


def _centres(spec: Multiscale, length: float, count: int, sfreq: float) -> tuple[float, ...]:
    """Return centre frequencies: evenly spaced from 0.3 s on; one period or more long, and under 0.45 of the rate."""
    top = 0.45 * sfreq
    low = max(spec.low_hz, 0.4 / length) if length >= 0.05 else 0.1 / length
    high = spec.high_hz if length >= 0.05 else max(100.0, 1.0 / length)
    high = min(high, top)
    return spaced(min(low, high / 2), high, count, logarithmic=length < 0.3)


def _sub_steps(length: float, hop_s: float, hop: int) -> int:
    return max(1, min(hop, round(hop_s / (length if length < 0.05 else length / 2))))
