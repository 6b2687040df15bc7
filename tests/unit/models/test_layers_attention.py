"""Linear attention, running sums, gradient reversal and subject adapters."""

from __future__ import annotations

import pytest
import torch

from neural_foundation.models.layers.decay import decay_matrix, decay_powers, running_sum
from neural_foundation.models.layers.gradient_reversal import reverse_gradient
from neural_foundation.models.layers.linear_attention import Backbone, LinearAttention
from neural_foundation.models.layers.subjects import SubjectAdapter

G = torch.Generator


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=G().manual_seed(seed))


def test_decay_matrix_and_powers() -> None:
    log_gamma = torch.tensor([0.5], dtype=torch.float64).log()
    assert torch.allclose(
        decay_matrix(log_gamma, 3)[0], torch.tensor([[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]], dtype=torch.float64)
    )
    assert torch.allclose(decay_powers(log_gamma, 2, 1)[0], torch.tensor([0.5, 0.25], dtype=torch.float64))


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("cuts", [[10], [1] * 10, [4, 6]])
def test_running_sum_is_the_recurrence(gamma, cuts) -> None:
    x, log_gamma = randn(2, 10, 3), torch.tensor(gamma, dtype=torch.float64).log()
    carried, parts, wanted, total = (
        torch.zeros(2, 3, dtype=torch.float64),
        [],
        [],
        torch.zeros(2, 3, dtype=torch.float64),
    )
    for m in range(10):
        total = gamma * total + x[:, m].double()
        wanted.append(total)
    for part in x.split(cuts, 1):
        sums, carried = running_sum(part, carried, log_gamma)
        parts.append(sums)
    assert torch.allclose(torch.cat(parts, 1).double(), torch.stack(wanted, 1), atol=1e-5)
    assert torch.allclose(carried, total, atol=1e-5)


def naive_attention(layer: LinearAttention, x: torch.Tensor) -> torch.Tensor:
    """Return the layer's output by the recurrence S = gamma S + k^T v, o = q S, in float64."""
    layer = layer.double()
    x = x.double()
    b, m, d = x.shape
    h, v = layer.n_heads, layer.head_width
    q, k, val, gate = (p.reshape(b, m, h, v) for p in layer.project(x).split(d, 2))
    q, k = (torch.nn.functional.normalize(p, dim=-1) for p in (q, k))
    memory, out = torch.zeros(b, h, v, v, dtype=torch.float64), []
    for t in range(m):
        memory = layer.log_gamma.exp()[:, None, None] * memory + k[:, t, :, :, None] * val[:, t, :, None]
        o = (q[:, t, :, None] @ memory)[:, :, 0]
        o = o / (o.square().mean(-1, keepdim=True) + layer.norm.eps).sqrt() * layer.norm.gain
        out.append((o * torch.nn.functional.silu(gate[:, t])).reshape(b, d))
    return layer.out(torch.stack(out, 1))


def test_attention_is_the_naive_recurrence_at_every_cut() -> None:
    torch.manual_seed(0)
    layer, x = LinearAttention(16, 4, 1000.0), randn(2, 20, 16, seed=1)
    torch.nn.init.normal_(layer.out.weight)
    with torch.no_grad():
        outs = []
        for cuts in ([20], [1] * 20, [7, 13]):
            memory, parts = torch.zeros(2, 4, 4, 4, dtype=torch.float64), []
            for part in x.split(cuts, 1):
                y, memory = layer(part, memory)
                parts.append(y)
            outs.append(torch.cat(parts, 1))
            assert memory.dtype == torch.float64
        wanted = naive_attention(layer, x)
    for y in outs:
        assert (y - wanted).abs().max() / wanted.square().mean().sqrt() < 1e-5


def test_heads_remember_from_two_tokens_to_the_longest() -> None:
    layer = LinearAttention(16, 4, 1000.0)
    assert (-1 / layer.log_gamma).tolist() == pytest.approx([2, 2 * 500 ** (1 / 3), 2 * 500 ** (2 / 3), 1000])


def test_a_new_backbone_is_the_identity() -> None:
    torch.manual_seed(0)
    net, x = Backbone(16, 2, 4, longest=100, dropout=0.0), randn(1, 5, 16)
    y, _ = net(x, [torch.zeros(1, 4, 4, 4, dtype=torch.float64)] * 2)
    assert torch.equal(y, x)


def test_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        net = Backbone(16, 2, 4, longest=100, dropout=0.0, checkpointing=on).train()
        for block in net.blocks:
            torch.nn.init.normal_(block.attention.out.weight)
        y, _ = net(randn(2, 5, 16), [torch.zeros(2, 4, 4, 4, dtype=torch.float64)] * 2)
        y.square().sum().backward()
        gradients.append(net.blocks[0].attention.project.weight.grad.clone())
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_gradient_reversal_is_the_identity_with_minus_the_gradient() -> None:
    x = randn(4, 3).requires_grad_()
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.arange(3.0)).sum().backward()
    assert torch.allclose(x.grad, -0.5 * torch.arange(3.0).expand(4, 3))


def test_gradient_reversal_against_finite_differences() -> None:
    x = randn(3).double().requires_grad_()
    (given,) = torch.autograd.grad(reverse_gradient(x, 2.0).pow(3).sum(), x)
    (plain,) = torch.autograd.grad(x.pow(3).sum(), x)
    assert torch.allclose(given, -2.0 * plain)
    assert torch.autograd.gradcheck(lambda v: reverse_gradient(v, -1.0).pow(3), (x,))


def test_all_subjects_start_as_the_population() -> None:
    adapter = SubjectAdapter(3, 4, 5, rank=2, dropout=0.0)
    assert adapter(torch.tensor([0, 1, 3]), 3).abs().max() == 0
    assert adapter(None, 7).shape == (1, 20)


def test_subject_dropout_takes_the_population_in_training_only() -> None:
    adapter = SubjectAdapter(1, 1, 1, rank=1, dropout=0.5)
    torch.nn.init.constant_(adapter.gain.weight[1:], 1.0)
    torch.manual_seed(0)
    taken = adapter.train()(torch.ones(400, dtype=torch.long), 400)
    assert 0.4 < taken.mean() < 0.6
    assert adapter.eval()(torch.ones(400, dtype=torch.long), 400).min() == 1
