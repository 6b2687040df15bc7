"""`fetch`: the files of a published dataset, from the folder where they already lie, else from their site.

What lies in the folder is verified, never changed, and not fetched again. What is missing is downloaded one file at a
time, each whole and with the published checksum or not at all; an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..core.errors import DataError, RecordingError, StoreError, did_you_mean, one_of
from ..core.progress import Progress, silent
from ..core.store import lock, write_bytes, writing
from . import clients, download
from .archives import unpack, unpacked
from .base import DATA_FOLDER, Files
from .clients import Client
from .neural_latents import TASKS
from .one_client import eids_of
from .sources import SUMS, ByHand, FetchError, Remote, Source
from .table import DATASETS

_DANDI = re.compile(r"dandi[:/](\d{6})(?:@(\S+))?")
_PART_OF = re.compile(r"(ibl|neural[-_]latents)[:/](\S+)")
_EIDS = "neds-eids/eids.txt"
_HOW = {"dandi": "dandi:<id>", "ibl": "ibl:<eid>", "neural_latents": "neural_latents:<name>"}
_TELL_BYTES = 4 << 20


@dataclass(frozen=True)
class Report:
    """What `fetch` found and did. path : the folder to give to a recipe as `path`.

    verified : files that were there, with the published checksum. downloaded : new ones. unverified : files that were
    there and could not be checked; `note` says why.
    """

    name: str
    path: Path
    verified: tuple[str, ...] = ()
    downloaded: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    note: str = ""

    @property
    def n_files(self) -> int:
        return len(self.verified) + len(self.downloaded) + len(self.unverified)


def fetch(
    name: str,
    folder: Path | None = None,
    *,
    subjects: Sequence[str] | None = None,
    eids: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Report:
    """Make sure that a dataset lies under `folder`, complete and as published.

    name : a kind of the table ('eegmat'; 'ssvep-exo' is 'ssvep_exo'), 'dandi:000128', 'dandi:000128@VERSION',
    'neural_latents:mc_rtt' (or 'mc_rtt'), 'ibl:EID'.
    folder : what holds all datasets, default NEURAL_FOUNDATION_DATA; the dataset's own folder is made inside it.
    subjects : only their files. eids : the sessions of 'ibl'; default: those in neds-eids/eids.txt under the folder.
    progress : (files done, files, text).

    Raises UnknownKindError and DataError for what is not published here, needs an account (with the steps), or lies
    there with another content; FetchError (a DataError, with `url`) where the network or the server fails.
    """
    dataset = _with_eids(published(name), eids, folder)
    source = dataset.origin()
    if source is None:
        raise DataError(f"'{name}' is not published anywhere", allowed=one_of(fetchable()), remedy="Give `path`")
    target = place(dataset, folder)
    if isinstance(source, Client):
        return _by_client(dataset, source, target, subjects, progress)
    try:
        remotes = _remotes(dataset, source, target, subjects)
    except (FetchError, DataError) as error:
        there = _there(dataset, target, subjects)
        # a checksum list that is itself bad is no reason to trust what lies there
        if not there or not _unreachable(error, source):
            raise
        return Report(dataset.kind, target, unverified=there, note=f"not verified: {_why(error, source)}")
    return _bring(dataset, source, target, remotes, progress)


def fetchable() -> list[str]:
    """Return the names that `fetch` takes."""
    classes = {kind: DATASETS.row(kind).load() for kind in DATASETS}
    return [_HOW.get(k, k) for k, c in classes.items() if issubclass(c, Files) and c.folders]


def published(name: str) -> Files:
    """Return the dataset of a name that people type."""
    match = _DANDI.fullmatch(name)
    if name == "dandi" or (name.startswith(("dandi:", "dandi/")) and match is None):
        raise DataError(f"'{name}' names no dandiset", allowed="'dandi:<six digits>', e.g. 'dandi:000128'")
    value: dict[str, object] = {"kind": name.replace("-", "_")}
    if match is not None:
        value = {"kind": "dandi", "dandiset": match[1], "version": match[2]}
    elif (part := _PART_OF.fullmatch(name)) is not None:
        more: dict[str, object] = {"eids": (part[2],)} if part[1] == "ibl" else {"task": part[2].replace("-", "_")}
        value = {"kind": part[1].replace("-", "_"), **more}
    elif value["kind"] in TASKS:
        value = {"kind": "neural_latents", "task": value["kind"]}
    cls = DATASETS.row(str(value["kind"])).load()
    if not issubclass(cls, Files) or not cls.folders:
        raise DataError(f"'{name}' is not published anywhere", allowed=one_of(fetchable()))
    dataset = DATASETS.parse(value)
    assert isinstance(dataset, Files)
    return dataset


def place(dataset: Files, folder: Path | None = None) -> Path:
    """Return the folder of a dataset: the one that is there under any of its names, else the one to make."""
    places = [base_folder(folder) / name for name in dataset.places()]
    return next((p for p in places if p.is_dir()), places[0])


def base_folder(folder: Path | None = None) -> Path:
    """Return what holds all datasets: `folder`, else NEURAL_FOUNDATION_DATA; DataError where neither is given."""
    base = folder if folder is not None else os.environ.get(DATA_FOLDER)
    if not base:
        raise DataError(f"No folder is given, and {DATA_FOLDER} is not set", remedy="Give the folder for the data")
    return Path(base)


def _with_eids(dataset: Files, eids: Sequence[str] | None, folder: Path | None) -> Files:
    """Return the dataset restricted to sessions of IBL: those given, those it names, or those of the list."""
    if "eids" not in type(dataset).model_fields:
        if eids:
            raise DataError(f"'{dataset.kind}' has no session ids", allowed="`eids` with 'ibl'")
        return dataset
    chosen = tuple(dict.fromkeys([*(getattr(dataset, "eids", None) or ()), *(eids or ())]))
    if not chosen and (path := base_folder(folder) / _EIDS).is_file():
        chosen = eids_of(path)
    return dataset.model_copy(update={"eids": chosen or None})


def _by_client(
    dataset: Files, source: Client, target: Path, subjects: Sequence[str] | None, progress: Progress
) -> Report:
    """Fetch what a client of its own must bring; a complete folder needs none."""
    with writing(target):
        names = source.names(dataset, target, subjects)
    progress(0, len(names), f"looking at {len(names)} files")
    found = clients.look(names, target)
    if found["wrong"]:
        raise _not_as_published(found["wrong"], len(names), target)
    done = len(names) - len(found["missing"])
    for i, name in enumerate(clients.bring(source, found["missing"], target) if found["missing"] else (), start=1):
        progress(done + i, len(names), name)
    progress(len(names), len(names), f"{dataset.info.title}: {len(names)} files")
    note = "not verified: nobody gives checksums of these files" if found["unverified"] else ""
    verified, new, unverified = (tuple(found[word]) for word in ("verified", "missing", "unverified"))
    return Report(dataset.kind, target, verified, new, unverified, note)


def _not_as_published(wrong: Sequence[str], n: int, target: Path) -> DataError:
    first = ", ".join(wrong[:3]) + (" ..." if len(wrong) > 3 else "")
    given = f"{len(wrong)} of {n} files under {target} are not as published: {first}"
    return DataError(given, remedy="Move them away, then fetch again; or use them as your own by `path`")


def _remotes(dataset: Files, source: Source, target: Path, subjects: Sequence[str] | None) -> list[Remote]:
    """Return the published files that the dataset reads, of the subjects that are asked for."""
    if isinstance(source, ByHand):
        unpack(dataset, source, target)
    remotes = source.kept(target)
    if remotes is None and isinstance(source, ByHand):
        raise DataError(f"{dataset.info.title} needs {source.needs}", remedy=source.by_hand(target))
    if remotes is None:
        get = partial(download.get, by_hand=source.by_hand(target))
        kept, content, remotes = source.listing(lambda url, most: get(url, most))
        write_bytes(target / kept, content)
    whose = {r.name: s for r in remotes if (s := dataset.subject_of(r.name)) is not None}
    if not whose:
        raise FetchError(source.page, f"its list names no file of {dataset.info.title}", allowed=dataset.info.files)
    known = sorted(set(whose.values()))
    for name in subjects or ():
        if name not in known:
            raise DataError(f"No subject '{name}'.{did_you_mean(name, known)}", allowed=one_of(known))
    return [r for r in remotes if r.name in whose and (subjects is None or whose[r.name] in subjects)]


def _bring(dataset: Files, source: Source, target: Path, remotes: list[Remote], progress: Progress) -> Report:
    """Verify the files that are there, then download those that are not."""
    verified: list[Remote] = []
    missing: list[Remote] = []
    wrong: list[Remote] = []
    names = _by_name(target)
    for i, remote in enumerate(remotes):
        progress(i, len(remotes), f"looking at {remote.name}")
        same = _same(target, remote, names)
        (missing if same is None else verified if same else wrong).append(remote)
    if wrong:
        raise _not_as_published([r.name for r in wrong], len(remotes), target)
    if missing:
        _download(source, target, missing, len(verified), len(remotes), progress)
    progress(len(remotes), len(remotes), f"{dataset.info.title}: {len(remotes)} files")
    note = _lacking(source, target) if isinstance(source, ByHand) else ""
    return Report(dataset.kind, target, tuple(r.name for r in verified), tuple(r.name for r in missing), note=note)


def _download(source: Source, target: Path, missing: list[Remote], done: int, total: int, progress: Progress) -> None:
    if isinstance(source, ByHand):
        given = f"{len(missing)} files are missing under {target}, e.g. {missing[0].name}"
        raise DataError(given, remedy=f"Remove {target / SUMS}, then: {source.by_hand(target)}")
    needed, free = sum(r.size or 0 for r in missing), _free(target)
    if needed > free:
        given = f"{target} has {free >> 20} MiB of free space, the files need {needed >> 20}"
        raise StoreError(given, remedy="Free some space, choose `subjects`, or give another folder")
    with lock(target):
        for i, remote in enumerate(missing, start=done):
            told = _teller(progress, i, total, remote.name)
            path, by_hand = _inside(target, remote.name), source.by_hand(target)
            download.download(remote, path, by_hand=by_hand, told=told)


def _teller(progress: Progress, done: int, total: int, name: str) -> download.Told:
    progress(done, total, name)
    said = 0

    def told(have: int, of: int | None) -> None:
        nonlocal said
        if have - said >= _TELL_BYTES:
            said = have
            progress(done, total, f"{name}: {have >> 20}{f' of {of >> 20}' if of else ''} MiB")

    return told


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _inside(target: Path, name: str) -> Path:
    """Return where a published file goes; DataError where a link would lead it out of the folder."""
    path = target / name
    if not path.resolve().is_relative_to(target.resolve()):
        raise DataError(f"{path} leads out of {target}", remedy="Remove the link")
    return path


def _by_name(target: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(target.rglob("*")) if target.is_dir() else ():
        if path.is_file():
            found.setdefault(path.name, []).append(path)
    return found


def _same(target: Path, remote: Remote, names: dict[str, list[Path]]) -> bool | None:
    """Return whether the local file is as published; None where there is none. A flat or gzipped copy counts."""
    bare = remote.name.rpartition("/")[2]
    if (path := target / remote.name).is_file():
        return download.matches(path, remote)
    if len(others := names.get(bare, [])) == 1:
        return download.matches(others[0], remote)
    if (packed := path.with_name(f"{bare}.gz")).is_file():
        return download.matches_unpacked(packed, remote)
    return None


def _there(dataset: Files, target: Path, subjects: Sequence[str] | None) -> tuple[str, ...]:
    items = dataset.found(target) if target.is_dir() else []
    chosen = [i for i in items if subjects is None or i.subject in subjects]
    return tuple(dict.fromkeys(str(f.relative_to(target)) for i in chosen for f in i.files))


def _unreachable(error: DataError, source: Source) -> bool:
    if isinstance(source, ByHand):
        return not isinstance(error, (FetchError, RecordingError))
    return isinstance(error, FetchError) and error.unreachable


def _why(error: DataError, source: Source) -> str:
    if isinstance(source, ByHand):
        return "the site gives no checksums of these files"
    return f"the list of checksums is not here, and {error.given}"


def _lacking(source: ByHand, target: Path) -> str:
    lacking = [name for name in source.archives if name not in unpacked(target)]
    return f"{one_of(lacking)} was never unpacked here: {source.by_hand(target)}" if lacking else ""
