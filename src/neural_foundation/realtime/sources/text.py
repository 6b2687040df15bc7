"""One word of a command line as a kind: `KIND:WORD,field=value,...`."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.errors import SpecError, UnknownKindError, one_of
from ...core.kinds import KindTable
from ...core.specs import Spec

_OPTION = re.compile(r",(\w+)=([^,]*)$")


def parsed(table: KindTable, text: str) -> Spec:
    """Return the kind that a text describes; its class says which field the word after the colon is (`argument`)."""
    kind, _, rest = text.partition(":")
    word, options = _options(rest) if rest else ("", {})
    if not word and "," in kind:
        kind, options = _options(kind)
    if kind and kind not in table and Path(text).exists():
        raise UnknownKindError(
            f"'{text}' is a path, but not a kind of {table.room}",
            allowed=one_of(table),
            remedy=f"Write file:{text}" if "file" in table else "",
        )
    argument = getattr(table.row(kind).load(), "argument", "")
    if word and not argument:
        raise SpecError(f"'{kind}' takes no word after the colon, but got '{word}'", remedy="Give field=value")
    return table.parse({"kind": kind, **({argument: word} if word else {}), **options})


def _options(text: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the `,field=value` at the end of a text, and these."""
    found: dict[str, str] = {}
    while match := _OPTION.search(text):
        found[match[1]] = match[2]
        text = text[: match.start()]
    return text, found
