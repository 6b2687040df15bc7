"""hms: the competition's own layout, and every contradiction in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import miniatures
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.datasets.hms import CHANNELS, HMS
from neural_foundation.recordings import Session
from neural_foundation.recordings.interval_table import IntervalTable

pytest.importorskip("pyarrow")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.hms(tmp_path)


def opened(root: Path, number: int = 0, **fields: object) -> Session:
    spec = HMS.model_validate({"path": root, **fields})
    return spec.open(spec.items()[number], root)


def test_an_item_is_an_eeg_of_a_patient(root: Path) -> None:
    spec = HMS(path=root)
    assert [(i.id, i.subject) for i in spec.items()] == [("1001", "42"), ("1002", "42"), ("1003", "57")]
    names = [f.relative_to(root).as_posix() for f in spec.items()[1].files]
    assert names == ["train_eegs/1002.parquet", "train_spectrograms/2001.parquet", "train.csv"]
    assert spec.classes() == ("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other")
    assert [i.id for i in HMS(path=root, exclude=("42",)).items()] == ["1003"]


def test_the_samples_are_the_file_s_in_volts_and_nan_is_not_valid(root: Path) -> None:
    import pyarrow.parquet as pq

    with opened(root, 1, ekg=True) as session:
        eeg = session.signal
        assert (eeg.spec.sfreq, eeg.spec.ch_names, eeg.n_times) == (200.0, CHANNELS, 12000)
        assert eeg.spec.ch_types == ("eeg",) * 19 + ("ecg",)
        table = pq.read_table(root / "train_eegs" / "1002.parquet")
        whole = np.stack([table[name].to_numpy() for name in CHANNELS])
        np.testing.assert_allclose(eeg.read(100, 300), whole[:, 100:300] * 1e-6, rtol=1e-6)
        assert eeg.valid().sum() == 12000 - 400
        assert not eeg.valid(2000, 2400).any()


def test_without_ekg_its_gaps_cost_nothing(root: Path) -> None:
    path = root / "train_eegs" / "1001.parquet"
    rewrite(path, lambda c: c.update({"EKG": [math.nan] * 12000}))
    with opened(root) as session:
        assert session.signal.spec.ch_names == CHANNELS[:-1]
        assert session.signal.valid().all()
    with opened(root, ekg=True) as session:
        assert not session.signal.valid().any()
    rewrite(path, lambda c: c.pop("EKG"))
    opened(root).close()
    with pytest.raises(RecordingError, match="it has no column 'EKG'"):
        opened(root, ekg=True)


def test_a_trial_is_the_central_ten_seconds_with_its_votes(root: Path) -> None:
    with opened(root) as session:
        assert list(session.trials) == [(20.0, 30.0, "Seizure"), (26.0, 36.0, "LPD")]
        assert list(session.intervals["windows"]) == [(0.0, 50.0, "31"), (6.0, 56.0, "32")]
        assert isinstance(session.trials, IntervalTable)
        facts = session.trials.facts
        assert facts["label_id"] == (31, 32)
        votes = [facts[f"{name.lower()}_vote"] for name in HMS(path=root).classes()]
        assert list(zip(*votes, strict=True)) == [(3, 0, 0, 0, 0, 0), (1, 2, 0, 0, 0, 2)]
        assert facts["spectrogram_label_offset_seconds"] == (0.0, 6.0)


def test_the_spectrogram_lies_on_the_eeg_s_clock(root: Path) -> None:
    with opened(root, 1) as session:  # its windows start at 0 s of the EEG and at 40 s of the spectrogram
        bands = session["spectrogram"]
        assert bands.spec.sfreq == 0.5
        assert bands.spec.ch_names[:1] + bands.spec.ch_names[-1:] == ("LL_0.59", "RP_19.89")
        assert set(bands.spec.units) == {""}
        assert bands.start_s == 1.0 + 25.0 - (40.0 + 300.0)
        middle = session.trials.start_s[0] + 5.0
        assert bands.start_s + 170 * 2.0 - 1.0 == middle  # row 170 of the file holds 340 to 342 s
        assert bands.read(3, 7).shape == (400, 4)
        assert bands.valid().all()
    with opened(root, 0, spectrogram=False) as session:
        assert list(session.signals) == ["eeg"]


def test_what_is_closed_is_closed(root: Path) -> None:
    session = opened(root)
    session.close()
    with pytest.raises(Exception, match="is closed"):
        session["spectrogram"].read(0, 1)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seizure_vote", "sz_vote", "it has no column 'seizure_vote'"),
        ("expert_consensus", "consensus", "it has no column 'expert_consensus'"),
        ("31,42,Seizure", "31,42,Seizures", "line 2: the consensus is 'Seizures'. Allowed: 'Seizure', "),
        (
            "Seizure,3,0,0,0,0,0",
            "Seizure,3,0,4,0,0,0",
            "line 2: the consensus is Seizure, but most votes are for 'GPD'",
        ),
        ("Seizure,3,0,0,0,0,0", "Seizure,0,0,0,0,0,0", "line 2: nobody voted, yet the consensus is Seizure"),
        ("Seizure,3,0,0", "Seizure,3,-1,0", "line 2: its votes are 3, -1,"),
        ("Seizure,3,0,0", "Seizure,2.5,0,0", "line 2: its votes are 2.5, 0,"),
        ("1001,0,0.0,", "1001,0,-1.0,", "line 2: its offsets are -1 and 0 s"),
        ("1001,0,0.0,", "1001,0,,", "line 2: its offsets are nan and 0 s"),
        ("1001,1,6.0,2001,1,6.0", "1001,1,16.0,2001,1,16.0", "a window from 16 to 66 s does not lie within"),
        (
            "1001,1,6.0,2001,1,6.0",
            "1001,1,6.0,2001,1,66.0",
            "from 66 to 666 s does not lie within the recording .650 s",
        ),
        ("1001,1,6.0,2001,1,6.0", "1001,1,6.0,2001,1,40.0", "place its spectrogram -309 to -275 s apart.*false"),
        ("31,42,Seizure", "32,42,Seizure", "label_id 32 stands in several rows"),
        ("1001,1,6.0,2001,1,6.0,32,42", "1001,1,6.0,2001,1,6.0,32,57", "line 3: EEG 1001 is of several patients"),
        ("1001,1,6.0,2001", "1001,1,6.0,2002", "line 3: EEG 1001 is of several spectrograms"),
        ("1003,0,4.0,2002", "1003,0,4.0,2001", "line 5: spectrogram 2001 is of several patients"),
        ("1001,0,0.0", "1001.5,0,0.0", "line 2: eeg_id is 1001.5. Allowed: a whole number"),
        ("1001,0,0.0", "x,0,0.0", "eeg_id"),
    ],
)
def test_a_table_that_contradicts_itself_is_an_error(root: Path, old: str, new: str, message: str) -> None:
    edit(root / "train.csv", old, new)
    with pytest.raises(RecordingError, match=message):
        opened(root)


def test_faulty_rows_can_be_left_out_by_name(root: Path) -> None:
    edit(root / "train.csv", "Seizure,3,0,0,0,0,0", "Seizure,0,0,0,0,0,0")
    spec = HMS(path=root, faulty_rows="leave_out")
    item = spec.items()[0]
    with spec.open(item, root) as session:
        assert list(session.trials) == [(26.0, 36.0, "LPD")]
    assert spec.left_out(item) == ("line 2 of the table: nobody voted, yet the consensus is Seizure",)
    assert HMS(path=root).left_out(item) == spec.left_out(spec.items()[1]) == ()
    edit(root / "train.csv", "LPD,1,2,0,0,0,2", "Other,1,2,0,0,0,1")
    with pytest.raises(RecordingError, match="no row of EEG 1001 can be used. The first: line 2 of the table: nobody"):
        opened(root, faulty_rows="leave_out")


@pytest.mark.parametrize(("apart_s", "onsets"), [(0.0, [20, 26]), (6.0, [20, 26]), (6.5, [20]), (50.0, [20])])
def test_rows_that_overlap_can_be_thinned(root: Path, apart_s: float, onsets: list[float]) -> None:
    with opened(root, apart_s=apart_s) as session:
        assert session.trials.start_s.tolist() == onsets


def test_of_the_table_its_own_rows_decide(root: Path) -> None:
    spec = HMS(path=root)
    before = [spec.rows_digest(item) for item in spec.items()]
    assert len(set(before)) == 3
    assert [f.name for f in spec.raw_files(spec.items()[0])] == ["1001.parquet", "2001.parquet"]
    edit(root / "train.csv", "Seizure,3,0,0,0,0,0", "Seizure,,0,0,0,0,0")  # what is not there is no number
    assert [spec.rows_digest(item) == was for item, was in zip(spec.items(), before, strict=True)] == [
        False,
        True,
        True,
    ]


def test_a_bad_row_of_another_patient_can_be_left_out(root: Path) -> None:
    edit(root / "train.csv", "Seizure,3", "LPD,3")
    with opened(root, 0, exclude=("42",)) as session:
        assert session.trials.label == ("GRDA",)


@pytest.mark.parametrize("name", ["train_eegs/1001.parquet", "train_spectrograms/2001.parquet"])
def test_an_id_without_its_file_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(RecordingError, match=f"{name}: there is no such file. The recording '1001' needs it"):
        opened(root)


def rewrite(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns: dict[str, object] = {name: table[name] for name in table.column_names}
    change(columns)
    miniatures.parquet(path, columns)


def test_a_column_that_is_missing_is_named(root: Path) -> None:
    rewrite(root / "train_eegs" / "1001.parquet", lambda c: c.pop("Fz"))
    with pytest.raises(RecordingError, match="1001.parquet: it has no column 'Fz'"):
        opened(root)
    rewrite(root / "train_spectrograms" / "2002.parquet", lambda c: c.pop("RL_0.59"))
    with pytest.raises(RecordingError, match="100 of LL, 99 of RL, .* 100 each of LL_"):
        opened(root, 2)
    rewrite(root / "train_spectrograms" / "2001.parquet", lambda c: c.pop("time"))
    with pytest.raises(RecordingError, match="and no time"):
        opened(root, 1)


def test_a_damaged_file_is_an_error(root: Path) -> None:
    path = root / "train_eegs" / "1001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordingError, match="1001.parquet: .*truncated"):
        opened(root)
    (root / "train.csv").write_bytes((root / "train.csv").read_bytes()[:-3])
    with pytest.raises(RecordingError, match="train.csv: its last line has no end"):
        opened(root)


def test_missing_power_is_not_valid(root: Path) -> None:
    import pyarrow as pa

    path = root / "train_spectrograms" / "2001.parquet"
    rewrite(path, lambda c: c.update({"LP_0.59": pa.array([math.nan] * 5 + [1.0] * 320, pa.float32())}))
    with opened(root) as session:
        assert session["spectrogram"].valid().sum() == 320


def test_a_changed_table_is_read_again(root: Path) -> None:
    assert len(HMS(path=root).items()) == 3
    edit(root / "train.csv", miniatures.HMS_ROWS[3] + "\n", "")
    assert len(HMS(path=root).items()) == 2


def test_without_pyarrow_the_message_has_the_pip_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from neural_foundation.core.errors import MissingExtraError

    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingExtraError, match=r"'pyarrow' is not installed. Run: pip install 'neural-foundation\[tables"
    ):
        opened(root)
