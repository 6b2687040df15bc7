"""Markup that is safe by construction, and numbers as a reader wants them.

`el` escapes every child and attribute that is not already `Html`, so a subject named "<script>" stays a name.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable

import numpy as np

# C0 and C1 controls, surrogates and non-characters are not allowed in a document, escaped or not.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"meta", "br", "col"})
_SHAPES = frozenset({"line", "rect", "circle", "path", "polyline", "polygon"})


class Html(str):
    """A string that is markup already."""

    __slots__ = ()


def safe(text: object) -> Html:
    """Return `text` as markup: as it is where it is Html, escaped otherwise."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", str(text)), quote=True))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return the parts as one piece of markup."""
    return Html(between.join(safe(p) for p in parts))


def el(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element. `class_` means class, `aria_label` aria-label; None leaves out, True is a bare attribute."""
    words = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        words.append(name if value is True else f'{name}="{safe(_plain(value))}"')
    opening = " ".join(words)
    if tag in _VOID:
        return Html(f"<{opening}>")
    if tag in _SHAPES and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(c for c in children if c is not None)}</{tag}>")


def _plain(value: object) -> object:
    return coordinate(float(value)) if isinstance(value, (float, np.floating)) else value


def coordinate(value: float) -> str:
    """Return a drawing coordinate with at most one decimal; never "-0"."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a true minus sign; a dash where it is missing."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int = 2) -> str:
    """Return a number that always shows its sign; zero has none."""
    text = number(value, digits)
    return f"+{text}" if math.isfinite(value) and float(f"{value:.{digits}f}") > 0 else text


def interval(low: float, high: float, digits: int = 2) -> str:
    """Return "0.81 to 0.90"."""
    return f"{number(low, digits)} to {number(high, digits)}"


def estimate(value: float, low: float, high: float) -> str:
    """Return "0.86 [0.81, 0.90]"."""
    return f"{number(value)}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}[{number(low)}, {number(high)}]"


def sentence(text: str) -> str:
    """Return the text with a capital first letter; the rest as it is."""
    return text[:1].upper() + text[1:]


def percent(share: float, digits: int = 0) -> str:
    """Return a share as per cent, with the thin space that keeps number and sign together."""
    return f"{number(100 * share, digits)}\N{NARROW NO-BREAK SPACE}%"


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, in plain notation where that is short."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 < exponent < 6:
        return f"{value:.{digits - 1}e}".replace("-", "\N{MINUS SIGN}")
    return number(value, max(0, digits - 1 - exponent))


def duration(seconds: float, digits: int = 3) -> str:
    """Return a duration in the unit that suits it: 214 µs, 3.20 ms, 1.50 s."""
    scale, unit = time_unit(seconds)
    return f"{significant(seconds / scale, digits)}\N{NO-BREAK SPACE}{unit}"


def size(n_bytes: float) -> str:
    """Return a file's size for people, in decimal units."""
    scale, unit = (1e6, "MB") if n_bytes >= 1e6 else (1e3, "kB")
    return f"{significant(n_bytes / scale)}\N{NO-BREAK SPACE}{unit}"


def budget(seconds: float) -> str:
    """Return a duration that was chosen, not measured: 40 ms rather than 40.0 ms."""
    scale, unit = time_unit(seconds)
    return f"{seconds / scale:.4g}\N{NO-BREAK SPACE}{unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """Return (seconds in the unit, its sign) for a duration of this order."""
    if seconds < 1e-3:
        return 1e-6, "µs"
    return (1e-3, "ms") if seconds < 1 else (1.0, "s")


def count(n: int, word: str) -> str:
    """Return "1 subject", "12 subjects", "3 days": the plural of plain English words."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def table(head: Iterable[object], rows: Iterable[Iterable[object]], *, caption: str, stack: bool = False) -> Html:
    """Return a table whose first column names the row; it scrolls sideways, or with `stack` turns into a list."""
    names = [str(h) for h in head]
    body = [_row(names, list(row)) for row in rows]
    inner = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *[el("th", n, scope="col") for n in names])),
        el("tbody", *body),
        class_="stack" if stack else None,
    )
    return el("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _row(names: list[str], cells: list[object]) -> Html:
    first = el("th", cells[0], scope="row")
    return el("tr", first, *[el("td", c, data_label=n) for n, c in zip(names[1:], cells[1:], strict=True)])
