"""`fetch` against a server of this process: whole files with the published checksum, or one clear error."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import miniatures
import pytest
from file_server import FileServer, serving

from neural_foundation.core.errors import DataError, RecordingError, StoreError, UnknownKindError
from neural_foundation.datasets import dandi, download, sources
from neural_foundation.datasets.base import DATA_FOLDER, Files
from neural_foundation.datasets.eegmat import EEGMAT
from neural_foundation.datasets.fetch import FetchError, fetch
from neural_foundation.datasets.sources import SUMS, ByHand, GitHub, PhysioNet
from neural_foundation.datasets.ssvep_exo import SSVEPExo
from neural_foundation.datasets.tusz import TUSZ

BASE = "/files/eegmat/1.0.0/"
FIRST = "Subject00_1.edf"


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tree(miniatures.eegmat(tmp_path_factory.mktemp("published")))


@pytest.fixture
def server(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """A server that publishes the miniature of eegmat as PhysioNet does."""
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    with serving() as state:
        monkeypatch.setattr(EEGMAT, "source", PhysioNet("eegmat", site=state.url))
        publish(state, files)
        yield state


def publish(state: FileServer, files: dict[str, bytes], sums: str | None = None) -> None:
    state.files.update({BASE + name: content for name, content in files.items()})
    lines = "".join(f"{sha(content)} {name}\n" for name, content in files.items())
    state.files[BASE + SUMS] = (lines if sums is None else sums).encode()


def there(root: Path) -> list[str]:
    """Return the files under a folder, but for the lock."""
    return [name for name in tree(root) if not name.endswith(".lock")] if root.exists() else []


def test_a_download_is_verified_and_kept_with_its_checksums(server: FileServer, files: dict[str, bytes]) -> None:
    said: list[tuple[int, int, str]] = []
    report = fetch("eegmat", progress=lambda *at: said.append(at))
    recordings = sorted(n for n in files if n.endswith(".edf"))
    assert sorted(report.downloaded) == recordings
    assert report.path == Path(os.environ[DATA_FOLDER]) / "eegmat"
    assert there(report.path) == sorted([SUMS, *recordings])  # and not the table of subjects
    assert all((report.path / n).read_bytes() == files[n] for n in recordings)
    assert said[-1] == (4, 4, "EEG during mental arithmetic tasks: 4 files")
    assert [i.id for i in EEGMAT().items()] == [n.removesuffix(".edf") for n in recordings]


def test_what_is_there_is_verified_and_not_fetched_again(server: FileServer, files: dict[str, bytes]) -> None:
    first = fetch("eegmat", subjects=["Subject01"])
    assert sorted(first.downloaded) == ["Subject01_1.edf", "Subject01_2.edf"]
    server.asked.clear()
    second = fetch("eegmat")
    assert sorted(second.verified) == sorted(first.downloaded)
    assert sorted(server.names()) == [BASE + "Subject00_1.edf", BASE + "Subject00_2.edf"]
    server.asked.clear()
    assert fetch("eegmat").n_files == len(fetch("eegmat").verified) == 4
    assert server.asked == []  # a complete copy needs no network at all


def test_a_read_only_copy_can_be_verified(server: FileServer) -> None:
    root = fetch("eegmat").path
    (root / ".lock").unlink()
    before = {p: p.stat().st_mtime_ns for p in [root, *root.iterdir()]}
    assert len(fetch("eegmat").verified) == 4
    assert {p: p.stat().st_mtime_ns for p in [root, *root.iterdir()]} == before


def test_a_file_with_other_content_is_neither_used_nor_replaced(server: FileServer) -> None:
    root = fetch("eegmat", subjects=["Subject00"]).path
    (root / FIRST).write_bytes(b"mine")
    server.asked.clear()
    with pytest.raises(DataError, match=r"1 of 4 files under .* are not as published: Subject00_1.edf. Move them away"):
        fetch("eegmat")
    assert (root / FIRST).read_bytes() == b"mine"
    assert server.asked == []


def test_a_flat_or_gzipped_copy_counts(server: FileServer, files: dict[str, bytes]) -> None:
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / FIRST).write_bytes(files[FIRST])
    (root / "Subject00_2.edf.gz").write_bytes(gzip.compress(files["Subject00_2.edf"]))
    assert sorted(fetch("eegmat", subjects=["Subject00"]).verified) == ["Subject00_1.edf", "Subject00_2.edf"]
    (root / "Subject00_2.edf.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(DataError, match="not as published: Subject00_2.edf"):
        fetch("eegmat", subjects=["Subject00"])


def test_an_interrupted_file_goes_on_where_it_stopped(server: FileServer, files: dict[str, bytes]) -> None:
    server.cut[BASE + FIRST] = 5000
    assert FIRST in fetch("eegmat", subjects=["Subject00"]).downloaded
    assert [a for a in server.asked if a[0] == BASE + FIRST] == [(BASE + FIRST, None), (BASE + FIRST, "bytes=5000-")]


def test_a_stopped_call_leaves_a_part_that_the_next_one_takes_up(
    server: FileServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from neural_foundation.datasets import fetch as module

    def stop(done: int, total: int, text: str) -> None:
        if "MiB" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_TELL_BYTES", 1)
    monkeypatch.setattr(download, "_BLOCK", 1000)
    with pytest.raises(KeyboardInterrupt):
        fetch("eegmat", subjects=["Subject00"], progress=stop)
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    (part,) = root.glob("*.part")
    assert there(root) == [part.name, SUMS]
    fetch("eegmat", subjects=["Subject00"])
    assert (BASE + FIRST, f"bytes={1000}-") in server.asked
    assert (root / FIRST).read_bytes() == files[FIRST]
    assert not part.exists()


def test_a_server_that_cannot_go_on_sends_all_again(server: FileServer, files: dict[str, bytes]) -> None:
    server.ranges = False
    server.cut[BASE + FIRST] = 5000
    root = fetch("eegmat", subjects=["Subject00"]).path
    assert (root / FIRST).read_bytes() == files[FIRST]


@pytest.mark.parametrize("part", [b"wrong start", b"x" * 200_000], ids=["shorter", "longer"])
def test_a_part_of_something_else_is_thrown_away(server: FileServer, files: dict[str, bytes], part: bytes) -> None:
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    root.mkdir()
    (root / f".{FIRST}.{sha(files[FIRST])[:12]}.part").write_bytes(part)
    fetch("eegmat", subjects=["Subject00"])
    assert (root / FIRST).read_bytes() == files[FIRST]


def test_a_whole_part_needs_no_more_bytes(server: FileServer, files: dict[str, bytes]) -> None:
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    root.mkdir()
    (root / f".{FIRST}.{sha(files[FIRST])[:12]}.part").write_bytes(files[FIRST])
    fetch("eegmat", subjects=["Subject00"])
    assert (root / FIRST).read_bytes() == files[FIRST]


def test_a_server_that_is_busy_is_asked_again(server: FileServer) -> None:
    server.failing[BASE + FIRST] = 2
    assert FIRST in fetch("eegmat", subjects=["Subject00"]).downloaded
    server.failing[BASE + "Subject01_1.edf"] = 3
    with pytest.raises(FetchError, match=r"Subject01_1.edf: the server answers 503 .*download by hand: 'wget "):
        fetch("eegmat")


@pytest.mark.parametrize("name", [FIRST, SUMS])
def test_a_file_that_is_gone_is_named_at_once(server: FileServer, name: str) -> None:
    del server.files[BASE + name]
    with pytest.raises(FetchError, match=f"{name}: the server answers 404") as caught:
        fetch("eegmat", subjects=["Subject00"])
    assert caught.value.url == f"{server.url}{BASE}{name}"
    assert server.names().count(BASE + name) == 1


def test_other_content_never_gets_the_final_name(server: FileServer, files: dict[str, bytes]) -> None:
    server.files[BASE + FIRST] = files[FIRST][:-1] + b"?"
    with pytest.raises(FetchError, match="is not what was published. Allowed: sha256:.*Nothing was kept"):
        fetch("eegmat", subjects=["Subject00"])
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    assert there(root) == [SUMS]


def test_a_connection_that_breaks_for_good_keeps_what_came(server: FileServer, files: dict[str, bytes]) -> None:
    def fail_from_now_on(name: str) -> None:
        server.failing[BASE + FIRST] = 9 if server.names().count(BASE + FIRST) > 1 else 0

    server.cut[BASE + FIRST], server.on_request = 5000, fail_from_now_on
    with pytest.raises(FetchError, match="Subject00_1.edf: the server answers 503") as caught:
        fetch("eegmat", subjects=["Subject00"])
    assert caught.value.unreachable
    root = Path(os.environ[DATA_FOLDER]) / "eegmat"
    (part,) = root.glob(f".{FIRST}.*.part")
    assert part.read_bytes() == files[FIRST][:5000]
    assert there(root) == [part.name, SUMS]
    server.on_request = None
    server.failing.clear()
    assert FIRST in fetch("eegmat").downloaded
    assert server.asked[-4:][0] == (BASE + FIRST, "bytes=5000-")


def test_a_file_that_is_short_for_good_is_refused(server: FileServer, files: dict[str, bytes]) -> None:
    server.says[BASE + FIRST], server.files[BASE + FIRST] = len(files[FIRST]), files[FIRST][:4000]
    with pytest.raises(FetchError, match=r"what came \(4000 bytes, .* is not what was published"):
        fetch("eegmat", subjects=["Subject00"])
    assert there(Path(os.environ[DATA_FOLDER]) / "eegmat") == [SUMS]


@pytest.mark.parametrize(
    "name",
    ["../x.edf", "/etc/x", "a/../../x", "a//b", "./.", ".ssh/config", "a/.lock", "a\\b", "C:x", "a\x00b", "x" * 300],
)
def test_a_name_that_leaves_the_folder_is_refused(server: FileServer, files: dict[str, bytes], name: str) -> None:
    publish(server, files, f"{'0' * 64} {name}\n")
    with pytest.raises(FetchError, match="it names a file|is no checksum"):
        fetch("eegmat")
    assert there(Path(os.environ[DATA_FOLDER])) == []


def test_a_link_out_of_the_folder_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "linked").symlink_to(outside)
    from neural_foundation.datasets.fetch import _inside

    with pytest.raises(DataError, match="leads out of"):
        _inside(tmp_path / "eegmat", "../linked/x")


@pytest.mark.parametrize("said", ["many", "-5", "9" * 30, ""])
def test_a_length_that_is_none_is_not_believed(server: FileServer, files: dict[str, bytes], said: str) -> None:
    server.says.update({BASE + FIRST: said, BASE + SUMS: said})
    root = fetch("eegmat", subjects=["Subject00"]).path
    assert (root / FIRST).read_bytes() == files[FIRST]


@pytest.mark.parametrize("place", ["https://[x", "https://a b/", "gopher://x", "https://\u00e4\udc80/"])
def test_a_redirect_to_nonsense_is_one_error(server: FileServer, place: str) -> None:
    server.moved[BASE + FIRST] = place
    with pytest.raises(FetchError):
        fetch("eegmat", subjects=["Subject00"])


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ("<html>Please log in</html>", "line 1 is no checksum"),
        ("", "it is empty"),
        (f"{'0' * 63} {FIRST}\n", "line 1 is no checksum"),
        (f"{'0' * 64} {FIRST}\n{'1' * 64} {FIRST}\n", "it gives two checksums for Subject00_1.edf"),
        (f"{'0' * 64} RECORDS\n", "its list names no file of EEG during mental arithmetic"),
    ],
)
def test_a_list_that_is_none_is_refused(server: FileServer, files: dict[str, bytes], sums: str, message: str) -> None:
    publish(server, files, sums)
    with pytest.raises(FetchError, match=message):
        fetch("eegmat")


def test_a_list_without_end_is_refused(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_LISTING", 1000)
    server.endless[BASE + SUMS] = 5000
    with pytest.raises(FetchError, match="more than 1000 bytes"):
        fetch("eegmat")


def test_a_redirect_stays_with_secure_servers(server: FileServer, files: dict[str, bytes]) -> None:
    server.files["/elsewhere"] = files[FIRST]
    server.moved[BASE + FIRST] = f"{server.url}/elsewhere"  # as DANDI sends on to its storage
    fetch("eegmat", subjects=["Subject00"])
    server.moved[BASE + "Subject01_1.edf"] = "http://example.org/x"
    with pytest.raises(FetchError, match="the server sends us on to http://example.org/x. Allowed: https"):
        fetch("eegmat")
    with pytest.raises(FetchError, match="the address is not secure"):
        download.get("http://example.org/x", 10)
    with pytest.raises(FetchError, match="the address is not secure"):
        download.get("file:///etc/passwd", 10)


def test_without_a_network_the_message_says_how_to_do_it_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WAITS_S", (0.0,))
    monkeypatch.setattr(EEGMAT, "source", PhysioNet("eegmat", site="https://127.0.0.1:9"))
    with pytest.raises(FetchError) as caught:
        fetch("eegmat", tmp_path)
    message = str(caught.value)
    assert message.startswith("https://127.0.0.1:9/files/eegmat/1.0.0/SHA256SUMS.txt: no answer")
    assert f"wget -r -N -c -np -nH --cut-dirs=3 -P {tmp_path}/eegmat https://127.0.0.1:9/files/eegmat/1.0.0" in message
    assert caught.value.unreachable


def test_without_a_network_what_is_there_is_found_but_not_called_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WAITS_S", ())
    monkeypatch.setattr(EEGMAT, "source", PhysioNet("eegmat", site="https://127.0.0.1:9"))
    miniatures.eegmat(tmp_path / "eegmat")
    report = fetch("eegmat", tmp_path, subjects=["Subject01"])
    assert report.unverified == ("Subject01_1.edf", "Subject01_2.edf")
    assert report.note.startswith("not verified: the list of checksums is not here, and https://127.0.0.1:9")


def test_a_full_disk_is_seen_before_the_download(
    server: FileServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from neural_foundation.datasets import fetch as module

    root = miniature_of_github(server, monkeypatch)
    monkeypatch.setattr(module, "_free", lambda folder: 100)
    with pytest.raises(StoreError, match="has 0 MiB of free space, the files need"):
        fetch("ssvep-exo", root)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("eegmatt", UnknownKindError, "Did you mean 'eegmat'"),
        ("recordings", DataError, "'recordings' is not published anywhere. Allowed: 'bci_iv_2a', .*'dandi:<id>'"),
        ("simulated-motor-imagery", DataError, "is not published anywhere"),
        ("dandi", DataError, "'dandi' names no dandiset. Allowed: 'dandi:<six digits>'"),
        ("dandi:128", DataError, "names no dandiset"),
        ("dandi:000128@../x", Exception, "version"),
    ],
)
def test_a_wrong_name_is_named(name: str, kind: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        fetch(name, tmp_path)


def test_an_unknown_subject_and_no_folder(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="No subject 'Subject09'.*Allowed: 'Subject00' or 'Subject01'"):
        fetch("eegmat", subjects=["Subject09"])
    monkeypatch.delenv(DATA_FOLDER)
    with pytest.raises(DataError, match="No folder is given"):
        fetch("eegmat")


# --- GitHub ---------------------------------------------------------------------------------------------------------


def git_sha(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def miniature_of_github(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish two recordings with their events; return the folder that holds all datasets."""
    stamps = [("subject01", "2012.07.06-19.02.16"), ("subject07", "2012.07.11-15.33.08")]
    names = [f"{s}/record-[{t}]{end}.fif" for s, t in stamps for end in ("_raw", "-eve")]
    contents = {name: f"content of {name}".encode() for name in names} | {"README.md": b"read me"}
    rows = [{"path": n, "type": "blob", "sha": git_sha(c), "size": len(c)} for n, c in contents.items()]
    rows.append({"path": "subject01", "type": "tree", "sha": "0" * 40})
    listing = {"tree": rows, "truncated": False}
    server.files["/repos/some/where/git/trees/abc?recursive=1"] = json.dumps(listing).encode()
    quoted = {n.replace("[", "%5B").replace("]", "%5D"): c for n, c in contents.items()}
    server.files.update({f"/some/where/abc/{name}": content for name, content in quoted.items()})
    monkeypatch.setattr(SSVEPExo, "source", GitHub("some/where", "abc", api=server.url, raw=server.url))
    return Path(os.environ[DATA_FOLDER])


def test_a_commit_of_github_is_verified_by_git_s_own_hashes(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = miniature_of_github(server, monkeypatch)
    report = fetch("ssvep-exo")
    # the duplicate of subject07 is never fetched
    assert [n.partition("/")[0] for n in report.downloaded] == ["subject01", "subject01"]
    assert (root / "ssvep-exo" / report.downloaded[0]).read_bytes() == b"content of " + report.downloaded[0].encode()
    server.asked.clear()
    assert len(fetch("ssvep-exo").verified) == 2
    assert server.asked == []


def test_a_file_of_github_of_another_size_is_refused(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    root = miniature_of_github(server, monkeypatch)
    url = "/some/where/abc/subject01/record-%5B2012.07.06-19.02.16%5D_raw.fif"
    server.files[url] += b"more"
    with pytest.raises(FetchError, match="the server offers 61 bytes. Allowed: 57 as published"):
        fetch("ssvep-exo")
    server.endless[url] = 600_000
    with pytest.raises(FetchError, match="the server sends more than 57 bytes"):
        fetch("ssvep-exo")
    assert [n for n in there(root) if "raw" in n] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truncated": True}, "the list is cut short"),
        ({"tree": "x"}, "not the list that was expected"),
        ({"tree": [{"path": "a", "type": "blob", "sha": "0" * 40, "size": "9"}]}, "has no name, checksum and size"),
        ({"tree": [{"path": "a", "type": "blob", "sha": "0" * 39, "size": 9}]}, "the checksum of 'a' is none"),
        ({"tree": [{"path": "../a", "type": "blob", "sha": "0" * 40, "size": 9}]}, "it names a file '../a'"),
    ],
)
def test_a_strange_answer_of_github_is_one_error(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    root = miniature_of_github(server, monkeypatch)
    url = "/repos/some/where/git/trees/abc?recursive=1"
    server.files[url] = json.dumps({**json.loads(server.files[url]), **change}).encode()
    with pytest.raises(FetchError, match=message):
        fetch("ssvep-exo")
    assert there(root) == []
    server.files[url] = b"\xff<html>"
    with pytest.raises(FetchError, match="not the list that was expected"):
        fetch("ssvep-exo")


# --- DANDI ----------------------------------------------------------------------------------------------------------

ASSET = "8d8ee1d7-6b6e-4a9f-9c5e-{:012x}"


@pytest.fixture
def dandiset(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Publish the miniature as DANDI does, on two pages; return the entries of its list."""
    contents = tree(miniatures.dandi(tmp_path / "of-dandi"))
    entries = []
    for i, (name, content) in enumerate(contents.items()):
        asset = ASSET.format(i)
        metadata = {"digest": {"dandi:dandi-etag": "x-1", "dandi:sha2-256": sha(content)}}
        entries.append({"path": name, "size": len(content), "asset_id": asset, "metadata": metadata})
        server.files[f"/assets/{asset}/download/"] = b""
        server.moved[f"/assets/{asset}/download/"] = f"{server.url}/blobs/{i}?signed"
        server.files[f"/blobs/{i}?signed"] = content
    server.files["/dandisets/000128/"] = json.dumps({"most_recent_published_version": {"version": "0.1.2"}}).encode()
    for page, part in ((1, entries[:1]), (2, entries[1:])):
        answer = {"count": len(entries), "next": "https://evil.example/" if page == 1 else None, "results": part}
        server.files[pages("0.1.2", page)] = json.dumps(answer).encode()
    monkeypatch.setattr(dandi, "Dandi", lambda d, v: sources.Dandi(d, v, api=server.url))
    return {e["path"]: e for e in entries}


def pages(version: str, page: int) -> str:
    return f"/dandisets/000128/versions/{version}/assets/?metadata=true&page_size=100&page={page}"


@pytest.mark.usefixtures("nwb_reader")
def test_a_dandiset_is_fetched_and_read(server: FileServer, dandiset: dict[str, Any], tmp_path: Path) -> None:
    report = fetch("dandi:000128", subjects=["Jenkins"])
    assert sorted(report.downloaded) == sorted(n for n in dandiset if n.endswith(".nwb"))
    assert report.path == tmp_path / "dandi" / "000128"
    spec = dandi.DandiSet(dandiset="000128")
    assert len(spec.items()) == 2
    with spec.open(spec.items()[0], tmp_path) as session:
        assert session.subject == "Jenkins"
    server.asked.clear()
    assert len(fetch("dandi/000128").verified) == 2
    assert len(fetch("dandi:000128@0.1.2").verified) == 2
    assert server.asked == []


def test_another_version_is_listed_anew(server: FileServer, dandiset: dict[str, Any]) -> None:
    fetch("dandi:000128")
    server.files[pages("draft", 1)] = json.dumps({"next": None, "results": list(dandiset.values())[1:2]}).encode()
    server.asked.clear()
    assert fetch("dandi:000128@draft").n_files == 1
    assert server.names() == [pages("draft", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"digest": {"dandi:dandi-etag": "x-1"}}}, "has no SHA-256 yet"),
        ({"asset_id": "../../x"}, "the id of .* is none of DANDI's"),
        ({"path": "sub-A/../../x.nwb"}, "it names a file 'sub-A/../../x.nwb'"),
        ({"size": -1}, "has no name, checksum and size"),
        ({"path": 3}, "not the list that was expected"),
    ],
)
def test_a_strange_entry_of_dandi_is_one_error(
    server: FileServer, dandiset: dict[str, Any], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    entry = next(e for n, e in dandiset.items() if n.endswith(".nwb"))
    server.files[pages("0.1.2", 1)] = json.dumps({"next": None, "results": [{**entry, **change}]}).encode()
    with pytest.raises(FetchError, match=message):
        fetch("dandi:000128")
    assert not (tmp_path / "dandi").exists()


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_set_that_needs_an_account_gives_the_steps(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs an account of .* Send the form on https://.* then run: 'rsync -auvxL"):
        fetch("tusz", tmp_path)
    assert there(tmp_path) == []
    miniatures.tusz(tmp_path / "tuh_eeg_seizure")
    report = fetch("tusz", tmp_path)
    assert len(report.unverified) == 6
    assert report.note == "not verified: the site gives no checksums of these files"


def archive(path: Path, files: dict[str, bytes]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return sha(path.read_bytes())


@pytest.fixture
def packed(tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make eegmat a set whose archive a person must bring."""
    root = tmp_path / "eegmat"
    digest = archive(root / "all.zip", {f"x/../{n}": c for n, c in files.items()} | {"../evil.txt": b"x"})
    source = ByHand("https://example.org", "Do it by hand", "an agreement", {"all.zip": digest})
    monkeypatch.setattr(EEGMAT, "source", source)
    return root


def test_an_archive_that_a_person_brought_is_verified_and_unpacked(
    packed: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    assert len(fetch("eegmat", tmp_path).verified) == 4
    assert there(packed) == [SUMS, *sorted(n for n in files if n.endswith(".edf")), "all.zip"]
    assert there(tmp_path) == [f"eegmat/{n}" for n in there(packed)]
    (packed / "all.zip").unlink()
    assert len(fetch("eegmat", tmp_path).verified) == 4
    (packed / FIRST).unlink()
    with pytest.raises(
        DataError, match="1 files are missing under .*, e.g. Subject00_1.edf. Remove .*, then: Do it by hand"
    ):
        fetch("eegmat", tmp_path)


def test_an_archive_that_comes_later_is_unpacked_too(
    packed: Path, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archive(packed / "first.zip", {FIRST: files[FIRST]})
    second = archive(tmp_path / "second.zip", {"Subject00_2.edf": files["Subject00_2.edf"]})
    source = ByHand("https://x.org", "Put it into {folder}", "an agreement", {"first.zip": first, "second.zip": second})
    monkeypatch.setattr(EEGMAT, "source", source)
    report = fetch("eegmat", tmp_path)
    assert report.verified == (FIRST,)
    assert report.note == f"'second.zip' was never unpacked here: Put it into {packed}"
    (tmp_path / "second.zip").rename(packed / "second.zip")
    report = fetch("eegmat", tmp_path)
    assert (report.verified, report.note) == ((FIRST, "Subject00_2.edf"), "")


def test_an_archive_with_another_content_is_refused(packed: Path, tmp_path: Path) -> None:
    archive(packed / "all.zip", {FIRST: b"x"})
    with pytest.raises(RecordingError, match="all.zip: its SHA-256 is .* Get it again: Do it by hand"):
        fetch("eegmat", tmp_path)
    assert there(packed) == ["all.zip"]


def test_every_source_is_stated() -> None:
    from neural_foundation.datasets import DATASETS

    for kind in DATASETS:
        cls = DATASETS.row(kind).load()
        if issubclass(cls, Files) and cls.folders and kind != "dandi":
            assert cls.source is not None
            assert cls.source.page.startswith("https://")
            assert cls.published is not None
            assert cls.info.files
    assert TUSZ.source is not None
