"""What lies beside a recording's main file and belongs to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .reader import is_file

_PHY = ("params", "spike_times", "spike_clusters", "spike_templates", "channel_map", "channel_positions")
_NAMED = re.compile(rb"^(?:DataFile|MarkerFile)[ \t]*=[ \t]*([^\r\n]+?)[ \t]*\r?$", re.MULTILINE)
_HEADER_BYTES = 1 << 16


def parts(path: Path) -> list[Path]:
    """Return the files whose content decides what a recording gives: it, and what belongs to it, as names tell."""
    if path.is_dir():
        known = [p for p in path.iterdir() if p.stem in _PHY and p.suffix in (".py", ".npy")]
        return sorted([*known, *path.glob("cluster_*.tsv"), *path.glob("cluster_*.csv")])
    beside = [path.with_name(name) for name in (f"{path.name}.layout.yaml", f"{path.stem}.layout.yaml", "layout.yaml")]
    find = _BESIDE.get(path.suffix.lower())
    return [path, *sorted({p for p in [*beside, *(find(path) if find else [])] if is_file(p) and p != path})]


def _of_brainvision(path: Path) -> list[Path]:
    """Return the files that a header names, in its own folder."""
    try:
        with path.open("rb") as file:
            words = [m[1].decode("utf-8", "replace") for m in _NAMED.finditer(file.read(_HEADER_BYTES))]
    except OSError:
        return []  # the reader says why
    names = [word.replace("$b", path.stem) for word in words]
    return [path.with_name(name) for name in names if Path(name).name == name and name.isprintable()]


_BESIDE: dict[str, Callable[[Path], list[Path]]] = {
    ".vhdr": _of_brainvision,
    ".set": lambda path: [path.with_suffix(".fdt")],
    ".npy": lambda path: [path.with_name(path.name.replace(".spike_times.", ".spike_clusters."))],
}
