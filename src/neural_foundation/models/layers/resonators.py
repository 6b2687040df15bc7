"""A bank of damped complex resonators at several time scales: causal band power and phase, one token a hop.

Shapes: B batch, K virtual channels, R resonators (of all scales), S sub-steps of a hop, P samples a hop, M tokens.

A resonator is two equal poles in a row,

    a_t = lambda a_{t-1} + (1 - |lambda|) x_t,    b_t = lambda b_{t-1} + (1 - |lambda|) a_t,
    lambda = exp((-1 / tau + 2 pi i f) / sfreq),

a complex gammatone filter of order two with |gain| about 1 at f. Two poles of half the scale have the delay of one of
the full scale and far steeper skirts, so that the strong low frequencies of EEG leak less into weak high ones.
Its power is |b|^2, averaged over S sub-steps of the hop.

Within a hop, b is a product of the samples with a kernel built from lambda; from hop to hop, (a, b) obey a 2 x 2
complex recurrence, solved for a chunk of tokens at once. Powers of lambda and the carried (a, b) are float64.

After n samples of white noise the expected power is a known share of its final value (the filter is still
charging); `share` gives it, so that a scale as long as the trial is useful from its first token.

tau and f are learned within bounds about their start: tau by a factor of two, f by one spacing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Scale:
    """One time scale: its length, the frequencies it starts with and the sub-steps a hop its power is sampled at."""

    length_s: float
    centres_hz: tuple[float, ...]
    sub_steps: int

    @property
    def name(self) -> str:
        return f"{self.length_s * 1000:g} ms" if self.length_s < 1 else f"{self.length_s:g} s"


def spaced(low: float, high: float, n: int, *, logarithmic: bool) -> tuple[float, ...]:
    """Return n frequencies from low to high, evenly or evenly in the logarithm."""
    if n == 1:
        return (math.sqrt(low * high) if logarithmic else (low + high) / 2,)
    steps = [i / (n - 1) for i in range(n)]
    return tuple(low * (high / low) ** s if logarithmic else low + (high - low) * s for s in steps)


def _spacing(centres: Sequence[float]) -> list[float]:
    if len(centres) == 1:
        return [0.25 * centres[0]]
    gaps = [b - a for a, b in zip(centres, centres[1:], strict=False)]
    return [min(a, b) for a, b in zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)]


class Resonators(nn.Module):
    """The bank: `forward(x (B, K, M P), a_and_b (B, K, 4, R) float64) -> (power (B, K, M, R), b, state)`.

    Parameters
    ----------
    scales : one or more. sfreq : samples per second. hop : P.
    """

    start_hz: Tensor
    spacing_hz: Tensor
    start_tau_s: Tensor

    def __init__(self, scales: Sequence[Scale], *, sfreq: float, hop: int) -> None:
        super().__init__()
        self.scales, self.sfreq, self.hop = tuple(scales), sfreq, hop
        self.counts = [len(s.centres_hz) for s in scales]
        self.n_resonators = sum(self.counts)
        self.log_tau = nn.Parameter(torch.zeros(self.n_resonators))
        self.shift = nn.Parameter(torch.zeros(self.n_resonators))
        tau = [s.length_s / 2 for s in scales for _ in s.centres_hz]
        for name, values in (
            ("start_hz", [f for s in scales for f in s.centres_hz]),
            ("spacing_hz", [g for s in scales for g in _spacing(s.centres_hz)]),
            ("start_tau_s", tau),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def frequencies(self) -> Tensor:
        """Return f (R,) in Hz, float64."""
        return self.start_hz + self.spacing_hz * torch.tanh(self.shift.double())

    def time_constants(self) -> Tensor:
        """Return tau (R,) of each pole in seconds, float64."""
        return self.start_tau_s * torch.exp(math.log(2.0) * torch.tanh(self.log_tau.double()))

    def ends(self, scale: Scale) -> list[int]:
        """Return the number of samples of a hop that have passed at the end of each sub-step of a scale."""
        return [math.ceil((j + 1) * self.hop / scale.sub_steps) for j in range(scale.sub_steps)]

    def start(self, filters: int, batch: int, device: torch.device | None = None) -> Tensor:
        """Return the state (B, K, 4, R) before the first sample: real and imaginary a, real and imaginary b."""
        return torch.zeros(batch, filters, 4, self.n_resonators, dtype=torch.float64, device=device)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return power (B, K, M, R) float32, b (B, K, M, 2, R) float32 at each token's end, and the state after."""
        decay = 1.0 / (self.time_constants() * self.sfreq)
        omega = 2 * math.pi * self.frequencies() / self.sfreq
        gain = 1 - torch.exp(-decay)
        lag = torch.arange(self.hop + 1, dtype=torch.float64, device=x.device)
        fade = torch.exp(-decay * lag[:, None])
        powers = torch.stack([fade * torch.cos(omega * lag[:, None]), fade * torch.sin(omega * lag[:, None])])  # (2, P+1, R)
        local = x.unflatten(2, (-1, self.hop)) @ self._kernel(powers, gain)
        *parts, ends = local.split([2 * s.sub_steps * n for s, n in zip(self.scales, self.counts, strict=True)] + [4 * self.n_resonators], 3)
        ends = ends.unflatten(3, (4, self.n_resonators))
        before, state = self._carry(ends, state, decay, omega, gain)
        power = torch.cat([self._power(i, part, before, powers, gain) for i, part in enumerate(parts)], 3)
        after_b = torch.cat([before[:, :, 1:, 2:], state[:, :, None, 2:].to(before.dtype)], 2)
        return power, after_b, state

    def _kernel(self, powers: Tensor, gain: Tensor) -> Tensor:
        """Return G (P, Q) float32: b at each sub-step (real, imaginary) by scale, then a and b at the hop's end."""
        columns, first = [], 0
        samples = torch.arange(self.hop, device=gain.device)
        for scale, count in zip(self.scales, self.counts, strict=True):
            last = torch.tensor(self.ends(scale), device=gain.device) - 1
            columns.append(self._taps(powers[..., first : first + count], gain[first : first + count], last[None, :] - samples[:, None], 2))
            first += count
        lags = self.hop - 1 - samples[:, None]
        columns += [self._taps(powers, gain, lags, 1), self._taps(powers, gain, lags, 2)]
        return torch.cat(columns, 1).float()

    def _taps(self, powers: Tensor, gain: Tensor, lags: Tensor, order: int) -> Tensor:
        """Return (P, 2 S R): the response of a (order 1) or b (order 2) at `lags` (P, S) after a unit sample."""
        taps = powers[:, lags.clamp(min=0)] * gain**order  # (2, P, S, R)
        weight = (lags >= 0) * (lags + 1 if order == 2 else 1)
        return (taps * weight[None, :, :, None]).permute(1, 0, 2, 3).flatten(1)

    def _carry(self, ends: Tensor, state: Tensor, decay: Tensor, omega: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Return (a, b) before each token (B, K, M, 4, R) float32 and after the last (B, K, 4, R) float64.

        `ends` (B, K, M, 4, R) is what each hop alone would leave. In real numbers the recurrence over hops is
        s_{m+1} = T s_m + ends_m, with a 4 x 4 matrix T for each resonator.
        """
        tokens = ends.shape[2]
        if tokens == 1:
            after = _apply(self._transition(decay, omega, gain, 1), state[:, :, None])[:, :, 0] + ends[:, :, 0].double()
            return state[:, :, None].to(ends.dtype), after
        hops = torch.arange(tokens + 1, dtype=torch.float64, device=ends.device)
        lag = hops[:, None] - 1 - hops[None, :-1]
        fade = torch.exp(-decay[:, None, None] * self.hop * lag.clamp(min=0)) * (lag >= 0)
        real, imag = fade * torch.cos(omega[:, None, None] * self.hop * lag), fade * torch.sin(omega[:, None, None] * self.hop * lag)
        ramp = lag * self.hop * gain[:, None, None]
        a = _complex_sum(real, imag, ends[..., 0, :], ends[..., 1, :])
        b = _complex_sum(real, imag, ends[..., 2, :], ends[..., 3, :])
        c = _complex_sum(real * ramp, imag * ramp, ends[..., 0, :], ends[..., 1, :])
        driven = torch.stack([a[0], a[1], b[0] + c[0], b[1] + c[1]], 3)
        free = _apply(self._transition(decay, omega, gain, hops), state[:, :, None])
        return (driven[:, :, :-1] + free[:, :, :-1].to(driven.dtype)), driven[:, :, -1].double() + free[:, :, -1]

    def _transition(self, decay: Tensor, omega: Tensor, gain: Tensor, hops: Tensor | int) -> Tensor:
        """Return the free response over `hops` (M,) as (M or 1, 3, R): real, imaginary, and the ramp from a to b."""
        n = torch.as_tensor(hops, dtype=torch.float64, device=decay.device).reshape(-1, 1) * self.hop
        fade = torch.exp(-decay * n)
        return torch.stack([fade * torch.cos(omega * n), fade * torch.sin(omega * n), n * gain + 0 * n], 1)

    def _power(self, index: int, part: Tensor, before: Tensor, powers: Tensor, gain: Tensor) -> Tensor:
        """Return the mean |b|^2 over the sub-steps of one scale, (B, K, M, R_scale)."""
        scale, count = self.scales[index], self.counts[index]
        first = sum(self.counts[:index])
        ends = torch.tensor(self.ends(scale), device=gain.device)
        passed = powers[:, ends, first : first + count].to(part.dtype)  # (2, S, R)
        ramp = (ends[:, None] * gain[first : first + count]).to(part.dtype)
        a_re, a_im, b_re, b_im = (before[..., i, None, first : first + count] for i in range(4))
        local = part.unflatten(3, (2, scale.sub_steps, count))
        c_re, c_im = b_re + ramp * a_re, b_im + ramp * a_im
        h_re = local[..., 0, :, :] + passed[0] * c_re - passed[1] * c_im
        h_im = local[..., 1, :, :] + passed[0] * c_im + passed[1] * c_re
        return (h_re.square() + h_im.square()).mean(3)

    def share(self, age: Tensor, tokens: int) -> Tensor:
        """Return the expected power of white noise as a share of its final value, (B, M, R) float32.

        age : tokens since the start before this chunk, (B,) float64. The sum of (j + 1)^2 q^j for j < n over that
        for all j, q = |lambda|^2, averaged over the sub-steps of each hop.
        """
        shares, first = [], 0
        q_log = -2.0 / (self.time_constants() * self.sfreq)
        for scale, count in zip(self.scales, self.counts, strict=True):
            ends = torch.tensor(self.ends(scale), dtype=torch.float64, device=age.device)
            hops = age[:, None] + torch.arange(tokens, dtype=torch.float64, device=age.device)
            n = (hops[..., None] * self.hop + ends)[..., None]  # (B, M, S, 1)
            shares.append(_charged(n, q_log[first : first + count]).mean(2))
            first += count
        return torch.cat(shares, 2).float()


def _apply(transition: Tensor, state: Tensor) -> Tensor:
    """Return the free response (B, K, M, 4, R) of a state (B, K, 1, 4, R) under transitions (M, 3, R)."""
    real, imag, ramp = transition.unbind(1)
    a_re, a_im, b_re, b_im = state.unbind(3)
    c_re, c_im = b_re + ramp * a_re, b_im + ramp * a_im
    return torch.stack([real * a_re - imag * a_im, real * a_im + imag * a_re, real * c_re - imag * c_im, real * c_im + imag * c_re], 3)


def _complex_sum(real: Tensor, imag: Tensor, u_re: Tensor, u_im: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum_n T[r, m, n] u[.., n, r] for complex T (R, M + 1, M) and u (B, K, M, R), as (B, K, M + 1, R)."""
    batch, filters = u_re.shape[:2]
    u = torch.stack([u_re, u_im]).permute(4, 3, 0, 1, 2).flatten(2)  # (R, M, 2 B K)
    by_real, by_imag = real.to(u.dtype) @ u, imag.to(u.dtype) @ u
    half = batch * filters
    out_re = by_real[..., :half] - by_imag[..., half:]
    out_im = by_real[..., half:] + by_imag[..., :half]
    shape = (batch, filters)
    return out_re.unflatten(2, shape).permute(2, 3, 1, 0), out_im.unflatten(2, shape).permute(2, 3, 1, 0)


def _charged(n: Tensor, q_log: Tensor) -> Tensor:
    """Return the share of sum (j + 1)^2 q^j reached by j < n."""
    q = torch.exp(q_log)
    s0, s1, s2 = 1 / (1 - q), q / (1 - q) ** 2, q * (1 + q) / (1 - q) ** 3
    tail = (n + 1) ** 2 * s0 + 2 * (n + 1) * s1 + s2
    return 1 - torch.exp(q_log * n) * tail / (s0 + 2 * s1 + s2)
