"""The contract of every reader in the table: whatever the format, a session reads the same way."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import make_brainvision
import make_eeglab
import make_gdf
import make_mapped
import make_nwb
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join
from neural_foundation.recordings import (
    READERS,
    ArraySignal,
    Intervals,
    Session,
    quantisation_bound,
    read,
    write_edf,
    write_session,
)

NAMES = ("Fp1", "Cz", "O2", "EOG")
TYPES = ("eeg", "eeg", "eeg", "eog")
SFREQ = 128.0
TRIALS = Intervals.of([(0.25, 0.75, "left"), (1.5, 2.0, "right"), (3.125, 3.125, "blink")])


def spec_of() -> SignalSpec:
    return SignalSpec(sfreq=SFREQ, ch_names=NAMES, ch_types=TYPES)


def values_of() -> np.ndarray:
    return (np.random.default_rng(3).normal(size=(4, 640)) * [[2e-5], [1e-5], [3e-5], [1e-4]]).astype(np.float32)


def make_edf(folder: Path) -> Path:
    write_edf(folder / "a.edf", values=values_of(), spec=spec_of(), annotations=TRIALS)
    return folder / "a.edf"


def make_bdf(folder: Path) -> Path:
    import edfio

    signals = [
        edfio.BdfSignal(row.astype(float) * 1e6, SFREQ, label=name, physical_dimension="uV", physical_range=(-500, 500))
        for name, row in zip(NAMES, values_of(), strict=True)
    ]
    rows = [edfio.EdfAnnotation(start, end - start or None, text) for start, end, text in TRIALS]
    edfio.Bdf(signals, annotations=rows).write(folder / "a.bdf")
    return folder / "a.bdf"


def make_fif(folder: Path) -> Path:
    import mne

    raw = mne.io.RawArray(values_of(), mne.create_info(list(NAMES), SFREQ, list(TYPES)), first_samp=64, verbose="ERROR")
    raw.set_annotations(mne.Annotations(TRIALS.start_s, TRIALS.end_s - TRIALS.start_s, TRIALS.label))
    raw.save(folder / "a_raw.fif", fmt="single", verbose="ERROR")
    return folder / "a_raw.fif"


def make_hdf5(folder: Path) -> Path:
    chunks = ArraySignal(values_of(), spec_of()).chunks(100)
    write_session(folder / "a.h5", session_id="a", subject="a", spec=spec_of(), chunks=chunks, trials=TRIALS)
    return folder / "a.h5"


def made_by(maker: Callable[..., Path]) -> Callable[[Path], Path]:
    return lambda folder: maker(folder, values_of(), spec_of(), TRIALS)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "edf": make_edf,
    "bdf": make_bdf,
    "fif": make_fif,
    "hdf5": make_hdf5,
    "brainvision": made_by(make_brainvision.make_brainvision),
    "eeglab": made_by(make_eeglab.make_eeglab),
    "gdf": made_by(make_gdf.make_gdf),
    "nwb": made_by(make_nwb.make_nwb),
    **{kind: made_by(getattr(make_mapped, f"make_{kind}")) for kind in make_mapped.BOUND if kind != "mat73"},
}
BOUND = {
    "edf": quantisation_bound(values_of()),
    "bdf": 1e-3 / 2**24 + 1e-11,
    "fif": 0.0,
    "hdf5": 0.0,
    "brainvision": make_brainvision.BOUND,
    "eeglab": make_eeglab.BOUND,
    "gdf": make_gdf.BOUND,
    "nwb": make_nwb.BOUND,
    **make_mapped.BOUND,
}
# what a format makes of the words of the trials
WORDS: dict[str, Callable[[str], str]] = {
    "brainvision": make_brainvision.LABEL.format,
    "gdf": make_gdf.LABELS.__getitem__,
}
SPIKES_ALONE = {"phy", "spike_arrays"}  # without a signal; under contract in test_phy.py and test_spike_arrays.py
UNTITLED = {"csv", "parquet", "npy"}  # tables hold no trials
TEXT = {"csv"}  # both line ends are right, and a row more is a sample more


@pytest.fixture(scope="module", params=sorted(MAKERS))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, MAKERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def session(sample: tuple[str, Path]) -> Session:
    with read(sample[1]) as opened:
        yield opened


def copied(sample: tuple[str, Path], folder: Path) -> Path:
    """Return the recording in another folder, with the files that belong to it."""
    for file in sample[1].parent.iterdir():
        shutil.copy(file, folder / file.name)
    return folder / sample[1].name


def samples_of(kind: str, opened: Path) -> Path:
    """Return the file that holds the samples, where it is not the one that is opened."""
    return opened.with_suffix(".eeg") if kind == "brainvision" else opened


def test_every_reader_of_the_table_is_under_the_contract() -> None:
    assert set(MAKERS) | SPIKES_ALONE == set(READERS)
    assert set(MAKERS) <= set(BOUND)


def test_values_are_volts(sample: tuple[str, Path], session: Session) -> None:
    values = session.signal.read()
    assert values.dtype == np.float32
    assert (np.abs(values.astype(float) - values_of()) <= BOUND[sample[0]]).all()


def test_facts(session: Session) -> None:
    spec = session.signal.spec
    assert (spec.sfreq, spec.ch_names, spec.ch_types) == (SFREQ, NAMES, TYPES)
    assert session.signal.n_times == 640
    assert session.signal.duration_s == 5.0
    assert list(session.signals) == ["eeg"]


def test_trials_count_on_the_clock_of_the_signal(sample: tuple[str, Path], session: Session) -> None:
    offset = session.signal.start_s
    assert offset == (0.5 if sample[0] == "fif" else 0.0)
    if sample[0] in UNTITLED:
        assert len(session.trials) == 0
        return
    np.testing.assert_allclose(session.trials.start_s - offset, TRIALS.start_s, atol=1e-9)
    np.testing.assert_allclose(session.trials.end_s - offset, TRIALS.end_s, atol=1e-9)
    word = WORDS.get(sample[0], str)
    assert session.trials.label == tuple(map(word, TRIALS.label))


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (127, 129), (5, 640), (639, 640), (640, 640), (128, 256)])
def test_a_slice_equals_the_whole(session: Session, start: int, stop: int) -> None:
    whole = session.signal.read()
    assert np.array_equal(session.signal.read(start, stop), whole[:, start:stop])
    assert session.signal.valid(start, stop).tolist() == [True] * (stop - start)


@pytest.mark.parametrize("n_times", [1, 100, 128, 1000])
def test_blocks_equal_the_whole(session: Session, n_times: int) -> None:
    joined = join(session.signal.chunks(n_times))
    assert np.array_equal(joined.values, session.signal.read())
    assert joined.start == 0
    assert joined.valid.all()


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (3, 2), (0, 641)])
def test_out_of_range_is_refused(session: Session, start: int, stop: int) -> None:
    with pytest.raises(DataError, match="0 <= start <= stop <= 640"):
        session.signal.read(start, stop)


def test_reading_into_a_result_does_not_change_the_file(session: Session) -> None:
    first = session.signal.read(0, 50)
    first[:] = 7
    assert not np.array_equal(session.signal.read(0, 50), first)


def test_through_our_store_and_back(session: Session, tmp_path: Path) -> None:
    source = session.signal
    write_session(
        tmp_path / "b.h5",
        session_id="b",
        subject="p1",
        spec=source.spec,
        chunks=source.chunks(99),
        trials=session.trials,
        start_s=source.start_s,
    )
    with read(tmp_path / "b.h5") as stored:
        assert np.array_equal(stored.signal.read(), source.read())
        assert stored.signal.spec == source.spec.replace(subject="p1")
        assert stored.signal.start_s == source.start_s
        assert stored.trials == session.trials
        assert (stored.session_id, stored.subject) == ("b", "p1")


def test_subject_is_the_one_given_or_the_stem(sample: tuple[str, Path]) -> None:
    with read(sample[1]) as session:
        assert session.subject == session.signal.spec.subject == sample[1].name.split(".")[0]
    with read(sample[1], subject="s07") as session:
        assert session.subject == session.signal.spec.subject == "s07"


def test_a_closed_session_says_so(sample: tuple[str, Path]) -> None:
    session = read(sample[1])
    session.close()
    session.close()
    with pytest.raises(DataError, match="closed"):
        session.signal.read()


@pytest.mark.parametrize("cut", [0, 1, 10, 300, -1, -100])
def test_a_truncated_file_is_refused(sample: tuple[str, Path], tmp_path: Path, cut: int) -> None:
    if sample[0] in TEXT and cut < 0:
        pytest.skip("a table that is cut at the end of a line, or within its last number, is a table")
    opened = copied(sample, tmp_path)
    damaged = samples_of(sample[0], opened)
    damaged.write_bytes(damaged.read_bytes()[:cut])
    with pytest.raises(RecordingError) as caught:
        read(opened)
    assert caught.value.path in (opened, damaged)
    assert str(caught.value.path) in str(caught.value)


def test_bytes_after_the_end_are_refused(sample: tuple[str, Path], tmp_path: Path) -> None:
    opened = copied(sample, tmp_path)
    damaged = samples_of(sample[0], opened)
    damaged.write_bytes(damaged.read_bytes() + b"\0" * 33)
    with pytest.raises(RecordingError):
        read(opened)


def test_line_ending_damage_is_named(sample: tuple[str, Path], tmp_path: Path) -> None:
    opened = copied(sample, tmp_path)
    damaged = samples_of(sample[0], opened)
    raw = damaged.read_bytes()
    assert b"\n" in raw
    damaged.write_bytes(raw.replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match=r"a line-ending conversion \(LF to CR LF\)"):
        read(opened)


def test_a_wrong_extension_names_the_right_one(sample: tuple[str, Path], tmp_path: Path) -> None:
    reader = READERS.parse(sample[0])
    if not reader.magic:
        pytest.skip("a table does not start like anything")
    wrong = tmp_path / ("x.edf" if sample[0] != "edf" else "x.h5")
    wrong.write_bytes(sample[1].read_bytes())
    with pytest.raises(RecordingError, match=rf"content is .*Rename it to .*{reader.extensions[0]}"):
        read(wrong)


def test_gzipped_fif_reads_the_same(tmp_path: Path) -> None:
    plain = make_fif(tmp_path)
    (tmp_path / "b_raw.fif.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with read(plain) as a, read(tmp_path / "b_raw.fif.gz") as b:
        assert np.array_equal(a.signal.read(), b.signal.read())
        assert a.trials == b.trials
        assert b.session_id == "b_raw"


def test_validity_survives_the_store(tmp_path: Path) -> None:
    spec = SignalSpec(sfreq=64.0, ch_names=("Cz",))
    valid = np.random.default_rng(0).random(200) > 0.3
    values = np.random.default_rng(1).normal(size=(1, 200)).astype(np.float32)
    chunks = [Chunk(values[:, a:b], valid[a:b], a) for a, b in ((0, 70), (70, 70), (70, 200))]
    write_session(tmp_path / "v.h5", session_id="v", subject="v", spec=spec, chunks=chunks, trials=Intervals())
    with read(tmp_path / "v.h5") as session:
        assert np.array_equal(session.signal.valid(), valid)
        assert np.array_equal(session.signal.valid(33, 150), valid[33:150])
        assert np.array_equal(session.signal.read(), values)


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, neural_foundation.recordings\n"
        "heavy = {'mne', 'torch', 'scipy', 'h5py', 'edfio', 'sklearn', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
