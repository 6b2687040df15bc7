from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from make_prepared import numbers, prepared, several, spec_of

from neural_foundation.core.errors import DataError, StoreError
from neural_foundation.sampling.batches import Batch
from neural_foundation.sampling.montages import Turns, by_montage
from neural_foundation.sampling.random_windows import RandomWindows
from neural_foundation.sampling.windows import continuous


def same(a: Batch, b: Batch) -> bool:
    tensors = ("signal", "target", "subject", "identity")
    facts = (a.epoch, a.step, a.seed, a.montage, a.items.tolist()) == (
        b.epoch,
        b.step,
        b.seed,
        b.montage,
        b.items.tolist(),
    )
    return facts and all(torch.equal(getattr(a, n), getattr(b, n)) for n in tensors)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return several(tmp_path)


def test_each_window_once_an_epoch(paths: list[Path]) -> None:
    windows = continuous(paths, 1.0, 0.5)
    data = RandomWindows(windows, batch_size=4, seed=1)
    for _ in range(2):
        batches = list(data)
        items = [int(i) for b in batches for i in b.items]
        assert sorted(items) == list(range(len(windows)))
        assert items != sorted(items)
        assert max(map(len, batches)) - min(map(len, batches)) <= 1
    batch = batches[2]
    for row, item in enumerate(batch.items):
        file, start = int(windows.file[item]), int(windows.start[item])
        np.testing.assert_array_equal(batch.signal[row].numpy(), numbers(file, 2, 1000)[:, start : start + 100])
        assert batch.subject[row] == 1 + file % 2
    assert [b.step for b in batches] == list(range(len(data), 2 * len(data)))


def test_an_order_is_a_function_of_seed_epoch_and_step(paths: list[Path]) -> None:
    windows = continuous(paths, 1.0, 1.0)
    data = RandomWindows(windows, batch_size=4, seed=1)
    whole = [*data, *data]
    again = RandomWindows(windows, batch_size=4, seed=1)
    assert all(same(again.at(b.epoch, b.step - b.epoch * len(data)), b) for b in whole)
    other = RandomWindows(windows, batch_size=4, seed=2)
    assert [b.items.tolist() for b in other] != [b.items.tolist() for b in whole[: len(data)]]


def test_going_on_gives_the_rest(paths: list[Path]) -> None:
    windows = continuous(paths, 1.0, 1.0)
    data = RandomWindows(windows, batch_size=4, balance="subject")
    for _ in zip(range(3), data.loader(), strict=False):
        pass
    again = RandomWindows(windows, batch_size=4, balance="subject")
    again.load_state_dict(data.state_dict())
    assert all(same(a, b) for a, b in zip(again, data, strict=True))
    with pytest.raises(StoreError, match="another order"):
        RandomWindows(windows, batch_size=4).load_state_dict(data.state_dict())


def test_subjects_come_equally_often(paths: list[Path]) -> None:
    windows = continuous(paths, 1.0, 1.0)
    assert Counter(windows.subject.tolist()) == {"s0": 22, "s1": 3}
    data = RandomWindows(windows, batch_size=4, balance="subject")
    counts = Counter(int(s) for _ in range(4) for b in data for s in b.subject)
    assert abs(counts[1] - counts[2]) <= 1


def test_ranks_share_each_batch(paths: list[Path]) -> None:
    windows = continuous(paths, 1.0, 1.0)
    whole = list(RandomWindows(windows, batch_size=6))
    parts = [list(RandomWindows(windows, batch_size=3, rank=rank, world=2)) for rank in (0, 1)]
    for a, b, both in zip(*parts, whole, strict=True):
        assert [*a.items, *b.items] == both.items.tolist()
        assert torch.equal(torch.cat([a.signal, b.signal]), both.signal)


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """Five recordings of two montages, of which one has one subject and the other three."""
    wide = spec_of(names=("C3", "Cz", "C4"))
    small = [prepared(tmp_path / f"a{i}.h5", 1000, recording=i, subject="a") for i in range(2)]
    return small + [prepared(tmp_path / f"b{i}.h5", 300, recording=5 + i, subject=f"b{i}", spec=wide) for i in range(3)]


def test_each_batch_is_of_one_montage(mixed: list[Path]) -> None:
    groups = by_montage(mixed)
    assert [(spec.n_chans, len(paths)) for spec, paths in groups] == [(2, 2), (3, 3)]
    sets = [continuous(paths, 1.0, 1.0) for _, paths in groups]
    data = RandomWindows(sets, batch_size=4)
    batches = list(data)
    assert Counter(b.montage for b in batches) == {0: 5, 1: 3}
    assert [b.montage for b in batches] != sorted(b.montage for b in batches)
    assert all(b.signal.shape[1] == data.montages[b.montage].n_chans for b in batches)
    assert sorted(int(i) for b in batches for i in b.items) == list(range(29))
    again = list(data)
    assert sorted(int(i) for b in again for i in b.items) == list(range(29))


def test_subjects_weigh_the_same_over_montages(mixed: list[Path]) -> None:
    sets = [continuous(paths, 1.0, 1.0) for _, paths in by_montage(mixed)]
    data = RandomWindows(sets, batch_size=3, balance="subject")
    counts = Counter(int(s) for _ in range(4) for b in data for s in b.subject)
    assert sum(counts.values()) == 3 * 4 * len(data)
    assert max(counts.values()) - min(counts.values()) <= 3


def test_positions_tell_montages_apart(tmp_path: Path) -> None:
    moved = spec_of().replace(positions=((0.0, 0.1, 0.0), (0.1, 0.0, 0.0)))
    paths = [prepared(tmp_path / "a.h5", 100), prepared(tmp_path / "b.h5", 100, spec=moved)]
    assert len(by_montage(paths)) == 2


def test_turns_count_how_often_a_group_came() -> None:
    turns, seen = Turns((3, 1, 2), seed=5), Counter[int]()
    for step in range(30):
        group, before = turns.at(step)
        assert before == seen[group]
        seen[group] += 1
    assert seen == {0: 15, 1: 5, 2: 10}
    assert Turns.by_subjects([4, 2, 6], 0).shares == (2, 1, 3)


def test_no_windows_are_an_error(paths: list[Path]) -> None:
    with pytest.raises(DataError, match="There are no windows"):
        RandomWindows([], batch_size=4)
    with pytest.raises(DataError, match="There are no windows"):
        RandomWindows(continuous(paths, 1.0, 1.0).select(np.zeros(0, int)), batch_size=4)
