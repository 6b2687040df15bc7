"""The classify objective against cross-entropy written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, TARGET, SmallModel, windows
from torch.nn.functional import cross_entropy

from neural_foundation.core.errors import SpecError
from neural_foundation.learning.base import Bound
from neural_foundation.learning.objectives.classify import Classify
from neural_foundation.learning.objectives.tokens import token_weights, tokens_before
from neural_foundation.sampling.batches import Source


def _bound(subjects: tuple[str, ...] = SUBJECTS, some: Any = None) -> Bound:
    network = SmallModel().build(SIGNAL, TARGET, subjects=len(subjects), seed=0).eval()
    return Bound(network, SIGNAL, TARGET, subjects, Source(some or windows(12), subjects), 0)


def _loss(bound: Bound, **fields: Any) -> tuple[Any, Any, Any]:
    batch = bound.source.batch(np.arange(6), seed=0)
    loss = Classify(**fields).bind(bound)
    return loss, batch, loss(bound.network, batch)


def test_tokens_count_from_a_time_on_and_grow() -> None:
    bound = _bound()
    _, batch, losses = _loss(bound, from_s=1.0, rise=2.0, label_smoothing=0.2)
    logits = bound.network(batch.signal, batch.subject).logits  # 10 tokens of 0.2 s
    weights = torch.tensor([0.0] * 4 + [(k / 6) ** 2 for k in range(1, 7)])
    expected = sum(
        w * cross_entropy(logits[:, m], batch.target, reduction="none", label_smoothing=0.2)
        for m, w in enumerate(weights / weights.sum())
    )
    assert torch.allclose(losses, expected, atol=1e-6)


def test_tokens_before_a_time() -> None:
    # tokens of 0.2 s end at 0.2, 0.4, ...: the first that counts ends at from_s or later
    assert [tokens_before(s, 20, 100.0) for s in (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)] == [0, 0, 0, 1, 1, 4]
    assert token_weights(4, 1, 0.0).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    with pytest.raises(SpecError, match=r"from_s leaves out all 3 tokens.*Give longer windows"):
        token_weights(3, 3, 1.0)


def test_the_decision_is_that_of_the_last_token() -> None:
    bound = _bound()
    loss, batch, _ = _loss(bound)
    last = bound.network(batch.signal, batch.subject).logits[:, -1]
    judged, chosen = loss.decisions(bound.network, batch)
    assert torch.equal(chosen, last.argmax(1))
    assert torch.allclose(judged, cross_entropy(last, batch.target, reduction="none"))


def test_class_balance_weighs_by_the_inverse_share() -> None:
    some = windows(12)
    some.target[:] = [0] * 9 + [1] * 3
    bound = _bound(some=some)
    batch = bound.source.batch(np.arange(12), seed=0)
    plain = Classify().bind(bound)(bound.network, batch)
    weighed = Classify(class_balance=True).bind(bound)(bound.network, batch)
    assert torch.allclose(weighed / plain, torch.tensor([12 / 18] * 9 + [2.0] * 3))


def test_the_adversary_adds_the_subjects_cross_entropy_in_training_only() -> None:
    bound = _bound()
    loss, batch, with_it = _loss(bound, subject_adversary=0.5)
    _, _, without = _loss(bound)
    logits = bound.network(batch.signal, batch.subject).subject_logits
    expected = 0.5 * cross_entropy(logits, batch.identity - 1, reduction="none")
    assert torch.allclose(with_it - without, expected, atol=1e-6)
    assert torch.allclose(loss.eval()(bound.network, batch), without)


def test_the_adversary_leaves_out_people_it_does_not_know() -> None:
    bound = _bound(("s1", "s2"))  # the windows are of s1, s2, s3 in turn
    with_it, without = _loss(bound, subject_adversary=1.0)[2], _loss(bound)[2]
    assert (with_it > without).tolist() == [True, True, False] * 2


def test_the_adversary_needs_two_subjects() -> None:
    with pytest.raises(SpecError, match="subject_adversary needs two or more training subjects, there are 1"):
        Classify(subject_adversary=1.0).bind(_bound(("s1",)))
