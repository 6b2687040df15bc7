"""ratgps: counts in windows that follow each other or overlap, and where the rat was in the middle of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.datasets.ratgps import RatGPS
from neural_foundation.datasets.ratgps_files import consecutive
from neural_foundation.recordings import Session


@pytest.fixture
def root(tmp_path: Path) -> Path:
    miniatures.ratgps_pair(tmp_path / "1D" / "data" / "R1_1D_1x1400_at35_step200_bin100-RAW", "R1", 7, columns=1)
    return miniatures.ratgps(tmp_path)


def opened(root: Path, rat: str, **fields: Any) -> Session:
    spec = RatGPS(path=root, subjects=(rat,), **fields)
    (item,) = spec.items()
    return spec.open(item, root)


def windows(counts: np.ndarray, steps: int) -> np.ndarray:
    return np.stack([counts[i : i + steps].sum(0) for i in range(len(counts) - steps + 1)])


def write(folder: Path, name: str, counts: Any, position: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / f"{name}_step200_bin100-RAW_feat.dat", counts, fmt="%d")
    np.savetxt(folder / f"{name}_step200_bin100-RAW_pos.dat", position, fmt="%.4f")


class TestConsecutive:
    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 9999), steps=st.integers(1, 7), rate=st.floats(0.05, 1.0))
    def test_what_is_known_is_exact(self, seed: int, steps: int, rate: float) -> None:
        true = np.random.default_rng(seed).poisson(rate, (60, 4))
        made, known = consecutive(windows(true, steps), steps)
        np.testing.assert_array_equal(made[:, known], true[:, known])
        at_rest = np.stack([(true[first::steps] == 0).any(0) for first in range(steps)]).all(0)
        np.testing.assert_array_equal(known, at_rest)

    def test_a_unit_that_never_rests_is_not_known(self) -> None:
        true = np.stack([np.ones(50, int), np.arange(50) % 3 == 0], 1).astype(int)
        assert consecutive(windows(true, 7), 7)[1].tolist() == [False, True]

    def test_rows_in_another_order_are_no_windows(self) -> None:
        made = windows(np.random.default_rng(0).poisson(0.3, (60, 4)), 7)
        with pytest.raises(ValueError, match="no counts in windows of 7 steps"):
            consecutive(made[np.random.default_rng(1).permutation(len(made))], 7)


class TestSessions:
    def test_a_session_a_rat_of_the_task(self, root: Path) -> None:
        assert [(i.id, i.subject) for i in RatGPS(path=root).items()] == [("R1-2D", "R1"), ("R2-2D", "R2")]
        assert [i.id for i in RatGPS(path=root, task="1D").items()] == ["R1-1D"]
        assert [i.id for i in RatGPS(path=root / "2D", counts="windows").items()] == ["R1-2D", "R2-2D"]

    def test_files_of_consecutive_bins_are_taken_as_they_are(self, root: Path) -> None:
        counts, position = miniatures.ratgps_arrays("R1")
        with opened(root, "R1") as session:
            np.testing.assert_array_equal(session["counts"].read(), counts.T)
            np.testing.assert_allclose(session["position"].read(), position.T, atol=1e-4)
            assert (session["counts"].start_s, session["position"].start_s) == (0.0, 0.1)
            assert session["counts"].spec.sfreq == session["position"].spec.sfreq == 5.0
            assert session["position"].spec.units == ("cm", "cm")

    @pytest.mark.parametrize("steps", [7, 2, 3])
    def test_overlapping_windows_give_the_same(self, steps: int, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        counts, edge = rng.poisson(0.4, (200, 3)), 20 + 10 * np.cumsum(rng.normal(size=(400, 2)), 0)
        # the position of a window is that of its middle: edge[j] is from 0.1 j s
        middle = edge[steps : steps + 2 * (200 - steps) + 1 : 2]
        write(tmp_path, f"R9_1x{200 * steps}_at{5 * steps}", windows(counts, steps), middle)
        with opened(tmp_path, "R9") as session:
            np.testing.assert_array_equal(session["counts"].read(), counts.T)
            made = session["position"]
            at = made.start_s + np.arange(made.n_times) / 5.0
            assert at[0] % 0.2 == pytest.approx(0.1)
            truth = edge[np.rint(at / 0.1).astype(int)]
            between = (middle[1:] + middle[:-1]) / 2
            np.testing.assert_allclose(made.read().T, truth if steps % 2 else between, atol=1e-3)

    def test_of_several_windows_the_one_that_knows_the_middle(self, root: Path, tmp_path: Path) -> None:
        counts, position = miniatures.ratgps_arrays("R2")
        write(root / "2D" / "data", "R2_1x400_at10", windows(counts, 2), position[1:])
        with opened(root, "R2") as session:
            assert session["position"].start_s == pytest.approx(0.7)
            np.testing.assert_array_equal(session["counts"].read(), counts.T)

    def test_units_that_cannot_be_known_are_left_out_and_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        counts = np.random.default_rng(0).poisson(0.4, (200, 3))
        counts[:, 1] += 1
        write(tmp_path, "R9_1x1400_at35", windows(counts, 7), np.zeros((194, 2)))
        with opened(tmp_path, "R9") as session:
            assert session["counts"].spec.ch_names == ("0", "2")
            np.testing.assert_array_equal(session["counts"].read(), counts[:, [0, 2]].T)
        assert "unit '1' left out" in caplog.text
        write(tmp_path, "R9_1x1400_at35", windows(counts[:, [1]], 7), np.zeros((194, 2)))
        with pytest.raises(RecordingError, match=r"no unit's counts in 0.2 s follow.*counts: windows"):
            opened(tmp_path, "R9")

    def test_windows_as_published(self, root: Path) -> None:
        counts, _ = miniatures.ratgps_arrays("R2")
        assert RatGPS(counts="windows").window_s == 1.4
        assert RatGPS().window_s == 0.0
        with opened(root, "R2", counts="windows") as session:
            np.testing.assert_array_equal(session["counts"].read(), windows(counts, 7).T)
            assert session["position"].n_times == session["counts"].n_times
            assert session["position"].start_s == session["counts"].start_s

    def test_bins_of_20_ms(self, root: Path) -> None:
        counts, _ = miniatures.ratgps_arrays("R1")
        fine = np.zeros((4, 10 * len(counts)), np.uint8)
        fine[:, 3::10] = counts.T
        savemat(root / "2D" / "data" / "R1_20ms.mat", {"mm": fine})
        with opened(root, "R1", counts="20ms") as session:
            assert session["counts"].spec.sfreq == 50.0
            np.testing.assert_array_equal(session["counts"].read(), fine)
            assert session["position"].start_s == pytest.approx(0.1)
        fine[0, 0] += 1
        savemat(root / "2D" / "data" / "R1_20ms.mat", {"mm": fine})
        with pytest.raises(RecordingError, match="counts do not add up to those of R1_1x200"):
            opened(root, "R1", counts="20ms")
        savemat(root / "2D" / "data" / "R1_20ms.mat", {"mm": fine[:, :-1]})
        with pytest.raises(RecordingError, match="it holds arrays of shape .4, 1199.. Allowed: 4 units x 1200 bins"):
            opened(root, "R1", counts="20ms")

    def test_a_track_has_one_coordinate(self, root: Path) -> None:
        with opened(root, "R1", task="1D") as session:
            assert session["position"].spec.ch_names == ("x",)
            assert session["position"].spec.units == ("",)


class TestRefusals:
    def file(self, root: Path, what: str) -> Path:
        return root / "2D" / "data" / f"R1_1x200_at5_step200_bin100-RAW_{what}.dat"

    @pytest.mark.parametrize(
        ("what", "change", "message"),
        [
            ("feat", lambda b: b[:-7], "its last line has no end: it is truncated"),
            ("feat", lambda b: b[: b.index(b"\n", 200) + 1], "it has 120 rows, R1_1x200.* Allowed: one a window"),
            ("feat", lambda b: b"x" + b[1:], "it is no table of numbers"),
            ("feat", lambda b: b.replace(b"\n", b" 0\n", 1), "it is no table of numbers"),
            ("feat", lambda b: b"0.5" + b[1:], "values that are no counts"),
            ("feat", lambda b: b"-1" + b[1:], "values that are no counts"),
            ("feat", lambda b: b"nan" + b[1:], "it is empty, or holds values that are not finite"),
            ("pos", lambda b: b[: b.index(b"\n") + 1], "it has 1 rows, R1_1x200.* 120"),
            ("pos", lambda b: b.replace(b" ", b" 1 "), "it has 3 columns. Allowed: x and y"),
        ],
    )
    def test_a_damaged_file(self, root: Path, what: str, change: Any, message: str) -> None:
        file = self.file(root, what)
        file.write_bytes(change(file.read_bytes()))
        with pytest.raises(RecordingError, match=message):
            opened(root, "R1")

    def test_a_position_that_is_gone(self, root: Path) -> None:
        self.file(root, "pos").unlink()
        with pytest.raises(RecordingError, match=r"pos.dat: there is no such file.*`exclude`"):
            opened(root, "R1")

    def test_rows_that_are_no_windows(self, root: Path) -> None:
        file = next((root / "2D" / "data").glob("R2_1x1400*feat.dat"))
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:50] + lines[60:] + lines[50:60]))
        with pytest.raises(RecordingError, match="its rows are no counts in windows of 7 steps"):
            opened(root, "R2")

    def test_the_same_file_twice(self, root: Path) -> None:
        (root / "copy").mkdir()
        file = self.file(root, "feat")
        (root / "copy" / file.name).write_bytes(file.read_bytes())
        with pytest.raises(DataError, match="is there a second time: .*Narrow `path`"):
            RatGPS(path=root).items()

    def test_no_rat_has_it(self, root: Path) -> None:
        with pytest.raises(DataError, match="No recordings of RatGPS"):
            RatGPS(path=root, task="1D", counts="20ms").items()
