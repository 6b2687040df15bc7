"""Binned sessions on disk, windows of them, and batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from binned import all_spans, made_session, made_set, written

from neural_foundation.core.errors import DataError, SignalMismatchError, StoreError
from neural_foundation.core.store import read_json, write_json
from neural_foundation.sampling.binned import FACTS, BinnedSession, BinnedSet, Spans, spec_of


class TestSession:
    @pytest.mark.parametrize("without", [(), ("motion_energy", "block")])
    def test_what_is_written_is_read(self, tmp_path: Path, without: tuple[str, ...]) -> None:
        made = made_session(without=without, gaps=0.1, unknown=0.2)
        read = BinnedSession.read(written(made, tmp_path))
        assert (read.spec, read.bin_s, read.modalities) == (made.spec, made.bin_s, made.modalities)
        assert set(read.values) == set(made.values)
        for name, values in made.values.items():
            assert isinstance(read.values[name], np.memmap)
            assert read.values[name].dtype == values.dtype
            np.testing.assert_array_equal(read.values[name], values)
        for name in ("first", "length", "start_s"):
            np.testing.assert_array_equal(getattr(read, name), getattr(made, name))

    def test_the_same_session_gives_the_same_bytes(self, tmp_path: Path) -> None:
        folders = [written(made_session(), tmp_path / side) for side in "ab"]
        files = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
        assert files[0] == files[1]

    def test_facts_for_people_lie_beside(self, tmp_path: Path) -> None:
        made_session().write(tmp_path, {"units": {"of": 9}})
        assert read_json(tmp_path / FACTS)["facts"] == {"units": {"of": 9}}

    def test_another_version_is_refused(self, tmp_path: Path) -> None:
        folder = written(made_session(), tmp_path)
        write_json(folder / FACTS, read_json(folder / FACTS) | {"format_version": 2})
        with pytest.raises(StoreError, match="format_version 2. Allowed: 1. Run the recipe's 'bin' stage again"):
            BinnedSession.read(folder)

    @pytest.mark.parametrize("name", [FACTS, "spikes.npy", "choice.npy", "first.npy"])
    def test_a_file_that_is_gone_is_named(self, tmp_path: Path, name: str) -> None:
        folder = written(made_session(), tmp_path)
        (folder / name).unlink()
        with pytest.raises(StoreError, match=name):
            BinnedSession.read(folder)

    def test_pickles_are_refused(self, tmp_path: Path) -> None:
        folder = written(made_session(), tmp_path)
        np.save(folder / "spikes.npy", np.array([{}], object), allow_pickle=True)
        with pytest.raises(StoreError, match=r"spikes.npy cannot be read"):
            BinnedSession.read(folder)


class TestSpecOf:
    def test_no_sessions(self) -> None:
        with pytest.raises(DataError, match="no binned sessions"):
            spec_of([], 5)

    def test_other_bins_or_classes_are_refused(self) -> None:
        one, other = made_session("a"), made_session("b")
        with pytest.raises(SignalMismatchError, match=r"Session 'b' has bins of 0.04 s .*0.02 s .*session 'a'"):
            spec_of([one, replace(other, bin_s=0.04)], 5)
        turned = tuple(m.model_copy(update={"classes": m.classes[::-1]}) for m in other.modalities)
        with pytest.raises(SignalMismatchError, match="right, left.*left, right"):
            spec_of([one, replace(other, modalities=turned)], 5)

    def test_a_unit_is_that_of_the_sessions_that_have_it(self) -> None:
        lacking = made_session("a", without=("wheel_speed",))
        no_unit = tuple(m.model_copy(update={"unit": ""}) for m in lacking.modalities)
        lacking = replace(lacking, modalities=no_unit)
        for sessions in ([lacking, made_session("b")], [made_session("b"), lacking]):
            spec = spec_of(sessions, 5)
            assert spec.modality("wheel_speed").unit == "cm/s"
            assert [spec.channels(i, "wheel_speed") for i in range(2)].count(()) == 1
        other = tuple(m.model_copy(update={"unit": "rad/s" if m.unit else ""}) for m in made_session("b").modalities)
        with pytest.raises(SignalMismatchError, match="'wheel_speed' is in 'rad/s' in session 'b'. Allowed: 'cm/s'"):
            spec_of([made_session("a"), replace(made_session("b"), modalities=other)], 5)


class TestCut:
    def test_windows_fill_their_spans(self) -> None:
        session = made_session(lengths=[20, 7, 25])
        cut = BinnedSet.cut([session], all_spans([session]), 10)
        assert cut.trial.tolist() == [0, 0, 2, 2, 2]
        assert cut.first.tolist() == [0, 10, 27, 37, 42]  # the last one ends where the trial does
        assert not cut.slack.any()

    def test_jitter_leaves_no_span(self) -> None:
        session = made_session(lengths=[25, 14])
        cut = BinnedSet.cut([session], all_spans([session]), 10, 5, jitter=True)
        ends = np.array([25, 39])[cut.trial]
        assert (cut.first + cut.slack + 10 <= ends).all()
        assert cut.slack.max() == 4

    def test_too_long(self) -> None:
        long = r"No window of 26 bins \(0.52 s\) fits: the longest stretch, in session 'b', has 25 \(0.5 s\)"
        with pytest.raises(DataError, match=f"{long}. Set n_bins to 25 or less, or split into longer stretches"):
            made_set([made_session("a"), made_session("b", lengths=[20, 25])], 26)
        none = Spans(*np.zeros((4, 0), np.int64))
        with pytest.raises(DataError, match="No window of 5 bins fits: there is no stretch of role 'test'"):
            BinnedSet.cut([made_session()], none, 5, role="test")

    def test_values_are_those_of_the_trial(self) -> None:
        windows = made_set(2, 10)
        for session in range(2):
            held = windows.sessions[session]
            (rows,) = np.nonzero(windows.session == session)
            counts = windows.values(session, "spikes")
            assert counts.shape == (len(rows), 10, 4 + session)
            for row, made in zip(rows, counts, strict=True):
                np.testing.assert_array_equal(made, held.values["spikes"][windows.first[row] :][:10])
            np.testing.assert_array_equal(windows.values(session, "choice"), held.values["choice"][windows.trial[rows]])

    def test_select_and_subject(self) -> None:
        windows = made_set(3)
        chosen = windows.select(windows.session == 1)
        assert set(chosen.subject) == {"animal-b"}
        assert len(chosen) == 20
        assert windows.select([0, 59]).session.tolist() == [0, 2]
        assert set(chosen.target) == {-1}


class TestSource:
    def test_a_batch_is_grouped_by_session(self) -> None:
        windows = made_set(3)
        source = windows.source((), 2**31)
        items = np.array([45, 3, 21, 2, 58])
        batch = source.batch(items, seed=0)
        assert batch.items.tolist() == [3, 2, 21, 45, 58]
        assert [(g.session, g.first_row, len(g)) for g in batch.groups] == [(0, 0, 2), (1, 2, 1), (2, 3, 2)]
        last = batch.groups[-1].values
        assert (last["spikes"].dtype, last["spikes"].shape) == (torch.float32, (2, 20, 6))
        assert (last["choice"].dtype, last["choice"].shape) == (torch.int64, (2,))
        np.testing.assert_array_equal(last["spikes"], windows.values(2, "spikes", np.array([45, 58])))

    def test_a_modality_that_a_session_lacks_is_absent(self) -> None:
        batch = made_set([made_session("a", without=("wheel_speed",)), made_session("b")]).source((), 0)
        groups = batch.batch(np.array([0, 20]), seed=0).groups
        assert ["wheel_speed" in g.values for g in groups] == [False, True]

    def test_windows_begin_later_in_training_alone(self) -> None:
        windows = made_set(1, 8, 6, jitter=True)
        source = windows.source((), 2**31)
        items = source.first(30)
        still = windows.values(0, "spikes", items)
        np.testing.assert_array_equal(source.batch(items, seed=0).groups[0].values["spikes"], still)
        moved = source.batch(items, seed=0, step=0).groups[0].values["spikes"].numpy()
        assert (moved != still).any()
        again = source.batch(items[::-1], seed=0, step=0).groups[0].values["spikes"].numpy()
        np.testing.assert_array_equal(again[::-1], moved)  # whatever else is in the batch
        other = source.batch(items, seed=0, step=1).groups[0].values["spikes"].numpy()
        assert (moved != other).any()

    def test_memory_or_disk_give_the_same(self, tmp_path: Path) -> None:
        sessions = [BinnedSession.read(written(made_session(n), tmp_path)) for n in "ab"]
        windows = made_set(sessions)
        held, mapped = windows.source((), 2**31), windows.source((), 0)
        assert isinstance(mapped.windows.sessions[0].values["spikes"], np.memmap)
        assert not isinstance(held.windows.sessions[0].values["spikes"], np.memmap)
        batches = [s.batch(np.arange(30), seed=1).groups for s in (held, mapped)]
        for one, other in zip(*batches, strict=True):
            assert all(torch.equal(one.values[n], other.values[n]) for n in one.values)

    def test_draws_are_of_the_window_and_the_step(self) -> None:
        source = made_set(2).source((), 2**31)

        def drawn(items: list[int], **at: int) -> dict[int, float]:
            batch = source.batch(np.array(items), seed=3, **at)
            return dict(zip(batch.items.tolist(), [g.random() for g in batch.draws("mask")], strict=True))

        first, second = drawn([1, 2, 30], step=4), drawn([30, 1], step=4)
        assert {k: first[k] for k in second} == second
        assert len(set(first.values())) == 3
        assert drawn([1], step=5)[1] != first[1] != drawn([1], step=4, epoch=1)[1]
