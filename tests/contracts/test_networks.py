"""What every network kind keeps: the chunk law, causality, a state that can be saved, weights that are the seed's."""

from __future__ import annotations

import pytest
import torch

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.network import Network, to_arrays, to_tensors
from neural_foundation.models.table import MODELS

NETWORKS = [kind for kind in MODELS if MODELS.row(kind).load().family == "network" and MODELS.row(kind).law == "stream"]
SIGNAL = SignalSpec(
    sfreq=250.0, ch_names=tuple("abcdef"), positions=tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(6))
)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request) -> Network:
    net = MODELS.parse(request.param).build(SIGNAL, TargetSpec(classes=("a", "b", "c")), subjects=2, seed=3).eval()
    g = torch.Generator().manual_seed(0)
    net.calibrate([1e-5 * torch.randn(16, 6, 10 * net.hop, generator=g)])
    with torch.no_grad():
        for p in net.parameters():
            p += 0.01 * torch.randn(p.shape, generator=g)
    return net


def signal(net: Network, tokens: int) -> torch.Tensor:
    return 1e-5 * torch.randn(2, 6, tokens * net.hop, generator=torch.Generator().manual_seed(1))


def test_there_is_a_network_under_the_chunk_law() -> None:
    assert NETWORKS


@pytest.mark.parametrize("cuts", [[1] * 80, [7] * 11 + [3], [64, 16], [80], [5, 40, 1, 34]])
def test_chunk_law_across_a_saved_state(network, cuts) -> None:
    x, state, parts, at = signal(network, 80), network.start(2), [], 0
    with torch.inference_mode():
        whole = network(x).logits
        for n in cuts:
            out, state = network.stream(x[:, :, at * network.hop : (at + n) * network.hop], state)
            state = to_tensors(load_state(save_state(to_arrays(state))))
            parts.append(out.logits)
            at += n
    assert whole.shape == (2, 80, 3)
    for tenth in range(10):
        at = slice(8 * tenth, 8 * tenth + 8)
        reference = whole[:, at]
        error = (torch.cat(parts, 1)[:, at] - reference).abs().max() / reference.square().mean().sqrt()
        assert error < 1e-5


def test_causality(network) -> None:
    x = signal(network, 12)
    other = x.clone()
    other[:, :, 6 * network.hop :] *= -3
    with torch.inference_mode():
        assert torch.equal(network(x).logits[:, :6], network(other).logits[:, :6])


def test_the_batch_does_not_mix(network) -> None:
    x = signal(network, 6)
    with torch.inference_mode():
        assert torch.allclose(network(x).logits[:1], network(x[:1]).logits, atol=1e-5)


def test_the_seed_is_the_weights(network) -> None:
    build = MODELS.parse(network.spec.kind).build
    first, second = (build(SIGNAL, None, seed=7).state_dict() for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
