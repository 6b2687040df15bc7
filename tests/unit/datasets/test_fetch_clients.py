"""`fetch` where only a client of the keepers gets the files: the clients are stand-ins, and no network is there."""

from __future__ import annotations

import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.datasets import kaggle_client
from neural_foundation.datasets.base import DATA_FOLDER
from neural_foundation.datasets.clients import PARTS
from neural_foundation.datasets.fetch import FetchError, fetch, fetchable, published
from neural_foundation.datasets.hms import HMS
from neural_foundation.datasets.ibl import IBL
from neural_foundation.datasets.neural_latents import TASKS, NeuralLatents
from neural_foundation.datasets.sources import SUMS

pytest.importorskip("pyarrow")
HMS_HOME = "hms-harmful-brain-activity-classification"
EIDS = ("0b1c2d3e-0000-4000-8000-000000000001", "0b1c2d3e-0000-4000-8000-000000000002")


def tree(root: Path) -> dict[str, bytes]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.name != ".lock"]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


class Refusal(Exception):
    """As `requests` raises it: the answer of the server hangs on it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code} Client Error")
        self.response = types.SimpleNamespace(status_code=code)


class ConnectTimeout(Exception):
    """Named as in `requests`, below its own ConnectionError."""


class Kaggle:
    """What `kaggle.api.kaggle_api_extended.KaggleApi` does, from a folder."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[str]()
        self.error: BaseException | None = None
        self.no_credentials: BaseException | None = None
        self.zipped = False

    def authenticate(self) -> None:
        if self.no_credentials is not None:
            raise self.no_credentials

    def competition_download_file(self, competition: str, file_name: str, path: str, quiet: bool = False) -> None:
        self._ask(competition, file_name)
        bare = file_name.rpartition("/")[2]
        if not self.zipped:
            (Path(path) / bare).write_bytes(self.files[file_name])
            return
        with zipfile.ZipFile(Path(path) / f"{bare}.zip", "w") as packed:
            packed.writestr(bare, self.files[file_name])

    def competition_download_files(self, competition: str, path: str, quiet: bool = False) -> None:
        self._ask(competition, "*")
        with zipfile.ZipFile(Path(path) / f"{competition}.zip", "w") as packed:
            for name, content in {**self.files, "../evil": b"x", "test.csv": b"x"}.items():
                packed.writestr(name, content)

    def _ask(self, competition: str, name: str) -> None:
        assert competition == HMS_HOME
        self.asked.append(name)
        if self.error is not None:
            raise self.error


def install_one(monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Any], login: str = "") -> None:
    """Make ONE importable. login : the one that the client comes with; none since version 3.6."""
    install(monkeypatch, "one.api", ONE=connect)
    monkeypatch.setitem(sys.modules, "one.params", types.ModuleType("one.params"))
    sys.modules["one.params"].default = lambda: types.SimpleNamespace(ALYX_LOGIN=login)  # type: ignore[attr-defined]


def install(monkeypatch: pytest.MonkeyPatch, name: str, **held: Any) -> None:
    """Make a module of this name importable, its parents too."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    for key, value in held.items():
        setattr(sys.modules[name], key, value)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of all data; neither client is installed."""
    for name in ("kaggle", "kaggle.api.kaggle_api_extended", "one", "one.api", "one.params"):
        monkeypatch.setitem(sys.modules, name, None)
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv(DATA_FOLDER, str(folder))
    return folder


@pytest.fixture(scope="module")
def hms_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tree(miniatures.hms(tmp_path_factory.mktemp("hms")))


@pytest.fixture
def kaggle(hms_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Kaggle:
    api = Kaggle(dict(hms_files))
    install(monkeypatch, "kaggle.api.kaggle_api_extended", KaggleApi=lambda: api)
    return api


def test_the_competition_is_fetched_and_read(kaggle: Kaggle, hms_files: dict[str, bytes], data: Path) -> None:
    said: list[tuple[int, int, str]] = []
    report = fetch("hms", progress=lambda *at: said.append(at))
    assert report.path == data / HMS_HOME
    assert {k: v for k, v in tree(report.path).items() if k != SUMS} == hms_files
    assert sorted(report.downloaded) == sorted(set(hms_files) - {"train.csv"})  # the table came first, to be read
    assert said[-1] == (6, 6, "HMS harmful brain activity: 6 files")
    with HMS().open(HMS().items()[0], data) as session:
        assert session.subject == "42"
    kaggle.asked.clear()
    assert sorted(fetch("hms").verified) == sorted(hms_files)
    assert kaggle.asked == []
    assert not (report.path / PARTS).exists()


def test_only_the_files_of_some_patients(kaggle: Kaggle, data: Path) -> None:
    fetch("hms", subjects=["57"])
    assert kaggle.asked == ["train.csv", "train_eegs/1003.parquet", "train_spectrograms/2002.parquet"]
    with pytest.raises(DataError, match="No subject '58'. Allowed: '42' or '57'"):
        fetch("hms", subjects=["58"])
    assert len(fetch("hms").downloaded) == 3


def test_many_files_are_one_archive(
    kaggle: Kaggle, hms_files: dict[str, bytes], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle_client, "MANY", 3)
    fetch("hms")
    assert kaggle.asked == ["train.csv", "*"]
    assert {k: v for k, v in tree(data).items() if not k.endswith(SUMS)} == {
        f"{HMS_HOME}/{k}": v for k, v in hms_files.items()
    }
    del kaggle.files["train_eegs/1003.parquet"]
    for path in data.rglob("100*.parquet"):
        path.unlink()
    monkeypatch.setattr(kaggle_client, "MANY", 0)
    with pytest.raises(
        FetchError, match="the archive lacks 1 files that train.csv names, e.g. train_eegs/1003.parquet"
    ):
        fetch("hms")


def test_a_file_that_comes_zipped_is_unpacked(kaggle: Kaggle, hms_files: dict[str, bytes], data: Path) -> None:
    kaggle.zipped = True
    fetch("hms", subjects=["57"])
    assert (data / HMS_HOME / "train.csv").read_bytes() == hms_files["train.csv"]


def test_a_changed_byte_is_found_by_the_kept_checksums(kaggle: Kaggle, data: Path) -> None:
    root = fetch("hms").path
    path = root / "train_eegs" / "1001.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    kaggle.asked.clear()
    with pytest.raises(DataError, match="1 of 6 files under .* not as published: train_eegs/1001.parquet. Move them"):
        fetch("hms")
    assert kaggle.asked == []


def test_a_truncated_file_is_not_kept_and_the_next_call_goes_on(
    kaggle: Kaggle, hms_files: dict[str, bytes], data: Path
) -> None:
    kaggle.files["train_eegs/1002.parquet"] = hms_files["train_eegs/1002.parquet"][:-10]
    with pytest.raises(FetchError, match="train_eegs/1002.parquet does not begin and end as Parquet files do"):
        fetch("hms")
    root = data / HMS_HOME
    assert not (root / "train_eegs" / "1002.parquet").exists()
    kaggle.files = dict(hms_files)
    kaggle.asked.clear()
    report = fetch("hms")
    assert "train_eegs/1001.parquet" in report.verified
    assert "train_eegs/1001.parquet" not in kaggle.asked


NO_CLIENT = (
    r"the client 'kaggle' is not installed. Run: pip install kaggle. Join the competition on .*/rules, then run: "
)


def test_without_the_client_the_message_has_the_pip_line(data: Path) -> None:
    with pytest.raises(FetchError, match=NO_CLIENT):
        fetch("hms")
    assert tree(data) == {}


@pytest.mark.parametrize("error", [SystemExit(1), OSError("Could not find kaggle.json"), ValueError("no user")])
def test_without_credentials_the_message_says_where_they_go(kaggle: Kaggle, error: BaseException) -> None:
    kaggle.no_credentials = error
    with pytest.raises(
        FetchError, match=r"there are no Kaggle credentials. Allowed: ~/.kaggle/kaggle.json, or KAGGLE_U"
    ):
        fetch("hms")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            Refusal(403),
            r"has not accepted the rules of the competition. Accept them on https://www.kaggle.com/.*/rules",
        ),
        (Refusal(401), "Kaggle answers 401: it refuses the credentials"),
        (Refusal(404), "the client stopped with Refusal: 404 Client Error"),
        (ConnectionError("no route"), r"no answer \(ConnectionError\)"),
        (KeyError("x"), "the client stopped with KeyError"),
    ],
)
def test_what_kaggle_refuses_is_one_clear_error(kaggle: Kaggle, error: BaseException, message: str, data: Path) -> None:
    kaggle.error = error
    with pytest.raises(FetchError, match=message):
        fetch("hms")
    assert tree(data) == {}


def test_a_full_disk_is_one_clear_error(kaggle: Kaggle) -> None:
    import errno

    from neural_foundation.core.errors import StoreError

    kaggle.error = OSError(errno.ENOSPC, "No space left on device", "x")
    with pytest.raises(StoreError, match="The disk is full"):
        fetch("hms")


def test_files_that_a_person_brought_need_no_client_and_are_called_unverified(data: Path) -> None:
    miniatures.hms(data / "hms")
    report = fetch("hms")
    assert (len(report.unverified), report.path) == (6, data / "hms")
    assert report.note == "not verified: nobody gives checksums of these files"
    (data / "hms" / "train_eegs" / "1003.parquet").unlink()
    with pytest.raises(FetchError, match=NO_CLIENT):
        fetch("hms")


# --- IBL ------------------------------------------------------------------------------------------------------------


class One:
    """What `one.api.ONE` gives: a client that caches below its own folder."""

    def __init__(self, files: dict[str, bytes], cache_dir: str, **given: Any) -> None:
        self.files, self.cache, self.given = files, Path(cache_dir), given
        self.asked: list[str] = []

    def list_datasets(self, eid: str) -> list[str]:
        if eid not in EIDS:
            return []
        home = miniatures.IBL_SESSIONS[EIDS.index(eid)] + "/"
        extra = ["alf/_ibl_wheelMoves.intervals.npy", "raw_ephys_data/x.cbin"]
        return [n.removeprefix(home) for n in self.files if n.startswith(home)] + extra

    def eid2path(self, eid: str) -> Path:
        return self.cache / miniatures.IBL_SESSIONS[EIDS.index(eid)]

    def load_dataset(self, eid: str, name: str, download_only: bool = False) -> Path:
        assert download_only
        self.asked.append(name)
        path = self.eid2path(eid) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[f"{miniatures.IBL_SESSIONS[EIDS.index(eid)]}/{name}"])
        return path


Connected = list[One]


@pytest.fixture(scope="module")
def ibl_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tree(miniatures.ibl(tmp_path_factory.mktemp("ibl")))


@pytest.fixture
def one(ibl_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Connected:
    made: Connected = []

    def connect(**given: Any) -> One:
        made.append(One(ibl_files, **given))
        return made[-1]

    install_one(monkeypatch, connect)
    return made


def test_a_session_of_ibl_is_fetched_and_read(one: Connected, ibl_files: dict[str, bytes], data: Path) -> None:
    report = fetch(f"ibl:{EIDS[0]}")
    home = miniatures.IBL_SESSIONS[0]
    wanted = {n for n in ibl_files if n.startswith(home)}
    assert set(report.downloaded) == wanted
    assert one[0].given == {
        "mode": "remote",
        "base_url": "https://openalyx.internationalbrainlab.org",
        "silent": True,  # the login is the one that ONE keeps
    }
    assert {n: c for n, c in tree(report.path).items() if n.startswith(home)} == {n: ibl_files[n] for n in wanted}
    spec = IBL(eids=EIDS[:1])
    with spec.open(spec.items()[0], data) as session:
        assert session.spikes["probe01"].n_units == 5
    one.clear()
    assert set(fetch("ibl", eids=[EIDS[0]]).verified) == wanted
    assert one == []  # neither client nor network
    assert not (report.path / PARTS).exists()


def test_the_sessions_of_the_list_beside_it(one: Connected, data: Path, ibl_files: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match="No session of IBL is named.*'ibl:EID', or put a list"):
        fetch("ibl")
    (data / "neds-eids").mkdir()
    (data / "neds-eids" / "eids.txt").write_text("".join(f"{eid}\n" for eid in EIDS))
    assert set(fetch("ibl").downloaded) == set(ibl_files)
    (data / "neds-eids" / "eids.txt").write_text("x\n")
    with pytest.raises(DataError, match="'x' is no id of a session. Allowed: one id a line"):
        fetch("ibl")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ibl:0b1c2d3e-0000-4000-8000-00000000000f", "it has no session 0b1c2d3e-0000-4000-8000-00000000000f"),
        ("ibl:some-session", "'some-session' is no id of a session"),
    ],
)
def test_a_session_that_is_none(one: Connected, name: str, message: str, data: Path) -> None:
    with pytest.raises(DataError, match=message):
        fetch(name)


def test_without_one_the_message_has_the_pip_line(data: Path) -> None:
    with pytest.raises(
        FetchError, match="the client 'ONE-api' is not installed. Run: pip install ONE-api. Check the net"
    ):
        fetch(f"ibl:{EIDS[0]}")


def test_a_cache_that_a_person_brought_is_found(data: Path, ibl_files: dict[str, bytes]) -> None:
    miniatures.ibl(data / "ibl")
    report = fetch("ibl")
    assert set(report.unverified) == set(ibl_files)
    assert report.note == "not verified: nobody gives checksums of these files"
    assert {n.split("/")[2] for n in fetch("ibl", subjects=["OL-07"]).unverified} == {"OL-07"}
    with pytest.raises(FetchError, match="'ONE-api' is not installed"):  # which of those it is, nobody can say
        fetch(f"ibl:{EIDS[0]}")


@pytest.mark.parametrize("verb", ["connect", "list_datasets", "load_dataset"])
def test_offline_is_one_clear_error(
    one: Connected, ibl_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("Can't connect to openalyx")

    if verb == "connect":
        install_one(monkeypatch, fail)
    else:
        monkeypatch.setattr(One, verb, fail)
    with pytest.raises(FetchError, match=r"no answer \(ConnectionError\).*Check the network") as caught:
        fetch(f"ibl:{EIDS[0]}")
    assert caught.value.unreachable


@pytest.mark.parametrize("error", [ValueError("No Alyx username. Pass one to ONE"), Refusal(401), Refusal(403)])
@pytest.mark.parametrize("late", [False, True])
def test_without_a_login_the_message_says_how_to_get_one(
    one: Connected, monkeypatch: pytest.MonkeyPatch, error: Exception, late: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    if late:  # a client may ask for its login only when it is used
        monkeypatch.setattr(One, "list_datasets", refuse)
    else:
        install_one(monkeypatch, refuse)
    with pytest.raises(FetchError, match=r"ONE has no login that the server takes. Sign up on https://.*/signup, then"):
        fetch(f"ibl:{EIDS[0]}")


def test_an_older_client_gets_the_password_that_its_documentation_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def connect(**given: Any) -> None:
        seen.append(given)
        raise ConnectionError

    install_one(monkeypatch, connect, login="intbrainlab")
    with pytest.raises(FetchError, match="no answer"):
        fetch(f"ibl:{EIDS[0]}")
    assert seen[0]["password"] == "international"


def test_an_interrupted_fetch_goes_on(one: Connected, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    load: Callable[..., Path] = One.load_dataset

    def third(self: One, eid: str, name: str, download_only: bool = False) -> Path:
        if len(self.asked) == 3:
            raise KeyboardInterrupt
        return load(self, eid, name, download_only)

    monkeypatch.setattr(One, "load_dataset", third)
    with pytest.raises(KeyboardInterrupt):
        fetch(f"ibl:{EIDS[0]}")
    monkeypatch.setattr(One, "load_dataset", load)
    assert len(fetch(f"ibl:{EIDS[0]}").verified) == 3


def test_only_ibl_has_session_ids() -> None:
    with pytest.raises(DataError, match="'eegmat' has no session ids"):
        fetch("eegmat", eids=[EIDS[0]])


# --- Neural Latents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_sets_of_neural_latents_are_found_by_name(task: str) -> None:
    for name in (task, task.replace("_", "-"), f"neural_latents:{task}", f"neural-latents/{task}"):
        spec = published(name)
        assert isinstance(spec, NeuralLatents)
        assert spec.task == task
    assert published("neural_latents").model_dump()["task"] == "mc_maze"


def test_each_set_is_its_dandiset_in_the_same_folder() -> None:
    numbers = {task: published(task).places()[0] for task in TASKS}
    assert numbers == {
        "mc_maze": "dandi/000128",
        "mc_maze_large": "dandi/000138",
        "mc_maze_medium": "dandi/000139",
        "mc_maze_small": "dandi/000140",
        "mc_rtt": "dandi/000129",
        "area2_bump": "dandi/000127",
        "dmfc_rsg": "dandi/000130",
    }
    for task in TASKS:
        source = published(task).origin()
        assert source is not None
        assert source.page == f"https://dandiarchive.org/dandiset/{numbers[task][-6:]}"


def test_the_names_say_how_to_ask() -> None:
    assert {"hms", "ibl:<eid>", "neural_latents:<name>", "dandi:<id>"} <= set(fetchable())
