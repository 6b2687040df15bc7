"""Rotary positions and the transformer: against a plain rendering, and step by step against all at once."""

from __future__ import annotations

import math

import pytest
import torch

from neural_foundation.models.layers.rope import angles, rotate
from neural_foundation.models.layers.transformer import Transformer


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(width: int = 16, layers: int = 2, heads: int = 2) -> Transformer:
    torch.manual_seed(0)
    net = Transformer(width, layers, heads, dropout=0.3, attention_dropout=0.0).eval()
    with torch.no_grad():
        for p in net.parameters():
            p += 0.2 * torch.randn(p.shape)
    return net


def test_rotation_is_that_of_complex_numbers() -> None:
    x, position = noise(3, 5, 2, 8), torch.tensor([0.0, 1.0, 2.5, 7.0, -3.0])
    turned = rotate(x, angles(position, 8))
    pair = torch.complex(x[..., :4], x[..., 4:])
    phase = torch.polar(torch.ones(5, 4), position[:, None] * 10_000.0 ** (-torch.arange(4) / 4))
    expected = pair * phase[:, None]
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], -1))


def test_scores_depend_on_distance_alone() -> None:
    q, k = noise(1, 4, 1, 8), noise(1, 4, 1, 8, seed=1)

    def scores(shift: float) -> torch.Tensor:
        turn = angles(torch.arange(4) + shift, 8)
        return rotate(q, turn)[0, :, 0] @ rotate(k, turn)[0, :, 0].T

    torch.testing.assert_close(scores(0), scores(37), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(rotate(q, angles(torch.arange(4.0), 8)), q)


def test_a_layer_is_softmax_attention_and_two_dense_layers() -> None:
    net, x, position = made(layers=1), noise(2, 6, 16), torch.arange(6.0)
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    block = net.blocks[0]
    y = block.norm_attention(x)
    q, k, v = (y @ w.T + b for w, b in zip(block.qkv.weight.split(16), block.qkv.bias.split(16), strict=True))
    heads = []
    for h in range(2):
        one = [t[..., 8 * h : 8 * h + 8] for t in (q, k, v)]
        turn = angles(position, 8)
        a, b = (rotate(t[:, :, None], turn)[:, :, 0] for t in one[:2])
        score = (a @ b.transpose(1, 2) / math.sqrt(8)).masked_fill(~seen, -math.inf)
        heads.append(score.softmax(-1) @ one[2])
    z = x + block.out(torch.cat(heads, -1))
    z = z + block.down(torch.nn.functional.gelu(block.up(block.norm_dense(z)), approximate="tanh"))
    torch.testing.assert_close(net(x, position, seen), net.norm(z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cuts", [[1] * 9, [4, 1, 4], [9]])
def test_steps_are_the_window_all_at_once(cuts: list[int]) -> None:
    net, kinds, bins, seen = made(), 2, 9, 4
    x = noise(3, kinds, bins, 16)
    position = torch.arange(bins).repeat(kinds)
    back = position[:, None] - position
    whole = net(x.flatten(1, 2), position, (back >= 0) & (back < seen)).view(3, kinds, bins, 16)
    caches, parts, at = [torch.zeros(3, 2, kinds, seen - 1, 16) for _ in range(2)], [], 0
    for m in cuts:
        heard = torch.full((3,), min(at, seen - 1))
        out, caches = net.step(x[:, :, at : at + m].flatten(1, 2), caches, heard)
        parts.append(out.view(3, kinds, m, 16))
        at += m
    torch.testing.assert_close(torch.cat(parts, 2), whole, atol=2e-6, rtol=1e-5)


def test_checkpointing_changes_no_gradient() -> None:
    x, position, gradients = noise(2, 6, 16), torch.arange(6.0), []
    for checkpointing in (False, True):
        net = made().train()
        net.checkpointing = checkpointing
        torch.manual_seed(5)
        net(x, position).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_heads_start_from_the_whole_window_to_the_nearest_bins() -> None:
    torch.manual_seed(0)
    block = Transformer(64, 1, 4, dropout=0.0, attention_dropout=0.0).blocks[0]
    q, k, _ = block.qkv.bias.view(3, 1, 4, 16).expand(3, 21, 4, 16)
    turn = angles(torch.arange(21.0), 16)
    score = torch.einsum("thd,shd->hts", rotate(q, turn), rotate(k, turn))[:, 10] / 4
    weight = score.softmax(-1)
    torch.testing.assert_close(weight[0], torch.full((21,), 1 / 21))
    assert weight.argmax(-1)[1:].tolist() == [10, 10, 10]
    own = weight[:, 10]
    assert (own[1:] > own[:-1]).all()
    assert own[-1] > 3 / 21
