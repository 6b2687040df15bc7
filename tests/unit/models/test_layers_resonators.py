"""The resonator bank against a sample-by-sample loop in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from neural_foundation.models.layers.resonators import Resonators, Scale, charged, spaced

SFREQ, HOP = 250.0, 25
SCALES = [Scale(0.01, (20.0, 60.0), 10), Scale(0.1, (5.0, 10.0, 20.0), 2), Scale(1.0, (8.0, 12.0), 1)]


@pytest.fixture
def bank():
    net = Resonators(SCALES, sfreq=SFREQ, hop=HOP, slow=(0, 2, 0))
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net.shift.copy_(torch.randn(7, generator=g))
        net.log_tau.copy_(torch.randn(7, generator=g))
    return net


def reference(bank, x):
    """Return b (R, T) by the recurrence itself, one complex filter after the other, in float64."""
    tau, f = bank.time_constants().detach().numpy(), bank.frequencies().detach().numpy()
    out = []
    for t, hz in zip(tau, f, strict=True):
        pole = np.exp((-1 / t + 2j * np.pi * hz) / SFREQ)
        one = lfilter([1 - abs(pole)], [1, -pole], x.astype(complex))
        out.append(lfilter([1 - abs(pole)], [1, -pole], one))
    return np.array(out)


def test_power_and_waves_are_those_of_the_recurrence(bank) -> None:
    tokens = 12
    x = np.random.default_rng(0).standard_normal((3, 2, tokens * HOP)).astype(np.float32)
    with torch.no_grad():
        power, waves, _ = bank(torch.from_numpy(x), bank.start(2, 3))
    assert power.shape == (3, tokens, 2, 7)
    assert waves.shape == (3, tokens, 2, 4)
    b = reference(bank, x[1, 1])
    first = 0
    for scale in SCALES:
        ends = np.array(bank.ends(scale))
        for r in range(first, first + len(scale.centres_hz)):
            at = (np.arange(tokens)[:, None] * HOP + ends - 1).ravel()
            wanted = (np.abs(b[r][at]) ** 2).reshape(tokens, -1).mean(1)
            assert np.allclose(power[1, :, 1, r], wanted, rtol=1e-4, atol=1e-6 * wanted.max())
        first += len(scale.centres_hz)
    wave = b[2:4, HOP - 1 :: HOP]
    assert np.allclose(waves[1, :, 1].T, np.concatenate([wave.real, wave.imag]), atol=1e-5)


@pytest.mark.parametrize("cuts", [[1] * 12, [7, 5], [3, 1, 8]])
def test_cuts_do_not_change_the_output(bank, cuts) -> None:
    x = torch.randn(2, 3, 12 * HOP, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, _, end = bank(x, bank.start(3, 2))
        state, parts, at = bank.start(3, 2), [], 0
        for n in cuts:
            part, _, state = bank(x[..., at * HOP : (at + n) * HOP], state)
            parts.append(part)
            at += n
    error = (torch.cat(parts, 1) - whole).abs().max() / whole.square().mean().sqrt()
    assert error < 1e-5
    assert (state - end).abs().max() < 1e-6 * end.abs().max() + 1e-7
    assert state.dtype == torch.float64


def test_a_sinusoid_gives_unit_gain_at_its_resonator_and_little_far_away() -> None:
    net = Resonators([Scale(1.0, (8.0, 12.0, 20.0), 1)], sfreq=SFREQ, hop=HOP, slow=(0,))
    t = np.arange(int(20 * SFREQ)) / SFREQ
    x = torch.from_numpy(2 * np.cos(2 * np.pi * 12 * t)).float()[None, None]
    with torch.no_grad():
        power = net(x, net.start(1, 1))[0][0, -1, 0]
    assert power[1] == pytest.approx(1.0, abs=0.01)
    assert power[0] < 1e-4
    assert power[2] < 1e-4


def test_the_share_is_that_of_the_impulse_response() -> None:
    q = torch.tensor([0.9, 0.99], dtype=torch.float64)
    j = torch.arange(20_000, dtype=torch.float64)[:, None]
    terms = (j + 1) ** 2 * q**j
    for n in (1, 10, 500):
        assert torch.allclose(
            charged(torch.tensor(float(n)), q.log()), terms[:n].sum(0) / terms.sum(0), rtol=1e-9, atol=1e-12
        )


def test_white_noise_has_the_same_expected_power_from_the_first_token(bank) -> None:
    x = torch.randn(400, 1, 20 * HOP, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        power = bank(x, bank.start(1, 400))[0] / bank.share(torch.zeros(400, dtype=torch.float64), 20)[:, :, None]
    mean = power.mean((0, 2))
    assert (mean / mean[-1] - 1).abs().max() < 0.3


def test_gradients_of_frequencies_and_time_constants_are_right(bank) -> None:
    bank = Resonators([Scale(0.1, (8.0, 16.0), 2)], sfreq=SFREQ, hop=HOP, slow=(1,))
    x = torch.randn(1, 2, 4 * HOP, generator=torch.Generator().manual_seed(3))

    def loss() -> torch.Tensor:
        return bank(x, bank.start(2, 1))[0].double().sum()

    loss().backward()
    for parameter in (bank.shift, bank.log_tau):
        gradient, step = parameter.grad[0].item(), 1e-2
        with torch.no_grad():
            parameter[0] += step
            up = loss().item()
            parameter[0] -= 2 * step
            down = loss().item()
            parameter[0] += step
        assert gradient == pytest.approx((up - down) / (2 * step), rel=0.02, abs=1e-5)


def test_fixed_constants_give_the_same_output(bank) -> None:
    x = torch.randn(1, 2, 3 * HOP, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        free = bank(x, bank.start(2, 1))[0]
        with bank.fixed():
            assert torch.equal(bank(x, bank.start(2, 1))[0], free)


def test_spacing() -> None:
    assert spaced(2.0, 8.0, 3, logarithmic=True) == pytest.approx((2, 4, 8))
    assert spaced(2.0, 8.0, 3, logarithmic=False) == pytest.approx((2, 5, 8))
    assert spaced(2.0, 8.0, 1, logarithmic=True) == pytest.approx((4,))
