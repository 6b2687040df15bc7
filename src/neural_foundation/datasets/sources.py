"""Where the files of a dataset are published, and what is known of each before it is there: name, size, checksum.

A source only says; `fetch` does. Whatever a server answers is checked here before anyone uses it: a name that leaves
the folder, a line that is no checksum, a size that is no number are one FetchError.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.errors import DataError, RecordingError

SUMS = "SHA256SUMS.txt"
LISTING = "published-files.json"
MAX_LISTING = 64 << 20
_SUM = re.compile(r"([0-9a-f]{64}) [ *]?(\S.*)")
_HEX = {"sha256": re.compile("[0-9a-f]{64}"), "git-sha1": re.compile("[0-9a-f]{40}")}
_ASSET = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"[^\x00-\x1f\x7f\\:/]{1,200}")
MAX_PAGES = 10_000

Get = Callable[[str, int], bytes]  # (url, most bytes) -> content


class FetchError(DataError):
    """A file of a dataset could not be had: no network, or a server that gave something else.

    url : what was asked for. unreachable : whether no server answered, so that another time may do.
    """

    def __init__(self, url: str, given: str, *, allowed: str = "", remedy: str = "", unreachable: bool = False) -> None:
        self.url, self.unreachable = url, unreachable
        super().__init__(f"{url}: {given}", allowed=allowed, remedy=remedy)


@dataclass(frozen=True)
class Remote:
    """One published file. name : below the dataset's folder. digest : 'sha256:...' or 'git-sha1:...'."""

    name: str
    url: str
    digest: str
    size: int | None = None


class Source(ABC):
    """Where a dataset is published. `page` : for people. `needs` : what a person must do first; '' for nothing."""

    page: str
    needs: str = ""

    @abstractmethod
    def kept(self, folder: Path) -> list[Remote] | None:
        """Return the published files by the list that lies in `folder`; None where none does."""

    @abstractmethod
    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        """Return what the site says: name and bytes of the list to keep in the folder, and the files."""

    def by_hand(self, folder: Path) -> str:
        """Return how a person gets the files into `folder` without us."""
        return f"Check the network, or download the files by hand from {self.page} into {folder}"


@dataclass(frozen=True)
class PhysioNet(Source):
    """A database of PhysioNet at a fixed version; its own SHA256SUMS.txt is fetched and kept beside the files."""

    slug: str
    version: str = "1.0.0"
    site: str = "https://physionet.org"

    @property
    def page(self) -> str:  # type: ignore[override]
        return f"{self.site}/content/{self.slug}/{self.version}/"

    @property
    def files(self) -> str:
        return f"{self.site}/files/{self.slug}/{self.version}/"

    def kept(self, folder: Path) -> list[Remote] | None:
        path = folder / SUMS
        return self._remotes(_kept_text(path), str(path)) if path.is_file() else None

    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        url = self.files + SUMS
        content = get(url, MAX_LISTING)
        return SUMS, content, self._remotes(content.decode("utf-8", "replace"), url)

    def _remotes(self, text: str, where: str) -> list[Remote]:
        sums = parse_sums(text, where)
        return [Remote(name, self.files + quote(name), f"sha256:{digest}") for name, digest in sums.items()]

    def by_hand(self, folder: Path) -> str:
        line = f"wget -r -N -c -np -nH --cut-dirs=3 -P {folder} {self.files}"
        return f"Check the network, or download by hand: '{line}'"


@dataclass(frozen=True)
class GitHub(Source):
    """A repository at a fixed commit. Its tree names the size and the git hash (SHA-1) of every file."""

    repository: str
    commit: str
    api: str = "https://api.github.com"
    raw: str = "https://raw.githubusercontent.com"

    @property
    def page(self) -> str:  # type: ignore[override]
        return f"https://github.com/{self.repository}"

    def kept(self, folder: Path) -> list[Remote] | None:
        return _kept_listing(folder, lambda rows: [self._remote(row) for row in rows], {"commit": self.commit})

    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        url = f"{self.api}/repos/{self.repository}/git/trees/{self.commit}?recursive=1"
        with _answer(url):
            tree = json.loads(get(url, MAX_LISTING))
            blobs = [entry for entry in tree["tree"] if entry["type"] == "blob"]
            rows = [{"name": b["path"], "size": b["size"], "digest": f"git-sha1:{b['sha']}"} for b in blobs]
            if tree["truncated"]:
                raise ValueError("the list is cut short")
        return LISTING, _listing({"commit": self.commit}, rows), [self._remote(row) for row in rows]

    def _remote(self, row: Mapping[str, Any]) -> Remote:
        name, digest, size = _row(row, self.page)
        return Remote(name, f"{self.raw}/{self.repository}/{self.commit}/{quote(name)}", digest, size)


@dataclass(frozen=True)
class Dandi(Source):
    """A dandiset at a version (default: the newest published one, else the draft), by DANDI's own interface.

    The list is kept beside the files, so a later call asks no server and a draft that changed is not noticed: remove
    the list to see the new state.
    """

    dandiset: str
    version: str | None = None
    api: str = "https://api.dandiarchive.org/api"

    @property
    def page(self) -> str:  # type: ignore[override]
        return f"https://dandiarchive.org/dandiset/{self.dandiset}"

    def kept(self, folder: Path) -> list[Remote] | None:
        same = {"dandiset": self.dandiset} | ({"version": self.version} if self.version else {})
        return _kept_listing(folder, lambda rows: [self._remote(row) for row in rows], same)

    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        home = f"{self.api}/dandisets/{self.dandiset}/"
        version = self.version or self._newest(get, home)
        rows = list(self._rows(get, f"{home}versions/{quote(version)}/assets/?metadata=true&page_size=100"))
        remotes = [self._remote(row) for row in rows]
        return LISTING, _listing({"dandiset": self.dandiset, "version": version}, rows), remotes

    def _newest(self, get: Get, url: str) -> str:
        with _answer(url):
            newest = json.loads(get(url, MAX_LISTING))["most_recent_published_version"]
            version = newest["version"] if newest else "draft"
            if not re.fullmatch(r"draft|\d[\d.]*", version):
                raise ValueError(f"{version!r} is no version")
        return str(version)

    def _rows(self, get: Get, url: str) -> Iterable[dict[str, Any]]:
        # pages are asked for by number: a link in an answer is not followed
        for page in range(1, MAX_PAGES):
            with _answer(at := f"{url}&page={page}"):
                answer = json.loads(get(at, MAX_LISTING))
                rows = [_asset(entry) for entry in answer["results"] if entry["path"].endswith(".nwb")]
                more = answer["next"]
            yield from rows
            if not more:
                return
        raise FetchError(url, f"the list has more than {MAX_PAGES} pages", remedy="Fetch it with the dandi client")

    def _remote(self, row: Mapping[str, Any]) -> Remote:
        name, digest, size = _row(row, self.page)
        if not isinstance(row.get("asset"), str) or not _ASSET.fullmatch(row["asset"]):
            raise FetchError(self.page, f"the id of {name} is none of DANDI's")
        return Remote(name, f"{self.api}/assets/{row['asset']}/download/", digest, size)

    def by_hand(self, folder: Path) -> str:
        line = f"dandi download -o {folder.parent} DANDI:{self.dandiset}"
        return f"Check the network, or use DANDI's own client: '{line}'"


@dataclass(frozen=True)
class ByHand(Source):
    """Files that only a person can get (an account, an agreement).

    needs : what is needed. steps : what to do, with '{folder}' where the files go. archives : name -> SHA-256 of the
    archives that the site gives; those that lie in the dataset's folder are verified and unpacked. Without archives
    nothing can be verified: the site gives no checksums.
    """

    page: str
    steps: str
    needs: str
    archives: Mapping[str, str] = field(default_factory=dict)

    def kept(self, folder: Path) -> list[Remote] | None:
        path = folder / SUMS
        if not self.archives or not path.is_file():
            return None
        sums = parse_sums(_kept_text(path), str(path))
        return [Remote(name, "", f"sha256:{digest}") for name, digest in sums.items()]

    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        raise DataError(f"This dataset needs {self.needs}", remedy=f"See {self.page}")

    def by_hand(self, folder: Path) -> str:
        return self.steps.format(folder=folder)


def parse_sums(text: str, where: str) -> dict[str, str]:
    """Return name -> SHA-256 of a list as sha256sum writes it; FetchError where a line is none, or a name is unsafe."""
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _SUM.fullmatch(line.rstrip())
        if match is None:
            raise FetchError(where, f"line {number} is no checksum", allowed="'<64 hex digits> <name>'", remedy=_AGAIN)
        name = safe(match[2].removeprefix("./"), where)
        if sums.setdefault(name, match[1]) != match[1]:
            raise FetchError(where, f"it gives two checksums for {name}", remedy=_AGAIN)
    if not sums:
        raise FetchError(where, "it is empty", remedy=_AGAIN)
    return sums


_AGAIN = "Try again later; if a copy of the list lies in the folder, remove it"


def safe(name: str, where: str) -> str:
    """Return a published name that stays below the folder; FetchError for any other."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") or not _PART.fullmatch(part) for part in parts):
        remedy = "Do not use this source; tell its keepers"
        raise FetchError(where, f"it names a file {name!r}", allowed="names below the folder", remedy=remedy)
    return name


class _answer:
    """Turn whatever an unexpected answer of `url` raises into one FetchError."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if isinstance(error, (ValueError, KeyError, TypeError, AttributeError, RecursionError)):
            given = f"the answer is not the list that was expected ({type(error).__name__}: {error})"
            raise FetchError(self.url, given, remedy="Try again later") from None


def _asset(entry: Mapping[str, Any]) -> dict[str, Any]:
    sha = entry["metadata"].get("digest", {}).get("dandi:sha2-256")
    if sha is None:
        raise ValueError(f"{entry['path']} has no SHA-256 yet")
    return {"name": entry["path"], "size": entry["size"], "digest": f"sha256:{sha}", "asset": entry["asset_id"]}


def _row(row: Mapping[str, Any], where: str) -> tuple[str, str, int]:
    name, digest, size = row.get("name"), row.get("digest"), row.get("size")
    if not isinstance(name, str) or not isinstance(digest, str) or type(size) is not int or size < 0:
        raise FetchError(where, "an entry of the list has no name, checksum and size", remedy=_AGAIN)
    kind, _, value = digest.partition(":")
    if kind not in _HEX or not _HEX[kind].fullmatch(value):
        raise FetchError(where, f"the checksum of {name!r} is none", remedy=_AGAIN)
    return safe(name, where), digest, size


def _listing(facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> bytes:
    return (json.dumps({**facts, "files": rows}, sort_keys=True, indent=1) + "\n").encode()


def _kept_listing(
    folder: Path, read: Callable[[list[dict[str, Any]]], list[Remote]], same: Mapping[str, Any]
) -> list[Remote] | None:
    """Return the files of the kept list; None where there is none, or it is of another version."""
    path = folder / LISTING
    if not path.is_file():
        return None
    with _answer(str(path)):
        kept = json.loads(_kept_text(path))
        if any(kept[name] != value for name, value in same.items()):
            return None
        rows = [dict(row) for row in kept["files"]]
    return read(rows)


def _kept_text(path: Path) -> str:
    if path.stat().st_size > MAX_LISTING:
        raise RecordingError(path, "it is too large for a list of files", remedy="Remove it")
    return path.read_text(encoding="utf-8", errors="replace")
