"""The objective of several modalities: what counts, how much, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from binned import made_session, made_set
from binned_model import SmallBinned
from scipy.special import xlogy
from torch import Tensor, nn

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.learning.base import Bound
from neural_foundation.learning.objectives.multimodal_loss import null_losses, poisson_deviance
from neural_foundation.learning.table import LEARNERS, OBJECTIVES
from neural_foundation.models.neds import Neds
from neural_foundation.pipeline.recipe import load
from neural_foundation.sampling.binned import BinnedSet

CONSTANT = {"spikes": -1.0, "wheel_speed": 0.5, "motion_energy": 0.0, "choice": 0.3, "block": 0.0}


class Blind(nn.Module):
    """Says the same of everything, whatever it is given: classes by logits (0.3, 0, ...) of choice."""

    def __init__(self, windows: BinnedSet) -> None:
        super().__init__()
        self.spec = windows.spec
        self.seen: list[Mapping[str, Tensor]] = []

    def standardise(self, session: int, name: str, values: Tensor) -> Tensor:
        return values / 10

    def forward(self, batch: Any, hidden: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        self.seen.append(hidden)
        return [{n: self._of(n, v) for n, v in g.values.items()} for g in batch.groups]

    def _of(self, name: str, value: Tensor) -> Tensor:
        classes = self.spec.modality(name).classes
        if not classes:
            return torch.full(value.shape, CONSTANT[name])
        return torch.tensor([CONSTANT[name]] + [0.0] * (len(classes) - 1)).expand(len(value), -1)


def bound(windows: BinnedSet, network: Any = None, **fields: Any) -> tuple[Any, Any]:
    """Return the loss and the network."""
    network = network or Blind(windows)
    objective: Any = OBJECTIVES.parse({"kind": "multimodal", **fields})
    source: Any = windows.source((), 2**30)
    return objective.bind(Bound(network, None, None, (), source, 0)), network  # type: ignore[arg-type]


def batch_of(windows: BinnedSet, items: Any = None, step: int = 0) -> Any:
    items = np.arange(len(windows)) if items is None else np.asarray(items)
    return windows.source((), 2**30).batch(items, seed=0, step=step)


def hidden_shares(loss: Any, windows: BinnedSet) -> np.ndarray:
    """Return the share of its tokens that is hidden of each window, (n,)."""
    hidden, _ = loss.masks(batch_of(windows))
    shares: np.ndarray = (sum(m.sum(1) for m in hidden.values()) / sum(m.shape[1] for m in hidden.values())).numpy()
    return shares


def small(**fields: Any) -> tuple[Any, BinnedSet]:
    """Return a small calibrated network and its windows."""
    windows = made_set(2)
    network: Any = SmallBinned().build(windows.spec, None, seed=0)
    network.calibrate_sets(windows)
    return network, windows


class TestMasksOfABatch:
    def test_rows_do_not_share_the_mask_of_the_first(self) -> None:
        windows = made_set(2)
        loss, _ = bound(windows, schemes={"neural": 1})
        hidden, _ = loss.masks(batch_of(windows))
        assert hidden["spikes"].shape == (40, 20)
        assert len(np.unique(hidden["spikes"].numpy(), axis=0)) > 35

    def test_rows_do_not_share_the_scheme_of_the_first(self) -> None:
        windows = made_set(2)
        loss, _ = bound(windows)
        hidden, _ = loss.masks(batch_of(windows))
        wholly = hidden["spikes"].all(1).float().mean()
        assert 0.1 < wholly < 0.7

    def test_a_window_s_mask_is_its_own_in_any_batch(self) -> None:
        windows = made_set(2)
        loss, _ = bound(windows)
        whole, part = (loss.masks(batch_of(windows, items))[0] for items in (None, [39, 3, 25]))
        for name in windows.spec.names:
            assert torch.equal(part[name], whole[name][[3, 39, 25]])  # in the order of the sessions
        other = loss.masks(batch_of(windows, step=1))[0]
        assert not torch.equal(other["spikes"], whole["spikes"])

    @pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
    def test_the_ratio_of_a_recipe_reaches_the_masks(self, ratio: float) -> None:
        learner: Any = LEARNERS.parse(
            {"kind": "gradient", "objective": {"kind": "multimodal", "schemes": {"random_token": 1}, "ratio": ratio}}
        )
        windows = made_set(2)
        loss = learner.objective.bind(Bound(Blind(windows), None, None, (), windows.source((), 0), 0))  # type: ignore
        assert hidden_shares(loss, windows) == pytest.approx(np.full(40, ratio), abs=0.01)

    @pytest.mark.parametrize("ratio", [0.2, 0.8])
    def test_the_ratio_of_the_command_line_reaches_the_masks(self, ratio: float) -> None:
        """The published code takes one, and masks at its own."""
        fields = {"ratio": ratio, "schemes": "{random_token: 1}"}
        recipe = load("neds/single-session", changes=[f"mm.learner.objective.{n}={v}" for n, v in fields.items()])
        stage: Any = recipe.stages["mm"]
        windows = made_set(2)
        loss = stage.learner.objective.bind(Bound(Blind(windows), None, None, (), windows.source((), 0), 0))  # type: ignore
        assert hidden_shares(loss, windows) == pytest.approx(np.full(40, ratio), abs=0.01)

    def test_the_network_is_told_what_is_hidden(self) -> None:
        windows = made_set(1)
        loss, network = bound(windows, mode="encoding")
        loss(network, batch_of(windows))
        (hidden,) = network.seen
        assert set(hidden) == {"spikes"}
        assert hidden["spikes"].all()

    def test_a_session_is_only_asked_what_it_has(self) -> None:
        lacking = made_session("b", without=("wheel_speed", "motion_energy", "choice", "block"))
        windows = made_set([made_session("a"), lacking])
        loss, network = bound(windows)
        hidden, scored = loss.masks(batch_of(windows))
        assert scored["spikes"][20:].any(1).all()
        assert not hidden["wheel_speed"][20:].any()
        assert torch.isfinite(loss(network, batch_of(windows))).all()
        with pytest.raises(DataError, match=r"Session 'b' has 'spikes', which 'decoding' cannot learn from"):
            bound(windows, mode="decoding")

    def test_a_session_without_training_windows_is_named(self) -> None:
        windows = made_set(2)
        with pytest.raises(DataError, match="Session 'b' has no training windows. Check the split"):
            bound(windows.select(windows.session == 0))


class TestWhatCounts:
    def test_hidden_values_that_are_known_by_their_closed_forms(self) -> None:
        windows = made_set([made_session(gaps=0.2, unknown=0.3)])
        loss, network = bound(windows)
        null, batch = null_losses(windows, 0), batch_of(windows)
        _, parts = loss.figures(network, batch)
        values = {n: v.double().numpy() for n, v in batch.groups[0].values.items()}
        k, rate = values["spikes"], np.exp(-1.0)
        deviance = 2 * (xlogy(k, k / rate) - (k - rate)).mean((1, 2))
        assert parts["encoding_spikes"].numpy() == pytest.approx(deviance / null["spikes"], rel=1e-5)
        squared = np.nanmean((values["wheel_speed"] / 10 - 0.5) ** 2, axis=(1, 2))
        assert parts["decoding_wheel_speed"].numpy() == pytest.approx(squared, rel=1e-5)
        chances = np.exp([0.3, 0.0]) / np.exp([0.3, 0.0]).sum()
        choice = values["choice"].astype(int)
        entropy = np.where(choice < 0, np.nan, -np.log(chances[choice]) / null["choice"])
        learned = loss._parts(network, batch, *loss.masks(batch, "decoding"))["choice"]
        assert learned.numpy() == pytest.approx(entropy, rel=1e-5, nan_ok=True)
        assert np.isnan(entropy).any()
        # judged by Brier's score, against that of the classes' shares
        shares = np.bincount(choice[choice >= 0]) / (choice >= 0).sum()
        score = ((chances - np.eye(2)[choice]) ** 2).sum(1) / (1 - (shares**2).sum())
        judged = np.where(choice < 0, np.nan, score)
        assert parts["decoding_choice"].numpy() == pytest.approx(judged, rel=1e-5, nan_ok=True)

    def test_labels_that_are_seen_do_not_count(self) -> None:
        windows = made_set(1)
        loss, network = bound(windows, schemes={"behavioural": 1})
        batch = batch_of(windows)
        hidden, _ = loss.masks(batch)
        unseen = hidden["choice"][:, 0]
        assert 0 < unseen.sum() < 20
        before = loss(network, batch)
        batch.groups[0].values["choice"][:] = 1 - batch.groups[0].values["choice"]
        after = loss(network, batch)
        assert torch.equal(before[~unseen], after[~unseen])
        assert (before[unseen] != after[unseen]).all()

    def test_nothing_known_counts_nothing(self) -> None:
        windows = made_set([made_session(without=("spikes", "motion_energy", "choice", "block"), gaps=0.999)])
        loss, network = bound(windows, schemes={"random_token": 1})
        losses = loss(network, batch_of(windows))
        assert torch.isfinite(losses).all()
        assert (losses == 0).any()

    def test_gaps_give_no_gradient_that_is_not_finite(self) -> None:
        windows = made_set([made_session(gaps=0.4, unknown=0.4)])
        network: Any = SmallBinned().build(windows.spec, None, seed=0)
        network.calibrate_sets(windows)
        loss, _ = bound(windows, network)
        loss(network, batch_of(windows)).sum().backward()
        grads = [p.grad for p in network.parameters() if p.grad is not None]
        assert grads
        assert all(torch.isfinite(g).all() for g in grads)

    def test_losses_are_in_the_order_of_the_rows(self) -> None:
        network, windows = small()
        loss, _ = bound(windows, network)
        whole, part = loss(network, batch_of(windows)), loss(network, batch_of(windows, [31, 2, 17]))
        assert torch.allclose(part, whole[[2, 17, 31]], atol=1e-5)


class TestWeights:
    def test_the_deviance_has_twice_the_gradient_of_the_nll(self) -> None:
        log_rate = torch.tensor([-2.0, 0.0, 1.5], requires_grad=True)
        counts = torch.tensor([0.0, 3.0, 1.0])
        poisson_deviance(log_rate, counts).sum().backward()
        assert torch.allclose(log_rate.grad / 2, log_rate.exp() - counts)  # type: ignore[operator]
        assert poisson_deviance(torch.tensor(3.0).log(), torch.tensor(3.0)).item() == pytest.approx(0, abs=1e-6)

    def test_null_losses_are_those_of_the_best_constants(self) -> None:
        windows = made_set([made_session(unknown=0.2)])
        null = null_losses(windows, 0)
        k = windows.values(0, "spikes").astype(float)
        mean = k.mean((0, 1))
        assert null["spikes"] == pytest.approx(2 * (xlogy(k, k / mean) - (k - mean)).mean(), rel=1e-9)
        choice = windows.values(0, "choice")
        p = (choice[choice >= 0] == 1).mean()
        assert null["choice"] == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)))
        assert null["wheel_speed"] == 1.0

    def test_what_never_changes_does_not_explode(self) -> None:
        session = made_session()
        session.values["spikes"][:] = 0  # type: ignore[index]
        session.values["choice"][:] = 1  # type: ignore[index]
        null = null_losses(made_set([session]), 0)
        assert 0.01 < null["spikes"] < 1
        assert 0.01 < null["choice"] < 1

    def test_no_task_drowns_at_the_start(self) -> None:
        network, windows = small()
        loss, _ = bound(windows, network)
        _, parts = loss.figures(network, batch_of(windows))
        start = {name: float(value.detach().nanmean()) for name, value in parts.items()}
        assert len(start) == 5  # each modality in the one direction it is told in
        assert max(start.values()) / min(start.values()) < 3

    def test_the_classes_pull_as_strongly_as_the_others(self) -> None:
        network, windows = small()
        pulls = {}
        for kind in ("counts", "continuous", "classes"):
            weights = {k: float(k == kind) for k in ("counts", "continuous", "classes")}
            loss, _ = bound(windows, network, schemes={"encoding": 1, "decoding": 1}, **weights)
            network.zero_grad()
            loss(network, batch_of(windows)).mean().backward()
            body = torch.cat([p.grad.flatten() for p in network.body.parameters()])
            pulls[kind] = float(body.norm())
        assert max(pulls.values()) / min(pulls.values()) < 10  # the published static loss is 100 times too small

    def test_labels_are_smoothed_in_training_alone(self) -> None:
        windows = made_set(1)
        plain, network = bound(windows, mode="decoding")
        smooth, _ = bound(windows, mode="decoding", label_smoothing=0.2)
        batch = batch_of(windows)
        assert not torch.allclose(smooth(network, batch), plain(network, batch))
        assert torch.equal(smooth.eval()(network, batch), plain.eval()(network, batch))

    def test_kinds_by_their_weights(self) -> None:
        windows = made_set(1)
        whole, network = bound(windows)
        parts = whole.figures(network, batch_of(windows))[1]
        heavy, _ = bound(windows, counts=2.0, continuous=0.0, classes=0.5)
        expected = 2 * parts["encoding_spikes"] + 0.25 * (parts["decoding_choice"] + parts["decoding_block"])
        assert torch.allclose(heavy.figures(network, batch_of(windows))[0], expected)


class TestValidation:
    def test_each_window_in_each_direction(self) -> None:
        network, windows = small()
        for fields, directions in (({}, {"encoding", "decoding"}), ({"mode": "decoding"}, {"decoding"})):
            loss, _ = bound(windows, network, **fields)
            total, parts = loss.figures(network, batch_of(windows, step=-1))
            assert {name.partition("_")[0] for name in parts} == directions
            assert torch.equal(total, loss.figures(network, batch_of(windows, step=-1))[0])

    def test_masks_are_drawn_once_where_there_is_no_direction(self) -> None:
        network, windows = small()
        loss, _ = bound(windows, network, schemes={"random_token": 1})
        (first, parts), (second, _) = (loss.figures(network, batch_of(windows, step=-1)) for _ in range(2))
        assert torch.equal(first, second)
        assert {name.partition("_")[0] for name in parts} == {"masked"}

    def test_spikes_alone_are_judged_by_masks_too(self) -> None:
        """Neither direction can be asked of them: a loss of 0 would keep the first epoch."""
        windows = made_set([made_session(without=("wheel_speed", "motion_energy", "choice", "block"))])
        loss, network = bound(windows)
        total, parts = loss.figures(network, batch_of(windows, step=-1))
        assert set(parts) == {"masked_spikes"}
        assert (total > 0).all()

    def test_a_class_that_training_never_had_is_judged_in_bounds(self) -> None:
        whole = made_set([made_session(trials=30)])
        block = whole.values(0, "block")
        train, held = whole.select(block != 2), whole.select(block == 2)
        network: Any = Neds(size="tiny", dropout=0.0).build(train.spec, seed=0).eval()
        network.calibrate_sets(train)
        loss, _ = bound(train, network)
        total, parts = loss.eval().figures(network, batch_of(held, step=-1))
        assert torch.isfinite(total).all()
        # Brier's score of a wrong word is 2 at most, that of the shares of two even words a half
        assert (parts["decoding_block"] > 1).all()
        assert (parts["decoding_block"] <= 4.0001).all()


class TestFields:
    def test_modes_are_mixes(self) -> None:
        assert set(OBJECTIVES.parse("multimodal").mix) >= {"encoding", "decoding", "within_modality"}  # type: ignore
        assert OBJECTIVES.parse({"kind": "multimodal", "mode": "encoding"}).mix == {"encoding": 1.0}  # type: ignore

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"mode": "encoding", "schemes": {"neural": 1}}, "'schemes' are given beside mode 'encoding'"),
            ({"schemes": {"neural": -1}}, "weights must be 0 or more"),
            ({"schemes": {"neural": 0}}, "one more than 0"),
            ({"schemes": {"cross": 1}}, "schemes.cross"),
            ({"counts": 0, "continuous": 0, "classes": 0}, "nothing is predicted"),
            ({"ratio": 1.0}, "less than 1"),
            ({"ratio": 0.5, "schemes": {"encoding": 1}}, "'ratio' is used by no scheme"),
            ({"ratio": 0.5, "schemes": {"encoding": 1, "neural": 0}}, "'ratio' is used by no scheme"),
            ({"ratio": 0.5, "mode": "decoding"}, "'ratio' is used by no scheme"),
        ],
    )
    def test_what_does_not_go_together(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            OBJECTIVES.parse({"kind": "multimodal", **fields})
