"""Sessions of the International Brain Laboratory, through ONE-api from its public server.

Source: the documentation of ONE-api 1 to 3 (int-brain-lab.github.io/ONE): `ONE`, `list_datasets`, `load_dataset` with
`download_only`, `eid2path`; it compares each file with the checksum of IBL's database. Since version 3.6 the public
server wants an account of one's own, whose login ONE keeps; older clients come with the shared login, whose password
is the one that their documentation publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError
from ..core.store import write_json, writing
from .clients import Client, fresh, is_disk, of_subjects, refused, settle, status
from .sources import FetchError, safe

if TYPE_CHECKING:
    from .base import Files

SESSIONS = "sessions.json"
_LOGIN = ("username", "authentication failed")
EID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SESSION = re.compile(r"[^/]+/Subjects/[^/]+/\d{4}-\d\d-\d\d/\d{3}")


@dataclass(frozen=True)
class One(Client):
    """IBL's public database. What a session's files are called is kept in `sessions.json`, by the session's id."""

    server: str = "https://openalyx.internationalbrainlab.org"
    shared_password: str = "international"
    needs: str = "a free account of IBL's public database"
    page: str = "https://docs.internationalbrainlab.org/notebooks_external/data_download.html"

    def by_hand(self, folder: Path) -> str:
        return f"Check the network, or copy a cache of ONE to {folder}; see {self.page}"

    def names(self, dataset: Files, target: Path, subjects: Sequence[str] | None) -> list[str]:
        eids: Sequence[str] | None = getattr(dataset, "eids", None)
        if not eids and dataset.found(target):
            return of_subjects(dataset, target, subjects)
        if not eids:
            remedy = "Name sessions: 'ibl:EID', or put a list of ids into neds-eids/eids.txt beside it"
            raise DataError("No session of IBL is named", allowed="ids of sessions", remedy=remedy)
        if subjects:
            raise DataError("Sessions of IBL are fetched by their ids", remedy="Leave the subjects out")
        known = sessions(target)
        unknown = [eid for eid in eids if eid not in known]
        client = self._client(target) if unknown else None
        for eid in unknown:
            known[eid] = self._listed(client, eid, dataset, target)
            write_json(target / SESSIONS, known)  # each by itself: the next call goes on from here
        return [f"{known[eid]['path']}/{name}" for eid in eids for name in known[eid]["files"]]

    def bring(self, names: Sequence[str], target: Path) -> Iterator[str]:
        client = self._client(target)
        eids = {entry["path"]: eid for eid, entry in sessions(target).items()}
        for name in names:
            match = _SESSION.match(name)
            assert match is not None
            inner = name[match.end() + 1 :]
            with writing(target):
                yield settle(self._loaded(client, eids[match[0]], inner, target), target, name)

    def _client(self, target: Path) -> Any:
        try:
            connect = import_module("one.api").ONE
            shared = bool(getattr(import_module("one.params").default(), "ALYX_LOGIN", ""))
        except ImportError:
            given = "the client 'ONE-api' is not installed"
            remedy = f"Run: pip install ONE-api. {self.by_hand(target)}"
            raise FetchError(self.server, given, remedy=remedy, unreachable=True) from None
        login = {"password": self.shared_password} if shared else {}
        folder = str(fresh(target))
        try:
            return connect(mode="remote", base_url=self.server, silent=True, cache_dir=folder, **login)
        except Exception as error:  # noqa: BLE001 - ONE passes on what requests, Alyx and pandas raise
            raise self._said(error, target, self.by_hand(target)) from None

    def _said(self, error: Exception, target: Path, remedy: str) -> Exception:
        """Return what the client raised as one FetchError; it asks for its login when it is first needed."""
        if is_disk(error):
            return error
        if any(word in str(error).lower() for word in _LOGIN) or status(error) in (401, 403):
            return self._no_login(target)
        return refused(self.server, error, remedy)

    def _no_login(self, target: Path) -> FetchError:
        remedy = (
            f"Sign up on {self.server}/signup, then run once: python -c 'from one.api import ONE; "
            f"ONE.setup(silent=True); ONE()'. {self.by_hand(target)}"
        )
        return FetchError(self.server, "ONE has no login that the server takes", remedy=remedy)

    def _listed(self, client: Any, eid: str, dataset: Files, target: Path) -> dict[str, Any]:
        """Return where a session lies, and those of its files that the dataset reads."""
        if not EID.fullmatch(eid):
            raise DataError(
                f"'{eid}' is no id of a session", allowed="an id like 0f1e2d3c-... of 32 hexadecimal digits"
            )
        try:
            found = [str(name) for name in client.list_datasets(eid)]
            place = "/".join(Path(client.eid2path(eid)).parts[-5:]) if found else ""
        except Exception as error:  # noqa: BLE001 - ONE passes on what requests, Alyx and pandas raise
            raise self._said(error, target, f"Check the id {eid}. {self.by_hand(target)}") from None
        if not found or not _SESSION.fullmatch(safe(place, self.server)):
            raise FetchError(self.server, f"it has no session {eid}", remedy="Check the id")
        chosen = dataset.chosen(found)  # type: ignore[attr-defined]
        if not chosen:
            raise FetchError(self.server, f"session {eid} has no sorted spikes", remedy="Choose another session")
        return {"path": place, "files": [safe(name, self.server) for name in chosen]}

    def _loaded(self, client: Any, eid: str, name: str, target: Path) -> Path:
        try:
            path = client.load_dataset(eid, name, download_only=True)
        except Exception as error:  # noqa: BLE001 - ONE passes on what requests, Alyx and pandas raise
            raise self._said(error, target, f"{eid}, {name}: {self.by_hand(target)}") from None
        if path is None or not Path(path).is_file():
            raise FetchError(self.server, f"the client left no file {name} of {eid}", remedy=self.by_hand(target))
        return Path(path)


def sessions(root: Path) -> dict[str, dict[str, Any]]:
    """Return id -> path and files of the sessions that were fetched; FetchError where the list is damaged."""
    path = root / SESSIONS
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {str(eid): _entry(value, str(path)) for eid, value in held.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FetchError(str(path), "it is no list of sessions", remedy="Remove it and fetch again") from None


def _entry(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    place = safe(value["path"], where)
    if not _SESSION.fullmatch(place):
        raise ValueError(place)
    return {"path": place, "files": [safe(name, where) for name in value["files"]]}


def eids_of(path: Path) -> tuple[str, ...]:
    """Return the session ids of a list, one a line; DataError where a line is none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if bad := next((line for line in lines if not EID.fullmatch(line)), None):
        raise DataError(f"{path}: '{bad[:60]}' is no id of a session", allowed="one id a line")
    return tuple(dict.fromkeys(lines))
