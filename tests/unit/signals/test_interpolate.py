"""Any montage onto one: against MNE's splines, and batches of recordings of different caps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.recordings import write_session
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.sampling.random_windows import RandomWindows
from neural_foundation.sampling.windows import continuous
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.interpolate import STANDARD_1020, Interpolate
from neural_foundation.signals.spherical import ORIGIN_M

PLACES = standard_1005()
SMALL = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz", "T7", "T8")
LARGE = (*SMALL, "FC1", "FC2", "CP1", "CP2", "F7", "F8", "P7", "P8", "Oz", "AFz", "FC5", "FC6", "CP5", "CP6")


def cap(names: tuple[str, ...]) -> SignalSpec:
    types, places = ("eeg",) * len(names), tuple(PLACES[n] for n in names)
    return SignalSpec(sfreq=100.0, ch_names=names, ch_types=types, positions=places)


def dipole(names: tuple[str, ...]) -> np.ndarray:
    """Return a smooth potential at the electrodes: the cosine towards one point of the head."""
    places = np.array([PLACES[n] for n in names]) - ORIGIN_M
    return places @ np.array([0.3, -0.5, 0.8]) / np.linalg.norm(places, axis=1)


def test_it_is_mne_s_spline() -> None:
    from mne.channels.interpolation import _make_interpolation_matrix

    elsewhere = ("AF3", "CPz", "PO4", "FT7")
    source, target = (np.array([PLACES[n] for n in names]) - ORIGIN_M for names in (LARGE, elsewhere))
    want = _make_interpolation_matrix(source, target, alpha=1e-5)
    got = Interpolate(to=elsewhere).bind(cap(LARGE)).matrix  # type: ignore[attr-defined]
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_two_caps_give_one_montage_and_nearly_one_map() -> None:
    outputs = []
    for names in (SMALL, LARGE):
        op = Interpolate().bind(cap(names))
        assert op.output.ch_names == STANDARD_1020
        outputs.append(run(op, np.tile(dipole(names)[:, None], (1, 8)).astype(np.float32)).values[:, 0])
    np.testing.assert_allclose(outputs[0], outputs[1], atol=0.05)
    np.testing.assert_allclose(outputs[1], dipole(STANDARD_1020), atol=0.03)


def test_people_of_different_caps_stand_side_by_side_in_a_batch(tmp_path: Path) -> None:
    paths = []
    for i, names in enumerate((SMALL, LARGE)):
        bound = chain([Interpolate()], cap(names))
        noise = np.random.default_rng(i).standard_normal((len(names), 400)).astype(np.float32)
        paths.append(tmp_path / f"{i}.h5")
        pieces = [run(bound, noise)]
        write_session(paths[-1], session_id=f"s{i}", subject=f"p{i}", spec=bound.output, chunks=pieces)
    data = RandomWindows([continuous(paths, 1.0, 1.0)], batch_size=4, balance="subject", seed=0)
    batch = next(iter(data))
    assert batch.signal.shape == (4, 19, 100)
    assert set(batch.identity.tolist()) == {1, 2}


def test_an_electrode_that_is_there_keeps_its_signal() -> None:
    values = np.random.default_rng(0).standard_normal((len(LARGE), 50)).astype(np.float32)
    got = run(Interpolate(to=LARGE[:5]).bind(cap(LARGE)), values).values
    np.testing.assert_array_equal(got, values[:5])


def test_other_types_are_left_out_and_one_unit_is_kept() -> None:
    spec = cap(SMALL).replace(ch_types=(*("eeg",) * 14, "eog"), units=("uV",) * 15)
    op = Interpolate(to=("Cz",)).bind(spec)
    assert (op.output.ch_types, op.output.units) == (("eeg",), ("uV",))
    values = np.zeros((15, 4), np.float32)
    values[14] = 1
    out, _ = op.step(Chunk.of(values), op.start())
    assert not out.values.any()


def test_what_cannot_be_interpolated_is_refused() -> None:
    with pytest.raises(SignalMismatchError, match="interpolate: no position for 'Cz'.*each with a position"):
        Interpolate().bind(cap(SMALL).replace(positions=tuple(None if n == "Cz" else PLACES[n] for n in SMALL)))
    with pytest.raises(SignalMismatchError, match="interpolate: 3 EEG channels. Allowed: 4 or more"):
        Interpolate().bind(cap(SMALL[:3]))
    with pytest.raises(SignalMismatchError, match="the EEG channels are in 'V' or 'uV'"):
        Interpolate().bind(cap(SMALL).replace(units=("uV", *("V",) * 14)))
    with pytest.raises(SpecError, match="no place of the 10-05 system is named 'cz'"):
        SIGNALS.parse({"kind": "interpolate", "to": ["cz"]})
    with pytest.raises(SpecError, match="to names a place twice"):
        SIGNALS.parse({"kind": "interpolate", "to": ["Cz", "Cz"]})
