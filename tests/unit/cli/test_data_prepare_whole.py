"""`data prepare` keeps every modality: what has no chain comes back as it was, on its own clock, cut together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_modalities import everything
from make_nwb import make_miniature
from make_spikes import make_phy, spikes_of
from typer.testing import CliRunner, Result

from neural_foundation.cli import app
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.core.stream import run
from neural_foundation.recordings import (
    Session,
    Spikes,
    read,
    write_edf,
    write_whole_session,
)
from neural_foundation.recordings.convert import differences
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.chain import chain

OPS = [{"kind": "bandpass", "low_hz": 4, "high_hz": 40}, {"kind": "resample", "sfreq": 50}]
CONFIG = "signals: [{kind: bandpass, low_hz: 4, high_hz: 40}, {kind: resample, sfreq: 50}]\nwindows: {length_s: 2.0}\n"


def prepare(root: Path, config: str = "", output: str = "out") -> Result:
    (root / "c.yaml").write_text(config)
    words = ["--input", str(root / "in"), "--output", str(root / output), "--config", str(root / "c.yaml")]
    return CliRunner().invoke(app, ["data", "prepare", *words])


def written(root: Path, session: Session, name: str = "day1.h5") -> Path:
    (root / "in").mkdir(exist_ok=True)
    write_whole_session(root / "in" / name, session)
    return root / "in" / name


def made(root: Path, recording: str, output: str = "out") -> Path:
    (path,) = (root / output).glob(f"prepare/recording-{recording}-*/session.h5")
    return path


def without_windows(session: Session, **changes: Any) -> Session:
    """Return a prepared session as it was before it got windows."""
    given = {
        "signals": session.signals,
        "spikes": dict(session.spikes),
        "series": dict(session.series),
        "intervals": {n: rows for n, rows in session.intervals.items() if n != "windows"},
    } | changes
    signals = given.pop("signals")
    return Session(session.session_id, session.subject, signals, session.trials, **given)


def test_the_primary_signal_goes_through_the_chain_and_all_else_stays(tmp_path: Path) -> None:
    written(tmp_path, everything())
    done = prepare(tmp_path, CONFIG)
    assert done.exit_code == 0, done.output
    given, spec = everything(), everything().signal.spec
    bound = chain([SIGNALS.parse(op) for op in OPS], spec)  # type: ignore[misc]
    with read(made(tmp_path, "day1")) as session:
        assert list(session.signals) == ["eeg", "lfp", "wheel"]
        want = run(bound, given.signal.read())
        np.testing.assert_allclose(session.signal.read(), want.values, rtol=0, atol=1e-11)
        assert session.signal.spec == bound.output.replace(subject="day1")
        assert session.signal.start_s == 1.0
        others = {name: given[name] for name in ("lfp", "wheel")}
        kept = {"signals": others} | {n: dict(getattr(given, n)) for n in ("spikes", "series", "intervals")}
        wanted = Session("day1", "day1", kept.pop("signals"), given.trials, **kept)  # type: ignore[arg-type]
        found = without_windows(session, signals={name: session[name] for name in others})
        assert list(differences(wanted, found)) == []
        windows = session.intervals["windows"]
        assert windows.start_s.tolist() == [1, 3, 5, 7, 9]
        for start_s, end_s, _ in windows:  # one segment cuts all modalities on one clock
            ours, theirs = session.slice(start_s, end_s), wanted.slice(start_s, end_s)
            np.testing.assert_array_equal(ours["lfp"].read(), theirs["lfp"].read())
            np.testing.assert_array_equal(ours.spikes["probe"].times_s, theirs.spikes["probe"].times_s)
            np.testing.assert_array_equal(ours.series["pupil"].values, theirs.series["pupil"].values)
            assert ours.signal.n_times == 100


def test_without_a_chain_a_session_comes_back_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, everything())
    assert prepare(tmp_path).exit_code == 0
    given = everything()
    wanted = without_windows(given)
    wanted.subject = "day1"
    with read(made(tmp_path, "day1")) as session:
        assert list(differences(wanted, without_windows(session))) == []


def test_temporaldata_cuts_all_of_it_by_the_windows(tmp_path: Path) -> None:
    from temporaldata import Data

    written(tmp_path, everything())
    assert prepare(tmp_path, CONFIG).exit_code == 0
    with Data.load(made(tmp_path, "day1")) as data:
        segments = list(zip(data.windows.start[:], data.windows.end[:], strict=True))
        part = data.slice(*segments[1])
        cut = everything().slice(*segments[1])
        np.testing.assert_array_equal(part.lfp.signal, cut["lfp"].read().T)
        np.testing.assert_array_equal(part.spikes.timestamps, cut.spikes["probe"].times_s - segments[1][0])


def test_what_was_kept_is_said(tmp_path: Path) -> None:
    written(tmp_path, everything())
    write_edf(tmp_path / "in" / "anna.edf", values=np.zeros((1, 500)), spec=SignalSpec(sfreq=100, ch_names=("Cz",)))
    make_phy(tmp_path / "in", spikes_of())
    done = prepare(tmp_path)
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "signals eeg 2 3 channels at 100 Hz" in lines
    assert "signals lfp 1 3 channels at 250 Hz" in lines
    assert "spikes probe 1 2 units, 129 spikes" in lines
    assert "spikes units 1 3 units, 200 spikes" in lines
    assert "series pupil 1 2 columns, 60 rows" in lines
    assert "intervals epochs 1 3 rows" in lines
    assert any(line.endswith("- - no regular signal") for line in lines)
    summary = read_json(tmp_path / "out" / "summary.json")
    assert [shape["raw"] is None for shape in summary["shapes"]] == [False, False, True]
    by_name = {row["file"]: row for row in summary["recordings"]}
    assert by_name["day1.h5"]["kept"]["signals"]["lfp"] == {"channels": 3, "sfreq": 250}
    assert by_name["sorted"]["valid"] is None
    assert by_name["anna.edf"]["kept"]["spikes"] == {}


@pytest.mark.parametrize("config", ["", CONFIG])
def test_a_folder_of_sorted_spikes(tmp_path: Path, config: str) -> None:
    (tmp_path / "in" / "mouse").mkdir(parents=True)
    spikes = spikes_of()
    make_phy(tmp_path / "in" / "mouse", spikes)
    assert prepare(tmp_path, config).exit_code == 0
    with read(made(tmp_path, "mouse-sorted")) as session, read(tmp_path / "in" / "mouse" / "sorted") as source:
        wanted = without_windows(source)
        wanted.session_id, wanted.subject = "mouse-sorted", "mouse"
        assert list(differences(wanted, without_windows(session))) == []
        first_s = float(spikes.times_s[0])  # there are 3 s of spikes
        assert list(session.intervals["windows"]) == ([(first_s, first_s + 2, "")] if config else [])


def test_the_folder_of_sorted_spikes_itself(tmp_path: Path) -> None:
    make_phy(tmp_path, spikes_of()).rename(tmp_path / "in")
    assert prepare(tmp_path).exit_code == 0
    (row,) = read_json(tmp_path / "out" / "summary.json")["recordings"]
    assert (row["file"], row["recording"], row["subject"]) == ("in", "in", "in")


def test_a_spoilt_folder_of_sorted_spikes_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path, everything())
    np.save(make_phy(tmp_path / "in", spikes_of()) / "spike_clusters.npy", np.zeros(3, np.int32))
    assert prepare(tmp_path).exit_code == 3
    (row,) = read_json(tmp_path / "out" / "quarantine.json")["quarantined"]
    assert row["file"] == "sorted"
    assert "spike_clusters.npy has 3 entries" in row["reason"]
    assert str(tmp_path) not in row["reason"]


def test_nwb_with_everything(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_miniature(tmp_path / "in" / "sub-1.nwb")
    done = prepare(tmp_path, "windows: {length_s: 0.05}")
    assert done.exit_code == 0, done.output
    with read(made(tmp_path, "sub-1")) as session, read(tmp_path / "in" / "sub-1.nwb", subject="sub") as source:
        wanted = without_windows(source)
        wanted.session_id = "sub-1"
        assert list(differences(wanted, without_windows(session))) == []
        assert len(session.signals) > 1
        assert session.spikes
        assert session.series
        assert len(session.intervals["windows"]) == 4


def test_a_chain_for_each_signal_by_name(tmp_path: Path) -> None:
    written(tmp_path, everything())
    config = "signals: {lfp: [{kind: resample, sfreq: 125}], eeg: [{kind: pick, channels: [Cz]}]}"
    done = prepare(tmp_path, config)
    assert done.exit_code == 0, done.output
    with read(made(tmp_path, "day1")) as session:
        assert [(s.spec.sfreq, s.spec.n_chans) for s in session.signals.values()] == [(100, 1), (125, 3), (30, 1)]
        np.testing.assert_array_equal(session.signal.read(), everything().signal.read()[1:])
        np.testing.assert_array_equal(session["wheel"].read(), everything()["wheel"].read())
    known = read_json(made(tmp_path, "day1").with_name("prepared.json"))
    assert [op["kind"] for op in known["chain"]] == ["pick"]
    assert [op["kind"] for op in known["chains"]["lfp"]] == ["resample"]


def test_a_chain_for_a_signal_that_is_not_there(tmp_path: Path) -> None:
    written(tmp_path, everything())
    make_phy(tmp_path / "in", spikes_of())
    written(tmp_path, Session("other", "x", {"lfp": everything()["lfp"]}), "other.h5")
    assert prepare(tmp_path, "signals: {eeg: [{kind: resample, sfreq: 50}]}").exit_code == 3
    rows = {row["file"]: row for row in read_json(tmp_path / "out" / "quarantine.json")["quarantined"]}
    assert set(rows) == {"sorted", "other.h5"}
    assert "has no signal 'eeg', which `signals` names. Allowed: 'lfp'" in rows["other.h5"]["reason"]
    assert "none, as it has no signal" in rows["sorted"]["reason"]


def test_a_prepared_session_is_not_prepared_again(tmp_path: Path) -> None:
    written(tmp_path, everything())
    assert prepare(tmp_path).exit_code == 0
    made(tmp_path, "day1").rename(tmp_path / "in" / "again.h5")
    assert prepare(tmp_path, output="two").exit_code == 3
    (row,) = read_json(tmp_path / "two" / "quarantine.json")["quarantined"]
    assert "intervals 'windows' already" in row["reason"]


def test_what_no_session_has_a_field_for_is_named(tmp_path: Path) -> None:
    import h5py

    with h5py.File(written(tmp_path, everything()), "r+") as file:
        file["eeg"]["mask"] = np.zeros((2, 2, 2))
    done = prepare(tmp_path)
    assert "1 files hold what a session has no field for" in done.output
    (row,) = read_json(tmp_path / "out" / "summary.json")["recordings"]
    assert row["left_out"] == ["eeg.mask"]


def test_events_that_claim_ages_are_put_aside(tmp_path: Path) -> None:
    written(tmp_path, everything())
    spikes = {"u": Spikes.of({"a": [0.0, 6000.0]})}
    written(tmp_path, Session("x", "x", {}, spikes=spikes), "x.h5")
    assert prepare(tmp_path, "windows: {length_s: 0.001}").exit_code == 3
    (row,) = read_json(tmp_path / "out" / "quarantine.json")["quarantined"]
    assert "It would have 6e+06 windows" in row["reason"]


def test_a_file_that_belongs_to_a_recording_makes_it_anew(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sorting = make_phy(tmp_path / "in", spikes_of())
    assert prepare(tmp_path).exit_code == 0
    assert "1 of 1 files prepared (1 were ready)" in prepare(tmp_path).output
    text = (sorting / "cluster_group.tsv").read_text()
    (sorting / "cluster_group.tsv").unlink()
    assert "1 of 1 files prepared, 0" in prepare(tmp_path).output
    (sorting / "cluster_group.tsv").write_text(text)


def test_the_files_of_a_brainvision_recording(tmp_path: Path) -> None:
    from neural_foundation.recordings.beside import parts

    (tmp_path / "a.vhdr").write_bytes(b"Brain Vision\r\n[Common Infos]\r\nDataFile=$b.eeg\r\nMarkerFile=m.vmrk\r\n")
    for name in ("a.eeg", "m.vmrk", "layout.yaml", "other.eeg"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in parts(tmp_path / "a.vhdr")] == ["a.vhdr", "a.eeg", "layout.yaml", "m.vmrk"]
    (tmp_path / "b.vhdr").write_bytes(b"DataFile=../a.eeg\nMarkerFile=gone.vmrk\n")
    assert [p.name for p in parts(tmp_path / "b.vhdr")] == ["b.vhdr", "layout.yaml"]
    assert parts(tmp_path / "gone.vhdr")[0].name == "gone.vhdr"
