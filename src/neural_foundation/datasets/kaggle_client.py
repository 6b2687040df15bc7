"""Files of a Kaggle competition, through Kaggle's own client and the user's credentials."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.store import writing
from .clients import Client, bring, fresh, is_disk, of_subjects, refused, settle, status
from .sources import FetchError

if TYPE_CHECKING:
    from .base import Files

MANY = 200  # files; beyond it the archive of all is one request
_PARQUET = b"PAR1"
_TOKEN = "https://www.kaggle.com/settings"


@dataclass(frozen=True)
class Kaggle(Client):
    """A competition. index : the file that says which others there are; it is fetched first.

    Kaggle publishes no checksums: a Parquet file is taken where both its marks are there, an archive where its own
    sums hold.
    """

    competition: str
    index: str
    needs: str = "a Kaggle account that has accepted the rules of the competition"
    site: str = "https://www.kaggle.com"

    @property
    def page(self) -> str:  # type: ignore[override]
        return f"{self.site}/competitions/{self.competition}"

    def by_hand(self, folder: Path) -> str:
        return (
            f"Join the competition on {self.page}/rules, then run: 'kaggle competitions download -c "
            f"{self.competition} -p {folder}', and unpack the archive there"
        )

    def names(self, dataset: Files, target: Path, subjects: Sequence[str] | None) -> list[str]:
        if not (target / self.index).is_file():
            list(bring(self, [self.index], target))
        return of_subjects(dataset, target, subjects)

    def bring(self, names: Sequence[str], target: Path) -> Iterator[str]:
        client = self._client(target)
        if len(names) > MANY:
            yield from self._all(client, names, target)
            return
        for name in names:
            with writing(target):
                yield settle(self._one(client, name, target), target, name)

    def _client(self, target: Path) -> Any:
        """Return a client with credentials; it reads them itself, here nobody looks at them."""
        try:
            api = import_module("kaggle.api.kaggle_api_extended").KaggleApi()
            api.authenticate()
        except ImportError:
            remedy = f"Run: pip install kaggle. {self.by_hand(target)}"
            raise FetchError(
                self.page, "the client 'kaggle' is not installed", remedy=remedy, unreachable=True
            ) from None
        except (SystemExit, OSError, ValueError):  # the client prints its advice, then ends the program
            given = "there are no Kaggle credentials"
            allowed = "~/.kaggle/kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY"
            remedy = f"Create a token on {_TOKEN}. {self.by_hand(target)}"
            raise FetchError(self.page, given, allowed=allowed, remedy=remedy, unreachable=True) from None
        return api

    def _one(self, client: Any, name: str, target: Path) -> Path:
        """Fetch one file; the server may send it zipped."""
        parts, bare = fresh(target), name.rpartition("/")[2]
        part = parts / bare
        self._ask(client.competition_download_file, target, self.competition, name, path=str(parts), quiet=True)
        packed = parts / f"{bare}.zip"
        if packed.is_file():
            self._unpack(packed, {bare}, parts)
            packed.unlink()
        if not part.is_file():
            raise FetchError(self.page, f"the client left no file {bare}", remedy=self.by_hand(target))
        self._check(part, name)
        return part

    def _all(self, client: Any, names: Sequence[str], target: Path) -> Iterator[str]:
        """Fetch the archive of all files, and unpack those that are asked for."""
        parts = fresh(target)
        self._ask(client.competition_download_files, target, self.competition, path=str(parts), quiet=True)
        archive = parts / f"{self.competition}.zip"
        if not archive.is_file():
            raise FetchError(self.page, f"the client left no file {archive.name}", remedy=self.by_hand(target))
        for name in self._unpack(archive, set(names), parts):
            self._check(parts / name, name)
            yield settle(parts / name, target, name)
        archive.unlink()
        if lost := [n for n in names if not (target / n).is_file()]:
            given = f"the archive lacks {len(lost)} files that {self.index} names, e.g. {lost[0]}"
            raise FetchError(self.page, given, remedy="Fetch it again later")

    def _unpack(self, archive: Path, wanted: set[str], into: Path) -> list[str]:
        import shutil

        done = []
        try:
            with zipfile.ZipFile(archive) as packed, writing(into):
                for name in sorted(wanted & set(packed.namelist())):
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(name) as file, (into / name).open("wb") as out:
                        shutil.copyfileobj(file, out)
                    done.append(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            archive.unlink()
            given = f"{archive.name} cannot be unpacked ({error})"
            raise FetchError(self.page, given, remedy="Nothing of it was kept. Fetch it again") from None
        return done

    def _check(self, part: Path, name: str) -> None:
        if not name.endswith(".parquet"):
            return
        with part.open("rb") as file:
            head = file.read(4)
            file.seek(max(0, part.stat().st_size - 4))
            tail = file.read(4)
        if (head, tail) != (_PARQUET, _PARQUET):
            part.unlink()
            given = f"{name} does not begin and end as Parquet files do: it came truncated, or is something else"
            raise FetchError(self.page, given, remedy="Nothing of it was kept. Fetch it again")

    def _ask(self, verb: Any, target: Path, *given: str, **more: Any) -> None:
        try:
            verb(*given, **more)
        except Exception as error:
            if is_disk(error):
                raise
            code = status(error)
            if code == 403:
                text = "Kaggle answers 403: the account has not accepted the rules of the competition"
                remedy = f"Accept them on {self.page}/rules, then fetch again"
                raise FetchError(self.page, text, remedy=remedy) from None
            if code == 401:
                remedy = f"Create a new token on {_TOKEN}"
                raise FetchError(self.page, "Kaggle answers 401: it refuses the credentials", remedy=remedy) from None
            raise refused(self.page, error, self.by_hand(target)) from None
