"""Augmentation: each change does what its field says, for each window by its own generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_foundation.core.errors import SpecError
from neural_foundation.sampling.augment import Augment

SIGNAL = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4, 50)).astype(np.float32))


def _draws(n: int = 6, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


def test_off_by_default() -> None:
    assert not Augment().active
    assert Augment().apply(SIGNAL, _draws(), 100.0) is SIGNAL


@pytest.mark.parametrize("field", ["channel_dropout", "gain", "channel_gain", "noise", "shift_s"])
def test_a_window_is_changed_alike_in_any_batch(field: str) -> None:
    augment = Augment(**{field: 0.2})
    whole, alone = augment.apply(SIGNAL, _draws(), 100.0), augment.apply(SIGNAL[2:3], _draws()[2:3], 100.0)
    assert torch.equal(whole[2], alone[0])
    assert whole.shape[2] == (30 if field == "shift_s" else 50)
    assert not torch.equal(whole, SIGNAL)


def test_dropped_channels_are_silent_and_one_stays() -> None:
    changed = Augment(channel_dropout=0.99).apply(SIGNAL, _draws(), 100.0)
    kept = (changed != 0).any(2)
    assert (kept.sum(1) == 1).all()
    assert torch.equal(changed[kept], SIGNAL[kept])


def test_gain_is_common_and_channel_gain_is_not() -> None:
    common = (Augment(gain=0.3).apply(SIGNAL, _draws(), 100.0) / SIGNAL).mean(2)
    own = (Augment(channel_gain=0.3).apply(SIGNAL, _draws(), 100.0) / SIGNAL).mean(2)
    assert torch.allclose(common, common[:, :1].expand(-1, 4), atol=1e-5)
    assert (own.std(1) > 0.01).all()


def test_noise_is_in_parts_of_the_channels_rms() -> None:
    loud = SIGNAL * torch.tensor([1.0, 10.0, 100.0, 1e-6])[None, :, None]
    added = Augment(noise=0.5).apply(loud, _draws(), 100.0) - loud
    ratio = added.square().mean((0, 2)).sqrt() / loud.square().mean((0, 2)).sqrt()
    assert torch.allclose(ratio, torch.full((4,), 0.5), atol=0.06)


def test_a_shift_cuts_a_piece_of_the_window() -> None:
    changed = Augment(shift_s=0.1).apply(SIGNAL, _draws(), 100.0)
    firsts = [next(f for f in range(11) if torch.equal(SIGNAL[i, :, f : f + 40], changed[i])) for i in range(6)]
    assert len(set(firsts)) > 1


def test_a_shift_longer_than_the_window_is_refused() -> None:
    with pytest.raises(SpecError, match=r"augment.shift_s is 0.5 s, windows last 0.5 s\. Allowed: less than a window"):
        Augment(shift_s=0.5).apply(SIGNAL, _draws(), 100.0)
