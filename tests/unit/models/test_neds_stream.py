"""The causal network of `neds`: nothing of the future in the past, and bin by bin the same as all at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from binned import made_session, made_set
from torch import Tensor

from neural_foundation.core.errors import SpecError
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.models.neds import Neds
from neural_foundation.models.neds_network import NedsNetwork
from neural_foundation.models.network import to_arrays, to_tensors
from neural_foundation.sampling.binned import BinnedBatch, BinnedSet

BINS, NAMES = 20, ("spikes", "wheel_speed", "motion_energy", "choice", "block")
VARIANTS: dict[str, dict[str, Any]] = {
    "short": {"context_bins": 4},
    "long": {"context_bins": 50},
    "units": {"context_bins": 6, "inputs": "units", "unit_width": 3, "local_bins": 3},
}


@pytest.fixture(scope="module")
def windows() -> BinnedSet:
    return made_set([made_session("a", 0, gaps=0.2), made_session("b", 1, without=("wheel_speed", "block"))])


@pytest.fixture(scope="module", params=VARIANTS)
def net(request: pytest.FixtureRequest, windows: BinnedSet) -> NedsNetwork:
    spec = Neds(size="tiny", width=16, heads=2, causal=True, context="stream", **VARIANTS[request.param])
    made = spec.build(windows.spec, seed=3).eval()
    made.calibrate_sets(windows)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p += 0.1 * torch.randn(p.shape, generator=g)
    return made


def batch(windows: BinnedSet, items: list[int]) -> BinnedBatch:
    return windows.source((), 2**30).batch(np.asarray(items), seed=0)


def only(b: BinnedBatch, given: tuple[str, ...]) -> dict[str, Tensor]:
    """Return what hides all modalities but some."""
    lengths = {n: 1 if n in NAMES[3:] else BINS for n in NAMES}
    return {n: torch.full((len(b), lengths[n]), n not in given) for n in NAMES}


def streamed(
    net: NedsNetwork, values: dict[str, Tensor] | Tensor, cuts: list[int], session: int = 0
) -> dict[str, Tensor]:
    """Return what comes of a stream in pieces, its state saved and read again between them."""
    rows = len(values if isinstance(values, Tensor) else next(iter(values.values())))
    state, at, parts = net.start(rows, session), 0, []
    for m in cuts:

        def cut(v: Tensor, at: int = at, m: int = m) -> Tensor:
            return v if v.ndim == 1 else v[:, at : at + m]

        piece = cut(values) if isinstance(values, Tensor) else {n: cut(v) for n, v in values.items()}
        out, state = net.step_bins(piece, state, session)
        state = to_tensors(load_state(save_state(to_arrays(state))))
        parts.append(out)
        at += m
    return {n: torch.cat([p[n] for p in parts], 1) for n in parts[0]}


CUTS = [[1] * BINS, [BINS], [7, 1, 12], [3, 3, 3, 3, 3, 3, 2]]


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("session", [0, 1])
def test_decoding_bin_by_bin_is_that_of_the_window(net: NedsNetwork, windows: BinnedSet, session: int, cuts) -> None:
    b = batch(windows, [20 * session, 20 * session + 4])
    with torch.inference_mode():
        whole = net(b, only(b, ("spikes",)))[0]
        made = streamed(net, b.groups[0].values["spikes"], cuts, session)
    assert set(made) == set(whole)
    for name, value in whole.items():
        last = made[name][:, -1] if name in NAMES[3:] else made[name]
        torch.testing.assert_close(last, value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cuts", CUTS[:3], ids=str)
def test_encoding_with_gaps_and_classes_bin_by_bin(net: NedsNetwork, windows: BinnedSet, cuts: list[int]) -> None:
    b = batch(windows, [1, 2, 5])
    given = {n: v for n, v in b.groups[0].values.items() if n != "spikes"}
    assert given["wheel_speed"].isnan().any()
    with torch.inference_mode():
        whole = net(b, only(b, NAMES[1:]))[0]["spikes"]
        torch.testing.assert_close(streamed(net, given, cuts)["spikes"], whole, atol=1e-5, rtol=1e-5)


def test_class_logits_at_a_bin_are_those_of_the_window_up_to_it(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows, [0, 1])
    group = b.groups[0]
    with torch.inference_mode():
        live = streamed(net, group.values["spikes"], [1] * BINS)["choice"]
        for bins in (1, 5, 13):
            short = {n: v if v.ndim == 1 else v[:, :bins] for n, v in group.values.items()}
            cut = replace(b, groups=(replace(group, values=short),))
            hidden = {n: m[:, :bins] for n, m in only(b, ("spikes",)).items()}
            torch.testing.assert_close(net(cut, hidden)[0]["choice"], live[:, bins - 1], atol=1e-5, rtol=1e-5)


def test_the_future_changes_nothing_in_the_past(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows, [0, 1])
    with torch.inference_mode():
        before = net(b)[0]
        for name in NAMES[:3]:
            value = b.groups[0].values[name].clone()
            value[:, 9:] = value[:, 9:] * 2 + 1
            other = replace(b, groups=(replace(b.groups[0], values={**b.groups[0].values, name: value}),))
            after = net(other)[0]
            for kind in NAMES[:3]:
                assert torch.equal(before[kind][:, :9], after[kind][:, :9])
                assert not torch.equal(before[kind][:, 9:], after[kind][:, 9:])


def test_a_class_is_seen_by_every_bin_and_sees_the_last(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows, [0])
    group = b.groups[0]
    with torch.inference_mode():
        before = net(b)[0]
        other = {**group.values, "choice": 1 - group.values["choice"]}
        after = net(replace(b, groups=(replace(group, values=other),)))[0]
    assert (before["spikes"] != after["spikes"]).any(-1).all()


def test_attention_ends_after_the_context(windows: BinnedSet) -> None:
    spec = Neds(size="tiny", width=16, heads=2, layers=1, causal=True, context_bins=4, local_bins=0)
    net, b = spec.build(windows.spec).eval(), batch(windows, [0])
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2))
    values = b.groups[0].values
    spikes = values["spikes"].clone()
    spikes[:, 5] += 3
    other = replace(b, groups=(replace(b.groups[0], values={**values, "spikes": spikes}),))
    with torch.inference_mode():
        differs = (net(b)[0]["wheel_speed"] != net(other)[0]["wheel_speed"])[0, :, 0]
    assert differs.nonzero().flatten().tolist() == [5, 6, 7, 8]


def test_a_state_has_its_rows_first_is_bounded_and_is_not_written_to(net: NedsNetwork) -> None:
    state = net.start(3)
    kept = {n: t.clone() for n, t in state.items()}
    counts = torch.ones(3, 40, 6)
    _, after = net.step_bins(counts, state)
    _, later = net.step_bins(counts, after)
    for name, value in state.items():
        assert len(value) == 3
        assert torch.equal(value, kept[name])
        assert value.shape == after[name].shape == later[name].shape
        assert value.dtype == later[name].dtype
    assert later["age"].tolist() == [net.spec.context_bins - 1] * 3


def test_rows_of_a_stream_may_be_of_other_ages(net: NedsNetwork, windows: BinnedSet) -> None:
    counts = batch(windows, [0, 1]).groups[0].values["spikes"]
    with torch.inference_mode():
        _, old = net.step_bins(counts[:1, :9], net.start(1))
        both = {n: torch.cat([t, net.start(1)[n]]) for n, t in old.items()}
        out, _ = net.step_bins(torch.stack([counts[0, 9:12], counts[1, :3]]), both)
        for row, (first, items) in enumerate([(9, 0), (0, 1)]):
            alone = streamed(net, counts[items : items + 1], [first, 3] if first else [3])
            torch.testing.assert_close(out["wheel_speed"][row], alone["wheel_speed"][0, -3:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("net", ["units"], indirect=True)
def test_a_step_is_one_graph_without_choices(net: NedsNetwork) -> None:
    """No branch on data: what is traced at one input gives the same as the network at another."""

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, counts: Tensor, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            return self.net.step_bins(counts, state)

    graph = torch.export.export(Step(), (torch.ones(1, 1, 6), net.start(1)), strict=False).module()
    state, other = net.start(1), net.start(1)
    g = torch.Generator().manual_seed(0)
    for _ in range(8):
        counts = torch.poisson(torch.ones(1, 1, 6), generator=g)
        out, state = net.step_bins(counts, state)
        same, other = graph(counts, other)
        for name, value in out.items():
            torch.testing.assert_close(value, same[name], atol=1e-5, rtol=1e-5)


def test_a_network_that_sees_later_bins_does_not_stream(windows: BinnedSet) -> None:
    with pytest.raises(SpecError, match="causal: true"):
        Neds(size="tiny").build(windows.spec).start(1)
