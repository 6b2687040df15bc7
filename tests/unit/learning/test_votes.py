"""The votes objective against the divergence written out; flips and mixing against what they should have done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, MemoryWindows, SmallModel, windows
from torch import Tensor, nn

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.learning.base import Bound
from neural_foundation.learning.fit import fit
from neural_foundation.learning.objectives.votes import Votes
from neural_foundation.learning.objectives.votes_loss import divergence
from neural_foundation.learning.objectives.votes_sides import flip_of
from neural_foundation.learning.table import LEARNERS
from neural_foundation.metrics.votes import kl_each, vote_shares
from neural_foundation.models.network import NetworkOutput
from neural_foundation.sampling.batches import Source
from neural_foundation.signals.montages import montage_pairs

TARGET = TargetSpec(classes=("a", "b", "c"))
BANANA = tuple("-".join(pair) for pair in montage_pairs("double_banana"))


@dataclass(frozen=True)
class Voted(MemoryWindows):
    """Windows in memory, with votes."""

    votes: Any = None

    def select(self, which: Any) -> Voted:
        chosen: Any = super().select(which)
        return replace(chosen, votes=None if self.votes is None else self.votes[np.asarray(which)])


def voted(n: int = 12, *, seed: int = 0, **fields: Any) -> Voted:
    plain = windows(n, seed=seed)
    rng = np.random.default_rng(seed)
    votes = (rng.integers(0, 3, (n, 3)) + 3 * np.eye(3)[plain.target]).astype(np.float32)
    facts = {name: getattr(plain, name) for name in ("spec", "signal", "target", "subject", "session", "trial")}
    return Voted(**{**facts, "votes": votes, **fields})


def bound_to(some: Any, network: Any = None, signal: SignalSpec = SIGNAL) -> Bound:
    network = network or SmallModel().build(SIGNAL, TARGET, subjects=3, seed=0).eval()
    return Bound(network, signal, TARGET, SUBJECTS, Source(some, SUBJECTS), 0)


class Recorder(nn.Module):
    """A network whose one token is the whole window; it keeps what it was given."""

    def __init__(self, n_chans: int, n_times: int) -> None:
        super().__init__()
        self.hop = n_times
        self.readout = nn.Linear(n_chans, 3)
        self.given: list[Tensor] = []

    def forward(self, signal: Tensor, subject: Any = None, token_mask: Any = None) -> NetworkOutput:
        self.given.append(signal)
        features = signal.mean(2)[:, None]
        return NetworkOutput(self.readout(features), features)


def recorded(names: tuple[str, ...], n: int = 8, **fields: Any) -> tuple[Bound, Any, Any]:
    rng = np.random.default_rng(1)
    signal = SignalSpec(sfreq=100.0, ch_names=names, **fields)
    some = voted(n, spec=signal, signal=rng.standard_normal((n, len(names), 50)).astype(np.float32))
    bound = bound_to(some, Recorder(len(names), 50), signal)
    return bound, bound.source.batch(np.arange(n), seed=3, step=5), some


class TestLoss:
    def test_it_is_the_divergence_of_the_shares_weighed_by_tokens_and_votes(self) -> None:
        some = voted()
        bound = bound_to(some)
        batch = bound.source.batch(np.arange(6), seed=0)
        losses = Votes(from_s=1.0, rise=2.0).bind(bound)(bound.network, batch)
        probability = bound.network(batch.signal, batch.subject).logits.softmax(-1).detach().double().numpy()
        tokens = np.array([0.0] * 4 + [(k / 6) ** 2 for k in range(1, 7)])
        shares = vote_shares(some.votes[:6])
        each = sum(w * kl_each(shares, _whole(probability[:, m])) for m, w in enumerate(tokens / tokens.sum()))
        total = some.votes.sum(1)
        assert losses.detach().numpy() == pytest.approx(each * total[:6] / total.mean(), rel=1e-4)

    @pytest.mark.parametrize(("weigh", "power"), [("votes", 1.0), ("sqrt", 0.5), ("none", 0.0)])
    def test_weights_have_the_mean_1_over_training(self, weigh: Any, power: float) -> None:
        some = voted()
        bound = bound_to(some)
        batch = bound.source.batch(np.arange(12), seed=0)
        plain = Votes(weigh="none").bind(bound)(bound.network, batch)
        ratio = (Votes(weigh=weigh).bind(bound)(bound.network, batch) / plain).detach().numpy()
        assert ratio.mean() == pytest.approx(1)
        assert ratio / ratio[0] == pytest.approx((some.votes.sum(1) / some.votes.sum(1)[0]) ** power, rel=1e-5)

    def test_smoothing_gives_a_part_to_all_classes(self) -> None:
        bound, batch, some = recorded(("C3", "C4"))
        losses = Votes(weigh="none", label_smoothing=0.3).bind(bound)(bound.network, batch)
        probability = bound.network(batch.signal).logits[:, 0].softmax(-1).detach().double().numpy()
        expected = kl_each(0.7 * vote_shares(some.votes) + 0.1, _whole(probability))
        assert losses.detach().numpy() == pytest.approx(expected, rel=1e-4)

    def test_no_votes_for_a_class_count_0_and_leave_a_gradient(self) -> None:
        logits = torch.tensor([[0.0, 0.0, 0.0]], requires_grad=True)
        loss = divergence(torch.tensor([[1.0, 0.0, 0.0]]), logits)
        assert loss.item() == pytest.approx(np.log(3))
        loss.backward()
        assert logits.grad is not None
        assert logits.grad.tolist()[0] == pytest.approx([-2 / 3, 1 / 3, 1 / 3])

    def test_figures_judge_the_last_token_plainly(self) -> None:
        votes = np.array([[2, 2, 0]] * 6 + [[0, 1, 3]] * 6, np.float32)
        bound = bound_to(voted(votes=votes))
        batch = bound.source.batch(np.arange(12), seed=0, population=True)
        kl, figures = Votes(mixup=1.0, label_smoothing=0.5).bind(bound).figures(bound.network, batch)
        logits = bound.network(batch.signal, batch.subject).logits[:, -1].detach()
        probability = _whole(logits.double().softmax(-1).numpy())
        assert kl.detach().numpy() == pytest.approx(kl_each(vote_shares(votes), probability), rel=1e-4, abs=1e-6)
        right = [c in (0, 1) for c in logits[:6].argmax(1).tolist()] + [c == 2 for c in logits[6:].argmax(1).tolist()]
        assert figures["accuracy"].tolist() == right
        assert figures["kl"] is kl

    def test_windows_without_votes(self) -> None:
        with pytest.raises(SpecError, match=r"these windows have none.*prepare it again.*'classify'"):
            Votes().bind(bound_to(windows(12)))

    def test_votes_that_are_not_of_these_classes(self) -> None:
        with pytest.raises(DataError, match=r"Votes have shape \(12, 2\).*\(n, 3\)"):
            Votes().bind(bound_to(voted(votes=np.ones((12, 2), np.float32))))

    def test_a_window_nobody_voted_on(self) -> None:
        votes = np.ones((12, 3), np.float32)
        votes[4] = 0
        with pytest.raises(DataError, match="Nobody voted on 1 of 12 training windows, the first is 4"):
            Votes().bind(bound_to(voted(votes=votes)))


def _whole(probability: Any) -> Any:
    return probability / probability.sum(-1, keepdims=True)


class TestMixup:
    def test_signals_shares_and_weights_are_mixed_alike(self) -> None:
        bound, batch, some = recorded(("C3", "C4"))
        loss = Votes(mixup=0.4).bind(bound)
        losses = loss(bound.network, batch)
        given = bound.network.given[-1].double().numpy()
        total, shares = some.votes.sum(1), vote_shares(some.votes)
        for i in range(8):  # which partner and part fit the signal: exactly one does
            fits = []
            for j in set(range(8)) - {i}:
                step = (some.signal[i] - some.signal[j]).astype(float)
                part = float((step * (given[i] - some.signal[j])).sum() / (step**2).sum())
                if np.allclose(part * some.signal[i] + (1 - part) * some.signal[j], given[i], atol=1e-5):
                    fits.append((part, j))
            part, j = max(fits)
            assert 0.5 <= part <= 1
            mixed = part * shares[i] + (1 - part) * shares[j]
            weight = (part * total[i] + (1 - part) * total[j]) / total.mean()
            probability = bound.network.readout(torch.from_numpy(given[i]).float().mean(1)).softmax(-1)
            expected = weight * kl_each(mixed[None], _whole(probability.detach().double().numpy()[None]))[0]
            assert losses[i].item() == pytest.approx(expected, rel=1e-3, abs=1e-5)

    def test_only_in_training(self) -> None:
        bound, batch, some = recorded(("C3", "C4"))
        Votes(mixup=0.4, flips=1.0).bind(bound).eval()(bound.network, batch)
        assert torch.equal(bound.network.given[-1], batch.signal)
        assert torch.equal(batch.signal, torch.from_numpy(some.signal))

    def test_the_draws_are_those_of_the_step(self) -> None:
        bound, batch, _ = recorded(("C3", "C4"))
        loss = Votes(mixup=0.4, flips=0.5).bind(bound)
        assert torch.equal(loss(bound.network, batch), loss(bound.network, batch))
        other = bound.source.batch(np.arange(8), seed=3, step=6)
        assert not torch.equal(loss(bound.network, batch), loss(bound.network, other))

    def test_a_window_alone_is_not_mixed(self) -> None:
        bound, _, some = recorded(("C3", "C4"))
        Votes(mixup=0.4).bind(bound)(bound.network, bound.source.batch(np.arange(1), seed=0, step=0))
        assert torch.equal(bound.network.given[-1], torch.from_numpy(some.signal[:1]))

    def test_it_couples_the_samples_of_a_batch(self) -> None:
        assert Votes(mixup=0.1).couples_samples
        assert not Votes().couples_samples
        learner = {"kind": "gradient", "objective": {"kind": "votes", "mixup": 0.1}, "accumulate": 2}
        with pytest.raises(SpecError, match="accumulate must be 1"):
            LEARNERS.parse(learner)
        LEARNERS.parse({**learner, "objective": "votes"})


class TestFlips:
    def test_left_and_right_are_exchanged_in_as_many_windows_as_asked(self) -> None:
        bound, batch, some = recorded(("Fp1-F7", "Fz-Cz", "Fp2-F8"), n=200)
        Votes(flips=0.3).bind(bound)(bound.network, batch)
        given = bound.network.given[-1].numpy()
        flipped = np.array([np.array_equal(g, s[[2, 1, 0]]) for g, s in zip(given, some.signal, strict=True)])
        same = np.array([np.array_equal(g, s) for g, s in zip(given, some.signal, strict=True)])
        assert (flipped ^ same).all()
        assert 0.2 < flipped.mean() < 0.4

    @pytest.mark.parametrize("names", [("T3", "T4", "T5", "T6"), ("T7", "T8", "P7", "P8"), ("t3", "T8", "P7", "T6")])
    def test_old_and_new_names(self, names: tuple[str, ...]) -> None:
        assert flip_of(SignalSpec(sfreq=1.0, ch_names=names)) == ((1, 0, 3, 2), (1.0,) * 4)

    def test_the_double_banana(self) -> None:
        index, sign = flip_of(SignalSpec(sfreq=1.0, ch_names=BANANA))
        pairs = {BANANA[i]: BANANA[j] for i, j in enumerate(index)}
        assert pairs["Fp1-F7"] == "Fp2-F8"
        assert pairs["P4-O2"] == "P3-O1"
        assert pairs["Fz-Cz"] == "Fz-Cz"
        assert [index[j] for j in index] == list(range(18))
        assert set(sign) == {1.0}

    @pytest.mark.parametrize("montage", ["transverse", "tcp", "double_banana"])
    def test_of_electrodes_then_montage_is_as_of_the_montage(self, montage: str) -> None:
        electrodes = tuple(dict.fromkeys(e for pair in montage_pairs(montage) for e in pair))
        values = np.random.default_rng(0).standard_normal((len(electrodes), 5))
        pairs = montage_pairs(montage)

        def bipolar(x: Any) -> Any:
            return np.stack([x[electrodes.index(a)] - x[electrodes.index(b)] for a, b in pairs])

        alone, _ = flip_of(SignalSpec(sfreq=1.0, ch_names=electrodes))
        index, sign = flip_of(SignalSpec(sfreq=1.0, ch_names=tuple("-".join(p) for p in pairs)))
        turned = bipolar(values)[list(index)] * np.array(sign)[:, None]
        assert turned == pytest.approx(bipolar(values[list(alone)]))

    def test_a_common_reference_and_other_channels_stay(self) -> None:
        names, types = ("O1-REF", "EKG", "O2-REF", "Cz-REF"), ("eeg", "ecg", "eeg", "eeg")
        assert flip_of(SignalSpec(sfreq=1.0, ch_names=names, ch_types=types)) == ((2, 1, 0, 3), (1.0,) * 4)

    @pytest.mark.parametrize(
        ("names", "alone"), [(("C3", "C4", "F3"), "F3"), (("ch1", "ch2"), "ch1.*ch2"), (("C3-P3", "C4-O2"), "C3-P3")]
    )
    def test_a_channel_without_a_partner_is_named(self, names: tuple[str, ...], alone: str) -> None:
        bound, _, _ = recorded(names)
        with pytest.raises(SpecError, match=f"{alone}.* has no partner on the other side.*Set flips to 0"):
            Votes(flips=0.5).bind(bound)
        Votes().bind(bound)

    def test_an_electrode_under_two_names_is_not_guessed(self) -> None:
        with pytest.raises(SpecError, match="'T8' is the partner of several channels"):
            flip_of(SignalSpec(sfreq=1.0, ch_names=("T3", "T7", "T8")))


def test_the_best_epoch_is_that_of_the_least_divergence(tmp_path: Path) -> None:
    learner: Any = LEARNERS.parse({"kind": "gradient", "objective": "votes", "max_epochs": 6, "lr": 0.02})
    validation = voted(12, seed=1)
    fitted = fit(
        SmallModel(), learner, voted(24), validation, signal=SIGNAL, target=TARGET,
        subjects=SUBJECTS, folder=tmp_path, seed=0,
    )  # fmt: skip
    network = fitted.model
    with torch.no_grad():
        probability = network(torch.from_numpy(validation.signal)).logits[:, -1].double().softmax(-1).numpy()
    kl = kl_each(vote_shares(validation.votes), _whole(probability)).mean()
    assert kl == pytest.approx(min(row["validation_loss"] for row in fitted.history), rel=1e-4)
    assert all(row["kl"] == row["validation_loss"] for row in fitted.history)
    assert all(0 <= row["accuracy"] <= 1 for row in fitted.history)
