"""Spectral-spatial templates and relative log power."""

from __future__ import annotations

import pytest
import torch

from neural_foundation.models.layers.templates import LEVEL, PACE, Templates, relative


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_every_output_is_one_spectrum_times_one_map() -> None:
    torch.manual_seed(0)
    net, x = Templates(3, 4, 5), randn(2, 6, 3, 4)
    wanted = torch.einsum("bmkr,rd,kd->bmd", x, PACE * net.spectra, net.maps) + net.bias
    assert torch.allclose(net(x), wanted, atol=1e-5)
    assert sum(p.numel() for p in net.parameters()) == 5 * (3 + 4 + 1)


def test_a_gain_of_a_channel_is_mostly_removed_scale_by_scale() -> None:
    x = randn(2, 3, 7)
    shifted = x + torch.tensor([1.0, 1.0, 1.0, 1.0, -2.0, -2.0, -2.0])
    change = relative(shifted, (4, 3)) - relative(x, (4, 3))
    assert torch.allclose(change[..., :4], torch.full((2, 3, 4), LEVEL), atol=1e-6)
    assert torch.allclose(change[..., 4:], torch.full((2, 3, 3), -2 * LEVEL), atol=1e-6)


def test_differences_between_frequencies_are_kept() -> None:
    x = randn(5, 6)
    given = relative(x, (6,))
    assert (given[:, 1] - given[:, 0]).tolist() == pytest.approx((x[:, 1] - x[:, 0]).tolist(), abs=1e-5)
