from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from make_prepared import numbers, prepared, several, spec_of
from torch.utils.data import DataLoader

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError, StoreError
from neural_foundation.sampling.streaming import StreamBatch, StreamingNeuralDataset, carried
from neural_foundation.sampling.windows import continuous

TENSORS = ("signal", "valid", "begin", "active", "subject", "recording", "start")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return several(tmp_path)


def made(paths: list[Path], **changes: object) -> StreamingNeuralDataset:
    return StreamingNeuralDataset(paths, **{"window_s": 1.0, "lanes": 2, "seed": 3, **changes})  # type: ignore[arg-type]


def same(a: StreamBatch, b: StreamBatch) -> bool:
    return (a.epoch, a.step) == (b.epoch, b.step) and all(torch.equal(getattr(a, n), getattr(b, n)) for n in TENSORS)


def test_lanes_walk_through_whole_recordings_in_order(paths: list[Path]) -> None:
    data, walked = made(paths), {0: [], 1: []}
    for batch in data:
        for lane in range(2):
            row = (int(batch.recording[lane]), int(batch.start[lane]))
            if not batch.active[lane]:
                assert row == (-1, 0)
                assert not batch.signal[lane].any()
                assert not batch.valid[lane].any()
                assert batch.subject[lane] == 0
                continue
            want = numbers(row[0], 2, 1000)[:, row[1] : row[1] + 100]
            np.testing.assert_array_equal(batch.signal[lane].numpy(), want)
            assert bool(batch.begin[lane]) == (row[1] == 0)
            assert batch.subject[lane] == 1 + row[0] % 2
            assert batch.valid[lane].all()
            last = walked[lane][-1] if walked[lane] else None
            assert row[1] == 0 or last == (row[0], row[1] - 100)
            walked[lane].append(row)
    every = sorted(walked[0] + walked[1])
    assert every == [(r, 100 * w) for r, n in ((0, 10), (1, 3), (2, 7), (4, 5)) for w in range(n)]


def test_epochs_follow_on_each_other_in_other_orders(paths: list[Path]) -> None:
    data = made(paths)
    first, second = list(data), list(data)
    assert (data.epoch, data.step) == (2, 0)
    assert [b.epoch for b in first + second] == [0] * 13 + [1] * 13
    assert all(same(a, b) for a, b in zip(first, made(paths), strict=True))
    fixed = made(paths, shuffle=False)
    assert [b.recording.tolist() for b in fixed] == [b.recording.tolist() for b in fixed]


def test_the_order_changes_by_epoch_and_seed(tmp_path: Path) -> None:
    data = made(several(tmp_path, (200,) * 9))
    orders = [str([b.recording.tolist() for b in data]) for _ in range(3)]
    other = made(several(tmp_path, (200,) * 9), seed=4)
    assert len({*orders, str([b.recording.tolist() for b in other])}) == 4


@pytest.mark.parametrize("taken", [0, 1, 7, 12, 13])
def test_going_on_from_a_state_gives_the_rest(paths: list[Path], taken: int) -> None:
    data, again = made(paths), made(paths)
    whole = [*data, *data]
    data = made(paths)
    for _ in zip(range(taken), data, strict=False):
        pass
    again.load_state_dict(data.state_dict())
    assert all(same(a, b) for a, b in zip([*again, *again], whole[taken:], strict=False))


def test_a_state_of_another_order_is_refused(paths: list[Path]) -> None:
    state = made(paths).state_dict()
    for other in (made(paths, seed=4), made(paths[1:]), made(paths, lanes=3), made(paths, window_s=0.5)):
        with pytest.raises(StoreError, match=r"This state is of another order of batches. Make the data set with"):
            other.load_state_dict(state)
    with pytest.raises(StoreError, match="stands at step 13 of epoch 0. Allowed: 0 to 12"):
        made(paths).load_state_dict({**state, "step": 13})


def test_ranks_share_the_lanes_of_one_order(paths: list[Path]) -> None:
    whole = list(made(paths, lanes=4))
    parts = [list(made(paths, lanes=2, rank=rank, world=2)) for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == len(whole)
    for a, b, both in zip(*parts, whole, strict=True):
        for name in TENSORS:
            assert torch.equal(torch.cat([getattr(a, name), getattr(b, name)]), getattr(both, name))
    state = made(paths, lanes=2, rank=0, world=2).state_dict()
    made(paths, lanes=4).load_state_dict(state)


def test_a_plain_loader_in_this_process_gives_the_same(paths: list[Path]) -> None:
    got = list(DataLoader(made(paths), batch_size=None))
    assert all(same(a, b) for a, b in zip(got, made(paths), strict=True))


def test_loader_moves_where_the_data_set_stands(paths: list[Path]) -> None:
    data = made(paths)
    loader = data.loader()
    assert len(loader) == 13
    for _ in zip(range(5), loader, strict=False):
        pass
    assert loader.state_dict() == data.state_dict()
    assert (data.step, len(loader)) == (5, 8)
    assert [b.step for b in loader] == list(range(5, 13))
    data.set_epoch(0)
    assert len(list(loader)) == 13


def test_long_recordings_can_fill_many_lanes(tmp_path: Path) -> None:
    path = prepared(tmp_path / "long.h5", 2000)
    data = made([path], lanes=4, stretch_s=2.0)
    batches = list(data)
    assert len(batches) == 6
    rows = sorted(int(s) for b in batches for s, a in zip(b.start, b.active, strict=True) if a)
    assert rows == list(range(0, 2000, 100))
    assert all(bool(b.begin[i]) == (int(b.start[i]) % 200 == 0) for b in batches for i in range(4) if b.active[i])


def test_what_is_not_valid_is_said(tmp_path: Path) -> None:
    valid = np.ones(300, bool)
    valid[150:170] = False
    masks = [b.valid[0].numpy() for b in made([prepared(tmp_path / "a.h5", 300, valid=valid)], lanes=1)]
    np.testing.assert_array_equal(np.concatenate(masks), valid)


def test_batches_move_and_travel(paths: list[Path]) -> None:
    data = made(paths)
    batch = data.at(0, 12)
    assert len(batch) == 2
    assert same(batch.to("cpu"), batch)
    assert same(pickle.loads(pickle.dumps(batch)), batch)  # noqa: S301 - our own bytes
    assert same(pickle.loads(pickle.dumps(data)).at(0, 12), batch)  # noqa: S301


def test_the_state_of_a_lane_starts_anew_with_its_recording() -> None:
    state = {"a": torch.ones(3, 2, requires_grad=True) * 5, "b": torch.ones(3)}
    fresh = {"a": torch.zeros(3, 2), "b": torch.full((3,), -1.0)}
    kept = carried(state, fresh, torch.tensor([True, False, True]))
    assert kept["a"].tolist() == [[0, 0], [5, 5], [0, 0]]
    assert kept["b"].tolist() == [-1, 1, -1]
    assert not kept["a"].requires_grad


def test_the_windows_of_a_set_as_a_stream(tmp_path: Path) -> None:
    valid = np.ones(600, bool)
    valid[250] = False
    paths = [*several(tmp_path, (400, 350)), prepared(tmp_path / "gap.h5", 600, recording=2, valid=valid)]
    windows = continuous(paths, 1.0, 1.0)
    windows = windows.select(windows.file != 1)
    data = StreamingNeuralDataset.of(windows, lanes=9, seed=1)
    assert (data.lanes, data.steps_per_epoch) == (3, 4)  # a lane for each stretch
    rows, begun = [], []
    for batch in data:
        for lane in np.flatnonzero(batch.active.numpy()):
            row = int(batch.recording[lane]), int(batch.start[lane])
            np.testing.assert_array_equal(batch.signal[lane], numbers(row[0], 2, 600)[:, row[1] : row[1] + 100])
            rows.append(row)
            begun += [row] if batch.begin[lane] else []
    assert sorted(rows) == list(zip(windows.file.tolist(), windows.start.tolist(), strict=True))
    assert sorted(begun) == [(0, 0), (2, 0), (2, 300)]
    assert StreamingNeuralDataset.of(windows, lanes=9, stretch_s=2.0).lanes == 5
    assert data.fingerprint() != made(paths, lanes=3, seed=1).fingerprint()
    with pytest.raises(SpecError, match="stretch_s is 0.5 s. Allowed: at least a window, 1 s"):
        StreamingNeuralDataset.of(windows, lanes=1, stretch_s=0.5)


def test_what_cannot_be_streamed_is_an_error(tmp_path: Path, paths: list[Path]) -> None:
    other = prepared(tmp_path / "other.h5", 500, spec=spec_of(names=("E0", "Cz")))
    with pytest.raises(SignalMismatchError, match=r"other.h5 has 2 channels at 100 Hz.*`by_montage`"):
        made([*paths, other])
    with pytest.raises(DataError, match="There are no recordings to stream"):
        made([])
    with pytest.raises(DataError, match="No recording is as long as a window of 20 s"):
        made(paths, window_s=20.0)
    with pytest.raises(SpecError, match="window_s is 0.001 s. Allowed: at least a sample, 0.01 s"):
        made(paths, window_s=0.001)
    with pytest.raises(SpecError, match="stretch_s is 0.5 s. Allowed: at least a window, 1 s"):
        made(paths, stretch_s=0.5)
    with pytest.raises(SpecError, match="lanes is 0"):
        made(paths, lanes=0)
    with pytest.raises(SpecError, match="rank is 2 of world 2"):
        made(paths, rank=2, world=2)
    with pytest.raises(SpecError, match="rank is 1 and world is None. Allowed: both, or neither"):
        made(paths, rank=1)
