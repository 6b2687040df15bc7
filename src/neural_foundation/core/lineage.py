"""The lineage law: every output's folder says what made it, from what, and who was in it.

`manifest.json` holds the key and, beside it, what does not enter the key: library versions, source digest, subjects
(keyed pseudonyms), privacy spent, checksums. A folder without a manifest was never finished.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import StoreError
from .store import read_json, sha256, write_bytes, write_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LOGS = "logs"  # what trackers write, for people: nothing is made from it, so it has no checksum
LIBRARIES = (
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "scikit-learn",
    "mne",
    "h5py",
    "onnxruntime",
    "onnx",
    "numba",
    "pyriemann",
)


@dataclass(frozen=True)
class Output:
    """A finished output: which stage and item gave it, its key and where it lies."""

    stage: str
    item: str
    key: str
    folder: Path
    manifest: dict[str, Any] = field(repr=False, compare=False, default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name

    def verify(self) -> None:
        """Raise StoreError unless every file has the checksum that was written with it."""
        for name, entry in self.manifest["outputs"].items():
            if not self.path(name).exists() or sha256(self.path(name)) != entry["sha256"]:
                raise StoreError(
                    f"{self.path(name)} is missing or not as it was written",
                    remedy=f"Remove {self.folder} and run again",
                )


def open_output(folder: Path) -> Output | None:
    """Return the finished output in a folder; None where there is none, or a file is gone or of another size.

    What trackers wrote (`logs/`) may be gone.
    """
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format_version", 0) > FORMAT_VERSION:
        raise StoreError(
            f"{folder / MANIFEST} has format_version {manifest['format_version']}",
            allowed=f"up to {FORMAT_VERSION}",
            remedy="Use a newer neural-foundation",
        )
    for name, entry in manifest["outputs"].items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != entry["bytes"]:
            return None
    if any(not (folder / name).is_file() for name in manifest["measured"] if not name.startswith(f"{LOGS}/")):
        return None
    return Output(manifest["stage"], manifest["item"], manifest["key"], folder, manifest)


def write_manifest(folder: Path, facts: dict[str, Any], measured: Sequence[str] = ()) -> None:
    """Write the manifest of a finished folder. `measured` files hold timings: listed, but without a checksum."""
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    outputs = {
        n: {"bytes": (folder / n).stat().st_size, "sha256": sha256(folder / n)} for n in names if n not in measured
    }
    beside = {"libraries": library_versions(), "source": source_digest(), "python": platform.python_version()}
    write_json(
        folder / MANIFEST,
        {"format_version": FORMAT_VERSION, **facts, **beside, "outputs": outputs, "measured": sorted(measured)},
    )


@cache
def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that results depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def source_digest() -> str:
    """Return a digest of this package's source, so that `plan` can say that the code changed."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def pseudonyms(subjects: Iterable[str], root: Path) -> list[str]:
    """Return keyed pseudonyms of subjects; the key lies in `root`, is made once, and never leaves it."""
    path = root / ".pseudonym-key"
    if not path.exists():
        write_bytes(path, secrets.token_bytes(32))
        os.chmod(path, 0o600)
    key = path.read_bytes()
    return sorted({hmac.new(key, s.encode(), "sha256").hexdigest()[:16] for s in subjects})
