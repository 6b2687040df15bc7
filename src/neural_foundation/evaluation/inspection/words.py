"""Numbers as people read them: with the prefix that fits, durations, shares."""

from __future__ import annotations

import math

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def prefix(largest: float, unit: str) -> tuple[float, str]:
    """Return (divisor, unit with its prefix) for values up to `largest`; only volts and the like take a prefix."""
    if unit not in {"V", "T", "A", "V/m", "T/m"} or not math.isfinite(largest) or largest == 0:
        return 1.0, unit
    if unit.startswith("T"):
        return 1e-15, f"f{unit}"
    factor, sign = next(((f, s) for f, s in _PREFIXES if abs(largest) >= 0.9995 * f), _PREFIXES[-1])
    return factor, f"{sign}{unit}"


def number(value: float, digits: int = 3) -> str:
    """Return a value with so many digits that count, never as a power of ten where it is below a million."""
    if not math.isfinite(value):
        return "-"
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.10g}"


def counted(n: int, what: str) -> str:
    """Return '1 channel' or '2 channels'."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cut_middle(text: str, most: int) -> str:
    """Return a text of at most `most` characters that keeps its end, where labels of one kind differ."""
    head = (most - 1) // 2
    return text if len(text) <= most else f"{text[:head]}…{text[head + 1 - most :]}"


def amount(low: float, high: float, unit: str) -> str:
    """Return a range with one prefix and as many decimals at both ends, e.g. '-42.0 to 45.3 µV'; '-' if unknown."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    largest = max(abs(low), abs(high))
    factor, name = prefix(largest, unit)
    size = largest / factor
    if size and not 1e-3 <= size < 1e6:
        return f"{low / factor:.2e} to {high / factor:.2e} {name}".rstrip()
    decimals = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 0.9995 else 4
    ends = (round(value / factor, decimals) + 0.0 for value in (low, high))  # + 0.0: no minus before a nought
    return f"{' to '.join(f'{end:.{decimals}f}' for end in ends)} {name}".rstrip()


def times(ratio: float) -> str:
    """Return a ratio, e.g. '18x', '1.2x', '<0.1x'; '-' where it is unknown."""
    if not math.isfinite(ratio):
        return "-"
    return "<0.1x" if ratio < 0.05 else f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:,.0f}x"


def share(value: float) -> str:
    """Return a share as percent; what is little but there is not 0."""
    if not math.isfinite(value):
        return "-"
    if 0 < value < 0.0005:
        return "<0.1 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{100 * value:.{0 if value in (0, 1) else 1}f} %"


def lasting(seconds: float) -> str:
    """Return a duration, e.g. '62.0 s', '12 min 30 s', '3 h 05 min'."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
