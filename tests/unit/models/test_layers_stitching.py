"""Maps of one session's units: names that never collide, scales, embeddings that sessions share a basis for."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neural_foundation.models.layers.stitching import Basis, StitchedCounts, UnitCounts, key_of, transformed

NAMES = st.text(st.sampled_from("ab1_-. /é5f"), max_size=6)


@given(NAMES, NAMES)
def test_no_two_names_share_a_key(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)
    assert key_of(one) in nn.ParameterDict({key_of(one): nn.Parameter(torch.zeros(1))})
    assert key_of(one).isascii()
    assert "." not in key_of(one)


def test_names_of_a_dictionary_s_own_methods_are_names_too() -> None:
    assert list(nn.ModuleDict({key_of(n): nn.Identity() for n in ("keys", "pop", "type", "forward")}))


def test_transforms() -> None:
    counts = torch.tensor([0.0, 1.0, 4.0])
    assert transformed(counts, "sqrt").tolist() == [0, 1, 2]
    assert transformed(counts, "none").tolist() == [0, 1, 4]
    torch.testing.assert_close(transformed(counts, "log1p"), torch.tensor([0.0, math.log(2), math.log(5)]))


def test_a_fresh_map_predicts_its_bias_and_sees_every_unit() -> None:
    torch.manual_seed(0)
    basis = Basis(4, 8)
    for part in (StitchedCounts(5, 8), UnitCounts(5, 4, ["", "CA1", "CA1", "VISp", ""])):
        basis.know(["CA1", "VISp", ""])
        with torch.no_grad():
            part.bias.copy_(torch.arange(5.0))
        assert torch.equal(part.log_rates(torch.randn(2, 3, 8), basis), torch.arange(5.0).expand(2, 3, 5))
        tokens = part.tokens(torch.eye(5)[None], basis)
        assert tokens.shape == (1, 5, 8)
        assert (tokens.abs().sum(-1) > 0).all()


def test_units_tokens_and_rates_are_those_of_their_embeddings_and_regions() -> None:
    torch.manual_seed(0)
    basis, part = Basis(3, 6), UnitCounts(4, 3, ["b", "", "a", "b"])
    basis.know(["b", "", "a", "b"])
    with torch.no_grad():
        for p in (*basis.parameters(), *part.parameters()):
            p += torch.randn(p.shape)
    e = part.embedding.clone()
    for unit, region in ((0, "b"), (2, "a"), (3, "b")):
        e[unit] = e[unit] + basis.regions[key_of(region)]
    counts, h = torch.rand(2, 5, 4), torch.rand(2, 5, 6)
    token = sum(part.gain[u] * counts[..., u, None] * (basis.embed @ e[u]) for u in range(4))
    torch.testing.assert_close(part.tokens(counts, basis), token)
    rates = torch.stack([h @ basis.read.T @ e[u] + part.bias[u] for u in range(4)], -1)
    torch.testing.assert_close(part.log_rates(h, basis), rates)


def test_a_session_adds_its_units_times_the_width_of_an_embedding() -> None:
    numbers = sum(p.numel() for p in UnitCounts(600, 24, [""] * 600).parameters())
    assert numbers == 600 * (24 + 2)
    assert sum(p.numel() for p in StitchedCounts(600, 256).parameters()) == 600 * (2 * 256 + 1)


def test_regions_that_are_known_keep_their_vector() -> None:
    basis = Basis(3, 6)
    basis.know(["a", ""])
    with torch.no_grad():
        basis.regions[key_of("a")].fill_(2.0)
    basis.know(["a", "c"])
    assert list(basis.regions) == [key_of("a"), key_of("c")]
    assert basis.regions[key_of("a")].tolist() == [2, 2, 2]
    assert basis.regions[key_of("c")].tolist() == [0, 0, 0]
