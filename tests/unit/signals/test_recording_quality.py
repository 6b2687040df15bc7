"""The quality of a recording: what was put in is what is said of it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import Intervals, Session, Signal, read, write_edf
from neural_foundation.recordings.session import ArraySignal
from neural_foundation.signals.drift import Drift
from neural_foundation.signals.quality import quality

RATE, N = 250, 250 * 30
NAMES = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
SPEC = SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * 6)


@pytest.fixture
def signal() -> ArraySignal:
    """A common wave and noise of each channel, 10 microvolts (6, N)."""
    rng = generator(0, "quality")
    spectrum = np.fft.rfft(rng.standard_normal((7, N)))
    waves = np.fft.irfft(spectrum / np.sqrt(1 + np.fft.rfftfreq(N, 1 / RATE) / 2), N)
    return ArraySignal(1e-5 * (waves[1:] + waves[0]) / waves.std(), SPEC)


def test_a_good_recording(signal: ArraySignal) -> None:
    found = quality(Session("s1", "p1", {"eeg": signal}))
    assert (found.session_id, found.duration_s, found.valid_s, found.usable_s) == ("s1", 30, 30, 30)
    assert found.usable == 1
    assert found.bad_channels == {}
    assert set(found.artefacts.values()) == {0}
    assert found.drift_score is None
    assert all(abs(c.line_db["50"] or 99) < 2 for c in found.channels)


def test_each_fault_is_counted(signal: ArraySignal) -> None:
    t = np.arange(N) / RATE
    hum = 1e-5 * np.sin(2 * np.pi * 50 * t)
    signal.values[4] += hum
    signal.values[2, 10 * RATE : 20 * RATE] = 0
    for start in (22 * RATE, 25 * RATE):
        signal.values[:2, start : start + 75] += (2e-4 * np.hanning(75)).astype(np.float32)
    signal.mask[: 2 * RATE] = False
    found = quality(signal)
    assert found.bad_channels["C3"][0] == "flat"
    assert set(found.bad_channels) <= {"C3", "O1"}  # so strong a hum may be named too
    c3 = found.channels[2]
    assert 9 < c3.bad_s["flat"] < 12
    assert found.artefacts["blink"] == 2
    assert 0.3 < found.artefact_s["blink"] < 3
    assert found.valid_s == 28
    assert 28 - found.artefact_s["blink"] - found.artefact_s["movement"] <= found.usable_s + 1 < 28
    line = [c.line_db["50"] for c in found.channels]
    assert line[4] is not None
    assert line[4] > 13
    assert all(v is not None and v < 2 for i, v in enumerate(line) if i not in (2, 4))


def test_the_line_ratio_is_that_of_the_spectrum(signal: ArraySignal) -> None:
    signal.values[:] = generator(1, "white").standard_normal((6, N)) * 1e-5
    amplitude = 1e-5
    signal.values[0] += (amplitude * np.sin(2 * np.pi * 50 * np.arange(N) / RATE)).astype(np.float32)
    white = 1e-10 / (RATE / 2)
    want = 10 * np.log10((white * 2.5 + amplitude**2 / 2) / (white * 2.5))  # 5 bins of 0.5 Hz
    assert quality(signal).channels[0].line_db["50"] == pytest.approx(want, abs=0.8)


def test_drift_has_its_time(signal: ArraySignal) -> None:
    long = ArraySignal(np.tile(signal.values, (1, 8)), SPEC, start_s=100)
    long.values[3, 120 * RATE :] *= 3
    found = quality(long, drift=Drift(hop_s=2))
    assert found.drift_alarms_s
    assert 220 < found.drift_alarms_s[0] < 240
    assert found.drift_score is not None
    assert found.drift_score >= 1


def test_it_is_json_and_reads_paths(signal: ArraySignal, tmp_path: Path) -> None:
    file = tmp_path / "a.edf"
    write_edf(file, values=signal.values, spec=SPEC, annotations=Intervals(), subject="p1")
    found = quality(file)
    assert json.loads(json.dumps(found.json(), allow_nan=False))["usable"] == 1
    assert found.json()["bad_channels"] == {}


def test_the_lines_of_the_page_on_artefacts(
    signal: ArraySignal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neural_foundation.signals.ica import fit_ica

    monkeypatch.chdir(tmp_path)
    write_edf("training.edf", values=signal.values, spec=SPEC, annotations=Intervals(), subject="p1")
    with read("training.edf") as session:
        op, components = fit_ica(session.signal.chunks(1 << 20), session.signal.spec)
    removed = [c for c in components if c.removed]

    from neural_foundation.signals.quality import quality

    found = quality("training.edf")
    usable_s, bad, counts = found.usable_s, found.bad_channels, found.artefacts
    line_db, alarms_s = found.channels[0].line_db, found.drift_alarms_s
    report = found.json()

    assert op.note.startswith("FastICA on 30 s, 0 of 6 components removed")
    assert (removed, usable_s, bad, set(counts.values()), alarms_s) == ([], 30, {}, {0}, ())
    assert set(line_db) == {"50", "60"}
    assert report["channels"][0]["line_db"] == line_db


class Endless(Signal):
    """An hour that is made as it is read."""

    def _read(self, start: int, stop: int) -> np.ndarray:
        return generator(0, start).standard_normal((self.spec.n_chans, stop - start)).astype(np.float32)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_foundation.signals.quality.CHUNK_BYTES", 1 << 16)

    def peak(seconds: int) -> int:
        tracemalloc.start()
        quality(Endless(SPEC.replace(sfreq=100.0), seconds * 100))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    quality(Endless(SPEC.replace(sfreq=100.0), 6000))  # what is imported and compiled once
    assert peak(240) < 1.2 * peak(120)


def test_messages(signal: ArraySignal) -> None:
    with pytest.raises(SignalMismatchError, match=r"no channel is EEG, the types are \['emg'\]"):
        quality(ArraySignal(signal.values, SPEC.replace(ch_types=("emg",) * 6)))
    with pytest.raises(SignalMismatchError, match="too slow"):
        quality(ArraySignal(signal.values, SPEC.replace(sfreq=50.0)))


def test_the_slowest_rate_is_the_one_that_is_stated(signal: ArraySignal) -> None:
    slow = {rate: ArraySignal(signal.values, SPEC.replace(sfreq=rate)) for rate in (74.0, 75.0)}
    assert "below 75 Hz" in " ".join((quality.__doc__ or "").split())
    assert quality(slow[75.0]).channels[0].line_db == {"50": None, "60": None}
    with pytest.raises(SignalMismatchError, match="74 Hz is too slow"):
        quality(slow[74.0])
