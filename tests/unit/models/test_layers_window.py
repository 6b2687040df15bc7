"""Layers of networks that see a whole window: pooling, weights of channels, recurrence, spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal.windows import dpss, hann

from neural_foundation.models.layers.gem import GeM
from neural_foundation.models.layers.recurrent import BothWays
from neural_foundation.models.layers.spectra import Spectra
from neural_foundation.models.layers.squeeze import SqueezeExcite

G = torch.Generator().manual_seed(0)


def with_power(p: float, dims: tuple[int, ...] = (1,)) -> GeM:
    pool = GeM(dims)
    torch.nn.init.constant_(pool.log_power, float(np.log(np.expm1(p - 1))))
    return pool


@pytest.mark.parametrize("p", [1.001, 2.0, 3.0, 40.0])
def test_gem_is_the_power_mean(p: float) -> None:
    x = torch.rand(2, 7, 3, generator=G)
    expected = x.double().pow(p).mean(1).pow(1 / p)
    torch.testing.assert_close(with_power(p)(x).double(), expected, rtol=1e-4, atol=1e-6)


def test_gem_over_an_image_and_between_mean_and_maximum() -> None:
    x = torch.rand(2, 3, 4, 5, generator=G)
    pooled = GeM((2, 3))(x)
    assert pooled.shape == (2, 3)
    assert (pooled > x.mean((2, 3))).all()
    assert (pooled < x.amax((2, 3))).all()


@pytest.mark.parametrize("value", [0.0, -5.0, 1e-30, 1e18])
@pytest.mark.parametrize("p", [1.0001, 3.0, 30.0])
def test_gem_and_its_gradients_are_finite(value: float, p: float) -> None:
    x = torch.full((1, 5, 2), value, requires_grad=True)
    pool = with_power(p)
    pool(x).sum().backward()
    assert torch.isfinite(pool(x)).all()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(pool.log_power.grad)


def test_squeeze_excite_weighs_channels_alike_over_time() -> None:
    x = torch.randn(2, 16, 9, generator=G)
    weight = SqueezeExcite(16)(x) / x
    torch.testing.assert_close(weight, weight[:, :, :1].expand_as(weight))
    assert ((weight > 0) & (weight < 1)).all()


def test_the_one_operation_of_both_ways_has_torch_s_weights_in_onnx_s_order() -> None:
    """ONNX's equations, by hand: update, reset, new; the new state is linear before the reset."""
    layer, x = BothWays(4, 3), torch.randn(1, 6, 4, generator=G)
    wanted = layer(x)[0]
    with torch.no_grad():
        for direction, name in enumerate(("l0", "l0_reverse")):
            w, r = layer._ordered(f"weight_ih_{name}"), layer._ordered(f"weight_hh_{name}")
            bw, br = layer._ordered(f"bias_ih_{name}"), layer._ordered(f"bias_hh_{name}")
            h, steps = torch.zeros(3), range(6) if not direction else range(5, -1, -1)
            for t in steps:
                (zx, rx, nx), (zh, rh, nh) = (w @ x[0, t] + bw).chunk(3), (r @ h + br).chunk(3)
                z, reset = torch.sigmoid(zx + zh), torch.sigmoid(rx + rh)
                h = (1 - z) * torch.tanh(nx + reset * nh) + z * h
                torch.testing.assert_close(h, wanted[t, 3 * direction : 3 * direction + 3], rtol=1e-4, atol=1e-6)


def test_spectra_are_those_of_numpy() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 300)).astype(np.float32)
    taper = hann(100, sym=False) / np.sqrt((hann(100, sym=False) ** 2).sum())
    layer = Spectra(tuple(np.arange(1, 20) * 2.0), sfreq=200, length=100, hop=20, taper="hann", bandwidth_hz=2)
    segments = np.lib.stride_tricks.sliding_window_view(x, 100, 2)[:, :, ::20]
    expected = np.abs(np.fft.rfft(segments * taper)[..., 1:20]) ** 2
    np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), expected.swapaxes(2, 3), rtol=1e-3, atol=1e-4)


def test_tapers_are_those_of_scipy_and_noise_has_a_power_of_one() -> None:
    x = torch.randn(4, 2, 4000, generator=G)
    layer = Spectra((10.0, 20.0, 30.0), sfreq=100, length=200, hop=50, taper="multitaper", bandwidth_hz=2.0)
    assert layer.weight.shape == (3 * 2 * 3, 1, 200)  # three tapers at a half bandwidth of 2 bins
    expected = dpss(200, 2.0, 3)
    cosine = layer.weight.view(3, 2, 3, 200)[:, 0, 0].numpy()
    np.testing.assert_allclose(cosine, expected * np.cos(2 * np.pi * 10 * np.arange(200) / 100), atol=1e-6)
    assert float(layer(x).mean()) == pytest.approx(1, abs=0.06)
