"""`read` finds the reader, and says what to do where there is none; `survey` goes on past bad files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import open_all, read, survey
from neural_foundation.recordings.table import extensions


def test_all_extensions() -> None:
    arrays = {".csv", ".mat", ".npy", ".npz", ".parquet", ".spike_times.npy", ".tsv"}
    signals = {".bdf", ".edf", ".fif", ".fif.gz", ".gdf", ".h5", ".hdf5", ".nwb", ".set", ".vhdr"}
    assert set(extensions()) == arrays | signals


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.vmrk", "'.vmrk' files cannot be read here. These are the markers .* open the .vhdr beside it"),
        ("x.eeg", "open the .vhdr beside it"),
        ("x.fdt", "open the .set beside it"),
        ("x.set", "does not start as EEGLAB files do"),
        ("x.GDF", "does not start as GDF files do"),
        ("x.txt", "no reader for the extension '.txt'. Allowed: '.bdf', .* Convert it"),
        ("x", "it has no extension"),
        ("x.edf", "does not start as EDF files do"),
        ("x.h5", "does not start as HDF5 files do"),
        ("x.fif", "does not start as FIF files do"),
        ("x.fif.gz", "does not start as FIF files do"),
    ],
)
def test_no_recording(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"hello, this is no recording at all")
    with pytest.raises(RecordingError, match=message):
        read(tmp_path / name)


def test_missing_folder_empty(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no such file"):
        read(tmp_path / "no.edf")
    (tmp_path / "folder.edf").mkdir()
    with pytest.raises(RecordingError, match="this is a folder"):
        read(tmp_path / "folder.edf")
    (tmp_path / "empty.edf").touch()
    with pytest.raises(RecordingError, match="the file is empty"):
        read(tmp_path / "empty.edf")


def test_hdf5_with_damaged_line_ends(tmp_path: Path) -> None:
    for damaged, which in ((b"\x89HDF\r\r\n\x1a\r\n", "LF to CR LF"), (b"\x89HDF\n\x1a\n", "CR LF to LF")):
        (tmp_path / "x.h5").write_bytes(damaged.ljust(500))
        with pytest.raises(RecordingError, match=rf"line-ending conversion \({which}\) damaged it"):
            read(tmp_path / "x.h5")


@pytest.mark.parametrize("name", ["a.edf", "a.csv", "a.npy", "a.h5", "a.vhdr", "a.mat", "a.fif", "a.unknown"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(RecordingError, match="a pipe, a socket or a device"):
        read(tmp_path / name)


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.csv")
    path.write_text("a\n1\n2\n")
    with pytest.raises(RecordingError, match=r"a\\udcff.csv: its name is not UTF-8") as caught:
        read(path)
    str(caught.value).encode()


def test_a_name_too_long_for_a_layout_beside_it(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 250}.csv"
    path.write_text("a\n1\n2\n")
    with pytest.raises(RecordingError, match="layout"):
        read(path)


def test_upper_case_extension_and_text_path(edf: Any) -> None:
    path = edf(name="X.EDF")
    with read(str(path), subject="s") as session:
        assert (session.session_id, session.subject) == ("X", "s")


def test_unknown_extension_with_known_content(edf: Any) -> None:
    with pytest.raises(RecordingError, match="Its content is EDF: rename it to .edf"):
        read(edf(name="x.rec"))


def test_survey_goes_on(edf: Any, tmp_path: Path) -> None:
    paths = [edf(name="a.edf"), edf(name="b.edf", tail=b"x"), tmp_path / "c.edf", edf(name="d.edf")]
    found = survey(paths)
    assert found.good == (paths[0], paths[3])
    assert [path for path, _ in found.bad] == paths[1:3]
    assert "1 bytes follow the last record" in found.bad[0][1]
    sessions, bad = open_all(paths)
    assert [s.session_id for s in sessions] == ["a", "d"]
    assert bad == list(found.bad)
    for session in sessions:
        session.close()


def test_what_shares_a_container_is_named_with_both_endings(tmp_path: Path) -> None:
    (tmp_path / "x.edf").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200))
    with pytest.raises(RecordingError, match=r"content is EEGLAB or MAT. Rename it to .set or .mat"):
        read(tmp_path / "x.edf")


def hdf5_family(folder: Path) -> dict[str, Path]:
    """Return a session of ours, an NWB file and a MAT-file of version 7.3: all three are HDF5."""
    import make_eeglab
    import make_nwb
    import numpy as np

    from neural_foundation.core.specs import SignalSpec
    from neural_foundation.recordings import ArraySignal, Intervals, write_session

    spec, values = SignalSpec(sfreq=100.0, ch_names=("Cz",)), np.zeros((1, 100), np.float32)
    trials = Intervals.of([(0.25, 0.5, "left")])
    write_session(
        folder / "a.h5",
        session_id="a",
        subject="a",
        spec=spec,
        chunks=ArraySignal(values, spec).chunks(50),
        trials=trials,
    )
    eeg = make_eeglab.eeg_of(values, 100.0, [{"labels": "Cz", "type": "EEG"}], [])
    return {
        "hdf5": folder / "a.h5",
        "nwb": make_nwb.make_nwb(folder, values, spec, trials),
        "mat73": make_eeglab.save_v73(folder / "a.set", eeg),
    }


@pytest.mark.parametrize(
    ("content", "ending", "message"),
    [
        ("nwb", ".h5", "it is named HDF5, but its content is NWB. Rename it to .nwb"),
        ("nwb", ".hdf5", "Rename it to .nwb"),
        ("hdf5", ".nwb", "it is named NWB, but its content is HDF5, a session. Rename it to .h5"),
        ("mat73", ".nwb", "it is named NWB, but its content is EEGLAB or MAT. Rename it to .set or .mat"),
        ("mat73", ".h5", "it is named HDF5, but its content is EEGLAB or MAT. Rename it to .set or .mat"),
        ("nwb", ".mat", "it is named MAT, but its content is NWB. Rename it to .nwb"),
        ("hdf5", ".set", "it is named EEGLAB, but its content is HDF5. Rename it to .h5"),
        ("nwb", ".edf", "it is named EDF, but its content is NWB. Rename it to .nwb"),
        ("hdf5", ".dat5", "Its content is HDF5: rename it to .h5"),
    ],
)
def test_formats_within_hdf5_are_told_apart(tmp_path: Path, content: str, ending: str, message: str) -> None:
    made = hdf5_family(tmp_path)[content]
    wrong = tmp_path / f"wrong{ending}"
    wrong.write_bytes(made.read_bytes())
    with pytest.raises(RecordingError, match=message):
        read(wrong)


def test_hdf5_of_no_known_kind_that_is_named_nwb_is_sent_to_a_layout(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file["x"] = [1.0, 2.0]
    with pytest.raises(RecordingError, match="it is no NWB file.* Rename it to .h5, and say in a layout what is where"):
        read(tmp_path / "x.nwb")


def test_hdf5_that_is_no_session_is_asked_for_a_layout(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["raw/values"] = np.arange(12.0).reshape(2, 6)
    with pytest.raises(RecordingError, match=r"(?s)layout.*raw/values"):
        read(tmp_path / "x.h5")
    signals = {"lfp": {"values": "raw/values", "axes": "channel time", "sfreq": 10, "unit": "mV"}}
    with read(tmp_path / "x.h5", layout={"signals": signals}) as session:
        assert session["lfp"].read()[1].tolist() == pytest.approx([0.006, 0.007, 0.008, 0.009, 0.010, 0.011])


def test_a_layout_for_a_format_that_has_its_own_is_refused(edf: Any) -> None:
    with pytest.raises(RecordingError, match="EDF files say themselves what is where. Give no layout"):
        read(edf(), layout={"signals": {"eeg": {"values": "a", "axes": "time channel", "sfreq": 1, "unit": "V"}}})
