"""Sources that are played: files and the simulator; and how a source is named in one word."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import (
    RecordingError,
    SignalMismatchError,
    SpecError,
    StreamError,
    UnknownKindError,
)
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join
from neural_foundation.datasets.simulated.generate import simulate
from neural_foundation.datasets.simulated.motor_imagery import SimulatedMotorImagery
from neural_foundation.datasets.table import DATASETS
from neural_foundation.realtime.decoder import matching
from neural_foundation.realtime.sources import SOURCES, OpenSource, Source, Trial, parse_source
from neural_foundation.realtime.sources.base import Counts
from neural_foundation.realtime.sources.brainflow import Brainflow
from neural_foundation.realtime.sources.file import File
from neural_foundation.realtime.sources.lsl import Lsl
from neural_foundation.realtime.sources.simulated import Simulated
from neural_foundation.recordings import Intervals, write_session

SPEC = SignalSpec(sfreq=100.0, ch_names=("C3", "Cz", "C4"), ch_types=("eeg",) * 3)
VALUES = (1e-5 * np.random.default_rng(0).standard_normal((3, 250))).astype(np.float32)
SEIZURES = {"hours": 0.5, "seizures": 1, "preictal_min": 5}
SMALL = {"channels": 8, "sfreq": 100, "trials": 2, "speed": "max"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("played") / "anna.h5"
    valid = np.ones(250, bool)
    valid[40:60] = False
    trials = Intervals(np.array([0.5, 1.5]), np.array([1.0, 2.0]), ("left", "right"))
    chunks = [Chunk(VALUES, valid)]
    write_session(path, session_id="a", subject="anna", spec=SPEC, chunks=chunks, trials=trials)
    return path


def all_of(source: OpenSource, n: int | None = None) -> Chunk:
    """Return what a source gives until it ends, or `n` samples of it."""
    chunks: list[Chunk] = []
    while not source.ended and (n is None or sum(c.n_times for c in chunks) < n):
        chunk = source.read(5.0)
        if chunk is not None:
            chunks.append(chunk)
    return join(chunks)


class TestFile:
    def test_gives_the_recording_and_ends(self, recording: Path) -> None:
        with File(path=recording, speed="max", block_s=0.07).open() as source:
            got = all_of(source)
            assert source.read() is None
        assert source.signal.ch_names == SPEC.ch_names
        np.testing.assert_array_equal(got.values, VALUES)
        assert got.valid.sum() == 230
        assert source.ended
        assert source.reason == "it has no more samples"
        assert source.counts == Counts(samples=250)
        assert source.measured_sfreq is None

    def test_blocks_are_as_long_as_asked_for(self, recording: Path) -> None:
        with File(path=recording, speed="max", block_s=0.1).open() as source:
            first, second = source.read(), source.read()
        assert first is not None
        assert second is not None
        assert (first.start, first.n_times, second.start, second.n_times) == (0, 10, 10, 10)

    def test_repeats_samples_and_trials(self, recording: Path) -> None:
        with File(path=recording, speed="max", loop=True, block_s=0.1).open() as source:
            got = all_of(source, 600)
            found = source.trials(0, 600)
        np.testing.assert_array_equal(got.values[:, 250:500], VALUES)
        assert found == [
            Trial(50, 100, "left"),
            Trial(150, 200, "right"),
            Trial(300, 350, "left"),
            Trial(400, 450, "right"),
            Trial(550, 600, "left"),
        ]
        assert source.trials(51, 150) == []

    def test_picks_channels_in_the_order_given(self, recording: Path) -> None:
        with File(path=recording, speed="max", channels=("C4", "C3")).open() as source:
            got = all_of(source)
        assert source.signal.ch_names == ("C4", "C3")
        np.testing.assert_array_equal(got.values, VALUES[[2, 0]])

    def test_a_channel_that_is_not_there(self, recording: Path) -> None:
        with pytest.raises(SignalMismatchError, match="no channel 'Cz1'. Did you mean 'Cz'") as caught:
            File(path=recording, channels=("C3", "Cz1")).open()
        assert "'C3', 'Cz' or 'C4'" in str(caught.value)

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(RecordingError, match="nobody.edf"):
            File(path=Path("nobody.edf")).open()

    def test_at_its_pace_a_block_is_due_with_its_last_sample(self, recording: Path) -> None:
        with File(path=recording, speed=5, block_s=0.5).open() as source:
            began = time.monotonic()
            assert source.read(0.001) is None  # not yet
            chunk = source.read(5.0)
            assert time.monotonic() - began >= 0.1
            assert chunk is not None
            assert chunk.n_times == 50
            assert source.stamp_of(50) - source.stamp_of(0) == pytest.approx(0.1)
            assert abs(source.stamp_of(0) - began) < 0.1

    def test_a_reader_that_was_away_gets_all_that_is_due(self, recording: Path) -> None:
        with File(path=recording, speed=20, block_s=0.1).open() as source:
            source.read(5.0)
            time.sleep(0.15)
            assert source.stalled_s >= 0.15
            assert join([c for c in iter(lambda: source.read(0.0), None) if c is not None]).n_times == 240
            assert source.counts.missing == 0

    def test_closing_ends_the_waiting_of_another_thread(self, recording: Path) -> None:
        source = File(path=recording, speed=0.001).open()
        threading.Timer(0.05, source.close).start()
        assert source.read(60.0) is None
        with pytest.raises(StreamError, match="The source is closed"):
            source.read()
        source.close()


class TestSimulated:
    def test_gives_the_simulator_s_person_with_the_true_labels(self) -> None:
        with Simulated(**SMALL, seconds=9.5).open() as source:
            got = all_of(source)
            trials = source.trials(0, 950)
        want = simulate(SimulatedMotorImagery(trials=2, channels=8, sfreq=100), "sim001")
        np.testing.assert_array_equal(got.values, want.values[:, :950])
        assert got.valid.all()
        assert source.signal == want.spec
        onsets = np.rint(want.truth.onset_s * 100)
        assert [t.start for t in trials] == [s for s in onsets if s < 950]
        assert {t.label for t in trials} <= {"left_hand", "right_hand"}
        assert all(t.stop - t.start == 400 for t in trials)

    def test_is_endless_and_its_seam_is_no_step(self) -> None:
        with Simulated(**SMALL, line_hz=None, block_s=1).open() as source:
            n = simulate(SimulatedMotorImagery(trials=2, channels=8, sfreq=100, line_hz=None), "sim001").values.shape[1]
            got = all_of(source, 3 * n).values
            trials = source.trials(0, 3 * n)
        period = n - 100
        np.testing.assert_array_equal(got[:, period + 100 : 2 * period], got[:, 100:period])
        np.testing.assert_array_equal(got[:, 2 * period : 3 * period], got[:, period : 2 * period])
        steps = np.abs(np.diff(got, axis=1))
        assert (steps[:, period - 1] < 4 * np.percentile(steps, 99, axis=1)).all()
        assert [t.start for t in trials[2:4]] == [t.start + period for t in trials[:2]]
        assert len(source.trials(period, 2 * period)) == 2

    def test_another_name_is_another_person(self) -> None:
        with Simulated(**SMALL, subject="sim001").open() as a, Simulated(**SMALL, subject="sim002").open() as b:
            assert not np.array_equal(all_of(a, 100).values[:, :100], all_of(b, 100).values[:, :100])


class TestSimulatedDatasets:
    @pytest.mark.parametrize("dataset", ["sleep", "seizures", "neurofeedback"])
    def test_a_recording_comes_as_it_was_made_and_ends(self, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
        cls: Any = DATASETS.row(f"simulated_{dataset}").load()
        short = {"sleep": {"hours": 0.25, "cycle_min": 15}, "seizures": SEIZURES, "neurofeedback": {"blocks": 2}}
        want = cls(**short[dataset]).simulate("sim001")
        monkeypatch.setattr(cls, "simulate", lambda self, subject: want)
        with Simulated(dataset=dataset, speed="max", block_s=10).open() as source:
            got, n = all_of(source), want.values.shape[1]
            trials = source.trials(0, n)
        assert source.signal == want.spec
        np.testing.assert_array_equal(got.values, want.values)
        assert [t.label for t in trials] == [label for _, _, label in want.trials]
        assert trials[1].start == round(want.trials[1][0] * want.spec.sfreq)
        with Simulated(dataset=dataset, speed="max", block_s=10, loop=True).open() as source:
            more = all_of(source, n + 500).values
            later = source.trials(n - 100, 2 * n - 200)
        np.testing.assert_array_equal(more[:, n : n + 400], want.values[:, 100:500])
        assert [t.label for t in later] == [t.label for t in trials]
        with Simulated(dataset=dataset, speed="max", seconds=3.0).open() as source:
            assert all_of(source).n_times == 3 * want.spec.sfreq

    def test_it_has_the_channels_that_a_model_of_the_files_expects(self, tmp_path: Path) -> None:
        dataset: Any = DATASETS.parse({"kind": "simulated_neurofeedback", "blocks": 2, "block_s": 4})
        with dataset.open(dataset.items()[0], tmp_path) as session, Simulated(dataset="neurofeedback").open() as source:
            read, live = session.signal.spec, source.signal
        assert (live.ch_names, live.sfreq) == (read.ch_names, read.sfreq)
        matching(live, read)  # raises where a package would refuse it


class TestOneWord:
    @pytest.mark.parametrize(
        ("text", "want"),
        [
            ("simulated", Simulated()),
            ("simulated,subject=sim007,channels=64,sfreq=1000", Simulated(subject="sim007", channels=64, sfreq=1000)),
            ("simulated:sleep,subject=sim011", Simulated(dataset="sleep", subject="sim011")),
            ("simulated:seizures,speed=max,loop=true", Simulated(dataset="seizures", speed="max", loop=True)),
            ("simulated,speed=max", Simulated(speed="max")),
            ("file:a/b.edf", File(path=Path("a/b.edf"))),
            ("file:C:\\data\\b.edf,loop=true", File(path=Path("C:\\data\\b.edf"), loop=True)),
            ("file:a,b.edf,speed=2", File(path=Path("a,b.edf"), speed=2)),
            ("lsl:Amp 1,unit=uV,channels=C3+C4", Lsl(name="Amp 1", unit="uV", channels=("C3", "C4"))),
            ("lsl:type=EEG", Lsl(name="type=EEG")),
            ("lsl,type=EEG", Lsl(type="EEG")),
            ("brainflow", Brainflow()),
            ("brainflow:cyton,serial_port=/dev/ttyUSB0", Brainflow(board="cyton", serial_port="/dev/ttyUSB0")),
        ],
    )
    def test_means(self, text: str, want: Source) -> None:
        assert parse_source(text) == want

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("lls:Amp", "Unknown kind 'lls' for sources. Did you mean 'lsl'?"),
            ("", "Unknown kind '' for sources"),
            ("lsl", "sources 'lsl': which stream? give 'name', 'type' or 'source_id'; in one word, lsl:NAME"),
            ("lsl:Amp,unit=degC", "'degC' is no unit of voltage"),
            ("lsl:Amp,units=uV", "unknown field 'units'. Did you mean 'unit'?"),
            ("file", "field 'path' is missing"),
            ("simulated:sim001", "field 'dataset': Input should be 'motor_imagery', 'sleep', "),
            ("simulated:sleep,erd=0.5", "sources 'simulated': 'sleep' takes no 'erd'"),
            ("simulated,speed=0", "greater than 0"),
            ("simulated,speed=fast", "'max'"),
            ("simulated,channels=7", "field 'channels'"),
        ],
    )
    def test_does_not_mean(self, text: str, says: str) -> None:
        with pytest.raises(SpecError) as caught:
            parse_source(text)
        assert says in str(caught.value)

    def test_a_bare_path_is_told_how(self, recording: Path) -> None:
        with pytest.raises(UnknownKindError, match="Write file:"):
            parse_source(str(recording))

    def test_what_is_played_does_not_wait_for_a_time_that_never_comes(self) -> None:
        for kind in SOURCES:
            assert "block_s" in SOURCES.row(kind).load().model_fields


def test_counts_say_what_was_not_as_it_should_be() -> None:
    assert Counts(samples=10).notes() == []
    said = Counts(samples=10, missing=7, dropped=3, gaps=2, restarts=1, jumps=1).notes()
    assert said == [
        "7 samples were missing in 2 gaps, 1 too long to bridge",
        "3 of them were dropped here: they were not read in time",
        "the source's clock jumped 1 times",
    ]
