"""Folders of Kilosort and phy: what becomes of their files, and every way one can contradict another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_spikes import PARAMS, make_phy, spikes_of, table_text

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.recordings import Spikes
from neural_foundation.recordings.phy import Phy, is_phy, read_params


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_phy(tmp_path, spikes_of())


def opened(folder: Path) -> Spikes:
    with Phy().open(folder) as session:
        return session.spikes["units"]


def test_spikes_are_those_that_were_written(folder: Path) -> None:
    wanted, spikes = spikes_of(), opened(folder)
    assert np.array_equal(spikes.times_s, wanted.times_s)
    assert np.array_equal(spikes.unit, wanted.unit)
    assert spikes.unit_ids == ("3", "5", "11")
    assert spikes.facts["group"] == ("good", "noise", "mua")
    assert spikes.facts["KSLabel"] == ("good", "mua", "mua")
    assert spikes.facts["depth_m"] == pytest.approx(wanted.facts["depth_m"])
    assert spikes.facts["amp"] == (1.5, 1.5, 1.5)
    assert "depth" not in spikes.facts


def test_the_session_is_named_after_the_folder(folder: Path) -> None:
    with Phy().open(folder) as session:
        assert (session.session_id, session.subject, session.signals) == ("sorted", "sorted", {})
        part = session.slice(0.5, 1.5).spikes["units"]
        whole = session.spikes["units"].times_s
        assert np.array_equal(part.times_s, whole[(whole >= 0.5) & (whole < 1.5)])
        with pytest.raises(DataError, match="has no signal"):
            _ = session.signal
    with Phy().open(folder, subject="m1") as session:
        assert session.subject == "m1"


def test_a_folder_that_nobody_curated(folder: Path) -> None:
    np.save(folder / "spike_templates.npy", np.load(folder / "spike_clusters.npy"))
    for name in ("spike_clusters.npy", "cluster_info.tsv"):
        (folder / name).unlink()
    # Kilosort 4 leaves the same table under two names
    (folder / "cluster_group.tsv").write_bytes((folder / "cluster_KSLabel.tsv").read_bytes())
    spikes = opened(folder)
    assert spikes.unit_ids == ("3", "11")  # no spike, and no phy to say that 5 is still a cluster
    assert spikes.facts == {"KSLabel": ("good", "mua")}


def test_depth_from_the_channel(folder: Path) -> None:
    (folder / "cluster_info.tsv").write_text(table_text(("id", "ch"), (3, 2), (5, 0), (11, 7)))
    depth = opened(folder).facts["depth_m"]
    assert depth[:2] == pytest.approx((60e-6, 20e-6))
    assert np.isnan(depth[2])


def test_missing_facts_stay_unknown(folder: Path) -> None:
    (folder / "cluster_snr.tsv").write_text(table_text(("cluster_id", "snr"), (3, 2.5)))
    (folder / "cluster_note.tsv").write_text(table_text(("cluster_id", "note"), (11, "check")))
    facts = opened(folder).facts
    assert facts["snr"][0] == 2.5
    assert np.isnan(facts["snr"][1:]).all()
    assert facts["note"] == ("", "", "check")


def test_an_own_file_wins_over_its_rounded_copy(folder: Path) -> None:
    (folder / "cluster_amp.tsv").write_text(table_text(("cluster_id", "amp"), (3, 1.5432)))
    assert opened(folder).facts["amp"] == (1.5432, 1.5, 1.5)


def test_nothing_in_params_is_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for line in (
        f"open({str(mark)!r}, 'w')",
        f"x = open({str(mark)!r}, 'w')",
        "import os",
        "sample_rate = __import__('os').getpid()",
        "sample_rate += 1",
        "a = b = 2",
        "x = [i for i in (1, 2)]",
        "def f(): pass",
    ):
        (folder / "params.py").write_text(f"{PARAMS}{line}\n")
        with pytest.raises(RecordingError, match="line 8 is no setting, and nothing in it is run"):
            Phy().open(folder)
    assert not mark.exists()


def test_params_are_literals(folder: Path) -> None:
    settings = read_params(folder / "params.py")
    assert settings["dat_path"] == [r"D:\data\raw.bin"]
    assert (settings["sample_rate"], settings["hp_filtered"]) == (30000.0, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("x = 1\n", "does not set 'sample_rate'.*Add a line sample_rate"),
        ("sample_rate = 0\n", "sample_rate is 0.*more than 0"),
        ("sample_rate = -3.0\n", "sample_rate is -3"),
        ("sample_rate = 1e999\n", "sample_rate is inf"),
        ("sample_rate = True\n", "sample_rate is True"),
        ("sample_rate = '30000'\n", "sample_rate is 30000"),
        ("sample_rate = 1\nsample_rate = 2\n", "'sample_rate' is set twice"),
        ("sample_rate = (\n", "no list of settings"),
        ("sample_rate = " + "(" * 5000 + "\n", "no list of settings"),
        ("sample_rate = " + "-" * 50000 + "1\n", "no list of settings|no setting"),
        ("sample_rate = " + "9" * 5000 + "\n", "no list of settings"),
        ("\0", "no list of settings"),
        ("#" * 70000, "70000 bytes.*up to 65536"),
        ("sample_rate = 3\nn_channels_dat = 2\n", "channels 0 to 3.*0 to 1, as params.py has n_channels_dat"),
    ],
    ids=range(15),
)
def test_impossible_params(folder: Path, text: str, message: str) -> None:
    (folder / "params.py").write_text(text)
    with pytest.raises(RecordingError, match=message):
        Phy().open(folder)


def array(name: str, values: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, values)


def text(name: str, *rows: tuple[object, ...]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(table_text(*rows))


TIMES, INFO = np.arange(200), "cluster_info.tsv"
WRONG: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / "params.py").unlink(), "this folder has no params.py"),
    (lambda f: (f / "spike_times.npy").unlink(), "has no spike_times.npy"),
    (lambda f: [(f / f"spike_{n}.npy").unlink() for n in ("clusters", "templates")], "neither spike_clusters.npy"),
    (array("spike_times.npy", TIMES[:199]), "spike_clusters.npy has 200 entries, spike_times.npy 199"),
    (array("spike_times.npy", TIMES[::-1]), "not in order.*rising"),
    (array("spike_times.npy", TIMES - 5), "not in order.*from 0"),
    (array("spike_times.npy", TIMES.astype(np.uint64) + np.uint64(2**60)), "sample number is too large"),
    (array("spike_times.npy", TIMES / 2), "the spike_times are float64.*whole numbers"),
    (array("spike_times.npy", np.zeros((100, 2), int)), r"shape \(100, 2\)"),
    (array("spike_times.npy", np.array([None] * 200)), "is of type '.O'.*never objects"),
    (array("spike_clusters.npy", np.full(200, -1)), "its clusters are -1 to -1"),
    (array("spike_clusters.npy", np.full(200, 4)), "does not list cluster 4, which has 200 spikes"),
    (array("spike_clusters.npy", np.full(200, 3)), "says that cluster 3 has .* spikes, but there are 200"),
    (array("channel_map.npy", np.array([0, 1, 1, 2])), "each once"),
    (array("channel_map.npy", np.array([0, 1, 2, 8])), "channels 0 to 8.*0 to 7"),
    (array("channel_positions.npy", np.zeros((3, 2))), r"shape \(3, 2\) for 4 channels"),
    (text("cluster_group.tsv", ("cluster_id", "group"), (3, "mua")), "group of cluster 3 is 'good' in cluster_info"),
    (text("cluster_x.tsv", ("cluster_id", "KSLabel"), (3, "mua")), "KSLabel of cluster 3 is 'mua', and 'good' in"),
    (text(INFO, ("cluster", "group"), (3, "good")), "first line is .'cluster', 'group'"),
    (text(INFO, ("cluster_id", "group", "group"), (3, "good", "x")), "none twice"),
    (text(INFO, ("cluster_id", "group"), (3, "good"), (3, "mua")), "row 3 is not one new cluster"),
    (text(INFO, ("cluster_id", "group"), (3,)), "row 2 is not one new cluster with 2 entries"),
    (text(INFO, ("cluster_id", "group"), ("x", "good")), "row 2 is not one new cluster"),
    (lambda f: (f / INFO).write_bytes(b"cluster_id\tgroup\n3\t\xff\n"), "no UTF-8"),
    (lambda f: (f / INFO).write_bytes(b""), "the file is empty"),
    (text("cluster_depth.tsv", ("cluster_id", "depth"), (3, "deep")), "a depth is no number"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=range(len(WRONG)))
def test_a_contradiction_is_an_error(folder: Path, change: Callable[[Path], object], message: str) -> None:
    change(folder)
    with pytest.raises(RecordingError, match=message):
        opened(folder)


def test_what_is_no_such_folder(folder: Path, tmp_path: Path) -> None:
    assert is_phy(folder)
    assert not is_phy(tmp_path)
    with pytest.raises(RecordingError, match=f"no folder.*Open the folder {folder}"):
        Phy().open(folder / "spike_times.npy")
    with pytest.raises(RecordingError, match="has no params.py and no spike_times.npy"):
        Phy().open(tmp_path)
    with pytest.raises(RecordingError, match="no folder.*Check the path"):
        Phy().open(tmp_path / "none")


def test_a_file_cut_while_open_is_an_error(folder: Path) -> None:
    session = Phy().open(folder)
    path = folder / "spike_times.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RecordingError, match="truncated"):
        _ = session.spikes["units"]


def test_line_ending_damage_is_named(folder: Path) -> None:
    path = folder / "spike_times.npy"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"line-ending conversion \(LF to CR LF\)"):
        Phy().open(folder)


NEW = (b"\xff\xff\xff\xff", b"9999999999", b"\r\n", b"\0", b"(", b"-1", b"\t", b"1e9")


def mutant(raw: bytes, choice: random.Random) -> bytes:
    at, new = choice.randrange(len(raw)), choice.choice(NEW)
    kind = choice.choice(["byte", "byte", "put", "insert", "cut", "add"])
    if kind == "byte":
        return raw[:at] + bytes([choice.randrange(256)]) + raw[at + 1 :]
    if kind in ("put", "insert"):
        return raw[:at] + new + raw[at + (len(new) if kind == "put" else 0) :]
    return raw[:at] if kind == "cut" else raw + new


def test_mutants(folder: Path) -> None:
    choice, outcomes = random.Random(3), []
    files = sorted(path for path in folder.iterdir() if "templates" not in path.name)
    for number in range(300):
        path = choice.choice(files)
        kept, begun = path.read_bytes(), time.monotonic()
        path.write_bytes(mutant(kept, choice))
        try:
            outcomes.append(len(opened(folder)) == 200)
        except RecordingError as error:
            outcomes.append(error.path == folder or error.path.parent == folder)
        except BaseException as error:
            error.add_note(f"mutant {number} of {path.name}")
            raise
        path.write_bytes(kept)
        assert time.monotonic() - begun < 2
    assert all(outcomes)
