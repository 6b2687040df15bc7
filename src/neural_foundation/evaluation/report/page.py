"""The page: one HTML file that needs nothing else.

It has no script, and its content policy allows the inline style and nothing else: a report cannot load, run or send
what its names contain. Equal content gives equal bytes; there is no date on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import curves, reading
from .blocks import Block, blocks
from .content import DataSource, Provenance, ReportContent
from .markup import Html, count, duration, el, join, number, table
from .style import style_sheet


def page(content: ReportContent) -> str:
    """Return the whole document."""
    opening = Opening(content.title, content.provenance, reading.verdict(content), _facts(content), content.caveats)
    return framed(opening, blocks(content))


@dataclass(frozen=True)
class Opening:
    """What stands before the sections. facts : (name, value) each, the most important one first."""

    title: str
    provenance: Provenance
    verdict: str
    facts: Sequence[tuple[str, str]]
    caveats: Sequence[str]


def framed(opening: Opening, found: list[Block], *, style: str = "", images: bool = False) -> str:
    """Return a document of sections. style : rules beyond the sheet. images : whether it holds its own images."""
    sections = [_section(b) for b in found]
    parts = [_header(opening, found), *sections, _reproduce(opening, found), _footer(opening)]
    skip = el("a", "Skip to the content", href="#content", class_="back")
    head = _head(opening, style_sheet() + style, "img-src data:; " if images else "")
    document = el("html", head, el("body", skip, el("main", *parts)), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _head(opening: Opening, style: str, further: str) -> Html:
    policy = f"default-src 'none'; {further}style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="neural-foundation"),
        el("title", opening.title),
        el("style", Html(style)),
    )


def _header(opening: Opening, found: list[Block]) -> Html:
    sentence = opening.verdict
    items = [
        el("div", el("dt", name), el("dd", value), class_=None if i else "first")
        for i, (name, value) in enumerate(opening.facts)
    ]
    facts = el("dl", *items, class_="facts") if items else None
    parts = [el("h1", opening.title), el("p", sentence, class_="verdict") if sentence else None, facts]
    if opening.caveats:
        notes = el("ul", *[el("li", c) for c in opening.caveats])
        parts.append(el("div", el("h2", "Read with care"), notes, class_="caveats"))
    links = [el("li", el("a", b.short, href=f"#{b.name}")) for b in found]
    links.append(el("li", el("a", "Reproduce", href="#reproduce")))
    parts.append(el("nav", el("ul", *links), aria_label="Sections"))
    return el("header", *parts, id="content")


def _facts(content: ReportContent) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if content.scores is not None:
        s = content.scores
        facts.append(
            (f"{s.metric}, mean of {count(len(s.subjects), 'held-out ' + s.group)}", number(s.main.mean.value))
        )
        facts.append(("chance", number(s.chance.value)))
        if s.best_baseline is not None:
            facts.append((f"best baseline, {s.best_baseline.model}", number(s.best_baseline.mean.value)))
    if content.latency is not None:
        facts.append(("a live step at p99", duration(curves.quantiles(content.latency)["p99"])))
    if content.coherence is not None and not facts:
        facts.append(("temporal coherence", number(content.coherence.value)))
    return facts


def _section(block: Block) -> Html:
    parts = [
        el("h2", block.drawn.title, id=f"{block.name}-title"),
        el("figure", block.drawn.figure, aria_labelledby=f"{block.name}-title"),
        el("p", block.drawn.reading, class_="reading") if block.drawn.reading else None,
        el("details", el("summary", "The numbers as a table"), block.drawn.numbers) if block.drawn.numbers else None,
        el("details", el("summary", "Where this comes from"), _provenance(block.provenance)),
    ]
    return el("section", *parts, id=block.name, class_="block")


def _provenance(p: Provenance) -> Html:
    rows = [
        ("Command", _command(p.command)),
        ("Seed", _seed(p)),
        ("Stage", p.stage),
        ("Stage key", el("code", p.stage_key) if p.stage_key else ""),
        ("Data", join([_source(d) for d in p.data], "; ")),
        ("Versions", _versions(p)),
    ]
    return el("dl", *[Html(el("dt", name) + el("dd", value)) for name, value in rows if value])


def _versions(p: Provenance) -> str:
    return ", ".join(f"{name} {p.versions[name]}" for name in sorted(p.versions))


def _source(d: DataSource) -> Html:
    linked = d.url.startswith(("https://", "http://"))  # nothing else may become a link
    name: object = el("a", d.title, href=d.url, rel="noreferrer noopener") if linked else d.title
    n = "" if d.n_subjects is None else f", {count(d.n_subjects, 'subject')}"
    return join([name, n, f", {d.licence}" if d.licence else "", f". {d.citation}" if d.citation else ""])


def _reproduce(opening: Opening, found: list[Block]) -> Html:
    sources = [opening.provenance, *[b.provenance for b in found]]
    commands = list(dict.fromkeys(p.command for p in sources))
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for b in found:
        p = b.provenance
        which = "above" if len(commands) == 1 else f"# {commands.index(p.command) + 1}"
        together.setdefault((p.stage, p.stage_key, _seed(p), which), []).append(b.short)
    rows = [
        [", ".join(names), stage, el("code", key), seed, which] for (stage, key, seed, which), names in together.items()
    ]
    head = ["Figures", "Stage", "Key", "Seed", "Command"]
    numbered = [el("pre", f"# {i + 1}\n" if len(commands) > 1 else None, _command(c)) for i, c in enumerate(commands)]
    data = list(dict.fromkeys(d for p in sources for d in p.data))
    parts = [
        el("h2", "How to reproduce", id="reproduce-title"),
        *numbered,
        table(head, rows, caption="Every figure, the stage it was made from and its key", stack=True) if rows else None,
        *([el("h3", "Data"), el("ul", *[el("li", _source(d)) for d in data])] if data else []),
        *([el("h3", "Versions"), el("p", _versions(opening.provenance))] if opening.provenance.versions else []),
    ]
    return el("section", *parts, id="reproduce")


def _seed(p: Provenance) -> str:
    return number(None) if p.seed is None else str(p.seed)


def _command(command: str) -> Html:
    """Return a command whose words stay whole where a line wraps: a bare "--" would mislead."""
    return el("code", join([el("span", word) for word in command.split(" ")], " "))


def _footer(opening: Opening) -> Html:
    version = opening.provenance.versions.get("neural-foundation")
    name = f"neural-foundation {version}" if version else "neural-foundation"
    return el("footer", el("p", f"Written by {name}. This file loads nothing and sends nothing."))
