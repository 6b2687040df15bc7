"""The masked objective: masks, targets in sensor space, targets from a frozen front end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, TARGET, SmallModel, windows

from neural_foundation.core.errors import SpecError
from neural_foundation.learning.base import Bound
from neural_foundation.learning.objectives.future_power import FuturePower
from neural_foundation.learning.objectives.masked import Masked
from neural_foundation.learning.table import OBJECTIVES
from neural_foundation.sampling.batches import Source


def _bound(some: Any = None, target: Any = None, subjects: tuple[str, ...] = SUBJECTS) -> Bound:
    network = SmallModel().build(SIGNAL, target, subjects=len(subjects), seed=0).eval()
    return Bound(network, SIGNAL, target, subjects, Source(windows(12) if some is None else some, subjects), 0)


def _batch(bound: Bound, step: int = 0) -> Any:
    return bound.source.batch(np.arange(len(bound.source)), seed=0, step=step)


def test_masks_hide_spans_and_never_the_first_token() -> None:
    bound = _bound(windows(12, n_times=800))
    loss = Masked(fraction=0.5, span_s=1.0, power=0).bind(bound)
    mask = loss.mask(_batch(bound)).numpy()
    assert mask.shape == (12, 40)
    assert not mask[:, 0].any()
    assert (mask.sum(1) == 20).all()
    changes = np.abs(np.diff(mask.astype(int), axis=1)).sum(1)
    assert (changes <= 2 * 8).all()  # 20 tokens in spans of 5, the last one cut, some touching


def test_a_mask_is_a_function_of_step_and_item() -> None:
    bound = _bound()
    loss = Masked(power=0).bind(bound)
    same, other = loss.mask(_batch(bound)), loss.mask(_batch(bound, step=1))
    alone = loss.mask(bound.source.batch(np.asarray([7]), seed=0, step=0))
    assert torch.equal(same, loss.mask(_batch(bound)))
    assert torch.equal(same[7], alone[0])
    assert not torch.equal(same, other)


def test_only_hidden_tokens_count() -> None:
    bound = _bound()
    loss = Masked(power=0, channel_dropout=0).bind(bound)
    batch = _batch(bound)
    mask = loss.mask(batch)
    out = bound.network(batch.signal, batch.subject, mask)
    target = bound.network(batch.signal).tokens
    expected = torch.stack([(out.reconstruction[i] - target[i])[mask[i]].square().mean() for i in range(len(batch))])
    assert torch.allclose(loss(bound.network, batch), expected, atol=1e-6)


def test_targets_are_those_of_the_front_end_before_training() -> None:
    bound = _bound()
    loss = Masked(power=0, channel_dropout=0).bind(bound)
    batch = _batch(bound)
    before = loss._frozen[0](batch.signal).tokens
    with torch.no_grad():
        bound.network.spatial.weight.zero_()  # a front end that has collapsed is easy to predict
    assert torch.equal(loss._frozen[0](batch.signal).tokens, before)
    assert loss(bound.network, batch).mean() > 1
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_future_power_is_the_log_of_the_mean_power_after_a_token() -> None:
    bound = _bound()
    future = FuturePower((8.0, 12.0, 30.0), 0.9, 20, bound)
    time = np.arange(200) / 100
    signal = np.zeros((1, 3, 200), np.float32)
    signal[0, 0] = np.where(time < 1.2, 1e-5, 3e-5) * np.sin(2 * np.pi * 10 * time)
    power = future.power(torch.from_numpy(signal))
    assert power.shape == (1, 7, 3, 2)  # frames of 0.5 s start at 0.2, 0.4, ... 1.4 s
    # tokens 0: frames at 0.2 .. 0.6 s, all before the step; from 1.2 s on all after it: 3 times the amplitude
    assert float(power[0, 5, 0, 0] - power[0, 0, 0, 0]) == pytest.approx(np.log(9), abs=0.05)
    assert float(power[0, 0, 0, 0] - power[0, 0, 0, 1]) > 3


def test_targets_are_standardised_within_each_subject() -> None:
    some = windows(30)
    some.signal[some.subject == "s2"] *= 50
    bound = _bound(some)
    future = FuturePower((5.0, 20.0, 40.0), 1.0, 20, bound)
    for who in SUBJECTS:
        batch = bound.source.batch(np.flatnonzero(some.subject == who), seed=0)
        zero = future.error(torch.zeros(len(batch), 10, future.size), batch)
        assert float(zero.mean()) == pytest.approx(1.0, abs=0.05)


def test_subjects_not_trained_on_are_standardised_by_all() -> None:
    some = windows(30)
    bound = _bound(some, subjects=("s1", "s2"))
    future = FuturePower((5.0, 40.0), 1.0, 20, bound)
    batch = bound.source.batch(np.flatnonzero(some.subject == "s3"), seed=0)
    assert float(future.error(torch.zeros(len(batch), 10, future.size), batch).mean()) == pytest.approx(1.0, abs=0.3)


def test_bands_beyond_the_rate_are_left_out() -> None:
    assert FuturePower((8.0, 12.0, 70.0), 1.0, 20, _bound()).size == 3
    with pytest.raises(SpecError, match="none holds at 100 Hz"):
        FuturePower((60.0, 70.0), 1.0, 20, _bound())


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SpecError, match="bands_hz .* must rise"):
        OBJECTIVES.parse({"kind": "masked", "bands_hz": [4, 4]})
    with pytest.raises(SpecError, match="features and power are both 0"):
        OBJECTIVES.parse({"kind": "masked", "features": 0, "power": 0})
    with pytest.raises(SpecError, match=r"masked.power needs windows of 70 samples, they have 60"):
        Masked().bind(_bound(windows(6, n_times=60)))
    bound = _bound(windows(6, n_times=30))
    with pytest.raises(SpecError, match=r"Windows have 1 token\(s\)"):
        Masked(power=0).bind(bound)(bound.network, _batch(bound))


def test_a_network_without_reconstruction_is_named() -> None:
    bound = _bound(target=TARGET)
    loss = Masked().bind(bound)

    def without(*args: Any, **kwargs: Any) -> Any:
        return bound.network(*args, **kwargs)._replace(reconstruction=None)

    with pytest.raises(SpecError, match="This network reconstructs no features"):
        loss(without, _batch(bound))
