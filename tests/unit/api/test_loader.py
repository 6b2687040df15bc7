from pathlib import Path

import numpy as np
import pytest

from neural_foundation import NeuralDataLoader
from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import write_edf

SPEC = SignalSpec(sfreq=100, ch_names=("C3", "Cz", "C4"), ch_types=("eeg",) * 3)


def edf(path: Path, spec: SignalSpec = SPEC, seconds: float = 3.0, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).normal(0, 1e-5, (spec.n_chans, round(seconds * spec.sfreq))).astype(np.float32)
    write_edf(path, values=values, spec=spec, subject="S1")
    return path


def test_instants_come_in_order_over_files(tmp_path: Path) -> None:
    edf(tmp_path / "b.edf", seed=1)
    edf(tmp_path / "a.edf", seed=0)
    samples = list(NeuralDataLoader(tmp_path, sampling_rate=100, channels=3).stream())
    assert len(samples) == 600
    assert samples[0].shape == (3,)
    whole = np.concatenate([c.values for c in NeuralDataLoader(tmp_path).chunks()], 1)
    np.testing.assert_array_equal(np.stack(samples, 1), whole)
    expected = np.random.default_rng(0).normal(0, 1e-5, (3, 300))
    np.testing.assert_allclose(whole[:, :300], expected, atol=2e-9)


def test_chunks_hold_a_temporal_window(tmp_path: Path) -> None:
    shapes = [c.shape for c in NeuralDataLoader(edf(tmp_path / "a.edf"), temporal_window=0.8).stream()]
    assert shapes == [(3, 80)] * 3 + [(3, 60)]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"sampling_rate": 1000}, r"a.edf has 100 Hz, 1000 Hz are expected. Give resample=True"),
        ({"channels": 2}, "a.edf has 3 channels, 2 are expected. Give pick=True"),
        ({"channels": 64}, "a.edf has 3 channels: C3, Cz, C4. Allowed: 64"),
        ({"channels": ["C3", "Oz"]}, "Allowed: 2: C3, Oz"),
    ],
)
def test_what_differs_raises(tmp_path: Path, wanted: dict[str, object], message: str) -> None:
    with pytest.raises(SignalMismatchError, match=message):
        next(NeuralDataLoader(edf(tmp_path / "a.edf"), **wanted).stream())


def test_resampling_and_picking_where_asked_for(tmp_path: Path) -> None:
    loader = NeuralDataLoader(
        edf(tmp_path / "a.edf"), sampling_rate=50, channels=["C4", "C3"], resample=True, pick=True
    )
    chunks = list(loader.chunks())
    assert sum(c.n_times for c in chunks) == 150
    plain = NeuralDataLoader(tmp_path / "a.edf", channels=["C4", "C3"], pick=True)
    values = np.concatenate([c.values for c in plain.chunks()], 1)
    whole = np.concatenate([c.values for c in NeuralDataLoader(tmp_path / "a.edf").chunks()], 1)
    np.testing.assert_array_equal(values, whole[[2, 0]])


def test_second_file_must_be_as_the_first(tmp_path: Path) -> None:
    edf(tmp_path / "a.edf")
    edf(tmp_path / "b.edf", SPEC.replace(sfreq=200))
    with pytest.raises(SignalMismatchError, match="b.edf has 200 Hz, 100 Hz are expected"):
        list(NeuralDataLoader(tmp_path).stream())


def test_missing_and_empty_paths(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        NeuralDataLoader(tmp_path / "none")
    with pytest.raises(DataError, match="no recordings under"):
        NeuralDataLoader(tmp_path)
    with pytest.raises(SpecError, match="temporal_window is -1 s"):
        NeuralDataLoader(edf(tmp_path / "a.edf"), temporal_window=-1)
